"""Files that are either the old one or the new one, whatever happens in between."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from nca_cli.errors import StoreError
from nca_cli.store import turns
from nca_cli.store.layout import LOCKS, TEMPORARY
from nca_cli.store.locks import acquired

STALE_SECONDS = 600.0
"""A temporary that was not written to for so long is left over from a kill."""
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_REFUSED = {errno.EACCES, errno.EROFS, errno.EPERM}
_NO_FOLDER = {errno.ENOTDIR, errno.EEXIST, errno.EISDIR}
_NO_FOLDER_SYNC = {errno.EINVAL, errno.ENOTSUP, errno.EACCES, errno.EISDIR, errno.EBADF}


def write_atomically(
    path: Path, content: bytes, read_back: Callable[[Path], None] = lambda written: None
) -> None:
    """Temporary file, fsync, rename, fsync of the folder: a kill leaves the old file or the new.

    `read_back` hears of the temporary before the rename, and raises where it is not what it should
    be. The caller holds the lock of `path`, so temporaries of the same name are left over from
    kills.
    """
    with writing(path):
        for stale in temporaries(path):
            stale.unlink(missing_ok=True)
        with replacing(path) as temporary:
            with turns.waiting(), _created(temporary) as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            read_back(temporary)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary name beside `path`, renamed to it at the end, removed when that is not reached.

    What is written there must be on the disk (fsync) before the body ends.
    """
    temporary = path.parent / f".{path.name}.{uuid.uuid4().hex[:8]}{TEMPORARY}"
    try:
        yield temporary
        with turns.waiting():
            os.replace(temporary, path)
            sync_folder(path.parent)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


def _created(path: Path) -> IO[bytes]:
    """`path`, opened for writing; its folder is made, and again if another process removes it."""
    for _ in range(10):
        with contextlib.suppress(FileNotFoundError):
            return open(path, "wb")
        path.parent.mkdir(parents=True, exist_ok=True)
    return open(path, "wb")


def temporaries(path: Path) -> list[Path]:
    """Temporaries of `path`, of this or of other processes."""
    start = f".{path.name}."
    try:
        names = os.listdir(path.parent)
    except OSError:
        return []
    return [path.parent / name for name in names
            if name.startswith(start) and name.endswith(TEMPORARY)]  # fmt: skip


def is_stale(path: Path) -> bool:
    """Whether a temporary file or folder is too old to belong to a write that is going on."""
    try:
        every = [path, *path.rglob("*")] if path.is_dir() else [path]
        return time.time() - max(each.stat().st_mtime for each in every) > STALE_SECONDS
    except FileNotFoundError:
        return False


def discard_left_over(path: Path) -> None:
    """Remove what killed writers of `path` left beside it, files and folders."""
    for stale in filter(is_stale, temporaries(path)):
        discard(stale)


def discard(temporary: Path) -> None:
    """Remove a temporary file or folder. Raises `OSError`."""
    if temporary.is_dir():
        shutil.rmtree(temporary)
    else:
        temporary.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Make a rename in `folder` durable, where the system can."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in _NO_FOLDER_SYNC:
            raise
    finally:
        os.close(handle)


@contextmanager
def writing(place: Path) -> Iterator[None]:
    """Turn what a disk may answer into one clear line."""
    try:
        yield
    except OSError as error:
        raise _explained(place, error) from error


def _explained(place: Path, error: OSError) -> StoreError:
    if error.errno in _FULL:
        return StoreError(
            place, "the disk is full; what was committed before is kept",
            "make room or choose another --store, then run the same command again",
        )  # fmt: skip
    if error.errno in _NO_FOLDER:
        return StoreError(place, "is not a folder", "choose another --store")
    why = "" if error.errno in _REFUSED else f" ({error.strerror or error})"
    return StoreError(place, f"cannot be written{why}", "choose another --store")


@contextmanager
def locked(root: Path, *key: str) -> Iterator[None]:
    """Exclusive between threads and processes for one `key`, never nested. Locks lie together, 256
    at most."""
    name = hashlib.sha256("/".join(key).encode()).hexdigest()[:2]
    with writing(root):
        folder = root / LOCKS
        folder.mkdir(parents=True, exist_ok=True)
        lock = acquired(folder / f"{name}.lock", str(root))
    try:
        yield
    finally:
        with writing(root):
            lock.release()
