"""Maps and learning curves of a training on the axes of matplotlib."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from nca_cli.figures.curves import style
from nca_cli.figures.curves.panel import AxisRange, spaced, stage_areas
from nca_cli.figures.curves.style import Page
from nca_cli.figures.curves.training import EmergenceMap, LearningPanel, LevelLine
from nca_cli.figures.type.text import count
from nca_cli.recipe import Number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

STRIP = 0.09
"""Height of the strip above a map that holds the names of the stages, as a share of the map."""
MOST_CELLS = 4000
"""Cells of a map that PDF and SVG still draw one by one."""
LIGHTEST = 0.88
"""Of the colour map, for lines on white."""
ISO_STYLES = {0.25: ("white", 0.7), 0.5: ("white", 1.3), 0.75: ("black", 0.7)}
"""Colour and width of a map's lines, by share."""
BLANK = "#d5d5da"
"""Of a map, where there is nothing to learn."""
TICK_UNITS = (1, 2, 5)
"""Of each power of ten, along an axis of steps."""

Levels = Sequence[tuple[Number | None, float]]
"""t and logSNR, from clean to noise; t is `None` where trainings disagree on it."""


def draw_map(axes: Axes, panel: EmergenceMap, page: Page) -> Any:
    """A map; what a colour bar is made of."""
    x, y = panel.x_edges, panel.y_edges
    mesh = axes.pcolormesh(
        x, y, panel.shares.T, cmap=style.COLOUR_MAP, vmin=0, vmax=1, zorder=2,
        edgecolors="face", linewidth=0.2, rasterized=panel.shares.size > MOST_CELLS,
    )  # fmt: skip
    axes.fill_between([x[0], x[-1]], y[0], y[-1], color=BLANK, linewidth=0, zorder=1)
    top = y[-1] * (y[-1] / y[0]) ** STRIP
    _draw_stages(axes, AxisRange(x[-1], x[0]), (y[0], y[-1], top), page)
    _draw_iso_lines(axes, panel, page)
    _step_axis(axes, "y", y[0], y[-1])
    axes.set_xlim(x[0], x[-1])
    axes.set_ylim(y[0], top)
    axes.set_xlabel("log SNR")
    axes.tick_params(top=False)
    above = axes.secondary_xaxis("top")
    _name_levels(above.xaxis, list(zip(panel.t, panel.log_snr, strict=True)), 0.09)
    above.set_xlabel("t", labelpad=2, color=style.FAINT, family=style.MATHS, style="italic")
    return mesh


def _draw_stages(axes: Axes, x: AxisRange, heights: tuple[float, float, float], page: Page) -> None:
    """P2's stages: shades and names in the strip above the map, thin lines between them in it."""
    low, high, top = heights
    for area in stage_areas(x):
        axes.fill_between([area.left, area.right], high, top, color=style.SHADES[area.name],
                          linewidth=0, zorder=1)  # fmt: skip
        if area.right > x.low:
            axes.vlines(area.right, low, top, color=style.GREY, linewidth=0.6,
                        linestyle=(0, (3, 2)), zorder=3)  # fmt: skip
        if area.left - area.right > 0.16 * x.width:
            axes.text((area.left + area.right) / 2, math.sqrt(high * top), area.name,
                      color=style.FAINT, ha="center", va="center_baseline",
                      fontsize=style.SMALL * page.font_size)  # fmt: skip


def _draw_iso_lines(axes: Axes, panel: EmergenceMap, page: Page) -> None:
    """Lines of equal share, each with its share on it."""
    from matplotlib.contour import ContourSet

    for share, (colour, width) in ISO_STYLES.items():
        lines = [list(line.points) for line in panel.iso_lines if line.share == share]
        if lines:
            drawn = ContourSet(axes, [share], [lines], colors=[colour], linewidths=[width],
                               zorder=4)  # fmt: skip
            axes.clabel(drawn, fmt={share: f"{100 * share:.0f} %"},
                        fontsize=style.SMALL * page.font_size, inline_spacing=2)  # fmt: skip


def draw_curves(axes: Axes, panel: LearningPanel, y: AxisRange, levels: Levels, page: Page) -> None:
    """A line for each level, in the colour of its logSNR, and a diamond where half is learned."""
    x = [panel.place(step) for step in panel.steps]
    room = (x[-1] / x[0]) ** 0.04
    within = AxisRange(x[0] / room, x[-1] * room)
    for line in panel.lines:
        colour = _level_colour(line.log_snr, levels)
        _draw_line(axes, panel, line, colour, page)
        _draw_half(axes, line, within, colour, page)
    _step_axis(axes, "x", *((x[1], x[-1]) if panel.steps[0] == 0 else (x[0], x[-1])))
    if panel.steps[0] == 0:
        ticks = [tick for tick in axes.get_xticks() if tick > 1.3 * x[0]]
        axes.set_xticks([x[0], *ticks], ["0", *map(_counted, ticks)])
    axes.set_xlim(within.low, within.high)
    axes.set_ylim(y.low, y.high)
    axes.spines["top"].set_visible(False)
    axes.tick_params(top=False)


def _draw_line(axes: Axes, panel: LearningPanel, line: LevelLine, colour: Any, page: Page) -> None:
    x = [panel.place(point.step) for point in line.points]
    y = [point.value for point in line.points]
    first = 1 if line.points and line.points[0].step == 0 else 0
    look = {"color": colour, "linewidth": 1.1, "zorder": 3}
    axes.plot(x[first:], y[first:], marker="o", markersize=0.28 * page.font_size, **look)
    if first:  # step 0 stands where its logarithm is not
        axes.plot(x[:2], y[:2], linestyle=(0, (1.2, 1.4)), **look)
        axes.plot(x[:1], y[:1], marker="o", markersize=0.28 * page.font_size,
                  markerfacecolor="white", **look)  # fmt: skip
    sure = [point for point in line.points[first:] if math.isfinite(point.low + point.high)]
    if sure:
        axes.fill_between([point.step for point in sure], [point.low for point in sure],
                          [point.high for point in sure], color=colour, alpha=0.14,
                          linewidth=0, zorder=2)  # fmt: skip


def _draw_half(axes: Axes, line: LevelLine, within: AxisRange, colour: Any, page: Page) -> None:
    """Where half is learned, with its interval as far as that lies in the panel."""
    half, ends = line.half, (line.half.low, line.half.high)
    if not math.isfinite(half.value):
        return
    if not any(map(math.isnan, ends)):
        axes.plot([*map(within.within, ends)], [line.half_value] * 2, color=colour, linewidth=0.9,
                  marker="|", markersize=0.6 * page.font_size, markeredgewidth=0.9,
                  zorder=5)  # fmt: skip
    axes.plot([half.value], [line.half_value], marker="D", markersize=0.42 * page.font_size,
              markerfacecolor=colour, markeredgecolor=style.INK, markeredgewidth=0.7,
              zorder=6)  # fmt: skip


def draw_level_bar(made: Figure, panels: Sequence[Axes], levels: Levels, aspect: float) -> None:
    """What the colours of lines mean: logSNR, and t where all trainings agree on it."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import ListedColormap, Normalize

    clean, noisy = levels[0][1], levels[-1][1]
    span = AxisRange(noisy, clean) if clean > noisy else AxisRange(noisy - 0.5, clean + 0.5)
    steps = [_level_colour(span.low + span.width * each / 255, levels) for each in range(256)]
    mappable = ScalarMappable(Normalize(span.low, span.high), ListedColormap(steps))
    bar = made.colorbar(mappable, ax=list(panels), pad=0.015, aspect=aspect)
    bar.outline.set_linewidth(0.5)
    bar.set_label("log SNR")
    if all(t is not None for t, _ in levels):
        _name_levels(bar.ax.yaxis, levels, 0.05, "t = ")
        bar.set_label("")


def _level_colour(log_snr: float, levels: Levels) -> Any:
    """Dark where clean, light where noisy."""
    from matplotlib import colormaps

    clean, noisy = levels[0][1], levels[-1][1]
    share = (clean - log_snr) / (clean - noisy) if clean > noisy else 0.0
    return colormaps[style.COLOUR_MAP](LIGHTEST * share)


def _name_levels(axis: Axis, levels: Levels, spacing: float, before: str = "") -> None:
    """Name the t of levels along an axis of logSNR, as many as have room."""
    low, high = min(at for _, at in levels), max(at for _, at in levels)
    named = spaced({t: at for t, at in levels if t is not None}, lambda at: at,
                   spacing * max(high - low, 1e-9))  # fmt: skip
    axis.set_ticks([at for _, at in named], [before + t for t, _ in named])


def _step_axis(axes: Axes, which: str, low: float, high: float) -> None:
    """Logarithmic, with ticks at 1, 2 and 5 times the powers of ten, or at these alone."""
    from matplotlib.ticker import NullLocator

    axes.set(**{f"{which}scale": "log"})
    axis = axes.yaxis if which == "y" else axes.xaxis
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    units = TICK_UNITS if high / low < 1e4 else (1,)
    ticks = [unit * 10.0**power for power in powers for unit in units]
    held = [tick for tick in ticks if low <= tick <= high]
    axis.set_ticks(held, [_counted(tick) for tick in held])
    axis.set_minor_locator(NullLocator())


def _counted(steps: float) -> str:
    return count(round(steps)) if steps >= 10_000 else f"{steps:,.0f}"
