"""Levels by σ itself: the image stays, noise of standard deviation σ is added (Karras et al.,
2206.00364)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np

from nca_cli.errors import UsageError
from nca_cli.recipe import DEFAULT_LEVELS, KARRAS
from nca_cli.schedule.level import Level, Schedule


@dataclass(frozen=True)
class NoiseSigma(Schedule):
    """x = x_0 + σ·ε for x_0 in [-1, 1]: t is σ, any real number from `sigma_min` to `sigma_max`.

    Chains take Karras' levels (`spaced`), as these networks are sampled; there are no even ones.
    """

    kind: ClassVar[str] = "sigma"
    schedulers: ClassVar[frozenset[str]] = frozenset({"SigmaScheduler"})
    prediction: ClassVar[str | None] = "sample"
    settings: ClassVar[tuple[str, ...]] = ("sigma_min", "sigma_max")
    variance: ClassVar[str] = "fixed_large"
    spacings: ClassVar[tuple[str, ...]] = (KARRAS,)

    sigma_min: float = 0.002
    sigma_max: float = 80.0
    steps: int = 1000
    """The most of a chain."""

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> NoiseSigma:
        """The range of a configuration."""
        ends = (float(config.get("sigma_min", 0.002)), float(config.get("sigma_max", 80.0)))
        return cls(*ends, steps=int(config.get("num_train_timesteps", 1000)))

    def check(self, t: int | float) -> float:
        if not self.sigma_min <= t <= self.sigma_max:
            hint = f"its levels are σ, from {self.sigma_min:g} to {self.sigma_max:g}"
            raise UsageError(f"t {t} is not a level of this model", hint)
        return float(t)

    @property
    def ends(self) -> tuple[int | float, int | float]:
        return self.sigma_min, self.sigma_max

    def scales(self, t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """1 and σ, float64 `(N,)`."""
        sigma = t.astype(np.float64)
        return np.ones_like(sigma), sigma

    def chain(self, t: int | float, steps: int) -> list[Level]:
        """Karras' levels from t on."""
        return self.spaced(KARRAS, t, steps)

    def t_of(self, log_snr: float) -> float:
        """σ = exp(-logSNR/2)."""
        return math.exp(-log_snr / 2)

    def _nearest(self, log_snr: float) -> float:
        return min(max(self.t_of(log_snr), self.sigma_min), self.sigma_max)

    @property
    def default_levels(self) -> tuple[float, ...]:
        """Nine σ at the logSNR of DDPM's 100, 200, … 900, to three digits."""
        ddpm = self.kinds[self.default_kind]()
        wanted = (float(f"{self.t_of(ddpm.log_snr(t)):.3g}") for t in DEFAULT_LEVELS)
        return tuple(t for t in wanted if self.holds(t))

    def describe(self) -> dict[str, object]:
        return {"kind": self.kind, **asdict(self)}
