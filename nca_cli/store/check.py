"""Whether one part holds what was written: `check_part` says, `Child` lets another process say.

A damaged HDF5 file may hang or crash whoever reads it, so `verify` reads in a child process:
`python -m nca_cli.store.check` takes one JSON request per line and answers with one JSON line.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import queue
import subprocess
import sys
import threading
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO

import h5py

import nca_cli
from nca_cli.errors import DamagedArtifact, StoreError
from nca_cli.store import hdf5, layout
from nca_cli.store.fields import FIELDS
from nca_cli.store.hdf5 import Location
from nca_cli.store.header import parsed
from nca_cli.store.samples import Key

READY = "ready"
START_LIMIT = 120.0
"""Seconds within which the child must be up. Importing h5py takes one or two."""
ADDRESS_SPACE = 16 * 2**30
"""A damaged size must not make the child ask for all the memory there is."""
NEEDED = {"noise": "x_t", "reconstruction": "x0_hat"}
"""The dataset that an artifact with samples has, by its kind."""


@dataclass
class Checked:
    """What is wrong with a part (`reason`, empty if nothing), and what could be read of it."""

    reason: str = ""
    damaged: bool = False
    """False for a part that is sound, gone, of a newer format, or not to be read by this user."""
    header: dict[str, str] = field(default_factory=dict)
    keys: list[Key] = field(default_factory=list)


def check_part(location: Location, full: bool = True) -> Checked:
    """Read a part; with `full`, check its structure, its place and its content digest too."""
    checked = Checked()
    try:
        with location.opened() as group:
            checked.header = hdf5.read_header(group)
            checked.keys = hdf5.read_keys(group)
            checked.reason = _problem(location, group, checked.header) if full else ""
            checked.damaged = bool(checked.reason)
    except DamagedArtifact as error:
        checked.reason, checked.damaged = error.damage, True
    except StoreError as error:
        checked.reason = error.reason if location.path.exists() else ""
    return checked


def _problem(location: Location, group: h5py.Group, header: dict[str, str]) -> str:
    """The first thing that is wrong, or an empty text."""
    if group.attrs.get("format") != layout.ARTIFACT_FORMAT:
        return "not an nca artifact"
    for name, data in group.items():
        if not isinstance(data, h5py.Dataset) or data.nbytes > data.id.get_storage_size():
            return f"incomplete dataset {name}"
    return (
        _structure(group, header.get("kind", ""))
        or ("" if group.attrs["content_sha256"] == hdf5.content_digest(group) else
            hdf5.WRONG_DIGEST)
        or _misplaced(location, header)
    )  # fmt: skip


def _structure(group: h5py.Group, kind: str) -> str:
    """Every dataset that is needed is there, and counts the same samples."""
    needed = NEEDED.get(kind)
    if needed is None:
        return f"unknown kind {kind!r}"
    count = len(group["t"])
    if count and needed not in group:
        return f"no dataset {needed}"
    counted = [name for name, field in FIELDS.items() if not field.fixed] + ["sample"]
    wrong = [name for name in counted if name in group and group[name].shape[0] != count]
    return f"{wrong[0]} counts other samples than t" if wrong else ""


def _misplaced(location: Location, header: dict[str, str]) -> str:
    """An artifact lies under the names that its attributes give it."""
    _, image, name = location.names
    image_digest = parsed(header, "image")["digest"]
    if layout.split_folder(image)[1] != image_digest[: layout.IMAGE_HEX]:
        return "belongs to another image"
    if header["kind"] == "noise":
        return "" if name == layout.NOISE else "noise under another name"
    recipe = hashlib.sha256(header["recipe"].encode()).hexdigest()
    return "" if layout.split_folder(name)[1] == recipe[:8] else "belongs to another recipe"


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
        """`check_part`, elsewhere. A child that hangs or dies is a damaged part."""
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
            code = process.wait()
            death = f"signal {-code}" if code < 0 else f"exit status {code}"
            self._stop()
            return Checked(f"crashes its reader ({death})", damaged=True)
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


def main() -> None:
    """Answer requests `{"path", "group", "full"}`, one per line, until the input ends."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    print(READY, flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        location = Location(Path(request["path"]), request["group"])
        print(json.dumps(asdict(check_part(location, request["full"]))), flush=True)


if __name__ == "__main__":
    main()
