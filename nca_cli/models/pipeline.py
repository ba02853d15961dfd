"""A diffusers pipeline as files: which files it has, and what its raw configurations say.

Two layouts exist. Nested: `model_index.json` beside `unet/` or `transformer/`, `scheduler/` and,
for latent models, `vqvae/` or `vae/`. Flat, of older repositories: the network's `config.json` and
`scheduler_config.json` at the root. Raw JSON is read on purpose: diffusers fills in defaults, and
for latent scales they are wrong (issue 6725).
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nca_cli.errors import ModelError
from nca_cli.schedule import Schedule, kind_of

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
)
"""Every file that can say what a pipeline is."""
STEM = "diffusion_pytorch_model"
NETWORK = "UNet2DModel"
TRANSFORMER = "DiTTransformer2DModel"
RENAMED = {"Transformer2DModel": TRANSFORMER}
"""Classes by the names they had in older repositories."""
CLASSES = {NETWORK: "num_class_embeds", TRANSFORMER: "num_embeds_ada_norm"}
"""Where a configuration says how many classes there are."""
AUTOENCODERS = ("VQModel", "AutoencoderKL")
KNOWN = {
    "unet": (NETWORK,),
    "transformer": (TRANSFORMER,),
    "vqvae": AUTOENCODERS,
    "vae": AUTOENCODERS,
}
"""Parts of a pipeline, and the classes of them that nca runs."""
KL_SCALE = 0.18215
"""diffusers' default `scaling_factor` of AutoencoderKL."""
PREDICTIONS = ("epsilon", "v_prediction", "sample")
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
        name = str(self.config.get("_class_name"))
        return RENAMED.get(name, name)

    @property
    def config_file(self) -> str:
        """Name of the configuration, relative to the pipeline."""
        return join(self.folder, "config.json")

    @property
    def files(self) -> tuple[str, ...]:
        """Configuration and weights, relative to the pipeline."""
        return (self.config_file, *self.weights)


@dataclass(frozen=True)
class Pipeline:
    """A pipeline that nca can run, as its files describe it."""

    root: Path
    network: Part
    """The denoising network: a UNet or a transformer."""
    scheduler: Mapping[str, Any]
    scheduler_file: str
    autoencoder: Part | None

    @property
    def files(self) -> tuple[str, ...]:
        """All files that bear on its results, relative to the root."""
        return (self.scheduler_file, *(file for part in self.parts() for file in part.files))

    @property
    def schedule(self) -> Schedule:
        """The noise levels it was trained on."""
        return Schedule.from_config(self.scheduler)

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
        return int(self.network.config.get("in_channels", 3)), side, side

    @property
    def classes(self) -> int | None:
        """How many class labels the network takes; `None` if it takes none."""
        count = self.network.config.get(CLASSES[self.network.kind])
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
        config = self.network.config if self.autoencoder is None else self.autoencoder.config
        return int(config.get("in_channels", 3))

    @property
    def latent_scale(self) -> float | None:
        """z = encode(x)·scale. Absent, it is 1 for VQModel and diffusers' for AutoencoderKL."""
        if self.autoencoder is None:
            return None
        default = 1.0 if self.autoencoder.kind == "VQModel" else KL_SCALE
        return float(self.autoencoder.config.get("scaling_factor", default))

    def parts(self, weights: bool = True) -> tuple[Part, ...]:
        """The networks: all, or (to noise an image) the autoencoder of a latent model alone."""
        parts = (self.network, self.autoencoder) if weights else (self.autoencoder,)
        return tuple(part for part in parts if part is not None)

    def missing(self, weights: bool = True) -> str | None:
        """The weight file that the first network without one should have."""
        names = (join(part.folder, f"{STEM}.safetensors") for part in self.parts(weights)
                 if not part.weights)  # fmt: skip
        return next(names, None)


def read_pipeline(root: Path, name: str) -> Pipeline:
    """The pipeline in the folder `root`, called `name` in errors. Weights may be absent.

    Raises `ModelError` for anything that nca cannot run, naming what stands in the way.
    """
    files = list_files(root)
    if INDEX not in files and "config.json" not in files:
        reason = f"{root} is no diffusers pipeline (no {INDEX} or config.json)"
        raise IncompletePipeline(name, reason)
    index = read_json(root / INDEX, name) if INDEX in files else {}
    _check_index(index, name)
    network = _part(root, files, _network_of(index), name)
    autoencoder_folder = next((part for part in ("vqvae", "vae") if _names(index, part)), None)
    autoencoder = autoencoder_folder and _part(root, files, autoencoder_folder, name)
    scheduler_file = next(
        (file for file in ("scheduler/scheduler_config.json", "scheduler_config.json")
         if file in files), None,
    )  # fmt: skip
    if scheduler_file is None:
        raise IncompletePipeline(name, f"{root} has no scheduler_config.json")
    scheduler = read_json(root / scheduler_file, name)
    pipeline = Pipeline(root, network, scheduler, scheduler_file, autoencoder or None)
    _check(pipeline, name)
    return pipeline


def _names(index: Mapping[str, Any], part: str) -> bool:
    """Whether `model_index.json` names a component (null components are written as nulls)."""
    entry = index.get(part)
    return isinstance(entry, list) and entry[-1:] not in ([], [None])


def _network_of(index: Mapping[str, Any]) -> str:
    """The part that denoises."""
    return "transformer" if _names(index, "transformer") else "unet"


def _check_index(index: Mapping[str, Any], name: str) -> None:
    """Refuse a pipeline whose index names parts that nca cannot run."""
    if index and not _names(index, _network_of(index)):
        raise ModelError(name, f"a {index.get('_class_name')} has no {NETWORK} as its unet")
    for part in KNOWN:
        if _names(index, part):
            _check_kind(str(index[part][-1]), part, name)


def _check_kind(kind: str, part: str, name: str) -> None:
    known = KNOWN[part]
    if RENAMED.get(kind, kind) not in known:
        raise ModelError(name, f"its {part} is a {kind}; nca runs {' and '.join(known)} only")


def _part(root: Path, files: Collection[str], part: str, name: str) -> Part:
    """The network in its own folder, or (the unet of a flat layout) at the root."""
    flat = part == "unet" and f"{part}/config.json" not in files
    folder = "" if flat else part
    if join(folder, "config.json") not in files:
        raise IncompletePipeline(name, f"{root / join(folder, 'config.json')} is missing")
    config = read_json(root / join(folder, "config.json"), name)
    if flat and "_class_name" not in config:
        raise ModelError(name, f"{root} is no diffusers pipeline (config.json names no {NETWORK})")
    _check_kind(str(config.get("_class_name")), part, name)
    return Part(folder, config, choose_weights(files, folder))


def _check(pipeline: Pipeline, name: str) -> None:
    """Refuse what the configurations say and nca cannot run."""
    _check_network(pipeline.network, name)
    _check_scheduler(pipeline.scheduler, pipeline.prediction, name)
    if pipeline.channels not in (1, 3):
        raise ModelError(name, f"works on images of {pipeline.channels} channels; nca has 3 or 1")
    if pipeline.autoencoder is None:
        return
    config = pipeline.autoencoder.config
    latents = config.get("vq_embed_dim") or config.get("latent_channels", pipeline.shape[0])
    if latents != pipeline.shape[0]:
        raise ModelError(name, f"unet of {pipeline.shape[0]} and latents of {latents} channels")
    if config.get("shift_factor") is not None:
        raise ModelError(name, "its autoencoder shifts latents (shift_factor), which nca does not")


def _check_network(network: Part, name: str) -> None:
    config = network.config
    if network.kind == TRANSFORMER and config.get("norm_type", "ada_norm_zero") != "ada_norm_zero":
        raise ModelError(name, f"its transformer is no DiT (norm_type {config['norm_type']!r})")
    if (kind := config.get("class_embed_type")) is not None:
        raise ModelError(name, f"takes no class labels but a {kind} (class_embed_type)")
    if config.get("sample_size") is None:
        raise ModelError(name, "its config.json names no sample_size")
    try:
        _side(config["sample_size"])
    except ValueError as error:
        raise ModelError(name, f"sample_size {config['sample_size']} is not a square") from error
    ins, outs = config.get("in_channels", 3), config.get("out_channels", 3)
    if outs not in (None, ins, 2 * ins):
        raise ModelError(name, f"its network turns {ins} channels into {outs}")


def _check_scheduler(config: Mapping[str, Any], prediction: str, name: str) -> None:
    kind, levels = config.get("_class_name"), kind_of(config)
    if kind not in levels.schedulers or config.get("use_flow_sigmas"):
        raise ModelError(name, f"its scheduler is a {kind}, which nca does not know")
    if levels.prediction is not None:
        _check_continuous(config, levels.prediction, name)
        return
    schedule = config.get("beta_schedule", "linear")
    if config.get("trained_betas") is None and schedule not in BETA_SCHEDULES:
        raise ModelError(name, f"its noise schedule is {schedule!r}, which nca does not know")
    if prediction not in PREDICTIONS:
        raise ModelError(name, f"its network predicts {prediction!r}, which nca does not know")


def _check_continuous(config: Mapping[str, Any], prediction: str, name: str) -> None:
    """Refuse continuous levels that contradict themselves, or that an image's size would bend."""
    kind, written = config.get("_class_name"), config.get("prediction_type", prediction)
    if written != prediction:
        raise ModelError(name, f"its scheduler is a {kind}, yet its network predicts {written!r}")
    for flag in ("use_dynamic_shifting", "invert_sigmas"):
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


def choose_weights(files: Iterable[str], folder: str) -> tuple[str, ...]:
    """The weight files of the network in `folder`: safetensors before .bin, whole before shards.

    Variants (fp16, non_ema) and other dumps are never chosen. Sharded weights come index first.
    """
    names = set(files)
    for suffix in ("safetensors", "bin"):
        whole, index = join(folder, f"{STEM}.{suffix}"), join(folder, f"{STEM}.{suffix}.index.json")
        if whole in names:
            return (whole,)
        shards = _shards(names, folder, suffix)
        if index in names and shards:
            return (index, *shards)
    return ()


def _shards(names: Collection[str], folder: str, suffix: str) -> list[str]:
    """All shards `…-00001-of-00003.suffix`, or nothing while one is missing."""
    pattern = re.compile(re.escape(join(folder, STEM)) + rf"-(\d+)-of-(\d+)\.{suffix}")
    matches = sorted((match for match in map(pattern.fullmatch, names) if match), key=str)
    counts = {int(match[2]) for match in matches}
    return sorted(match[0] for match in matches) if counts == {len(matches)} else []


def list_files(root: Path) -> set[str]:
    """Names of the files at the root and in the folders of its parts, with forward slashes."""
    folders = [root, root / "scheduler", *(root / part for part in KNOWN)]
    return {
        file.relative_to(root).as_posix()
        for folder in folders if folder.is_dir()
        for file in folder.iterdir() if file.is_file()
    }  # fmt: skip


def read_json(path: Path, name: str) -> dict[str, Any]:
    """A JSON object from a file, or `ModelError`."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(name, f"cannot read {path} as JSON ({type(error).__name__})") from error
    if not isinstance(value, dict):
        raise ModelError(name, f"{path} is not a JSON object")
    return value


def join(folder: str, name: str) -> str:
    """`folder/name`, or `name` at the root."""
    return f"{folder}/{name}" if folder else name
