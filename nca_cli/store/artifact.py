"""An artifact as readers see it: all parts of one (model, image, recipe) as one table."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from nca_cli.errors import NothingStored
from nca_cli.recipe import Recipe
from nca_cli.store import hdf5
from nca_cli.store.layout import NOISE, split_folder

Key = tuple[int | float, int]
"""(t, seed) of a sample."""


@dataclass(frozen=True)
class Location:
    """Where one part lies: a file and the group in it ("/" unless the store is packed)."""

    path: Path
    group: str = "/"


@dataclass(frozen=True)
class Artifact:
    """Samples of one (model, image, recipe). Reads lazily; `model` and `image` are folder names."""

    model: str
    image: str
    name: str
    parts: tuple[Location, ...]

    @property
    def is_noise(self) -> bool:
        """Whether it holds x_t (and x0) rather than x̂0."""
        return self.name == NOISE

    @property
    def model_name(self) -> str:
        """`ddpm-ema-celebahq-256`, without the digest of its space."""
        return split_folder(self.model)[0]

    @property
    def image_name(self) -> str:
        """`astronaut`, without the digest."""
        return split_folder(self.image)[0]

    @property
    def label(self) -> str:
        """`ddim-50`: sampler and steps, or `noise`."""
        return self.name if self.is_noise else split_folder(self.name)[0]

    @property
    def sampler(self) -> str:
        """`ddim`: the sampler alone."""
        return self.label if self.is_noise else self.recipe.sampler

    @cached_property
    def header(self) -> dict[str, str]:
        """Text attributes: kind, model, image, recipe (JSON), written_by."""
        with hdf5.opened(self.parts[0].path, self.parts[0].group) as group:
            return hdf5.read_header(group)

    @property
    def recipe(self) -> Recipe | None:
        """Settings of the reconstruction; `None` for noise."""
        return None if self.is_noise else Recipe.from_json(self.header["recipe"])

    @property
    def model_info(self) -> dict:
        """Source, space (schedule, shape, resolution, …), licence."""
        return json.loads(self.header["model"])

    @property
    def image_info(self) -> dict:
        """Digest, name, fit, resolution, preprocessing version, size of the file in pixels."""
        return json.loads(self.header["image"])

    @cached_property
    def _index(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, dict[Key, tuple[int, int]]]:
        columns: list[list[np.ndarray]] = []
        rows: dict[Key, tuple[int, int]] = {}
        for number, part in enumerate(self.parts):
            with hdf5.opened(part.path, part.group) as group:
                columns.append([group[key][()] for key in hdf5.INDEX])
            for row, key in enumerate(zip(*(c.tolist() for c in columns[-1][:2]), strict=True)):
                rows.setdefault(key, (number, row))
        t, seed, log_snr = (np.concatenate(column) for column in zip(*columns, strict=True))
        return t, seed, log_snr, rows

    @property
    def t(self) -> np.ndarray:
        """Level of each sample, `(N,)`."""
        return self._index[0]

    @property
    def seed(self) -> np.ndarray:
        """Seed of each sample, int64 `(N,)`."""
        return self._index[1]

    @property
    def log_snr(self) -> np.ndarray:
        """logSNR of each sample, float64 `(N,)`."""
        return self._index[2]

    @property
    def keys(self) -> set[Key]:
        """(t, seed) of all samples."""
        return set(self._index[3])

    def __len__(self) -> int:
        return len(self._index[3])

    @property
    def bytes(self) -> int:
        """Size on disk (of the whole file, where the store is packed)."""
        return sum(part.path.stat().st_size for part in self.parts)

    @cached_property
    def datasets(self) -> dict[str, tuple[tuple[int, ...], str]]:
        """Name → (shape, dtype) of the tensors; the sample axis counts all parts."""
        with hdf5.opened(self.parts[0].path, self.parts[0].group) as group:
            found = {name: (group[name].shape, str(group[name].dtype)) for name in group}
        return {
            name: ((len(self), *shape[1:]) if name in (*hdf5.PER_SAMPLE, "preview") else shape, dtype)
            for name, (shape, dtype) in found.items()
            if name in (*hdf5.PER_SAMPLE, "preview", "x0", "z0", "x0_floor")
        }

    def fixed(self, dataset: str) -> np.ndarray:
        """`x0`, `z0` or `x0_floor` `(C, H, W)`, float32. Raises `NothingStored`."""
        with hdf5.opened(self.parts[0].path, self.parts[0].group) as group:
            if dataset not in group:
                raise NothingStored(f"{self.parts[0].path} holds no {dataset}")
            return group[dataset][()].astype(np.float32)

    def read(self, dataset: str, keys: Iterable[Key]) -> np.ndarray:
        """Tensors of the given (t, seed), `(len(keys), C, H, W)` float32 (`preview`: uint8).

        Raises `NothingStored` for a sample or dataset that is not there.
        """
        keys = list(keys)
        missing = next((key for key in keys if key not in self._index[3]), None)
        if missing is not None:
            raise NothingStored(f"{self.model}/{self.image}/{self.name} holds no t={missing[0]} seed={missing[1]}")
        if not keys:
            raise NothingStored(f"no samples asked of {self.model}/{self.image}/{self.name}")
        found: dict[Key, np.ndarray] = {}
        for number, part in enumerate(self.parts):
            rows = {key: self._index[3][key][1] for key in keys if self._index[3][key][0] == number}
            if rows:
                found.update(_read_rows(part, dataset, rows))
        return np.stack([found[key] for key in keys])


def _read_rows(part: Location, dataset: str, rows: dict[Key, int]) -> dict[Key, np.ndarray]:
    with hdf5.opened(part.path, part.group) as group:
        if dataset not in group:
            raise NothingStored(f"{part.path} holds no {dataset}")
        data = group[dataset]
        values = {key: data[row] for key, row in rows.items()}
    if dataset == "preview":
        return values
    return {key: value.astype(np.float32, copy=False) for key, value in values.items()}
