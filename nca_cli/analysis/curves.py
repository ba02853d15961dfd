"""Curves: means over images at each noise level, with 95 % intervals."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from nca_cli.analysis.bootstrap import Estimate, interval, resampled_means, too_few
from nca_cli.analysis.values import Matrices, Matrix, Value, tables


@dataclass(frozen=True)
class Point:
    """A metric at one level. The unit of replication is the image: seeds are averaged first."""

    t: int | float
    log_snr: float
    mean: float
    """Over images; NaN where no sample has a value. Infinite values (the PSNR of equal pictures)
    are left out of it and counted in `infinite`; it is infinite where all values are."""
    std: float
    """Between images, with n-1; NaN below two images."""
    images: int
    """That the mean is of."""
    n: int
    """Samples that have a value: images times seeds."""
    low: float = np.nan
    high: float = np.nan
    """95 % interval of the mean; NaN where `blank` says why."""
    infinite: int = 0
    blank: str = ""

    @classmethod
    def of(cls, t: int | float, log_snr: float, found: Estimate) -> Point:
        """An estimate at a level; its images count as samples."""
        spread, ends = math.nan, (found.low, found.high)
        return cls(t, log_snr, found.value, spread, found.n, found.n, *ends, blank=found.blank)


@dataclass(frozen=True)
class Curve:
    """One metric of one model and sampler over noise levels, in the order of t."""

    model: str
    sampler: str
    measure: str
    points: tuple[Point, ...]


def curves(values: Iterable[Value]) -> list[Curve]:
    """A curve per (model, sampler, measure), in the order in which they first occur.

    Values that are NaN count as absent.
    """
    return [
        Curve(table.model, table.sampler, measure, tuple(_points(table, grid)))
        for table in tables(values)
        for measure, grid in table.grids.items()
    ]


def _points(table: Matrices, grid: Matrix) -> Iterable[Point]:
    draws = resampled_means(grid.mean)
    for level, t in enumerate(table.t):
        if grid.rows[:, level].any():
            yield _point(t, float(table.log_snr[level]), grid, level, draws[:, level])


def _point(t: int | float, log_snr: float, grid: Matrix, level: int, draws: np.ndarray) -> Point:
    cells, samples = grid.mean[:, level], int(grid.samples[:, level].sum())
    infinite = int(grid.infinite[:, level].sum())
    finite = cells[np.isfinite(cells)]
    if not len(finite):  # infinite where all values are, else NaN
        known = cells[~np.isnan(cells)]
        mean = float(known[0]) if len(set(known)) == 1 else np.nan
        why = "every value is infinite" if infinite else "no values"
        return Point(t, log_snr, mean, np.nan, len(known), samples, infinite=infinite, blank=why)
    n, mean = len(finite), float(finite.mean())
    std = float(finite.std(ddof=1)) if n > 1 else np.nan
    ends = interval(mean, draws, n, mean=True)
    return Point(t, log_snr, mean, std, n, samples, *ends, infinite, too_few(n))
