"""A diffusers pipeline as its files describe it: its components, and what follows from them."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nca_cli.errors import ModelError, UsageError
from nca_cli.images.size import Resolution, height_width, resolution_of, size_text
from nca_cli.models.digests import content_digest, named_digest
from nca_cli.models.families import Family
from nca_cli.models.space import Space
from nca_cli.models.text import TextEncoder
from nca_cli.schedule import Schedule, kind_of

if TYPE_CHECKING:
    import torch

SCHEDULER = "scheduler/scheduler_config.json"
STEM = "diffusion_pytorch_model"
TEXT_ENCODER = "text_encoder"
TOKENIZER = "tokenizer"
STEMS = {"safetensors": STEM, "bin": STEM}
TEXT_STEMS = {"safetensors": "model", "bin": "pytorch_model"}
"""Weight files are named by diffusers, those of a text encoder by transformers."""
MOST_PIXELS = 16_384
"""Of a side of an image."""
KL_SCALE = 0.18215
"""diffusers' default `scaling_factor` of AutoencoderKL."""
AUTOENCODERS = {"VQModel": 1.0, "AutoencoderKL": KL_SCALE}
"""Classes of autoencoders, and the latent scale that an absent `scaling_factor` means.

diffusers fills in 0.18215 for both, which is wrong for a VQModel (issue 6725).
"""


@dataclass(frozen=True)
class Component:
    """A network of a pipeline: its folder ("" at the root), class, configuration and weights."""

    folder: str
    kind: str
    """Its class."""
    config: Mapping[str, Any]
    weights: tuple[str, ...]
    """Names relative to the pipeline, an index file first; empty if there are none."""
    make: Callable[[Mapping[str, Any]], torch.nn.Module]
    """The network from its configuration, without weights."""

    @property
    def config_file(self) -> str:
        """Name of the configuration, relative to the pipeline."""
        return join(self.folder, "config.json")

    @property
    def usual_weights(self) -> str:
        """Name of the weight file that it should have, relative to the pipeline."""
        return join(self.folder, f"{stems_of(self.folder)['safetensors']}.safetensors")

    @property
    def files(self) -> tuple[str, ...]:
        """Configuration and weights, relative to the pipeline."""
        return (self.config_file, *self.weights)


@dataclass(frozen=True)
class TextComponent(Component):
    """A text encoder with its tokenizer."""

    encoder: TextEncoder
    tokenizer: tuple[str, ...] = ()
    """Files of the tokenizer, relative to the pipeline; empty while it has no vocabulary."""

    @property
    def tokenizer_folder(self) -> str:
        """`tokenizer_2` beside `text_encoder_2`."""
        return self.folder.replace(TEXT_ENCODER, TOKENIZER)

    @property
    def width(self) -> int:
        """Of an embedded token."""
        return int(self.config.get(self.encoder.width, 512))

    @property
    def limit(self) -> int:
        """How many tokens it reads."""
        return self.encoder.tokens or self.config.get("max_position_embeddings", 77)

    @property
    def files(self) -> tuple[str, ...]:
        """Configuration, weights and tokenizer, relative to the pipeline."""
        return (*super().files, *self.tokenizer)


@dataclass(frozen=True)
class Pipeline:
    """A pipeline that nca can run."""

    root: Path
    family: Family
    network: Component
    """The denoising network: a UNet or a transformer."""
    scheduler: Mapping[str, Any]
    scheduler_file: str
    """Relative to the root, or absolute where the user names it."""
    autoencoder: Component | None
    text_encoders: tuple[TextComponent, ...] = ()
    index: Mapping[str, Any] = field(default_factory=dict)
    """What its `model_index.json` says, if it has one."""
    size: Resolution | None = None
    """Of images, where another one than its own was asked for."""

    @property
    def files(self) -> tuple[str, ...]:
        """All files that bear on its results, relative to the root."""
        networks = (file for component in self.components() for file in component.files)
        return (self.scheduler_file, *networks)

    @property
    def schedule(self) -> Schedule:
        """The noise levels it was trained on, and the chains that its pipeline takes over them."""
        return self.family.schedule(self.scheduler)

    @property
    def prediction(self) -> str:
        """What the network predicts: epsilon, v_prediction, sample, score or flow."""
        if (implied := kind_of(self.scheduler).prediction) is not None:
            return implied
        if "prediction_type" in self.scheduler:
            return str(self.scheduler["prediction_type"])
        return "sample" if self.scheduler.get("predict_epsilon") is False else "epsilon"

    @property
    def ins_and_outs(self) -> tuple[int, int]:
        """Channels into the network and out of it, with diffusers' defaults."""
        default, config = self.family.channels, self.network.config
        ins = int(config.get("in_channels", default))
        return ins, int(config.get("out_channels", default) or ins)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of the network's input."""
        return self.ins_and_outs[0], *height_width(
            resolution_of(self.network.config["sample_size"])
        )

    @property
    def classes(self) -> int | None:
        """How many class labels the network takes; `None` if it takes none."""
        count = self.network.config.get(self.family.classes)
        return None if count is None else int(count)

    @property
    def null_label(self) -> int | None:
        """The label that stands for none; `None`: the network was never trained without one."""
        return self.classes if self.family.null_label else None

    @property
    def no_text(self) -> str | None:
        """What stands for no text: `zeros`, or `None`, the empty prompt as it is embedded."""
        return self.family.no_text(self)

    @property
    def resolution(self) -> Resolution:
        """Side of the image in pixels, or (height, width)."""
        config = self.autoencoder.config if self.autoencoder else {}
        factor = 2 ** (len(config.get("block_out_channels", (64,))) - 1)
        return resolution_of([factor * side for side in self.shape[1:]])

    def check_size(self, size: Resolution, name: str) -> None:
        """Refuse images of a size on which it cannot work. Raises `UsageError`."""
        text, own, halvings = size_text(size), self.resolution, self.family.halvings
        if halvings is None:
            what = f"a {self.family.network} that works on images of {size_text(own)} pixels alone"
            raise UsageError(f"{name} is {what}", "leave out --size")
        factor = height_width(own)[0] // self.shape[1] * 2 ** halvings(self.network.config)
        if any(side % factor or not 0 < side <= MOST_PIXELS for side in height_width(size)):
            hint = f"multiples of {factor} up to {MOST_PIXELS}, such as its own {size_text(own)}"
            raise UsageError(f"{name} cannot work on images of {text} pixels (--size)", hint)

    @property
    def channels(self) -> int:
        """Channels of the image."""
        if self.autoencoder is None:
            return self.ins_and_outs[0]
        return int(self.autoencoder.config.get("in_channels", 3))

    @property
    def latent_scale(self) -> float | None:
        """Of z = (encode(x) - shift)·scale."""
        if self.autoencoder is None:
            return None
        default = AUTOENCODERS[self.autoencoder.kind]
        return float(self.autoencoder.config.get("scaling_factor", default))

    @property
    def latent_shift(self) -> float | None:
        """Of z = (encode(x) - shift)·scale; `None` where there is none."""
        shift = self.autoencoder.config.get("shift_factor") if self.autoencoder else None
        return float(shift) if shift else None

    def components(self, weights: bool = True) -> tuple[Component, ...]:
        """The networks: all, or (to noise an image) the autoencoder of a latent model alone."""
        every = (self.network, self.autoencoder, *self.text_encoders)
        return tuple(one for one in (every if weights else (self.autoencoder,)) if one)

    def missing(self, weights: bool = True) -> str | None:
        """The weight file that the first network without one should have, or a vocabulary."""
        for component in self.components(weights):
            if not component.weights:
                return component.usual_weights
        for text in self.text_encoders if weights else ():
            if not text.tokenizer:
                return join(text.tokenizer_folder, text.encoder.vocabularies[0][0])
        return None

    def identity(self, name: str) -> str:
        """SHA-256 (hex) over all files that bear on its results.

        The network's are named as in a whole pipeline, wherever a training left them: the same
        weights are the same results. Raises `ModelError` of `name` for an unreadable file.
        """
        folder, usual = self.network.folder, self.family.part
        if folder in ("", usual) and not os.path.isabs(self.scheduler_file):
            return self.digest(self.files, self.root, name)
        named = sorted((self._usual_name(file), self.root / file) for file in self.files)
        try:
            return named_digest(named)
        except OSError as error:
            raise ModelError(name, f"cannot read {error.filename}: {error.strerror}") from error

    def _usual_name(self, file: str) -> str:
        """What one of its files is called in a whole pipeline."""
        if os.path.isabs(file):
            return SCHEDULER
        folder = self.network.folder
        if not folder or file not in self.network.files:
            return file
        return join(self.family.part, file.removeprefix(f"{folder}/"))

    def space(self, name: str) -> Space:
        """Where its x0 and x_t live. Raises `ModelError` of `name` for an unreadable file."""
        coder, digest = self.autoencoder, None
        if coder is not None:
            digest = self.digest(coder.files, self.root / coder.folder, name)
        return Space(
            schedule=self.schedule,
            shape=self.shape,
            resolution=self.resolution,
            channels=self.channels,
            autoencoder=digest,
            latent_scale=self.latent_scale,
            latent_shift=self.latent_shift,
        )

    def digest(self, files: tuple[str, ...], base: Path, name: str) -> str:
        """SHA-256 (hex) over files of it, by their names in `base`. Raises `ModelError`."""
        try:
            return content_digest([self.root / file for file in files], base)
        except OSError as error:
            raise ModelError(name, f"cannot read {error.filename}: {error.strerror}") from error


def stems_of(folder: str) -> dict[str, str]:
    """Suffix → name of the weight file in a part's folder, the preferred one first."""
    return TEXT_STEMS if folder.startswith(TEXT_ENCODER) else STEMS


def join(folder: str, name: str) -> str:
    """`folder/name`, or `name` at the root."""
    return f"{folder}/{name}" if folder else name
