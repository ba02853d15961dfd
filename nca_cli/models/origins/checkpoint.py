"""Models in one file, `adm:PATH` or `ldm:PATH`, converted when their weights are needed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from nca_cli.errors import ModelError
from nca_cli.models.checkpoints.convert import ensure_converted
from nca_cli.models.checkpoints.file import (
    Checkpoint,
    find_checkpoint,
    path_of,
    source_of,
    stored_name,
)
from nca_cli.models.environment import cache_folder
from nca_cli.models.origins.origin import Origin, StoredAs, Wanted, safe_name
from nca_cli.models.pipeline import Pipeline
from nca_cli.models.space import Model

if TYPE_CHECKING:
    from nca_cli.models.aliases import Alias


@dataclass(frozen=True)
class CheckpointFile(Origin):
    """A file that the user names."""

    named: str
    """`KIND:PATH`"""

    def find(self, wanted: Wanted) -> Model:
        name = safe_name(stored_name(self.named))
        return self._of(find_checkpoint(self.named), name, wanted.weights)

    def stored_as(self) -> StoredAs:
        return StoredAs(safe_name(stored_name(self.named)), None, source_of(self.named))

    def pipeline(self, model: Model) -> Pipeline:
        """What it is converted into, which is done first where the cache lacks it."""
        ensure_converted(model)
        return super().pipeline(model)

    def _of(self, checkpoint: Checkpoint, name: str, weights: bool) -> Model:
        """The model, stored under `name`. A pixel model without `weights` needs no file."""
        kind, config = checkpoint.kind, checkpoint.config
        key = checkpoint.key() if weights or checkpoint.latent else None
        return Model(
            name, checkpoint.name, checkpoint.space(), self, config.SAMPLER,
            scheduler=config.scheduler(),
            folder=cache_folder() / kind / key[:32] if key else None,
            revision=f"{kind}-{key}" if key else None,
            checkpoint=checkpoint.file if key else None,
            classes=config.unet.classes,
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

    def look(self) -> tuple[bool, int | None]:
        return path_of(self.named).is_file(), None
