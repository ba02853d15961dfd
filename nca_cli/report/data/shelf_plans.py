"""What the pictures of a page are to show, before any is read: a plan for each shelf."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import mode

import numpy as np

from nca_cli.errors import NothingStored, StoreError
from nca_cli.report.data.report import Report
from nca_cli.store import Artifact, Key, Place, Store
from nca_cli.store.layout import NOISE

LONGEST_STRIP = 16383
"""Pixels; the limit of WebP."""
NEAR = 1e-6
"""logSNR of levels that are one."""

Level = tuple[float, float]
"""(t, logSNR); NaN where no schedule is known."""
Depth = tuple[int, float]


def depth(level: Level) -> Depth:
    """How noisy a level is, for sorting: where no schedule is known, t says it."""
    t, log_snr = level
    return (1, t) if math.isnan(log_snr) else (0, -log_snr)


def distance(one: Depth, other: Depth) -> float:
    """Of two depths; without end between a level whose SNR is known and one whose is not."""
    if one[0] != other[0]:
        return math.inf
    return 0.0 if one == other else abs(one[1] - other[1])


def positions(levels: Iterable[Level]) -> list[list[Level]]:
    """From little noise to much; levels of one logSNR are one, whatever their t."""
    found: list[list[Level]] = []
    for (here, _), level in sorted({(depth(each), each[0]): each for each in levels}.items()):
        if not found or distance(depth(found[-1][0]), here) > NEAR:
            found.append([])
        found[-1].append(level)
    return found


@dataclass(frozen=True)
class ShelfPlan:
    """What a shelf is to show, before anything is read."""

    image: str
    models: tuple[str, ...]
    seed: int
    noise: Artifact
    noise_keys: tuple[Key, ...]
    series: tuple[tuple[int, Artifact, tuple[Key, ...]], ...]

    @property
    def name(self) -> tuple[str, tuple[str, ...]]:
        """Image and models, which no two plans of a seed share."""
        return self.image, self.models

    @property
    def levels(self) -> list[Level]:
        """Of all that it shows."""
        strips = ((self.noise, self.noise_keys), *(strip[1:] for strip in self.series))
        return [level for strip in strips for level in levels_of(*strip)]


def plans_of(store: Store, report: Report, wanted: int | None = None) -> Iterator[ShelfPlan]:
    """A plan per image and space, in the order of the report's images.

    Of the seed `wanted`, where an image has it; else of the commonest one, or of the first that an
    image has.
    """
    if not report.held:
        return
    common = mode(sorted(seed for *_, seed in report.values.samples if seed >= 0))
    index = {(each.model, each.sampler): number for number, each in enumerate(report.series)}
    groups: dict[tuple, list[tuple[str, int, Artifact]]] = {}
    for image, model, sampler, artifact in report.held:
        key = image, _identity(artifact)
        groups.setdefault(key, []).append((model, index[model, sampler], artifact))
    order = {name: number for number, name in enumerate(report.image_names)}
    for (image, _), members in sorted(groups.items(), key=lambda item: order[item[0][0]]):
        try:
            plan = _plan(store, report, image, members, (common, wanted))
        except (StoreError, NothingStored):
            continue
        if plan:
            yield plan


def _identity(artifact: Artifact) -> str:
    """What x_t depends on: models of one space share it."""
    space = artifact.model_info.get("space", {})
    return f"{sorted(space.items(), key=str)} {artifact.image_info.get('digest', artifact.image)}"


def _plan(
    store: Store,
    report: Report,
    image: str,
    members: Sequence[tuple[str, int, Artifact]],
    choice: tuple[int, int | None],
) -> ShelfPlan | None:
    """`choice`: the commonest seed, and the one that is wanted."""
    keys = {artifact: report.request.filters.keys(artifact) for _, _, artifact in members}
    seeds = sorted({key[1] for held in keys.values() for key in held})
    common, wanted = choice
    if not seeds or wanted not in (None, *seeds):
        return None
    seed = wanted if wanted is not None else common if common in seeds else seeds[0]
    series = tuple((number, artifact, _of_seed(keys[artifact], artifact, seed))
                   for _, number, artifact in members)  # fmt: skip
    first = members[0][2]
    noise = store.artifact(Place(first.model, first.image), NOISE)
    if noise is None:
        return None
    noised = {key for _, _, held in series for key in held} & noise.keys
    models = tuple(dict.fromkeys(model for model, _, _ in members))
    shown = tuple(item for item in series if item[2])
    return ShelfPlan(image, models, seed, noise, _of_seed(noised, noise, seed), shown)


def _of_seed(keys: Iterable[Key], artifact: Artifact, seed: int) -> tuple[Key, ...]:
    """The (t, seed) of one seed, from little noise to much."""
    mine = [key for key in keys if key[1] == seed]
    depths = map(depth, levels_of(artifact, mine))
    return tuple(key for _, key in sorted(zip(depths, mine, strict=True)))


def levels_of(artifact: Artifact, keys: Sequence[Key]) -> list[Level]:
    """The level of each (t, seed) of an artifact."""
    stored = zip(artifact.t.tolist(), artifact.seed.tolist(), strict=True)
    log_snr = dict(zip(stored, artifact.log_snr.tolist(), strict=True))
    return [(key[0], log_snr[key]) for key in keys]


def with_few_levels(plans: Sequence[ShelfPlan], most: int = 0) -> tuple[list[ShelfPlan], bool]:
    """Plans whose strips a WebP can hold, and whether levels had to go."""
    most = most or LONGEST_STRIP // 256
    if all(len(positions(levels)) <= most for levels in by_image(plans).values()):
        return list(plans), False
    every = positions(level for plan in plans for level in plan.levels)
    kept = {depth(level) for index in spread(len(every), most) for level in every[index]}
    return [_thinned(plan, kept) for plan in plans], True


def by_image(plans: Iterable[ShelfPlan]) -> dict[str, list[Level]]:
    """Image → levels of all that its plans show."""
    found: dict[str, list[Level]] = {}
    for plan in plans:
        found.setdefault(plan.image, []).extend(plan.levels)
    return found


def _thinned(plan: ShelfPlan, kept: set[Depth]) -> ShelfPlan:
    def some(artifact: Artifact, keys: Sequence[Key]) -> tuple[Key, ...]:
        levels = levels_of(artifact, keys)
        return tuple(key for key, level in zip(keys, levels, strict=True) if depth(level) in kept)

    series = ((number, artifact, some(artifact, keys)) for number, artifact, keys in plan.series)
    shown = tuple(item for item in series if item[2])
    return replace(plan, noise_keys=some(plan.noise, plan.noise_keys), series=shown)


def spread(count: int, most: int) -> list[int]:
    """At most so many of `count` indices, evenly spaced, both ends among them."""
    return sorted({round(at) for at in np.linspace(0, count - 1, min(count, most))})
