"""What would go wrong on this machine, and what to do about it."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from nca_cli.errors import NcaError
from nca_cli.store.locks import has_flock, lock_of

PACKAGES = ("torch", "diffusers", "huggingface_hub", "h5py", "numpy", "pillow", "scikit-image",
            "typer")  # fmt: skip
TIME_LIMIT = 300.0
"""Seconds within which a fresh interpreter must have imported torch and diffusers."""


@dataclass(frozen=True)
class Check:
    """One check: its state is good, note (works, but worth knowing) or bad."""

    what: str
    state: str
    found: str
    hint: str = ""


def examine(store: Path, *, offline: bool = False) -> Iterator[Check]:
    """All checks, cheap ones first."""
    machine = f"{platform.system()} {platform.machine()}"
    yield Check("python", "good", f"{platform.python_version()} on {machine}")
    yield from map(_package, PACKAGES)
    yield _diffusers()
    yield _devices()
    yield _locks(store)
    yield _space(store)
    yield _hub(offline)


def _package(name: str) -> Check:
    try:
        return Check(name, "good", metadata.version(name))
    except metadata.PackageNotFoundError:
        return Check(name, "bad", "not installed", f"pip install {name}")


def _python(code: str) -> subprocess.CompletedProcess[str]:
    """Run `code` in a fresh interpreter, so that a broken import breaks nothing here.

    One that hangs is one that failed, and its stderr says so.
    """
    command = [sys.executable, "-c", code]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=TIME_LIMIT)
    except subprocess.TimeoutExpired:
        said = f"no answer within {TIME_LIMIT:g} s"
        return subprocess.CompletedProcess(command, 1, "", said)


def _diffusers() -> Check:
    """A torchvision built for another torch makes `import diffusers` itself fail."""
    run = _python("from diffusers import UNet2DModel")
    if run.returncode == 0:
        return Check("networks", "good", "diffusers' UNet2DModel can be imported")
    last = (run.stderr.strip().splitlines() or ["no message"])[-1]
    guilty = importlib.util.find_spec("torchvision") is not None and "torchvision" in run.stderr
    hint = "reinstall diffusers and torch"
    if guilty:
        hint = "pip uninstall torchvision (nca does not need it)"
    return Check("networks", "bad", f"diffusers cannot be imported: {last}", hint)


def _devices() -> Check:
    code = (
        "import torch as t; n = t.cuda.device_count(); "
        "print('; '.join([f'cuda:{i} {t.cuda.get_device_name(i)}' for i in range(n)] + "
        "(['mps'] if t.backends.mps.is_available() else []) + "
        "[f'cpu, {t.get_num_threads()} threads']))"
    )
    run = _python(code)
    if run.returncode:
        return Check("devices", "bad", "torch cannot be imported", "reinstall torch")
    found = run.stdout.strip()
    return Check("devices", "good" if ";" in found else "note", found)


def _locks(store: Path) -> Check:
    """Two processes must exclude one another on the store's disk."""
    try:
        with tempfile.TemporaryDirectory(dir=_existing(store), prefix=".nca-doctor-") as folder:
            excluded = _excludes(Path(folder) / "lock")
    except (OSError, NotImplementedError) as error:
        found = f"cannot be taken on the disk of {store}: {error}"
        return Check("locks", "bad", found, "choose another --store")
    if excluded and not has_flock(_existing(store)):
        found = f"by lock files, as the disk of {store} has no flock"
        hint = "delete a lock file that a killed process has left"
        return Check("locks", "note", found, hint)
    if excluded:
        return Check("locks", "good", f"work on the disk of {store}")
    found = f"do not work on the disk of {store}"
    return Check("locks", "bad", found, "write to it from one process only")


def _excludes(path: Path) -> bool:
    """Whether a lock that is held here is refused to another process, as it should be."""
    code = (
        "import pathlib; from nca_cli.store.locks import lock_of; "
        f"lock_of(pathlib.Path({str(path)!r})).acquire(timeout=0.2)"
    )
    with lock_of(path):
        return "Timeout" in _python(code).stderr


def _existing(path: Path) -> Path:
    path = path.absolute()
    while not os.path.isdir(path):  # False, too, for what may not be looked at
        path = path.parent
    return path


def _space(store: Path) -> Check:
    folder = _existing(store)
    free = shutil.disk_usage(folder).free
    if not os.access(folder, os.W_OK):
        return Check("store", "bad", f"{folder} cannot be written", "choose another --store")
    try:
        from nca_cli.store import Store

        Store(store)
    except NcaError as error:
        return Check("store", "bad", error.what, error.hint or "")
    return Check("store", "note" if free < 2e9 else "good", f"{free / 1e9:.1f} GB free for {store}")


def _hub(offline: bool) -> Check:
    """Whether the hub answers at all; any HTTP status is an answer."""
    from huggingface_hub import constants

    if offline or constants.HF_HUB_OFFLINE:
        return Check("hub", "note", "switched off; models on this disk can be used")
    try:
        urllib.request.urlopen(constants.ENDPOINT, timeout=5).close()
    except urllib.error.HTTPError:
        pass
    except (OSError, ValueError) as error:
        found = f"{constants.ENDPOINT} does not answer ({getattr(error, 'reason', error)})"
        return Check("hub", "note", found, "models on this disk and the demo still work")
    return Check("hub", "good", f"{constants.ENDPOINT} answers")
