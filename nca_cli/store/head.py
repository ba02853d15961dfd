"""What a part says of itself, without its tensors: all that planning, lists and labels need."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import h5py
import numpy as np

from nca_cli.store import hdf5
from nca_cli.store.fields import FIELDS
from nca_cli.store.samples import Key


@dataclass(frozen=True)
class Columns:
    """t, seed and logSNR of each row. Parts of many images have the same."""

    t: np.ndarray
    seed: np.ndarray
    log_snr: np.ndarray

    @cached_property
    def keys(self) -> list[Key]:
        """(t, seed) of each row."""
        return list(zip(self.t.tolist(), self.seed.tolist(), strict=True))


@dataclass(frozen=True)
class PartHead:
    """The text attributes, columns and content digest of a part, and what tensors it holds."""

    header: dict[str, str]
    columns: Columns
    datasets: dict[str, tuple[tuple[int, ...], str]]
    """Name → (shape, dtype)."""
    content: str

    @classmethod
    def of(cls, group: h5py.Group) -> PartHead:
        """Read from a part. Raises `ValueError` for columns that do not go together."""
        columns, content = hdf5.read_columns(group), str(group.attrs["content_sha256"])
        return cls._told(hdf5.read_header(group), columns, group, content)

    @classmethod
    def in_content(cls, held: hdf5.Content) -> PartHead:
        """As `of`, in a part that is read as a whole."""
        columns, content = hdf5.columns_of(held.datasets), str(held.attributes["content_sha256"])
        return cls._told(held.header, columns, held.datasets, content)

    @classmethod
    def _told(
        cls, header: dict[str, str], columns: list[np.ndarray], held: Mapping[str, Any],
        content: str,
    ) -> PartHead:  # fmt: skip
        """`held`: the datasets, read or not."""
        datasets = {
            name: (held[name].shape, str(held[name].dtype))
            for name, field in FIELDS.items() if field.axes and name in held
        }  # fmt: skip
        return cls(header, Columns(*columns), datasets, content)

    @property
    def texts(self) -> dict[str, str]:
        """All of it but the content digest as texts, most of which many parts have in common."""
        columns = self.columns
        rows = [columns.t.tolist(), columns.seed.tolist(), columns.log_snr.tolist()]
        kinds = [each.dtype.str for each in (columns.t, columns.seed, columns.log_snr)]
        return {
            **{f"={name}": text for name, text in self.header.items()},
            "columns": json.dumps([kinds, rows]),
            "datasets": json.dumps(self.datasets),
        }

    @classmethod
    def from_texts(
        cls, texts: Mapping[str, str], content: str, parsed: Callable[[str], Any]
    ) -> PartHead:
        """The inverse of `texts`; `parsed` makes the value of one that is no attribute."""
        header = {name[1:]: text for name, text in texts.items() if name.startswith("=")}
        return cls(header, parsed(texts["columns"]), parsed(texts["datasets"]), content)


def parsed(text: str) -> Columns | dict[str, tuple[tuple[int, ...], str]]:
    """What a text of a head says that is no attribute."""
    told = json.loads(text)
    if isinstance(told, dict):
        return {name: (tuple(shape), dtype) for name, (shape, dtype) in told.items()}
    kinds, rows = told
    return Columns(*(np.array(row, kind) for row, kind in zip(rows, kinds, strict=True)))
