"""EDM's networks (Karras et al., 2206.00364, appendix F) as modules, by the names of their tensors.

An oracle for `edm:` checkpoints: DDPM++, NCSN++ and ADM (`kind` "ddpmpp", "ncsnpp", "adm"), with
labels or without. Changes of resolution are written as blurs, zeros between pixels, and strides.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import nn

TAPS = {"ddpmpp": (1, 1), "adm": (1, 1), "ncsnpp": (1, 3, 3, 1)}


def norm(channels, eps):
    return nn.GroupNorm(min(32, channels // 4), channels, eps=eps)


class Conv(nn.Module):
    """A convolution (or none), with a filter that doubles or halves the side."""

    def __init__(self, ins, outs, size, way=None, taps=(1, 1), fused=False):
        super().__init__()
        self.way, self.fused, self.taps = way, fused, taps
        if size:
            self.weight = nn.Parameter(torch.zeros(outs, ins, size, size))
            self.bias = nn.Parameter(torch.zeros(outs))
        if way:
            row = torch.tensor(taps, dtype=torch.float32)
            self.register_buffer(
                "resample_filter", (row[:, None] * row / row.sum() ** 2)[None, None]
            )

    def resampled(self, x, edge):
        """Blur along rows and columns, then every second pixel; or zeros between, then a blur."""
        row = torch.tensor(self.taps, dtype=x.dtype) / sum(self.taps)
        channels = x.shape[1]
        if self.way == "up":
            wide = x.new_zeros(*x.shape[:2], 2 * x.shape[2] - 1, 2 * x.shape[3] - 1)
            wide[:, :, ::2, ::2] = x
            x, row, edge = wide, 2 * row, len(row) - 1 - edge
        x = F.conv2d(x, row.view(1, 1, -1, 1).repeat(channels, 1, 1, 1), padding=(edge, 0),
                     groups=channels)  # fmt: skip
        x = F.conv2d(x, row.view(1, 1, 1, -1).repeat(channels, 1, 1, 1), padding=(0, edge),
                     groups=channels)  # fmt: skip
        return x[:, :, ::2, ::2] if self.way == "down" else x

    def forward(self, x):
        edge = (len(self.taps) - 1) // 2
        if self.way and not self.fused:
            x = self.resampled(x, edge)
        if self.fused:  # the convolution sees what the blur needs beyond the edges
            x = F.conv2d(x, self.weight, padding=self.weight.shape[-1] // 2 + edge)
            return self.resampled(x, 0) + self.bias[:, None, None]
        if hasattr(self, "weight"):
            x = F.conv2d(x, self.weight, self.bias, padding=self.weight.shape[-1] // 2)
        return x


class Block(nn.Module):
    def __init__(self, ins, outs, width, kind, way=None, attends=False):
        super().__init__()
        self.adm, self.ins = kind == "adm", ins
        eps, taps = (1e-5 if self.adm else 1e-6), TAPS[kind]
        self.norm0, self.norm1 = norm(ins, eps), norm(outs, eps)
        self.conv0, self.conv1 = Conv(ins, outs, 3, way, taps), Conv(outs, outs, 3)
        self.affine = nn.Linear(width, outs * (2 if self.adm else 1))
        projects = ins != outs or (way and not self.adm)
        self.skip = Conv(ins, outs, 1 if projects else 0, way, taps) if projects or way else None
        self.heads = (outs // 64 if self.adm else 1) if attends else 0
        if attends:
            self.norm2 = norm(outs, eps)
            self.qkv, self.proj = Conv(outs, 3 * outs, 1), Conv(outs, outs, 1)

    def forward(self, x, told):
        gain = 1 if self.adm else 0.5**0.5
        moved = self.affine(told)[..., None, None]
        h = self.conv0(F.silu(self.norm0(x)))
        if self.adm:
            channels = h.shape[1]
            h = self.norm1(h) * (moved[:, :channels] + 1) + moved[:, channels:]
        else:
            h = self.norm1(h + moved)
        x = gain * (self.conv1(F.silu(h)) + (self.skip(x) if self.skip else x))
        return gain * (x + self.attended(x)) if self.heads else x

    def attended(self, x):
        count, channels, height, wide = x.shape
        size, flat = channels // self.heads, self.qkv(self.norm2(x)).flatten(2)
        answers = []
        for head in range(self.heads):  # of each channel of a head: its q, k and v
            mine = flat[:, 3 * size * head : 3 * size * (head + 1)]
            q, k, v = mine[:, ::3], mine[:, 1::3], mine[:, 2::3]
            weight = torch.einsum("bcq,bck->bqk", q, k / math.sqrt(size)).softmax(2)
            answers.append(torch.einsum("bqk,bck->bcq", weight, v))
        return self.proj(torch.cat(answers, 1).reshape(count, channels, height, wide))


class Fourier(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.register_buffer("freqs", 16 * torch.randn(width // 2))


class EdmReference(nn.Module):
    """`forward(x (B, C, H, W), sigma (B,), hot (B, labels))` → D(x; σ), σ_data 0.5."""

    def __init__(self, kind="ddpmpp", side=16, channels=3, base=32, mults=(1, 2), blocks=1,
                 attention=(8,), labels=0, augments=0):  # fmt: skip
        super().__init__()
        self.kind, self.base, adm = kind, base, kind == "adm"
        width, noise = 4 * base, base * (2 if kind == "ncsnpp" else 1)
        self.noise = noise
        if kind == "ncsnpp":
            self.map_noise = Fourier(noise)
        if labels:
            self.map_label = nn.Linear(labels, width if adm else noise, bias=not adm)
        if augments:
            self.map_augment = nn.Linear(augments, noise, bias=False)
        self.map_layer0, self.map_layer1 = nn.Linear(noise, width), nn.Linear(width, width)
        self.enc, self.dec, kept, last = nn.ModuleDict(), nn.ModuleDict(), [], len(mults) - 1
        here = base * (mults[0] if adm else 1)
        carried = channels
        for level, mult in enumerate(mults):
            name = f"{side >> level}x{side >> level}_"
            if level:
                self.enc[name + "down"] = Block(here, here, width, kind, "down")
                if kind == "ncsnpp":
                    residual = Conv(carried, here, 3, "down", TAPS[kind], fused=True)
                    self.enc[name + "aux_residual"], carried = residual, here
            else:
                self.enc[name + "conv"] = Conv(channels, here, 3)
            kept.append(here)
            for i in range(blocks):
                attends = side >> level in attention
                self.enc[f"{name}block{i}"] = Block(here, base * mult, width, kind, None, attends)
                kept.append(here := base * mult)
        for level in range(last, -1, -1):
            name = f"{side >> level}x{side >> level}_"
            if level == last:
                self.dec[name + "in0"] = Block(here, here, width, kind, None, True)
                self.dec[name + "in1"] = Block(here, here, width, kind)
            else:
                self.dec[name + "up"] = Block(here, here, width, kind, "up")
            for i in range(blocks + 1):
                attends = side >> level in attention and (adm or i == blocks)
                ins, here_ = here + kept.pop(), base * mults[level]
                self.dec[f"{name}block{i}"] = Block(ins, here_, width, kind, None, attends)
                here = here_
        if adm:
            self.out_norm, self.out_conv = norm(here, 1e-5), Conv(here, channels, 3)
        else:
            self.dec[f"{side}x{side}_aux_norm"] = norm(here, 1e-6)
            self.dec[f"{side}x{side}_aux_conv"] = Conv(here, channels, 3)

    def told(self, noise, hot):
        half, adm = self.noise // 2, self.kind == "adm"
        if self.kind == "ncsnpp":
            frequencies = 2 * math.pi * self.map_noise.freqs
        else:
            frequencies = (1 / 10_000) ** (torch.arange(half) / (half if adm else half - 1))
        angles = noise[:, None] * frequencies
        parts = [angles.cos(), angles.sin()]
        embedded = torch.cat(parts if adm else parts[::-1], 1)
        if hot is not None and not adm:
            embedded = embedded + self.map_label(hot * math.sqrt(hot.shape[1]))
        embedded = self.map_layer1(F.silu(self.map_layer0(embedded)))
        return F.silu(embedded + self.map_label(hot) if hot is not None and adm else embedded)

    def network(self, x, noise, hot):
        told, kept, carried = self.told(noise, hot), [], x
        for name, block in self.enc.items():
            if "residual" in name:
                x = carried = (x + block(carried)) / math.sqrt(2)
                kept[-1] = x
            else:
                x = block(x, told) if isinstance(block, Block) else block(x)
                kept.append(x)
        for name, block in self.dec.items():
            if isinstance(block, Block):
                joins = block.ins != x.shape[1]
                x = block(torch.cat([x, kept.pop()], 1) if joins else x, told)
            else:
                x = F.silu(block(x)) if "norm" in name else block(x)
        return x if self.kind != "adm" else self.out_conv(F.silu(self.out_norm(x)))

    def forward(self, x, sigma, hot=None):
        s, data = sigma.view(-1, 1, 1, 1), 0.5
        skip, out = data**2 / (s**2 + data**2), s * data / (s**2 + data**2).sqrt()
        answer = self.network(x / (s**2 + data**2).sqrt(), sigma.log() / 4, hot)
        return skip * x + out * answer


def random_edm(seed=0, **settings):
    """A network none of whose tensors is zero."""
    torch.manual_seed(seed)
    network = EdmReference(**settings).eval()
    with torch.no_grad():
        for name, tensor in network.named_parameters():
            if tensor.ndim > 1:
                tensor.normal_(0, 0.8 / math.sqrt(tensor[0].numel()))
            else:
                tensor.normal_(float("norm" in name and name.endswith("weight")), 0.2)
    return network
