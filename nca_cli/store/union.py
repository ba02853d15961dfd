"""Everything of one store in another: what two machines computed becomes one store."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from nca_cli.errors import DamagedArtifact, NcaError, StoreError
from nca_cli.store.artifact import Artifact
from nca_cli.store.header import steps_of
from nca_cli.store.location import Location
from nca_cli.store.steps import check_step, note_step
from nca_cli.store.store import NAME_HINT, Store


@dataclass
class Union:
    """What came in: samples that are new, those that were there, and what could not be taken."""

    taken: int = 0
    there: int = 0
    errors: list[NcaError] = field(default_factory=list)


def merge_stores(
    store: Store, *others: str | Path | Store, tick: Callable[[int], None] = lambda count: None
) -> Union:
    """Take into `store` what the others hold and it does not.

    Samples that are there stay as they are, bit for bit: one (image, model, recipe, t, seed) is one
    result, wherever it was computed. The others are only read; each of them may be packed, and be
    merged again at any time. An artifact that is damaged, and a training whose steps have other
    weights here, is an error of its own and the rest is taken. `tick` is told of each part. Raises
    `NothingStored` and `StoreError` before anything is written, and `StoreError` where `store`
    cannot be written any more (disk full).
    """
    sources = [other if isinstance(other, Store) else Store(other) for other in others]
    for source in sources:
        source.require(NAME_HINT)
        if source.root.resolve() == store.root.resolve():
            raise StoreError(
                source.root, "is both the source and the target", "name another with --store"
            )
    store.require_writable()
    found = Union()
    for source in sources:
        for model in source.models():
            try:
                _note_training(store, source, model)
            except NcaError as error:
                found.errors.append(error)
                continue
            for image in source.images(model):
                for artifact in source.artifacts(model, image):  # x_t before the x̂0 that need them
                    for part in artifact.parts:
                        _take(store, source, artifact, part, found)
                        tick(1)
    return found


def _note_training(store: Store, source: Store, model: str) -> None:
    """A run's steps and their weights; raises `ModelError` where they differ from those here."""
    info = source.model_info(model)
    for step, weights in steps_of(info).items():
        check_step(store, model, step, weights)
    for step, weights in steps_of(info).items():
        note_step(store, model, info, step, weights)


def _take(
    store: Store, source: Store, artifact: Artifact, location: Location, found: Union
) -> None:
    try:
        part, digest = location.read(), artifact.image_info["digest"]
        info = source.model_info(artifact.model)
    except NcaError as error:
        found.errors.append(error)
        return
    place = store.place(artifact.model, info, artifact.image_name, digest)
    layout = part.samples.layout
    dtype = str(next(iter(layout.values()))[0]) if layout else "float32"
    try:
        taken = store.commit(place, artifact.name, part.header, part.samples, part.fixed, dtype)
    except DamagedArtifact as error:  # what is there already; all else would meet the next one too
        found.errors.append(error)
        return
    found.taken += taken
    found.there += len(part.samples) - taken
