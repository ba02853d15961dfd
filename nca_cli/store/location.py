"""Where one part lies, and how it is opened."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePath, PurePosixPath
from typing import Protocol

import h5py

from nca_cli.store import hdf5
from nca_cli.store.head import PartHead
from nca_cli.store.index import Stamp, stamp_of
from nca_cli.store.layout import SUFFIX, split_part
from nca_cli.store.opening import UNREADABLE, check_version, explained, open_file, part_at
from nca_cli.store.samples import Part


class Guard(Protocol):
    """Whoever says which parts may be opened: a store's `Trust`."""

    def require(self, part: Location) -> None:
        """Raise `StoreError` for a part that is not vouched for, and cannot be."""

    def head(self, part: Location) -> PartHead | None:
        """What is known of a part as it is now."""

    def vouch(self, part: Location, stamp: Stamp | None, head: PartHead | None = None) -> None:
        """Remember that a part is right."""

    def remember(self, part: Location, stamp: Stamp | None, head: PartHead) -> None:
        """Keep what was read of a part."""


@dataclass(frozen=True)
class Location:
    """Where one part lies: a file and the group in it ("/" unless the store is packed)."""

    path: Path
    group: str = "/"
    guard: Guard | None = field(default=None, compare=False, repr=False)
    """Asked before the part is opened. It stays in its process: what goes to a worker was opened
    here before."""

    def __reduce__(self) -> tuple:
        return Location, (self.path, self.group)

    def __str__(self) -> str:
        return f"{self.path}:{self.group}" if self._packed else str(self.path)

    @property
    def _packed(self) -> bool:
        return self.group != "/"

    @cached_property
    def _names(self) -> PurePath:
        """`…/model/image/ddim-50-7f31c02a.1`, whatever the store is."""
        if self._packed:
            return PurePosixPath(self.group)
        return self.path.with_name(self.path.name.removesuffix(SUFFIX))

    @property
    def stem(self) -> str:
        """`ddim-50-7f31c02a.1`: name and number of the part."""
        if self._packed:
            return self._names.name
        return self.path.name.removesuffix(SUFFIX)

    @property
    def names(self) -> tuple[str, str, str]:
        """Model, image and artifact (without the number of the part)."""
        model, image, stem = self._names.parts[-3:]
        return model, image, split_part(stem)[0]

    @property
    def number(self) -> int:
        """0 for the first part of an artifact. Numbers may have gaps."""
        return split_part(self.stem)[1]

    @property
    def in_store(self) -> str:
        """Where it lies within its store: `model/image/name.h5`, packed `/model/image/name`."""
        return self.group if self._packed else "/".join(self.path.parts[-3:])

    @contextmanager
    def opened(self) -> Iterator[h5py.Group]:
        """The part for reading, once it is vouched for.

        Failing to read it is `DamagedArtifact` or `StoreError`. So the body of the `with` reads
        from the file and does nothing else.
        """
        if self.guard is not None:
            self.guard.require(self)
        try:
            with open_file(self.path) as file:
                part = part_at(file, self.group)
                check_version(self.path, part.attrs)
                yield part
        except UNREADABLE as error:
            raise explained(self.path, str(self), error) from error

    def head(self) -> PartHead:
        """What the part says of itself, once it is vouched for; the file is opened only where that
        is not known."""
        known = self.guard.head(self) if self.guard else None
        if known is None:
            stamp = stamp_of(self.path)
            with self.opened() as group:
                known = PartHead.of(group)
            if self.guard:
                self.guard.remember(self, stamp, known)
        return known

    def read(self) -> Part:
        """All of the part, once its content digest is checked: `hdf5.read_part`."""
        with self.opened() as group:
            return hdf5.read_part(group)

    @property
    def bytes(self) -> int:
        """Size on disk, of the file or of the datasets in the group."""
        if self._packed:
            with self.opened() as group:
                return sum(data.id.get_storage_size() for data in group.values())
        try:
            return self.path.stat().st_size
        except FileNotFoundError:
            return 0
