"""What a store lies in: a folder of files, which can be written, or one packed file.

`FolderBackend` says what the methods of both are for. Reading locks nothing.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import h5py

from nca_cli.errors import DamagedArtifact, NotAStore, StoreError
from nca_cli.recipe import canonical_json
from nca_cli.store import layout, packed
from nca_cli.store.files import locked, write_atomically
from nca_cli.store.location import Location
from nca_cli.store.trust import Trust


@dataclass(frozen=True)
class FolderBackend:
    """A folder of artifacts, each part a file of its own."""

    root: Path
    guard: Trust

    @property
    def folder(self) -> Path | None:
        """Where files may lie beside the artifacts: what is derived of them, and temporaries.

        None where there is no such place.
        """
        return self.root

    @property
    def exists(self) -> bool:
        """Whether there is a store; one that has lost its marker is one still."""
        return self._marker.is_file() or any(path.is_file() for path in self.model_files())

    @property
    def _marker(self) -> Path:
        return self.root / layout.MARKER

    def stamp(self) -> dict[str, object]:
        """Name and version of its format. Raises `StoreError` for what cannot be read."""
        if not self._marker.exists():  # each artifact says its version too
            return {**layout.STORE_STAMP}
        try:
            return dict(json.loads(self._marker.read_text()))
        except (OSError, ValueError, TypeError, RecursionError) as error:
            raise StoreError(self._marker, "is not readable JSON") from error

    def models(self) -> list[str]:
        """Model folder names, sorted. A folder without `model.json` and images is none: its first
        writer has not come further, or was killed there."""
        return [
            name for name in _folders(self.root)
            if (self.root / name / layout.MODEL_FILE).is_file() or _folders(self.root / name)
        ]  # fmt: skip

    def images(self, model: str, ending: str = "") -> list[str]:
        """Image folder names of a model, sorted; those alone that end so."""
        return _folders(self.root / model, ending)

    def parts(self, model: str, image: str) -> Iterator[Location]:
        """Every part of every artifact of an image, by name; numbers may have gaps."""
        folder = self.root / model / image
        with _listed(folder) as entries:
            files = [each.name for each in entries if each.name[0] != "." and each.is_file()]
        yield from (Location(folder / name, guard=self.guard) for name in sorted(files)
                    if name.endswith(layout.SUFFIX))  # fmt: skip

    def model_text(self, model: str) -> str:
        """The text of `model.json`. Raises `OSError`, `ValueError`."""
        return (self.root / model / layout.MODEL_FILE).read_text(encoding="utf-8")

    def model_files(self) -> list[Path]:
        """Each `model.json`, there or not."""
        return [self.root / model / layout.MODEL_FILE for model in self.models()]

    def require_writable(self) -> None:
        """Raise `StoreError` for what is read-only; stamp a place that holds no store yet."""
        if not self._marker.is_file():
            with locked(self.root, layout.MARKER):
                if not self._marker.is_file():
                    stamp = f"{canonical_json(layout.STORE_STAMP)}\n"
                    write_atomically(self._marker, stamp.encode())


@dataclass(frozen=True)
class PackedBackend:
    """One HDF5 file with the same hierarchy as groups, read-only."""

    root: Path
    guard: Trust

    @property
    def folder(self) -> Path | None:
        return None

    @property
    def exists(self) -> bool:
        return self.root.is_file()

    def stamp(self) -> dict[str, object]:
        try:
            with self._opened() as file:
                return dict(file.attrs)
        except DamagedArtifact as error:
            raise NotAStore(
                self.root, f"is not a readable packed store ({error.damage})"
            ) from error

    @cached_property
    def _tree(self) -> dict[str, dict[str, list[str]]]:
        """Model → image → parts."""
        with self._opened() as file:
            return packed.tree(file)

    @contextmanager
    def _opened(self) -> Iterator[h5py.Group]:
        """The root of the file, once what it holds can be listed."""
        whole = Location(self.root)
        self.guard.require_tree(whole)
        with whole.opened() as file:
            yield file

    def models(self) -> list[str]:
        return sorted(self._tree)

    def images(self, model: str, ending: str = "") -> list[str]:
        return sorted(name for name in self._tree.get(model, {}) if name.endswith(ending))

    def parts(self, model: str, image: str) -> Iterator[Location]:
        for stem in self._tree.get(model, {}).get(image, ()):
            yield Location(self.root, f"/{model}/{image}/{stem}", self.guard)

    def model_text(self, model: str) -> str:
        with self._opened() as file:
            return packed.model_text(file, model)

    def model_files(self) -> list[Path]:
        return [self.root / model / layout.MODEL_FILE for model in self.models()]

    def require_writable(self) -> None:
        raise StoreError(
            self.root, "is a packed store, read-only", "make a folder of it: nca pack --unpack"
        )


def backend_of(root: Path, check: bool = True) -> FolderBackend | PackedBackend:
    """A file is a packed store; everything else is, or will be, a folder."""
    if root.is_file():
        return PackedBackend(root, Trust(None, check))
    return FolderBackend(root, Trust(root, check))


def _folders(parent: Path, ending: str = "") -> list[str]:
    """Names of the folders in `parent` that end so, hidden ones left out, sorted."""
    with _listed(parent) as entries:
        named = [each for each in entries if each.name.endswith(ending) and each.name[0] != "."]
        return sorted(entry.name for entry in named if entry.is_dir())


@contextmanager
def _listed(folder: Path) -> Iterator[Iterable[os.DirEntry[str]]]:
    """What `os.scandir` lists, or nothing where there is no folder."""
    try:
        entries = os.scandir(folder)
    except (FileNotFoundError, NotADirectoryError):
        yield ()
        return
    except PermissionError as error:
        raise StoreError(folder, "no permission to read it") from error
    with entries:
        yield entries
