"""HDF5 files opened for reading, and what is at fault where that fails: the file, or the machine.

A file is called damaged only where the machine had the means to read it.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py

from nca_cli.errors import DamagedArtifact, StoreError
from nca_cli.store.layout import FORMAT_VERSION

UNREADABLE = (
    OSError, LookupError, RuntimeError, ValueError, TypeError, AttributeError, ArithmeticError,
    MemoryError, SystemError,
)  # fmt: skip
"""What h5py raises on files that were changed at random."""
_PASSING = {errno.EMFILE, errno.ENFILE, errno.ESTALE, errno.ETIMEDOUT}
"""Troubles of the machine at this moment, which say nothing about the file."""
_OF_CONTENT = {0, errno.EINVAL, errno.EOVERFLOW, errno.EFBIG}
"""What the system answers where a damaged file has it look for bytes at an impossible place. All
else is the answer of a disk that does not give them, for a moment or for ever."""
_IN_USE = re.compile("already open for|h5clear|unable to lock", re.IGNORECASE)
"""What HDF5 says of a file that a program has open for writing, or had when it was killed."""
_ERRNO = re.compile(r"errno = (\d+)")
LARGEST = 2**30
"""Bytes: no part is larger, whatever the size of the file that it lies in."""
_SPARE = 64 * 2**20
"""Bytes of memory that reading takes beside those of the file."""
_REASONS = {
    "checksum": "checksum error",
    "filter returned failure": "checksum error",
    "truncated": "truncated file",
    "signature": "not an HDF5 file",
}


def open_file(path: Path) -> h5py.File:
    """Open for reading, whatever locks others hold: a file never changes, it is replaced.

    HDF5's own locks are left out only then, since a process must not open a file both ways.
    """
    try:
        return h5py.File(path, "r")
    except OSError as error:
        if "lock" not in str(error):
            raise
        return h5py.File(path, "r", locking=False)


def check_version(path: Path, attributes: Mapping[str, Any]) -> None:
    """Refuse a format that this program does not know."""
    version = int(attributes.get("version", 0))
    if version > FORMAT_VERSION:
        raise StoreError(
            path, f"format {version} is newer than this nca knows ({FORMAT_VERSION})",
            "upgrade nca, or use another --store",
        )  # fmt: skip


def part_at(file: h5py.File, place: str) -> h5py.Group:
    """The group at `place`, reached by plain (hard) links alone: others may lead out of the file.

    Raises `ValueError` for another link, among its members too.
    """
    group = file
    for name in filter(None, place.split("/")):
        _check_link(group, name)
        group = group[name]
    for name in group:
        _check_link(group, name)
    return group


def _check_link(group: h5py.Group, name: str) -> None:
    if name in group and group.id.links.get_info(name.encode()).type != h5py.h5l.TYPE_HARD:
        raise ValueError(f"{name} is a link to somewhere else")


def explained(path: Path, name: str, error: Exception) -> StoreError:
    """The error that a reader of the part `name` in the file `path` sees.

    `DamagedArtifact` only where every byte could be read and there was memory for all of them.
    """
    text, number = str(error), getattr(error, "errno", None)
    if isinstance(error, PermissionError):
        return StoreError(path, "no permission to read it")
    if isinstance(error, FileNotFoundError):
        return StoreError(path, "no such artifact")
    told = {*map(int, _ERRNO.findall(text)), *([number] if isinstance(number, int) else [])}
    if told & _PASSING:
        return StoreError(path, "cannot be read now", "run the same command again")
    if _IN_USE.search(text):
        return StoreError(
            path, "another program writes to it, or was killed while it did",
            f"if no program has it open: h5clear -s {path.name}",
        )  # fmt: skip
    if (isinstance(error, MemoryError) or "memory" in text.lower()) and not _fits(path):
        return StoreError(
            path, "too little memory to read it", "close other programs and run it again"
        )
    if refused := told - _OF_CONTENT:
        return _of_disk(path, os.strerror(min(refused)))
    return _unreadable(path) or DamagedArtifact(name, reason_of(error))


def _fits(path: Path) -> bool:
    """Whether there is memory for the file, and as much again for what is made of it."""
    try:
        bytearray(2 * min(path.stat().st_size, LARGEST) + _SPARE)
    except MemoryError:
        return False
    return True


def _unreadable(path: Path) -> StoreError | None:
    """What the disk answers where not even the plain bytes can be read."""
    try:
        with open(path, "rb", buffering=0) as file:
            while file.read(2**20):
                pass
    except OSError as error:
        return _of_disk(path, error.strerror or os.strerror(error.errno or errno.EIO))
    return None


def _of_disk(path: Path, why: str) -> StoreError:
    return StoreError(path, f"the disk cannot read it ({why})", "check the disk and run it again")


def reason_of(error: Exception) -> str:
    """One short line about what is wrong with a file."""
    text = " ".join(str(error).split())
    text = f"lacks {text}" if type(error) is KeyError and " " not in text else text
    known = (reason for mark, reason in _REASONS.items() if mark in text.lower())
    return next(known, text[:120] or type(error).__name__)
