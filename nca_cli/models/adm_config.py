"""Configurations of ADM networks (Dhariwal & Nichol, 2105.05233), by the flags of guided-diffusion.

The defaults are those of P2 weighting's models (Choi et al., 2204.00227). Neither torch nor
diffusers is loaded here: a configuration is turned into those of a diffusers pipeline, as data.
"""

from __future__ import annotations

import difflib
import math
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from nca_cli.errors import ModelError

BETAS = {"linear": "linear", "cosine": "squaredcos_cap_v2"}
"""noise_schedule → beta_schedule of diffusers."""
CHANNEL_MULT = {
    512: (0.5, 1, 1, 2, 2, 4, 4), 256: (1, 1, 2, 2, 4, 4), 128: (1, 1, 2, 3, 4), 64: (1, 2, 3, 4),
}  # fmt: skip
"""guided-diffusion's multipliers by image size, where none are given."""
IDLE = frozenset(
    ("dropout", "use_checkpoint", "use_fp16", "use_ddim", "timestep_respacing", "use_kl",
     "rescale_learned_sigmas", "p2_gamma", "p2_k", "clip_denoised", "batch_size", "lr")
)  # fmt: skip
"""Flags of training and sampling, which change nothing about the network."""


@dataclass(frozen=True)
class AdmConfig:
    """An ADM network and its schedule; every field is a flag of guided-diffusion."""

    image_size: int = 256
    num_channels: int = 128
    channel_mult: tuple[float, ...] = ()
    """Of `num_channels`, one for each resolution; empty: guided-diffusion's for `image_size`."""
    num_res_blocks: int = 1
    attention_resolutions: tuple[int, ...] = (16,)
    """Sides in pixels at which there is attention."""
    num_heads: int = 4
    """Counts where `num_head_channels` is -1."""
    num_head_channels: int = 64
    resblock_updown: bool = True
    learn_sigma: bool = True
    use_scale_shift_norm: bool = True
    use_new_attention_order: bool = False
    class_cond: bool = False
    predict_xstart: bool = False
    sigma_small: bool = False
    noise_schedule: str = "linear"
    diffusion_steps: int = 1000
    rescale_timesteps: bool = False

    @property
    def channels(self) -> tuple[int, ...]:
        """Channels at each resolution, the finest first."""
        mult = self.channel_mult or CHANNEL_MULT.get(self.image_size, (1,))
        return tuple(int(factor * self.num_channels) for factor in mult)

    @property
    def attention(self) -> tuple[bool, ...]:
        """Whether there is attention at each resolution, the finest first."""
        sides = (self.image_size // 2**level for level in range(len(self.channels)))
        return tuple(side in self.attention_resolutions for side in sides)

    def heads(self, channels: int) -> int:
        """Attention heads over so many channels."""
        width = self.num_head_channels
        return self.num_heads if width == -1 else channels // width

    def unet(self) -> dict[str, Any]:
        """The network as a configuration of diffusers' UNet2DModel.

        `num_heads` is nca's own: where heads are counted, diffusers can only be told their width.
        """
        kind = "Resnet{}sampleBlock2D" if self.resblock_updown else "{}Block2D"
        plain = [kind.format(way) for way in ("Down", "Up")]
        down = [("AttnDownBlock2D" if here else plain[0]) for here in self.attention]
        up = [("AttnUpBlock2D" if here else plain[1]) for here in reversed(self.attention)]
        between = "resnet" if self.resblock_updown else "conv"
        counted = self.num_head_channels == -1
        return {
            "_class_name": "UNet2DModel",
            "sample_size": self.image_size,
            "in_channels": 3,
            "out_channels": 6 if self.learn_sigma else 3,
            "layers_per_block": self.num_res_blocks,
            "block_out_channels": list(self.channels),
            "down_block_types": down,
            "up_block_types": up,
            "downsample_type": between,
            "upsample_type": between,
            "resnet_time_scale_shift": "scale_shift" if self.use_scale_shift_norm else "default",
            "attention_head_dim": None if counted else self.num_head_channels,
            "norm_num_groups": 32,
            "attn_norm_num_groups": 32,
            "norm_eps": 1e-5,
            "flip_sin_to_cos": True,
            "freq_shift": 0,
            **({"num_heads": self.num_heads} if counted else {}),
        }

    def scheduler(self) -> dict[str, Any]:
        """The schedule as a configuration of diffusers' DDPMScheduler.

        guided-diffusion stretches the linear β so that any number of steps ends in the same noise.
        """
        fixed = "fixed_small" if self.sigma_small else "fixed_large"
        stretch = 1000 / self.diffusion_steps
        return {
            "_class_name": "DDPMScheduler",
            "beta_schedule": BETAS[self.noise_schedule],
            "beta_start": 1e-4 * stretch,
            "beta_end": 0.02 * stretch,
            "num_train_timesteps": self.diffusion_steps,
            "clip_sample": True,
            "prediction_type": "sample" if self.predict_xstart else "epsilon",
            "variance_type": "learned_range" if self.learn_sigma else fixed,
            "timestep_spacing": "linspace",
        }


def read_config(file: Path, model: str) -> AdmConfig:
    """The configuration in a TOML file, P2's where a key is absent. Raises `ModelError`."""
    try:
        table = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(model, f"cannot read {file} ({_one_line(error)})") from error
    known = {item.name: item.default for item in fields(AdmConfig)}
    settings = {}
    for key, value in table.items():
        if key in known:
            settings[key] = _typed(key, value, known[key], file, model)
        elif key not in IDLE:
            raise ModelError(model, f"{file} names {key!r}, no flag nca knows", _near(key, known))
    return _checked(AdmConfig(**settings), file, model)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def _near(key: str, known: Mapping[str, object]) -> str:
    near = difflib.get_close_matches(key, known, 1)
    return f"did you mean {near[0]}?" if near else f"one of: {', '.join(known)}"


def _typed(key: str, value: object, default: object, file: Path, model: str) -> Any:
    """`value` as the flag has it; lists also as guided-diffusion's text, `"32,16,8"`."""
    if isinstance(default, tuple):
        return _numbers(key, value, file, model)
    if type(value) is type(default):
        return value
    raise ModelError(model, f"{file}: {key} is {value!r}, not of type {type(default).__name__}")


def _numbers(key: str, value: object, file: Path, model: str) -> tuple[float, ...]:
    items = [part for part in value.split(",") if part] if isinstance(value, str) else value
    try:
        assert isinstance(items, list)
        numbers = [float(item) for item in items]
        assert all(map(math.isfinite, numbers))
    except (AssertionError, TypeError, ValueError) as error:
        raise ModelError(model, f"{file}: {key} is {value!r}, not a list of numbers") from error
    return tuple(int(number) if number.is_integer() else number for number in numbers)


def _checked(config: AdmConfig, file: Path, model: str) -> AdmConfig:
    """Refuse what is impossible, and what UNet2DModel cannot express."""
    for reason, holds in _complaints(config).items():
        if holds():
            raise ModelError(model, f"{file}: {reason}")
    return config


def _complaints(config: AdmConfig) -> dict[str, Callable[[], bool]]:
    """What can be wrong with a configuration, in the order in which it is looked for."""
    numbers = (config.image_size, config.num_channels, config.num_res_blocks, config.num_heads)
    attending = [c for c, here in zip(config.channels, config.attention, strict=True) if here]
    attending.append(config.channels[-1])
    side, halvings = config.image_size, len(config.channels) - 1
    return {
        "class-conditional networks are not supported (class_cond)": lambda: config.class_cond,
        f"unknown noise_schedule {config.noise_schedule!r} ({', '.join(BETAS)})":
            lambda: config.noise_schedule not in BETAS,
        "a size or count is below 1": lambda: min(numbers) < 1 or config.diffusion_steps < 20,
        f"channel_mult is needed for image_size {side}":
            lambda: not config.channel_mult and side not in CHANNEL_MULT,
        "channel_mult must begin with 1, diffusers has no other": lambda: (
            config.channels[0] != config.num_channels),
        "channels must be multiples of 32": lambda: any(c % 32 or c < 32 for c in config.channels),
        f"image_size {side} cannot be halved {halvings} times": lambda: side % 2**halvings != 0,
        "num_head_channels is neither -1 nor above 0": lambda: (
            config.num_head_channels < 1 and config.num_head_channels != -1),
        "channels with attention cannot be split into heads evenly": lambda: any(
            c % (config.num_heads if config.num_head_channels == -1 else config.num_head_channels)
            for c in attending),
        "rescale_timesteps needs diffusion_steps = 1000": lambda: (
            config.rescale_timesteps and config.diffusion_steps != 1000),
    }  # fmt: skip
