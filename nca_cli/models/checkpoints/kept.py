"""Converted checkpoints in the cache folder: which there are, and their end."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from nca_cli.models.checkpoints.file import DESCRIBED, INDEX, KINDS, SOURCE
from nca_cli.models.environment import cache_folder


@dataclass(frozen=True)
class Converted:
    """A checkpoint that was converted into a pipeline."""

    kind: str
    folder: Path
    source: str
    """`KIND:PATH` of the checkpoint; "" where it is not told."""
    bytes: int

    @property
    def current(self) -> bool:
        """Whether its checkpoint is still where it was."""
        return bool(self.source) and os.path.exists(self.source.partition(":")[2])


def converted() -> list[Converted]:
    """All that are kept, by kind and source."""
    found = [
        Converted(kind, folder, _source(folder), _bytes(folder))
        for kind in (*KINDS, *DESCRIBED)
        for folder in (cache_folder() / kind).glob("*")
        if (folder / INDEX).is_file()
    ]
    return sorted(found, key=lambda each: (each.kind, each.source, each.folder))


def clear(kept: Iterable[Converted]) -> int:
    """Delete them; a checkpoint that is needed again is converted again. The bytes freed.

    A folder is moved out of the way first: whoever looks for it finds all of it or nothing.
    """
    freed = 0
    for each in kept:
        with tempfile.TemporaryDirectory(dir=each.folder.parent, suffix=".tmp") as temporary:
            gone = Path(temporary, "gone")
            os.rename(each.folder, gone)
            shutil.rmtree(gone)
        freed += each.bytes
    return freed


def _source(folder: Path) -> str:
    try:
        told = json.loads((folder / INDEX).read_text(encoding="utf-8"))
        return str(told.get(SOURCE, ""))
    except (OSError, ValueError, AttributeError):
        return ""


def _bytes(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
