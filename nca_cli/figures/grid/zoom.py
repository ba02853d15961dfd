"""Crops: below each row the same rows enlarged, and a frame in x0 that says where they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from nca_cli.figures.grid.request import Zoom
from nca_cli.figures.grid.table import WHOLE, Cell, Frame, Row, Table
from nca_cli.figures.type import text

COLOURS = ("#e69f00", "#56b4e9", "#009e73", "#cc79a7", "#d55e00", "#0072b2", "#f0e442")
"""Okabe and Ito's, told apart by the colour-blind: one for each zoom."""


def zoomed(table: Table, zooms: Sequence[Zoom]) -> Table:
    """The table with an enlarged row below each row for every zoom, and frames in x0."""
    if not zooms:
        return table
    groups = [
        replace(group, rows=[new for row in group.rows for new in _rows(row, zooms)])
        for group in table.groups
    ]
    return replace(table, groups=groups)


def _rows(row: Row, zooms: Sequence[Zoom]) -> list[Row]:
    framed = [_framed(cell, zooms) if cell and cell.kind == "x0" else cell for cell in row.cells]
    rows = [replace(row, cells=framed)]
    for number, zoom in enumerate(zooms, 1):
        cells = [_crop(cell, zoom, COLOURS[(number - 1) % len(COLOURS)]) for cell in row.cells]
        name = "zoom" if len(zooms) == 1 else f"zoom {number}"
        rows.append(Row([text.words(name)], cells, _aspect(cells, zoom)))
    return rows


def _framed(cell: Cell, zooms: Sequence[Zoom]) -> Cell:
    if cell.pixels is None:
        return cell
    height, width = cell.pixels.shape[:2]
    frames = []
    for number, zoom in enumerate(zooms):
        left, top, right, bottom = zoom.box(height, width)
        ends = (left / width, top / height, right / width, bottom / height)
        frames.append(Frame(*ends, COLOURS[number % len(COLOURS)]))
    return replace(cell, frames=tuple(frames))


def _crop(cell: Cell | None, zoom: Zoom, colour: str) -> Cell | None:
    if cell is None:
        return None
    frames = (Frame(*WHOLE, colour),)
    if cell.pixels is None:
        return Cell(cell.kind)
    left, top, right, bottom = zoom.box(*cell.pixels.shape[:2])
    return Cell(cell.kind, np.ascontiguousarray(cell.pixels[top:bottom, left:right]), None, frames)


def _aspect(cells: Sequence[Cell | None], zoom: Zoom) -> float:
    """Height of the row by its width: of its first crop; of the zoom itself where all is blank."""
    shapes = (cell.pixels.shape for cell in cells if cell and cell.pixels is not None)
    height, width = next(((shape[0], shape[1]) for shape in shapes), (zoom.h, zoom.w))
    return min(4.0, height / width)
