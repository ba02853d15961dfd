"""What is not learned, apart from what cannot be known; and learning apart from memorising.

Of each one-step reconstruction of a run:

    excess = E - E_best          per level and step, of the mean squared error

E_best is the best that a denoiser can do: of the exact posterior mean over the training images,
where these are given, else of the Gaussian fitted to the other images in the store. On training
images nothing beats the posterior mean. On held-out images a network that generalises does, and its
excess is negative: it knows what no single training image says.

    gap = E(held-out) - E(training)          the two kinds of image in one store

A gap that is there at step 0 is a difference of the images. `copies` says when a chain from nearly
pure noise ends at a training image.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from nca_cli.analysis.bootstrap import (
    MIN_IMAGES,
    Estimate,
    estimate,
    resampled_means,
    student,
    too_few,
)
from nca_cli.analysis.checkpoints import StepTable, info_of, made_by
from nca_cli.analysis.memory import copies, remembered
from nca_cli.analysis.read import StoredModel
from nca_cli.analysis.untaught import stored_noises
from nca_cli.analysis.values import Value
from nca_cli.recipe import Number
from nca_cli.store import Artifact, Filters, Store
from nca_cli.store.layout import split_folder

PURE = math.log(1e-3)
"""logSNR below which x_t is nearly pure noise."""
TRAINING, HELD_OUT, ALL = "training", "held-out", "all"
POSTERIOR_MEAN, GAUSSIAN = "posterior mean", "gaussian"
Best = Mapping[tuple[str, Number], float]
"""(image, t) → the least error that is possible there."""


@dataclass(frozen=True, eq=False)
class TrainingImages:
    """What a run was trained on."""

    pixels: np.ndarray
    """`(M, C, H, W)` in [-1, 1], at the resolution of the run."""
    digests: frozenset[str]
    """Of the images themselves: stored images among them are training images."""

    def holds(self, folder: str) -> bool:
        """Whether a stored image, by the digest in its folder's name, is one of them."""
        digits = split_folder(folder)[1]
        return any(digest.startswith(digits) for digest in self.digests)


@dataclass(frozen=True)
class ExcessOverBest:
    """Mean squared error beyond the least possible one, at one level and step."""

    run: str
    sampler: str
    t: Number
    log_snr: float
    step: int
    images: str
    """`training`, `held-out`, or `all` where training images are not given."""
    reference: str
    """`posterior mean` or `gaussian`."""
    best: float
    """Mean of the least possible errors."""
    excess: Estimate


@dataclass(frozen=True)
class TrainingGap:
    """Error on held-out images less that on training images, at one level and step."""

    run: str
    sampler: str
    t: Number
    log_snr: float
    step: int
    training: float
    held_out: float
    gap: Estimate
    """Welch's interval; its `n` counts all images."""


@dataclass(frozen=True)
class CopiedShare:
    """Share of the chains from nearly pure noise that end at a training image."""

    run: str
    sampler: str
    t: Number
    log_snr: float
    step: int
    share: Estimate
    """Wilson's interval; seeds of an image are averaged first."""


def best_errors(
    store: Store, table: StepTable, training: TrainingImages, filters: Filters = Filters(),  # noqa: B008
) -> Best:  # fmt: skip
    """The error of the exact posterior mean over the training images, on the very x_t of a run.

    Empty for latent models, and where the schedule is not known or the sizes differ.
    """
    model = StoredModel(table.run.name, info_of(store, table.run.folder))
    if model.latent or model.schedule is None:
        return {}
    noises = {
        image: noise for image, noise in stored_noises(store, table.run.folder, filters).items()
        if image in table.images and noise.fixed("x0").shape == training.pixels.shape[1:]
    }  # fmt: skip
    found: dict[tuple[str, Number], float] = {}
    for t in table.t:  # all images at once: distances to the training images are the cost
        keys = {image: [key for key in filters.keys(noise) if key[0] == t]
                for image, noise in noises.items()}  # fmt: skip
        x_t = [noises[image].read("x_t", some) for image, some in keys.items() if some]
        if not x_t:
            continue
        level = model.schedule.level(t)
        mean = remembered(np.concatenate(x_t), training.pixels, level).mean
        ends = np.cumsum([len(some) for some in keys.values()])
        for image, part in zip(keys, np.split(mean, ends[:-1]), strict=True):
            if len(part):
                found[image, t] = float(np.mean((part - noises[image].fixed("x0")) ** 2))
    return found


def gaussian_errors(values: Iterable[Value], model: str) -> Best:
    """The same of the Gaussian reference, from its rows (`references`)."""
    return {
        (value.image, value.t): value.value for value in values
        if (value.model, value.sampler, value.measure) == (model, "reference:gaussian", "mse")
    }  # fmt: skip


def kinds_of(
    store: Store, table: StepTable, training: TrainingImages | None,
    filters: Filters = Filters(),  # noqa: B008
) -> dict[str, np.ndarray]:  # fmt: skip
    """`training` and `held-out` → which images of a table are, bool `(images,)`; else `all`."""
    if training is None:
        return {ALL: np.ones(len(table.images), bool)}
    noises = stored_noises(store, table.run.folder, filters)
    told = np.array([image in noises for image in table.images])
    seen = np.array([image in noises and training.holds(noises[image].image)
                     for image in table.images])  # fmt: skip
    kinds = (TRAINING, seen), (HELD_OUT, told & ~seen)
    return {kind: rows for kind, rows in kinds if rows.any()}


def excesses(
    table: StepTable, best: Best, kinds: Mapping[str, np.ndarray], reference: str
) -> Iterator[ExcessOverBest]:
    """At every level and step of a table of `mse`, for each kind of image."""
    least = np.array([[best.get((image, t), np.nan) for t in table.t] for image in table.images])
    for kind, rows in kinds.items():
        for column, t in enumerate(table.t):
            over = table.cells[rows, column] - least[rows, column, None]
            known = np.isfinite(over).all(axis=1)
            if not known.any():
                continue
            draws, floor = resampled_means(over[known]), float(least[rows, column][known].mean())
            place = table.run.name, table.sampler, t, table.log_snr[column]
            for index, step in enumerate(table.steps):
                value, n = float(over[known, index].mean()), int(known.sum())
                found = estimate(value, draws[:, index], n, mean=True)
                yield ExcessOverBest(*place, step, kind, reference, floor, found)


def gaps(table: StepTable, kinds: Mapping[str, np.ndarray]) -> Iterator[TrainingGap]:
    """At every level and step of a table of `mse`, where both kinds of image are stored."""
    if kinds.keys() != {TRAINING, HELD_OUT}:
        return
    for column, t in enumerate(table.t):
        for index, step in enumerate(table.steps):
            seen, unseen = (table.cells[kinds[kind], column, index] for kind in kinds)
            yield TrainingGap(table.run.name, table.sampler, t, table.log_snr[column], step,
                      float(seen.mean()), float(unseen.mean()), welch(unseen, seen))  # fmt: skip


def welch(one: np.ndarray, other: np.ndarray) -> Estimate:
    """Difference of two means of different images, with Welch's interval (Biometrika 34, 1947)."""
    value, fewest = float(one.mean() - other.mean()), min(len(one), len(other))
    n = len(one) + len(other)
    if fewest < MIN_IMAGES:
        return Estimate(value, n=n, blank=too_few(fewest))
    parts = [float(each.var(ddof=1)) / len(each) for each in (one, other)]
    total = sum(parts)
    if total == 0:
        return Estimate(value, value, value, n)
    freedom = total**2 / sum(
        part**2 / (len(each) - 1) for part, each in zip(parts, (one, other), strict=True)
    )
    reach = student(max(1, math.floor(freedom))) * math.sqrt(total)
    return Estimate(value, value - reach, value + reach, n)


def copied_shares(
    store: Store, artifacts: Sequence[Artifact], training: TrainingImages,
    filters: Filters = Filters(),  # noqa: B008
) -> Iterator[CopiedShare]:  # fmt: skip
    """Of all chains of runs that begin where logSNR is below `PURE`, per level and step; none of a
    single training image, since there is no second nearest."""
    if len(training.pixels) < 2:
        return
    held: dict[tuple, list[float]] = {}
    for artifact, (run, sampler, step) in made_by(store, artifacts).items():
        if artifact.sampler == "one-step":
            continue
        log_snr = dict(zip(artifact.t.tolist(), artifact.log_snr.tolist(), strict=True))
        for t in sorted({t for t, _ in filters.keys(artifact) if log_snr[t] < PURE}):
            x0_hat = artifact.read("x0_hat", [key for key in filters.keys(artifact) if key[0] == t])
            if x0_hat.shape[1:] == training.pixels.shape[1:] and np.isfinite(x0_hat).all():
                share = copies(x0_hat.clip(-1, 1), training.pixels).mean()
                key = run.name, sampler, t, log_snr[t], step
                held.setdefault(key, []).append(float(share))
    for key in sorted(held, key=lambda one: (*one[:3], one[4])):
        yield CopiedShare(*key, wilson(float(np.mean(held[key])), len(held[key])))


def wilson(share: float, n: int) -> Estimate:
    """A share with Wilson's interval (J. Am. Stat. Assoc. 22, 1927), which 0 and 1 have too."""
    z = student(10**6)
    centre = share + z**2 / (2 * n)
    spread = z * math.sqrt(share * (1 - share) / n + (z / n / 2) ** 2)
    low, high = ((centre + end) / (1 + z**2 / n) for end in (-spread, spread))
    return Estimate(share, max(0.0, low), min(1.0, high), n)
