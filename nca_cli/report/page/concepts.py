"""Concepts in the page: where half of each is lost, in which order, and the curves behind it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from nca_cli.analysis import HalfLevel, Turn
from nca_cli.concepts import ConceptRetention
from nca_cli.concepts.retained import Accuracy
from nca_cli.figures.curves.panel import Trace, drawable, ends
from nca_cli.figures.curves.svg import Chart
from nca_cli.figures.curves.titles import RETENTION
from nca_cli.report.data import Report
from nca_cli.report.data.words import concept_title, in_turn, listed
from nca_cli.report.page.charts import charted, log_snr_span, of_series
from nca_cli.report.page.halves import HalfChart, forest
from nca_cli.report.page.orders import Ordered, SeriesOrder, series_orders


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

    forest: HalfChart | None
    """Where half of each is lost, in every series."""
    nowhere: tuple[str, ...]
    """Which concepts are not in it, and why: a sentence for each reason."""
    charts: tuple[Chart, ...]
    """Curves, from what goes first."""
    orders: tuple[SeriesOrder, ...]
    rows: tuple[ConceptRow, ...]
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
    ordered = Ordered(found.half_levels, found.curves, found.orders,
                      lambda measure: concept_title(measure, found))  # fmt: skip
    return Section(
        forest(report, drawn), tuple(_nowhere(found, halves)), charts,
        tuple(series_orders(report, drawn, ordered)), rows, tuple(_notes(found, unsure)),
    )  # fmt: skip


def _accuracy(read: Accuracy | None) -> str:
    known = read is not None and math.isfinite(read.value)
    return f"{read.measured_by} {read.value:.2f}" if read and known else "–"


def _chart(report: Report, found: ConceptRetention, measure: str, drawn: Sequence[Trace]) -> Chart:
    mine = {(c.model, c.sampler): c.points
            for c in found.curves if c.measure == measure and drawable(c)}  # fmt: skip
    name = f"{RETENTION}/{concept_title(measure, found)}"
    entries = of_series(report, drawn, name, mine)
    return charted(report, name, entries, log_snr_span(drawn))


def _nowhere(found: ConceptRetention, halves: Iterable[HalfLevel]) -> Iterator[str]:
    """`No half-level of age and smile: all images have the same value.`"""
    known = {half.measure for half in halves if half.turn is not Turn.UNKNOWN}
    why: dict[str, str] = {}
    for half in halves:
        if half.measure not in known:
            why.setdefault(concept_title(half.measure, found), half.log_snr.blank)
    for reason in dict.fromkeys(why.values()):
        names = [title for title, blank in why.items() if blank == reason]
        yield f"No half-level of {listed(names)}: {reason}."


def _notes(found: ConceptRetention, unsure: Sequence[str]) -> Iterable[str]:
    yield from found.notes
    if unsure:
        yield f"Too few images to draw a curve of: {', '.join(unsure)}; the table says why."
    most = max((half.log_snr.n for half in found.half_levels), default=0)
    if most < 30:
        yield f"Only {most} images have known concepts: intervals are wide."
