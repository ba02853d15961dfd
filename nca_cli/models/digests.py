"""Content digests of files, remembered so that weights are hashed once.

A file's digest is remembered by its path, size and modification time in the user's cache folder
(`$NCA_CACHE` overrides it), one small JSON file each, written atomically. A cache that cannot be
read or written only costs time. A file modified less than two seconds ago is never remembered: it
could be rewritten within the resolution of its time stamp.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Iterable
from pathlib import Path

from nca_cli.atomic import replace
from nca_cli.models.environment import cache_folder
from nca_cli.recipe import digest

SETTLED = 2.0
"""Seconds after which a modification time identifies a content."""


def content_digest(paths: Iterable[str | Path], root: str | Path | None = None) -> str:
    """SHA-256 (hex) over the names, relative to `root`, and the bytes of files.

    `root` defaults to the folder that all paths share. Raises `OSError` for an unreadable file.
    """
    files = sorted(Path(path).absolute() for path in paths)
    base = os.path.commonpath([file.parent for file in files]) if root is None else str(root)
    return named_digest((file.relative_to(Path(base).absolute()).as_posix(), file)
                        for file in files)  # fmt: skip


def named_digest(files: Iterable[tuple[str, Path]]) -> str:
    """SHA-256 (hex) over names and the bytes of files. Raises `OSError` for an unreadable file."""
    return digest([[name, file_digest(file)] for name, file in files])


def file_digest(path: Path) -> str:
    """SHA-256 (hex) of a file's bytes, from memory where size and modification time agree."""
    path = path.resolve()
    memory = cache_folder() / "digests" / f"{digest(str(path))[:32]}.json"
    stamp = _stamp(path)
    remembered = _recall(memory)
    if remembered.get("path") == str(path) and remembered.get("stamp") == stamp:
        return str(remembered["sha256"])
    value = _hash(path)
    if _stamp(path) == stamp and time.time() - stamp[1] / 1e9 > SETTLED:
        known = {"path": str(path), "stamp": stamp, "sha256": value}
        with contextlib.suppress(OSError):  # a cache that cannot be written is no error
            replace(memory, json.dumps(known).encode())
    return value


def _stamp(path: Path) -> list[int]:
    """Size in bytes and modification time in nanoseconds."""
    status = path.stat()
    return [status.st_size, status.st_mtime_ns]


def _hash(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _recall(memory: Path) -> dict[str, object]:
    try:
        value = json.loads(memory.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) and isinstance(value.get("sha256"), str) else {}
