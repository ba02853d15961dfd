"""Retention of concepts with 95 % intervals, their half-levels, and in which order they go.

Retention (`curves.retention`) is a statistic over images: Cov(truth, reading)/Var(truth), relative
to the clean images. Seeds of an image are averaged first, and images are drawn with replacement,
as in `nca_cli.analysis`; the draws are the same for all concepts of a model and sampler, so that
their order is resampled jointly. A slope needs more images than a mean: below `FEWEST` there is
no interval, and none either for something that fewer than `MIN_IMAGES` images have (or lack).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations

import numpy as np

from nca_cli.analysis.bootstrap import MIN_IMAGES, Estimate, interval, weights
from nca_cli.analysis.curves import Curve, Point
from nca_cli.analysis.halflevel import (
    Found,
    HalfLevel,
    Order,
    crossings,
    located,
    ordered,
    unlevelled,
)
from nca_cli.analysis.values import Value, common_levels
from nca_cli.concepts.curves import READABLE, Reading
from nca_cli.concepts.probe import Concept
from nca_cli.concepts.truth import CHANNELS
from nca_cli.recipe import Number

CONCEPT = "concept/"
"""How the metric of a concept begins."""
FEWEST = 8
"""Images; of fewer, a slope says next to nothing about other images."""
USABLE = 0.9
"""Share of the draws that must show the concept to vary, for there to be an interval."""


@dataclass(frozen=True)
class Accuracy:
    """How well the probe reads a concept from pictures that it was not fitted to."""

    measure: str
    value: float
    """NaN of a function of a user, which says nothing about it."""
    measured_by: str
    """`R²` or `balanced accuracy`; nothing where there is no value."""


@dataclass(frozen=True)
class ConceptRetention:
    """Measures are called `concept/hair`; everything is empty where there are no readings."""

    curves: tuple[Curve, ...] = ()
    half_levels: tuple[HalfLevel, ...] = ()
    orders: tuple[Order, ...] = ()
    values: tuple[Value, ...] = ()
    """What was read in each sample: a row each, three of a colour (`concept/hair_r`, …)."""
    notes: tuple[str, ...] = ()
    accuracies: tuple[Accuracy, ...] = ()
    """Of every concept that was read."""

    @cached_property
    def metrics(self) -> frozenset[str]:
        """Of `values`."""
        return frozenset(value.measure for value in self.values)

    def probability(self, first: str, then: str, model: str = "", sampler: str = "") -> float:
        """Share of the draws in which half of `first` is lost before half of `then`.

        Of the first model and sampler that fit; NaN where that is not known.
        """
        wanted = f"{CONCEPT}{first}", f"{CONCEPT}{then}"
        for order in self.orders:
            if (order.model, order.sampler) != (model or order.model, sampler or order.sampler):
                continue
            if (order.first, order.then) == wanted:
                return order.probability
            if (order.then, order.first) == wanted:
                return 1 - order.probability
        return math.nan


def concept_retention(
    readings: Iterable[Reading], notes: Iterable[str] = (), probed: Iterable[Concept] = ()
) -> ConceptRetention:
    """Curves, half-levels and orders of every (model, sampler), in the order of the readings.

    `probed` is what the probe says of its concepts.
    """
    readings = list(readings)
    groups: dict[tuple[str, str], list[Reading]] = {}
    for reading in readings:
        groups.setdefault((reading.model, reading.sampler), []).append(reading)
    found = [_of_series(*key, some) for key, some in groups.items()]
    halves = [[half for _, half in some] for some in found]
    return ConceptRetention(
        tuple(curve for some in found for curve, _ in some),
        tuple(half for some in halves for half, *_ in some),
        tuple(_order(*pair) for some in halves for pair in combinations(some, 2)),
        tuple(row for reading in readings for row in _rows(reading)),
        tuple(notes),
        tuple(_accuracies(readings, probed)),
    )


def _accuracies(readings: Iterable[Reading], probed: Iterable[Concept]) -> Iterable[Accuracy]:
    known = {concept.name: concept for concept in probed if math.isfinite(concept.accuracy)}
    for name in dict.fromkeys(reading.concept for reading in readings):
        told = (known[name].accuracy, known[name].measured_by) if name in known else (math.nan, "")
        yield Accuracy(CONCEPT + name, *told)


def _rows(reading: Reading) -> Iterable[Value]:
    channels = CHANNELS if len(reading.read) == len(CHANNELS) else map(str, range(99))
    names = channels if len(reading.read) > 1 else ("",)
    for channel, value in zip(names, reading.read, strict=False):
        name = f"{CONCEPT}{reading.concept}{channel}"
        yield Value(*reading[:6], name, value)


@dataclass(frozen=True, eq=False)
class _Reading:
    """Readings of one concept as arrays; NaN where an image or a level has none."""

    truth: np.ndarray
    """(images, size)"""
    clean: np.ndarray
    read: np.ndarray
    """(images, levels, size), means over seeds"""
    samples: np.ndarray
    """(images, levels)"""
    t: tuple[Number, ...]
    log_snr: np.ndarray


def _of_series(model: str, sampler: str, readings: Sequence[Reading]) -> list[tuple[Curve, Found]]:
    images = sorted({reading.image for reading in readings})
    concepts: dict[str, list[Reading]] = {}
    for reading in readings:
        concepts.setdefault(reading.concept, []).append(reading)
    tables = {
        (model, sampler, CONCEPT + name): _table(images, some) for name, some in concepts.items()
    }
    return [(_curve(names, table), _half(names, table)) for names, table in tables.items()]


def _table(images: Sequence[str], readings: Sequence[Reading]) -> _Reading:
    level = dict(sorted({reading.t: reading.log_snr for reading in readings}.items()))
    row, column = ({key: k for k, key in enumerate(keys)} for keys in (images, level))
    size = len(readings[0].read)
    truth, clean = np.full((2, len(images), size), np.nan)
    total = np.zeros((len(images), len(level), size))
    samples = np.zeros((len(images), len(level)), int)
    for reading in readings:
        i, j = row[reading.image], column[reading.t]
        if np.isfinite((*reading.truth, *reading.read, *reading.clean)).all():
            truth[i], clean[i] = reading.truth, reading.clean
            total[i, j] += reading.read
            samples[i, j] += 1
    with np.errstate(invalid="ignore"):
        read = total / np.where(samples, samples, np.nan)[:, :, None]
    log_snr = np.array(list(level.values()), float)
    return _Reading(truth, clean, read, samples, tuple(level), log_snr)


def _curve(names: tuple[str, str, str], table: _Reading) -> Curve:
    return Curve(*names, tuple(_point(table, level) for level in range(len(table.t))))


def _half(names: tuple[str, str, str], table: _Reading) -> Found:
    there = table.samples > 0
    levels = common_levels(there, table.log_snr)
    known = np.all(there[:, levels], axis=1) & (len(levels) > 0)
    value, draws = _retention(table, known, levels)
    why = unlevelled(bool(table.samples.any()), len(levels), bool(known.any()))
    why = why or _untellable(table.truth[known], value)
    n = int(known.sum())
    if why:
        blank = HalfLevel(*names, Estimate(n=n, blank=why), math.nan, 1.0, 0.0, False, 0.0)
        return blank, math.nan, np.full(1, np.nan)
    log_snr = table.log_snr[levels]
    crossing, halves = float(crossings(1 - value[None], log_snr)[0]), crossings(1 - draws, log_snr)
    where = located(crossing, halves, n)
    few = _few(table.truth[known], halves)
    if few and math.isfinite(where.value):
        where = Estimate(where.value, n=n, blank=few)
    t = math.nan
    if math.isfinite(crossing):
        t = float(np.interp(-crossing, -log_snr, np.array(table.t, float)[levels]))
    half = HalfLevel(*names, where, t, 1.0, 0.0, False, float(np.mean(np.isfinite(halves))))
    return half, crossing, halves


def _point(table: _Reading, level: int) -> Point:
    known = np.asarray(table.samples[:, level] > 0)
    samples = int(table.samples[:, level].sum())
    value, draws = (each[..., 0] for each in _retention(table, known, np.array([level])))
    place, n = (table.t[level], float(table.log_snr[level])), int(known.sum())
    why = _untellable(table.truth[known], value)
    if why:
        return Point(*place, math.nan, math.nan, n, samples, blank=why)
    few = _few(table.truth[known], draws)
    ends = (math.nan, math.nan) if few else interval(float(value), draws, n)
    return Point(*place, float(value), math.nan, n, samples, *ends, blank=few)


def _untellable(truth: np.ndarray, value: np.ndarray) -> str:
    """Why there is no retention, or nothing."""
    if len(truth) < MIN_IMAGES:
        return f"too few images: {len(truth)} of {MIN_IMAGES}"
    if not np.ptp(truth, axis=0).any():
        return "all images have the same value"
    return "" if np.isfinite(value).all() else "the probe cannot read it in the clean images"


def _few(truth: np.ndarray, draws: np.ndarray) -> str:
    """Why there is no interval, or nothing."""
    if len(truth) < FEWEST:
        return f"too few images for an interval: {len(truth)} of {FEWEST}"
    if truth.shape[1] == 1 and set(np.unique(truth)) <= {0, 1}:
        there = int(truth.sum())
        least, word = min((there, "with"), (len(truth) - there, "without"))
        if least < MIN_IMAGES:
            return f"too few images {word} it for an interval: {least} of {MIN_IMAGES}"
    if np.isnan(draws).mean() > 1 - USABLE:
        return "too little variation in this concept"
    return ""


def _retention(
    table: _Reading, known: np.ndarray, levels: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Retention `(levels,)` of the images that are known, and its draws `(draws, levels)`.

    Images are drawn from all that the table has a row for: the draws of all concepts are joint.
    """
    n = int(known.sum())
    if not n:
        return np.full(len(levels), np.nan), np.full((1, len(levels)), np.nan)
    drawn = weights(len(known))[:, known]
    drawn = np.concatenate([np.full((1, n), 1.0), drawn])
    with np.errstate(invalid="ignore", divide="ignore"):
        drawn = drawn / drawn.sum(1, keepdims=True)
        truth, clean = table.truth[known], table.clean[known]
        total = _covariance(drawn, truth, truth[:, None])
        ceiling = _covariance(drawn, truth, clean[:, None]) / total
        kept = _covariance(drawn, truth, table.read[known][:, levels]) / total / ceiling
    found = np.where((total > 1e-12) & (ceiling >= READABLE), kept, np.nan)
    return found[0], found[1:]


def _covariance(drawn: np.ndarray, truth: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Of truth `(images, size)` and `(images, levels, size)`, for weights `(draws, images)`."""
    images, levels, size = other.shape
    product = drawn @ (truth[:, None] * other).sum(-1)
    means = (drawn @ other.reshape(images, -1)).reshape(-1, levels, size)
    return product - np.einsum("ds,dls->dl", drawn @ truth, means)


def _order(one: Found, other: Found) -> Order:
    """As of any two metrics; blank where one of them has no interval for want of images."""
    found = ordered(one, other)
    n = min(one[0].log_snr.n, other[0].log_snr.n)
    for half, *_ in (one, other):
        why = half.log_snr.blank
        if why.startswith("too few") or n < FEWEST:
            why = f"{half.measure}: {why}" if why else "too few images"
            blank = Estimate(n=n, blank=why)
            return replace(found, probability=math.nan, difference=blank, certain=False)
    return found
