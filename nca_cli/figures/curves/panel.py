"""The geometry of curves: a panel is a metric over logSNR, in the units of both axes.

Page (`svg`) and paper (`paper`) draw the same panels, and spell the looks of lines in their own
way; nothing here knows of pixels or millimetres.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from functools import cached_property
from typing import Any

from nca_cli.analysis import BOUNDS, Curve, Point
from nca_cli.figures.curves.titles import RETENTION, family, known_metric

MOST_AREAS = 3
"""Intervals of so many series are areas; those of more would cover one another and are bars."""
MOST_STRETCH = 0.4
"""By how much, of what all other levels span, the cleanest level may lengthen an axis."""
FEWEST_SHOWN = 3
"""Levels that an axis has in any case."""
ALWAYS = {RETENTION: (0.0, 1.0)}
"""What the axis of a family spans in any case; only means stretch it, and intervals are cut."""
COLOUR_COUNT, DASH_COUNT = 7, 4
"""How many page and paper have of each for series; as many markers as colours."""


class Stroke(Enum):
    """What a line stands for; each kind has dashes of its own."""

    SERIES = 0
    REFERENCE = 1
    CLOSED_FORM = 2


@dataclass(frozen=True)
class Look:
    """How a line looks: by colour, and without colour."""

    stroke: Stroke
    dash: int = 0
    """Which of the dashes of its stroke, counted round and round."""
    colour: int | None = None
    """Which colour; None: the grey of what is of no series."""
    marker: int | None = None
    """Which marker; None: a line alone."""
    hollow: bool = False
    """Whether it is of pairs of one image, beside those of different images; nothing else is."""

    def dashes(self, known: Mapping[Stroke, Sequence[Any]]) -> Any:
        """Its dashes, of those that page or paper has for each stroke."""
        return known[self.stroke][self.dash % len(known[self.stroke])]


def series_looks(series: Sequence[tuple[str, str]]) -> list[Look]:
    """The look of each (model, sampler): colour and marker tell the model, the dash the sampler.

    Colours come again after the seventh model, and dashes after the fourth sampler; markers are
    then shifted, so that no two series look alike before all combinations are used.
    """
    models = list(dict.fromkeys(model for model, _ in series))
    samplers = list(dict.fromkeys(sampler for _, sampler in series))
    looks = []
    for model, sampler in series:
        number, dash = models.index(model), samplers.index(sampler)
        shift = number // COLOUR_COUNT + dash // DASH_COUNT
        looks.append(Look(Stroke.SERIES, dash % DASH_COUNT, number % COLOUR_COUNT,
                          (number + shift) % COLOUR_COUNT))  # fmt: skip
    return looks


@dataclass(frozen=True)
class AxisRange:
    """A range of values along an axis."""

    low: float
    high: float

    @property
    def width(self) -> float:
        """From its low to its high end."""
        return self.high - self.low

    def holds(self, value: float) -> bool:
        """Whether a value lies in it."""
        return self.low <= value <= self.high

    def within(self, value: float) -> float:
        """The nearest value that has a place in it."""
        return min(max(value, self.low), self.high)


@dataclass(frozen=True)
class Trace:
    """What the legend names and can switch off: a series, or a reference."""

    index: int
    name: str
    look: Look
    curves: dict[str, Curve]
    """By measure."""
    reference: bool = False

    def points(self, measure: str) -> list[Point]:
        """Those that have a place in a plot."""
        curve = self.curves.get(measure)
        return drawable(curve) if curve else []

    def within(self, x: AxisRange) -> Trace:
        """The same without points that lie beyond an axis of logSNR."""
        return replace(self, curves={name: _cut(curve, x) for name, curve in self.curves.items()})


@dataclass(frozen=True)
class Rule:
    """What an autoencoder alone reaches, as a horizontal line."""

    name: str
    value: float
    index: int = -1
    """Of its entry in the legend, where it has one."""


@dataclass(frozen=True)
class StageArea:
    """One of P2's stages, as far as it lies in the panel, from its cleaner end."""

    name: str
    left: float
    right: float


@dataclass(frozen=True)
class LevelRow:
    """A level, and what each line of a panel has there: a point or None."""

    t: str
    log_snr: float
    points: tuple[Point | None, ...]


@dataclass(frozen=True)
class Panel:
    """One metric over logSNR, whose axis runs from clean at the left to noise at the right."""

    measure: str
    entries: tuple[Trace, ...]
    """What is drawn, in the order of the legend."""
    x: AxisRange
    y: AxisRange
    areas: bool
    """Whether intervals are areas, else bars."""
    rules: tuple[Rule, ...] = ()
    bands: tuple[str, ...] = ()
    """Measures of octave bands that it draws together, coarse ones first, in the place of one."""

    @property
    def measures(self) -> tuple[str, ...]:
        """What is drawn of each entry, a line for each."""
        return self.bands or (self.measure,)

    def line(self, entry: Trace, measure: str = "") -> list[Point]:
        """The points of an entry, from the cleanest level to the noisiest."""
        points = entry.points(measure or self.measure)
        return sorted(points, key=lambda point: -point.log_snr)

    @cached_property
    def rows(self) -> tuple[LevelRow, ...]:
        """Every level from clean to noise."""
        held = [{p.log_snr: p for p in entry.points(self.measure)} for entry in self.entries]
        rows = []
        for log_snr in sorted({level for points in held for level in points}, reverse=True):
            points = tuple(each.get(log_snr) for each in held)
            names = dict.fromkeys(f"{point.t:g}" for point in points if point)
            rows.append(LevelRow(" / ".join(names), log_snr, points))
        return tuple(rows)


def _cut(curve: Curve, x: AxisRange) -> Curve:
    kept = (p for p in curve.points if not math.isfinite(p.log_snr) or x.holds(p.log_snr))
    return replace(curve, points=tuple(kept))


def shown_levels(points: Iterable[Point]) -> list[float]:
    """logSNR of the levels that an axis shows, rising.

    Not the cleanest one, where it lies so far from all others (t = 0 does) that these would be
    crowded: `MOST_STRETCH`.
    """
    levels = sorted({point.log_snr for point in points})
    kept = levels[:-1]
    if len(kept) < FEWEST_SHOWN or levels[-1] - kept[-1] <= MOST_STRETCH * (kept[-1] - kept[0]):
        return levels
    return kept


def drawable(curve: Curve) -> list[Point]:
    """The points that have a place in a plot."""
    return [p for p in curve.points if math.isfinite(p.log_snr) and math.isfinite(p.mean)]


def areas(entries: Iterable[Trace]) -> bool:
    """Whether series are few enough for intervals that are areas (`MOST_AREAS`)."""
    return sum(not entry.reference for entry in entries) <= MOST_AREAS


def every_point(entries: Iterable[Trace]) -> list[Point]:
    """The points of all metrics that have a place in a plot."""
    return [p for entry in entries for curve in entry.curves.values() for p in drawable(curve)]


def ends(point: Point) -> tuple[float, ...]:
    """Low and high of the interval of a mean, or nothing where there is none."""
    both = point.low, point.high
    return both if all(map(math.isfinite, both)) else ()


def widened(low: float, high: float, share: float, least: float = 0.0) -> AxisRange:
    """A range with room at both ends, and never empty: `least`, or a share of its own size."""
    room = (high - low) * share or least or max(abs(high) * share, 1e-3)
    return AxisRange(low - room, high + room)


def value_span(measure: str, drawn: Sequence[Trace], rules: Sequence[float]) -> AxisRange:
    """Everything that is drawn with a little room, but nothing that no value can reach.

    References may stretch the axis by half of what networks span, at either end; what lies
    beyond is cut: x_t itself is so far from x0 that it would flatten all else. `ALWAYS` has its
    own rule.
    """
    of_networks = [entry for entry in drawn if not entry.reference] or drawn
    own = [*rules, *ALWAYS.get(family(measure), ())]
    own += [value for entry in of_networks for value in _values(entry, measure)]
    low, high = min(own), max(own)
    room = (high - low) / 2
    every = (value for entry in drawn for value in _values(entry, measure))
    own += [min(max(value, low - room), high + room) for value in every]
    span = widened(min(own), max(own), 0.06)
    least, most = known_metric(measure).bounds
    return AxisRange(max(span.low, least), min(span.high, most))


def _values(entry: Trace, measure: str) -> list[float]:
    """Means and ends of intervals; of a family in `ALWAYS`, means alone."""
    points = entry.points(measure)
    known = [] if family(measure) in ALWAYS else [end for point in points for end in ends(point)]
    return known + [point.mean for point in points]


def named_levels(
    points: Iterable[Point], place: Callable[[float], float], spacing: float
) -> list[tuple[str, float]]:
    """The t to name along a logSNR axis and their places: round ones first, `spacing` apart.

    None where models disagree on what a t is.
    """
    levels: dict[float, float] = {}
    for point in points:
        if levels.setdefault(point.t, point.log_snr) != point.log_snr:
            return []
    return spaced(levels, place, spacing)


def spaced(
    levels: Mapping[float, float], place: Callable[[float], float], spacing: float
) -> list[tuple[str, float]]:
    """Of levels (t → logSNR) those to name: round ones first, no two nearer than `spacing`."""
    named: list[tuple[str, float]] = []
    for t in sorted(levels, key=_roundness):
        at = place(levels[t])
        if all(abs(at - other) >= spacing for _, other in named):
            named.append((f"{t:g}", at))
    return named


def _roundness(t: float) -> tuple[int, float]:
    """Smaller for rounder numbers: hundreds, fifties, tens, then all others."""
    return next((rank for rank, unit in enumerate((100, 50, 10)) if t % unit == 0), 3), t


def stage_areas(x: AxisRange) -> list[StageArea]:
    """P2's stages that lie in a range of logSNR, cut to it, from the noisiest."""
    cut = [StageArea(name, x.within(cleanest), x.within(noisiest))
           for name, (noisiest, cleanest) in BOUNDS.items()]  # fmt: skip
    return [area for area in cut if area.left > area.right]
