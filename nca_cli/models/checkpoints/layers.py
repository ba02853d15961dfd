"""Tensors of a checkpoint by the names that diffusers has for them; what does not fit is named.

guided-diffusion keeps q, k and v of an attention in one 1×1 convolution, in its legacy order per
head: (head 0's q, k, v, head 1's q, k, v, …). Cut in three it has the right shapes and the wrong
numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import torch

FIRST_LAYER = "input_blocks.0.0.weight"

Shapes = Mapping[str, tuple[int, ...]]


class Layer(NamedTuple):
    """One layer of a checkpoint, and the layers of diffusers that it becomes."""

    theirs: str
    ours: tuple[str, ...]
    """One name; three (to_q, to_k, to_v) for a qkv."""
    heads: int = 1
    """In how many runs of (q, k, v) a qkv is laid out."""
    kernel: int = 0
    """Axes of a 1×1 kernel that it has and a linear layer has not."""


def renamed(theirs: str, ours: str, names: Mapping[str, str]) -> Iterator[Layer]:
    """The layers of a block, `theirs` → `ours`, by their names in it, theirs → ours."""
    return (Layer(f"{theirs}.{old}", (f"{ours}.{new}",)) for old, new in names.items())


@dataclass(frozen=True)
class Keys:
    """Where a checkpoint keeps the tensors of one network."""

    prefix: str = ""
    dotless: bool = False
    """Whether the names behind the prefix are written without dots, as a moving average's are."""
    idle: str | None = None
    """A longer prefix, of tensors that are none of the network's."""
    note: str | None = None
    """What the user should know about them."""

    def key(self, name: str) -> str:
        """The key of what the network calls `name`."""
        return self.prefix + (name.replace(".", "") if self.dotless else name)

    def holds(self, key: str) -> bool:
        """Whether `key` is one of the network's tensors."""
        return key.startswith(self.prefix) and not (self.idle and key.startswith(self.idle))


class Misfit(Exception):
    """A tensor that is not the network's, or that it lacks, with both shapes."""


def of_network(
    tensors: Mapping[str, torch.Tensor], first: str, kind: str
) -> dict[str, torch.Tensor]:
    """Those that lie beside the one whose name ends in `first`, without what is before their names.

    Raises `Misfit` where there is none.
    """
    found = next((key for key in tensors if key.endswith(first)), None)
    if found is None:
        raise Misfit(f"there is no {first}: this is no {kind}")
    prefix = found.removesuffix(first)
    return {key.removeprefix(prefix): value for key, value in tensors.items()
            if key.startswith(prefix)}  # fmt: skip


def place(
    tensors: Mapping[str, torch.Tensor], layers: Iterable[Layer], shapes: Shapes, source: Keys
) -> dict[str, torch.Tensor]:
    """The tensors of one network by diffusers' names, float32; only a qkv is copied.

    `shapes` are those of diffusers' tensors: which of them are there (a shortcut, say) decides
    which are expected. Raises `Misfit` that names the first tensor that does not fit.
    """
    wanted = {source.key(f"{layer.theirs}.{kind}"): (layer, kind)
              for layer in layers for kind in ("weight", "bias")
              if f"{layer.ours[0]}.{kind}" in shapes}  # fmt: skip
    expected = {key: _expected(*item, shapes) for key, item in wanted.items()}
    found = {key: value for key, value in tensors.items() if source.holds(key)}
    if reason := _misfit(found, expected):
        raise Misfit(reason)
    return {
        name: part
        for key, (layer, kind) in wanted.items()
        for name, part in _split(found[key], layer, kind, shapes).items()
    }


def _expected(layer: Layer, kind: str, shapes: Shapes) -> tuple[int, ...]:
    """The shape in the checkpoint: the three of a qkv stacked, and 1×1 kernels as such."""
    parts = [shapes[f"{name}.{kind}"] for name in layer.ours]
    kernel = (1,) * layer.kernel if kind == "weight" else ()
    return (sum(shape[0] for shape in parts), *parts[0][1:], *kernel)


def _misfit(found: Mapping[str, torch.Tensor], expected: Shapes) -> str | None:
    for key, value in found.items():
        shape = tuple(value.shape)
        if key not in expected:
            return f"the network has no {key} {shape}"
        if shape != expected[key]:
            return f"{key} is {shape}, not {expected[key]}{_upscaling(key, shape, expected[key])}"
    return next((f"there is no {key} {expected[key]}" for key in expected if key not in found),
                None)  # fmt: skip


def _upscaling(key: str, shape: tuple[int, ...], expected: tuple[int, ...]) -> str:
    """What a first layer of twice the channels means: a small picture beside x."""
    doubled = key.endswith(FIRST_LAYER) and shape[1:2] == (2 * expected[1],)
    return ": super-resolution is not supported" if doubled else ""


def _split(value: torch.Tensor, layer: Layer, kind: str, shapes: Shapes) -> dict[str, torch.Tensor]:
    names, value = [f"{name}.{kind}" for name in layer.ours], value.float()
    if len(names) == 1:
        return {names[0]: value.reshape(shapes[names[0]]).contiguous()}
    parts = value.reshape(layer.heads, 3, value.shape[0] // 3 // layer.heads, -1).unbind(1)
    return {
        name: part.reshape(shapes[name]).contiguous()
        for name, part in zip(names, parts, strict=True)
    }
