"""The index beside a store: at which size and time each part was last found right.

    {"format":"nca-index","version":1,"inode":7613}                 of this very file
    {"part":"model/image/noise.h5","size":8123,"mtime_ns":1764…}    the last line of a part holds

A line says nothing of a part whose size or time is another. The index is made again when it is
gone, torn or foreign, and lines that writers lose to one another are found out anew: so nobody
locks it. One that came with a copied store has another inode, and vouches for nothing here.
"""

from __future__ import annotations

import contextlib
import json
import os
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from nca_cli.store.layout import INDEX_FILE, TEMPORARY

FORMAT, VERSION = "nca-index", 1
Stamp = tuple[int, int]
"""Size and mtime_ns of a file."""
SPARE_LINES = 1000
"""Lines of the file that may be out of date before it is written anew."""


def stamp_of(path: Path) -> Stamp | None:
    """None where there is no such file, or none that this user may look at."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns


class Index:
    """Part → stamp, in memory, and in the `folder` of a store where that can be written."""

    def __init__(self, folder: Path | None):
        self._path = None if folder is None else folder / INDEX_FILE
        self._held: dict[str, Stamp] = {}
        self._inode, self._end, self._lines = 0, 0, 0
        """Of the file as far as it was read."""
        self._own = False
        """Whether the file is one that was written here, and is worth adding to."""

    def vouches(self, part: str, stamp: Stamp) -> bool:
        """Whether the part was found right as it is now, by this process or another."""
        if self._held.get(part) != stamp:
            self._refresh()
        return self._held.get(part) == stamp

    def add(self, part: str, stamp: Stamp) -> None:
        """Remember that a part is right."""
        if self.vouches(part, stamp):
            return
        self._held[part] = stamp
        with contextlib.suppress(OSError):
            if not (self._own and self._appended(_line(part, stamp))):
                self._write_anew()

    def _refresh(self) -> None:
        """Read what was written since the last time."""
        if self._path is None:
            return
        with contextlib.suppress(OSError), open(self._path, "rb") as file:
            status = os.fstat(file.fileno())
            if status.st_ino != self._inode or status.st_size < self._end:
                self._inode, self._end, self._lines, self._own = status.st_ino, 0, 0, False
            file.seek(self._end)
            text = file.read()
            lines = text[: text.rfind(b"\n") + 1].splitlines()
            if self._end == 0 and lines:
                self._own = _parsed(lines.pop(0)).get("inode") == self._inode
            self._end += text.rfind(b"\n") + 1
            self._lines += len(lines)
            if self._own:
                self._take(lines)
                short = self._lines <= 2 * len(self._held) + SPARE_LINES
                self._own = short and text.endswith(b"\n")  # a torn line would spoil the next one

    def _take(self, lines: Iterable[bytes]) -> None:
        for told in _all_parsed(list(lines)):
            with contextlib.suppress(LookupError, TypeError):
                self._held[told["part"]] = told["size"], told["mtime_ns"]

    def _appended(self, line: bytes) -> bool:
        """Add a line to the file; False where it is not the one that was read."""
        assert self._path is not None
        flags = os.O_WRONLY | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0)
        try:
            handle = os.open(self._path, flags)
        except FileNotFoundError:
            return False
        try:
            if os.fstat(handle).st_ino != self._inode:
                return False
            os.write(handle, line)
        finally:
            os.close(handle)
        return True

    def _write_anew(self) -> None:
        """The whole index, as far as it is known here, in place of what is there."""
        if self._path is None:
            return
        temporary = self._path.with_name(f"{INDEX_FILE}.{uuid.uuid4().hex[:8]}{TEMPORARY}")
        try:
            with open(temporary, "xb") as file:
                inode = os.fstat(file.fileno()).st_ino
                head = {"format": FORMAT, "version": VERSION, "inode": inode}
                file.write(_json(head) + b"".join(_line(*each) for each in self._held.items()))
            os.replace(temporary, self._path)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise
        self._inode, self._end, self._own = inode, self._path.stat().st_size, True
        self._lines = len(self._held)


def _line(part: str, stamp: Stamp) -> bytes:
    return _json({"part": part, "size": stamp[0], "mtime_ns": stamp[1]})


def _json(value: dict[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode() + b"\n"


def _parsed(line: bytes) -> dict[str, Any]:
    """One line; nothing where it is torn."""
    try:
        told = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return told if isinstance(told, dict) else {}


def _all_parsed(lines: list[bytes]) -> list[Any]:
    """All lines: at once, which is four times as fast, unless one of them is torn."""
    try:
        return list(json.loads(b"[" + b",".join(lines) + b"]"))
    except (ValueError, RecursionError):
        return [_parsed(line) for line in lines]
