"""Which means may be compared with one another."""

from __future__ import annotations

from collections.abc import Iterable

from nca_cli.analysis import REFERENCE, Value


def uneven(values: Iterable[Value]) -> str:
    """What keeps means from being compared: other images, levels or seeds; nothing if none does."""
    images: dict[tuple[str, str], dict[float, set[str]]] = {}
    seeds: dict[tuple[str, str], set[tuple]] = {}
    for value in values:
        if not value.sampler.startswith(REFERENCE):
            key = value.model, value.sampler
            images.setdefault(key, {}).setdefault(value.t, set()).add(value.image)
            seeds.setdefault(key, set()).add((value.image, value.t, value.seed))
    if _differ(some for levels in images.values() for some in levels.values()):
        return (
            "Not all means are over the same images: they differ by these, too (--image chooses)."
        )
    if _differ(map(set, images.values())):
        return "Not every series has the same levels: compare curves where both have points."
    return "Not every series has the same seeds of its images." if _differ(seeds.values()) else ""


def _differ(sets: Iterable[set]) -> bool:
    return len(set(map(frozenset, sets))) > 1
