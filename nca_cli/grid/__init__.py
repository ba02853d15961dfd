"""Stored arrays as one labelled picture: noise levels in columns, images, models or seeds in rows.

Never computes and never loads torch: what is not stored stays blank.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nca_cli.errors import NcaError, NothingStored, UsageError
from nca_cli.grid import save
from nca_cli.grid.content import ROWS, SHOW, Content, check_request
from nca_cli.grid.layout import Layout, arrange
from nca_cli.grid.paint import paint
from nca_cli.grid.read import fill
from nca_cli.grid.table import Missing, Table, frame
from nca_cli.store import Filters, Store

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["ROWS", "SHOW", "Grid", "Layout", "Missing", "compose_grid"]

SMALLEST_CELL, LARGEST_CELL = 16, 2048
WIDEST, TALLEST = 8192, 16383
"""Pixels of a sheet at the cell size that is chosen for the reader; 16383 is WebP's limit."""


@dataclass(frozen=True, eq=False)
class Grid:
    """A figure: its content, where everything lies, and what could not be shown."""

    table: Table
    layout: Layout
    levels: list[int | float]
    missing: list[Missing]
    """Samples that blank cells stand for."""
    command: str | None
    """One line that computes what is missing; `None` when nothing is."""
    problems: list[NcaError]
    """Damaged artifacts, whose cells are blank."""

    def image(self) -> Image.Image:
        """The sheet, RGB."""
        return paint(self.layout)

    def frames(self) -> list[Image.Image]:
        """The sheet as a sequence, one picture for each level, from low to high noise."""
        levels = [index for index, column in enumerate(self.table.columns) if column.t is not None]
        sheets = [arrange(frame(self.table, index), self.layout.cell) for index in levels]
        return [paint(sheet) for sheet in sheets] or [self.image()]

    def save(self, path: str | Path) -> Path:
        """Write the figure in the format that the suffix names; a GIF is animated over levels.

        Replaces the file as a whole. Raises `UsageError` for a suffix that is not known.
        """
        path, suffix = Path(path), save.suffix_of(path)
        is_gif = suffix == save.GIF
        save.write(
            path, save.animation(self.frames()) if is_gif else save.still(self.image(), suffix)
        )
        return path

    def _repr_png_(self) -> bytes:
        return save.still(self.image(), ".png")


def compose_grid(
    store: Store,
    filters: Filters = Filters(),  # noqa: B008
    *,
    show: str | Iterable[str] = ("x0", "x_t", "x0_hat"),
    rows: str = "images",
    cell: int | None = None,
    title: str | None = None,
) -> Grid:
    """One figure from what is stored; blank cells where something is missing.

    `show`: of x0, floor (D(E(x0)) of a latent model), x_t, x0_hat and diff. diff is x̂0 - x0 per
    channel around mid-grey, the same scale in every figure: black is -1, white +1, beyond is
    clipped. `rows` groups by images, models or seeds. `cell` is the side of a picture in pixels;
    by default the largest resolution shown, at least 128 and at most 256, less on huge sheets.

    Raises `NothingStored`, with the command to run, where no sample fits; `UsageError`.
    """
    names = check_request(show, rows)
    if cell is not None and not SMALLEST_CELL <= cell <= LARGEST_CELL:
        raise UsageError(f"cells of {cell} pixels", f"from {SMALLEST_CELL} to {LARGEST_CELL}")
    try:
        content = Content(store, filters, names, rows)
    except NothingStored as nothing:
        from nca_cli.grid.command import suggestion

        raise NothingStored(nothing.what, f"fill it: {suggestion(store, filters)}") from nothing
    table = content.table(title)
    fill(content)
    layout = arrange(table, cell or _default_cell(table))
    blanks = content.blanks
    return Grid(table, layout, content.levels, [missing for _, missing in blanks],
                _command(content, blanks), content.problems)  # fmt: skip


def _command(content: Content, blanks: list) -> str | None:
    if not blanks:
        return None
    from nca_cli.grid.command import fill_command

    return fill_command(content, blanks)


def _default_cell(table: Table) -> int:
    """The largest resolution shown, small ones enlarged to 128, while the sheet stays handy."""
    sides = [max(cell.pixels.shape[:2]) for cell in table.cells if cell.pixels is not None]
    largest = max(sides, default=128)
    wanted = min(256, largest * -(-128 // largest))
    rows = sum(len(group.rows) for group in table.groups)
    handy = min(WIDEST // (len(table.columns) + 1), TALLEST // (rows + len(table.groups)) - 4)
    return max(32, min(wanted, handy))
