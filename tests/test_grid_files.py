"""Grids as files for a paper: stored pixels in PDF and SVG, sizes that fit, no x_t of imports."""

import base64
import io
import re
import zlib
from dataclasses import replace

import numpy as np
import pytest
from galleries import portrait_store
from PIL import Image
from stores import ONE_STEP, SIDE, commit, full_store, samples, tensor
from typer.testing import CliRunner

from nca_cli.cli import app
from nca_cli.errors import NothingStored, UsageError
from nca_cli.figures.grid import compose_grid
from nca_cli.figures.grid.paint import enlarged, resized
from nca_cli.images import to_rgb, to_uint8
from nca_cli.imports import Pair, import_pairs
from nca_cli.recipe import Recipe
from nca_cli.store import Filters, Store

FACES = [f"face-{number}" for number in range(10)]
CAT = Filters(images=["cat"], seeds=[0], samplers=["ddim"])


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Store:
    return full_store(tmp_path_factory.mktemp("files") / "store")


@pytest.fixture(scope="module")
def faces(tmp_path_factory) -> Store:
    """Ten portraits of 64 px, two samplers, four levels."""
    return portrait_store(tmp_path_factory.mktemp("faces") / "store", images=FACES, side=64)


def stored(store: Store) -> set[bytes]:
    """Every picture of a store, as bytes."""
    found = set()
    for artifact in store.select():
        name = "x_t" if artifact.is_noise else "x0_hat"
        found |= {to_rgb(each).tobytes() for each in artifact.read(name, artifact.keys)}
        if artifact.is_noise:
            found.add(to_rgb(artifact.fixed("x0")).tobytes())
    return found


def of_svg(text: str) -> list[np.ndarray]:
    pictures = re.findall(r'<image [^>]*href="data:image/png;base64,([^"]+)"', text)
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(each)))) for each in pictures]


def of_pdf(content: bytes, side: int) -> list[bytes]:
    """Pictures of a side; each row begins with PNG's filter, which is none."""
    streams = re.findall(rb"stream\n(.*?)\nendstream", content, re.DOTALL)
    found = []
    for stream in streams:
        try:
            data = zlib.decompress(stream)
        except zlib.error:
            continue
        if len(data) == side * (3 * side + 1):
            rows = np.frombuffer(data, np.uint8).reshape(side, -1)
            assert not rows[:, 0].any()
            found.append(rows[:, 1:].tobytes())
    return found


def plain(label) -> str:
    return "".join(run.text for run in label)


def texts(grid) -> list[str]:
    return [plain(each.label) for each in grid.sheet.texts]


# -- pixels ----------------------------------------------------------------------------------------


def test_a_page_of_ten_faces_holds_the_stored_pixels_in_few_megabytes(faces, tmp_path):
    grid = compose_grid(faces, width=174)
    expected = stored(faces)
    assert len(expected) == 10 * (1 + 3 * 4)
    svg = grid.save(tmp_path / "a.svg")
    assert svg.stat().st_size <= 4e6
    drawn = of_svg(svg.read_text())
    assert {each.shape for each in drawn} == {(64, 64, 3)}
    assert {each.tobytes() for each in drawn} == expected
    pdf = grid.save(tmp_path / "a.pdf")
    assert pdf.stat().st_size <= 3e6
    assert {*of_pdf(pdf.read_bytes(), 64)} == expected


def test_a_resolution_that_is_asked_for_reduces_larger_pictures_alone(faces, tmp_path):
    asked = Filters(images=["face-0"], t=[300])
    for dpi, side in ((36, None), (600, 64)):
        grid = compose_grid(faces, asked, width=60, dpi=dpi)
        sides = {each.shape[0] for each in of_svg(grid.save(tmp_path / "a.svg").read_text())}
        assert sides == {side or grid.sheet.cell}
    assert grid.sheet.cell > 64


def test_noise_is_never_smoothed_and_pictures_only_until_asked(store, tmp_path):
    for pixelated, sharp in ((False, 3), (True, 7)):
        grid = compose_grid(store, CAT, width=84, pixelated=pixelated)
        svg = grid.save(tmp_path / "a.svg").read_text()
        assert svg.count('<image class="sharp"') == sharp
        pdf = grid.save(tmp_path / "a.pdf").read_bytes()
        assert pdf.count(b"/Interpolate true") == 7 - sharp
        assert pdf.count(b"/Subtype /Image") == 7
        image, (width, height) = grid.image(), grid.sheet.box(0, 0).size
        x0, x_t = (np.asarray(image.crop(grid.sheet.box(0, column))) for column in (0, 1))
        draw = enlarged if pixelated else resized
        np.testing.assert_array_equal(x0, draw(to_uint8(tensor(0, 0, "cat")), (width, height)))
        np.testing.assert_array_equal(
            x_t, enlarged(to_uint8(tensor(100, 0, "x_t")), (width, height))
        )


def test_enlarged_pixels_are_rectangles_of_their_colour():
    pixels = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    large = enlarged(pixels, (4, 6))
    assert large.shape == (6, 4, 3)
    np.testing.assert_array_equal(large, np.repeat(np.repeat(pixels, 3, axis=0), 2, axis=1))


# -- sizes -----------------------------------------------------------------------------------------


def test_a_page_taller_than_a4_says_which_width_fits(faces, tmp_path):
    [said] = compose_grid(faces, width=174).advice("a.pdf")
    width = int(re.search(r"--width (\d+) fits", said)[1])
    assert "A4 (297 mm)" in said
    for other, fits in ((width, True), (width + 2, False)):
        size = compose_grid(faces, width=other).sheet.size
        assert (size[1] / size[0] * other <= 297) == fits
    assert not compose_grid(faces, width=width).advice("a.pdf")
    assert not compose_grid(faces).advice("a.png")  # it has no size on paper


def test_a_picture_of_very_many_pixels_says_which_cell_fits(faces):
    [said] = compose_grid(faces, cell=512).advice("a.png")
    cell = int(re.search(r"--cell (\d+) fits", said)[1])
    assert max(compose_grid(faces, cell=cell).sheet.size) <= 8000
    assert max(compose_grid(faces, cell=cell + 2).sheet.size) > 8000
    assert any("--dpi" in each for each in compose_grid(faces, width=174, dpi=600).advice("a.png"))


def test_the_command_passes_the_advice_on(faces, tmp_path):
    out = tmp_path / "a.svg"
    words = ["grid", "--store", str(faces.root), "--width", "174", "-o", str(out)]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0
    assert "--width" in done.stderr
    assert done.stderr.count("\n") == 1


# -- words -----------------------------------------------------------------------------------------


def test_a_long_name_ends_in_an_ellipsis(tmp_path):
    store = Store(tmp_path)
    for image in ("an-image-of-a-very-long-name-" * 4, "cat"):
        commit(store, [100, 300], recipe=None, image=image)
        commit(store, [100, 300], image=image)
    grid = compose_grid(store, cell=64)
    assert any(each.startswith("an-image") and each.endswith("…") for each in texts(grid))


@pytest.mark.parametrize(
    "way", [{"rows": "seeds"}, {"rows": "models"}, {"columns": "seeds"}, {"cell": 32},
            {"columns": "seeds", "rows": "t", "cell": 32}, {"layout": "p2"}],
)  # fmt: skip
def test_x0_names_and_levels_are_said_once(store, way):
    grid = compose_grid(store, Filters(images=["cat"], samplers=["ddim"]), **way)
    assert [cell.kind for cell in grid.table.cells].count("x0") == 1
    said = " ".join(texts(grid))
    assert said.count("cat") == (2 if "models" in way.values() else 1)  # x_t is of all models
    for t in (100, 300, 600):
        assert len(re.findall(rf"\b{t}\b", said)) == 1


def test_models_of_several_resolutions_are_called_by_their_size(tmp_path):
    for side in (16, 32):
        store = portrait_store(tmp_path, images=["cat"], side=side, recipes=(ONE_STEP,))
    assert {"demo 16 px", "demo 32 px"} <= set(texts(compose_grid(store, rows="models")))


@pytest.mark.parametrize("what", [{"t": [333]}, {"t": [333], "samplers": ["ddim"]}])
def test_levels_that_are_not_stored_are_said_beside_those_that_are(store, what):
    with pytest.raises(NothingStored) as error:
        compose_grid(store, Filters(**what))
    assert str(error.value) == "no samples at t = 333; stored: 100, 300, 600"
    assert "nca reconstruct" in error.value.hint
    with pytest.raises(NothingStored, match="no samples of seed 7; stored: 0, 1"):
        compose_grid(store, Filters(seeds=[7]))


def test_of_many_levels_the_first_two_and_the_last_are_said(tmp_path):
    store = Store(tmp_path)
    for recipe in (None, ONE_STEP):
        commit(store, range(0, 1000, 100), recipe=recipe)
    with pytest.raises(NothingStored) as error:
        compose_grid(store, Filters(t=[333]))
    assert str(error.value) == "no samples at t = 333; stored: 0, 100, …, 900"


# -- imports ---------------------------------------------------------------------------------------


@pytest.fixture
def imported(tmp_path) -> Store:
    """Two levels of one picture, reconstructed elsewhere."""
    pixels = np.random.default_rng(0).integers(0, 255, (SIDE, SIDE, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "anna.png")
    for t in (300, 500):
        Image.fromarray(pixels // 2 + t // 10).save(tmp_path / f"anna-{t}.png")
    pairs = [Pair(t, tmp_path / "anna.png", tmp_path / f"anna-{t}.png") for t in (300, 500)]
    import_pairs(pairs, model="theirs", store=tmp_path / "store")
    return Store(tmp_path / "store")


def test_imports_have_no_row_of_x_t_and_no_blank(imported):
    for rows in ("images", "models", "seeds"):
        grid = compose_grid(imported, rows=rows)
        assert [cell.kind for cell in grid.table.cells] == ["x0", "x0_hat", "x0_hat"]
        assert (grid.missing, grid.command) == ([], None)
    with pytest.raises(UsageError, match="imported reconstructions have no x_t"):
        compose_grid(imported, show="x_t")


def test_x_t_beside_an_import_is_that_of_the_model_that_was_run(imported):
    [theirs] = [each for each in imported.select() if not each.is_noise]
    [noise] = [each for each in imported.select() if each.is_noise]
    place = imported.place(theirs.model.replace("theirs", "ours"),
                           {**theirs.model_info, "name": "ours", "source": "built in"}, "anna",
                           theirs.image_info["digest"])  # fmt: skip
    new = samples([300, 500], dataset="x_t")
    x0 = {"x0": noise.fixed("x0")}
    ours = {**noise.header, "model": noise.header["model"].replace("theirs", "ours")}
    imported.commit(place, "noise", ours, new, x0)
    recipe = Recipe("0" * 40, "one-step")
    made = {**theirs.header, "model": ours["model"], "recipe": recipe.canonical()}
    imported.commit(place, recipe.name, made, replace(new, tensors={"x0_hat": new.tensors["x_t"]}))
    grid = compose_grid(imported)
    assert grid.missing == []
    assert [cell.kind for cell in grid.table.cells].count("x_t") == 2
    names = [" ".join(map(plain, [*g.names, *r.names])) for g in grid.table.groups for r in g.rows]
    assert "anna xt ours" in names
