"""The Unet and the diffusion of denoising-diffusion-pytorch, as plain functions of named tensors.

An oracle for `lucid:` checkpoints, written from the published description alone: no modules, heads
and levels one after another. `python tests/lucid_reference.py` holds it against the package, where
that is installed.
"""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F

SETTINGS = {"dim": 16, "first": 16, "mults": (1, 2), "channels": 3, "full": (False, True),
            "heads": 4, "width": 32, "memory": 4}  # fmt: skip


def random_unet(seed=0, **settings):
    """Tensors by their names, none of them zero; and the settings."""
    said = SETTINGS | settings
    stream, made = torch.Generator().manual_seed(seed), {}

    def fill(name, *shape, around=0.0, spread=None):
        spread = spread or 0.8 / math.sqrt(math.prod(shape[1:]) or 1)
        made[name] = around + spread * torch.randn(*shape, generator=stream)

    def conv(name, out, ins, size, bias=True):
        fill(f"{name}.weight", out, ins, size, size)
        if bias:
            fill(f"{name}.bias", out, spread=0.2)

    def linear(name, out, ins):
        fill(f"{name}.weight", out, ins)
        fill(f"{name}.bias", out, spread=0.2)

    def norm(name, channels):
        fill(f"{name}.g", 1, channels, 1, 1, around=1.0, spread=0.2)

    def residual(name, ins, out):
        linear(f"{name}.mlp.1", 2 * out, 4 * said["dim"])
        for block, channels in (("block1", ins), ("block2", out)):
            conv(f"{name}.{block}.proj", out, channels, 3)
            norm(f"{name}.{block}.norm", out)
        if ins != out:
            conv(f"{name}.res_conv", out, ins, 1)

    def attention(name, channels, full):
        heads, width, memory = said["heads"], said["width"], said["memory"]
        norm(f"{name}.norm", channels)
        places = (memory, width) if full else (width, memory)
        fill(f"{name}.mem_kv", 2, heads, *places, spread=1.0)
        conv(f"{name}.to_qkv", 3 * heads * width, channels, 1, bias=False)
        conv(f"{name}.to_out" if full else f"{name}.to_out.0", channels, heads * width, 1)
        if not full:
            norm(f"{name}.to_out.1", channels)

    widths = [said["first"], *(said["dim"] * mult for mult in said["mults"])]
    last = len(widths) - 2
    conv("init_conv", said["first"], said["channels"], 7)
    linear("time_mlp.1", 4 * said["dim"], said["dim"])
    linear("time_mlp.3", 4 * said["dim"], 4 * said["dim"])
    for i in range(last + 1):
        here, there = widths[i], widths[i + 1]
        for block in (0, 1):
            residual(f"downs.{i}.{block}", here, here)
            residual(f"ups.{last - i}.{block}", here + there, there)
        attention(f"downs.{i}.2", here, said["full"][i])
        attention(f"ups.{last - i}.2", there, said["full"][i])
        if i < last:
            conv(f"downs.{i}.3.1", there, 4 * here, 1)
        else:
            conv(f"downs.{i}.3", there, here, 3)
        conv(f"ups.{last - i}.3{'.1' if i else ''}", here, there, 3)
    for block in ("mid_block1", "mid_block2"):
        residual(block, widths[-1], widths[-1])
    attention("mid_attn", widths[-1], full=True)
    residual("final_res_block", 2 * said["first"], said["first"])
    conv("final_conv", said["channels"], said["first"], 1)
    return made, said


def predict(w, said, x, t):
    """What the network says of x `(B, C, H, W)` at t `(B,)`."""

    def conv(name, x, **how):
        return F.conv2d(x, w[f"{name}.weight"], w.get(f"{name}.bias"), **how)

    def linear(name, x):
        return F.linear(x, w[f"{name}.weight"], w[f"{name}.bias"])

    def norm(name, x):
        length = x.pow(2).sum(1, keepdim=True).sqrt()
        return x / length * w[f"{name}.g"] * math.sqrt(x.shape[1])

    def residual(name, x, time):
        scale, shift = linear(f"{name}.mlp.1", F.silu(time))[:, :, None, None].chunk(2, 1)
        h = norm(f"{name}.block1.norm", conv(f"{name}.block1.proj", x, padding=1))
        h = F.silu(h * (scale + 1) + shift)
        h = F.silu(norm(f"{name}.block2.norm", conv(f"{name}.block2.proj", h, padding=1)))
        same = f"{name}.res_conv.weight" not in w
        return h + (x if same else conv(f"{name}.res_conv", x))

    def attend(name, x, full):
        count, _, height, wide = x.shape
        heads, width = said["heads"], said["width"]
        flat = conv(f"{name}.to_qkv", norm(f"{name}.norm", x)).flatten(2)
        q, k, v = flat.reshape(count, 3, heads, width, -1).unbind(1)
        answers = []
        for head in range(heads):
            memory = w[f"{name}.mem_kv"][:, head]
            memory = memory.mT if full else memory  # (2, width, memory)
            keys, values = (
                torch.cat([memory[i].expand(count, -1, -1), part[:, head]], 2)
                for i, part in enumerate((k, v))
            )
            if full:
                weight = torch.einsum("bdi,bdj->bij", q[:, head], keys) / math.sqrt(width)
                answers.append(torch.einsum("bij,bdj->bdi", weight.softmax(-1), values))
            else:
                context = torch.einsum("bdn,ben->bde", keys.softmax(-1), values)
                query = q[:, head].softmax(1) / math.sqrt(width)
                answers.append(torch.einsum("bde,bdn->ben", context, query))
        joined = torch.cat(answers, 1).reshape(count, heads * width, height, wide)
        if full:
            return conv(f"{name}.to_out", joined)
        return norm(f"{name}.to_out.1", conv(f"{name}.to_out.0", joined))

    half, last = said["dim"] // 2, len(said["mults"]) - 1
    angles = t[:, None] * torch.exp(-math.log(10_000) * torch.arange(half) / (half - 1))
    time = linear("time_mlp.1", torch.cat([angles.sin(), angles.cos()], 1))
    time = linear("time_mlp.3", F.gelu(time))
    x = start = conv("init_conv", x, padding=3)
    kept = []
    for i in range(last + 1):
        x = residual(f"downs.{i}.0", x, time)
        kept.append(x)
        x = residual(f"downs.{i}.1", x, time)
        x = x + attend(f"downs.{i}.2", x, said["full"][i])
        kept.append(x)
        down = F.pixel_unshuffle(x, 2)
        x = conv(f"downs.{i}.3.1", down) if i < last else conv(f"downs.{i}.3", x, padding=1)
    x = residual("mid_block1", x, time)
    x = x + attend("mid_attn", x, full=True)
    x = residual("mid_block2", x, time)
    for i in range(last + 1):
        for block in (0, 1):
            x = residual(f"ups.{i}.{block}", torch.cat([x, kept.pop()], 1), time)
        x = x + attend(f"ups.{i}.2", x, said["full"][last - i])
        if i < last:
            doubled = x.repeat_interleave(2, 2).repeat_interleave(2, 3)
            x = conv(f"ups.{i}.3.1", doubled, padding=1)
        else:
            x = conv(f"ups.{i}.3", x, padding=1)
    x = residual("final_res_block", torch.cat([x, start], 1), time)
    return conv("final_conv", x)


def betas(name, steps):
    """β of the three schedules, float64."""
    u = np.arange(steps + 1) / steps
    if name == "linear":
        return np.linspace(0.1 / steps, 20 / steps, steps)
    if name == "cosine":
        bars = np.cos((u + 0.008) / 1.008 * np.pi / 2) ** 2
    else:

        def sigmoid(x):
            return 1 / (1 + np.exp(-x))

        low, high = (np.float64(np.float32(sigmoid(end))) for end in (-3.0, 3.0))
        bars = (high - sigmoid(6 * u - 3)) / (high - low)
    return np.clip(1 - bars[1:] / bars[:-1], 0, 0.999)


def state_dict(tensors, schedule, objective, steps=1000, gamma=None):
    """What a GaussianDiffusion saves: its network, its β and the weights of its loss."""
    b = betas(schedule, steps)
    bars = np.cumprod(1 - b)
    snr = bars / (1 - bars)
    held = snr if gamma is None else np.minimum(snr, gamma)
    weight = {"pred_noise": held / snr, "pred_x0": held, "pred_v": held / (snr + 1)}[objective]
    buffers = {"betas": b, "alphas_cumprod": bars, "loss_weight": weight}
    return {
        **{f"model.{key}": value for key, value in tensors.items()},
        **{key: torch.tensor(value, dtype=torch.float32) for key, value in buffers.items()},
    }


def x0_of(output, x, bar, objective):
    """x̂0 from what is predicted at ᾱ."""
    if objective == "pred_noise":
        return (x - (1 - bar) ** 0.5 * output) / bar**0.5
    return output if objective == "pred_x0" else bar**0.5 * x - (1 - bar) ** 0.5 * output
