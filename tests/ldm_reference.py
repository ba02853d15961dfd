"""Latent diffusion (Rombach et al., 2112.10752), written from its published architecture alone.

An oracle for `nca_cli.models.checkpoints`: plain torch, no diffusers, with the names of tensors
that CompVis' checkpoints have. The denoising network is that of `adm_reference`.
"""

from __future__ import annotations

import sys
from collections import OrderedDict
from itertools import pairwise
from types import ModuleType

import torch
import torch.nn.functional as F
from adm_reference import Adm, Double, randomise
from torch import nn

VQ_F4 = {
    "double_z": False, "z_channels": 3, "ch": 128, "ch_mult": (1, 2, 4), "num_res_blocks": 2,
    "attn_resolutions": (), "embed_dim": 3, "n_embed": 8192, "resolution": 256,
}  # fmt: skip


def norm(channels):
    return nn.GroupNorm(32, channels, eps=1e-6)


class Block(nn.Module):
    def __init__(self, channels, out):
        super().__init__()
        self.norm1, self.conv1 = norm(channels), nn.Conv2d(channels, out, 3, padding=1)
        self.norm2, self.conv2 = norm(out), nn.Conv2d(out, out, 3, padding=1)
        if channels != out:
            self.nin_shortcut = nn.Conv2d(channels, out, 1)

    def forward(self, x):
        h = self.conv1(F.silu(self.norm1(x)))
        h = self.conv2(F.silu(self.norm2(h)))
        return h + (self.nin_shortcut(x) if hasattr(self, "nin_shortcut") else x)


class Attention(nn.Module):
    """One head over all pixels."""

    def __init__(self, channels):
        super().__init__()
        self.norm = norm(channels)
        self.q, self.k, self.v, self.proj_out = (nn.Conv2d(channels, channels, 1) for _ in range(4))

    def forward(self, x):
        h = self.norm(x)
        q, k, v = (part(h).flatten(2) for part in (self.q, self.k, self.v))
        weight = torch.softmax(torch.einsum("bct,bcs->bts", q, k) * q.shape[1] ** -0.5, dim=-1)
        return x + self.proj_out(torch.einsum("bts,bcs->bct", weight, v).reshape(x.shape))


class Halve(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, stride=2)

    def forward(self, x):
        return self.conv(F.pad(x, (0, 1, 0, 1)))  # right and below alone


class Level(nn.Module):
    """The blocks of one resolution, and the change to the next one."""

    def __init__(self, channels, out, blocks, attends, resize=None):
        super().__init__()
        widths = [channels] + [out] * blocks
        self.block = nn.ModuleList(Block(*pair) for pair in pairwise(widths))
        self.attn = nn.ModuleList(Attention(out) for _ in range(blocks if attends else 0))
        if resize is not None:
            self.add_module(*resize)

    def forward(self, x):
        for i, block in enumerate(self.block):
            x = block(x)
            x = self.attn[i](x) if len(self.attn) else x
        for name in ("downsample", "upsample"):
            x = getattr(self, name)(x) if hasattr(self, name) else x
        return x


class Middle(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.block_1, self.attn_1, self.block_2 = (
            Block(channels, channels), Attention(channels), Block(channels, channels),
        )  # fmt: skip

    def forward(self, x):
        return self.block_2(self.attn_1(self.block_1(x)))


class Encoder(nn.Module):
    def __init__(self, widths, attends, blocks, out):
        super().__init__()
        before, last = [widths[0], *widths], len(widths) - 1
        self.conv_in = nn.Conv2d(3, widths[0], 3, padding=1)
        self.down = nn.ModuleList(
            Level(before[i], width, blocks, attends[i],
                  ("downsample", Halve(width)) if i < last else None)
            for i, width in enumerate(widths)
        )  # fmt: skip
        self.mid = Middle(widths[-1])
        self.norm_out, self.conv_out = norm(widths[-1]), nn.Conv2d(widths[-1], out, 3, padding=1)

    def forward(self, x):
        h = self.conv_in(x)
        for level in self.down:
            h = level(h)
        return self.conv_out(F.silu(self.norm_out(self.mid(h))))


class Decoder(nn.Module):
    """`up.0` is the finest level, though it comes last."""

    def __init__(self, widths, attends, blocks, z_channels):
        super().__init__()
        after = [*widths[1:], widths[-1]]
        self.conv_in = nn.Conv2d(z_channels, widths[-1], 3, padding=1)
        self.mid = Middle(widths[-1])
        self.up = nn.ModuleList(
            Level(after[i], width, blocks + 1, attends[i],
                  ("upsample", Double(width)) if i else None)
            for i, width in enumerate(widths)
        )  # fmt: skip
        self.norm_out, self.conv_out = norm(widths[0]), nn.Conv2d(widths[0], 3, 3, padding=1)

    def forward(self, z):
        h = self.mid(self.conv_in(z))
        for level in reversed(self.up):
            h = level(h)
        return self.conv_out(F.silu(self.norm_out(h)))


class Codebook(nn.Module):
    def __init__(self, count, width):
        super().__init__()
        self.embedding = nn.Embedding(count, width)

    def forward(self, z):
        """The nearest vector of the codebook, at each pixel."""
        vectors = self.embedding.weight
        flat = z.movedim(1, -1)
        distance = ((flat[..., None, :] - vectors) ** 2).sum(-1)
        return vectors[distance.argmin(-1)].movedim(-1, 1)


class FirstStage(nn.Module):
    """`encode(x (B, 3, H, W))` → z before quantisation (or the mean); `decode(z)` → x."""

    def __init__(self, **flags):
        super().__init__()
        self.flags = flags = VQ_F4 | flags
        widths = [flags["ch"] * factor for factor in flags["ch_mult"]]
        sides = [flags["resolution"] // 2**level for level in range(len(widths))]
        attends = [side in flags["attn_resolutions"] for side in sides]
        z, embed, twice = flags["z_channels"], flags["embed_dim"], 1 + flags["double_z"]
        blocks = flags["num_res_blocks"]
        self.encoder = Encoder(widths, attends, blocks, z * twice)
        self.decoder = Decoder(widths, attends, blocks, z)
        if not flags["double_z"]:
            self.quantize = Codebook(flags["n_embed"], embed)
        self.quant_conv = nn.Conv2d(z * twice, embed * twice, 1)
        self.post_quant_conv = nn.Conv2d(embed, z, 1)

    def encode(self, x):
        return self.quant_conv(self.encoder(x))[:, : self.flags["embed_dim"]]

    def decode(self, z):
        quantised = z if self.flags["double_z"] else self.quantize(z)
        return self.decoder(self.post_quant_conv(quantised))


def random_first_stage(seed=0, **flags):
    """An autoencoder whose every tensor matters."""
    torch.manual_seed(seed + 10)
    network = randomise(FirstStage(**flags).eval())
    if not network.flags["double_z"]:
        with torch.no_grad():
            network.quantize.embedding.weight.normal_()
    return network


def state_dict(unet: Adm, first_stage: FirstStage, averaged: Adm | None = None, **more):
    """The tensors of a LatentDiffusion as CompVis saves them, beside those of its schedule."""
    state = OrderedDict(betas=torch.linspace(0, 1, 1000), logvar=torch.zeros(1000))
    for key, value in unet.state_dict().items():
        state[f"model.diffusion_model.{key}"] = value
    if averaged is not None:
        state["model_ema.decay"] = torch.tensor(0.9999)
        state["model_ema.num_updates"] = torch.tensor(7, dtype=torch.int)
        for key, value in averaged.state_dict().items():
            state["model_ema." + f"diffusion_model.{key}".replace(".", "")] = value
    for key, value in first_stage.state_dict().items():
        state[f"first_stage_model.{key}"] = value
    return state | more


def save_lightning(file, state, callback="pytorch_lightning.callbacks.model_checkpoint"):
    """As Lightning 1.4 saves: the state of a callback stands under the callback's class."""
    module = ModuleType(callback)
    module.ModelCheckpoint = type("ModelCheckpoint", (), {"__module__": callback})
    parts = callback.split(".")
    parents = {".".join(parts[:n]): ModuleType("") for n in range(1, len(parts))}
    sys.modules |= parents | {callback: module}
    try:
        torch.save({
            "epoch": 634, "global_step": 889999, "pytorch-lightning_version": "1.4.2",
            "state_dict": state, "lr_schedulers": [],
            "callbacks": {module.ModelCheckpoint: {
                "monitor": "val/loss", "best_model_score": torch.tensor(0.1),
                "best_model_path": "", "kept": module.ModelCheckpoint(),
            }},
        }, file)  # fmt: skip
    finally:
        for name in (*parents, callback):
            del sys.modules[name]
    return file
