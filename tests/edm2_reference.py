"""EDM2's network (Karras et al., 2312.02696, figure 21 and appendix B) as modules, by the names of
its tensors.

An oracle for `edm:` checkpoints, written from the paper's equations: weights are brought to unit
rows first, all magnitudes are written out, resampling by a filter of ones, attention head by head.
"""

from __future__ import annotations

import math

import torch
from torch import nn

EPS = 1e-4


def unit(x, dims):
    """x with a root mean square of 1 along dims, eq. 66: ε is added to the root mean square."""
    count = math.prod(x.shape[dim] for dim in dims)
    length = torch.linalg.vector_norm(x, dim=dims, keepdim=True)
    return x / (EPS + length / math.sqrt(count))


def silu(x):
    return x * torch.sigmoid(x) / 0.596


def mp_sum(a, b, t):
    return ((1 - t) * a + t * b) / math.sqrt((1 - t) ** 2 + t**2)


class Layer(nn.Module):
    def __init__(self, ins, outs, size=None):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outs, ins, *((size, size) if size else ())))

    def forward(self, x, gain=1.0):
        fan = self.weight[0].numel()
        w = unit(self.weight, tuple(range(1, self.weight.ndim))) / math.sqrt(fan) * gain
        if w.ndim == 2:
            return torch.einsum("bi,oi->bo", x, w)
        edge = w.shape[-1] // 2
        return nn.functional.conv2d(nn.functional.pad(x, (edge,) * 4), w)


class Block(nn.Module):
    def __init__(self, ins, outs, width, side, way=None, attends=False):
        super().__init__()
        self.side, self.way, self.heads = side, way, outs // 64 if attends else 0
        self.emb_gain = nn.Parameter(torch.zeros([]))
        self.conv_res0 = Layer(outs if side == "enc" else ins, outs, 3)
        self.emb_linear, self.conv_res1 = Layer(width, outs), Layer(outs, outs, 3)
        self.conv_skip = Layer(ins, outs, 1) if ins != outs else None
        if attends:
            self.attn_qkv, self.attn_proj = Layer(outs, 3 * outs, 1), Layer(outs, outs, 1)

    def resampled(self, x):
        if self.way == "down":
            return (
                x[..., ::2, ::2] + x[..., 1::2, ::2] + x[..., ::2, 1::2] + x[..., 1::2, 1::2]
            ) / 4
        return x.repeat_interleave(2, -1).repeat_interleave(2, -2) if self.way == "up" else x

    def forward(self, x, emb):
        x = self.resampled(x)
        if self.side == "enc":
            x = self.conv_skip(x) if self.conv_skip else x
            x = unit(x, (1,))
        y = self.conv_res0(silu(x))
        c = self.emb_linear(emb, self.emb_gain) + 1
        y = self.conv_res1(silu(torch.einsum("bchw,bc->bchw", y, c)))
        if self.side == "dec" and self.conv_skip:
            x = self.conv_skip(x)
        x = mp_sum(x, y, 0.3)
        if self.heads:
            x = mp_sum(x, self.attended(x), 0.3)
        return x.clamp(-256, 256)

    def attended(self, x):
        flat, size, answers = self.attn_qkv(x).flatten(2), x.shape[1] // self.heads, []
        for head in range(self.heads):
            mine = flat[:, 3 * size * head : 3 * size * (head + 1)]
            q, k, v = (unit(mine[:, which::3], (1,)) for which in range(3))
            weight = torch.einsum("bcq,bck->bqk", q, k / math.sqrt(size)).softmax(2)
            answers.append(torch.einsum("bqk,bck->bcq", weight, v))
        return self.attn_proj(torch.cat(answers, 1).reshape(x.shape))


class Waves(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.register_buffer("freqs", 2 * math.pi * torch.randn(width))
        self.register_buffer("phases", 2 * math.pi * torch.rand(width))

    def forward(self, noise):
        return math.sqrt(2) * torch.cos(noise[:, None] * self.freqs + self.phases)


class Edm2Unet(nn.Module):
    def __init__(self, side=16, channels=3, labels=0, base=64, mults=(1, 2), blocks=1,
                 attention=(8,)):  # fmt: skip
        super().__init__()
        widths = [base * mult for mult in mults]
        width, last, here, kept = max(widths), len(mults) - 1, widths[0], []
        self.emb_fourier, self.emb_noise = Waves(widths[0]), Layer(widths[0], width)
        self.emb_label = Layer(labels, width) if labels else None
        self.enc, self.dec = nn.ModuleDict(), nn.ModuleDict()
        for level, out in enumerate(widths):
            name, attends = f"{side >> level}x{side >> level}_", side >> level in attention
            if level:
                self.enc[name + "down"] = Block(here, here, width, "enc", "down")
            else:
                self.enc[name + "conv"] = Layer(channels + 1, here, 3)
            kept.append(here)
            for i in range(blocks):
                self.enc[f"{name}block{i}"] = Block(here, out, width, "enc", None, attends)
                kept.append(here := out)
        for level in range(last, -1, -1):
            name, attends = f"{side >> level}x{side >> level}_", side >> level in attention
            if level == last:
                self.dec[name + "in0"] = Block(here, here, width, "dec", None, True)
                self.dec[name + "in1"] = Block(here, here, width, "dec")
            else:
                self.dec[name + "up"] = Block(here, here, width, "dec", "up")
            for i in range(blocks + 1):
                ins, out = here + kept.pop(), widths[level]
                self.dec[f"{name}block{i}"] = Block(ins, out, width, "dec", None, attends)
                here = out
        self.out_gain, self.out_conv = nn.Parameter(torch.zeros([])), Layer(here, channels, 3)

    def forward(self, x, noise, hot):
        emb = self.emb_noise(self.emb_fourier(noise))
        if self.emb_label is not None:
            emb = mp_sum(emb, self.emb_label(hot * math.sqrt(hot.shape[1])), 0.5)
        emb, kept = silu(emb), []
        x = torch.cat([x, torch.ones_like(x[:, :1])], 1)
        for name, block in self.enc.items():
            kept.append(x := block(x) if name.endswith("conv") else block(x, emb))
        for name, block in self.dec.items():
            if "block" in name:
                other = kept.pop()
                a, b = x.shape[1], other.shape[1]  # eq. 103, both of weight one half
                both = math.sqrt((a + b) / 2)
                x = torch.cat([x * both / math.sqrt(a), other * both / math.sqrt(b)], 1)
            x = block(x, emb)
        return self.out_conv(x, self.out_gain)


class Edm2Reference(nn.Module):
    """`forward(x (B, C, H, W), sigma (B,), hot (B, labels))` → D(x; σ), σ_data 0.5."""

    def __init__(self, **settings):
        super().__init__()
        self.unet = Edm2Unet(**settings)
        self.logvar_fourier, self.logvar_linear = Waves(8), Layer(8, 1)

    def forward(self, x, sigma, hot=None):
        s = sigma[:, None, None, None]
        answer = self.unet(x / (0.25 + s**2).sqrt(), sigma.log() / 4, hot)
        return 0.25 / (s**2 + 0.25) * x + s / 2 / (s**2 + 0.25).sqrt() * answer


def random_edm2(seed=0, **settings):
    """Every tensor random, the gains too."""
    torch.manual_seed(seed)
    network = Edm2Reference(**settings).eval()
    with torch.no_grad():
        for name, each in network.named_parameters():
            each.copy_(torch.randn(each.shape) * (0.5 if name.endswith("gain") else 1.3))
        network.unet.out_gain.fill_(0.9)
    return network
