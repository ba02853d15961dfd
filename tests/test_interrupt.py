"""Ctrl-C and SIGTERM: 130 wherever they hit, and nothing of Python's own on the screen."""

import os
import signal
import subprocess
import sys
import threading
import time
import weakref
from contextlib import suppress
from pathlib import Path

import pytest
import typer
from stores import DDIM, commit
from typer.testing import CliRunner

from nca_cli.cli import app
from nca_cli.cli.console import Output
from nca_cli.cli.interrupt import interrupted, interruptible
from nca_cli.errors import NcaError
from nca_cli.store import Store

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs signals")


@pytest.fixture(autouse=True)
def _attentive():
    """Handlers as a terminal gives them: a test run in the background may ignore Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def hit(number=signal.SIGINT):
    os.kill(os.getpid(), number)


def lose_an_interrupt():
    """An interrupt inside a weak reference's callback, which Python can only print."""

    class Thing:
        pass

    thing = Thing()
    watch = weakref.ref(thing, lambda _: hit())
    del thing
    assert watch() is None


def models(monkeypatch, action):
    """`nca models`, where `action` happens."""
    monkeypatch.setattr("nca_cli.models.list_models", action)
    return CliRunner().invoke(app, ["models"])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_both_signals_end_with_130_and_one_line(monkeypatch, number):
    result = models(monkeypatch, lambda: hit(number))
    assert result.exit_code == 130
    assert result.stderr.startswith("interrupted; ")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("quiet", [True, False])
def test_a_quiet_command_says_nothing_of_an_interrupt_either(monkeypatch, tmp_path, quiet):
    monkeypatch.setattr("nca_cli.engine.noisings", lambda *arguments: hit())
    flags = ["--quiet"] if quiet else []
    result = CliRunner().invoke(app, ["noise", "--store", str(tmp_path / "store"), *flags])
    assert result.exit_code == 130
    assert (result.stderr == "") == quiet


def test_an_error_that_a_library_made_of_an_interrupt_ends_as_an_interrupt(monkeypatch):
    def broken():
        try:
            hit()
        except KeyboardInterrupt as error:
            raise NcaError("a file could not be written") from error

    result = models(monkeypatch, broken)
    assert result.exit_code == 130
    assert "could not be written" not in result.stderr


def test_an_interrupt_that_python_lost_stops_work_at_its_next_step(capsys):
    with interruptible():
        with Output().bar("work", 3, "steps") as advance:
            lose_an_interrupt()
            with pytest.raises(KeyboardInterrupt):
                advance(1)
        assert interrupted()
    assert capsys.readouterr().err == ""


def test_a_picture_whose_decoder_an_interrupt_hits_is_not_called_damaged(
    monkeypatch, faces, tmp_path
):
    def broken(image):
        try:
            hit()
        except KeyboardInterrupt as error:
            raise OSError("broken data stream when reading image file") from error

    monkeypatch.setattr("nca_cli.images.load._Upright", broken)
    noise = ["noise", str(faces), "--model", "demo", "--t", "20", "--store", str(tmp_path / "s")]
    pairs = tmp_path / "pairs.csv"
    pairs.write_text(f"t,original,reconstruction\n80,{faces}/anna.png,{faces}/ben.png\n")
    for command in (noise, ["import", "--model", "other", "--csv", str(pairs)]):
        result = CliRunner().invoke(app, command)
        assert result.exit_code == 130
        assert "error" not in result.stderr
        assert result.stdout == ""


@pytest.mark.parametrize(("code", "expected"), [(1, 130), (0, 0)])
def test_a_failure_after_an_interrupt_that_python_lost_is_an_interrupt(monkeypatch, code, expected):
    def failing():
        lose_an_interrupt()
        raise typer.Exit(code)

    assert models(monkeypatch, failing).exit_code == expected


def test_a_computation_that_python_lost_an_interrupt_of_does_not_end_as_done(monkeypatch, tmp_path):
    monkeypatch.setattr("nca_cli.engine.noisings", lambda *_: [lose_an_interrupt()][:0])
    stamp = tmp_path / "stamp"
    result = CliRunner().invoke(app, ["noise", "--model", "demo", "--stamp", str(stamp)])
    assert result.exit_code == 130
    assert not stamp.exists()


def test_an_error_that_is_its_own_cause_is_one_line(monkeypatch):
    def broken():
        error = NcaError("no such thing")
        raise error from error

    result = models(monkeypatch, broken)
    assert result.exit_code == 1
    assert result.stderr == "error: no such thing\n"


def test_signals_that_were_ignored_stay_ignored():
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with interruptible():
        hit()
        assert not interrupted()


def test_handlers_are_put_back_and_an_old_interrupt_is_forgotten():
    before = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]
    with pytest.raises(KeyboardInterrupt), interruptible():
        hit()
    assert [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)] == before
    with interruptible():
        assert not interrupted()


def test_a_command_in_another_thread_forgets_no_interrupt():
    def command():
        with interruptible():
            pass

    with interruptible():
        with pytest.raises(KeyboardInterrupt):
            hit()
        thread = threading.Thread(target=command)
        thread.start()
        thread.join()
        assert interrupted()
    assert not interrupted()


def test_what_python_cannot_raise_is_left_to_who_listened_before(monkeypatch):
    heard = []
    monkeypatch.setattr(sys, "unraisablehook", lambda lost: heard.append(lost.exc_type))

    class Broken:
        def __del__(self):
            raise ZeroDivisionError

    with interruptible():
        Broken()
        lose_an_interrupt()
    assert heard == [ZeroDivisionError]


@pytest.mark.parametrize("when", ["loads", "ends"])
def test_python_says_nothing_where_an_interrupt_hits_it_outside_of_a_command(when):
    """A finder of modules sees the program load; what `atexit` calls comes after everything."""
    program = f"""
import atexit, os, signal, sys
from nca_cli.__main__ import main

def hit():
    os.kill(os.getpid(), signal.SIGINT)

class Finder:
    def find_spec(name, path, target=None):
        if name == "nca_cli.cli.compute":
            hit()

signal.signal(signal.SIGINT, signal.default_int_handler)
sys.meta_path.insert(0, Finder) if {when!r} == "loads" else atexit.register(hit)
sys.argv = ["nca", "--version"]
main()
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == -signal.SIGINT  # a shell says 130
    assert done.stderr == ""


def test_an_interrupt_while_people_are_told_of_the_first_changes_nothing(monkeypatch):
    heard = []

    def note(output, text):
        hit()
        heard.append(text)

    monkeypatch.setattr(Output, "note", note)
    assert models(monkeypatch, hit).exit_code == 130
    assert heard == [INTERRUPTED]


INTERRUPTED = "interrupted; finished samples are stored, and the same command continues"


@pytest.fixture(scope="module")
def much(tmp_path_factory):
    """A store that takes many seconds to measure."""
    store = Store(tmp_path_factory.mktemp("much") / "store")
    for image in ("cat", "dog", "owl"):
        for recipe in (None, DDIM):
            commit(store, range(1000), recipe=recipe, image=image)
    return store


@pytest.mark.skipif(not os.path.isdir("/proc"), reason="needs to see processes")
@pytest.mark.parametrize("pause", [0.0, 0.005, 0.03, 0.1, 0.3])
def test_a_second_interrupt_ends_measuring_in_processes_too(much, pause):
    """Both come to the whole group, as a terminal sends them; nobody waits for a worker."""
    for path in much.root.rglob("*.metrics.json"):
        path.unlink()
    words = ["measure", "--store", str(much.root), "--workers", "2", "--measure", "ssim"]
    process = subprocess.Popen(
        [sys.executable, "-m", "nca_cli", *words], start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    until(lambda: len(group(process.pid)) == 3 and next(much.root.rglob("*.metrics.json"), None))
    began = time.monotonic()
    for _ in range(2):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGINT)
        time.sleep(pause)
    _, said = process.communicate(timeout=20)
    assert time.monotonic() - began < 10
    assert process.returncode in (130, -signal.SIGINT)  # of both a shell says 130
    assert said.splitlines() == [INTERRUPTED]
    until(lambda: not group(process.pid), 5)


def until(happens, seconds=60):
    end = time.monotonic() + seconds
    while not happens():
        assert time.monotonic() < end
        time.sleep(0.01)


def group(leader):
    """Processes of a group that run."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with suppress(OSError):
                state, _, of = (entry / "stat").read_text().rpartition(")")[2].split()[:3]
                found += [entry.name] if int(of) == leader and state != "Z" else []
    return found
