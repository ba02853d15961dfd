"""Stable Diffusion 1 and 2 (Rombach et al., 2112.10752): a UNet that attends to one CLIP's text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from nca_cli.models.families.family import Family
from nca_cli.models.text import CLIP, misfit

if TYPE_CHECKING:
    from nca_cli.models.pipeline import Pipeline

MORE_CONDITIONS = (
    "addition_embed_type", "encoder_hid_dim", "time_cond_proj_dim", "num_class_embeds",
)  # fmt: skip
"""Inputs beside the prompt: sizes, images, a guidance weight."""


def complaints(pipeline: Pipeline) -> Iterator[str]:
    """Networks that want to know more than a prompt, or text of another width."""
    config = pipeline.network.config
    more = [key for key in MORE_CONDITIONS if config.get(key) is not None]
    if config.get("attention_type", "default") != "default":
        more.append("attention_type")
    yield from (f"its unet takes more than a prompt ({key})" for key in more)
    width = int(config.get("cross_attention_dim", 1280))
    yield from misfit("text", width, pipeline.text_encoders[0].width)


STABLE_DIFFUSION = Family(
    "UNet2DConditionModel", text_encoders={"text_encoder": CLIP}, complaints=complaints
)
