"""Concepts in the page: what is left of each at each level, and which goes first."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from nca_cli.analysis import HalfLevel
from nca_cli.concepts import (
    ConceptRetention,
    concept_curves,
    concept_retention,
    load_probe,
    portrait_truth,
    read_labels,
)
from nca_cli.concepts.retained import CONCEPT, Accuracy
from nca_cli.errors import NothingStored
from nca_cli.report.content import Report
from nca_cli.report.curves import Chart, Entry, chart, drawable, ends, log_snr_scale
from nca_cli.report.findings import Turn, at, in_turn, measured_range, turn
from nca_cli.report.words import RETENTION, count, isolated, listed
from nca_cli.store import Store


def with_concepts(
    report: Report, store: Store, labels: str | Path | None = None, probe: str | None = None
) -> Report:
    """A report with the concepts of its images, where they are known.

    Without `labels`, those of the bundled portraits; where none of them is stored, nothing. Raises
    as `concept_curves` where labels or a probe were named.
    """
    truth = read_labels(labels) if labels else portrait_truth()
    own = load_probe(probe) if probe else None
    try:
        found = concept_curves(store, report.filters, truth, own)
    except NothingStored:
        if labels or probe:
            raise
        return report
    return replace(report, concepts=concept_retention(found.readings, found.notes, found.probed))


def title(measure: str, found: ConceptRetention | None = None) -> str:
    """`concept/hair_length` → `hair length`; of a colour, `hair colour`."""
    colour = found is not None and f"{measure}_g" in found.measures
    return measure.removeprefix(CONCEPT).replace("_", " ") + (" colour" if colour else "")


# --- the page -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Row:
    """A half-level in the table."""

    concept: str
    half: HalfLevel
    accuracy: str
    """How well the probe reads it: `R² 0.80`."""


@dataclass(frozen=True)
class Section:
    """What the template draws."""

    charts: tuple[Chart, ...]
    rows: tuple[Row, ...]
    orders: tuple[str, ...]
    notes: tuple[str, ...]


def section(report: Report, drawn: Sequence[Entry]) -> Section | None:
    """The section, or nothing where no concept is known."""
    found = report.concepts
    if found is None or not found.curves:
        return None
    halves = sorted(found.half_levels, key=in_turn)
    sure = {curve.measure for curve in found.curves if any(map(ends, curve.points))}
    measures = dict.fromkeys(half.measure for half in halves)
    charts = tuple(_chart(report, found, each, drawn) for each in measures if each in sure)
    unsure = [title(each, found) for each in measures if each not in sure]
    read = {each.measure: each for each in found.accuracies}
    rows = tuple(Row(title(half.measure, found), half, _accuracy(read.get(half.measure)))
                 for half in halves)  # fmt: skip
    return Section(charts, rows, tuple(_said(found)), tuple(_notes(found, unsure)))


def _accuracy(read: Accuracy | None) -> str:
    known = read is not None and math.isfinite(read.value)
    return f"{read.measured_by} {read.value:.2f}" if read and known else "–"


def _chart(report: Report, found: ConceptRetention, measure: str, drawn: Sequence[Entry]) -> Chart:
    mine = {(c.model, c.sampler): c for c in found.curves if c.measure == measure and drawable(c)}
    name = f"{RETENTION}/{title(measure, found)}"
    series = [(one.model, one.sampler) for one in report.series]
    entries = [
        Entry(entry.index, entry.name, entry.style, {name: replace(mine[key], measure=name)})
        for entry, key in zip(drawn, series, strict=False) if key in mine
    ]  # fmt: skip
    return chart(report, name, entries, log_snr_scale(drawn))


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
            pairs = f"Of {count(len(orders), 'pair')} the order of {sure} is certain"
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
        said.setdefault(turn(half), []).append(title(half.measure, found))
    return "; ".join(f"{words[turn]} {listed(said[turn])}" for turn in words if said[turn])


def _notes(found: ConceptRetention, unsure: Sequence[str]) -> Iterable[str]:
    yield from found.notes
    if unsure:
        yield f"Too few images to draw a curve of: {', '.join(unsure)}; the table says why."
    most = max((half.log_snr.n for half in found.half_levels), default=0)
    if most < 30:
        yield f"Only {most} images have known concepts: intervals are wide."
