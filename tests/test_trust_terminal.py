"""Whatever standard output is: another encoding, a pipe that was closed, a full disk."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from stores import full_store
from typer.testing import CliRunner

from nca_cli.cli import app

ENCODINGS = ["cp1252", "latin-1", "gbk", "ascii", "utf-8"]


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return full_store(tmp_path_factory.mktemp("terminal") / "store")


def nca(*words, encoding=None, **options):
    """The program, in a process of its own."""
    environment = {**os.environ, "PYTHONIOENCODING": encoding or "utf-8"}
    options.setdefault("stdout", subprocess.PIPE)
    return subprocess.Popen([sys.executable, "-m", "nca_cli", *map(str, words)],
                            stderr=subprocess.PIPE, env=environment, **options)  # fmt: skip


def said(process):
    """Its answer, on both streams."""
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err.decode("utf-8", "replace")


def commands():
    return [[], *([each.name or each.callback.__name__] for each in app.registered_commands)]


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_every_help_is_printed_in_any_encoding(encoding):
    """In one process: every help takes a while to start."""
    helps = [[*words, "--help"] for words in commands()]
    code = f"""
import sys
from nca_cli.cli import app
for words in {helps!r}:
    try:
        app(words, prog_name="nca")
    except SystemExit as end:
        assert not end.code, words
"""
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(b"Usage") == len(helps)


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("command", [["models"], ["ls"], ["ls", "--json"], ["verify"], ["rm"]])
def test_listings_and_notes_are_printed_in_any_encoding(store, encoding, command):
    code, out, err = said(nca(*command, *([] if command == ["models"] else
                                          ["--store", store.root]), encoding=encoding))  # fmt: skip
    assert code == (2 if command == ["rm"] else 0), err
    assert "unexpected" not in err
    assert out or err


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_an_error_with_any_letter_is_one_line(encoding):
    code, _, err = said(nca("models", "ñ€漢x̂0", encoding=encoding))
    assert code == 2
    assert err.startswith("error: ")
    assert err.count("\n") == 1


def test_a_file_name_that_is_no_text_is_printed_byte_by_byte(store, tmp_path):
    name = os.fsencode(tmp_path) + b"/\xff\xe9.png"
    code, out, _ = said(nca("grid", "-o", os.fsdecode(name), "--store", store.root, "-q"))
    assert code == 0
    assert out == name + b"\n"


@pytest.mark.parametrize("words", [["models"], ["--help"], ["ls"], ["ls", "--json"], ["verify"]])
def test_a_closed_pipe_is_no_failure(store, words):
    read, write = os.pipe()
    os.close(read)
    words = [*words, "--store", store.root] if words[0] in ("ls", "verify") else words
    process = nca(*words, stdout=write)
    os.close(write)
    code, _, err = said(process)
    assert code == 0
    assert "error" not in err


def test_a_closed_pipe_hides_no_failure(faces, tmp_path):
    """Of two images one is bad: the other is done, and the exit code says so."""
    (faces / "bad.png").write_text("no picture")
    read, write = os.pipe()
    os.close(read)
    words = ["noise", faces, "--model", "wiener", "--size", "16", "--t", "500"]
    process = nca(*words, "--store", tmp_path / "store", stdout=write)
    os.close(write)
    code, _, err = said(process)
    assert code == 1
    assert "1 input left out" in err
    assert list((tmp_path / "store").rglob("noise.h5"))


def test_a_command_whose_notes_nobody_hears_goes_on(faces, tmp_path):
    read, write = os.pipe()
    os.close(read)
    words = ["noise", faces, "--model", "wiener", "--size", "16", "--t", "500"]
    command = [sys.executable, "-m", "nca_cli", *words, "--store", tmp_path / "store"]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=write)
    os.close(write)
    assert done.returncode == 0
    assert len(done.stdout.splitlines()) == 3


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
@pytest.mark.parametrize("words", [["models"], ["--help"], ["ls"], ["ls", "--json"], ["--version"]])
def test_a_full_disk_is_one_line(store, words):
    words = [*words, "--store", store.root] if words[0] == "ls" else words
    with open("/dev/full", "w") as full:
        code, _, err = said(nca(*words, stdout=full))
    assert code == 1
    assert err.startswith("error: standard output cannot be written (No space left on device)")
    assert err.count("\n") == 1


@pytest.mark.parametrize("number", [1, 2])
def test_a_stream_that_is_closed_is_no_failure(store, number):
    line = f'"{sys.executable}" -m nca_cli ls --store "{store.root}" {number}>&-'
    done = subprocess.run(["sh", "-c", line], capture_output=True)
    assert done.returncode == 0, done.stderr


def test_the_streams_are_as_before_afterwards():
    before = sys.stdout, sys.stderr
    assert CliRunner().invoke(app, ["--version"]).exit_code == 0
    assert (sys.stdout, sys.stderr) == before
