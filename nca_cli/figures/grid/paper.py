"""How large a figure is: by its cells in pixels, or by its width on paper."""

from __future__ import annotations

import math
from dataclasses import dataclass

from nca_cli.errors import UsageError

SMALLEST_CELL, LARGEST_CELL = 16, 2048
WIDEST, TALLEST = 8192, 16383
"""Pixels of a sheet at the cell size that is chosen for the reader; 16383 is WebP's limit."""
MM_PER_INCH, POINTS_PER_INCH = 25.4, 72.0
USUAL_POINTS = 7.0
"""Type on a sheet of a given width, as journals want it in figures."""


@dataclass(frozen=True)
class Paper:
    """Either cells of `cell` pixels, or a sheet of `width` mm; `dpi` joins the two."""

    cell: int | None = None
    width: float | None = None
    dpi: float = 300
    font_size: float | None = None
    """Points; by default it grows with the cells, and is 7 on a sheet of a given width."""

    def __post_init__(self) -> None:
        if self.cell is not None and self.width is not None:
            raise UsageError("--cell and --width", "either the cells are given or the sheet is")
        _check("cells", self.cell, SMALLEST_CELL, LARGEST_CELL, "pixels")
        _check("a width", self.width, 10, 2000, "mm")
        _check("a resolution", self.dpi, 36, 2400, "dpi")
        _check("type", self.font_size, 3, 72, "points")
        if (self.pixels or 0) > TALLEST:
            raise UsageError(f"a sheet {self.pixels} pixels wide", "a lower --dpi or --width")

    @property
    def pixels(self) -> int | None:
        """Width of the sheet, where it is given."""
        return None if self.width is None else round(self.width / MM_PER_INCH * self.dpi)

    @property
    def em(self) -> int | None:
        """Pixels of type, where it is given."""
        return None if self.font_size is None else self._em(self.font_size)

    @property
    def usual_em(self) -> int:
        """Pixels of type on a sheet of a given width."""
        return self._em(USUAL_POINTS)

    def _em(self, points: float) -> int:
        return max(4, round(points / POINTS_PER_INCH * self.dpi))

    def millimetres(self, pixels: int) -> float:
        """Width on paper of a sheet `pixels` wide."""
        return pixels / self.dpi * MM_PER_INCH if self.width is None else self.width

    def stated_dpi(self, pixels: int) -> float:
        """What a PNG says of itself, so that it is as wide on paper as it should be."""
        return pixels / self.millimetres(pixels) * MM_PER_INCH


def _check(what: str, value: float | None, low: float, high: float, unit: str) -> None:
    if value is not None and not (low <= value <= high and math.isfinite(value)):
        raise UsageError(f"{what} of {value:g} {unit}", f"from {low:g} to {high:g}")
