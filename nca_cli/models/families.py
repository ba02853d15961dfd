"""Model families: what is particular to denoising networks of one class, one `Family` for each.

`FAMILIES` is the only place that knows them all; docs/adding-a-family.md says how to add one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from nca_cli.images.size import height_width
from nca_cli.models.text import (
    CLIP,
    PENULTIMATE_CLIP,
    PROJECTED_CLIP,
    T5,
    T5_TOKENS,
    Embedded,
    TextEncoder,
    misfit,
)
from nca_cli.schedule import FlowMatching, Schedule

if TYPE_CHECKING:
    import numpy as np
    import torch

    from nca_cli.models.denoiser import Condition
    from nca_cli.models.pipeline import Pipeline

MORE_CONDITIONS = ("encoder_hid_dim", "time_cond_proj_dim", "num_class_embeds")
"""What a UNet may want to know beside the prompt: images, a guidance weight, a class."""
ADDED = "addition_embed_type"
"""What is added to the embedded time, if anything is."""
ZEROS = "zeros"


def of_diffusers(kind: str, config: Mapping[str, Any]) -> torch.nn.Module:
    """The network of diffusers' class `kind` that a configuration describes, without weights."""
    import diffusers

    network: torch.nn.Module = getattr(diffusers, kind).from_config(dict(config))
    return network


def time_of_schedule(schedule: Schedule, t: np.ndarray) -> np.ndarray:
    """The schedule's own: whole t, 1000·σ of a flow, σ itself of a variance-exploding one."""
    return schedule.network_time(t)


def ask_as_diffusers(
    network: torch.nn.Module, x: torch.Tensor, time: torch.Tensor, condition: Condition | None
) -> torch.Tensor:
    """As networks of diffusers are called; by name, for what they take second differs."""
    given = {} if condition is None else {"timestep": time, **condition}
    answer: torch.Tensor = (network(x, **given) if given else network(x, time)).sample
    return answer


def tokens_of_the_first(embedded: Sequence[Embedded], pipeline: Pipeline) -> Condition:
    """The tokens of one text encoder, for cross-attention."""
    return {"encoder_hidden_states": embedded[0].tokens}


def blocks_but_one(config: Mapping[str, Any]) -> int:
    """How often a UNet of diffusers halves its pictures: between blocks, of which most have 4."""
    return len(config.get("block_out_channels") or range(4)) - 1


@dataclass(frozen=True)
class Family:
    """Models whose denoising network is of one class. The defaults are most of diffusers'."""

    network: str
    """The class by which a pipeline's configuration names the network."""
    part: str = "unet"
    """The component that it is: the key in `model_index.json`, and the folder."""
    older_name: str | None = None
    """Of the class, in older repositories."""
    told_by: Mapping[str, Any] = field(default_factory=dict)
    """Settings by which a network is told from those of other families of its class."""
    channels: int = 4
    """Into the network, where its configuration does not say."""
    classes: str = ""
    """The key by which its configuration says how many class labels there are."""
    null_label: bool = False
    """Whether the label past the classes stands for none."""
    text_encoders: Mapping[str, TextEncoder] = field(default_factory=dict)
    """Of networks that take a prompt, by their components."""
    halvings: Callable[[Mapping[str, Any]], int] | None = None
    """How often it halves its pictures, by its configuration; `None`: it has tables of positions,
    and so works at its own size alone."""
    shifts_latents: bool = False
    """Whether its latents may have a `shift_factor`."""
    make: Callable[[str, Mapping[str, Any]], torch.nn.Module] = of_diffusers
    """The network from its class and configuration, without weights."""
    schedule: Callable[[Mapping[str, Any]], Schedule] = Schedule.from_config
    """From the scheduler's configuration: the levels, and the chains over them."""
    time: Callable[[Schedule, np.ndarray], np.ndarray] = time_of_schedule
    """What the network is told of the levels `t (B,)`, float32 `(B,)`."""
    ask: Callable[..., torch.Tensor] = ask_as_diffusers
    """`(network, x, time, condition)` → what it predicts, shaped as x, or with twice the channels
    (a learned variance behind the prediction)."""
    condition: Callable[[Sequence[Embedded], Pipeline], Condition] = tokens_of_the_first
    """What the network takes of what its text encoders give, in their order."""
    no_text: Callable[[Pipeline], str | None] = lambda pipeline: None
    """What stands for no text: `zeros`, or `None`, the empty prompt as it is embedded."""
    hears_size: bool = False
    """Whether the network is told the size of the image."""
    complaints: Callable[[Pipeline], Iterable[str]] = lambda pipeline: ()
    """Why nca cannot run a pipeline of this family; nothing where it can."""


def make_unet(kind: str, config: Mapping[str, Any]) -> torch.nn.Module:
    """The network; of converted checkpoints with `num_heads`, for UNet2DModel knows their width
    alone."""
    from diffusers.models.attention_processor import Attention

    network, heads = of_diffusers(kind, config), int(config.get("num_heads") or 0)
    for module in network.modules() if heads else ():
        if isinstance(module, Attention):
            module.heads, module.scale = heads, (module.inner_dim // heads) ** -0.5
    return network


UNET = Family("UNet2DModel", channels=3, classes="num_class_embeds", make=make_unet,
              halvings=blocks_but_one)  # fmt: skip
"""Of pixels or latents, with class labels or without: DDPM (Ho et al., 2006.11239), ADM (Dhariwal &
Nichol, 2105.05233), NCSN++ (Song et al., 2011.13456) and LDM (Rombach et al., 2112.10752) are all
this one class; what differs between them (the levels, what is predicted, an autoencoder) is said by
the scheduler and by the other components."""


def stable_diffusion_complaints(pipeline: Pipeline) -> Iterator[str]:
    """Networks that want to know more than a prompt, or text of another width."""
    config, family = pipeline.network.config, pipeline.family
    unknown = (ADDED, *MORE_CONDITIONS) if ADDED not in family.told_by else MORE_CONDITIONS
    more = [key for key in unknown if config.get(key) is not None]
    if config.get("attention_type", "default") != "default":
        more.append("attention_type")
    yield from (f"its unet takes more than a prompt ({key})" for key in more)
    width = int(config.get("cross_attention_dim", 1280))
    yield from misfit("text", width, sum(each.width for each in pipeline.text_encoders))


STABLE_DIFFUSION = Family(
    "UNet2DConditionModel", text_encoders={"text_encoder": CLIP},
    complaints=stable_diffusion_complaints, halvings=blocks_but_one,
)  # fmt: skip
"""Stable Diffusion 1 and 2 (Rombach et al., 2112.10752): a UNet that attends to one CLIP's text."""

SIZES = 6
"""Numbers by which SDXL is told sizes: height and width of the original, top and left of the crop,
height and width that are wanted."""


def sdxl_complaints(pipeline: Pipeline) -> Iterator[str]:
    """As of Stable Diffusion; and other numbers than the pooled text and six sizes."""
    yield from stable_diffusion_complaints(pipeline)
    config, (*_, pooling) = pipeline.network.config, pipeline.text_encoders
    given = int(pooling.config.get("projection_dim", 512))
    sizes = SIZES * int(config.get("addition_time_embed_dim") or 0)
    taken = int(config.get("projection_class_embeddings_input_dim") or 0)
    if taken != given + sizes:
        yield (f"its unet takes {taken} numbers beside the text, where the pooled text and "
               f"{SIZES} sizes are {given + sizes}")  # fmt: skip


def sdxl_no_text(pipeline: Pipeline) -> str | None:
    """Zeros, unless its index says otherwise: it was trained with them in the place of a text."""
    return ZEROS if pipeline.index.get("force_zeros_for_empty_prompt", True) else None


def sdxl_condition(embedded: Sequence[Embedded], pipeline: Pipeline) -> Condition:
    """Section 2.1 and 2.2: the tokens of two CLIPs side by side, the second one's pooled text, and
    the size of an image that was neither scaled nor cropped."""
    import torch

    tokens, pooled = torch.cat([each.tokens for each in embedded], -1), embedded[-1].pooled
    assert pooled is not None  # its encoder projects
    if pipeline.no_text == ZEROS:
        keep = tokens.new_tensor([1.0, 0.0])[:, None]
        tokens, pooled = tokens * keep[..., None], pooled * keep
    height, width = height_width(pipeline.size or pipeline.resolution)
    sizes = torch.tensor([[height, width, 0, 0, height, width]])
    return {"encoder_hidden_states": tokens, "text_embeds": pooled, "time_ids": sizes.expand(2, -1)}


def ask_sdxl(
    network: torch.nn.Module, x: torch.Tensor, time: torch.Tensor, condition: Condition
) -> torch.Tensor:
    """With what is added to the time in a dict of its own."""
    added = {key: condition[key] for key in ("text_embeds", "time_ids")}
    tokens = condition["encoder_hidden_states"]
    answer: torch.Tensor = network(x, time, tokens, added_cond_kwargs=added).sample
    return answer


STABLE_DIFFUSION_XL = replace(
    STABLE_DIFFUSION, told_by={ADDED: "text_time"},
    text_encoders={"text_encoder": PENULTIMATE_CLIP, "text_encoder_2": PROJECTED_CLIP},
    condition=sdxl_condition, no_text=sdxl_no_text, hears_size=True, ask=ask_sdxl,
    complaints=sdxl_complaints,
)  # fmt: skip
"""SDXL (Podell et al., 2307.01952): a UNet that attends to two CLIPs' text and hears a size."""


def dit_complaints(pipeline: Pipeline) -> Iterator[str]:
    """Other transformers that were once of the same class."""
    norm = pipeline.network.config.get("norm_type", "ada_norm_zero")
    if norm != "ada_norm_zero":
        yield f"its transformer is no DiT (norm_type {norm!r})"


DIT = Family(
    "DiTTransformer2DModel", part="transformer", older_name="Transformer2DModel",
    classes="num_embeds_ada_norm", null_label=True, complaints=dit_complaints,
)  # fmt: skip
"""DiT (Peebles & Xie, 2212.09748): a transformer of latents under class labels."""


def sd3_schedule(config: Mapping[str, Any]) -> Schedule:
    """With the chains of its pipeline, which tells the scheduler the number of steps alone."""
    levels = Schedule.from_config(config)
    return levels.as_scheduled() if isinstance(levels, FlowMatching) else levels


def sd3_text_width(pipeline: Pipeline) -> int:
    """Of the tokens that the network takes."""
    return int(pipeline.network.config.get("joint_attention_dim", 4096))


def sd3_condition(embedded: Sequence[Embedded], pipeline: Pipeline) -> Condition:
    """Section 5.1: the tokens of two CLIPs side by side, filled with zeros to the width of T5's,
    which follow; those are zeros where T5 is absent."""
    import torch

    width = sd3_text_width(pipeline)
    pooled = [each.pooled for each in embedded if each.pooled is not None]
    clip = torch.cat([each.tokens for each in embedded if each.pooled is not None], -1)
    clip = torch.nn.functional.pad(clip, (0, width - clip.shape[-1]))
    t5 = [each.tokens for each in embedded if each.pooled is None]
    t5 = t5 or [clip.new_zeros(len(clip), T5_TOKENS, width)]
    return {
        "encoder_hidden_states": torch.cat([clip, *t5], 1),
        "pooled_projections": torch.cat(pooled, -1),
    }


def sd3_complaints(pipeline: Pipeline) -> Iterator[str]:
    """Text of other widths than the network's, and schedulers of other levels than a flow's."""
    width, config = sd3_text_width(pipeline), pipeline.network.config
    clips = [each for each in pipeline.text_encoders if each.encoder is PROJECTED_CLIP]
    pooled = sum(int(clip.config.get("projection_dim", 512)) for clip in clips)
    yield from misfit("pooled text", int(config.get("pooled_projection_dim", 2048)), pooled)
    yield from misfit("text", width, max(width, sum(clip.width for clip in clips)))
    for each in pipeline.text_encoders:
        if each.encoder is T5:
            yield from misfit("text", width, each.width)
    if pipeline.prediction != "flow":
        kind = pipeline.scheduler.get("_class_name")
        yield f"its {pipeline.family.network} predicts a velocity, for which no {kind} is made"


STABLE_DIFFUSION_3 = Family(
    "SD3Transformer2DModel", part="transformer", channels=16, shifts_latents=True,
    text_encoders={
        "text_encoder": PROJECTED_CLIP, "text_encoder_2": PROJECTED_CLIP, "text_encoder_3": T5,
    },
    schedule=sd3_schedule, condition=sd3_condition, complaints=sd3_complaints,
)  # fmt: skip
"""Stable Diffusion 3 (Esser et al., 2403.03206): a transformer that predicts a flow under text."""


def make_lucid(kind: str, config: Mapping[str, Any]) -> torch.nn.Module:
    """The network, without weights."""
    from nca_cli.models.networks.lucid import LucidUnet

    return LucidUnet(config)


def ask_plainly(
    network: torch.nn.Module, x: torch.Tensor, time: torch.Tensor, condition: Condition | None
) -> torch.Tensor:
    """The answer itself, of networks that take nothing but x and the time."""
    answer: torch.Tensor = network(x, time)
    return answer


LUCID = Family("LucidUnet", part="network", channels=3, make=make_lucid, ask=ask_plainly,
               halvings=lambda config: len(config["mults"]) - 1)  # fmt: skip
"""The Unet of denoising-diffusion-pytorch, of converted checkpoints."""


def make_edm(kind: str, config: Mapping[str, Any]) -> torch.nn.Module:
    """The network with its preconditioning, without weights."""
    from nca_cli.models.networks.edm import EdmNetwork

    return EdmNetwork(config)


def ask_with_label(
    network: torch.nn.Module, x: torch.Tensor, time: torch.Tensor, condition: Condition | None
) -> torch.Tensor:
    """The answer itself, of networks that take a label beside x and the time."""
    answer: torch.Tensor = network(x, time, (condition or {}).get("class_labels"))
    return answer


def edm_halvings(config: Mapping[str, Any]) -> int:
    """Between its resolutions, by which its blocks are named."""
    return len({name.split("_")[0] for name in config["encoder"]}) - 1


EDM = Family("EdmNetwork", part="network", channels=3, classes="label_dim", make=make_edm,
             ask=ask_with_label, halvings=edm_halvings)  # fmt: skip
"""EDM's networks (Karras et al., 2206.00364), of converted checkpoints."""


def make_edm2(kind: str, config: Mapping[str, Any]) -> torch.nn.Module:
    """The network with its preconditioning, without weights."""
    from nca_cli.models.networks.edm2 import Edm2Network

    return Edm2Network(config)


EDM2 = replace(EDM, network="Edm2Network", make=make_edm2)
"""EDM2's (Karras et al., 2312.02696)."""

FAMILIES = {
    " ".join((family.network, *map(str, family.told_by.values()))): family
    for family in (
        UNET, STABLE_DIFFUSION, STABLE_DIFFUSION_XL, DIT, STABLE_DIFFUSION_3, LUCID, EDM, EDM2,
    )
}  # fmt: skip
"""By the classes of their networks, and what tells them from others of that class."""
