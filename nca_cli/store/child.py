"""Another process that checks parts: a damaged HDF5 file may hang or crash whoever reads it.

`python -m nca_cli.store.child` takes one JSON request per line and answers with one JSON line.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import IO

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

import nca_cli
from nca_cli.store.check import ALL, Checked, check
from nca_cli.store.location import Location
from nca_cli.store.opening import LARGEST

READY = "ready"
START_LIMIT = 120.0
"""Seconds within which the child must be up. Importing h5py takes one or two."""
TIME_LIMIT = 60.0
"""Seconds that reading one part may take, and one more for each `SLOWEST_DISK` bytes."""
SLOWEST_DISK = 2e6
COMPUTING_LIMIT = 3
"""Seconds of computing after which HDF5 runs in circles, and one more for each `SLOWEST_CORE`
bytes. Waiting for the disk or for other programs does not count."""
SLOWEST_CORE = 5e6
ADDRESS_SPACE = 16 * 2**30
"""A damaged size must not make the child ask for all the memory there is."""
CRASHES = ("SIGSEGV", "SIGBUS", "SIGABRT", "SIGFPE", "SIGILL", "SIGTRAP")
"""Signals by which HDF5 itself ends a process; others come from elsewhere."""
AGAIN = "run the same command again when the machine is less busy"


class Child:
    """`check` a part at a time; whatever a damaged file does to the reader, an answer comes."""

    def __init__(self, time_limit: float = TIME_LIMIT):
        self.time_limit = time_limit
        self._process: subprocess.Popen[str] | None = None
        self._lines: queue.Queue[str | None] = queue.Queue()
        self._lock = threading.Lock()

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def check(self, location: Location, what: str = ALL) -> Checked:
        """`check.check`, elsewhere.

        One that crashes HDF5, or has it compute without end, is damaged; where the child is killed
        or takes too long, nothing is known of the part.
        """
        with self._lock:
            return self._checked(location, what)

    def _checked(self, location: Location, what: str) -> Checked:
        process = self._running()
        path = os.path.abspath(location.path)
        request = {"path": path, "group": location.group, "what": what}
        limit = self.time_limit + _size(location.path) / SLOWEST_DISK
        try:
            print(json.dumps(request), file=process.stdin, flush=True)
            answer = self._lines.get(timeout=limit)
        except queue.Empty:
            self.stop()
            return Checked(f"cannot be read within {limit:.0f} s", hint=AGAIN)
        except BrokenPipeError:
            answer = None
        except BaseException:  # its answer would be taken for that to the next request
            self.stop()
            raise
        if answer is None:
            code = process.wait()
            self.stop()
            return _ended(code)
        checked = Checked(**json.loads(answer))
        checked.keys = [(t, seed) for t, seed in checked.keys]
        return checked

    def _running(self) -> subprocess.Popen[str]:
        """The child, started if need be. Failing to is no fault of a file: `RuntimeError`."""
        if self._process and self._process.poll() is None:
            return self._process
        self.stop()
        self._lines = queue.Queue()
        self._process = process = _spawned()
        threading.Thread(target=_collect, args=(process.stdout, self._lines), daemon=True).start()
        try:
            up = self._lines.get(timeout=START_LIMIT)
        except queue.Empty:
            up = None
        if up != READY:
            self.stop()
            raise RuntimeError("the process that checks files does not start")
        return process

    def stop(self) -> None:
        """End the process; the next `check` starts another."""
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=5)
        assert process.stdin is not None  # a pipe: see `_spawned`
        with contextlib.suppress(OSError):
            process.stdin.close()


class Children:
    """`count` of them, for as many threads: each has the next part checked by one that is free."""

    def __init__(self, count: int, time_limit: float = TIME_LIMIT):
        self._every = [Child(time_limit) for _ in range(count)]
        self._free: queue.Queue[Child] = queue.Queue()
        for child in self._every:
            self._free.put(child)

    def __enter__(self) -> Children:
        return self

    def __exit__(self, *_: object) -> None:
        for child in self._every:
            child.stop()

    def check(self, location: Location, what: str = ALL) -> Checked:
        """As a `Child` does."""
        child = self._free.get()
        try:
            return child.check(location, what)
        finally:
            self._free.put(child)


@cache
def shared() -> Child:
    """The child of this process, whatever stores it reads."""
    child = Child()
    atexit.register(child.stop)
    return child


def _size(path: Path) -> int:
    """Bytes of a file, of which a part in a packed store has so many at most."""
    with contextlib.suppress(OSError):
        return min(os.stat(path).st_size, LARGEST)
    return 0


def _ended(code: int) -> Checked:
    """What the end of a child says of the part that it was reading."""
    name = signal.Signals(-code).name if code < 0 else ""
    if name == "SIGXCPU":
        return Checked("HDF5 hangs on it", damaged=True)
    if name in CRASHES:
        return Checked(f"crashes its reader (signal {-code})", damaged=True)
    death = f"signal {-code}" if code < 0 else f"exit status {code}"
    return Checked(f"the process that read it was ended ({death})", hint=AGAIN)


def _spawned() -> subprocess.Popen[str]:
    """`python -m nca_cli.store.child` with this very package, wherever it was imported from."""
    here = str(Path(nca_cli.__file__).parents[1])
    path = os.pathsep.join(filter(None, [here, os.environ.get("PYTHONPATH")]))
    return subprocess.Popen(
        [sys.executable, "-m", "nca_cli.store.child"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        text=True, encoding="utf-8", env={**os.environ, "PYTHONPATH": path},
    )  # fmt: skip


def _collect(stream: IO[str], lines: queue.Queue[str | None]) -> None:
    """Hand on every line of the child, and then `None`."""
    with stream:
        for line in stream:
            lines.put(line.rstrip("\n"))
    lines.put(None)


def main() -> None:
    """Answer requests `{"path", "group", "what"}`, one per line, until the input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is its parent's
    print(READY, flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        location = Location(Path(request["path"]), request["group"])
        _limit(_size(location.path))
        print(json.dumps(asdict(check(location, request["what"]))), flush=True)


def _limit(size: int) -> None:
    """As much memory and computing as a part of so many bytes may take, where that can be said."""
    if resource is None:
        return
    soon = int(time.process_time() + COMPUTING_LIMIT + size / SLOWEST_CORE) + 1
    for what, most in (
        (resource.RLIMIT_AS, ADDRESS_SPACE), (resource.RLIMIT_CORE, 0), (resource.RLIMIT_CPU, soon)
    ):  # fmt: skip
        with contextlib.suppress(ValueError, OSError):
            hard = resource.getrlimit(what)[1]
            resource.setrlimit(what, (most, hard))


if __name__ == "__main__":
    main()
