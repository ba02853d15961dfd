"""A large store: what the first computation costs, and what looking at it costs after that.

    python -m bench large
    python -m bench.large [--images 1000] [--folder DIR]

Pictures of 32 px at nine levels by the closed form, which costs next to nothing: what is left is
files. Then the whole request again, `ls`, a grid of one image and a second report, each in a fresh
process, against `nca --help` in the same run.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

from bench.table import Row, say, timed

LEVELS = "100:1000:100"
LIMITS = {1000: ("<= 1", "<= 1", "<= 4"), 10_000: ("<= 4", "<= 4", "<= 30")}
"""Seconds of a request that is all cached, of `ls` and of a second report, by images."""
REPEATS = 5
COMPUTED = 1000
"""So many images are computed and measured; further ones are copies of these (`bench.copies`)."""


def main(argv: list[str] | None = None) -> list[Row]:
    """Fill a store, and look at it."""
    parser = argparse.ArgumentParser(prog="python -m bench large")
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--folder", type=Path, help="Of pictures and store; they stay there.")
    wanted = parser.parse_args(argv or [])
    with tempfile.TemporaryDirectory() as name:
        return looked_at(wanted.folder or Path(name), wanted.images)


def nca(*words: object, folder: Path) -> list[str]:
    """A command in a process of its own."""
    return [sys.executable, "-m", "nca_cli", *map(str, words), "--store", str(folder / "store")]


def looked_at(folder: Path, count: int) -> list[Row]:
    """The times of all commands, against the limits of so many images where there are some."""
    from bench.copies import multiplied
    from bench.material import noise_pictures

    pictures, new = folder / "pictures", not (folder / "store").exists()
    if not pictures.exists():
        noise_pictures(pictures, min(count, COMPUTED))
    request = nca("reconstruct", pictures, "--model", "wiener", "--size", 32, "--sampler",
                  "one-step", "--t", LEVELS, "-q", folder=folder)  # fmt: skip
    rows = []
    if new:
        first, limit = timed(request), "<= 20" if count >= COMPUTED else ""
        made = min(count, COMPUTED)
        rows.append(say(f"{made} images x 9, first computation", first, "s", limit))
        subprocess.run(nca("measure", "-q", folder=folder), check=True, capture_output=True)
        multiplied(pictures, folder / "store", count)
    cached, listed, reported = LIMITS.get(count, ("", "", ""))
    helped = timed([sys.executable, "-m", "nca_cli", "--help"], REPEATS)
    rows.append(say("nca --help", helped, "s"))
    rows.append(say(f"{count} images x 9, all cached", timed(request, REPEATS), "s", cached))
    rows.append(say(f"ls of {count} images", timed(nca("ls", folder=folder), REPEATS), "s", listed))
    grid = nca("grid", "-o", folder / "grid.png", "--image", "picture-000", folder=folder)
    ratios = [one / other for one, other in zip(timed(grid, REPEATS), helped, strict=True)]
    rows.append(say("a grid of one image, against nca --help", ratios, "x", "<= 1.5"))
    report = nca("report", "-o", folder / "report.html", "-q", folder=folder)
    subprocess.run(report, check=True, capture_output=True)
    rows.append(say("a second report", timed(report, 3), "s", reported))
    most = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    rows.append(say("most memory of any of them", [most], "MB", "<= 600"))
    return rows


if __name__ == "__main__":
    main(sys.argv[1:])
