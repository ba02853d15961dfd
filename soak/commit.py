"""Every call of one commit, made to fail in each way, in full: the smallest thing that must hold.

A commit adds samples to an artifact that is there, and begins another. Whatever call fails, for
once or from then on, and wherever the process is stopped, each artifact is the old one or the new
one, an error names its file, and the next commit completes both.
"""

from __future__ import annotations

import ctypes
import random
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from soak.children import Child
from soak.faults import ACTIONS, KILLED, Fault, armed, faults_of, names_of, preloaded
from soak.material import STORE, damaged, temporaries, vouch

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from stores import DDIM, ONE_STEP, assert_holds, commit

from nca_cli.errors import StoreError
from nca_cli.store import Store

OLD, NEW = [(100, 0), (300, 0)], [(100, 0), (300, 0), (600, 0)]
REFUSED = 1


def _commit(folder: Path) -> None:
    """Add to one artifact, begin another; exit 1 with one line where the disk refuses."""
    try:
        store = Store(folder / STORE)
        commit(store, (600,), recipe=DDIM)
        commit(store, (600,), recipe=ONE_STEP)
    except StoreError as error:
        print(f"error: {error} ({error.hint})")
        sys.exit(REFUSED)
    except OSError as error:
        if error.filename is None:  # else the command line says the same in one line
            raise
        print(f"error: {error.filename}: {error.strerror}")
        sys.exit(REFUSED)


def _tried(library: ctypes.CDLL, ready: Path, folder: Path, fault: Fault) -> Iterator[str]:
    """One commit with a fault, on a copy of a store; what is wrong then."""
    shutil.copytree(ready, folder)
    vouch(folder / STORE)
    done = Child(lambda: armed(library, fault, folder, lambda: _commit(folder)), folder).ended()
    if done.code not in (0, REFUSED, KILLED) or (done.code == REFUSED and len(done.errors) != 1):
        yield f"exit status {done.code}: {done.text}"
    if done.code == REFUSED and "damaged" in done.text:
        yield f"a sound file is called damaged: {done.text}"
    yield from damaged(folder / STORE)
    held = {each.name: sorted(each.keys) for each in Store(folder / STORE, check=False).select()}
    if held.get(DDIM.name) not in (OLD, NEW) or held.get(ONE_STEP.name) not in (None, [(600, 0)]):
        yield f"it holds {held}"
    if done.code == 0 and (held.get(DDIM.name) != NEW or ONE_STEP.name not in held):
        yield f"exit 0, and it holds {held}"
    left = temporaries(folder)
    if left and done.code != KILLED and not fault.lasting:
        yield f"left behind: {left}"
    again = Child(lambda: _commit(folder), folder).ended()
    if again.code:
        yield f"the next commit: {again.text}"
    for artifact in Store(folder / STORE, check=False).select():
        assert_holds(artifact, NEW if artifact.name == DDIM.name else [(600, 0)])
    shutil.rmtree(folder)


def fail_every_call(share: float, seed: int = 0) -> list[str]:
    """All faults of a commit, or a share of them; prints how many and what was wrong."""
    library, chance, found = preloaded(), random.Random(seed), []
    with tempfile.TemporaryDirectory() as name:
        ready = Path(name) / "ready"
        commit(Store(ready / STORE), (100, 300), recipe=DDIM)
        folder = shutil.copytree(ready, Path(name) / "counted")
        vouch(folder / STORE)
        calls = names_of(library, folder, ".", lambda: _commit(folder), Path(name) / "calls")
        every = list(faults_of(calls, chance, lasting=1.0))
        few = chance.sample(every, max(1, round(len(every) * share)))
        for number, (what, fault) in enumerate(few):
            for wrong in _tried(library, ready, Path(name) / str(number), fault):
                found.append(f"{what}: {wrong}")
                print(f"  {found[-1]}", flush=True)
            if number % 100 == 99:
                print(f"commit: {number + 1} of {len(few)} faults so far", flush=True)
    print(f"commit: {len(calls)} calls, {len(few)} of {len(every)} faults ({', '.join(ACTIONS)}, "
          f"once and from then on); {len(found)} wrong", flush=True)  # fmt: skip
    return found
