"""The measures by name: a plain dict, which anyone may add to."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from nca_cli.errors import UsageError
from nca_cli.metrics import colours, fidelity, functions, gradients, spectrum
from nca_cli.metrics.picture import Picture, pictures

Result = float | Mapping[str, float]
OWN = "nca_cli."
FEATURES = "features"
X0, X0_FLOOR = "x0", "x0_floor"
"""What a reconstruction may be compared with, as datasets of `noise.h5`."""


@dataclass(frozen=True)
class Metric:
    """A measure and how it is shown. `version` rises when the same pictures give other numbers."""

    function: Callable[..., Result]
    """Of two arrays `(x0, x0_hat)`; the built-in ones take `Picture`s as well."""
    title: str
    what: str
    """In one line, for readers of a table."""
    better: str
    """`higher` or `lower`."""
    digits: int = 3
    """Decimals that are worth printing."""
    unit: str = ""
    bounds: tuple[float, float] = (float("-inf"), float("inf"))
    """What no value lies beyond."""
    version: int = 1
    needs: str = ""
    """`torch` or `transformers`: computed by `nca measure` alone. Nothing: by every report."""
    weights: str = ""
    """Digest of what else the numbers come from: the weights of a network."""
    against: str = X0
    """What x̂0 is compared with: x0, or D(E(x0)), which latent models alone have."""

    @property
    def stamp(self) -> str:
        """What the numbers depend on besides the pictures; "" where that cannot be told.

        A user's function counts by its text and what that refers to (`functions.digest`); where
        that is not all, by `version` and `weights`, if one of them is set.
        """
        text = "" if self._is_own else functions.digest(self.function)
        if text is None:
            declared = self.weights or self.version != 1
            text = functions.text_digest(self.function) if declared else None
        return (
            "" if text is None else " ".join(filter(None, [str(self.version), self.weights, text]))
        )

    @property
    def _is_own(self) -> bool:
        return getattr(self.function, "__module__", "").startswith(OWN)

    def __call__(self, a: Picture, b: Picture) -> dict[str, float]:
        """Suffix (`""`, `"/0"`, …) → value. The built-in functions share what `a` and `b` keep."""
        result = self.function(a, b) if self._is_own else self.function(a.x, b.x)
        if isinstance(result, Mapping):
            return {f"/{key}": float(value) for key, value in result.items()}
        return {"": float(result)}


def _unbound(*_: object) -> float:
    """In the place of a network that was not named."""
    raise UsageError("this measure needs a network that you name",
                     "nca measure --lpips-weights FILE, or --backbone ID")  # fmt: skip


METRICS: dict[str, Metric] = {
    "psnr": Metric(fidelity.psnr, "PSNR", "peak signal-to-noise ratio", "higher", 2, "dB"),
    "ssim": Metric(fidelity.ssim, "SSIM", "structural similarity", "higher", 3, bounds=(-1, 1)),
    "mse": Metric(fidelity.mse, "MSE", "mean squared error on the [−1, 1] scale", "lower", 5,
                   bounds=(0, fidelity.PEAK**2)),
    "ms-ssim": Metric(fidelity.ms_ssim, "MS-SSIM", "multi-scale structural similarity", "higher",
                       bounds=(0, 1)),
    "kept": Metric(spectrum.kept, "Energy kept", "energy of x̂0 over that of x0 in an octave band",
                    "higher", bounds=(0, float("inf")), version=2),
    "coherence": Metric(spectrum.coherence, "Coherence",
                         "share of an octave band of x0 that x̂0 explains", "higher", bounds=(0, 1),
                         version=2),
    "colour": Metric(colours.colour, "Colour", "ΔE00 of the coarse pictures in CIELAB", "lower", 2,
                      bounds=(0, float("inf"))),
    "edges": Metric(gradients.edges, "Edges", "correlation of gradient lengths", "higher",
                     bounds=(-1, 1)),
    "psnr-floor": Metric(fidelity.psnr, "PSNR to D(E(x0))",
                          "that of x̂0 to what the autoencoder alone makes of x0", "higher", 2, "dB",
                          against=X0_FLOOR),
    "ssim-floor": Metric(fidelity.ssim, "SSIM to D(E(x0))",
                          "that of x̂0 to what the autoencoder alone makes of x0", "higher",
                          bounds=(-1, 1), against=X0_FLOOR),
    "lpips-alex": Metric(_unbound, "LPIPS-Alex", "perceptual distance, AlexNet", "lower",
                          bounds=(0, float("inf")), needs="torch"),
    "lpips-squeeze": Metric(_unbound, "LPIPS-Squeeze", "perceptual distance, SqueezeNet", "lower",
                             bounds=(0, float("inf")), needs="torch"),
    FEATURES: Metric(_unbound, "Features", "cosine of a layer's features of x0 and x̂0", "higher",
                      bounds=(-1, 1), needs="transformers"),
}  # fmt: skip
"""Every measure by the name under which it is stored and exported."""


def described(name: str) -> Metric | None:
    """What is known about a stored name: `kept/3`, `features-dinov2-small/7`; None if nothing."""
    family = name.partition("/")[0]
    return METRICS.get(FEATURES if family.startswith(f"{FEATURES}-") else family)


def cheap(against: str = X0) -> list[str]:
    """Names of the measures that need no network and compare x̂0 with `against`."""
    return [name for name, each in METRICS.items() if not each.needs and each.against == against]


def measure(
    x0: np.ndarray, x0_hat: np.ndarray, names: Iterable[str] | None = None
) -> dict[str, float]:
    """Name → value for one picture `(C, H, W)` and its reconstruction; by default the cheap ones.

    A measure of several values has a name for each: `kept/0`, `kept/1`, … Raises `ValueError`
    where the two differ in shape.
    """
    names = cheap() if names is None else names
    return taken(*pictures(x0, x0_hat), {name: METRICS[name] for name in names})


def taken(a: Picture, b: Picture, measures: Mapping[str, Metric]) -> dict[str, float]:
    """As `measure`, of pictures, which keep what measures share."""
    return {
        name + suffix: value
        for name, each in measures.items()
        for suffix, value in each(a, b).items()
    }
