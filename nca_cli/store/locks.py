"""Locks between processes that write to one store: which kind a disk has, and who holds one."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import platform
from pathlib import Path

from filelock import BaseFileLock, FileLock, SoftFileLock, Timeout

from nca_cli.store import turns

AUDIBLE = 1.0
"""Seconds after which it is said who is waited for."""
SOFT = ".soft"
"""Ending of a lock that is held as long as its file is there, on a disk without `flock`. It has a
name of its own: a file of the other kind stays when it is released."""
_NO_FLOCK = {errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP}
log = logging.getLogger(__name__)


def acquired(path: Path, what: str) -> BaseFileLock:
    """The lock at `path`, by which processes agree who writes to `what`, once it is held here; to
    be released. Raises `OSError`."""
    lock = lock_of(path)
    with turns.waiting():
        try:
            lock.acquire(timeout=AUDIBLE)
        except Timeout:
            if holder := _other_holder(Path(lock.lock_file)):
                log.warning("waiting for %s, which writes to %s", holder, what)
            lock.acquire()
    try:
        if not isinstance(lock, SoftFileLock):  # whose file says it anyway
            _sign(path)
    except BaseException:  # an interrupt
        lock.release()
        raise
    return lock


def lock_of(path: Path) -> BaseFileLock:
    """A lock of the kind that the disk has, made anew: one that is kept counts who holds it, and
    an interrupt at the wrong moment would leave it held."""
    return FileLock(path) if has_flock(path.parent) else SoftFileLock(path.with_suffix(SOFT))


def has_flock(folder: Path) -> bool:
    """Whether the disk of a folder knows the locks that the system releases when a process ends."""
    try:
        import fcntl
    except ImportError:  # Windows has others
        return True
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno not in _NO_FLOCK
    finally:
        os.close(handle)
    return True


def _sign(path: Path) -> None:
    """Say in a lock's file who holds it, as the other kind does."""
    with contextlib.suppress(OSError):
        path.write_text(f"{os.getpid()}\n{platform.node()}\n")


def _other_holder(path: Path) -> str:
    """Who holds a lock, as far as its file tells; an empty text for a thread of this process."""
    with contextlib.suppress(OSError, ValueError):
        process, host, *_ = path.read_text().split("\n")
        if (process, host) == (str(os.getpid()), platform.node()):
            return ""
        if process.isdecimal():
            return f"process {process} on {host}"
    return f"another process ({path})"
