"""The metrics by name: a plain dict, which anyone may add to; and which of them are asked for."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

from nca_cli.devices import pick_device
from nca_cli.errors import UsageError, one_of
from nca_cli.metrics import fidelity, functions, spectrum
from nca_cli.metrics.prepared import Pixels, Prepared, prepared


class Value(NamedTuple):
    """One number about one sample; the field names are the columns of the tidy table.

    What belongs to no level (an autoencoder's floor) has t and logSNR NaN: empty cells. What holds
    for every seed has seed -1.
    """

    image: str
    model: str
    sampler: str
    t: int | float
    seed: int
    log_snr: float
    measure: str
    value: float


FEATURES = "features"
X0, X0_FLOOR = "x0", "x0_floor"
"""What a reconstruction may be compared with, as datasets of `noise.h5`."""
Ends = tuple[float | None, float | None]
ONE_HALF: Ends = (1.0, 0.0)
"""Half is lost where the mean itself is one half, whatever the range: a fixed threshold, as that of
the Fourier shell correlation in microscopy (van Heel & Schatz 2005, J. Struct. Biol. 151), and no
claim that nothing is left in the end. Who knows nothing answers with the mean image, which has
some energy in each band, and some coherence with each image."""


@dataclass(frozen=True)
class Metric:
    """A metric and all that is known of it: how it is taken, shown, and lost in noise."""

    function: Callable[..., float | Mapping[str, float]]
    """Of two arrays `(x0, x0_hat)` `(C, H, W)` in [-1, 1]; or see `takes_prepared`."""
    title: str
    what: str
    """In one line, for readers of a table."""
    better: str
    """`higher`, `lower`, or nothing where the ideal lies between."""
    digits: int = 3
    """Decimals that are worth printing."""
    unit: str = ""
    bounds: tuple[float, float] = (-math.inf, math.inf)
    """What no value lies beyond."""
    bands: bool = False
    """Whether its values `/0`, `/1`, … are of octave bands."""
    ends: Ends = (None, None)
    """Between which values half is lost halfway: without noise and in nothing but noise, where
    theory knows it; `None`: as measured at the outermost level."""
    half_level: bool = False
    """Whether the report tells where half is lost; it needs a value for "all is lost"."""
    of_x_t: bool = False
    """Whether it is taken of x_t itself too, in the place of a reconstruction."""
    takes_prepared: bool = False
    """Whether the function takes two `Prepared` in their place, and shares what they keep with
    others. Its text is then not all that its numbers come from: its `version` alone tells."""
    version: int = 1
    """Rises when the same pictures give other numbers."""
    needs: str = ""
    """`torch` or `transformers`: computed by `nca measure` alone. Nothing: by every report."""
    named_by: str = ""
    """The option that names its network."""
    weights: str = ""
    """Digest of what else the numbers come from: the weights of a network."""
    against: str = X0
    """What x̂0 is compared with: x0, or D(E(x0)), which latent models alone have."""

    @property
    def stamp(self) -> str:
        """What the numbers depend on besides the pictures; "" where that cannot be told.

        A function of arrays counts by its text and what that refers to (`functions.digest`); where
        that is not all, by `version` and `weights`, if one of them is set.
        """
        text = "" if self.takes_prepared else functions.digest(self.function)
        if text is None:
            if not self.weights and self.version == 1:
                return ""
            text = functions.text_digest(self.function)
        return " ".join(filter(None, [str(self.version), self.weights, text]))

    @property
    def portable(self) -> bool:
        """Whether other processes can take it: no network, and a function that they find by name,
        not one of a script or a notebook."""
        name = getattr(self.function, "__qualname__", "<")
        script = getattr(self.function, "__module__", "") == "__main__"
        return not self.needs and "<" not in name and not script

    def __call__(self, a: Prepared, b: Prepared) -> dict[str, float]:
        """Suffix (`""`, `"/0"`, …) → value."""
        result = self.function(a, b) if self.takes_prepared else self.function(a.x, b.x)
        if isinstance(result, Mapping):
            return {f"/{key}": float(value) for key, value in result.items()}
        return {"": float(result)}


def _unbound(*_: object) -> float:
    """In the place of a network that was not named."""
    hint = "nca measure --lpips stlpips, --lpips-weights FILE or --backbone ID"
    raise UsageError("this measure needs a network that you name", hint)


_built_in = partial(Metric, takes_prepared=True)
_LPIPS = _built_in(
    _unbound, "LPIPS", "perceptual distance", "lower", bounds=(0, math.inf), ends=(0.0, None),
    needs="torch", named_by="--lpips-weights FILE",
)  # fmt: skip

METRICS: dict[str, Metric] = {
    "psnr": _built_in(fidelity.psnr, "PSNR", "peak signal-to-noise ratio", "higher", 2, "dB",
                      of_x_t=True),
    "ssim": _built_in(fidelity.ssim, "SSIM", "structural similarity", "higher", bounds=(-1, 1),
                      ends=(1.0, None), half_level=True, of_x_t=True),
    "mse": _built_in(fidelity.mse, "MSE", "mean squared error on the [−1, 1] scale", "lower", 5,
                     bounds=(0, fidelity.PEAK**2), ends=(0.0, None), of_x_t=True),
    "ms-ssim": _built_in(fidelity.ms_ssim, "MS-SSIM", "multi-scale structural similarity", "higher",
                         bounds=(0, 1), ends=(1.0, None), half_level=True),
    "kept": _built_in(spectrum.kept, "Energy kept",
                      "energy of x̂0 relative to x0 in an octave band", "", bounds=(0, math.inf),
                      bands=True, ends=ONE_HALF, version=2),
    "coherence": _built_in(spectrum.coherence, "Coherence",
                           "share of an octave band of x0 that x̂0 explains", "higher",
                           bounds=(0, 1), bands=True, ends=ONE_HALF, half_level=True, version=2),
    "colour": _built_in(fidelity.colour, "Colour", "ΔE00 of the coarse pictures in CIELAB", "lower",
                        2, bounds=(0, math.inf), ends=(0.0, None), half_level=True),
    "edges": _built_in(fidelity.edges, "Edges", "correlation of gradient magnitudes", "higher",
                       bounds=(-1, 1), ends=(1.0, None), half_level=True),
    "psnr-floor": _built_in(fidelity.psnr, "PSNR to D(E(x0))",
                            "x̂0 against what the autoencoder alone makes of x0", "higher", 2,
                            "dB", against=X0_FLOOR),
    "ssim-floor": _built_in(fidelity.ssim, "SSIM to D(E(x0))",
                            "x̂0 against what the autoencoder alone makes of x0", "higher",
                            bounds=(-1, 1), against=X0_FLOOR),
    "lpips-alex": replace(_LPIPS, title="LPIPS-Alex", what="perceptual distance, AlexNet"),
    "lpips-squeeze": replace(_LPIPS, title="LPIPS-Squeeze",
                             what="perceptual distance, SqueezeNet"),
    "stlpips-alex": replace(_LPIPS, title="ST-LPIPS-Alex", named_by="--lpips stlpips",
                            what="shift-tolerant perceptual distance, AlexNet"),
    FEATURES: _built_in(_unbound, "Features", "cosine of a layer's features of x0 and x̂0", "higher",
                        bounds=(-1, 1), needs="transformers", named_by="--backbone ID"),
}  # fmt: skip
"""Every metric by the name under which it is stored and exported."""


def family(name: str) -> str:
    """`coherence/3` → `coherence`."""
    return name.partition("/")[0]


def described(name: str) -> Metric | None:
    """What is known about a stored name: `kept/3`, `features-dinov2-small/7`; None if nothing."""
    whole = family(name)
    return METRICS.get(FEATURES if whole.startswith(f"{FEATURES}-") else whole)


def ends_of(name: str) -> Ends:
    """`Metric.ends` of a stored name; as measured where nothing is known of it."""
    return known.ends if (known := described(name)) else (None, None)


def cheap(against: str = X0) -> list[str]:
    """Names of the metrics that need no network and compare x̂0 with `against`."""
    return [name for name, each in METRICS.items() if not each.needs and each.against == against]


def measure(x0: Pixels, x0_hat: Pixels, names: Iterable[str] | None = None) -> dict[str, float]:
    """Name → value for one picture `(C, H, W)` and its reconstruction; by default the cheap ones.

    A metric of several values has a name for each: `kept/0`, `kept/1`, … Raises `ValueError`
    where the two differ in shape.
    """
    names = cheap() if names is None else names
    return taken(*prepared(x0, x0_hat), {name: METRICS[name] for name in names})


def taken(a: Prepared, b: Prepared, metrics: Mapping[str, Metric]) -> dict[str, float]:
    """As `measure`, of pictures, which keep what metrics share."""
    return {
        name + suffix: value
        for name, each in metrics.items()
        for suffix, value in each(a, b).items()
    }


@dataclass(frozen=True)
class Settings:
    """What the metrics that need torch are computed with."""

    lpips_weights: tuple[str | Path, ...] = ()
    """Files: convolutions and lin weights, together or apart; see `metrics.lpips`."""
    backbone: str | None = None
    """A vision model that transformers knows: a hub id or a folder."""
    device: str = "auto"
    offline: bool = False
    """Whether the network is never asked."""
    lpips: str | None = None
    """`stlpips`: the weights in the installed package stlpips-pytorch."""


def wanted_metrics(names: Iterable[str] | None, settings: Settings) -> dict[str, Metric]:
    """The metrics to compute, ready to be: those that need a network with their weights loaded.

    Raises `UsageError` for a name that is unknown or lacks its weights.
    """
    ready = {name: METRICS[name] for name in (*cheap(), *cheap(X0_FLOOR))} | _networks(settings)
    if names is None:
        return ready
    found: dict[str, Metric] = {}
    for name in names:
        chosen = {other: each for other, each in ready.items() if other == name or
                  (_named_by(name) and other.startswith(f"{name}-"))}  # fmt: skip
        if not chosen:
            raise _unavailable(name)
        found |= chosen
    return found


def _networks(settings: Settings) -> dict[str, Metric]:
    found: dict[str, Metric] = {}
    if settings.lpips not in (None, "stlpips"):
        raise UsageError(f"unknown --lpips {settings.lpips!r}",
                         "stlpips; or weights of LPIPS itself: --lpips-weights FILE")  # fmt: skip
    if settings.lpips_weights or settings.lpips:
        from nca_cli.metrics.lpips import lpips_metrics, stlpips_file

        files = [*settings.lpips_weights, *([stlpips_file()] if settings.lpips else [])]
        found |= lpips_metrics(files, pick_device(settings.device))
    if settings.backbone:
        from nca_cli.metrics.features import feature_metrics

        device = pick_device(settings.device)
        found |= feature_metrics(settings.backbone, device, settings.offline)
    return found


def _named_by(kind: str) -> str:
    """The option that names the networks of a family such as `lpips`; nothing if it has none."""
    found = (each for name, each in METRICS.items() if name.partition("-")[0] == kind)
    return next((each.named_by for each in found), "")


def _unavailable(name: str) -> UsageError:
    known, whole = described(name), family(name)
    option = _named_by(whole.partition("-")[0])
    if option and (known or _named_by(whole)):
        return UsageError(f"measure {name} needs a network", f"name its weights: {option}")
    if known:
        return UsageError(f"{name!r} is one value of the measure {whole}", f"--measure {whole}")
    return UsageError(f"unknown measure {name!r}", one_of(name, METRICS))
