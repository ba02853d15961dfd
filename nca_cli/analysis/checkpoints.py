"""What was measured of trainings: a number for each image, level and checkpoint of a run.

A table is whole. A step or a level that fewer than half of a run's images have is left out, as a
sweep that is not finished leaves it; then the images that lack one of the others are. So a mean
never moves because its images do, and all measures of a run are of the same images.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import compress
from typing import Any, NamedTuple

import numpy as np

from nca_cli.errors import StoreError
from nca_cli.metrics import Measuring
from nca_cli.metrics.registry import Value, described
from nca_cli.recipe import Number
from nca_cli.store import Artifact, Names, Store
from nca_cli.store.header import side_of

Tell = Callable[[str], None]
"""Is told what was left out."""


def silent(text: str) -> None:
    """Tells nobody."""


@dataclass(frozen=True)
class StoredRun:
    """A training, as its `model.json` describes it."""

    name: str
    """As tables call the stored model."""
    folder: str
    settings: str = ""
    """What trainings that differ in their seed alone have in common; "" where it is not said."""
    bands: tuple[str, ...] = ()
    """P2's stages that it was trained on, where that is said."""
    trained_on: str = ""
    batch_size: int | None = None
    weights: str = ""
    """`ema`, `raw`, or nothing where that is not said."""
    side: int | None = None
    """Of its x_t in pixels, where that is said; None for latent models."""


@dataclass(frozen=True, eq=False)
class StepTable:
    """One measure of one run and sampler, for all its images, levels and steps."""

    run: StoredRun
    sampler: str
    metric: str
    images: tuple[str, ...]
    t: tuple[Number, ...]
    log_snr: tuple[float, ...]
    steps: tuple[int, ...]
    """Rising."""
    cells: np.ndarray
    """`(images, levels, steps)`, means over seeds; NaN where a measure has no value."""
    higher_is_better: bool = False

    def at_step(self, step: int) -> np.ndarray:
        """`(images, levels)`."""
        return np.asarray(self.cells[:, :, self.steps.index(step)])

    @property
    def one_step(self) -> bool:
        """Whether its reconstructions are posterior means, not ends of chains."""
        return self.sampler.startswith("one-step")


class MadeBy(NamedTuple):
    """What an artifact is of: a run, a sampler, and a step."""

    run: StoredRun
    sampler: str
    step: int


def made_by(store: Store, artifacts: Iterable[Artifact]) -> dict[Artifact, MadeBy]:
    """The artifacts that checkpoints of runs made, and which of them made each.

    A run is called as in a table of all `artifacts`, a sampler as in one of the last step alone:
    nothing of the step is in its name.
    Artifacts that cannot be read are left out.
    """
    artifacts = list(artifacts)
    called = Names(artifacts)
    read = {artifact: found for artifact in artifacts if (found := _step_and_recipe(artifact))}
    steps = {artifact: step for artifact, (step, _) in read.items()}
    recipes = {artifact: recipe for artifact, (_, recipe) in read.items()}
    last: dict[tuple[str, str], Artifact] = {}
    for artifact in sorted(steps, key=lambda one: steps[one]):
        last[artifact.model, recipes[artifact]] = artifact
    names = Names(last.values())
    runs = {folder: stored_run(store, folder, called.model(one))
            for (folder, _), one in last.items()}  # fmt: skip
    return {
        artifact: MadeBy(
            runs[artifact.model], names.sampler(last[artifact.model, recipes[artifact]]), step
        )
        for artifact, step in steps.items()
    }


def _step_and_recipe(artifact: Artifact) -> tuple[int, str] | None:
    """Its step, and the settings that all checkpoints share: all but the weights themselves."""
    try:
        checkpoint, recipe = artifact.checkpoint, artifact.recipe
    except StoreError:
        return None
    if checkpoint is None or recipe is None:
        return None
    shared = replace(recipe, weights="").canonical()
    return int(checkpoint["step"]), f"{shared} {checkpoint.get('weights')}"


def stored_run(store: Store, folder: str, name: str) -> StoredRun:
    """What the store says of a run. Where its `model.json` is lost, its name alone."""
    info = info_of(store, folder)
    run = info.get("run") or {}
    settings = run.get("settings") or {}
    batch = settings.get("batch_size")
    return StoredRun(
        name, folder, _same(settings), tuple(map(str, settings.get("bands") or ())),
        str(settings.get("trained_on", "")), int(batch) if isinstance(batch, int) else None,
        str(run.get("weights") or ""), _side(info),
    )  # fmt: skip


def _side(info: Mapping[str, Any]) -> int | None:
    """As its `model.json` states it; `None` where it does not."""
    with suppress(LookupError, TypeError, ValueError):
        return side_of(info["space"])
    return None


def info_of(store: Store, folder: str) -> dict[str, Any]:
    """What `model.json` says; nothing where it is lost."""
    try:
        return store.model_info(folder)
    except StoreError:
        return {}


def _same(settings: Mapping[str, Any]) -> str:
    """What trainings of the same settings have in common: that text, or all but name and seed."""
    if "settings" in settings:
        return str(settings["settings"])
    told = {key: settings[key] for key in sorted(settings) if key not in ("name", "seed")}
    return ", ".join(f"{key} {value}" for key, value in told.items())


def step_tables(
    store: Store, work: Measuring, rows: Iterable[Value], tell: Tell = silent
) -> list[StepTable]:
    """A table for each run, sampler and measure that has a better and a worse, in store order.

    `rows` are what `work.run()` gave. Runs of one checkpoint have no table.
    """
    series = made_by(store, work.artifacts)
    place = {work.names(artifact): where for artifact, where in series.items()}
    held: dict[tuple[StoredRun, str], _Rows] = {}
    for value in rows:
        where = place.get(value[:3])
        if where is not None:
            held.setdefault(where[:2], _Rows()).add(value, where.step)
    return [table for key, found in held.items() for table in found.tables(*key, tell)]


class _Rows:
    """Values of one run and sampler."""

    def __init__(self) -> None:
        self.log_snr: dict[Number, float] = {}
        self.measures: dict[str, dict[tuple[str, Number, int], list[float]]] = {}

    def add(self, value: Value, step: int) -> None:
        self.log_snr[value.t] = value.log_snr
        cells = self.measures.setdefault(value.measure, {})
        cells.setdefault((value.image, value.t, step), []).append(value.value)

    @cached_property
    def known(self) -> set[tuple[str, Number, int]]:
        """Image, level and step of whatever has been measured in any way."""
        return set().union(*self.measures.values())

    def tables(self, run: StoredRun, sampler: str, tell: Tell) -> Iterator[StepTable]:
        block = whole_block(self.known, lambda text: tell(f"{run.name} · {sampler}: {text}"))
        if len(block.steps) < 2:
            return
        log_snr = tuple(self.log_snr[t] for t in block.t)
        for metric, held in self.measures.items():
            known = described(metric)
            if known is None or not known.better:
                continue
            cells = np.full(block.shape, np.nan)
            for index, key in block.cells():
                several = held.get(key, (np.nan,))
                cells[index] = sum(several) / len(several)
            if np.isfinite(cells).any():
                yield StepTable(run, sampler, metric, block.images, block.t, log_snr, block.steps,
                                cells, known.better == "higher")  # fmt: skip


class Block(NamedTuple):
    """Images, levels and steps, each with each."""

    images: tuple[str, ...]
    t: tuple[Number, ...]
    steps: tuple[int, ...]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of an array with a cell for each."""
        return len(self.images), len(self.t), len(self.steps)

    def cells(self) -> Iterator[tuple[tuple[int, int, int], tuple[str, Number, int]]]:
        """The index of each cell, and what it is of."""
        for i, image in enumerate(self.images):
            for j, t in enumerate(self.t):
                for k, step in enumerate(self.steps):
                    yield (i, j, k), (image, t, step)


def whole_block(known: set[tuple[str, Number, int]], tell: Tell = silent) -> Block:
    """The largest part of a sweep that is whole, as the module says; the rest is told."""
    every = Block(
        tuple(sorted({image for image, _, _ in known})), tuple(sorted({t for _, t, _ in known})),
        tuple(sorted({step for _, _, step in known})),
    )  # fmt: skip
    there = np.zeros(every.shape, bool)
    for index, key in every.cells():
        there[index] = key in known
    of_step = _common(there, 2)
    of_level = _common(there[:, :, of_step], 1)
    of_image = [bool(one.all()) for one in there[:, of_level][:, :, of_step]]
    for what, names, kept in (("step", every.steps, of_step), ("t", every.t, of_level),
                              ("image", every.images, of_image)):  # fmt: skip
        if left := [str(name) for name, one in zip(names, kept, strict=True) if not one]:
            tell(f"left out because not measured at every step and level: {what} {_some(left)}")
    return Block(tuple(compress(every.images, of_image)), tuple(compress(every.t, of_level)),
                 tuple(compress(every.steps, of_step)))  # fmt: skip


def _common(there: np.ndarray, axis: int) -> list[bool]:
    """Which entries of an axis at least half as many cells have as the best of them."""
    share = there.mean(axis=tuple(other for other in range(3) if other != axis))
    return [bool(one >= share.max(initial=0) / 2) for one in share]


def _some(names: list[str]) -> str:
    """`a, b, c and 7 more`."""
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
