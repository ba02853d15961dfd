"""Run the benches named, or all of them: `python -m bench [--json FILE] [startup engine large …]`.

Prints the machine, the commit, and of each measure the median with its spread against its limit;
writes them as JSON too.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from bench.table import machine

NAMES = sorted(
    path.stem
    for path in Path(__file__).parent.glob("*.py")
    if path.stem not in ("__init__", "__main__", "copies", "material", "table", "cluster")
)
APART = ("cluster",)
"""Run only where they are named."""
RUN = """
import json, sys
from bench import table
from bench.{name} import main
main()
open(sys.argv[1], "w").write(json.dumps([row.as_dict() for row in table.ROWS]))
"""


def main() -> None:
    """One bench after the other, each in a fresh process: `kill` forks, which must not happen after
    torch has started threads."""
    parser = argparse.ArgumentParser(prog="python -m bench")
    parser.add_argument("names", nargs="*", default=NAMES, metavar="NAME")
    parser.add_argument("--json", type=Path, default=Path("bench.json"), metavar="FILE")
    wanted = parser.parse_args()
    for name in wanted.names:
        if name not in (*NAMES, *APART):
            sys.exit(f"no bench {name!r}; there are: {', '.join((*NAMES, *APART))}")
    here, found = machine(), {}
    print(", ".join(f"{name} {value}" for name, value in here.items()), flush=True)
    for name in wanted.names:
        print(f"== {name}", flush=True)
        with tempfile.TemporaryDirectory() as folder:
            told = Path(folder) / "rows.json"
            subprocess.run([sys.executable, "-c", RUN.format(name=name), told], check=True)
            found[name] = json.loads(told.read_text())
        wanted.json.write_text(json.dumps({"machine": here, "benches": found}, indent=1) + "\n")
    held = [row for rows in found.values() for row in rows if row["kept"] is not None]
    missed = [row["what"] for row in held if not row["kept"]]
    print(f"{len(missed)} of {len(held)} limits missed" + "".join(f"\n  {what}" for what in missed))


if __name__ == "__main__":
    main()
