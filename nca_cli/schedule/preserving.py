"""Variance-preserving levels: a = √ᾱ, s = √(1-ᾱ) (Ho et al., 2006.11239)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from nca_cli.errors import UsageError
from nca_cli.recipe import DEFAULT_LEVELS, MOST_NUMBERS, digest
from nca_cli.schedule.level import CLEAN, Level, Schedule

BETA_SCHEDULES = ("linear", "scaled_linear", "squaredcos_cap_v2", "sigmoid", "sigmoid_alpha_bar")
"""Those of diffusers, and nca's own for networks of denoising-diffusion-pytorch."""


@dataclass(frozen=True)
class VariancePreserving(Schedule):
    """A variance-preserving schedule of `steps` discrete levels.

    `beta_schedule`, `beta_start` and `beta_end` mean what they mean in a diffusers scheduler
    config; `trained_betas` replaces them. `final_alpha` says where chains end: "one" (ᾱ = 1) or
    "first" (ᾱ_0, what diffusers calls `set_alpha_to_one=False`). Raises `UsageError` for a
    `beta_schedule` that is none of `BETA_SCHEDULES`.
    """

    kind: ClassVar[str] = "vp"
    schedulers: ClassVar[frozenset[str]] = frozenset(
        f"{name}Scheduler"
        for name in (
            "DDPM", "DDIM", "PNDM", "DDPMParallel", "DDIMParallel", "LMSDiscrete", "EulerDiscrete",
            "EulerAncestralDiscrete", "HeunDiscrete", "KDPM2Discrete", "KDPM2AncestralDiscrete",
            "DEISMultistep", "DPMSolverMultistep", "DPMSolverSinglestep", "UniPCMultistep",
        )
    )  # fmt: skip
    predictions: ClassVar[frozenset[str]] = Schedule.predictions | {"v_prediction"}  # a² + s² = 1
    discrete: ClassVar[bool] = True
    settings: ClassVar[tuple[str, ...]] = ("beta_start", "beta_end")
    ends_at_image: ClassVar[bool] = False

    beta_schedule: str = "linear"
    beta_start: float = 1e-4
    beta_end: float = 0.02
    steps: int = 1000
    trained_betas: tuple[float, ...] | None = None
    zero_terminal_snr: bool = False
    final_alpha: str = "one"

    def __post_init__(self) -> None:
        """Learned betas may come as a list, an array or a tensor."""
        if self.trained_betas is None and self.beta_schedule not in BETA_SCHEDULES:
            hint = f"one of {', '.join(BETA_SCHEDULES)}; or trained_betas"
            raise UsageError(f"unknown noise schedule {self.beta_schedule!r}", hint)
        if self.trained_betas is not None and not isinstance(self.trained_betas, tuple):
            object.__setattr__(self, "trained_betas", tuple(map(float, self.trained_betas)))

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> VariancePreserving:
        """The betas of a diffusers scheduler config."""
        trained = config.get("trained_betas")
        return cls(
            beta_schedule=str(config.get("beta_schedule", "linear")),
            beta_start=float(config.get("beta_start", 1e-4)),
            beta_end=float(config.get("beta_end", 0.02)),
            steps=int(config.get("num_train_timesteps", 1000)),
            trained_betas=None if trained is None else tuple(float(beta) for beta in trained),
            zero_terminal_snr=bool(config.get("rescale_betas_zero_snr", False)),
        )

    def ending(self, final_alpha: str) -> VariancePreserving:
        """The same levels with another clean end: "one" or "first"."""
        return replace(self, final_alpha=final_alpha)

    @cached_property
    def betas(self) -> np.ndarray:
        """β_t, float64 `(steps,)`; where ᾱ is rescaled, those that make it."""
        return super().betas if self.zero_terminal_snr else self._configured_betas

    @property
    def _configured_betas(self) -> np.ndarray:
        if self.trained_betas is not None:
            return np.asarray(self.trained_betas, np.float64)
        if self.beta_schedule == "linear":
            return np.linspace(self.beta_start, self.beta_end, self.steps)
        if self.beta_schedule == "scaled_linear":
            return np.linspace(self.beta_start**0.5, self.beta_end**0.5, self.steps) ** 2
        if self.beta_schedule == "squaredcos_cap_v2":
            return _cosine_betas(self.steps)
        if self.beta_schedule == "sigmoid":
            ramp = _sigmoid(np.linspace(-6, 6, self.steps))
            return ramp * (self.beta_end - self.beta_start) + self.beta_start
        return _sigmoid_alpha_bar_betas(self.steps)

    @cached_property
    def alpha_bar(self) -> np.ndarray:
        """ᾱ_t, the cumulative product of 1-β, float64 `(steps,)`. Raises `UsageError` for more
        steps than any model has, before memory is taken."""
        if self.steps > MOST_NUMBERS:
            raise UsageError(f"{self.steps} levels are more than {MOST_NUMBERS:,}")
        alpha_bar = np.cumprod(1.0 - self._configured_betas)
        return _rescaled_to_zero_terminal_snr(alpha_bar) if self.zero_terminal_snr else alpha_bar

    def level(self, t: int | float) -> Level:
        if t == CLEAN:
            alpha_bar = 1.0 if self.final_alpha == "one" else float(self.alpha_bar[0])
        else:
            alpha_bar = float(self.alpha_bar[self.check(t)])
        return Level(t, alpha_bar**0.5, (1.0 - alpha_bar) ** 0.5)

    def check(self, t: int | float) -> int:
        if t != int(t) or not 0 <= t < self.steps:
            raise UsageError(
                f"t {t} is not a level of this model", f"whole numbers from 0 to {self.steps - 1}"
            )
        return int(t)

    @cached_property
    def _table(self) -> np.ndarray:
        """a and s of every level, float64 `(steps, 2)`."""
        return np.array([self.level(t)[1:] for t in range(self.steps)])

    def scales(self, t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """√ᾱ_t and √(1-ᾱ_t), float64 `(N,)`."""
        rows = self._table[t.astype(np.int64)]
        return rows[:, 0], rows[:, 1]

    def network_time(self, t: np.ndarray) -> np.ndarray:
        """The index of the level."""
        return t.astype(np.int64)

    def _rounded(self, t: float) -> int:
        return int(t + 0.5)

    def midpoint(self, here: Level, there: Level) -> Level:
        """The level halfway in t, rounded down; `there` is no clean end."""
        return self.level((here.t + there.t) // 2)

    def _nearest(self, log_snr: float) -> int:
        return int(np.argmin(np.abs(self.log_snrs - log_snr)))

    @property
    def default_levels(self) -> tuple[int, ...]:
        """100, 200, … 900 of 1000 levels, or the same shares of any other number."""
        shares = (round(t * self.steps / 1000) for t in DEFAULT_LEVELS)
        return tuple(dict.fromkeys(min(t, self.steps - 1) for t in shares))

    def describe(self) -> dict[str, object]:
        if self.trained_betas is not None:
            betas = digest(list(self.trained_betas))
            return {"kind": self.kind, "trained_betas": betas, "steps": self.steps}
        names = ["beta_schedule", "beta_start", "beta_end", "steps"]
        names += ["zero_terminal_snr"] if self.zero_terminal_snr else []
        return {"kind": self.kind, **{name: getattr(self, name) for name in names}}


def _cosine_betas(steps: int, largest: float = 0.999) -> np.ndarray:
    """Nichol & Dhariwal (2102.09672), eq. 17: ᾱ(u) = cos²((u + 0.008)/1.008 · π/2)."""
    edges = np.cos((np.arange(steps + 1) / steps + 0.008) / 1.008 * np.pi / 2) ** 2
    return np.minimum(1.0 - edges[1:] / edges[:-1], largest)


def _sigmoid_alpha_bar_betas(steps: int, largest: float = 0.999) -> np.ndarray:
    """Jabri et al. (2212.11972), appendix B: ᾱ(u) falls as a sigmoid of u from -3 to 3, τ = 1.

    Its ends are rounded to float32, as in denoising-diffusion-pytorch: at the last levels, where ᾱ
    is as small as what they differ by, another rounding would be another SNR.
    """
    first, last = (float(np.float32(_sigmoid(end))) for end in (-3.0, 3.0))
    edges = (last - _sigmoid(6 * np.arange(steps + 1) / steps - 3)) / (last - first)
    return np.clip(1.0 - edges[1:] / edges[:-1], 0.0, largest)


def _sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def _rescaled_to_zero_terminal_snr(alpha_bar: np.ndarray) -> np.ndarray:
    """Lin et al. (2305.08891), algorithm 1: √ᾱ is shifted and scaled to end at pure noise."""
    root = np.sqrt(alpha_bar)
    return ((root - root[-1]) * root[0] / (root[0] - root[-1])) ** 2
