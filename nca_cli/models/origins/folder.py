"""Models in a folder of this disk, in the layout of diffusers' pipelines."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from nca_cli.errors import ModelError
from nca_cli.models.checkpoints import prefix_of
from nca_cli.models.origins.origin import (
    Origin,
    StoredAs,
    Wanted,
    complete_pipeline,
    last_part,
    safe_name,
)
from nca_cli.models.space import Model


@dataclass(frozen=True)
class Folder(Origin):
    """A folder, as the user wrote it."""

    named: str

    @classmethod
    def means(cls, name: str) -> bool:
        """Whether `name` is a path: it exists, or it could be nothing else."""
        return Path(name).expanduser().exists() or name.startswith(("/", ".", "~"))

    def find(self, wanted: Wanted) -> Model:
        """From the folder."""
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
        """By its path; a bare word is a stored name, even beside a folder of that name."""
        if "/" not in self.named and not self.named.startswith((".", "~")):
            return StoredAs(last_part(self.named))
        folder = Path(self.named).expanduser().resolve()
        return StoredAs(safe_name(_label(folder)), None, str(folder))


def _label(folder: Path) -> str:
    """The folder's name; for a snapshot of the hub's cache, the repository's."""
    if folder.parent.name == "snapshots" and folder.parent.parent.name.startswith("models--"):
        return folder.parent.parent.name.rpartition("--")[2]
    return folder.name
