"""What each band of levels teaches: the transfer matrix of the runs in a store.

Rows are what runs were trained on (their `settings`), columns P2's stages, and entries the change
against the run on all levels at the last step that both have (`transfer`): of the one-step error in
units of its own, of a concept's retention as it is. Runs of one settings that differ in their seed
are averaged image by image for the interval over images; each against the run on all levels that
comes at the same place in the store, they give the one over trainings. Raw and averaged weights are
compared among themselves.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from nca_cli.analysis.bootstrap import Estimate
from nca_cli.analysis.checkpoints import StepTable, Tell, silent
from nca_cli.analysis.p2 import BOUNDS, stage
from nca_cli.analysis.trainings import mean_over
from nca_cli.analysis.transfer import transfer

UNIFORM = "uniform"
"""How the settings of the run on all levels are called, where several runs were trained on all."""


@dataclass(frozen=True)
class Taught:
    """One entry: what runs of some settings lose or gain in a band against those on all levels."""

    settings: str
    trained_on: str
    band: str
    metric: str
    reference: str
    """Settings of the runs on all levels."""
    sampler: str
    step: int
    levels: int
    runs: tuple[str, ...]
    change: Estimate
    """With its interval over images. An error's in units of the reference's own, a concept's
    retention's as it is: less is worse there."""
    trainings: Estimate
    """The same over trainings."""


def transfer_matrix(
    tables: Iterable[StepTable], reference: str | None = None, tell: Tell = silent
) -> list[Taught]:
    """Of all one-step tables of `mse` and of concepts whose runs say what they were trained on.

    `reference` names the settings of the runs on all levels: by default `uniform`, or the only
    ones that name all bands. Nothing where no runs differ, or none was trained on all levels.
    """
    fitting: dict[tuple, dict[str, list[StepTable]]] = {}
    for table in tables:
        if table.one_step and table.run.bands and table.run.settings and _told(table.metric):
            alike = table.metric, table.sampler, table.run.weights, table.run.side
            rows = fitting.setdefault(alike, {})
            rows.setdefault(table.run.settings, []).append(table)
    found: list[Taught] = []
    for rows in fitting.values():
        on_all = reference or _on_all_levels(rows)
        if len(rows) < 2:
            continue
        if on_all not in rows:
            tell("transfer: no run on all levels to compare with "
                 '(one with settings = "uniform" in its run.toml)')  # fmt: skip
            continue
        found += _matrix(rows, on_all)
    return found


def _told(metric: str) -> bool:
    return metric == "mse" or metric.startswith("concept/")


def _on_all_levels(rows: Mapping[str, Sequence[StepTable]]) -> str:
    every = [name for name, some in rows.items() if set(BOUNDS) <= set(some[0].run.bands)]
    return UNIFORM if UNIFORM in every else every[0] if len(every) == 1 else ""


def _matrix(rows: Mapping[str, Sequence[StepTable]], on_all: str) -> Iterator[Taught]:
    for name, mine in rows.items():
        if name == on_all:
            continue
        pairs = list(zip(mine, rows[on_all], strict=False))
        whole = _entries(mine, rows[on_all])
        single = [_entries([one], [other]) for one, other in pairs]
        for band, (change, levels, step) in whole.items():
            each = [entries[band][0].value for entries in single if band in entries]
            first = mine[0]
            yield Taught(
                name, first.run.trained_on, band, first.metric, on_all, first.sampler, step, levels,
                tuple(one.run.name for one in mine), change, mean_over(each),
            )  # fmt: skip


def _entries(
    mine: Sequence[StepTable], reference: Sequence[StepTable]
) -> dict[str, tuple[Estimate, int, int]]:
    """Band → change, levels and step, at the last step of all these runs and on what all have."""
    every = [*mine, *reference]
    steps = set.intersection(*(set(one.steps) for one in every))
    images = sorted(set.intersection(*(set(one.images) for one in every)))
    levels = [dict(zip(one.t, one.log_snr, strict=True)) for one in every]
    log_snr = levels[0]
    known = [t for t, at in log_snr.items() if all(_same(at, one.get(t)) for one in levels)]
    if not steps or not images or not known:
        return {}
    step, first = max(steps), every[0]
    bands = [stage(math.exp(min(log_snr[t], 700))) for t in known]
    cells = {
        name: np.mean([_cells(one, step, images, known) for one in some], axis=0)
        for name, some in (("mine", mine), ("all", reference))
    }
    found = transfer(cells, bands, "all", relative=first.metric == "mse")
    return {one.band: (one.change, one.levels, step) for one in found if one.run == "mine"}


def _same(log_snr: float, other: float | None) -> bool:
    """Whether two runs mean the same noise by a t; both may have an end without a finite SNR."""
    return other is not None and (log_snr == other or abs(log_snr - other) < 1e-6)


def _cells(
    table: StepTable, step: int, images: Sequence[str], levels: Sequence[int | float]
) -> np.ndarray:
    rows = [table.images.index(image) for image in images]
    columns = [table.t.index(t) for t in levels]
    return table.at_step(step)[np.ix_(rows, columns)]
