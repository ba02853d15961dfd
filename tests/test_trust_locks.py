"""Locks end: on a disk without `flock` too, and who is waited for is said."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from stores import assert_holds, commit

import nca_cli
from nca_cli.doctor import _locks
from nca_cli.store import Store
from nca_cli.store.files import locked
from nca_cli.store.locks import AUDIBLE

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has other locks")

NO_FLOCK = """
import errno, fcntl, os

def flock(*_):
    raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

fcntl.flock = flock  # as on a disk whose server has no locks
"""
COMMIT = """
import sys
from stores import commit
from nca_cli.store import Store
commit(Store(sys.argv[1]), (int(sys.argv[2]),))
"""
DOCTOR = """
import sys
from pathlib import Path
import nca_cli
from nca_cli.doctor import _locks
found = _locks(Path(sys.argv[1]))
print(found.state, found.found)
"""


@pytest.fixture
def without_flock(tmp_path):
    """Runs code in a Python that has no `flock`, and whose children have none."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(NO_FLOCK)
    paths = (tmp_path / "site", Path(__file__).parent, Path(nca_cli.__file__).parents[1])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths))}

    def run(code: str, *words: object) -> str:
        command = [sys.executable, "-c", code, *map(str, words)]
        return subprocess.check_output(command, text=True, timeout=60, env=environment)

    return run


def test_old_lock_files_stop_nobody_where_there_is_no_flock(tmp_path, without_flock):
    store = Store(tmp_path / "store")
    commit(store, (100,))
    for number in range(256):
        (store.root / ".locks" / f"{number:02x}.lock").touch()
    without_flock(COMMIT, store.root, 300)
    without_flock(COMMIT, store.root, 600)
    assert_holds(Store(store.root).select()[0], [(100, 0), (300, 0), (600, 0)])
    assert not list((store.root / ".locks").glob("*.soft"))


def test_doctor_says_that_there_is_no_flock(tmp_path, without_flock):
    assert without_flock(DOCTOR, tmp_path).startswith("note by lock files")
    found = _locks(tmp_path)
    assert found.state == "good"


def test_it_is_said_whose_lock_is_waited_for(tmp_path, caplog):
    hold = (
        "import sys, time; from pathlib import Path; from nca_cli.store.files import locked\n"
        "with locked(Path(sys.argv[1]), 'a'): print('held', flush=True); time.sleep(2.5)"
    )
    run = [sys.executable, "-c", hold, str(tmp_path)]
    with subprocess.Popen(run, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "held\n"
        with locked(tmp_path, "a"):
            assert other.wait() == 0
    (told,) = [record.getMessage() for record in caplog.records]
    assert f"process {other.pid} on {os.uname().nodename}" in told
    assert str(tmp_path) in told


def test_a_lock_that_tells_no_holder_is_named_by_its_file(tmp_path, caplog):
    with locked(tmp_path, "a"):
        pass
    (path,) = (tmp_path / ".locks").iterdir()
    path.write_text("")
    hold = (
        f"import filelock, time; lock = filelock.FileLock({str(path)!r}); lock.acquire()\n"
        "print(flush=True); time.sleep(3)"
    )
    with subprocess.Popen([sys.executable, "-c", hold], stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"\n"
        with locked(tmp_path, "a"):
            assert other.wait() == 0
    assert str(path) in caplog.text


def test_another_thread_of_this_process_is_not_named(tmp_path, caplog):
    held = threading.Event()

    def hold():
        with locked(tmp_path, "a"):
            held.set()
            time.sleep(AUDIBLE + 0.5)

    with ThreadPoolExecutor(1) as pool:
        pool.submit(hold)
        assert held.wait(20)
        with locked(tmp_path, "a"):
            pass
    assert not caplog.records


def test_a_short_wait_is_not_worth_a_word(tmp_path, caplog):
    with locked(tmp_path, "a"), locked(tmp_path, "b"):
        pass
    assert not caplog.records
