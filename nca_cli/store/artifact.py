"""An artifact as readers see it: all parts of one (model, image, recipe) as one table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from html import escape
from typing import Any

import h5py
import numpy as np

from nca_cli.errors import DamagedArtifact, NothingStored, StoreError
from nca_cli.recipe import Recipe
from nca_cli.store import hdf5
from nca_cli.store.fields import FIELDS
from nca_cli.store.head import PartHead
from nca_cli.store.header import parsed
from nca_cli.store.layout import NOISE, split_folder, split_label
from nca_cli.store.location import Location
from nca_cli.store.samples import Key


@dataclass(frozen=True)
class _Index:
    """t, seed and logSNR of each sample, and the part that holds it."""

    t: np.ndarray
    seed: np.ndarray
    log_snr: np.ndarray
    parts: dict[Key, Location]


@dataclass(frozen=True)
class Artifact:
    """Samples of one (model, image, recipe). Reads lazily; `model` and `image` are folder names.

    Raises `DamagedArtifact` when, and only when, a part that cannot be read is asked for.
    """

    model: str
    image: str
    name: str
    parts: tuple[Location, ...]

    def __str__(self) -> str:
        return f"{self.model}/{self.image}/{self.name}"

    def _repr_html_(self) -> str:
        """A table of its properties, for notebooks; reads the index and no tensor."""
        try:
            shapes = [(name, f"{shape} {dtype}") for name, (shape, dtype) in self.datasets.items()]
            rows = [
                ("model", self.model_name), ("image", self.image_name), ("sampler", self.label),
                ("t", _listed(self.t)), ("seeds", _listed(self.seed)), *shapes,
            ]  # fmt: skip
        except DamagedArtifact as error:
            rows = [("damaged", str(error))]
        return html_table(str(self), (), rows)

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
        """`ddim`: the sampler alone, from the name, so that filtering opens no file."""
        return split_label(self.label)[0]

    @cached_property
    def heads(self) -> tuple[PartHead, ...]:
        """What each part says of itself."""
        return tuple(part.head() for part in self.parts)

    @cached_property
    def header(self) -> dict[str, str]:
        """Text attributes: kind, model, image, recipe (JSON), written_by."""
        return self.parts[0].head().header

    @property
    def recipe(self) -> Recipe | None:
        """Settings of the reconstruction; `None` for noise."""
        return None if self.is_noise else self._parsed("recipe")

    @property
    def model_info(self) -> dict:
        """Source, space (schedule, shape, resolution, …), licence."""
        return self._parsed("model")

    @property
    def image_info(self) -> dict:
        """Digest, name, fit, resolution, preprocessing version, size of the file in pixels."""
        return self._parsed("image")

    @property
    def checkpoint(self) -> dict | None:
        """Run, step and weights, of a reconstruction by a checkpoint of a run."""
        return self._parsed("checkpoint") if "checkpoint" in self.header else None

    @property
    def step(self) -> int | None:
        """Of the training, where that is told."""
        return None if self.is_noise or not self.checkpoint else int(self.checkpoint["step"])

    def _parsed(self, key: str) -> Any:
        try:
            return parsed(self.header, key)
        except (LookupError, ValueError, TypeError) as error:
            raise DamagedArtifact(str(self.parts[0]), f"no readable {key!r}") from error

    @cached_property
    def _index(self) -> _Index:
        if len(self.parts) == 1:  # as nearly always
            told, part = self.heads[0].columns, self.parts[0]
            return _Index(told.t, told.seed, told.log_snr, dict.fromkeys(told.keys, part))
        held: dict[Key, Location] = {}
        columns = []
        for part, head in zip(self.parts, self.heads, strict=True):
            told = head.columns
            rows = [row for row, key in enumerate(told.keys) if key not in held]
            columns.append([told.t[rows], told.seed[rows], told.log_snr[rows]])
            held.update((told.keys[row], part) for row in rows)
        t, seed, log_snr = (np.concatenate(column) for column in zip(*columns, strict=True))
        return _Index(t, seed, log_snr, held)

    @property
    def t(self) -> np.ndarray:
        """Level of each sample, `(N,)`."""
        return self._index.t

    @property
    def seed(self) -> np.ndarray:
        """Seed of each sample, int64 `(N,)`."""
        return self._index.seed

    @property
    def log_snr(self) -> np.ndarray:
        """logSNR of each sample, float64 `(N,)`."""
        return self._index.log_snr

    @property
    def keys(self) -> set[Key]:
        """(t, seed) of all samples."""
        return set(self._index.parts)

    @property
    def sound(self) -> Artifact | None:
        """The same without the parts that cannot be read; `None` where none can."""
        parts = tuple(filter(_readable, self.parts))
        return replace(self, parts=parts) if parts else None

    def __len__(self) -> int:
        return len(self._index.parts)

    def __bool__(self) -> bool:
        return True

    @property
    def bytes(self) -> int:
        """Size on disk."""
        return sum(part.bytes for part in self.parts)

    @cached_property
    def datasets(self) -> dict[str, tuple[tuple[int, ...], str]]:
        """Name → (shape, dtype) of the tensors; the sample axis counts all parts."""
        found: dict[str, tuple[tuple[int, ...], str]] = {}
        for head in reversed(self.heads):
            found |= head.datasets
        return {
            name: (shape if field.fixed else (len(self), *shape[1:]), dtype)
            for name, field in FIELDS.items() if name in found
            for shape, dtype in [found[name]]
        }  # fmt: skip

    def fixed(self, dataset: str) -> np.ndarray:
        """`x0`, `z0` or `x0_floor` `(C, H, W)`, float32. Raises `NothingStored`."""
        for part in self.parts:
            with part.opened() as group:
                if dataset in group:
                    return group[dataset][()].astype(np.float32)
        raise NothingStored(f"{self} holds no {dataset}", "compute it again: nca reconstruct")

    def read(self, dataset: str, keys: Iterable[Key]) -> np.ndarray:
        """Tensors of the given (t, seed), `(len(keys), C, H, W)` float32 (`preview`: uint8).

        Raises `NothingStored` for a sample or dataset that is not there.
        """
        keys = list(keys)
        if not keys:
            raise NothingStored(f"no samples asked of {self}")
        parts = self._holding(keys)
        wanted: dict[Location, list[Key]] = {}
        for key in keys:
            if key not in parts:
                raise self._lacks(key)
            wanted.setdefault(parts[key], []).append(key)
        found: dict[Key, np.ndarray] = {}
        for part, held in wanted.items():
            with part.opened() as group:
                found.update(self._rows(group, dataset, held))
        return np.stack([found[key] for key in keys])

    def _holding(self, keys: list[Key]) -> dict[Key, Location]:
        """The part of each sample. One that cannot be read keeps its own samples alone back."""
        try:
            return self._index.parts
        except StoreError:
            sound = self.sound
            if sound is None or not sound.keys.issuperset(keys):
                raise
            return sound._index.parts

    def _rows(
        self, group: h5py.Group, dataset: str, keys: list[Key]
    ) -> Iterator[tuple[Key, np.ndarray]]:
        """Rows by the file's own index: it may have been rewritten since ours was read."""
        if dataset not in group:
            raise NothingStored(f"{self} holds no {dataset}")
        data, rows = group[dataset], {key: row for row, key in enumerate(hdf5.read_keys(group))}
        dtype = data.dtype if data.dtype.kind == "u" else np.dtype(np.float32)
        for key in keys:
            if key not in rows:
                raise self._lacks(key)
            yield key, data[rows[key]].astype(dtype, copy=False)

    def _lacks(self, key: Key) -> NothingStored:
        return NothingStored(f"{self} holds no t={key[0]} seed={key[1]}")


def _readable(part: Location) -> bool:
    try:
        with part.opened():
            return True
    except StoreError:
        return False


def _listed(numbers: np.ndarray) -> str:
    """`100, 200, … 900 (9)`: the first, the last and how many."""
    found = [f"{number:g}" for number in np.unique(numbers).tolist()]
    if len(found) <= 6:
        return ", ".join(found)
    return f"{found[0]}, {found[1]}, … {found[-1]} ({len(found)})"


_CELL = 'style="text-align:left"'


def html_table(caption: str, header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table; every text in it is escaped."""
    head = "".join(f"<th {_CELL}>{escape(name)}</th>" for name in header)
    body = "".join(
        "<tr>" + "".join(f"<td {_CELL}>{escape(str(cell))}</td>" for cell in row) + "</tr>"
        for row in rows
    )
    top = f"<thead><tr>{head}</tr></thead>" if head else ""
    said = f'<caption style="text-align:left"><b>{escape(caption)}</b></caption>'
    return f"<table>{said}{top}<tbody>{body}</tbody></table>"
