"""What is truly in the images: the factors of the portraits, or the labels of a user.

Labels are a table with a row for each image, such as CelebA's attributes.
"""

from __future__ import annotations

import json
from array import array
from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache, cached_property, lru_cache
from pathlib import Path

import numpy as np

from nca_cli.csv_files import TextTable, number_or_name, read_table
from nca_cli.errors import NothingStored, UsageError
from nca_cli.images import (
    SUFFIXES,
    Resolution,
    image_digest,
    image_name,
    resolution_of,
    sample_images,
)
from nca_cli.portraits import Factors
from nca_cli.store import Artifact, Store
from nca_cli.store.layout import split_folder

COLOURS = ("background", "hair", "skin", "shirt", "eye")
VALUES = ("hair_length", "fringe", "face_width", "tilt", "smile", "mouth_open", "gaze")
PRESENT = ("glasses", "freckles", "stripes")
"""Factors that are there or not: an opacity above 0."""
FACTORS = (*COLOURS, *VALUES, *PRESENT)

CHANNELS = ("_r", "_g", "_b")
"""How the three columns of a colour end."""
Labels = Mapping[str, tuple[float, ...]]
"""Concept → its numbers for one image."""
WORDS = {"yes": 1.0, "true": 1.0, "no": 0.0, "false": 0.0, "": np.nan, "na": np.nan}
_NEEDED = "columns image (or image_id, file_name), and one for each concept"


@dataclass(frozen=True)
class Truth:
    """Labels of images, by stem, file name or folder name in a store (or by digest)."""

    labels: Mapping[str, Labels]
    source: str = "labels"
    by_digest: bool = False
    notes: tuple[str, ...] = ()
    """What a reader of results should know about the labels."""

    @cached_property
    def _written(self) -> dict[str, str]:
        """Numbers without leading zeros, and other names → names as they are in `labels`."""
        return {number_or_name(name): name for name in self.labels}

    def of(self, artifact: Artifact) -> Labels | None:
        """The labels of an artifact's image; `None` where it has none."""
        if self.by_digest:
            info = artifact.image_info
            fitted = info.get("fit", "crop"), resolution_of(info.get("resolution") or 0)
            return self.labels.get(_portrait_names(*fitted).get(str(info.get("digest")), ""))
        stem = self._written.get(number_or_name(artifact.image_name), artifact.image_name)
        return self.labels.get(artifact.image, self.labels.get(stem))

    def unknown(self, store: Store) -> list[str]:
        """Labelled names that no image of the store has. Raises `UsageError` for one of two."""
        if self.by_digest:
            return []
        known: set[str] = set()
        for model in store.models():
            folders = store.images(model)
            stems = Counter(number_or_name(split_folder(folder)[0]) for folder in folders)
            for stem, count in stems.items():
                if count > 1 and stem in self._written:
                    what = f"{self._written[stem]} is the name of {count} stored images"
                    raise UsageError(f"{self.source}: {what}", "label them by folder name: nca ls")
            known.update(folders, stems)
        return [name for stem, name in self._written.items() if not known & {stem, name}]

    def require(self, concepts: Iterable[str]) -> None:
        """Raise `UsageError` when not one labelled concept is among `concepts`."""
        concepts = set(concepts)
        if not any(concepts & labels.keys() for labels in self.labels.values()):
            known = {name for labels in self.labels.values() for name in labels}
            raise UsageError(f"{self.source}: labels {', '.join(sorted(known)) or 'nothing'}",
                             f"the probe reads {', '.join(sorted(concepts))}")  # fmt: skip


def nothing_labelled(truth: Truth, unknown: Sequence[str]) -> NothingStored:
    """The error where no reconstruction is of an image with labels."""
    if truth.by_digest:
        return NothingStored("no image with known concepts is stored",
                             "nca reconstruct --model demo, or give labels as CSV")  # fmt: skip
    which = f"none of {named(unknown)} is stored" if unknown else "no labelled image fits"
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
def _portrait_names(fit: str, resolution: Resolution) -> dict[str, str]:
    """Digest → file name of the bundled portraits."""
    paths = sample_images("portraits")
    return {image_digest(path, resolution, fit): path.name for path in paths}


def read_labels(path: str | Path) -> Truth:
    """Labels from a table: a column `image`, and one per concept; `hair_r`, `_g`, `_b` are one.

    Images are named by stem, file name, path or folder in the store; leading zeros of a number
    may be left out. Cells are numbers, yes or no; an empty cell is unknown; a column of -1 and 1
    alone, as CelebA's, says no and yes. Columns of text are left out. Raises `UsageError` that
    names the bad row or column.
    """
    table = read_table(path)
    image = _image_column(table)
    columns = table.columns[:image] + table.columns[image + 1 :]
    names, values, texts = _cells(table, image)
    _check_texts(columns, values, texts)
    concepts = _concepts([name if i not in texts else "" for i, name in enumerate(columns)])
    single = [at[0] for at in concepts.values() if len(at) == 1]
    values[:, single] = _yes_and_no(values[:, single])
    text = [columns[i] for i in sorted(texts) if columns[i]]
    notes = (f"{table.path}: columns of text are left out: {named(text)}.",) if text else ()
    return Truth(_LazyLabels(names, concepts, values), str(table.path), notes=notes)


def _image_column(table: TextTable) -> int:
    if table.twice:
        raise UsageError(f"{table.path}: column {table.twice} comes twice", _NEEDED)
    at, several = table.image, len(table.columns) > 1
    if at is None or not several:
        what = "image" if at is None and several else "of a concept"
        raise UsageError(f"{table.path}: no column {what}", _NEEDED)
    return at


def _cells(
    table: TextTable, image: int
) -> tuple[dict[str, int], np.ndarray, dict[int, tuple[str, str]]]:
    """Name → row, numbers (rows, columns), and where each column first holds text."""
    width, numbers = len(table.columns) - 1, array("d")
    names: dict[str, int] = {}
    seen: set[str] = set()
    texts: dict[int, tuple[str, str]] = {}
    for where, cells in table.rows:
        name = _name(cells.pop(image))
        _check_row(where, name, seen, cells[width:])
        seen.add(number_or_name(name))
        names[name] = len(names)
        for column, cell in enumerate(cells[:width]):
            value = _number(cell)
            if value is None:
                texts.setdefault(column, (where, cell))
            numbers.append(np.nan if value is None else value)
    if not names:
        raise UsageError(f"{table.path}: no rows", _NEEDED)
    return names, np.frombuffer(numbers).reshape(-1, width), texts


def _check_row(where: str, name: str, seen: Container[str], rest: Sequence[str]) -> None:
    if not name:
        raise UsageError(f"{where}: no image")
    if any(rest):
        raise UsageError(f"{where}: more cells than columns", _NEEDED)
    if number_or_name(name) in seen:
        raise UsageError(f"{where}: comes twice: {name}",
                         "label images of one name by folder name: nca ls")  # fmt: skip


def _name(text: str) -> str:
    """`faces/anna.png` and `anna` → `anna`, as the store would call it; folder names stay."""
    known = text.lower().endswith((*SUFFIXES, ".npy"))
    return image_name(text if known else f"{Path(text).name}.png") if text else ""


@lru_cache(maxsize=4096)
def _number(text: str) -> float | None:
    """A cell; `None` for text."""
    try:
        return WORDS[text.lower()] if text.lower() in WORDS else float(text)
    except ValueError:
        return None


def _check_texts(
    columns: list[str], values: np.ndarray, texts: Mapping[int, tuple[str, str]]
) -> None:
    """Text among numbers is a slip, and text alone labels nothing."""
    for column, (where, cell) in texts.items():
        among_numbers = columns[column] and not np.isnan(values[:, column]).all()
        if among_numbers or len(texts) == len(columns):
            raise UsageError(f"{where}: {columns[column]} {cell!r} is no number",
                             "numbers, yes or no")  # fmt: skip


def _concepts(columns: list[str]) -> dict[str, list[int]]:
    """Concept → its columns: three of a colour, else one; columns without a name are none."""
    concepts: dict[str, list[int]] = {}
    for i, column in enumerate(columns):
        stem = column[:-2]
        colour = column[-2:] in CHANNELS and all(f"{stem}{c}" in columns for c in CHANNELS)
        if column:
            concepts.setdefault(stem if colour else column, []).append(i)
    return concepts


def _yes_and_no(values: np.ndarray) -> np.ndarray:
    """-1 as 0 in columns that hold nothing but -1 and 1."""
    signs = ((np.abs(values) == 1) | np.isnan(values)).all(0)
    return np.where(signs & (values == -1), 0.0, values)


class _LazyLabels(Mapping[str, Labels]):
    """Name → labels, made when they are asked for: CelebA has 8 million."""

    def __init__(self, names: dict[str, int], concepts: dict[str, list[int]], values: np.ndarray):
        self._names, self._concepts, self._values = names, concepts, values

    def __getitem__(self, name: str) -> Labels:
        row = self._values[self._names[name]]
        known = {concept: row[at] for concept, at in self._concepts.items()}
        return {concept: tuple(values.tolist()) for concept, values in known.items()
                if not np.isnan(values).any()}  # fmt: skip

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)
