"""UNets of pixels or latents, with class labels or without.

DDPM (Ho et al., 2006.11239), ADM (Dhariwal & Nichol, 2105.05233), NCSN++ (Song et al., 2011.13456)
and LDM (Rombach et al., 2112.10752) are all this one class; what differs between them (the levels,
what is predicted, an autoencoder) is said by the scheduler and by the other components.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from nca_cli.models.families.family import Family, of_diffusers

if TYPE_CHECKING:
    import torch


def make(kind: str, config: Mapping[str, Any]) -> torch.nn.Module:
    """The network; `num_heads`, of converted checkpoints, is unknown to diffusers."""
    network = of_diffusers(kind, config)
    if heads := config.get("num_heads"):
        _count_heads(network, int(heads))
    return network


def _count_heads(network: torch.nn.Module, heads: int) -> None:
    """Give every attention so many heads; UNet2DModel itself only knows their width."""
    from diffusers.models.attention_processor import Attention

    for module in network.modules():
        if isinstance(module, Attention):
            module.heads, module.scale = heads, (module.inner_dim // heads) ** -0.5


UNET = Family("UNet2DModel", channels=3, classes="num_class_embeds", make=make)
