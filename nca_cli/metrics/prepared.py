"""A picture as metrics see it; what several of them need of it is worked out once."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cached_property
from typing import Any, TypeVar

import numpy as np

Made = TypeVar("Made")

BLANK = math.nan
"""The value of a metric that cannot be taken: an honest blank, never a wrong number."""


class Prepared:
    """`x` `(C, H, W)` clipped to [-1, 1], as it is when drawn.

    An infinite pixel is as broken as one that is NaN, and becomes one.
    """

    def __init__(self, x: np.ndarray):
        self.x = np.asarray(x)
        self.shape: tuple[int, ...] = self.x.shape
        self._made: dict[Callable, Any] = {}

    @cached_property
    def clipped(self) -> np.ndarray:
        """`(C, H, W)` in [-1, 1]."""
        return np.clip(np.where(np.isinf(self.x), np.float32(np.nan), self.x), -1, 1)

    @cached_property
    def finite(self) -> bool:
        """Whether every pixel is a number."""
        return bool(np.isfinite(self.x).all())

    @cached_property
    def unit(self) -> np.ndarray:
        """`(H, W, C)` in [0, 1]."""
        return np.moveaxis((self.clipped + 1) / 2, 0, -1)

    def once(self, work: Callable[[Prepared], Made]) -> Made:
        """What `work` makes of this picture; worked out the first time that it is asked for."""
        if work not in self._made:
            self._made[work] = work(self)
        made: Made = self._made[work]
        return made


Pixels = np.ndarray | Prepared
"""What a metric takes: an array `(C, H, W)` in [-1, 1], or a `Prepared` of one."""


def prepared(x0: Pixels, x0_hat: Pixels) -> tuple[Prepared, Prepared]:
    """Both as pictures. Raises `ValueError` where they differ in shape."""
    a, b = (x if isinstance(x, Prepared) else Prepared(x) for x in (x0, x0_hat))
    if a.shape != b.shape:
        raise ValueError(f"pictures of different shapes, {a.shape} and {b.shape}")
    return a, b


def usable(a: Prepared, b: Prepared, least_side: int = 1) -> bool:
    """Whether a metric that needs so many pixels a side can be taken of both."""
    return min(a.shape[-2:]) >= least_side and a.finite and b.finite
