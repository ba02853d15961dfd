"""A conditional denoiser under one class label or one prompt, guided or not."""

from __future__ import annotations

import torch

from nca_cli.models.denoiser import Condition, Denoiser
from nca_cli.samplers import Prediction


class Guided:
    """`guided(x_t, t) -> Prediction`, as a denoiser without condition.

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
        self._given, self._null = given, null

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


def _repeated(condition: Condition, count: int) -> Condition:
    return {name: row.expand(count, *row.shape[1:]) for name, row in condition.items()}
