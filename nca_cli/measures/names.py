"""What models, images and samplers are called in tables: short, and never ambiguous."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence

from nca_cli.store import Artifact


class Names:
    """Short names of models, images and samplers; the stored ones where two would be the same."""

    def __init__(self, artifacts: Sequence[Artifact]):
        self.artifacts = artifacts
        self._clashing = {
            kind: _clashing((key(artifact), full(artifact)) for artifact in artifacts)
            for kind, key, full in (
                ("model", lambda a: a.model_name, lambda a: a.model),
                ("image", lambda a: (a.model, a.image_name), lambda a: a.image),
                ("sampler", lambda a: (a.model, a.label), lambda a: a.name),
            )
        }

    def model(self, artifact: Artifact) -> str:
        """`demo`, or its folder's name."""
        clash = artifact.model_name in self._clashing["model"]
        return artifact.model if clash else artifact.model_name

    def image(self, artifact: Artifact) -> str:
        """`astronaut`, or its folder's name."""
        clash = (artifact.model, artifact.image_name) in self._clashing["image"]
        return artifact.image if clash else artifact.image_name

    def sampler(self, artifact: Artifact) -> str:
        """`ddim-50`, or the name of its files."""
        clash = (artifact.model, artifact.label) in self._clashing["sampler"]
        return artifact.name if clash else artifact.label


def _clashing(pairs: Iterable[tuple[Hashable, str]]) -> set[Hashable]:
    """The keys that stand for more than one thing."""
    things: dict[Hashable, set[str]] = {}
    for key, thing in pairs:
        things.setdefault(key, set()).add(thing)
    return {key for key, several in things.items() if len(several) > 1}
