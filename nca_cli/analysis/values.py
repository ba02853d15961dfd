"""The tidy table: one row per number, and the same rows as arrays (images × levels)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from nca_cli.metrics.registry import Value

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
    groups: dict[tuple[str, str], list[Value]] = {}
    for value in values:
        groups.setdefault((value.model, value.sampler), []).append(value)
    return [_table(*key, group) for key, group in groups.items()]


def _table(model: str, sampler: str, values: Sequence[Value]) -> Matrices:
    images, log_snr = sorted({value.image for value in values}), _log_snr(values)
    row = {image: index for index, image in enumerate(images)}
    column = {t: index for index, t in enumerate(log_snr)}
    cells: dict[str, list[tuple[int, int, float]]] = {}
    for value in values:
        cell = row[value.image], column[_level(value.t)], value.value
        cells.setdefault(value.measure, []).append(cell)
    shape = len(images), len(column)
    grids = {measure: _grid(cell, shape) for measure, cell in cells.items()}
    return Matrices(
        model, sampler, tuple(images), tuple(column), np.array(list(log_snr.values())), grids
    )


def _log_snr(values: Sequence[Value]) -> dict[int | float, float]:
    """t → logSNR, sorted by t, no level last; a blank logSNR yields to one that is there."""
    found: dict[int | float, float] = {}
    for value in values:
        t = _level(value.t)
        known = found.get(t)
        if known is None or known != known:
            found[t] = math.nan if value.log_snr is None else float(value.log_snr)
    return dict(sorted(found.items(), key=lambda item: (item[0] is NO_LEVEL, item[0])))


def _level(t: int | float) -> int | float:
    """t, and one and the same NaN for what belongs to no level."""
    return NO_LEVEL if t != t else t


def _grid(cells: Sequence[tuple[int, int, float]], shape: tuple[int, int]) -> Matrix:
    rows, columns, numbers = (np.array(column) for column in zip(*cells, strict=True))
    numbers = numbers.astype(np.float64)

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
