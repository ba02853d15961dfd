"""The chart of half-levels: the numbers of the CSV, and what lies beyond the levels at the edge."""

import math
from dataclasses import replace

import pytest
from galleries import portrait_store
from test_findings import GONE, LASTS, half, with_halves
from test_report import DDIM, ONE_STEP, fill
from typer.testing import CliRunner

from nca_cli.analysis import Estimate, Turn
from nca_cli.analysis.halflevel import Order
from nca_cli.cli import app
from nca_cli.errors import NothingStored
from nca_cli.figures.curves.halves import half_rows
from nca_cli.portraits import portrait
from nca_cli.report import collect, render
from nca_cli.report.data import ReportRequest
from nca_cli.report.page.charts import entries
from nca_cli.report.page.halves import answers
from nca_cli.report.page.orders import band_orders
from nca_cli.store import Filters, Store
from nca_cli.twins import plot_half_levels

KEY = ("demo", "one-step")
LEVELS = (2.0, 0.0, -4.0, -8.0)


@pytest.fixture
def report(tmp_path):
    store = Store(tmp_path / "store")
    for image in ("cat", "dog", "eel"):
        fill(store, image=image, recipe=DDIM)
        fill(store, image=image, recipe=ONE_STEP)
    return collect(store)


def test_a_mark_stands_where_half_is_lost_and_beyond_the_levels_at_the_edge():
    halves = [half(*KEY, 0, LASTS), half(*KEY, 1, (-1.0, -2.0, 0.5)), half(*KEY, 2, GONE),
              half(*KEY, 3, (0.0, -math.inf, 1.0)), half(*KEY, 4, "no values")]  # fmt: skip
    found = half_rows(halves, [KEY], LEVELS)
    rows = {measure: marks[0] for measure, marks in found.rows}
    order = ["coherence/2", "coherence/3", "coherence/1", "coherence/0"]
    assert [measure for measure, _ in found.rows] == order  # gone, then lost, then left
    assert (rows["coherence/0"].at, rows["coherence/0"].turn) == (found.x.low, Turn.LASTS)
    assert (rows["coherence/2"].at, rows["coherence/2"].turn) == (found.x.high, Turn.GONE)
    mark = rows["coherence/1"]
    assert (mark.at, mark.low, mark.high, mark.open) == (-1.0, -2.0, 0.5, (False, False))
    assert rows["coherence/3"].open == (False, True)
    assert rows["coherence/3"].low == found.x.low < -8.0


def test_nothing_known_is_no_chart():
    assert half_rows([half(*KEY, 0, "no values")], [KEY], LEVELS) is None
    assert half_rows([], [KEY], LEVELS) is None


def test_the_first_screen_has_the_leading_series_of_each_model_at_the_numbers_of_the_csv(report):
    (bands,) = answers(report, entries(report))
    known = {each.measure: each.log_snr.value for each in report.analysis.half_levels
             if (each.model, each.sampler) == KEY
             and each.measure.startswith("coherence/")}  # fmt: skip
    shown = {mark.half.measure: mark.half.log_snr.value for _, marks in bands.rows
             for mark in marks if not mark.beyond}  # fmt: skip
    assert shown
    assert all(known[measure] == value for measure, value in shown.items())
    assert {mark.entry.name for _, marks in bands.rows for mark in marks} == {"demo · one-step"}


def test_the_page_says_that_more_than_half_is_left_at_the_last_level(report):
    halves = [half(*KEY, 0, LASTS), half(*KEY, 1, (-1.0, -2.0, 0.5)), half(*KEY, 2, GONE)]
    page = render(with_halves(report, *halves))
    assert "more than half is left at the last level, SNR 0.00027" in page
    assert "half is lost before the first level, SNR 8.5" in page
    assert page.count(' lasts"') == page.count(' gone"') == 2  # first screen and section


# -- on paper --------------------------------------------------------------------------------------


@pytest.fixture
def portraits(tmp_path):
    """Five portraits of two samplers, at levels from clean to noise, and their tilt."""
    store = portrait_store(tmp_path / "store", images=[f"face-{seed}" for seed in range(9)],
                           levels=(100, 300, 500, 700, 900))  # fmt: skip
    labels = tmp_path / "labels.csv"
    rows = [f"face-{seed},{portrait(seed, 32)[1].tilt}" for seed in range(9)]
    labels.write_text("\n".join(["image,tilt", *rows]))
    return store, labels


def test_the_figure_has_the_numbers_of_the_report(portraits):
    pytest.importorskip("matplotlib")
    store, labels = portraits
    figure = plot_half_levels(store, labels=labels)
    assert [name for name, _ in figure.groups] == ["Spatial frequency", "Concepts"]
    report = collect(store, ReportRequest(labels=labels))
    every = (*report.analysis.half_levels, *report.concepts.half_levels)
    known = {(each.model, each.sampler, each.measure): each.log_snr for each in every}
    assert len(figure.marks) > 8
    for mark in figure.marks:
        expected = known[(*mark.key, mark.half.measure)]
        assert (mark.half.log_snr.value == expected.value) or mark.turn is not Turn.GOES
        if mark.turn is Turn.GOES:
            assert mark.at == expected.value
    lines = figure.figure().axes[0].lines
    drawn = [line.get_xdata()[0] for line in lines if line.get_marker() in ("o", "<", ">")]
    assert {mark.at for mark in figure.marks} <= set(drawn)


@pytest.mark.parametrize(("of", "groups"), [("bands", 1), ("both", 1), ("concepts", 0)])
def test_images_without_known_concepts_have_bands_alone(portraits, of, groups):
    pytest.importorskip("matplotlib")
    if groups:
        assert len(plot_half_levels(portraits[0], of=of).groups) == groups
    else:
        with pytest.raises(NothingStored):
            plot_half_levels(portraits[0], of=of)


def test_too_few_levels_are_answered_by_the_command_that_computes_more(tmp_path):
    pytest.importorskip("matplotlib")
    store = portrait_store(tmp_path / "store", images=["anna"], levels=(300,), recipes=(ONE_STEP,))
    asked = ["plot", "--half-levels", "bands", "--store", str(store.root)]
    line = CliRunner().invoke(app, asked).stderr
    assert (
        "half-levels need two or more noise levels of known SNR (compute it: nca reconstruct "
        in (line)
    )
    assert " IMAGES --model demo --sampler one-step " in line
    assert f" --t 100,600,900 --seed 0 --store {store.root})" in line


def test_levels_that_are_stored_but_left_out_are_only_to_be_taken(portraits):
    pytest.importorskip("matplotlib")
    with pytest.raises(NothingStored, match="two or more noise levels") as caught:
        plot_half_levels(portraits[0], Filters(t=[300]), "bands")
    assert caught.value.hint == "leave out --t"


@pytest.mark.parametrize("suffix", ["pdf", "svg", "png"])
def test_the_command_writes_it(portraits, tmp_path, suffix):
    pytest.importorskip("matplotlib")
    out = tmp_path / f"half.{suffix}"
    asked = ["plot", "--half-levels", "bands", "--store", str(portraits[0].root), "-o", str(out)]
    result = CliRunner().invoke(app, asked)
    assert result.exit_code == 0, result.output
    assert out.stat().st_size > 1000
    if suffix == "svg":
        text = out.read_text()
        assert "more noise →" in text
        assert "8–16 cycles per side" in text


@pytest.mark.parametrize("wrong", [["--half-levels", "colours"],
                                   ["--half-levels", "bands", "--references"]])  # fmt: skip
def test_what_makes_no_sense_is_refused(portraits, wrong):
    result = CliRunner().invoke(app, ["plot", *wrong, "--store", str(portraits[0].root)])
    assert result.exit_code == 2
    assert result.output.startswith("error: ")


def test_bands_have_a_matrix_of_orders_only_where_their_intervals_overlap(report):
    order = Order(*KEY, "coherence/2", "coherence/1", 0.995, Estimate(1.0, 0.2, 1.8, 9), True)
    apart = [half(*KEY, 1, (-4.0, -5.0, -3.0)), half(*KEY, 2, (0.0, -1.0, 1.0))]
    across = [half(*KEY, 1, (-1.0, -3.0, 0.5)), half(*KEY, 2, (0.0, -1.0, 1.0))]
    found = []
    for halves in (apart, across):
        given = with_halves(report, *halves)
        given = replace(given, analysis=replace(given.analysis, orders=(order,)))
        curves = [replace(each, points=tuple(replace(p, low=0.0, high=1.0) for p in each.points))
                  for each in given.analysis.curves]  # fmt: skip
        given = replace(given, analysis=replace(given.analysis, curves=tuple(curves)))
        found.append(band_orders(given, entries(given)))
    assert found[0] == ()
    [one] = found[1]
    assert one.key == KEY
    assert [[cell.per_cent for cell in row] for row in one.matrix.rows] == [["100"]]
    assert one.matrix.names == ("4–8 cycles per side", "2–4 cycles per side")
    assert "1 of 1 pair is certain" in one.matrix.summary
