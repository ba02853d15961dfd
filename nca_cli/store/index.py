"""The index beside a store: at which size and time each part was last found right, and its head.

    {"format":"nca-index","version":1,"inode":7613}                 of this very file
    {"text":"5d2c01aa","is":"noise","sum":"…"}                      what heads say, each text once
    {"part":"model/image/noise.h5","size":8123,"mtime_ns":1764…,
     "content":"…","head":{"=model":"5d2c01aa",…},"sum":"…"}        the last line of a part holds

A line says nothing of a part whose size or time is another, and nothing at all where its `sum`
(CRC-32 of what stands before it) is. The index is made again when it is gone, torn or foreign, and
lines that writers lose to one another are found out anew: so nobody locks it. One that came with a
copied store has another inode, and vouches for nothing here.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import threading
import uuid
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nca_cli.store.head import PartHead, parsed
from nca_cli.store.layout import INDEX_FILE, TEMPORARY

FORMAT, VERSION = "nca-index", 1
Stamp = tuple[int, int]
"""Size and mtime_ns of a file."""
SPARE_LINES = 1000
"""Lines of the file that may be out of date before it is written anew."""
SUM = len(',"sum":"00000000"}')


def stamp_of(path: Path) -> Stamp | None:
    """None where there is no such file, or none that this user may look at."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns


@dataclass
class Vouched:
    """What is known of a part."""

    stamp: Stamp
    content: str = ""
    head: dict[str, str] = field(default_factory=dict)
    """Name → the name of its text; nothing where only the stamp is known."""

    def told(self, part: str) -> dict[str, Any]:
        """As a line says it."""
        size, mtime_ns = self.stamp
        head = {"content": self.content, "head": self.head} if self.head else {}
        return {"part": part, "size": size, "mtime_ns": mtime_ns, **head}


class Index:
    """Part → stamp and head, in memory, and in the `folder` of a store where one can be written."""

    def __init__(self, folder: Path | None):
        self._path = None if folder is None else folder / INDEX_FILE
        self._held: dict[str, Vouched] = {}
        self._texts: dict[str, str] = {}
        self._filed: set[str] = set()
        """Names of the texts that are in the file."""
        self._values: dict[str, Any] = {}
        """What texts say, for those that many heads share."""
        self._inode, self._end, self._lines = 0, 0, 0
        """Of the file as far as it was read; lines of parts."""
        self._own = False
        """Whether the file is one that was written here, and is worth adding to."""
        self._lock = threading.RLock()
        """Files are written by one thread while others read."""

    def vouches(self, part: str, stamp: Stamp) -> bool:
        """Whether the part was found right as it is now, by this process or another."""
        return self._entry(part, stamp) is not None

    def head(self, part: str, stamp: Stamp) -> PartHead | None:
        """What a part says of itself that was found right as it is now, where that is known."""
        entry = self._entry(part, stamp)
        if entry is None or not entry.head:
            return None
        with contextlib.suppress(LookupError, ValueError, TypeError):
            texts = {name: self._texts[key] for name, key in entry.head.items()}
            return PartHead.from_texts(texts, entry.content, self._parsed)
        return None

    def add(self, part: str, stamp: Stamp, head: PartHead | None = None) -> None:
        """Remember that a part is right, and what it says of itself."""
        with self._lock:
            known = self._entry(part, stamp)
            if not known or (head is not None and self.head(part, stamp) is None):
                self._add(part, stamp, head)

    def _add(self, part: str, stamp: Stamp, head: PartHead | None) -> None:
        texts = {} if head is None else head.texts
        names = {name: _name_of(text) for name, text in texts.items()}
        new = {names[name]: text for name, text in texts.items() if names[name] not in self._filed}
        self._texts |= new
        self._held[part] = entry = Vouched(stamp, head.content if head else "", names)
        with contextlib.suppress(OSError):
            if not (self._own and self._appended(b"".join(_lines({part: entry}, new)))):
                self._write_anew()

    def _entry(self, part: str, stamp: Stamp) -> Vouched | None:
        entry = self._held.get(part)
        if entry is None or entry.stamp != stamp:
            with self._lock:
                self._refresh()
                entry = self._held.get(part)
        return entry if entry and entry.stamp == stamp else None

    def _parsed(self, text: str) -> Any:
        if text not in self._values:
            self._values[text] = parsed(text)
        return self._values[text]

    def _refresh(self) -> None:
        """Read what was written since the last time."""
        if self._path is None:
            return
        with contextlib.suppress(OSError), open(self._path, "rb") as file:
            status = os.fstat(file.fileno())
            if status.st_ino != self._inode or status.st_size < self._end:
                self._inode, self._end, self._lines, self._own = status.st_ino, 0, 0, False
                self._filed.clear()
            elif status.st_size == self._end:
                return
            file.seek(self._end)
            text = file.read()
            lines = text[: text.rfind(b"\n") + 1].splitlines()
            if self._end == 0 and lines:
                self._own = _parsed_line(lines.pop(0)).get("inode") == self._inode
            self._end += text.rfind(b"\n") + 1
            if self._own:
                self._lines += self._take(lines)
                short = self._lines <= 2 * len(self._held) + SPARE_LINES
                self._own = short and text.endswith(b"\n")  # a torn line would spoil the next one

    def _take(self, lines: Iterable[bytes]) -> int:
        """Remember what lines say; how many of them are of parts."""
        count = 0
        for told in _all_parsed([line for line in lines if _is_whole(line)]):
            with contextlib.suppress(LookupError, TypeError, AttributeError):
                if "text" in told:
                    self._texts[told["text"]] = str(told["is"])
                    self._filed.add(told["text"])
                    continue
                count += 1
                stamp = told["size"], told["mtime_ns"]
                self._held[told["part"]] = Vouched(stamp, told.get("content", ""),
                                                 told.get("head", {}))  # fmt: skip
        return count

    def _appended(self, lines: bytes) -> bool:
        """Add lines to the file; False where it is not the one that was read."""
        assert self._path is not None
        flags = os.O_WRONLY | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0)
        try:
            handle = os.open(self._path, flags)
        except FileNotFoundError:
            return False
        try:
            if os.fstat(handle).st_ino != self._inode:
                return False
            os.write(handle, lines)
        finally:
            os.close(handle)
        return True

    def _write_anew(self) -> None:
        """The whole index, as far as it is known here, in place of what is there."""
        if self._path is None:
            return
        used = {key for entry in self._held.values() for key in entry.head.values()}
        texts = {key: self._texts[key] for key in sorted(used) if key in self._texts}
        temporary = self._path.with_name(f"{INDEX_FILE}.{uuid.uuid4().hex[:8]}{TEMPORARY}")
        try:
            with open(temporary, "xb") as file:
                inode = os.fstat(file.fileno()).st_ino
                file.write(_json({"format": FORMAT, "version": VERSION, "inode": inode}) + b"\n")
                file.writelines(_lines(self._held, texts))
            os.replace(temporary, self._path)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise
        self._inode, self._end, self._own = inode, self._path.stat().st_size, True
        self._lines, self._filed = len(self._held), set(texts)


def _name_of(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:16]


def _lines(entries: dict[str, Vouched], texts: dict[str, str]) -> Iterator[bytes]:
    """Texts, and then the parts that say them."""
    yield from (_summed({"text": key, "is": text}) for key, text in texts.items())
    yield from (_summed(entry.told(part)) for part, entry in entries.items())


def _summed(told: dict[str, Any]) -> bytes:
    """A line, with the sum of what it says."""
    body = _json(told)[:-1]
    return body + b',"sum":"%08x"}\n' % zlib.crc32(body)


def _is_whole(line: bytes) -> bool:
    """Whether a line says what was written; those of older versions have no sum."""
    body, end = line[:-SUM], line[-SUM:]
    return b'"sum"' not in end or end == b',"sum":"%08x"}' % zlib.crc32(body)


def _json(value: dict[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _parsed_line(line: bytes) -> dict[str, Any]:
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
        return [_parsed_line(line) for line in lines]
