"""EDM's networks with their preconditioning (Karras et al., 2206.00364): DDPM++ and NCSN++ in the
authors' form, and ADM, by the names of their tensors.

The names say what blocks there are, in which order, and at which resolutions; shapes say the rest.
So the network is a table of tensors and one walk through the names.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

GROUPS, LEAST = 32, 4
"""Of group norms: at most so many, of at least so many channels."""
PER_HEAD = 64
"""Channels of a head of ADM's attention; the others have one head."""


class EdmBranch(nn.Module):
    """Tensors and further branches by their names."""


def branched(network: nn.Module, shapes: Mapping[str, Sequence[int]]) -> None:
    """Give a network tensors of these names and shapes, not yet filled."""
    for name, shape in shapes.items():
        *path, leaf = name.split(".")
        branch = network
        for part in path:
            if part not in branch._modules:
                branch.add_module(part, EdmBranch())
            branch = branch.get_submodule(part)
        branch.register_buffer(leaf, torch.empty(tuple(shape)))


def preconditioned(
    network: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    x: torch.Tensor, sigma: torch.Tensor, sigma_data: float,
) -> torch.Tensor:  # fmt: skip
    """Eq. 7 of 2206.00364: c_skip·x + c_out·F(c_in·x; ln σ/4), where F is `network(x, (B,))`."""
    s = sigma.to(torch.float32).view(-1, 1, 1, 1)
    whole = (s**2 + sigma_data**2).sqrt()
    answer = network((x / whole).to(x.dtype), (s.log() / 4).flatten())
    return x * (sigma_data**2 / whole**2) + answer * (s * sigma_data / whole)


class EdmNetwork(nn.Module):
    """`forward(x (B, C, H, W), sigma (B,), labels (B,))` → x̂0 = D(x; σ), shaped as x."""

    def __init__(self, config: Mapping[str, Any]):
        super().__init__()
        self.encoder, self.decoder = list(config["encoder"]), list(config["decoder"])
        self.adm, self.sigma_data = bool(config["adm"]), float(config["sigma_data"])
        branched(self, config["shapes"])

    def forward(
        self, x: torch.Tensor, sigma: torch.Tensor, labels: torch.Tensor | None = None
    ) -> torch.Tensor:
        """D(x; σ), preconditioned as in eq. 7."""
        w = dict(self.named_buffers())

        def network(seen: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
            return self._walk(w, seen, self._told(w, noise, labels))

        return preconditioned(network, x, sigma, self.sigma_data)

    def _told(
        self, w: Mapping[str, torch.Tensor], noise: torch.Tensor, labels: torch.Tensor | None
    ) -> torch.Tensor:
        """What every block hears of σ and of the label, `(B, width)`."""
        if "map_noise.freqs" in w:
            angles = torch.outer(noise, 2 * math.pi * w["map_noise.freqs"].float())
        else:
            half = w["map_layer0.weight"].shape[1] // 2
            steps = torch.arange(half, device=noise.device) / (half - (0 if self.adm else 1))
            angles = torch.outer(noise, 10_000.0**-steps)
        waves = (angles.cos(), angles.sin()) if self.adm else (angles.sin(), angles.cos())
        told = torch.cat(waves, 1).to(w["map_layer0.weight"].dtype)
        label = self._label(w, labels, len(noise))
        if label is not None and not self.adm:
            told = told + label
        told = F.silu(_linear(w, "map_layer0", told))
        told = _linear(w, "map_layer1", told)
        return F.silu(told + label if label is not None and self.adm else told)

    def _label(
        self, w: Mapping[str, torch.Tensor], labels: torch.Tensor | None, count: int
    ) -> torch.Tensor | None:
        """One column of a table for each label, and none without one."""
        if "map_label.weight" not in w:
            return None
        table = w["map_label.weight"]
        classes = table.shape[1]
        hot = table.new_zeros(count, classes)
        if labels is not None:
            hot = F.one_hot(labels.long(), classes).to(table.dtype)
        return _linear(w, "map_label", hot * (1 if self.adm else math.sqrt(classes)))

    def _walk(
        self, w: Mapping[str, torch.Tensor], x: torch.Tensor, told: torch.Tensor
    ) -> torch.Tensor:
        """Down and up again; `aux` is the picture that NCSN++ carries along."""
        aux = x
        kept: list[torch.Tensor] = []
        for name in self.encoder:
            key = f"enc.{name}"
            if name.endswith("aux_residual"):
                x = kept[-1] = aux = (x + _conv(w, key, aux, "down", fused=True)) / math.sqrt(2)
            elif name.endswith("_conv"):
                kept.append(x := _conv(w, key, x))
            else:
                kept.append(x := self._block(w, key, x, told))
        for name in self.decoder:
            key = f"dec.{name}"
            if name.endswith("aux_norm"):
                x = F.silu(_norm(w, key, x, 1e-6))
            elif name.endswith("aux_conv"):
                return _conv(w, key, x)
            else:
                if x.shape[1] != w[f"{key}.norm0.weight"].shape[0]:
                    x = torch.cat([x, kept.pop()], 1)
                x = self._block(w, key, x, told)
        return _conv(w, "out_conv", F.silu(_norm(w, "out_norm", x, 1e-5)))

    def _block(
        self, w: Mapping[str, torch.Tensor], key: str, x: torch.Tensor, told: torch.Tensor
    ) -> torch.Tensor:
        """A residual block that hears `told`, may change the resolution, and may attend."""
        eps, gain = (1e-5, 1.0) if self.adm else (1e-6, math.sqrt(0.5))
        way = next((each for each in ("up", "down") if key.endswith(f"_{each}")), None)
        h = _conv(w, f"{key}.conv0", F.silu(_norm(w, f"{key}.norm0", x, eps)), way)
        moved = _linear(w, f"{key}.affine", told)[:, :, None, None]
        if self.adm:
            scale, shift = moved.chunk(2, 1)
            h = _norm(w, f"{key}.norm1", h, eps) * (1 + scale) + shift
        else:
            h = _norm(w, f"{key}.norm1", h + moved, eps)
        h = _conv(w, f"{key}.conv1", F.silu(h))
        skips = any(f"{key}.skip.{each}" in w for each in ("weight", "resample_filter"))
        x = (h + (_conv(w, f"{key}.skip", x, way) if skips else x)) * gain
        return (x + self._attended(w, key, x, eps)) * gain if f"{key}.qkv.weight" in w else x

    def _attended(
        self, w: Mapping[str, torch.Tensor], key: str, x: torch.Tensor, eps: float
    ) -> torch.Tensor:
        count, channels, height, wide = x.shape
        heads = channels // PER_HEAD if self.adm else 1
        qkv = _conv(w, f"{key}.qkv", _norm(w, f"{key}.norm2", x, eps))
        q, k, v = qkv.reshape(count, heads, channels // heads, 3, height * wide).unbind(3)
        weight = (q.mT @ k / math.sqrt(channels // heads)).softmax(-1)
        return _conv(w, f"{key}.proj", (v @ weight.mT).reshape(x.shape))


def _linear(w: Mapping[str, torch.Tensor], name: str, x: torch.Tensor) -> torch.Tensor:
    return F.linear(x, w[f"{name}.weight"], w.get(f"{name}.bias"))


def _norm(w: Mapping[str, torch.Tensor], name: str, x: torch.Tensor, eps: float) -> torch.Tensor:
    groups = min(GROUPS, x.shape[1] // LEAST)
    return F.group_norm(x, groups, w[f"{name}.weight"], w[f"{name}.bias"], eps)


def _conv(
    w: Mapping[str, torch.Tensor], name: str, x: torch.Tensor, way: str | None = None,
    fused: bool = False,
) -> torch.Tensor:  # fmt: skip
    """A convolution after a change of resolution by a small filter, or (`fused`) before it."""
    weight, bias = w.get(f"{name}.weight"), w.get(f"{name}.bias")
    filtered = w.get(f"{name}.resample_filter")
    edge = 0 if filtered is None else (filtered.shape[-1] - 1) // 2
    pad = 0 if weight is None else weight.shape[-1] // 2
    if filtered is not None and not fused:
        x = _resampled(x, filtered, way, edge)
    if weight is not None:
        x = F.conv2d(x, weight, padding=pad + (edge if fused else 0))
    if filtered is not None and fused:
        x = _resampled(x, filtered, way, 0)
    return x if bias is None else x + bias.view(1, -1, 1, 1)


def _resampled(
    x: torch.Tensor, filtered: torch.Tensor, way: str | None, padding: int
) -> torch.Tensor:
    """Half or twice the side, each channel by itself."""
    channels = x.shape[1]
    kernel = filtered.expand(channels, 1, *filtered.shape[-2:])
    if way == "down":
        return F.conv2d(x, kernel, groups=channels, stride=2, padding=padding)
    return F.conv_transpose2d(x, 4 * kernel, groups=channels, stride=2, padding=padding)
