"""Models of the hub, or what of them is on this disk."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from nca_cli.errors import ModelError
from nca_cli.models import hub
from nca_cli.models.files import choose_tokenizer, choose_weights, join, stems_of
from nca_cli.models.origins.origin import Origin, StoredAs, Wanted, last_part
from nca_cli.models.pipeline import Pipeline
from nca_cli.models.reading import IncompletePipeline, config_files, read_pipeline
from nca_cli.models.space import Model
from nca_cli.models.text import check_transformers

if TYPE_CHECKING:
    from nca_cli.models.aliases import Alias


@dataclass(frozen=True)
class Hub(Origin):
    """A repository at a revision (`None`: main), and the short name that it was called by."""

    repo: str
    revision: str | None = None
    alias: Alias | None = None

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
                raise ModelError(self.repo, "is not on this disk, and the network is off", hint)
        return self._of(self._fetched(wanted.weights))

    def stored_as(self) -> StoredAs:
        return StoredAs(last_part(self.repo), self.alias.sampler.name if self.alias else None)

    def look(self) -> tuple[bool, int | None]:
        try:
            pipeline = self._on_disk(weights=True)
        except ModelError:
            return False, None
        return pipeline is not None, pipeline.resolution if pipeline else None

    def _on_disk(self, weights: bool) -> Pipeline | None:
        """The pipeline in the hub's cache, if its files suffice."""
        folder = hub.on_disk(self.repo, self.revision)
        try:
            pipeline = folder and read_pipeline(folder, self.repo)
        except IncompletePipeline:
            return None
        return None if not pipeline or pipeline.missing(weights) else pipeline

    def _fetched(self, weights: bool) -> Pipeline:
        """Configurations first, so that a pipeline nca cannot run costs no download of weights."""
        names = hub.list_repo(self.repo, self.revision)
        configs = [name for name in config_files() if name in names]
        if not configs:
            raise ModelError(self.repo, "is no diffusers pipeline (no model_index.json)")
        folder = hub.download(self.repo, self.revision, configs)
        pipeline = read_pipeline(folder, self.repo)
        if chosen := self._chosen(pipeline, names, weights):
            hub.download(self.repo, folder.name, chosen)
        pipeline = read_pipeline(folder, self.repo)
        if missing := pipeline.missing(weights):
            raise ModelError(self.repo, f"{missing} did not arrive", "try again")
        return pipeline

    def _chosen(self, pipeline: Pipeline, names: list[str], weights: bool) -> list[str]:
        """Weights and vocabularies to fetch."""
        chosen: list[str] = []
        for component in pipeline.components(weights):
            folder = component.folder
            usual = [f"{stem}.{suffix}" for suffix, stem in stems_of(folder).items()]
            chosen += self._found(choose_weights(names, folder), folder, usual)
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
        return self._model(pipeline, last_part(self.repo), source, pipeline.root.name)
