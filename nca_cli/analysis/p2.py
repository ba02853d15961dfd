"""P2 (Choi et al., 2204.00227): stages of a schedule, and where its weights make training look.

A stage is what is being decided at a noise level. λ'_t = λ_t/(k + SNR)^γ weights the levels, where
λ_t turns the variational bound into the plain error of ε̂. In code the error of ε̂ is multiplied by
1/(k + SNR)^γ. Weights are normalised to a sum of 1 over the levels of a schedule.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from nca_cli.analysis.bootstrap import Estimate, estimate, resampled_means
from nca_cli.analysis.halflevel import isotonic
from nca_cli.analysis.values import Matrices, Value, common_levels, made_by_networks, tables
from nca_cli.metrics.registry import ends_of
from nca_cli.schedule import Schedule

GAMMA, K = 1.0, 1.0
COARSE, CLEAN_UP = 1e-2, 1.0
"""SNR below which only coarse structure survives, and above which only detail is missing."""
BOUNDS: dict[str, tuple[float, float]] = {
    "coarse": (-math.inf, math.log(COARSE)),
    "content": (math.log(COARSE), math.log(CLEAN_UP)),
    "clean-up": (math.log(CLEAN_UP), math.inf),
}
"""logSNR from and to, from the noisiest stage to the cleanest."""


@dataclass(frozen=True)
class Stage:
    """A stage as far as a schedule reaches into it."""

    name: str
    levels: int
    """How many of the schedule's levels lie in it; with none, the rest is blank."""
    t_first: int | None
    t_last: int | None
    """Least and largest t, both inside."""
    log_snr_low: float
    log_snr_high: float
    """Of these two levels."""


def stage(snr: float) -> str:
    """`coarse`, `content` or `clean-up`: what is being decided at a level of this SNR."""
    if snr < COARSE:
        return "coarse"
    return "content" if snr <= CLEAN_UP else "clean-up"


def stages(schedule: Schedule) -> tuple[Stage, ...]:
    """The three stages of a schedule, from the noisiest to the cleanest."""
    names = np.array([stage(math.exp(min(level, 700))) for level in schedule.log_snrs])
    return tuple(_stage(name, np.flatnonzero(names == name), schedule.log_snrs) for name in BOUNDS)


def _stage(name: str, t: np.ndarray, log_snr: np.ndarray) -> Stage:
    if not len(t):
        return Stage(name, 0, None, None, math.nan, math.nan)
    inside = log_snr[t]
    ends = int(t[0]), int(t[-1]), float(inside.min()), float(inside.max())
    return Stage(name, len(t), *ends)


@dataclass(frozen=True)
class WeightShare:
    """The levels between two neighbouring measured ones: weight in training, content decided."""

    model: str
    sampler: str
    measure: str
    t_low: int | float
    t_high: int | float
    log_snr_low: float
    log_snr_high: float
    epsilon: float
    """Share of the weight of P2 on the error of ε̂, 1/(k+SNR)^γ, of all levels."""
    bound: float
    """The same on terms of the variational bound, λ_t/(k+SNR)^γ."""
    plain: float
    """Of plain training, on the error of ε̂: the share of levels."""
    content: Estimate
    """Share of the metric that is lost from the clean to the noisy end of these levels."""


def p2_weights(
    schedule: Schedule, gamma: float = GAMMA, k: float = K, *, bound: bool = False
) -> np.ndarray:
    """Normalised weight of each level `(steps,)`; γ = 0 is plain training.

    On the error of ε̂, or with `bound` on the terms of the variational bound, whose
    λ_t = (1-β_t)(1-ᾱ_t)/β_t.
    """
    with np.errstate(over="ignore"):
        weight = (k + np.exp(schedule.log_snrs)) ** -gamma
    if bound:
        weight = weight * (1 - schedule.betas) * (1 - schedule.alpha_bar) / schedule.betas
    return weight / weight.sum()


def weight_shares(
    values: Iterable[Value], schedules: dict[str, Schedule], measure: str = "ssim"
) -> list[WeightShare]:
    """P2's weights against the content that a metric says is lost, between measured levels.

    `schedules` by model; models without one are left out.
    """
    rows = made_by_networks(values).of_measure(measure)
    return [
        share
        for table in tables(rows) if table.model in schedules
        for share in _shares(table, measure, schedules[table.model])
    ]  # fmt: skip


def _shares(table: Matrices, measure: str, schedule: Schedule) -> Iterable[WeightShare]:
    cells = table.grids[measure].mean
    levels = common_levels(np.isfinite(cells), table.log_snr)
    cells = cells[:, levels][np.isfinite(cells[:, levels]).all(axis=1)]
    if len(levels) < 2 or not len(cells):
        return
    epsilon, bound = (p2_weights(schedule, bound=kind) for kind in (False, True))
    plain = p2_weights(schedule, 0.0)
    content = _content(cells, ends_of(measure)[0])
    for (low, high), lost in zip(pairwise(levels.tolist()), content, strict=True):
        t = table.t[low], table.t[high]
        log_snr = float(table.log_snr[high]), float(table.log_snr[low])
        yield WeightShare(
            table.model, table.sampler, measure, *t, *log_snr,
            _between(epsilon, *t), _between(bound, *t), _between(plain, *t), lost,
        )  # fmt: skip


def _between(weight: np.ndarray, t_low: float, t_high: float) -> float:
    """Sum over t_low < t ≤ t_high."""
    return float(weight[math.floor(t_low) + 1 : math.floor(t_high) + 1].sum())


def _content(cells: np.ndarray, start: float | None) -> list[Estimate]:
    """Share lost in each interval: of what goes from the start (or the first level) to the last.

    `cells (images, levels)` in the order of t, from clean to noisy.
    """

    def lost(means: np.ndarray) -> np.ndarray:
        top = means[:, :1] if start is None else np.full((len(means), 1), start)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.diff(isotonic((top - means) / (top - means[:, -1:])), axis=1)

    value, draws = lost(cells.mean(axis=0)[None])[0], lost(resampled_means(cells))
    return [estimate(float(v), draws[:, i], len(cells)) for i, v in enumerate(value)]
