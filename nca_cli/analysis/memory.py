"""Learning told from memorising: what the very training images, and nothing else, would answer.

A network that has learned its training set by heart answers x_t with the mean of the training
images y_i under their posterior,

    w_i ∝ exp(-‖x_t - a·y_i‖² / 2s²),    E[x0|x_t] = Σ w_i·y_i,    n_eff = 1/Σw_i²

which is the best any denoiser can do on that set, and no use on a picture that is not in it: n_eff
near 1 is one remembered image. A sample is a copy where its distance to the nearest training image
is under a third of that to the second nearest (Yoon et al. 2023; Bonnaire et al., 2505.17638).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nca_cli.schedule import Level

COPY = 1 / 3
"""Of the distance to the second nearest image, below which the nearest was copied."""
CHUNK = 64
"""Pictures whose distances to all training images are held at once."""


@dataclass(frozen=True)
class Remembered:
    """The posterior mean over a training set, and how many of its images speak in it."""

    mean: np.ndarray
    """`(N, C, H, W)`."""
    effective: np.ndarray
    """n_eff `(N,)`, from 1 to the number of training images."""


def remembered(x_t: np.ndarray, training: np.ndarray, level: Level) -> Remembered:
    """E[x0|x_t] over the finite set `training` `(M, C, H, W)`, for x_t `(N, C, H, W)` of a level.

    A level without noise (s = 0) is answered by the nearest image.
    """
    flat = _flat(training)
    means, effective = [], []
    for start in range(0, len(x_t), CHUNK):
        weights = _weights(_flat(x_t[start : start + CHUNK]), flat, level)
        means.append(weights @ flat)
        effective.append(1 / (weights**2).sum(axis=1))
    return Remembered(np.concatenate(means).reshape(x_t.shape), np.concatenate(effective))


def _weights(x_t: np.ndarray, training: np.ndarray, level: Level) -> np.ndarray:
    """Posterior weights `(N, M)`; the largest exponent is taken out before exp."""
    distance = squared_distances(x_t, level.a * training)
    with np.errstate(divide="ignore", invalid="ignore"):
        exponent = -(distance - distance.min(axis=1, keepdims=True)) / (2 * level.s**2)
    exponent = np.where(distance == distance.min(axis=1, keepdims=True), 0.0, exponent)
    weights = np.exp(exponent)
    return weights / weights.sum(axis=1, keepdims=True)


def copies(samples: np.ndarray, training: np.ndarray) -> np.ndarray:
    """Which of `samples` `(N, C, H, W)` copy an image of `training` `(M, C, H, W)`, bool `(N,)`.

    Raises `ValueError` below two training images: there is no second nearest.
    """
    if len(training) < 2:
        raise ValueError("give two or more training images: a copy is judged by the second nearest")
    flat, found = _flat(training), []
    for start in range(0, len(samples), CHUNK):
        distance = squared_distances(_flat(samples[start : start + CHUNK]), flat)
        first, second = np.partition(distance, 1, axis=1)[:, :2].T
        found.append(first < COPY**2 * second)
    return np.concatenate(found) if found else np.zeros(0, bool)


def squared_distances(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """‖x - y‖² `(N, M)` of the rows of `(N, D)` and `(M, D)`, float64."""
    crossed = one @ other.T
    mine, theirs = (np.einsum("nd,nd->n", rows, rows) for rows in (one, other))
    square = mine[:, None] + theirs[None]
    return np.maximum(square - 2 * crossed, 0.0)


def _flat(pictures: np.ndarray) -> np.ndarray:
    return pictures.reshape(len(pictures), -1).astype(np.float64)
