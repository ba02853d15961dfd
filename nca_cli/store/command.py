"""A line for the shell that computes samples whose settings are known: more of them, or again."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from nca_cli.errors import NcaError
from nca_cli.images import image_digest, sample_images, usual_images
from nca_cli.recipe import BUILT_IN, IMPORTED, Number, Recipe
from nca_cli.samplers import taking
from nca_cli.store.layout import NOISE, split_label
from nca_cli.store.store import Store

SIZED = "wiener"
"""The model that has no size of its own."""
IMAGES = "IMAGES"
"""Stands for paths that a store does not know."""
_MANY = 8
_LONG = 3


@dataclass(frozen=True)
class Command:
    """One `nca reconstruct`, `nca noise` or `nca import`."""

    verb: str
    models: tuple[str, ...]
    samplers: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    """Of the recipe."""
    square: tuple[str, ...] = ()
    """Options that say how a picture becomes x0."""
    t: tuple[Number, ...] = ()
    seeds: tuple[int, ...] = ()
    images: tuple[str, ...] = ()

    def line(self, store: Store) -> str:
        """As typed in a shell."""
        words = ["nca", self.verb, *self._images]
        words += [word for model in self.models for word in ("--model", model)]
        words += [word for sampler in self.samplers for word in ("--sampler", sampler)]
        words += [*self.options, *self.square, *self._keys]
        quoted = [word if word == IMAGES else shlex.quote(word) for word in words]
        return " ".join([*quoted, *store.named])

    @property
    def _images(self) -> Sequence[str]:
        """Nothing when they are just those that are taken anyway; many by the placeholder."""
        if self.verb == "import":
            return ()
        if self.images and {*self.images} == {*map(str, _found(usual_images, self.models))}:
            return ()
        return self.images if len(self.images) <= _MANY else (IMAGES,)

    @property
    def _keys(self) -> Iterator[str]:
        if self.verb == "import":  # which pictures belong to which levels, only its maker knows
            yield from ("--csv", "FILE")
            return
        if self.t:
            yield from ("--t", _list(self.t))
        if self.seeds:
            yield from ("--seed", _list(self.seeds))


def settings(made: Recipe | str, model: Mapping[str, Any], image: Mapping[str, Any]) -> Command:
    """The command without levels, seeds and images.

    `made` is a recipe, or as much of one as a label says (`ddim-50`, `noise`); `model` is what
    `model.json` says, `image` the attribute of that name (as far as they are known).
    """
    source = model.get("source") or BUILT_IN
    name = str(model.get("name")) if source in (BUILT_IN, IMPORTED) else str(source)
    fit = str(image.get("fit", "crop"))
    square = () if fit == "crop" else ("--fit", fit)
    if (source if isinstance(made, str) else made.weights) == IMPORTED:
        return Command("import", (name,), square=square)
    space = model.get("space")
    if (source, name) == (BUILT_IN, SIZED) and isinstance(space, dict) and "resolution" in space:
        square = ("--size", str(space["resolution"]), *square)
    if made == NOISE:
        return Command("noise", (name,), square=square)
    sampler, options = _labelled(made) if isinstance(made, str) else (made.sampler, _options(made))
    samplers = (sampler,) if sampler else ()
    return Command("reconstruct", (name,), samplers, tuple(options), square)


def _labelled(label: str) -> tuple[str, tuple[str, ...]]:
    name, steps = split_label(label)
    return name, () if steps is None else ("--steps", str(steps))


def _options(recipe: Recipe) -> Iterator[str]:
    """Whatever is not the same for every model that is asked for this sampler alone."""
    if recipe.steps is not None:
        yield from ("--steps", str(recipe.steps))
    if recipe.eta:
        yield from ("--eta", _number(recipe.eta))
    if recipe.sampler in taking("clip"):  # what is usual, only the scheduler of the model says
        yield "--no-clip" if recipe.clip is None else "--clip"
    if recipe.class_label is not None:
        yield from ("--label", str(recipe.class_label))
    if recipe.prompt:
        yield from ("--prompt", recipe.prompt)
    if recipe.guidance is not None:
        yield from ("--guidance", _number(recipe.guidance))
    if recipe.dtype != "float32":
        yield from ("--dtype", recipe.dtype)
    if recipe.tf32:
        yield "--tf32"


def _number(number: Number) -> str:
    """Every digit that matters: `100`, `0.123456789`."""
    return repr(number).removesuffix(".0")


def _list(numbers: Sequence[Number]) -> str:
    """`100,300`, and as a half-open range where many whole numbers lie at even distances."""
    steps = {after - before for before, after in pairwise(numbers)}
    if len(numbers) > _LONG and len(steps) == 1 and all(isinstance(n, int) for n in numbers):
        step = steps.pop()
        return f"{numbers[0]}:{numbers[-1] + step}" + (f":{step}" if step != 1 else "")
    return ",".join(map(_number, numbers))


class Paths:
    """Where stored images lie, as far as that can be known: here, or among the samples."""

    def __init__(self) -> None:
        self._digests: dict[tuple[Path, str, str], str] = {}

    def find(self, info: Mapping[str, Any]) -> str:
        """A path that leads to the image of an attribute `image`, or the placeholder."""
        paths = [Path(str(info.get("file", ""))), *_samples()]
        same = (path for path in paths if os.path.isfile(path) and self._is(path, info))
        text = str(next(same, IMAGES))
        return f"./{text}" if text.startswith("-") else text

    def _is(self, path: Path, info: Mapping[str, Any]) -> bool:
        key = (path, str(info.get("resolution")), str(info.get("fit", "crop")))
        if not str(path).isprintable():
            return False
        if key not in self._digests:
            self._digests[key] = _found(image_digest, *key) or ""
        return self._digests[key] == info.get("digest")


def _samples() -> list[Path]:
    return [path for kind in ("photos", "portraits") for path in _found(sample_images, kind)]


def _found(look: Any, *arguments: Any) -> Any:
    """What there is, nothing where an installation or a file lacks it."""
    try:
        return look(*arguments)
    except NcaError:
        return ()
