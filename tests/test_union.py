"""Stores merged: what two machines computed is one store, and nothing of either is changed."""

import errno
import json
import os

import pytest
from stores import DDIM, ONE_STEP, assert_holds, commit, full_store, snapshot
from test_run_store import FOLDER
from test_run_store import commit as commit_step
from typer.testing import CliRunner

from nca_cli.cli import app
from nca_cli.errors import NothingStored, StoreError
from nca_cli.store import Store
from nca_cli.store.header import model_text
from nca_cli.store.pack import pack
from nca_cli.store.union import merge_stores
from nca_cli.store.verify import verify


def split(tmp_path) -> tuple[Store, Store]:
    """Two stores: half of the levels of one image each, one image and one recipe in one alone."""
    mine, theirs = Store(tmp_path / "mine"), Store(tmp_path / "theirs")
    for store, levels in ((mine, (100, 300)), (theirs, (300, 600))):
        commit(store, levels, (0, 1), None)
        commit(store, levels, (0, 1), DDIM)
    commit(theirs, (100,), (0,), None, "dog")
    commit(theirs, (100,), (0,), ONE_STEP, "dog")
    return mine, theirs


def digests(store: Store) -> dict[str, str]:
    """Where each part lies in its store → digest of its content."""
    found = {}
    for part in store.all_parts():
        with part.opened() as group:
            found[part.in_store] = group.attrs["content_sha256"]
    return found


def test_the_union_holds_what_either_holds(tmp_path):
    mine, theirs = split(tmp_path)
    before = snapshot(theirs.root)
    found = merge_stores(mine, theirs)
    assert (found.taken, found.there, found.errors) == (6, 4, [])
    both = [(t, seed) for t in (100, 300, 600) for seed in (0, 1)]
    held = {(each.image.split("-")[0], each.label): each for each in mine.select()}
    assert len(held) == 4
    for (image, _), artifact in held.items():
        assert_holds(artifact, both if image == "cat" else [(100, 0)])
    assert snapshot(theirs.root) == before
    assert all(finding.ok for finding in verify(Store(mine.root)))


def test_merging_again_takes_nothing_and_writes_nothing(tmp_path):
    mine, theirs = split(tmp_path)
    merge_stores(mine, theirs)
    before = snapshot(mine.root)
    again = merge_stores(mine, theirs)
    assert (again.taken, again.there) == (0, 10)
    assert snapshot(mine.root) == before


def test_a_packed_store_is_merged_into_one_that_is_not_there_yet(tmp_path):
    pack(full_store(tmp_path / "store"), tmp_path / "packed.h5")
    found = merge_stores(Store(tmp_path / "new"), tmp_path / "packed.h5")
    assert (found.taken, found.there) == (36, 0)
    assert digests(Store(tmp_path / "new")) == digests(Store(tmp_path / "store"))


def test_half_precision_stays_half(tmp_path):
    commit(Store(tmp_path / "half"), (100,), dtype="float16")
    merge_stores(Store(tmp_path / "new"), tmp_path / "half")
    (artifact,) = Store(tmp_path / "new").select()
    assert artifact.datasets["x0_hat"][1] == "float16"


def test_what_is_damaged_is_named_and_the_rest_is_taken(tmp_path):
    store = full_store(tmp_path / "store")
    damaged = next((store.root).rglob("ddim*.h5"))
    damaged.write_bytes(damaged.read_bytes()[:-100])
    options = ["merge", str(store.root), "--store", str(tmp_path / "new")]
    done = CliRunner().invoke(app, options)
    assert done.exit_code == 1
    assert damaged.name in done.stderr.replace("\n", "")
    assert done.stderr.count("error:") == 1
    assert "30 samples taken, 0 were there" in done.stderr


def test_a_full_disk_ends_a_merge_at_once(tmp_path, monkeypatch):
    mine, theirs = split(tmp_path)
    mine.require_writable()

    def full(handle):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    heard = []
    with pytest.raises(StoreError, match="the disk is full"):
        merge_stores(mine, theirs, tick=heard.append)
    assert heard == []


def test_trainings_whose_steps_have_other_weights_are_not_mixed(tmp_path):
    mine, theirs, others = (Store(tmp_path / name) for name in ("mine", "theirs", "others"))
    for step in (0, 100):
        commit_step(mine, step)
    for step in (100, 800):
        commit_step(theirs, step)
    assert merge_stores(mine, theirs).errors == []
    assert sorted(each.step for each in mine.select()) == [0, 100, 800]
    commit_step(others, 100)
    info = model_text(others.model_info(FOLDER)).replace(f"{100:064x}", "e" * 64)
    (others.root / FOLDER / "model.json").write_text(model_text(json.loads(info)))
    (error,) = merge_stores(mine, others).errors
    assert "step 100 is stored with other weights" in str(error)


def test_a_store_is_not_merged_into_itself_and_an_empty_one_gives_nothing(tmp_path):
    store = full_store(tmp_path / "store", ["cat"])
    with pytest.raises(StoreError, match="is both the source and the target"):
        merge_stores(store, tmp_path / "store")
    with pytest.raises(NothingStored):
        merge_stores(Store(tmp_path / "new"), tmp_path / "absent")
    assert not (tmp_path / "new").exists()


def test_as_json(tmp_path):
    full_store(tmp_path / "store", ["cat"])
    options = ["merge", str(tmp_path / "store"), "--store", str(tmp_path / "new"), "--json"]
    done = CliRunner().invoke(app, options)
    assert json.loads(done.stdout) == {"taken": 18, "there": 0, "errors": []}
