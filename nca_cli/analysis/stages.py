"""P2's stages of a schedule: what is being decided at a noise level (Choi et al., 2204.00227)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from nca_cli.schedule import Schedule

COARSE, CLEAN_UP = 1e-2, 1.0
"""SNR below which only coarse structure survives, and above which only detail is missing."""
BOUNDS: dict[str, tuple[float, float]] = {
    "coarse": (-math.inf, math.log(COARSE)),
    "content": (math.log(COARSE), math.log(CLEAN_UP)),
    "clean-up": (math.log(CLEAN_UP), math.inf),
}
"""logSNR from and to, from the noisiest stage to the cleanest."""


@dataclass(frozen=True)
class Stage:
    """A stage as far as a schedule reaches into it."""

    name: str
    levels: int
    """How many of the schedule's levels lie in it; with none, the rest is blank."""
    t_first: int | None
    t_last: int | None
    """Least and largest t, both inside."""
    log_snr_low: float
    log_snr_high: float
    """Of these two levels."""


def stage(snr: float) -> str:
    """`coarse`, `content` or `clean-up`: what is being decided at a level of this SNR."""
    if snr < COARSE:
        return "coarse"
    return "content" if snr <= CLEAN_UP else "clean-up"


def stages(schedule: Schedule) -> tuple[Stage, ...]:
    """The three stages of a schedule, from the noisiest to the cleanest."""
    log_snr = log_snrs(schedule)
    names = np.array([stage(math.exp(min(level, 700))) for level in log_snr])
    return tuple(_stage(name, np.flatnonzero(names == name), log_snr) for name in BOUNDS)


def _stage(name: str, t: np.ndarray, log_snr: np.ndarray) -> Stage:
    if not len(t):
        return Stage(name, 0, None, None, math.nan, math.nan)
    inside = log_snr[t]
    ends = int(t[0]), int(t[-1]), float(inside.min()), float(inside.max())
    return Stage(name, len(t), *ends)


def log_snrs(schedule: Schedule) -> np.ndarray:
    """logSNR of every level; -inf at a level of pure noise."""
    with np.errstate(divide="ignore"):
        return np.log(schedule.alpha_bar) - np.log1p(-schedule.alpha_bar)
