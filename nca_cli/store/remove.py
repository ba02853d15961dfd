"""What `nca rm` may delete: noise stays while a reconstruction refers to it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from nca_cli.errors import Complain, StoreError
from nca_cli.store.artifact import Artifact
from nca_cli.store.samples import Key
from nca_cli.store.select import Filters
from nca_cli.store.store import Place, Store

Considered = tuple[Artifact, list[Key], list[Key]]


class Removal(NamedTuple):
    """Samples that go. `bytes` is an estimate unless all samples of the artifact go."""

    artifact: Artifact
    keys: list[Key]
    bytes: int


def removal(store: Store, filters: Filters, on_error: Complain | None = None) -> list[Removal]:
    """What the filters take, reconstructions before the noise of their image.

    An x_t that a staying x̂0 of its image starts from is kept (`kept_noise` lists those). Filters
    that name a sampler or recipe take no other noise than that of the reconstructions that go.
    Hand each to `store.remove(artifact, keys)`, in this order. Images of which an artifact cannot
    be read go to `on_error` (without it: raised) and keep their noise.
    """
    return [
        Removal(artifact, keys, _bytes(artifact, keys))
        for artifact, keys, kept in _considered(store, filters, on_error)
        if keys or (artifact.is_noise and not artifact.keys and not kept)
    ]


def kept_noise(
    store: Store, filters: Filters, on_error: Complain | None = None
) -> list[tuple[Artifact, list[Key]]]:
    """Noise that the filters take but that stays, since reconstructions refer to it."""
    found = _considered(store, filters, on_error)
    return [(artifact, kept) for artifact, _, kept in found if kept]


def _considered(store: Store, filters: Filters, on_error: Complain | None) -> list[Considered]:
    """Each selected artifact with its samples that go, and those that are kept for others."""
    images: dict[Place, list[Artifact]] = defaultdict(list)
    for artifact in store.select(filters):
        images[Place(artifact.model, artifact.image)].append(artifact)
    found: list[Considered] = []
    for place, selected in images.items():
        made = [one for one in selected if not one.is_noise]
        gone: dict[str, set[Key]] = {}
        for one in made:
            with _told(on_error):
                gone[one.name] = set(filters.keys(one))
                found.append((one, sorted(gone[one.name]), []))
        for one in (one for one in selected if one.is_noise):
            with _told(on_error):
                found.append((one, *_noise(store, place, filters, one, gone)))
    return found


@contextmanager
def _told(on_error: Complain | None) -> Iterator[None]:
    """Let the work go on without what cannot be read, where there is somebody to tell."""
    try:
        yield
    except StoreError as error:
        if on_error is None:
            raise
        on_error(error)


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
