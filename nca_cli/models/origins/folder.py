"""Models in a folder of this disk, the user's or the installation's."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nca_cli.errors import ModelError
from nca_cli.models.checkpoints.file import prefix_of
from nca_cli.models.origins.origin import (
    Origin,
    StoredAs,
    Wanted,
    complete_pipeline,
    last_part,
    safe_name,
)
from nca_cli.models.space import Model
from nca_cli.recipe import BUILT_IN

if TYPE_CHECKING:
    from nca_cli.models.aliases import Alias

ASSETS = Path(__file__).resolve().parents[2] / "assets"


@dataclass(frozen=True)
class Folder(Origin):
    """A folder, as the user wrote it."""

    named: str

    @classmethod
    def means(cls, name: str) -> bool:
        """Whether `name` is a path: it exists, or it could be nothing else."""
        return Path(name).expanduser().exists() or name.startswith(("/", ".", "~"))

    def find(self, wanted: Wanted) -> Model:
        folder = Path(self.named).expanduser().absolute()
        if folder.is_file():
            prefix = prefix_of(folder)
            hint = f"is it a checkpoint? --model {prefix}{self.named}" if prefix else None
            reason = "is a file; nca needs the folder of a diffusers pipeline"
            raise ModelError(self.named, reason, hint)
        if not folder.is_dir():
            raise ModelError(self.named, "there is no such folder")
        resolved = folder.resolve()
        pipeline = complete_pipeline(resolved, str(resolved), wanted.weights)
        return self._model(pipeline, _label(resolved), str(resolved))

    def stored_as(self) -> StoredAs:
        # a bare word is a stored name, even beside a folder of that name
        if "/" not in self.named and not self.named.startswith((".", "~")):
            return StoredAs(last_part(self.named))
        folder = Path(self.named).expanduser().resolve()
        return StoredAs(safe_name(_label(folder)), None, str(folder))


def _label(folder: Path) -> str:
    """The folder's name; for a snapshot of the hub's cache, the repository's."""
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

    def look(self) -> tuple[bool, int | None]:
        try:
            pipeline = complete_pipeline(ASSETS / self.alias.name, self.alias.name, weights=True)
        except ModelError:
            return False, None
        return True, pipeline.resolution
