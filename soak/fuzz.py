"""Changed inputs for every parser: one line or sound values, soon, in little memory, and no trace.

Inputs are read in a forked process, in a folder of its own. An error other than `NcaError`, more
than five seconds of computing, more than 1 GiB of memory, a file that is written outside the
folder, and a program that is started are faults; the input that led to one is kept.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nca_cli.errors import NcaError
from nca_cli.store.child import shared
from soak.children import Child, import_all
from soak.mutate import mutated
from soak.parsers import PARSERS, Parser

INPUTS = 20_000
"""Of each parser."""
SECONDS, WALL = 5, 60.0
"""Of computing, after which a reader hangs; and of anything, which a busy machine may need."""
MEMORY = 2**30
EXECUTED = "executed"
"""A file that code in a hostile input would make."""
WRITES = ("os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.truncate",
          "os.chmod", "shutil.rmtree", "shutil.move")  # fmt: skip
STARTS = (
    "os.system",
    "os.exec",
    "os.posix_spawn",
    "subprocess.Popen",
    "socket.connect",
    "pty.spawn",
)


@dataclass
class Harvest:
    """What came of the inputs of one parser."""

    count: Counter[str] = field(default_factory=Counter)
    slowest: float = 0.0
    most: int = 0
    faults: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        told = ", ".join(f"{number} {what}" for what, number in sorted(self.count.items()))
        return (f"{told}; slowest {self.slowest:.1f} s, most memory {self.most / 2**20:.0f} MiB, "
                f"{len(self.faults)} faults")  # fmt: skip


class Watch:
    """Hears, by Python's audit events, of what a reader writes elsewhere or starts."""

    def __init__(self, folder: Path):
        self._home, self._temporary = str(folder.resolve()), tempfile.gettempdir()
        self.seen: list[str] = []
        sys.addaudithook(self._heard)

    def _heard(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            path, _, flags = arguments
            if isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
                self._written(event, path)
        elif event in WRITES:
            self._written(event, arguments[0])
        elif event in STARTS and "nca_cli.store.child" not in str(arguments):
            self.seen.append(f"{event}{arguments}")

    def _written(self, event: str, path: Any) -> None:
        if isinstance(path, int) or path == os.devnull:
            return
        real = os.path.realpath(os.fsdecode(path))
        if not real.startswith(f"{self._home}/"):
            self.seen.append(f"{event} {real}")


def memory(process: int | str = "self", key: str = "VmHWM") -> int:
    """Bytes that a process took at most since `forget_peak`, or takes now (`VmRSS`)."""
    with contextlib.suppress(OSError), open(f"/proc/{process}/status") as file:
        return next((int(line.split()[1]) * 1024 for line in file if line.startswith(key)), 0)
    return 0


def forget_peak() -> None:
    """Begin to measure the most memory anew, where the system can."""
    with contextlib.suppress(OSError), open("/proc/self/clear_refs", "w") as file:
        file.write("5")


class Reader:
    """Reads changed inputs one after the other; runs in a process of its own."""

    def __init__(self, parser: Parser, folder: Path, seed: int):
        self.parser, self.folder, self.seed = parser, folder, seed
        self.home = Path(tempfile.mkdtemp(dir=folder, prefix="home-"))
        for name in ("cache", "tmp", "cases"):
            (self.home / name).mkdir()
        os.environ["NCA_CACHE"] = str(self.home / "cache")
        tempfile.tempdir = str(self.home / "tmp")
        os.chdir(self.home)
        made = [(case, list(files)) for case, files in parser.make(self.home / "cases")]
        self.targets = [(case, path) for case, files in made for path in files]
        self.contents = {path: path.read_bytes() for _, path in self.targets}
        for case, path in self.targets:
            self._read(case, path)  # sound inputs are read, and all that is imported late is here
        self.watch = Watch(self.home)

    def _read(self, case: Path, path: Path) -> str:
        try:
            with open(os.devnull, "w") as nowhere, contextlib.redirect_stderr(nowhere):
                self.parser.read(case, path)
        except NcaError as error:
            line = f"{error.what} {error.hint or ''}"
            return "refused" if "\n" not in line else f"more than one line: {line}"
        except MemoryError:
            return "no memory"
        except Exception:
            return f"a traceback: {traceback.format_exc()[-1500:]}"
        return "read"

    def input(self, number: int) -> tuple[Path, Path, bytes]:
        """The changed content of an input, by its number alone."""
        chance = random.Random(f"{self.seed} {number}")
        case, path = chance.choice(self.targets)
        others = [each for other, each in self.contents.items() if other.suffix == path.suffix]
        return case, path, mutated(self.contents[path], chance, others)

    def run(self, first: int, last: int, log: Path) -> None:
        """Read inputs `first` … `last`-1 and tell of each in `log`, before and after."""
        with open(log, "a", buffering=1) as told:
            for number in range(first, last):
                case, path, content = self.input(number)
                path.write_bytes(content)
                told.write(f"{number} …\n")
                what, seconds, most = self._tried(case, path)
                told.write(f"{number} {seconds:.3f} {most} {what!r}\n")
                if path.exists() or path.parent.is_dir():
                    path.write_bytes(self.contents[path])

    def _tried(self, case: Path, path: Path) -> tuple[str, float, int]:
        forget_peak()
        before, child = memory(key="VmRSS"), shared()._process
        self.watch.seen.clear()
        signal.setitimer(signal.ITIMER_PROF, SECONDS)
        began = time.process_time()
        what = self._read(case, path)
        seconds = time.process_time() - began
        signal.setitimer(signal.ITIMER_PROF, 0)
        most = memory() - before
        if child is not None and child.poll() is None:
            most = max(most, memory(child.pid) - 2**26)
        if self.watch.seen:
            what = f"it did {self.watch.seen[:3]}"
        if (self.home / EXECUTED).exists() or (case / EXECUTED).exists():
            what = "code was executed"
        if most > MEMORY:
            what = f"{most / 2**20:.0f} MiB of memory"
        return what, seconds, most


def fuzz(parser: Parser, inputs: int, seed: int, folder: Path, keep: Path) -> Harvest:
    """Read so many changed inputs; those that led to a fault are kept in `keep`."""
    harvest, log, first = Harvest(), folder / "log", 0
    while first < inputs:
        log.unlink(missing_ok=True)
        start = first
        child = Child(
            lambda start=start: Reader(parser, folder, seed).run(start, inputs, log), folder
        )
        ended = _watched(child, log)
        first = _gathered(log, harvest, start)
        if first == inputs and ended == 0:
            break
        if first == start and not log.exists():
            harvest.faults.append(f"the reader does not start: {ended}")
            break
        how = "hangs" if ended in ("hung", -signal.SIGPROF) else f"ends its process ({ended})"
        harvest.faults.append(f"input {first}: {how}")
        harvest.count["faults"] += 1
        first += 1
    if harvest.faults:
        _keep(parser, seed, folder, keep, harvest.faults)
    return harvest


def _watched(child: Child, log: Path) -> int | str:
    """Wait while inputs are read; what does not go on is ended."""
    last, size = time.monotonic(), -1
    while not (end := child.poll(limit=10**9)):
        now = log.stat().st_size if log.exists() else 0
        if now != size:
            last, size = time.monotonic(), now
        if time.monotonic() - last > WALL:
            child.kill()
            child.ended()
            return "hung"
        time.sleep(0.01)
    return end.code or (end.text[-2000:] if "Traceback" in end.text else 0)


def _gathered(log: Path, harvest: Harvest, first: int) -> int:
    """Take in what a reader told; the number of the first input that it did not come through."""
    for line in log.read_text().splitlines() if log.exists() else ():
        number, *rest = line.split(" ", 3)
        if rest == ["…"]:
            continue
        seconds, most, what = float(rest[0]), int(rest[1]), eval(rest[2], {"__builtins__": {}})
        harvest.slowest, harvest.most = max(harvest.slowest, seconds), max(harvest.most, most)
        known = what in ("read", "refused", "no memory")
        harvest.count[what if known else "faults"] += 1
        if not known:
            harvest.faults.append(f"input {number}: {what}")
        first = int(number) + 1
    return first


def _keep(parser: Parser, seed: int, folder: Path, keep: Path, faults: list[str]) -> None:
    """Write the inputs that led to faults, each as a file of its kind."""
    numbers = [int(fault.split()[1].strip(":")) for fault in faults if fault.startswith("input")]

    def write() -> None:
        reader = Reader(parser, folder, seed)
        for number in numbers[:50]:
            _, path, content = reader.input(number)
            (keep / f"{number}-{path.name}").write_bytes(content)

    keep.mkdir(parents=True, exist_ok=True)
    Child(write, folder).ended()


def fuzz_all(inputs: int, seed: int = 0, names: Iterator[str] | None = None) -> list[str]:
    """So many inputs of each parser; prints what came of them."""
    import_all()
    found: list[str] = []
    keep = Path(tempfile.gettempdir()) / "soak-inputs"
    for name in names or PARSERS:
        with tempfile.TemporaryDirectory() as folder:
            place = keep / name.replace(" ", "-")
            harvest = fuzz(PARSERS[name], inputs, seed, Path(folder), place)
        print(f"fuzz: {name}: {harvest}", flush=True)
        for fault in itertools.islice(harvest.faults, 20):
            print(f"  {fault} (kept in {place})", flush=True)
        found += [f"{name}: {fault}" for fault in harvest.faults]
    return found


def main(scale: float = 1.0, seed: int = 0) -> None:
    """The long form: 20,000 inputs of each parser."""
    if found := fuzz_all(max(20, round(INPUTS * scale)), seed):
        raise SystemExit(f"fuzz: {len(found)} faults")
