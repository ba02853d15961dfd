"""When each level of a training learned each measure: the checkpoints of a run as an axis.

`learning` says what a learning step is; here it is taken of every level and measure of every run in
a store. Steps are the optimiser's; images seen are steps times `batch_size`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

import numpy as np

from nca_cli.analysis.bootstrap import interval, resampled_means
from nca_cli.analysis.checkpoints import StepTable, Tell, silent, step_tables
from nca_cli.analysis.learning import Learned, learned, precedes
from nca_cli.analysis.untaught import STEP_0, Untaught
from nca_cli.metrics import Measuring
from nca_cli.recipe import Number
from nca_cli.store import Filters, Store

CLEAREST = 0.95
"""Probability of an order that is told as certain."""


@dataclass(frozen=True)
class Emergence:
    """One measure of one run and sampler: levels × steps."""

    run: str
    """The stored model, as tables call it."""
    sampler: str
    metric: str
    """Such as `mse`, `coherence/2` or `concept/hair`."""
    t: tuple[Number, ...]
    """Rising."""
    log_snr: tuple[float, ...]
    steps: tuple[int, ...]
    """Rising; 0 comes first where it is stored."""
    mean: tuple[tuple[float, ...], ...]
    """Levels × steps: over the images that have all steps, their seeds averaged first."""
    baseline: tuple[float, ...]
    """Per level, of what has learned nothing."""
    baseline_kind: str
    """`step 0`, `mean image` or `wiener`."""
    learned: tuple[Learned, ...]
    """Per level; `share` is G at each step after 0."""
    batch_size: int | None
    """Images seen are the step times this."""
    images: int
    settings: str = ""
    """What runs that differ in their seed alone have in common."""
    image_names: tuple[str, ...] = ()
    low: tuple[tuple[float, ...], ...] = ()
    """Ends of the 95 % intervals of `mean` over images, levels × steps: low …"""
    high: tuple[tuple[float, ...], ...] = ()
    """… and high; NaN for too few."""
    weights: str = ""
    """`ema`, `raw`, or nothing where that is not said."""
    side: int | None = None
    """Of x_t in pixels, where that is said; None for latent models."""
    counts: tuple[int, ...] = ()
    """Per level, how many images have all steps: what `mean` is over."""

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON, without the draws of `learned`."""
        content = asdict(self)
        for level in content["learned"]:
            del level["halves"]
        return content


def emergences(
    store: Store, filters: Filters = Filters(), metrics: Iterable[str] | None = None, *,  # noqa: B008
    batch_size: int | None = None, training: np.ndarray | None = None, tell: Tell = silent,
    tick: Callable[[int], None] | None = None,
) -> list[Emergence]:  # fmt: skip
    """Every run, sampler and measure that fits, in the order of the store.

    `metrics` are of `METRICS`; by default all that need no network and have a better and a worse.
    What is kept of them is taken as it is, and the rest measured: `tick` is told of each sample.
    `batch_size` is for runs that do not say theirs; `training` `(M, C, H, W)` are the training
    images, whose mean is the baseline of runs without step 0. `tell` is told what was left out.
    Raises `UsageError` and `NothingStored`.
    """
    work = Measuring(store, filters, metrics)
    rows = work.run(tick=tick or (lambda count: None))
    tables = step_tables(store, work, rows, tell)
    return list(of_tables(tables, store, filters, batch_size, training, tell))


def of_tables(
    tables: Iterable[StepTable], store: Store, filters: Filters = Filters(),  # noqa: B008
    batch_size: int | None = None, training: np.ndarray | None = None, tell: Tell = silent,
) -> Iterator[Emergence]:  # fmt: skip
    """As `emergences`, of tables that were made before."""
    untaught: dict[str, Untaught] = {}
    told: set[str] = set()
    for table in tables:
        baseline, kind = None, STEP_0
        if 0 not in table.steps:
            folder = table.run.folder
            if folder not in untaught:
                untaught[folder] = Untaught(store, folder, filters, training)
            baseline, kind = untaught[folder].of(table)
        why = _unfit(table, kind)
        if not why:
            yield emergence(table, baseline, kind, batch_size)
        elif (text := f"{table.run.name} · {table.sampler}: {why}") not in told:
            told.add(text)
            tell(text)


def _unfit(table: StepTable, kind: str) -> str:
    """Why there are no learning steps, or nothing."""
    if not kind:
        return "no baseline: step 0 is not stored, and there are too few images for a mean"
    if sum(step > 0 for step in table.steps) < 2:
        return "fewer than two checkpoints after step 0"
    return ""


def emergence(
    table: StepTable, baseline: np.ndarray | None = None, baseline_kind: str = STEP_0,
    batch_size: int | None = None,
) -> Emergence:  # fmt: skip
    """Learning steps of all levels of a table; `baseline` `(images, levels)` where step 0 lacks.

    Raises `ValueError` as `learned`.
    """
    found = tuple(
        learned(table.steps, table.cells[:, level], None if baseline is None else
                baseline[:, level], higher_is_better=table.higher_is_better)
        for level in range(len(table.t))
    )  # fmt: skip
    whole = np.isfinite(table.cells).all(axis=2)
    cells = np.where(whole[:, :, None], table.cells, np.nan)
    mean, counts = _means(cells), tuple(whole.sum(axis=0).tolist())
    return Emergence(
        table.run.name, table.sampler, table.metric, table.t, table.log_snr, table.steps,
        tuple(map(tuple, mean.tolist())), tuple(level.baseline for level in found), baseline_kind,
        found, batch_size or table.run.batch_size, len(table.images), table.run.settings,
        table.images, *_intervals(cells, mean, counts), table.run.weights, table.run.side, counts,
    )  # fmt: skip


Rows = tuple[tuple[float, ...], ...]


def _means(cells: np.ndarray) -> np.ndarray:
    """`(levels, steps)` of `(images, levels, steps)`; NaN cells are absent."""
    count = np.isfinite(cells).sum(axis=0)
    return np.nansum(cells, axis=0) / np.where(count, count, np.nan)


def _intervals(cells: np.ndarray, mean: np.ndarray, counts: Sequence[int]) -> tuple[Rows, Rows]:
    """Low and high ends of `mean` `(levels, steps)`, of `cells` `(images, levels, steps)`."""
    ends = [
        [interval(value, draws, n, mean=True)
         for value, draws in zip(values, resampled_means(level).T, strict=True)]
        for level, values, n in zip(np.moveaxis(cells, 1, 0), mean.tolist(), counts, strict=True)
    ]  # fmt: skip
    low, high = (tuple(tuple(each[end] for each in row) for row in ends) for end in (0, 1))
    return low, high


@dataclass(frozen=True)
class LearnedOrder:
    """With which probability one thing is learned before another in the same training.

    Two levels of one measure, or two measures at one level.
    """

    run: str
    sampler: str
    metric: str
    t: Number
    then_metric: str
    then_t: Number
    probability: float
    """Of the first being earlier, from joint draws of the images; NaN where one is blank."""

    @property
    def certain(self) -> bool:
        """Whether the order is told with at least 95 % probability, either way."""
        return max(self.probability, 1 - self.probability) >= CLEAREST


def learned_orders(found: Sequence[Emergence]) -> Iterator[LearnedOrder]:
    """Every pair of levels of a measure, and every pair of measures at a level.

    Measures of different images have no joint draws, and so no order.
    """
    for one in found:
        for first, then in combinations(range(len(one.t)), 2):
            yield _order(one, first, one, then)
    for one, other in combinations(found, 2):
        if (one.run, one.sampler) != (other.run, other.sampler):
            continue
        for first, t in enumerate(one.t):
            if t in other.t and one.image_names == other.image_names:
                yield _order(one, first, other, other.t.index(t))


def _order(one: Emergence, first: int, other: Emergence, then: int) -> LearnedOrder:
    probability = precedes(one.learned[first], other.learned[then])
    return LearnedOrder(one.run, one.sampler, one.metric, one.t[first], other.metric,
                        other.t[then], probability)  # fmt: skip
