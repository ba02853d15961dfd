"""Seeded noise, and x_t made with it: functions of what they are for, never of order or device."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from nca_cli.schedule.level import Level

NOISE_VERSION = 1


def _normal(
    kind: str, seed: int, image_digest: str, shape: Sequence[int], *ts: float
) -> np.ndarray:
    """Standard normal float32 from a Philox stream that these values alone determine."""
    size = "x".join(map(str, shape))
    text = "|".join(map(str, [kind, NOISE_VERSION, seed, image_digest, size, *ts]))
    bits = int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], "little")
    return np.random.Generator(np.random.Philox(key=bits)).standard_normal(shape, dtype=np.float32)


def seeded_noise(seed: int, image_digest: str, shape: Sequence[int]) -> np.ndarray:
    """ε for one image: float32 `shape`, a function of (seed, image, shape) and nothing else.

    The same on every device, in every batch and shard, for every sampler and every t.
    """
    return _normal("nca-noise", seed, image_digest, shape)


def step_noise(
    seed: int, image_digest: str, shape: Sequence[int], start: float, t: float
) -> np.ndarray:
    """Fresh noise of the stochastic step that arrives at level `t` of a chain begun at `start`.

    Its own key, never the stream of ε: a chain must not see again the noise it removes.
    """
    return _normal("nca-step", seed, image_digest, shape, start, t)


def diffuse(x0: np.ndarray, level: Level, noise: np.ndarray) -> np.ndarray:
    """x_t = a·x0 + s·ε, float32, shapes as `x0`. q(x_t|x0) of Ho et al. (2006.11239), eq. 4."""
    return (np.float32(level.a) * x0 + np.float32(level.s) * noise).astype(np.float32, copy=False)
