"""What a file of `torch.save` tells of itself by the pickle in it, which is read and never run.

No torch is loaded, and no tensor is read. Of a file that is damaged, or none, nothing is told:
whoever reads its tensors says what is wrong with it.
"""

from __future__ import annotations

import contextlib
import pickletools
import zipfile
from collections.abc import Iterator
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

from nca_cli.models.tables import AVERAGES

OLD_PICKLES = 4
"""Of `torch.save` before 1.6: a magic number, a version, the machine, and what was saved."""
UNREADABLE = (OSError, ValueError, LookupError, StopIteration, zipfile.BadZipFile)
NUMBERS = ("BININT", "BININT1", "BININT2", "INT", "LONG", "LONG1")
TEXTS = ("BINUNICODE", "SHORT_BINUNICODE", "UNICODE")


def holds_both(file: Path) -> bool:
    """Whether a file holds a `state_dict` and a moving average beside it."""
    return _names(file, "state_dict") and holds_average(file)


def holds_average(file: Path) -> bool:
    """Whether a file holds a moving average."""
    return _names(file, *AVERAGES)


def step_inside(file: Path, key: str) -> int | None:
    """The first whole number from 0 that a file holds under `key`; `None` where it holds none."""
    with contextlib.suppress(*UNREADABLE):
        for name, value in pairwise(_values(file)):
            if name == key and isinstance(value, int) and value >= 0:
                return value
    return None


def _names(file: Path, *names: str) -> bool:
    """Whether any of them stands in the pickle of a zip file, as text."""
    try:
        content = _pickle_of(file)
    except UNREADABLE:
        return False
    return any(b"X" + len(name).to_bytes(4, "little") + name.encode() in content for name in names)


def _pickle_of(file: Path) -> bytes:
    with zipfile.ZipFile(file) as archive:
        return archive.read(next(name for name in archive.namelist() if name.endswith("data.pkl")))


def _values(file: Path) -> Iterator[str | int | None]:
    """Texts and whole numbers in their order, `None` for all else. What was there before is named
    by its place in a memo."""
    memo: dict[object, str | int | None] = {}
    last: str | int | None = None
    for opcode, value in _opcodes(file):
        if opcode.endswith("PUT"):
            memo[value] = last
            continue
        known = value if opcode in NUMBERS or opcode in TEXTS else None
        last = memo.get(value) if opcode.endswith("GET") else known
        yield last


def _opcodes(file: Path) -> Iterator[tuple[str, Any]]:
    if zipfile.is_zipfile(file):
        read = pickletools.genops(_pickle_of(file))
        yield from ((opcode.name, value) for opcode, value, _ in read)
        return
    with file.open("rb") as stream:
        several = chain.from_iterable(pickletools.genops(stream) for _ in range(OLD_PICKLES))
        yield from ((opcode.name, value) for opcode, value, _ in several)
