"""ADM checkpoints into diffusers' UNet2DModel: the names of tensors, and the order of qkv.

guided-diffusion keeps q, k and v of an attention in one 1×1 convolution, in its legacy order per
head: (head 0's q, k, v, head 1's q, k, v, …). Cut in three it has the right shapes and the wrong
numbers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from nca_cli.errors import ModelError
from nca_cli.models.adm_config import AdmConfig

if TYPE_CHECKING:
    import torch

RESNET = {
    "in_layers.0": "norm1",
    "in_layers.2": "conv1",
    "emb_layers.1": "time_emb_proj",
    "out_layers.0": "norm2",
    "out_layers.3": "conv2",
    "skip_connection": "conv_shortcut",
}
ENDS = {
    "time_embed.0": "time_embedding.linear_1",
    "time_embed.2": "time_embedding.linear_2",
    "input_blocks.0.0": "conv_in",
    "out.0": "conv_norm_out",
    "out.2": "conv_out",
}


class Pair(NamedTuple):
    """One tensor of a checkpoint, and the tensors of UNet2DModel that it becomes."""

    theirs: str
    ours: tuple[str, ...]
    """One name; three (to_q, to_k, to_v) for a qkv."""


def pairs(config: AdmConfig, shapes: Mapping[str, Any]) -> list[Pair]:
    """Every tensor of the network, in the order of a forward pass.

    `shapes` has the names of UNet2DModel's tensors: which of them are there (a shortcut, say)
    decides which are expected.
    """
    candidates = [Pair(f"{theirs}.{kind}", tuple(f"{name}.{kind}" for name in ours))
                  for theirs, ours in _modules(config) for kind in ("weight", "bias")]  # fmt: skip
    return [pair for pair in candidates if pair.ours[0] in shapes]


Named = tuple[str, tuple[str, ...]]


def _modules(config: AdmConfig) -> Iterator[Named]:
    ends = [(theirs, (ours,)) for theirs, ours in ENDS.items()]
    yield from ends[:3]
    yield from _encoder(config)
    yield from _resnet("middle_block.0", "mid_block.resnets.0")
    yield from _attention("middle_block.1", "mid_block.attentions.0")
    yield from _resnet("middle_block.2", "mid_block.resnets.1")
    yield from _decoder(config)
    yield from ends[3:]


def _encoder(config: AdmConfig) -> Iterator[Named]:
    """`input_blocks.N`: residual blocks (with attention), and one more where a level ends."""
    n, last = 1, len(config.channels) - 1
    for level, attends in enumerate(config.attention):
        block = f"down_blocks.{level}"
        for j in range(config.num_res_blocks):
            yield from _resnet(f"input_blocks.{n}.0", f"{block}.resnets.{j}")
            if attends:
                yield from _attention(f"input_blocks.{n}.1", f"{block}.attentions.{j}")
            n += 1
        if level < last:
            down = f"{block}.downsamplers.0"
            yield from _between(config, f"input_blocks.{n}.0", down, "op")
            n += 1


def _decoder(config: AdmConfig) -> Iterator[Named]:
    """`output_blocks.N`: one residual block more a level; the last one's sequence also enlarges."""
    n, last, count = 0, len(config.channels) - 1, config.num_res_blocks + 1
    for i, attends in enumerate(reversed(config.attention)):
        for j in range(count):
            yield from _resnet(f"output_blocks.{n}.0", f"up_blocks.{i}.resnets.{j}")
            if attends:
                yield from _attention(f"output_blocks.{n}.1", f"up_blocks.{i}.attentions.{j}")
            if i < last and j == count - 1:
                up = f"output_blocks.{n}.{2 if attends else 1}"
                yield from _between(config, up, f"up_blocks.{i}.upsamplers.0", "conv")
            n += 1


def _resnet(theirs: str, ours: str) -> Iterator[Named]:
    return ((f"{theirs}.{old}", (f"{ours}.{new}",)) for old, new in RESNET.items())


def _between(config: AdmConfig, theirs: str, ours: str, name: str) -> Iterator[Named]:
    """A change of resolution: a residual block, or a convolution."""
    if config.resblock_updown:
        yield from _resnet(theirs, ours)
    else:
        yield f"{theirs}.{name}", (f"{ours}.conv",)


def _attention(theirs: str, ours: str) -> Iterator[Named]:
    yield f"{theirs}.norm", (f"{ours}.group_norm",)
    yield f"{theirs}.qkv", tuple(f"{ours}.to_{part}" for part in "qkv")
    yield f"{theirs}.proj_out", (f"{ours}.to_out.0",)


def convert(
    tensors: Mapping[str, torch.Tensor], config: AdmConfig, file: Path, model: str
) -> dict[str, torch.Tensor]:
    """The tensors of a checkpoint by UNet2DModel's names, float32.

    Only qkv is copied. Raises `ModelError` that names the first tensor that does not fit.
    """
    shapes = _shapes(config)
    wanted = {pair.theirs: pair.ours for pair in pairs(config, shapes)}
    expected = {theirs: _expected(theirs, [shapes[name] for name in ours])
                for theirs, ours in wanted.items()}  # fmt: skip
    if reason := _misfit(tensors, expected):
        hint = f"name its configuration in {file.with_suffix('.toml').name} beside it"
        raise ModelError(model, f"{file.name}: {reason}", hint)
    return {
        name: part
        for theirs, ours in wanted.items()
        for name, part in _split(tensors[theirs], ours, shapes, config).items()
    }


def _misfit(
    tensors: Mapping[str, torch.Tensor], expected: Mapping[str, tuple[int, ...]]
) -> str | None:
    """The first tensor of a checkpoint that is not the network's, or that it lacks."""
    for key, value in tensors.items():
        shape = tuple(value.shape)
        if key not in expected:
            return f"the network has no {key} {shape}"
        if shape != expected[key]:
            return f"{key} is {shape}, not {expected[key]}"
    return next((f"there is no {key} {expected[key]}" for key in expected if key not in tensors),
                None)  # fmt: skip


def _shapes(config: AdmConfig) -> dict[str, tuple[int, ...]]:
    """Names and shapes of UNet2DModel's tensors, without making any."""
    import torch
    from diffusers import UNet2DModel

    settings = {key: value for key, value in config.unet().items()
                if key not in ("_class_name", "num_heads")}  # fmt: skip
    with torch.device("meta"):
        network: torch.nn.Module = UNet2DModel(**settings)  # type: ignore[assignment]
    return {key: tuple(value.shape) for key, value in network.state_dict().items()}


def _expected(theirs: str, shapes: list[tuple[int, ...]]) -> tuple[int, ...]:
    """The shape in the checkpoint: the three of a qkv stacked, and 1×1 kernels as such."""
    rows = sum(shape[0] for shape in shapes)
    point = theirs.endswith(("qkv.weight", "proj_out.weight"))
    return (rows, *shapes[0][1:], *([1] if point else []))


def _split(
    value: torch.Tensor, ours: tuple[str, ...], shapes: Mapping[str, tuple[int, ...]],
    config: AdmConfig,
) -> dict[str, torch.Tensor]:  # fmt: skip
    value = value.float()
    if len(ours) == 1:
        return {ours[0]: value.reshape(shapes[ours[0]]).contiguous()}
    width = value.shape[0] // 3
    heads = 1 if config.use_new_attention_order else config.heads(width)
    parts = value.reshape(heads, 3, width // heads, -1).unbind(1)
    return {
        name: part.reshape(shapes[name]).contiguous()
        for name, part in zip(ours, parts, strict=True)
    }
