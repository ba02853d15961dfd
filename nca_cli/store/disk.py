"""An HDF5 file that is written straight to a disk which may be full."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py

from nca_cli.store.hdf5 import LIBVER


@contextmanager
def new_file(path: Path) -> Iterator[h5py.File]:
    """A file too large for memory, on the disk (fsync) at the end. Raises plain `OSError`.

    HDF5 itself, when a disk is full, complains at every later step and may take the process along.
    So its writes go through `_Disk`, which keeps the first error for us.
    """
    with open(path, "w+b", buffering=0) as raw:
        disk = _Disk(raw)
        try:
            with h5py.File(disk, "w", libver=LIBVER) as file:
                yield file
                disk.complain()
        finally:
            disk.complain()
        os.fsync(raw.fileno())


class _Disk:
    """A file whose first error is kept; from then on writes go nowhere and reads give zeros."""

    def __init__(self, raw: io.FileIO):
        self._raw = raw
        self._error: OSError | None = None
        self.seek, self.tell, self.read = raw.seek, raw.tell, raw.read

    def complain(self) -> None:
        """Raise the error that was kept."""
        if self._error:
            raise self._error

    def _try(self, action: Callable[..., int | None], argument: memoryview | int) -> int | None:
        try:
            return None if self._error else action(argument)
        except OSError as error:
            self._error = error
            return None

    def write(self, data: memoryview) -> int:
        done = 0
        while done < len(data) and not self._error:
            done += self._try(self._raw.write, data[done:]) or 0
        return len(data)

    def readinto(self, buffer: memoryview) -> int:
        done = 0
        while got := self._try(self._raw.readinto, buffer[done:]):
            done += got
        buffer[done:] = bytes(len(buffer) - done)
        return len(buffer)

    def truncate(self, size: int) -> None:
        self._try(self._raw.truncate, size)

    def flush(self) -> None:
        """Nothing is buffered."""
