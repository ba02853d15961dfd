"""Checkpoint files as models: named by the user, or shared by their authors by hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nca_cli.errors import ModelError
from nca_cli.models.checkpoints.file import (
    Checkpoint,
    ensure_converted,
    find_checkpoint,
    path_of,
    source_of,
)
from nca_cli.models.environment import cache_folder
from nca_cli.models.origins import Origin, StoredAs, Wanted, safe_name
from nca_cli.models.pipeline import Pipeline
from nca_cli.models.space import Model

if TYPE_CHECKING:
    from nca_cli.models.aliases import Alias

UNTOLD = ("model", "last")
"""Stems that say nothing: CompVis calls every checkpoint model.ckpt, Lightning its newest last."""


@dataclass(frozen=True)
class CheckpointFile(Origin):
    """A file that the user names."""

    named: str
    """`KIND:PATH`"""

    def find(self, wanted: Wanted) -> Model:
        return self._of(find_checkpoint(self.named), self.stored_as().name, wanted.weights)

    def stored_as(self) -> StoredAs:
        """By the file's stem, or its folder's name where that says nothing."""
        path = path_of(self.named)
        name = path.parent.name if path.stem in UNTOLD and path.parent.name else path.stem
        return StoredAs(safe_name(name), None, source_of(self.named))

    def files(self, model: Model) -> list[Path]:
        return [path_of(self.named)]

    def architecture(self, model: Model) -> Mapping[str, Any]:
        return asdict(find_checkpoint(self.named).config.unet)

    def pipeline(self, model: Model) -> Pipeline:
        """What it is converted into, which is done first where the cache lacks it."""
        ensure_converted(model)
        return super().pipeline(model)

    def _of(self, checkpoint: Checkpoint, name: str, weights: bool) -> Model:
        """The model, stored under `name`. A pixel model without `weights` needs no file."""
        kind, config = checkpoint.kind, checkpoint.config
        key = checkpoint.key() if weights or checkpoint.latent else None
        scheduler = config.scheduler()
        return Model(
            name, checkpoint.name, checkpoint.space(), self, config.SAMPLER,
            scheduler=scheduler, prediction=scheduler["prediction_type"],
            folder=cache_folder() / kind / key[:32] if key else None,
            revision=f"{kind}-{key}" if key else None,
            checkpoint=checkpoint.file if key else None,
            classes=config.unet.classes, silent=checkpoint.silent,
        )  # fmt: skip


@dataclass(frozen=True)
class ByHand(CheckpointFile):
    """A file that its authors share by hand, and a short name for it."""

    alias: Alias
    page: str
    """Where they share it."""

    def find(self, wanted: Wanted) -> Model:
        """From the file; noising an image for a pixel model needs none."""
        alias, (kind, _, path) = self.alias, self.named.partition(":")
        checkpoint = Checkpoint.of(kind, path_of(self.named), alias.name)
        if (wanted.weights or checkpoint.latent) and not checkpoint.file.is_file():
            reason = f"its authors share {path} by hand, and it is not in this folder"
            here = f"--model {kind}:PATH/{checkpoint.file.name}"
            hint = f"download it from {self.page}, then here, or with {here}"
            raise ModelError(alias.name, reason, hint)
        return self._of(checkpoint, alias.name, wanted.weights)

    def stored_as(self) -> StoredAs:
        return StoredAs(self.alias.name, self.alias.sampler.name)
