"""Where models come from: the hub, a folder, the installation.

Every origin is asked to find a model, name it, identify and load it. A checkpoint file is one more
(`checkpoints/origin.py`), and two have no files (`own.py`, `wiener.py`).
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from nca_cli.errors import ModelError
from nca_cli.images.size import Resolution
from nca_cli.models import hub
from nca_cli.models.checkpoints.file import (
    KINDS,
)
from nca_cli.models.digests import file_digest
from nca_cli.models.load import Running, denoiser_of
from nca_cli.models.pipeline import Component, Pipeline, join, stems_of
from nca_cli.models.reading import (
    AVERAGED,
    UNSAID,
    FileChoice,
    IncompletePipeline,
    choose_tokenizer,
    config_files,
    networks,
    read_pipeline,
)
from nca_cli.models.space import Model
from nca_cli.models.text import check_transformers
from nca_cli.models.variants import LORA, MERGE, choose_weights, lora_among, variant_of, variants
from nca_cli.recipe import BUILT_IN

if TYPE_CHECKING:
    from nca_cli.models.aliases import Alias
    from nca_cli.models.load import AnyDenoiser

ASSETS = Path(__file__).resolve().parents[1] / "assets"


@dataclass(frozen=True)
class Wanted:
    """What has to be on this disk once a model is found, and how it may get there."""

    weights: bool = True
    """Else only what noising an image needs."""
    offline: bool = False
    refresh: bool = False
    size: Resolution | None = None
    """Of the images of a model that has none of its own."""


class StoredAs(NamedTuple):
    """What stores know a model by."""

    name: str
    sampler: str | None = None
    """That goes with a short name."""
    source: str | None = None
    """Of what is named by a path or an import, of which several may have one name."""


class Origin:
    """Where a model comes from. A kind says how it finds its model and what stores call it.

    The rest is for models whose files are a diffusers pipeline.
    """

    @property
    def told(self) -> FileChoice:
        """What the user says of the pipeline's files; of most origins nothing can be said."""
        return UNSAID

    def find(self, wanted: Wanted) -> Model:
        """The model, with what is wanted on this disk. Raises `ModelError`."""
        raise NotImplementedError

    def stored_as(self) -> StoredAs:
        """What stores know it by; asks neither files nor network."""
        raise NotImplementedError

    def pipeline(self, model: Model) -> Pipeline:
        """Its files. Raises `ModelError` where they are not on this disk."""
        if model.folder is None:
            raise ModelError(model.name, "its weights are not on this disk")
        return read_pipeline(model.folder, model.name, self.told)

    def sized(self, model: Model, size: Resolution) -> Model:
        """The model for images of another size. Raises `UsageError` where its network, or its
        autoencoder, cannot work on them."""
        pipeline = self.pipeline(model)
        pipeline.check_size(size, model.name)
        return replace(model, space=model.space.sized(size), size=size)

    def identity(self, model: Model) -> str:
        """Which weights these are: a hub commit, say, or a digest of all files."""
        if model.revision is not None:
            return model.revision
        pipeline = self.pipeline(model)
        if missing := pipeline.missing():
            raise ModelError(model.name, f"{pipeline.root / missing} is missing")
        return pipeline.identity(model.name)

    def files(self, model: Model) -> list[Path]:
        """All that loading its network reads."""
        pipeline = self.pipeline(model)
        return [pipeline.root / file for file in pipeline.files]

    def architecture(self, model: Model) -> Mapping[str, Any]:
        """What its network's configuration says, but for where it came from."""
        config = self.pipeline(model).network.config
        return {key: value for key, value in config.items() if not key.startswith("_")}

    def denoiser(self, model: Model, running: Running) -> AnyDenoiser:
        """Its network, ready to call."""
        pipeline = replace(self.pipeline(model), size=model.size)
        return denoiser_of(pipeline, model.name, running)

    def _model(
        self, pipeline: Pipeline, label: str, source: str, revision: str | None = None
    ) -> Model:
        """The model of a pipeline, called `label`."""
        return Model(
            safe_name(label), source, pipeline.space(source), self,
            scheduler=pipeline.scheduler, folder=pipeline.root, revision=revision,
            classes=pipeline.classes, null_label=pipeline.null_label,
            takes_prompt=bool(pipeline.text_encoders), no_text=pipeline.no_text,
            hears_size=pipeline.family.hears_size, prediction=pipeline.prediction,
        )  # fmt: skip


def complete_pipeline(
    folder: Path, name: str, weights: bool, told: FileChoice = UNSAID
) -> Pipeline:
    """The pipeline in a folder, all of whose files are there. Raises `ModelError`."""
    pipeline = read_pipeline(folder, name, told)
    if missing := pipeline.missing(weights):
        reason = f"{pipeline.root / missing} is missing (or a .bin in its place)"
        raise ModelError(name, reason, _variant_hint(pipeline))
    check_variant(pipeline, name, told)
    return pipeline


def check_variant(pipeline: Pipeline, name: str, told: FileChoice) -> None:
    """Refuse a variant that no part has. Raises `ModelError`."""
    found = {each for part in pipeline.components() for each in _variants(part)}
    if told.variant and pipeline.network.weights and told.variant not in found:
        raise ModelError(name, f"it has no weights of variant {told.variant}",
                         "leave out --variant")  # fmt: skip


def _variants(part: Component) -> list[str]:
    """The variant of a component's weights; nothing where they are the usual ones."""
    told = (variant_of(file, part.folder) for file in part.weights[:1])
    return [each for each in told if each]


def _variant_hint(pipeline: Pipeline) -> str | None:
    """How to choose one of several variants that lie where the usual weights lack."""
    for part in pipeline.components():
        folder = pipeline.root / part.folder
        names = [join(part.folder, file.name) for file in folder.iterdir()]
        if not part.weights and (found := variants(names, part.folder)):
            return f"choose one: {', '.join(f'--variant {each}' for each in found)}"
    return None


def safe_name(label: str) -> str:
    """`label` as a folder name on any system: letters, digits, `.`, `_`, `-`; 80 at most."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", label)[:80].strip("-.") or "model"


def last_part(text: str) -> str:
    """`org/name@revision` and `path/to/name/` → `name`."""
    return text.split("@")[0].rstrip("/").rpartition("/")[2]


@dataclass(frozen=True)
class Folder(Origin):
    """A folder, as the user wrote it."""

    named: str
    told: FileChoice = UNSAID

    @classmethod
    def means(cls, name: str) -> bool:
        """Whether `name` is a path: it exists, or it could be nothing else."""
        return os.path.exists(os.path.expanduser(name)) or name.startswith(("/", ".", "~"))

    def find(self, wanted: Wanted) -> Model:
        folder = Path(os.path.expanduser(self.named)).absolute()
        if os.path.isfile(folder):
            kinds = (kind for kind, config in KINDS.items() if folder.suffix == config.SUFFIX)
            hints = (f"is it a checkpoint? --model {kind}:{self.named}" for kind in kinds)
            reason = "is a file; nca needs the folder of a diffusers pipeline"
            raise ModelError(self.named, reason, next(hints, None))
        if not os.path.isdir(folder):
            raise ModelError(self.named, "no such folder")
        resolved = folder.resolve()
        pipeline = complete_pipeline(resolved, str(resolved), wanted.weights, self.told)
        model = self._model(pipeline, _label(resolved), str(resolved))
        return replace(model, folder=resolved)  # of a network by itself, the pipeline lies above

    def stored_as(self) -> StoredAs:
        # a bare word is a stored name, even beside a folder of that name
        if "/" not in self.named and not self.named.startswith((".", "~")):
            return StoredAs(last_part(self.named))
        folder = Path(os.path.expanduser(self.named)).resolve()
        return StoredAs(safe_name(_label(folder)), None, str(folder))


def _label(folder: Path) -> str:
    """The folder's name; for a snapshot of the hub's cache, the repository's, and for a network
    that a training left by itself (`checkpoint-500/unet_ema`) `checkpoint-500-ema`."""
    if folder.name.removesuffix(AVERAGED) in networks():
        return folder.parent.name + ("-ema" if folder.name.endswith(AVERAGED) else "")
    if folder.parent.name == "snapshots" and folder.parent.parent.name.startswith("models--"):
        return folder.parent.parent.name.rpartition("--")[2]
    return folder.name


@dataclass(frozen=True)
class BuiltIn(Origin):
    """A pipeline among the assets."""

    alias: Alias

    def find(self, wanted: Wanted) -> Model:
        name, folder = self.alias.name, ASSETS / self.alias.name
        if not folder.is_dir():
            hint = "reinstall nca from a complete source or wheel"
            raise ModelError(name, f"its files are not in this installation ({folder})", hint)
        pipeline = complete_pipeline(folder, name, wanted.weights)
        return self._model(pipeline, name, BUILT_IN)

    def stored_as(self) -> StoredAs:
        return StoredAs(self.alias.name)


@dataclass(frozen=True)
class Hub(Origin):
    """A repository at a revision (`None`: main), and the short name that it was called by."""

    repo: str
    revision: str | None = None
    alias: Alias | None = None
    told: FileChoice = UNSAID

    def find(self, wanted: Wanted) -> Model:
        """From this disk if it has all that is needed, else carried by an alias, else fetched."""
        offline = wanted.offline or hub.is_offline()
        if not wanted.refresh or offline:
            if (pipeline := self._on_disk(wanted.weights)) is not None:
                return self._of(pipeline)
            if (alias := self.alias) and alias.space and not wanted.weights:
                name = last_part(self.repo)
                return Model(name, self.repo, alias.space, self, scheduler=alias.scheduler)
            if offline:
                hint = hub.GET_IT.format(self.alias.name if self.alias else self.repo)
                raise ModelError(self.repo, "not on this disk, and the network is off", hint)
        return self._of(self._fetched(wanted.weights))

    def stored_as(self) -> StoredAs:
        return StoredAs(last_part(self.repo), self.alias.sampler.name if self.alias else None)

    def _on_disk(self, weights: bool) -> Pipeline | None:
        """The pipeline in the hub's cache, if its files suffice."""
        folder = hub.on_disk(self.repo, self.revision)
        try:
            pipeline = folder and read_pipeline(folder, self.repo, self.told)
        except IncompletePipeline:
            return None
        return None if not pipeline or pipeline.missing(weights) else pipeline

    def _fetched(self, weights: bool) -> Pipeline:
        """Configurations first, so that a pipeline nca cannot run costs no download of weights."""
        names = hub.list_repo(self.repo, self.revision)
        configs = [name for name in config_files() if name in names]
        if not configs and (lora := lora_among(names)):
            raise ModelError(self.repo, LORA.format(lora), MERGE)
        if not configs:
            raise ModelError(self.repo, "is not a diffusers pipeline (no model_index.json)")
        folder = hub.download(self.repo, self.revision, configs)
        pipeline = read_pipeline(folder, self.repo, self.told)
        if chosen := self._chosen(pipeline, names, weights):
            hub.download(self.repo, folder.name, chosen)
        pipeline = read_pipeline(folder, self.repo, self.told)
        if missing := pipeline.missing(weights):
            raise ModelError(self.repo, f"{missing} was not downloaded", "try again")
        return pipeline

    def _chosen(self, pipeline: Pipeline, names: list[str], weights: bool) -> list[str]:
        """Weights and vocabularies to fetch."""
        chosen: list[str] = []
        for component in pipeline.components(weights):
            folder = component.folder
            usual = [f"{stem}.{suffix}" for suffix, stem in stems_of(folder).items()]
            chosen += self._found(choose_weights(names, folder, self.told.variant), folder, usual)
        for text in pipeline.text_encoders if weights else ():
            check_transformers()
            folder, vocabularies = text.tokenizer_folder, text.encoder.vocabularies
            usual = [files[0] for files in vocabularies]
            chosen += self._found(choose_tokenizer(names, folder, vocabularies), folder, usual)
        return chosen

    def _found(self, chosen: tuple[str, ...], folder: str, usual: list[str]) -> tuple[str, ...]:
        if not chosen:
            wanted = " nor ".join(join(folder, name) for name in usual)
            raise ModelError(self.repo, f"has neither {wanted}")
        return chosen

    def _of(self, pipeline: Pipeline) -> Model:
        source = f"{self.repo}@{self.revision}" if self.revision else self.repo
        check_variant(pipeline, self.repo, self.told)
        return self._model(pipeline, last_part(self.repo), source, self._revision(pipeline))

    def _revision(self, pipeline: Pipeline) -> str:
        """The commit, and what of its files is not the usual: other weights are other results."""
        parts = pipeline.components()
        told = [f"{part.folder or part.kind}.{each}" for part in parts for each in _variants(part)]
        if self.told.scheduler:
            told.append(f"scheduler.{file_digest(self.told.scheduler)[:16]}")
        return "+".join([pipeline.root.name, *told])
