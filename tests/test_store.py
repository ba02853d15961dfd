"""A store keeps what was committed, finds it again, and says clearly when it cannot."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import tomllib
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path

import h5py
import numpy as np
import pytest
import xarray
from stores import (
    DDIM,
    ONE_STEP,
    SIDE,
    assert_holds,
    commit,
    full_store,
    header,
    image_info,
    model_info,
    mounted,
    place_of,
    samples,
    snapshot,
    tensor,
)

from nca_cli.errors import DamagedArtifact, NothingStored, StoreError
from nca_cli.recipe import Recipe
from nca_cli.store import Filters, ModelFilter, Samples, Store, hdf5
from nca_cli.store.pack import pack
from nca_cli.store.remove import kept_noise, removal
from nca_cli.store.samples import Part
from nca_cli.store.verify import verify


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


# --- merging --------------------------------------------------------------------------------------


def test_what_was_committed_is_read_back(store):
    assert_holds(commit(store, (100, 300), (0, 1)), [(t, s) for t in (100, 300) for s in (0, 1)])


def test_merging_keeps_the_old_tensors_and_attributes(store):
    before = commit(store, (100, 300))
    with before.parts[0].opened() as group:
        rows = [group["t"][:].tolist().index(t) for t in (100, 300)]
        old = {name: group[name][rows] for name in ("x0_hat", "t", "seed", "log_snr", "preview")}
        attributes = {name: group.attrs[name] for name in ("kind", "model", "image", "recipe")}
    after = commit(store, (600, 200))
    with after.parts[0].opened() as group:
        rows = [group["t"][:].tolist().index(t) for t in (100, 300)]
        for name, values in old.items():
            np.testing.assert_array_equal(group[name][rows], values)
        assert {name: group.attrs[name] for name in attributes} == attributes
    assert_holds(after, [(100, 0), (200, 0), (300, 0), (600, 0)])


def test_merging_noise_keeps_x0(store):
    commit(store, (100,), recipe=None)
    noise = commit(store, (300,), recipe=None)
    np.testing.assert_array_equal(noise.fixed("x0"), tensor(0, 0, "cat"))
    assert_holds(noise, [(100, 0), (300, 0)])


def test_committing_duplicates_writes_nothing(store):
    commit(store, (100, 300), (0, 1))
    before = snapshot(store.root)
    place = place_of(store)
    assert store.commit(place, DDIM.name, header(DDIM), samples((300, 100))) == 0
    assert snapshot(store.root) == before


def test_a_sample_that_comes_twice_in_one_commit_is_kept_once(store):
    place = place_of(store)
    assert store.commit(place, DDIM.name, header(DDIM), samples((100, 100, 300))) == 2
    assert_holds(store.artifact(place, DDIM.name), [(100, 0), (300, 0)])


def test_looking_up_a_known_place_opens_nothing_for_writing(store):
    commit(store, (100,))
    before = {path: path.stat().st_mtime_ns for path in store.root.rglob("*")}
    assert place_of(Store(store.root)) == place_of(store)
    assert {path: path.stat().st_mtime_ns for path in store.root.rglob("*")} == before


def test_a_renamed_image_keeps_its_folder(store):
    first = place_of(store)
    again = store.place(first.model, model_info(), "renamed", image_info()["digest"])
    assert again == first


def test_noise_may_hold_x0_alone(store):
    place = place_of(store)
    none, x_t = np.zeros(0, int), np.zeros((0, 3, SIDE, SIDE))
    empty = Samples(none, none, none, {"x_t": x_t})
    store.commit(place, "noise", header(), empty, {"x0": tensor(0, 0, "cat")})
    assert store.artifact(place, "noise").keys == set()
    np.testing.assert_array_equal(store.artifact(place, "noise").fixed("x0"), tensor(0, 0, "cat"))
    assert_holds(commit(store, (100,), recipe=None), [(100, 0)])


def test_fixed_tensors_that_came_later_are_added(store):
    place, x_t = place_of(store), samples((100,), dataset="x_t")
    store.commit(place, "noise", header(), x_t, {"x0": tensor(0, 0, "a")})
    floor = {"x0": tensor(9, 9, "other"), "x0_floor": tensor(0, 0, "b")}
    assert store.commit(place, "noise", header(), x_t, floor) == 0
    noise = store.artifact(place, "noise")
    np.testing.assert_array_equal(noise.fixed("x0"), tensor(0, 0, "a"))
    np.testing.assert_array_equal(noise.fixed("x0_floor"), tensor(0, 0, "b"))


def test_continuous_levels_are_float64_and_exact(store):
    ts = (0.1, 1 / 3, 14.6)
    artifact = commit(store, ts)
    assert artifact.t.dtype == np.float64
    assert_holds(artifact, [(t, 0) for t in ts])
    assert_holds(commit(store, (1 / 3, 2)), [(t, 0) for t in (*ts, 2.0)])


def test_large_seeds_survive(store):
    assert commit(store, (100,), (2**63 - 1,)).keys == {(100, 2**63 - 1)}


def _commit_share(root: str, ts: list[int]) -> None:
    for t in ts:
        commit(Store(root), (t,))


def test_many_processes_fill_one_artifact(store):
    context = get_context("spawn")
    shares = [list(range(first, 24, 4)) for first in range(4)]
    workers = [context.Process(target=_commit_share, args=(str(store.root), ts)) for ts in shares]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0] * 4
    (artifact,) = store.select()
    assert_holds(artifact, [(t, 0) for t in range(24)])


def _read_forever(root: str, go, stop, answer) -> None:
    reads = 0
    while not stop.is_set():
        artifact = next(iter(Store(root).select()))
        assert_holds(artifact, artifact.keys)
        reads += 1
        go.set()
    answer.put(reads)


def test_readers_are_never_refused_while_a_writer_commits(store):
    commit(store, (0,))
    context = get_context("spawn")
    go, stop, answer = context.Event(), context.Event(), context.Queue()
    reader = context.Process(target=_read_forever, args=(str(store.root), go, stop, answer))
    reader.start()
    assert go.wait(60)
    for t in range(1, 60):
        commit(store, (t,))
    stop.set()
    assert answer.get(timeout=60) > 3
    reader.join(60)
    assert reader.exitcode == 0


def test_a_reader_that_listed_before_a_removal_gets_the_right_rows(store):
    early = commit(store, (100, 300, 600))
    assert len(early) == 3
    store.remove(early, [(100, 0)])
    np.testing.assert_array_equal(early.read("x0_hat", [(600, 0)])[0], tensor(600, 0, "x0_hat"))
    with pytest.raises(NothingStored, match="t=100"):
        early.read("x0_hat", [(100, 0)])


# --- replacing ------------------------------------------------------------------------------------


def other(ts: tuple[int, ...]) -> Samples:
    """Samples of seed 0 that hold other numbers than `samples` gives them."""
    found = samples(ts)
    found.tensors["x0_hat"] *= -0.5
    return found


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_replacing_changes_what_is_named_and_nothing_else(tmp_path, dtype):
    store = small_parts(tmp_path, 3)
    commit(store, range(8))
    place, new = place_of(store), other((1, 2, 7, 9))
    assert store.commit(place, DDIM.name, header(DDIM), new, dtype=dtype, replace=True) == 4
    artifact = store.artifact(place, DDIM.name)
    kept = [(t, 0) for t in (0, 3, 4, 5, 6)]
    assert artifact.keys == {*kept, *new.keys}
    np.testing.assert_array_equal(
        artifact.read("x0_hat", new.keys), new.tensors["x0_hat"].astype(dtype)
    )
    np.testing.assert_array_equal(
        artifact.read("x0_hat", kept), [tensor(*key, "x0_hat") for key in kept]
    )
    in_parts = []
    for part in artifact.parts:
        with part.opened() as group:
            in_parts += group["t"][()].tolist()
    assert sorted(in_parts) == [0, 1, 2, 3, 4, 5, 6, 7, 9]
    assert all(finding.ok for finding in verify(store))


def test_replacing_samples_of_the_same_dtype_rewrites_their_parts_alone(tmp_path):
    store = small_parts(tmp_path, 3)
    artifact = commit(store, range(8))
    before = snapshot(store.root)
    store.commit(place_of(store), DDIM.name, header(DDIM), other((4,)), replace=True)
    after = snapshot(store.root)
    assert before.keys() == after.keys()
    changed = [name for name in before if before[name] != after[name]]
    assert changed == [str(artifact.parts[1].path.relative_to(store.root))]


def test_replacing_what_is_not_there_adds_it(store):
    place, new = place_of(store), other((100,))
    for _ in range(2):
        assert store.commit(place, DDIM.name, header(DDIM), new, replace=True) == 1
        (artifact,) = store.select()
        np.testing.assert_array_equal(artifact.read("x0_hat", new.keys), new.tensors["x0_hat"])


# --- parts ----------------------------------------------------------------------------------------

SAMPLE_BYTES = SIDE * SIDE * (3 * 4 + 3) + 32


def small_parts(root: Path, per_part: int) -> Store:
    return Store(root, part_bytes=per_part * SAMPLE_BYTES)


def test_an_artifact_continues_in_another_file(tmp_path):
    store = small_parts(tmp_path, 3)
    artifact = commit(store, range(8))
    assert [part.path.name for part in artifact.parts] == [
        f"{DDIM.name}.h5", f"{DDIM.name}.1.h5", f"{DDIM.name}.2.h5"
    ]  # fmt: skip
    assert_holds(artifact, [(t, 0) for t in range(8)])


def test_a_commit_touches_the_last_part_alone(tmp_path):
    store = small_parts(tmp_path, 3)
    artifact = commit(store, range(8))
    before = [part.path.stat().st_mtime_ns for part in artifact.parts]
    after = commit(store, (100,))
    times = [part.path.stat().st_mtime_ns for part in after.parts]
    assert times[:2] == before[:2]
    assert times[2] != before[2]


def test_a_missing_part_hides_no_other_and_is_begun_again(tmp_path):
    store = small_parts(tmp_path, 3)
    noise = commit(store, range(8), recipe=None)
    noise.parts[0].path.rename(tmp_path / "aside")
    (rest,) = store.select()
    assert_holds(rest, [(t, 0) for t in range(3, 8)])
    survivors = {part.path: part.path.read_bytes() for part in rest.parts}
    with pytest.raises(NothingStored, match="x0"):
        rest.fixed("x0")
    whole = commit(store, range(8), recipe=None)
    assert_holds(whole, [(t, 0) for t in range(8)])
    np.testing.assert_array_equal(whole.fixed("x0"), tensor(0, 0, "cat"))
    assert all(path.read_bytes() == content for path, content in survivors.items())


def test_a_gap_in_the_middle_is_left_alone(tmp_path):
    store = small_parts(tmp_path, 3)
    commit(store, range(8)).parts[1].path.unlink()
    whole = commit(store, range(8))
    assert [part.number for part in whole.parts] == [0, 2, 3]
    assert_holds(whole, [(t, 0) for t in range(8)])


def test_float16_halves_the_tensors_and_reads_as_float32(store):
    artifact = commit(store, (100,), dtype="float16")
    assert artifact.datasets["x0_hat"] == ((1, 3, SIDE, SIDE), "float16")
    read = artifact.read("x0_hat", [(100, 0)])
    assert read.dtype == np.float32
    np.testing.assert_array_equal(read[0], tensor(100, 0, "x0_hat").astype(np.float16))


def test_another_dtype_begins_another_part(store):
    commit(store, (100,))
    artifact = commit(store, (300,), dtype="float16")
    assert len(artifact.parts) == 2
    np.testing.assert_array_equal(artifact.read("x0_hat", [(100, 0)])[0], tensor(100, 0, "x0_hat"))


# --- reading --------------------------------------------------------------------------------------


def test_h5py_reads_a_file_without_nca(store):
    path = commit(store, (100, 300)).parts[0].path
    with h5py.File(path) as file:
        np.testing.assert_array_equal(file["x0_hat"][1], tensor(300, 0, "x0_hat"))
        assert file["t"][()].tolist() == [100, 300]
        assert file["x0_hat"].fletcher32
        assert file["preview"].attrs["CLASS"] == b"IMAGE"
        assert file["preview"].shape == (2, SIDE, SIDE, 3)


def test_every_axis_and_checksum_is_there(store):
    for recipe in (None, DDIM):
        with h5py.File(commit(store, (100, 300), recipe=recipe).parts[0].path) as file:
            for name, data in file.items():
                assert data.fletcher32, name
                assert data.is_scale or all(len(axis) == 1 for axis in data.dims), name


@pytest.mark.parametrize(("recipe", "name"), [(None, "x_t"), (DDIM, "x0_hat")])
def test_xarray_sees_labelled_axes(store, recipe, name):
    path = commit(store, (100, 300), recipe=recipe).parts[0].path
    with xarray.open_dataset(path, engine="h5netcdf") as data:
        assert data[name].dims == ("sample", "channel", "height", "width")
        assert data["preview"].dims == ("sample", "height", "width", "rgb")
        assert {"t", "seed", "log_snr"} <= set(data[name].coords)
        at_300 = data[name].where(data.t.compute() == 300, drop=True)
        np.testing.assert_array_equal(at_300[0], tensor(300, 0, name))


def test_xarray_sees_latent_axes(store):
    place, z = place_of(store), np.zeros((1, 4, 2, 2), np.float32)
    latent = samples((100,))
    latent.tensors["z0_hat"] = z
    store.commit(place, DDIM.name, header(DDIM), latent)
    (artifact,) = store.select()
    with xarray.open_dataset(artifact.parts[0].path, engine="h5netcdf") as data:
        assert data.z0_hat.dims == ("sample", "latent_channel", "latent_height", "latent_width")
    np.testing.assert_array_equal(artifact.read("z0_hat", [(100, 0)]), z)


def test_previews_are_the_pixels(store):
    artifact = commit(store, (100,))
    expected = np.rint((tensor(100, 0, "x0_hat") + 1) * 127.5).astype(np.uint8)
    seen = artifact.read("preview", [(100, 0)])[0]
    np.testing.assert_array_equal(seen, np.moveaxis(expected, 0, -1))


def test_an_artifact_tells_what_it_is(store):
    artifact = commit(store, (100,))
    assert (artifact.model_name, artifact.image_name) == ("toy", "cat")
    assert (artifact.label, artifact.sampler, artifact.recipe) == ("ddim-50", "ddim", DDIM)
    assert artifact.model_info == model_info()
    assert artifact.image_info == image_info()
    assert artifact.datasets["x0_hat"] == ((1, 3, SIDE, SIDE), "float32")
    assert artifact.bytes == artifact.parts[0].path.stat().st_size
    assert commit(store, (100,), recipe=ONE_STEP).sampler == "one-step"
    assert commit(store, (100,), recipe=None).label == "noise"


def test_what_is_not_stored_is_named(store):
    artifact = commit(store, (100,))
    with pytest.raises(NothingStored, match="t=300 seed=0"):
        artifact.read("x0_hat", [(300, 0)])
    with pytest.raises(NothingStored, match="no z0_hat"):
        artifact.read("z0_hat", [(100, 0)])
    with pytest.raises(NothingStored, match="no store at"):
        Store(store.root / "elsewhere").require()


@pytest.mark.parametrize(
    ("filters", "names"),
    [
        (Filters(), ["ddim-50", "noise", "one-step"] * 2),
        (Filters(samplers=["ddim"]), ["ddim-50", "noise"] * 2),
        (Filters(samplers=["ddim-50"], images=["dog"]), ["ddim-50", "noise"]),
        (Filters(samplers=["ddim-100"]), []),
        (Filters(models=[ModelFilter("toy", "one-step")]), ["noise", "one-step"] * 2),
        (Filters(models=[ModelFilter("toy", "ddim")], samplers=["one-step"]),
         ["noise", "one-step"] * 2),
        (Filters(models=[ModelFilter("other")]), []),
        (Filters(recipes=[DDIM.digest[:4]]), ["ddim-50", "noise"] * 2),
        (Filters(recipes=[DDIM.digest.upper()]), ["ddim-50", "noise"] * 2),
    ],
)  # fmt: skip
def test_filters_select(tmp_path, filters, names):
    found = full_store(tmp_path).select(filters)
    assert sorted(artifact.label for artifact in found) == sorted(names)


def test_filters_select_samples(tmp_path):
    (first, *_) = full_store(tmp_path).select()
    assert Filters(t=[300, 600], seeds=[1]).keys(first) == [(300, 1), (600, 1)]


@pytest.mark.parametrize(
    ("alone", "among"),
    [
        ({"recipes": DDIM.digest[:8]}, {"recipes": [DDIM.digest[:8]]}),
        ({"images": "cat", "samplers": "ddim-50"}, {"images": ["cat"], "samplers": ["ddim-50"]}),
        ({"models": "toy"}, {"models": [ModelFilter("toy")]}),
        ({"models": ["toy"]}, {"models": [ModelFilter("toy")]}),
        ({"models": ModelFilter("toy", "ddim")}, {"models": [ModelFilter("toy", "ddim")]}),
        ({"t": 300, "seeds": np.int64(1)}, {"t": [300], "seeds": [1]}),
    ],
)
def test_a_single_value_is_a_filter_of_its_own(tmp_path, alone, among):
    store = full_store(tmp_path)
    assert Filters(**alone) == Filters(**among)
    assert removal(store, Filters(**alone)) == removal(store, Filters(**among)) != []


def test_part_of_a_digest_removes_no_other_recipe(tmp_path):
    store = full_store(tmp_path, ["cat"])
    (found,) = removal(store, Filters(recipes=DDIM.digest[:8]))
    assert found.artifact.name == DDIM.name


# --- removing -------------------------------------------------------------------------------------


def test_removing_samples_keeps_the_others(store):
    artifact = commit(store, (100, 300, 600))
    assert store.remove(artifact, [(300, 0)]) > 0
    assert_holds(store.select()[0], [(100, 0), (600, 0)])


def test_removing_all_samples_deletes_the_artifact(store):
    artifact = commit(store, (100, 300))
    size = artifact.bytes
    assert store.remove(artifact, artifact.keys) == size
    assert store.select() == []
    assert not artifact.parts[0].path.parent.exists()
    assert_holds(commit(store, (100,)), [(100, 0)])


def test_a_damaged_artifact_can_be_removed_whole(store):
    artifact = commit(store, (100,))
    artifact.parts[0].path.write_bytes(b"nothing")
    store.remove(artifact)
    assert store.select() == []


def test_noise_stays_while_a_reconstruction_refers_to_it(tmp_path):
    store = full_store(tmp_path, ["cat"])
    filters = Filters(samplers=["ddim"])
    assert [one.artifact.label for one in removal(store, filters)] == ["ddim-50"]
    ((noise, kept),) = kept_noise(store, filters)
    assert noise.is_noise
    assert len(kept) == 6
    everything = removal(store, Filters(t=[100]))
    assert [one.artifact.label for one in everything] == ["ddim-50", "one-step", "noise"]
    assert all(one.keys == [(100, 0), (100, 1)] for one in everything)
    assert kept_noise(store, Filters(t=[100])) == []


def test_noise_stays_for_a_reconstruction_that_came_after_the_choice_of_what_goes(store):
    commit(store, (100, 300), recipe=None)
    commit(store, (100,), recipe=DDIM)
    doomed = removal(store, Filters())
    commit(store, (300,), recipe=ONE_STEP)
    for one in doomed:
        store.remove(one.artifact, one.keys)
    noise, late = store.select()
    assert_holds(noise, [(300, 0)])
    assert_holds(late, [(300, 0)])


def test_removing_a_sampler_takes_no_noise_that_it_did_not_use(store):
    commit(store, (100, 300), recipe=None)
    commit(store, (100,), recipe=DDIM)
    found = removal(store, Filters(samplers=["ddim"]))
    assert [(one.artifact.label, one.keys) for one in found] == [
        ("ddim-50", [(100, 0)]), ("noise", [(100, 0)])
    ]  # fmt: skip


def test_removal_says_how_many_bytes(tmp_path):
    store = full_store(tmp_path)
    found = removal(store, Filters())
    assert sum(one.bytes for one in found) == sum(artifact.bytes for artifact in store.select())
    assert sum(store.remove(one.artifact, one.keys) for one in found) > 0
    assert store.select() == []


def test_x0_stays_without_samples_while_other_artifacts_are_there(store):
    noise = commit(store, (100,), recipe=None)
    commit(store, (300,), recipe=DDIM)
    store.remove(noise, noise.keys)
    np.testing.assert_array_equal(store.select()[0].fixed("x0"), tensor(0, 0, "cat"))


# --- what can go wrong ----------------------------------------------------------------------------


def test_a_damaged_artifact_disturbs_no_other(tmp_path):
    store = full_store(tmp_path)
    damaged = next(one for one in store.select() if one.label == "ddim-50")
    damaged.parts[0].path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    found = store.select(Filters(samplers=["ddim", "one-step"]))
    for artifact in found:
        if artifact == damaged:
            with pytest.raises(DamagedArtifact, match=DDIM.name):
                _ = artifact.keys
        else:
            assert_holds(artifact, artifact.keys)


def test_damaged_noise_is_a_clear_error(store):
    noise = commit(store, (100,), recipe=None)
    path = noise.parts[0].path
    path.write_bytes(path.read_bytes()[:2000])
    for read in (lambda: store.select()[0].fixed("x0"), lambda: commit(store, (300,), recipe=None)):
        with pytest.raises(DamagedArtifact) as caught:
            read()
        assert "noise.h5" in caught.value.what
        assert "nca verify --repair" in caught.value.hint


def test_a_merge_never_signs_damaged_content_and_keeps_what_is_new(store):
    path = commit(store, (100,)).parts[0].path
    with h5py.File(path, "r+") as file:
        file["x0_hat"][0, 0, 0, 0] = 7
    damaged = path.read_bytes()
    artifact = commit(store, (300,))
    assert path.read_bytes() == damaged
    assert len(artifact.parts) == 2
    assert artifact.read("x0_hat", [(300, 0)]).shape[0] == 1


def _zeroed_in(tensor: np.ndarray) -> Callable[[Part], bytes]:
    """A library that writes a file in which the bytes of `tensor` come out as zeros."""
    good = hdf5.file_image

    def write(part: Part) -> bytes:
        image, bytes_of = good(part), tensor.astype(np.float32).tobytes()
        assert bytes_of in image
        return image.replace(bytes_of, bytes(len(bytes_of)))

    return write


def test_what_cannot_be_read_back_is_not_committed(store, monkeypatch):
    commit(store, (100,))
    before = snapshot(store.root)
    monkeypatch.setattr(hdf5, "file_image", _zeroed_in(tensor(300, 0, "x0_hat")))
    with pytest.raises(StoreError, match="cannot be read back"):
        commit(store, (300,))
    assert snapshot(store.root) == before
    monkeypatch.undo()
    assert_holds(commit(store, (300,)), [(100, 0), (300, 0)])


def test_a_truncated_file_is_not_committed(store, monkeypatch):
    good = hdf5.file_image
    monkeypatch.setattr(hdf5, "file_image", lambda part: good(part)[:-64])
    with pytest.raises(StoreError, match=r"cannot be read back.*truncated"):
        commit(store, (100,))
    assert not list(store.root.rglob("*.h5"))


def test_trouble_of_the_machine_is_not_taken_for_a_faulty_library(store, monkeypatch):
    def too_many(path):
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(hdf5, "open_file", too_many)
    with pytest.raises(StoreError, match="cannot be read now") as error:
        commit(store, (100,))
    assert "h5py" not in f"{error.value} {error.value.hint}"
    assert ".tmp" not in str(error.value)
    assert not list(store.root.rglob("*.h5"))


def test_a_packed_store_that_cannot_be_read_back_is_not_made(tmp_path, monkeypatch):
    store = full_store(tmp_path / "store")

    def forgets_the_digest(group, part):
        good(group, part)
        group.attrs["content_sha256"] = "0" * 64

    good = hdf5.write_part
    monkeypatch.setattr(hdf5, "write_part", forgets_the_digest)
    with pytest.raises(StoreError, match="cannot be read back"):
        pack(store, tmp_path / "packed.h5")
    assert not (tmp_path / "packed.h5").exists()


def test_a_commit_never_reads_a_file_of_the_working_folder(store, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    os.mkfifo(tmp_path / "part")  # whoever opens it waits for ever
    assert_holds(commit(store, (100,)), [(100, 0)])


def test_only_libraries_whose_files_can_be_read_are_allowed():
    """h5py 3.12 to 3.15 write HDF5 1.10 images that neither they nor later ones can read."""
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())
    assert "h5py>=3.16" in project["project"]["dependencies"]


@pytest.mark.parametrize("what", ["marker", "artifact", "packed"])
def test_a_newer_format_is_refused(tmp_path, what):
    store = Store(tmp_path / "store")
    path = commit(store, (100,)).parts[0].path
    if what == "marker":
        (store.root / "nca-store.json").write_text('{"format":"nca-store","version":2}')
        read = lambda: Store(store.root)  # noqa: E731
    elif what == "artifact":
        with h5py.File(path, "r+") as file:
            file.attrs["version"] = 2
        read = lambda: store.select()[0].keys  # noqa: E731
    else:
        with h5py.File(tmp_path / "packed.h5", "w") as file:
            file.attrs.update({"format": "nca-store", "version": 2})
        read = lambda: Store(tmp_path / "packed.h5")  # noqa: E731
    with pytest.raises(StoreError, match="newer") as caught:
        read()
    assert not isinstance(caught.value, DamagedArtifact)
    assert "upgrade" in caught.value.hint


@pytest.mark.parametrize("content", [
    "", "[]", '{"format": "other"}', "{", "[" * 100_000,
    *(f'{{"format": "nca-store", "version": {odd}}}'
      for odd in ("[]", "null", '"x"', "1e400", "{}", "NaN")),
])  # fmt: skip
def test_a_damaged_marker_is_a_clear_error(tmp_path, content):
    (tmp_path / "nca-store.json").write_text(content)
    with pytest.raises(StoreError):
        Store(tmp_path)


def test_a_file_that_is_no_packed_store_is_refused(tmp_path):
    (tmp_path / "a.h5").write_bytes(b"text")
    with pytest.raises(StoreError, match="not an HDF5 file"):
        Store(tmp_path / "a.h5")
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file["x"] = 1
    with pytest.raises(StoreError, match="is not an nca store"):
        Store(tmp_path / "b.h5")


def test_a_store_below_a_file_is_one_line(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="not a folder"):
        commit(Store(tmp_path / "file" / "store"), (100,))


def test_a_read_only_store_is_one_line_and_still_reads(tmp_path):
    with mounted(tmp_path / "disk", "size=8m") as disk:
        store = full_store(disk / "store", ["cat"])
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        with pytest.raises(StoreError, match="cannot be written"):
            commit(store, (700,))
        with pytest.raises(StoreError, match="cannot be written"):
            commit(store, (700,), image="bird")
        assert [len(artifact.keys) for artifact in Store(store.root).select()] == [6, 6, 6]


def _fill(store: Store, ts: range) -> None:
    for t in ts:
        commit(store, (t,))


def test_a_full_disk_leaves_the_old_content_and_no_temporary(tmp_path):
    with mounted(tmp_path / "disk", "size=300k") as disk:
        store = Store(disk / "store")
        commit(store, range(5))
        with pytest.raises(StoreError, match="disk is full") as caught:
            _fill(store, range(5, 200))
        assert "\n" not in caught.value.what
        (artifact,) = store.select()
        assert_holds(artifact, [(t, 0) for t in range(len(artifact))])
        assert len(artifact) >= 5
        assert not list(store.root.rglob("*.tmp"))


@pytest.mark.skipif(sys.platform == "win32", reason="no file size limit to set")
def test_a_file_size_limit_counts_as_a_full_disk(store):
    artifact = commit(store, range(3))
    script = (
        "import resource, signal, sys; sys.path.insert(0, sys.argv[2]);"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({artifact.bytes}, -1));"
        "from stores import *; from nca_cli.errors import StoreError\n"
        "try: commit(Store(sys.argv[1]), range(40))\n"
        "except StoreError as error: print(error.what)"
    )
    command = [sys.executable, "-c", script, str(store.root), str(Path(__file__).parent)]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert "disk is full" in answer.stdout, answer.stderr
    assert_holds(store.select()[0], [(t, 0) for t in range(3)])
    assert not list(store.root.rglob("*.tmp"))


def test_a_store_that_may_not_be_read_is_one_line(store):
    if os.geteuid() == 0:
        pytest.skip("root reads everything")
    path = commit(store, (100,)).parts[0].path
    path.chmod(0)
    with pytest.raises(StoreError, match="no permission"):
        _ = store.select()[0].keys


def test_the_store_needs_no_heavy_module():
    script = (
        "import sys, nca_cli.store, nca_cli.store.pack, nca_cli.store.verify, nca_cli.store.remove;"
        "print({'torch', 'skimage', 'PIL', 'diffusers', 'scipy'} & set(sys.modules))"
    )
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert answer.stdout.strip() == "set()", answer.stderr


def test_recipes_with_equal_settings_share_an_artifact(store):
    same = Recipe.from_json(DDIM.canonical())
    assert commit(store, (100,), recipe=DDIM).parts == commit(store, (300,), recipe=same).parts


def test_a_model_whose_first_writer_was_killed_at_once_is_none_yet(tmp_path):
    """Its folder is there, and nothing in it but what was being written."""
    store = full_store(tmp_path / "store", ["cat"])
    began = store.root / "other-00000000"
    began.mkdir()
    (began / ".model.json.0000.tmp").write_text("{")
    assert store.models() == Store(store.root).models() == [store.select()[0].model]
    assert all(finding.ok for finding in verify(store) if finding.path.suffix != ".tmp")
