"""Steps of trainings as rows or columns: which of them a figure shows."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from nca_cli.errors import NothingStored
from nca_cli.figures.grid.selection import Sampling, Selection
from nca_cli.store import Store

SHOWN_STEPS = 10
"""So many rows or columns are readable on a page; more are shown where they are asked for."""


def along(chosen: Selection) -> Selection:
    """A selection of trainings alone, with the steps to show. Raises `NothingStored`."""
    trained = {
        model: found for model, every in chosen.samplings.items()
        if (found := [each for each in every if each.step is not None])
    }  # fmt: skip
    if not trained:
        hint = "compute some: nca reconstruct --run demo-run"
        raise NothingStored(f"{chosen.store.root} holds no training that fits", hint,
                            chosen.store.named)  # fmt: skip
    steps = sorted({step for found in trained.values() for step in _steps(found)})
    few = evenly(steps) if chosen.filters.latest else steps
    shown = chosen.filters.steps or few
    kept = {model: [each for each in found if each.step in shown]
            for model, found in trained.items()}  # fmt: skip
    subjects = tuple(each for each in chosen.subjects if each.model in kept)
    return replace(chosen, subjects=subjects, samplings=kept, steps=tuple(steps),
                   batch_size=_batch_size(chosen.store, kept))  # fmt: skip


def evenly(steps: Sequence[int], most: int = SHOWN_STEPS) -> list[int]:
    """At most so many of some rising steps: their ends, and even ratios between.

    Step 0 has no logarithm, and is kept.
    """
    if len(steps) <= most:
        return list(steps)
    untrained, later = steps[: steps[0] == 0], [step for step in steps if step > 0]
    count = most - len(untrained)
    first, ratio = later[0], later[-1] / later[0]
    wanted = (first * ratio ** (number / (count - 1)) for number in range(count))
    nearest = {min(later, key=lambda step: abs(math.log(step / each))) for each in wanted}
    return [*untrained, *sorted(nearest)]


def lacking(found: Iterable[Sampling], steps: Iterable[int]) -> Iterator[Sampling]:
    """Of the settings that a training was sampled with, those at steps that are not stored."""
    of_run = [each for each in found if each.step is not None]
    stored = {(each.settings, each.step) for each in of_run}
    for each in {each.settings: each for each in of_run}.values():
        label, recipe = each.settings
        for step in steps:
            if (each.settings, step) not in stored:
                yield Sampling(label, "", recipe, each.source, step)


def _steps(found: Iterable[Sampling]) -> set[int]:
    return {each.step for each in found if each.step is not None and each.name}


def _batch_size(store: Store, models: Mapping[str, object]) -> int | None:
    """Of all trainings, as they say it; nothing where they differ."""
    from nca_cli.analysis.checkpoints import stored_run

    sizes = {stored_run(store, model, model).batch_size for model in models}
    size = sizes.pop() if len(sizes) == 1 else None
    return size if size and size > 0 else None
