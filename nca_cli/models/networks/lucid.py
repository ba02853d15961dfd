"""The Unet of denoising-diffusion-pytorch, by the names of its tensors (version 2).

Residual blocks with RMS norms and a shift and scale by t (Ho et al., 2006.11239; Nichol & Dhariwal,
2102.09672), linear attention (Katharopoulos et al., 2006.16236) at high resolutions and full
attention at the lowest, both with a few keys and values that were learned.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn


class LucidNorm(nn.Module):
    """Each pixel's vector of channels, of length √C, times a gain."""

    def __init__(self, channels: int):
        super().__init__()
        self.g = nn.Parameter(torch.ones(1, channels, 1, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x `(B, C, H, W)`."""
        return F.normalize(x, dim=1) * self.g * math.sqrt(x.shape[1])


class LucidBlock(nn.Module):
    """A convolution, its norm, and an activation."""

    def __init__(self, channels: int, out: int):
        super().__init__()
        self.proj = nn.Conv2d(channels, out, 3, padding=1)
        self.norm = LucidNorm(out)

    def forward(self, x: torch.Tensor, moved: torch.Tensor | None = None) -> torch.Tensor:
        """`moved` `(B, 2·out, 1, 1)`: scale and shift between norm and activation."""
        x = self.norm(self.proj(x))
        if moved is not None:
            scale, shift = moved.chunk(2, dim=1)
            x = x * (1 + scale) + shift
        return F.silu(x)


class LucidResidual(nn.Module):
    """Two blocks, the first of which hears t."""

    def __init__(self, channels: int, out: int, width: int):
        super().__init__()
        self.mlp = nn.Sequential(nn.SiLU(), nn.Linear(width, 2 * out))
        self.block1 = LucidBlock(channels, out)
        self.block2 = LucidBlock(out, out)
        self.res_conv = nn.Conv2d(channels, out, 1) if channels != out else nn.Identity()

    def forward(self, x: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
        """x `(B, C, H, W)`, time `(B, width)`."""
        moved = self.mlp(time)[:, :, None, None]
        result: torch.Tensor = self.block2(self.block1(x, moved)) + self.res_conv(x)
        return result


class LucidAttention(nn.Module):
    """Attention of pixels to pixels and to the learned memory; `linear`: softmax over features of
    queries and over positions of keys, so that its cost grows with H·W."""

    def __init__(self, channels: int, heads: int, width: int, memory: int, linear: bool):
        super().__init__()
        self.heads, self.linear, inner = heads, linear, heads * width
        self.norm = LucidNorm(channels)
        places = (width, memory) if linear else (memory, width)
        self.mem_kv = nn.Parameter(torch.zeros(2, heads, *places))
        self.to_qkv = nn.Conv2d(channels, 3 * inner, 1, bias=False)
        out = nn.Conv2d(inner, channels, 1)
        self.to_out = nn.Sequential(out, LucidNorm(channels)) if linear else out

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """What is added to x `(B, C, H, W)`."""
        count, _, height, wide = x.shape
        qkv = self.to_qkv(self.norm(x)).reshape(count, 3, self.heads, -1, height * wide)
        q, k, v = (part.transpose(-1, -2) for part in qkv.unbind(1))  # (B, heads, pixels, width)
        k, v = (self._with_memory(part, which) for which, part in enumerate((k, v)))
        if self.linear:
            q = q.softmax(-1) / math.sqrt(q.shape[-1])
            answer = q @ (k.softmax(-2).transpose(-1, -2) @ v)
        else:
            answer = (q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])).softmax(-1) @ v
        flat = answer.transpose(-1, -2).reshape(count, -1, height, wide)
        result: torch.Tensor = self.to_out(flat)
        return result

    def _with_memory(self, part: torch.Tensor, which: int) -> torch.Tensor:
        memory = self.mem_kv[which]
        memory = memory.transpose(-1, -2) if self.linear else memory
        return torch.cat([memory.expand(len(part), *memory.shape), part], dim=-2)


class LucidTime(nn.Module):
    """Sines, then cosines, of t at frequencies from 1 down to 1/θ."""

    def __init__(self, width: int, theta: float):
        super().__init__()
        self.width, self.theta = width, theta

    def forward(self, t: torch.Tensor) -> torch.Tensor:
        """t `(B,)` → `(B, width)`."""
        half = self.width // 2
        steps = torch.arange(half, device=t.device, dtype=torch.float32) / (half - 1)
        angles = t.float()[:, None] * torch.exp(-math.log(self.theta) * steps)
        return torch.cat([angles.sin(), angles.cos()], dim=1)


class LucidUnet(nn.Module):
    """`forward(x (B, C, H, W), t (B,))` → what it predicts, shaped as x."""

    def __init__(self, config: Mapping[str, Any]):
        super().__init__()
        dim, first = config["dim"], config["first_dim"]
        widths = [first, *(int(dim * mult) for mult in config["mults"])]
        pairs = [*pairwise(widths)]
        heads = [*zip(config["heads"], config["head_dims"], config["full"], strict=True)]
        time, memory, last = 4 * dim, config["memory"], len(pairs) - 1

        def residuals(channels: int, out: int) -> Iterable[nn.Module]:
            return (LucidResidual(channels, out, time), LucidResidual(channels, out, time))

        def attention(channels: int, level: int) -> nn.Module:
            count, width, full = heads[level]
            return LucidAttention(channels, count, width, memory, linear=not full)

        self.init_conv = nn.Conv2d(config["in_channels"], first, 7, padding=3)
        embedding = LucidTime(dim, config["theta"])
        layers = (embedding, nn.Linear(dim, time), nn.GELU(), nn.Linear(time, time))
        self.time_mlp = nn.Sequential(*layers)
        self.downs = nn.ModuleList(
            nn.ModuleList(
                [*residuals(here, here), attention(here, i), _down(here, there, i < last)]
            )
            for i, (here, there) in enumerate(pairs)
        )
        middle = widths[-1]
        self.mid_block1, self.mid_block2 = residuals(middle, middle)
        count, width, _ = heads[-1]
        self.mid_attn = LucidAttention(middle, count, width, memory, linear=False)
        self.ups = nn.ModuleList(
            nn.ModuleList([*residuals(there + here, there), attention(there, i),
                           _up(there, here, i > 0)])
            for i, (here, there) in reversed([*enumerate(pairs)])
        )  # fmt: skip
        self.final_res_block = LucidResidual(2 * first, first, time)
        self.final_conv = nn.Conv2d(first, config["out_channels"], 1)

    def forward(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        """See the class."""
        x = start = self.init_conv(x)
        time = self.time_mlp(t)
        kept: list[torch.Tensor] = []
        for level in self.downs:
            first, second, attention, resize = level.children()
            kept.append(x := first(x, time))
            x = second(x, time)
            kept.append(x := x + attention(x))
            x = resize(x)
        x = self.mid_block1(x, time)
        x = x + self.mid_attn(x)
        x = self.mid_block2(x, time)
        for level in self.ups:
            first, second, attention, resize = level.children()
            x = first(torch.cat([x, kept.pop()], 1), time)
            x = second(torch.cat([x, kept.pop()], 1), time)
            x = resize(x + attention(x))
        result: torch.Tensor = self.final_conv(self.final_res_block(torch.cat([x, start], 1), time))
        return result


def _down(channels: int, out: int, halves: bool) -> nn.Module:
    """Four pixels become one of four times the channels; the lowest resolution stays."""
    if not halves:
        return nn.Conv2d(channels, out, 3, padding=1)
    return nn.Sequential(nn.PixelUnshuffle(2), nn.Conv2d(4 * channels, out, 1))


def _up(channels: int, out: int, doubles: bool) -> nn.Module:
    """Each pixel becomes four; the highest resolution stays."""
    conv = nn.Conv2d(channels, out, 3, padding=1)
    return nn.Sequential(nn.Upsample(scale_factor=2, mode="nearest"), conv) if doubles else conv
