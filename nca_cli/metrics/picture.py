"""A picture as measures see it, and what several of them need of it, worked out once."""

from __future__ import annotations

import math
from functools import cached_property

import numpy as np

BLANK = math.nan
"""The value of a measure that cannot be taken: an honest blank, never a wrong number."""


class Picture:
    """`x` `(C, H, W)` clipped to [-1, 1], as it is when drawn.

    An infinite pixel is as broken as one that is NaN, and becomes one.
    """

    def __init__(self, x: np.ndarray):
        self.x = np.asarray(x)
        self.shape: tuple[int, ...] = self.x.shape

    @cached_property
    def clipped(self) -> np.ndarray:
        """`(C, H, W)` in [-1, 1]."""
        return np.clip(np.where(np.isinf(self.x), np.float32(np.nan), self.x), -1, 1)

    @cached_property
    def finite(self) -> bool:
        """Whether every pixel is a number."""
        return bool(np.isfinite(self.x).all())

    @property
    def side(self) -> int:
        """The shorter side, in pixels."""
        return min(self.shape[-2:])

    @cached_property
    def unit(self) -> np.ndarray:
        """`(H, W, C)` in [0, 1]."""
        return np.moveaxis((self.clipped + 1) / 2, 0, -1)

    @cached_property
    def spectrum(self) -> np.ndarray:
        """Orthonormal 2-D cosine transform (DCT-II), float64 `(C, H, W)`."""
        from scipy.fft import dctn

        return np.asarray(dctn(self.clipped.astype(np.float64), axes=(-2, -1), norm="ortho"))

    @cached_property
    def energies(self) -> np.ndarray:
        """Energy in each octave band but for the means, coarse to fine; see `spectrum`."""
        from nca_cli.metrics.spectrum import about_mean

        return about_mean(self.spectrum**2)

    @cached_property
    def gradient(self) -> np.ndarray:
        """Length of the Sobel gradient of the luma, float64 `(H-2, W-2)`, borders left out."""
        from nca_cli.metrics.gradients import gradient

        return gradient(self.clipped)

    @cached_property
    def low_passed(self) -> np.ndarray:
        """CIELAB of the coarse picture, float64 `(16, 16, 3)`."""
        from nca_cli.metrics.colours import low_passed_lab

        return low_passed_lab(self)

    @cached_property
    def scales(self) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """For each scale of MS-SSIM: pixels in [0, 1] `(C, H, W)`, their local mean and square."""
        from nca_cli.metrics.fidelity import scales

        return scales(self)


Pixels = np.ndarray | Picture
"""What a measure takes: an array `(C, H, W)` in [-1, 1], or a `Picture` of one."""


def pictures(x0: Pixels, x0_hat: Pixels) -> tuple[Picture, Picture]:
    """Both as pictures. Raises `ValueError` where they differ in shape."""
    a, b = (x if isinstance(x, Picture) else Picture(x) for x in (x0, x0_hat))
    if a.shape != b.shape:
        raise ValueError(f"pictures of different shapes, {a.shape} and {b.shape}")
    return a, b


def usable(a: Picture, b: Picture, least_side: int = 1) -> bool:
    """Whether a measure that needs so many pixels a side can be taken of both."""
    return a.side >= least_side and a.finite and b.finite
