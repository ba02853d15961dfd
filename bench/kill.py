"""Kill a running `nca reconstruct` at random instants: what was committed must be read back.

    python -m bench kill [--rounds 50]

Each round starts an uninterrupted command in a child process, sends SIGKILL at a random instant
of its run, reads every artifact against its digest and against the tensors of an undisturbed run,
and lets a second command finish the rest.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from bench.table import say
from nca_cli.store import Store


def in_child(call: Callable[[], object]) -> int:
    """Run `call` in a forked process (imports are paid once, in the parent). Its process id."""
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        sys.stdout = sys.stderr = open(os.devnull, "w")  # noqa: SIM115
        call()
        status = 0
    except SystemExit as end:
        status = end.code or 0
    finally:
        os._exit(status)


def finished(child: int) -> int:
    """Wait for a child; its exit status, negative for a signal."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def command(model: Path, images: Path, store: Path, *more: str) -> Callable[[], None]:
    """`nca reconstruct` with several samples per image, so that artifacts grow by merging."""
    from nca_cli.cli import app

    arguments = [
        "reconstruct",
        images,
        "--model",
        model,
        "--store",
        store,
        "--t",
        "100,400,700",
        "-s",
        "one-step",
        "-s",
        "ddim",
        "--steps",
        "5",
        "--no-clip",
        *more,
    ]
    return lambda: app([str(argument) for argument in arguments])


def tensors(store: Path) -> dict[tuple, np.ndarray]:
    """Every stored sample: (image, artifact, t, seed) → tensor. Raises when anything is damaged."""
    return {
        (artifact.image, artifact.name, *key): artifact.read(
            "x_t" if artifact.is_noise else "x0_hat", [key]
        )[0]
        for artifact in Store(store).select()
        for key in artifact.keys
    }


def verified(store: Path) -> int:
    """Number of artifact files, each checked against its content digest."""
    from nca_cli.store.verify import verify

    findings = [
        finding for finding in verify(Store(store)) if not finding.path.name.endswith(".tmp")
    ]
    bad = [finding for finding in findings if not finding.ok]
    assert not bad, bad
    return sum(finding.path.suffix == ".h5" for finding in findings)


def kill_at_random(
    rounds: int, model: Path, images: Path, folder: Path, seed: int = 0
) -> tuple[list[float], list[int]]:
    """Instants of the kills (share of a whole run) and samples that had been committed by then."""
    import diffusers  # noqa: F401
    import torch  # noqa: F401

    began = time.monotonic()
    assert finished(in_child(command(model, images, folder / "whole"))) == 0
    duration, whole = time.monotonic() - began, tensors(folder / "whole")
    chance, instants, committed = random.Random(seed), [], []
    for number in range(rounds):
        store = folder / f"round-{number}"
        instants.append(chance.random())
        committed.append(
            _one_round(command(model, images, store), store, instants[-1] * duration, whole)
        )
        shutil.rmtree(store)
    return instants, committed


def _one_round(call: Callable[[], None], store: Path, seconds: float, whole: dict) -> int:
    child = in_child(call)
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    finished(child)
    survivors = tensors(store) if store.is_dir() else {}
    _assert_same(survivors, whole)
    if store.is_dir() and Store(store).exists:
        verified(store)
    assert finished(in_child(call)) == 0, "the rerun failed"
    complete = tensors(store)
    assert complete.keys() == whole.keys(), "the rerun did not finish the rest"
    _assert_same(complete, whole)
    assert all(np.array_equal(complete[key], tensor) for key, tensor in survivors.items())
    return len(survivors)


def _assert_same(some: dict, whole: dict) -> None:
    for key, tensor in some.items():
        assert np.abs(tensor - whole[key]).max() < 1e-3, key


def main(arguments: Sequence[str] = ()) -> None:
    """The bench: 50 kills."""
    import tempfile

    from bench.material import noise_pictures, tiny_model

    rounds = int(arguments[0]) if arguments else 50
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model, images = tiny_model(folder / "model"), noise_pictures(folder / "images", 12)
        instants, committed = kill_at_random(rounds, model, images, folder)
    total = 12 * 3 * 3
    partly = sum(0 < count < total for count in committed)
    say("instants of SIGKILLs", [100 * instant for instant in instants], "% of a run")
    say(f"samples of {total} that were committed then", committed)
    say(f"runs of {rounds} that were cut half-way", [partly])
    what = "rounds in which all committed tensors were read back and a rerun finished the rest"
    say(what, [len(committed)], "", f">= {rounds}")
