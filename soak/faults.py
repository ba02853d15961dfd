"""Every call by which a command reads or changes its store, made to fail in turn, or the last one.

A library of a few lines of C (`faults.c`) stands between the program and the system: it counts the
calls that concern the store, and has one of them fail (no room, an error of the disk, no rights, a
short write), or all from one on, or ends the process before or after it. Whatever happens, the old
or the new artifact is whole, the command ends with exit 1 and one line, or with exit 0 where all is
done; and a second run comes to the end.
"""

from __future__ import annotations

import ctypes
import errno
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

from soak.children import Child, Ended, import_all, nca
from soak.kill import KILLED, break_two
from soak.material import NEW, PACKED, STORE, WIENER, prepare, tensors
from soak.theatre import Scene, Tally, Theatre

SOURCE = Path(__file__).with_suffix(".c")
SHORT, KILL_BEFORE, KILL_AFTER = -1, -2, -3
ACTIONS = {
    "ENOSPC": errno.ENOSPC, "EIO": errno.EIO, "EACCES": errno.EACCES, "short write": SHORT,
    "stopped before": KILL_BEFORE, "stopped after": KILL_AFTER,
}  # fmt: skip
WRITES = ("write", "pwrite64")
NEVER_FULL = ("read", "pread64", "stat64", "lstat64", "fstat64", "fstatat64", "flock", "opendir",
              "unlink", "unlinkat", "rmdir")  # fmt: skip
"""Calls that ask for no room."""
LASTING = 0.1
"""Share of the errors that are tried as lasting ones too."""
TRIALS = 3000
"""Calls that fail, over all scenes."""

SCENES = (
    Scene("noise", (("noise", "faces", *WIENER, "--t", NEW),)),
    Scene("reconstruct", (("reconstruct", "faces", *WIENER, "--t", NEW),)),
    Scene("import", (("import", "--model", "theirs", "--csv", "pairs.csv"),)),
    Scene("rm", (("rm", "--t", "500", "--yes"),), takes=(500,)),
    Scene("measure", (("measure",),)),
    Scene("verify --repair", (("verify", "--repair", "--yes"),), before=break_two, exits=(1,)),
    Scene("pack", (("pack", "-o", PACKED),)),
)


class Fault(NamedTuple):
    """What happens to which call (from 1)."""

    number: int
    action: int
    lasting: bool = False


def armed(library: ctypes.CDLL, fault: Fault, place: Path, call: Callable[[], object]) -> object:
    """`call`, with a fault among the calls that concern `place`."""
    where = os.fsencode(place)
    library.soak_arm(where, ctypes.c_long(fault.number), fault.action, int(fault.lasting))
    return call()


def names_of(
    library: ctypes.CDLL, folder: Path, place: str, call: Callable[[], object], told: Path
) -> list[str]:
    """Names of the calls that an undisturbed `call` makes in a `place` of a folder."""

    def run() -> None:
        try:
            armed(library, Fault(0, 0), folder / place, call)
        finally:
            seen = range(1, library.soak_seen() + 1)
            told.write_bytes(b"\n".join(library.soak_name(ctypes.c_long(each)) for each in seen))

    Child(run, folder).ended()
    return told.read_text().split("\n")


def faults_of(
    calls: list[str], chance: random.Random, lasting: float = LASTING
) -> Iterator[tuple[str, Fault]]:
    """Each call with each thing that may happen to it, and what that is called; a share of the
    errors lasting ones too."""
    for number, call in enumerate(calls, 1):
        for name, action in ACTIONS.items():
            writes = call in WRITES
            if (action == SHORT and not writes) or (action == errno.ENOSPC and call in NEVER_FULL):
                continue
            yield f"{name} at {call}, call {number} of {len(calls)}", Fault(number, action)
            if action > 0 and chance.random() < lasting:
                yield f"{name} from {call}, call {number}, on", Fault(number, action, True)


def act(
    library: ctypes.CDLL, theatre: Theatre, fault: Fault, place: str, folder: Path
) -> tuple[list[str], bool]:
    """Run the command with a fault; what is wrong with how it ended."""
    (words,) = theatre.scene.commands

    def run(folder: Path, *options: str) -> Child:
        call = nca((*options, *words))
        return Child(partial(armed, library, fault, folder / place, call), folder)

    child = run(folder)
    done, left = child.ended(), child.left
    faults = [f"processes stay behind: {left}"] if left else []
    faults += badly(theatre, folder, done)
    if any("a traceback" in each for each in faults):
        again = theatre.copy(theatre.room / "again")
        faults.append(run(again, "--debug").ended().text[-1500:])
        shutil.rmtree(again)
    return faults, done.code != 0


def badly(theatre: Theatre, folder: Path, done: Ended) -> Iterator[str]:
    """How a command should not end."""
    if done.code == KILLED:
        return
    if done.code not in (0, 1, *theatre.scene.exits):
        yield f"exit status {done.code}: {done.text}"
    if "Traceback" in done.text or "unexpected" in done.text:
        yield f"a traceback: {done.text}"
    if "damaged artifact" in done.text and not theatre.broken:
        yield f"a sound file is called damaged: {done.text}"
    if done.code == 1 and not done.errors and theatre.scene.exits == (0,):
        yield f"exit 1 without a line: {done.text}"
    complete = tensors(folder / STORE).keys() == theatre.expected.keys()
    if done.code == 0 and theatre.scene.exits == (0,) and not complete:
        yield f"exit 0, and not all is there: {done.text}"


def preloaded() -> ctypes.CDLL:
    """The library, in a process that was started with it."""
    library = ctypes.CDLL(None)
    library.soak_name.restype = ctypes.c_char_p
    library.soak_seen.restype = ctypes.c_long
    return library


def fail_in_turn(trials: int, seed: int = 0, scenes: tuple[Scene, ...] = SCENES) -> Tally:
    """All faults of all scenes, or so many of them, drawn at random; prints what came of each."""
    library, total, chance = preloaded(), Tally(), random.Random(seed)
    import_all()
    with tempfile.TemporaryDirectory() as name:
        ready = prepare(Path(name) / "ready", pictures=2)
        for number, scene in enumerate(scenes):
            theatre, tally = Theatre(scene, ready, Path(name) / str(number)), Tally()
            place = STORE if scene.name != "pack" else "."
            folder, told = theatre.copy(theatre.room / "counted"), theatre.room / "calls"
            calls = names_of(library, folder, place, nca(scene.commands[0]), told)
            every = list(faults_of(calls, chance))
            few = chance.sample(every, min(len(every), trials // len(scenes)))
            for what, fault in few:
                do = partial(act, library, theatre, fault, place)
                tally.add(theatre.play(do, f"{scene.name}: {what}"))
            print(
                f"faults: {scene.name}: {len(few)} of {len(every)} faults; {tally}",
                *tally.faults,
                sep="\n",
                flush=True,
            )  # a run that is cut short has told them
            total.add(tally)
    print(f"faults: all: {total}")
    return total


def build(folder: Path) -> Path:
    """The library, compiled. Raises `CalledProcessError`, or `FileNotFoundError` without `cc`."""
    made = folder / "faults.so"
    words = ["cc", "-shared", "-fPIC", "-O1", "-o", str(made), str(SOURCE), "-ldl"]
    subprocess.run(words, check=True)
    return made


def run_preloaded(code: str) -> None:
    """Run Python code in a process that the library was loaded into; ends with its exit status."""
    with tempfile.TemporaryDirectory() as name:
        environment = {**os.environ, "LD_PRELOAD": str(build(Path(name)))}
        done = subprocess.run([sys.executable, "-c", code], env=environment)
    if done.returncode:
        raise SystemExit(done.returncode)


def main(scale: float = 1.0, seed: int = 0) -> None:
    """The long form: all faults of a commit, and 3,000 of those of the commands."""
    trials = max(len(SCENES), round(TRIALS * scale))
    run_preloaded(
        "from soak.commit import fail_every_call; from soak.faults import fail_in_turn; "
        f"wrong = fail_every_call({min(1.0, scale * 10)}, {seed}); "
        f"wrong += fail_in_turn({trials}, {seed}).faults; "
        "raise SystemExit(chr(10).join(wrong) or None)"
    )
