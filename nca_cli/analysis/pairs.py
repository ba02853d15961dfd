"""P2's Fig. 2: how far apart are pictures that share their image, and pictures that do not?

Choi et al. (2204.00227) compare noisy pairs x_t of one image and of two, over SNR: where the two
distances part, content begins. Seeds give pairs that share x0, images give pairs that do not. The
mean square distance per pixel has a closed form for x_t = a·x0 + s·ε,

    same x0: 2s²          different x0: 2s² + a²·E‖x0 - x0'‖²/d,   which is 2a²·tr Σ/d

(2(1-ᾱ)d and + 2ᾱ·tr Σ of variance-preserving schedules). The same pairs of reconstructions tell
where the model's answers part.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations

import numpy as np

from nca_cli.analysis.bootstrap import (
    Estimate,
    estimate,
    positive_interval,
    resampled_means,
    too_few,
    weights,
)
from nca_cli.analysis.read import StoredModel, by_level, stored_models
from nca_cli.schedule import Level
from nca_cli.store import Artifact, Filters, Namer, Store

NOISY = "x_t"
"""Sampler of the pairs of noisy pictures."""
Distance = Callable[[np.ndarray, np.ndarray], float]
"""Of two pictures `(C, H, W)`, [-1, 1] but for noise."""
MOST_PAIRS = 200
"""Pairs of different images that a distance function is asked for at each level, as in P2."""


@dataclass(frozen=True)
class PairPoint:
    """Distances at one level: means over pairs, intervals by resampling images."""

    t: int | float
    log_snr: float
    shared: Estimate
    """Of the same image; blank with one seed."""
    unshared: Estimate
    """Of different images; blank with one image."""
    shared_exact: float = math.nan
    unshared_exact: float = math.nan
    """Closed form for the images at hand; of noisy pictures and mean square distance alone."""


@dataclass(frozen=True)
class PairCurve:
    """Distances of noisy pictures (`sampler` is `x_t`) or of a sampler's reconstructions."""

    model: str
    sampler: str
    distance: str
    points: tuple[PairPoint, ...]


def pair_distances(
    store: Store, filters: Filters = Filters(), names: Namer | None = None,  # noqa: B008
    distances: dict[str, Distance] | None = None,
) -> list[PairCurve]:  # fmt: skip
    """Distances of pairs for every model: of x_t, and of the x̂0 of each sampler.

    `l2` is the mean square distance per pixel; of latent models, x_t is compared in latents, where
    the noise is. `distances` adds functions of two pictures, such as SSIM; it is they that are
    limited to `MOST_PAIRS`. Pictures are taken as they are stored, unclipped.
    """
    wanted: dict[str, Distance | None] = {"l2": None, **(distances or {})}
    return [
        _curve(stored, sampler, name, distance, filters)
        for stored in stored_models(store, filters, names)
        for sampler in (NOISY, *stored.recipes)
        for name, distance in wanted.items()
    ]


def _curve(
    stored: StoredModel, sampler: str, name: str, distance: Distance | None, filters: Filters
) -> PairCurve:
    noisy = sampler == NOISY
    artifacts = stored.noise if noisy else stored.recipes[sampler]
    l2 = noisy and distance is None
    dataset = "x0_hat" if not noisy else "z_t" if stored.latent and l2 else "x_t"
    schedule = stored.schedule if l2 else None
    apart = _Apart(artifacts, "z0" if stored.latent else "x0")
    points = []
    for t, log_snr, images in by_level(artifacts, filters, dataset):
        pictures = list(images.values())
        firsts = [seeds[0] for seeds in pictures]
        point = PairPoint(t, log_snr, shared(pictures, distance), unshared(firsts, distance))
        if schedule is not None:
            exact = _closed_form(schedule.level(t), apart.mean(images))
            point = replace(point, shared_exact=exact[0], unshared_exact=exact[1])
        points.append(point)
    return PairCurve(stored.model, sampler, name, tuple(points))


def shared(pictures: Sequence[np.ndarray], distance: Distance | None = None) -> Estimate:
    """Mean distance of two seeds of one image, from tensors `(seeds, C, H, W)` of each image."""
    means = [_within(tensors, distance) for tensors in pictures if len(tensors) > 1]
    if not means:
        return Estimate(blank="one seed: no pairs of the same image")
    cells = np.array(means)
    return estimate(cells.mean(), resampled_means(cells[:, None])[:, 0], len(means), mean=True)


def _within(tensors: np.ndarray, distance: Distance | None) -> float:
    distance = distance or mean_square
    pairs = combinations(range(len(tensors)), 2)
    return float(np.mean([distance(tensors[i], tensors[j]) for i, j in pairs]))


def unshared(pictures: Sequence[np.ndarray], distance: Distance | None = None) -> Estimate:
    """Mean distance of two images, one seed of each: `(C, H, W)`.

    The mean square distance of pictures is a variance, with the interval of one. Of other
    distances, resampling images i and j gives their pair the weight w_i·w_j; an image drawn twice
    makes no pair with itself.
    """
    n = len(pictures)
    if n < 2:
        return Estimate(n=n, blank="one image: no pairs of different images")
    if distance is None:
        return _variance(_from_all_others(pictures))
    apart = _some_apart(pictures, distance)
    known = np.isfinite(apart)
    apart = np.where(known, apart, 0.0)
    drawn = weights(n)
    with np.errstate(invalid="ignore", divide="ignore"):
        draws = ((drawn @ apart) * drawn).sum(1) / ((drawn @ known) * drawn).sum(1)
    return estimate(float(apart.sum() / known.sum()), draws, n)


def _variance(sums: np.ndarray) -> Estimate:
    """Mean over pairs, from the sum of each image's distances; its jackknife leaves out images."""
    n, total = len(sums), sums.sum()
    value = float(total / (n * (n - 1)))
    with np.errstate(invalid="ignore", divide="ignore"):
        without = (total - 2 * sums) / np.float64((n - 1) * (n - 2))
    return Estimate(value, *positive_interval(value, without), n, too_few(n))


def _from_all_others(pictures: Sequence[np.ndarray], chunk: int = 1 << 15) -> np.ndarray:
    """Σ_j ‖a_i - a_j‖²/d of each image `(n,)`, pixels in chunks.

    No pair is looked at: around their mean, it is n‖a_i‖² + Σ_j ‖a_j‖².
    """
    rows = np.stack([picture.reshape(-1) for picture in pictures])
    n, d = rows.shape
    squares = np.zeros(n)
    for start in range(0, d, chunk):
        part = rows[:, start : start + chunk].astype(np.float64)
        part -= part.mean(axis=0)
        squares += np.einsum("ij,ij->i", part, part)
    return (n * squares + squares.sum()) / d


def mean_square(one: np.ndarray, other: np.ndarray) -> float:
    """‖a - b‖²/d."""
    return float(np.mean((one.astype(np.float64) - other) ** 2))


def _some_apart(pictures: Sequence[np.ndarray], distance: Distance) -> np.ndarray:
    """`(n, n)`, of `MOST_PAIRS` pairs at most; the others are NaN, and the diagonal is."""
    n = len(pictures)
    pairs = list(combinations(range(n), 2))
    if len(pairs) > MOST_PAIRS:
        chosen = np.random.default_rng(n).choice(len(pairs), MOST_PAIRS, replace=False)
        pairs = [pairs[index] for index in sorted(chosen)]
    apart = np.full((n, n), np.nan)
    for i, j in pairs:
        apart[i, j] = apart[j, i] = distance(pictures[i], pictures[j])
    return apart


class _Apart:
    """How far apart original images are, of whichever images a level holds."""

    def __init__(self, artifacts: dict[str, Artifact], dataset: str):
        self._artifacts, self._dataset = artifacts, dataset
        self._means: dict[tuple[str, ...], float] = {}

    @cached_property
    def _x0(self) -> dict[str, np.ndarray]:
        read = {image: each.fixed(self._dataset) for image, each in self._artifacts.items()}
        return {image: x0 for image, x0 in read.items() if np.isfinite(x0).all()}

    def mean(self, images: Iterable[str]) -> float:
        """Mean of ‖x0_i - x0_j‖²/d, of images that are finite; NaN of fewer than two."""
        several = tuple(image for image in images if image in self._x0)
        if len(several) < 2:
            return math.nan
        if several not in self._means:
            sums = _from_all_others([self._x0[image] for image in several])
            self._means[several] = float(sums.mean()) / (len(several) - 1)
        return self._means[several]


def _closed_form(level: Level, apart: float) -> tuple[float, float]:
    """2s² and 2s² + a²·mean‖x0-x0'‖²/d."""
    shared = 2 * level.s**2
    return shared, shared + level.a**2 * apart
