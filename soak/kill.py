"""SIGKILL at random instants of every command that writes, alone and beside others.

Each trial starts the commands of a scene on a copy of one working folder, kills them (or one of
them) at a random instant, looks at what is left, and runs the same commands again. No tensor that
was there may be gone or another, no file half, and the second run must come to where an
undisturbed one came, with no other help.
"""

from __future__ import annotations

import random
import shutil
import tempfile
import time
from functools import partial
from pathlib import Path

from soak.children import import_all
from soak.material import NEW, PACKED, SPREAD, STORE, WIENER, prepare
from soak.theatre import Scene, Tally, Theatre, Words

ROUNDS = 500
"""Kills over all scenes."""
KILLED = -9


def break_two(folder: Path) -> None:
    """Other bytes in two artifacts, for `verify --repair` to find."""
    for path in sorted((folder / STORE).glob("*/*/one-step-*.h5"))[:2]:
        content = bytearray(path.read_bytes())
        middle = len(content) // 2
        content[middle : middle + 100] = bytes(
            byte ^ 255 for byte in content[middle : middle + 100]
        )
        path.write_bytes(content)


def _computing(levels: str) -> Words:
    return ("reconstruct", "faces", *WIENER, "--t", levels)


SCENES = (
    Scene("noise", (("noise", "faces", *WIENER, "--t", NEW),)),
    Scene("reconstruct", (_computing(NEW),)),
    Scene("import", (("import", "--model", "theirs", "--csv", "pairs.csv"),)),
    Scene("pack", (("pack", "-o", PACKED),)),
    Scene("unpack", (("pack", "--store", PACKED, "--unpack", "-o", SPREAD),)),
    Scene("rm", (("rm", "--t", "500", "--yes"),), takes=(500,)),
    Scene("verify --repair", (("verify", "--repair", "--yes"),), before=break_two, exits=(1,)),
    Scene("measure", (("measure",),)),
    Scene("measure --workers 2", (("measure", "--workers", "2"),)),
    Scene("report", (("report", "-o", "report.html", "--csv", "values.csv"),)),
    Scene("three writers", (_computing(NEW), _computing("700,200"), _computing("900,200,100"))),
    Scene("one of three writers", (_computing(NEW), _computing("700,200"),
                                   _computing("900,200,100")), all_die=False),
)  # fmt: skip


def kill(theatre: Theatre, instant: float, folder: Path) -> tuple[list[str], bool]:
    """Start the commands of a scene, and kill them so many seconds later."""
    children = theatre.started(folder)
    time.sleep(instant)
    doomed = children if theatre.scene.all_die else children[:1]
    for child in doomed:
        child.kill()
    ends = [child.ended() for child in children]
    left = [process for child in doomed for process in child.left]
    faults = [f"processes stay behind: {left}"] if left else []
    fine = (*theatre.scene.exits, KILLED)
    faults += [f"refused: {end.text}" for end in ends if end.code not in fine]
    return faults, any(end.code == KILLED for end in ends)


def kill_at_random(rounds: int, seed: int = 0, scenes: tuple[Scene, ...] = SCENES) -> Tally:
    """So many kills, spread over the scenes; prints what came of each scene."""
    import_all()
    total, chance = Tally(), random.Random(seed)
    with tempfile.TemporaryDirectory() as name:
        ready = prepare(Path(name) / "ready")
        for number, scene in enumerate(scenes):
            room, tally = Path(name) / str(number), Tally()
            theatre = Theatre(scene, ready, room)
            for _ in range(rounds // len(scenes) + (number < rounds % len(scenes))):
                instant = chance.uniform(0, theatre.seconds)
                act = partial(kill, theatre, instant)
                tally.add(theatre.play(act, f"{scene.name} killed after {instant:.3f} s"))
            print(f"kill: {scene.name}: {tally} (a run takes {theatre.seconds:.2f} s)", flush=True)
            total.add(tally)
            shutil.rmtree(room)
    print(f"kill: all: {total}")
    return total


def main(scale: float = 1.0, seed: int = 0) -> None:
    """The long form: 500 kills."""
    kill_at_random(max(len(SCENES), round(ROUNDS * scale)), seed).end()
