"""Flow-matching levels: a straight line from image to noise (Lipman et al., 2210.02747)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from nca_cli.errors import UsageError
from nca_cli.schedule.level import CLEAN, Level, Schedule


@dataclass(frozen=True)
class FlowMatching(Schedule):
    """a = 1-σ, s = σ with t = steps·σ, for any real t above 0 and up to `steps` (pure noise).

    `shift` bends the grid of chains towards noise, σ = shift·u/(1 + (shift-1)·u) for even u (Esser
    et al., 2403.03206, eq. 23). `last` is the u from which a chain from pure noise steps to the
    clean end; `None`: one even step before it. Neither moves a level, so they belong to a recipe
    and not to a space.
    """

    kind: ClassVar[str] = "flow"
    schedulers: ClassVar[frozenset[str]] = frozenset({"FlowMatchEulerDiscreteScheduler"})
    prediction: ClassVar[str | None] = "flow"
    predictions: ClassVar[frozenset[str]] = Schedule.predictions | {"flow"}  # a + s = 1
    settings: ClassVar[tuple[str, ...]] = ("shift",)

    steps: int = 1000
    shift: float = 1.0
    last: float | None = None

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> FlowMatching:
        """The levels of a `FlowMatchEulerDiscreteScheduler`'s config."""
        steps = int(config.get("num_train_timesteps", 1000))
        return cls(steps, float(config.get("shift", 1.0)))

    def shifted(self, shift: float | None, last: float | None = None) -> FlowMatching:
        """The same levels with another shift and last u of chains; `None`: none."""
        return replace(self, shift=1.0 if shift is None else shift, last=last)

    def as_scheduled(self) -> FlowMatching:
        """The same levels with the chains of a `FlowMatchEulerDiscreteScheduler` that is told the
        number of steps alone: u falls evenly from 1 to the σ of t = 1, shifted."""
        return replace(self, last=self._sigma(1 / self.steps))

    def check(self, t: int | float) -> float:
        if not 0 < t <= self.steps:
            raise UsageError(
                f"t {t} is not a level of this model",
                f"numbers above 0, up to {self.steps} (noise)",
            )
        return float(t)

    def scales(self, t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """1-σ and σ, float64 `(N,)`."""
        sigma = t.astype(np.float64) / self.steps
        return 1.0 - sigma, sigma

    def chain(self, t: int | float, steps: int) -> list[Level]:
        """Levels at u, u-h, u-2h, … > 0, h = 1/steps, and then the clean end.

        u is the time before the shift; without one, t falls evenly. From pure noise these are the
        σ that most pipelines ask their scheduler for: shift(1, 1-h, … h), 0. With a `last` u the
        step is h = (1-last)/(steps-1), and no u is below it.
        """
        sigma = self.check(t) / self.steps
        start = sigma / (self.shift - (self.shift - 1) * sigma)
        us = self._even(start, self.check_steps(steps))
        rest = [round(self.steps * self._sigma(u), 6) for u in us]
        return [self.level(value) for value in [t, *rest, CLEAN]]

    def _even(self, start: float, steps: int) -> list[float]:
        """The u of a chain after its start."""
        if self.last is None:
            h = 1 / steps
            count = int(start / h - 1e-4)
        else:
            h = (1 - self.last) / (steps - 1) if steps > 1 else math.inf
            count = int((start - self.last) / h + 1e-4)
        return [start - k * h for k in range(1, count + 1)]

    def _sigma(self, u: float) -> float:
        return self.shift * u / (1 + (self.shift - 1) * u)

    @property
    def ends(self) -> tuple[float, float]:
        """The least t that rounding leaves above 0, and pure noise."""
        return 1e-6, float(self.steps)

    def t_of(self, log_snr: float) -> float:
        """σ = 1/(1 + exp(logSNR/2))."""
        return self.steps / (1 + math.exp(log_snr / 2))

    def describe(self) -> dict[str, object]:
        return {"kind": self.kind, "steps": self.steps}
