"""Networks at work: a denoiser, x̂0 = E[x0|x_t], whatever its network was trained to predict, guided
or not; and the autoencoder of a latent model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch

from nca_cli.devices import to_device
from nca_cli.errors import ModelError
from nca_cli.models.families import ask_as_diffusers, time_of_schedule
from nca_cli.samplers import Prediction
from nca_cli.schedule import Schedule


@contextmanager
def matmul_precision(tf32: bool) -> Iterator[None]:
    """Within it, CUDA's matrix products and convolutions use TF32 or full float32.

    Convolutions use TF32 by default in PyTorch, which changes a reconstruction by about 1e-3.
    """
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    try:
        before = torch.get_float32_matmul_precision(), cudnn.allow_tf32
    except RuntimeError:  # somebody uses newer names, and torch refuses to mix them with these
        with _fp32_precision("tf32" if tf32 else "ieee"):
            yield
        return
    matmul.allow_tf32, cudnn.allow_tf32 = tf32, tf32
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before[0])
        cudnn.allow_tf32 = before[1]


@contextmanager
def _fp32_precision(name: str) -> Iterator[None]:
    """The same by the names that torch has since 2.9."""
    cudnn: Any = torch.backends.cudnn  # its stub lacks them
    places = (torch.backends.cuda.matmul, cudnn.conv, cudnn.rnn)
    before = [place.fp32_precision for place in places]
    for place in places:
        place.fp32_precision = name
    try:
        yield
    finally:
        for place, value in zip(places, before, strict=True):
            place.fp32_precision = value


def level_scales(
    schedule: Schedule, t: torch.Tensor, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    """a and s of the levels `t (B,)`: float32 `(B, 1, 1, 1)`, rounded from float64."""
    scales = (scale.astype(np.float32) for scale in schedule.scales(t.cpu().numpy()))
    a, s = (to_device(scale, device).view(-1, 1, 1, 1) for scale in scales)
    return a, s


def as_it_is(x: torch.Tensor) -> torch.Tensor:
    return x


class Parametrization(NamedTuple):
    """What a network predicts: x̂0 from x, its output, a and s; and how it sees x."""

    x0: Callable[..., torch.Tensor]
    sees: Callable[[torch.Tensor], torch.Tensor] = as_it_is


PARAMETRIZATIONS = {
    "epsilon": Parametrization(lambda x, epsilon, a, s: (x - s * epsilon) / a),
    "v_prediction": Parametrization(lambda x, v, a, s: a * x - s * v),
    "sample": Parametrization(lambda x, x0, a, s: x0.contiguous()),
    "flow": Parametrization(lambda x, velocity, a, s: x - s * velocity),
}
"""By the name of what is predicted; a score by `parametrization`.

ε: x = a·x0 + s·ε. v = a·ε - s·x0 with a² + s² = 1 (Salimans & Ho, 2202.00512). Flow: the velocity
ε - x0 of x = (1-s)·x0 + s·ε (Lipman et al., 2210.02747).
"""


def parametrization(prediction: str, schedule: Schedule) -> Parametrization:
    """How an answer on these levels gives x̂0.

    Score: Tweedie, x0 = (x + s²·∇log p(x))/a (Song et al., 2011.13456). It is of what the network
    sees: x, unless a variance-exploding schedule has another `scale` c than 1. Then it sees pixels
    u = (x + 1)/c, from 0 to 1 where c is 2, and ∇_x = ∇_u/c.
    """
    if prediction != "score":
        return PARAMETRIZATIONS[prediction]
    c = getattr(schedule, "scale", 1.0)
    return Parametrization(
        lambda x, score, a, s: (x + s**2 * score / c) / a,
        as_it_is if c == 1 else lambda x: (x + 1) / c,
    )


Condition = Mapping[str, torch.Tensor]
"""What a network answers under, by the names that it takes it by, one row for each sample: class
labels `(B,)`, or prompts `(B, tokens, width)` and, for some networks, `(B, width)`."""


@dataclass(frozen=True)
class Asked:
    """A network, and how it is asked."""

    network: torch.nn.Module
    schedule: Schedule
    prediction: str
    """Of `parametrization`."""
    shape: tuple[int, int, int]
    """(C, H, W) of x."""
    name: str = "as given"
    """In errors."""
    time: Callable[[Schedule, np.ndarray], np.ndarray] = time_of_schedule
    """As of a `Family`, like `ask`."""
    ask: Callable[..., torch.Tensor] = ask_as_diffusers


class Denoiser:
    """`denoiser(x_t, t) -> Prediction(x0, variance)`: float32 in and out, t for each sample."""

    def __init__(
        self,
        asked: Asked,
        *,
        device: str,
        dtype: torch.dtype = torch.float32,
        tf32: bool = False,
        notes: tuple[str, ...] = (),
    ):
        self.shape, self.device, self.notes = asked.shape, torch.device(device), list(notes)
        # the plain `to` of torch: that of diffusers logs a warning about any change of dtype
        layout: dict[str, Any] = {"dtype": dtype, "memory_format": torch.channels_last}
        self._network: Any = torch.nn.Module.to(asked.network, self.device, **layout).eval()
        self._asked = asked
        self._parametrization = parametrization(asked.prediction, asked.schedule)
        self._dtype, self._tf32 = dtype, tf32

    def __call__(
        self, x: torch.Tensor, t: torch.Tensor, condition: Condition | None = None
    ) -> Prediction:
        """x̂0 `(B, C, H, W)` from x `(B, C, H, W)` and t `(B,)`; learned variance if any.

        Raises `ModelError` for an answer of another shape.
        """
        with torch.inference_mode(), matmul_precision(self._tf32):
            x = x.to(self.device)
            answer, channels = self._answer(x, t, condition), self.shape[0]
            learned = answer[:, channels:].contiguous() if answer.shape[1] > channels else None
            a, s = level_scales(self._asked.schedule, t, self.device)
            return Prediction(self._parametrization.x0(x, answer[:, :channels], a, s), learned)

    def compile(self) -> None:
        """Have the network compiled by `torch.compile`, at its first call of each batch size."""
        self._network = torch.compile(self._network, dynamic=False)

    def _answer(
        self, x: torch.Tensor, t: torch.Tensor, condition: Condition | None
    ) -> torch.Tensor:
        """The network's own output, float32, for what it wants to see of x and of t."""
        told = self._asked.time(self._asked.schedule, t.cpu().numpy())
        time = to_device(told, self.device)
        seen = self._parametrization.sees(x)
        packed = seen.to(self._dtype, memory_format=torch.channels_last)
        given = condition and {name: self._ready(value) for name, value in condition.items()}
        answer = self._asked.ask(self._network, packed, time, given)
        self._check(answer, x)
        return answer.float().contiguous()

    def _check(self, answer: Any, x: torch.Tensor) -> None:
        """Refuse what is shaped neither as x nor as x with twice the channels: it may broadcast."""
        count, channels, *size = x.shape
        shape = tuple(answer.shape) if torch.is_tensor(answer) else ()
        if shape not in ((count, channels, *size), (count, 2 * channels, *size)):
            raise ModelError(self._asked.name, f"answers {shape} to x {tuple(x.shape)}")

    def _ready(self, condition: torch.Tensor) -> torch.Tensor:
        dtype = self._dtype if condition.is_floating_point() else condition.dtype
        return condition.to(self.device, dtype)


class Guided:
    """`guided(x_t, t) -> Prediction`: a conditional denoiser under one label or prompt.

    Classifier-free guidance (Ho & Salimans, 2207.12598), eq. 6, between the answers under `given`
    and under `null`, the condition that stands for none: x̂0 = x̂0(null) + w·(x̂0(given) - x̂0(null)).
    x̂0 is affine in what any network predicts, so that guiding ε is the same. The learned variance
    is the one under `given`. `guidance` None: the answer under `given` alone, at half the cost.
    """

    def __init__(
        self,
        denoiser: Denoiser,
        given: Condition,
        null: Condition | None = None,
        guidance: float | None = None,
    ):
        """`given` and `null`: of one row."""
        self.shape, self.device, self.notes = denoiser.shape, denoiser.device, denoiser.notes
        self._denoiser, self._guidance = denoiser, guidance
        self._given = _there(given, denoiser.device)
        self._null = None if null is None else _there(null, denoiser.device)

    def compile(self) -> None:
        """As that of the denoiser it asks."""
        self._denoiser.compile()

    def __call__(self, x: torch.Tensor, t: torch.Tensor, condition: object = None) -> Prediction:
        """x̂0 `(B, C, H, W)` from x `(B, C, H, W)` and t `(B,)`; guided, one call of 2B samples."""
        count = len(x)
        if self._guidance is None or self._null is None:
            return self._denoiser(x, t, _repeated(self._given, count))
        given, null = _repeated(self._given, count), _repeated(self._null, count)
        both = {name: torch.cat([given[name], null[name]]) for name in given}
        x0, variance = self._denoiser(torch.cat([x, x]), torch.cat([t, t]), both)
        towards, free = x0.chunk(2)
        guided = free + self._guidance * (towards - free)
        return Prediction(guided, None if variance is None else variance[:count])


def _there(condition: Condition, device: torch.device) -> Condition:
    """On the device once, so that no call waits for a copy."""
    return {name: row.to(device) for name, row in condition.items()}


def _repeated(condition: Condition, count: int) -> Condition:
    return {name: row.expand(count, *row.shape[1:]) for name, row in condition.items()}


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
