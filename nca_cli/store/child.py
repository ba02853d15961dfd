"""A child process that reads parts, with a time limit: it may hang or crash, we do not."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO

import nca_cli
from nca_cli.store.check import READY, Checked
from nca_cli.store.location import Location

START_LIMIT = 120.0
"""Seconds within which the child must be up. Importing h5py takes one or two."""


class Child:
    """`check` a part at a time; whatever a damaged file does to the reader, an answer comes."""

    def __init__(self, time_limit: float):
        self.time_limit = time_limit
        self._process: subprocess.Popen[str] | None = None
        self._lines: queue.Queue[str | None] = queue.Queue()

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def check(self, location: Location, full: bool = True) -> Checked:
        """`check.check_part`, elsewhere. A child that hangs or dies is a damaged part."""
        process = self._running()
        request = {"path": str(location.path), "group": location.group, "full": full}
        try:
            print(json.dumps(request), file=process.stdin, flush=True)
            answer = self._lines.get(timeout=self.time_limit)
        except queue.Empty:
            self._stop()
            return Checked(f"cannot be read within {self.time_limit:g} s", damaged=True)
        except BrokenPipeError:
            answer = None
        if answer is None:
            return Checked(f"crashes its reader ({self._death(process)})", damaged=True)
        checked = Checked(**json.loads(answer))
        checked.keys = [(t, seed) for t, seed in checked.keys]
        return checked

    def _running(self) -> subprocess.Popen[str]:
        """The child, started if need be. Failing to is no fault of a file: `RuntimeError`."""
        if self._process and self._process.poll() is None:
            return self._process
        self._stop()
        self._lines = queue.Queue()
        self._process = process = _spawned()
        threading.Thread(target=_collect, args=(process.stdout, self._lines), daemon=True).start()
        try:
            up = self._lines.get(timeout=START_LIMIT)
        except queue.Empty:
            up = None
        if up != READY:
            self._stop()
            raise RuntimeError("the process that checks files does not start")
        return process

    def _death(self, process: subprocess.Popen[str]) -> str:
        code = process.wait()
        self._stop()
        return f"signal {-code}" if code < 0 else f"exit status {code}"

    def _stop(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=5)
        assert process.stdin is not None  # a pipe: see `_spawned`
        with contextlib.suppress(OSError):
            process.stdin.close()


def _spawned() -> subprocess.Popen[str]:
    """`python -m nca_cli.store.check` with this very package, wherever it was imported from."""
    here = str(Path(nca_cli.__file__).parents[1])
    path = os.pathsep.join(filter(None, [here, os.environ.get("PYTHONPATH")]))
    return subprocess.Popen(
        [sys.executable, "-m", "nca_cli.store.check"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        text=True, encoding="utf-8", env={**os.environ, "PYTHONPATH": path},
    )  # fmt: skip


def _collect(stream: IO[str], lines: queue.Queue[str | None]) -> None:
    """Hand on every line of the child, and then `None`."""
    with stream:
        for line in stream:
            lines.put(line.rstrip("\n"))
    lines.put(None)
