"""What a store has for a figure: images under models, samplers of models, levels of artifacts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from nca_cli.errors import LIST_HINT, NcaError, NothingStored, StoreError, UsageError, one_of
from nca_cli.figures.grid.selection import Sampling, Subject
from nca_cli.figures.grid.training import lacking as steps_lacking
from nca_cli.recipe import Number
from nca_cli.samplers import METHODS
from nca_cli.store import Artifact, Filters, Key, Store, unmet
from nca_cli.store.layout import NOISE, split_folder, split_label
from nca_cli.store.names import source_of


class Headers:
    """Keys and recipes of artifacts, each read once; damaged ones are noted, and have none."""

    def __init__(self) -> None:
        self.problems: list[NcaError] = []
        self._keys: dict[int, frozenset[Key]] = {}

    def keys(self, artifact: Artifact) -> frozenset[Key]:
        """(t, seed) of an artifact."""
        if id(artifact) not in self._keys:
            try:
                self._keys[id(artifact)] = frozenset(artifact.keys)
            except StoreError as problem:
                self._note(problem)
                self._keys[id(artifact)] = frozenset()
        return self._keys[id(artifact)]

    def _note(self, problem: NcaError) -> None:
        """Once, however often it is met."""
        if str(problem) not in map(str, self.problems):
            self.problems.append(problem)

    def log_snr(self, artifact: Artifact) -> Iterable[tuple[Number, float]]:
        """(t, logSNR) of each sample; logSNR may be NaN."""
        if not self.keys(artifact):
            return ()
        return zip(artifact.t.tolist(), artifact.log_snr.tolist(), strict=True)

    def sampling(self, artifact: Artifact) -> Sampling | None:
        """What it was made with; `None` where that cannot be read."""
        try:
            recipe, step = artifact.recipe, artifact.step
        except StoreError as problem:
            self._note(problem)
            return None
        return Sampling(artifact.label, artifact.name, recipe, source_of(artifact), step)


def subjects(store: Store, filters: Filters) -> tuple[Subject, ...]:
    """What fits, in the order in which it was asked for, else by name.

    Images and models that were asked for by name and are not there come too: as rows of blanks.
    Raises `NothingStored`.
    """
    found: dict[tuple[str, str], dict[str, Artifact]] = {}
    for artifact in store.select(filters):
        found.setdefault((artifact.model, artifact.image), {})[artifact.name] = artifact
    if not found:
        raise NothingStored(unmet(store, filters))
    stored = [Subject(*key, named.pop(NOISE, None), named) for key, named in found.items()]

    def order(subject: Subject) -> tuple:
        images = (subject.image, *split_folder(subject.image))
        models = (subject.model, subject.model_name)
        asked = _rank(models, [model.name for model in filters.models])
        return _rank(images, filters.images), subject.stem, asked, subject.model, subject.image

    return tuple(sorted([*stored, *_unstored(stored, filters)], key=order))


def _rank(names: Sequence[str], wanted: Sequence[str]) -> int:
    """The place of the first wanted name that is one of these; behind all if none is."""
    return next((rank for rank, name in enumerate(wanted) if name in names), len(wanted))


def _unstored(stored: list[Subject], filters: Filters) -> Iterator[Subject]:
    models = list(dict.fromkeys(each.model for each in stored))
    for wanted in filters.images:
        if not any(wanted in (each.image, *split_folder(each.image)) for each in stored):
            yield from (Subject(model, wanted) for model in models)
    images = {split_folder(each.image)[0]: each.image for each in stored}
    for name in dict.fromkeys(wanted.name for wanted in filters.models):
        if not any(name in (each.model, each.model_name) for each in stored):
            yield from (Subject(name, image, stored=False) for image in images.values())


def samplings(
    some: Sequence[Subject], filters: Filters, headers: Headers
) -> dict[str, list[Sampling]]:
    """Model → its samplers, over all images; then those asked for that it lacks.

    Raises `UsageError` for a sampler that nothing could compute.
    """
    found = {
        model: _of_model([each for each in some if each.model == model], filters, headers)
        for model in dict.fromkeys(each.model for each in some)
    }
    stored = [each for them in found.values() for each in them if each.recipe]
    known = {*METHODS, *(name for each in stored for name in _names(each))}
    for name in filters.samplers:
        if not {name, split_label(name)[0]} & known:
            raise UsageError(f"unknown sampler {name!r}", one_of(name, sorted(known)))
    return found


def _of_model(some: list[Subject], filters: Filters, headers: Headers) -> list[Sampling]:
    stored: dict[str, Sampling] = {}
    for name, artifact in (pair for each in some for pair in each.recipes.items()):
        if name not in stored and (sampling := headers.sampling(artifact)):
            stored[name] = sampling
    every = [*stored.values(), *steps_lacking(stored.values(), filters.steps)]
    found = sorted(every, key=lambda sampling: sampling.order)
    known = {name for each in found for name in _names(each)}
    asked = _asked(some[0].model, filters)
    lacking = [Sampling(sampler) for sampler in asked if sampler not in known]
    return [*found, *lacking] or [Sampling("")]


def _names(sampling: Sampling) -> set[str]:
    """What a stored sampler may be asked for as."""
    return {sampling.label, *([sampling.recipe.sampler] if sampling.recipe else [])}


def _asked(model: str, filters: Filters) -> list[str]:
    """Samplers that the filters name for a model."""
    if filters.samplers or filters.recipes:
        return list(filters.samplers)
    names = (model, split_folder(model)[0])
    return [each.sampler for each in filters.models if each.name in names and each.sampler]


def check_recipes(store: Store, filters: Filters, some: Sequence[Subject]) -> None:
    """No command could make a recipe of which some digits are all that is known.

    Raises `NothingStored`.
    """
    stored = [artifact for each in some for artifact in each.recipes.values()]
    for digits in filters.recipes:
        if not any(map(replace(filters, recipes=(digits,)).fits, stored)):
            raise NothingStored(unmet(store, Filters(recipes=(digits,))), LIST_HINT, store.named)
