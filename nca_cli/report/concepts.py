"""Concepts in the page: what is left of each at each level, and which goes first."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

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
from nca_cli.report.words import RETENTION, isolated
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
    colour = found and any(value.measure == f"{measure}_g" for value in found.values)
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
    halves = sorted(found.half_levels, key=_place)
    sure = {curve.measure for curve in found.curves if any(map(ends, curve.points))}
    measures = dict.fromkeys(half.measure for half in halves)
    charts = tuple(_chart(report, found, each, drawn) for each in measures if each in sure)
    unsure = [title(each, found) for each in measures if each not in sure]
    read = {each.measure: each for each in found.accuracies}
    rows = tuple(Row(title(half.measure, found), half, _accuracy(read.get(half.measure)))
                 for half in halves)  # fmt: skip
    return Section(charts, rows, tuple(_said(found)), tuple(_notes(found, unsure)))


def _place(half: HalfLevel) -> tuple[int, float]:
    """What goes first comes first; then what outlasts the levels; then what is not known."""
    if math.isfinite(half.log_snr.value):
        return 0, -half.log_snr.value
    return (1 if "not even" in half.log_snr.blank else 2), 0.0


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
    """The order of the two concepts that differ most, for each series."""
    for key in dict.fromkeys((half.model, half.sampler) for half in found.half_levels):
        mine = [half for half in found.half_levels if (half.model, half.sampler) == key
                and math.isfinite(half.log_snr.low)]  # fmt: skip
        mine.sort(key=_place)
        if len(mine) > 1:
            first, last = mine[0], mine[-1]
            names = [half.measure.removeprefix(CONCEPT) for half in (first, last)]
            sure = found.probability(names[0], names[1], *key)
            yield (
                f"{isolated(' · '.join(key))} loses half of {title(first.measure, found)} first "
                f"and half of {title(last.measure, found)} last; these two go in this order "
                f"in {sure:.0%} of the bootstrap draws "
                f"(n = {min(first.log_snr.n, last.log_snr.n)} images)."
            )


def _notes(found: ConceptRetention, unsure: Sequence[str]) -> Iterable[str]:
    yield from found.notes
    if unsure:
        yield f"Too few images to draw a curve of: {', '.join(unsure)}; the table says why."
    most = max((half.log_snr.n for half in found.half_levels), default=0)
    if most < 30:
        yield f"Only {most} images have known concepts: intervals are wide."
