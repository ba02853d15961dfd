"""Curves for a paper: what is drawn is what was measured, on the page that was asked for."""

import csv
import importlib.util
import json
import math
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from galleries import portrait_store
from stores import DDIM, ONE_STEP, commit
from typer.testing import CliRunner

from nca_cli.analysis import Curve, Estimate, Point, Turn, curves
from nca_cli.cli import app
from nca_cli.errors import NcaError, NothingStored, UsageError
from nca_cli.figures.curves import sides, style, svg
from nca_cli.figures.curves.panel import (
    COLOUR_COUNT,
    DASH_COUNT,
    AxisRange,
    Look,
    Stroke,
    Trace,
    shown_levels,
)
from nca_cli.metrics import measure_store
from nca_cli.report import page
from nca_cli.store import Filters, Store

needs_matplotlib = pytest.mark.skipif(
    importlib.util.find_spec("matplotlib") is None, reason="matplotlib is an extra"
)


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Store:
    store = Store(tmp_path_factory.mktemp("plot") / "store")
    for image in ("cat", "dog"):
        for recipe in (None, DDIM, ONE_STEP):
            commit(store, (100, 300, 600), (0,), recipe, image)
    return store


@pytest.fixture(scope="module")
def drawn(store):
    from nca_cli.figures.curves import plot_curves

    return plot_curves(store, measures=["psnr", "mse"])


@needs_matplotlib
def test_every_point_is_a_mean_over_images_at_its_log_snr(store, drawn):
    panel = drawn.figure().axes[0]
    wanted = curves(measure_store(store, names=["psnr"]))
    lines = [line for line in panel.lines if len(line.get_xdata()) == 3]
    assert len(lines) == len(wanted) == 2
    for line, curve in zip(lines, wanted, strict=True):
        np.testing.assert_allclose(line.get_xdata(), [p.log_snr for p in curve.points])
        np.testing.assert_allclose(line.get_ydata(), [p.mean for p in curve.points])


@needs_matplotlib
def test_noise_grows_to_the_right_and_the_stages_meet_at_p2s_bounds(drawn):
    panel = drawn.figure().axes[0]
    left, right = panel.get_xlim()
    assert left > right
    assert len(panel.patches) == 2  # the levels of this store reach into two stages
    starts = {round(patch.get_x(), 6) for patch in panel.patches}
    starts |= {round(patch.get_x() + patch.get_width(), 6) for patch in panel.patches}
    assert round(math.log(1e-2), 6) in starts


@needs_matplotlib
@pytest.mark.parametrize("width", [84, 174])
def test_the_page_is_as_wide_as_asked_and_its_text_is_text(store, tmp_path, width):
    from nca_cli.figures.curves import Page, plot_curves

    drawn = plot_curves(store, measures=["psnr"], page=Page(width=width, font_size=8))
    pdf = drawn.save(tmp_path / "a.pdf").read_bytes()
    box = re.search(rb"/MediaBox \[ ?0 0 ([\d.]+) ([\d.]+) ?\]", pdf)
    assert float(box[1]) / 72 * 25.4 == pytest.approx(width, abs=0.05)
    assert b"/FontFile2" in pdf
    svg = drawn.save(tmp_path / "a.svg").read_text()
    said = re.findall(r"<text[^>]*>([^<]*)</text>", svg)
    assert {"log SNR (more noise →)", "ddim-50", "one-step"} <= set(said)
    assert "@font-face" in svg


@needs_matplotlib
def test_the_same_values_are_the_same_file(drawn, tmp_path):
    for kind in ("pdf", "svg", "png"):
        first = drawn.save(tmp_path / f"a.{kind}").read_bytes()
        assert first == drawn.save(tmp_path / f"b.{kind}").read_bytes()


@needs_matplotlib
def test_references_are_grey_and_named(store):
    from nca_cli.figures.curves import plot_curves
    from nca_cli.figures.curves.style import GREY

    with_references = plot_curves(store, measures=["psnr"], references=True)
    colours = [line.get_color() for line in with_references.figure().axes[0].lines]
    assert GREY in colours


@needs_matplotlib
def test_bars_stand_on_their_markers(tmp_path):
    from matplotlib.collections import LineCollection

    from nca_cli.figures.curves import plot_curves

    many = Store(tmp_path / "many")
    for image in (f"p{number}" for number in range(6)):
        for recipe in (None, *(replace(DDIM, steps=steps) for steps in (5, 10, 20, 50))):
            commit(many, (100, 300, 600), (0,), recipe, image)
    [panel] = plot_curves(many, measures=["psnr"]).figure().axes[:1]
    bars = [each for each in panel.collections if isinstance(each, LineCollection)]
    assert len(bars) == len(panel.lines) == 4
    for line, bar in zip(panel.lines, bars, strict=True):
        segments = np.array(bar.get_segments())
        np.testing.assert_array_equal(segments[:, :, 0], np.stack([line.get_xdata()] * 2, axis=1))
        assert (segments[:, 0, 1] < line.get_ydata()).all()
        assert (segments[:, 1, 1] > line.get_ydata()).all()


@needs_matplotlib
def test_all_bands_share_a_panel_and_what_has_one_unit_an_axis(store):
    from nca_cli.figures.curves import plot_curves

    names = ["psnr", "ssim", "kept/0", "kept/2", "coherence/1", "coherence"]
    plot = plot_curves(store, measures=names)
    assert plot.measures == ["psnr", "ssim", "kept/0", "kept/2", "coherence"]
    panels = {panel.measure: panel for panel in plot.panels}
    assert panels["coherence"].bands == tuple(f"coherence/{band}" for band in range(3))
    assert panels["kept/0"].y == panels["kept/2"].y
    assert panels["psnr"].y != panels["ssim"].y
    figure = plot.figure()
    colours = {line.get_color() for line in figure.axes[4].lines}
    assert len(colours) == 3  # one for each band, whatever the sampler
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["ddim-50", "one-step"]
    assert [text.get_text() for text in figure.legends[1].get_texts()] == ["below 2", "2–4", "4–8"]


@needs_matplotlib
@pytest.mark.parametrize(("width", "columns"), [(84, None), (174, None), (174, 1), (174, 3)])
def test_many_panels_stand_as_asked_on_at_most_210_mm(store, width, columns):
    from nca_cli.figures.curves import Page, plot_curves

    names = ["psnr", "ssim", "mse", "ms-ssim", "colour", "edges", "coherence", "kept"]
    plot = plot_curves(store, measures=names, page=Page(width=width, columns=columns))
    figure = plot.figure()
    assert figure.get_figheight() * 25.4 <= 210 + 1e-6
    assert figure.get_figwidth() * 25.4 == pytest.approx(width)
    panels = figure.axes[: len(plot.panels)]
    assert panels[0].get_subplotspec().get_gridspec().ncols == (columns or plot.columns)
    named = [bool(panel.get_xlabel()) for panel in panels]
    assert named == [number + plot.columns >= len(panels) for number in range(len(panels))]


@needs_matplotlib
def test_a_long_name_in_the_legend_ends_in_an_ellipsis(store):
    from nca_cli.figures.curves.foot import Foot, Legend, shortened, wide
    from nca_cli.figures.curves.style import Page

    name = "a-model-of-a-very-long-name · one-step “a portrait of a woman”"
    assert shortened(name, 1000) == name
    assert shortened(name, 12).endswith("…")
    assert wide(shortened(name, 12)) <= 12
    foot = Foot(Page(width=60), [Legend([(name * 3, {})])], "words " * 40)
    assert all(wide(line) * 0.86 * foot.em * 25.4 <= 60 for line in foot.lines)


@needs_matplotlib
def test_a_reference_that_models_share_is_named_once(tmp_path):
    from nca_cli.figures.curves import plot_curves

    two = Store(tmp_path / "two")
    for model in ("one", "other"):
        for recipe in (None, DDIM):
            commit(two, (100, 300), (0,), recipe, "cat", model)
    names = plot_curves(two, measures=["psnr"], references=True).names
    assert len(names) == len(set(names))
    assert [name for name in names if "x_t itself" in name] == ["x_t itself"]


def test_models_and_samplers_are_told_apart_in_black_and_white():
    from nca_cli.figures.curves.panel import series_looks

    names = [(model, sampler) for model in "ab" for sampler in ("ddim-50", "one-step", "pndm-50")]
    found = dict(zip(names, series_looks(names), strict=True))
    assert len({(look.marker, look.dash) for look in found.values()}) == len(names)
    assert not any(look.hollow for look in found.values())  # which pairs of one image are


def test_colour_is_the_model_and_dash_the_sampler():
    from nca_cli.figures.curves.panel import series_looks

    names = [(model, sampler) for model in "abcde" for sampler in ("ddim-50", "one-step")]
    found = dict(zip(names, series_looks(names), strict=True))
    for (model, sampler), look in found.items():
        for (other, beside), seen in found.items():
            assert (look.colour == seen.colour) == (look.marker == seen.marker) == (model == other)
            assert (look.dash == seen.dash) == (sampler == beside)


@pytest.mark.parametrize(("clean", "shown"), [(9.2, 4), (3.0, 5)])
def test_a_level_that_would_crowd_all_others_is_beyond_the_axis(clean, shown):
    """t = 0 of a linear schedule has a log SNR of 9.2, t = 100 one of 2.1."""
    levels = (clean, 2.1, 0.5, -3.0, -5.0)
    points = [Point.of(t, log_snr, Estimate(0.5)) for t, log_snr in enumerate(levels)]
    kept = shown_levels(points)
    assert kept == sorted(levels)[:shown]
    trace = Trace(0, "one", Look(Stroke.SERIES), {"psnr": Curve("m", "s", "psnr", tuple(points))})
    assert len(trace.within(AxisRange(kept[0], kept[-1])).points("psnr")) == shown


def test_page_and_paper_have_the_same_colours_and_as_many_markers_and_dashes():
    css = Path(page.__file__).with_name("report.css").read_text()
    light = re.findall(r"--c\d: light-dark\((#\w+), #\w+\)", css)
    assert tuple(light) == style.COLOURS
    assert re.findall(r"\.s(\d) { color: var\(--c\1\); }", css) == [*map(str, range(COLOUR_COUNT))]
    for of in (style, svg):
        assert len(of.MARKERS) == len(set(of.MARKERS)) == COLOUR_COUNT == len(style.COLOURS)
        dashes = of.DASHES[Stroke.SERIES]
        assert len(dashes) == len(set(dashes)) == DASH_COUNT


@needs_matplotlib
def test_what_makes_no_sense_is_refused(store, drawn, tmp_path):
    from nca_cli.figures.curves import Page, plot_curves

    for unknown in ("beauty", "coherence/3", "psnr/1"):  # of 16 px there are bands 0 to 2
        with pytest.raises(UsageError):
            plot_curves(store, measures=[unknown])
    with pytest.raises(UsageError):
        drawn.save(tmp_path / "a.bmp")
    with pytest.raises(UsageError):
        Page(width=1)
    with pytest.raises(NothingStored):
        plot_curves(store, Filters(images=["bird"]))


def test_without_matplotlib_one_line_says_how_to_get_it(store, tmp_path, monkeypatch):
    from nca_cli.figures import curves

    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "matplotlib" else real(name)
    )
    with pytest.raises(NcaError) as error:
        curves.plot_curves(store)
    assert "pip install 'nca-cli[figures]'" in error.value.hint
    out = tmp_path / "a.pdf"
    done = CliRunner().invoke(app, ["plot", "--store", str(store.root), "-o", str(out)])
    assert done.exit_code == 1
    assert len(done.stderr.strip().splitlines()) == 1
    assert not out.exists()


def test_importing_the_module_loads_neither_matplotlib_nor_torch():
    code = "import nca_cli.figures.curves, sys\n"
    code += "print(sorted({'matplotlib', 'torch'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@needs_matplotlib
def test_axes_are_titled_as_on_the_page_and_claim_closeness_only_where_it_is_so(store):
    from nca_cli.figures.curves import plot_curves

    figure = plot_curves(store, measures=["kept", "coherence", "psnr", "mse"]).figure()
    titles = {axes.get_ylabel() for axes in figure.axes}
    assert {"Energy kept", "Coherence (higher is closer)"} <= titles
    assert {"PSNR (dB; higher is closer)", "MSE (lower is closer)"} <= titles
    alone = plot_curves(store, measures=["kept/2", "coherence/2"]).figure()
    titles = {axes.get_ylabel() for axes in alone.axes}
    assert "Energy kept, 4–8 cycles per side" in titles
    assert "Coherence, 4–8 cycles per side\n(higher is closer)" in titles


@needs_matplotlib
def test_series_over_other_images_say_over_how_many_and_a_note_says_so(store, tmp_path):
    uneven = Store(tmp_path / "uneven")
    for image in ("cat", "dog"):
        for recipe in (None, DDIM, ONE_STEP) if image == "cat" else (None, DDIM):
            commit(uneven, (100, 300, 600), (0,), recipe, image)
    for made, names in ((store, ["ddim-50", "one-step"]),
                        (uneven, ["ddim-50 (n = 2)", "one-step (n = 1)"])):  # fmt: skip
        where = str(tmp_path / "a.svg")
        done = CliRunner().invoke(app, ["plot", "--store", str(made.root), "-o", where])
        assert done.exit_code == 0
        assert bool(done.stderr) == (made is uneven)
        said = re.findall(r"<text[^>]*>([^<]*)</text>", (tmp_path / "a.svg").read_text())
        assert set(names) <= set(said)
    assert "different images" in done.stderr


@needs_matplotlib
def test_the_legend_says_how_much_a_fitted_gaussian_knows(tmp_path):
    from gaussians import ONE_STEP as EXACT
    from gaussians import Gaussian, fill

    from nca_cli.figures.curves import plot_curves

    fill(tmp_path / "store", Gaussian(), 30, 1, (EXACT,), levels=(100, 500))
    drawn = plot_curves(Store(tmp_path / "store"), measures=["psnr"], references=True)
    names = {text.get_text() for text in drawn.figure().legends[0].get_texts()}
    assert "Gaussian of 29 other images (28 of 192 directions)" in names
    assert {"x_t itself", "Wiener filter of 29 other images", "one-step"} <= names


# -- numbers ---------------------------------------------------------------------------------------


def numbers_of(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


@needs_matplotlib
def test_the_numbers_of_a_figure_are_those_that_it_draws(store, tmp_path):
    from nca_cli.figures.curves import plot_curves

    words = ["plot", "--store", str(store.root), "-o", str(tmp_path / "a.svg"), "--csv",
             str(tmp_path / "a.csv"), "--measure", "psnr", "--references", "--json"]  # fmt: skip
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    assert [Path(each).name for each in json.loads(done.stdout)["files"]] == ["a.svg", "a.csv"]
    plot = plot_curves(store, measures=["psnr"], references=True)
    drawn = [(entry.name, point) for entry in plot.entries for point in entry.points("psnr")]
    rows = numbers_of(tmp_path / "a.csv")
    assert [row["series"] for row in rows] == [name for name, _ in drawn]
    for row, (_, point) in zip(rows, drawn, strict=True):
        assert row["measure"] == "psnr"
        assert row["step"] == ""
        assert float(row["t"]) == point.t
        assert float(row["log_snr"]) == point.log_snr
        assert float(row["value"]) == point.mean
        assert int(row["n"]) == point.images
        low = float(row["low"] or "nan")
        assert low == point.low or (math.isnan(low) and math.isnan(point.low))


@needs_matplotlib
def test_half_levels_are_written_and_those_beyond_the_levels_are_infinite(store, tmp_path):
    from nca_cli.twins import plot_half_levels

    figure = plot_half_levels(store, of="bands")
    figure.save_numbers(tmp_path / "half.csv")
    rows = numbers_of(tmp_path / "half.csv")
    assert len(rows) == len(figure.marks) > 0
    for row, mark in zip(rows, figure.marks, strict=True):
        ends = {Turn.GONE: math.inf, Turn.LASTS: -math.inf}
        assert float(row["value"]) == ends.get(mark.turn, mark.half.log_snr.value)
        assert (row["measure"], row["log_snr"]) == (mark.half.measure, "")


@needs_matplotlib
def test_numbers_are_not_written_over_the_figure_or_the_store(store, tmp_path):
    for out, csv_ in (("a.pdf", tmp_path / "a.pdf"), ("b.pdf", store.root / "a.csv")):
        words = ["plot", "--store", str(store.root), "-o", str(tmp_path / out), "--csv", str(csv_)]
        done = CliRunner().invoke(app, words)
        assert done.exit_code == 2, done.output
        assert not csv_.exists()


# -- several resolutions ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sizes(tmp_path_factory) -> Store:
    """A model at 16 and at 32 px."""
    root = tmp_path_factory.mktemp("sizes") / "store"
    for side in (16, 32):
        found = portrait_store(root, images=["cat", "dog"], side=side, recipes=(ONE_STEP,))
    return found


@needs_matplotlib
def test_models_of_several_resolutions_are_named_by_size_and_a_note_says_how_far_apart(sizes):
    from nca_cli.figures.curves import plot_curves

    plot = plot_curves(sizes, measures=["psnr"])
    assert {entry.name for entry in plot.series} == {
        f"demo {side} px · one-step" for side in (16, 32)
    }
    assert f"at 32 px the same content lies {2 * math.log(2):.2f} lower" in plot.note
    assert "--per-pixel" in plot.note
    assert "P2's stages as defined at 256 px" in plot.caption


@needs_matplotlib
def test_per_pixel_levels_are_shifted_by_the_side(sizes, tmp_path):
    from nca_cli.figures.curves import plot_curves

    plain, corrected = (plot_curves(sizes, measures=["psnr"], per_pixel=each) for each in (0, 1))
    for entry, moved in zip(plain.series, corrected.series, strict=True):
        side = 16 if "16 px" in entry.name else 32
        before = [point.log_snr for point in entry.points("psnr")]
        after = [point.log_snr for point in moved.points("psnr")]
        np.testing.assert_allclose(after, np.add(before, 2 * math.log(side / 256)))
    assert corrected.note == ""
    assert "stages" not in corrected.caption
    out = tmp_path / "a.svg"
    words = ["plot", "--store", str(sizes.root), "--per-pixel", "-o", str(out)]
    assert CliRunner().invoke(app, words).exit_code == 0
    assert "log SNR per pixel at 256 px" in out.read_text()


def test_what_lies_in_latents_has_no_place_on_the_axis_per_pixel():
    """Averaging 2×2 pixels is what moves content by 2 ln 2; a latent is no mean of pixels."""
    space = {"shape": [3, 64, 64], "channels": 3}
    assert sides.side_of(space) == 64
    assert sides.side_of({**space, "autoencoder": "ab"}) is None
    both, alone = {"ddpm": 256, "ldm": None}, {"ldm": None, "sd": None}
    said = sides.advice(both, corrected=False)
    assert said.startswith("The noise of ldm is in latents, that of the other models in pixels")
    assert "--per-pixel" not in said
    assert sides.advice({**both, "demo": 64}, corrected=False).endswith(
        "(--per-pixel corrects that)."
    )
    assert sides.advice(alone, corrected=False) == sides.apart(alone) == ""
    with pytest.raises(UsageError, match="the noise of ldm is in no pixels"):
        sides.per_pixel([], both)


@needs_matplotlib
def test_half_levels_per_pixel_are_shifted_alike_and_stand_in_columns(sizes):
    from nca_cli.figures.curves import Page
    from nca_cli.twins import plot_half_levels

    plain, corrected = (plot_half_levels(sizes, of="bands", per_pixel=each) for each in (0, 1))
    side = {"demo 16 px": 16, "demo 32 px": 32}
    known = {(mark.key, mark.half.measure): mark.half.log_snr.value for mark in plain.marks}
    shared = [mark for mark in corrected.marks if math.isfinite(mark.half.log_snr.value)]
    assert shared
    for mark in shared:
        shift = 2 * math.log(side[mark.key[0]] / 256)
        assert mark.half.log_snr.value == pytest.approx(known[mark.key, mark.half.measure] + shift)
    assert "--per-pixel" in plain.note
    assert corrected.note == ""
    both = replace(plain, groups=plain.groups * 2)
    for columns in (1, 2):
        assert len(replace(both, page=Page(columns=columns)).figure().axes) == columns


@needs_matplotlib
def test_levels_that_are_not_stored_are_said_beside_those_that_are(store):
    from nca_cli.figures.curves import plot_curves
    from nca_cli.twins import plot_half_levels

    for draw in (plot_curves, plot_half_levels):
        with pytest.raises(NothingStored) as error:
            draw(store, Filters(t=[333]))
        assert str(error.value) == "no samples at t = 333; stored: 100, 300, 600"
        assert "nca reconstruct" in error.value.hint
