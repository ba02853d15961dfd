"""A diffusers UNet as a denoiser: x̂0 = E[x0|x_t], whatever the network was trained to predict."""

from __future__ import annotations

from typing import Any

import torch

from nca_cli.models.precision import matmul_precision
from nca_cli.samplers import Prediction
from nca_cli.schedule import Schedule


def level_tables(schedule: Schedule, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """a_t and s_t of every level, float32 `(steps,)`, rounded from float64."""
    levels = [schedule.level(t) for t in range(schedule.steps)]
    a, s = ([getattr(level, key) for level in levels] for key in ("a", "s"))
    return torch.tensor(a, device=device), torch.tensor(s, device=device)


class Denoiser:
    """`denoiser(x_t, t) -> Prediction(x0, variance)`: float32 in and out, t for each sample."""

    def __init__(
        self,
        network: torch.nn.Module,
        schedule: Schedule,
        prediction: str,
        shape: tuple[int, int, int],
        *,
        device: str,
        dtype: torch.dtype = torch.float32,
        tf32: bool = False,
        notes: tuple[str, ...] = (),
    ):
        self.shape = shape
        self.device = torch.device(device)
        self.notes = list(notes)
        # the plain `to` of torch: that of diffusers logs a warning about any change of dtype
        layout: dict[str, Any] = {"dtype": dtype, "memory_format": torch.channels_last}
        self._network = torch.nn.Module.to(network, self.device, **layout).eval()
        self._prediction, self._dtype, self._tf32 = prediction, dtype, tf32
        self._a, self._s = level_tables(schedule, self.device)

    def __call__(self, x: torch.Tensor, t: torch.Tensor, condition: object = None) -> Prediction:
        """x̂0 `(B, C, H, W)` from x `(B, C, H, W)` and t `(B,)`; learned variance if any."""
        with torch.inference_mode(), matmul_precision(self._tf32):
            x, t = x.to(self.device), t.to(self.device).long()
            packed = x.to(self._dtype, memory_format=torch.channels_last)
            output = self._network(packed, t).sample.float().contiguous()
            output, variance = self._split(output)
            return Prediction(self._x0(x, output, t), variance)

    def _split(self, output: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Prediction and learned variance of a network with twice the channels."""
        channels = self.shape[0]
        if output.shape[1] == channels:
            return output, None
        return output[:, :channels], output[:, channels:].contiguous()

    def _x0(self, x: torch.Tensor, output: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        """ε: x0 = (x - s·ε)/a. v = a·ε - s·x0 (Salimans & Ho, 2202.00512): x0 = a·x - s·v."""
        a, s = self._a[t].view(-1, 1, 1, 1), self._s[t].view(-1, 1, 1, 1)
        if self._prediction == "epsilon":
            return (x - s * output) / a
        if self._prediction == "v_prediction":
            return a * x - s * output
        return output.contiguous()
