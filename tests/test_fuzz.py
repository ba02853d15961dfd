"""Changed inputs for every parser, a few of each; and the watch over them sees what it must."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent))

from soak.fuzz import fuzz
from soak.parsers import PARSERS, Parser

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks, and reads /proc")

FEW = {"artifacts": 15, "packed stores": 15, "texts of stores": 15, "model folders": 15,
       "checkpoints": 10, "probes": 5}  # fmt: skip
"""Whose reading takes hundredths of a second."""
LONG_FORM = {"configurations", "safetensors", "pickles", "flags"}
"""Which model folders and checkpoints have too, and `make soak` tries by themselves."""


@pytest.fixture(scope="module")
def imported():
    """Whatever readers import, so that no forked process must."""
    from soak.children import import_all

    import_all()


@pytest.mark.parametrize("name", [name for name in PARSERS if name not in LONG_FORM])
def test_a_changed_input_is_read_or_refused_in_one_line(name, tmp_path, imported):
    count = FEW.get(name, 100)
    harvest = fuzz(PARSERS[name], count, 1, tmp_path, tmp_path / "kept")
    assert harvest.faults == []
    assert harvest.count.total() == count


def one_file(folder):
    (folder / "input").write_bytes(bytes(100))
    yield folder, [folder / "input"]


def changed(path):
    return path.read_bytes() != bytes(100)


def elsewhere(path):
    (path.parents[3] / "elsewhere").write_text("")


FAULTS = {
    "a traceback": lambda path: [][1],
    "hangs": lambda path: sum(iter(int, 1)),
    "ends its process": lambda path: os._exit(3),
    "MiB of memory": lambda path: bytearray(2**30 + 2**26).find(b"x"),
    "it did ['open": elsewhere,
    'it did ["subprocess': lambda path: subprocess.run(["true"]),
    "code was executed": lambda path: Path("executed").write_text(""),
}


@pytest.mark.parametrize("told", FAULTS)
def test_the_watch_sees(told, tmp_path, monkeypatch):
    if told == "hangs":  # a gibibyte takes a second to touch
        monkeypatch.setattr("soak.fuzz.SECONDS", 1.0)

    def read(folder, path):
        if changed(path):
            FAULTS[told](path)

    harvest = fuzz(Parser(one_file, read), 1, 0, tmp_path, tmp_path / "kept")
    assert len(harvest.faults) == 1
    assert told in harvest.faults[0]
    (kept,) = (tmp_path / "kept").iterdir()
    assert changed(kept)


def test_a_reader_that_waits_is_seen(tmp_path, monkeypatch):
    monkeypatch.setattr("soak.fuzz.WALL", 0.5)

    def read(folder, path):
        time.sleep(30 if changed(path) else 0)

    harvest = fuzz(Parser(one_file, read), 1, 0, tmp_path, tmp_path / "kept")
    assert "hangs" in harvest.faults[0]
