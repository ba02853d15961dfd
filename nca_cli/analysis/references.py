"""What is possible without a network, on the axes of the network's own curves.

As tidy rows (`Value`) with samplers `reference:…`, metrics `mse` and `psnr`:

    reference:gaussian          E[x0|x_t] of the Gaussian with full covariance, one step
    reference:gaussian/ddim-50  the chain that a sampler makes with this denoiser, every step exact
    reference:wiener, …/ddim-50 the same with the mean image and a power spectrum

Both Gaussians are fitted to the other images of the store (`gaussian`); their rows are expectations
over noise, unclipped, of seed `ANY_SEED`. The references that are measured rather than computed,
`reference:copy` (x_t itself) and `reference:floor` (D(E(x0)) of latent models, at no level), come
with the metrics; `excess` compares networks with all four.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from nca_cli.analysis.bootstrap import Estimate, estimate, resampled_means
from nca_cli.analysis.chains import linear, why_not
from nca_cli.analysis.gaussian import MIN_REFERENCE, Modes, TooAlike, full, power, spectrum
from nca_cli.analysis.read import StoredModel, levels, stored_models
from nca_cli.analysis.values import ANY_SEED, NO_LEVEL, REFERENCE, Matrices, Value, tables
from nca_cli.metrics.fidelity import PEAK
from nca_cli.metrics.tidy import TidyTable
from nca_cli.recipe import Recipe
from nca_cli.store import Artifact, Filters, Namer, Store

GAUSSIANS: dict[str, Callable[[np.ndarray], Modes]] = {"gaussian": full, "wiener": power}
DESCRIPTIONS = {
    "gaussian": "Gaussian with the mean and sample covariance of the other images",
    "wiener": "Gaussian with the mean and power spectrum of the other images",
}
MEASURED = ("copy", "floor")
"""References that other metrics bring."""


@dataclass(frozen=True)
class Reference:
    """What became of a reference for one model and sampler."""

    model: str
    sampler: str
    """Of the network, whose levels and settings it shares."""
    name: str
    """`reference:gaussian/ddim-50`."""
    what: str
    n: int
    """Images in the store; a Gaussian is fitted to all but one."""
    known: int
    """Directions in which it has a variance; 0 where it is blank, as `dimensions`."""
    dimensions: int
    """Values of an image."""
    blank: str
    """Why there are no rows, or nothing."""


@dataclass(frozen=True)
class Excess:
    """How much better than a reference a network is, in dB of squared error, at one level."""

    model: str
    sampler: str
    reference: str
    t: int | float
    log_snr: float
    gain: Estimate
    """Mean over images of 10·log10(MSE of the reference / MSE of the network)."""


def references(
    store: Store, filters: Filters = Filters(), names: Namer | None = None  # noqa: B008
) -> tuple[list[Value], list[Reference]]:  # fmt: skip
    """Rows of all references of all models, and what each of them is or why it is blank."""
    rows: list[Value] = []
    notes: list[Reference] = []
    fits = _Fits()
    for stored in stored_models(store, filters, names):
        for found, note in _gaussians(stored, filters, fits):
            rows += found
            notes.append(note)
    return list(dict.fromkeys(rows)), notes  # two recipes of one step share a reference


_Found = tuple[list[Value], Reference]


class _Fits:
    """Gaussians of images, each fitted once: models are compared on the same ones."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, bytes], Modes] = {}

    def of(self, kind: str, images: np.ndarray) -> Modes:
        """A Gaussian of the pictures `(N, C, H, W)`."""
        key = kind, hashlib.sha256(images.tobytes()).digest()
        if key not in self._known:
            self._known[key] = GAUSSIANS[kind](images)
        return self._known[key]


def _gaussians(stored: StoredModel, filters: Filters, fits: _Fits) -> Iterator[_Found]:
    x0 = _images(stored)
    fitted, unfit = _fitted(stored, x0, fits)
    for kind in GAUSSIANS:
        modes = fitted.get(kind)
        for sampler, artifacts in stored.recipes.items():
            recipe = stored.recipe(sampler)
            name = reference_name(kind, sampler, recipe)
            blank = unfit or why_not(recipe)
            size = (modes.known, modes.dimensions) if modes and not blank else (0, 0)
            note = Reference(stored.model, sampler, name, DESCRIPTIONS[kind], len(x0), *size, blank)
            if modes is None or recipe is None or blank:
                yield [], note
            else:
                yield list(_rows(stored, name, recipe, artifacts, filters, modes, list(x0))), note


def reference_name(kind: str, sampler: str, recipe: Recipe | None = None) -> str:
    """`reference:gaussian` for one step, `reference:gaussian/ddim-50` for a chain."""
    one_step = recipe.sampler == "one-step" if recipe else sampler.startswith("one-step")
    return f"{REFERENCE}{kind}" if one_step else f"{REFERENCE}{kind}/{sampler}"


def _images(stored: StoredModel) -> dict[str, np.ndarray]:
    """x0 of every image that is finite and of the commonest shape."""
    found = {image: noise.fixed("x0") for image, noise in sorted(stored.noise.items())}
    shapes = [x0.shape for x0 in found.values()]
    common = max(set(shapes), key=shapes.count) if shapes else ()
    return {image: x0 for image, x0 in found.items()
            if x0.shape == common and np.isfinite(x0).all()}  # fmt: skip


def _fitted(
    stored: StoredModel, x0: dict[str, np.ndarray], fits: _Fits
) -> tuple[dict[str, Modes], str]:
    """The Gaussian of each kind, or why there is none."""
    if why := _unfit(stored, x0):
        return {}, why
    images = np.stack(list(x0.values()))
    try:
        return {kind: fits.of(kind, images) for kind in GAUSSIANS}, ""
    except TooAlike as error:
        return {}, str(error)


def _unfit(stored: StoredModel, x0: dict[str, np.ndarray]) -> str:
    """Why no Gaussian can be fitted, or nothing."""
    if stored.latent:
        return "a latent model: its noise is not in pixels"
    if stored.schedule is None:
        return "its schedule is not known"
    if len(x0) < MIN_REFERENCE:
        return f"too few images to fit a Gaussian: {len(x0)} of {MIN_REFERENCE}"
    return ""


def _rows(
    stored: StoredModel, name: str, recipe: Recipe, artifacts: dict[str, Artifact],
    filters: Filters, modes: Modes, images: list[str],
) -> Iterator[Value]:  # fmt: skip
    """The error of every image at every level that the network was asked for."""
    schedule = stored.schedule
    assert schedule is not None  # `_unfit` has seen to it
    for t, log_snr in levels(artifacts.values(), filters).items():
        there = {image for image, artifact in artifacts.items()
                 if any(key[0] == t for key in filters.keys(artifact))}  # fmt: skip
        errors = modes.error(linear(recipe, schedule, t, spectrum()))
        for image, error in zip(images, errors.tolist(), strict=True):
            if image in there:
                psnr = 10 * math.log10(PEAK**2 / error) if error > 0 else math.inf
                for measure, value in (("mse", error), ("psnr", psnr)):
                    place = image, stored.model, name, t, ANY_SEED, log_snr
                    yield Value(*place, measure, value)


def excess(values: Iterable[Value]) -> list[Excess]:
    """The network's gain over every reference of its model, sampler and level, in dB.

    `values` holds `mse` rows of both. Paired: each image against the reference for itself.
    """
    rows = TidyTable.of(values).of_measure("mse")
    found = {(table.model, table.sampler): table for table in tables(rows)}
    return [
        gain
        for (model, sampler), table in found.items() if not sampler.startswith(REFERENCE)
        for kind in (*GAUSSIANS, *MEASURED)
        for gain in _gains(table, found.get((model, _fitting(kind, sampler))))
    ]  # fmt: skip


def _fitting(kind: str, sampler: str) -> str:
    return reference_name(kind, sampler) if kind in GAUSSIANS else f"{REFERENCE}{kind}"


def _gains(table: Matrices, other: Matrices | None) -> Iterator[Excess]:
    """At the levels and images that both have; a floor is of every level."""
    if other is None:
        return
    rows = [{image: row for row, image in enumerate(one.images)} for one in (table, other)]
    images = [image for image in table.images if image in rows[1]]
    mine, theirs = (
        one.grids["mse"].mean[[row[image] for image in images]]
        for one, row in zip((table, other), rows, strict=True)
    )
    for level, t in enumerate(table.t):
        if t in other.t or NO_LEVEL in other.t:
            errors = mine[:, level], theirs[:, other.t.index(t if t in other.t else NO_LEVEL)]
            log_snr = float(table.log_snr[level])
            yield Excess(table.model, table.sampler, other.sampler, t, log_snr, _gain(*errors))


def _gain(mine: np.ndarray, theirs: np.ndarray) -> Estimate:
    with np.errstate(invalid="ignore", divide="ignore"):
        decibels = 10 * np.log10(theirs / mine)
    known = decibels[np.isfinite(decibels)]
    if not len(known):
        return Estimate(blank="no image has both errors")
    draws = resampled_means(known[:, None])[:, 0]
    return estimate(float(known.mean()), draws, len(known), mean=True)
