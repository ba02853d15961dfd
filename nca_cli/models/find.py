"""From a name to a `Model`: alias, local folder or hub id, by raw configurations and file names.

Neither torch nor diffusers is loaded here, and huggingface_hub only to look into its cache.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from nca_cli.errors import ModelError, NcaError, UsageError
from nca_cli.models import hub
from nca_cli.models.aliases import ALIASES, LINEAR, Alias
from nca_cli.models.checkpoints import (
    Checkpoint,
    find_checkpoint,
    is_checkpoint,
    path_of,
    prefix_of,
    source_of,
    stored_name,
)
from nca_cli.models.digests import content_digest
from nca_cli.models.files import choose_tokenizer, choose_weights, join, stems_of
from nca_cli.models.own import find_own, is_own
from nca_cli.models.pipeline import CONFIGS, IncompletePipeline, Pipeline, read_pipeline
from nca_cli.models.space import Model, Space
from nca_cli.models.text import check_transformers
from nca_cli.models.users import UserAlias, user_aliases
from nca_cli.recipe import BUILT_IN
from nca_cli.sampler_choice import SamplerChoice

ASSETS = Path(__file__).resolve().parent.parent / "assets"
HUB_ID = re.compile(r"([\w.-]+/[\w.-]+)(?:@(\w[\w./-]*))?")
WIENER_SIZES = (2, 4096)


def find_model(
    name: str,
    *,
    weights: bool = True,
    offline: bool = False,
    refresh: bool = False,
    size: int = 256,
) -> Model:
    """The model called `name`: a short name (built in, or of `models.toml`), an existing folder, a
    hub id (`org/name@revision`), `adm:PATH` or `ldm:PATH`, a checkpoint of guided-diffusion or of
    CompVis' latent diffusion, or `module:factory`, which is imported.

    With `weights`, all its files are on this disk afterwards; without, only what noising an image
    needs: nothing for a pixel alias, configurations otherwise, and a latent model's autoencoder.
    A hub model on this disk is used as it is; `refresh` asks for a newer revision, `offline` never
    asks. `size` is the side of `wiener` in pixels. Raises `ModelError`.
    """
    mine = user_aliases().get(name)
    found = _find(mine.model if mine else name, weights, offline, refresh, size)
    model = replace(found, sampler=found.sampler.within(found.space.schedule.steps))
    return _renamed(model, mine) if mine else model


def _find(name: str, weights: bool, offline: bool, refresh: bool, size: int) -> Model:
    """As `find_model`, without the names of `models.toml`."""
    if is_checkpoint(name):
        return find_checkpoint(name).model(safe_name(stored_name(name)), weights)
    alias = ALIASES.get(name)
    if name == "wiener":
        return _wiener(size)
    if alias is not None and alias.source == BUILT_IN:
        return _built_in(alias, weights)
    if alias is not None and alias.checkpoint is not None:
        return _by_hand(alias, weights)
    if alias is None and _looks_like_folder(name):
        return _local(name, weights)
    if is_own(name):
        return find_own(name)
    repo, revision = _hub_id(alias.source if alias else name)
    return _Hub(repo, revision, alias, weights).find(offline, refresh)


def _renamed(model: Model, mine: UserAlias) -> Model:
    licence = mine.settings.get("licence", model.licence)
    sampler = mine.choice(model.sampler, model.space.schedule.steps)
    return replace(model, alias=mine.name, licence=licence, sampler=sampler)


def stored_as(name: str) -> tuple[str, str | None, str | None]:
    """The name in a store of what `--model` takes, the sampler that goes with a short name, and the
    source of what is named by a path or an import, of which several may have one name."""
    if (mine := user_aliases().get(name)) is not None:
        stored, sampler, source = _stored_as(mine.model)
        return stored, mine.settings.get("sampler", sampler), source
    return _stored_as(name)


def _stored_as(name: str) -> tuple[str, str | None, str | None]:
    alias = ALIASES.get(name)
    if alias is not None and alias.source != BUILT_IN:
        return _last_part(alias.source), alias.sampler.name, None
    if is_checkpoint(name):
        return safe_name(stored_name(name)), None, source_of(name)
    if is_own(name):
        return name.split(":")[1], None, name
    if ("/" in name or name.startswith((".", "~"))) and _looks_like_folder(name):
        folder = Path(name).expanduser().resolve()
        return safe_name(_folder_label(folder)), None, str(folder)
    return _last_part(name), None, None


def _last_part(text: str) -> str:
    """`org/name@revision` and `path/to/name/` → `name`."""
    return text.split("@")[0].rstrip("/").rpartition("/")[2]


def _wiener(size: int) -> Model:
    low, high = WIENER_SIZES
    if not low <= size <= high:
        raise UsageError(f"--size {size} is outside {low} … {high}")
    return Model(
        name="wiener",
        source=BUILT_IN,
        space=Space(LINEAR, (3, size, size), size, 3),
        sampler=ALIASES["wiener"].sampler,
        alias="wiener",
        licence=ALIASES["wiener"].licence,
        scheduler={"_class_name": "DDPMScheduler", "clip_sample": False},
    )


def _built_in(alias: Alias, weights: bool) -> Model:
    folder = ASSETS / alias.name
    if not folder.is_dir():
        hint = "reinstall nca from a complete source or wheel"
        raise ModelError(alias.name, f"its files are not in this installation ({folder})", hint)
    return _from_folder(folder, alias.name, BUILT_IN, weights, alias)


def _by_hand(alias: Alias, weights: bool) -> Model:
    """A model whose file the user has to bring; noising an image for a pixel model needs none."""
    named = str(alias.checkpoint)
    kind, _, path = named.partition(":")
    checkpoint = Checkpoint.of(kind, path_of(named), alias.name)
    if (weights or checkpoint.latent) and not checkpoint.file.is_file():
        reason = f"its authors share {path} by hand, and it is not in this folder"
        here = f"--model {kind}:PATH/{checkpoint.file.name}"
        hint = f"download it from {alias.page}, then here, or with {here}"
        raise ModelError(alias.name, reason, hint)
    model = checkpoint.model(alias.name, weights)
    return replace(model, alias=alias.name, licence=alias.licence)


def _looks_like_folder(name: str) -> bool:
    """Whether `name` means a path: it exists, or it could be nothing else."""
    return Path(name).expanduser().exists() or name.startswith(("/", ".", "~"))


def _local(name: str, weights: bool) -> Model:
    folder = Path(name).expanduser().absolute()
    if folder.is_file():
        prefix = prefix_of(folder)
        hint = f"is it a checkpoint? --model {prefix}{name}" if prefix else None
        raise ModelError(name, "is a file; nca needs the folder of a diffusers pipeline", hint)
    if not folder.is_dir():
        raise ModelError(name, "there is no such folder")
    resolved = folder.resolve()
    return _from_folder(resolved, _folder_label(resolved), str(resolved), weights)


def _folder_label(folder: Path) -> str:
    """The folder's name; for a snapshot of the hub's cache, the repository's."""
    if folder.parent.name == "snapshots" and folder.parent.parent.name.startswith("models--"):
        return folder.parent.parent.name.rpartition("--")[2]
    return folder.name


def _from_folder(
    folder: Path, label: str, source: str, weights: bool, alias: Alias | None = None
) -> Model:
    name = alias.name if alias else str(folder)
    pipeline = read_pipeline(folder, name)
    if missing := pipeline.missing(weights):
        reason = f"{folder / missing} is missing (or a .bin in its place)"
        raise ModelError(name, reason, _variant_hint(folder / missing))
    return _model(pipeline, label, source, alias)


def _variant_hint(missing: Path) -> str | None:
    """What to do with the weights of a variant, such as fp16, that lie where the usual ones lack:
    they are other weights, so that only the user can mean them."""
    found = sorted(missing.parent.glob(f"{missing.stem}.*{missing.suffix}"))
    if not found:
        return None
    return f"{found[0].name} is there: to mean these weights, name them {missing.name}"


def check_name(name: str, known: Iterable[str] = ()) -> None:
    """Raises `ModelError` where `--model` could not take this; of files and networks asks nothing.

    The error names what is nearest among the built-in names and those that are `known`.
    """
    taken = name in ALIASES or name in user_aliases() or is_checkpoint(name) or is_own(name)
    if not taken and not _looks_like_folder(name):
        _hub_id(name, known)


def _hub_id(name: str, known: Iterable[str] = ()) -> tuple[str, str | None]:
    match = HUB_ID.fullmatch(name)
    if match is None or ".." in name:
        near = difflib.get_close_matches(name, [*ALIASES, *known], 1)
        hint = f"did you mean {near[0]}?" if near else f"built-in names: {', '.join(ALIASES)}"
        raise ModelError(name, "is neither a built-in name, a folder nor a hub id (org/name)", hint)
    return match[1], match[2]


@dataclass(frozen=True)
class _Hub:
    """The search for one model of the hub."""

    repo: str
    revision: str | None
    alias: Alias | None
    weights: bool

    def find(self, offline: bool, refresh: bool) -> Model:
        """From this disk if it has all that is needed, else carried by an alias, else fetched."""
        offline = offline or hub.is_offline()
        if not refresh or offline:
            if (pipeline := self.stored()) is not None:
                return self._model(pipeline)
            if self.alias and self.alias.space and not self.weights:
                return self._carried(self.alias, self.alias.space)
            if offline:
                hint = hub.GET_IT.format(self.alias.name if self.alias else self.repo)
                raise ModelError(self.repo, "is not on this disk, and the network is off", hint)
        return self._model(self._fetched())

    def stored(self) -> Pipeline | None:
        """The pipeline in the hub's cache, if its files suffice."""
        folder = hub.on_disk(self.repo, self.revision)
        try:
            pipeline = folder and read_pipeline(folder, self.repo)
        except IncompletePipeline:
            return None
        return None if not pipeline or pipeline.missing(self.weights) else pipeline

    def _fetched(self) -> Pipeline:
        """Configurations first, so that a pipeline nca cannot run costs no download of weights."""
        names = hub.list_repo(self.repo, self.revision)
        configs = [name for name in CONFIGS if name in names]
        if not configs:
            raise ModelError(self.repo, "is no diffusers pipeline (no model_index.json)")
        folder = hub.download(self.repo, self.revision, configs)
        pipeline = read_pipeline(folder, self.repo)
        if chosen := self._chosen(pipeline, names):
            hub.download(self.repo, folder.name, chosen)
        pipeline = read_pipeline(folder, self.repo)
        if missing := pipeline.missing(self.weights):
            raise ModelError(self.repo, f"{missing} did not arrive", "try again")
        return pipeline

    def _chosen(self, pipeline: Pipeline, names: list[str]) -> list[str]:
        """Weights and vocabularies to fetch."""
        chosen: list[str] = []
        for part in pipeline.parts(self.weights):
            usual = [f"{stem}.{suffix}" for suffix, stem in stems_of(part.folder).items()]
            chosen += self._found(choose_weights(names, part.folder), part.folder, usual)
        for reader in pipeline.readers if self.weights else ():
            check_transformers()
            usual = [files[0] for files in reader.vocabularies]
            found = choose_tokenizer(names, reader.tokenizer_folder, reader.vocabularies)
            chosen += self._found(found, reader.tokenizer_folder, usual)
        return chosen

    def _found(self, chosen: tuple[str, ...], folder: str, usual: list[str]) -> tuple[str, ...]:
        if not chosen:
            wanted = " nor ".join(join(folder, name) for name in usual)
            raise ModelError(self.repo, f"has neither {wanted}")
        return chosen

    def _model(self, pipeline: Pipeline) -> Model:
        source = f"{self.repo}@{self.revision}" if self.revision else self.repo
        label = self.repo.rpartition("/")[2]
        return _model(pipeline, label, source, self.alias, pipeline.root.name)

    def _carried(self, alias: Alias, space: Space) -> Model:
        return Model(
            name=self.repo.rpartition("/")[2],
            source=self.repo,
            space=space,
            sampler=alias.sampler,
            alias=alias.name,
            licence=alias.licence,
            scheduler=alias.scheduler,
        )


def _model(
    pipeline: Pipeline, label: str, source: str, alias: Alias | None, revision: str | None = None
) -> Model:
    return Model(
        name=safe_name(label),
        source=source,
        space=_space(pipeline, source),
        sampler=alias.sampler if alias else SamplerChoice(),
        alias=alias.name if alias else None,
        licence=alias.licence if alias else None,
        scheduler=pipeline.scheduler,
        folder=pipeline.root,
        revision=revision,
        classes=pipeline.classes,
        null_label=pipeline.null_label,
        takes_prompt=bool(pipeline.readers),
    )


def _space(pipeline: Pipeline, name: str) -> Space:
    part, autoencoder = pipeline.autoencoder, None
    if part is not None:
        try:
            files = [pipeline.root / file for file in part.files]
            autoencoder = content_digest(files, pipeline.root / part.folder)
        except OSError as error:
            raise ModelError(name, f"cannot read {error.filename}: {error.strerror}") from error
    return Space(
        schedule=pipeline.schedule,
        shape=pipeline.shape,
        resolution=pipeline.resolution,
        channels=pipeline.channels,
        autoencoder=autoencoder,
        latent_scale=pipeline.latent_scale,
        latent_shift=pipeline.latent_shift,
    )


def safe_name(label: str) -> str:
    """`label` as a folder name on any system: letters, digits, `.`, `_`, `-`; 80 at most."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", label)[:80].strip("-.") or "model"


@dataclass(frozen=True)
class Row:
    """One line of `nca models`."""

    name: str
    what: str
    resolution: int
    """Side in pixels; 0 where it is not known."""
    sampler: str
    licence: str
    source: str
    on_disk: bool


def list_models() -> list[Row]:
    """The short names, built in and of `models.toml`, and which this disk has. Asks no network."""
    mine = user_aliases()
    built_in = [_row(alias) for alias in ALIASES.values() if alias.name not in mine]
    return [*built_in, *map(_user_row, mine.values())]


def _user_row(mine: UserAlias) -> Row:
    """A short name of the user's; what is not on this disk has no known size."""
    try:
        model = find_model(mine.name, offline=True)
    except NcaError:
        model = None
    return Row(
        name=mine.name,
        what=mine.settings.get("what", mine.model),
        resolution=model.space.resolution if model else 0,
        sampler=_label(model.sampler if model else mine.choice(SamplerChoice())),
        licence=(model and model.licence) or mine.settings.get("licence", "not stated"),
        source=mine.model,
        on_disk=model is not None,
    )


def _row(alias: Alias) -> Row:
    pipeline = _pipeline_on_disk(alias)
    return Row(
        name=alias.name,
        what=alias.what,
        resolution=pipeline.resolution if pipeline else alias.resolution,
        sampler=_label(alias.sampler),
        licence=alias.licence,
        source=alias.source,
        on_disk=pipeline is not None or alias.name == "wiener" or _is_brought(alias),
    )


def _is_brought(alias: Alias) -> bool:
    return alias.checkpoint is not None and path_of(alias.checkpoint).is_file()


def _label(choice: SamplerChoice) -> str:
    return choice.name if choice.name == "one-step" else f"{choice.name}-{choice.steps}"


def _pipeline_on_disk(alias: Alias) -> Pipeline | None:
    """The alias's files, where this disk has all of them."""
    try:
        if alias.checkpoint is not None:
            return None
        if alias.source != BUILT_IN:
            return _Hub(alias.source, None, alias, weights=True).stored()
        pipeline = read_pipeline(ASSETS / alias.name, alias.name)
    except ModelError:
        return None
    return None if pipeline.missing() else pipeline
