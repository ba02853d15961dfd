"""Which of two comes first, as a small matrix: concepts that are lost, levels that are learned."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from nca_cli.analysis import Curve, HalfLevel
from nca_cli.analysis.emergence import LearnedOrder
from nca_cli.analysis.halflevel import Order
from nca_cli.figures.curves.panel import Trace, ends
from nca_cli.figures.curves.titles import metric_title
from nca_cli.metrics.registry import family
from nca_cli.recipe import Number
from nca_cli.report.data import Report
from nca_cli.report.data.findings import leading
from nca_cli.report.data.words import count, in_turn


@dataclass(frozen=True)
class OrderCell:
    """A pair: the row comes before the column."""

    per_cent: str
    """How often, among joint draws of the images; nothing where that is not known."""
    certain: bool


@dataclass(frozen=True)
class OrderMatrix:
    """All pairs of one series; rows and columns are in the order of the estimates."""

    names: tuple[str, ...]
    rows: tuple[tuple[OrderCell, ...], ...]
    """Of each name but the last, against all that follow it."""
    images: int

    @property
    def summary(self) -> str:
        """`25 of 78 pairs are certain, n = 31 images`."""
        known = [cell for row in self.rows for cell in row if cell.per_cent]
        certain = sum(cell.certain for cell in known)
        pairs = count(len(known), "pair")
        are = "is" if certain == 1 else "are"
        return f"{certain} of {pairs} {are} certain, n = {count(self.images, 'image')}"


def order_matrix(
    measures: Sequence[str], titles: Sequence[str], orders: Iterable[Order], images: int
) -> OrderMatrix | None:
    """Of `measures`, in the order in which they are lost; nothing where no order is known.

    Measures of which no order is known are left out.
    """
    found = {}
    for one in orders:
        if math.isfinite(one.probability):
            found[one.first, one.then] = one.probability, one.certain
            found[one.then, one.first] = 1 - one.probability, one.certain
    ordered = {measure for pair in found for measure in pair}
    kept = [(m, title) for m, title in zip(measures, titles, strict=True) if m in ordered]
    if len(kept) < 2:
        return None
    names = [measure for measure, _ in kept]
    rows = (tuple(_cell(found.get((one, other))) for other in names[place + 1 :])
            for place, one in enumerate(names[:-1]))  # fmt: skip
    return OrderMatrix(tuple(title for _, title in kept), tuple(rows), images)


def _cell(known: tuple[float, bool] | None) -> OrderCell:
    if known is None:
        return OrderCell("", False)
    return OrderCell(f"{100 * known[0]:.0f}", known[1])


@dataclass(frozen=True)
class SeriesOrder:
    """Which measure a series loses before which."""

    key: tuple[str, str]
    """Its model and sampler."""
    entry: Trace
    matrix: OrderMatrix
    first: bool
    """Whether the series speaks for its model; the others wait in a fold."""


@dataclass(frozen=True)
class Ordered:
    """What is ordered: concepts, or octave bands."""

    half_levels: Sequence[HalfLevel]
    curves: Sequence[Curve]
    orders: Sequence[Order]
    title: Callable[[str], str]


def series_orders(report: Report, drawn: Sequence[Trace], every: Ordered) -> Iterator[SeriesOrder]:
    """Of each series with intervals, those that speak for their model first."""
    speakers = [report.series.index(one) for one in leading(report)]
    for place in dict.fromkeys([*speakers, *range(len(report.series))]):
        key = report.series[place].model, report.series[place].sampler
        halves = sorted(_of(every.half_levels, key), key=in_turn)
        sure = {each.measure for each in _of(every.curves, key) if any(map(ends, each.points))}
        halves = [half for half in halves if half.measure in sure]
        measures = [half.measure for half in halves]
        pairs = (one for one in _of(every.orders, key) if {one.first, one.then} <= sure)
        n = min((half.log_snr.n for half in halves), default=0)
        matrix = order_matrix(measures, [*map(every.title, measures)], pairs, n)
        if matrix:
            yield SeriesOrder(key, drawn[place], matrix, place in speakers)


def band_orders(report: Report, drawn: Sequence[Trace]) -> tuple[SeriesOrder, ...]:
    """Of octave bands, where the intervals of some overlap; else a chart of them says it all."""
    analysis, bands = report.analysis, "coherence"
    halves = [each for each in analysis.half_levels if family(each.measure) == bands]
    curves = [each for each in analysis.curves if family(each.measure) == bands]
    orders = [each for each in analysis.orders if family(each.first) == bands]
    found = series_orders(report, drawn, Ordered(halves, curves, orders, metric_title))
    return tuple(one for one in found if _overlap(_of(halves, one.key)))


def _overlap(halves: Iterable[HalfLevel]) -> bool:
    """Whether two of their intervals do, so that these do not tell which is lost first."""
    known = [half.log_snr for half in halves if math.isfinite(half.log_snr.value)
             and not math.isnan(half.log_snr.low)]  # fmt: skip
    return any(one.low <= other.high and other.low <= one.high
               for one, other in combinations(known, 2))  # fmt: skip


def _of(every: Iterable[Any], key: tuple[str, str]) -> list[Any]:
    """Those of one model and sampler."""
    return [each for each in every if (each.model, each.sampler) == key]


Pair = tuple[int, int, float]
"""Of two levels or measures by number: the probability that the first is learned earlier."""


def orders_of_levels(
    orders: Iterable[LearnedOrder], metric: str, t: Sequence[Number]
) -> list[Pair]:
    """Every two levels of one measure of a training."""
    places = {each: place for place, each in enumerate(t)}
    return [(places[one.t], places[one.then_t], round(one.probability, 4))
            for one in orders if one.metric == one.then_metric == metric]  # fmt: skip


def orders_of_measures(
    orders: Iterable[LearnedOrder], metrics: Sequence[str], t: Sequence[Number]
) -> list[list[Pair]]:
    """For each level, every two measures of one family: concepts, or octave bands."""
    places = {metric: place for place, metric in enumerate(metrics)}
    found: dict[Number, list[Pair]] = {each: [] for each in t}
    for one in orders:
        both = one.metric, one.then_metric
        alike = both[0] != both[1] and family(both[0]) == family(both[1])
        if alike and {*both} <= places.keys() and one.t in found:
            found[one.t].append((places[both[0]], places[both[1]], round(one.probability, 4)))
    return list(found.values())
