"""Maps and learning curves of a training as SVG: coordinates for the page, as in `svg`."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from nca_cli.figures.curves.panel import AxisRange, StageArea, spaced
from nca_cli.figures.curves.svg import (
    BOTTOM,
    LEFT,
    RIGHT,
    STRIP,
    T_SPACING,
    TOP,
    Scale,
    Tick,
    log_snr_scale,
    path,
    stage_boxes,
    ticks,
)
from nca_cli.figures.curves.training import EmergenceMap, LearningPanel, LevelLine
from nca_cli.figures.type.text import count

TICK_UNITS = (1, 2, 5)
"""Of each power of ten, along an axis of steps."""
MOST_DECADES = 3
"""Of an axis with all of these units; a longer one has powers of ten alone."""
ROOM = 0.04
"""Beside the first and the last step, as a share of the axis."""


@dataclass(frozen=True)
class StepScale:
    """A logarithmic map of training steps to SVG units."""

    log: Scale

    def __call__(self, step: float) -> float:
        return self.log(math.log(step))

    def within(self, step: float) -> float:
        """As far as the axis goes; ends of an interval may be 0 or infinite."""
        ends = math.exp(self.log.low), math.exp(self.log.high)
        return self(min(max(step, ends[0]), ends[1]))

    def ticks(self) -> tuple[Tick, ...]:
        """At 1, 2 and 5 times the powers of ten, or at these alone."""
        low, high = math.exp(self.log.low), math.exp(self.log.high)
        powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        units = TICK_UNITS if len(powers) <= MOST_DECADES + 1 else (1,)
        steps = [unit * 10**power for power in powers if power >= 0 for unit in units]
        return tuple(Tick(self(step), count(step)) for step in steps if low <= step <= high)


def step_scale(low: float, high: float, start: float, end: float) -> StepScale:
    """From the first to the last step, which may be one."""
    span = math.log(low), math.log(high)
    return StepScale(Scale(span[0], span[1] if high > low else span[0] + 1, start, end))


@dataclass(frozen=True)
class MapCell:
    """A step and a level of a map."""

    step: int
    """Which row, from the first step after 0."""
    level: int
    """Which level of the emergence."""
    x: float
    y: float
    width: float
    height: float
    share: float
    """G; NaN where there is nothing to learn."""

    @property
    def per_cent(self) -> int:
        """What its colour says: 0 also where a checkpoint is worse than the baseline."""
        return round(100 * min(max(self.share, 0.0), 1.0))


@dataclass(frozen=True)
class DrawnMap:
    """A map as it is drawn; the first step is at the bottom."""

    cells: tuple[MapCell, ...]
    iso_lines: tuple[tuple[float, str], ...]
    """Share and path of each."""
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    t_ticks: tuple[Tick, ...]
    stages: tuple[StageArea, ...]
    columns: dict[int, float]
    """Level → its x."""
    rows: tuple[float, ...]
    """y of each step."""
    span: tuple[float, float]
    """logSNR of the cleanest and of the noisiest edge."""


def drawn_map(panel: EmergenceMap) -> DrawnMap:
    """A map in SVG coordinates."""
    span = AxisRange(panel.x_edges[-1], panel.x_edges[0])
    x = log_snr_scale(span)
    y = step_scale(panel.y_edges[0], panel.y_edges[-1], BOTTOM, TOP + STRIP)
    named = spaced(dict(zip(panel.t, panel.log_snr, strict=True)), x, T_SPACING)
    return DrawnMap(
        tuple(_cells(panel, x, y)),
        tuple((line.share, path([(x(at), y(step)) for at, step in line.points]))
              for line in panel.iso_lines),
        ticks(x, 7), y.ticks(), tuple(Tick(at, t) for t, at in named), stage_boxes(span, x),
        {level: x(at) for level, at in zip(panel.levels, panel.log_snr, strict=True)},
        tuple(y(step) for step in panel.steps), (span.high, span.low),
    )  # fmt: skip


def _cells(panel: EmergenceMap, x: Scale, y: StepScale) -> Iterable[MapCell]:
    across, up = [x(edge) for edge in panel.x_edges], [y(edge) for edge in panel.y_edges]
    for column, level in enumerate(panel.levels):
        for row, share in enumerate(panel.shares[column].tolist()):
            left, right, low, top = across[column], across[column + 1], up[row], up[row + 1]
            yield MapCell(row, level, left, top, round(right - left, 1), round(low - top, 1), share)


@dataclass(frozen=True)
class DrawnLevel:
    """A level's line over steps."""

    level: int
    """Which level of the emergence."""
    tone: int
    """Per cent from the cleanest to the noisiest level."""
    path: str
    band: str
    """Of its intervals, or nothing."""
    dots: tuple[tuple[float, float], ...]
    half: tuple[float, float, float, float] | None
    """x, y and both ends of where half is learned."""


@dataclass(frozen=True)
class DrawnCurves:
    """Learning curves as they are drawn."""

    lines: tuple[DrawnLevel, ...]
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    steps: tuple[float, ...]
    """x of each, step 0 among them."""


def drawn_curves(panel: LearningPanel) -> DrawnCurves:
    """Curves in SVG coordinates."""
    places = [panel.place(step) for step in panel.steps]
    room = (places[-1] / places[0]) ** ROOM
    x = step_scale(places[0] / room, places[-1] * room, LEFT, RIGHT)
    y = Scale(panel.y.low, panel.y.high, BOTTOM, TOP)
    order = {(t, at): level for level, (t, at) in
             enumerate(zip(panel.emergence.t, panel.emergence.log_snr, strict=True))}  # fmt: skip
    lines = tuple(
        _level(line, order[line.t, line.log_snr], round(100 * place / max(1, len(panel.lines) - 1)),
               panel, x, y)
        for place, line in enumerate(panel.lines)
    )  # fmt: skip
    named = [tick for tick in x.ticks() if panel.steps[0] > 0 or tick.at > x(places[0]) + T_SPACING]
    zero = [Tick(x(places[0]), "0")] if panel.steps[0] == 0 else []
    return DrawnCurves(lines, (*zero, *named), ticks(y, 5), tuple(map(x, places)))


def _level(
    line: LevelLine, level: int, tone: int, panel: LearningPanel, x: StepScale, y: Scale
) -> DrawnLevel:
    at = [(x(panel.place(point.step)), y(panel.y.within(point.value))) for point in line.points]
    sure = [(x(panel.place(point.step)), *(y(panel.y.within(end)) for end in point[2:]))
            for point in line.points if math.isfinite(point.low + point.high)]  # fmt: skip
    upper, lower = [(x, high) for x, _, high in sure], [(x, low) for x, low, _ in sure]
    band = path([*upper, *reversed(lower)]) + "z" if len(sure) > 1 else ""
    return DrawnLevel(level, tone, path(at), band, tuple(at), _half(line, x, y))


def _half(line: LevelLine, x: StepScale, y: Scale) -> tuple[float, float, float, float] | None:
    half: Sequence[float] = (line.half.value, line.half.low, line.half.high)
    if not math.isfinite(half[0]):
        return None
    value, low, high = (x.within(half[0] if math.isnan(end) else end) for end in half)
    return value, y(line.half_value), low, high
