"""How much of x̂0 is decided by the image, and how much by the noise that hides it.

One-way random effects (Searle, Casella & McCulloch 1992, ch. 3) of x̂0 over images and seeds, the
mean over pixels: `within` is the unbiased variance between seeds of one image, `between` that
between images, freed of what the m_i seeds add to it:

    between = Var_images(mean over seeds) - mean(within_i / m_i)
    share   = between / (between + within)

A seed changes x_t and, for stochastic samplers, the chain's own noise. For Gaussian data with
ρ = sλ/(1+sλ) per mode, `between` is Σλρ² for one-step and exact stochastic chains, hence it can
only fall as noise rises: that is checked. `share` of exact chains is Σλρ²/Σλ; of one-step
reconstructions Σλρ²/Σλρ, which need not be monotone.

Intervals come from the jackknife on the log scale, of what cannot be negative: of `within`, of
`between` with what the seeds add, and of the ratio of the two for `share`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from nca_cli.analysis.bootstrap import Estimate, positive_interval, too_few
from nca_cli.analysis.read import by_level, gram, levels, stored_models
from nca_cli.recipe import Number
from nca_cli.store import Artifact, Filters, Namer, Store

FEWEST = 12
"""Images; the variance of fewer has no interval that keeps its word."""
ONE_SEED = "one seed: no variance between seeds"
ONE_IMAGE = "one image with several seeds: no variance between images"


@dataclass(frozen=True)
class Variances:
    """Variance per pixel of x̂0 at one level, from images with at least two seeds."""

    t: int | float
    log_snr: float
    within: Estimate
    """Between seeds of an image."""
    between: Estimate
    """Between images; an unbiased estimate, so it may fall below 0 where there is none."""
    share: Estimate
    """between/(between + within): what of x̂0 the content of x_t still determines;
    0 where `between` is below."""
    seeds: int
    """Of the image that has the fewest."""


@dataclass(frozen=True)
class VarianceCurve:
    """Variances of one model and sampler over levels, in the order of t."""

    model: str
    sampler: str
    points: tuple[Variances, ...]
    falls: bool | None
    """Whether `between` falls with noise, as theory says, up to the intervals; `None`: unknown
    (fewer than two levels with an interval)."""


def variances(
    store: Store, filters: Filters = Filters(), names: Namer | None = None  # noqa: B008
) -> list[VarianceCurve]:  # fmt: skip
    """Variance of x̂0, as stored (unclipped), for every model and sampler."""
    found = []
    for stored in stored_models(store, filters, names):
        for sampler, artifacts in stored.recipes.items():
            read = by_level if _seeds(artifacts, filters) > 1 else _unread
            points = tuple(
                Variances(t, log_snr, *components(images.values()))
                for t, log_snr, images in read(artifacts, filters, "x0_hat")
            )
            found.append(VarianceCurve(stored.model, sampler, points, _falls(points)))
    return found


def _seeds(artifacts: dict[str, Artifact], filters: Filters) -> int:
    """Of one image at one level, at most."""
    counts = (Counter(t for t, _ in filters.keys(each)) for each in artifacts.values())
    return max((seeds for count in counts for seeds in count.values()), default=0)


def _unread(
    artifacts: dict[str, Artifact], filters: Filters, _: str
) -> Iterator[tuple[Number, float, dict[str, np.ndarray]]]:
    """As `by_level` of one seed each, whose pictures do not matter: nothing is read."""
    for t, log_snr in levels(artifacts.values(), filters).items():
        yield t, log_snr, {}


def components(images: Iterable[np.ndarray]) -> tuple[Estimate, Estimate, Estimate, int]:
    """Within, between, share and the least number of seeds, from x̂0 `(seeds, …)` of each image."""
    several = [x.reshape(len(x), -1) for x in images if len(x) > 1]
    n, seeds = len(several), [len(x) for x in several]
    if n < 2:
        blank = Estimate(n=n, blank=ONE_IMAGE if n else ONE_SEED)
        return blank, blank, blank, seeds[0] if n else 1
    means = [x.mean(axis=0, dtype=np.float64) for x in several]
    spreads = np.array([float(x.var(axis=0, ddof=1, dtype=np.float64).mean()) for x in several])
    # sets of images need no pixels: Σ‖m‖² and ‖Σm‖² with the Gram matrix of centred means
    centre = np.mean(means, axis=0)
    products = gram(np.stack([mean - centre for mean in means])) / len(centre)
    data = products, spreads, spreads / np.array(seeds)
    whole = _positive(np.ones((1, n)), *data)[:, 0]
    without = _positive(1 - np.eye(n), *data) if n >= FEWEST else np.full((3, n), np.nan)
    within, around, ratio = (
        Estimate(float(value), *positive_interval(float(value), left_out), n, too_few(n, FEWEST))
        for value, left_out in zip(whole, without, strict=True)
    )
    noise = float(data[-1].mean())
    part = noise / within.value if within.value else 0.0
    share = _mapped(ratio, lambda r: 1 - 1 / (1 + np.maximum(r - part, 0)))
    return within, _mapped(around, lambda v: v - noise), share, min(seeds)


def _positive(
    kept: np.ndarray, products: np.ndarray, spreads: np.ndarray, noise: np.ndarray
) -> np.ndarray:
    """Numbers that are above 0 as a rule `(3, sets)`, of the images that are 1 in a row of `kept`.

    `within`, `between` with the mean noise of all images, and variance of seed means over `within`.
    """
    n = kept.sum(axis=1)
    within = kept @ spreads / n
    around = (kept @ np.diag(products) - ((kept @ products) * kept).sum(axis=1) / n) / (n - 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.stack([within, around - kept @ noise / n + noise.mean(), around / within])


def _mapped(estimate: Estimate, function: Callable[[float], float]) -> Estimate:
    """A rising function of a number and of the ends of its interval."""
    value, low, high = (float(function(x)) for x in (estimate.value, estimate.low, estimate.high))
    return replace(estimate, value=value, low=low, high=high)


def _falls(points: tuple[Variances, ...]) -> bool | None:
    """No level may have more than a cleaner one, intervals apart; without intervals, unknown."""
    known = [p for p in points if math.isfinite(p.between.low) and math.isfinite(p.log_snr)]
    if len(known) < 2:
        return None
    known.sort(key=lambda point: -point.log_snr)
    least = math.inf
    for point in known:
        if point.between.low > least:
            return False
        least = min(least, point.between.high)
    return True
