"""The store for notebooks: its tensors as labelled arrays, its metrics as a table.

`nca_cli.Store` is this one: all of the store, and two views that need xarray and pandas,
pip install 'nca-cli[notebook]'.
"""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from nca_cli.errors import LIST_HINT, NcaError, NothingStored
from nca_cli.metrics import REFERENCES, Value, measure_store
from nca_cli.store import Artifact, Filters, Names, Place, Store, unmet
from nca_cli.store.layout import NOISE

if TYPE_CHECKING:
    import pandas
    import xarray

IMAGE, NOISED, DRAWN = ("image",), ("image", "t", "seed"), ("image", "sampler", "t", "seed")
PIXELS, LATENT = ("channel", "height", "width"), ("latent", "latent_height", "latent_width")
AXES = {
    "x0": IMAGE + PIXELS,
    "x0_floor": IMAGE + PIXELS,
    "z0": IMAGE + LATENT,
    "x_t": NOISED + PIXELS,
    "z_t": NOISED + LATENT,
    "x0_hat": DRAWN + PIXELS,
    "z0_hat": DRAWN + LATENT,
}
"""Tensor → the axes of its array."""


class NotebookStore(Store):
    """A store whose content can be had as xarray and pandas objects."""

    def to_xarray(
        self,
        filters: Filters = Filters(),  # noqa: B008
        names: Iterable[str] = ("x0", "x_t", "x0_hat"),
        *,
        most_gb: float = 4.0,
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
            raise NothingStored(unmet(self, filters), LIST_HINT, self.named)
        called = Names(found)
        models: dict[str, list[Artifact]] = {}
        for artifact in found:
            models.setdefault(called.model(artifact), []).append(artifact)
        held = {model: _Arrays(self, some, filters, called) for model, some in models.items()}
        wanted = list(names)
        size = sum(tensors.bytes(wanted) for tensors in held.values())
        if size > most_gb * 1e9:
            hint = "narrow it by filters, or raise most_gb"
            raise NcaError(f"{size / 1e9:.1f} GB of tensors, more than {most_gb:g} GB", hint)
        datasets = {model: tensors.dataset(wanted) for model, tensors in held.items()}
        return xarray.DataTree.from_dict(datasets)

    def to_dataframe(
        self,
        filters: Filters = Filters(),  # noqa: B008
        measures: Iterable[str] | None = None,
    ) -> pandas.DataFrame:
        """The metrics of `nca report --csv`: a row per value, kept ones not measured again.

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


class _Arrays:
    """The artifacts of one model, each with its image (and sampler), and the labels of all axes."""

    def __init__(self, home: Store, found: Sequence[Artifact], filters: Filters, called: Names):
        self.filters = filters
        self.made = [
            ((called.image(each), called.sampler(each)), each)
            for each in found
            if not each.is_noise
        ]
        places = {called.image(each): Place(each.model, each.image) for each in found}
        noise = {image: home.artifact(place, NOISE) for image, place in places.items()}
        self.noise = [((image,), artifact) for image, artifact in noise.items() if artifact]
        keys = {key for artifact in found for key in filters.keys(artifact)}
        self.labels: dict[str, list] = {
            "image": sorted(places),
            "sampler": sorted({sampler for (_, sampler), _ in self.made}),
            "t": sorted({t for t, _ in keys}),
            "seed": sorted({seed for _, seed in keys}),
        }
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

        arrays = {name: (AXES[name], self._array(name)) for name in names if self._shape(name)}
        log_snr = [self.log_snr[t] for t in self.labels["t"]]
        return xarray.Dataset(arrays, {**self.labels, "log_snr": ("t", log_snr)})

    def _sources(self, name: str) -> Sequence[tuple[tuple[str, ...], Artifact]]:
        """The artifacts that hold a tensor, each with its labels on the first axes."""
        if name not in AXES:
            raise NcaError(f"no tensor is called {name!r}", f"of: {', '.join(AXES)}")
        some = self.made if "sampler" in AXES[name] else self.noise
        return [(labels, artifact) for labels, artifact in some if name in artifact.datasets]

    def _shape(self, name: str) -> tuple[int, ...]:
        """Of the array; nothing where the model has no such tensor."""
        sources = self._sources(name)
        if not sources:
            return ()
        lead = [len(self.labels[axis]) for axis in AXES[name][:-3]]
        return (*lead, *sources[0][1].datasets[name][0][-3:])

    def _array(self, name: str) -> np.ndarray:
        array = np.full(self._shape(name), np.nan, np.float32)
        for labels, artifact in self._sources(name):
            place = zip(AXES[name], labels, strict=False)
            row = tuple(self.labels[axis].index(label) for axis, label in place)
            self._fill(array[row], artifact, name)
        return array

    def _fill(self, place: np.ndarray, artifact: Artifact, name: str) -> None:
        """Put what an artifact holds where it belongs; `place` is a view of the whole."""
        if "t" not in AXES[name]:
            place[...] = artifact.fixed(name)
            return
        levels, seeds = self.labels["t"], self.labels["seed"]
        wanted = self.filters.keys(artifact)
        keys = [(t, seed) for t, seed in wanted if t in levels and seed in seeds]
        if keys:
            rows = [levels.index(t) for t, _ in keys], [seeds.index(seed) for _, seed in keys]
            place[rows] = artifact.read(name, keys)
