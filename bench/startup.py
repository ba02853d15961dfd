"""What a command costs before it does anything: help, and a full cache hit."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from bench.table import say, timed

ROUNDS = 15

HELLO = """
import typer
app = typer.Typer()

@app.command()
def hello(name: str = "you"):
    print(name)

app(prog_name="hello")
"""


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
        bare = timed([sys.executable, str(folder / "hello.py"), "--help"], ROUNDS)
        helped, cached = timed([nca, "--help"], ROUNDS), timed(work, ROUNDS)
    say(
        "nca --help, against a bare Typer program",
        [h / b for h, b in zip(helped, bare, strict=True)],
        "x",
        "<= 2",
    )
    say(
        "3 images x 9 levels, all cached, against nca --help",
        [c / h for c, h in zip(cached, helped, strict=True)],
        "x",
        "<= 4",
    )
