"""What a layout consists of: pictures, texts, colour bars and rules in their places, in pixels."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from nca_cli.figures.grid import text
from nca_cli.figures.grid.table import Cell
from nca_cli.figures.grid.text import Label

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


class Picture(NamedTuple):
    """A cell in its place; `row` counts over all groups."""

    cell: Cell
    box: Box
    row: int
    column: int


class Text(NamedTuple):
    """A label on its baseline."""

    label: Label
    x: float
    y: float
    size: int
    ink: str
    box: Box


class Ramp(NamedTuple):
    """The colours of a colour bar, uint8 (N, 3), from left to right in a box."""

    colours: np.ndarray
    box: Box


@dataclass
class Layout:
    """A sheet of `size` (width, height) with pictures, texts, colour bars and rules."""

    size: tuple[int, int] = (0, 0)
    cell: int = 0
    em: int = 0
    pictures: list[Picture] = field(default_factory=list)
    texts: list[Text] = field(default_factory=list)
    ramps: list[Ramp] = field(default_factory=list)
    rules: list[Box] = field(default_factory=list)

    def box(self, row: int, column: int) -> Box:
        """Where the picture in a row (over all groups) and a column is. Raises `KeyError`."""
        for picture in self.pictures:
            if (picture.row, picture.column) == (row, column):
                return picture.box
        raise KeyError((row, column))

    def write(self, label: Label, x: float, y: float, size: int, ink: str = INK) -> None:
        """Add a text that begins at x on the baseline y."""
        if label:
            top, bottom = y - text.ASCENT * size, y + text.DESCENT * size
            box = Box(
                math.floor(x), round(top), math.ceil(x + text.width(label, size)), round(bottom)
            )
            self.texts.append(Text(label, x, y, size, ink, box))
