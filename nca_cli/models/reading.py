"""From a folder to a `Pipeline`: which components it has, and what their raw configurations say.

Two layouts exist. Nested: `model_index.json` beside `unet/` or `transformer/`, `scheduler/`, for
latent models `vqvae/` or `vae/`, and for prompts `text_encoder/` and `tokenizer/` (the second and
third of them ending in `_2` and `_3`). Flat, of older repositories: the network's `config.json` and
`scheduler_config.json` at the root. Trainings leave a third: a network by itself
(`checkpoint-500/unet_ema`), whose scheduler, and whatever else it needs, lies beside or above. Raw
JSON is read on purpose: diffusers fills in defaults, and for latent scales they are wrong (issue
6725).
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from nca_cli.errors import ModelError, UsageError
from nca_cli.models.checks import check_pipeline
from nca_cli.models.configs import short
from nca_cli.models.families import FAMILIES, UNET, Family, of_diffusers
from nca_cli.models.pipeline import (
    AUTOENCODERS,
    SCHEDULER,
    TEXT_ENCODER,
    TOKENIZER,
    Component,
    Pipeline,
    TextComponent,
    join,
)
from nca_cli.models.text import TextEncoder, make_encoder
from nca_cli.models.variants import LORA, MERGE, choose_weights, lora_among

INDEX = "model_index.json"
FLAT_SCHEDULER = "scheduler_config.json"
ABOVE = 3
"""Folders above a network in which the rest of its pipeline may lie."""
FLAT = UNET.part
"""The network of a flat layout, which is a `UNET`'s."""
CODERS = ("vqvae", "vae")
AVERAGED = "_ema"
"""Ends the folder of a network whose weights are averaged over steps of its training."""
TEXTS = ("", "_2", "_3")
"""Endings of text encoders and their tokenizers."""
TOKENIZER_FILES = (
    "vocab.json", "merges.txt", "tokenizer.json",
    "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
)  # fmt: skip


def networks() -> tuple[str, ...]:
    """The components that denoise, of all families that there are by now."""
    return tuple(dict.fromkeys(family.part for family in FAMILIES.values()))


class IncompletePipeline(ModelError):
    """Files are missing: more of them may be had from the hub."""


def config_files() -> list[str]:
    """Every file that can say what a pipeline is."""
    parts = (*networks(), *CODERS, *(f"{TEXT_ENCODER}{ending}" for ending in TEXTS))
    flat = (INDEX, "config.json", "scheduler_config.json", SCHEDULER)
    return [*flat, *(f"{part}/config.json" for part in parts)]


@dataclass(frozen=True)
class FileChoice:
    """What a user says of a pipeline's files that they do not say themselves."""

    variant: str | None = None
    """Whose weights are wanted, such as fp16, where there are any."""
    scheduler: Path | None = None
    """A scheduler's configuration in the place of the pipeline's own."""

    def __post_init__(self) -> None:
        if self.scheduler is not None:
            object.__setattr__(self, "scheduler", _scheduler_file(self.scheduler))


UNSAID = FileChoice()
"""Nothing is said."""


def _scheduler_file(given: Path) -> Path:
    """The file itself, also where its folder is named. Raises `UsageError`."""
    file = Path(os.path.expanduser(given)).absolute()
    inside = (file / FLAT_SCHEDULER, file / SCHEDULER)
    file = next((each for each in inside if each.is_file()), file)
    if not file.is_file():
        hint = f"give a {FLAT_SCHEDULER}, as a scheduler's save_pretrained writes it"
        raise UsageError(f"--scheduler {given}: there is no such file", hint)
    return file


def read_pipeline(root: Path, name: str, told: FileChoice = UNSAID) -> Pipeline:
    """The pipeline in the folder `root`, called `name` in errors. Weights may be absent.

    Raises `ModelError` for anything that nca cannot run, naming what stands in the way.
    """
    if _is_network(root):
        pipeline = _around(root, name, told)
    else:
        files = list_files(root)
        if INDEX not in files and "config.json" not in files:
            raise _no_pipeline(root, name)
        pipeline = _Files(root, name, files, _index(root, files, name), told).pipeline()
    check_pipeline(pipeline, name)
    return pipeline


def _no_pipeline(root: Path, name: str) -> ModelError:
    """Why a folder is none, with what it holds in its place."""
    if lora := lora_among(file.name for file in root.iterdir()):
        return ModelError(name, f"{root} {LORA.format(lora)}", MERGE)
    reason = f"{root} is not a diffusers pipeline (no {INDEX} or config.json)"
    return IncompletePipeline(name, reason, _networks_below(root))


def _networks_below(root: Path) -> str | None:
    """Which network to name of a folder in which a training left them."""
    saved = [f"{part}{ending}" for ending in (AVERAGED, "") for part in networks()]
    found = (root / part for part in saved if (root / part / "config.json").is_file())
    return next((f"name one of its networks: {network}" for network in found), None)


def _index(root: Path, files: Collection[str], name: str) -> dict[str, Any]:
    return read_json(root / INDEX, name) if INDEX in files else {}


def _is_network(folder: Path) -> bool:
    """Whether a folder holds a network alone."""
    others = (INDEX, SCHEDULER, FLAT_SCHEDULER)
    return (folder / "config.json").is_file() and not any(
        (folder / each).exists() for each in others
    )


def _around(network: Path, name: str, told: FileChoice) -> Pipeline:
    """The pipeline of a network by itself: the nearest folder above that has a scheduler, or the
    next one above where the user names one."""
    above = list(network.parents)[:ABOVE]
    found = (root for root in above if list_files(root) & {SCHEDULER, FLAT_SCHEDULER})
    root = next(found, above[0] if told.scheduler else None)
    if root is None:
        reason = f"{network} has no scheduler_config.json, and neither has any folder above it"
        hint = f"name it: --scheduler FILE, or save the training's as {network.parent / SCHEDULER}"
        raise IncompletePipeline(name, reason, hint)
    files, inside = list_files(root), network.relative_to(root).as_posix()
    own = {f"{inside}/{file.name}" for file in network.iterdir() if file.is_file()}
    return _Files(root, name, files | own, _index(root, files, name), told, inside).pipeline()


@dataclass(frozen=True)
class _Files:
    """The reading of one folder."""

    root: Path
    name: str
    files: Collection[str]
    index: Mapping[str, Any]
    told: FileChoice = UNSAID
    alone: str = ""
    """Where the network lies, if it is by itself."""

    def pipeline(self) -> Pipeline:
        """What is there, not yet checked beyond its classes."""
        part = next((part for part in networks() if part != FLAT and self._names(part)), FLAT)
        if self.alone and not self.index:
            part = self._part_of(
                _class_of(read_json(self.root / self.alone / "config.json", self.name))
            )
        self._check_index(part)
        family, network = self._network(part)
        self._check_texts(family)
        coder = next((part for part in CODERS if self._names(part)), None)
        texts = tuple(self._texts(family))
        autoencoder = self._autoencoder(coder) if coder else None
        file, scheduler = self._scheduler()
        return Pipeline(self.root, family, network, scheduler, file, autoencoder, texts, self.index)

    def _names(self, part: str) -> bool:
        """Whether the index names a component (null components are written as nulls)."""
        entry = self.index.get(part)
        return isinstance(entry, list) and entry[-1:] not in ([], [None])

    def _class(self, part: str) -> str:
        """The class of a component that the index names."""
        return str(self.index[part][-1])

    def _check_index(self, network: str) -> None:
        """Refuse a pipeline whose index names components that nca cannot run."""
        if not self.index:
            return
        kind = str(self.index.get("_class_name"))
        if re.search("SuperResolution|Upscale", kind):
            raise ModelError(self.name, f"is a {kind}: super-resolution is not supported")
        if self.index.get("requires_aesthetics_score"):
            reason = f"is a refiner ({kind}), made for the last levels of its base's chains alone"
            raise ModelError(self.name, reason, "its base model runs")
        if not self._names(network):
            reason = f"a {kind} has no {UNET.network} as its {FLAT}"
            known = dict.fromkeys(f"{each.part} {each.network}" for each in FAMILIES.values())
            raise ModelError(self.name, reason, f"networks that nca runs: {', '.join(known)}")
        for part in filter(self._names, networks()):
            self._families(self._class(part), part)
        for part in filter(self._names, CODERS):
            self._check_class(self._class(part), AUTOENCODERS, part)

    def _check_texts(self, family: Family) -> None:
        """Refuse text encoders that the network's family has not."""
        known = family.text_encoders
        for part in self.index:
            if part.startswith(TEXT_ENCODER) and self._names(part):
                if part not in known:
                    reason = f"reads prompts by a {part} as well, which nca does not run"
                    raise ModelError(self.name, reason)
                self._check_class(self._class(part), (known[part].kind,), part)

    def _check_class(self, kind: str, known: Collection[str], part: str) -> None:
        if kind not in known:
            raise self._other(kind, known, part)

    def _other(self, kind: str, known: Collection[str], part: str) -> ModelError:
        return ModelError(self.name, f"its {part} is a {kind}; nca runs {' and '.join(known)} only")

    def _families(self, kind: str, part: str) -> list[Family]:
        """Those whose network is the component `part` of class `kind`: one at least."""
        families = [family for family in FAMILIES.values() if family.part == part]
        found = [each for each in families if kind in (each.network, each.older_name)]
        if not found:
            raise self._other(kind, dict.fromkeys(each.network for each in families), part)
        return found

    def _family(self, kind: str, part: str, config: Mapping[str, Any]) -> Family:
        """The one of them that most of the settings of its configuration tell."""
        fitting = [family for family in self._families(kind, part)
                   if family.told_by.items() <= config.items()]  # fmt: skip
        if not fitting:
            raise ModelError(self.name, f"its {part} is a {kind} of another kind than nca runs")
        return max(fitting, key=lambda family: len(family.told_by))

    def _part_of(self, kind: str) -> str:
        """What a network of this class is in a pipeline."""
        known = (each for each in FAMILIES.values() if kind in (each.network, each.older_name))
        return next((family.part for family in known), FLAT)

    def _config(self, part: str) -> tuple[str, dict[str, Any], str]:
        """Folder, configuration and class of a component; that of a flat layout is at the root."""
        flat = part == FLAT and f"{part}/config.json" not in self.files and not self.alone
        folder = "" if flat else self.alone if self.alone and part in networks() else part
        file = join(folder, "config.json")
        if file not in self.files:
            raise IncompletePipeline(self.name, f"{self.root / file} is missing")
        config = read_json(self.root / file, self.name)
        if flat and "_class_name" not in config:
            reason = (
                f"{self.root} is not a diffusers pipeline (config.json names no {UNET.network})"
            )
            raise ModelError(self.name, reason)
        return folder, config, _class_of(config)

    def _network(self, part: str) -> tuple[Family, Component]:
        folder, config, kind = self._config(part)
        family = self._family(kind, part, config)
        weights = choose_weights(self.files, folder, self.told.variant)
        make = partial(family.make, family.network)
        return family, Component(folder, family.network, config, weights, make)

    def _autoencoder(self, part: str) -> Component:
        folder, config, kind = self._config(part)
        self._check_class(kind, AUTOENCODERS, part)
        weights = choose_weights(self.files, folder, self.told.variant)
        return Component(folder, kind, config, weights, partial(of_diffusers, kind))

    def _texts(self, family: Family) -> Iterator[TextComponent]:
        """The text encoders of a network that takes prompts."""
        for part, encoder in family.text_encoders.items():
            if self._names(part):
                yield self._text(part, encoder)
            elif not encoder.optional:
                reason = f"its network is a {family.network}, and no {part} is beside it"
                raise ModelError(self.name, reason)

    def _text(self, part: str, encoder: TextEncoder) -> TextComponent:
        folder, config, kind = self._config(part)
        self._check_class(kind, (encoder.kind,), part)
        weights = choose_weights(self.files, folder, self.told.variant)
        make = partial(make_encoder, encoder)
        tokenizer = part.replace(TEXT_ENCODER, TOKENIZER)
        found = choose_tokenizer(self.files, tokenizer, encoder.vocabularies)
        return TextComponent(folder, kind, config, weights, make, encoder, found)

    def _scheduler(self) -> tuple[str, dict[str, Any]]:
        """The scheduler's configuration, and its file: absolute where the user names it."""
        if self.told.scheduler:
            return str(self.told.scheduler), read_json(self.told.scheduler, self.name)
        for file in (SCHEDULER, FLAT_SCHEDULER):
            if file in self.files:
                return file, read_json(self.root / file, self.name)
        reason = f"{self.root} has no scheduler_config.json"
        raise IncompletePipeline(self.name, reason, "name it: --scheduler FILE")


def _class_of(config: Mapping[str, Any]) -> str:
    """The class that a network's configuration names, in diffusers' way or in transformers'."""
    architectures = config.get("architectures")
    name = architectures[0] if isinstance(architectures, list) and architectures else None
    return str(config.get("_class_name", name))


def choose_tokenizer(
    files: Iterable[str], folder: str, vocabularies: Iterable[Collection[str]]
) -> tuple[str, ...]:
    """The files of the tokenizer in `folder`; nothing while it has none of the vocabularies."""
    names = set(files)
    found = [name for name in TOKENIZER_FILES if join(folder, name) in names]
    whole = any(set(vocabulary) <= set(found) for vocabulary in vocabularies)
    return tuple(join(folder, name) for name in found) if whole else ()


def list_files(root: Path) -> set[str]:
    """Names of the files at the root and in the folders of a pipeline, with forward slashes."""
    texts = (f"{part}{ending}" for part in (TEXT_ENCODER, TOKENIZER) for ending in TEXTS)
    folders = [root / part for part in ("", "scheduler", *networks(), *CODERS, *texts)]
    return {
        file.relative_to(root).as_posix()
        for folder in folders if folder.is_dir()
        for file in folder.iterdir() if file.is_file()
    }  # fmt: skip


def read_json(path: Path, name: str) -> dict[str, Any]:
    """A JSON object from a file, or `ModelError`."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(name, f"cannot read {path} as JSON ({type(error).__name__})") from error
    if not isinstance(value, dict):
        raise ModelError(name, f"{path} is not a JSON object")
    kind = value.get("_class_name")
    if kind is not None and not isinstance(kind, str):
        raise ModelError(name, f"{path}: _class_name {short(kind)} is not a class name")
    return value
