"""The store for notebooks: its tensors as labelled arrays, its measures as a table.

`nca_cli.Store` is this one: all of the store, and two views that need xarray and pandas,
pip install 'nca-cli[notebook]'.
"""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from nca_cli.errors import NcaError, NothingStored
from nca_cli.metrics import REFERENCES, Value, measure_store
from nca_cli.store import Artifact, Filters, Names, Place, Store
from nca_cli.store.layout import NOISE

if TYPE_CHECKING:
    import pandas
    import xarray

MOST_GB = 4.0
"""Of arrays in memory, unless more is asked for."""
IMAGE, SAMPLE = ("image",), ("t", "seed")
PIXELS, LATENT = ("channel", "height", "width"), ("latent", "latent_height", "latent_width")
FIXED = {"x0": PIXELS, "x0_floor": PIXELS, "z0": LATENT}
"""Tensors of an image, and their axes."""
NOISED = {"x_t": PIXELS, "z_t": LATENT}
RECONSTRUCTED = {"x0_hat": PIXELS, "z0_hat": LATENT}


class NotebookStore(Store):
    """A store whose content can be had as xarray and pandas objects."""

    def to_xarray(
        self,
        filters: Filters = Filters(),  # noqa: B008
        names: Iterable[str] = ("x0", "x_t", "x0_hat"),
        *,
        most_gb: float = MOST_GB,
    ) -> xarray.DataTree:
        """A dataset per model: the tensors `names` that fit, float32, NaN where nothing is stored.

        Axes: `x0 (image, channel, height, width)`, `x_t (image, t, seed, …)`, `x0_hat (image,
        sampler, t, seed, …)`; of latent models also `x0_floor`, `z0`, `z_t` and `z0_hat`. `log_snr`
        is a coordinate of `t`. Raises `NothingStored` where nothing fits, and `NcaError` without
        xarray and for more than `most_gb` gigabytes.
        """
        need("xarray")
        import xarray

        found = [artifact for artifact in self.require().select(filters) if filters.keys(artifact)]
        if not found:
            raise NothingStored(f"{self.root} holds nothing that fits", "see what it holds: nca ls")
        called = Names(found)
        models: dict[str, list[Artifact]] = {}
        for artifact in found:
            models.setdefault(called.model(artifact), []).append(artifact)
        held = {model: _Arrays(self, some, filters, called) for model, some in models.items()}
        wanted = list(names)
        _check_size(sum(each.bytes(wanted) for each in held.values()), most_gb)
        datasets = {model: tensors.dataset(wanted) for model, tensors in held.items()}
        return xarray.DataTree.from_dict(datasets)

    def to_dataframe(
        self,
        filters: Filters = Filters(),  # noqa: B008
        measures: Iterable[str] | None = None,
    ) -> pandas.DataFrame:
        """The measures of `nca report --csv`: a row per value, kept ones not measured again.

        Columns `image, model, sampler, t, seed, log_snr, measure, value`; rows of x_t itself and of
        an autoencoder alone have samplers `reference:…`. Closed forms and what is read of concepts
        (`concept/…`; see `nca_cli.concepts.concept_readings`) are left to the report.
        `measures` and what is raised as in `measure_store`. Raises `NcaError` without pandas.
        """
        need("pandas")
        import pandas

        values = measure_store(self, filters, measures, references=tuple(REFERENCES))
        return pandas.DataFrame.from_records(values, columns=list(Value._fields))


def need(library: str) -> None:
    """Raise `NcaError` where a library of the notebook extra is not installed."""
    if importlib.util.find_spec(library) is None:
        hint = "pip install 'nca-cli[notebook]'"
        raise NcaError(f"this view needs {library}, which is not installed", hint)


def _check_size(size: int, most_gb: float) -> None:
    if size > most_gb * 1e9:
        hint = "narrow it by filters, or raise most_gb"
        raise NcaError(f"{size / 1e9:.1f} GB of tensors, more than {most_gb:g} GB", hint)


class _Arrays:
    """The artifacts of one model, and the labels of its axes."""

    def __init__(self, home: Store, found: Sequence[Artifact], filters: Filters, called: Names):
        self.filters, self.called = filters, called
        self.noise: dict[str, Artifact] = {}
        self.made = [artifact for artifact in found if not artifact.is_noise]
        for artifact in found:
            place = Place(artifact.model, artifact.image)
            if noise := home.artifact(place, NOISE):
                self.noise[called.image(artifact)] = noise
        self.images = sorted({called.image(artifact) for artifact in found})
        self.samplers = sorted({called.sampler(artifact) for artifact in self.made})
        keys = {key for artifact in found for key in filters.keys(artifact)}
        self.t, self.seeds = (sorted(column) for column in map(set, zip(*keys, strict=True)))
        self.log_snr = {
            t: log_snr
            for artifact in found
            for t, log_snr in zip(artifact.t.tolist(), artifact.log_snr.tolist(), strict=True)
        }

    def bytes(self, names: Iterable[str]) -> int:
        """Of the arrays, as float32."""
        return sum(4 * math.prod(shape) for name in names if (shape := self._shape(name)))

    def dataset(self, names: Iterable[str]) -> xarray.Dataset:
        """The tensors that the model has, on common axes."""
        import xarray

        arrays = {name: self._array(name) for name in names if self._shape(name)}
        return xarray.Dataset(
            arrays,
            {
                "image": self.images,
                "sampler": self.samplers,
                "t": self.t,
                "seed": self.seeds,
                "log_snr": ("t", [self.log_snr[t] for t in self.t]),
            },
        )

    def _axes(self, name: str) -> tuple[str, ...]:
        if name in FIXED:
            return (*IMAGE, *FIXED[name])
        if name in NOISED:
            return (*IMAGE, *SAMPLE, *NOISED[name])
        if name in RECONSTRUCTED:
            return (*IMAGE, "sampler", *SAMPLE, *RECONSTRUCTED[name])
        known = ", ".join((*FIXED, *NOISED, *RECONSTRUCTED))
        raise NcaError(f"no tensor is called {name!r}", f"of: {known}")

    def _shape(self, name: str) -> tuple[int, ...]:
        """Of the array; nothing where the model has no such tensor."""
        sizes = {"image": len(self.images), "sampler": len(self.samplers),
                 "t": len(self.t), "seed": len(self.seeds)}  # fmt: skip
        axes = self._axes(name)
        sources = self.made if name in RECONSTRUCTED else self.noise.values()
        held = next((a.datasets[name][0] for a in sources if name in a.datasets), None)
        if held is None:
            return ()
        lead = [sizes[axis] for axis in axes[:-3]]
        return (*lead, *held[-3:])

    def _array(self, name: str) -> tuple[tuple[str, ...], np.ndarray]:
        array = np.full(self._shape(name), np.nan, np.float32)
        if name in RECONSTRUCTED:
            for artifact in self.made:
                place = self.called.image(artifact), self.called.sampler(artifact)
                row = self.images.index(place[0]), self.samplers.index(place[1])
                self._fill(array[row], artifact, name)
        else:
            for image, artifact in self.noise.items():
                self._fill(array[self.images.index(image)], artifact, name)
        return self._axes(name), array

    def _fill(self, place: np.ndarray, artifact: Artifact, name: str) -> None:
        """Put what an artifact holds where it belongs; `place` is a view of the whole."""
        if name not in artifact.datasets:
            return
        if name in FIXED:
            place[...] = artifact.fixed(name)
            return
        keys = [(t, seed) for t, seed in self.filters.keys(artifact)
                if t in self.t and seed in self.seeds]  # fmt: skip
        if keys:
            rows = [self.t.index(t) for t, _ in keys], [self.seeds.index(seed) for _, seed in keys]
            place[rows] = artifact.read(name, keys)
