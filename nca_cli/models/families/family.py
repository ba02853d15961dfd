"""What a model family is: all that is particular to denoising networks of one class."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from nca_cli.models.text import Embedded, TextEncoder
from nca_cli.schedule import Schedule

if TYPE_CHECKING:
    import numpy as np
    import torch

    from nca_cli.models.denoiser import Condition
    from nca_cli.models.pipeline import Pipeline


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


@dataclass(frozen=True)
class Family:
    """Models whose denoising network is of one class. The defaults are most of diffusers'."""

    network: str
    """The class by which a pipeline's configuration names the network."""
    part: str = "unet"
    """The component that it is: the key in `model_index.json`, and the folder."""
    older_name: str | None = None
    """Of the class, in older repositories."""
    channels: int = 4
    """Into the network, where its configuration does not say."""
    classes: str = ""
    """The key by which its configuration says how many class labels there are."""
    null_label: bool = False
    """Whether the label past the classes stands for none."""
    text_encoders: Mapping[str, TextEncoder] = field(default_factory=dict)
    """Of networks that take a prompt, by their components."""
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
    complaints: Callable[[Pipeline], Iterable[str]] = lambda pipeline: ()
    """Why nca cannot run a pipeline of this family; nothing where it can."""
