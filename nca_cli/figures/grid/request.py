"""Everything that may be chosen of a figure, checked."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from nca_cli.errors import UsageError, one_of
from nca_cli.figures.grid.layouts import AXES, COLUMNS, FIXED, LAYOUTS, ROWS, SHOW, Axis, Layout
from nca_cli.figures.type.fonts import Fonts, checked
from nca_cli.recipe import LARGEST
from nca_cli.store import Filters

MOST_PIXELS = 16383
"""Of a side: WebP's limit."""
MM_PER_INCH, POINTS_PER_INCH = 25.4, 72.0
USUAL_DPI = 300.0
USUAL_POINTS = 7.0
"""Type on a sheet of a given width, as journals want it in figures."""


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
            x = y = w = h = math.nan
        largest = 1 + 1e-9 if "." in words else LARGEST
        if not (min(x, y) >= 0 and min(w, h) > 0 and max(x + w, y + h) <= largest):
            raise UsageError(
                f"--zoom {words!r} is not x,y,w,h inside the picture",
                "pixels: 24,16,32,32, or fractions of its sides: 0.4,0.25,0.5,0.5",
            )
        return cls(x, y, w, h, fractions="." in words)

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


@dataclass(frozen=True)
class GridRequest:
    """What a figure shows and how. Raises `UsageError` for what is unknown or does not go."""

    filters: Filters = Filters()  # noqa: RUF009 (a frozen value)
    """Which samples; a filter that is empty means everything stored."""
    show: str | Iterable[str] | None = None
    """Instead of what the layout shows: of x0, floor (D(E(x0)) of a latent model), x_t, x0_hat,
    diff (x̂0 - x0 per channel around mid-grey) and error (root mean square of x̂0 - x0 over
    channels, as a colour map)."""
    rows: str = "images"
    """Groups of rows: images, models or seeds; training steps (`step`) or levels (`t`, `snr`)."""
    columns: str = "t"
    """Levels (`t`), levels of several models whose logSNR agrees to 0.1 (`snr`), seeds, or training
    steps (`step`); with `filters.latest` at most `SHOWN_STEPS` of these, evenly in log step."""
    log_snr: Iterable[float] = ()
    """Levels by their logSNR: of each model what is stored within 0.1, else its nearest level."""
    layout: str = "strips"
    """`strips` (x0, x_t as a strip, x̂0 as strips below), or `p2` (the input, and beside it x̂0 from
    low to high SNR)."""
    zoom: Iterable[str] = ()
    """Crops `x,y,w,h`, enlarged below each row: pixels, or fractions of the sides."""
    scale: float | None = None
    """diff runs from -`scale` to `scale` (1 if not given), error from 0 to `scale` (if not given,
    to what 99.5 % of its pixels stay below)."""
    cell: int | None = None
    """Side of a picture in pixels; by default the largest resolution shown, at least 128 and at
    most 256, less on huge sheets."""
    width: float | None = None
    """Of the whole sheet, in mm, instead of `cell`."""
    dpi: float | None = None
    """Pixels per inch of the sheet, 300 if not given; where it is, PDF and SVG too reduce pictures
    that have more."""
    pixelated: bool = False
    """Whether pictures are enlarged pixel by pixel, without smoothing, as x_t always is."""
    font_size: float | None = None
    """Of type, in points; 7 on a sheet of a given width, else it grows with the cells."""
    title: str | None = None
    caption: str | None = None
    fonts: Iterable[str | Path] = ()
    """Files that lend characters to names where the shipped fonts have none."""

    def __post_init__(self) -> None:
        for name in ("log_snr", "zoom"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        for what, known in (("rows", ROWS), ("columns", COLUMNS), ("layout", tuple(LAYOUTS))):
            if (given := getattr(self, what)) not in known:
                raise UsageError(f"--{what} {given!r} is unknown", f"one of: {', '.join(known)}")
        if self.row_axis.property == self.column_axis.property:
            raise UsageError(
                f"--rows {self.rows} and --columns {self.columns} are the same",
                "change one of them",
            )
        _ = self.shown, self.lenders, self.zooms
        self._check_steps()
        self._check_size()
        if self.scale is not None and not self.scale > 0:
            raise UsageError(f"--range {self.scale:g} is not above 0", "use a number such as 0.5")

    def _check_steps(self) -> None:
        if self.by_step and not {*self.kinds} - {"x_t"}:
            raise UsageError(
                f"--show {','.join(self.shown)} looks the same at every training step",
                "add x0_hat, diff or error",
            )

    def _check_size(self) -> None:
        if self.cell is not None and self.width is not None:
            raise UsageError("--cell and --width exclude each other", "use one of them")
        for what, value, low, high, unit in (
            ("--cell", self.cell, 16, 2048, "pixels"),
            ("--width", self.width, 10, 2000, "mm"),
            ("--dpi", self.dpi, 36, 2400, "dpi"),
            ("--font-size", self.font_size, 3, 72, "points"),
        ):
            if value is not None and not (low <= value <= high and math.isfinite(value)):
                raise UsageError(f"{what} {value:g} is out of range", f"{low:g} to {high:g} {unit}")
        if (self.pixels or 0) > MOST_PIXELS:
            raise UsageError(
                f"a sheet of {self.pixels} pixels is too wide", "lower --dpi or --width"
            )

    @cached_property
    def shown(self) -> tuple[str, ...]:
        """What is shown, each once."""
        given = self.arrangement.show if self.show is None else self.show
        items = [given] if isinstance(given, str) else given
        parts = (part.strip() for item in items for part in item.split(","))
        names = tuple(dict.fromkeys(part for part in parts if part))
        for name in names:
            if name not in SHOW:
                raise UsageError(f"--show {name!r} is unknown", one_of(name, SHOW))
        if not names:
            raise UsageError("--show is empty", f"one or more of: {', '.join(SHOW)}")
        return names

    @property
    def kinds(self) -> list[str]:
        """What is shown at each level."""
        return [kind for kind in self.shown if kind not in FIXED]

    @property
    def wanted(self) -> Filters:
        """What is taken from the store: every step where these are rows or columns."""
        return replace(self.filters, latest=self.filters.latest and not self.by_step)

    @property
    def arrangement(self) -> Layout:
        """The layout that `layout` names."""
        return LAYOUTS[self.layout]

    @property
    def row_axis(self) -> Axis:
        """What rows run over."""
        return AXES[self.arrangement.rows or self.rows]

    @property
    def column_axis(self) -> Axis:
        """What columns run over."""
        return AXES[self.arrangement.columns or self.columns]

    @property
    def by_snr(self) -> bool:
        """Whether levels are told apart by their SNR, whatever t they are of a model."""
        return self._runs_over("snr") or bool(self.log_snr)

    @property
    def by_step(self) -> bool:
        """Whether steps of trainings are rows or columns."""
        return self._runs_over("step")

    def _runs_over(self, axis: str) -> bool:
        """Whether rows or columns do."""
        return any(each is AXES[axis] for each in (self.row_axis, self.column_axis))

    @cached_property
    def zooms(self) -> tuple[Zoom, ...]:
        """The crops."""
        return tuple(map(Zoom.parse, self.zoom))

    @property
    def pixels(self) -> int | None:
        """Width of the sheet, where it is given."""
        return None if self.width is None else round(self.width / MM_PER_INCH * self.per_inch)

    @property
    def per_inch(self) -> float:
        """Pixels of the sheet."""
        return self.dpi or USUAL_DPI

    @property
    def em(self) -> int | None:
        """Pixels of type, where it is given or the width is."""
        points = self.font_size or (None if self.width is None else USUAL_POINTS)
        return None if points is None else max(4, round(points / POINTS_PER_INCH * self.per_inch))

    def millimetres(self, pixels: int) -> float:
        """Width on paper of a sheet `pixels` wide."""
        return pixels / self.per_inch * MM_PER_INCH if self.width is None else self.width

    @cached_property
    def lenders(self) -> Fonts:
        """Files of fonts that can be drawn with."""
        return checked(self.fonts)
