"""Labels of a user's images: a table with a row for each, such as CelebA's attributes."""

from __future__ import annotations

from array import array
from collections.abc import Container, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np

from nca_cli.concepts.truth import CHANNELS, Labels, Truth, named, number_or_name
from nca_cli.csv_files import TextTable, read_table
from nca_cli.errors import UsageError
from nca_cli.images import SUFFIXES, image_name

IMAGE_COLUMNS = ("image", "image_id", "image_name", "image_number", "file_name", "filename", "file")
"""What the column that names the images may be called; of several, the first of these."""
WORDS = {"yes": 1.0, "true": 1.0, "no": 0.0, "false": 0.0, "": np.nan, "na": np.nan}
_NEEDED = "columns image (or image_id, file_name), and one for each concept"


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
    notes = (f"{table.path}: text, not numbers, so left out: {named(text)}.",) if text else ()
    return Truth(_LazyLabels(names, concepts, values), str(table.path), notes=notes)


def _image_column(table: TextTable) -> int:
    lower = [name.lower() for name in table.columns]
    if table.twice:
        raise UsageError(f"{table.path}: column {table.twice} comes twice", _NEEDED)
    at = next((lower.index(name) for name in IMAGE_COLUMNS if name in lower), None)
    if at is None or len(lower) < 2:
        what = "image" if at is None and len(lower) > 1 else "of a concept"
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
        raise UsageError(f"{where}: more cells than there are columns", _NEEDED)
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
