"""Panels on paper: a matplotlib figure with the legend below them, and a note under it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nca_cli.analysis import Curve, Point
from nca_cli.figures.curves import style
from nca_cli.figures.curves.drawn import PaperFigure
from nca_cli.figures.curves.panel import Panel, Trace, ends, every_point, named_levels, stage_areas
from nca_cli.figures.curves.style import PAGE, Page
from nca_cli.figures.curves.titles import axis_title
from nca_cli.outputs import Outputs

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


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

    @property
    def measures(self) -> list[str]:
        """A panel for each."""
        return [panel.measure for panel in self.panels]

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
            areas = "areas" if self.panels[0].areas else "bars"
            return f"{text}; {areas}: 95 % bootstrap intervals."
        return f"{text}; too few for intervals." if points else ""

    def drawn(self) -> Figure:
        return _figure(self)


def _figure(plot: Plot) -> Figure:
    """As a matplotlib figure of the page's size."""
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    page, count = plot.page, len(plot.panels)
    columns = min(count, max(1, round(page.width / 80)))
    rows = math.ceil(count / columns)
    width, em = page.width / style.MM_PER_INCH, page.font_size / style.POINTS_PER_INCH
    widest = max(map(len, plot.names)) * 0.5 + 4.5
    beside = max(1, min(len(plot.entries), int(width / em / widest)))
    legend = math.ceil(len(plot.entries) / beside) * 1.35 * em + 1.6 * em
    height = (page.height or 0) / style.MM_PER_INCH or rows * 0.74 * width / columns + legend
    share = legend / height
    engine = ConstrainedLayoutEngine(w_pad=0.03, h_pad=0.03, rect=(0, share, 1, 1 - share))
    made = Figure(figsize=(width, height), layout=engine)
    for number, panel in enumerate(plot.panels, 1):
        _draw_panel(made.add_subplot(rows, columns, number), panel, plot)
    if plot.title:
        made.suptitle(plot.title, fontweight=600, x=0.01, ha="left")
    _draw_legend(made, plot, beside)
    made.text(0.004, 0.3 * em / height, plot.caption, color=style.FAINT, va="bottom",
              fontsize=style.SMALL * page.font_size)  # fmt: skip
    return made


def _draw_legend(made: Figure, plot: Plot, columns: int) -> None:
    from matplotlib.lines import Line2D

    page = plot.page
    handles = [Line2D([], [], **style.line_style(entry.look, page)) for entry in plot.entries]
    made.legend(
        handles, plot.names, loc="lower left", ncols=columns,
        bbox_to_anchor=(0.0, 1.35 * page.font_size / style.POINTS_PER_INCH / made.get_figheight()),
        borderpad=0, borderaxespad=0.3, handlelength=2.6, columnspacing=1.6, labelspacing=0.3,
    )  # fmt: skip


def _draw_panel(axes: Axes, panel: Panel, plot: Plot) -> None:
    rules = {rule.index: rule.value for rule in panel.rules}
    for entry in panel.entries:
        if entry.index in rules:
            axes.axhline(rules[entry.index], color=style.GREY, linewidth=0.8,
                         linestyle=entry.look.dashes(style.DASHES))  # fmt: skip
        else:
            _draw_line(axes, panel, entry, plot)
    axes.set_xlim(panel.x.high, panel.x.low)
    axes.set_ylim(panel.y.low, panel.y.high + 0.07 * panel.y.width)  # room for names of stages
    _draw_stages(axes, panel, plot.page)
    axes.set_xlabel("log SNR")
    axes.set_ylabel(axis_title(panel.measure))
    axes.tick_params(top=False)
    _draw_levels(axes, panel, plot.entries)


def _draw_line(axes: Axes, panel: Panel, entry: Trace, plot: Plot) -> None:
    points = panel.line(entry)
    x, y = [p.log_snr for p in points], [p.mean for p in points]
    axes.plot(x, y, **style.line_style(entry.look, plot.page), zorder=3)
    sure = [p for p in points if ends(p)]
    if not sure or entry.reference:
        return
    at, low, high = zip(*((p.log_snr, p.low, p.high) for p in sure), strict=True)
    colour = style.colour(entry.look)
    if panel.areas:
        axes.fill_between(at, low, high, color=colour, alpha=0.16, linewidth=0, zorder=2)
        return
    series = plot.series  # whose bars stand beside their points, so that all are seen
    aside = -0.006 * panel.x.width * (series.index(entry) - (len(series) - 1) / 2)
    axes.vlines([x + aside for x in at], low, high, color=colour, linewidth=0.7, alpha=0.7,
                zorder=2)  # fmt: skip


def _draw_stages(axes: Axes, panel: Panel, page: Page) -> None:
    """P2's stages as shades, their names at the top where there is room."""
    for area in stage_areas(panel.x):
        axes.axvspan(area.left, area.right, color=style.SHADES[area.name], linewidth=0, zorder=0)
        if area.left - area.right > 0.16 * panel.x.width:
            middle = (area.left + area.right) / 2
            axes.text(middle, 0.985, area.name, color=style.FAINT, ha="center", va="top",
                      fontsize=style.SMALL * page.font_size,
                      transform=axes.get_xaxis_transform())  # fmt: skip


def _draw_levels(axes: Axes, panel: Panel, entries: Sequence[Trace]) -> None:
    """t at the top, where all models agree on it."""
    named = named_levels(every_point(entries), lambda log_snr: log_snr, 0.09 * panel.x.width)
    if not named:
        return
    above = axes.secondary_xaxis("top")
    above.set_xticks([at for _, at in named], [t for t, _ in named])
    above.set_xlabel("t", labelpad=2, color=style.FAINT, family=style.MATHS, style="italic")


def _counted(points: Iterable[Point]) -> str:
    """Images behind a mean: `8`, or `3 to 10`."""
    counts = sorted({point.images for point in points}) or [0]
    return f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
