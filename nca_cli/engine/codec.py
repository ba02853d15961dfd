"""Between pixels and the space that a network works in."""

from __future__ import annotations

from typing import Any

import numpy as np

from nca_cli.devices import pick_device
from nca_cli.engine.batching import BatchSize, as_many_as_fit
from nca_cli.models import Model
from nca_cli.models.load import Loaded

CHUNK = 16
"""Samples noised, decoded or read at a time: bounds memory."""


class Codec:
    """The autoencoder of a latent model, loaded on first use; the identity for pixel models.

    What loading it has to say is appended to `notes`.
    """

    def __init__(
        self, model: Model, device: str, notes: list[str], kept: Loaded | None = None
    ):  # fmt: skip
        self.latent, self._kept = model.space.latent, kept
        self._model, self._device, self._notes = model, device, notes
        self._autoencoder: Any = None
        self._batch = BatchSize(CHUNK)

    def encode(self, pixels: np.ndarray) -> np.ndarray:
        """Pixels `(N, C, H, W)` in [-1, 1] → model space."""
        return self._run("encode", pixels) if self.latent else pixels

    def decode(self, values: np.ndarray) -> np.ndarray:
        """Model space `(N, C, H, W)` → pixels."""
        return self._run("decode", values) if self.latent else values

    def tensors(self, pixels: str, latent: str, values: np.ndarray) -> dict[str, np.ndarray]:
        """`values` of model space by the name of their field, for latent models decoded as well."""
        return {latent: values, pixels: self.decode(values)} if self.latent else {pixels: values}

    def _run(self, method: str, values: np.ndarray) -> np.ndarray:
        """One direction, float32 `(N, C, H, W)` in chunks."""
        import torch

        from nca_cli.models import load_autoencoder

        if self._autoencoder is None:
            device = pick_device(self._device)
            self._autoencoder = load_autoencoder(self._model, device=device, kept=self._kept)
            self._notes += self._autoencoder.notes
            self._autoencoder.notes = []  # said once
        convert = getattr(self._autoencoder, method)

        def converted(some: np.ndarray) -> np.ndarray:
            return convert(torch.from_numpy(some)).cpu().numpy()

        done: list[np.ndarray] = []
        while (row := sum(map(len, done))) < len(values):
            done.append(as_many_as_fit(converted, values[row:], self._batch))
        return np.concatenate(done)
