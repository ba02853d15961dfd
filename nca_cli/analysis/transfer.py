"""What training on some levels teaches about others: the transfer matrix.

Runs differ in which levels they were trained on. An entry says what a run loses or gains in a band
of levels against the run on all levels, at equal steps: with E the mean one-step error over images,

    entry = mean over the band's levels of (E_run - E_all) / E_all

so that levels of very different errors count alike. 0 is as good as the run on all levels, 1 twice
its error, below 0 better. Images are resampled jointly for both runs: they answer the same x_t.
A run on one band has never heard the other levels, and what it says of them is extrapolation; the
run that leaves a band out asks the gentler question. State which of the two a matrix shows, and
whether runs were equal in samples of their band or in samples of all.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from nca_cli.analysis.bootstrap import Estimate, estimate, resampled_means


@dataclass(frozen=True)
class Transfer:
    """One entry: a run, and a band of levels in which it is tested."""

    run: str
    band: str
    change: Estimate
    """Of the one-step error, in units of that of the run on all levels, or as it is."""
    levels: int


def transfer(
    errors: Mapping[str, np.ndarray], bands: Sequence[str], reference: str, *,
    relative: bool = True,
) -> list[Transfer]:  # fmt: skip
    """The matrix, run by run and band by band in the order in which they come.

    `errors`: run → one-step errors `(images, levels)` of the same images and levels, seeds
    averaged; `bands` names the band of each level. Images that lack a level in one of the runs
    are left out of all. Without `relative` the change is E_run - E_all itself, as for a concept's
    retention, which is a share already. Raises `ValueError` where `reference` is no run.
    """
    if reference not in errors:
        raise ValueError(f"no run {reference!r} to compare with")
    complete = np.all([np.isfinite(cells).all(axis=1) for cells in errors.values()], axis=0)
    kept = {run: cells[complete] for run, cells in errors.items()}
    if not complete.any():
        nothing = Estimate(blank="no image at all levels of all runs")
        return [Transfer(run, band, nothing, 0) for run in errors for band in dict.fromkeys(bands)]
    return [
        Transfer(run, band, _entry(cells, kept[reference], _columns(bands, band), relative),
                 len(_columns(bands, band)))
        for run, cells in kept.items()
        for band in dict.fromkeys(bands)
    ]  # fmt: skip


def _columns(bands: Sequence[str], band: str) -> list[int]:
    return [column for column, name in enumerate(bands) if name == band]


def _entry(
    cells: np.ndarray, reference: np.ndarray, columns: list[int], relative: bool
) -> Estimate:
    """The mean change over some levels, from `(images, levels)` of both runs."""
    mine, theirs = cells[:, columns], reference[:, columns]

    def change(mean: np.ndarray, reference_mean: np.ndarray) -> np.ndarray:
        with np.errstate(invalid="ignore", divide="ignore"):
            unit = reference_mean if relative else 1.0
            return np.asarray(((mean - reference_mean) / unit).mean(axis=1))

    value = change(mine.mean(axis=0)[None], theirs.mean(axis=0)[None])[0]
    if not math.isfinite(value):
        return Estimate(n=len(cells), blank="the run on all levels makes no error here")
    return estimate(value, change(resampled_means(mine), resampled_means(theirs)), len(cells))
