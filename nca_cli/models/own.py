"""Your own model: `--model module:factory`, an import that the user asks for by name.

The factory takes nothing (for `--run`: a step of the training) and returns an object with

- `identity`, a text that says which weights these are: it goes into every recipe;
- `shape`, (C, H, W) of its images: C 3 or 1;
- a call: `model(x (B, C, H, W), t (B,))` → what it predicts, shaped as x (or with twice the
  channels, a learned variance behind it);

and, where the defaults are not right, `schedule` (a `Schedule`; the linear one of DDPM),
`prediction` (epsilon, v_prediction, sample, flow or score) and `variance` of ddpm's steps
(fixed_small, fixed_large or learned_range). No file can name one: only the user.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nca_cli import plugins
from nca_cli.errors import ModelError, NcaError, UsageError
from nca_cli.images.size import Resolution
from nca_cli.models.load import Running
from nca_cli.models.origins import Origin, StoredAs, Wanted
from nca_cli.models.space import Model, Space
from nca_cli.schedule import Schedule

if TYPE_CHECKING:
    import torch

    from nca_cli.models.denoiser import Condition, Denoiser

OWN = re.compile(r"([A-Za-z_][\w.]*):([A-Za-z_]\w*)")
PREDICTIONS = ("epsilon", "v_prediction", "sample", "flow", "score")
SCHEDULES = ("Schedule", "FlowMatching", "VarianceExploding", "NoiseSigma")
VARIANCES = ("fixed_small", "fixed_large", "learned_range")
"""Of ddpm's steps."""


def is_own(name: str) -> bool:
    """Whether `name` is of the form `module:factory`."""
    return OWN.fullmatch(name) is not None


@functools.cache
def _made(name: str) -> Any:
    """What the factory returns, checked; made once in a process. Raises `ModelError`."""
    return _make(name)


def _make(name: str, *step: int) -> Any:
    """What the factory returns (for a step of a training), checked. Raises `ModelError`."""
    module, factory = name.split(":")
    try:
        made = getattr(plugins.load(module), factory)(*step)
    except NcaError as error:  # of nca's own parts, such as a schedule
        raise ModelError(name, f"cannot be made ({error.what})", error.hint) from error
    except Exception as error:
        reason = f"cannot be made ({plugins.why(error)})"
        raise ModelError(name, reason, plugins.FROM) from error
    for reason, holds in _complaints(made).items():
        if holds:
            raise ModelError(name, reason, "docs/own-model.md has an example")
    return made


def _complaints(made: Any) -> dict[str, bool]:
    identity: Any = getattr(made, "identity", None)
    shape: Any = getattr(made, "shape", None)
    image = (
        isinstance(shape, tuple)
        and len(shape) == 3
        and all(isinstance(side, int) and side > 0 for side in shape)
    )
    schedule = _schedule(made)
    told = isinstance(schedule, Schedule)
    prediction = _prediction(made) if told else ""
    return {
        "its identity is not a string": not isinstance(identity, str) or not identity.strip(),
        "its shape is not (C, H, W) with C 3 or 1": not image or shape[0] not in (1, 3),
        "it cannot be called": not callable(made),
        f"its schedule is a {type(schedule).__name__}, not one of {', '.join(SCHEDULES)} of "
        "nca_cli.schedule": not told,
        f"its prediction is not one of {', '.join(PREDICTIONS)}": (
            told and prediction not in PREDICTIONS),
        f"its variance is not one of {', '.join(VARIANCES)}": (
            getattr(made, "variance", VARIANCES[0]) not in VARIANCES),
        f"its prediction {prediction} does not fit its schedule, {type(schedule).__name__}": (
            told and str(prediction) not in schedule.predictions),
    }  # fmt: skip


def _schedule(made: Any) -> Any:
    return getattr(made, "schedule", Schedule())


def _prediction(made: Any) -> str:
    return getattr(made, "prediction", _schedule(made).prediction or "epsilon")


def _variance(made: Any) -> dict[str, str]:
    """What a scheduler would say of it; nothing where the object says nothing."""
    return {"variance_type": made.variance} if hasattr(made, "variance") else {}


@dataclass(frozen=True)
class Own(Origin):
    """An import."""

    named: str
    """`module:factory`"""
    step: int | None = None
    """Of a run: what the factory is called with. Networks of a run are not kept: they are made
    once to be identified, and once more to be run."""

    def _network(self) -> Any:
        return _made(self.named) if self.step is None else _make(self.named, self.step)

    def find(self, wanted: Wanted) -> Model:
        made = self._network()
        return Model(
            self.stored_as().name, self.named,
            Space.of_pixels(_schedule(made), made.shape), self,
            scheduler={"clip_sample": False, "set_alpha_to_one": True, **_variance(made)},
            revision=f"own:{self.named}:{_prediction(made)}:{made.identity}",
            prediction=_prediction(made),
        )  # fmt: skip

    def sized(self, model: Model, size: Resolution) -> Model:
        """Its shape is the user's own to say."""
        raise UsageError(f"{self.named}: its shape is {model.space.shape}", "leave out --size")

    def files(self, model: Model) -> list[Path]:
        """It has none."""
        return []

    def architecture(self, model: Model) -> dict[str, Any]:
        """A factory says nothing of it."""
        return {}

    def stored_as(self) -> StoredAs:
        return StoredAs(self.named.split(":")[1], None, self.named)

    def denoiser(self, model: Model, running: Running) -> Denoiser:
        import torch

        from nca_cli.models.denoiser import Asked, Denoiser

        network = torch.nn.Module()
        network.made = made = self._network()
        asked = Asked(
            network, model.space.schedule, _prediction(made), model.space.shape, self.named,
            ask=self._ask,
        )  # fmt: skip
        return Denoiser(asked, **running.numerics)

    def _ask(
        self, network: Any, x: torch.Tensor, time: torch.Tensor, condition: Condition | None
    ) -> Any:
        answer = network.made(x, time)
        learned = _variance(network.made).get("variance_type") == "learned_range"
        shape = tuple(getattr(answer, "shape", ()))
        if learned and shape[1:2] != (2 * x.shape[1],):
            reason = f"answers {shape} to x {tuple(x.shape)}, without its learned variance"
            raise ModelError(self.named, reason, "twice the channels: prediction, variance")
        return answer
