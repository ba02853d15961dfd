"""A whole training against what its networks cost, and the same once more from the cache."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from bench.table import say, timed

ROUNDS = 5
SAMPLERS = ("--sampler", "one-step", "--sampler", "ddim", "--steps", "10")
ASKED = ("reconstruct", "--run", "demo-run", *SAMPLERS)


def main() -> None:
    """Ten checkpoints × eight portraits × nine levels × one-step and ddim-10."""
    ratios = [sweep() for _ in range(ROUNDS)]
    say("10 checkpoints, against their network calls and loading", ratios, "x", "<= 1.1")
    nca = str(Path(sys.executable).with_name("nca"))
    with tempfile.TemporaryDirectory() as folder:
        work = [nca, *ASKED, "--store", f"{folder}/store"]
        timed(work)
        say("all cached", timed(work, ROUNDS), "s", "<= 1")


def sweep() -> float:
    """Time of a sweep into an empty store, over that of its network calls and of loading."""
    from nca_cli.engine import Reconstruction, Request, reconstructions
    from nca_cli.store import Store

    loading, load = [], Reconstruction._denoiser

    def clocked(work: Reconstruction) -> object:
        began = time.perf_counter()
        denoiser = load(work)
        loading.append(time.perf_counter() - began)
        return denoiser

    request = Request(runs=["demo-run"], samplers=["one-step", "ddim"], steps=10)
    with tempfile.TemporaryDirectory() as folder:
        Reconstruction._denoiser = clocked
        try:
            began, network = time.perf_counter(), 0.0
            for work in reconstructions(request, Store(Path(folder) / "store")):
                list(work)
                network += work.engine.network_seconds
            return (time.perf_counter() - began) / (network + sum(loading))
        finally:
            Reconstruction._denoiser = load
