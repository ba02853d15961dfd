"""The chart of half-levels: which measure loses its half first, and where."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from nca_cli.analysis import HalfLevel, Turn
from nca_cli.concepts.retained import CONCEPT
from nca_cli.figures.curves.halves import HalfMark, HalfRows, Key, half_rows
from nca_cli.figures.curves.panel import StageArea, Trace
from nca_cli.figures.curves.svg import Tick, log_snr_scale, stage_boxes, ticks
from nca_cli.figures.curves.titles import band_title, family, full_title, part
from nca_cli.metrics import described
from nca_cli.report.data import Report
from nca_cli.report.data.findings import leading
from nca_cli.report.data.words import at, at_between, concept_title, count, measured_range

BANDS = "coherence"
"""Whose octave bands stand for spatial frequency."""


@dataclass(frozen=True)
class PageMark:
    """A half-level in the chart; places in per cent of its width."""

    entry: Trace
    half: HalfLevel
    at: float
    low: float
    high: float
    """Left end and width of its interval."""
    open: tuple[bool, bool]
    """Whether its interval reaches beyond the levels, to less and to more noise."""
    text: str
    """For a reader of the chart."""

    @property
    def beyond(self) -> str:
        """`gone` before the cleanest level, `lasts` to the noisiest one, or nothing."""
        return {Turn.GONE: "gone", Turn.LASTS: "lasts"}.get(self.half.turn, "")


@dataclass(frozen=True)
class HalfChart:
    """What is lost first, from what one series loses first to what it loses last."""

    title: str
    first: str
    """The name of the series whose order the rows have."""
    rows: tuple[tuple[str, list[PageMark]], ...]
    """Title of each metric, and where each series loses half of it."""
    x_ticks: tuple[Tick, ...]
    stages: tuple[StageArea, ...]
    span: tuple[float, float]
    """logSNR at the left and at the right end."""


def half_chart(report: Report, drawn: Sequence[Trace]) -> HalfChart | None:
    """All metrics that say so (`Metric.half_level`), or nothing where no half-level was found."""
    halves = [half for half in report.analysis.half_levels
              if (known := described(half.measure)) and known.half_level]  # fmt: skip
    if not any(half.turn is Turn.GOES for half in halves):
        return None
    keys = [(one.model, one.sampler) for one in report.series]
    return _chart(report, drawn, halves, keys, full_title, "")


def answers(report: Report, drawn: Sequence[Trace]) -> list[HalfChart]:
    """The first screen: bands, and concepts where they are known, of each model's leading series.

    Both have one axis.
    """
    keys = [(one.model, one.sampler) for one in leading(report)]
    bands = [half for half in report.analysis.half_levels if family(half.measure) == BANDS]

    def of_band(measure: str) -> str:
        return band_title(int(part(measure)))

    made = (
        _chart(report, drawn, bands, keys, of_band, "Spatial frequency"),
        _concepts(report, drawn, keys),
    )
    return [chart for chart in made if chart]


def forest(report: Report, drawn: Sequence[Trace]) -> HalfChart | None:
    """Concepts of every series."""
    return _concepts(report, drawn, [(one.model, one.sampler) for one in report.series])


def _concepts(report: Report, drawn: Sequence[Trace], keys: Sequence[Key]) -> HalfChart | None:
    halves = report.concepts.half_levels if report.concepts else ()

    def titled(measure: str) -> str:
        return concept_title(measure, report.concepts)

    return _chart(report, drawn, halves, keys, titled, "Concepts")


def _chart(
    report: Report, drawn: Sequence[Trace], halves: Iterable[HalfLevel], keys: Sequence[Key],
    title: Callable[[str], str], name: str,
) -> HalfChart | None:  # fmt: skip
    entries = {(c.model, c.sampler): e for e in drawn if not e.reference for c in e.curves.values()}
    levels = [p.log_snr for e in drawn for c in e.curves.values() for p in c.points]
    first = [(one.model, one.sampler) for one in leading(report)]
    found = half_rows(halves, keys, levels, first)
    if found is None:
        return None
    rows = tuple(
        (title(measure), [_placed(report, mark, entries[mark.key], found) for mark in marks])
        for measure, marks in found.rows
    )
    x = log_snr_scale(found.x, 0.0, 100.0)
    return HalfChart(name, entries[found.first].name, rows, ticks(x, 8), stage_boxes(found.x, x),
                     (found.x.high, found.x.low))  # fmt: skip


def _placed(report: Report, mark: HalfMark, entry: Trace, found: HalfRows) -> PageMark:
    x = log_snr_scale(found.x, 0.0, 100.0)
    left, right = x(mark.high), x(mark.low)
    return PageMark(entry, mark.half, x(mark.at), left, round(right - left, 1), mark.open,
                    f"{entry.name}: {_said(report, mark.half, entry)}")  # fmt: skip


def _said(report: Report, half: HalfLevel, entry: Trace) -> str:
    where = half.log_snr
    noisiest, cleanest = _levels(report, half, entry)
    n = count(where.n, "image")
    if half.turn is Turn.LASTS:
        return f"more than half is left at the last level, SNR {at(noisiest)} (n = {n})"
    if half.turn is Turn.GONE:
        return f"half is lost before the first level, SNR {at(cleanest)} (n = {n})"
    sure = ", no interval" if math.isnan(where.low) else ""
    return f"half is lost at SNR {at_between(where, noisiest, cleanest)} (n = {n}{sure})"


def _levels(report: Report, half: HalfLevel, entry: Trace) -> tuple[float, float]:
    """logSNR of the noisiest and the cleanest level at which it was measured."""
    if half.measure.startswith(CONCEPT):
        curves = report.concepts.curves if report.concepts else ()
        mine = [one for one in curves if (one.model, one.sampler, one.measure)
                == (half.model, half.sampler, half.measure)]  # fmt: skip
        return measured_range(mine[0]) if mine else (math.nan, math.nan)
    return measured_range(entry.curves[half.measure])
