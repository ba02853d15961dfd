"""What every origin of models is asked: to find a model, name it, list it, identify and load it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from nca_cli.errors import ModelError
from nca_cli.models.load import Running, denoiser_of
from nca_cli.models.pipeline import Pipeline
from nca_cli.models.reading import read_pipeline
from nca_cli.models.space import Model

if TYPE_CHECKING:
    from nca_cli.models.load import AnyDenoiser


@dataclass(frozen=True)
class Wanted:
    """What has to be on this disk once a model is found, and how it may get there."""

    weights: bool = True
    """Else only what noising an image needs."""
    offline: bool = False
    refresh: bool = False
    size: int = 256
    """Side in pixels of a model that has none of its own."""


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

    def find(self, wanted: Wanted) -> Model:
        """The model, with what is wanted on this disk. Raises `ModelError`."""
        raise NotImplementedError

    def stored_as(self) -> StoredAs:
        """What stores know it by; asks neither files nor network."""
        raise NotImplementedError

    def look(self) -> tuple[bool, int | None]:
        """Whether this disk has its files, and the side of its images where they say; for lists."""
        return False, None

    def pipeline(self, model: Model) -> Pipeline:
        """Its files. Raises `ModelError` where they are not on this disk."""
        if model.folder is None:
            raise ModelError(model.name, "its weights are not on this disk")
        return read_pipeline(model.folder, model.name)

    def identity(self, model: Model) -> str:
        """Which weights these are: a hub commit, say, or a digest of all files."""
        if model.revision is not None:
            return model.revision
        pipeline = self.pipeline(model)
        if missing := pipeline.missing():
            raise ModelError(model.name, f"{pipeline.root / missing} is missing")
        return pipeline.digest(pipeline.files, pipeline.root, model.name)

    def denoiser(self, model: Model, running: Running) -> AnyDenoiser:
        """Its network, ready to call."""
        return denoiser_of(self.pipeline(model), model.name, running)

    def _model(
        self, pipeline: Pipeline, label: str, source: str, revision: str | None = None
    ) -> Model:
        """The model of a pipeline, called `label`."""
        return Model(
            safe_name(label), source, pipeline.space(source), self,
            scheduler=pipeline.scheduler, folder=pipeline.root, revision=revision,
            classes=pipeline.classes, null_label=pipeline.null_label,
            takes_prompt=bool(pipeline.text_encoders),
        )  # fmt: skip


def complete_pipeline(folder: Path, name: str, weights: bool) -> Pipeline:
    """The pipeline in a folder, all of whose files are there. Raises `ModelError`."""
    pipeline = read_pipeline(folder, name)
    if missing := pipeline.missing(weights):
        reason = f"{folder / missing} is missing (or a .bin in its place)"
        raise ModelError(name, reason, _variant_hint(folder / missing))
    return pipeline


def _variant_hint(missing: Path) -> str | None:
    """What to do with the weights of a variant, such as fp16, that lie where the usual ones lack:
    they are other weights, so that only the user can mean them."""
    found = sorted(missing.parent.glob(f"{missing.stem}.*{missing.suffix}"))
    if not found:
        return None
    return f"{found[0].name} is there: to mean these weights, name them {missing.name}"


def safe_name(label: str) -> str:
    """`label` as a folder name on any system: letters, digits, `.`, `_`, `-`; 80 at most."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", label)[:80].strip("-.") or "model"


def last_part(text: str) -> str:
    """`org/name@revision` and `path/to/name/` → `name`."""
    return text.split("@")[0].rstrip("/").rpartition("/")[2]
