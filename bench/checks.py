"""What readers pay for their checks on a store that its index vouches for: against `--no-check`.

    python -m bench checks
    python -m bench.checks [--images 100] [--rounds 9]

`grid`, `report` with kept measures and a cached rerun, checked and unchecked by turns, each in a
fresh process; of each pair the ratio of processor seconds, which others on the machine lengthen
less than they do the clock's.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

from bench.material import noise_pictures
from bench.table import Row, say

LEVELS = "100:1000:100"


def main(argv: list[str] | None = None) -> list[Row]:
    """Fill a store, and read it by turns."""
    parser = argparse.ArgumentParser(prog="python -m bench checks")
    parser.add_argument("--images", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=9)
    wanted = parser.parse_args(argv or [])
    with tempfile.TemporaryDirectory() as folder:
        return by_turns(Path(folder), wanted.images, wanted.rounds)


def by_turns(folder: Path, images: int, rounds: int) -> list[Row]:
    """The ratio of each reader."""
    place = ["--store", folder / "store"]
    noise_pictures(folder / "pictures", images)
    rerun = ["reconstruct", folder / "pictures", "--model", "wiener", "--size", 32, "--sampler",
             "one-step", "--t", LEVELS, "-q", *place]  # fmt: skip
    readers = {
        "grid": ["grid", "-o", folder / "grid.png", *place],
        "report": ["report", "-o", folder / "report.html", "-q", *place],
        "cached rerun": rerun,
    }
    for words in (rerun, ["measure", "-q", *place], *readers.values()):
        spent(words)
    rows = []
    for name, words in readers.items():
        pairs = [(spent(words), spent(["--no-check", *words])) for _ in range(rounds)]
        ratios = [checked / unchecked for checked, unchecked in pairs]
        rows.append(say(f"{name}, checked against --no-check", ratios, "x", "<= 1.1"))
    return rows


def spent(words: list[object]) -> float:
    """Processor seconds of a command in a process of its own."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "nca_cli", *map(str, words)]
    subprocess.run(command, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    main(sys.argv[1:])
