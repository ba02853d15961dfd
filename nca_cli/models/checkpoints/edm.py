"""Checkpoints of EDM (Karras et al., 2206.00364) and EDM2 (2312.02696): the network by the names of
its tensors."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from nca_cli.models.checkpoints.flags import Complaints
from nca_cli.models.checkpoints.layers import Misfit, of_network
from nca_cli.models.checkpoints.told import SelfDescribed
from nca_cli.sampler_choice import SamplerChoice

if TYPE_CHECKING:
    import torch

FIRST = "map_layer0.weight"
BLOCK = re.compile(r"(enc|dec)\.((\d+)x\d+_(\w+))\.")
ORDER = {"enc": ("conv", "down", "aux_residual", "block"),
         "dec": ("in", "up", "block", "aux_norm", "aux_conv")}  # fmt: skip
"""Of the blocks of one resolution."""
FIRST_OF_2 = "emb_fourier.freqs"
"""In networks of EDM2."""
UNUSED = "map_augment."
"""What hears how a picture was augmented: nothing, once the training is over."""


@dataclass(frozen=True)
class EdmConfig:
    """What the authors' EDMPrecond is told, and no tensor reveals."""

    SUFFIX: ClassVar = ".pt"
    SAMPLER: ClassVar = SamplerChoice("heun", 18)
    """As the authors sample: 18 of Karras' steps, each but the last asking twice."""
    IDLE: ClassVar[frozenset[str]] = frozenset(("use_fp16",))
    SAVE: ClassVar = (
        "with the authors' code: net = pickle.load(open(FILE, 'rb'))['ema'], "
        "then torch.save(net.state_dict(), 'net.pt')"
    )
    """How to save their pickles, which only run with their code, as tensors."""
    SILENT: ClassVar = ("sigma_data", "sigma_min", "sigma_max")

    sigma_data: float = 0.5
    """Standard deviation of images in [-1, 1], by which inputs and outputs are scaled."""
    sigma_min: float = 0.002
    sigma_max: float = 80.0

    def identity(self) -> dict[str, Any]:
        """Plain data that tells it from any other configuration."""
        return asdict(self)

    def untold(self, told: Collection[str]) -> str | None:
        """Nothing that nobody may guess: the authors' values are the default."""
        return None

    def complaints(self) -> Complaints:
        """What is impossible."""
        return {
            "sigma_data is not above 0": lambda: not self.sigma_data > 0,
            "sigma_min and sigma_max are not 0 < min < max": lambda: (
                not 0 < self.sigma_min < self.sigma_max),
        }  # fmt: skip

    def described(self, tensors: Mapping[str, torch.Tensor]) -> SelfDescribed:
        """The network and its levels. Raises `Misfit`."""
        second = any(key.endswith(FIRST_OF_2) for key in tensors)
        first, kind = (FIRST_OF_2, "Edm2Network") if second else (FIRST, "EdmNetwork")
        network = of_network(tensors, first, "network of EDM")
        network = {key: value for key, value in network.items() if not key.startswith(UNUSED)}
        scheduler = {"_class_name": "SigmaScheduler", "sigma_min": self.sigma_min,
                     "sigma_max": self.sigma_max, "prediction_type": "sample"}  # fmt: skip
        read = network_config_of_2 if second else network_config
        config = {**read(network), "sigma_data": self.sigma_data}
        return SelfDescribed(kind, config, network, scheduler)


def network_config(tensors: Mapping[str, torch.Tensor]) -> dict[str, Any]:
    """The settings of its network, by names and shapes. Raises `Misfit`."""
    shapes, blocks = _shapes_and_blocks(tensors)
    encoder = _in_order("enc", blocks, descending=True)
    first, adm = f"enc.{encoder[0]}.weight", "out_norm.weight" in shapes
    last = "out_conv.weight" if adm else f"dec.{_in_order('dec', blocks)[-1]}.weight"
    _check_names(shapes, first, last, "map_layer1.weight")
    labels = shapes.get("map_label.weight")
    return {
        "sample_size": max(resolution for _, resolution, _, _ in blocks),
        "in_channels": shapes[first][1], "out_channels": shapes[last][0],
        "label_dim": labels[1] if labels else None, "adm": adm, "encoder": encoder,
        "decoder": _in_order("dec", blocks), "shapes": shapes,
    }  # fmt: skip


def network_config_of_2(tensors: Mapping[str, torch.Tensor]) -> dict[str, Any]:
    """The settings of a network of EDM2. Raises `Misfit`."""
    shapes, blocks = _shapes_and_blocks(tensors)
    encoder, decoder = _in_order("enc", blocks, descending=True), _in_order("dec", blocks)
    first = f"enc.{encoder[0]}.weight"
    gains = [f"{side}.{name}.emb_gain" for side, _, name, _ in blocks if name != encoder[0]]
    _check_names(shapes, first, "out_conv.weight", "out_gain", "emb_fourier.phases",
                 "emb_noise.weight", *gains)  # fmt: skip
    labels = shapes.get("emb_label.weight")
    return {
        "sample_size": max(resolution for _, resolution, _, _ in blocks),
        "in_channels": shapes[first][1] - 1, "out_channels": shapes["out_conv.weight"][0],
        "label_dim": labels[1] if labels else None,
        "encoder": encoder, "decoder": decoder, "shapes": shapes,
    }  # fmt: skip


Block = tuple[str, int, str, str]
"""enc or dec, resolution, name and kind."""


def _shapes_and_blocks(
    tensors: Mapping[str, torch.Tensor],
) -> tuple[dict[str, list[int]], set[Block]]:
    """Of all tensors, and of those in blocks; of the encoder there is one at least."""
    shapes = {key: list(value.shape) for key, value in tensors.items()}
    blocks = {(match[1], int(match[3]), match[2], match[4])
              for key in shapes if (match := BLOCK.match(key))}  # fmt: skip
    if not any(side == "enc" for side, *_ in blocks):
        raise Misfit("there is no enc.…_conv.weight: this is no network of EDM")
    for side, _, name, kind in sorted(blocks):
        if kind.rstrip("0123456789") not in ORDER[side]:
            raise Misfit(f"has a block {side}.{name}, which nca does not support")
    return shapes, blocks


def _check_names(shapes: Mapping[str, object], *names: str) -> None:
    for name in names:
        if name not in shapes:
            raise Misfit(f"there is no {name}")


def _in_order(side: str, blocks: Iterable[Block], descending: bool = False) -> list[str]:
    """Names of the blocks as a picture passes them."""

    def place(block: Block) -> tuple[int, int, int]:
        _, resolution, _, kind = block
        word = kind.rstrip("0123456789")
        number = int(kind[len(word) :] or 0)
        return (-resolution if descending else resolution), ORDER[side].index(word), number

    return [block[2] for block in sorted((b for b in blocks if b[0] == side), key=place)]
