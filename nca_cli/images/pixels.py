"""Pixels as files have them (uint8) and as models do ([-1, 1]), both ways."""

from __future__ import annotations

import numpy as np

OPPONENT = np.array([[1, 1, 1], [1, 0, -1], [1, -2, 1]]) / np.sqrt([[3], [2], [6]])
"""Colours apart: rows luminance, red-blue, green-magenta of (red, green, blue); orthonormal."""


def to_unit(image: np.ndarray) -> np.ndarray:
    """uint8 (..., H, W, C) → float32 (..., C, H, W); 0 → -1 and 255 → 1 exactly."""
    return np.ascontiguousarray(np.moveaxis(image, -1, -3)).astype(np.float32) / 127.5 - 1


def subsampled(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(H, W, C) at a smaller (width, height): single pixels, evenly apart.

    For whatever holds noise: averages of pixels would make it weaker than the model sees it.
    """
    across, down = (
        ((np.arange(new) + 0.5) * old / new).astype(int)
        for new, old in zip(size, pixels.shape[1::-1], strict=True)
    )
    return pixels[down[:, None], across]


def to_uint8(pixels: np.ndarray) -> np.ndarray:
    """float (..., C, H, W) in [-1, 1] → uint8 (..., H, W, C), clipped and rounded.

    The exact inverse of `to_unit`. Works in float32 for float16 too; NaN becomes black.
    """
    unit = np.nan_to_num(np.asarray(pixels, np.float32), nan=-1.0)
    rounded = np.rint((np.clip(unit, -1, 1) + 1) * 127.5).astype(np.uint8)
    return np.ascontiguousarray(np.moveaxis(rounded, -3, -1))


def to_rgb(pixels: np.ndarray) -> np.ndarray:
    """As `to_uint8`, with three channels `(..., H, W, 3)`: one becomes three, more are left out."""
    rgb = to_uint8(pixels)
    return np.repeat(rgb, 3, axis=-1) if rgb.shape[-1] == 1 else rgb[..., :3]
