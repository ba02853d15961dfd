"""Pictures of other programs, from image files or NumPy arrays: float32 (C, H, W) in [-1, 1]."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from nca_cli.errors import ImageError
from nca_cli.images import Picture, load_image, resolution_of
from nca_cli.images.readable import next_step

RANGE = 1.001
"""Originals lie within ± this; rounding may take them a little past 1."""
OUTSIDE, OVERSHOOT = 2.0, 4.0
"""Half of the values beyond ± the one are of another range; a few beyond ± the other are noted."""
MOST_SIDE = 16_384
"""Of an array, in pixels."""
_LAYOUT = "save it as float32 (C, H, W) in [-1, 1]"


def read_reconstruction(path: str | Path) -> Picture:
    """A picture at its own size. Raises `ImageError`.

    Arrays may go past ±1, as one-step reconstructions do, far in places where noise is strong;
    integers, 0 … 255 and what lies for the most part beyond ±2 are refused.
    """
    path = Path(path)
    is_array = path.suffix.lower() == ".npy"
    picture = _read_array(path) if is_array else load_image(path, 1)
    across, down = picture.size
    return picture if is_array else load_image(path, resolution_of((down, across)))


def read_original(path: str | Path, shape: tuple[int, int, int], fit: str) -> Picture:
    """An image brought to `shape` (C, H, W), or an array that has it. Raises `ImageError`."""
    path, (channels, *size) = Path(path), shape
    if path.suffix.lower() != ".npy":
        return load_image(path, resolution_of(size), fit, channels)
    picture = _read_array(path)
    pixels = picture.pixels
    if pixels.shape != shape:
        raise ImageError(
            path,
            f"is {_text(pixels.shape)}, its reconstruction {_text(shape)}",
            "arrays are not resized: give an image, or an array of that size",
        )
    if np.abs(pixels).max() > RANGE:
        raise ImageError(path, f"values from {pixels.min():g} to {pixels.max():g}", _LAYOUT)
    return picture


def _read_array(path: Path) -> Picture:
    """float32 (C, H, W), C 1 or 3, finite. Nothing in the file is ever executed."""
    try:
        stored = np.load(path, mmap_mode="r", allow_pickle=False)
    except MemoryError as error:
        raise ImageError(path, "too large for the memory") from error
    except Exception as error:  # NumPy parses a header as Python, which throws anything at damage
        known = isinstance(error, OSError) and error.strerror
        hint = next_step(error) or _LAYOUT
        raise ImageError(path, known or "not a readable .npy file", hint) from error
    if stored.dtype.kind != "f":
        raise ImageError(path, f"{stored.dtype} numbers have no agreed range", _LAYOUT)
    if stored.ndim != 3 or stored.shape[0] not in (1, 3) or 0 in stored.shape:
        raise ImageError(path, f"shape {_text(stored.shape)} is not (C, H, W)", _LAYOUT)
    if max(stored.shape) > MOST_SIDE:
        raise ImageError(path, f"is {_text(stored.shape)}, more than {MOST_SIDE} pixels a side")
    pixels = np.array(stored, np.float32)
    _check_values(path, pixels)
    return Picture(pixels, (pixels.shape[2], pixels.shape[1]), _notes(pixels))


def _check_values(path: Path, pixels: np.ndarray) -> None:
    if not np.isfinite(pixels).all():
        raise ImageError(path, "holds values that are not finite", _LAYOUT)
    other = pixels.min() >= 0 and pixels.max() > 2
    if other or np.median(np.abs(pixels)) > OUTSIDE:
        raise ImageError(path, f"values from {pixels.min():g} to {pixels.max():g}", _LAYOUT)


def _notes(pixels: np.ndarray) -> tuple[str, ...]:
    if pixels.min() >= 0 and pixels.max() <= 1 and np.ptp(pixels) > 0:
        return ("no value is below 0: taken as [-1, 1], not as [0, 1]",)
    if np.abs(pixels).max() > OVERSHOOT:
        return (f"values from {pixels.min():g} to {pixels.max():g}: measures clip them to [-1, 1]",)
    return ()


def _text(shape: tuple[int, ...]) -> str:
    return f"({', '.join(map(str, shape))})"
