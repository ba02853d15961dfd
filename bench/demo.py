"""`nca demo` from a cold start: the main job of a newcomer."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.table import say


def main() -> None:
    """Time the whole command in a fresh process, without network."""
    nca = str(Path(sys.executable).with_name("nca"))
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        subprocess.run(
            [nca, "demo", "--out", folder + "/demo"],
            check=True,
            capture_output=True,
            env={**os.environ, "HF_HUB_OFFLINE": "1"},
        )
        seconds = time.perf_counter() - began
    say(f"nca demo, on {os.cpu_count()} cores (the limit is of 2)", [seconds], "s", "<= 90")
