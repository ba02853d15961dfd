"""A store as one reader sees it from beginning to end."""

from __future__ import annotations

from nca_cli.store.artifact import Artifact
from nca_cli.store.store import Store


class Snapshot(Store):
    """A store whose folders are listed once each, when they are first asked for.

    For who asks again and again, as a report does: all its parts speak of the same artifacts, and
    what an artifact says of itself is looked up once. What others write meanwhile is not seen.
    """

    def __init__(self, store: Store):
        self.__dict__.update(vars(store))
        self._models: list[str] | None = None
        self._images: dict[str, list[str]] = {}
        self._artifacts: dict[tuple[str, str], list[Artifact]] = {}

    def models(self) -> list[str]:
        """Model folder names, sorted."""
        if self._models is None:
            self._models = super().models()
        return self._models

    def images(self, model: str) -> list[str]:
        """Image folder names of a model, sorted."""
        if model not in self._images:
            self._images[model] = super().images(model)
        return self._images[model]

    def artifacts(self, model: str, image: str) -> list[Artifact]:
        """All artifacts of an image under a model: noise first, then by name."""
        place = model, image
        if place not in self._artifacts:
            self._artifacts[place] = super().artifacts(model, image)
        return self._artifacts[place]
