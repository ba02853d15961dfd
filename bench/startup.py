"""What a command costs before it does anything: help, and a full cache hit."""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HELLO = """
import typer
app = typer.Typer()

@app.command()
def hello(name: str = "you"):
    print(name)

app(prog_name="hello")
"""


def median(*command: str, rounds: int = 15) -> float:
    """Median seconds of a command in a fresh process."""
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def main() -> None:
    """`nca --help` against a bare Typer program, and a second run against `nca --help`."""
    from bench.material import tiny_model

    nca = str(Path(sys.executable).with_name("nca"))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "hello.py").write_text(HELLO)
        model = tiny_model(folder / "model")
        work = [
            nca,
            "reconstruct",
            "--model",
            str(model),
            "--store",
            str(folder / "store"),
            "--steps",
            "10",
        ]
        subprocess.run(work, check=True, capture_output=True)
        bare = median(sys.executable, str(folder / "hello.py"), "--help")
        helped, cached = median(nca, "--help"), median(*work)
    print(
        f"startup: bare Typer hello --help {bare:.3f} s; nca --help {helped:.3f} s: "
        f"{helped / bare:.2f}x (at most 2)"
    )
    print(
        f"startup: 3 images x 9 levels, all cached {cached:.3f} s: "
        f"{cached / helped:.2f}x nca --help (at most 4)"
    )
