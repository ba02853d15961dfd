"""Curves for a paper: what is drawn is what was measured, on the page that was asked for."""

import importlib.util
import math
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from stores import DDIM, ONE_STEP, commit
from typer.testing import CliRunner

from nca_cli.analysis import Curve, Estimate, Point, curves
from nca_cli.cli import app
from nca_cli.errors import NcaError, NothingStored, UsageError
from nca_cli.figures.curves import style, svg
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
    assert {"log SNR", "ddim-50", "one-step"} <= set(said)
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

    with pytest.raises(UsageError):
        plot_curves(store, measures=["beauty"])
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
    assert "Energy kept, 4–8 cycles per side" in titles
    assert "Coherence, 4–8 cycles per side\n(higher is closer)" in titles
    assert {"PSNR (dB; higher is closer)", "MSE (lower is closer)"} <= titles


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
    assert "same images" in done.stderr


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
