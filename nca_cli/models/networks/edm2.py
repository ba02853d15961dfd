"""EDM2's magnitude-preserving network with its preconditioning (Karras et al., 2312.02696).

Nothing in it has a bias or learns a norm: weights are normalised whenever they are used, and sums,
concatenations and nonlinearities keep the magnitude of what they are given. As with EDM the names
of the tensors say what blocks there are; the balances below are the authors', which no tensor says.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from nca_cli.models.networks.edm import PER_HEAD, branched, preconditioned

EPSILON = 1e-4
"""Added to a magnitude that is divided by."""
RESIDUAL, ATTENTION, LABEL, SKIPPED = 0.3, 0.3, 0.5, 0.5
"""Share of the second part in sums and concatenations."""
SILU = 0.596
"""Magnitude of silu of a standard normal, eq. 81."""
MOST = 256.0
"""Activations are held in ± this between blocks."""
Weights = Mapping[str, torch.Tensor]


class Edm2Network(nn.Module):
    """`forward(x (B, C, H, W), sigma (B,), labels (B,))` → x̂0 = D(x; σ), shaped as x."""

    def __init__(self, config: Mapping[str, Any]):
        super().__init__()
        self.encoder, self.decoder = list(config["encoder"]), list(config["decoder"])
        self.sigma_data = float(config["sigma_data"])
        branched(self, config["shapes"])

    def forward(
        self, x: torch.Tensor, sigma: torch.Tensor, labels: torch.Tensor | None = None
    ) -> torch.Tensor:
        """D(x; σ), preconditioned as EDM's."""
        w = dict(self.named_buffers())

        def network(seen: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
            return self._walk(w, seen, _told(w, noise, labels).to(x.dtype))

        return preconditioned(network, x, sigma, self.sigma_data)

    def _walk(self, w: Weights, x: torch.Tensor, told: torch.Tensor) -> torch.Tensor:
        """Down and up again, figure 21; a channel of ones stands in for biases."""
        x = torch.cat([x, torch.ones_like(x[:, :1])], 1)
        kept: list[torch.Tensor] = []
        for name in self.encoder:
            first = name.endswith("_conv")
            kept.append(x := _layer(w, f"enc.{name}", x) if first else _block(w, name, x, told))
        for name in self.decoder:
            if "_block" in name:
                x = _joined(x, kept.pop(), SKIPPED)
            x = _block(w, name, x, told, decodes=True)
        return _layer(w, "out_conv", x, w["out_gain"])


def _told(w: Weights, noise: torch.Tensor, labels: torch.Tensor | None) -> torch.Tensor:
    """What every block hears of σ and of the label, `(B, width)`: random waves, eq. 75."""
    angles = torch.outer(noise, w["emb_fourier.freqs"].float()) + w["emb_fourier.phases"].float()
    told = _layer(w, "emb_noise", math.sqrt(2) * angles.cos())
    if "emb_label.weight" in w:
        classes = w["emb_label.weight"].shape[1]
        hot = told.new_zeros(len(told), classes)
        if labels is not None:
            hot = F.one_hot(labels.long(), classes).to(told.dtype)
        told = _mixed(told, _layer(w, "emb_label", hot * math.sqrt(classes)), LABEL)
    return _silu(told)


def _block(
    w: Weights, name: str, x: torch.Tensor, told: torch.Tensor, decodes: bool = False
) -> torch.Tensor:
    """A residual block, which may change the resolution before and attend after."""
    key = f"{'dec' if decodes else 'enc'}.{name}"
    if name.endswith("_down"):
        x = F.avg_pool2d(x, 2)
    elif name.endswith("_up"):
        x = F.interpolate(x, scale_factor=2.0, mode="nearest")
    skips = f"{key}.conv_skip.weight" in w
    if not decodes:
        x = _unit(_layer(w, f"{key}.conv_skip", x) if skips else x, (1,))
    heard = 1 + _layer(w, f"{key}.emb_linear", told, w[f"{key}.emb_gain"])
    h = _layer(w, f"{key}.conv_res0", _silu(x)) * heard[:, :, None, None]
    h = _layer(w, f"{key}.conv_res1", _silu(h))
    x = _mixed(_layer(w, f"{key}.conv_skip", x) if decodes and skips else x, h, RESIDUAL)
    if f"{key}.attn_qkv.weight" in w:
        x = _mixed(x, _attended(w, key, x), ATTENTION)
    return x.clip(-MOST, MOST)


def _attended(w: Weights, key: str, x: torch.Tensor) -> torch.Tensor:
    """Attention between pixels, of unit queries, keys and values."""
    count, channels, height, wide = x.shape
    heads = channels // PER_HEAD
    size = channels // heads
    split = _layer(w, f"{key}.attn_qkv", x).reshape(count, heads, size, 3, height * wide)
    q, k, v = _unit(split, (2,)).unbind(3)
    weight = (q.mT @ k / math.sqrt(size)).softmax(-1)
    return _layer(w, f"{key}.attn_proj", (v @ weight.mT).reshape(x.shape))


def _layer(
    w: Weights, name: str, x: torch.Tensor, gain: torch.Tensor | float = 1.0
) -> torch.Tensor:
    """A linear layer or a convolution of normalised weights, eq. 47 and 66."""
    weight = w[f"{name}.weight"].float()
    axes = tuple(range(1, weight.ndim))
    weight = (_unit(weight, axes) * (gain / math.sqrt(weight[0].numel()))).to(x.dtype)
    if weight.ndim == 2:
        return F.linear(x, weight)
    return F.conv2d(x, weight, padding=weight.shape[-1] // 2)


def _unit(x: torch.Tensor, axes: tuple[int, ...]) -> torch.Tensor:
    """x over its root mean square along `axes`."""
    magnitude = x.float().square().mean(axes, keepdim=True).sqrt()
    return x / (magnitude + EPSILON).to(x.dtype)


def _silu(x: torch.Tensor) -> torch.Tensor:
    return F.silu(x) / SILU


def _mixed(one: torch.Tensor, other: torch.Tensor, share: float) -> torch.Tensor:
    """A weighted sum of unit magnitude, eq. 88."""
    return ((1 - share) * one + share * other) / math.hypot(1 - share, share)


def _joined(one: torch.Tensor, other: torch.Tensor, share: float) -> torch.Tensor:
    """Channels side by side, of unit magnitude whatever their numbers, eq. 103."""
    parts, weights = (one, other), (1 - share, share)
    whole = math.sqrt(sum(each.shape[1] for each in parts)) / math.hypot(*weights)
    return torch.cat(
        [each * (whole * weight / math.sqrt(each.shape[1]))
         for each, weight in zip(parts, weights, strict=True)], 1,
    )  # fmt: skip
