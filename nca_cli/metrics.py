"""Measures: how far a reconstruction x̂0 is from its image x0.

A measure takes two float arrays `(C, H, W)` in [-1, 1] and gives one number. x̂0 is clipped to
[-1, 1] first, as it is when drawn: stored one-step reconstructions are not. What is not finite
gives NaN, and so does a picture that a measure cannot be taken of; never a wrong number.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

PEAK = 2.0
"""Peak-to-peak range of pixels in [-1, 1]."""
SSIM_WINDOW = 7
"""Side of SSIM's window in pixels; no smaller picture has an SSIM."""


def mse(x0: np.ndarray, x0_hat: np.ndarray) -> float:
    """Mean squared error on the [-1, 1] scale: four times that of pixels in [0, 1]."""
    difference = _clipped(x0_hat, x0.shape).astype(np.float64) - x0
    return float(np.mean(difference**2))


def psnr(x0: np.ndarray, x0_hat: np.ndarray) -> float:
    """Peak signal-to-noise ratio 10·log10(2²/MSE) in dB; infinite for equal pictures.

    The scale cancels: scikit-image gives the same for pixels in [0, 1] with `data_range=1`.
    """
    error = mse(x0, x0_hat)
    return float("inf") if error == 0 else float(10 * np.log10(PEAK**2 / error))


def ssim(x0: np.ndarray, x0_hat: np.ndarray) -> float:
    """Structural similarity (Wang et al. 2004) of pixels in [0, 1]: mean over windows, channels.

    scikit-image's `structural_similarity` with its defaults: 7×7 uniform windows, K1 = 0.01,
    K2 = 0.03. NaN for pictures below 7 pixels.
    """
    from skimage.metrics import structural_similarity

    a, b = (_unit_pixels(_clipped(x, x0.shape)) for x in (x0, x0_hat))
    if min(a.shape[:2]) < SSIM_WINDOW or not (np.isfinite(a).all() and np.isfinite(b).all()):
        return float("nan")
    return float(structural_similarity(a, b, channel_axis=2, data_range=1))


def _clipped(x: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """`x` within [-1, 1]; an infinite pixel is as broken as NaN, and becomes one."""
    if x.shape != shape:
        raise ValueError(f"pictures of different shapes, {shape} and {x.shape}")
    return np.clip(np.where(np.isinf(x), np.float32(np.nan), x), -1, 1)


def _unit_pixels(x: np.ndarray) -> np.ndarray:
    """`(C, H, W)` in [-1, 1] → `(H, W, C)` in [0, 1]."""
    return np.moveaxis((x + 1) / 2, 0, -1)


@dataclass(frozen=True)
class Measure:
    """A measure and how it is shown. `version` rises when the same pictures give other numbers."""

    function: Callable[[np.ndarray, np.ndarray], float]
    title: str
    what: str
    """In one line, for readers of a table."""
    better: str
    """`higher` or `lower`."""
    digits: int
    """Decimals that are worth printing."""
    unit: str = ""
    bounds: tuple[float, float] = (float("-inf"), float("inf"))
    """What no value lies beyond."""
    version: int = 1


MEASURES: dict[str, Measure] = {
    "psnr": Measure(psnr, "PSNR", "peak signal-to-noise ratio", "higher", 2, "dB"),
    "ssim": Measure(ssim, "SSIM", "structural similarity", "higher", 3, bounds=(-1, 1)),
    "mse": Measure(mse, "MSE", "mean squared error on the [−1, 1] scale", "lower", 5,
                   bounds=(0, PEAK**2)),
}  # fmt: skip
"""Every measure by the name under which it is stored and exported."""


def measure(
    x0: np.ndarray, x0_hat: np.ndarray, names: Iterable[str] = tuple(MEASURES)
) -> dict[str, float]:
    """Name → value for one picture `(C, H, W)` and its reconstruction.

    Raises `ValueError` where the two differ in shape.
    """
    return {name: MEASURES[name].function(x0, x0_hat) for name in names}
