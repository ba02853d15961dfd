"""Geometry of the curves: numbers in, SVG coordinates out. The template draws them.

The axis is logSNR, from clean at the left to noise at the right. A chart is as wide as a phone,
so that its letters are of one size wherever it is shown.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from nca_cli.analysis import BOUNDS, Curve, Point
from nca_cli.figures.curves.charts import (
    MOST_AREAS,
    fitted,
    named_levels,
    reference_title,
    variants,
)
from nca_cli.report.content import Report, Series
from nca_cli.report.words import (
    RETENTION,
    bounds,
    family,
    measure_title,
    measure_unit,
    measure_what,
    measured,
    number,
    scientific,
    snr,
    which_is_closer,
)

WIDTH, HEIGHT = 360, 246
LEFT, RIGHT, TOP, BOTTOM = 46, 352, 22, 206
"""Edges of the plot inside the chart."""
STRIP = 16
"""Height of the strip at its top that holds the names of the stages."""
DASHES = ("", "6 3", "2 2.5", "8 3 2 3")
REFERENCE_DASHES = ("5 3", "1.5 2.5", "7 2 1.5 2", "3 1.5", "9 4")
MARKERS = (
    "M-3.2 0a3.2 3.2 0 1 0 6.4 0a3.2 3.2 0 1 0-6.4 0z",  # disc
    "M-2.9-2.9h5.8v5.8h-5.8z",  # square
    "M0-3.8l3.7 6.6h-7.4z",  # triangle
    "M0-4l4 4l-4 4l-4-4z",  # diamond
    "M0 3.8l3.7-6.6h-7.4z",  # triangle, tip down
    "M-1.3-3.8h2.6v2.5h2.5v2.6h-2.5v2.5h-2.6v-2.5h-2.5v-2.6h2.5z",  # plus
    "M0-4l3.8 2.8l-1.5 4.4h-4.6l-1.5-4.4z",  # pentagon
)
ALWAYS = {RETENTION: (0.0, 1.0)}
"""What the axis of a family spans in any case; only means stretch it, and intervals are cut."""
T_SPACING = 24
"""Least distance of two t marks."""


@dataclass(frozen=True)
class Style:
    """How a series is told from the others: by colour, and without colour."""

    colour: int | None
    """None: the grey of references."""
    dash: str
    marker: str
    hollow: bool = False


@dataclass(frozen=True)
class Entry:
    """What the legend names and can switch off: a series, or a reference."""

    index: int
    name: str
    style: Style
    curves: dict[str, Curve]
    """By measure."""
    reference: bool = False

    def points(self, measure: str) -> list[Point]:
        """Those that have a place in a plot."""
        curve = self.curves.get(measure)
        return drawable(curve) if curve else []


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
    """A point of a line."""

    x: float
    y: float
    bar: str
    """Path of its interval, or nothing."""


@dataclass(frozen=True)
class Line:
    """An entry in a chart."""

    entry: Entry
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
class Row:
    """A level in the table behind a chart: a point or None for each line of the chart."""

    t: str
    log_snr: float
    x: float
    points: tuple[Point | None, ...]


@dataclass(frozen=True)
class Chart:
    """One measure over logSNR."""

    measure: str
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
    rows: tuple[Row, ...]

    @property
    def reading(self) -> dict[str, object]:
        """What the cursor of the chart says at each level, for the script of the page."""
        series = [
            {
                "entry": line.entry.index,
                "name": line.entry.name,
                "text": [point and said(self.measure, point) for point in points],
            }
            for line, points in zip(self.lines, self._by_line(), strict=True)
        ]
        labels = [f"t = {row.t}, SNR {scientific(snr(row.log_snr))}" for row in self.rows]
        return {"x": [row.x for row in self.rows], "labels": labels, "series": series}

    def _by_line(self) -> list[list[Point | None]]:
        return [[row.points[index] for row in self.rows] for index in range(len(self.lines))]


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

    def within(self, value: float) -> float:
        """The nearest value that has a place in the plot."""
        return min(max(value, self.low), self.high)


def entries(report: Report) -> list[Entry]:
    """The series of a report, then its references."""
    found = [
        Entry(index, one.name, style, {curve.measure: curve for curve in one.curves})
        for index, (one, style) in enumerate(zip(report.series, styles(report.series), strict=True))
    ]
    for index, (name, curves) in enumerate(_references(report)):
        style = Style(None, REFERENCE_DASHES[index % len(REFERENCE_DASHES)], "")
        found.append(Entry(len(report.series) + index, name, style, curves, reference=True))
    return found


def _references(report: Report) -> Iterator[tuple[str, dict[str, Curve]]]:
    """Name and curves of each; one of several models is one where their numbers agree."""
    groups: dict[tuple[str, str], dict[str, Curve]] = {}
    for curve in report.references:
        if drawable(curve):  # an autoencoder's floor has no level, and is a line of its own
            groups.setdefault((curve.sampler, curve.model), {})[curve.measure] = curve
    merged: list[tuple[str, list[str], dict[str, Curve]]] = []
    for (sampler, model), curves in groups.items():
        same = next((m for m in merged if m[0] == sampler and _agree(m[2], curves)), None)
        if same is None:
            merged.append((sampler, [model], curves))
        else:
            same[1].append(model)
            same[2].update({name: _joined(same[2].get(name), c) for name, c in curves.items()})
    known = report.analysis.references if report.analysis else ()
    for sampler, models, curves in merged:
        title = reference_title(sampler, fitted(known, models[0], sampler))
        of_all = models == [""] or len(models) == len(report.models)
        yield title if of_all else f"{', '.join(models)} · {title}", curves


def _agree(some: dict[str, Curve], others: dict[str, Curve]) -> bool:
    """Whether the same pictures were measured: all numbers are equal where both have one."""
    both = [name for name in some if name in others]
    pairs = [pair for name in both for pair in _shared(some[name], others[name])]
    return bool(pairs) and all((a.mean, a.n) == (b.mean, b.n) for a, b in pairs)


def _shared(one: Curve, other: Curve) -> list[tuple[Point, Point]]:
    at = {point.log_snr: point for point in drawable(one)}
    return [(at[p.log_snr], p) for p in drawable(other) if p.log_snr in at]


def _joined(one: Curve | None, other: Curve) -> Curve:
    """The points of both."""
    points = {p.log_snr: p for curve in (other, one) if curve for p in drawable(curve)}
    return replace(one or other, points=tuple(sorted(points.values(), key=lambda p: p.t)))


def charts(report: Report, drawn: Sequence[Entry]) -> list[Chart]:
    """A chart per measure that has any finite value at a finite logSNR."""
    x = log_snr_scale(drawn)
    shown = [name for name in report.measures if any(e.points(name) for e in drawn)]
    return [chart(report, name, [e for e in drawn if e.points(name)], x) for name in shown]


def groups(drawn: Sequence[Chart]) -> dict[str, list[Chart]]:
    """The charts of single measures under "", then those of each family (`kept/0`, `kept/1`, …)."""
    found: dict[str, list[Chart]] = {"": []}
    for chart in drawn:
        found.setdefault(family(chart.measure) if "/" in chart.measure else "", []).append(chart)
    return {name: some for name, some in found.items() if some}


def styles(series: Sequence[Series]) -> list[Style]:
    """Colour and marker, dash and filling of each (`charts.variants`)."""
    return [_style(*each) for each in variants([(one.model, one.sampler) for one in series])]


def _style(kind: int, variant: int) -> Style:
    return Style(kind, DASHES[variant], MARKERS[kind], hollow=bool(variant % 2))


# --- one chart ----------------------------------------------------------------------------------


def chart(report: Report, name: str, drawn: Sequence[Entry], x: Scale) -> Chart:
    known = {model.name: model.floor[name] for model in report.models
              if math.isfinite(model.floor.get(name, math.nan))}  # fmt: skip
    areas = sum(not entry.reference for entry in drawn) <= MOST_AREAS
    y = _value_scale(name, drawn, list(known.values()))
    floors = (Floor(y(value), model, measured(name, value)) for model, value in known.items())
    return Chart(
        name, measure_title(name), measure_unit(name), which_is_closer(name), measure_what(name),
        x_ticks=ticks(x, 7),
        y_ticks=ticks(y, 5),
        t_ticks=_t_ticks(drawn, x),
        stages=stages(x),
        lines=tuple(_line(entry, name, x, y, areas) for entry in drawn),
        floors=tuple(floors),
        rows=tuple(_rows(drawn, name, x)),
    )  # fmt: skip


def drawable(curve: Curve) -> list[Point]:
    """The points that have a place in a plot."""
    return [p for p in curve.points if math.isfinite(p.log_snr) and math.isfinite(p.mean)]


def log_snr_scale(drawn: Sequence[Entry]) -> Scale:
    """All levels with a little room; the largest logSNR, hence the least noise, at the left."""
    every = (drawable(curve) for entry in drawn for curve in entry.curves.values())
    found = [p.log_snr for points in every for p in points] or [0.0]
    low, high = _widened(min(found), max(found), 0.04)
    return Scale(high, low, LEFT, RIGHT)


def _value_scale(name: str, drawn: Sequence[Entry], floors: Sequence[float]) -> Scale:
    """Everything that is drawn with a little room, but nothing that no value can reach.

    References may stretch the axis by half of what networks span, at either end; what lies
    beyond is cut: x_t itself is so far from x0 that it would flatten all else. `ALWAYS` has its
    own rule.
    """
    of_networks = [entry for entry in drawn if not entry.reference] or drawn
    own = [*floors, *ALWAYS.get(family(name), ())]
    own += [value for entry in of_networks for value in _values(entry, name)]
    low, high = min(own), max(own)
    room = (high - low) / 2
    every = (value for entry in drawn for value in _values(entry, name))
    own += [min(max(value, low - room), high + room) for value in every]
    low, high = _widened(min(own), max(own), 0.06)
    least, most = bounds(name)
    return Scale(max(low, least), min(high, most), BOTTOM, TOP + STRIP)


def _values(entry: Entry, name: str) -> list[float]:
    """Means and ends of intervals; of a family in `ALWAYS`, means alone."""
    points = entry.points(name)
    known = [] if family(name) in ALWAYS else [end for point in points for end in ends(point)]
    return known + [point.mean for point in points]


def ends(point: Point) -> tuple[float, ...]:
    """Low and high of the interval of a mean, or nothing where there is none."""
    both = point.low, point.high
    return both if all(map(math.isfinite, both)) else ()


def _widened(low: float, high: float, share: float) -> tuple[float, float]:
    """A range with room at both ends, and never empty."""
    room = (high - low) * share or max(abs(high) * share, 1e-3)
    return low - room, high + room


def _line(entry: Entry, name: str, x: Scale, y: Scale, areas: bool) -> Line:
    points = sorted(entry.points(name), key=lambda p: -p.log_snr)
    if entry.reference:  # cut by its clip path
        return Line(entry, _path([(x(p.log_snr), y(p.mean)) for p in points]), "", ())
    at = [(x(p.log_snr), y(y.within(p.mean))) for p in points]
    known = [(x(p.log_snr), *(y(y.within(end)) for end in ends(p))) for p in points if ends(p)]
    upper, lower = [(at, high) for at, _, high in known], [(at, low) for at, low, _ in known]
    band = _path([*upper, *reversed(lower)]) + "z" if areas and len(known) > 1 else ""
    bars = {at: f"M{at:g} {low:g}V{high:g}" for at, low, high in known if not band}
    dots = tuple(Dot(*each, bars.get(each[0], "")) for each in at)
    return Line(entry, _path(at), band, dots)


def _path(points: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x:g} {y:g}" for x, y in points) if points else ""


def _rows(drawn: Sequence[Entry], name: str, x: Scale) -> list[Row]:
    """Every level from clean to noise, with what each line has there."""
    held = [{p.log_snr: p for p in entry.points(name)} for entry in drawn]
    rows = []
    for log_snr in sorted({level for points in held for level in points}, reverse=True):
        points = tuple(each.get(log_snr) for each in held)
        names = dict.fromkeys(f"{point.t:g}" for point in points if point)
        rows.append(Row(" / ".join(names), log_snr, x(log_snr), points))
    return rows


def said(measure: str, point: Point) -> str:
    """`24.13 dB [23.80, 24.40]`."""
    unit = f" {measure_unit(measure)}" if measure_unit(measure) else ""
    both = ", ".join(measured(measure, end) for end in ends(point))
    return measured(measure, point.mean) + unit + (f" [{both}]" if both else "")


# --- axes ---------------------------------------------------------------------------------------


def _step(span: float, count: int) -> float:
    """1, 2 or 5 times a power of ten, so that `span` has about `count` steps."""
    power = 10.0 ** math.floor(math.log10(span / count))
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor * count >= span)


def ticks(scale: Scale, most: int) -> tuple[Tick, ...]:
    """Round numbers along an axis."""
    low, high = sorted((scale.low, scale.high))
    step = _step(high - low, most)
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    first, last = math.ceil(low / step - 1e-6), math.floor(high / step + 1e-6)
    values = [index * step for index in range(first, last + 1)]
    return tuple(Tick(scale(value), number(value, digits)) for value in values)


def _t_ticks(drawn: Sequence[Entry], x: Scale) -> tuple[Tick, ...]:
    """The t of levels, where all models agree on it."""
    every = [p for entry in drawn for curve in entry.curves.values() for p in drawable(curve)]
    return tuple(Tick(at, t) for t, at in named_levels(every, x, T_SPACING))


def stages(x: Scale) -> tuple[Stage, ...]:
    """Clean-up, content and coarse, from left to right, cut to the plot."""
    found = []
    for name, bounds_ in reversed(BOUNDS.items()):
        right, left = (min(max(edge, x.high), x.low) for edge in bounds_)
        found += [Stage(name, x(left), x(right))] if left > right else []
    return tuple(found)
