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
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from nca_cli.analysis.bootstrap import Estimate, estimate, weights
from nca_cli.analysis.read import Namer, by_level, gram, shelves
from nca_cli.store import Artifact, Filters, Store

ONE_SEED = "one seed: nothing to tell an image from its noise"
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
    """between/(between + within): what of x̂0 the content of x_t still determines."""
    seeds: int
    """Of the image that has the fewest."""


@dataclass(frozen=True)
class VarianceCurve:
    """Variances of one model and sampler over levels, in the order of t."""

    model: str
    sampler: str
    points: tuple[Variances, ...]
    falls: bool | None
    """Whether `between` falls with noise, as theory says, up to the intervals; `None`: unknown."""


def variances(
    store: Store, filters: Filters = Filters(), names: Namer | None = None  # noqa: B008
) -> list[VarianceCurve]:  # fmt: skip
    """Variance of x̂0, as stored (unclipped), for every model and sampler."""
    return [
        _curve(shelf.model, sampler, artifacts, filters)
        for shelf in shelves(store, filters, names)
        for sampler, artifacts in shelf.recipes.items()
    ]


def _curve(
    model: str, sampler: str, artifacts: dict[str, Artifact], filters: Filters
) -> VarianceCurve:
    points = tuple(
        Variances(t, log_snr, *components(images.values()))
        for t, log_snr, images in by_level(artifacts, filters, "x0_hat")
    )
    return VarianceCurve(model, sampler, points, _falls(points))


def components(images: Iterable[np.ndarray]) -> tuple[Estimate, Estimate, Estimate, int]:
    """Within, between, share and the least number of seeds, from x̂0 `(seeds, …)` of each image."""
    several = (x.reshape(len(x), -1) for x in images if len(x) > 1)
    seen = [(len(x), x.mean(axis=0, dtype=np.float64), _spread(x)) for x in several]
    n = len(seen)
    if n < 2:
        blank = Estimate(n=n, blank=ONE_IMAGE if n else ONE_SEED)
        return blank, blank, blank, seen[0][0] if n else 1
    seeds, means, within = (list(column) for column in zip(*seen, strict=True))
    # the draws need no pixels: ‖Σ w m‖² = wᵀGw with the Gram matrix of centred means
    centre = np.mean(means, axis=0)
    products = gram(np.stack([mean - centre for mean in means])) / len(centre)
    noise = np.array(within) / np.array(seeds)
    exact = _variances(np.full((1, n), 1 / n), products, np.array(within), noise)
    drawn = _variances(weights(n), products, np.array(within), noise)
    estimates = (estimate(float(one[0]), draws, n) for one, draws in zip(exact, drawn, strict=True))
    return *estimates, min(seeds)


def _spread(x: np.ndarray) -> float:
    """Unbiased variance over seeds `(seeds, d)`, mean over pixels."""
    return float(x.var(axis=0, ddof=1, dtype=np.float64).mean())


def _variances(
    drawn: np.ndarray, products: np.ndarray, within: np.ndarray, noise: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Within, between, share of every draw `(draws,)`.

    A resample's variance is (n-1)/n of what it stands for, once more; the draws are freed of it.
    """
    n = len(within)
    spread = drawn @ np.diag(products) - ((drawn @ products) * drawn).sum(axis=1)
    again = n / (n - 1) if len(drawn) > 1 else 1.0
    inside = drawn @ within
    between = spread * n / (n - 1) * again - drawn @ noise
    with np.errstate(invalid="ignore", divide="ignore"):
        return inside, between, between / (between + inside)


def _falls(points: tuple[Variances, ...]) -> bool | None:
    """No level may have more than a cleaner one, intervals apart."""
    known = [p for p in points if math.isfinite(p.between.value) and math.isfinite(p.log_snr)]
    if len(known) < 2:
        return None
    known.sort(key=lambda point: -point.log_snr)
    least = math.inf
    for point in known:
        low = point.between.low if math.isfinite(point.between.low) else point.between.value
        high = point.between.high if math.isfinite(point.between.high) else point.between.value
        if low > least:
            return False
        least = min(least, high)
    return True
