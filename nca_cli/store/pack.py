"""One self-contained, read-only file of a whole store, and back."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from threading import Event

import h5py

from nca_cli.errors import StoreError
from nca_cli.store import hdf5, layout
from nca_cli.store.files import (
    discard_left_over,
    replacing,
    sync_folder,
    write_atomically,
    writing,
)
from nca_cli.store.packed import write_model
from nca_cli.store.store import NAME_HINT, Store

Progress = Callable[[int], None]
"""Told the number of parts that are done, 0 first; `len(list(store.all_parts()))` in all."""


def no_progress(_: int) -> None:
    """No progress shown."""


def pack(store: Store, path: str | Path, progress: Progress = no_progress) -> Path:
    """Join a store into one `.h5` file with groups /model/image/name, one part in memory at a time.

    Every part's content digest is checked on the way. A file at `path` is replaced at the very
    end. Raises `NothingStored`, `DamagedArtifact`, `StoreError` (no room, not writable).
    """
    path = Path(path)
    store.require(NAME_HINT)
    if path.is_dir():
        raise StoreError(path, "is a folder", "give the name of a file, such as store.h5")
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        discard_left_over(path)
        with replacing(path) as temporary:
            _require_room(store, path)
            _uninterrupted(partial(_write_file, store, temporary), progress)
            hdf5.check_written(path, temporary)
    return path


def _uninterrupted(work: Callable[[Progress], None], progress: Progress) -> None:
    """Do the work in a thread: interrupts reach the main thread alone.

    One that reached HDF5 while it has `_Disk` write would take the process along. The work ends at
    its next step.
    """
    interrupted = Event()

    def step(done: int) -> None:
        if interrupted.is_set():
            raise KeyboardInterrupt
        progress(done)

    with ThreadPoolExecutor(1) as threads:
        try:
            threads.submit(work, step).result()
        except BaseException:
            interrupted.set()
            raise


def _write_file(store: Store, path: Path, progress: Progress) -> None:
    with new_file(path) as file:
        _write(store, file, progress)


def _write(store: Store, file: h5py.File, progress: Progress) -> None:
    file.attrs.update(layout.STORE_STAMP)
    parts = []
    for model in store.models():
        write_model(file, model, store.model_text(model))
        for image in store.images(model):
            group = file[model].create_group(image)
            parts += [(group, location) for location in store.parts(model, image)]
    progress(0)
    for done, (group, location) in enumerate(parts, 1):
        hdf5.write_part(group.create_group(location.stem), location.read())
        progress(done)


def _require_room(store: Store, path: Path) -> None:
    """Refuse before gigabytes are written in vain."""
    needed = sum(part.bytes for part in store.all_parts())
    free = shutil.disk_usage(path.parent).free
    if needed > free:
        raise StoreError(
            path, f"needs about {needed / 2**20:.0f} MiB, and {free / 2**20:.0f} MiB are free",
            "make room or choose another place",
        )  # fmt: skip


def unpack(path: str | Path, folder: str | Path, progress: Progress = no_progress) -> Store:
    """Make a folder of a packed file; parts and their content digests are the same again.

    `folder` must be absent or empty, and appears complete or not at all. Raises `StoreError`,
    `DamagedArtifact`.
    """
    source, folder = Store(path), Path(folder)
    if not source.packed:
        raise StoreError(path, "is not a packed store", "give a file that nca pack has made")
    if any(folder.iterdir()) if folder.is_dir() else folder.exists():
        raise StoreError(folder, "exists already", "unpack into a new folder: -o DIR")
    with writing(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        discard_left_over(folder.absolute())
        name = f".{folder.absolute().name}.{uuid.uuid4().hex[:8]}{layout.TEMPORARY}"
        temporary = folder.absolute().parent / name
        try:
            _require_room(source, temporary)
            _spread(source, temporary, progress)
            temporary.rename(folder)
        finally:
            with contextlib.suppress(OSError):
                shutil.rmtree(temporary)
        sync_folder(folder.absolute().parent)
    return Store(folder)


def _spread(source: Store, root: Path, progress: Progress) -> None:
    """Write a packed store as files under `root`."""
    write_atomically(root / layout.MARKER, f"{json.dumps(layout.STORE_STAMP)}\n".encode())
    for model in source.models():
        text = source.model_text(model)
        write_atomically(root / model / layout.MODEL_FILE, text.encode())
        for image in source.images(model):
            (root / model / image).mkdir(parents=True, exist_ok=True)
    progress(0)
    for done, location in enumerate(source.all_parts(), 1):
        model, image, _ = location.names
        path = root / model / image / f"{location.stem}{layout.SUFFIX}"
        hdf5.write_file(path, location.read())
        progress(done)


@contextmanager
def new_file(path: Path) -> Iterator[h5py.File]:
    """A file too large for memory, on the disk (fsync) at the end. Raises plain `OSError`.

    HDF5 itself, when a disk is full, complains at every later step and may take the process along.
    So its writes go through `_Disk`, which keeps the first error for us.
    """
    with open(path, "w+b", buffering=0) as raw:
        disk = _Disk(raw)
        try:
            with h5py.File(disk, "w", libver=hdf5.LIBVER) as file:
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
