"""Geometry of the curves: numbers in, SVG coordinates out. The template draws them.

The axis is logSNR, from clean at the left to noise at the right. A chart is as wide as a phone,
so that its letters are of one size wherever it is shown.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from nca_cli.analysis import CLEAN_UP, COARSE, Curve, Point
from nca_cli.metrics import MEASURES
from nca_cli.report.content import Report, Series
from nca_cli.report.words import measured, number, scientific, snr

WIDTH, HEIGHT = 360, 264
LEFT, RIGHT, TOP, BOTTOM = 46, 352, 40, 224
"""Edges of the plot inside the chart."""
STRIP = 16
"""Height of the strip at its top that holds the names of the stages."""
COLOURS = 7
DASHES = ("", "6 3", "2 2.5", "8 3 2 3")
MARKERS = (
    "M-3.2 0a3.2 3.2 0 1 0 6.4 0a3.2 3.2 0 1 0-6.4 0z",  # disc
    "M-2.9-2.9h5.8v5.8h-5.8z",  # square
    "M0-3.8l3.7 6.6h-7.4z",  # triangle
    "M0-4l4 4l-4 4l-4-4z",  # diamond
    "M0 3.8l3.7-6.6h-7.4z",  # triangle, tip down
    "M-1.3-3.8h2.6v2.5h2.5v2.6h-2.5v2.5h-2.6v-2.5h-2.5v-2.6h2.5z",  # plus
    "M0-4l3.8 2.8l-1.5 4.4h-4.6l-1.5-4.4z",  # pentagon
)
MOST_BANDS = 3
"""Spreads are drawn for so many series; more would cover one another."""
T_SPACING = 24
"""Least distance of two t marks."""


@dataclass(frozen=True)
class Style:
    """How a series is told from the others: by colour, and without colour."""

    colour: int
    dash: str
    marker: str
    hollow: bool = False


@dataclass(frozen=True)
class Tick:
    """A mark on an axis: where, and what it says."""

    at: float
    label: str


@dataclass(frozen=True)
class Stage:
    """One of P2's stages, as far as it lies in the plot."""

    name: str
    left: float
    right: float

    @property
    def roomy(self) -> bool:
        """Whether its name fits."""
        return self.right - self.left > 6.2 * len(self.name)


@dataclass(frozen=True)
class Dot:
    """A point of a line, and what it is."""

    x: float
    y: float
    text: str


@dataclass(frozen=True)
class Line:
    """A series in a chart."""

    name: str
    style: Style
    path: str
    band: str
    dots: tuple[Dot, ...]


@dataclass(frozen=True)
class Floor:
    """What the autoencoder alone reaches, as a horizontal line."""

    y: float
    name: str
    text: str


@dataclass(frozen=True)
class Chart:
    """One measure over logSNR."""

    title: str
    unit: str
    better: str
    what: str
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    t_ticks: tuple[Tick, ...]
    stages: tuple[Stage, ...]
    lines: tuple[Line, ...]
    floors: tuple[Floor, ...]


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


def charts(report: Report) -> list[Chart]:
    """A chart per measure that has any finite value at a finite logSNR."""
    x = _log_snr_scale(report)
    drawn = [name for name in report.measures
             if any(_points(series.curve(name)) for series in report.series)]  # fmt: skip
    return [_chart(report, name, x) for name in drawn]


def styles(series: Sequence[Series]) -> list[Style]:
    """Colour and marker tell samplers, dash and filling tell models; or all tell the series."""
    models = list(dict.fromkeys(one.model for one in series))
    samplers = list(dict.fromkeys(one.sampler for one in series))
    if len(models) > len(DASHES) or not 1 < len(samplers) <= COLOURS:
        return [_style(index, index // COLOURS) for index in range(len(series))]
    return [_style(samplers.index(one.sampler), models.index(one.model)) for one in series]


def _style(kind: int, variant: int) -> Style:
    dash, marker = DASHES[variant % len(DASHES)], MARKERS[kind % len(MARKERS)]
    return Style(kind % COLOURS, dash, marker, hollow=bool(variant % 2))


# --- one chart ----------------------------------------------------------------------------------


def _chart(report: Report, name: str, x: Scale) -> Chart:
    measure = MEASURES[name]
    curves = [series.curve(name) for series in report.series]
    known = {model.name: model.floor[name] for model in report.models
              if math.isfinite(model.floor.get(name, math.nan))}  # fmt: skip
    bands = len(curves) <= MOST_BANDS
    y = _value_scale(curves, list(known.values()), bands, measure.bounds)
    drawn = zip(report.series, styles(report.series), curves, strict=True)
    lines = (_line(one.name, style, curve, x, y, bands) for one, style, curve in drawn)
    floors = (Floor(y(value), model, measured(name, value)) for model, value in known.items())
    return Chart(
        measure.title, measure.unit, measure.better, measure.what,
        x_ticks=_ticks(x, 7),
        y_ticks=_ticks(y, 5),
        t_ticks=_t_ticks(report, x),
        stages=_stages(x),
        lines=tuple(lines),
        floors=tuple(floors),
    )  # fmt: skip


def _points(curve: Curve) -> list[Point]:
    """The points that have a place in a plot."""
    return [p for p in curve.points if math.isfinite(p.log_snr) and math.isfinite(p.mean)]


def _log_snr_scale(report: Report) -> Scale:
    """All levels with a little room; the largest logSNR, hence the least noise, at the left."""
    found = [p.log_snr for curve in report.curves for p in _points(curve)] or [0.0]
    low, high = _widened(min(found), max(found), 0.04)
    return Scale(high, low, LEFT, RIGHT)


def _value_scale(
    curves: Sequence[Curve], floors: Sequence[float], bands: bool, bounds: tuple[float, float]
) -> Scale:
    """Everything that is drawn with a little room, but nothing that no value can reach."""
    points = [point for curve in curves for point in _points(curve)]
    spreads = [p.std if bands and math.isfinite(p.std) else 0.0 for p in points]
    ends = [p.mean + sign * std for p, std in zip(points, spreads, strict=True) for sign in (-1, 1)]
    low, high = _widened(min([*ends, *floors]), max([*ends, *floors]), 0.06)
    low, high = max(low, bounds[0]), min(high, bounds[1])
    return Scale(low, high, BOTTOM, TOP + STRIP)


def _widened(low: float, high: float, share: float) -> tuple[float, float]:
    """A range with room at both ends, and never empty."""
    room = (high - low) * share or max(abs(high) * share, 1e-3)
    return low - room, high + room


def _line(name: str, style: Style, curve: Curve, x: Scale, y: Scale, bands: bool) -> Line:
    points = _points(curve)
    dots = tuple(Dot(x(p.log_snr), y(p.mean), _tooltip(name, curve.measure, p)) for p in points)
    wide = [p for p in points if bands and math.isfinite(p.std)]
    upper = [(x(p.log_snr), max(TOP + STRIP, y(p.mean + p.std))) for p in wide]
    lower = [(x(p.log_snr), min(BOTTOM, y(p.mean - p.std))) for p in reversed(wide)]
    band = _path([*upper, *lower]) + "z" if len(wide) > 1 else ""
    return Line(name, style, _path([(dot.x, dot.y) for dot in dots]), band, dots)


def _path(points: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x:g} {y:g}" for x, y in points) if points else ""


def _tooltip(name: str, measure: str, point: Point) -> str:
    spread = "" if math.isnan(point.std) else f" ± {measured(measure, point.std)}"
    unit = f" {MEASURES[measure].unit}" if MEASURES[measure].unit else ""
    return (f"{name}, t = {point.t} (SNR {scientific(snr(point.log_snr))}): "
            f"{measured(measure, point.mean)}{spread}{unit}")  # fmt: skip


# --- axes ---------------------------------------------------------------------------------------


def _step(span: float, count: int) -> float:
    """1, 2 or 5 times a power of ten, so that `span` has about `count` steps."""
    power = 10.0 ** math.floor(math.log10(span / count))
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor * count >= span)


def _ticks(scale: Scale, count: int) -> tuple[Tick, ...]:
    low, high = sorted((scale.low, scale.high))
    step = _step(high - low, count)
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    first, last = math.ceil(low / step - 1e-6), math.floor(high / step + 1e-6)
    values = [index * step for index in range(first, last + 1)]
    return tuple(Tick(scale(value), number(value, digits)) for value in values)


def _t_ticks(report: Report, x: Scale) -> tuple[Tick, ...]:
    """The t of levels, where all models agree on it: round ones first, as many as have room."""
    found = {p.t: p.log_snr for curve in report.curves for p in _points(curve)}
    if any(found[p.t] != p.log_snr for curve in report.curves for p in _points(curve)):
        return ()
    ticks: list[Tick] = []
    for t in sorted(found, key=_roundness):
        at = x(found[t])
        if all(abs(at - tick.at) >= T_SPACING for tick in ticks):
            ticks.append(Tick(at, str(t)))
    return tuple(ticks)


def _roundness(t: float) -> tuple[int, float]:
    """Smaller for rounder numbers: hundreds, fifties, tens, then all others."""
    return next((rank for rank, unit in enumerate((100, 50, 10)) if t % unit == 0), 3), t


def _stages(x: Scale) -> tuple[Stage, ...]:
    """Clean-up, content and coarse, from left to right, cut to the plot."""
    edges = [math.inf, math.log(CLEAN_UP), math.log(COARSE), -math.inf]
    cut = [min(max(edge, x.high), x.low) for edge in edges]
    names = ("clean-up", "content", "coarse")
    return tuple(Stage(name, x(left), x(right))
                 for name, left, right in zip(names, cut[:-1], cut[1:], strict=True)
                 if left > right)  # fmt: skip
