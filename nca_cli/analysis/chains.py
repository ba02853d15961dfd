"""What a sampler makes of one mode of Gaussian data, exactly, for any number of steps.

The denoiser of a mode of variance λ is linear, E[x0|x] = g·x with g = aλ/(a²λ + s²). Every step of
a chain is then x ← k·x + σz, and a whole chain x̂0 = K·x_t + √V·z (means are carried along apart).
Clipping is left out: it is not linear, and rarely bites in a mode.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from nca_cli.recipe import IMPORTED, Recipe
from nca_cli.samplers import METHODS, Prediction, drive, start
from nca_cli.schedule import Level, Schedule


@dataclass(frozen=True, eq=False)
class Linear:
    """x̂0 - a_end·μ = gain·(x_t - a·μ) + √variance·z for modes `(modes,)`, from `start` on."""

    start: Level
    gain: np.ndarray
    variance: np.ndarray
    end: float = 1.0
    """Signal scale at the clean end: 1, or √ᾱ_0."""

    def error(
        self, energy: np.ndarray, cross: np.ndarray, mean: np.ndarray, count: np.ndarray
    ) -> np.ndarray:
        """E‖x̂0 - x0‖² over noise, summed over the last axis (modes).

        Per mode: energy c² of x0 - μ, its product with μ, energy of μ, and how many modes there
        are. x̂0 - x0 = (a_end - 1)μ + (aK - 1)c + s·K·ε + √V·z.
        """
        a, s, _ = self.start.a, self.start.s, self.start.t
        shrunk, drift = a * self.gain - 1, self.end - 1
        noise = s**2 * self.gain**2 + self.variance
        fixed = energy @ shrunk**2 + 2 * drift * (cross @ shrunk) + drift**2 * mean.sum(axis=-1)
        return fixed + count @ noise


def wiener_gain(level: Level, spectrum: np.ndarray) -> np.ndarray:
    """E[x0|x]/x = aλ/(a²λ + s²)."""
    return level.a * spectrum / (level.a**2 * spectrum + level.s**2)


def linear(recipe: Recipe, schedule: Schedule, t: int | float, spectrum: np.ndarray) -> Linear:
    """The trajectory of `recipe` from t on Gaussian modes of variance `spectrum (modes,)`.

    Raises `ValueError` for what has no closed form: a variance that a network learns.
    """
    level = schedule.level(t)
    if not METHODS[recipe.sampler].chain:
        return Linear(level, wiener_gain(level, spectrum), np.zeros_like(spectrum))
    schedule = schedule.ending(recipe.final_alpha or "one").shifted(recipe.shift, recipe.last)
    levels = schedule.spaced(recipe.spacing, t, recipe.steps or schedule.steps)
    if METHODS[recipe.sampler].step:
        return Linear(level, *_recursion(recipe, levels, spectrum), levels[-1].a)
    return Linear(level, *_driven(recipe, schedule, t, spectrum), levels[-1].a)


def why_not(recipe: Recipe | None) -> str:
    """Why a recipe has no closed form, or nothing."""
    method = METHODS.get(recipe.sampler) if recipe else None
    if recipe is None or method is None or ("fresh" in method.takes and not method.step):
        return "no closed form for this sampler"
    if recipe.weights == IMPORTED and method.chain:
        return "an imported chain: its settings are not known"
    if (recipe.variance or "").startswith("learned"):
        return "the variance of its steps is learned"
    return "guided by a condition" if recipe.guidance else ""


def _recursion(
    recipe: Recipe, levels: list[Level], spectrum: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """K and V of a Markov chain: K ← kK, V ← k²V + σ²."""
    gain, variance = np.ones_like(spectrum), np.zeros_like(spectrum)
    step = METHODS[recipe.sampler].step
    assert step is not None  # `linear` asks for no other
    for here, there in pairwise(levels):
        k, sigma2 = step(recipe, here, there, wiener_gain(here, spectrum), there is levels[-1])
        gain, variance = k * gain, k**2 * variance + sigma2
    return gain, variance


def _driven(
    recipe: Recipe, schedule: Schedule, t: int | float, spectrum: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """K of a deterministic multi-step sampler: what it makes of x_t = 1."""

    def denoise(x: np.ndarray, level: Level) -> Prediction:
        return Prediction(wiener_gain(level, spectrum) * x)

    unclipped = replace(recipe, clip=None)
    trajectory = start(unclipped, schedule, np.ones_like(spectrum), t)
    return drive(trajectory, denoise)[0], np.zeros_like(spectrum)
