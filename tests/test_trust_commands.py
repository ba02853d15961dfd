"""One artifact that cannot be read stops no command: the rest is done, it is named, exit 1."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path

import pytest
from stores import full_store
from test_trust_readers import HANGS, NO_END, nca, path_of, zero_chunk

from nca_cli.store import Store

COMMANDS = ("ls", "grid", "report", "export", "rm", "measure")


@pytest.fixture
def store(tmp_path, monkeypatch) -> Store:
    monkeypatch.chdir(tmp_path)
    return full_store(tmp_path / "nca-store")


def run(command: str):
    out = {"grid": ["-o", "g.png"], "report": ["-o", "r.html"], "export": ["-o", "out"]}
    more = ["--yes"] if command == "rm" else []
    return nca(command, *out.get(command, []), *more, *(["-q"] if command != "ls" else []))


def harmed(path: Path, how: str) -> None:
    if how == "truncated":
        path.write_bytes(path.read_bytes()[:3000])
    elif how == "a hole":
        zero_chunk(path, "t")
    else:
        shutil.copyfile(HANGS, path)


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("how", ["truncated", "a hole"])
@pytest.mark.parametrize("label", ["ddim-50", "noise"])
def test_the_rest_is_done_and_the_bad_one_named(store, command, how, label):
    path = path_of(store, label)
    harmed(path, how)
    result = run(command)
    assert result.exit_code == 1, result.output
    assert path.name in result.stderr
    assert "unexpected" not in result.stderr
    assert DONE[command](store), command


DONE = {
    "ls": lambda store: "one-step" in nca("ls").stdout,
    "grid": lambda store: Path("g.png").is_file(),
    "report": lambda store: Path("r.html").is_file(),
    "export": lambda store: len(list(Path("out").rglob("*dog*/one-step*/*.png"))) == 6,
    "rm": lambda store: not list(store.root.rglob("*dog*/*.h5")),
    "measure": lambda store: len(list(store.root.rglob("*dog*/*.metrics.json"))) == 3,
}


def test_a_file_on_which_hdf5_never_returns_stops_no_command(store):
    harmed(path_of(store, "ddim-50"), "hangs")
    result = run("export")
    assert result.exit_code == 1
    assert re.search(NO_END, result.stderr)
    assert DONE["export"](store)


@pytest.mark.parametrize("command", ["grid", "report", "export"])
def test_a_store_of_which_nothing_can_be_read_is_no_page_of_blanks(store, command):
    for part in store.all_parts():
        part.path.write_bytes(b"nothing")
    result = run(command)
    assert result.exit_code == 1
    assert "damaged artifact" in result.stderr
    assert not Path("g.png").exists()


def test_listings_name_what_they_leave_out_in_json_too(store):
    harmed(path_of(store, "ddim-50"), "truncated")
    result = nca("ls", "--json")
    assert result.exit_code == 1
    assert len(json.loads(result.stdout)) == 5


@pytest.mark.parametrize("words", [("ls",), ("noise", "--model", "wiener")])
def test_no_store_has_an_empty_name(store, words):
    result = nca(*words, "--store", "")
    assert (result.exit_code, "--store" in result.stderr) == (2, True)
    assert not os.path.exists("nca-store.json")
