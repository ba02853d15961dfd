"""What a model is to the rest of the program: plain data, without torch.

`Space` is all that a noised image depends on; `Model` adds where the weights are and how they
are sampled by default.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nca_cli.images.size import Resolution, height_width, resolution_of, size_json
from nca_cli.recipe import digest
from nca_cli.sampler_choice import SamplerChoice
from nca_cli.schedule import Schedule

if TYPE_CHECKING:
    from nca_cli.models.origins import Origin


@dataclass(frozen=True)
class Space:
    """Where x0 and x_t live. Two models with equal spaces share their noised images."""

    schedule: Schedule
    shape: tuple[int, int, int]
    """(C, H, W) the network works in: pixels, or latents of an autoencoder."""
    resolution: Resolution
    """Side of the image in pixels, or (height, width)."""
    channels: int
    """Of the image: 3, or 1 for greyscale models."""
    autoencoder: str | None = None
    """Content digest of the autoencoder's configuration and weights; `None` for pixel models."""
    latent_scale: float | None = None
    """z = (encode(x) - latent_shift)·latent_scale; `None` for pixel models."""
    latent_shift: float | None = None
    """`None`: latents are not shifted."""

    @classmethod
    def of_pixels(cls, schedule: Schedule, shape: tuple[int, int, int]) -> Space:
        """Of a network that works on images (C, H, W) themselves."""
        return cls(schedule, shape, resolution_of(shape[1:]), shape[0])

    @property
    def latent(self) -> bool:
        """Whether the network works on latents."""
        return self.autoencoder is not None

    def sized(self, resolution: Resolution) -> Space:
        """The same space of images of another size. Raises `ValueError` where latents do not
        divide it."""
        (own, _), (height, width) = height_width(self.resolution), height_width(resolution)
        factor = own // self.shape[1]
        if height % factor or width % factor:
            raise ValueError(resolution)
        shape = (self.shape[0], height // factor, width // factor)
        return replace(self, shape=shape, resolution=resolution_of((height, width)))

    def describe(self) -> dict[str, object]:
        """Plain data that identifies the space."""
        description: dict[str, object] = {
            "schedule": self.schedule.describe(),
            "shape": list(self.shape),
            "resolution": size_json(self.resolution),
            "channels": self.channels,
        }
        if self.latent:
            description |= {"autoencoder": self.autoencoder, "latent_scale": self.latent_scale}
        if self.latent_shift is not None:
            description["latent_shift"] = self.latent_shift
        return description

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of the canonical JSON of `describe()`."""
        return digest(self.describe())


@dataclass(frozen=True)
class Trained:
    """Where in which training a model's weights were saved."""

    run: str
    step: int
    """Of the optimiser; 0: untrained."""
    weights: str | None = None
    """`ema` (averaged over steps), `raw`, or `None` where that is not told."""
    settings: Mapping[str, Any] = field(default_factory=dict, hash=False)
    """What the run was trained with, as its `run.toml` says."""

    @property
    def checkpoint(self) -> dict[str, object]:
        """What an artifact's attribute `checkpoint` says."""
        return {"run": self.run, "step": self.step, "weights": self.weights}

    @property
    def described(self) -> dict[str, object]:
        """What `model.json` says of the run."""
        return {"name": self.run, "weights": self.weights, "settings": dict(self.settings)}


@dataclass(frozen=True)
class Model:
    """A model that was found: its space, its default sampler, and where its files are."""

    name: str
    """Stored name, safe as a folder name: `ddpm-ema-celebahq-256`, `demo`, `wiener`."""
    source: str
    """Hub id with `@revision` if one was asked for, absolute folder, or "built in"."""
    space: Space
    origin: Origin = field(compare=False, repr=False)
    """Where it comes from, and so how its weights are told from others and loaded."""
    sampler: SamplerChoice = field(default_factory=SamplerChoice)
    alias: str | None = None
    licence: str | None = None
    scheduler: Mapping[str, Any] = field(default_factory=dict, hash=False)
    """The scheduler's raw configuration."""
    folder: Path | None = None
    """Local folder that holds the pipeline; `None` if it is not on this disk, or has no files."""
    revision: str | None = None
    """Hub commit, where it is known; of other kinds of models, what identifies the weights."""
    checkpoint: Path | None = None
    """File of which `folder` is made when its weights are needed; `None` for other models."""
    classes: int | None = None
    """How many class labels its network takes, from 0."""
    null_label: int | None = None
    """The label that stands for none; `None`: the network was never trained without a label."""
    takes_prompt: bool = False
    """Whether its network answers under a text."""
    no_text: str | None = None
    """What stands for no text: `zeros`, or `None`, the empty prompt as it is embedded."""
    hears_size: bool = False
    """Whether its network is told the size of the image."""
    prediction: str | None = None
    """What its network predicts, where that is known: epsilon, v_prediction, sample, …"""
    silent: Mapping[str, Any] = field(default_factory=dict, hash=False)
    """What no tensor of a checkpoint reveals about it, as it was taken."""
    size: Resolution | None = None
    """Of images, where another one was asked for than the model's own."""
    trained: Trained | None = None
    """Of a checkpoint of a run, whose name is that of the model; `None` for all others."""

    @property
    def folder_name(self) -> str:
        """Name of its folder in a store: name and 8 hex of the space's digest."""
        return f"{self.name}-{self.space.digest[:8]}"
