"""Commands at once on a copy of one working folder, and what must hold however they end."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from soak.children import Child, nca
from soak.material import (
    PACKED,
    SPREAD,
    STORE,
    Tensors,
    damaged,
    differing,
    lost,
    temporaries,
    tensors,
    values,
    vouch,
)

Words = tuple[str, ...]
RESULTS = ("report.html", "values.csv")
NOTHING_TO_DO = ("nothing that fits", "no samples at", "lies in the store")
"""What a second run may say where the first one had come to its end."""


@dataclass(frozen=True)
class Scene:
    """Commands that run at once."""

    name: str
    commands: tuple[Words, ...]
    all_die: bool = True
    """Else the first alone."""
    before: Callable[[Path], None] = lambda folder: None
    """What else happens to the working folder."""
    takes: tuple[int, ...] = ()
    """Levels that the commands take away."""
    exits: tuple[int, ...] = (0,)
    """Of an undisturbed run."""


@dataclass
class Tally:
    """What came of the trials of a scene."""

    trials: int = 0
    cut: int = 0
    """Trials in which a command did not come to its end."""
    temporaries: int = 0
    lost: int = 0
    """Tensors that were there and are not any more."""
    by_hand: int = 0
    """Stores that a second run of the commands did not bring to their end."""
    faults: list[str] = field(default_factory=list)

    def add(self, other: Tally) -> None:
        """Count another's too."""
        self.trials += other.trials
        self.cut += other.cut
        self.temporaries += other.temporaries
        self.lost += other.lost
        self.by_hand += other.by_hand
        self.faults += other.faults

    def end(self) -> None:
        """Print what went wrong; then the exit status is 1."""
        if self.faults:
            raise SystemExit("\n".join(self.faults))

    def __str__(self) -> str:
        return (
            f"{self.trials} trials, {self.cut} cut before the end, {self.temporaries} left a "
            f"temporary; {self.lost} tensors lost, {self.by_hand} stores that need hands"
        )


Act = Callable[[Path], tuple[list[str], bool]]
"""A disturbance: working folder → what was wrong with the commands, and whether they were cut."""


class Theatre:
    """Plays one scene again and again on a `stage`, each time on a copy of the working folder."""

    def __init__(self, scene: Scene, ready: Path, room: Path, stage: Path | None = None):
        self.scene, self.room, self.stage = scene, room, stage or room
        self.ready = shutil.copytree(ready, room / "ready")
        scene.before(self.ready)
        self.broken = {Path(line.split(": ")[0]) for line in damaged(self.ready / STORE)}
        self.old = tensors(self.ready / STORE)
        self.kept: Tensors = {
            key: each for key, each in self.old.items() if key[3] not in scene.takes
        }
        """What the commands must leave alone."""
        self.whole, began = self.copy(room / "whole"), time.monotonic()
        for child in self.started(self.whole):
            done = child.ended()
            assert done.code in scene.exits, f"{scene.name}: {done.text}"
        self.seconds = time.monotonic() - began
        self.expected, self.values = tensors(self.whole / STORE), values(self.whole / STORE)

    def copy(self, folder: Path) -> Path:
        """The working folder as if its store had been written there."""
        shutil.copytree(self.ready, folder)
        vouch(folder / STORE)
        return folder

    def started(self, folder: Path) -> list[Child]:
        """The commands, running in a working folder."""
        return [Child(nca(words), folder) for words in self.scene.commands]

    def play(self, act: Act, what: str) -> Tally:
        """Have `act` disturb the commands on a fresh copy of the folder, and see what came of it.

        `act` is given the folder and says what was wrong with the commands themselves, and whether
        one of them was cut before its end; `what` names the disturbance.
        """
        folder, tally = self.copy(self.stage / "trial"), Tally(trials=1)
        try:
            faults, tally.cut = act(folder)
            tally.temporaries = bool(temporaries(folder))
            survivors = tensors(folder / STORE)
            faults += self._seen(folder, survivors, tally)
            again = self._again(folder, survivors, tally)
            tally.by_hand += bool(again)
            faults += again
        except Exception as error:  # what cannot be read needs hands
            faults = [f"{type(error).__name__}: {error}"]
            tally.by_hand += 1
        if faults:
            kept = shutil.copytree(folder, Path(tempfile.mkdtemp(prefix="soak-")) / "work")
            tally.faults = [f"{what} ({kept}): {each}" for each in faults]
        shutil.rmtree(folder)
        return tally

    def _seen(self, folder: Path, survivors: Tensors, tally: Tally) -> list[str]:
        """What is wrong with what is left."""
        gone = lost(self.kept, survivors)
        tally.lost += len(gone)
        strange = differing(survivors, self.expected | self.old)
        return [*(f"{key} is lost" for key in gone), *(f"{key} is another" for key in strange),
                *self._unsound(folder)]  # fmt: skip

    def _unsound(self, folder: Path) -> list[str]:
        """Files that are neither the old nor the new ones."""
        every = [line for place in (STORE, PACKED, SPREAD) if not self._as_before(folder / place)
                 for line in damaged(folder / place)]  # fmt: skip
        known = [str(folder / path.relative_to(self.ready)) for path in self.broken]
        bad = [line for line in every if not line.startswith(tuple(known) or "\0")]
        half = [name for name in RESULTS if not self._whole(folder, name)]
        for path in self.broken:
            beside = (folder / path.relative_to(self.ready)).parent.glob(f"{path.name}*")
            if path.read_bytes() not in [each.read_bytes() for each in beside]:
                bad.append(f"{path.name}, which is damaged, is gone")
        return bad + [f"{name} is half" for name in half]

    def _as_before(self, path: Path) -> bool:
        """Whether a file is the very one that was there."""
        old = self.ready / path.name
        return path.is_file() and old.is_file() and path.read_bytes() == old.read_bytes()

    def _whole(self, folder: Path, name: str) -> bool:
        """Whether a result is the old one or the new one."""
        content = (folder / name).read_bytes()
        if content == (self.ready / name).read_bytes():
            return True
        if name.endswith(".html"):  # a page of a part is one as well
            return content.rstrip().endswith(b"</html>")
        return content == (self.whole / name).read_bytes()

    def _again(self, folder: Path, survivors: Tensors, tally: Tally) -> list[str]:
        """Run the commands to their end; what is not as in an undisturbed run."""
        faults = []
        for child in self.started(folder):
            done = child.ended()
            known = done.code in (0, *self.scene.exits) or any(
                w in done.text for w in NOTHING_TO_DO
            )
            faults += [] if known else [f"the same command again: {done.text}"]
        end = tensors(folder / STORE)
        gone = [] if self.scene.takes else lost(survivors, end)
        tally.lost += len(gone)
        faults += [f"{key} is lost in the second run" for key in gone]
        faults += self._unsound(folder)
        if end.keys() != self.expected.keys() or differing(end, self.expected):
            faults.append("the second run comes to another store")
        if values(folder / STORE) != self.values:
            faults.append("the second run comes to other values")
        return faults
