"""A packed store is the same store in one file."""

from __future__ import annotations

import math
import subprocess
import sys
import tracemalloc
from pathlib import Path

import h5py
import numpy as np
import pytest
import xarray
from stores import DDIM, commit, full_store, header, place_of, samples, snapshot, tensor
from test_store import mounted

from nca_cli.errors import DamagedArtifact, NothingStored, StoreError
from nca_cli.store import Artifact, Filters, ModelFilter, Store
from nca_cli.store.pack import pack, unpack
from nca_cli.store.remove import removal
from nca_cli.store.verify import verify


@pytest.fixture(scope="module")
def stores(tmp_path_factory) -> tuple[Store, Store]:
    """A store with everything there is to it (parts, float16, real-valued t), and its pack."""
    root = tmp_path_factory.mktemp("pack")
    full_store(root / "store")
    store = Store(root / "store", part_bytes=12000)
    commit(store, (200, 400, 500, 700), (0, 1))
    commit(store, (800,), dtype="float16")
    commit(store, (0.5, 2 / 3), image="fish", model="continuous")
    latent = samples((100,))
    latent.tensors["z0_hat"] = np.ones((1, 4, 2, 2), np.float32)
    store.commit(place_of(store, "bird"), DDIM.name, header(DDIM, "bird"), latent)
    return store, Store(pack(store, root / "packed.h5"))


def digests(store: Store) -> dict[str, str]:
    return {"/".join((*p.names[:2], p.stem)): digest_of(p) for p in store.all_parts()}


def digest_of(location) -> str:
    with location.opened() as group:
        return group.attrs["content_sha256"]


def all_of(artifact: Artifact) -> dict[str, np.ndarray]:
    keys, names = sorted(artifact.keys), artifact.datasets
    per_sample = [name for name in names if name not in ("x0", "z0", "x0_floor")]
    fixed = {name: artifact.fixed(name) for name in names if name not in per_sample}
    return fixed | {name: artifact.read(name, keys) for name in per_sample}


def test_what_is_added_while_packing_is_left_out(tmp_path):
    store = full_store(tmp_path / "store")
    before = digests(store)

    def add(done: int) -> None:
        commit(store, (100,), image=f"late{done}")
        commit(store, (100,), recipe=None, model=f"late{done}")

    packed = Store(pack(store, tmp_path / "packed.h5", progress=add))
    assert digests(packed) == before
    assert len(digests(store)) > len(before)


def test_a_packed_store_reads_as_the_folder(stores):
    folder, packed = stores
    assert packed.packed
    assert packed.exists
    assert packed.require().models() == folder.models()
    for model in folder.models():
        assert packed.images(model) == folder.images(model)
        assert packed.model_info(model) == folder.model_info(model)
    for one, other in zip(folder.select(), packed.select(), strict=True):
        for what in ("model", "image", "name", "label", "sampler", "recipe", "keys", "header",
                     "model_info", "image_info", "datasets", "is_noise"):  # fmt: skip
            assert getattr(one, what) == getattr(other, what), what
        for what in ("t", "seed", "log_snr"):
            np.testing.assert_array_equal(getattr(one, what), getattr(other, what))
        one, other = all_of(one), all_of(other)
        assert one.keys() == other.keys()
        for name in one:
            np.testing.assert_array_equal(one[name], other[name])


def test_content_digests_survive_packing_and_unpacking(stores, tmp_path):
    folder, packed = stores
    assert digests(packed) == digests(folder)
    again = unpack(packed.root, tmp_path / "again")
    assert digests(again) == digests(folder)
    assert all(finding.ok for finding in verify(again))
    files = [set(snapshot(store.root)) for store in (folder, again)]
    assert files[0] == files[1]


def test_finding_and_filtering_work_on_a_packed_store(stores):
    folder, packed = stores
    place = place_of(folder, "dog")
    digest = folder.artifact(place, "noise").image_info["digest"]
    assert packed.find_image(place.model, digest) == place.image
    assert packed.find_image("no-model", digest) is None
    assert packed.artifact(place, "none") is None
    for filters in (Filters(samplers=["ddim"]), Filters(models=[ModelFilter("toy", "one-step")])):
        assert [str(a) for a in packed.select(filters)] == [str(a) for a in folder.select(filters)]


def test_a_packed_artifact_knows_its_own_size(stores):
    _, packed = stores
    for artifact in packed.select():
        tensors = [
            math.prod(shape) * np.dtype(dtype).itemsize
            for shape, dtype in artifact.datasets.values()
        ]
        assert sum(tensors) <= artifact.bytes < 1.2 * sum(tensors)
    assert sum(artifact.bytes for artifact in packed.select()) < packed.root.stat().st_size


def test_groups_have_the_documented_names(stores):
    _, packed = stores
    with h5py.File(packed.root) as file:
        assert file.attrs["format"] == "nca-store"
        assert file.attrs["version"] == 1
        model = next(name for name in file if name.startswith("toy-"))
        image = next(name for name in file[model] if name.startswith("cat-"))
        assert {"noise", DDIM.name, f"{DDIM.name}.1"} <= set(file[model][image])


def test_xarray_sees_labelled_axes_in_every_group(stores):
    _, packed = stores
    for part in packed.all_parts():
        with xarray.open_dataset(packed.root, group=part.group, engine="h5netcdf") as data:
            name = "x_t" if part.stem.startswith("noise") else "x0_hat"
            assert data[name].dims == ("sample", "channel", "height", "width")
            assert {"t", "seed", "log_snr"} <= set(data.coords)


def test_packing_a_packed_store_gives_the_same_store(stores, tmp_path):
    _, packed = stores
    assert digests(Store(pack(packed, tmp_path / "again.h5"))) == digests(packed)


def test_nothing_is_written_to_a_packed_store(stores):
    _, packed = stores
    before = packed.root.read_bytes(), packed.root.stat().st_mtime_ns
    artifact = packed.select()[0]
    for write in (
        lambda: commit(packed, (1,)),
        lambda: packed.remove(artifact),
        lambda: packed.commit(place_of(stores[0]), DDIM.name, header(DDIM), samples((1,))),
    ):
        with pytest.raises(StoreError, match="read-only") as caught:
            write()
        assert "--unpack" in caught.value.hint
    assert removal(packed, Filters())
    assert (packed.root.read_bytes(), packed.root.stat().st_mtime_ns) == before
    assert not list(packed.root.parent.glob(".locks"))


def test_progress_counts_parts(stores, tmp_path):
    folder, _ = stores
    told: list[int] = []
    pack(folder, tmp_path / "packed.h5", told.append)
    assert told == list(range(len(list(folder.all_parts())) + 1))
    told.clear()
    unpack(tmp_path / "packed.h5", tmp_path / "folder", told.append)
    assert told == list(range(len(list(folder.all_parts())) + 1))


def test_packing_holds_one_part_at_a_time(tmp_path):
    store = Store(tmp_path / "store", part_bytes=400_000)
    commit(store, range(600))
    size = sum(artifact.bytes for artifact in store.select())
    tracemalloc.start()
    pack(store, tmp_path / "packed.h5")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert size > 2_000_000
    assert peak < size * 0.75


def test_an_old_pack_is_replaced_at_the_end_or_not_at_all(tmp_path):
    store = full_store(tmp_path / "store")
    packed = pack(store, tmp_path / "packed.h5")
    before = packed.read_bytes()
    part = list(store.all_parts())[-1].path
    part.write_bytes(part.read_bytes()[:3000])
    with pytest.raises(DamagedArtifact, match=part.name):
        pack(store, packed)
    assert packed.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["packed.h5", "store"]


def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path):
    store = full_store(tmp_path / "store")
    packed = pack(store, tmp_path / "packed.h5")
    with mounted(tmp_path / "disk", "size=60k") as disk:
        with pytest.raises(StoreError, match="are free"):
            pack(store, disk / "packed.h5")
        with pytest.raises(StoreError, match="are free"):
            unpack(packed, disk / "folder")
        assert list(disk.iterdir()) == []


def test_a_disk_that_fills_up_while_packing_is_one_line(tmp_path):
    store = full_store(tmp_path / "store")
    script = (
        "import resource, signal, sys; from nca_cli.store import Store;"
        "from nca_cli.store.pack import pack; from nca_cli.errors import StoreError;"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, -1))\n"
        "try: pack(Store(sys.argv[1]), sys.argv[2])\n"
        "except StoreError as error: print(error.what)"
    )
    target = tmp_path / "out" / "packed.h5"
    command = [sys.executable, "-c", script, str(store.root), str(target)]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert "disk is full" in answer.stdout, answer.stderr
    assert list(target.parent.iterdir()) == []


def test_unpacking_never_mixes_with_what_is_there(stores, tmp_path):
    _, packed = stores
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    for target in (tmp_path / "full", tmp_path / "full" / "file", stores[0].root):
        with pytest.raises(StoreError, match="exists already"):
            unpack(packed.root, target)
    (tmp_path / "empty").mkdir()
    assert digests(unpack(packed.root, tmp_path / "empty")) == digests(packed)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "full"]


def test_what_cannot_be_packed_is_one_line(tmp_path):
    with pytest.raises(NothingStored):
        pack(Store(tmp_path / "none"), tmp_path / "packed.h5")
    store = full_store(tmp_path / "store")
    with pytest.raises(StoreError, match="is a folder"):
        pack(store, tmp_path)
    with pytest.raises(StoreError, match="not a packed store"):
        unpack(store.root, tmp_path / "out")
    with pytest.raises(StoreError):
        unpack(tmp_path / "absent.h5", tmp_path / "out")


def test_an_unpacked_store_takes_new_samples(stores, tmp_path):
    again = unpack(stores[1].root, tmp_path / "again")
    artifact = commit(again, (999,))
    np.testing.assert_array_equal(artifact.read("x0_hat", [(999, 0)])[0], tensor(999, 0, "x0_hat"))


def test_a_relative_path_works(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    store = full_store(Path("nca-store"), ["cat"])
    assert digests(unpack(pack(store, "nca-store.h5"), "again")) == digests(store)
