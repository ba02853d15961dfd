"""No reader is given what was not written: each part is checked once, and then vouched for."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
from stores import DDIM, ONE_STEP, assert_holds, commit, full_store, model_info, tensor
from typer.testing import CliRunner

from nca_cli.cli import app
from nca_cli.errors import DamagedArtifact, StoreError
from nca_cli.store import Artifact, Filters, Store, trust
from nca_cli.store.hdf5 import content_digest

HANGS = Path(__file__).parent / "damaged" / "hang.h5"
"""One zeroed sector, on which HDF5 computes for ever."""
NO_END = "HDF5 hangs on it|cannot be read within"
"""The second on a machine that lends it next to no time."""
INDEX = ".index.jsonl"


def nca(*words: object):
    return CliRunner().invoke(app, [*map(str, words)])


def one(store: Store, label: str, image: str = "cat") -> Artifact:
    """An artifact, looked up anew."""
    return next(
        each for each in Store(store.root).select()
        if (each.label, each.image_name) == (label, image)
    )  # fmt: skip


def path_of(store: Store, label: str, image: str = "cat") -> Path:
    return one(store, label, image).parts[0].path


def zero_chunk(path: Path, dataset: str, row: int = 0) -> None:
    """Zeros for one chunk. Its checksum, of zeros zero, is part of it: HDF5 sees nothing."""
    with h5py.File(path) as file:
        chunk = file[dataset].id.get_chunk_info(row)
    content = bytearray(path.read_bytes())
    content[chunk.byte_offset : chunk.byte_offset + chunk.size] = bytes(chunk.size)
    path.write_bytes(content)


@pytest.fixture
def store(tmp_path) -> Store:
    return full_store(tmp_path / "store")


# --- wrong values ---------------------------------------------------------------------------------


@pytest.mark.parametrize("dataset", ["x0_hat", "t"])
def test_a_zeroed_chunk_is_no_flat_grey_picture(store, dataset):
    zero_chunk(path_of(store, "ddim-50"), dataset)
    with pytest.raises(DamagedArtifact, match="content digest differs"):
        one(store, "ddim-50").read("x0_hat", [(100, 0)])


def test_the_noise_of_another_image_is_not_used_as_this_ones(store):
    shutil.copyfile(path_of(store, "noise", "dog"), path_of(store, "noise", "cat"))
    with pytest.raises(DamagedArtifact, match="belongs to another image"):
        one(store, "noise", "cat").fixed("x0")
    np.testing.assert_array_equal(one(store, "noise", "dog").fixed("x0"), tensor(0, 0, "dog"))


def test_a_merge_signs_no_mixture_of_two_images(store):
    theirs, mine = path_of(store, "noise", "dog"), path_of(store, "noise", "cat")
    shutil.copyfile(theirs, mine)
    with pytest.raises(StoreError):
        commit(Store(store.root), (900,), recipe=None, image="cat")
    assert mine.read_bytes() == theirs.read_bytes()


def test_samples_that_come_to_a_part_of_another_recipe_get_one_of_their_own(store):
    shutil.copyfile(path_of(store, "one-step"), path_of(store, "ddim-50"))
    commit(Store(store.root), (900,))
    parts = one(store, "ddim-50").parts
    assert [part.number for part in parts] == [0, 1]
    with pytest.raises(DamagedArtifact, match="another recipe"), parts[0].opened():
        pass
    assert_holds(Artifact("m", "i", DDIM.name, parts[1:]), [(900, 0)])


def test_noise_of_another_schedule_is_not_used(store):
    path, space = path_of(store, "noise"), model_info()["space"]
    other = {**model_info(), "space": {**space, "schedule": {**space["schedule"], "steps": 500}}}
    with h5py.File(path, "r+") as file:
        file.attrs["model"] = json.dumps(other)
        file.attrs["content_sha256"] = content_digest(file)
    with pytest.raises(DamagedArtifact, match="another model"):
        one(store, "noise").read("x_t", [(100, 0)])


def test_a_flipped_letter_of_a_header_is_not_read(store):
    path = path_of(store, "ddim-50")
    content = path.read_bytes()
    assert content.count(b'"fit": "crop"') == 1
    path.write_bytes(content.replace(b'"fit": "crop"', b'"fit": "crap"'))
    with pytest.raises(DamagedArtifact):
        _ = one(store, "ddim-50").image_info


def test_nobody_checks_where_none_is_wanted(store, tmp_path):
    zero_chunk(path_of(store, "ddim-50"), "x0_hat")
    (artifact,) = Store(store.root, check=False).select(Filters(samplers="ddim", images="cat"))[1:]
    assert not artifact.read("x0_hat", [(100, 0)]).any()
    words = ("export", "-o", tmp_path / "out", "--store", store.root)
    assert nca("--no-check", *words).exit_code == 0


# --- files that never come to an end --------------------------------------------------------------


def test_a_file_on_which_hdf5_never_returns_is_refused_in_time(store):
    shutil.copyfile(HANGS, path_of(store, "ddim-50"))
    artifact, began = one(store, "ddim-50"), time.monotonic()
    for _ in range(2):
        with pytest.raises(StoreError, match=NO_END):
            _ = artifact.keys
    assert time.monotonic() - began < 100
    assert_holds(one(store, "one-step"), [(t, seed) for t in (100, 300, 600) for seed in (0, 1)])


# --- files that lead elsewhere --------------------------------------------------------------------


def leads_out(file: h5py.File, how: str, secret: Path) -> None:
    shape = file["x0_hat"].shape
    del file["x0_hat"]
    if how == "external link":
        file["x0_hat"] = h5py.ExternalLink(str(secret), "/x0_hat")
    elif how == "soft link":
        file["x0_hat"] = h5py.SoftLink("/preview")
    elif how == "external storage":
        size = int(np.prod(shape)) * 4
        file.create_dataset("x0_hat", shape, "f4", external=[(str(secret), 0, size)])
    else:
        layout = h5py.VirtualLayout(shape, "f4")
        layout[:] = h5py.VirtualSource(str(secret), "x0_hat", shape)
        file.create_virtual_dataset("x0_hat", layout)


@pytest.mark.parametrize("how", ["external link", "soft link", "external storage", "virtual"])
def test_no_artifact_shows_what_another_file_holds(store, tmp_path, how):
    path, secret = path_of(store, "ddim-50"), tmp_path / "secret.h5"
    shutil.copyfile(path, secret)
    with h5py.File(path, "r+") as file:
        leads_out(file, how, secret)
    with pytest.raises(DamagedArtifact, match=r"link|not allow"):
        one(store, "ddim-50").read("x0_hat", [(100, 0)])


@pytest.mark.parametrize("name", ["t", "x0_hat", "preview"])
def test_an_artifact_that_claims_terabytes_is_refused_before_they_are_asked_for(store, name):
    path = path_of(store, "ddim-50")
    with h5py.File(path, "r+") as file:
        shape = (10**10, *file[name].shape[1:])
        dtype = file[name].dtype
        del file[name]
        file.create_dataset(name, shape, dtype, chunks=(10**4, *shape[1:]), compression="gzip")
    with pytest.raises(DamagedArtifact, match=f"dataset {name}"):
        _ = one(store, "ddim-50").keys


# --- what is vouched for --------------------------------------------------------------------------

READ = """
import sys
from nca_cli.store import Store
for artifact in Store(sys.argv[1]).select():
    artifact.read("x_t" if artifact.is_noise else "x0_hat", artifact.keys)
print("nca_cli.store.child" in sys.modules)
"""


def had_to_check(store: Store) -> bool:
    """Whether a fresh process that reads all tensors of a store starts another to check them."""
    run = [sys.executable, "-c", READ, str(store.root)]
    return json.loads(subprocess.check_output(run, text=True).lower())


def test_what_was_committed_needs_no_check(store):
    assert not had_to_check(store)


@pytest.mark.parametrize("index", [None, b"", b"{", b"null\n" * 3, b"\xff\x00\n", "half"])
def test_an_index_that_is_lost_or_torn_is_made_again(store, index):
    path = store.root / INDEX
    content = path.read_bytes()
    path.unlink() if index is None else path.write_bytes(
        content[: len(content) // 2] if index == "half" else index
    )
    assert had_to_check(store)
    assert not had_to_check(store)


def test_a_file_of_another_time_is_checked_again_and_right(store):
    os.utime(path_of(store, "ddim-50"), ns=(1, 1))
    assert had_to_check(store)
    assert not had_to_check(store)


def test_the_index_of_a_copied_store_vouches_for_nothing(store, tmp_path):
    copy = Store(shutil.copytree(store.root, tmp_path / "copy"))
    path = path_of(store, "ddim-50").relative_to(store.root)
    status = (store.root / path).stat()
    zero_chunk(copy.root / path, "x0_hat")
    os.utime(copy.root / path, ns=(status.st_atime_ns, status.st_mtime_ns))
    with pytest.raises(DamagedArtifact):
        one(copy, "ddim-50").read("x0_hat", [(100, 0)])


def test_the_index_is_followed_by_no_link(store, tmp_path):
    (tmp_path / "other").write_text("mine\n")
    (store.root / INDEX).unlink()
    (store.root / INDEX).symlink_to(tmp_path / "other")
    had_to_check(store)
    assert (tmp_path / "other").read_text() == "mine\n"


def test_the_index_does_not_grow_for_ever(store):
    artifact = one(store, "ddim-50")
    for time_ns in range(1, 3000):
        os.utime(artifact.parts[0].path, ns=(time_ns, time_ns))
        guard = artifact.parts[0].guard
        guard.vouch(artifact.parts[0], (artifact.parts[0].path.stat().st_size, time_ns))
    assert Store(store.root).select()[0].keys
    assert (store.root / INDEX).read_bytes().count(b"\n") < 2000
    assert not had_to_check(store)


def test_two_writers_lose_nothing_of_what_they_vouch_for(tmp_path):
    stores = [Store(tmp_path / "store") for _ in range(2)]
    for number in range(6):
        commit(stores[number % 2], (100,), recipe=ONE_STEP, image=f"image{number}")
    assert not had_to_check(stores[0])


# --- what could not be checked --------------------------------------------------------------------

WRITES = """
import sys, time, h5py
with h5py.File(sys.argv[1], "r+") as file:
    print("open", flush=True)
    time.sleep(100)
"""


def test_a_file_that_another_program_writes_to_is_not_called_damaged(store):
    path = path_of(store, "ddim-50")
    os.utime(path, ns=(1, 1))
    with subprocess.Popen([sys.executable, "-c", WRITES, path], stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"open\n"
        with pytest.raises(StoreError, match="another program writes") as raised:
            _ = one(store, "ddim-50").keys
        other.kill()
    assert not isinstance(raised.value, DamagedArtifact)
    assert "h5clear -s" in raised.value.hint


def test_bytes_that_the_disk_cannot_give_are_no_damage(store):
    path = path_of(store, "ddim-50")
    path.unlink()
    path.symlink_to("/proc/self/mem")  # its first byte is an input/output error, for root too
    with pytest.raises(StoreError, match="cannot read it") as raised:
        _ = one(store, "ddim-50").keys
    assert not isinstance(raised.value, DamagedArtifact)


# --- what the index says of a part ----------------------------------------------------------------


def looked_at(store: Store) -> tuple[int, list]:
    """How many files a reader opens that knows the index alone, and what it says of all parts."""
    opened, real = [], h5py.File
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(h5py, "File", lambda *given, **more: opened.append(1) or real(*given, **more))
        said = [(each.header, sorted(each.keys), each.log_snr.tolist(), each.datasets)
                for each in Store(store.root).select()]  # fmt: skip
    return len(opened), said


def test_what_is_known_of_a_part_opens_no_file(store):
    opened, said = looked_at(store)
    assert opened == 0
    (store.root / INDEX).unlink()
    assert looked_at(store)[1] == said
    assert looked_at(store) == (0, said)


def test_no_byte_of_an_index_that_was_changed_is_believed(store):
    _, said = looked_at(store)
    path = store.root / INDEX
    content = bytearray(path.read_bytes())
    for place in range(100, len(content), max(1, len(content) // 12)):
        content[place] ^= 2
    path.write_bytes(content)
    assert looked_at(store)[1] == said


def test_a_part_that_was_replaced_behind_the_index_is_read_again(store):
    """Of the same size, and older than the one before."""
    path = path_of(store, "ddim-50")
    before = path.stat()
    with h5py.File(path, "r+") as file:
        recipe = file.attrs["recipe"]
        file.attrs["recipe"] = recipe[:-1] + " "
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns - 10**12))
    with pytest.raises(DamagedArtifact):
        _ = one(Store(store.root), "ddim-50").header


def test_an_index_without_heads_is_completed(store):
    """As versions before wrote it."""
    path = store.root / INDEX
    first, *lines = path.read_text().splitlines()
    old = [json.loads(line) for line in lines]
    kept = [{key: each[key] for key in ("part", "size", "mtime_ns")} for each in old
            if "part" in each]  # fmt: skip
    path.write_text("\n".join([first, *map(json.dumps, kept)]) + "\n")
    opened, said = looked_at(store)
    assert opened == len(list(store.all_parts()))
    assert looked_at(store) == (0, said)


def test_a_commit_adds_to_the_index_and_writes_it_anew_once_only(tmp_path):
    store = Store(tmp_path / "store")
    commit(store, (100,), recipe=ONE_STEP, image="first")
    (store.root / INDEX).rename(tmp_path / "kept")  # its inode is given to no other file
    commit(store, (100,), recipe=ONE_STEP, image="second")
    inode = (store.root / INDEX).stat().st_ino
    for number in range(3):
        commit(store, (100,), recipe=ONE_STEP, image=f"image{number}")
    assert (store.root / INDEX).stat().st_ino == inode
    assert looked_at(store)[0] == 0


def test_a_part_that_could_not_be_checked_is_checked_again(tmp_path, monkeypatch):
    """A machine that was busy says nothing of the file, for the next reader least of all."""
    commit(Store(tmp_path / "store"), (100,))
    (tmp_path / "store" / INDEX).unlink()
    busy = StoreError(tmp_path, "cannot be checked (no process)")
    with monkeypatch.context() as patch:
        patch.setattr(trust, "_found", lambda part, what: busy)
        store = Store(tmp_path / "store")
        with pytest.raises(StoreError, match="no process"):
            store.select()[0].read("x0_hat", [(100, 0)])
    assert store.select()[0].read("x0_hat", [(100, 0)]).shape[0] == 1
