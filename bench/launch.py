"""Two processes under torchrun on two cores, against one process on one core.

Wall time of the whole commands, imports and loading of weights among it, on the demo model.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from bench.table import say

REPEATS = 3
"""Each pair takes more than a minute, most of it in the network: with less work to share, starting
two processes would be what is measured."""
WORDS = ["reconstruct", "--model", "demo", "--t", "100:1000:100", "--sampler", "ddim", "-q"]
ONE = [sys.executable, "-m", "nca_cli"]
TWO = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port",
       "29519", "-m", "nca_cli"]  # fmt: skip


def main() -> None:
    """Both, several times in turn, and their tensors against each other."""
    if len(os.sched_getaffinity(0)) < 2:
        print("launch: skipped (one core)")
        return
    ratios, worst = [], 0.0
    with tempfile.TemporaryDirectory() as name:
        for number in range(REPEATS):
            one, two = Path(name) / f"one-{number}", Path(name) / f"two-{number}"
            ratios.append(seconds(ONE, one) / seconds(TWO, two))
            worst = max(worst, difference(one, two))
    say("torchrun on 2 cores, against 1 process on 1 core", ratios, "x", ">= 1.6")
    say("largest difference of their tensors", [worst], "", "<= 1e-5")


def seconds(launcher: list[str], store: Path) -> float:
    """Of the whole command, one thread for each process."""
    began = time.perf_counter()
    subprocess.run([*launcher, *WORDS, "--batch", "16", "--store", str(store)], check=True,
                   capture_output=True, env={**os.environ, "OMP_NUM_THREADS": "1"})  # fmt: skip
    return time.perf_counter() - began


def difference(one: Path, other: Path) -> float:
    """Of all tensors, at most; they are the same samples."""
    from bench.kill import tensors

    first, second = tensors(one), tensors(other)
    assert first.keys() == second.keys()
    return max(float(np.abs(first[key] - second[key]).max()) for key in first)
