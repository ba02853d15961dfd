"""Batches of one size, as a compiled network wants them: each new size would be compiled anew."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from nca_cli.errors import NcaError
from nca_cli.samplers import Prediction

if TYPE_CHECKING:
    import torch

USUAL = {"cpu": 16}
"""Samples of a batch where nobody says how many; 64 on other devices."""


class Padded:
    """A denoiser that is always asked about `size` samples; those that are too many are dropped."""

    def __init__(self, denoise: Callable[..., Prediction], size: int):
        self.size, self.notes = size, list(getattr(denoise, "notes", ()))
        self.device = getattr(denoise, "device", "cpu")
        self._denoise, self._works = denoise, False

    def __call__(self, x: torch.Tensor, t: torch.Tensor) -> Prediction:
        """x̂0 `(B, C, H, W)` from x `(B, C, H, W)` and t `(B,)`, B at most `size`.

        Where the device has no memory for it `size` is halved, as the engine halves its batch.
        Raises `NcaError` where the network cannot be compiled.
        """
        import torch

        count = len(x)
        try:
            answer = self._denoise(_padded(x, self.size), _padded(t, self.size))
        except torch.OutOfMemoryError:
            self.size = max(1, count // 2)
            raise
        except NcaError:
            raise
        except Exception as error:
            if self._works:
                raise
            what = f"the network cannot be compiled ({' '.join(str(error).split())[:200]})"
            raise NcaError(what, "leave out --compile") from error
        self._works = True
        return Prediction(*(None if part is None else part[:count] for part in answer))


def _padded(values: torch.Tensor, size: int) -> torch.Tensor:
    """The last row again, until there are `size`."""
    import torch

    more = size - len(values)
    return torch.cat([values, values[-1:].expand(more, *values.shape[1:])]) if more > 0 else values
