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

Depth = tuple[int, float]


def depth(level: tuple[float, float]) -> Depth:
    """How noisy a (t, logSNR) is, for sorting: where no schedule is known, t says it."""
    t, log_snr = level
    return (1, t) if math.isnan(log_snr) else (0, -log_snr)


def distance(one: Depth, other: Depth) -> float:
    """Of two depths; without end between a level whose SNR is known and one whose is not."""
    if one[0] != other[0]:
        return math.inf
    return 0.0 if one == other else abs(one[1] - other[1])


def positions(depths: Iterable[Depth]) -> list[list[Depth]]:
    """From little noise to much; levels of one logSNR are one, whatever their t."""
    found: list[list[Depth]] = []
    for each in sorted(set(depths)):
        if not found or distance(found[-1][0], each) > NEAR:
            found.append([])
        found[-1].append(each)
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
    def depths(self) -> list[Depth]:
        """Of all that it shows."""
        strips = ((self.noise, self.noise_keys), *(strip[1:] for strip in self.series))
        return [each for strip in strips for each in depths_of(*strip)]


def plans_of(store: Store, report: Report) -> Iterator[ShelfPlan]:
    """A plan per image and space, in the order of the report's images."""
    if not report.held:
        return
    seed = mode(sorted(value.seed for value in report.values if value.seed >= 0))
    index = {(each.model, each.sampler): number for number, each in enumerate(report.series)}
    groups: dict[tuple, list[tuple[str, int, Artifact]]] = {}
    for image, model, sampler, artifact in report.held:
        key = image, _identity(artifact)
        groups.setdefault(key, []).append((model, index[model, sampler], artifact))
    order = {name: number for number, name in enumerate(report.image_names)}
    for (image, _), members in sorted(groups.items(), key=lambda item: order[item[0][0]]):
        try:
            plan = _plan(store, report, image, members, seed)
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
    seed: int,
) -> ShelfPlan | None:
    keys = {artifact: report.filters.keys(artifact) for _, _, artifact in members}
    seeds = sorted({key[1] for held in keys.values() for key in held})
    if not seeds:
        return None
    seed = seed if seed in seeds else seeds[0]
    series = tuple((number, artifact, _of_seed(keys[artifact], artifact, seed))
                   for _, number, artifact in members)  # fmt: skip
    first = members[0][2]
    noise = store.artifact(Place(first.model, first.image), NOISE)
    if noise is None:
        return None
    wanted = {key for _, _, held in series for key in held} & noise.keys
    models = tuple(dict.fromkeys(model for model, _, _ in members))
    shown = tuple(item for item in series if item[2])
    return ShelfPlan(image, models, seed, noise, _of_seed(wanted, noise, seed), shown)


def _of_seed(keys: Iterable[Key], artifact: Artifact, seed: int) -> tuple[Key, ...]:
    """The (t, seed) of one seed, from little noise to much."""
    log_snr = log_snr_of(artifact)
    mine = (key for key in keys if key[1] == seed)
    return tuple(sorted(mine, key=lambda key: (depth((key[0], log_snr[key])), key)))


def depths_of(artifact: Artifact, keys: Sequence[Key]) -> list[Depth]:
    """How noisy each (t, seed) of an artifact is."""
    log_snr = log_snr_of(artifact)
    return [depth((key[0], log_snr[key])) for key in keys]


def log_snr_of(artifact: Artifact) -> dict[Key, float]:
    """(t, seed) → logSNR of every sample."""
    stored = zip(artifact.t.tolist(), artifact.seed.tolist(), strict=True)
    return dict(zip(stored, artifact.log_snr.tolist(), strict=True))


# --- a sample of it ------------------------------------------------------------------------------


def with_few_levels(plans: Sequence[ShelfPlan], most: int = 0) -> tuple[list[ShelfPlan], bool]:
    """Plans whose strips a WebP can hold, and whether levels had to go."""
    most = most or LONGEST_STRIP // 256
    if all(len(positions(depths)) <= most for depths in by_image(plans).values()):
        return list(plans), False
    every = positions(each for plan in plans for each in plan.depths)
    kept = {each for index in spread(len(every), most) for each in every[index]}
    return [_thinned(plan, kept) for plan in plans], True


def by_image(plans: Iterable[ShelfPlan]) -> dict[str, list[Depth]]:
    """Image → depths of all that its plans show."""
    found: dict[str, list[Depth]] = {}
    for plan in plans:
        found.setdefault(plan.image, []).extend(plan.depths)
    return found


def _thinned(plan: ShelfPlan, kept: set[Depth]) -> ShelfPlan:
    def some(artifact: Artifact, keys: Sequence[Key]) -> tuple[Key, ...]:
        depths = depths_of(artifact, keys)
        return tuple(key for key, each in zip(keys, depths, strict=True) if each in kept)

    series = ((number, artifact, some(artifact, keys)) for number, artifact, keys in plan.series)
    shown = tuple(item for item in series if item[2])
    return replace(plan, noise_keys=some(plan.noise, plan.noise_keys), series=shown)


def spread(count: int, most: int) -> list[int]:
    """At most so many of `count` indices, evenly spaced, both ends among them."""
    return sorted({round(at) for at in np.linspace(0, count - 1, min(count, max(1, most)))})


def sample(plans: Sequence[ShelfPlan], most: int) -> list[ShelfPlan]:
    """At most so many, evenly spaced."""
    return [plans[index] for index in spread(len(plans), most)] if most else []
