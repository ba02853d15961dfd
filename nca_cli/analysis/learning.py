"""Learning steps: when, in one training, half of what a run learns of a metric is learned.

With E(τ) the mean of a metric over images at checkpoint τ, E_base that of a baseline that has
learned nothing and E_best the best of the run, the learned share is

    G(τ) = (E_base - E(τ)) / (E_base - E_best)

G is made monotone by isotonic regression, so that one lucky checkpoint is no learning: half is
learned where it crosses ½ *and stays above on average*, linearly in log τ. The baseline is step 0
where the run has it, else what the caller gives (the mean image, or Wiener). A metric is blank
where E_base - E_best lies within its own 95 % interval of 0: there was nothing to learn.
Resampling images goes through all of it, the choice of the best checkpoint included.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from nca_cli.analysis.bootstrap import (
    LEVEL,
    MIN_IMAGES,
    Estimate,
    estimate,
    interval,
    resampled_means,
    stretch,
    too_few,
)
from nca_cli.analysis.halflevel import crossings

NOTHING_TO_LEARN = "no gain over the baseline beyond its uncertainty"
TINY = 1e-9
"""Gain, in units of the baseline, that is rounding."""
BEFORE, AFTER = "half is learned before the first checkpoint", "half is not learned in this run"


@dataclass(frozen=True)
class Learned:
    """When one metric at one level was learned. Steps are those of the optimiser."""

    step: Estimate
    """Where half is learned. Ends of the interval may be 0 (before the first checkpoint) and
    infinite (not in this run)."""
    share: tuple[float, ...]
    """G at each checkpoint, in the order of their steps; NaN where there is nothing to learn."""
    baseline: float
    best: float
    best_step: int
    lost: Estimate
    """Share of what was learned that the last checkpoint has lost again; 0 where it is the best.
    Learned, then lost: where its interval lies above 0."""
    halves: np.ndarray
    """Draws `(draws,)` of ln(step), for `precedes`: -inf before the first, +inf never. They are of
    all images, complete or not, so that what lacks other images is resampled jointly; NaN where no
    complete image was drawn."""
    share_low: tuple[float, ...] = ()
    """Ends of the 95 % intervals of `share`: low …"""
    share_high: tuple[float, ...] = ()
    """… and high; NaN for too few images. They are of one resampling, in which each draw has its
    own best checkpoint: where all draws agree on that, its share is 1 and has no width."""


def learned(
    steps: Sequence[int], cells: np.ndarray, baseline: np.ndarray | None = None, *,
    higher_is_better: bool = False,
) -> Learned:  # fmt: skip
    """The learning step of a metric at one level.

    `cells` `(images, checkpoints)` belong to `steps`, which rise; seeds are averaged before. Step
    0, where it comes first, is the baseline, unless `baseline` `(images,)` is given. Images that
    lack a checkpoint are left out: a mean must not jump with its images. Raises `ValueError` where
    there is no baseline, or fewer than two checkpoints after it.
    """
    trained = [column for column, step in enumerate(steps) if step > 0]
    if baseline is None and len(trained) == len(steps):
        raise ValueError("no baseline: step 0 is not stored")
    if len(trained) < 2:
        raise ValueError("fewer than two checkpoints after step 0")
    start = cells[:, :1] if baseline is None else baseline[:, None]
    both = np.concatenate([start, cells[:, trained]], axis=1)
    complete = np.isfinite(both).all(axis=1)
    n, later = int(complete.sum()), [steps[column] for column in trained]
    if not n:
        return _blank("no image at all checkpoints", n, len(later))
    sign = -1 if higher_is_better else 1
    lower = sign * both
    mean, draws = lower[complete].mean(axis=0)[None], resampled_means(lower[complete])
    if not _gained(mean, draws, n):
        return _blank(NOTHING_TO_LEARN, n, len(later), sign * float(mean[0, 0]))
    found = _learned(later, mean, draws, n)
    if n < len(cells):
        joint = resampled_means(np.where(complete[:, None], lower, np.nan))
        found = replace(found, halves=_halves(later, _shares(joint)))
    return replace(found, baseline=sign * found.baseline, best=sign * found.best)


def _learned(steps: Sequence[int], mean: np.ndarray, draws: np.ndarray, n: int) -> Learned:
    """From means `(1, 1 + checkpoints)` and their draws; the baseline is first, less is better."""
    share, shares = _shares(mean), _shares(draws)
    value, halves = _halves(steps, share)[0], _halves(steps, shares)
    best = int(np.argmax(share[0]))
    ends = [
        interval(each, drawn, n) for each, drawn in zip(share[0].tolist(), shares.T, strict=True)
    ]
    return Learned(
        _located(float(value), halves, n), tuple(share[0].tolist()), float(mean[0, 0]),
        float(mean[0, 1 + best]), steps[best], estimate(1 - share[0, -1], 1 - shares[:, -1], n),
        halves, *zip(*ends, strict=True),
    )  # fmt: skip


def _gained(mean: np.ndarray, draws: np.ndarray, n: int) -> bool:
    """Whether some checkpoint is better than the baseline, beyond what luck does.

    The best of several looks better than it is, so the gain is held against the draws' largest
    excess over all checkpoints (a simultaneous test, as Westfall & Young's), not over one.
    """
    gains, drawn = (means[:, :1] - means[:, 1:] for means in (mean, draws))
    if n < MIN_IMAGES:
        return bool(gains.max() > 0)
    luck = np.quantile((drawn - gains).max(axis=1), (1 + LEVEL) / 2)
    return bool(gains.max() > max(stretch(n) * luck, TINY * abs(mean[0, 0])))


def _shares(means: np.ndarray) -> np.ndarray:
    """G `(draws, checkpoints)`."""
    base, run = means[:, :1], means[:, 1:]
    with np.errstate(invalid="ignore", divide="ignore"):
        return (base - run) / (base - run.min(axis=1, keepdims=True))


def _halves(steps: Sequence[int], shares: np.ndarray) -> np.ndarray:
    """ln(step) `(draws,)` at which half is learned, of G `(draws, checkpoints)`."""
    return -crossings(shares, -np.log(np.asarray(steps, float)))


def _located(value: float, halves: np.ndarray, n: int) -> Estimate:
    """The step of a ln(step), its interval taken on the logarithm; blank beyond the checkpoints."""
    if math.isinf(value):
        return Estimate(n=n, blank=BEFORE if value < 0 else AFTER)
    found = estimate(value, halves, n)
    low, high = (math.exp(end) for end in (found.low, found.high))
    return Estimate(math.exp(value), low, high, n, found.blank)


def _blank(why: str, n: int, count: int, baseline: float = math.nan) -> Learned:
    nothing, blank = Estimate(n=n, blank=why), (math.nan,) * count
    return Learned(
        nothing, blank, baseline, math.nan, 0, nothing, np.full(1, math.nan), blank, blank
    )


def precedes(one: Learned, other: Learned) -> float:
    """Probability that `one` is learned before `other`: the share of joint draws; ties are halved.

    Both are of the same images, though each may lack some. NaN where one of the two is blank for
    another reason than lying beyond the checkpoints, or is of too few images.
    """
    known = ~(np.isnan(one.halves) | np.isnan(other.halves))
    if not known.any() or too_few(min(one.step.n, other.step.n)):
        return math.nan
    with np.errstate(invalid="ignore"):
        gap = (other.halves - one.halves)[known]
        gap = np.nan_to_num(gap, nan=0.0, posinf=np.inf, neginf=-np.inf)
    return float(np.mean(gap > 0) + np.mean(gap == 0) / 2)
