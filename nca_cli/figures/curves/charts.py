"""Maps and learning curves of a training on the axes of matplotlib."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from nca_cli.figures.curves import style
from nca_cli.figures.curves.foot import wide
from nca_cli.figures.curves.panel import AxisRange, spaced, stage_areas
from nca_cli.figures.curves.titles import noise_axis
from nca_cli.figures.curves.training import EmergenceMap, LearningPanel, LevelLine
from nca_cli.figures.type.text import count
from nca_cli.recipe import Number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

STRIP = 1.5
"""Height of the strip above a map that holds the names of the stages, in em."""
LETTER = 0.45
"""Width of a letter of the small type along axes, in em."""
MOST_CELLS = 4000
"""Cells of a map that PDF and SVG still draw one by one."""
ISO_STYLES = {0.25: ("white", 0.7), 0.5: ("white", 1.3), 0.75: ("black", 0.7)}
"""Colour and width of a map's lines, by share."""
LABELLED = 8
"""Length of a line that its share is written on, in em."""
BLANK = "#d5d5da"
"""Of a map, where there is nothing to learn."""
TICK_UNITS = ((1, 2, 5), (1, 3), (1,))
"""Of each power of ten, along an axis of steps: as many as have room."""

Levels = Sequence[tuple[Number | None, float]]
"""t and logSNR, from clean to noise; t is `None` where trainings disagree on it."""


class PanelSize(NamedTuple):
    """About how large the axes of a panel are, in em, and an em in points."""

    width: float
    height: float
    font_size: float


def draw_map(axes: Axes, panel: EmergenceMap, size: PanelSize, per_pixel: bool = False) -> Any:
    """A map; what a colour bar is made of. `per_pixel` names its axis so."""
    x, y = panel.x_edges, panel.y_edges
    mesh = axes.pcolormesh(
        x, y, panel.shares.T, cmap=style.COLOUR_MAP, vmin=0, vmax=1, zorder=2,
        edgecolors="face", linewidth=0.2, rasterized=panel.shares.size > MOST_CELLS,
    )  # fmt: skip
    axes.fill_between([x[0], x[-1]], y[0], y[-1], color=BLANK, linewidth=0, zorder=1)
    top = y[-1] * (y[-1] / y[0]) ** (STRIP / (size.height - STRIP))
    _draw_stages(axes, AxisRange(x[-1], x[0]), (y[0], y[-1], top), size)
    _draw_iso_lines(axes, panel, size)
    axes.set_yscale("log")
    _set_steps(axes.yaxis, step_ticks(y[0], y[-1], size.height / 1.4))
    axes.set_xlim(x[0], x[-1])
    axes.set_ylim(y[0], top)
    axes.set_xlabel(noise_axis(per_pixel, narrow=size.width < wide(noise_axis(True))))
    axes.tick_params(top=False)
    above = axes.secondary_xaxis("top")
    _name_levels(above.xaxis, list(zip(panel.t, panel.log_snr, strict=True)), size.width)
    above.set_xlabel("t", labelpad=2, color=style.FAINT, family=style.MATHS, style="italic")
    return mesh


def _draw_stages(
    axes: Axes, x: AxisRange, heights: tuple[float, float, float], size: PanelSize
) -> None:
    """P2's stages: shades and names in the strip above the map, thin lines between them in it."""
    low, high, top = heights
    for area in stage_areas(x):
        axes.fill_between([area.left, area.right], high, top, color=style.SHADES[area.name],
                          linewidth=0, zorder=1)  # fmt: skip
        if area.right > x.low:
            axes.vlines(area.right, low, top, color=style.GREY, linewidth=0.6,
                        linestyle=(0, (3, 2)), zorder=3)  # fmt: skip
        if (area.left - area.right) / x.width * size.width > LETTER * (len(area.name) + 1):
            axes.text((area.left + area.right) / 2, math.sqrt(high * top), area.name,
                      color=style.FAINT, ha="center", va="center_baseline",
                      fontsize=style.SMALL * size.font_size)  # fmt: skip


def _draw_iso_lines(axes: Axes, panel: EmergenceMap, size: PanelSize) -> None:
    """Lines of equal share, each with its share on it where it is long enough."""
    from matplotlib.contour import ContourSet

    em = size.width / (panel.x_edges[0] - panel.x_edges[-1])
    for share, (colour, width) in ISO_STYLES.items():
        lines = [list(line.points) for line in panel.iso_lines if line.share == share]
        long = [line for line in lines if abs(line[0][0] - line[-1][0]) * em > LABELLED]
        for some in (long, [line for line in lines if line not in long]):
            if some:
                drawn = ContourSet(axes, [share], [some], colors=[colour], linewidths=[width],
                                   zorder=4)  # fmt: skip
            if some and some is long:
                axes.clabel(drawn, fmt={share: f"{100 * share:.0f} %"},
                            fontsize=style.SMALL * size.font_size, inline_spacing=2)  # fmt: skip


def draw_curves(
    axes: Axes, panel: LearningPanel, y: AxisRange, levels: Levels, size: PanelSize
) -> None:
    """A line for each level, in the colour of its logSNR, and a diamond where half is learned."""
    x = [panel.place(step) for step in panel.steps]
    margin = (x[-1] / x[0]) ** 0.04
    within = AxisRange(x[0] / margin, x[-1] * margin)
    for line in panel.lines:
        colour = _level_colour(line.log_snr, levels)
        _draw_line(axes, panel, line, colour, size)
        _draw_half(axes, line, within, colour, size)
    axes.set_xscale("log")
    untrained = x[:1] if panel.steps[0] == 0 else []
    most = size.width / (LETTER * (len(_counted(x[-1])) + 1))
    ticks = step_ticks(x[len(untrained)], x[-1], most)
    _set_steps(axes.xaxis, ticks, untrained)
    axes.set_xlim(within.low, within.high)
    axes.set_ylim(y.low, y.high)
    axes.spines["top"].set_visible(False)
    axes.tick_params(top=False)


def _draw_line(
    axes: Axes, panel: LearningPanel, line: LevelLine, colour: Any, size: PanelSize
) -> None:
    x = [panel.place(point.step) for point in line.points]
    y = [point.value for point in line.points]
    first = 1 if line.points and line.points[0].step == 0 else 0
    look = {"color": colour, "linewidth": 1.1, "zorder": 3}
    axes.plot(x[first:], y[first:], marker="o", markersize=0.28 * size.font_size, **look)
    if first:  # step 0 stands where its logarithm is not
        axes.plot(x[:2], y[:2], linestyle=(0, (1.2, 1.4)), **look)
        axes.plot(x[:1], y[:1], marker="o", markersize=0.28 * size.font_size,
                  markerfacecolor="white", **look)  # fmt: skip
    sure = [point for point in line.points[first:] if math.isfinite(point.low + point.high)]
    if sure:
        axes.fill_between([point.step for point in sure], [point.low for point in sure],
                          [point.high for point in sure], color=colour, alpha=0.12,
                          linewidth=0, zorder=2)  # fmt: skip


def _draw_half(
    axes: Axes, line: LevelLine, within: AxisRange, colour: Any, size: PanelSize
) -> None:
    """Where half is learned, with its interval as far as that lies in the panel."""
    half, ends = line.half, (line.half.low, line.half.high)
    if not math.isfinite(half.value):
        return
    if not any(map(math.isnan, ends)):
        axes.plot([*map(within.within, ends)], [line.half_value] * 2, color=colour, linewidth=0.9,
                  marker="|", markersize=0.6 * size.font_size, markeredgewidth=0.9,
                  zorder=5)  # fmt: skip
    axes.plot([half.value], [line.half_value], marker="D", markersize=0.42 * size.font_size,
              markerfacecolor=colour, markeredgecolor=style.INK, markeredgewidth=0.7,
              zorder=6)  # fmt: skip


def draw_level_bar(
    made: Figure, panels: Sequence[Axes], levels: Levels, aspect: float, length: float,
    title: str,
) -> None:  # fmt: skip
    """What the colours of lines mean: t where all trainings agree on it, else logSNR, by its
    `title`. `length`: of the bar, in em.
    """
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import ListedColormap, Normalize

    clean, noisy = levels[0][1], levels[-1][1]
    span = AxisRange(noisy, clean) if clean > noisy else AxisRange(noisy - 0.5, clean + 0.5)
    steps = [_level_colour(span.low + span.width * each / 255, levels) for each in range(256)]
    mappable = ScalarMappable(Normalize(span.low, span.high), ListedColormap(steps))
    bar = made.colorbar(mappable, ax=list(panels), pad=0.015, aspect=aspect)
    bar.outline.set_linewidth(0.5)
    bar.set_label(title)
    if all(t is not None for t, _ in levels):
        _name_levels(bar.ax.yaxis, levels, length, "t = ")
        bar.set_label("")


def _level_colour(log_snr: float, levels: Levels) -> Any:
    """Dark where clean, light where noisy."""
    from matplotlib import colormaps

    clean, noisy = levels[0][1], levels[-1][1]
    share = (clean - log_snr) / (clean - noisy) if clean > noisy else 0.0
    return colormaps[style.COLOUR_MAP](style.LIGHTEST * share)


def _name_levels(axis: Axis, levels: Levels, length: float, before: str = "") -> None:
    """Name the t of levels along an axis of logSNR, as many as have room in its `length` in em."""
    low, high = min(at for _, at in levels), max(at for _, at in levels)
    longest = max(len(f"{t:g}") for t, _ in levels if t is not None)
    needed = 1.4 if before else LETTER * (longest + 1)
    named = spaced({t: at for t, at in levels if t is not None}, lambda at: at,
                   needed / length * max(high - low, 1e-9))  # fmt: skip
    axis.set_ticks([at for _, at in named], [before + t for t, _ in named])


def step_ticks(low: float, high: float, most: float) -> list[float]:
    """Round steps within a logarithmic range, at most so many."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks: list[float] = []
    for units in TICK_UNITS:
        every = [unit * 10.0**power for power in powers for unit in units]
        ticks = [tick for tick in every if low <= tick <= high]
        if len(ticks) <= most:
            break
    return ticks


def _set_steps(axis: Axis, ticks: Sequence[float], untrained: Sequence[float] = ()) -> None:
    """Ticks at steps; where step 0 stands, before them."""
    from matplotlib.ticker import NullLocator

    apart = [tick for tick in ticks if not untrained or tick > 1.3 * untrained[0]]
    axis.set_ticks([*untrained, *apart], [*("0" for _ in untrained), *map(_counted, apart)])
    axis.set_minor_locator(NullLocator())


def _counted(steps: float) -> str:
    return count(round(steps)) if steps >= 10_000 else f"{steps:,.0f}"
