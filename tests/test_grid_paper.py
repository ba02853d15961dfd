"""Figures for a paper: arrangement, size in millimetres, text as text, zooms and colour bars."""

import base64
import io
import re
from itertools import combinations

import numpy as np
import pytest
from PIL import Image
from stores import SIDE, commit, full_store, tensor

from nca_cli.errors import UsageError
from nca_cli.figures.grid import compose_grid, pictures
from nca_cli.figures.grid.paint import enlarged, resized
from nca_cli.images import to_uint8
from nca_cli.store import Filters, Store

CAT = Filters(images=["cat"], seeds=[0], samplers=["ddim"])


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Store:
    return full_store(tmp_path_factory.mktemp("paper") / "store")


def plain(label) -> str:
    return "".join(run.text for run in label)


def texts(grid) -> list[str]:
    return [plain(each.label) for each in grid.sheet.texts]


def pixels(grid, row, column):
    return np.asarray(grid.image().crop(grid.sheet.box(row, column)))


# -- arrangement -----------------------------------------------------------------------------------


def test_p2_has_the_input_and_beside_it_x0_hat_from_low_to_high_snr(store):
    grid = compose_grid(store, CAT, layout="p2", cell=SIDE)
    assert grid.levels == [600, 300, 100]
    np.testing.assert_array_equal(pixels(grid, 0, 0), to_uint8(tensor(0, 0, "cat")))
    for column, t in enumerate(grid.levels, start=1):
        np.testing.assert_array_equal(pixels(grid, 0, column), to_uint8(tensor(t, 0, "x0_hat")))
    assert len(grid.sheet.pictures) == 4


def test_p2_names_the_stages_over_their_columns_and_the_sampler_once(store):
    grid = compose_grid(store, CAT, layout="p2", cell=128)
    stages = {plain(each.label): each.box for each in grid.sheet.texts}
    assert {"coarse", "content"} <= stages.keys()  # logSNR -6 | -3, -1
    assert "clean-up" not in stages
    assert stages["coarse"].right <= grid.sheet.box(0, 1).right
    assert stages["content"].left >= grid.sheet.box(0, 2).left
    assert texts(grid).count("x0 from xt by toy, ddim-50") == 1


def test_seeds_as_columns_put_each_draw_beside_the_others(store):
    grid = compose_grid(
        store, Filters(images=["cat"], samplers=["ddim"], t=[300]), columns="seeds", cell=SIDE
    )
    for column, seed in enumerate((0, 1), start=1):
        np.testing.assert_array_equal(pixels(grid, 0, column), to_uint8(tensor(300, seed, "x_t")))
        np.testing.assert_array_equal(
            pixels(grid, 1, column), to_uint8(tensor(300, seed, "x0_hat"))
        )
    assert {"0", "1"} <= set(texts(grid)) or {"seed 0", "seed 1"} <= set(texts(grid))


@pytest.mark.parametrize(
    "wrong",
    [
        {"layout": "p3"}, {"columns": "images"}, {"rows": "seeds", "columns": "seeds"},
        {"cell": 64, "width": 84}, {"width": 1}, {"dpi": 1}, {"font_size": 1}, {"scale": 0},
        {"zoom": ["1,2,3"]}, {"zoom": ["0,0,0,4"]}, {"zoom": ["0.5,0.5,0.6,0.2"]},
        {"zoom": ["8,8,9,9"]}, {"zoom": ["nan,0,1,1"]}, {"width": 10, "font_size": 20},
    ],
)  # fmt: skip
def test_requests_that_make_no_sense_are_refused(store, wrong):
    with pytest.raises(UsageError):
        compose_grid(store, CAT, **wrong)


# -- size ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("width", "dpi"), [(84, 300), (174, 200), (60.5, 600)])
def test_the_width_in_millimetres_is_what_was_asked_for_in_every_format(
    store, tmp_path, width, dpi
):
    grid = compose_grid(store, CAT, width=width, dpi=dpi)
    with Image.open(grid.save(tmp_path / "a.png")) as image:
        assert image.width / image.info["dpi"][0] * 25.4 == pytest.approx(width, rel=1e-3)
        assert image.width == round(width / 25.4 * dpi)
    pdf = grid.save(tmp_path / "a.pdf").read_bytes()
    box = re.search(rb"/MediaBox \[0 0 ([\d.]+) ([\d.]+)\]", pdf)
    assert float(box[1]) / 72 * 25.4 == pytest.approx(width, abs=0.01)
    svg = grid.save(tmp_path / "a.svg").read_text()
    assert float(re.search(r'<svg [^>]*width="([\d.]+)mm"', svg)[1]) == pytest.approx(width)


def test_type_has_the_points_that_were_asked_for(store):
    for points in (6, 8, 10):
        grid = compose_grid(store, CAT, width=174, font_size=points, dpi=300)
        assert grid.sheet.em == round(points / 72 * 300)


@pytest.mark.parametrize("width", [60, 84, 174])
@pytest.mark.parametrize("layout", ["strips", "p2"])
def test_on_paper_texts_overlap_nothing_and_stay_on_the_sheet(store, width, layout):
    grid = compose_grid(store, layout=layout, width=width, caption="A caption of words. " * 9)
    boxes = [each.box for each in (*grid.sheet.texts, *grid.sheet.pictures)]
    for a, b in combinations(boxes, 2):
        across = min(a.right, b.right) - max(a.left, b.left)
        assert across <= 0 or min(a.bottom, b.bottom) - max(a.top, b.top) <= 4
    assert max(box.right for box in boxes) <= grid.sheet.size[0]
    assert max(box.bottom for box in boxes) <= grid.sheet.size[1]


def test_a_caption_is_wrapped_and_whole(store):
    words = "Reconstructions of two samples at three noise levels, " * 4
    grid = compose_grid(store, CAT, width=84, caption=words)
    lines = [each for each in texts(grid) if each and each in " ".join(words.split())]
    assert " ".join(lines).endswith(" ".join(words.split()))


# -- text as text ----------------------------------------------------------------------------------


def test_the_texts_of_an_svg_are_texts_and_its_pictures_are_the_tensors(store, tmp_path):
    svg = (
        compose_grid(store, CAT, cell=64, title="Title & <b>").save(tmp_path / "a.svg").read_text()
    )
    body = re.sub(r"<style>.*?</style>", "", svg, flags=re.DOTALL)
    said = [re.sub("<[^>]+>", "", line) for line in re.findall(r"<text.*?</text>", body)]
    assert {"cat", "100", "0.37", "ddim-50", "Title &amp; &lt;b&gt;"} <= set(said)
    assert "@font-face" in svg
    assert "http" not in svg.replace("http://www.w3.org/2000/svg", "")
    first = base64.b64decode(re.search(r'href="data:image/png;base64,([^"]+)"', svg)[1])
    with Image.open(io.BytesIO(first)) as image:
        np.testing.assert_array_equal(np.asarray(image), to_uint8(tensor(0, 0, "cat")))


def test_an_svg_is_well_formed_whatever_images_are_called(tmp_path):
    from xml.etree import ElementTree

    store = Store(tmp_path / "store")
    for name in ("<script>", "a&b\"'", "猫", "\u202eevil"):
        commit(store, [100], recipe=None, image=name)
    path = compose_grid(store, title="</text><script>").save(tmp_path / "a.svg")
    assert ElementTree.parse(path).getroot().tag.endswith("svg")


def test_the_texts_of_a_pdf_are_texts_with_their_fonts_inside(store, tmp_path):
    import zlib

    grid = compose_grid(store, CAT, cell=SIDE * 4)
    pdf = grid.save(tmp_path / "a.pdf").read_bytes()
    assert pdf.startswith(b"%PDF-")
    assert pdf.count(b"/FontFile2 ") == 3  # text, bold, mathematics
    assert b"/ToUnicode" in pdf
    streams = re.findall(rb"stream\n(.*?)\nendstream", pdf, re.DOTALL)
    found = []
    for stream in streams:
        try:
            found.append(zlib.decompress(stream))
        except zlib.error:
            found.append(stream)
    maps_ = b"".join(each for each in found if b"beginbfchar" in each)
    codes = {int(code, 16) for code in re.findall(rb"<[0-9A-Fa-f]+> <([0-9A-Fa-f]{4})>", maps_)}
    assert {ord(letter) for letter in "SNR0.37ddim-50"} <= codes
    wanted = to_uint8(tensor(0, 0, "cat")).reshape(SIDE, 3 * SIDE)
    rows = [np.frombuffer(each, np.uint8).reshape(SIDE, -1) for each in found
            if len(each) == SIDE * (3 * SIDE + 1)]  # fmt: skip  # each row begins with PNG's filter
    assert any(np.array_equal(each[:, 1:], wanted) for each in rows), "without loss"


def test_saving_png_loads_no_library_of_pdf_or_fonts(store, tmp_path):
    import subprocess
    import sys

    code = (
        "import sys\nfrom nca_cli.figures.grid import compose_grid\n"
        "from nca_cli.store import Store\n"
        "compose_grid(Store(sys.argv[1]), layout='p2').save(sys.argv[2])\n"
        "print(sorted({'fpdf', 'fontTools', 'matplotlib', 'torch'} & set(sys.modules)))"
    )
    arguments = [sys.executable, "-c", code, str(store.root), str(tmp_path / "a.png")]
    done = subprocess.run(arguments, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# -- zooms -----------------------------------------------------------------------------------------


def inside(array):
    """Without the coloured line around."""
    return array[3:-3, 3:-3]


@pytest.mark.parametrize("zoom", ["4,2,8,6", "0.25,0.125,0.5,0.375"])
def test_a_zoom_is_the_crop_enlarged_below_its_row(store, zoom):
    grid = compose_grid(store, CAT, zoom=[zoom], cell=64)
    for row, column, name, t in ((1, 0, "cat", 0), (1, 1, "x_t", 100), (3, 2, "x0_hat", 300)):
        crop = np.ascontiguousarray(to_uint8(tensor(t, 0, name))[2:8, 4:12])
        draw = enlarged if name == "x_t" else resized  # noise is shown as noise
        expected = draw(crop, (64, 48))
        np.testing.assert_array_equal(inside(pixels(grid, row, column)), inside(expected))


def test_a_frame_in_x0_says_where_the_zoom_is(store):
    grid = compose_grid(store, CAT, zoom=["4,4,8,8"], cell=64)
    plain_x0 = pixels(compose_grid(store, CAT, cell=64), 0, 0)
    changed = (pixels(grid, 0, 0) != plain_x0).any(axis=-1)
    rows, columns = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
    assert (rows[0], rows[-1]) == (15, 48)  # 4 and 12 of 16 pixels, a white line around
    assert (columns[0], columns[-1]) == (15, 48)
    assert not changed[20:44, 20:44].any()
    np.testing.assert_array_equal(
        pixels(grid, 0, 1), pixels(compose_grid(store, CAT, cell=64), 0, 1)
    )


# -- colour bars -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("scale", "ends"), [(None, ("−1", "+1")), (0.25, ("−0.25", "+0.25"))])
def test_the_ends_of_the_bar_are_the_range_of_the_differences(store, scale, ends):
    grid = compose_grid(store, CAT, show="x0,diff", scale=scale, cell=SIDE)
    difference = tensor(300, 0, "x0_hat") - tensor(0, 0, "cat")
    np.testing.assert_array_equal(pixels(grid, 0, 2), to_uint8(difference / (scale or 1)))
    said = texts(grid)
    assert said[said.index(ends[0]) + 1] == ends[1]
    [ramp] = grid.sheet.ramps
    painted = np.asarray(grid.image().crop(ramp.box))
    assert painted[0, 0].tolist() == [0, 0, 0]
    assert painted[0, -1].tolist() == [255, 255, 255]


def test_an_error_has_the_colour_that_the_bar_gives_to_its_size(store):
    grid = compose_grid(store, CAT, show="x0,error", scale=1.5, cell=SIDE)
    difference = tensor(300, 0, "x0_hat") - tensor(0, 0, "cat")
    error = np.sqrt((difference**2).mean(axis=0))
    expected = pictures.ramp()[np.rint(np.clip(error / 1.5, 0, 1) * 255).astype(int)]
    np.testing.assert_array_equal(pixels(grid, 0, 2), expected)
    assert {"0", "≥ 1.5"} <= set(texts(grid)) or {"0", "1.5"} <= set(texts(grid))


def test_the_range_of_errors_holds_nearly_all_of_them_by_default(store):
    grid = compose_grid(store, CAT, show="x0,error", cell=SIDE)
    errors = np.concatenate([c.error.ravel() for c in grid.table.cells if c.error is not None])
    top = float(texts(grid)[-1].removeprefix("≥ "))
    assert 0.98 < (errors <= top).mean() <= 1


def test_the_colours_of_errors_grow_lighter_all_the_way():
    light = pictures.ramp().astype(float) @ (0.2126, 0.7152, 0.0722)
    assert (np.diff(light) > -0.5).all()
    assert light[-1] - light[0] > 200


# -- sweeps ----------------------------------------------------------------------------------------


def test_a_sweep_as_webp_moves_through_the_levels_and_loops(store, tmp_path):
    grid = compose_grid(store, CAT, cell=32)
    with Image.open(grid.save(tmp_path / "a.webp", sweep=True)) as image:
        assert (image.n_frames, image.info["loop"]) == (3, 0)
    with Image.open(grid.save(tmp_path / "b.webp")) as image:
        assert getattr(image, "n_frames", 1) == 1
    with pytest.raises(UsageError):
        grid.save(tmp_path / "a.png", sweep=True)
