"""Processes forked from this one, which has imported all that they need: hundreds are affordable.

Whoever forks has no other threads, so torch computes with one.
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

LIMIT = 120.0
"""Seconds after which a process counts as hung."""
DONE, HUNG = 0, -999


@dataclass(frozen=True)
class Ended:
    """How a process ended: exit status (negative: the signal; `HUNG`), what it printed, how long
    it ran."""

    code: int
    text: str
    seconds: float

    @property
    def errors(self) -> list[str]:
        """Its lines of errors."""
        return [line for line in self.text.splitlines() if line.startswith("error: ")]


class Child:
    """A forked process that runs `call` in `folder`, in a group of its own."""

    def __init__(self, call: Callable[[], object], folder: Path):
        self._log = tempfile.TemporaryFile()  # noqa: SIM115
        self._began = time.monotonic()
        self.process = os.fork()
        if not self.process:
            _live(call, folder, self._log.fileno())

    def ended(self, limit: float = LIMIT) -> Ended:
        """Wait for it; one that takes longer than `limit` seconds is killed."""
        while not (end := self.poll(limit)):
            time.sleep(0.002)
        return end

    def poll(self, limit: float = LIMIT) -> Ended | None:
        """How it ended, once; `None` while it runs."""
        pid, status = os.waitpid(self.process, os.WNOHANG)
        code = os.waitstatus_to_exitcode(status)
        seconds = time.monotonic() - self._began
        if not pid and seconds < limit:
            return None
        if not pid:
            self.kill()
            os.waitpid(self.process, 0)
            code = HUNG
        self._log.seek(0)
        text = self._log.read().decode(errors="replace")
        self._log.close()
        return Ended(code, text, seconds)

    def kill(self) -> None:
        """SIGKILL, to it alone."""
        os.kill(self.process, signal.SIGKILL)

    @property
    def left(self) -> list[int]:
        """Processes that it started and that still run, given ten seconds to notice its end."""
        until = time.monotonic() + 10
        while (found := _of_group(self.process)) and time.monotonic() < until:
            time.sleep(0.02)
        return found


def _live(call: Callable[[], object], folder: Path, log: int) -> None:
    """All of the forked process; it never returns."""
    code = 1
    try:
        os.setsid()
        os.chdir(folder)
        with open(os.devnull) as nothing:
            os.dup2(nothing.fileno(), 0)
        os.dup2(log, 1)
        os.dup2(log, 2)
        sys.stdout, sys.stderr = (os.fdopen(number, "w", closefd=False) for number in (1, 2))
        call()
        code = DONE
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else bool(end.code)
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(code)


def _of_group(group: int) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[2]) == group and fields[0] != "Z":
                found.append(int(entry.name))
    return found


def import_all() -> None:
    """Import what commands import, so that forked processes need not."""
    import importlib
    import pkgutil

    import torch

    import nca_cli

    torch.set_num_threads(1)
    for module in pkgutil.walk_packages(nca_cli.__path__, "nca_cli."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    from PIL import Image

    Image.init()


def nca(words: Sequence[str]) -> Callable[[], object]:
    """The command line, as a call."""
    from nca_cli.cli import app

    return lambda: app([*words])


def run(folder: Path, *words: str) -> Ended:
    """One command in a process of its own, to its end."""
    return Child(nca(words), folder).ended()
