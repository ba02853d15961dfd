"""Concepts in the page: what is left of each at each level, and which goes first."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from nca_cli.analysis import HalfLevel, Turn
from nca_cli.concepts import ConceptRetention
from nca_cli.concepts.retained import Accuracy
from nca_cli.figures.curves.panel import Trace, drawable, ends
from nca_cli.figures.curves.svg import Chart
from nca_cli.figures.curves.titles import RETENTION
from nca_cli.report.data import Report
from nca_cli.report.data.words import (
    at,
    concept_title,
    count,
    in_turn,
    isolated,
    listed,
    measured_range,
)
from nca_cli.report.page.charts import charted, log_snr_span, of_series


@dataclass(frozen=True)
class ConceptRow:
    """A half-level in the table."""

    concept: str
    half: HalfLevel
    accuracy: str
    """How well the probe reads it: `R² 0.80`."""


@dataclass(frozen=True)
class Section:
    """What the template draws."""

    charts: tuple[Chart, ...]
    rows: tuple[ConceptRow, ...]
    orders: tuple[str, ...]
    notes: tuple[str, ...]


def section(report: Report, drawn: Sequence[Trace]) -> Section | None:
    """The section, or nothing where no concept is known."""
    found = report.concepts
    if found is None or not found.curves:
        return None
    halves = sorted(found.half_levels, key=in_turn)
    sure = {curve.measure for curve in found.curves if any(map(ends, curve.points))}
    metrics = dict.fromkeys(half.measure for half in halves)
    charts = tuple(_chart(report, found, each, drawn) for each in metrics if each in sure)
    unsure = [concept_title(each, found) for each in metrics if each not in sure]
    read = {each.measure: each for each in found.accuracies}
    rows = tuple(
        ConceptRow(concept_title(half.measure, found), half, _accuracy(read.get(half.measure)))
        for half in halves
    )
    return Section(charts, rows, tuple(_said(found)), tuple(_notes(found, unsure)))


def _accuracy(read: Accuracy | None) -> str:
    known = read is not None and math.isfinite(read.value)
    return f"{read.measured_by} {read.value:.2f}" if read and known else "–"


def _chart(report: Report, found: ConceptRetention, measure: str, drawn: Sequence[Trace]) -> Chart:
    mine = {(c.model, c.sampler): c.points
            for c in found.curves if c.measure == measure and drawable(c)}  # fmt: skip
    name = f"{RETENTION}/{concept_title(measure, found)}"
    entries = of_series(report, drawn, name, mine)
    return charted(report, name, entries, log_snr_span(drawn))


def _said(found: ConceptRetention) -> Iterable[str]:
    """For each series: what is gone already, what goes then, what lasts, and how sure that is."""
    for key in dict.fromkeys((half.model, half.sampler) for half in found.half_levels):
        curves = {each.measure: each for each in _of(found.curves, key)
                  if any(map(ends, each.points))}  # fmt: skip
        halves = [half for half in _of(found.half_levels, key) if half.measure in curves]
        known = [order for order in _of(found.orders, key) if math.isfinite(order.probability)]
        orders = [order for order in known if {order.first, order.then} <= set(curves)]
        if orders:
            levels = [level for curve in curves.values() for level in measured_range(curve)]
            turns = _turns(found, halves, min(levels), max(levels))
            sure, n = sum(order.certain for order in orders), min(h.log_snr.n for h in halves)
            pairs = f"{sure} of {count(len(orders), 'pair')} are ordered with ≥ 95 % probability"
            unit = f"95 % intervals, n = {count(n, 'image')}"
            yield f"{isolated(' · '.join(key))}: {turns}. {pairs} ({unit})."


def _of(every: Iterable[Any], key: tuple[str, str]) -> list[Any]:
    """Those of one model and sampler."""
    return [each for each in every if (each.model, each.sampler) == key]


def _turns(
    found: ConceptRetention, halves: Iterable[HalfLevel], noisiest: float, cleanest: float
) -> str:
    """Every concept by name: gone, in the order of their half-levels, and left."""
    words = {
        Turn.GONE: f"at SNR {at(cleanest)} half is lost already of",
        Turn.GOES: "half is lost, by the estimates in this order, of",
        Turn.LASTS: f"at SNR {at(noisiest)} more than half is left of",
    }
    said: dict[Turn, list[str]] = {turn: [] for turn in words}
    for half in sorted(halves, key=in_turn):
        said.setdefault(half.turn, []).append(concept_title(half.measure, found))
    return "; ".join(f"{words[turn]} {listed(said[turn])}" for turn in words if said[turn])


def _notes(found: ConceptRetention, unsure: Sequence[str]) -> Iterable[str]:
    yield from found.notes
    if unsure:
        yield f"Too few images to draw a curve of: {', '.join(unsure)}; the table says why."
    most = max((half.log_snr.n for half in found.half_levels), default=0)
    if most < 30:
        yield f"Only {most} images have known concepts: intervals are wide."
