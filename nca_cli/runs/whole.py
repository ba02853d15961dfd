"""Whether a checkpoint is written to its end, so that nobody reads the half of one."""

from __future__ import annotations

import json
import struct
import zipfile
from pathlib import Path

from nca_cli.errors import ModelError, NcaError


class Unfinished(NcaError):
    """What a training has not written yet, and may still write."""


class HalfWritten(ModelError, Unfinished):
    """A checkpoint that is incomplete."""

    def __init__(self, name: str, path: Path):
        super().__init__(name, f"{path} is incomplete", "wait, or choose other steps with --at")


LONGEST_HEADER = 100_000_000
"""Bytes; what safetensors itself accepts."""
WEIGHTS = (".safetensors", ".bin", ".pt", ".pth", ".ckpt")


def is_whole(path: Path) -> bool:
    """Whether every file of weights at or below `path` has the length that its own index says.

    A safetensors file names the end of its last tensor in its header; what `torch.save` writes is
    a zip archive, whose directory stands at its end. A folder without weights is not whole yet.
    """
    files = [path] if path.is_file() else sorted(path.rglob("*"))
    weights = [file for file in files if file.suffix in WEIGHTS and file.is_file()]
    return bool(weights) and all(_has_its_length(file) for file in weights)


def _has_its_length(file: Path) -> bool:
    try:
        if file.suffix == ".safetensors":
            return _safetensors_length(file) == file.stat().st_size
        return zipfile.is_zipfile(file) or _is_old_pickle(file)
    except (OSError, ValueError, LookupError, TypeError, struct.error, zipfile.BadZipFile):
        return False


def _safetensors_length(file: Path) -> int:
    """8 bytes of length, a JSON header of that length, and the tensors that it lists."""
    with file.open("rb") as opened:
        (length,) = struct.unpack("<Q", opened.read(8))
        if length > LONGEST_HEADER:
            raise ValueError("no safetensors header")
        header = json.loads(opened.read(length))
    ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
    return 8 + int(length) + max(ends, default=0)


def _is_old_pickle(file: Path) -> bool:
    """`torch.save` before 1.6: its magic number comes first, its end tells nothing."""
    with file.open("rb") as opened:
        return opened.read(2) == b"\x80\x02"
