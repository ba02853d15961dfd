"""Intervals over trainings: another source of variance than images.

A training is one draw of first weights and of batches. Of several with the same settings the
learning steps are averaged on the logarithm, where Student's t gives the interval of their mean:

    exp(mean ± t(k-1)·deviation/√k)      of k trainings

With two trainings t is 12.7, and an interval says next to nothing; three are a start.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from nca_cli.analysis.bootstrap import Estimate, student
from nca_cli.analysis.emergence import Emergence
from nca_cli.recipe import Number

FEWEST_TRAININGS = 2


@dataclass(frozen=True)
class OverTrainings:
    """The learning step of one level and measure, over trainings of the same settings."""

    settings: str
    sampler: str
    metric: str
    t: Number
    log_snr: float
    runs: tuple[str, ...]
    step: Estimate
    """The geometric mean; its `n` counts trainings."""


def over_trainings(found: Iterable[Emergence]) -> list[OverTrainings]:
    """Of all runs whose settings are told, where at least two have the same.

    Raw and averaged weights of one training are no two trainings, and are kept apart, as are sizes
    and schedules.
    """
    groups: dict[tuple[tuple, tuple[str, str, str, Number]], list[tuple[Emergence, int]]] = {}
    for one in found:
        for level, t in enumerate(one.t):
            apart = one.weights, one.side, f"{one.log_snr[level]:.6g}"  # NaN is unlike itself
            key = one.settings, one.sampler, one.metric, t
            groups.setdefault((apart, key), []).append((one, level))
    return [
        OverTrainings(*key, some[0][0].log_snr[some[0][1]], tuple(one.run for one, _ in some),
                      geometric_mean([one.learned[level].step for one, level in some]))
        for (_, key), some in groups.items()
        if key[0] and len({one.run for one, _ in some}) >= FEWEST_TRAININGS
    ]  # fmt: skip


def geometric_mean(steps: Sequence[Estimate]) -> Estimate:
    """Of learning steps of several trainings; blank where one of them is blank, with its reason."""
    blank = next((step.blank for step in steps if not math.isfinite(step.value)), "")
    if blank:
        without = sum(not math.isfinite(step.value) for step in steps)
        return Estimate(n=len(steps), blank=f"in {without} of {len(steps)} trainings: {blank}")
    found = mean_over([math.log(step.value) for step in steps])
    value, low, high = (math.exp(end) for end in (found.value, found.low, found.high))
    return Estimate(value, low, high, found.n, found.blank)


def mean_over(values: Sequence[float]) -> Estimate:
    """Mean of one number of each training, with Student's interval; `n` counts trainings."""
    numbers = np.asarray(values, float)
    k, mean = len(numbers), float(numbers.mean()) if len(values) else math.nan
    if not math.isfinite(mean):
        return Estimate(n=k, blank="not known in all trainings")
    if k < FEWEST_TRAININGS:
        return Estimate(mean, n=k, blank="one training: no interval over trainings")
    reach = student(k - 1) * float(numbers.std(ddof=1)) / math.sqrt(k)
    return Estimate(mean, mean - reach, mean + reach, k)
