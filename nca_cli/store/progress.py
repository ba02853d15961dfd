"""What the processes of one job have done, in a small file of each beside the artifacts.

The files are for those who look at a job, and for nothing else: they may be gone or old.
"""

from __future__ import annotations

import contextlib
import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nca_cli.atomic import replace
from nca_cli.store.layout import PROGRESS

SPREAD = 60.0
"""Seconds within which all processes of a job begin."""
OLD = 7 * 24 * 3600.0
"""Seconds after which nobody looks at a job any more."""
PAUSE = 2.0
"""Seconds between two looks, and between two words."""


@dataclass
class Progress:
    """Of process `index` of the `count` of a `job`, and what it sees of the others.

    `root` is where the store lies, `None` where nothing may be written there: then nobody says
    anything. Where a job may have the name of one before it (`again`), files from before it began
    count for nothing.
    """

    root: Path | None
    job: str
    index: int
    count: int
    again: bool = False
    began: float = field(default_factory=time.time)
    """When the process did."""
    done: int = 0
    total: int = 0

    def __post_init__(self) -> None:
        self._told = 0.0
        self._folder = None if self.root is None else self.root / PROGRESS / _plain(self.job)

    def tell(self, done: int = 0, *, total: int = 0, ended: bool = False) -> None:
        """So many more units are done, of so many more in all; files are written now and then."""
        self.done, self.total = self.done + done, self.total + total
        if total or ended or time.monotonic() - self._told > PAUSE:
            self._told = time.monotonic()
            self._write(ended)

    def seen(self) -> tuple[int, int]:
        """How much all processes have done, and of how much, as far as they have told."""
        others = [told for i in range(self.count) if i != self.index and (told := self._of(i))]
        done = self.done + sum(told["done"] for told in others)
        return done, self.total + sum(told["total"] for told in others)

    def wait(self, meanwhile: Callable[[], None]) -> None:
        """Wait until the other processes have ended; for one that said nothing yet `SPREAD`."""
        begun, others = time.monotonic(), set(range(self.count)) - {self.index}
        while self._folder:
            told = [self._of(i) for i in others]
            late = time.monotonic() - begun > SPREAD
            if all(each["ended"] if each else late for each in told):
                return
            meanwhile()
            time.sleep(PAUSE / 4)

    def _file(self, index: int) -> Path:
        assert self._folder is not None  # whoever asks has looked
        return self._folder / f"{index}.json"

    def _write(self, ended: bool) -> None:
        if self._folder is None:
            return
        text = json.dumps({"done": self.done, "total": self.total, "ended": ended})
        with contextlib.suppress(OSError):
            first = not self._folder.is_dir()
            replace(self._file(self.index), text.encode())
            if first:
                _sweep(self._folder.parent, time.time() - OLD)

    def _of(self, index: int) -> dict[str, Any] | None:
        """What another process said last; `None` where it said nothing yet."""
        if self._folder is None:
            return None
        with contextlib.suppress(OSError, ValueError, LookupError, TypeError):
            path = self._file(index)
            if not self.again or path.stat().st_mtime > self.began - SPREAD:
                told = json.loads(path.read_text())
                return {"done": int(told["done"]), "total": int(told["total"]),
                        "ended": bool(told["ended"])}  # fmt: skip
        return None


def _plain(job: str) -> str:
    """A job's name as that of a folder."""
    return re.sub(r"[^\w.-]", "_", job).lstrip(".")[:100] or "job"


def _sweep(folder: Path, before: float) -> None:
    """Remove what jobs left behind that ended long ago."""
    for job in folder.iterdir():
        files = list(job.iterdir())
        if all(file.stat().st_mtime < before for file in files):
            for file in files:
                file.unlink(missing_ok=True)
            job.rmdir()
