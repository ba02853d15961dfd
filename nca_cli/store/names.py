"""What images, models and recipes are called in tables and figures: short, and never ambiguous."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from nca_cli.errors import NcaError
from nca_cli.images import resolution_of, size_text
from nca_cli.recipe import Recipe, digest
from nca_cli.store.artifact import Artifact

Name = tuple[str, str, str]
"""Image, model and sampler as tables call them."""
Namer = Callable[[Artifact], Name]
LONGEST = 40
"""Letters of a prompt in a name."""


class Names:
    """Short names of the artifacts of one table. Two things of one name get longer ones.

    An image is called by its folder then, and so is a model, but where models differ in their
    resolution: `demo 64 px`. A recipe is called by what tells it from the others of its model and
    label, `ddim-50 η=0.5`, `ddim-50 spacing karras`, `one-step no prompt`, by the step of a
    training, `one-step step 800`, or by the part of the path that tells checkpoints of one file
    name apart, `one-step runA`; where that does not tell all of them apart, or where they differ in
    more, by the name of its files, `ddim-50-7f31c02a`.
    What is not in the table makes no name longer.
    """

    def __init__(self, artifacts: Iterable[Artifact]):
        every = list(artifacts)
        self._models = told_models(
            {a.model: a.model_name for a in every},
            lambda folder: _size(a for a in every if a.model == folder),
        )
        self._images = _several(((a.model, a.image_name), a.image, a) for a in every)
        twins = _several(((a.model, a.label), a.name, a) for a in every)
        self._settings = _by_artifact(twins, told)
        self._differences = _by_artifact(twins, differences)

    def __call__(self, artifact: Artifact) -> Name:
        """`("astronaut", "demo", "ddim-50")`: as in the columns of every table."""
        return self.image(artifact), self.model(artifact), self.sampler(artifact)

    def model(self, artifact: Artifact) -> str:
        """`demo`; of two models of that name `demo 64 px`, or its folder's name."""
        return self._models[artifact.model]

    def image(self, artifact: Artifact) -> str:
        """`astronaut`, or its folder's name."""
        clash = (artifact.model, artifact.image_name) in self._images
        return artifact.image if clash else artifact.image_name

    def sampler(self, artifact: Artifact) -> str:
        """`ddim-50`, `ddim-50 η=0.5`, or the name of its files."""
        words = self._settings.get((artifact.model, artifact.name))
        if words is None:
            return artifact.label
        return " ".join([artifact.label, *words]) if words else artifact.name

    def settings(self, artifact: Artifact) -> str:
        """How its recipe differs from others of its label, in words: `η=0.5`, `no clip`, or
        nothing."""
        return ", ".join(self._differences.get((artifact.model, artifact.name), ()))


def told_models(
    named: Mapping[str, str], size: Callable[[str], Any]
) -> dict[str, str]:  # fmt: skip
    """Folder → the name of the model; of several models of a name, with the `size` (in pixels) of
    what is in the folder, or the folder where that does not tell them apart."""
    folders: dict[str, list[str]] = {}
    for folder, name in named.items():
        folders.setdefault(name, []).append(folder)
    words: dict[str, str] = {}
    for name, some in folders.items():
        sizes = {folder: said_size(size(folder)) for folder in some} if len(some) > 1 else {}
        sized = "" not in sizes.values() and len({*sizes.values()}) == len(some)
        words |= {folder: f"{name} {sizes[folder]} px" if sized else folder for folder in sizes}
    return {**named, **words}


def said_size(resolution: Any) -> str:
    """`64`, `32x64`; nothing for what is no resolution."""
    with suppress(TypeError, ValueError):
        return size_text(resolution_of(resolution))
    return ""


def _size(artifacts: Iterable[Artifact]) -> Any:
    """Resolution of the images of artifacts of one model: of the first that can be read."""
    for artifact in artifacts:
        with suppress(NcaError, LookupError, TypeError, ValueError):
            return artifact.model_info["space"]["resolution"]
    return None


def told(
    recipes: Mapping[str, Recipe], sources: Mapping[str, str] | None = None,
    steps: Mapping[str, int | None] | None = None,
) -> dict[str, tuple[str, ...]]:  # fmt: skip
    """What tells recipes of one label apart, in words; nothing where that is not all of it.

    `sources` says where the model of each comes from, for weights of different paths, `steps` at
    which step of a training they were saved.
    """
    parts = _steps_that_differ(recipes, steps or {}) or _parts_that_differ(recipes, sources or {})
    fields = _fields_that_differ(recipes)
    words = {
        name: (*([parts[recipe.weights]] if parts else []), *(_WORDS[f](recipe) for f in fields))
        for name, recipe in recipes.items()
    }
    none: dict[str, Any] = dict.fromkeys([*fields, *(["weights"] if parts else [])])
    rest = {replace(recipe, **none).canonical() for recipe in recipes.values()}
    return words if len(rest) == 1 and len(set(words.values())) == len(words) else {}


def differences(
    recipes: Mapping[str, Recipe], sources: Mapping[str, str] | None = None,
    steps: Mapping[str, int | None] | None = None,
) -> dict[str, tuple[str, ...]]:  # fmt: skip
    """How recipes of one label differ, in words, whether or not that tells all of them apart."""
    parts = _steps_that_differ(recipes, steps or {}) or _parts_that_differ(recipes, sources or {})
    fields = _fields_that_differ(recipes)
    mixed = len({recipe.weights for recipe in recipes.values()}) > 1

    def weights(recipe: Recipe) -> list[str]:
        return [parts.get(recipe.weights) or f"weights {digest(recipe.weights)[:6]}"]

    return {
        name: (*(weights(recipe) if mixed else ()), *(_WORDS[field](recipe) for field in fields))
        for name, recipe in recipes.items()
    }


Words = Callable[..., dict[str, tuple[str, ...]]]


def _by_artifact(
    twins: Mapping[tuple[str, ...], Mapping[str, list[Artifact]]], how: Words
) -> dict[tuple[str, str], tuple[str, ...]]:
    """(model, artifact's name) → the words of those that share a label."""
    return {
        (model, name): words
        for (model, _), held in twins.items()
        for name, words in _told_of(held, how).items()
    }


def _told_of(held: Mapping[str, list[Artifact]], how: Words) -> dict[str, tuple[str, ...]]:
    """The words of every artifact's name; none where they do not tell, or cannot be read."""
    read = {name: readable for name, some in held.items() if (readable := _readable(some))}
    found = {name: recipe for name, (recipe, _, _) in read.items()}
    sources = {name: source for name, (_, source, _) in read.items()}
    steps = {name: step for name, (_, _, step) in read.items()}
    words = how(found, sources, steps) if len(found) == len(held) else {}
    return {name: words.get(name, ()) for name in held}


def _readable(artifacts: Iterable[Artifact]) -> tuple[Recipe, str, int | None] | None:
    """Recipe, source of the model and step of its training, of artifacts of one name: of the first
    that can be read."""
    for artifact in artifacts:
        try:
            if (recipe := artifact.recipe) is not None:
                return recipe, source_of(artifact), artifact.step
        except NcaError:
            continue
    return None


def source_of(artifact: Artifact) -> str:
    """Where the model of an artifact comes from, as it was stored; "" where that is unreadable."""
    try:
        return str(artifact.model_info.get("source", ""))
    except NcaError:
        return ""


def _steps_that_differ(
    recipes: Mapping[str, Recipe], steps: Mapping[str, int | None]
) -> dict[str, str]:
    """Weights → `step 800`; nothing where not all are of several steps of a training."""
    known = {recipes[name].weights: step for name, step in steps.items()}
    if len(known) < 2 or None in known.values() or len({*known.values()}) < len(known):
        return {}
    return {weights: f"step {step}" for weights, step in known.items()}


def _parts_that_differ(recipes: Mapping[str, Recipe], sources: Mapping[str, str]) -> dict[str, str]:
    """Weights → what of their path others have not: `runA` of `…/runA/ema.pt`.

    Nothing where they are all the same, or where not every one has a path of its own.
    """
    paths = {recipes[name].weights: source for name, source in sources.items()}
    if len(paths) < 2 or len({*paths.values()}) < len(paths):
        return {}
    parts = {weights: path.split("/") for weights, path in paths.items()}
    while all(parts.values()) and len({some[-1] for some in parts.values()}) == 1:
        parts = {weights: some[:-1] for weights, some in parts.items()}
    for count in range(1, max(map(len, parts.values())) + 1):
        ends = {weights: "/".join(some[-count:]) for weights, some in parts.items()}
        if len({*ends.values()}) == len(ends):
            return ends
    return {}


def _several(
    items: Iterable[tuple[tuple[str, ...], str, Artifact]],
) -> dict[tuple[str, ...], dict[str, list[Artifact]]]:
    """The names that stand for more than one thing, with the artifacts of each."""
    things: dict[tuple[str, ...], dict[str, list[Artifact]]] = {}
    for name, thing, artifact in items:
        things.setdefault(name, {}).setdefault(thing, []).append(artifact)
    return {name: held for name, held in things.items() if len(held) > 1}


def _fields_that_differ(recipes: Mapping[str, Recipe]) -> list[str]:
    """Of those that names say."""
    every = recipes.values()
    return [field for field in _WORDS if len({getattr(recipe, field) for recipe in every}) > 1]


def _quoted(prompt: str | None) -> str:
    """A prompt in one line that fits into a legend."""
    text = " ".join("".join(c if c.isprintable() else " " for c in prompt or "").split())
    text = text if len(text) <= LONGEST else f"{text[: LONGEST - 1].rstrip()}…"
    return f"“{text}”" if text else "no prompt"


_WORDS: dict[str, Callable[[Recipe], str]] = {
    "eta": lambda recipe: f"η={recipe.eta or 0:g}",
    "prompt": lambda recipe: _quoted(recipe.prompt),
    "class_label": lambda recipe: (
        "no label" if recipe.class_label is None else f"label {recipe.class_label}"
    ),
    "guidance": lambda recipe: f"guidance {1 if recipe.guidance is None else recipe.guidance:g}",
    "clip": lambda recipe: "no clip" if recipe.clip is None else f"clip ±{recipe.clip:g}",
    "threshold": lambda recipe: (
        "fixed range" if recipe.threshold is None else f"dynamic thresholding {recipe.threshold:g}"
    ),
    "threshold_max": lambda recipe: f"range up to ±{recipe.threshold_max or 1:g}",
    "clip_epsilon": lambda recipe: f"ε {recipe.clip_epsilon or 'kept'}",
    "spacing": lambda recipe: f"spacing {recipe.spacing or 'even'}",
    "variance": lambda recipe: f"variance {recipe.variance}",
    "dtype": lambda recipe: recipe.dtype,
    "tf32": lambda recipe: "TF32" if recipe.tf32 else "no TF32",
}
"""Fields of a recipe that names say, and how; what else differs, only the digest tells."""
