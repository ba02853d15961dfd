"""Fidelity: MSE, PSNR, SSIM, multi-scale SSIM, colours and edges."""

from __future__ import annotations

import numpy as np

from nca_cli.metrics.prepared import BLANK, Pixels, Prepared, prepared, usable
from nca_cli.metrics.spectrum import spectrum

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
CELLS = 16
"""The coarse picture has 16×16 cells: no detail finer than 8 cycles per side."""
LUMA = (0.299, 0.587, 0.114)
"""Of red, green and blue (ITU-R BT.601)."""
LEAST_SIDE = 5
"""Of a picture that has edges, in pixels."""
LEAST_SPREAD = 1e-6
"""Standard deviation of gradients below which there are no edges, only rounding."""


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


def colour(x0: Pixels, x0_hat: Pixels) -> float:
    """Mean ΔE00 (CIEDE2000, Sharma, Wu & Dalal 2005) of the coarse pictures; 1 is just visible.

    Pixels are taken as sRGB under D65. They are low-passed as they are stored and not in linear
    light: what a reconstruction blurs, it blurs in these values, and lost detail alone shall
    change no colour. NaN for pictures below 16 pixels or without three channels.
    """
    a, b = prepared(x0, x0_hat)
    if not usable(a, b, CELLS) or a.shape[0] != 3:
        return BLANK
    from skimage.color import deltaE_ciede2000

    return float(np.mean(deltaE_ciede2000(a.once(low_passed_lab), b.once(low_passed_lab))))


def low_passed_lab(picture: Prepared) -> np.ndarray:
    """CIELAB of the lowest 16×16 cosine coefficients, resampled on as many cells `(16, 16, 3)`."""
    from scipy.fft import idctn
    from skimage.color import rgb2lab

    _, height, width = picture.shape
    lowest = picture.once(spectrum)[:, :CELLS, :CELLS] * (CELLS / np.sqrt(height * width))
    cells = idctn(lowest, axes=(1, 2), norm="ortho")
    return np.asarray(rgb2lab(np.clip((np.moveaxis(cells, 0, -1) + 1) / 2, 0, 1)))


def edges(x0: Pixels, x0_hat: Pixels) -> float:
    """Pearson correlation of the two maps of gradient length: 1 the same edges, 0 unrelated ones.

    Sobel gradients of the luma. A fainter picture with the same edges still has 1. Blank where x0
    has no edges, 0 where x̂0 has none; NaN for pictures below 5 pixels.
    """
    a, b = prepared(x0, x0_hat)
    if not usable(a, b, LEAST_SIDE):
        return BLANK
    g, h = (x - x.mean() for x in (a.once(gradient), b.once(gradient)))
    spread_g, spread_h = (float(np.sqrt(np.mean(x * x))) for x in (g, h))
    if spread_g <= LEAST_SPREAD:
        return BLANK
    return float(np.mean(g * h) / (spread_g * spread_h)) if spread_h > LEAST_SPREAD else 0.0


def gradient(picture: Prepared) -> np.ndarray:
    """Length of the Sobel gradient of the luma, float64 `(H-2, W-2)`: per pixel, without borders.

    By slices, in three quarters of the time of SciPy's, which would filter the borders as well.
    """
    x = picture.clipped.astype(np.float64)
    weights = LUMA if x.shape[0] == 3 else (1 / x.shape[0],) * x.shape[0]
    luma = sum(weight * channel for weight, channel in zip(weights, x, strict=True))
    across, down = luma[:, 2:] - luma[:, :-2], luma[2:] - luma[:-2]
    by_x = (across[:-2] + 2 * across[1:-1] + across[2:]) / 8
    by_y = (down[:, :-2] + 2 * down[:, 1:-1] + down[:, 2:]) / 8
    return np.asarray(np.hypot(by_x, by_y))
