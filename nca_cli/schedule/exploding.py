"""Variance-exploding levels: the image stays, noise is added to it (Song et al., 2011.13456)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np

from nca_cli.errors import UsageError
from nca_cli.schedule.level import Schedule


@dataclass(frozen=True)
class VarianceExploding(Schedule):
    """σ_t = σ_min·(σ_max/σ_min)^(t/(steps-1)), for any real t from 0 to steps-1.

    Whole t are the discrete levels of the scheduler; the networks are trained on all between.

    These models work on pixels u in [0, 1], u_t = u_0 + σ·ε. Here, as everywhere in nca, x = 2u - 1
    in [-1, 1]: x_t = x_0 + 2σ·ε. So a = 1, s = `scale`·σ with `scale` 2, and the SNR a²/s² is that
    of images in [-1, 1], comparable with every other model's. A network of pixels in [-1, 1] has
    `scale` 1. It has no default, for a wrong one moves every logSNR by ln 4 without a sign.
    Raises `UsageError` without it.
    """

    kind: ClassVar[str] = "ve"
    schedulers: ClassVar[frozenset[str]] = frozenset({"ScoreSdeVeScheduler"})
    prediction: ClassVar[str | None] = "score"
    settings: ClassVar[tuple[str, ...]] = ("sigma_min", "sigma_max")
    variance: ClassVar[str] = "fixed_large"  # as diffusers' `step_pred` does

    sigma_min: float = 0.01
    sigma_max: float = 1348.0
    steps: int = 2000
    scale: float = math.nan
    """What σ is multiplied with, in units of [-1, 1]: has to be given."""

    def __post_init__(self) -> None:
        if not self.scale > 0:
            hint = "scale=2 for a network of pixels in [0, 1], scale=1 for one of [-1, 1]"
            raise UsageError("VarianceExploding needs its scale: x = x0 + scale·σ·ε", hint)

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> VarianceExploding:
        """The levels of a `ScoreSdeVeScheduler`'s config; absent keys mean its defaults."""
        return cls(
            sigma_min=float(config.get("sigma_min", 0.01)),
            sigma_max=float(config.get("sigma_max", 1348.0)),
            steps=int(config.get("num_train_timesteps", 2000)),
            scale=2.0,
        )

    @property
    def _rise(self) -> float:
        """ln σ from one whole level to the next."""
        return math.log(self.sigma_max / self.sigma_min) / max(1, self.steps - 1)

    def check(self, t: int | float) -> float:
        if not 0 <= t <= self.steps - 1:
            raise UsageError(
                f"t {t} is not a level of this model",
                f"numbers from 0 (σ {self.sigma_min:g}) to {self.steps - 1} (σ {self.sigma_max:g})",
            )
        return float(t)

    def sigma(self, t: np.ndarray) -> np.ndarray:
        """σ of levels `t (N,)`, in units of pixels in [0, 1]; float64 `(N,)`."""
        return self.sigma_min * np.exp(t * self._rise)

    def scales(self, t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """1 and scale·σ, float64 `(N,)`."""
        sigma = self.sigma(t.astype(np.float64))
        return np.ones_like(sigma), self.scale * sigma

    def network_time(self, t: np.ndarray) -> np.ndarray:
        """σ itself, float32 `(N,)`: what diffusers' ScoreSdeVePipeline gives the network."""
        return self.sigma(t.astype(np.float64)).astype(np.float32)

    def t_of(self, log_snr: float) -> float:
        """s = exp(-logSNR/2)."""
        return (-log_snr / 2 - math.log(self.scale * self.sigma_min)) / self._rise

    def describe(self) -> dict[str, object]:
        return {"kind": self.kind, **asdict(self)}
