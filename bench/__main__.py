"""Run the benches named, or all of them: `python -m bench [startup engine grid kill …]`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

NAMES = sorted(
    path.stem
    for path in Path(__file__).parent.glob("*.py")
    if path.stem not in ("__init__", "__main__", "material")
)

wanted = sys.argv[1:] or NAMES
for name in wanted:
    if name not in NAMES:
        sys.exit(f"no bench {name!r}; there are: {', '.join(NAMES)}")
for name in wanted:
    print(f"== {name}", flush=True)
    # a fresh process each: `kill` forks, which must not happen after torch has started threads
    subprocess.run([sys.executable, "-c", f"from bench.{name} import main; main()"], check=True)
