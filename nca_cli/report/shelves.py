"""What the pictures of a page are to show, before any is read: a plan for each shelf."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from statistics import mode

import numpy as np

from nca_cli.errors import NothingStored, StoreError
from nca_cli.report.content import Report
from nca_cli.store import Artifact, Key, Place, Store
from nca_cli.store.layout import NOISE

LONGEST_STRIP = 16383
"""Pixels; the limit of WebP."""


def depth(level: tuple[float, float]) -> tuple[int, float]:
    """How noisy a (t, logSNR) is, for sorting: where no schedule is known, t says it."""
    t, log_snr = level
    return (1, t) if math.isnan(log_snr) else (0, -log_snr)


@dataclass(frozen=True)
class Plan:
    """What a shelf is to show, before anything is read."""

    image: str
    models: tuple[str, ...]
    seed: int
    noise: Artifact
    noise_keys: tuple[Key, ...]
    series: tuple[tuple[int, Artifact, tuple[Key, ...]], ...]

    @property
    def most(self) -> int:
        """Levels of its longest strip."""
        return max(len(keys) for keys in (self.noise_keys, *(keys for _, _, keys in self.series)))


def plans_of(store: Store, report: Report) -> Iterator[Plan]:
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
) -> Plan | None:
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
    return Plan(image, models, seed, noise, _of_seed(wanted, noise, seed), shown)


def _of_seed(keys: Iterable[Key], artifact: Artifact, seed: int) -> tuple[Key, ...]:
    """The (t, seed) of one seed, from little noise to much."""
    log_snr = log_snr_of(artifact)
    return tuple(
        sorted(
            (key for key in keys if key[1] == seed), key=lambda k: (depth((k[0], log_snr[k])), k)
        )
    )


def log_snr_of(artifact: Artifact) -> dict[Key, float]:
    """(t, seed) → logSNR of every sample."""
    stored = zip(artifact.t.tolist(), artifact.seed.tolist(), strict=True)
    return dict(zip(stored, artifact.log_snr.tolist(), strict=True))


# --- a sample of it ------------------------------------------------------------------------------


def with_few_levels(plans: Sequence[Plan], most: int = 0) -> tuple[list[Plan], bool]:
    """Plans whose strips a WebP can hold, and whether levels had to go."""
    most = most or LONGEST_STRIP // 256
    if all(plan.most <= most for plan in plans):
        return list(plans), False
    levels = sorted({key[0] for plan in plans for _, _, keys in plan.series for key in keys})
    kept = {levels[index] for index in spread(len(levels), most)}
    return [_thinned(plan, kept) for plan in plans], True


def _thinned(plan: Plan, levels: set[int | float]) -> Plan:
    def some(keys: Sequence[Key]) -> tuple[Key, ...]:
        return tuple(key for key in keys if key[0] in levels)

    series = tuple((number, artifact, some(keys)) for number, artifact, keys in plan.series)
    shown = tuple(item for item in series if item[2])
    return Plan(plan.image, plan.models, plan.seed, plan.noise, some(plan.noise_keys), shown)


def spread(count: int, most: int) -> list[int]:
    """At most so many of `count` indices, evenly spaced, both ends among them."""
    return sorted({round(at) for at in np.linspace(0, count - 1, min(count, max(1, most)))})


def sample(plans: Sequence[Plan], most: int) -> list[Plan]:
    """At most so many, evenly spaced."""
    return [plans[index] for index in spread(len(plans), most)] if most else []
