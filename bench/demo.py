"""`nca demo` from a cold start, the main job of a newcomer, and the training that ships alone."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.table import say

NCA = str(Path(sys.executable).with_name("nca"))
AXIS = ("reconstruct", "--run", "demo-run", "--sampler", "one-step")


def main() -> None:
    """Time both in fresh processes, without network."""
    with tempfile.TemporaryDirectory() as folder:
        whole = seconds("demo", "--out", f"{folder}/demo")
        axis = seconds(*AXIS, "--store", f"{folder}/store")
    say(f"nca demo, on {os.cpu_count()} cores (the limit is of 2)", [whole], "s", "<= 90")
    say(f"nca {' '.join(AXIS)}", [axis], "s", "<= 60")


def seconds(*words: str) -> float:
    """Of a whole command."""
    began = time.perf_counter()
    offline = {**os.environ, "HF_HUB_OFFLINE": "1"}
    subprocess.run([NCA, *words], check=True, capture_output=True, env=offline)
    return time.perf_counter() - began
