"""Panels on paper: a matplotlib figure with legends below them, and a caption under these."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from nca_cli.analysis import Curve, Point
from nca_cli.figures.curves import style
from nca_cli.figures.curves.drawn import Drawn, PaperFigure
from nca_cli.figures.curves.foot import Foot, Legend, wide
from nca_cli.figures.curves.panel import Panel, Trace, ends, every_point, named_levels, stage_areas
from nca_cli.figures.curves.sides import Sides, stages_stated
from nca_cli.figures.curves.style import PAGE, TALLEST, Page, balanced
from nca_cli.figures.curves.titles import axis_title, noise_axis, octave, octave_title
from nca_cli.outputs import Outputs

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

USUAL, NARROWEST = 80, 38
"""Millimetres of a panel: about, where it is chosen, and at least, where they are many."""
ASPECT = 0.74
"""Height of a panel over its width."""
BESIDE = 5.0
"""Width of the labels beside the axes of a panel, in em."""


@dataclass(frozen=True, eq=False)
class Plot(PaperFigure):
    """Curves in panels side by side, drawn when they are saved."""

    curves: tuple[Curve, ...]
    entries: tuple[Trace, ...]
    """Of all panels, in the order of the legend."""
    panels: tuple[Panel, ...]
    page: Page = PAGE
    title: str | None = None
    note: str = ""
    """Why not all curves may be compared, or nothing."""
    outputs: Outputs = Outputs()  # noqa: RUF009
    sides: Sides = field(default_factory=dict)
    """Of its models."""
    per_pixel: bool = False
    """Whether the axis is logSNR per pixel at 256 px."""

    @property
    def measures(self) -> list[str]:
        """A panel for each."""
        return [panel.measure for panel in self.panels]

    @property
    def summary(self) -> dict[str, object]:
        return {"measures": self.measures, "curves": len(self.curves)}

    @property
    def numbers(self) -> list[Drawn]:
        return [
            Drawn(entry.name, measure, p.t, p.log_snr, math.nan, p.mean, p.low, p.high, p.images)
            for entry in self.entries for measure in entry.curves for p in entry.points(measure)
        ]  # fmt: skip

    @property
    def series(self) -> list[Trace]:
        """What is no reference."""
        return [entry for entry in self.entries if not entry.reference]

    @property
    def names(self) -> list[str]:
        """For the legend; with the number of images where not all have as many."""
        counts = [_counted(p for curve in entry.curves.values() for p in curve.points)
                  for entry in self.entries]  # fmt: skip
        pairs = list(zip(self.entries, counts, strict=True))
        differ = len({count for entry, count in pairs if not entry.reference}) > 1
        return [entry.name + (f" (n = {count})" if differ else "") for entry, count in pairs]

    @property
    def caption(self) -> str:
        """What a point is the mean of, and what the intervals are, or why there are none."""
        points = every_point(self.series)
        images = _counted(points)
        text = "One image" if images == "1" else f"Means over {images} images"
        if any(math.isfinite(p.low) for p in points):
            text += f"; {'areas' if self.panels[0].areas else 'bars'}: 95 % bootstrap intervals"
        else:
            text = f"{text}; too few for intervals" if points else ""
        said = filter(None, (text, stages_stated(self.sides, self.per_pixel)))
        return "".join(f"{each}. " for each in said).strip()

    @cached_property
    def foot(self) -> Foot:
        """Legends and caption: of series, in ink where all panels are of bands, and of bands."""
        ink = style.INK if all(panel.bands for panel in self.panels) else None
        looks = [self.line_style(entry, ink) for entry in self.entries]
        legends = [Legend(list(zip(self.names, looks, strict=True)))]
        bands = list(dict.fromkeys(band for panel in self.panels for band in panel.bands))
        if bands:
            colours = {octave(band): self.band_colour(band) for band in sorted(bands, key=octave)}
            lines = [(octave_title(each), {"color": colour, "linewidth": 2.2})
                     for each, colour in colours.items()]  # fmt: skip
            legends.append(Legend(lines, "Cycles per side of the picture"))
        return Foot(self.page, legends, self.caption)

    def line_style(self, entry: Trace, colour: Any = None) -> dict[str, Any]:
        """How an entry is drawn, in a colour that is not its own."""
        look = style.line_style(entry.look, self.page)
        own = colour is None or entry.reference
        return look if own else look | {"color": colour, "markerfacecolor": colour}

    def band_colour(self, band: str) -> Any:
        """Dark for coarse bands, light for fine ones."""
        from matplotlib import colormaps

        finest = max(octave(each) for panel in self.panels for each in panel.bands)
        return colormaps[style.COLOUR_MAP](style.LIGHTEST * octave(band) / max(1, finest))

    @property
    def columns(self) -> int:
        """Of panels, as asked for; else so many that panels are readable and the page is not taller
        than `TALLEST`."""
        count, width = len(self.panels), self.page.width
        if self.page.columns:
            return min(count, self.page.columns)
        few = min(count, max(1, round(width / USUAL)))
        most = min(count, max(few, int(width // NARROWEST)))
        fitting = (n for n in range(few, most + 1) if self._height(n) <= TALLEST)
        return balanced(count, next(fitting, most))

    def _height(self, columns: int) -> float:
        """In millimetres, of panels in so many columns."""
        rows = math.ceil(len(self.panels) / columns)
        return rows * ASPECT * self.page.width / columns + self.foot.height * style.MM_PER_INCH

    @property
    def height(self) -> float:
        """In millimetres."""
        return self.page.height or min(TALLEST, self._height(self.columns))

    @property
    def panel_width(self) -> float:
        """Of the axes of a panel, about, in em."""
        return self.page.width / style.MM_PER_INCH / self.columns / self.foot.em - BESIDE

    @property
    def panel_height(self) -> float:
        """Of the axes of a panel, about, in em: what is above and below all, and between them."""
        whole = self.height / style.MM_PER_INCH - self.foot.height
        return max(4.0, (whole / self.foot.em - 7 - (2 if self.title else 0)) / self.rows - 1)

    @property
    def rows(self) -> int:
        """Of panels."""
        return math.ceil(len(self.panels) / self.columns)

    def drawn(self) -> Figure:
        from matplotlib.figure import Figure
        from matplotlib.layout_engine import ConstrainedLayoutEngine

        width, height = (side / style.MM_PER_INCH for side in (self.page.width, self.height))
        share = min(0.9, self.foot.height / height)
        engine = ConstrainedLayoutEngine(w_pad=0.03, h_pad=0.03, rect=(0, share, 1, 1 - share))
        made = Figure(figsize=(width, height), layout=engine)
        for number, panel in enumerate(self.panels):
            axes = made.add_subplot(self.rows, self.columns, number + 1)
            _draw_panel(axes, panel, self)
            if number < self.columns:
                _draw_levels(axes, panel, self)
            if number + self.columns < len(self.panels):  # another one stands below it
                axes.tick_params(labelbottom=False)
            else:
                narrow = self.panel_width < wide(noise_axis(True))
                axes.set_xlabel(noise_axis(self.per_pixel, narrow))
        if self.title:
            made.suptitle(self.title, fontweight=600, x=0.01, ha="left")
        self.foot.draw(made)
        return made


def _draw_panel(axes: Axes, panel: Panel, plot: Plot) -> None:
    for entry in panel.entries:
        levels = [rule.value for rule in panel.rules if rule.index == entry.index]
        for level in levels:
            axes.axhline(level, color=style.GREY, linewidth=0.8,
                         linestyle=entry.look.dashes(style.DASHES))  # fmt: skip
        for measure in () if levels else panel.measures:
            _draw_line(axes, panel, entry, measure, plot)
    axes.set_xlim(panel.x.high, panel.x.low)
    names = 1.5 * style.SMALL / plot.panel_height  # room for those of stages
    axes.set_ylim(panel.y.low, panel.y.high + panel.y.width * names / (1 - names))
    _draw_stages(axes, panel, plot)
    axes.set_ylabel(axis_title(panel.measure, plot.panel_height))
    axes.tick_params(top=False)


def _draw_line(axes: Axes, panel: Panel, entry: Trace, measure: str, plot: Plot) -> None:
    points = panel.line(entry, measure)
    look = plot.line_style(entry, plot.band_colour(measure) if panel.bands else None)
    axes.plot([p.log_snr for p in points], [p.mean for p in points], **look, zorder=3)
    sure = [p for p in points if ends(p)]
    if not sure or entry.reference:
        return
    at, low, high = zip(*((p.log_snr, p.low, p.high) for p in sure), strict=True)
    if panel.areas:
        axes.fill_between(at, low, high, color=look["color"], alpha=0.16, linewidth=0, zorder=2)
    else:
        axes.vlines(at, low, high, color=look["color"], linewidth=0.7, alpha=0.7, zorder=2)


def _draw_stages(axes: Axes, panel: Panel, plot: Plot) -> None:
    """P2's stages as shades, their names at the top where there is room."""
    for area in stage_areas(panel.x):
        axes.axvspan(area.left, area.right, color=style.SHADES[area.name], linewidth=0, zorder=0)
        room = (area.left - area.right) / panel.x.width * plot.panel_width
        if room > style.SMALL * wide(area.name) + 0.6:
            middle = (area.left + area.right) / 2
            axes.text(middle, 0.985, area.name, color=style.FAINT, ha="center", va="top",
                      fontsize=style.SMALL * plot.page.font_size,
                      transform=axes.get_xaxis_transform())  # fmt: skip


def _draw_levels(axes: Axes, panel: Panel, plot: Plot) -> None:
    """t at the top, where all models agree on it."""
    spacing = max(0.09, 2.2 / plot.panel_width) * panel.x.width
    named = named_levels(every_point(panel.entries), lambda log_snr: log_snr, spacing)
    if not named:
        return
    above = axes.secondary_xaxis("top")
    above.set_xticks([at for _, at in named], [t for t, _ in named])
    above.set_xlabel("t", labelpad=2, color=style.FAINT, family=style.MATHS, style="italic")


def _counted(points: Iterable[Point]) -> str:
    """Images behind a mean: `8`, or `3 to 10`."""
    counts = sorted({point.images for point in points}) or [0]
    return f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
