"""The properties of `tests/test_properties.py`, with more examples, and others each time."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

EXAMPLES = 1000
TESTS = Path(__file__).parents[1] / "tests"


def main(scale: float = 1.0, seed: int = 0) -> None:
    """The long form: 1,000 examples of each, and 4,000 of what touches no file."""
    count = max(10, round(EXAMPLES * scale))
    print(f"properties: {count} examples, seed {seed}", flush=True)
    words = ["-q", str(TESTS / "test_properties.py"), f"--hypothesis-seed={seed}", "--timeout=0"]
    done = subprocess.run([sys.executable, "-m", "pytest", *words],
                          env={**os.environ, "EXAMPLES": str(count)})  # fmt: skip
    if done.returncode:
        raise SystemExit(done.returncode)
