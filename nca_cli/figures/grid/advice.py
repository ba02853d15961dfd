"""What helps where a figure is larger than a page, or than programs take a picture."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from nca_cli.errors import UsageError
from nca_cli.figures.grid.request import GridRequest
from nca_cli.figures.grid.sheet import lay_out
from nca_cli.figures.grid.table import Table

A4 = 297
"""Millimetres of its height."""
HANDY = 8000
"""Pixels of a side; much larger pictures are refused by some browsers and office programs."""
FEWER = "take fewer rows (--image, --sampler, --seed)"
Size = tuple[int, int]
"""Width and height of a sheet, in pixels."""


def taller_than_a_page(table: Table, request: GridRequest, size: Size) -> str:
    """How tall a sheet is on paper, and what helps; nothing where it fits."""
    width = request.millimetres(size[0])
    height = width * size[1] / size[0]
    if height <= A4:
        return ""

    def fits(width: int) -> bool:
        across, down = lay_out(table, replace(request, cell=None, width=width)).size
        return down * width <= A4 * across

    return f"{height:.0f} mm tall, more than A4 ({A4} mm): {_way('width', fits, int(width))}"


def too_many_pixels(table: Table, request: GridRequest, size: Size, cell: int) -> str:
    """How many pixels a picture has whose cells have `cell`, and what helps; nothing where it is
    handy."""
    if max(size) <= HANDY:
        return ""
    name, now = ("dpi", int(request.per_inch)) if request.width else ("cell", cell)

    def fits(value: int) -> bool:
        other = replace(request, dpi=value) if request.width else replace(request, cell=value)
        return max(lay_out(table, other).size) <= HANDY

    said = f"{size[0]:,} × {size[1]:,} pixels, more than many programs open ({HANDY:,})"
    return f"{said}: {_way(name, fits, now)}"


def _way(name: str, fits: Callable[[int], bool], high: int) -> str:
    """What helps: the largest value of an option below `high` that fits, or fewer rows.

    Below some value a sheet has no room for its names, and is refused.
    """
    low = 1
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if _fits(fits, middle, refused=True) else (low, middle - 1)
    return f"--{name} {low} fits, or {FEWER}" if _fits(fits, low, refused=False) else FEWER


def _fits(fits: Callable[[int], bool], value: int, *, refused: bool) -> bool:
    try:
        return fits(value)
    except UsageError:
        return refused
