"""LPIPS (Zhang et al. 2018, 1801.03924), version 0.1, in plain torch, with weights a user names.

    d(x, y) = Σ_l mean_hw Σ_c w_lc · (x̂_lchw - ŷ_lchw)²

x̂_l are the features of layer l, of length 1 over the channels at every place. Two networks:
AlexNet (`alex`) and SqueezeNet 1.1 (`squeeze`). What is needed of each is the convolutions and
the non-negative `lin` weights, in one file or two, as `.pth` or `.safetensors`, in any of the
layouts that are about: torchvision's (`features.0.weight`), the lpips package's own
(`lin0.model.1.weight`, five of AlexNet or seven of SqueezeNet), and that of its whole module
(`net.slice1.0.weight`, with `lin…`).

Shift-tolerant LPIPS (Ghildyal and Liu 2022, 2207.13686) is another distance, `stlpips-alex`: an
AlexNet whose strides are blurs (Zhang 2019, 1904.11486), trained anew. Its authors' package holds
its weights.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nca_cli.errors import UsageError
from nca_cli.installed import file_of
from nca_cli.metrics.prepared import BLANK, Pixels, Prepared, prepared, usable
from nca_cli.metrics.registry import METRICS, Metric

if TYPE_CHECKING:
    from torch import Tensor

    State = dict[str, Tensor]

SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
"""Mean and deviation of ImageNet's pixels, on the [-1, 1] scale."""
EPSILON = 1e-10
KINDS = "a .pth or .safetensors state dict"
LEAST_SIDE = 32
"""Of smaller pictures AlexNet's last layers see nothing."""

STLPIPS = "stlpips"
_STLPIPS_FILE = "weights/vST0.0/alex_shift_tolerant.pth"
ALEX = ("conv 0 4 2", "tap", "pool", "conv 3 1 2", "tap", "pool", "conv 6 1 1", "tap",
        "conv 8 1 1", "tap", "conv 10 1 1", "tap")  # fmt: skip
"""AlexNet's layers by torchvision's numbers: convolution, stride, padding; each with a ReLU."""
SQUEEZE = ("conv 0 2 0", "tap", "pool", "fire 3", "fire 4", "tap", "pool", "fire 6", "fire 7",
           "tap", "pool", "fire 9", "tap", "fire 10", "tap", "fire 11", "tap", "fire 12",
           "tap")  # fmt: skip
"""SqueezeNet 1.1's: an LPIPS slice begins with its pool and ends at a tap."""
ST_ALEX = ("linear 0 1 2", "blur 1", "relu", "tap", "pool 1", "blur 4", "conv 5 1 2", "tap",
           "pool 1", "blur 8", "conv 9 1 1", "tap", "conv 11 1 1", "tap", "conv 13 1 1",
           "tap")  # fmt: skip
"""The shift-tolerant AlexNet's: pools keep every place, and blurs take every second one."""
_TENSORS = {
    "conv": ("weight", "bias"), "linear": ("weight", "bias"), "blur": ("filt",),
    "fire": tuple(f"{part}.{kind}" for part in ("squeeze", "expand1x1", "expand3x3")
                  for kind in ("weight", "bias")),
}  # fmt: skip


@dataclass(frozen=True)
class Network:
    """A network as LPIPS uses it: its layers, and the channels of the features it taps."""

    name: str
    layers: tuple[str, ...]
    channels: tuple[int, ...]
    stem: tuple[int, ...]
    """Shape of the first convolution."""
    ceil: bool
    """Whether a pool keeps what is left over at the border."""

    def needed(self) -> Iterable[str]:
        """Names of all tensors, in torchvision's layout and with `lin0`, `lin1`, …"""
        for kind, *numbers in map(str.split, self.layers):
            yield from (f"features.{numbers[0]}.{name}" for name in _TENSORS.get(kind, ()))
        yield from (f"lin{number}" for number in range(len(self.channels)))


NETWORKS = {
    "lpips-alex": Network("AlexNet", ALEX, (64, 192, 384, 256, 256), (64, 3, 11, 11), False),
    "lpips-squeeze": Network("SqueezeNet 1.1", SQUEEZE, (64, 128, 256, 384, 384, 512, 512),
                             (64, 3, 3, 3), True),
    "stlpips-alex": Network("the shift-tolerant AlexNet", ST_ALEX, (64, 192, 384, 256, 256),
                            (64, 3, 11, 11), False),
}  # fmt: skip
_OLD = ("dd9ccdb0ebb2112a", "f398c70a42f45348")
"""SHA-256 (16 digits) of lin1 in LPIPS 0.0, of AlexNet and SqueezeNet: fitted to pictures that were
not scaled, under the names and shapes of 0.1."""
_THESE = "torchvision's alexnet or squeezenet1_1, and the lpips package's lin weights"


def stlpips_file() -> Path:
    """The weights in the installed package stlpips-pytorch, none of whose code is run.

    Raises `UsageError` where it is not installed.
    """
    file = file_of("stlpips_pytorch", _STLPIPS_FILE)
    if file is None:
        raise UsageError("--lpips stlpips reads weights of stlpips-pytorch, which is not installed",
                         "pip install --no-deps stlpips-pytorch")  # fmt: skip
    return file


def lpips_metrics(files: Iterable[str | Path], device: str = "cpu") -> dict[str, Metric]:
    """The LPIPS metrics that the files make up: `lpips-alex`, `lpips-squeeze`, or both.

    Raises `UsageError` for a file that cannot be read, that is none of these, or that leaves a
    network without its convolutions or without its lin weights.
    """
    paths = [Path(file) for file in files]
    states: dict[str, State] = {}
    for file in paths:
        state = {key: each for name, each in _tensors(file).items() if (key := _plain(name))}
        states.setdefault(_network_of(file, state), {}).update(state)
    return {name: _metric(name, state, paths, device) for name, state in states.items()}


def _metric(name: str, state: State, files: list[Path], device: str) -> Metric:
    _check(NETWORKS[name], state, files)
    needed = {key: state[key].float() for key in NETWORKS[name].needed()}
    key = hashlib.sha256()
    for tensor in needed.values():
        key.update(tensor.contiguous().numpy().tobytes())
    moved = {key: tensor.to(device) for key, tensor in needed.items()}
    distance = Distance(NETWORKS[name], moved, device)
    return replace(METRICS[name], function=distance, weights=key.hexdigest()[:16])


def _check(network: Network, state: State, files: list[Path]) -> None:
    """Refuse weights with parts missing."""
    missing = [key for key in network.needed() if key not in state]
    if not missing:
        return
    named = ", ".join(map(str, files))
    if all(key.startswith("lin") for key in missing):
        what, hint = "lin weights", "add the lpips package's weights/v0.1 file"
    elif all(key.startswith("features.") for key in missing):
        what, hint = "convolutions", "add torchvision's file"
    else:
        what, hint = missing[0], "a complete file is needed"
    hint = f"{hint}: another --lpips-weights"
    raise UsageError(f"{named}: {network.name} without its {what}", hint)


def _tensors(file: Path) -> Mapping[str, Any]:
    import torch

    if not file.is_file():
        raise UsageError(f"{file}: no such file", KINDS)
    try:
        if file.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(file)
        state = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever a damaged pickle or archive may raise
        reason = (" ".join(str(error).split()) or type(error).__name__)[:100]
        raise UsageError(f"{file}: is not a weights file ({reason})", KINDS) from error
    state = state.get("state_dict", state) if isinstance(state, dict) else state
    if not isinstance(state, dict):
        raise UsageError(f"{file}: holds no state dict", KINDS)
    return {str(name): tensor for name, tensor in state.items() if isinstance(tensor, torch.Tensor)}


_LAYOUTS = (
    (re.compile(r"^(?:module\.)?(?:net\.slice\d+|features)\.(\d+.*)$"), r"features.\1"),
    (re.compile(r"^(?:module\.)?lins?\.?(\d)\.model\.\d\.weight$"), r"lin\1"),
    (re.compile(r"^(\d+\.(?:weight|bias|squeeze\..*|expand.*))$"), r"features.\1"),
)
"""Of torchvision and the lpips package, and that of `network.features` alone."""


def _plain(name: str) -> str | None:
    """A tensor's name as it is here; None for one that LPIPS has no use of (a classifier's)."""
    return next((match.expand(to) for form, to in _LAYOUTS if (match := form.match(name))), None)


def _network_of(file: Path, state: State) -> str:
    """Which network the tensors belong to, by their names and shapes."""
    if _is_vgg(state):
        raise UsageError(f"{file}: holds weights of VGG, which is not supported", _THESE)
    stem, lin = state.get("features.0.weight"), state.get("lin1")
    if lin is not None and _digest(lin)[:16] in _OLD:
        raise UsageError(f"{file}: holds lin weights of LPIPS 0.0", "use those of weights/v0.1")
    blurred = any(key.endswith(".filt") for key in state)
    for name, network in NETWORKS.items():
        fits_stem = stem is None or tuple(stem.shape) == network.stem
        fits_lin = lin is None or tuple(lin.shape) == (1, network.channels[1], 1, 1)
        known = not (stem is None and lin is None) and blurred == name.startswith(STLPIPS)
        if fits_stem and fits_lin and known:
            return name
    raise UsageError(f"{file}: holds weights of neither AlexNet nor SqueezeNet 1.1", _THESE)


def _is_vgg(state: State) -> bool:
    """VGG begins as SqueezeNet does, but for its second convolution or its fourth lin."""
    told = {"features.2.weight": (64, 64, 3, 3), "lin3": (1, 512, 1, 1)}
    return any(key in state and tuple(state[key].shape) == shape for key, shape in told.items())


def _digest(tensor: Tensor) -> str:
    return hashlib.sha256(tensor.float().contiguous().numpy().tobytes()).hexdigest()


class Distance:
    """LPIPS between two pictures, with the weights of one network."""

    def __init__(self, network: Network, weights: State, device: str = "cpu"):
        self.network, self.weights, self.device = network, weights, device

    def __call__(self, x0: Pixels, x0_hat: Pixels) -> float:
        """NaN for pictures below 32 pixels. Grey ones count as red, green and blue alike."""
        a, b = prepared(x0, x0_hat)
        if not usable(a, b, LEAST_SIDE):
            return BLANK
        taps = enumerate(zip(a.once(self.features), self.features(b), strict=True))
        parts = ((self.weights[f"lin{k}"] * (x - y) ** 2).sum(1).mean() for k, (x, y) in taps)
        return sum(map(float, parts))

    def features(self, picture: Prepared) -> list[Tensor]:
        """Features of each tapped layer `(1, C, H, W)`, of length 1 over the channels."""
        import torch

        pixels = np.ascontiguousarray(picture.clipped[None], np.float32)
        x = torch.from_numpy(pixels).to(self.device)
        shift, scale = (x.new_tensor(each)[:, None, None] for each in (SHIFT, SCALE))
        with torch.inference_mode():
            taps = list(self._taps((x - shift) / scale))
            return [tap / (tap.square().sum(1, keepdim=True).sqrt() + EPSILON) for tap in taps]

    def _taps(self, x: Tensor) -> Iterable[Tensor]:
        from torch.nn import functional as F

        for kind, *numbers in (layer.split() for layer in self.network.layers):
            if kind == "tap":
                yield x
            elif kind == "pool":
                stride = int(numbers[0]) if numbers else 2
                x = F.max_pool2d(x, 3, stride, ceil_mode=self.network.ceil)
            elif kind in ("conv", "linear"):
                layer, stride, padding = (int(number) for number in numbers)
                x = self._conv(x, f"features.{layer}", stride, padding)
                x = F.relu(x) if kind == "conv" else x
            elif kind == "blur":
                kernel = self.weights[f"features.{numbers[0]}.filt"]
                x = F.conv2d(
                    F.pad(x, (2, 2, 2, 2), "reflect"), kernel, stride=2, groups=len(kernel)
                )
            elif kind == "relu":
                x = F.relu(x)
            else:
                x = self._fire(x, f"features.{numbers[0]}")

    def _conv(self, x: Tensor, name: str, stride: int = 1, padding: int = 0) -> Tensor:
        from torch.nn import functional as F

        weight, bias = self.weights[f"{name}.weight"], self.weights[f"{name}.bias"]
        return F.conv2d(x, weight, bias, stride, padding)

    def _fire(self, x: Tensor, name: str) -> Tensor:
        """A fire module (Iandola et al. 2016): squeeze, then 1×1 and 3×3 side by side."""
        import torch

        x = self._conv(x, f"{name}.squeeze").relu()
        wide = self._conv(x, f"{name}.expand1x1"), self._conv(x, f"{name}.expand3x3", padding=1)
        return torch.cat(wide, 1).relu()
