"""A new field of the store is one record in its table: everything else follows from that."""

import h5py
import numpy as np
import pytest
from stores import DDIM, SIDE, commit, header, place_of, samples, tensor

from nca_cli.export import export
from nca_cli.store import Store
from nca_cli.store.fields import FIELDS, LATENTS, Field
from nca_cli.store.pack import pack, unpack
from nca_cli.store.verify import verify


@pytest.fixture
def fields(monkeypatch):
    """Two fields that no version of nca has: one of each sample, one of all samples."""
    for field in (Field("score", LATENTS), Field("mask", fixed=True)):
        monkeypatch.setitem(FIELDS, field.name, field)


@pytest.fixture
def store(fields, tmp_path):
    """A store whose artifact holds both, in two parts, written in two commits."""
    store = Store(tmp_path / "store", part_bytes=4 * 3 * SIDE * SIDE * 5)
    place = place_of(store)
    for ts in ((100, 300), (600, 900)):
        new = samples(ts)
        new.tensors["score"] = np.stack([tensor(t, 0, "score") for t in ts])
        store.commit(place, DDIM.name, header(DDIM), new, {"mask": tensor(0, 0, "mask")})
    return store


def assert_kept(store):
    (artifact,) = store.select()
    assert len(artifact.parts) == 2
    keys = [(t, 0) for t in (100, 300, 600, 900)]
    expected = np.stack([tensor(*key, "score") for key in keys])
    np.testing.assert_array_equal(artifact.read("score", keys), expected)
    np.testing.assert_array_equal(artifact.fixed("mask"), tensor(0, 0, "mask"))
    assert artifact.datasets["score"] == ((4, 3, SIDE, SIDE), "float32")
    assert artifact.datasets["mask"] == ((3, SIDE, SIDE), "float32")
    assert all(finding.ok for finding in verify(store))


def test_it_is_stored_merged_and_read_back(store):
    assert_kept(store)


def test_its_axes_are_labelled(store):
    (artifact,) = store.select()
    with h5py.File(artifact.parts[0].path) as file:
        for name in ("score", "mask"):
            labels = [axis[0].name.lstrip("/") for axis in file[name].dims]
            assert tuple(labels) == FIELDS[name].dims


def test_it_is_packed_and_unpacked(store, tmp_path):
    packed = pack(store, tmp_path / "packed.h5")
    assert_kept(Store(packed))
    assert_kept(unpack(packed, tmp_path / "again"))


def test_it_goes_with_its_samples(store):
    (artifact,) = store.select()
    store.remove(artifact, [(100, 0)])
    (artifact,) = store.select()
    np.testing.assert_array_equal(artifact.read("score", [(300, 0)])[0], tensor(300, 0, "score"))


def test_it_is_exported(store, tmp_path):
    names = {path.name for path in export(store, tmp_path / "out", format="npy")}
    assert {"mask.npy", "t0300_seed0_score.npy"} <= names


def test_a_store_without_it_is_read_as_ever(fields, tmp_path):
    artifact = commit(Store(tmp_path / "store"), (100, 300))
    assert "score" not in artifact.datasets
