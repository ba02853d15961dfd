"""The UNet of guided-diffusion (Dhariwal & Nichol, 2105.05233), which CompVis' latent models share.

Plain data, without torch: its sizes, its configuration as diffusers' UNet2DModel, and which of
its layers becomes which there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from nca_cli.models.checkpoints.flags import Complaints
from nca_cli.models.checkpoints.layers import Layer, renamed
from nca_cli.models.checks import MOST

RESNET = {
    "in_layers.0": "norm1",
    "in_layers.2": "conv1",
    "emb_layers.1": "time_emb_proj",
    "out_layers.0": "norm2",
    "out_layers.3": "conv2",
    "skip_connection": "conv_shortcut",
}
BEFORE = {
    "time_embed.0": "time_embedding.linear_1",
    "time_embed.2": "time_embedding.linear_2",
    "label_emb": "class_embedding",
    "input_blocks.0.0": "conv_in",
}
AFTER = {"out.0": "conv_norm_out", "out.2": "conv_out"}
SHARED = (
    "num_res_blocks", "num_heads", "num_head_channels", "resblock_updown", "use_scale_shift_norm",
    "use_new_attention_order",
)  # fmt: skip


@dataclass(frozen=True)
class Unet:
    """Sizes of a network, with the names that both programs give to what they share."""

    image_size: int
    """Side of what it works on: pixels, or latents."""
    width: int
    """Channels at the finest resolution."""
    channel_mult: tuple[float, ...]
    """Of `width`, one for each resolution."""
    num_res_blocks: int
    attention: tuple[bool, ...]
    """Whether there is attention at each resolution, the finest first."""
    num_heads: int
    """Counts where `num_head_channels` is -1."""
    num_head_channels: int
    resblock_updown: bool
    use_scale_shift_norm: bool
    use_new_attention_order: bool
    in_channels: int = 3
    out_channels: int = 3
    classes: int | None = None
    """Labels, each with a vector that is added to that of t; `None`: it takes none."""
    time_scale: float = 1.0
    """Of the t that it hears."""

    @classmethod
    def of(cls, flags: object, **own: Any) -> Unet:
        """With the flags that both programs call the same."""
        return cls(**{name: getattr(flags, name) for name in SHARED}, **own)

    @property
    def channels(self) -> tuple[int, ...]:
        """Channels at each resolution, the finest first."""
        return tuple(int(factor * self.width) for factor in self.channel_mult)

    def config(self) -> dict[str, Any]:
        """The configuration of UNet2DModel.

        `num_heads` and `time_scale` are nca's own: where heads are counted, diffusers can only be
        told their width, and its networks hear t as it is.
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
            "in_channels": self.in_channels,
            "out_channels": self.out_channels,
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
            **({"num_class_embeds": self.classes} if self.classes else {}),
            **({"num_heads": self.num_heads} if counted else {}),
            **({"time_scale": self.time_scale} if self.time_scale != 1 else {}),
        }

    def layers(self) -> Iterator[Layer]:
        """Every layer, in the order of a forward pass."""
        yield from (Layer(theirs, (ours,)) for theirs, ours in BEFORE.items())
        yield from self._encoder()
        yield from renamed("middle_block.0", "mid_block.resnets.0", RESNET)
        yield from self._attention("middle_block.1", "mid_block.attentions.0", -1)
        yield from renamed("middle_block.2", "mid_block.resnets.1", RESNET)
        yield from self._decoder()
        yield from (Layer(theirs, (ours,)) for theirs, ours in AFTER.items())

    def _encoder(self) -> Iterator[Layer]:
        """`input_blocks.N`: residual blocks (with attention), and one more where a level ends."""
        n, last = 1, len(self.channels) - 1
        for level, attends in enumerate(self.attention):
            block = f"down_blocks.{level}"
            for j in range(self.num_res_blocks):
                yield from renamed(f"input_blocks.{n}.0", f"{block}.resnets.{j}", RESNET)
                if attends:
                    ours = f"{block}.attentions.{j}"
                    yield from self._attention(f"input_blocks.{n}.1", ours, level)
                n += 1
            if level < last:
                yield from self._between(f"input_blocks.{n}.0", f"{block}.downsamplers.0", "op")
                n += 1

    def _decoder(self) -> Iterator[Layer]:
        """`output_blocks.N`: one residual block more a level; the last one also enlarges."""
        n, last, count = 0, len(self.channels) - 1, self.num_res_blocks + 1
        for i, attends in enumerate(reversed(self.attention)):
            block = f"up_blocks.{i}"
            for j in range(count):
                yield from renamed(f"output_blocks.{n}.0", f"{block}.resnets.{j}", RESNET)
                if attends:
                    ours = f"{block}.attentions.{j}"
                    yield from self._attention(f"output_blocks.{n}.1", ours, last - i)
                if i < last and j == count - 1:
                    up = f"output_blocks.{n}.{2 if attends else 1}"
                    yield from self._between(up, f"{block}.upsamplers.0", "conv")
                n += 1

    def _between(self, theirs: str, ours: str, name: str) -> Iterator[Layer]:
        """A change of resolution: a residual block, or a convolution."""
        if self.resblock_updown:
            yield from renamed(theirs, ours, RESNET)
        else:
            yield Layer(f"{theirs}.{name}", (f"{ours}.conv",))

    def _attention(self, theirs: str, ours: str, level: int) -> Iterator[Layer]:
        """q, k and v are one convolution; in the legacy order, head after head."""
        heads = 1 if self.use_new_attention_order else self._heads(self.channels[level])
        qkv = tuple(f"{ours}.to_{part}" for part in "qkv")
        yield Layer(f"{theirs}.norm", (f"{ours}.group_norm",))
        yield Layer(f"{theirs}.qkv", qkv, heads, kernel=1)
        yield Layer(f"{theirs}.proj_out", (f"{ours}.to_out.0",), kernel=1)

    def _heads(self, channels: int) -> int:
        width = self.num_head_channels
        return self.num_heads if width == -1 else channels // width

    def complaints(self) -> Complaints:
        """What is impossible, and what UNet2DModel cannot express."""
        counted, side = self.num_head_channels == -1, self.image_size
        shared = self.num_heads if counted else self.num_head_channels
        pairs = zip(self.channels, self.attention, strict=True)
        attending = [*(c for c, here in pairs if here), *self.channels[-1:]]
        halvings = len(self.channels) - 1
        return {
            "a size or count is below 1": lambda: min(
                side, self.width, self.num_res_blocks, self.num_heads if counted else 1) < 1,
            "channel_mult must begin with 1, diffusers has no other": lambda: (
                self.channel_mult[:1] != (1,)),
            "channels must be multiples of 32": lambda: any(
                c % 32 or c < 32 for c in self.channels),
            f"channels are more than {MOST}": lambda: max(self.channels) > MOST,
            f"image_size {side} cannot be halved {halvings} times": lambda: (
                side % 2**halvings != 0),
            "num_head_channels must be -1 or above 0": lambda: (
                self.num_head_channels < 1 and not counted),
            "channels with attention cannot be split into heads evenly": lambda: any(
                c % shared for c in attending),
        }  # fmt: skip
