"""What `nca rm` may delete: noise stays while a reconstruction refers to it."""

from __future__ import annotations

from collections import defaultdict
from typing import NamedTuple

from nca_cli.store.artifact import Artifact
from nca_cli.store.samples import Key
from nca_cli.store.select import Filters
from nca_cli.store.store import Place, Store


class Removal(NamedTuple):
    """Samples that go. `bytes` is an estimate unless all samples of the artifact go."""

    artifact: Artifact
    keys: list[Key]
    bytes: int


def removal(store: Store, filters: Filters) -> list[Removal]:
    """What the filters take, reconstructions before the noise of their image.

    An x_t that a staying x̂0 of its image starts from is kept (`kept_noise` lists those). Filters
    that name a sampler or recipe take no other noise than that of the reconstructions that go.
    Hand each to `store.remove(artifact, keys)`, in this order. Raises `DamagedArtifact`.
    """
    return [
        Removal(artifact, keys, _bytes(artifact, keys))
        for artifact, keys, kept in _considered(store, filters)
        if keys or (artifact.is_noise and not artifact.keys and not kept)
    ]


def kept_noise(store: Store, filters: Filters) -> list[tuple[Artifact, list[Key]]]:
    """Noise that the filters take but that stays, since reconstructions refer to it."""
    return [(artifact, kept) for artifact, _, kept in _considered(store, filters) if kept]


def _considered(store: Store, filters: Filters) -> list[tuple[Artifact, list[Key], list[Key]]]:
    """Each selected artifact with its samples that go, and those that are kept for others."""
    images: dict[Place, list[Artifact]] = defaultdict(list)
    for artifact in store.select(filters):
        images[Place(artifact.model, artifact.image)].append(artifact)
    found: list[tuple[Artifact, list[Key], list[Key]]] = []
    for place, selected in images.items():
        gone = {one.name: set(filters.keys(one)) for one in selected if not one.is_noise}
        found += [(one, sorted(gone[one.name]), []) for one in selected if not one.is_noise]
        found += [
            (one, *_noise(store, place, filters, one, gone)) for one in selected if one.is_noise
        ]
    return found


def _noise(
    store: Store, place: Place, filters: Filters, noise: Artifact, gone: dict[str, set[Key]]
) -> tuple[list[Key], list[Key]]:
    """(t, seed) of the noise that go, and those that stay for an x̂0 that stays."""
    used = {
        key
        for artifact in store.artifacts(place.model, place.image) if not artifact.is_noise
        for key in artifact.keys - gone.get(artifact.name, set())
    }  # fmt: skip
    if not noise.keys:  # an imported image: its x0 alone, which stays while an x̂0 does
        return [], sorted(used)
    wanted = set(filters.keys(noise))
    if filters.samplers or filters.recipes or any(model.sampler for model in filters.models):
        wanted &= set().union(*gone.values())
    return sorted(wanted - used), sorted(wanted & used)


def _bytes(artifact: Artifact, keys: list[Key]) -> int:
    return artifact.bytes * len(keys) // len(artifact) if len(artifact) else artifact.bytes
