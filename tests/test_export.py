"""Export writes one file per tensor, under stable names, and nothing else."""

import numpy as np
import pytest
from PIL import Image
from stores import DDIM, commit, full_store, header, place_of, samples, tensor

from nca_cli.errors import NcaError, NothingStored, UsageError
from nca_cli.export import export
from nca_cli.images import to_uint8
from nca_cli.store import Filters, Samples, Store

ONE = Filters(images=["cat"], samplers=["ddim"], t=[300], seeds=[1])


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Store:
    return full_store(tmp_path_factory.mktemp("export") / "store")


def names(folder) -> list[str]:
    """Files under a folder of one model and one image, without those two folders."""
    paths = (path.relative_to(folder).parts[2:] for path in folder.rglob("*") if path.is_file())
    return sorted("/".join(parts) for parts in paths)


def test_there_is_one_file_per_tensor_and_the_filters_choose(store, tmp_path):
    written = list(export(store, tmp_path, ONE))
    assert sorted(written) == sorted(path for path in tmp_path.rglob("*") if path.is_file())
    assert names(tmp_path) == [
        f"{DDIM.name}/t0300_seed1_x0_hat.png", "noise/t0300_seed1_x_t.png", "x0.png",
    ]  # fmt: skip


def test_the_number_of_files_is_known_before_they_are_written(store, tmp_path):
    work = export(store, tmp_path)
    assert len(work) == 2 * (1 + 3 * 6)
    assert not list(tmp_path.iterdir())
    assert len(list(work)) == len(work)


def test_numpy_files_hold_the_stored_numbers_unclipped(tmp_path):
    store = Store(tmp_path / "store")
    place, wide = place_of(store), samples([100])
    wide.tensors["x0_hat"] *= 3
    store.commit(place, DDIM.name, header(DDIM), wide)
    [path] = export(store, tmp_path / "out", format="npy")
    values = np.load(path)
    assert values.dtype == np.float32
    np.testing.assert_array_equal(values, 3 * tensor(100, 0, "x0_hat"))


def test_pictures_are_clipped_and_rounded(store, tmp_path):
    paths = {path.name: path for path in export(store, tmp_path, ONE)}
    for name, expected in (("t0300_seed1_x_t", tensor(300, 1, "x_t")), ("x0", tensor(0, 0, "cat"))):
        with Image.open(paths[f"{name}.png"]) as image:
            np.testing.assert_array_equal(np.asarray(image), to_uint8(expected))


def test_latents_go_to_numpy_files_only(tmp_path):
    store = Store(tmp_path / "store")
    index = (np.array([100]), np.array([0]), np.array([0.0]))
    latent = np.ones((1, 4, 8, 8), np.float32)
    tensors = {"x_t": tensor(100, 0, "x_t")[None], "z_t": latent}
    fixed = {"x0": tensor(0, 0, "cat"), "z0": latent[0], "x0_floor": tensor(0, 0, "floor")}
    store.commit(place_of(store), "noise", header(), Samples(*index, tensors), fixed)
    list(export(store, tmp_path / "png"))
    list(export(store, tmp_path / "npy", format="npy"))
    assert names(tmp_path / "png") == ["noise/t0100_seed0_x_t.png", "x0.png", "x0_floor.png"]
    assert names(tmp_path / "npy") == [
        "noise/t0100_seed0_x_t.npy", "noise/t0100_seed0_z_t.npy",
        "x0.npy", "x0_floor.npy", "z0.npy",
    ]  # fmt: skip


def test_names_sort_by_level_also_where_levels_are_no_whole_numbers(tmp_path):
    store = Store(tmp_path / "store")
    commit(store, [0.5, 0.25, 10.0])
    list(export(store, tmp_path / "out"))
    assert [name.split("/")[1] for name in names(tmp_path / "out")] == [
        "t0000.25_seed0_x0_hat.png", "t0000.5_seed0_x0_hat.png", "t0010.0_seed0_x0_hat.png",
    ]  # fmt: skip


def test_a_second_export_writes_the_same_files(store, tmp_path):
    first = {path: path.read_bytes() for path in export(store, tmp_path, ONE)}
    second = {path: path.read_bytes() for path in export(store, tmp_path, ONE)}
    assert first == second
    assert len(names(tmp_path)) == 3


def test_nothing_that_fits_is_an_error_with_the_next_command(store, tmp_path):
    with pytest.raises(NothingStored) as error:
        export(store, tmp_path, Filters(t=[1]))
    assert "nca" in error.value.hint
    with pytest.raises(NothingStored):
        export(Store(tmp_path / "none"), tmp_path)


def test_an_unknown_format_is_refused_and_the_known_ones_are_named(store, tmp_path):
    with pytest.raises(UsageError) as error:
        export(store, tmp_path, format="tiff")
    assert "png" in error.value.hint


def test_a_folder_that_cannot_be_is_a_plain_error(store, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(NcaError, match="cannot be written"):
        list(export(store, tmp_path / "file", ONE))
