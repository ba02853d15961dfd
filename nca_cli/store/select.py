"""Which artifacts and which of their samples a request means."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from functools import cached_property
from numbers import Real
from typing import Any, NamedTuple

from nca_cli.errors import Complain, StoreError, few
from nca_cli.store.artifact import Artifact
from nca_cli.store.layout import split_folder
from nca_cli.store.samples import Key


class ModelFilter(NamedTuple):
    """A stored model's name or folder, and the sampler that goes with an alias (`ddim`)."""

    name: str
    sampler: str | None = None
    source: str | None = None
    """Where it comes from, if it is named by a path or a Python function: checkpoints of several
    trainings often have one file name, and so one stored name."""
    given: str = ""
    """What it was asked for as, where that is known: `org/name`, a folder's path, an alias."""
    run: bool = False
    """Whether it is named as a training."""

    def fits(self, artifact: Artifact, any_sampler: bool) -> bool:
        """Whether an artifact is of this model (noise is of every sampler, and of all sources)."""
        if self.name not in (artifact.model, artifact.model_name):
            return False
        if artifact.is_noise:
            return True
        if not any_sampler and self.sampler not in (None, artifact.sampler):
            return False
        return self.source is None or self._comes_from(artifact)

    def _comes_from(self, artifact: Artifact) -> bool:
        """By its header; a damaged one may be of any source, and whoever reads it names it."""
        try:
            return bool(artifact.model_info.get("source") == self.source)
        except StoreError:
            return True


@dataclass(frozen=True)
class Filters:
    """What is wanted; an empty field means everything stored.

    A single value stands for itself: `Filters(recipes="7f31c02a")`, `Filters(t=100)`.
    """

    t: Sequence[int | float] = ()
    seeds: Sequence[int] = ()
    images: Sequence[str] = ()
    """Stems (`astronaut`) or folder names (`astronaut-1a2b3c4d5e6f`)."""
    models: Sequence[ModelFilter] = ()
    """A text is a stored model's name or folder, with any sampler."""
    samplers: Sequence[str] = ()
    """`ddim` or `ddim-50`."""
    recipes: Sequence[str] = ()
    """First digits of recipe digests."""
    steps: Sequence[int] = ()
    """Of trainings: models that are no checkpoints of one fit whatever this says."""
    latest: bool = False
    """Of every run the last stored step alone, unless `steps` says which."""

    def __post_init__(self) -> None:
        for field in fields(self):  # ranges and lists are welcome, and compare as equal
            if field.name != "latest":
                object.__setattr__(self, field.name, _several(getattr(self, field.name)))
        models = (ModelFilter(one) if isinstance(one, str) else one for one in self.models)
        object.__setattr__(self, "models", tuple(models))

    def fits_image(self, folder: str) -> bool:
        """By folder name, stem or digest."""
        names = (folder, *split_folder(folder))
        return not self.images or any(text in names for text in self.images)

    def fits_model(self, folder: str) -> bool:
        """By folder name or stored name."""
        names = (folder, split_folder(folder)[0])
        return not self.models or any(wanted.name in names for wanted in self.models)

    def fits_sampler(self, artifact: Artifact) -> bool:
        """By sampler, with its steps or without."""
        return not self.samplers or bool({artifact.sampler, artifact.label} & {*self.samplers})

    def fits(self, artifact: Artifact) -> bool:
        """Whether an artifact as a whole is wanted; noise belongs to every sampler and recipe."""
        if not self.fits_image(artifact.image):
            return False
        explicit = bool(self.samplers or self.recipes)
        if self.models and not any(wanted.fits(artifact, explicit) for wanted in self.models):
            return False
        if artifact.is_noise:
            return True
        if not self.fits_sampler(artifact):
            return False
        hexes = split_folder(artifact.name)[1]
        return not self.recipes or any(
            wanted and hexes.startswith(wanted[:8].lower()) for wanted in self.recipes
        )

    @property
    def by_step(self) -> bool:
        """Whether it matters at which step of a training weights were saved."""
        return self.latest or bool(self.steps)

    def of_steps(self, artifacts: Iterable[Artifact]) -> list[Artifact]:
        """Those of one model that are of the wanted steps; noise is of every step."""
        steps = {artifact: _step(artifact) for artifact in artifacts}
        known = [step for step in steps.values() if step is not None]
        wanted = self.steps or (max(known, default=0),)
        return [artifact for artifact, step in steps.items() if step is None or step in wanted]

    def keys(self, artifact: Artifact) -> list[Key]:
        """(t, seed) of the wanted samples of an artifact, sorted."""
        levels, seeds = self._wanted
        return sorted(
            (t, seed)
            for t, seed in artifact.keys
            if (not levels or t in levels) and (not seeds or seed in seeds)
        )

    def met_by(self, artifacts: Iterable[Artifact]) -> bool:
        """Whether one of them is of a sampler, recipe and step that is named: noise, which belongs
        to all of these, is no answer alone. A damaged artifact may be of any step."""
        made = [artifact for artifact in artifacts if not artifact.is_noise]
        if (self.samplers or self.recipes) and not made:
            return False
        return not self.steps or any(_may_be_at(artifact, self.steps) for artifact in made)

    @cached_property
    def _wanted(self) -> tuple[frozenset, frozenset]:
        """Levels and seeds, to look up among a million."""
        return frozenset(self.t), frozenset(self.seeds)


def holding(artifacts: Iterable[Artifact], filters: Filters, on_error: Complain) -> list[Artifact]:
    """The artifacts that hold wanted samples; those that cannot be read go to `on_error`."""
    found = []
    for artifact in artifacts:
        try:
            if filters.keys(artifact):
                found.append(artifact)
        except StoreError as error:
            on_error(error)
    return found


def lacking(artifacts: Iterable[Artifact], filters: Filters) -> str:
    """Which levels or seeds were asked for and are in none of the artifacts, and which are:
    `no samples at t = 333; stored: 0, 100, …, 900`. Nothing where some are there."""
    keys: set[Key] = set()
    for artifact in artifacts:
        with suppress(StoreError):  # whoever reads it names it
            keys.update(artifact.keys)
    levels, seeds = {t for t, _ in keys}, {seed for _, seed in keys}
    for what, asked, stored in (("at t =", filters.t, levels), ("of seed", filters.seeds, seeds)):
        if asked and stored and not stored & {*asked}:
            return f"no samples {what} {few(asked)}; stored: {few(sorted(stored))}"
    return ""


def _may_be_at(artifact: Artifact, steps: Sequence[int]) -> bool:
    try:
        return artifact.step in steps
    except StoreError:
        return True


def _step(artifact: Artifact) -> int | None:
    """A damaged artifact may be of any step, and whoever reads it names it."""
    try:
        return artifact.step
    except StoreError:
        return None


def _several(values: Any) -> tuple[Any, ...]:
    """A text is one value, not its letters; so are a number and a `ModelFilter`."""
    return (values,) if isinstance(values, str | Real | ModelFilter) else tuple(values)
