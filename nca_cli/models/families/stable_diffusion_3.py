"""Stable Diffusion 3 (Esser et al., 2403.03206): a transformer that predicts a flow under text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from nca_cli.models.families.family import Family
from nca_cli.models.text import PROJECTED_CLIP, T5, T5_TOKENS, Embedded, misfit
from nca_cli.schedule import FlowMatching, Schedule

if TYPE_CHECKING:
    from nca_cli.models.denoiser import Condition
    from nca_cli.models.pipeline import Pipeline

NETWORK = "SD3Transformer2DModel"


def schedule(config: Mapping[str, Any]) -> Schedule:
    """With the chains of its pipeline, which tells the scheduler the number of steps alone."""
    levels = Schedule.from_config(config)
    return levels.as_scheduled() if isinstance(levels, FlowMatching) else levels


def text_width(pipeline: Pipeline) -> int:
    """Of the tokens that the network takes."""
    return int(pipeline.network.config.get("joint_attention_dim", 4096))


def condition(embedded: Sequence[Embedded], pipeline: Pipeline) -> Condition:
    """Section 5.1: the tokens of two CLIPs side by side, filled with zeros to the width of T5's,
    which follow; those are zeros where T5 is absent."""
    import torch

    width = text_width(pipeline)
    pooled = [each.pooled for each in embedded if each.pooled is not None]
    clip = torch.cat([each.tokens for each in embedded if each.pooled is not None], -1)
    clip = torch.nn.functional.pad(clip, (0, width - clip.shape[-1]))
    t5 = [each.tokens for each in embedded if each.pooled is None]
    t5 = t5 or [clip.new_zeros(len(clip), T5_TOKENS, width)]
    return {
        "encoder_hidden_states": torch.cat([clip, *t5], 1),
        "pooled_projections": torch.cat(pooled, -1),
    }


def complaints(pipeline: Pipeline) -> Iterator[str]:
    """Text of other widths than the network's, and schedulers of other levels than a flow's."""
    width, config = text_width(pipeline), pipeline.network.config
    clips = [each for each in pipeline.text_encoders if each.encoder is PROJECTED_CLIP]
    pooled = sum(int(clip.config.get("projection_dim", 512)) for clip in clips)
    yield from misfit("pooled text", int(config.get("pooled_projection_dim", 2048)), pooled)
    yield from misfit("text", width, max(width, sum(clip.width for clip in clips)))
    for each in pipeline.text_encoders:
        if each.encoder is T5:
            yield from misfit("text", width, each.width)
    if pipeline.prediction != "flow":
        kind = pipeline.scheduler.get("_class_name")
        yield f"its {NETWORK} predicts a velocity, for which no {kind} is made"


STABLE_DIFFUSION_3 = Family(
    NETWORK, part="transformer", channels=16, shifts_latents=True, schedule=schedule,
    text_encoders={
        "text_encoder": PROJECTED_CLIP, "text_encoder_2": PROJECTED_CLIP, "text_encoder_3": T5,
    },
    condition=condition, complaints=complaints,
)  # fmt: skip
