"""The autoencoder of a latent model: pixels to the latents that the network works in, and back."""

from __future__ import annotations

import torch

from nca_cli.models.denoiser import matmul_precision


class Autoencoder:
    """A VQModel or AutoencoderKL with the scale and shift of its latents: float32, full precision,
    deterministic."""

    def __init__(
        self,
        network: torch.nn.Module,
        scale: float,
        shape: tuple[int, int, int],
        *,
        device: str,
        shift: float = 0.0,
        notes: tuple[str, ...] = (),
    ):
        self.shape, self.scale, self.shift = shape, scale, shift
        self.device = torch.device(device)
        self.notes = list(notes)
        # torch's stub of `to` lacks memory_format
        self._network = network.to(self.device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]

    def encode(self, pixels: torch.Tensor) -> torch.Tensor:
        """z `(B, c, h, w)` = (encode(x) - shift)·scale from pixels `(B, C, H, W)` in [-1, 1].

        VQModel: before quantisation. AutoencoderKL: the mode of its posterior.
        """
        with torch.inference_mode(), matmul_precision(False):
            encoded = self._network.encode(self._ready(pixels))
            latents = encoded.latents if hasattr(encoded, "latents") else encoded.latent_dist.mode()
            return ((latents - self.shift) * self.scale).contiguous()

    def decode(self, z: torch.Tensor) -> torch.Tensor:
        """Pixels `(B, C, H, W)` from z `(B, c, h, w)`, unclipped. VQModel quantises first."""
        with torch.inference_mode(), matmul_precision(False):
            latents = self._ready(z) / self.scale + self.shift
            return self._network.decode(latents).sample.contiguous()

    def _ready(self, x: torch.Tensor) -> torch.Tensor:
        return x.to(self.device, torch.float32, memory_format=torch.channels_last)
