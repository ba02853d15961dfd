"""The hub is asked by a process of its own, which can be ended whatever it waits for.

A server may accept and never answer, or send a byte now and then; a name may not be found for
minutes. No time limit of a library holds for all of that, and not everything can be interrupted.
"""

from __future__ import annotations

import os
import pickle
import sys
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import wait
from pathlib import Path
from subprocess import PIPE, Popen
from typing import Any

from nca_cli.errors import ModelError

PATIENCE = 30.0
"""Seconds within which an answer must be there, or `SLOWEST` bytes of it for each second."""
SLOWEST = 1000
CHILD = """
import pickle, signal, sys
signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is its parent's
sys.path[:] = pickle.load(sys.stdin.buffer)
from nca_cli.models.asking import serve
serve()
"""


def ask(
    repo: str, question: Callable[..., Any], *arguments: Any, growing: Path | None = None,
    hint: str | None = None,
) -> Any:  # fmt: skip
    """What `question(repo, *arguments)` gives in another process, or the `ModelError` it raises.

    `growing` is a folder in whose files arrives what is waited for. Raises `ModelError` where the
    hub is too slow.
    """
    child = Popen([sys.executable, "-c", CHILD], stdin=PIPE, stdout=PIPE)
    assert child.stdin is not None  # pipes
    assert child.stdout is not None
    try:
        pickle.dump(sys.path, child.stdin)
        pickle.dump((question, repo, arguments), child.stdin)
        child.stdin.flush()
        _wait_for(child, repo, growing, hint)
        found, error = pickle.load(child.stdout)
    except (EOFError, BrokenPipeError) as ended:
        raise ModelError(repo, "the process that asked the hub ended early", hint) from ended
    finally:
        child.kill()
        child.communicate()
    if error is not None:
        raise ModelError(repo, *error)
    return found


def _wait_for(child: Popen[bytes], repo: str, growing: Path | None, hint: str | None) -> None:
    """Return when the answer comes. Raises `ModelError` where too little of it does."""
    before, until = _size(growing), time.monotonic() + PATIENCE
    while not wait([child.stdout], timeout=max(0.0, until - time.monotonic())):  # type: ignore[list-item]
        now = _size(growing)
        if now - before < SLOWEST * PATIENCE:
            came = f"only {max(0, now - before):,} bytes" if now > before else "nothing"
            raise ModelError(repo, f"{came} came from the hub in {PATIENCE:g} s", hint)
        before, until = now, time.monotonic() + PATIENCE


def _size(folder: Path | None) -> int:
    """Bytes of the files in a folder; they come and go."""
    sizes = (each.stat().st_size for each in folder.glob("*")) if folder else ()
    try:
        return sum(sizes)
    except OSError:
        return 0


def serve() -> None:
    """In the process: answer one question, with (what was found, None) or (None, (reason, hint)).

    What anything prints goes to standard error, for standard output is for the answer.
    """
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    question, repo, arguments = pickle.load(sys.stdin.buffer)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        answer: tuple = question(repo, *arguments), None
    except ModelError as error:
        answer = None, (error.reason, error.hint)
    pickle.dump(answer, answers)
    answers.flush()
    os._exit(0)  # without waiting for what else goes on


def _end_with_parent() -> None:
    sys.stdin.buffer.read()
    os._exit(1)
