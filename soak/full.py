"""Full disks: each command that writes, on a tmpfs with room for a part of what it needs."""

from __future__ import annotations

import random
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from soak.children import import_all
from soak.faults import SCENES as WRITERS
from soak.faults import badly
from soak.material import PACKED, SPREAD, prepare
from soak.theatre import Scene, Tally, Theatre

TRIALS = 200
"""Over all scenes."""
SIZE = 64 * 2**20
SCENES = (
    *WRITERS,
    Scene("report", (("report", "-o", "report.html", "--csv", "values.csv"),)),
    Scene("unpack", (("pack", "--store", PACKED, "--unpack", "-o", SPREAD),)),
)


@contextmanager
def tmpfs(folder: Path) -> Iterator[Path]:
    """A disk of its own. Raises `CalledProcessError` where mounting is not allowed."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(folder)]
    subprocess.run(mount, check=True, capture_output=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def act(theatre: Theatre, room: int, folder: Path) -> tuple[list[str], bool]:
    """Run the command with so many bytes of the disk left."""
    ballast = folder.parent / "ballast"
    free = shutil.disk_usage(folder).free
    with open(ballast, "wb") as file:
        file.write(bytes(max(0, free - room)))
    (child,) = theatre.started(folder)
    done = child.ended()
    ballast.unlink()
    return list(badly(theatre, folder, done)), done.code != 0


def fill_up(trials: int, seed: int = 0, scenes: tuple[Scene, ...] = SCENES) -> Tally:
    """So many full disks, spread over the scenes; prints what came of each scene."""
    import_all()
    total, chance = Tally(), random.Random(seed)
    with tempfile.TemporaryDirectory() as name, tmpfs(Path(name) / "disk") as disk:
        ready = prepare(Path(name) / "ready")
        for number, scene in enumerate(scenes):
            theatre, tally = Theatre(scene, ready, Path(name) / str(number), disk), Tally()
            most = 2 * _bytes(theatre.whole)
            for _ in range(trials // len(scenes) + (number < trials % len(scenes))):
                room = chance.choice((0, 4096, chance.randrange(most)))
                do = partial(act, theatre, room)
                tally.add(theatre.play(do, f"{scene.name} with {room} bytes left"))
            print(f"full: {scene.name}: {tally}", flush=True)
            total.add(tally)
    print(f"full: all: {total}")
    return total


def _bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def main(scale: float = 1.0, seed: int = 0) -> None:
    """The long form."""
    fill_up(max(len(SCENES), round(TRIALS * scale)), seed).end()
