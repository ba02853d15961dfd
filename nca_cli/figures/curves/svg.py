"""Panels as SVG: coordinates and paths that the page's templates write down.

A chart is as wide as a phone, so that its letters are of one size wherever it is shown.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from nca_cli.figures.curves.panel import (
    AxisRange,
    Panel,
    Rule,
    StageArea,
    Stroke,
    Trace,
    ends,
    every_point,
    named_levels,
    stage_areas,
)
from nca_cli.figures.curves.titles import number

WIDTH, HEIGHT = 360, 246
LEFT, RIGHT, TOP, BOTTOM = 46, 352, 22, 206
"""Edges of the plot inside the chart."""
STRIP = 16
"""Height of the strip at its top that holds the names of the stages."""
DASHES = {
    Stroke.SERIES: ("", "6 3", "2 2.5", "8 3 2 3"),
    Stroke.REFERENCE: ("5 3", "1.5 2.5", "7 2 1.5 2", "3 1.5", "9 4"),
    Stroke.CLOSED_FORM: ("1 2.5",),
}
"""`stroke-dasharray` of lines; nothing where they are whole."""
MARKERS = (
    "m-3.2 0a3.2 3.2 0 1 0 6.4 0a3.2 3.2 0 1 0-6.4 0z",  # disc
    "m-2.9-2.9h5.8v5.8h-5.8z",  # square
    "m0-3.8l3.7 6.6h-7.4z",  # triangle
    "m0-4l4 4l-4 4l-4-4z",  # diamond
    "m0 3.8l3.7-6.6h-7.4z",  # triangle, tip down
    "m-1.3-3.8h2.6v2.5h2.5v2.6h-2.5v2.5h-2.6v-2.5h-2.5v-2.6h2.5z",  # plus
    "m0-4l3.8 2.8l-1.5 4.4h-4.6l-1.5-4.4z",  # pentagon
)
"""Paths around the point that a move before them names: without transforms, which a browser would
composite one by one."""
T_SPACING = 24
"""Least distance of two t marks."""


@dataclass(frozen=True)
class Scale:
    """A linear map of [low, high] to [start, end] in SVG units."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return round(self.start + share * (self.end - self.start), 1)


def log_snr_scale(x: AxisRange, start: float = LEFT, end: float = RIGHT) -> Scale:
    """The largest logSNR, hence the least noise, at the left."""
    return Scale(x.high, x.low, start, end)


@dataclass(frozen=True)
class Tick:
    """A mark on an axis: where, and what it says."""

    at: float
    label: str


@dataclass(frozen=True)
class Dot:
    """A point of a line."""

    x: float
    y: float
    bar: str
    """Path of its interval, or nothing."""


@dataclass(frozen=True)
class DrawnLine:
    """An entry of the legend in a chart."""

    entry: Trace
    path: str
    band: str
    dots: tuple[Dot, ...]


@dataclass(frozen=True)
class Chart:
    """A panel as it is drawn."""

    panel: Panel
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    t_ticks: tuple[Tick, ...]
    stages: tuple[StageArea, ...]
    lines: tuple[DrawnLine, ...]
    rules: tuple[tuple[Rule, float], ...]
    """Each with its y."""

    @property
    def measure(self) -> str:
        """Name of what is drawn."""
        return self.panel.measure


def chart(panel: Panel) -> Chart:
    """A panel in SVG coordinates."""
    x = log_snr_scale(panel.x)
    y = Scale(panel.y.low, panel.y.high, BOTTOM, TOP + STRIP)
    levels = named_levels(every_point(panel.entries), x, T_SPACING)
    return Chart(
        panel,
        x_ticks=ticks(x, 7),
        y_ticks=ticks(y, 5),
        t_ticks=tuple(Tick(at, t) for t, at in levels),
        stages=stage_boxes(panel.x, x),
        lines=tuple(_line(panel, entry, x, y) for entry in panel.entries),
        rules=tuple((rule, y(rule.value)) for rule in panel.rules),
    )


def _line(panel: Panel, entry: Trace, x: Scale, y: Scale) -> DrawnLine:
    points, inside = panel.line(entry), panel.y.within
    if entry.reference:  # cut by its clip path
        return DrawnLine(entry, path([(x(p.log_snr), y(p.mean)) for p in points]), "", ())
    at = [(x(p.log_snr), y(inside(p.mean))) for p in points]
    known = [(x(p.log_snr), *(y(inside(end)) for end in ends(p))) for p in points if ends(p)]
    upper, lower = [(at, high) for at, _, high in known], [(at, low) for at, low, _ in known]
    areas = panel.areas and len(known) > 1
    band = path([*upper, *reversed(lower)]) + "z" if areas else ""
    bars = {at: f"M{at:g} {low:g}V{high:g}" for at, low, high in known if not band}
    dots = tuple(Dot(*each, bars.get(each[0], "")) for each in at)
    return DrawnLine(entry, path(at), band, dots)


def path(points: Sequence[tuple[float, float]]) -> str:
    """A line from point to point, as SVG says it."""
    return "M" + "L".join(f"{x:g} {y:g}" for x, y in points) if points else ""


def ticks(scale: Scale, most: int) -> tuple[Tick, ...]:
    """Round numbers along an axis."""
    low, high = sorted((scale.low, scale.high))
    step = _step(high - low, most)
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    first, last = math.ceil(low / step - 1e-6), math.floor(high / step + 1e-6)
    values = [index * step for index in range(first, last + 1)]
    return tuple(Tick(scale(value), number(value, digits)) for value in values)


def _step(span: float, count: int) -> float:
    """1, 2 or 5 times a power of ten, so that `span` has about `count` steps."""
    power = 10.0 ** math.floor(math.log10(span / count))
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor * count >= span)


def stage_boxes(span: AxisRange, x: Scale) -> tuple[StageArea, ...]:
    """Clean-up, content and coarse, from left to right, cut to the plot."""
    cut = reversed(stage_areas(span))
    return tuple(StageArea(area.name, x(area.left), x(area.right)) for area in cut)
