"""Colour: how far the coarse picture is off, as eyes tell colours apart."""

from __future__ import annotations

import numpy as np

from nca_cli.metrics.prepared import BLANK, Pixels, Prepared, prepared, usable
from nca_cli.metrics.spectrum import spectrum

CELLS = 16
"""The coarse picture has 16×16 cells: no detail finer than 8 cycles per side."""


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
