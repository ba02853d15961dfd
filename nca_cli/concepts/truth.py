"""What is truly in the images: the factors of the portraits, or a CSV file of labels."""

from __future__ import annotations

import csv
import io
import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

import numpy as np

from nca_cli.errors import NothingStored, UsageError
from nca_cli.images import image_digest, image_name, sample_images
from nca_cli.portraits import Factors
from nca_cli.store import Artifact, Store
from nca_cli.store.layout import split_folder

COLOURS = ("background", "hair", "skin", "shirt", "eye")
VALUES = ("hair_length", "fringe", "face_width", "tilt", "smile", "mouth_open", "gaze")
PRESENT = ("glasses", "freckles", "stripes")
"""Factors that are there or not: an opacity above 0."""
FACTORS = (*COLOURS, *VALUES, *PRESENT)
CHANNELS = ("_r", "_g", "_b")
_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".avif", ".bmp", ".gif", ".tif", ".tiff", ".npy")
WORDS = {"yes": 1.0, "true": 1.0, "no": 0.0, "false": 0.0}

Labels = Mapping[str, tuple[float, ...]]
"""Concept → its numbers for one image."""


@dataclass(frozen=True)
class Truth:
    """Labels of images, by stem, file name or folder name in a store (or by digest)."""

    labels: Mapping[str, Labels]
    source: str = "labels"
    by_digest: bool = False

    def of(self, artifact: Artifact) -> Labels | None:
        """The labels of an artifact's image; `None` where it has none."""
        if self.by_digest:
            info = artifact.image_info
            key = (info.get("digest"), info.get("fit", "crop"), info.get("resolution"))
            return self.labels.get(_portrait_names(*key[1:]).get(str(key[0]), ""))
        return self.labels.get(artifact.image, self.labels.get(artifact.image_name))

    def unknown(self, store: Store) -> list[str]:
        """Labelled names that no image of the store has. Raises `UsageError` for one of two."""
        if self.by_digest:
            return []
        known: set[str] = set()
        for model in store.models():
            folders = store.images(model)
            stems = Counter(split_folder(folder)[0] for folder in folders)
            self._check_stems(stems)
            known.update(folders, stems)
        return [name for name in self.labels if name not in known]

    def _check_stems(self, stems: Mapping[str, int]) -> None:
        for stem, count in stems.items():
            if count > 1 and stem in self.labels:
                raise UsageError(f"{self.source}: {stem} is the name of {count} stored images",
                                 "label them by folder name: nca ls")  # fmt: skip

    def require(self, concepts: Iterable[str]) -> None:
        """Raise `UsageError` when not one labelled concept is among `concepts`."""
        known = {name for labels in self.labels.values() for name in labels}
        if not known & set(concepts):
            raise UsageError(f"{self.source}: labels {', '.join(sorted(known)) or 'nothing'}",
                             f"the probe reads {', '.join(concepts)}")  # fmt: skip


def nothing_labelled(truth: Truth, unknown: Sequence[str]) -> NothingStored:
    """The error where no reconstruction is of an image with labels."""
    if truth.by_digest:
        return NothingStored("no image with known concepts is stored",
                             "nca reconstruct --model demo, or give labels as CSV")  # fmt: skip
    which = (
        f"labels {named(unknown)}, none of them stored" if unknown else "labels nothing that fits"
    )
    return NothingStored(f"{truth.source}: {which}", "name images as in the store: nca ls")


def named(names: Sequence[str]) -> str:
    """`a, b, c and 7 more`."""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more


def factor_labels(factors: Sequence[Factors]) -> dict[str, np.ndarray]:
    """Concept → (N, size) float32 of portraits: colours, shapes, and what is there or not."""
    labels = [_factors(asdict(each)) for each in factors]
    return {name: np.array([each[name] for each in labels], np.float32) for name in FACTORS}


def _factors(values: Mapping) -> dict[str, tuple[float, ...]]:
    labels = {name: tuple(values[name]) for name in COLOURS}
    labels |= {name: (values[name],) for name in VALUES}
    return labels | {name: (float(values[name] > 0),) for name in PRESENT}


def portrait_truth() -> Truth:
    """The factors of the bundled portraits, whatever they are called in a store."""
    records = json.loads(sample_images("portraits")[0].with_name("factors.json").read_text())
    labels = {name: _factors(record["factors"]) for name, record in records.items()}
    return Truth(labels, "the bundled portraits", by_digest=True)


@cache
def _portrait_names(fit: str, resolution: int) -> dict[str, str]:
    """Digest → file name of the bundled portraits."""
    paths = sample_images("portraits")
    return {image_digest(path, resolution, fit): path.name for path in paths}


def read_labels(path: str | Path) -> Truth:
    """Labels as CSV: a column `image`, and one per concept; `hair_r`, `hair_g`, `hair_b` are one.

    Images are named by stem, file name, path or folder in the store; cells are numbers, yes or
    no; an empty cell is unknown. Raises `UsageError` that names the bad row or column.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: cannot be read as text", "give labels as CSV") from error
    rows = csv.DictReader(io.StringIO(text, newline=""))
    columns = [name for name in rows.fieldnames or () if name != "image"]
    if "image" not in (rows.fieldnames or ()) or not columns:
        raise UsageError(f"{path}: no column {'image' if columns else 'of a concept'}",
                         "columns image, and one for each concept")  # fmt: skip
    labels: dict[str, Labels] = {}
    for row in rows:
        name, where = _name(row.get("image") or ""), f"{path}:{rows.line_num}"
        if not name or name in labels:
            raise UsageError(f"{where}: {'comes twice: ' + name if name else 'no image'}")
        labels[name] = _joined({key: _number(row[key], key, where) for key in columns})
    if not labels:
        raise UsageError(f"{path}: no rows", "columns image, and one for each concept")
    return Truth(labels, str(path))


def _name(text: str) -> str:
    """`faces/anna.png` and `anna` → `anna`, as the store would call it; folder names stay."""
    known = Path(text).suffix.lower() in _SUFFIXES
    return image_name(text if known else f"{Path(text).name}.png") if text.strip() else ""


def _number(text: str | None, column: str, where: str) -> float:
    text = (text or "").strip().lower()
    try:
        return WORDS[text] if text in WORDS else float(text or "nan")
    except ValueError:
        raise UsageError(f"{where}: {column} {text!r} is no number", "numbers, yes or no") from None


def _joined(values: Mapping[str, float]) -> dict[str, tuple[float, ...]]:
    """Columns of a colour as one concept; unknown ones left out."""
    joined: dict[str, tuple[float, ...]] = {}
    for column, value in values.items():
        stem = column[:-2]
        colour = column[-2:] in CHANNELS and all(f"{stem}{c}" in values for c in CHANNELS)
        name = stem if colour else column
        joined[name] = (*joined.get(name, ()), value)
    return {name: each for name, each in joined.items() if not any(map(math.isnan, each))}
