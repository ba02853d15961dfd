"""Half-levels: the logSNR at which half of a metric is lost, and in which order bands go.

From the clean end into noise, a metric loses the fraction

    f(logSNR) = (start - mean) / (start - end)

of what it has to lose. `start` is known in theory for some (`Metric.ends`: an SSIM begins at 1);
otherwise both are means at the least and the most noise that were measured, so that such a
half-level depends on the range. Coherence and energy kept have a fixed threshold instead
(`ONE_HALF`). f is made monotone by isotonic regression (Barlow et al. 1972), and the half-level is
where it crosses ½, linearly between levels.
Resampling images (`bootstrap`) goes through all of it, ends and regression included.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import combinations

import numpy as np

from nca_cli.analysis.bootstrap import Estimate, estimate, interval, resampled_means, too_few
from nca_cli.analysis.values import Matrices, Value, common_levels, made_by_networks, tables
from nca_cli.metrics.registry import Ends, ends_of, family

HALF, SURE = 0.5, 0.975


class Turn(Enum):
    """When half of a metric is lost, as seen from the levels that were measured."""

    GONE = 0
    """Before the cleanest."""
    GOES = 1
    LASTS = 2
    """Not even at the noisiest."""
    UNKNOWN = 3


BEYOND = {
    "half is lost before the cleanest measured level": Turn.GONE,
    "less than half is lost at the noisiest measured level": Turn.LASTS,
}
"""What a half-level beyond the measured levels is blank with."""


@dataclass(frozen=True)
class HalfLevel:
    """Where half of a metric is lost. A higher logSNR means: lost earlier, to less noise."""

    model: str
    sampler: str
    measure: str
    log_snr: Estimate
    """Infinite ends of the interval lie beyond the levels that were measured."""
    t: float
    """The same on the t axis, by interpolation between the levels; NaN where blank."""
    start: float
    end: float
    """Halfway between them half is lost; 1 and 0 of what has a fixed threshold (`ONE_HALF`)."""
    measured_ends: bool
    """Whether one of them is a measurement, so that the half-level depends on the range."""
    crossed: float
    """Share of the bootstrap draws in which half is lost within the measured levels."""

    @property
    def turn(self) -> Turn:
        """When half is lost; unknown where nothing could be followed from level to level."""
        if math.isfinite(self.log_snr.value):
            return Turn.GOES
        return BEYOND.get(self.log_snr.blank, Turn.UNKNOWN)


@dataclass(frozen=True)
class Order:
    """Which of two metrics loses its half first, on the way from the image into noise."""

    model: str
    sampler: str
    first: str
    """The one with the higher half-level."""
    then: str
    probability: float
    """Share of the joint bootstrap draws in which `first` goes before `then`; ties are halved."""
    difference: Estimate
    """Of the half-levels, in logSNR."""
    certain: bool
    """Whether the 95 % interval of the difference leaves 0 out; where one of the two is lost
    beyond the measured levels and has no half-level, whether 97.5 % of the draws agree."""


def half_levels(values: Iterable[Value]) -> list[HalfLevel]:
    """The half-level of every metric of every model and sampler; references are left out."""
    return [
        _found(table, measure)[0]
        for table in _networks(values)
        for measure in table.grids
    ]  # fmt: skip


def orders(values: Iterable[Value]) -> list[Order]:
    """The order of every two metrics of a family (`coherence/0`, `coherence/1`, …)."""
    return [order for table in _networks(values) for order in _orders(table)]


def _networks(values: Iterable[Value]) -> list[Matrices]:
    return tables(made_by_networks(values))


def _orders(table: Matrices) -> Iterable[Order]:
    families: dict[str, list[str]] = {}
    for measure in table.grids:
        families.setdefault(family(measure), []).append(measure)
    for members in families.values():
        if len(members) > 1:
            found = [_found(table, measure) for measure in members]
            yield from (ordered(one, other) for one, other in combinations(found, 2))


Found = tuple[HalfLevel, float, np.ndarray]
"""A half-level, the crossing and its draws `(draws,)`: +inf before the first level, -inf never."""


def _found(table: Matrices, measure: str) -> Found:
    """Images that lack a common level are left out: a mean must not jump with its images."""
    names, theory = (table.model, table.sampler, measure), ends_of(measure)
    grid = table.grids[measure].mean
    levels = common_levels(np.isfinite(grid), table.log_snr)
    log_snr, cells = table.log_snr[levels], grid[:, levels]
    complete = np.isfinite(cells).all(axis=1) & (len(levels) > 0)
    n = int(complete.sum())
    why = unlevelled(bool(np.isfinite(grid).any()), len(levels), n > 0)
    if why:
        return _blank(names, n, why, theory)
    cells = np.where(complete[:, None], cells, np.nan)
    lost, start, end = _lost(np.nanmean(cells, axis=0)[None], theory)
    draws, *ends = _lost(resampled_means(cells), theory)
    if not _changes(start - end, ends, n):
        return _blank(names, n, "does not change beyond its uncertainty", theory)
    value, halves = float(crossings(lost, log_snr)[0]), crossings(draws, log_snr)
    t = float(np.interp(-value, -log_snr, np.array(table.t, float)[levels]))
    half = HalfLevel(
        *names, located(value, halves, n), t if math.isfinite(value) else math.nan,
        float(start[0]), float(end[0]), None in theory, float(np.mean(np.isfinite(halves))),
    )  # fmt: skip
    return half, value, halves


def _blank(names: tuple[str, str, str], n: int, why: str, theory: Ends) -> Found:
    start, end = (math.nan if known is None else known for known in theory)
    nowhere = Estimate(n=n, blank=why)
    half = HalfLevel(*names, nowhere, math.nan, start, end, None in theory, 0.0)
    return half, math.nan, np.full(1, np.nan)


def unlevelled(any_value: bool, levels: int, complete: bool) -> str:
    """Why there is nothing to follow from level to level, or nothing.

    Whether there are values at all, at how many levels of known SNR, and some image at all of them.
    """
    if not any_value:
        return "no finite values"
    if levels < 2:
        return "fewer than two levels of known SNR"
    return "" if complete else "no image at all levels"


def _lost(means: np.ndarray, theory: Ends) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """f `(draws, levels)`, start and end `(draws,)` of means from clean to noisy."""
    start = means[:, 0] if theory[0] is None else np.full(len(means), theory[0])
    end = means[:, -1] if theory[1] is None else np.full(len(means), theory[1])
    with np.errstate(invalid="ignore", divide="ignore"):
        return (start[:, None] - means) / (start - end)[:, None], start, end


def _changes(range_: np.ndarray, ends: Sequence[np.ndarray], n: int) -> bool:
    """Whether start and end differ: beyond their interval, if there is one."""
    if abs(range_[0]) < 1e-12:
        return False
    low, high = interval(float(range_[0]), ends[0] - ends[1], n)
    return bool(too_few(n)) or low > 0 or high < 0


def located(value: float, halves: np.ndarray, n: int) -> Estimate:
    """A half-level with its interval; blank where it lies beyond the levels."""
    if math.isfinite(value):
        return estimate(value, halves, n)
    before, never = BEYOND
    return Estimate(n=n, blank=before if value > 0 else never)


def crossings(lost: np.ndarray, log_snr: np.ndarray, half: float = HALF) -> np.ndarray:
    """logSNR `(draws,)` at which monotone f reaches `half`; f `(draws, levels)`, clean to noisy.

    +inf where more is lost at the first level already, -inf where less is lost at the last.
    """
    fit = isotonic(lost)
    reached = fit >= half
    after = np.argmax(reached, axis=1)
    before, rows = np.maximum(after - 1, 0), np.arange(len(fit))
    low, high = fit[rows, before], fit[rows, after]
    with np.errstate(invalid="ignore", divide="ignore"):
        share = np.where(high > low, (half - low) / (high - low), 0.0)
    where = log_snr[before] + share * (log_snr[after] - log_snr[before])
    where = np.where((after == 0) & (fit[:, 0] > half), np.inf, where)
    where = np.where(reached.any(axis=1), where, -np.inf)
    return np.where(np.isnan(lost).any(axis=1), np.nan, where)


def isotonic(numbers: np.ndarray) -> np.ndarray:
    """Rows made non-decreasing, least squares: max over i ≤ k of min over j ≥ k of mean(i … j)."""
    columns = np.ascontiguousarray(numbers.T)  # rows of draws are worked on as a whole
    total = np.cumsum(np.pad(columns, ((1, 0), (0, 0))), axis=0)
    fit = np.full(columns.shape, -np.inf)
    for i in range(len(columns)):
        means = (total[i + 1 :] - total[i]) / np.arange(1, len(columns) - i + 1)[:, None]
        lowest = np.minimum.accumulate(means[::-1], axis=0)[::-1]
        fit[i:] = np.maximum(fit[i:], lowest)
    return np.ascontiguousarray(fit.T)


def ordered(one: Found, other: Found) -> Order:
    """The order of two half-levels of the same table, from joint draws."""
    if other[1] > one[1]:
        one, other = other, one
    (first, early, draws), (then, late, others) = one, other
    n = min(first.log_snr.n, then.log_snr.n)
    names = first.model, first.sampler, first.measure, then.measure
    why = too_few(n) or _incomparable(first, early) or _incomparable(then, late)
    if why or early == late == math.copysign(math.inf, early):
        return Order(*names, math.nan, Estimate(n=n, blank=why or first.log_snr.blank), False)
    with np.errstate(invalid="ignore"):
        gap = np.nan_to_num(draws - others, nan=0.0, posinf=np.inf, neginf=-np.inf)
    probability = float(np.mean(gap > 0) + np.mean(gap == 0) / 2)
    if math.isinf(early - late):
        beyond = first if math.isinf(early) else then
        blank = f"{beyond.measure}: {beyond.log_snr.blank}"
        return Order(*names, probability, Estimate(n=n, blank=blank), probability >= SURE)
    difference = estimate(early - late, gap, n)
    return Order(*names, probability, difference, difference.low > 0)


def _incomparable(half: HalfLevel, crossing: float) -> str:
    """Why a half-level is not even known to lie beyond the measured levels, or nothing."""
    return f"{half.measure}: {half.log_snr.blank}" if math.isnan(crossing) else ""
