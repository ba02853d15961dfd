"""The autoencoders of CompVis' latent diffusion (Rombach et al., 2112.10752), quantised or KL.

Plain data, without torch: their flags, their configuration as diffusers' VQModel or AutoencoderKL,
and which of their layers becomes which there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar

from nca_cli.models.checkpoints.flags import Complaints
from nca_cli.models.checkpoints.layers import Layer, renamed

RESNET = {"norm1": "norm1", "conv1": "conv1", "norm2": "norm2", "conv2": "conv2",
          "nin_shortcut": "conv_shortcut"}  # fmt: skip
END = {"norm_out": "conv_norm_out", "conv_out": "conv_out"}
ATTENTION = {"q": "to_q", "k": "to_k", "v": "to_v", "proj_out": "to_out.0"}


@dataclass(frozen=True)
class CoderConfig:
    """`ddconfig`: encoder and decoder."""

    IDLE: ClassVar[frozenset[str]] = frozenset(("resolution", "dropout", "in_channels", "out_ch"))

    double_z: bool = False
    """Whether it encodes to a mean and a variance: a KL autoencoder."""
    z_channels: int = 3
    ch: int = 128
    ch_mult: tuple[int, ...] = (1, 2, 4)
    num_res_blocks: int = 2
    attn_resolutions: tuple[int, ...] = ()
    """Sides in pixels at which there is attention, beside the middle."""


@dataclass(frozen=True)
class FirstStageConfig:
    """`first_stage_config`; the defaults are CompVis' VQ-f4."""

    IDLE: ClassVar[frozenset[str]] = frozenset(("monitor", "ckpt_path", "lossconfig"))

    embed_dim: int = 3
    n_embed: int = 8192
    """Vectors of the codebook; a KL autoencoder has none."""
    ddconfig: CoderConfig = field(default_factory=CoderConfig)

    @property
    def factor(self) -> int:
        """Pixels to a latent, along a side."""
        return int(2 ** (len(self.ddconfig.ch_mult) - 1))

    @property
    def channels(self) -> list[int]:
        """Channels at each resolution, the finest first."""
        return [int(self.ddconfig.ch * factor) for factor in self.ddconfig.ch_mult]

    def attention(self, side: int) -> list[bool]:
        """Whether there is attention at each resolution, for latents of that side."""
        sides = (side * self.factor // 2**level for level in range(len(self.channels)))
        return [side in self.ddconfig.attn_resolutions for side in sides]

    def config(self, side: int, scale: float) -> dict[str, Any]:
        """The configuration of VQModel or AutoencoderKL for latents of that side."""
        attends, coder = self.attention(side), self.ddconfig
        own = {"vq_embed_dim": self.embed_dim, "num_vq_embeddings": self.n_embed}
        return {
            "_class_name": "AutoencoderKL" if coder.double_z else "VQModel",
            "sample_size": side * self.factor,
            "in_channels": 3,
            "out_channels": 3,
            "latent_channels": coder.z_channels,
            "layers_per_block": coder.num_res_blocks,
            "block_out_channels": self.channels,
            "down_block_types": [f"{'Attn' * here}DownEncoderBlock2D" for here in attends],
            "up_block_types": [f"{'Attn' * here}UpDecoderBlock2D" for here in reversed(attends)],
            "norm_num_groups": 32,
            "act_fn": "silu",
            "scaling_factor": scale,
            **({} if coder.double_z else own),
        }

    def layers(self, side: int) -> Iterator[Layer]:
        """Every layer, in the order of a forward pass."""
        attends, last = self.attention(side), len(self.channels) - 1
        yield Layer("encoder.conv_in", ("encoder.conv_in",))
        for i, here in enumerate(attends):
            theirs, ours = f"encoder.down.{i}", f"encoder.down_blocks.{i}"
            yield from self._level(theirs, ours, self.ddconfig.num_res_blocks, here)
            if i < last:
                yield Layer(f"{theirs}.downsample.conv", (f"{ours}.downsamplers.0.conv",))
        yield from _middle("encoder")
        for name in ("quant_conv", "quantize.embedding", "post_quant_conv", "decoder.conv_in"):
            yield Layer(name, (name,))
        yield from _middle("decoder", end=False)
        for i, here in enumerate(reversed(attends)):
            theirs, ours = f"decoder.up.{last - i}", f"decoder.up_blocks.{i}"
            yield from self._level(theirs, ours, self.ddconfig.num_res_blocks + 1, here)
            if i < last:
                yield Layer(f"{theirs}.upsample.conv", (f"{ours}.upsamplers.0.conv",))
        yield from renamed("decoder", "decoder", END)

    def _level(self, theirs: str, ours: str, blocks: int, attends: bool) -> Iterator[Layer]:
        for j in range(blocks):
            yield from renamed(f"{theirs}.block.{j}", f"{ours}.resnets.{j}", RESNET)
            if attends:
                yield from _attention(f"{theirs}.attn.{j}", f"{ours}.attentions.{j}")

    def complaints(self) -> Complaints:
        """What is impossible, and what diffusers cannot express."""
        coder = self.ddconfig
        sizes = (self.embed_dim, self.n_embed, coder.z_channels, coder.num_res_blocks)
        return {
            "ch_mult is empty": lambda: not coder.ch_mult,
            "a size or count of first_stage_config is below 1": lambda: min(sizes) < 1,
            "ch·ch_mult must be multiples of 32": lambda: any(
                c % 32 or c < 32 for c in self.channels),
            "ch_mult must begin with 1, diffusers has no other": lambda: coder.ch_mult[0] != 1,
            "embed_dim and z_channels of a KL autoencoder (double_z) differ": lambda: (
                coder.double_z and self.embed_dim != coder.z_channels),
        }  # fmt: skip


def _middle(side: str, end: bool = True) -> Iterator[Layer]:
    yield from renamed(f"{side}.mid.block_1", f"{side}.mid_block.resnets.0", RESNET)
    yield from _attention(f"{side}.mid.attn_1", f"{side}.mid_block.attentions.0")
    yield from renamed(f"{side}.mid.block_2", f"{side}.mid_block.resnets.1", RESNET)
    if end:
        yield from renamed(side, side, END)


def _attention(theirs: str, ours: str) -> Iterator[Layer]:
    yield Layer(f"{theirs}.norm", (f"{ours}.group_norm",))
    for old, new in ATTENTION.items():
        yield Layer(f"{theirs}.{old}", (f"{ours}.{new}",), kernel=2)
