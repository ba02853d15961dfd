"""Files that are either the old one or the new one, whatever happens in between."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock

from nca_cli.errors import StoreError
from nca_cli.store.layout import LOCKS


def write_atomically(path: Path, content: bytes) -> None:
    """Temporary file, fsync, rename, fsync of the folder: a kill leaves the old file or the new.

    The caller holds the lock of `path`, so temporaries of the same name are left over from kills.
    """
    with writing(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        for stale in path.parent.glob(f".{path.name}.*.tmp"):
            stale.unlink(missing_ok=True)
        temporary = path.parent / f".{path.name}.{uuid.uuid4().hex[:8]}.tmp"
        try:
            with open(temporary, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise
        sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make a rename in `folder` durable, where the system can."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def writing(place: Path) -> Iterator[None]:
    """Turn what a disk may answer into one clear line."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StoreError(
                place, "the disk is full; what was committed before is kept",
                "make room or choose another --store, then run the same command again",
            ) from error  # fmt: skip
        if error.errno in (errno.EACCES, errno.EROFS, errno.EPERM):
            raise StoreError(place, "cannot be written", "choose another --store") from error
        if error.errno in (errno.ENOTDIR, errno.EEXIST):
            raise StoreError(place, "is not a folder", "choose another --store") from error
        raise


@contextmanager
def locked(root: Path, *key: str) -> Iterator[None]:
    """Exclusive between processes for one `key`, never nested. Locks lie together, 256 at most."""
    name = hashlib.sha256("/".join(key).encode()).hexdigest()[:2]
    with writing(root):
        folder = root / LOCKS
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / f"{name}.lock")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()
