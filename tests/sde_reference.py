"""NCSN++ of score_sde (Song et al., 2011.13456, appendix H), as plain functions of named tensors.

An oracle for `sde:` checkpoints: residual blocks that change the resolution through a filter of
1, 3, 3, 1, attention by one head, pictures that are carried down and summed up.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

TAPS = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8


class Ncsnpp:
    """`score(u (B, C, H, W), sigma (B,))` of pixels u in [0, 1], and its `tensors` by name."""

    def __init__(self, side=16, channels=3, width=32, mults=(1, 4, 4), blocks=1, attention=(8,),
                 seed=0):  # fmt: skip
        self.tensors, self.stream = {}, torch.Generator().manual_seed(seed)
        self.side, self.blocks, self.attention = side, blocks, attention
        self.plan, temb = [], 4 * width
        self.add("waves", W=(width,))
        self.tensors["all_modules.0.W"] *= 0.05  # the published scale sees rounding errors of σ
        self.add("linear", weight=(temb, 2 * width), bias=(temb,))
        self.add("linear", weight=(temb, temb), bias=(temb,))
        self.conv(channels, width)
        here, kept, last = width, [width], len(mults) - 1
        for level, mult in enumerate(mults):
            for _ in range(blocks):
                self.resnet(here, width * mult, temb)
                here = width * mult
                if side >> level in attention:
                    self.attend(here)
                kept.append(here)
            if level < last:
                self.resnet(here, here, temb, moves=True)
                self.add("nothing")  # the filter that halves the picture has an index of its own
                self.add(
                    "join", **{"Conv_0.weight": (here, channels, 1, 1), "Conv_0.bias": (here,)}
                )
                kept.append(here)
        self.resnet(here, here, temb)
        self.attend(here)
        self.resnet(here, here, temb)
        for level in range(last, -1, -1):
            for _ in range(blocks + 1):
                out = width * mults[level]
                self.resnet(here + kept.pop(), out, temb)
                here = out
            if side >> level in attention:
                self.attend(here)
            if level < last:
                self.add("nothing")
            self.add("norm", weight=(here,), bias=(here,))
            self.conv(here, channels)
            if level:
                self.resnet(here, here, temb, moves=True)

    def add(self, kind, **shapes):
        number = len(self.plan)
        self.plan.append(kind)
        for leaf, shape in shapes.items():
            spread = 0.7 / math.sqrt(math.prod(shape[1:])) if len(shape) > 1 else 0.2
            value = spread * torch.randn(shape, generator=self.stream)
            if leaf.endswith("weight") and len(shape) == 1:
                value = 1 + value
            if leaf == "W" and len(self.plan) == 1:
                value = 5 * value
            self.tensors[f"all_modules.{number}.{leaf}"] = value

    def conv(self, ins, outs):
        self.add("conv", weight=(outs, ins, 3, 3), bias=(outs,))

    def resnet(self, ins, outs, temb, moves=False):
        shapes = {"GroupNorm_0": (ins,), "Conv_0": (outs, ins, 3, 3), "Dense_0": (outs, temb),
                  "GroupNorm_1": (outs,), "Conv_1": (outs, outs, 3, 3)}  # fmt: skip
        if ins != outs or moves:
            shapes["Conv_2"] = (outs, ins, 1, 1)
        both = {f"{name}.weight": shape for name, shape in shapes.items()}
        both |= {f"{name}.bias": shape[:1] for name, shape in shapes.items()}
        self.add("resnet", **both)

    def attend(self, channels):
        both = {"GroupNorm_0.weight": (channels,), "GroupNorm_0.bias": (channels,)}
        for i in range(4):
            both |= {f"NIN_{i}.W": (channels, channels), f"NIN_{i}.b": (channels,)}
        self.add("attention", **both)

    def score(self, u, sigma):
        at, w = 0, self.tensors

        def get(leaf, default=None):
            return w.get(f"all_modules.{at}.{leaf}", default)

        def norm(x, name=""):
            groups = min(x.shape[1] // 4, 32)
            return F.group_norm(x, groups, get(f"{name}weight"), get(f"{name}bias"), 1e-6)

        def conv(x, name=""):
            weight = get(f"{name}weight")
            return F.conv2d(x, weight, get(f"{name}bias"), padding=weight.shape[-1] // 2)

        def residual(x, told, move=lambda x: x):
            nonlocal at
            h = conv(move(F.silu(norm(x, "GroupNorm_0."))), "Conv_0.")
            h = h + F.linear(told, get("Dense_0.weight"), get("Dense_0.bias"))[..., None, None]
            h = conv(F.silu(norm(h, "GroupNorm_1.")), "Conv_1.")
            x = move(x)
            x = (h + (conv(x, "Conv_2.") if get("Conv_2.weight") is not None else x)) / 2**0.5
            at += 1
            return x

        def attended(x):
            nonlocal at
            h = norm(x, "GroupNorm_0.").flatten(2)
            q, k, v = (
                torch.einsum("bcp,cd->bdp", h, get(f"NIN_{i}.W")) + get(f"NIN_{i}.b")[:, None]
                for i in range(3)
            )
            share = torch.einsum("bcq,bck->bqk", q, k).div(x.shape[1] ** 0.5).softmax(2)
            h = torch.einsum("bqk,bck->bcq", share, v)
            h = torch.einsum("bcp,cd->bdp", h, get("NIN_3.W")) + get("NIN_3.b")[:, None]
            at += 1
            return (x + h.reshape(x.shape)) / 2**0.5

        angles = sigma.log()[:, None] * get("W") * 2 * math.pi
        told, at = torch.cat([angles.sin(), angles.cos()], 1), 1
        told, at = F.linear(told, get("weight"), get("bias")), 2
        told, at = F.silu(F.linear(F.silu(told), get("weight"), get("bias"))), 3
        x = picture = 2 * u - 1
        x, at = conv(x), 4
        kept = [x]
        while len(kept) < self.kept:
            if self.plan[at + 1] == "nothing":
                x, picture = residual(x, told, down), down(picture)
                at += 1
                x, at = x + conv(picture, "Conv_0."), at + 1
            else:
                x = residual(x, told)
                if self.plan[at] == "attention":
                    x = attended(x)
            kept.append(x)
        x = residual(attended(residual(x, told)), told)
        picture = None
        while kept:
            for _ in range(self.blocks + 1):
                x = residual(torch.cat([x, kept.pop()], 1), told)
            if self.plan[at] == "attention":
                x = attended(x)
            at += self.plan[at] == "nothing"
            h, at = F.silu(norm(x)), at + 1
            h, at = conv(h), at + 1
            picture = h if picture is None else up(picture) + h
            if kept:
                x = residual(x, told, up)
        assert at == len(self.plan)
        return picture / sigma[:, None, None, None]

    @property
    def kept(self):
        """How many tensors the way down leaves for the way up."""
        joins = self.plan.count("join")
        return 1 + (joins + 1) * self.blocks + joins


def filtered(x, taps):
    """Along rows, then along columns; no padding."""
    channels = x.shape[1]
    x = F.conv2d(x, taps.view(1, 1, -1, 1).repeat(channels, 1, 1, 1), groups=channels)
    return F.conv2d(x, taps.view(1, 1, 1, -1).repeat(channels, 1, 1, 1), groups=channels)


def down(x):
    return filtered(F.pad(x, (1, 1, 1, 1)), TAPS)[:, :, ::2, ::2]


def up(x):
    wide = x.new_zeros(*x.shape[:2], 2 * x.shape[2], 2 * x.shape[3])
    wide[:, :, ::2, ::2] = x
    return filtered(F.pad(wide, (2, 1, 2, 1)), 2 * TAPS)
