"""The numbers about trainings as one tidy table: a row per number, each with its interval.

`kind` says what a row is:

    mean            a measure at a level and step, over images
    share           G there: how much of what the run learns is learned
    learning step   where half is learned, with its interval over images
    lost            share of what was learned that the last checkpoint has lost again
    over trainings  the learning step with its interval over trainings of the same settings
    before          probability that this is learned before what `against` names
    transfer        change against the runs on all levels, in a band; over images
    transfer over trainings
    excess          error beyond the least possible one
    gap             error on held-out images less that on training images
    copies          share of chains that end at a training image
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

from nca_cli.analysis.bootstrap import Estimate, too_few
from nca_cli.analysis.emergence import Emergence
from nca_cli.report.data.training import Training


class TrainingRow(NamedTuple):
    """One number; the field names are the columns of the table. What does not apply is empty."""

    kind: str
    run: str
    """Or the settings that several runs have in common."""
    sampler: str
    measure: str
    t: int | float
    log_snr: float
    step: float
    """Of the optimiser."""
    images_seen: float
    """At this step, or at the learning step; empty where the batch size is not known."""
    against: str
    """The second of a pair: `mse at t 300`, a band, a reference, or kinds of images."""
    value: float
    low: float
    high: float
    n: int
    blank: str
    """Why there is no value or no interval."""


def training_rows(training: Training) -> Iterator[TrainingRow]:
    """All rows, kind by kind."""
    for one in training.emergences:
        yield from _learned(one)
    for each in training.over_trainings:
        yield _row("over trainings", each.settings, each.sampler, each.metric,
                   (each.t, each.log_snr), each.step)  # fmt: skip
    for order in training.orders:
        against = f"{order.then_metric} at t {order.then_t:g}"
        yield _row("before", order.run, order.sampler, order.metric, (order.t, math.nan),
                   Estimate(order.probability), against=against)  # fmt: skip
    for entry in training.transfer:
        place = entry.settings, entry.sampler, entry.metric, (math.nan, math.nan)
        for kind, found in (("transfer", entry.change),
                            ("transfer over trainings", entry.trainings)):  # fmt: skip
            yield _row(kind, *place, found, entry.step, f"{entry.reference} in {entry.band}")
    yield from _of_errors(training)


def _learned(one: Emergence) -> Iterator[TrainingRow]:
    trained = [step for step in one.steps if step > 0]
    for level, place in enumerate(zip(one.t, one.log_snr, strict=True)):
        name, found = (one.run, one.sampler, one.metric, place), one.learned[level]
        means = zip(one.mean[level], one.low[level], one.high[level], strict=True)
        n = one.counts[level]
        rows = [_row("mean", *name, Estimate(*mean, n, too_few(n)), step)
                for step, mean in zip(one.steps, means, strict=True)]  # fmt: skip
        shares = zip(found.share, found.share_low, found.share_high, strict=True)
        rows += [_row("share", *name, Estimate(*share, found.step.n), step, one.baseline_kind)
                 for step, share in zip(trained, shares, strict=True)]  # fmt: skip
        rows += [_row("learning step", *name, found.step, against=one.baseline_kind),
                 _row("lost", *name, found.lost, found.best_step or math.nan)]  # fmt: skip
        yield from (_seen(row, one.batch_size) for row in rows)


def _seen(row: TrainingRow, batch_size: int | None) -> TrainingRow:
    """With the images that were seen by then."""
    step = row.value if row.kind == "learning step" else row.step
    return row._replace(images_seen=step * batch_size if batch_size else math.nan)


def _of_errors(training: Training) -> Iterator[TrainingRow]:
    for over in training.excess:
        yield _row("excess", over.run, over.sampler, "mse", (over.t, over.log_snr), over.excess,
                   over.step, f"{over.reference}, {over.images} images")  # fmt: skip
    for gap in training.gaps:
        yield _row("gap", gap.run, gap.sampler, "mse", (gap.t, gap.log_snr), gap.gap, gap.step,
                   "held-out less training")  # fmt: skip
    for copied in training.copies:
        yield _row("copies", copied.run, copied.sampler, "", (copied.t, copied.log_snr),
                   copied.share, copied.step)  # fmt: skip


def _row(
    kind: str, run: str, sampler: str, measure: str, level: tuple[int | float, float],
    found: Estimate, step: float = math.nan, against: str = "",
) -> TrainingRow:  # fmt: skip
    return TrainingRow(kind, run, sampler, measure, *level, step, math.nan, against,
                       found.value, found.low, found.high, found.n, found.blank)  # fmt: skip
