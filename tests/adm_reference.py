"""The ADM network (Dhariwal & Nichol, 2105.05233), written from its published architecture alone.

An oracle for `nca_cli.models.checkpoints`: plain torch, no diffusers, with the names of tensors
that guided-diffusion's checkpoints have. Sizes are its flags; `channels` are those of x.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import nn

P2 = {
    "image_size": 256, "num_channels": 128, "channel_mult": (1, 1, 2, 2, 4, 4),
    "num_res_blocks": 1, "attention_resolutions": (16,), "num_head_channels": 64, "num_heads": 4,
    "resblock_updown": True, "learn_sigma": True, "use_scale_shift_norm": True,
    "use_new_attention_order": False,
}  # fmt: skip


def embedding(t, width):
    """Cosines, then sines, of t at frequencies from 1 down to nearly 1/10000."""
    half = width // 2
    frequencies = torch.exp(-math.log(10_000) * torch.arange(half) / half)
    angles = t[:, None].float() * frequencies[None]
    return torch.cat([angles.cos(), angles.sin()], dim=1)


def norm(channels):
    return nn.GroupNorm(32, channels)


class Halve(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.op = nn.Conv2d(channels, channels, 3, stride=2, padding=1)

    def forward(self, x):
        return self.op(x)


class Double(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x):
        return self.conv(x.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3))


class Residual(nn.Module):
    """BigGAN's residual block with adaptive group norm; it may change the resolution."""

    def __init__(self, channels, out, width, film, resize=None):
        super().__init__()
        self.film, self.resize = film, resize
        self.in_layers = nn.Sequential(
            norm(channels), nn.SiLU(), nn.Conv2d(channels, out, 3, padding=1)
        )
        self.emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(width, 2 * out if film else out))
        self.out_layers = nn.Sequential(
            norm(out), nn.SiLU(), nn.Dropout(0.0), nn.Conv2d(out, out, 3, padding=1)
        )
        same = channels == out
        self.skip_connection = nn.Identity() if same else nn.Conv2d(channels, out, 1)

    def scaled(self, x):
        if self.resize == "down":
            return F.avg_pool2d(x, 2)
        if self.resize == "up":
            return x.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
        return x

    def forward(self, x, emb):
        h = self.in_layers[2](self.scaled(self.in_layers[1](self.in_layers[0](x))))
        x = self.scaled(x)
        emb = self.emb_layers(emb)[:, :, None, None]
        if self.film:
            scale, shift = emb.chunk(2, dim=1)
            h = self.out_layers[0](h) * (1 + scale) + shift
            h = self.out_layers[3](self.out_layers[1](h))
        else:
            h = self.out_layers(h + emb)
        return self.skip_connection(x) + h


class Attention(nn.Module):
    """Self-attention over pixels. One 1×1 convolution holds q, k and v, head by head."""

    def __init__(self, channels, heads, new_order):
        super().__init__()
        self.heads, self.new_order = heads, new_order
        self.norm = norm(channels)
        self.qkv = nn.Conv1d(channels, 3 * channels, 1)
        self.proj_out = nn.Conv1d(channels, channels, 1)

    def forward(self, x):
        b, c, height, wide = x.shape
        flat = x.reshape(b, c, height * wide)
        qkv, size = self.qkv(self.norm(flat)), c // self.heads
        answers = []
        for head in range(self.heads):
            rows = range(head * size, (head + 1) * size)
            if self.new_order:  # all q, all k, all v
                q, k, v = (qkv[:, [part * c + row for row in rows]] for part in range(3))
            else:  # the q, k, v of one head together
                mine = qkv[:, 3 * size * head : 3 * size * (head + 1)]
                q, k, v = mine[:, :size], mine[:, size : 2 * size], mine[:, 2 * size :]
            weight = torch.softmax(torch.einsum("bct,bcs->bts", q, k) / math.sqrt(size), dim=-1)
            answers.append(torch.einsum("bts,bcs->bct", weight, v))
        return (flat + self.proj_out(torch.cat(answers, dim=1))).reshape(x.shape)


class Adm(nn.Module):
    """`forward(x (B, 3, H, W), t (B,), label (B,))` → `(B, 3 or 6, H, W)`."""

    def __init__(self, **flags):
        super().__init__()
        self.flags = flags = P2 | flags
        base, depth = flags["num_channels"], flags["num_res_blocks"]
        widths = [int(m * base) for m in flags["channel_mult"]]
        sides = [flags["image_size"] // 2**level for level in range(len(widths))]
        width, last = 4 * base, len(widths) - 1
        film, resblocks = flags["use_scale_shift_norm"], flags["resblock_updown"]

        def attention(channels):
            by_width = flags["num_head_channels"] != -1
            heads = channels // flags["num_head_channels"] if by_width else flags["num_heads"]
            return Attention(channels, heads, flags["use_new_attention_order"])

        def resized(channels, way):
            if resblocks:
                return Residual(channels, channels, width, film, way)
            return Halve(channels) if way == "down" else Double(channels)

        self.time_embed = nn.Sequential(nn.Linear(base, width), nn.SiLU(), nn.Linear(width, width))
        if flags.get("class_cond"):
            self.label_emb = nn.Embedding(flags["num_classes"], width)
        channels, kept = widths[0], [widths[0]]
        inputs = flags.get("channels", 3)
        blocks = [[nn.Conv2d(inputs, channels, 3, padding=1)]]
        for level, out in enumerate(widths):
            for _ in range(depth):
                blocks.append([Residual(channels, out, width, film)])
                channels = out
                if sides[level] in flags["attention_resolutions"]:
                    blocks[-1].append(attention(channels))
                kept.append(channels)
            if level < last:
                blocks.append([resized(channels, "down")])
                kept.append(channels)
        self.input_blocks = nn.ModuleList(map(nn.ModuleList, blocks))
        self.middle_block = nn.ModuleList([
            Residual(channels, channels, width, film), attention(channels),
            Residual(channels, channels, width, film),
        ])  # fmt: skip
        blocks = []
        for level in reversed(range(len(widths))):
            for i in range(depth + 1):
                blocks.append([Residual(channels + kept.pop(), widths[level], width, film)])
                channels = widths[level]
                if sides[level] in flags["attention_resolutions"]:
                    blocks[-1].append(attention(channels))
                if level and i == depth:
                    blocks[-1].append(resized(channels, "up"))
        self.output_blocks = nn.ModuleList(map(nn.ModuleList, blocks))
        outs = inputs * (2 if flags["learn_sigma"] else 1)
        self.out = nn.Sequential(norm(channels), nn.SiLU(), nn.Conv2d(channels, outs, 3, padding=1))

    def forward(self, x, t, label=None):
        emb = self.time_embed(embedding(t, self.flags["num_channels"]))
        if label is not None:
            emb = emb + self.label_emb(label)

        def through(modules, h):
            for module in modules:
                h = module(h, emb) if isinstance(module, Residual) else module(h)
            return h

        kept, h = [], x
        for modules in self.input_blocks:
            h = through(modules, h)
            kept.append(h)
        h = through(self.middle_block, h)
        for modules in self.output_blocks:
            h = through(modules, torch.cat([h, kept.pop()], dim=1))
        return self.out(h)


def random_adm(seed=0, sharpness=2.0, **flags):
    """A network whose every tensor matters."""
    torch.manual_seed(seed)
    return randomise(Adm(**flags).eval(), sharpness)


def randomise(network, sharpness=2.0):
    """Nothing is zero, norms are not the identity. The network.

    `sharpness` is that of attention: a network with much of it amplifies rounding if it is sharp.
    """
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if parameter.ndim > 1:
                fan_in = parameter[0].numel()
                attends = "qkv" in name or name.endswith((".q.weight", ".k.weight"))
                parameter.normal_(0, (sharpness if attends else 0.8) / math.sqrt(fan_in))
            elif name.endswith("weight"):
                parameter.normal_(1, 0.2)
            else:
                parameter.normal_(0, 0.2)
    return network
