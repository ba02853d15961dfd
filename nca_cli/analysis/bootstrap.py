"""95 % intervals: of means by a bootstrap that resamples images, of variances by the jackknife.

The image is the unit of replication: seeds of one image share its content, so they are averaged
first, and images are drawn with replacement (Davison & Hinkley 1997, sec. 3.8, clusters). The
draws are the same for every metric of the same number of images, so that differences, orders of
half-levels and integrals are resampled jointly.

The percentile interval of few images is too short twice: a resampled variance is (n-1)/n of the
true one, and a normal quantile stands where Student's belongs. Both are mended by stretching its
ends from the estimate by √(n/(n-1))·t/z (in the spirit of Hesterberg 2015, who expands
percentiles instead; ends can be stretched at n = 3, where there are no percentiles left). A third
mend is for means alone, whose sampling distribution is skewed where images are: percentiles have a
skewness term γ(z²-1)/6√n where the exact ends have γ(2z²+1)/6√n (Hall 1988, Ann. Statist. 16), so
both ends move by the difference, (z²+2)/6 · skewness · deviation of the draws.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

MIN_IMAGES = 3
"""Below it no interval is given: two images say next to nothing about a third."""
DRAWS, FEWEST_DRAWS, MOST_NUMBERS = 2000, 200, 2_000_000
"""Draws of the bootstrap; fewer, down to 200, where images times draws would be too many."""
LEVEL = 0.95
_KEY = 20220400227
_NORMAL = 1.959963984540054
"""97.5 % quantile of the standard normal distribution."""
_STUDENT = {1: 12.706204736, 2: 4.30265273, 3: 3.182446305, 4: 2.776445105}


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval. What is not known is NaN, and `blank` says why."""

    value: float = math.nan
    low: float = math.nan
    high: float = math.nan
    n: int = 0
    """Images."""
    blank: str = ""


@lru_cache(maxsize=8)
def weights(n: int) -> np.ndarray:
    """`(draws, n)`: how often each image is drawn, over n. A function of n alone; read-only."""
    draws = max(FEWEST_DRAWS, min(DRAWS, MOST_NUMBERS // n))
    random = np.random.Generator(np.random.Philox(key=_KEY + n))
    drawn = random.multinomial(n, np.full(n, 1 / n), size=draws) / n
    drawn.flags.writeable = False
    return drawn


def resampled_means(numbers: np.ndarray) -> np.ndarray:
    """Means over images `(draws, levels)` of `(images, levels)`; NaN cells are absent."""
    known = np.isfinite(numbers)
    drawn = weights(len(numbers))
    total = drawn @ np.where(known, numbers, 0.0)
    if known.all():
        return total
    with np.errstate(invalid="ignore", divide="ignore"):
        return total / (drawn @ known)


def interval(value: float, draws: np.ndarray, n: int, mean: bool = False) -> tuple[float, float]:
    """The stretched percentile interval of `draws`; NaN below `MIN_IMAGES`.

    Draws may be infinite (beyond what was measured); an end of the interval then may be, too. With
    `mean`, they are means (or sums of means with positive weights), and their skewness is mended.
    """
    draws = draws[~np.isnan(draws)]
    if n < MIN_IMAGES or not len(draws) or not math.isfinite(value):
        return math.nan, math.nan
    tails = [(1 - LEVEL) / 2, (1 + LEVEL) / 2]
    ends = np.quantile(draws, tails, method="inverted_cdf")
    shift = _skew(draws) if mean else 0.0
    low, high = (value + stretch(n) * (float(end) - value) + shift for end in ends)
    return float(min(low, value)), float(max(high, value))


def _skew(draws: np.ndarray) -> float:
    """(z²+2)/6 · skewness · deviation."""
    centred = draws - draws.mean()
    square = float(np.mean(centred**2))
    third = float(np.mean(centred**3))
    return (_NORMAL**2 + 2) / 6 * third / square if square > 0 else 0.0


def estimate(value: float, draws: np.ndarray, n: int, mean: bool = False) -> Estimate:
    """A number with the interval of its draws, or with the reason why there is none."""
    return Estimate(float(value), *interval(value, draws, n, mean), n, too_few(n))


def too_few(n: int, fewest: int = MIN_IMAGES) -> str:
    """Why there is no interval, or nothing."""
    return "" if n >= fewest else f"too few images for an interval: {n} of {fewest}"


def stretch(n: int) -> float:
    """√(n/(n-1))·t/z: how much wider an interval from n images must be."""
    return math.sqrt(n / (n - 1)) * student(n - 1) / _NORMAL


def student(freedom: int) -> float:
    """97.5 % quantile of Student's t: Abramowitz & Stegun 26.7.5; within 3e-3 of the exact one.

    `scipy.special` has the exact one, but its import would slow every report of kept values.
    """
    if freedom in _STUDENT:
        return _STUDENT[freedom]
    z = _NORMAL
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
    )
    return z + sum(term / freedom**power for power, term in enumerate(terms, 1))


def positive_interval(value: float, left_out: np.ndarray) -> tuple[float, float]:
    """Ends for a positive number of n images, from those `(n,)` without each of them.

    A variance of few images is skewed and cannot be below 0, and a bootstrap of it is too short:
    what makes a variance large is an image that most resamples lack. The jackknife on the log scale
    (Miller 1968, Ann. Math. Statist. 39, 567-582) takes the pseudo-values n·ln V - (n-1)·ln V₋ᵢ as
    a sample of n, with Student's t for their mean; its ends are above 0 by themselves. NaN where a
    number is not positive and finite, or n below 3.
    """
    n = len(left_out)
    if n < 3 or not (0 < value < math.inf and np.all((left_out > 0) & (left_out < math.inf))):
        return math.nan, math.nan
    pseudo = n * math.log(value) - (n - 1) * np.log(left_out)
    centre, reach = float(pseudo.mean()), student(n - 1) * float(pseudo.std(ddof=1)) / math.sqrt(n)
    low, high = np.exp([centre - reach, centre + reach]).tolist()
    return min(low, value), max(high, value)
