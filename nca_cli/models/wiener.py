"""A spectral prior of natural images: what second-order statistics alone can do, without weights.

Images are taken as Gaussian, stationary, of mean 0, and diagonal in the orthonormal 2-D FFT of
each channel of an orthonormal opponent basis, with power S_c(f) = N²·A_c/(f² + f0_c²), f in cycles
per image and N the side in pixels, the longer one of what is no square. The factor N² is what the
orthonormal FFT makes of one and the same picture sampled more finely, so the prior describes the
same pictures at every size.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nca_cli.errors import UsageError
from nca_cli.images.pixels import OPPONENT
from nca_cli.images.size import Resolution, height_width, size_text
from nca_cli.models.load import Running
from nca_cli.models.origins import Origin, StoredAs, Wanted
from nca_cli.models.space import Model, Space
from nca_cli.recipe import BUILT_IN
from nca_cli.schedule import Schedule

if TYPE_CHECKING:
    import torch

    from nca_cli.samplers import Prediction

SIZES, USUAL_SIZE = (2, 4096), 256
WIENER_VERSION = 1
AMPLITUDE = (0.008, 0.001, 0.00016)
CORNER = (0.25, 0.25, 0.25)
"""A_c and f0_c, frozen: the least mean log error of this filter over SNR 1e-3 … 1e3 on five
photographs that scikit-image brings (astronaut, chelsea, coffee, motorcycle, rocket), centre square
at 256 px, in steps of 25 % in A and among f0 = 0.25, 0.5, 0.75, 1, 1.5, 2, 3, 4, 6."""


def spectrum(size: Resolution) -> np.ndarray:
    """S `(3, H, W)`, float64: variance of each coefficient of `np.fft.fft2`, orthonormal."""
    side = max(height_width(size))
    rows, columns = (np.fft.fftfreq(each, 1 / side) for each in height_width(size))
    squared = (rows[:, None] ** 2 + columns[None, :] ** 2)[None]
    amplitude, corner = (np.reshape(value, (3, 1, 1)) for value in (AMPLITUDE, CORNER))
    return side**2 * amplitude / (squared + corner**2)


def gain(power: Any, a: Any, s: Any) -> Any:
    """Wiener's share of each coefficient of x_t, for arrays of any library: a·S/(a²·S + s²)."""
    return a * power / (a**2 * power + s**2)


class WienerDenoiser:
    """E[x0|x_t] under the spectral prior: a gain a·S/(a²·S + s²) for each frequency."""

    def __init__(self, size: Resolution, schedule: Schedule, device: str):
        import torch

        self.shape, self.device = (3, *height_width(size)), torch.device(device)
        self.notes: list[str] = []
        half = spectrum(size)[:, :, : self.shape[2] // 2 + 1]
        self._power = torch.tensor(half, dtype=torch.float32, device=self.device)
        self._basis = torch.tensor(OPPONENT, dtype=torch.float32, device=self.device)
        self._schedule = schedule

    def compile(self) -> None:
        """A closed form has no network to compile."""

    def __call__(self, x: torch.Tensor, t: torch.Tensor, condition: object = None) -> Prediction:
        """x̂0 `(B, 3, H, W)` from x `(B, 3, H, W)`, both float32, and t `(B,)`."""
        import torch

        from nca_cli.models.denoiser import level_scales
        from nca_cli.samplers import Prediction

        with torch.inference_mode():
            a, s = level_scales(self._schedule, t, self.device)
            opponent = torch.einsum("oc,bchw->bohw", self._basis, x.to(self.device))
            filtered = torch.fft.rfft2(opponent, norm="ortho") * gain(self._power, a, s)
            opponent = torch.fft.irfft2(filtered, s=self.shape[1:], norm="ortho")
            return Prediction(torch.einsum("oc,bohw->bchw", self._basis, opponent))


@dataclass(frozen=True)
class Wiener(Origin):
    """The spectral prior as a model, which has no files and any size."""

    def find(self, wanted: Wanted) -> Model:
        (low, high), size = SIZES, USUAL_SIZE if wanted.size is None else wanted.size
        if not all(low <= side <= high for side in height_width(size)):
            raise UsageError(f"--size {size_text(size)} is outside {low} … {high}")
        return Model(
            "wiener", BUILT_IN, Space.of_pixels(Schedule(), (3, *height_width(size))), self,
            scheduler={"_class_name": "DDPMScheduler", "clip_sample": False},
        )  # fmt: skip

    def sized(self, model: Model, size: Resolution) -> Model:
        """As it was found: of any size."""
        return model

    def stored_as(self) -> StoredAs:
        return StoredAs("wiener")

    def identity(self, model: Model) -> str:
        return f"{model.name}-{WIENER_VERSION}:{size_text(model.space.resolution)}"

    def denoiser(self, model: Model, running: Running) -> WienerDenoiser:
        return WienerDenoiser(model.space.resolution, model.space.schedule, running.device)
