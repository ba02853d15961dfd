"""A diffusers pipeline as files: which files it has, and what its raw configurations say.

Two layouts exist. Nested: `model_index.json` beside `unet/` or `transformer/`, `scheduler/`, for
latent models `vqvae/` or `vae/`, and for prompts `text_encoder/` and `tokenizer/` (the second and
third of them ending in `_2` and `_3`). Flat, of older repositories: the network's `config.json` and
`scheduler_config.json` at the root. Raw JSON is read on purpose: diffusers fills in defaults, and
for latent scales they are wrong (issue 6725).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from nca_cli.errors import ModelError
from nca_cli.models.files import (
    TEXT_ENCODER,
    TOKENIZER,
    VOCABULARIES,
    WHOLE_VOCABULARY,
    choose_tokenizer,
    choose_weights,
    join,
    list_files,
    read_json,
    stems_of,
)
from nca_cli.models.values import check_autoencoder, check_network, check_scheduler
from nca_cli.schedule import FlowMatching, Schedule, kind_of

INDEX = "model_index.json"
CONFIGS = (
    INDEX,
    "config.json",
    "scheduler_config.json",
    "unet/config.json",
    "transformer/config.json",
    "scheduler/scheduler_config.json",
    "vqvae/config.json",
    "vae/config.json",
    "text_encoder/config.json",
    "text_encoder_2/config.json",
    "text_encoder_3/config.json",
)
"""Every file that can say what a pipeline is."""
NETWORK = "UNet2DModel"
PROMPTED = "UNet2DConditionModel"
TRANSFORMER = "DiTTransformer2DModel"
MMDIT = "SD3Transformer2DModel"
CLIP = "CLIPTextModel"
PROJECTED = "CLIPTextModelWithProjection"
T5 = "T5EncoderModel"
RENAMED = {"Transformer2DModel": TRANSFORMER}
"""Classes by the names they had in older repositories."""
CLASSES = {NETWORK: "num_class_embeds", TRANSFORMER: "num_embeds_ada_norm"}
"""Where a configuration says how many classes there are."""
AUTOENCODERS = ("VQModel", "AutoencoderKL")
KNOWN = {
    "unet": (NETWORK, PROMPTED),
    "transformer": (TRANSFORMER, MMDIT),
    "vqvae": AUTOENCODERS,
    "vae": AUTOENCODERS,
}
"""Parts of a pipeline, and the classes of them that nca runs."""
READERS = {
    PROMPTED: {TEXT_ENCODER: CLIP},
    MMDIT: {TEXT_ENCODER: PROJECTED, f"{TEXT_ENCODER}_2": PROJECTED, f"{TEXT_ENCODER}_3": T5},
}
"""Text encoders of the networks that take a prompt, by their parts, and the class of each."""
T5_TOKENS = 256
OPTIONAL = (T5,)
"""Text encoders that a pipeline may do without."""
FOLDERS = (
    "scheduler", *KNOWN,
    *(f"{part}{ending}" for part in (TEXT_ENCODER, TOKENIZER) for ending in ("", "_2", "_3")),
)  # fmt: skip
"""Where its files are, beside the root."""
KL_SCALE = 0.18215
"""diffusers' default `scaling_factor` of AutoencoderKL."""
PREDICTIONS = ("epsilon", "v_prediction", "sample")
MORE_CONDITIONS = (
    "addition_embed_type", "encoder_hid_dim", "time_cond_proj_dim", "num_class_embeds",
)  # fmt: skip
"""Inputs of a `UNet2DConditionModel` beside the prompt: sizes, images, a guidance weight."""
BENDS = (
    "use_dynamic_shifting", "invert_sigmas", "shift_terminal", "use_karras_sigmas",
    "use_exponential_sigmas", "use_beta_sigmas", "stochastic_sampling",
)  # fmt: skip
"""Settings of a flow's scheduler that bend its chains, or walk them, as no sampler here does."""
BETA_SCHEDULES = ("linear", "scaled_linear", "squaredcos_cap_v2")


class IncompletePipeline(ModelError):
    """Files are missing: more of them may be had from the hub."""


@dataclass(frozen=True)
class Part:
    """A network of a pipeline: its folder ("" at the root), configuration and weight files."""

    folder: str
    config: Mapping[str, Any]
    weights: tuple[str, ...]
    """Names relative to the pipeline, an index file first; empty if there are none."""

    @property
    def kind(self) -> str:
        """The class that the configuration names."""
        return _kind(self.config)

    @property
    def channels(self) -> tuple[int, int]:
        """Of a denoising network: channels in and out, with diffusers' defaults."""
        default = {NETWORK: 3, MMDIT: 16}.get(self.kind, 4)
        ins = int(self.config.get("in_channels", default))
        return ins, int(self.config.get("out_channels", default) or ins)

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
class Reader(Part):
    """A text encoder with its tokenizer."""

    tokenizer: tuple[str, ...] = ()
    """Files of the tokenizer, relative to the pipeline; empty while it has no vocabulary."""

    @property
    def tokenizer_folder(self) -> str:
        """`tokenizer_2` beside `text_encoder_2`."""
        return self.folder.replace(TEXT_ENCODER, TOKENIZER)

    @property
    def vocabularies(self) -> tuple[tuple[str, ...], ...]:
        """Files that hold a vocabulary of its kind, any of these sets of them."""
        return WHOLE_VOCABULARY if self.kind == T5 else VOCABULARIES

    @property
    def width(self) -> int:
        """Of an embedded token."""
        return int(self.config.get("d_model" if self.kind == T5 else "hidden_size", 512))

    @property
    def limit(self) -> int:
        """How many tokens it reads; T5 has no end of its own, and pipelines take these many."""
        return T5_TOKENS if self.kind == T5 else self.config.get("max_position_embeddings", 77)

    @property
    def files(self) -> tuple[str, ...]:
        """Configuration, weights and tokenizer, relative to the pipeline."""
        return (*super().files, *self.tokenizer)


@dataclass(frozen=True)
class Pipeline:
    """A pipeline that nca can run, as its files describe it."""

    root: Path
    network: Part
    """The denoising network: a UNet or a transformer."""
    scheduler: Mapping[str, Any]
    scheduler_file: str
    autoencoder: Part | None
    readers: tuple[Reader, ...] = ()
    """Its text encoders."""

    @property
    def files(self) -> tuple[str, ...]:
        """All files that bear on its results, relative to the root."""
        parts = (file for part in self.parts() for file in part.files)
        return (self.scheduler_file, *parts)

    @property
    def schedule(self) -> Schedule:
        """The noise levels it was trained on, and the chains that its pipeline takes over them."""
        schedule = Schedule.from_config(self.scheduler)
        if self.network.kind == MMDIT and isinstance(schedule, FlowMatching):
            return schedule.as_scheduled()
        return schedule

    @property
    def prediction(self) -> str:
        """What the network predicts: epsilon, v_prediction, sample, score or flow."""
        if (implied := kind_of(self.scheduler).prediction) is not None:
            return implied
        if "prediction_type" in self.scheduler:
            return str(self.scheduler["prediction_type"])
        return "sample" if self.scheduler.get("predict_epsilon") is False else "epsilon"

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of the network's input."""
        side = _side(self.network.config["sample_size"])
        return self.network.channels[0], side, side

    @property
    def classes(self) -> int | None:
        """How many class labels the network takes; `None` if it takes none."""
        count = self.network.config.get(CLASSES.get(self.network.kind, ""))
        return None if count is None else int(count)

    @property
    def null_label(self) -> int | None:
        """The label that stands for none: of a DiT the one past its classes, of a UNet none."""
        return self.classes if self.network.kind == TRANSFORMER else None

    @property
    def resolution(self) -> int:
        """Side of the image in pixels."""
        if self.autoencoder is None:
            return self.shape[1]
        blocks = self.autoencoder.config.get("block_out_channels", (64,))
        return self.shape[1] * 2 ** (len(blocks) - 1)

    @property
    def channels(self) -> int:
        """Channels of the image."""
        if self.autoencoder is None:
            return self.network.channels[0]
        return int(self.autoencoder.config.get("in_channels", 3))

    @property
    def latent_scale(self) -> float | None:
        """Of z = (encode(x) - shift)·scale. Absent, 1 for VQModel, diffusers' for AutoencoderKL."""
        if self.autoencoder is None:
            return None
        default = 1.0 if self.autoencoder.kind == "VQModel" else KL_SCALE
        return float(self.autoencoder.config.get("scaling_factor", default))

    @property
    def latent_shift(self) -> float | None:
        """Of z = (encode(x) - shift)·scale; `None` where there is none."""
        shift = self.autoencoder.config.get("shift_factor") if self.autoencoder else None
        return float(shift) if shift else None

    @property
    def text_width(self) -> int:
        """Of the tokens that an `MMDIT` takes."""
        return int(self.network.config.get("joint_attention_dim", 4096))

    def parts(self, weights: bool = True) -> tuple[Part, ...]:
        """The networks: all, or (to noise an image) the autoencoder of a latent model alone."""
        every = (self.network, self.autoencoder, *self.readers)
        return tuple(part for part in (every if weights else (self.autoencoder,)) if part)

    def missing(self, weights: bool = True) -> str | None:
        """The weight file that the first network without one should have, or a vocabulary."""
        for part in self.parts(weights):
            if not part.weights:
                return part.usual_weights
        for reader in self.readers if weights else ():
            if not reader.tokenizer:
                return join(reader.tokenizer_folder, reader.vocabularies[0][0])
        return None


def read_pipeline(root: Path, name: str) -> Pipeline:
    """The pipeline in the folder `root`, called `name` in errors. Weights may be absent.

    Raises `ModelError` for anything that nca cannot run, naming what stands in the way.
    """
    files = list_files(root, FOLDERS)
    if INDEX not in files and "config.json" not in files:
        reason = f"{root} is no diffusers pipeline (no {INDEX} or config.json)"
        raise IncompletePipeline(name, reason)
    index = read_json(root / INDEX, name) if INDEX in files else {}
    _check_index(index, name)
    network = _part(root, files, _network_of(index), name)
    autoencoder_folder = next((part for part in ("vqvae", "vae") if _names(index, part)), None)
    autoencoder = _part(root, files, autoencoder_folder, name) if autoencoder_folder else None
    readers = _readers(root, files, index, network.kind, name)
    scheduler_file = next(
        (file for file in ("scheduler/scheduler_config.json", "scheduler_config.json")
         if file in files), None,
    )  # fmt: skip
    if scheduler_file is None:
        raise IncompletePipeline(name, f"{root} has no scheduler_config.json")
    scheduler = read_json(root / scheduler_file, name)
    pipeline = Pipeline(root, network, scheduler, scheduler_file, autoencoder, readers)
    _check(pipeline, name)
    return pipeline


def _names(index: Mapping[str, Any], part: str) -> bool:
    """Whether `model_index.json` names a component (null components are written as nulls)."""
    entry = index.get(part)
    return isinstance(entry, list) and entry[-1:] not in ([], [None])


def _network_of(index: Mapping[str, Any]) -> str:
    """The part that denoises."""
    return "transformer" if _names(index, "transformer") else "unet"


def _kind(config: Mapping[str, Any]) -> str:
    """The class that a network's configuration names, in diffusers' way or in transformers'."""
    architectures = config.get("architectures")
    name = architectures[0] if isinstance(architectures, list) and architectures else None
    name = str(config.get("_class_name", name))
    return RENAMED.get(name, name)


def _check_index(index: Mapping[str, Any], name: str) -> None:
    """Refuse a pipeline whose index names parts that nca cannot run."""
    if index and not _names(index, _network_of(index)):
        raise ModelError(name, f"a {index.get('_class_name')} has no {NETWORK} as its unet")
    for part, known in KNOWN.items():
        if _names(index, part):
            _check_kind(str(index[part][-1]), known, part, name)
    readers = READERS.get(str(index[_network_of(index)][-1]), {}) if index else {}
    for part in index:
        if part.startswith(TEXT_ENCODER) and _names(index, part):
            if part not in readers:
                raise ModelError(name, f"reads prompts by a {part} as well, which nca does not run")
            _check_kind(str(index[part][-1]), (readers[part],), part, name)


def _check_kind(kind: str, known: Collection[str], part: str, name: str) -> None:
    if RENAMED.get(kind, kind) not in known:
        raise ModelError(name, f"its {part} is a {kind}; nca runs {' and '.join(known)} only")


def _part(root: Path, files: Collection[str], part: str, name: str) -> Part:
    """The network in its own folder, or (the unet of a flat layout) at the root."""
    folder, config = _read_part(root, files, part, KNOWN[part], name)
    return Part(folder, config, choose_weights(files, folder))


def _read_part(
    root: Path, files: Collection[str], part: str, known: Collection[str], name: str
) -> tuple[str, dict[str, Any]]:
    """Folder and configuration of a part, whose class has to be among the `known`."""
    flat = part == "unet" and f"{part}/config.json" not in files
    folder = "" if flat else part
    if join(folder, "config.json") not in files:
        raise IncompletePipeline(name, f"{root / join(folder, 'config.json')} is missing")
    config = read_json(root / join(folder, "config.json"), name)
    if flat and "_class_name" not in config:
        raise ModelError(name, f"{root} is no diffusers pipeline (config.json names no {NETWORK})")
    _check_kind(_kind(config), known, part, name)
    return folder, config


def _readers(
    root: Path, files: Collection[str], index: Mapping[str, Any], network: str, name: str
) -> tuple[Reader, ...]:
    """The text encoders of a network that takes prompts."""
    readers = []
    for part, kind in READERS.get(network, {}).items():
        if _names(index, part):
            folder, config = _read_part(root, files, part, (kind,), name)
            reader = Reader(folder, config, choose_weights(files, folder))
            chosen = choose_tokenizer(files, reader.tokenizer_folder, reader.vocabularies)
            readers.append(replace(reader, tokenizer=chosen))
        elif kind not in OPTIONAL:
            raise ModelError(name, f"its network is a {network}, and no {part} is beside it")
    return tuple(readers)


def _check(pipeline: Pipeline, name: str) -> None:
    """Refuse what the configurations say and nca cannot run."""
    _check_network(pipeline.network, name)
    _check_scheduler(pipeline.scheduler, pipeline.prediction, name)
    if pipeline.autoencoder is not None:
        check_autoencoder(pipeline.autoencoder.config, name)
    if pipeline.channels not in (1, 3):
        raise ModelError(name, f"works on images of {pipeline.channels} channels; nca has 3 or 1")
    for what, width, given in _widths(pipeline):
        if width != given:
            reason = f"its network takes {what} of width {width}, its text encoders give {what}"
            raise ModelError(name, f"{reason} of width {given}")
    if pipeline.network.kind == MMDIT and pipeline.prediction != "flow":
        kind = pipeline.scheduler.get("_class_name")
        raise ModelError(name, f"its {MMDIT} predicts a velocity, for which no {kind} is made")
    if pipeline.autoencoder is None:
        return
    config = pipeline.autoencoder.config
    latents = config.get("vq_embed_dim") or config.get("latent_channels", pipeline.shape[0])
    if latents != pipeline.shape[0]:
        raise ModelError(name, f"unet of {pipeline.shape[0]} and latents of {latents} channels")
    if config.get("shift_factor") is not None and pipeline.network.kind != MMDIT:
        reason = f"its autoencoder shifts latents (shift_factor), which no {pipeline.network.kind}"
        raise ModelError(name, f"{reason} is made for")


def _widths(pipeline: Pipeline) -> Iterator[tuple[str, int, int]]:
    """What the network takes of its text encoders, how wide, and how wide it is given."""
    config, readers = pipeline.network.config, pipeline.readers
    if pipeline.network.kind == PROMPTED:
        yield "text", int(config.get("cross_attention_dim", 1280)), readers[0].width
    if pipeline.network.kind == MMDIT:
        width = pipeline.text_width
        clips = [reader for reader in readers if reader.kind == PROJECTED]
        pooled = sum(int(reader.config.get("projection_dim", 512)) for reader in clips)
        yield "pooled text", int(config.get("pooled_projection_dim", 2048)), pooled
        yield "text", width, max(width, sum(reader.width for reader in clips))  # filled with zeros
        yield from (("text", width, reader.width) for reader in readers if reader.kind == T5)


def _check_network(network: Part, name: str) -> None:
    config = network.config
    if network.kind == PROMPTED:
        _check_prompted(network, name)
    if network.kind == TRANSFORMER and config.get("norm_type", "ada_norm_zero") != "ada_norm_zero":
        raise ModelError(name, f"its transformer is no DiT (norm_type {config['norm_type']!r})")
    if (kind := config.get("class_embed_type")) is not None:
        raise ModelError(name, f"takes no class labels but a {kind} (class_embed_type)")
    if config.get("sample_size") is None:
        raise ModelError(name, "its config.json names no sample_size")
    try:
        _side(config["sample_size"])
    except (ValueError, TypeError, OverflowError) as error:
        raise ModelError(name, f"sample_size {config['sample_size']} is not a square") from error
    check_network(config, ("in_channels", "out_channels", CLASSES.get(network.kind, "")), name)
    ins, outs = network.channels
    if outs not in (ins, 2 * ins):
        raise ModelError(name, f"its network turns {ins} channels into {outs}")


def _check_prompted(network: Part, name: str) -> None:
    """Refuse networks that want to know more than a prompt."""
    for key in MORE_CONDITIONS:
        if network.config.get(key) is not None:
            raise ModelError(name, f"its unet takes more than a prompt ({key})")
    if network.config.get("attention_type", "default") != "default":
        raise ModelError(name, "its unet takes more than a prompt (attention_type)")


def _check_scheduler(config: Mapping[str, Any], prediction: str, name: str) -> None:
    kind, levels = config.get("_class_name"), kind_of(config)
    if kind not in levels.schedulers or config.get("use_flow_sigmas"):
        raise ModelError(name, f"its scheduler is a {kind}, which nca does not know")
    schedule = config.get("beta_schedule", "linear")
    if config.get("trained_betas") is None and schedule not in BETA_SCHEDULES:
        raise ModelError(name, f"its noise schedule is {schedule!r}, which nca does not know")
    check_scheduler(config, name)
    if levels.prediction is not None:
        _check_continuous(config, levels.prediction, name)
        return
    if config.get("timestep_type", "discrete") != "discrete":
        raise ModelError(name, f"its {kind} has continuous times, which nca has not")
    if prediction not in PREDICTIONS:
        raise ModelError(name, f"its network predicts {prediction!r}, which nca does not know")


def _check_continuous(config: Mapping[str, Any], prediction: str, name: str) -> None:
    """Refuse continuous levels that contradict themselves, or that an image's size would bend."""
    kind, written = config.get("_class_name"), config.get("prediction_type", prediction)
    if written != prediction:
        raise ModelError(name, f"its scheduler is a {kind}, yet its network predicts {written!r}")
    for flag in BENDS:
        if config.get(flag):
            raise ModelError(name, f"its {kind} has {flag}, which nca has not")
    if not 0 < float(config.get("sigma_min", 0.01)) < float(config.get("sigma_max", 1348.0)):
        raise ModelError(name, f"its {kind} has no range from sigma_min to sigma_max")
    if not float(config.get("shift", 1.0)) > 0:
        raise ModelError(name, f"its {kind} has a shift of {config['shift']}")


def _side(sample_size: Any) -> int:
    """The side of a square sample size: 256 or [256, 256]."""
    sides = sample_size if isinstance(sample_size, (list, tuple)) else [sample_size]
    if len({int(side) for side in sides}) != 1:
        raise ValueError(sample_size)
    return int(sides[0])
