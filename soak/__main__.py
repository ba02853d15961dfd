"""Try the parts named, or all: `python -m soak [--scale 0.1] [--seed 1] [kill faults …]`."""

from __future__ import annotations

import argparse
import subprocess
import sys

PARTS = ("kill", "faults", "full", "race", "damage", "fuzz", "hubs", "properties")


def main() -> None:
    """Each part in a process of its own; the exit status is 1 where one of them found a fault."""
    parser = argparse.ArgumentParser(prog="python -m soak", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the long form")
    parser.add_argument("--seed", type=int, default=0, help="of all that is drawn at random")
    given = parser.parse_args()
    if unknown := set(given.parts) - set(PARTS):
        parser.error(f"no part {', '.join(sorted(unknown))}; there are: {', '.join(PARTS)}")
    bad = []
    for part in given.parts or PARTS:
        print(f"== {part}", flush=True)
        code = f"from soak.{part} import main; main({given.scale}, {given.seed})"
        bad += [part] * bool(subprocess.run([sys.executable, "-c", code]).returncode)
    sys.exit(f"faults found by: {', '.join(bad)}" if bad else 0)


if __name__ == "__main__":
    main()
