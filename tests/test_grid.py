"""A grid shows what is stored, where it belongs, says what it is, and names what is missing."""

import io
import json
import shlex
import subprocess
import sys
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from stores import (
    DDIM,
    ONE_STEP,
    SIDE,
    commit,
    full_store,
    header,
    image_info,
    model_info,
    place_of,
    samples,
    tensor,
)  # fmt: skip

import nca_cli.figures.grid as grids
from nca_cli.errors import ModelError, NothingStored, UsageError
from nca_cli.figures.grid import compose_grid
from nca_cli.figures.grid.variants import frame
from nca_cli.figures.type import text
from nca_cli.images import image_digest, sample_images, to_uint8
from nca_cli.recipe import Recipe, parse_list
from nca_cli.schedule import FlowMatching
from nca_cli.store import Filters, ModelFilter, Samples, Store
from nca_cli.store.hdf5 import content_digest
from nca_cli.store.header import model_text
from nca_cli.store.layout import NOISE


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Store:
    return full_store(tmp_path_factory.mktemp("grid") / "store")


def plain(label) -> str:
    """The words of a label without their styles."""
    return "".join(run.text for run in label)


def texts(grid) -> list[str]:
    return [plain(each.label) for each in grid.sheet.texts]


def pixels(grid, row: int, column: int) -> np.ndarray:
    box = grid.sheet.box(row, column)
    return np.asarray(grid.image().crop(box))


def rows(grid) -> list[str]:
    return [
        " ".join(map(plain, [*group.names, *row.names]))
        for group in grid.table.groups
        for row in group.rows
    ]


def options(command: str, name: str) -> list[str]:
    """Values of a repeatable option in a command line."""
    words = shlex.split(command)
    return [words[i + 1] for i, word in enumerate(words) if word == name]


CAT = Filters(images=["cat"], seeds=[0], samplers=["ddim"])


# -- what is shown where ---------------------------------------------------------------------------


def test_every_cell_holds_exactly_the_stored_tensor_in_bytes(store):
    grid = compose_grid(store, CAT, cell=SIDE)
    np.testing.assert_array_equal(pixels(grid, 0, 0), to_uint8(tensor(0, 0, "cat")))
    for column, t in enumerate((100, 300, 600), start=1):
        np.testing.assert_array_equal(pixels(grid, 0, column), to_uint8(tensor(t, 0, "x_t")))
        np.testing.assert_array_equal(pixels(grid, 1, column), to_uint8(tensor(t, 0, "x0_hat")))


def test_a_difference_is_mid_grey_plus_half_of_it(store):
    grid = compose_grid(store, CAT, show=["diff"], cell=SIDE)
    difference = tensor(300, 0, "x0_hat") - tensor(0, 0, "cat")
    expected = np.rint(np.clip(0.5 + difference / 2, 0, 1) * 255).transpose(1, 2, 0)
    assert np.abs(pixels(grid, 0, 1) - expected).max() <= 1
    assert {"x0 − x0", "−1", "+1"} <= set(texts(grid))


def test_x0_comes_first_whatever_order_is_asked_for(store):
    grid = compose_grid(store, CAT, show="x0_hat,x_t,x0", cell=SIDE)
    np.testing.assert_array_equal(pixels(grid, 0, 0), to_uint8(tensor(0, 0, "cat")))


def test_a_figure_of_x0_alone_has_one_cell_per_image(store):
    grid = compose_grid(store, show="x0", cell=SIDE)
    assert len(grid.sheet.pictures) == 2
    assert not grid.missing


def test_the_floor_of_a_latent_model_has_its_column(tmp_path):
    store = Store(tmp_path)
    artifact = commit(store, [100], recipe=None)
    assert "D(E(x0))" not in texts(compose_grid(store, show="x0,floor,x_t"))
    path = store.root / artifact.model / "model.json"
    info = store.model_info(artifact.model)
    path.write_text(model_text({**info, "space": {**info["space"], "autoencoder": "0"}}))
    grid = compose_grid(store, show="x0,floor,x_t", cell=64)
    assert "D(E(x0))" in texts(grid)
    assert grid.missing


def test_cells_of_another_size_are_resampled_not_cut(tmp_path):
    store = Store(tmp_path)
    commit(store, [100], recipe=None)
    grid = compose_grid(store, show="x0", cell=4 * SIDE)
    found = np.asarray(grid.image().crop(grid.sheet.box(0, 0)).resize((SIDE, SIDE)), float)
    assert np.abs(found - to_uint8(tensor(0, 0, "cat"))).mean() < 25


def test_x_t_made_smaller_keeps_its_noise_pixel_by_pixel(tmp_path):
    store, side = Store(tmp_path), 8 * SIDE
    x_t = np.random.default_rng(0).normal(0, 0.5, (1, 3, side, side)).astype(np.float32)
    new = Samples(np.array([900]), np.array([0]), np.array([-9.0]), {"x_t": x_t})
    store.commit(place_of(store), NOISE, header(), new, {"x0": tensor(0, 0, "", side)})
    small, large = (
        pixels(compose_grid(store, show=["x_t"], cell=cell), 0, 0) for cell in (2 * SIDE, side)
    )
    np.testing.assert_array_equal(large, to_uint8(x_t[0]))
    np.testing.assert_array_equal(small, large[2::4, 2::4])  # what the page's pictures hold too


# -- what it says ----------------------------------------------------------------------------------


def test_the_header_gives_t_and_snr_of_each_column(store):
    said = texts(compose_grid(store, CAT, cell=128))
    for t, snr in ((100, "0.37"), (300, "5.0×10−2"), (600, "2.5×10−3")):
        assert f"t = {t}" in said
        assert f"SNR {snr}" in said  # the stored logSNR of these samples is -t/100


def test_narrow_columns_name_t_and_snr_at_the_left(store):
    said = texts(compose_grid(store, CAT, cell=48))
    assert {"t", "SNR", "300", "5.0×10−2"} <= set(said)


def test_models_on_different_schedules_get_an_snr_line_each(tmp_path):
    store = Store(tmp_path)
    commit(store, [100, 500], recipe=None)
    other = commit(store, [100, 500], recipe=None, model="other")
    import h5py

    with h5py.File(other.parts[0].path, "r+") as file:
        file["log_snr"][:] += 1
        file.attrs["content_sha256"] = content_digest(file)
    said = texts(compose_grid(store, show="x_t", cell=128))
    assert {"SNR toy", "SNR other"} <= set(said)
    assert {"t", "100", "0.37", "1.0"} <= set(said)


@pytest.mark.parametrize(
    ("value", "words"),
    [(8.46, "8.5"), (0.65, "0.65"), (161.0, "160"), (0.0383, "3.8×10−2"), (1e-4, "10−4"),
     (12345.0, "1.2×104"), (0.0999, "0.10"), (6.97, "7.0"), (99.9, "100"), 
     (0.0, "0"), (float("inf"), "∞"), (None, "–")],
)  # fmt: skip
def test_numbers_have_two_digits(value, words):
    assert plain(text.number(value)) == words


def test_rows_by_images_have_x_t_and_each_sampler(store):
    grid = compose_grid(store, Filters(seeds=[0]))
    samplers = ["xt", "x0 one-step", "x0 ddim-50"]
    assert rows(grid) == [
        *(f"cat {name}" for name in samplers),
        *(f"dog {name}" for name in samplers),
    ]


def test_rows_by_seeds_have_one_strip_per_seed(store):
    grid = compose_grid(store, Filters(images=["cat"], samplers=["ddim"]), rows="seeds")
    assert rows(grid) == [
        "cat xt seed 0", "cat xt seed 1", "cat x0 ddim-50 seed 0", "cat x0 ddim-50 seed 1",
    ]  # fmt: skip


def test_rows_by_models_bring_the_images_of_a_model_together(tmp_path):
    store = Store(tmp_path)
    for model in ("one", "two"):
        for image in ("cat", "dog"):
            for recipe in (None, DDIM):
                commit(store, [100], recipe=recipe, image=image, model=model)
    grid = compose_grid(store, rows="models")
    assert rows(grid) == [
        "xt cat", "xt dog", "one x0 ddim-50 cat", "one x0 ddim-50 dog",
        "two x0 ddim-50 cat", "two x0 ddim-50 dog",
    ]  # fmt: skip  # x_t once: both models see the same


def test_recipes_of_one_name_are_told_apart(tmp_path):
    store = Store(tmp_path)
    commit(store, [100], recipe=None)
    noisy, other = Recipe("0" * 40, "ddim", steps=50, eta=0.5), Recipe("1" * 40, "ddim", steps=50)
    for recipe in (Recipe("0" * 40, "ddim", steps=50, eta=0.0), noisy):
        commit(store, [100], recipe=recipe)
    assert "cat x0 ddim-50 η=0.5" in rows(compose_grid(store))
    commit(store, [100], recipe=other)
    assert f"cat x0 ddim-50 {other.digest[:8]}" in rows(compose_grid(store))


def test_recipes_under_several_conditions_are_named_by_what_differs(tmp_path):
    store, plain = Store(tmp_path), Recipe("0" * 40, "one-step", prompt="")
    guided = replace(plain, prompt="a cat", guidance=7.5)
    for recipe in (None, plain, replace(plain, prompt="a cat")):
        commit(store, [100], recipe=recipe)
    named = {"cat x0 one-step “a cat”", "cat x0 one-step no prompt"}
    assert named == {*rows(compose_grid(store))[1:]}
    commit(store, [100], recipe=guided)
    assert "cat x0 one-step “a cat” guidance 7.5" in rows(compose_grid(store))
    labelled = [Recipe("0" * 40, "ddim", steps=5, class_label=label) for label in (3, None)]
    for recipe in labelled:
        commit(store, [100], recipe=recipe)
    assert "cat x0 ddim-5 label 3" in rows(compose_grid(store))
    assert "cat x0 ddim-5 no label" in rows(compose_grid(store))


def test_two_images_of_one_name_are_told_apart(tmp_path):
    store = Store(tmp_path)
    first = commit(store, [100], recipe=None)
    (store.root / first.model / first.image).rename(store.root / first.model / "cat-000000000000")
    commit(store, [100], recipe=None)
    names = rows(compose_grid(store))
    assert {"cat 000000 xt", f"cat {image_info()['digest'][:6]} xt"} <= set(names)


# -- filters and blanks ----------------------------------------------------------------------------


def test_filters_choose_levels_seeds_and_images(store):
    grid = compose_grid(store, Filters(t=[600, 100], seeds=[1], images=["dog"]), cell=SIDE)
    assert grid.levels == [100, 600]
    assert {name.split()[0] for name in rows(grid)} == {"dog"}
    np.testing.assert_array_equal(pixels(grid, 0, 2), to_uint8(tensor(600, 1, "x_t")))


def test_a_full_grid_misses_nothing(store):
    grid = compose_grid(store)
    assert (grid.missing, grid.command, grid.problems) == ([], None, [])


def test_what_is_missing_is_blank_and_the_command_names_exactly_that(tmp_path):
    store = Store(tmp_path)
    commit(store, [100, 300, 450, 600], recipe=None)
    commit(store, [100, 600])
    grid = compose_grid(store, cell=SIDE)
    assert {(each.label, each.t, each.seed) for each in grid.missing} == {
        ("ddim-50", 300, 0), ("ddim-50", 450, 0),
    }  # fmt: skip
    blank = pixels(grid, 1, 2)
    assert blank.min() > 150
    assert len(np.unique(blank)) == 2
    assert grid.command.startswith("nca reconstruct ")
    assert parse_list(options(grid.command, "--t")) == [300, 450]
    assert options(grid.command, "--seed") == ["0"]
    assert options(grid.command, "--model") == ["toy"]
    assert options(grid.command, "--sampler") == ["ddim"]
    assert options(grid.command, "--store") == [str(tmp_path)]
    assert "\n" not in grid.command


def test_the_command_names_images_as_far_as_they_are_known(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    store = Store(tmp_path / "s")
    commit(store, [100], recipe=None)
    assert " IMAGES " in compose_grid(store).command
    sample, portrait = sample_images()[0], sample_images("portraits")[0]
    Path("my cat.png").write_bytes(sample.read_bytes() + b"mine")
    Path("changed.png").write_bytes(portrait.read_bytes())
    for path in (sample, portrait, Path("my cat.png"), Path("changed.png"), Path("gone.png")):
        known = path.stem not in ("changed", "gone")
        digest = image_digest(path, SIDE, "pad") if known else path.stem.encode().hex().ljust(64)
        info = {
            **image_info(),
            "name": path.stem,
            "digest": digest,
            "file": path.name,
            "fit": "pad",
        }
        place = store.place("toy-00000000", model_info(), path.stem, digest)
        about = {**header(), "image": json.dumps(info)}
        store.commit(place, "noise", about, samples([100], dataset="x_t"), {"x0": tensor(0, 0, "")})
        command = compose_grid(store, Filters(images=[path.stem])).command
        found = shlex.split(command.partition(" --model")[0])[2:]
        assert found == [str(path) if known else "IMAGES"]


def test_the_command_leaves_out_images_that_are_taken_anyway(tmp_path):
    store = Store(tmp_path)
    for path in sample_images():
        digest = image_digest(path, SIDE)
        about = {**header(), "image": json.dumps({**image_info(), "digest": digest})}
        place = store.place("toy-00000000", model_info(), path.stem, digest)
        store.commit(place, "noise", about, samples([100], dataset="x_t"), {"x0": tensor(0, 0, "")})
    assert compose_grid(store).command.startswith("nca reconstruct --model toy ")


def test_levels_asked_for_and_not_stored_are_blank_columns(store):
    grid = compose_grid(store, Filters(t=[100, 200], images=["cat"], seeds=[0]))
    assert grid.levels == [100, 200]
    assert {each.t for each in grid.missing} == {200}
    assert {each.label for each in grid.missing} == {"noise", "ddim-50", "one-step"}
    assert grid.command.count("nca ") == 1  # reconstruct writes the noise that it starts from
    assert sorted(options(grid.command, "--sampler")) == ["ddim", "one-step"]


def test_a_sampler_that_only_another_image_has_is_a_row_of_blanks(tmp_path):
    store = Store(tmp_path)
    for image in ("cat", "dog"):
        commit(store, [100], recipe=None, image=image)
        commit(store, [100], recipe=DDIM, image=image)
    commit(store, [100], recipe=ONE_STEP, image="cat")
    [missing] = compose_grid(store).missing
    assert (missing.image.split("-")[0], missing.label) == ("dog", "one-step")


def test_samplers_and_images_asked_for_by_name_are_rows_even_when_nothing_of_them_is_stored(store):
    wanted = Filters(models=[ModelFilter("toy", "pndm")], images=["cat", "bird"], seeds=[0])
    grid = compose_grid(store, wanted)
    assert rows(grid) == ["cat xt", "cat x0 pndm", "bird xt", "bird x0 pndm"]
    assert options(grid.command, "--sampler") == ["pndm"]


def test_noise_alone_is_shown_with_blanks_for_what_could_be_reconstructed(tmp_path):
    store = Store(tmp_path)
    commit(store, [100], recipe=None)
    grid = compose_grid(store)
    assert len(grid.missing) == 1
    assert grid.command.startswith("nca reconstruct ")


def test_an_empty_store_says_what_to_run(tmp_path):
    with pytest.raises(NothingStored) as error:
        compose_grid(Store(tmp_path / "none"))
    assert "nca reconstruct" in error.value.hint


def test_filters_that_nothing_fits_say_what_to_run(store):
    with pytest.raises(NothingStored) as error:
        compose_grid(store, Filters(images=["bird"], t=[100], samplers=["ddim-50"]))
    assert "nca reconstruct" in error.value.hint
    assert options(error.value.hint, "--t") == ["100"]


def test_a_figure_of_blanks_alone_is_none(store):
    with pytest.raises(NothingStored) as error:
        compose_grid(store, Filters(t=[200], images=["cat"], seeds=[0]))
    assert options(error.value.hint, "--t") == ["200"]
    assert sorted(options(error.value.hint, "--sampler")) == ["ddim", "one-step"]


def test_a_level_that_no_model_has_is_refused(store):
    for t in (1000, 5000, 100.5, -1):
        with pytest.raises(UsageError, match=f"t {t} is not a level"):
            compose_grid(store, Filters(t=[100, t]))


def test_a_level_of_one_model_is_no_blank_of_another(tmp_path):
    store, flow = Store(tmp_path), model_info("flow")
    flow["space"]["schedule"] = FlowMatching().describe()
    for recipe in (None, DDIM):
        commit(store, [100, 300], recipe=recipe)
    dataset, about = "x_t", {**header(), "model": json.dumps(flow)}
    place = store.place("flow-00000000", flow, "cat", image_info()["digest"])
    new, x0 = samples([100, 250.5], dataset=dataset), {"x0": tensor(0, 0, "cat")}
    store.commit(place, NOISE, about, new, x0)
    grid = compose_grid(store, show="x_t,x0_hat", cell=SIDE)
    assert grid.levels == [100, 250.5, 300]
    assert {each.t for each in grid.missing if each.model.startswith("toy")} == set()
    assert {each.t for each in grid.missing if each.label == "noise"} == {300}
    toy = next(row for row, name in enumerate(rows(grid)) if name == "cat xt toy")
    np.testing.assert_array_equal(pixels(grid, toy, 2), to_uint8(tensor(300, 0, "x_t")))
    with pytest.raises(KeyError):
        grid.sheet.box(toy, 1)


def test_a_recipe_that_is_not_there_is_an_error_since_no_command_can_make_it(store):
    digits = DDIM.digest[:6]
    assert "cat x0 ddim-50" in rows(compose_grid(store, Filters(recipes=[digits], seeds=[0])))
    with pytest.raises(NothingStored, match="no recipe abcd ") as error:
        compose_grid(store, Filters(recipes=[digits, "abcd"]))
    assert "nca ls" in error.value.hint
    assert "reconstruct" not in error.value.hint


@pytest.mark.parametrize("models", [["toi"], ["toy", "toi"]])
def test_a_model_that_could_be_none_gets_the_nearest_name(store, models):
    with pytest.raises(ModelError) as error:
        compose_grid(store, Filters(models=[ModelFilter(name) for name in models]))
    assert error.value.hint == "did you mean toy?"


def test_a_model_that_is_not_stored_is_computed_by_the_name_it_was_given(store):
    wanted = [ModelFilter("toy"), ModelFilter("faces", given="org/faces@main")]
    grid = compose_grid(store, Filters(models=wanted, images=["cat"], seeds=[0]))
    assert "org/faces@main" in options(grid.command, "--model")
    with pytest.raises(NothingStored) as error:
        compose_grid(store, Filters(models=wanted[1:]))
    assert options(error.value.hint, "--model") == ["org/faces@main"]


def test_a_damaged_artifact_takes_no_others_with_it(tmp_path):
    store = full_store(tmp_path, ["cat"])
    path = next(path for path in tmp_path.rglob("ddim*.h5"))
    path.write_bytes(path.read_bytes()[:-2000])
    grid = compose_grid(store, Filters(seeds=[0]), cell=SIDE)
    assert str(path) in str(grid.problems[0])
    assert "cat x0 one-step" in rows(grid)
    np.testing.assert_array_equal(pixels(grid, 0, 1), to_uint8(tensor(100, 0, "x_t")))


@pytest.mark.parametrize(
    "wrong", [{"show": "x1"}, {"show": ""}, {"rows": "levels"}, {"cell": 1}, {"cell": 99999}]
)
def test_requests_that_make_no_sense_are_refused(store, wrong):
    with pytest.raises(UsageError):
        compose_grid(store, **wrong)


# -- type ------------------------------------------------------------------------------------------


def overlapping(layout) -> list:
    boxes = [each.box for each in layout.texts] + [each.box for each in layout.pictures]
    return [
        (a, b)
        for a, b in combinations(boxes, 2)
        if min(a.right, b.right) - max(a.left, b.left) > 0
        and min(a.bottom, b.bottom) - max(a.top, b.top) > 3  # ascent and descent are generous
    ]


@pytest.mark.parametrize("cell", [16, 32, 48, 64, 96, 128, 256])
@pytest.mark.parametrize("by", ["images", "models", "seeds"])
def test_texts_overlap_neither_each_other_nor_pictures_nor_the_edge(store, cell, by):
    for filters in (Filters(), CAT, Filters(t=range(100, 1000, 100), samplers=["ddim"])):
        layout = compose_grid(store, filters, rows=by, cell=cell, show="x0,x0_hat,diff").sheet
        assert not overlapping(layout)
        for box in [each.box for each in layout.texts]:
            assert 0 <= box.left < box.right <= layout.size[0]
            assert 0 <= box.top < box.bottom <= layout.size[1]


@pytest.mark.parametrize("cell", [16, 32, 48, 64, 96, 128, 256])
def test_type_is_never_smaller_than_twelve_pixels(store, cell):
    assert min(each.size for each in compose_grid(store, CAT, cell=cell).sheet.texts) >= 12


HOSTILE = [
    *("a" * 60, "very-long-" * 6, "שלום", "مرحبا", "猫", "👩‍🚀", "e\u0301\u0301", "\u202eevil"),
    *("x_0^{2}", "%s {0}"),
]  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("cell", [24, 128])
def test_hostile_names_are_drawn_within_the_sheet(tmp_path, name, cell):
    store = Store(tmp_path)
    commit(store, [100, 900], recipe=None, image=name)
    commit(store, [100], image=name)
    grid = compose_grid(store, cell=cell, title=name * 3)
    grid.image()
    assert not overlapping(grid.sheet)
    assert all(each.box.right <= grid.sheet.size[0] for each in grid.sheet.texts)


def test_what_does_not_fit_ends_in_an_ellipsis():
    label = text.fit(text.words("a long name of an image"), 20, 60)
    assert plain(label).endswith("…")
    assert text.width(label, 20) <= 60
    assert text.fit(text.words("name"), 20, 3) == ()


# -- files -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("suffix", "kind"), [(".png", "PNG"), (".webp", "WEBP"), (".jpg", "JPEG"), (".GIF", "GIF")]
)
def test_the_suffix_chooses_the_format(store, tmp_path, suffix, kind):
    path = compose_grid(store, CAT, cell=SIDE).save(tmp_path / "new" / f"grid{suffix}")
    with Image.open(path) as image:
        assert image.format == kind
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_a_png_holds_the_very_pixels_of_the_sheet(store, tmp_path):
    grid = compose_grid(store, CAT, cell=SIDE)
    with Image.open(grid.save(tmp_path / "grid.png")) as image:
        np.testing.assert_array_equal(np.asarray(image), np.asarray(grid.image()))
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(grid._repr_png_()))), grid.image())


def test_a_gif_has_one_frame_per_level_and_loops_for_ever(store, tmp_path):
    grid = compose_grid(store, CAT, cell=SIDE)
    with Image.open(grid.save(tmp_path / "grid.gif")) as image:
        assert image.n_frames == len(grid.levels) == 3
        assert image.info["loop"] == 0
    titles = [plain(frame(grid.table, column).title) for column in (1, 2, 3)]
    assert [title.split("SNR")[0].strip() for title in titles] == ["t = 100", "t = 300", "t = 600"]


def test_in_a_frame_x0_stands_with_its_own_image(store):
    grid = compose_grid(store, Filters(seeds=[0], samplers=["ddim"]), rows="models", cell=SIDE)
    turned = frame(grid.table, 1)
    assert [" ".join(map(plain, group.names)) for group in turned.groups] == [
        "x0", "xt", "x0 ddim-50",
    ]  # fmt: skip
    for name, cell in zip(("cat", "dog"), turned.groups[0].rows[0].cells, strict=True):
        np.testing.assert_array_equal(cell.pixels, to_uint8(tensor(0, 0, name)))


def test_an_unknown_suffix_is_refused_and_the_known_ones_are_named(store, tmp_path):
    with pytest.raises(UsageError) as error:
        compose_grid(store, CAT).save(tmp_path / "grid.bmp")
    assert ".png" in error.value.hint
    assert not list(tmp_path.iterdir())


def test_the_default_cell_shows_every_pixel_and_enlarges_small_pictures(store):
    assert compose_grid(store).sheet.cell == 128  # 16 pixels, eightfold


def test_a_grid_loads_neither_torch_nor_plotting_nor_hub_libraries(store, tmp_path):
    code = (
        "import sys\n"
        "from nca_cli.figures.grid import compose_grid\n"
        "from nca_cli.store import Filters, Store\n"
        "grid = compose_grid(Store(sys.argv[1]), Filters(t=[100, 200]))\n"
        "assert grid.command\n"
        "grid.save(sys.argv[2])\n"
        "heavy = {'torch', 'diffusers', 'skimage', 'scipy', 'matplotlib', 'huggingface_hub'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    arguments = [sys.executable, "-c", code, str(store.root), str(tmp_path / "grid.png")]
    done = subprocess.run(arguments, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_fonts_come_with_their_licence():
    folder = Path(grids.__file__).parents[2] / "assets" / "fonts"
    assert "SIL OPEN FONT LICENSE" in (folder / "OFL.txt").read_text()
    assert len(list(folder.glob("*.ttf"))) == 3
