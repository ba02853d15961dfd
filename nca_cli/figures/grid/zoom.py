"""Crops: below each row the same rows enlarged, and a frame in x0 that says where they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from nca_cli.errors import UsageError
from nca_cli.figures.grid import text
from nca_cli.figures.grid.table import WHOLE, Cell, Frame, Group, Row, Table

COLOURS = ("#e69f00", "#56b4e9", "#009e73", "#cc79a7", "#d55e00", "#0072b2", "#f0e442")
"""Okabe and Ito's, told apart by the colour-blind: one for each zoom."""


@dataclass(frozen=True)
class Zoom:
    """A rectangle of every picture: in its pixels, or in fractions of its sides."""

    x: float
    y: float
    w: float
    h: float
    fractions: bool = False

    @classmethod
    def parse(cls, words: str) -> Zoom:
        """`x,y,w,h`: whole numbers are pixels, numbers with a point fractions of the sides."""
        try:
            x, y, w, h = (float(part) for part in words.split(","))
        except ValueError:
            raise _wrong(words) from None
        zoom = cls(x, y, w, h, fractions="." in words)
        if not (min(x, y) >= 0 and min(w, h) > 0 and zoom._inside(1, 1)):
            raise _wrong(words)
        return zoom

    def _inside(self, width: int, height: int) -> bool:
        ends = (self.x + self.w, self.y + self.h)
        return not self.fractions or max(ends) <= 1 + 1e-9

    def box(self, height: int, width: int) -> tuple[int, int, int, int]:
        """Left, top, right, bottom in the pixels of a picture. Raises `UsageError`."""
        across, down = (width, height) if self.fractions else (1, 1)
        left, top = round(self.x * across), round(self.y * down)
        right = max(left + 1, round((self.x + self.w) * across))
        bottom = max(top + 1, round((self.y + self.h) * down))
        if right > width or bottom > height:
            raise UsageError(
                f"--zoom {self} reaches beyond a picture of {width}×{height} pixels",
                "pictures of several sizes: fractions, such as 0.4,0.4,0.25,0.25",
            )
        return left, top, right, bottom

    def __str__(self) -> str:
        return ",".join(f"{value:g}" for value in (self.x, self.y, self.w, self.h))


def _wrong(words: str) -> UsageError:
    return UsageError(
        f"--zoom {words!r} is not x,y,w,h inside the picture",
        "pixels: 24,16,32,32, or fractions of its sides: 0.4,0.25,0.5,0.5",
    )


def zoomed(table: Table, zooms: Sequence[Zoom]) -> Table:
    """The table with an enlarged row below each row for every zoom, and frames in x0."""
    if not zooms:
        return table
    groups = [
        Group(group.names, [new for row in group.rows for new in _rows(row, zooms)])
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
