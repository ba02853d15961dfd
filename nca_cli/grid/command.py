"""The command that fills the blanks of a figure, as one line."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

from nca_cli.errors import NcaError
from nca_cli.grid.content import Content, Strip
from nca_cli.grid.table import Missing
from nca_cli.images import image_digest, sample_images
from nca_cli.models.aliases import ALIASES, BUILT_IN
from nca_cli.recipe import Number, Recipe
from nca_cli.store import Filters, ModelFilter, Store

IMPORTED = "imported"
"""Source of a model whose reconstructions came from elsewhere: nca cannot make more of them."""
IMAGES = "IMAGES"
"""Stands for paths that a store does not know."""
_MANY = 8
ONE_STEP = ("one-step",)


@dataclass(frozen=True)
class _Run:
    """One `nca reconstruct` or `nca noise`."""

    verb: str
    models: tuple[str, ...]
    samplers: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    t: tuple[Number, ...] = ()
    seeds: tuple[int, ...] = ()
    images: tuple[str, ...] = ()

    def line(self, store: Store) -> str:
        """As typed in a shell."""
        if self.verb == "import":  # which pictures belong to which levels, only its maker knows
            self = replace(self, images=("--csv", "FILE"), t=(), seeds=())
        words = ["nca", self.verb, *self._paths()]
        words += [word for model in self.models for word in ("--model", model)]
        words += [word for sampler in self.samplers for word in ("--sampler", sampler)]
        words += self.options
        words += ["--t", _list(self.t)] if self.t else []
        words += ["--seed", _list(self.seeds)] if self.seeds else []
        quoted = [word if word == IMAGES else shlex.quote(word) for word in words]
        return " ".join([*quoted, *store.named])

    def _paths(self) -> Sequence[str]:
        return self.images if len(self.images) <= _MANY else (IMAGES,)


def fill_command(content: Content, blanks: Sequence[tuple[Strip, Missing]]) -> str | None:
    """The line that computes everything in `blanks`; `None` when there are none."""
    grouped: dict[tuple, list[tuple[Strip, Missing]]] = {}
    for strip, missing in blanks:
        grouped.setdefault(_settings(content.store, strip, missing), []).append((strip, missing))
    samples = _SamplePaths()
    runs = [
        _Run(
            verb, (model,), (sampler,) if sampler else (), options,
            tuple(sorted({missing.t for _, missing in some})),
            tuple(sorted({missing.seed for _, missing in some})),
            _images(content, [strip for strip, _ in some], samples),
        )
        for (verb, model, sampler, options), some in grouped.items()
    ]  # fmt: skip
    runs = [run for run in runs if not _implied(run, runs)]
    return " && ".join(run.line(content.store) for run in _merged(runs)) or None


def suggestion(store: Store, filters: Filters) -> str:
    """What to run when nothing at all fits the filters."""
    models = tuple(dict.fromkeys(_requested(store, wanted) for wanted in filters.models)) or (
        "demo",
    )
    samplers = [word.rpartition("-") for word in filters.samplers]
    names = tuple(word[0] if word[2].isdigit() else "".join(word) for word in samplers)
    return _Run("reconstruct", models, names, (), tuple(filters.t), tuple(filters.seeds)).line(
        store
    )


def _requested(store: Store, wanted: ModelFilter) -> str:
    stored = next((name for name in store.models() if name.startswith(f"{wanted.name}-")), None)
    return _model(store, wanted.name if stored is None else stored)


def _model(store: Store, folder: str) -> str:
    """What `--model` takes for a stored model, or for the name of one that is not stored."""
    if folder in store.models():
        info = store.model_info(folder)
        return str(info.get("name") if info.get("source") in (None, BUILT_IN) else info["source"])
    sources = (alias.source for alias in ALIASES.values())
    return next((source for source in sources if source.rpartition("/")[2] == folder), folder)


def _settings(
    store: Store, strip: Strip, missing: Missing
) -> tuple[str, str, str, tuple[str, ...]]:
    """Verb, model, sampler and other options that make one sample."""
    model = _model(store, strip.pair.model)
    if strip.pair.stored and store.model_info(strip.pair.model).get("source") == IMPORTED:
        return "import", strip.pair.model.rpartition("-")[0], "", ()
    fit = _image_info(strip).get("fit", "crop")
    options = () if fit == "crop" else ("--fit", str(fit))
    if missing.label == "noise":
        return "noise", model, "", options
    recipe = strip.choice.recipe if strip.choice else None
    latent = strip.pair.stored and _is_latent(store, strip.pair.model)
    if recipe is None:
        name, _, steps = missing.label.rpartition("-")
        if steps.isdigit():
            return "reconstruct", model, name, ("--steps", steps, *options)
        return "reconstruct", model, missing.label, options
    return "reconstruct", model, recipe.sampler, (*_recipe_options(recipe, latent), *options)


def _is_latent(store: Store, model: str) -> bool:
    return bool(store.model_info(model).get("space", {}).get("autoencoder"))


def _recipe_options(recipe: Recipe, latent: bool) -> Iterable[str]:
    """What differs from the usual: chains of pixel models clip x̂0, those of latent ones do not."""
    if recipe.steps is not None:
        yield from ("--steps", str(recipe.steps))
    if recipe.eta:
        yield from ("--eta", f"{recipe.eta:g}")
    if recipe.class_label is not None:
        yield from ("--label", str(recipe.class_label))
    if recipe.prompt:
        yield from ("--prompt", recipe.prompt)
    if recipe.guidance is not None:
        yield from ("--guidance", f"{recipe.guidance:g}")
    if recipe.dtype != "float32":
        yield from ("--dtype", recipe.dtype)
    if recipe.sampler in ("ddim", "ddpm") and (recipe.clip is None) != latent:
        yield "--clip" if latent else "--no-clip"


def _image_info(strip: Strip) -> dict:
    try:
        return next((source.image_info for source in strip.pair.artifacts), {})
    except NcaError:
        return {}


def _implied(run: _Run, runs: Sequence[_Run]) -> bool:
    """Whether a reconstruction in `runs` writes the noise that `run` would make."""
    return run.verb == "noise" and any(
        other.verb == "reconstruct" and other.models == run.models and other.images == run.images
        and {*run.t} <= {*other.t} and {*run.seeds} <= {*other.seeds}
        for other in runs
    )  # fmt: skip


def _merged(runs: list[_Run]) -> list[_Run]:
    """Runs that differ in their models or in their samplers alone, as one.

    One step is one step whatever `--steps` says, so it joins any chain.
    """
    for what in ("models", "samplers"):
        merged: list[_Run] = []
        for run in sorted(runs, key=lambda run: run.samplers == ONE_STEP):
            same = next((each for each in merged if _joins(run, each, what)), None)
            if same is None:
                merged.append(run)
            else:
                models = tuple(dict.fromkeys((*same.models, *run.models)))
                samplers = tuple(dict.fromkeys((*same.samplers, *run.samplers)))
                merged[merged.index(same)] = replace(same, models=models, samplers=samplers)
        runs = merged
    return runs


def _joins(run: _Run, other: _Run, what: str) -> bool:
    if what == "models":
        return replace(run, models=()) == replace(other, models=())
    if run.samplers == ONE_STEP and run.options == _without_steps(other.options):
        run = replace(run, options=other.options)
    return replace(run, samplers=()) == replace(other, samplers=())


def _without_steps(options: Sequence[str]) -> tuple[str, ...]:
    """Without what has no bearing on a single step."""
    words = list(options)
    for name in ("--steps", "--eta"):
        if name in words:
            at = words.index(name)
            del words[at : at + 2]
    return tuple(word for word in words if word not in ("--clip", "--no-clip"))


# -- images --------------------------------------------------------------------------------------


class _SamplePaths:
    """Digest of a stored image → the sample image that it was made from."""

    def __init__(self) -> None:
        self.known: dict[tuple[str, int], dict[str, Path]] = {}

    def find(self, info: dict) -> Path | None:
        key = (str(info.get("fit", "crop")), int(info.get("resolution", 0)))
        if key not in self.known:
            paths = [*_sample_paths("photos"), *_sample_paths("portraits")]
            self.known[key] = {image_digest(path, key[1], key[0]): path for path in paths}
        return self.known[key].get(str(info.get("digest")))


def _sample_paths(kind: str) -> list[Path]:
    try:
        return sample_images(kind)
    except NcaError:
        return []


def _images(content: Content, strips: Sequence[Strip], samples: _SamplePaths) -> tuple[str, ...]:
    """Paths as far as they are known: of samples, as stored, else the placeholder.

    Nothing when they are just those that `nca` takes for the model when no image is named.
    """
    infos = [_image_info(strip) for strip in {strip.pair.image: strip for strip in strips}.values()]
    paths = [samples.find(info) if info else None for info in infos]
    kind = "portraits" if strips[0].pair.model_name.startswith("demo") else "photos"
    if set(paths) == set(_sample_paths(kind)):
        return ()
    named = [
        str(path or info.get("path") or info.get("file") or IMAGES)
        for path, info in zip(paths, infos, strict=True)
    ]
    return tuple(dict.fromkeys(name if name.isprintable() else IMAGES for name in named))


def _list(numbers: Sequence[Number]) -> str:
    """`100,300,600`; a long even row of whole numbers as `0:1000:10`."""
    steps = {b - a for a, b in pairwise(numbers)}
    if len(numbers) > 12 and len(steps) == 1 and all(isinstance(number, int) for number in numbers):
        step = steps.pop()
        return f"{numbers[0]}:{numbers[-1] + 1}:{step}"
    return ",".join(
        f"{number:g}" if isinstance(number, float) else str(number) for number in numbers
    )
