"""What has learned nothing, where the untrained network (step 0) is not stored.

The mean image answers whatever is asked: of the training images where they are given, else of the
other images of the run, if they are enough. With fewer, x_t filtered by the built-in spectral
prior (`wiener`), which knows pictures in general and no training set at all.
"""

from __future__ import annotations

from contextlib import suppress

import numpy as np

from nca_cli.analysis.checkpoints import StepTable, info_of
from nca_cli.analysis.read import StoredModel
from nca_cli.errors import NothingStored, StoreError
from nca_cli.images.pixels import OPPONENT
from nca_cli.metrics import METRICS, measure
from nca_cli.metrics.registry import family
from nca_cli.models.wiener import gain, spectrum
from nca_cli.recipe import Number
from nca_cli.schedule import Level
from nca_cli.store import Artifact, Filters, Names, Place, Store
from nca_cli.store.layout import NOISE

MEAN_IMAGE, WIENER, STEP_0 = "mean image", "wiener", "step 0"
FEWEST = 8
"""Images whose mean stands for the mean of their kind: its own error is a seventh of theirs."""


class Untaught:
    """Baselines of the images of one run.

    `kind` is `mean image` or `wiener`; "" where there is neither: few images of a latent model, of
    one channel, or of an unknown schedule.
    """

    def __init__(
        self, store: Store, folder: str, filters: Filters, training: np.ndarray | None = None
    ):  # fmt: skip
        self.filters = filters
        self.model = StoredModel(folder, info_of(store, folder))
        self.noises = stored_noises(store, folder, filters)
        self.mean = None if training is None else training.mean(axis=0, dtype=np.float64)
        self._found: dict[tuple[str, Number | None], dict[str, float]] = {}
        self._images = {} if training is not None else self._read()

    def of(self, table: StepTable) -> tuple[np.ndarray | None, str]:
        """The measure of `table` `(images, levels)`, NaN where it needs a network; and the kind.

        A concept is not followed at all by what always answers the same: its retention is 0.
        """
        if table.metric.startswith("concept/"):
            return np.zeros(table.cells.shape[:2]), MEAN_IMAGE
        return (self._measures(table) if self.kind else None), self.kind

    @property
    def kind(self) -> str:
        """Which of the two it is."""
        if self.mean is not None or len(self._images) >= FEWEST:
            return MEAN_IMAGE
        colour = self.model.channels == 3 and not self.model.latent
        return WIENER if colour and self.model.schedule is not None else ""

    def _read(self) -> dict[str, np.ndarray]:
        """x0 of each image."""
        return {image: noise.fixed("x0") for image, noise in self.noises.items()}

    def _measures(self, table: StepTable) -> np.ndarray:
        found = np.full(table.cells.shape[:2], np.nan)
        if (known := METRICS.get(family(table.metric))) is None or known.needs:
            return found
        for row, image in enumerate(table.images):
            for column, t in enumerate(table.t):
                found[row, column] = self._measured(image, t).get(table.metric, np.nan)
        return found

    def _measured(self, image: str, t: Number) -> dict[str, float]:
        """All measures of an image at a level; those of the mean image hold at every level."""
        key = image, None if self.kind == MEAN_IMAGE else t
        if key not in self._found:
            self._found[key] = self._measure(image, t)
        return self._found[key]

    def _measure(self, image: str, t: Number) -> dict[str, float]:
        if (noise := self.noises.get(image)) is None:
            return {}
        x0 = noise.fixed("x0")
        if self.kind == MEAN_IMAGE:
            return measure(x0, self._mean_without(image).astype(np.float32))
        seeds = [key for key in self.filters.keys(noise) if key[0] == t]
        assert self.model.schedule is not None  # `kind` has seen to it
        level = self.model.schedule.level(t)
        several = [measure(x0, filtered(x_t, level)) for x_t in noise.read("x_t", seeds)]
        return {name: float(np.mean([one[name] for one in several])) for name in several[0]}

    def _mean_without(self, image: str) -> np.ndarray:
        if self.mean is not None:
            return self.mean
        others = [x0 for name, x0 in self._images.items() if name != image]
        return np.asarray(np.mean(others, axis=0, dtype=np.float64))


def filtered(x_t: np.ndarray, level: Level) -> np.ndarray:
    """E[x0|x_t] `(3, H, W)` under the spectral prior of `models.wiener`."""
    share = gain(spectrum(x_t.shape[-2:]), level.a, level.s)
    opponent = np.einsum("oc,chw->ohw", OPPONENT, x_t.astype(np.float64))
    opponent = np.fft.ifft2(np.fft.fft2(opponent, norm="ortho") * share, norm="ortho").real
    return np.einsum("oc,ohw->chw", OPPONENT, opponent).astype(np.float32)


def stored_noises(store: Store, folder: str, filters: Filters) -> dict[str, Artifact]:
    """Image, as tables call it, → its noise, of whatever can be read."""
    made = [one for one in store.select(filters) if not one.is_noise and one.model == folder]
    names = Names(made)  # an image of which there is noise alone has no part in what these say
    known: dict[str, Artifact] = {}
    for image, name in {one.image: names.image(one) for one in made}.items():
        with suppress(StoreError, NothingStored):
            if noise := store.artifact(Place(folder, image), NOISE):
                noise.fixed("x0")
                known[name] = noise
    return known
