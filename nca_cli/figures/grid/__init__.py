"""Stored arrays as one labelled picture: noise levels in columns, images, models or seeds in rows.

Never computes and never loads torch: what is not stored stays blank.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from nca_cli import commands
from nca_cli.errors import NcaError, NothingStored, UsageError
from nca_cli.figures.grid import maps, save
from nca_cli.figures.grid.choices import COLUMNS, LAYOUTS, ROWS, SHOW, Choices, check_show
from nca_cli.figures.grid.content import Content
from nca_cli.figures.grid.gaps import gap
from nca_cli.figures.grid.layout import arrange, arrange_within
from nca_cli.figures.grid.paint import paint
from nca_cli.figures.grid.placed import Layout
from nca_cli.figures.grid.read import fill
from nca_cli.figures.grid.rows import tabulate
from nca_cli.figures.grid.sheet import Sheet
from nca_cli.figures.grid.table import Missing, Table, frame
from nca_cli.figures.grid.zoom import Zoom, zoomed
from nca_cli.figures.type.fonts import checked, lacking
from nca_cli.outputs import write_result
from nca_cli.store import Filters, Store

if TYPE_CHECKING:
    from PIL import Image

__all__ = [
    "COLUMNS",
    "LAYOUTS",
    "ROWS",
    "SHOW",
    "Grid",
    "Layout",
    "Missing",
    "Sheet",
    "Zoom",
    "compose_grid",
]


@dataclass(frozen=True, eq=False)
class Grid:
    """A figure: its content, where everything lies, and what could not be shown."""

    table: Table
    levels: list[int | float]
    """Of the columns: t, or logSNR where they are by SNR."""
    distance: float
    """How far, at most, the logSNR of what stands in a column by SNR lies from the column's."""
    missing: list[Missing]
    """Samples that blank cells stand for."""
    command: str | None
    """One line that computes what is missing; `None` when nothing is."""
    problems: list[NcaError]
    """Damaged artifacts, whose cells are blank."""
    sheet: Sheet
    zooms: tuple[Zoom, ...]
    unwritten: str = ""
    """Characters of its words that no font here has, and marks over letters."""

    @cached_property
    def layout(self) -> Layout:
        """Where everything lies. Raises `UsageError` where the sheet is too narrow."""
        return self._arranged(self.table)

    def checked(self) -> Grid:
        """This figure. Raises `UsageError` where its sheet is too narrow for it."""
        _ = self.layout
        return self

    def _arranged(self, table: Table) -> Layout:
        table, em, width = zoomed(table, self.zooms), self.sheet.em, self.sheet.pixels
        if width is not None:
            return arrange_within(table, width, em or self.sheet.usual_em)
        return arrange(table, self.sheet.cell_of(table), em)

    def image(self) -> Image.Image:
        """The sheet, RGB."""
        return paint(self.layout)

    def frames(self) -> list[Image.Image]:
        """The sheet as a sequence, one picture for each level, from low to high noise."""
        levels = [index for index, column in enumerate(self.table.columns) if not column.fixed]
        sheets = [self._arranged(frame(self.table, index)) for index in levels]
        return [paint(sheet) for sheet in sheets] or [self.image()]

    def save(self, path: str | Path, *, sweep: bool = False) -> Path:
        """Write the figure in the format that the suffix names; replaces the file as a whole.

        PDF and SVG hold text as text. A GIF is always animated over the levels, a WebP with
        `sweep`. Raises `UsageError` for a suffix that is not known, or that cannot be animated.
        """
        path, suffix = Path(path), save.suffix_of(path)
        if sweep and suffix not in save.ANIMATED:
            raise UsageError(f"{path}: a sweep is a moving picture", "give -o sweep.webp or .gif")
        write_result(path, self._content(suffix, sweep or suffix == ".gif"))
        return path

    def _content(self, suffix: str, animated: bool) -> bytes:
        if animated:
            return save.animation(self.frames(), suffix)
        if suffix in save.VECTOR:
            from nca_cli.figures.grid import vector

            write = vector.pdf if suffix == ".pdf" else vector.svg
            return write(self.layout, self.sheet.millimetres(self.layout.size[0]), self._name)
        return save.still(self.image(), suffix, self.sheet.stated_dpi(self.layout.size[0]))

    @property
    def _name(self) -> str:
        """What readers of a PDF or SVG are told that it is."""
        words = "".join(run.text for run in self.table.title or self.table.caption)
        return words or "Reconstructions over noise levels"

    def _repr_png_(self) -> bytes:
        return save.still(self.image(), ".png")


def compose_grid(
    store: Store,
    filters: Filters = Filters(),  # noqa: B008
    *,
    show: str | Iterable[str] | None = None,
    rows: str = "images",
    columns: str = "t",
    log_snr: Iterable[float] = (),
    layout: str = "strips",
    zoom: Iterable[str] = (),
    scale: float | None = None,
    cell: int | None = None,
    width: float | None = None,
    dpi: float = 300,
    font_size: float | None = None,
    title: str | None = None,
    caption: str | None = None,
    fonts: Iterable[str | Path] = (),
) -> Grid:
    """One figure from what is stored; blank cells where something is missing.

    `layout`: `strips` (x0, x_t as a strip, x̂0 as strips below) or `p2` (the input, and beside it
    x̂0 from low to high SNR). `show` instead of what the layout shows: of x0, floor (D(E(x0)) of a
    latent model), x_t, x0_hat, diff and error. diff is x̂0 - x0 per channel around mid-grey, from
    -1 to 1, or from -`scale` to `scale`. error is the root mean square of x̂0 - x0 over channels
    as a colour map, from 0 to what 99.5 % of its pixels stay below, or to `scale`. `rows` groups
    by images, models or seeds; `columns` are levels (`t`), levels of several models whose logSNR
    agrees to 0.1 (`snr`), or seeds. `log_snr` asks for levels by their logSNR: of each model what
    is stored within 0.1 of it, else its nearest level. `zoom`: crops `x,y,w,h`, enlarged below
    each row.

    `cell` is the side of a picture in pixels; by default the largest resolution shown, at least
    128 and at most 256, less on huge sheets. `width` in millimetres fits the whole sheet instead,
    at `dpi` pixels per inch with type of `font_size` points (7 if not given). `fonts`: files that
    lend characters to names where the shipped fonts have none.

    Raises `NothingStored`, with the command to run, where no sample fits; `UsageError`.
    """
    names = check_show(LAYOUTS.get(layout, SHOW) if show is None else show)
    chosen = Choices(names, rows, columns, layout, tuple(log_snr), checked(fonts))
    zooms = tuple(map(Zoom.parse, zoom))
    sheet = Sheet(cell, width, dpi, font_size)
    if scale is not None and not scale > 0:
        raise UsageError(f"a range of {scale:g}", "a number above 0, such as 0.5")
    content = _content(store, filters, chosen)
    table = tabulate(content, title, caption)
    fill(content, scale or 1.0)
    maps.colour(table, scale)
    blanks = content.blanks
    command = _command(content, blanks)
    if not content.drawn and not content.problems:
        raise NothingStored(f"{store.root} holds nothing that fits", f"fill it: {command}")
    missing = [each for _, each in blanks]
    said = "".join([*content.names, title or "", caption or ""])
    grid = Grid(table, content.levels, content.distance, missing, command, content.problems,
                sheet, zooms, lacking(said, chosen.fonts))  # fmt: skip
    return grid.checked()


def _content(store: Store, filters: Filters, chosen: Choices) -> Content:
    try:
        content = Content(store, filters, chosen)
    except NothingStored as nothing:
        hint = nothing.hint or f"fill it: {commands.suggestion(store, filters, chosen.log_snr)}"
        raise NothingStored(nothing.what, hint, nothing.store) from nothing
    commands.check_models(store, filters)
    return content


def _command(content: Content, blanks: list) -> str | None:
    gaps = [gap(content, strip, missing) for strip, missing in blanks]
    return commands.fill(content.store, gaps) or None
