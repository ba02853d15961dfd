"""A kill at any instant loses at most what was not yet committed."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest
from crashes import kill_while_committing
from stores import DDIM, assert_holds, commit, place_of

from nca_cli.store import Store
from nca_cli.store.files import STALE_SECONDS
from nca_cli.store.verify import verify

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="kills by SIGKILL")


def test_what_was_committed_survives_kills_at_random_instants(tmp_path):
    outcome = kill_while_committing(tmp_path / "store", rounds=6)
    assert outcome.kills == 6
    assert outcome.lost == 0
    assert outcome.committed > 0


def test_a_rerun_completes_after_kills_and_nothing_stays_behind(tmp_path):
    root = tmp_path / "store"
    kill_while_committing(root, rounds=3, seed=1, wait=0.05)
    for image in ("image0", "image1"):
        assert_holds(commit(Store(root), range(60), image=image), [(t, 0) for t in range(60)])
    list(verify(Store(root), repair=True))
    assert not list(root.rglob("*.tmp"))
    assert all(finding.ok for finding in verify(Store(root)))


def _leftover(store: Store, name: str = f".{DDIM.name}.h5.0123abcd.tmp", age: float = 0.0) -> Path:
    place = place_of(store)
    path = store.root / place.model / place.image / name
    path.write_bytes(b"half of a fi")
    os.utime(path, (time.time() - age, time.time() - age))
    return path


def test_a_temporary_is_no_artifact(tmp_path):
    store = Store(tmp_path)
    _leftover(store)
    assert store.select() == []
    assert list(store.all_parts()) == []


def test_the_next_commit_removes_what_a_kill_left(tmp_path):
    store = Store(tmp_path)
    left, other = _leftover(store), _leftover(store, ".noise.h5.0123abcd.tmp")
    assert_holds(commit(store, (100,)), [(100, 0)])
    assert not left.exists()
    assert other.exists()


def test_verify_tells_of_old_leftovers_and_repair_removes_all(tmp_path):
    store = Store(tmp_path)
    old, new = _leftover(store, age=2 * STALE_SECONDS), _leftover(store, ".noise.h5.45.tmp")
    (found,) = [finding for finding in verify(store) if finding.stale]
    assert (found.path, found.ok) == (old, True)
    assert old.exists()
    assert {f.path for f in verify(store, repair=True) if f.stale} == {old, new}
    assert not old.exists()
    assert not new.exists()
