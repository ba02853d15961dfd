"""Kill a process that commits, at random instants, and see what is left of the store.

python tests/crashes.py STORE ROUNDS [SEED]      kill ROUNDS times, and say what was lost
"""

from __future__ import annotations

import random
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from stores import assert_holds, commit

from nca_cli.store import Artifact, Store

ARTIFACTS = 2
"""Images that the killed process fills, by turns."""


@dataclass
class Outcome:
    """Rounds of killing: how many left a temporary, what was lost, what was committed at last."""

    kills: int = 0
    temporaries: int = 0
    committed: int = 0
    lost: int = 0


def kill_while_committing(
    root: Path, rounds: int, seed: int = 0, wait: float = 0.25, per_part: int = 20
) -> Outcome:
    """SIGKILL a committing process `rounds` times and rerun it each time on the same store.

    After each kill every acknowledged sample must read back, number for number: `AssertionError`.
    """
    chance, outcome, told = random.Random(seed), Outcome(), 0
    for _ in range(rounds):
        told = max(told, _run_and_kill(root, per_part, chance.uniform(0, wait)))
        outcome.kills += 1
        outcome.temporaries += bool(list(root.rglob("*.tmp")))
        outcome.committed = _check(Store(root))
        outcome.lost += max(0, told - outcome.committed)
    return outcome


def _run_and_kill(root: Path, per_part: int, after: float) -> int:
    """How many samples the process said were committed, before this run and in it."""
    command = [sys.executable, __file__, "--commit", str(root), str(per_part)]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert child.stdout.readline() == "ready\n"
    time.sleep(after)
    child.kill()
    lines = child.stdout.read().split()
    child.wait()
    return int(lines[-1]) if lines else 0


def _check(store: Store) -> int:
    """Number of samples; each artifact holds levels 0 … n-1 without a hole, and nothing else."""
    artifacts = store.select() if store.exists else []
    assert {artifact.label for artifact in artifacts} <= {"ddim-50"}
    for artifact in artifacts:
        assert_holds(artifact, [(t, 0) for t in range(len(artifact))])
    return sum(len(artifact) for artifact in artifacts)


def _commit_until_killed(root: Path, per_part: int) -> None:
    """One sample at a time, telling the number of committed ones after each."""
    store = Store(root, part_bytes=per_part * 4000)
    held = {f"image{k}": 0 for k in range(ARTIFACTS)}
    print("ready", flush=True)
    known: list[Artifact] = store.select()
    held.update({artifact.image_name: len(artifact) for artifact in known})
    while True:
        image = min(held, key=held.get)
        commit(store, (held[image],), image=image)
        held[image] += 1
        print(sum(held.values()), flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "--commit":
        _commit_until_killed(Path(sys.argv[2]), int(sys.argv[3]))
    else:
        print(kill_while_committing(Path(sys.argv[1]), *map(int, sys.argv[2:])))
