"""Ctrl-C and SIGTERM (a cluster's time limit, `make`) end a command, wherever they hit it.

Python raises `KeyboardInterrupt` between any two steps. In a destructor or in the callback of a
weak reference it is printed and lost, and a library may turn it into an error of its own. So an
interrupt is remembered as well: work that goes on is stopped at its next step.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_came = False


@contextmanager
def interruptible() -> Iterator[None]:
    """Listen for interrupts. Signals that the caller ignores (`nohup`, `&`) stay ignored."""
    global _came
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread hears signals
        return
    _came = False
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    others = sys.unraisablehook

    def report(lost: sys.UnraisableHookArgs) -> None:
        if not isinstance(lost.exc_value, KeyboardInterrupt):  # which is not lost, see above
            others(lost)

    for number, handler in handlers.items():
        if handler in (signal.default_int_handler, signal.SIG_DFL):
            signal.signal(number, _interrupt)
    sys.unraisablehook = report
    try:
        yield
    finally:
        sys.unraisablehook = others
        for number, handler in handlers.items():
            signal.signal(number, handler)
        _came = False


def interrupted() -> bool:
    """Whether an interrupt came to what runs within `interruptible`."""
    return _came


def ignore_interrupts() -> None:
    """The command has ended already: more interrupts until the end of `interruptible` change
    nothing, not even what people are told."""
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)


def stop_if_interrupted() -> None:
    """Raise `KeyboardInterrupt` again if one came and was lost."""
    if _came:
        raise KeyboardInterrupt


def _interrupt(number: int, frame: FrameType | None) -> None:
    global _came
    _came = True
    raise KeyboardInterrupt
