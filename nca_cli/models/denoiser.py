"""A diffusers network as a denoiser: x̂0 = E[x0|x_t], whatever it was trained to predict."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch

from nca_cli.errors import ModelError
from nca_cli.models.precision import matmul_precision
from nca_cli.samplers import Prediction
from nca_cli.schedule import Schedule


def level_scales(
    schedule: Schedule, t: torch.Tensor, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    """a and s of the levels `t (B,)`: float32 `(B, 1, 1, 1)`, rounded from float64."""
    a, s = (torch.from_numpy(scale) for scale in schedule.scales(t.cpu().numpy()))
    return a.float().view(-1, 1, 1, 1).to(device), s.float().view(-1, 1, 1, 1).to(device)


X0: dict[str, Callable[..., torch.Tensor]] = {
    "epsilon": lambda x, epsilon, a, s: (x - s * epsilon) / a,
    "v_prediction": lambda x, v, a, s: a * x - s * v,
    "sample": lambda x, x0, a, s: x0.contiguous(),
    "flow": lambda x, velocity, a, s: x - s * velocity,
    "score": lambda x, score, a, s: (x + s**2 * score / 2) / a,
}
"""x̂0 from x, the network's output, a and s, by what the network predicts.

ε: x = a·x0 + s·ε. v = a·ε - s·x0 with a² + s² = 1 (Salimans & Ho, 2202.00512). Flow: the velocity
ε - x0 of x = (1-s)·x0 + s·ε (Lipman et al., 2210.02747). Score: Tweedie, x0 = (x + s²·∇log p(x))/a;
the network's score is that of pixels u = (x + 1)/2 in [0, 1], and ∇_x = ∇_u/2 (Song et al.,
2011.13456).
"""


Condition = Mapping[str, torch.Tensor]
"""What a network answers under, by the names that it takes it by, one row for each sample: class
labels `(B,)`, or prompts `(B, tokens, width)` and, for some networks, `(B, width)`."""


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
        name: str = "as given",
    ):
        self.shape = shape
        self.device = torch.device(device)
        self.notes = list(notes)
        # the plain `to` of torch: that of diffusers logs a warning about any change of dtype
        layout: dict[str, Any] = {"dtype": dtype, "memory_format": torch.channels_last}
        self._network = torch.nn.Module.to(network, self.device, **layout).eval()
        self._schedule, self._prediction = schedule, prediction
        self._dtype, self._tf32, self._name = dtype, tf32, name

    def __call__(
        self, x: torch.Tensor, t: torch.Tensor, condition: Condition | None = None
    ) -> Prediction:
        """x̂0 `(B, C, H, W)` from x `(B, C, H, W)` and t `(B,)`; learned variance if any.

        Raises `ModelError` for an answer of another shape.
        """
        with torch.inference_mode(), matmul_precision(self._tf32):
            x = x.to(self.device)
            output, variance = self._split(self._ask(x, t, condition))
            a, s = level_scales(self._schedule, t, self.device)
            return Prediction(X0[self._prediction](x, output, a, s), variance)

    def _ask(self, x: torch.Tensor, t: torch.Tensor, condition: Condition | None) -> torch.Tensor:
        """The network's own output, float32, for what it wants to see of x and of t."""
        time = torch.from_numpy(self._schedule.network_time(t.cpu().numpy())).to(self.device)
        seen = (x + 1) / 2 if self._prediction == "score" else x
        packed = seen.to(self._dtype, memory_format=torch.channels_last)
        if condition is None:
            answer = self._network(packed, time).sample
        else:  # by name: what diffusers' networks take second differs among them
            given = {name: self._ready(value) for name, value in condition.items()}
            answer = self._network(packed, timestep=time, **given).sample
        self._check(answer, x)
        return answer.float().contiguous()

    def _check(self, answer: Any, x: torch.Tensor) -> None:
        """Refuse what is shaped neither as x nor as x with twice the channels: it may broadcast."""
        count, channels, *size = x.shape
        shape = tuple(answer.shape) if torch.is_tensor(answer) else ()
        if shape not in ((count, channels, *size), (count, 2 * channels, *size)):
            raise ModelError(self._name, f"answers {shape} to x {tuple(x.shape)}")

    def _ready(self, condition: torch.Tensor) -> torch.Tensor:
        dtype = self._dtype if condition.is_floating_point() else condition.dtype
        return condition.to(self.device, dtype)

    def _split(self, output: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Prediction and learned variance of a network with twice the channels."""
        channels = self.shape[0]
        if output.shape[1] == channels:
            return output, None
        return output[:, :channels], output[:, channels:].contiguous()
