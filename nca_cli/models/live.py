"""A network in memory that is being trained: asked as it is, and left as it was."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nca_cli.errors import UsageError
from nca_cli.images.size import height_width, resolution_of
from nca_cli.models.checks import scheduler_complaints
from nca_cli.models.load import Running
from nca_cli.models.origins import Origin, safe_name
from nca_cli.models.own import PREDICTIONS
from nca_cli.models.space import Model, Space, Trained
from nca_cli.recipe import WATCHED, digest
from nca_cli.schedule import Schedule, kind_of

if TYPE_CHECKING:
    import torch

    from nca_cli.models.denoiser import Denoiser

WRAPPERS = {"DistributedDataParallel": "module", "DataParallel": "module",
            "AveragedModel": "module", "OptimizedModule": "_orig_mod"}  # fmt: skip
"""Classes of torch that hold a network, and under which name."""


@dataclass(frozen=True)
class LiveNetwork(Origin):
    """A network whose weights belong to a training."""

    network: torch.nn.Module
    prediction: str

    def model(
        self, trained: Trained, schedule: Schedule, shape: tuple[int, int, int] | None
    ) -> Model:
        """The network as it is now, as a checkpoint of its run. `shape` (C, H, W), `None`: as its
        `config` says. Raises `UsageError` where there is none, or it is not one of pixels."""
        channels, height, width = shape or self._configured_shape(trained.run)
        if channels not in (1, 3):
            raise UsageError(
                f"shape {(channels, height, width)} is not (C, H, W) with C 3 or 1",
                "only pixel models can be watched, not latent ones",
            )
        return Model(
            safe_name(trained.run), WATCHED,
            Space.of_pixels(schedule, (channels, height, width)), self, trained=trained,
        )  # fmt: skip

    def _configured_shape(self, run: str) -> tuple[int, int, int]:
        config: Any = getattr(self.network, "config", None)
        try:
            size = height_width(resolution_of(config["sample_size"]))
            return int(config["in_channels"]), *size
        except (KeyError, TypeError, ValueError) as error:
            raise UsageError(f"the network of {run} does not say the shape of its images",
                             "give shape=(C, H, W), such as (3, 32, 32)") from error  # fmt: skip

    def identity(self, model: Model) -> str:
        """What it predicts, and SHA-256 (hex) over names, types, shapes and bytes of its tensors.

        So the weights of each step have recipes of their own, and equal weights have one.
        """
        import torch

        held = {name: value.detach().cpu() for name, value in self.network.state_dict().items()
                if torch.is_tensor(value)}  # fmt: skip
        with ThreadPoolExecutor() as pool:  # hashing large buffers leaves Python to others
            hexes = pool.map(_tensor_digest, held.values())
            told = [[name, str(value.dtype), list(value.shape), each]
                    for (name, value), each in zip(held.items(), hexes, strict=True)]  # fmt: skip
        return f"live:{self.prediction}:{digest(told)}"

    @property
    def device(self) -> str:
        """Where its weights are."""
        return str(next((each.device for each in self.network.parameters()), "cpu"))

    @property
    def dtype(self) -> str:
        """In which it computes: `float32`, `bfloat16`, …"""
        floats = (each for each in self.network.parameters() if each.is_floating_point())
        return str(next((each.dtype for each in floats), "float32")).removeprefix("torch.")

    def architecture(self, model: Model) -> Mapping[str, Any]:
        """Nothing is told of it."""
        return {}

    def denoiser(self, model: Model, running: Running) -> Denoiser:
        """Of an empty module in the network's place: a denoiser converts the weights it holds."""
        import torch

        from nca_cli.models.denoiser import Asked, Denoiser

        asked = Asked(torch.nn.Module(), model.space.schedule, self.prediction, model.space.shape,
                      model.name, ask=self._ask)  # fmt: skip
        return Denoiser(asked, **running.numerics)

    def _ask(self, _: object, x: torch.Tensor, time: torch.Tensor, condition: object) -> Any:
        """As its training calls it, without gradients and in its own precision.

        Not in inference mode: what a network keeps of a call has to be of use to its training.
        """
        import torch

        # accelerate leaves the network's own call there when it wraps it in mixed precision
        call = getattr(self.network, "_original_forward", self.network)
        with (
            torch.inference_mode(False),
            torch.no_grad(),
            torch.autocast(x.device.type, enabled=False),
        ):
            answer = call(x.clone(memory_format=torch.contiguous_format), time.clone())
        return answer if torch.is_tensor(answer) else getattr(answer, "sample", answer)


def _tensor_digest(value: torch.Tensor) -> str:
    import torch

    return hashlib.sha256(value.reshape(-1).view(torch.uint8).numpy().data).hexdigest()


def unwrapped(network: Any) -> torch.nn.Module:
    """The network inside what torch wraps around it. Raises `UsageError` for what is no network."""
    import torch

    while (name := WRAPPERS.get(type(network).__name__)) and hasattr(network, name):
        network = getattr(network, name)
    if not isinstance(network, torch.nn.Module):
        raise UsageError(f"a {type(network).__name__} is not a torch.nn.Module",
                         "give the network that holds the weights")  # fmt: skip
    return network


def levels_of(schedule: Any, prediction: str | None = None) -> tuple[Schedule, str]:
    """The levels of a `Schedule` or of a scheduler of diffusers, and what a network predicts there
    unless `prediction` says it.

    Raises `UsageError` for what is neither, and for levels or predictions that nca does not know.
    """
    levels, told = schedule, prediction or getattr(schedule, "prediction", None) or "epsilon"
    if not isinstance(schedule, Schedule):
        if not hasattr(schedule, "config"):
            raise UsageError(f"a {type(schedule).__name__} is not a schedule",
                             "give a scheduler of diffusers, or a Schedule")  # fmt: skip
        config = {**schedule.config, "_class_name": type(schedule).__name__}
        implied = kind_of(config).prediction or config.get("prediction_type", "epsilon")
        told = prediction or str(implied)
        for complaint in scheduler_complaints(config, told):
            raise UsageError(f"cannot watch: {complaint}")
        levels = Schedule.from_config(config)
    able = [name for name in PREDICTIONS if name in levels.predictions]
    if told not in able:
        raise UsageError(f"prediction {told!r} does not fit {type(levels).__name__} levels",
                         f"one of: {', '.join(able)}")  # fmt: skip
    return levels, told


@contextmanager
def undisturbed(network: torch.nn.Module) -> Iterator[None]:
    """Within it the network is in evaluation mode.

    Afterwards the mode of each of its modules and the random states of Python, NumPy and torch (on
    the CPU and on its GPUs) are what they were.
    """
    import torch

    modes = [(module, module.training) for module in network.modules()]
    gpus = {each.device for each in network.parameters() if each.device.type == "cuda"}
    python, numpy = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng(gpus):
            for module, _ in modes:
                module.training = False
            yield
    finally:
        for module, mode in modes:
            module.training = mode
        random.setstate(python)
        np.random.set_state(numpy)
