"""What a sheet consists of: pictures, texts, colour bars and rules in their places, in pixels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from nca_cli.figures.grid.table import Cell
from nca_cli.figures.type import text
from nca_cli.figures.type.text import Label

INK, FAINT, RULE = "#1f1f1f", "#666666", "#9a9a9a"


class Box(NamedTuple):
    """A rectangle; right and bottom are outside."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        return self.right - self.left, self.bottom - self.top

    @property
    def drawn(self) -> tuple[int, int, int, int]:
        """As Pillow draws it: right and bottom are inside."""
        return self.left, self.top, self.right - 1, self.bottom - 1


class Placed(NamedTuple):
    """A cell in its place; `row` counts over all groups."""

    cell: Cell
    box: Box
    row: int
    column: int


class Text(NamedTuple):
    """A label that begins at x on the baseline y."""

    label: Label
    x: float
    y: float
    size: int
    ink: str = INK

    @property
    def box(self) -> Box:
        """What it covers."""
        top, bottom = self.y - text.ASCENT * self.size, self.y + text.DESCENT * self.size
        right = self.x + text.width(self.label, self.size)
        return Box(math.floor(self.x), round(top), math.ceil(right), round(bottom))


class Ramp(NamedTuple):
    """The colours of a colour bar, uint8 (N, 3), from left to right in a box."""

    colours: np.ndarray
    box: Box


@dataclass(frozen=True)
class Tier:
    """A part of a sheet, as wide as the sheet, that ends at `bottom`."""

    bottom: float
    texts: Sequence[Text] = ()
    pictures: Sequence[Placed] = ()
    ramps: Sequence[Ramp] = ()
    rules: Sequence[Box] = ()


@dataclass(frozen=True)
class Sheet:
    """A sheet of `size` (width, height) with pictures, texts, colour bars and rules."""

    size: tuple[int, int]
    cell: int
    em: int
    pictures: tuple[Placed, ...]
    texts: tuple[Text, ...]
    ramps: tuple[Ramp, ...]
    rules: tuple[Box, ...]
    pixelated: bool = False
    """Whether pictures are enlarged without smoothing."""

    @property
    def blanks(self) -> list[Box]:
        """Where pictures are missing."""
        return [picture.box for picture in self.pictures if picture.cell.pixels is None]

    def box(self, row: int, column: int) -> Box:
        """Where the picture in a row (over all groups) and a column is. Raises `KeyError`."""
        for picture in self.pictures:
            if (picture.row, picture.column) == (row, column):
                return picture.box
        raise KeyError((row, column))
