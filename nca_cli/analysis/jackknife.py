"""95 % intervals of variances, by leaving each image out in turn.

A variance of few images is skewed and cannot be below 0, and a bootstrap of it is too short: what
makes a variance large is an image that most resamples lack. The jackknife on the log scale (Miller
1968, Ann. Math. Statist. 39, 567-582) takes the pseudo-values n·ln V - (n-1)·ln V₋ᵢ as a sample of
n, with Student's t for their mean; its ends are above 0 by themselves.
"""

from __future__ import annotations

import math

import numpy as np

from nca_cli.analysis.bootstrap import student


def positive_interval(value: float, left_out: np.ndarray) -> tuple[float, float]:
    """Ends for a positive number of n images, from those `(n,)` without each of them.

    NaN where a number is not positive and finite, or n below 3.
    """
    n = len(left_out)
    if n < 3 or not (0 < value < math.inf and np.all((left_out > 0) & (left_out < math.inf))):
        return math.nan, math.nan
    pseudo = n * math.log(value) - (n - 1) * np.log(left_out)
    centre, reach = float(pseudo.mean()), student(n - 1) * float(pseudo.std(ddof=1)) / math.sqrt(n)
    low, high = np.exp([centre - reach, centre + reach]).tolist()
    return min(low, value), max(high, value)
