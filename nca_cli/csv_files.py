"""Tables in common formats: CSV with commas, semicolons or tabs, or columns between spaces."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path

from nca_cli.errors import UsageError

IMAGE_COLUMNS = ("image", "image_id", "image_name", "image_number", "file_name", "filename", "file")
"""What the column that names the images may be called; of several, the first of these."""
Line = tuple[int, list[str]]
"""Its number in the file, and its cells."""


@dataclass
class TextTable:
    """A header, and rows that are read once, as they come."""

    path: Path
    columns: list[str]
    rows: Iterator[tuple[str, list[str]]] = field(repr=False)
    """Where a row is (`file.csv:3`), and its cells without surrounding spaces, one per column at
    least."""

    @property
    def twice(self) -> str | None:
        """The first column, in small letters, that comes twice."""
        lower = self.lower
        return next((name for name in lower if name and lower.count(name) > 1), None)

    @property
    def image(self) -> int | None:
        """The column that names the images."""
        lower = self.lower
        return next((lower.index(name) for name in IMAGE_COLUMNS if name in lower), None)

    @property
    def lower(self) -> list[str]:
        """The columns in small letters."""
        return [name.lower() for name in self.columns]


def number_or_name(name: str) -> str:
    """`00012` → `12`: spreadsheets and some tables leave leading zeros out."""
    return name.lstrip("0") or "0" if name.isdecimal() else name


def read_table(path: str | Path) -> TextTable:
    """The table in a text file. Empty lines are passed over, cells that are left out are empty.

    In a table without commas, semicolons and tabs, spaces part the cells; there, a number of rows
    may come first and the first column need not be named, as in the files of CelebA. Raises
    `UsageError` for what is no text or, while rows are read, no CSV.
    """
    path = Path(path)
    text = _text(path)
    delimiter = _delimiter(text)
    lines = _csv(path, text, delimiter) if delimiter else _spaced(text)
    columns = [name.strip() for name in next(lines, (0, []))[1]]
    first = list(islice(lines, 1))
    if not delimiter and first and len(first[0][1]) == len(columns) + 1:
        columns.insert(0, "image")
    return TextTable(path, columns, _rows(path, len(columns), chain(first, lines)))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror or error}", "give a CSV file") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: not UTF-8 text", "save it as CSV in UTF-8") from error


def _delimiter(text: str) -> str | None:
    """Spreadsheets write semicolons or tabs as well; the first line tells."""
    header = text.lstrip("\r\n").partition("\n")[0]
    best = max(",;\t", key=header.count)
    return best if best in header else None


def _csv(path: Path, text: str, delimiter: str) -> Iterator[Line]:
    file = io.StringIO(text, newline="")
    reader = csv.reader(file, delimiter=delimiter, skipinitialspace=True)
    try:
        for cells in reader:
            if any(cells):
                yield reader.line_num, cells
    except csv.Error as error:
        raise UsageError(f"{path}:{reader.line_num}: {error}", "give a CSV file") from error


def _spaced(text: str) -> Iterator[Line]:
    for number, line in enumerate(io.StringIO(text), start=1):
        cells = line.split()
        if cells and not (number == 1 and len(cells) == 1 and cells[0].isdecimal()):
            yield number, cells


def _rows(path: Path, width: int, lines: Iterable[Line]) -> Iterator[tuple[str, list[str]]]:
    for number, cells in lines:
        cells = [cell.strip() for cell in cells] + [""] * (width - len(cells))
        yield f"{path}:{number}", cells


def as_csv(columns: Iterable[str], rows: Iterable[tuple]) -> str:
    """A table as CSV with commas. Floats in full, so that they read back as the same numbers; NaN
    is an empty cell."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([_cell(cell) for cell in row] for row in rows)
    return file.getvalue()


def _cell(cell: str | float) -> str:
    return "" if cell != cell else str(cell)
