"""Checkpoints of score_sde (Song et al., 2011.13456): NCSN++ of its larger images, as UNet2DModel.

Its network is one list of modules. Those that hold tensors come in the order in which a picture
passes them, and what each is, its tensors say; so the list is read from its beginning to its end.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from nca_cli.models.checkpoints.flags import Complaints
from nca_cli.models.checkpoints.layers import Misfit, of_network
from nca_cli.models.checkpoints.told import SelfDescribed
from nca_cli.sampler_choice import SamplerChoice

if TYPE_CHECKING:
    import torch

FIRST = "all_modules.0.W"
MODULE = re.compile(r"all_modules\.(\d+)\.(.+)")
RESNET = {"GroupNorm_0": "norm1", "Conv_0": "conv1", "Dense_0": "time_emb_proj",
          "GroupNorm_1": "norm2", "Conv_1": "conv2", "Conv_2": "conv_shortcut"}  # fmt: skip
ATTENTION = {"NIN_0": "to_q", "NIN_1": "to_k", "NIN_2": "to_v", "NIN_3": "to_out.0"}
LEAST = 128
"""Channels of an attention: those that diffusers norms in as many groups as score_sde does."""
OTHERS = ("its pictures are not joined at every resolution (progressive output_skip and "
          "progressive_input input_skip), as in the networks of CelebA-HQ and FFHQ")  # fmt: skip


@dataclass(frozen=True)
class SdeConfig:
    """What its configuration says, and no tensor reveals."""

    SUFFIX: ClassVar = ".pth"
    SAMPLER: ClassVar = SamplerChoice()
    IDLE: ClassVar[frozenset[str]] = frozenset()
    SAVE: ClassVar = None
    """Its files are tensors."""
    SILENT: ClassVar = ("image_size", "sigma_min", "sigma_max", "num_scales")

    image_size: int = 0
    sigma_max: float = 0.0
    sigma_min: float = 0.01
    num_scales: int = 2000

    def identity(self) -> dict[str, Any]:
        """Plain data that tells it from any other configuration."""
        return asdict(self)

    def untold(self, told: Collection[str]) -> str | None:
        """The size of its images and the most noise."""
        lacks = [name for name in ("image_size", "sigma_max") if not getattr(self, name)]
        return f"it does not say {' and '.join(lacks)}, which no tensor reveals" if lacks else None

    def complaints(self) -> Complaints:
        """What is impossible."""
        return {
            "image_size is below 1": lambda: self.image_size < 0,
            "num_scales is below 20": lambda: self.num_scales < 20,
            "sigma_min and sigma_max are not 0 < min < max": lambda: (
                self.sigma_max != 0 and not 0 < self.sigma_min < self.sigma_max),
        }  # fmt: skip

    def described(self, tensors: Mapping[str, torch.Tensor]) -> SelfDescribed:
        """The network and its levels. Raises `Misfit`."""
        network = of_network(tensors, FIRST, "NCSN++ of score_sde, or it tells σ otherwise")
        modules = Modules(network)
        config = modules.network() | {"sample_size": self.image_size}
        scheduler = {"_class_name": "ScoreSdeVeScheduler", "sigma_min": self.sigma_min,
                     "sigma_max": self.sigma_max, "num_train_timesteps": self.num_scales,
                     "prediction_type": "score"}  # fmt: skip
        return SelfDescribed("UNet2DModel", config, modules.found, scheduler)


Module = dict[str, "torch.Tensor"]


class Modules:
    """The list of modules, read once; `found` holds tensors by diffusers' names."""

    def __init__(self, tensors: Mapping[str, torch.Tensor]):
        modules: dict[int, Module] = {}
        for key, value in tensors.items():
            if match := MODULE.fullmatch(key):
                modules.setdefault(int(match[1]), {})[match[2]] = value
        self._left = [(number, modules[number]) for number in sorted(modules)]
        self.found: dict[str, torch.Tensor] = {}

    def network(self) -> dict[str, Any]:
        """The settings of UNet2DModel. Raises `Misfit`."""
        self.found["time_proj.weight"] = self._take("waves")["W"]
        self._plain("linear", "time_embedding.linear_1")
        self._plain("linear", "time_embedding.linear_2")
        self._plain("conv", "conv_in")
        joined = sum(map(_is_join, self._left))
        if not joined:
            raise Misfit(OTHERS)
        blocks = [self._down(i, joined) for i in range(joined + 1)]
        self._resnet("mid_block.resnets.0")
        self._attention("mid_block.attentions.0")
        self._resnet("mid_block.resnets.1")
        ups = [self._up(i, joined, blocks[0][1]) for i in range(joined + 1)]
        if self._left:
            raise Misfit(f"the network has no all_modules.{self._left[0][0]}")
        ins = self.found["conv_in.weight"].shape[1]
        if ins != 3:
            raise Misfit(f"works on {ins} channels; diffusers' network carries pictures of 3")
        return {
            "in_channels": ins, "out_channels": self.found["conv_out.weight"].shape[0],
            "center_input_sample": True, "time_embedding_type": "fourier", "act_fn": "silu",
            "block_out_channels": [width for width, _, _ in blocks],
            "layers_per_block": blocks[0][1], "norm_eps": 1e-6, "norm_num_groups": None,
            "attention_head_dim": None, "mid_block_scale_factor": 2**0.5,
            "down_block_types": [f"{attn}SkipDownBlock2D" for _, _, attn in blocks],
            "up_block_types": [f"{attn}SkipUpBlock2D" for attn in ups],
        }  # fmt: skip

    def _down(self, level: int, joined: int) -> tuple[int, int, str]:
        """Channels, residual blocks, and whether they attend."""
        name, count, attends = f"down_blocks.{level}", 0, ""
        last = level == joined
        while not (self._ends_level() if not last else self._ends_encoder()):
            self._resnet(f"{name}.resnets.{count}")
            if _kind(self._ahead()) == "attention":
                self._attention(f"{name}.attentions.{count}")
                attends = "Attn"
            count += 1
        if not last:
            self._resnet(f"{name}.resnet_down")
            join = self._take("join")
            self._put(f"{name}.skip_conv", join, "Conv_0.")
        if not count:
            raise Misfit(f"has no residual blocks at resolution {level}")
        return self.found[f"{name}.resnets.0.conv1.weight"].shape[0], count, attends

    def _up(self, level: int, joined: int, count: int) -> str:
        """Whether it attends."""
        name, attends = f"up_blocks.{level}", ""
        for i in range(count + 1):
            self._resnet(f"{name}.resnets.{i}")
        if _kind(self._ahead()) == "attention":
            self._attention(f"{name}.attentions.0")
            attends = "Attn"
        more = level < joined
        self._plain("norm", f"{name}.skip_norm" if more else "conv_norm_out")
        self._plain("conv", f"{name}.skip_conv" if more else "conv_out")
        if more:
            self._resnet(f"{name}.resnet_up")
        return attends

    def _ends_level(self) -> bool:
        """Whether the next residual block is one that halves the picture."""
        return len(self._left) < 2 or _is_join(self._left[1])

    def _ends_encoder(self) -> bool:
        """Whether the next ones are the middle: residual block, attention, residual block, and
        then those of the decoder, which are wider before than behind."""
        kinds = [_kind(module) for _, module in self._left[:4]]
        if kinds != ["resnet", "attention", "resnet", "resnet"]:
            return len(self._left) < 4
        (_, middle), (_, after) = self._left[2], self._left[3]
        return "Conv_2.weight" not in middle and "Conv_2.weight" in after

    def _ahead(self) -> Module:
        return self._left[0][1] if self._left else {}

    def _take(self, kind: str) -> Module:
        """The next module, of a kind. Raises `Misfit`."""
        if not self._left:
            raise Misfit(f"ends where a {kind} follows")
        number, module = self._left.pop(0)
        if _kind(module) != kind:
            raise Misfit(f"all_modules.{number} is a {_kind(module)} where a {kind} follows")
        return module

    def _plain(self, kind: str, name: str) -> None:
        self._put(name, self._take(kind))

    def _put(self, name: str, module: Module, prefix: str = "") -> None:
        for leaf in ("weight", "bias"):
            if f"{prefix}{leaf}" not in module:
                raise Misfit(f"has no {prefix}{leaf} for {name}")
            self.found[f"{name}.{leaf}"] = module[f"{prefix}{leaf}"]

    def _resnet(self, name: str) -> None:
        module = self._take("resnet")
        for theirs, ours in RESNET.items():
            if theirs != "Conv_2" or "Conv_2.weight" in module:
                self._put(f"{name}.{ours}", module, f"{theirs}.")

    def _attention(self, name: str) -> None:
        module = self._take("attention")
        if (channels := len(module["NIN_0.b"])) < LEAST:
            raise Misfit(f"attends to {channels} channels; diffusers' network to {LEAST} or more")
        self._put(f"{name}.group_norm", module, "GroupNorm_0.")
        for theirs, ours in ATTENTION.items():
            self.found[f"{name}.{ours}.weight"] = module[f"{theirs}.W"].T.contiguous()
            self.found[f"{name}.{ours}.bias"] = module[f"{theirs}.b"]


def _kind(module: Module) -> str:
    """What a module is, by its tensors."""
    if "W" in module:
        return "waves"
    if all(f"{name}.W" in module and f"{name}.b" in module for name in ATTENTION):
        return "attention"
    if "Dense_0.weight" in module:
        return "resnet"
    if {*module} == {"Conv_0.weight", "Conv_0.bias"}:
        return "join"
    axes = module["weight"].ndim if "weight" in module else 0
    return {1: "norm", 2: "linear", 4: "conv"}.get(axes, "module of another kind")


def _is_join(item: tuple[int, Module]) -> bool:
    return _kind(item[1]) == "join"
