"""Fidelity: MSE, PSNR, SSIM and multi-scale SSIM."""

from __future__ import annotations

import numpy as np

from nca_cli.metrics.prepared import BLANK, Pixels, Prepared, prepared, usable

PEAK = 2.0
"""Peak-to-peak range of pixels in [-1, 1]."""
SSIM_WINDOW = 7
"""Side of SSIM's window in pixels; no smaller picture has an SSIM."""
SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Exponents of MS-SSIM, fine to coarse (Wang et al. 2003, section 3.2)."""
MS_WINDOW = 11
"""Side of the Gaussian window of MS-SSIM, whose σ is 1.5 pixels."""
MS_SIDE = MS_WINDOW * 2 ** (len(SCALE_WEIGHTS) - 1)
"""Least side of a picture whose coarsest scale still holds a window: 176."""
C1, C2 = 0.01**2, 0.03**2
"""(K1·L)² and (K2·L)² for pixels in [0, 1]."""


def mse(x0: Pixels, x0_hat: Pixels) -> float:
    """Mean squared error on the [-1, 1] scale: four times that of pixels in [0, 1]."""
    a, b = prepared(x0, x0_hat)
    return float(np.mean((b.clipped.astype(np.float64) - a.clipped) ** 2))


def psnr(x0: Pixels, x0_hat: Pixels) -> float:
    """Peak signal-to-noise ratio 10·log10(2²/MSE) in dB; infinite for equal pictures.

    The scale cancels: scikit-image gives the same for pixels in [0, 1] with `data_range=1`.
    """
    error = mse(x0, x0_hat)
    return float("inf") if error == 0 else float(10 * np.log10(PEAK**2 / error))


def ssim(x0: Pixels, x0_hat: Pixels) -> float:
    """Structural similarity (Wang et al. 2004) of pixels in [0, 1]: mean over windows, channels.

    scikit-image's `structural_similarity` with its defaults: 7×7 uniform windows, K1 = 0.01,
    K2 = 0.03. NaN for pictures below 7 pixels.
    """
    a, b = prepared(x0, x0_hat)
    if not usable(a, b, SSIM_WINDOW):
        return BLANK
    from skimage.metrics import structural_similarity

    return float(structural_similarity(a.unit, b.unit, channel_axis=2, data_range=1))


def ms_ssim(x0: Pixels, x0_hat: Pixels) -> float:
    """Multi-scale SSIM (Wang, Simoncelli, Bovik 2003, eq. 7): five scales, mean over channels.

    Π_j mean(cs_j)^w_j · mean(l·cs)^w_5 with an 11×11 Gaussian window, scales halved by 2×2 means;
    a negative mean counts as 0. NaN for pictures below 176 pixels.
    """
    a, b = prepared(x0, x0_hat)
    if not usable(a, b, MS_SIDE):
        return BLANK
    *finer, coarsest = (
        _similarity(*both) for both in zip(a.once(scales), b.once(scales), strict=True)
    )
    means = np.array([cs for cs, _ in finer] + [coarsest[1]])
    powers = np.maximum(means, 0) ** np.array(SCALE_WEIGHTS)[:, None]
    return float(powers.prod(axis=0).mean())


def scales(picture: Prepared) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Pixels, local means and local mean squares of a picture at each scale, fine to coarse."""
    x, found = np.moveaxis(picture.unit, -1, 0).astype(np.float64), []
    for _ in SCALE_WEIGHTS:
        found.append((x, _local_mean(x), _local_mean(x * x)))
        x = _halved(x)
    return found


def _similarity(
    a: tuple[np.ndarray, np.ndarray, np.ndarray], b: tuple[np.ndarray, np.ndarray, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Means over the windows, `(C,)` each: of contrast·structure, and of luminance times that."""
    (x, mean_x, square_x), (y, mean_y, square_y) = a, b
    covariance = _local_mean(x * y) - mean_x * mean_y
    variances = square_x - mean_x**2 + square_y - mean_y**2
    cs = (2 * covariance + C2) / (variances + C2)
    luminance = (2 * mean_x * mean_y + C1) / (mean_x**2 + mean_y**2 + C1)
    return cs.mean(axis=(1, 2)), (luminance * cs).mean(axis=(1, 2))


def _local_mean(x: np.ndarray) -> np.ndarray:
    """Under the Gaussian window, `(C, H, W)` → `(C, H-10, W-10)`: whole windows alone."""
    from scipy.ndimage import correlate1d

    offsets = np.arange(MS_WINDOW) - MS_WINDOW // 2
    kernel = np.exp(-(offsets**2) / (2 * 1.5**2))
    kernel, cut = kernel / kernel.sum(), slice(MS_WINDOW // 2, -(MS_WINDOW // 2))
    rows = correlate1d(x, kernel, axis=1)[:, cut]
    return np.asarray(correlate1d(rows, kernel, axis=2)[:, :, cut])


def _halved(x: np.ndarray) -> np.ndarray:
    """Means of 2×2 pixels; an odd last row or column is left out."""
    x = x[:, : x.shape[1] // 2 * 2, : x.shape[2] // 2 * 2]
    return (x[:, ::2, ::2] + x[:, 1::2, ::2] + x[:, ::2, 1::2] + x[:, 1::2, 1::2]) / 4
