"""Threads of one process that write files work in turns; only their waiting overlaps.

They share one interpreter: where two work at once, they stop each other at every call to the
system, and write less than one does alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock, local

_turn = Lock()
_here = local()


@contextmanager
def working() -> Iterator[None]:
    """Have the turn. Only for threads that no interrupt reaches: it might leave the turn taken."""
    with _turn:
        _here.working = True
        try:
            yield
        finally:
            _here.working = False


@contextmanager
def waiting() -> Iterator[None]:
    """Wait, for a disk or for a lock. A thread that has the turn lets others work meanwhile; any
    other one waits as it would without this."""
    if not getattr(_here, "working", False):
        yield
        return
    _turn.release()
    try:
        yield
    finally:
        _turn.acquire()
