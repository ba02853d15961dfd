"""Hubs that hang, drip, send half, lie about lengths, redirect for ever or are another page."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).parents[1] / "tests"


def main(scale: float = 1.0, seed: int = 0) -> None:
    """All of them, by the tests of the suite: there is nothing to draw at random."""
    words = ["-q", str(TESTS / "test_trust_hub.py")]
    if code := subprocess.run([sys.executable, "-m", "pytest", *words]).returncode:
        raise SystemExit(code)
