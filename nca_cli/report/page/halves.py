"""The chart of half-levels: which measure loses its half first, and where."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from nca_cli.analysis import HalfLevel, Turn
from nca_cli.figures.curves.panel import AxisRange, StageArea, Trace, widened
from nca_cli.figures.curves.svg import Scale, Tick, log_snr_scale, stage_boxes, ticks
from nca_cli.figures.curves.titles import full_title
from nca_cli.report.data import Report, Series
from nca_cli.report.data.findings import leading
from nca_cli.report.data.words import at_between, count, in_turn, known_halves, measured_range


@dataclass(frozen=True)
class Mark:
    """A half-level in the chart; places in per cent of its width."""

    entry: Trace
    half: HalfLevel
    at: float
    low: float
    high: float
    open: tuple[bool, bool]
    """Whether its interval reaches beyond the levels, to less and to more noise."""

    @property
    def text(self) -> str:
        """For a reader of the chart."""
        where = self.half.log_snr
        sure = ", no interval" if math.isnan(where.low) else ""
        when = at_between(where, *measured_range(self.entry.curves[self.half.measure]))
        return (
            f"{self.entry.name}: half is lost at SNR {when} (n = {count(where.n, 'image')}{sure})"
        )


@dataclass(frozen=True)
class HalfChart:
    """What goes when, from what one series loses first to what it loses last."""

    first: str
    """The name of that series."""
    rows: tuple[tuple[str, list[Mark]], ...]
    """Title of each metric, and where each series loses half of it."""
    x_ticks: tuple[Tick, ...]
    stages: tuple[StageArea, ...]


def half_chart(report: Report, drawn: Sequence[Trace]) -> HalfChart | None:
    """The chart, or nothing where no half-level was found."""
    halves = known_halves(report.analysis)
    if not halves:
        return None
    span = _span(halves, drawn)
    x = log_snr_scale(span, 0.0, 100.0)
    entries = {(c.model, c.sampler): e for e in drawn if not e.reference for c in e.curves.values()}
    rows: dict[str, list[Mark]] = {}
    for half in sorted(halves, key=lambda half: entries[half.model, half.sampler].index):
        mark = _mark(half, entries[half.model, half.sampler], span, x)
        rows.setdefault(half.measure, []).append(mark)
    first = _first(report, halves)
    lost = {half.measure: in_turn(half) for half in report.analysis.half_levels
            if (half.model, half.sampler) == (first.model, first.sampler)}  # fmt: skip
    unknown = Turn.UNKNOWN.value, 0.0
    order = sorted(rows, key=lambda name: (lost.get(name, unknown), rows[name][0].at))
    found = tuple((full_title(measure), rows[measure]) for measure in order)
    return HalfChart(first.name, found, ticks(x, 8), stage_boxes(span, x))


def _first(report: Report, halves: Iterable[HalfLevel]) -> Series:
    """The series whose order the rows have: the first that leads, of those with half-levels."""
    known = {(half.model, half.sampler) for half in halves}
    return next(s for s in (*leading(report), *report.series) if (s.model, s.sampler) in known)


def _span(halves: Iterable[HalfLevel], drawn: Sequence[Trace]) -> AxisRange:
    """All measured levels."""
    points = (p for entry in drawn for curve in entry.curves.values() for p in curve.points)
    levels = [p.log_snr for p in points if math.isfinite(p.log_snr)]
    levels += [half.log_snr.value for half in halves]
    return widened(min(levels), max(levels), 0.02)


def _mark(half: HalfLevel, entry: Trace, span: AxisRange, x: Scale) -> Mark:
    where = half.log_snr
    ends = [where.value if math.isnan(end) else end for end in (where.high, where.low)]
    left, right = (x(span.within(end)) for end in ends)
    open_ = where.high > span.high, where.low < span.low
    return Mark(entry, half, x(where.value), left, round(right - left, 1), open_)
