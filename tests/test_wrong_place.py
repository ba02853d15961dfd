"""A `--store` that names a folder of other things: readers refuse it, and what writes says so."""

from __future__ import annotations

from pathlib import Path

import pytest
from stores import full_store
from typer.testing import CliRunner

from nca_cli.cli import app

NOTE = "is not empty; the store is made among what lies there"


@pytest.fixture(autouse=True)
def own_folder(tmp_path, faces, monkeypatch):
    """A folder of pictures, and a store that is none of it."""
    monkeypatch.chdir(tmp_path)
    full_store(Path("other"), ["cat"])


def nca(*words, code=0):
    done = CliRunner(env={"COLUMNS": "200"}).invoke(app, words)
    assert done.exit_code == code, done.output
    return done.stderr


@pytest.mark.parametrize(
    "words", ["ls", "grid", "plot", "report", "measure", "export -o out", "verify", "rm", "pack"]
)
def test_a_reader_says_that_a_folder_holds_no_store(words):
    line = nca(*words.split(), "--store", "faces", code=1)
    assert line == (
        "error: faces is a folder without a store "
        "(name an existing store: a folder or a packed file)\n"
    )


WRITERS = {
    "noise": "noise faces/anna.png --model wiener --t 100 --size 16",
    "reconstruct": "reconstruct faces/anna.png --model wiener --t 100 --size 16",
    "import": "import faces/anna.png faces/anna.png --model own --t 100",
    "merge": "merge other",
}


@pytest.mark.parametrize("words", WRITERS.values(), ids=WRITERS)
def test_what_writes_says_where_a_store_begins_among_other_files(words):
    assert nca(*words.split(), "--store", "faces").count(f"faces {NOTE}") == 1
    assert NOTE not in nca(*words.split(), "--store", "faces"), "it is a store now"
    Path("empty").mkdir()
    assert NOTE not in nca(*words.split(), "--store", "empty")
    assert NOTE not in nca(*words.split(), "--store", "new")
