"""The tidy table: one row per number, and the same rows as arrays (images × levels)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from nca_cli.metrics.registry import Value
from nca_cli.metrics.tidy import CodedColumn, TidyTable

REFERENCE = "reference:"
"""How the sampler of a row begins that no network made."""
ANY_SEED = -1
"""The seed of a row that holds for every seed: an expectation over noise, or no noise at all."""
NO_LEVEL = math.nan
"""The t of a row that belongs to no level, such as an autoencoder's floor."""


@dataclass(frozen=True, eq=False)
class Matrix:
    """One metric as arrays (images, levels): a cell is the mean over the seeds of an image."""

    mean: np.ndarray
    """Of the finite values; infinite where all values are, NaN where there is none."""
    samples: np.ndarray
    """Values that are not NaN."""
    infinite: np.ndarray
    """Of these, how many are infinite; they are left out of `mean` unless all are."""
    rows: np.ndarray
    """Rows of the table, NaN or not."""


@dataclass(frozen=True, eq=False)
class Matrices:
    """All metrics of one model and sampler over the same images and levels."""

    model: str
    sampler: str
    images: tuple[str, ...]
    """Sorted, so that nothing depends on the order of the rows."""
    t: tuple[int | float, ...]
    """Sorted."""
    log_snr: np.ndarray
    """Of each level; NaN where no schedule is known."""
    grids: dict[str, Matrix]


def tables(values: Iterable[Value]) -> list[Matrices]:
    """A table per (model, sampler), in the order in which they first occur."""
    tidy = TidyTable.of(values)
    return [
        _table(model, sampler, tidy.where(_is(model, sampler), "model", "sampler"))
        for model, sampler in tidy.distinct("model", "sampler")
    ]


def made_by_networks(values: Iterable[Value]) -> TidyTable:
    """The rows without references."""
    return TidyTable.of(values).where(lambda name: not name.startswith(REFERENCE), "sampler")


def common_levels(there: np.ndarray, log_snr: np.ndarray) -> np.ndarray:
    """Levels of known SNR that most images have, from the cleanest to the noisiest.

    `there` `(images, levels)` says which image has which. At least half as many must have a level
    as have the second best (one level alone is nothing to follow): what one image has besides must
    not cost all the others.
    """
    count = np.where(np.isfinite(log_snr), there.sum(axis=0), 0)
    enough = np.sort(count)[-2:-1].max(initial=1)
    levels = np.flatnonzero(2 * count >= enough)
    return levels[np.argsort(-log_snr[levels], kind="stable")]


def _is(*wanted: object) -> Callable[..., bool]:
    return lambda *names: names == wanted


def _table(model: str, sampler: str, tidy: TidyTable) -> Matrices:
    images, log_snr = sorted(image for (image,) in tidy.distinct("image")), _log_snr(tidy)
    row = _places(tidy.columns["image"], {image: at for at, image in enumerate(images)})
    column = _places(tidy.columns["t"], {t: at for at, t in enumerate(log_snr)})
    measures, shape = tidy.columns["measure"], (len(images), len(log_snr))
    grids = {}
    for (measure,) in tidy.distinct("measure"):
        mine = measures.codes == measures.names.index(measure)
        grids[measure] = _grid(row[mine], column[mine], tidy.numbers[mine], shape)
    levels = np.array(list(log_snr.values()))
    return Matrices(model, sampler, tuple(images), tuple(log_snr), levels, grids)


def _places(column: CodedColumn, places: dict[Any, int]) -> np.ndarray:
    """For each row the place of its name; names that no row says have none."""
    return np.array([places.get(_level(name), -1) for name in column.names])[column.codes]


def _log_snr(tidy: TidyTable) -> dict[int | float, float]:
    """t → logSNR, sorted by t, no level last; a blank logSNR yields to one that is there."""
    found: dict[int | float, float] = {}
    for level, log_snr in tidy.distinct("t", "log_snr"):
        t = _level(level)
        known = found.get(t)
        if known is None or known != known:
            found[t] = math.nan if log_snr is None else float(log_snr)
    return dict(sorted(found.items(), key=lambda item: (item[0] is NO_LEVEL, item[0])))


def _level(t: Any) -> Any:
    """t, and one and the same NaN for what belongs to no level."""
    return NO_LEVEL if t != t else t


def _grid(
    rows: np.ndarray, columns: np.ndarray, numbers: np.ndarray, shape: tuple[int, int]
) -> Matrix:

    def summed(what: np.ndarray) -> np.ndarray:
        flat = np.bincount(rows * shape[1] + columns, what, shape[0] * shape[1])
        return flat.reshape(shape)

    finite, infinite = np.isfinite(numbers), summed(np.isinf(numbers))
    count = summed(finite)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = summed(np.where(finite, numbers, 0.0)) / count  # 0/0 is NaN: nothing known
        sign = np.sign(summed(np.where(np.isinf(numbers), np.sign(numbers), 0.0)))
        mean = np.where((count == 0) & (infinite > 0), np.inf * sign, mean)
    rows_there = summed(np.ones_like(numbers))
    return Matrix(mean, *((what.astype(int)) for what in (count + infinite, infinite, rows_there)))
