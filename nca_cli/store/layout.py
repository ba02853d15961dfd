"""Names inside a store: which file holds what. The only place that knows them.

    nca-store/
      nca-store.json                      format name and version
      <model>-<8 hex of its space>/       model.json
        <image>-<12 hex of its digest>/   noise.h5, <recipe name>.h5, <recipe name>.1.h5, …
                                          noise.metrics.json, <recipe name>.metrics.json

A packed store is one HDF5 file with the same hierarchy as groups.
"""

from __future__ import annotations

from itertools import count
from pathlib import Path

FORMAT = "nca-store"
ARTIFACT_FORMAT = "nca-artifact"
FORMAT_VERSION = 1
STORE_STAMP = {"format": FORMAT, "version": FORMAT_VERSION}
"""What a store says of itself, in its marker or in the attributes of a packed file."""
MARKER = "nca-store.json"
MODEL_FILE = "model.json"
LOCKS = ".locks"
DERIVED = ".analysis"
"""Folder of what was made of tensors, which may be deleted at any time; it goes with samples."""
PROGRESS = ".progress"
"""Folder of what the processes of a job say of themselves; it too may be deleted."""
NOISE = "noise"
"""Name of the artifact that holds x0 and x_t; every other one holds x̂0 of a recipe."""
SUFFIX = ".h5"
TEMPORARY = ".tmp"
"""Ending of a file that is being written; its name begins with a dot."""
DAMAGED = ".damaged-"
"""Follows the name of a file that was set aside, before a number."""
METRICS = ".metrics.json"
"""Follows the name of an artifact, in the name of the file that keeps its measured values."""
INDEX_FILE = ".index.jsonl"
"""Which parts were found right, and when; beside the artifacts, and made again when it is gone."""
IMAGE_HEX = 12
MODEL_HEX = 8


def image_folder(name: str, image_digest: str) -> str:
    """`astronaut-1a2b3c4d5e6f`."""
    return f"{name}-{image_digest[:IMAGE_HEX]}"


def split_folder(folder: str) -> tuple[str, str]:
    """`astronaut-1a2b3c4d5e6f` → (`astronaut`, `1a2b3c4d5e6f`); also for model folders."""
    name, _, hexes = folder.rpartition("-")
    return name, hexes


def split_label(label: str) -> tuple[str, int | None]:
    """`ddim-50` → (`ddim`, 50); `one-step`, which has no steps → (`one-step`, None)."""
    sampler, _, steps = label.rpartition("-")
    return (sampler, int(steps)) if sampler and steps.isdecimal() else (label, None)


def part_name(name: str, part: int) -> str:
    """`ddim-50-7f31c02a` for the first part, `ddim-50-7f31c02a.1` for the second."""
    return name if part == 0 else f"{name}.{part}"


def split_part(stem: str) -> tuple[str, int]:
    """The inverse of `part_name`."""
    name, _, part = stem.rpartition(".")
    return (name, int(part)) if name and part.isdecimal() else (stem, 0)


def set_aside_file(path: Path) -> Path:
    """The first free name for a damaged file: `ddim-50-7f31c02a.h5.damaged-1`."""
    names = (path.with_name(f"{path.name}{DAMAGED}{number}") for number in count(1))
    return next(name for name in names if not name.exists())


def metrics_file(folder: Path, name: str) -> Path:
    """File of the measured values of an artifact. Never written by the store itself."""
    return folder / (name + METRICS)


def part_file(folder: Path, name: str, part: int) -> Path:
    """File of one part of an artifact."""
    return folder / (part_name(name, part) + SUFFIX)
