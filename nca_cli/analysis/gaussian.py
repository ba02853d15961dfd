"""Gaussians fitted to images, each judged on the image that it was not fitted to.

`full` has the sample covariance of the other n-1 images: n-2 modes through the n×n Gram matrix
(the dual of principal components; Turk & Pentland 1991), and variance 0 in all other directions.
`spectrum` has the mean image and a power for each coefficient of the orthonormal 2-D FFT of each
channel (of colour images: of an orthonormal opponent basis), the Wiener filter.

Either way a held-out image is a list of modes: variance λ, energy c² of x0 - μ, energy of μ, their
product. What a linear sampler makes of them depends on λ alone, so that the sums are kept on a grid
of log λ (`Modes`) and serve every level and sampler at once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nca_cli.analysis.chains import Linear
from nca_cli.analysis.read import gram
from nca_cli.images.pixels import OPPONENT

MIN_REFERENCE = 30
"""Images below which no Gaussian is fitted."""
NODES = 2049
LOWEST, HIGHEST = -23.0, 16.0
"""Matrix of ln λ, on the [-1, 1] scale of pixels: λ from 1e-10 to 9e6. Below it counts as 0."""
_TWIN = 1e-7
"""Mean square distance below which two images are the same one, stored twice."""


@dataclass(frozen=True, eq=False)
class Modes:
    """Per held-out image, sums over modes on the grid of λ: `(images, 4, 1 + NODES)`.

    Rows: energy c² of x0 - μ, its product with μ, energy of μ, number of modes. Column 0: λ = 0.
    """

    sums: np.ndarray
    dimensions: int

    @property
    def known(self) -> int:
        """Directions in which the Gaussian for any of the images has a variance."""
        return self.dimensions - round(float(self.sums[:, 3, 0].min()))

    def error(self, chain: Linear) -> np.ndarray:
        """Expected mean squared error per pixel `(images,)`; `chain` is on `spectrum()`."""
        return chain.error(*np.moveaxis(self.sums, 1, 0)) / self.dimensions


def spectrum() -> np.ndarray:
    """λ of each column of `Modes.sums`."""
    return np.concatenate([[0.0], np.exp(np.linspace(LOWEST, HIGHEST, NODES))])


class TooAlike(ValueError):
    """Images of which fewer than two are others than one of them."""


def full(images: np.ndarray) -> Modes:
    """The sample mean and covariance of all other images; `images (n, …)`."""
    rows = images.reshape(len(images), -1)
    products, d = gram(rows), rows.shape[1]
    sums = np.stack([_held_out(products, index, d) for index in range(len(rows))])
    return Modes(sums, d)


def _held_out(products: np.ndarray, index: int, d: int) -> np.ndarray:
    """Sums of one image under the Gaussian of those that are neither it nor its twins."""
    others = _others(products, index, d)
    _require_two(others)
    inner, mine = products[np.ix_(others, others)], products[others, index]
    m = len(others)
    mean_inner, mean = inner.mean(axis=1), inner.mean()  # ⟨x_j, μ⟩ and ⟨μ, μ⟩
    centred = inner - mean_inner[:, None] - mean_inner[None] + mean
    values, vectors = np.linalg.eigh(centred)
    kept = values > max(values[-1], 1e-300) * 1e-10
    values, vectors = values[kept], vectors[:, kept]
    # u_k = Xᵀv_k/√e_k, v_k sums to 0: coordinates of x0 - μ and of μ
    scale = 1 / np.sqrt(values)
    c = scale * (vectors.T @ (mine - mean_inner))
    p = scale * (vectors.T @ mean_inner)
    square = products[index, index] - 2 * mine.mean() + mean
    rest = [square - c @ c, mine.mean() - mean - c @ p, mean - p @ p, d - len(values)]
    sums = on_grid(values / (m - 1), np.stack([c**2, c * p, p**2, np.ones_like(c)]))
    sums[:, 0] += np.maximum(rest, [0, -np.inf, 0, 0])
    return sums


def _others(products: np.ndarray, index: int, d: int) -> np.ndarray:
    square = np.diag(products)
    apart = (square + square[index] - 2 * products[index]) / d
    return np.flatnonzero(apart > _TWIN)


def _require_two(others: np.ndarray) -> None:
    """Raise `TooAlike` where images are all the same but one: that has no variance."""
    if len(others) < 2:
        raise TooAlike("too few different images to fit a Gaussian")


def power(images: np.ndarray) -> Modes:
    """The mean and the power spectrum of all other images; `images (n, C, H, W)`."""
    apart = gram(images.reshape(len(images), -1))
    waves = [coefficients(image) for image in images]
    d = waves[0].size
    total = np.sum(waves, axis=0)
    square = np.sum([abs(wave) ** 2 for wave in waves], axis=0)
    sums = np.empty((len(images), 4, 1 + NODES))
    for index, wave in enumerate(waves):
        others = _others(apart, index, d)
        _require_two(others)
        gone = [waves[j] for j in set(range(len(waves))) - set(others.tolist())]
        m = len(others)
        mean = (total - np.sum(gone, axis=0)) / m
        inner = square - np.sum(np.abs(gone) ** 2, axis=0)
        variance = (inner - m * abs(mean) ** 2) / (m - 1)
        c, ones = wave - mean, np.ones(d)
        columns = [abs(c) ** 2, (c * mean.conj()).real, abs(mean) ** 2, ones]
        sums[index] = on_grid(np.maximum(variance, 0), np.stack(columns))
    return Modes(sums, d)


def coefficients(image: np.ndarray) -> np.ndarray:
    """Orthonormal 2-D FFT of the channels `(C, H, W)` (three: opponent colours), flattened."""
    image = image.astype(np.float64)
    if len(image) == 3:
        image = np.einsum("oc,chw->ohw", OPPONENT, image)
    return np.fft.fft2(image, norm="ortho").reshape(-1)


def on_grid(spectrum: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Sums `(k, 1 + NODES)` of `columns (k, modes)`, shared among the four nearest nodes of ln λ.

    The weights are those of cubic Lagrange interpolation, so that a sum over nodes of any smooth
    function of λ is its sum over modes, to about 1e-8.
    """
    sums = np.zeros((len(columns), 1 + NODES))
    with np.errstate(divide="ignore"):
        at = (np.log(spectrum) - LOWEST) / (HIGHEST - LOWEST) * (NODES - 1)
    none = at < 0
    sums[:, 0] = columns[:, none].sum(axis=1)
    at, columns = at[~none], columns[:, ~none]
    base = np.clip(at.astype(int), 1, NODES - 3)
    u = at - base
    shares = (
        -u * (u - 1) * (u - 2) / 6,
        (u + 1) * (u - 1) * (u - 2) / 2,
        -(u + 1) * u * (u - 2) / 2,
        (u + 1) * u * (u - 1) / 6,
    )
    for offset, share in zip((-1, 0, 1, 2), shares, strict=True):
        for row, column in zip(sums, columns, strict=True):
            row[1:] += np.bincount(base + offset, share * column, NODES)
    return sums
