"""A sampler as a user names it, by itself or with settings."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from nca_cli import plugins
from nca_cli.errors import UsageError
from nca_cli.recipe import DEFAULT_STEPS, SPACINGS, Number, Recipe
from nca_cli.samplers import CLIP_EPSILONS, METHODS, method, taking


def name_and_steps(text: str) -> tuple[str, int | None]:
    """`ddim-20` → `ddim` and its 20 steps; a name alone has none."""
    name, _, steps = text.rpartition("-")
    if text not in METHODS and name in METHODS and steps.isdecimal():
        if not METHODS[name].chain:
            raise UsageError(f"{name} takes no steps", f"--sampler {name}")
        return name, int(steps)
    return text, None


def sampler_named(text: str) -> str:
    """The name in `METHODS` of `ddim`, or of `module:name`: the module, which adds it, is imported.
    `ddim-20` stays, with its steps.

    Raises `UsageError` for a module that cannot be imported or does not add it.
    """
    module, colon, name = text.rpartition(":")
    if colon:
        try:
            plugins.load(module)
        except Exception as error:
            what = f"sampler {text} cannot be imported ({plugins.why(error)})"
            raise UsageError(what, plugins.FROM) from error
        if name not in METHODS:
            what = f"{module} adds no sampler {name!r} to METHODS"
            raise UsageError(what, "docs/adding-a-sampler.md has an example")
    return name


def _check(option: str, value: str | None, known: tuple[str, ...]) -> None:
    if value is not None and value not in known:
        raise UsageError(f"{option} {value!r} is unknown", f"one of: {', '.join(known)}")


@dataclass(frozen=True)
class SamplerChoice:
    """A sampler as a user names it; `None` means "what the model's own configuration says"."""

    name: str = "ddim"
    steps: int = DEFAULT_STEPS
    eta: float = 0.0
    clip: bool | None = None
    clip_epsilon: str | None = None
    """`kept` or `recomputed`, in ddim chains that clip."""
    spacing: str | None = None
    """`even` or `karras`: how the levels of a chain fall."""

    def __post_init__(self) -> None:
        method(self.name)
        if self.steps < 1:
            raise UsageError(f"--steps {self.steps} is below 1")
        if not 0.0 <= self.eta <= 1.0:
            raise UsageError(f"--eta {self.eta:g} is outside 0 … 1")
        _check("--clip-epsilon", self.clip_epsilon, CLIP_EPSILONS)
        _check("--spacing", self.spacing, SPACINGS)

    @classmethod
    def default(cls, name: str, levels: int = 1000) -> SamplerChoice:
        """A sampler by name alone, of a model of so many levels.

        In `DEFAULT_STEPS` where there are as many, or in all (`Method.every_level`).
        """
        return cls(name, levels if method(name).every_level else DEFAULT_STEPS).within(levels)

    def within(self, levels: int) -> SamplerChoice:
        """A copy of no more steps than there are levels."""
        return replace(self, steps=min(self.steps, levels))

    def with_options(self, **options: Any) -> SamplerChoice:
        """A copy in which every option that is not `None` replaces the field of that name."""
        return replace(self, **{key: value for key, value in options.items() if value is not None})


def options_of(recipe: Recipe) -> Iterator[str]:
    """The options that ask for it: whatever is not the same for every model under its sampler."""
    if recipe.steps is not None:
        yield from ("--steps", str(recipe.steps))
    if recipe.eta:
        yield from ("--eta", digits(recipe.eta))
    if recipe.clip is not None:  # what is usual, only the scheduler of the model says
        yield "--clip"
    elif recipe.sampler in taking("clip") and recipe.threshold is None:
        yield "--no-clip"
    if recipe.clip_epsilon is not None:
        yield from ("--clip-epsilon", recipe.clip_epsilon)
    if recipe.spacing is not None:
        yield from ("--spacing", recipe.spacing)
    if recipe.class_label is not None:
        yield from ("--label", str(recipe.class_label))
    if recipe.prompt:
        yield from ("--prompt", recipe.prompt)
    if recipe.guidance is not None:
        yield from ("--guidance", digits(recipe.guidance))
    if recipe.dtype != "float32":
        yield from ("--dtype", recipe.dtype)
    if recipe.tf32:
        yield "--tf32"


def digits(number: Number) -> str:
    """Every digit that matters: `100`, `0.123456789`."""
    return repr(number).removesuffix(".0")
