"""A table in other forms: with crops enlarged below its rows, and as a sequence of levels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import cycle

import numpy as np

from nca_cli.figures.grid.request import Zoom
from nca_cli.figures.grid.table import WHOLE, Cell, Column, Frame, Group, Row, Table
from nca_cli.figures.type import text

COLOURS = ("#e69f00", "#56b4e9", "#009e73", "#cc79a7", "#d55e00", "#0072b2", "#f0e442")
"""Okabe and Ito's, told apart by the colour-blind: one for each zoom."""


def zoomed(table: Table, zooms: Sequence[Zoom]) -> Table:
    """The table with an enlarged row below each row for every zoom, and frames in x0."""
    if not zooms:
        return table
    coloured = list(zip(zooms, cycle(COLOURS)))
    groups = [
        replace(group, rows=[new for row in group.rows for new in _rows(row, coloured)])
        for group in table.groups
    ]
    return replace(table, groups=groups)


def _rows(row: Row, zooms: Sequence[tuple[Zoom, str]]) -> Iterator[Row]:
    """A row, then for each (zoom, colour) its crops, as high as the first of them."""
    yield replace(row, cells=[_framed(cell, zooms) for cell in row.cells])
    for number, (zoom, colour) in enumerate(zooms, 1):
        cells = [_crop(cell, zoom, colour) for cell in row.cells]
        name = "zoom" if len(zooms) == 1 else f"zoom {number}"
        shapes = (cell.pixels.shape for cell in cells if cell and cell.pixels is not None)
        height, width = next(shapes, (zoom.h, zoom.w))[:2]
        yield Row([text.words(name)], cells, min(4.0, height / width))


def _framed(cell: Cell | None, zooms: Sequence[tuple[Zoom, str]]) -> Cell | None:
    if cell is None or cell.kind != "x0" or cell.pixels is None:
        return cell
    height, width = cell.pixels.shape[:2]
    boxes = [(*zoom.box(height, width), colour) for zoom, colour in zooms]
    frames = [Frame(left / width, top / height, right / width, bottom / height, colour)
              for left, top, right, bottom, colour in boxes]  # fmt: skip
    return replace(cell, frames=tuple(frames))


def _crop(cell: Cell | None, zoom: Zoom, colour: str) -> Cell | None:
    if cell is None or cell.pixels is None:
        return cell
    left, top, right, bottom = zoom.box(*cell.pixels.shape[:2])
    pixels = np.ascontiguousarray(cell.pixels[top:bottom, left:right])
    return Cell(cell.kind, pixels, frames=(Frame(*WHOLE, colour),))


def frames(table: Table) -> list[Table]:
    """A table for each level, from low to high noise; the table itself where it has no levels."""
    levels = [index for index, column in enumerate(table.columns) if not column.fixed]
    return [frame(table, index) for index in levels] or [table]


def frame(table: Table, column: int) -> Table:
    """One level of a table: rows become columns, groups become rows, the level is the title."""
    fixed = [index for index, each in enumerate(table.columns) if each.fixed]
    names = {str(row.names): row.names for row in table.rows}
    columns = [Column([(name,) for name in parts], fixed=True) for parts in names.values()]
    rows = [_side_by_side(group.rows, column, names) for group in table.groups]
    above: list[Group] = []
    if any(_differ(group, index) for group in table.groups for index in fixed):
        for index in fixed:  # a row above all others, each cell under the name of its row
            own = [row for row in table.rows if row.cells[index]]
            name = table.columns[index].header[0][0]
            above.append(Group([name], [_side_by_side(own, index, names)]))
    else:
        columns = [*(Column(table.columns[index].header, fixed=True) for index in fixed), *columns]
        firsts = [[_first(group, index) for index in fixed] for group in table.groups]
        rows = [Row([], [*begin, *row.cells]) for begin, row in zip(firsts, rows, strict=True)]
    groups = [Group(group.names, [row]) for group, row in zip(table.groups, rows, strict=True)]
    title = text.join([line[0] for line in table.columns[column].header], "   ")
    return Table(
        columns, [*above, *groups], notes=table.notes, bars=table.bars, title=title,
        caption=table.caption,
    )  # fmt: skip


def _side_by_side(rows: Sequence[Row], column: int, names: Iterable[str]) -> Row:
    """The cells of a column as a row, each under the name of its own row."""
    cells = {str(row.names): row.cells[column] for row in reversed(rows)}
    return Row([], [cells.get(name) for name in names])


def _differ(group: Group, column: int) -> bool:
    """Whether each of several rows has a cell of its own there, as images under a model have."""
    return len(group.rows) > 1 and all(row.cells[column] for row in group.rows)


def _first(group: Group, column: int) -> Cell | None:
    return next((row.cells[column] for row in group.rows if row.cells[column]), None)
