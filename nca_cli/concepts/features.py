"""What a probe sees: coarse colours, and how strongly small patterns answer in each region.

One layer of learned filters, as in Coates, Lee & Ng (2011): patches are whitened, filters are the
centres of spherical k-means, both signs of an answer are thresholded and pooled. NumPy only.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

SIDE = 64
"""Pictures are brought to this side."""
PATCH, STRIDE, REGIONS, COARSE = 6, 2, 8, 16
AT_ONCE = 64
WHITENING = 0.01
"""Added to the variances, so that what hardly varies is not blown up into noise."""
PATCHES_PER_PICTURE, MOST_PATCHES, ROUNDS = 64, 40_000, 6


@dataclass(frozen=True)
class FilterBank:
    """K patterns of `PATCH`×`PATCH` pixels: weights (3·P², K), bias (K,), and a threshold."""

    weights: np.ndarray
    bias: np.ndarray
    threshold: float

    def features(self, pictures: np.ndarray) -> np.ndarray:
        """(N, 3, 64, 64) in [-1, 1] → (N, F) float32. What is not finite stays so."""
        starts = range(0, max(1, len(pictures)), AT_ONCE)
        return np.concatenate([self._of(pictures[start : start + AT_ONCE]) for start in starts])

    def _of(self, x: np.ndarray) -> np.ndarray:
        answer = patches(x, STRIDE) @ self.weights + self.bias
        both = np.concatenate([answer, -answer], -1) - self.threshold
        edges = np.linspace(0, both.shape[1], REGIONS + 1).astype(int)[:-1]
        pooled = np.add.reduceat(np.add.reduceat(np.maximum(both, 0), edges, 1), edges, 2)
        size = SIDE // COARSE
        coarse = x.reshape(len(x), 3, COARSE, size, COARSE, size).mean((3, 5))
        return np.concatenate([pooled.reshape(len(x), -1) / PATCH, coarse.reshape(len(x), -1)], 1)


def fit_filters(pictures: np.ndarray, count: int, seed: int = 0) -> FilterBank:
    """FilterBank from the patches of (N, 3, 64, 64); the same for the same pictures and seed."""
    random = np.random.default_rng(seed)
    found = patches(pictures[: MOST_PATCHES // PATCHES_PER_PICTURE], 3)
    found = found.reshape(-1, found.shape[-1])
    found = found[random.permutation(len(found))[:MOST_PATCHES]]
    mean, whiten = found.mean(0), _whitening(found)
    white = (found - mean) @ whiten
    points = white / (np.linalg.norm(white, axis=1, keepdims=True) + 1)
    weights = whiten @ _centres(points, count, random)
    bias = -mean @ weights
    return FilterBank(weights, bias, float(np.abs(found[:2000] @ weights + bias).mean() / 2))


def _whitening(patches: np.ndarray) -> np.ndarray:
    values, vectors = np.linalg.eigh(np.cov(patches.T))
    return (vectors / np.sqrt(values + WHITENING) @ vectors.T).astype(np.float32)


def _centres(points: np.ndarray, count: int, random: np.random.Generator) -> np.ndarray:
    """Spherical k-means that takes a pattern and its negative for one: (D, count), unit columns."""
    centres = points[random.permutation(len(points))[:count]]
    centres = np.resize(centres, (count, points.shape[1]))
    for _ in range(ROUNDS):
        answers = points @ centres.T
        nearest = np.abs(answers).argmax(1)
        signed = points * np.sign(answers[np.arange(len(points)), nearest])[:, None]
        for k in range(count):
            centres[k] += signed[nearest == k].sum(0)
        centres /= np.linalg.norm(centres, axis=1, keepdims=True) + 1e-6
    return centres.T


def patches(x: np.ndarray, stride: int) -> np.ndarray:
    """(N, 3, H, W) → (N, rows, columns, 3·P²)."""
    views = np.lib.stride_tricks.sliding_window_view(x, (PATCH, PATCH), (2, 3))
    views = views[:, :, ::stride, ::stride].transpose(0, 2, 3, 1, 4, 5)
    return views.reshape(*views.shape[:3], -1)


def as_seen(pictures: np.ndarray) -> np.ndarray:
    """(N, C, H, W) of any size → float32 (N, 3, 64, 64), clipped to [-1, 1] as when drawn."""
    x = np.asarray(pictures, np.float32)
    if x.ndim != 4 or x.shape[1] not in (1, 3):
        raise ValueError(f"pictures {x.shape} are not (N, 3, H, W)")
    x = np.clip(np.where(np.isinf(x), np.float32(np.nan), x), -1, 1)
    x = np.repeat(x, 3, axis=1) if x.shape[1] == 1 else x
    return x if x.shape[2:] == (SIDE, SIDE) else np.stack([_resized(each) for each in x])


def _resized(picture: np.ndarray) -> np.ndarray:
    """One (3, H, W) at the probe's size, averaged over areas when it shrinks."""
    from PIL import Image

    shrinks = min(picture.shape[1:]) > SIDE
    how = Image.Resampling.BOX if shrinks else Image.Resampling.BILINEAR
    return np.stack([np.asarray(Image.fromarray(c).resize((SIDE, SIDE), how)) for c in picture])
