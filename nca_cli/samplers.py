"""How x̂0 is drawn from x_t. Each sampler reads like its paper, for one trajectory.

A sampler is a generator that asks for denoisings: it yields `(x, level)`, is sent a
`Prediction`, and returns x̂0. Multi-step state lives in its local variables. Since only numbers
that the levels determine stand between arrays, the engine learns them by running a sampler once on
symbols (`engine/programme.py`), and advances any number of trajectories together.

`x` is an array of any shape (NumPy or torch; only arithmetic and `clip` are used), `levels` a
chain of `Level` from the start to the clean end (`Schedule.chain`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

from nca_cli.clipping import Clip, clip_of, clipped
from nca_cli.errors import UsageError, one_of
from nca_cli.recipe import Recipe

if TYPE_CHECKING:  # the command line reads `METHODS` at its start, without NumPy
    from nca_cli.schedule import Level, Schedule

Array = Any
FreshNoise = Callable[["Level"], Array]
"""Standard normal noise, shaped like x, for the step that arrives at a level."""


def no_noise(there: Level) -> Array:
    """The default of samplers that need none while they are deterministic."""
    raise TypeError("a stochastic sampler needs a source of fresh noise")


KEPT, RECOMPUTED = CLIP_EPSILONS = ("kept", "recomputed")
"""What a clipped ddim step takes ε from: the x̂0 that was not clipped, or the one that was."""


class Prediction(NamedTuple):
    """A denoiser's answer: x̂0 = E[x0|x_t], and the learned variance signal where there is one.

    `variance` is the network's raw output v in [-1, 1] of Nichol & Dhariwal (2102.09672), eq. 15.
    """

    x0: Array
    variance: Array | None = None


Moments = tuple[Array, float]
"""k and σ² of a step that is x ← k·x + σz."""
Sampler = Generator[tuple[Array, "Level"], Prediction, Array]


def noise_in(x: Array, x0: Array, level: Level) -> Array:
    """ε̂ = (x - a·x̂0)/s: the noise that x would hold if x̂0 were its image."""
    return (x - level.a * x0) / level.s


def move(x: Array, noise: Array, here: Level, there: Level) -> Array:
    """Along the deterministic path: x̂0 = (x - s·ε)/a, mixed again at the next level.

    DDIM (2010.02502), eq. 12 with σ = 0; the transfer φ of PNDM (2202.09778), eq. 11.
    """
    return there.a / here.a * (x - here.s * noise) + there.s * noise


def one_step(x: Array, levels: Sequence[Level]) -> Sampler:
    """The posterior mean E[x0|x_t]: one evaluation, unclipped."""
    prediction = yield x, levels[0]
    return prediction.x0


def ddim(
    x: Array, levels: Sequence[Level], *, eta: float = 0.0, clip: Clip = None,
    clip_epsilon: str = KEPT, fresh: FreshNoise = no_noise,
) -> Sampler:  # fmt: skip
    """DDIM (Song et al., 2010.02502), eq. 12 and 16. η = 0 is deterministic, η = 1 is ancestral.

    Clipping holds x̂0. ε is that of the unclipped x̂0 (`kept`, diffusers' rule), or taken anew from
    the clipped one (`recomputed`, guided-diffusion's).
    """
    for here, there in pairwise(levels):
        prediction = yield x, here
        x0 = clipped(prediction.x0, clip)
        noise = noise_in(x, x0 if clip_epsilon == RECOMPUTED else prediction.x0, here)
        sigma = eta * math.sqrt(posterior_variance(here, there))
        x = there.a * x0 + math.sqrt(there.s**2 - sigma**2) * noise
        if sigma > 0:
            x = x + sigma * fresh(there)
    return x


def ddim_step(recipe: Recipe, here: Level, there: Level, g: Array, last: bool) -> Moments:
    """DDIM's step, eq. 12 and 16, where x̂0 = g·x."""
    sigma2 = (recipe.eta or 0.0) ** 2 * posterior_variance(here, there)
    noise = (1 - here.a * g) / here.s
    return there.a * g + math.sqrt(there.s**2 - sigma2) * noise, sigma2


def ddpm(
    x: Array, levels: Sequence[Level], *, clip: Clip = None,
    variance: str = "fixed_small", fresh: FreshNoise = no_noise,
) -> Sampler:  # fmt: skip
    """DDPM's ancestral steps (Ho et al., 2006.11239), eq. 6-7, between any two levels.

    The last step, to the clean end, adds no noise.
    """
    for here, there in pairwise(levels):
        prediction = yield x, here
        x0, ratio = clipped(prediction.x0, clip), here.a / there.a
        forward = forward_variance(here, there)
        mean = (there.a * forward * x0 + ratio * there.s**2 * x) / here.s**2
        if there is levels[-1]:
            return mean
        x = mean + _ddpm_sigma(variance, here, there, prediction.variance) * fresh(there)
    return x


def ddpm_step(recipe: Recipe, here: Level, there: Level, g: Array, last: bool) -> Moments:
    """DDPM's step, eq. 6-7, where x̂0 = g·x and the network learns no variance."""
    forward, posterior = forward_variance(here, there), posterior_variance(here, there)
    k = (there.a * forward * g + here.a / there.a * there.s**2) / here.s**2
    large = (recipe.variance or "").startswith("fixed_large")
    return k, 0.0 if last else forward if large else posterior


def forward_variance(here: Level, there: Level) -> float:
    """Variance of q(x_here|x_there): s² - (a/a')²·s'²; β_t between neighbouring DDPM levels."""
    return here.s**2 - (here.a / there.a * there.s) ** 2


def posterior_variance(here: Level, there: Level) -> float:
    """Variance of q(x_there|x_here, x0): β̃_t of DDPM, eq. 7."""
    return there.s**2 * forward_variance(here, there) / here.s**2


def _ddpm_sigma(kind: str, here: Level, there: Level, learned: Array | None) -> Array:
    """Standard deviation of an ancestral step: β̃, β, or between them as the network says."""
    small, large = posterior_variance(here, there), forward_variance(here, there)
    if kind.startswith("fixed_small"):
        return math.sqrt(small)
    if kind.startswith("fixed_large"):
        return math.sqrt(large)
    # learned_range: an interpolation in the log domain, Nichol & Dhariwal (2102.09672), eq. 15
    assert learned is not None  # a model whose network gives none is refused when it is loaded
    share = (learned + 1) / 2
    low, high = math.log(max(small, 1e-20)), math.log(large)
    return math.e ** ((share * high + (1 - share) * low) / 2)


def pndm(
    x: Array, levels: Sequence[Level], *, midpoint: Callable[[Level, Level], Level]
) -> Sampler:
    """PNDM (Liu et al., 2202.09778), algorithm 2: Runge-Kutta warm-up, then linear multi-step.

    A chain of fewer than four levels stays with Runge-Kutta throughout; its last step, to the
    clean end where no network can be asked, is the plain transfer.
    """
    slopes: list[Array] = []
    warm_up = min(3, len(levels) - 2)
    for here, there in pairwise(levels[: warm_up + 1]):
        half = midpoint(here, there)
        first = noise_in(x, (yield x, here).x0, here)
        trial = move(x, first, here, half)
        second = noise_in(trial, (yield trial, half).x0, half)
        trial = move(x, second, here, half)
        third = noise_in(trial, (yield trial, half).x0, half)
        trial = move(x, third, here, there)
        fourth = noise_in(trial, (yield trial, there).x0, there)
        slopes.append(first)
        x = move(x, (first + 2 * second + 2 * third + fourth) / 6, here, there)
    if warm_up < 3:
        slopes.clear()
    return (yield from _multistep(x, levels[warm_up:], slopes))


def plms(x: Array, levels: Sequence[Level]) -> Sampler:
    """Pseudo linear multi-step without Runge-Kutta: the warm-up of latent diffusion (2112.10752).

    The first step is taken twice, the second time with the mean slope of its two ends.
    """
    here, there = levels[0], levels[1]
    slope = noise_in(x, (yield x, here).x0, here)
    trial = move(x, slope, here, there)
    if len(levels) == 2:
        return trial
    end = noise_in(trial, (yield trial, there).x0, there)
    x = move(x, (slope + end) / 2, here, there)
    return (yield from _multistep(x, levels[1:], [slope]))


ADAMS_BASHFORTH = {
    1: (1.0,), 2: (3 / 2, -1 / 2), 3: (23 / 12, -16 / 12, 5 / 12),
    4: (55 / 24, -59 / 24, 37 / 24, -9 / 24),
}  # fmt: skip
"""Weights of the newest slope first; PNDM, eq. 12, and its lower orders."""


def _multistep(x: Array, levels: Sequence[Level], slopes: list[Array]) -> Sampler:
    """Linear multi-step transfers along `levels`; `slopes` are the ε̂ of earlier levels."""
    for here, there in pairwise(levels):
        slopes = [*slopes[-3:], noise_in(x, (yield x, here).x0, here)]
        weights = ADAMS_BASHFORTH[len(slopes)]
        slope = sum(weight * past for weight, past in zip(weights, reversed(slopes), strict=True))
        x = move(x, slope, here, there)
    return x


def heun(x: Array, levels: Sequence[Level]) -> Sampler:
    """Heun's method (Karras et al., 2206.00364), algorithm 1, in any a and s: of second order.

    With σ = s/a and x/a for x, dx/dσ = ε̂: an Euler step is `move`, and is repeated with the mean
    slope of its two ends. The step to the clean end, where no network can be asked, is Euler's.
    """
    for here, there in pairwise(levels):
        slope = noise_in(x, (yield x, here).x0, here)
        trial = move(x, slope, here, there)
        if there is levels[-1]:
            return trial
        end = noise_in(trial, (yield trial, there).x0, there)
        x = move(x, (slope + end) / 2, here, there)
    return x


def dpmpp_2m(x: Array, levels: Sequence[Level]) -> Sampler:
    """DPM-Solver++(2M) (Lu et al., 2211.01095), algorithm 2: second order, one evaluation a step.

    λ = ln(a/s), h = λ' - λ, r = h_before/h; the step with D for x̂0 is exact where x̂0 is constant.
    The first step, for which there is no x̂0 before, and the step to the clean end (h = ∞) take x̂0.
    """
    before, h_before = None, 0.0
    for here, there in pairwise(levels):
        x0 = (yield x, here).x0
        h = math.inf if there.s == 0 else _half_log_snr(there) - _half_log_snr(here)
        slope = x0
        if before is not None and there is not levels[-1]:
            slope = x0 + h / (2 * h_before) * (x0 - before)
        x = there.s / here.s * x + (there.a - here.a * there.s / here.s) * slope
        before, h_before = x0, h
    return x


def _half_log_snr(level: Level) -> float:
    return math.log(level.a / level.s)  # λ


@dataclass(frozen=True)
class Method:
    """A sampler and what is to be known of it besides its paper: an entry of `METHODS`."""

    function: Callable[..., Sampler]
    """Of x, the levels and the settings that it `takes`."""
    takes: tuple[str, ...] = ()
    """Of the recipe `eta`, `clip`, `clip_epsilon`, `variance`; of the schedule its `midpoint`; and
    `fresh` noise."""
    chain: bool = True
    """Whether it goes down to the clean end, in steps; else it is asked at one level alone."""
    every_level: bool = False
    """Whether it usually takes each level that the model has."""
    any_spacing: bool = False
    """Whether its levels may lie at any distances."""
    from_pure_noise: bool = False
    """Whether it never divides by a, so that it may begin where no signal is left."""
    ends_at_image: bool = False
    """Whether its last step ends at x̂0 itself, whatever the model's scheduler says."""
    ends_as_ddim: bool = False
    """Whether it ends at ᾱ = 1 unless the scheduler's `set_alpha_to_one` is false, as ddim does."""
    version: int = 1
    """Rises when the same chain gives other numbers: it is part of the recipe."""
    step: Callable[[Recipe, Level, Level, Array, bool], Moments] | None = None
    """Closed form of a step for a linear denoiser; what draws no fresh noise needs none."""


METHODS: dict[str, Method] = {
    "one-step": Method(one_step, chain=False, from_pure_noise=True),
    "ddim": Method(ddim, ("eta", "clip", "clip_epsilon", "fresh"), any_spacing=True,
                   from_pure_noise=True, ends_as_ddim=True, step=ddim_step),
    "ddpm": Method(ddpm, ("clip", "variance", "fresh"), every_level=True, any_spacing=True,
                   from_pure_noise=True, ends_at_image=True, step=ddpm_step),
    "pndm": Method(pndm, ("midpoint",)),
    "plms": Method(plms),
    "heun": Method(heun, any_spacing=True, ends_at_image=True),
    "dpmpp-2m": Method(dpmpp_2m, any_spacing=True, ends_at_image=True),
}  # fmt: skip
"""Every sampler by the name under which it is asked for and stored; anyone may add to it."""


def method(name: str) -> Method:
    """The sampler of that name. Raises `UsageError` where there is none."""
    if name not in METHODS:
        stem = name.lower().rstrip("0123456789")  # of `ddim50`: its steps have a hyphen before them
        chain, steps = stem.rstrip("-_"), name[len(stem) :]
        meant = steps and chain in METHODS and METHODS[chain].chain
        known = [f"{chain}-{steps}"] if meant else [*METHODS, "module:name"]
        raise UsageError(f"unknown sampler {name!r}", one_of(name, known))
    return METHODS[name]


def taking(setting: str) -> list[str]:
    """The samplers that take a setting, such as `clip`."""
    return [name for name, each in METHODS.items() if setting in each.takes]


def start(
    recipe: Recipe, schedule: Schedule, x: Array, t: int | float, fresh: FreshNoise = no_noise
) -> Sampler:
    """The trajectory that `recipe` describes, from x_t at exactly the level t.

    `fresh` gives the new noise of stochastic steps; deterministic samplers never call it. Raises
    `UsageError` for an unknown sampler, and for one that cannot begin at this t.
    """
    chosen = method(recipe.sampler)
    if not chosen.chain:
        return chosen.function(x, [schedule.level(t)])
    assert recipe.steps is not None  # every chain has them
    schedule = schedule.ending(recipe.final_alpha or "one").shifted(recipe.shift, recipe.last)
    levels = schedule.spaced(recipe.spacing, t, recipe.steps)
    if levels[0].a == 0 and not chosen.from_pure_noise:
        able = [name for name, each in METHODS.items() if each.chain and each.from_pure_noise]
        raise UsageError(f"{recipe.sampler} cannot begin at pure noise (t {t})",
                         f"take {' or '.join(able)}")  # fmt: skip
    settings = {
        "eta": recipe.eta or 0.0, "clip": clip_of(recipe), "fresh": fresh,
        "clip_epsilon": recipe.clip_epsilon or KEPT,
        "variance": recipe.variance or "fixed_small", "midpoint": schedule.midpoint,
    }  # fmt: skip
    return chosen.function(x, levels, **{name: settings[name] for name in chosen.takes})


def evaluations(recipe: Recipe, schedule: Schedule, t: int | float) -> int:
    """How many network evaluations the trajectory from t takes (by running it on a number)."""
    import numpy as np

    zero = np.float64(0.0)
    trajectory = start(recipe, schedule, zero, t, fresh=lambda level: zero)
    return drive(trajectory, lambda x, level: Prediction(zero, zero))[1]


def drive(trajectory: Sampler, denoise: Callable[[Array, Level], Prediction]) -> tuple[Array, int]:
    """Run one trajectory alone: x̂0 and the number of evaluations. The engine runs many at once."""
    count, request = 0, next(trajectory)
    while True:
        count += 1
        try:
            request = trajectory.send(denoise(*request))
        except StopIteration as finished:
            return finished.value, count
