"""Trainings on paper: maps and learning curves show what was computed, where it belongs."""

from __future__ import annotations

import importlib.util
import json
import math
import re
from dataclasses import replace

import numpy as np
import pytest
from trainings import commit_run
from typer.testing import CliRunner

from nca_cli.analysis.checkpoints import StepTable, StoredRun
from nca_cli.analysis.emergence import Emergence, emergence
from nca_cli.analysis.p2 import BOUNDS
from nca_cli.cli import app
from nca_cli.errors import NothingStored, UsageError
from nca_cli.figures.curves import Page, plot_emergence, plot_learning
from nca_cli.figures.curves.charts import step_ticks
from nca_cli.figures.curves.training import ISO_SHARES, EmergenceMap, in_images, learning_panel
from nca_cli.schedule import Schedule
from nca_cli.store import Store
from nca_cli.twins import when_learned

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("matplotlib") is None, reason="matplotlib is an extra"
)
SCHEDULE = Schedule()
LEVELS = (100, 300, 500, 700, 900)
STEPS = (0, *sorted({round(step) for step in np.geomspace(1, 20_000, 70)}))
VARIANCE, RATE = 0.1, 1e-3
IMAGES = 6


def exponential(
    steps=STEPS, levels=LEVELS, run="linear", batch_size=32, flat=(), side=None
) -> Emergence:
    """A linear denoiser under gradient flow: its excess error is exp(-4ηcτ) of that at step 0.

    `flat`: levels at which nothing is learned.
    """
    cells = np.empty((IMAGES, len(levels), len(steps)))
    for index, t in enumerate(levels):
        level = SCHEDULE.level(t)
        c = level.a**2 * VARIANCE + level.s**2
        floor, start = VARIANCE * level.s**2 / c, (level.a * VARIANCE) ** 2 / c
        excess = np.exp(-4 * RATE * c * np.array(steps)) if t not in flat else np.ones(len(steps))
        cells[:, index] = np.linspace(0.8, 1.2, IMAGES)[:, None] * (floor + start * excess)
    log_snr = tuple(SCHEDULE.log_snr(t) for t in levels)
    images = tuple(f"p{index}" for index in range(IMAGES))
    stored = StoredRun(run, f"{run}-0", batch_size=batch_size, side=side)
    return emergence(StepTable(stored, "one-step", "mse", images, tuple(levels), log_snr,
                               tuple(steps), cells))  # fmt: skip


@pytest.fixture(scope="module")
def found() -> Emergence:
    return exponential()


def halves(t: float) -> float:
    """ln 2/(4ηc): the step at which half of the excess error is gone."""
    level = SCHEDULE.level(t)
    return math.log(2) / (4 * RATE * (level.a**2 * VARIANCE + level.s**2))


# -- maps ------------------------------------------------------------------------------------------


def test_the_line_of_one_half_passes_through_every_learning_step(found):
    [line] = [each for each in EmergenceMap(found).iso_lines if each.share == 0.5]
    at_level = dict(line.points)
    for t, log_snr, learned in zip(found.t, found.log_snr, found.learned, strict=True):
        assert at_level[log_snr] == pytest.approx(learned.step.value, rel=1e-6)
        assert at_level[log_snr] == pytest.approx(halves(t), rel=0.01)


def test_lines_of_other_shares_lie_where_the_closed_form_has_them(found):
    for line in EmergenceMap(found).iso_lines:
        factor = math.log(1 / (1 - line.share)) / math.log(2)
        for log_snr, step in line.points:
            if log_snr in found.log_snr:
                t = found.t[found.log_snr.index(log_snr)]
                assert step == pytest.approx(factor * halves(t), rel=0.02)
    assert {line.share for line in EmergenceMap(found).iso_lines} == set(ISO_SHARES)


def drawn_map(axes):
    [mesh] = [each for each in axes.collections if each.__class__.__name__ == "QuadMesh"]
    return mesh


def test_colours_are_the_shares_of_every_level_and_step(found):
    axes = plot_emergence([found]).figure().axes[0]
    mesh, panel = drawn_map(axes), EmergenceMap(found)
    corners = mesh.get_coordinates()
    shown = np.asarray(mesh.get_array()).reshape(len(STEPS) - 1, len(LEVELS))
    for column, (t, log_snr) in enumerate(zip(panel.t, panel.log_snr, strict=True)):
        share = found.learned[found.t.index(t)].share
        np.testing.assert_array_equal(shown[:, column], share)
        high, low = sorted(corners[0, column : column + 2, 0], reverse=True)
        assert low < log_snr < high
    for row, step in enumerate(STEPS[1:]):
        assert corners[row, 0, 1] < step < corners[row + 1, 0, 1]
    assert mesh.norm.vmin == 0
    assert mesh.norm.vmax == 1


def test_noise_grows_to_the_right_and_steps_upwards_on_a_logarithm(found):
    axes = plot_emergence([found]).figure().axes[0]
    left, right = axes.get_xlim()
    assert left > right
    low, high = axes.get_ylim()
    assert low < STEPS[1] < STEPS[-1] < high
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("log SNR (more noise →)", "training step")
    assert axes.get_yscale() == "log"


def test_p2s_stages_meet_at_p2s_bounds(found):
    axes = plot_emergence([found]).figure().axes[0]
    said = {text.get_text() for text in axes.texts}
    assert {"clean-up", "content", "coarse"} <= said
    lines = [line for each in axes.collections if each.__class__.__name__ == "LineCollection"
             for line in each.get_segments()]  # fmt: skip
    places = {round(line[0][0], 6) for line in lines if line[0][0] == line[-1][0]}
    assert places == {round(bound, 6) for bound in BOUNDS["content"]}


def test_a_level_with_nothing_to_learn_is_blank_and_the_caption_says_so(found):
    partly = exponential(flat=(500,))
    figure = plot_emergence([partly])
    shares = np.ma.asarray(drawn_map(figure.figure().axes[0]).get_array())
    shares = shares.reshape(len(STEPS) - 1, len(LEVELS))
    assert np.ma.getmaskarray(np.ma.masked_invalid(shares)).all(axis=0).tolist() == [
        t == 500 for t in LEVELS
    ]
    assert "Grey: no gain" in figure.caption
    assert "Grey" not in plot_emergence([found]).caption
    for line in EmergenceMap(partly).iso_lines:  # none crosses the blank
        assert all(log_snr != SCHEDULE.log_snr(500) for log_snr, _ in line.points)


def test_a_lucky_checkpoint_is_no_island(found):
    steps = (0, 10, 100, 1000, 10_000)
    once = exponential(steps)
    shares = [list(each.share) for each in once.learned]
    shares[2][0] = 0.6
    lucky = replace(once, learned=tuple(replace(each, share=tuple(share)) for each, share
                                        in zip(once.learned, shares, strict=True)))  # fmt: skip
    lines = [line for line in EmergenceMap(lucky).iso_lines if line.share == 0.5]
    assert len(lines) == 1


def test_two_checkpoints_after_step_0_are_a_map_of_two_rows_and_one_is_told(tmp_path):
    few = exponential((0, 100, 1000))
    mesh = drawn_map(plot_emergence([few]).figure().axes[0])
    assert np.asarray(mesh.get_array()).size == 2 * len(LEVELS)
    assert EmergenceMap(few).iso_lines
    store = trained(tmp_path / "short", steps=(0, 100))
    result = CliRunner().invoke(app, ["plot", "--emergence", "--store", str(store.root)])
    assert result.exit_code == 1
    *notes, error = result.stderr.strip().splitlines()
    assert notes == [f"{run} · one-step: fewer than two checkpoints after step 0" for run in "ab"]
    assert error.startswith("error: no training in")


def test_one_level_is_a_map_of_one_column():
    one = exponential(levels=(500,))
    mesh = drawn_map(plot_emergence([one]).figure().axes[0])
    assert np.asarray(mesh.get_array()).size == len(STEPS) - 1
    plot_learning([one]).figure()


# -- numbers ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("plot", [plot_emergence, plot_learning])
def test_the_numbers_of_a_training_are_the_measure_at_each_level_and_step(plot):
    found = exponential()
    rows = plot([found]).numbers
    assert len(rows) == len(found.t) * len(found.steps)
    assert {(row.t, row.step): row.value for row in rows} == {
        (t, step): found.mean[i][j]
        for i, t in enumerate(found.t) for j, step in enumerate(found.steps)
    }  # fmt: skip


# -- resolutions -----------------------------------------------------------------------------------


@pytest.mark.parametrize("plot", [plot_emergence, plot_learning])
def test_trainings_of_several_resolutions_get_a_note_that_per_pixel_answers(plot):
    several = [exponential(run=f"at {side}", side=side) for side in (64, 128)]
    plain, corrected = plot(several), plot(several, per_pixel=True)
    assert "64 to 128 px" in plain.note
    assert "1.39 lower in log SNR" in plain.note
    assert "--per-pixel" in plain.note
    assert corrected.note == ""
    for before, after in zip(plain.found, corrected.found, strict=True):
        shift = 2 * math.log(before.side / 256)
        np.testing.assert_allclose(after.log_snr, np.add(before.log_snr, shift))
        assert after.learned == before.learned


def test_a_map_per_pixel_has_its_levels_where_their_resolution_puts_them():
    found = exponential(side=64)
    plain, corrected = plot_emergence([found]), plot_emergence([found], per_pixel=True)
    moved = corrected.figure().axes[0]
    assert moved.get_xlabel().replace("\n", " ") == "log SNR per pixel at 256 px (more noise →)"
    before = plain.figure().axes[0].get_xlim()
    assert moved.get_xlim() == pytest.approx([end + 2 * math.log(64 / 256) for end in before])
    places = [line[0][0] for each in moved.collections
              if each.__class__.__name__ == "LineCollection" for line in each.get_segments()
              if line[0][0] == line[-1][0]]  # fmt: skip
    assert {round(place, 6) for place in places} <= {round(at, 6) for at in BOUNDS["content"]}
    assert "defined at 256 px" in plain.caption
    assert "stated" not in corrected.caption


def test_learning_curves_of_resolutions_that_disagree_on_t_name_the_axis_of_their_colours():
    several = [exponential(run=f"at {side}", side=side) for side in (64, 128)]
    bar = plot_learning(several, per_pixel=True).figure().axes[-1]
    assert bar.get_ylabel() == "log SNR per pixel at 256 px"


# -- learning curves -------------------------------------------------------------------------------


def lines_of(axes, marker: str):
    return [line for line in axes.lines if line.get_marker() == marker]


def test_a_line_for_each_level_passes_through_its_means(found):
    axes = plot_learning([found]).figure().axes[0]
    whole = [line for line in lines_of(axes, "o") if len(line.get_xdata()) > 1]
    assert len(whole) == len(LEVELS)
    for line, mean in zip(whole, found.mean, strict=True):  # t rises as noise does
        np.testing.assert_array_equal(line.get_xdata(), STEPS[1:])
        np.testing.assert_array_equal(line.get_ydata(), mean[1:])
    assert axes.get_xscale() == "log"
    assert axes.get_ylabel() == "MSE (lower is closer)"
    assert len({line.get_color() for line in whole}) == len(LEVELS)


def test_step_0_stands_before_the_others_and_is_called_0(found):
    axes = plot_learning([found]).figure().axes[0]
    [first, *_] = axes.get_xticks()
    assert first < STEPS[1]
    assert axes.get_xticklabels()[0].get_text() == "0"
    hollow = [line for line in lines_of(axes, "o") if line.get_markerfacecolor() == "white"]
    assert [float(line.get_xdata()[0]) for line in hollow] == [first] * len(LEVELS)
    assert [float(line.get_ydata()[0]) for line in hollow] == [mean[0] for mean in found.mean]


def test_a_diamond_stands_where_half_is_learned_with_its_interval(found):
    axes = plot_learning([found]).figure().axes[0]
    for line, learned in zip(lines_of(axes, "D"), found.learned, strict=True):
        assert float(line.get_xdata()[0]) == learned.step.value
        assert float(line.get_ydata()[0]) == pytest.approx((learned.baseline + learned.best) / 2)
    for line, learned in zip(lines_of(axes, "|"), found.learned, strict=True):
        assert tuple(line.get_xdata()) == (learned.step.low, learned.step.high)


def test_intervals_of_the_means_are_areas(found):
    from nca_cli.analysis.bootstrap import interval, resampled_means

    axes = plot_learning([found]).figure().axes[0]
    areas = [each for each in axes.collections if "Poly" in each.__class__.__name__]
    assert len(areas) == len(LEVELS)
    scale = np.linspace(0.8, 1.2, IMAGES)[:, None]
    low, high = interval(1.0, resampled_means(scale)[:, 0], IMAGES, mean=True)
    for index in range(len(LEVELS)):
        np.testing.assert_allclose(found.low[index], low * np.array(found.mean[index]))
        np.testing.assert_allclose(found.high[index], high * np.array(found.mean[index]))
        edge = areas[index].get_paths()[0].vertices[:, 1]
        assert edge.min() == pytest.approx(min(found.low[index][1:]))
        assert edge.max() == pytest.approx(max(found.high[index][1:]))


def test_curves_of_the_share_are_g_and_cross_one_half_at_the_diamond(found):
    axes = plot_learning([found], share=True).figure().axes[0]
    for line, learned in zip(lines_of(axes, "o"), found.learned, strict=True):
        np.testing.assert_array_equal(line.get_ydata(), learned.share)
        log_steps = np.log(np.array(line.get_xdata(), float))
        at = np.interp(math.log(learned.step.value), log_steps, learned.share)
        assert at == pytest.approx(0.5)
    assert {float(line.get_ydata()[0]) for line in lines_of(axes, "D")} == {0.5}
    assert any(text.get_text() == "50 %" for text in axes.get_yticklabels())


def test_runs_of_a_metric_share_their_axis_so_that_they_can_be_compared(found):
    slower = exponential(steps=STEPS[:30], run="short")
    first, second = plot_learning([found, slower]).figure().axes[:2]
    assert first.get_ylim() == second.get_ylim()
    assert (first.get_title("left"), second.get_title("left")) == ("MSE · linear", "MSE · short")


def test_wide_intervals_do_not_flatten_the_lines(found):
    wide = replace(found, high=tuple(tuple(100.0 for _ in row) for row in found.high))
    y, narrow = learning_panel(wide).y, [value for row in found.mean for value in row]
    assert y.high < 2 * max(narrow)


# -- axes and pages --------------------------------------------------------------------------------


def test_the_axis_may_count_images_seen(found):
    seen = in_images(found)
    assert seen.steps == tuple(32 * step for step in STEPS)
    assert seen.learned[0].step.value == pytest.approx(32 * found.learned[0].step.value)
    for plot in (plot_emergence, plot_learning):
        axes = plot([found], images=True).figure().axes[0]
        assert "images seen" in (axes.get_xlabel(), axes.get_ylabel())
    with pytest.raises(UsageError, match="saw in a step is not known") as caught:
        plot_emergence([exponential(batch_size=None)], images=True)
    assert "--batch-size" in caught.value.hint


def test_ticks_are_round_and_as_many_as_have_room():
    assert step_ticks(12, 6400, 20) == [20, 50, 100, 200, 500, 1000, 2000, 5000]
    assert step_ticks(12, 6400, 5) == [30, 100, 300, 1000, 3000]
    assert step_ticks(12, 6400, 3) == [100, 1000]


@pytest.mark.parametrize("width", [60, 84, 174])
@pytest.mark.parametrize("plot", [plot_emergence, plot_learning])
def test_it_is_as_wide_as_asked_and_text_is_text(found, tmp_path, plot, width):
    several = [found, exponential(run="other")]
    figure = plot(several, page=Page(width=width), title="A title")
    pdf = figure.save(tmp_path / "a.pdf").read_bytes()
    box = re.search(rb"/MediaBox \[ ?0 0 ([\d.]+) ([\d.]+) ?\]", pdf)
    assert float(box[1]) / 72 * 25.4 == pytest.approx(width, abs=0.05)
    svg = figure.save(tmp_path / "a.svg").read_text()
    said = set(re.findall(r"<text[^>]*>([^<]*)</text>", svg))
    assert {"A title", "training step", "MSE · linear", "MSE · other"} <= said
    assert "@font-face" in svg


def test_lines_are_labelled_with_their_share(found, tmp_path):
    svg = plot_emergence([found]).save(tmp_path / "a.svg").read_text()
    said = re.findall(r"<text[^>]*>([^<]*)</text>", svg)
    assert {"25 %", "50 %", "75 %", "100 %"} <= set(said)


@pytest.mark.parametrize("plot", [plot_emergence, plot_learning])
@pytest.mark.parametrize("kind", ["pdf", "svg", "png"])
def test_the_same_values_are_the_same_file(found, tmp_path, plot, kind):
    first = plot([found]).save(tmp_path / f"a.{kind}").read_bytes()
    assert first == plot([found]).save(tmp_path / f"b.{kind}").read_bytes()


def test_nothing_found_is_said(found):
    with pytest.raises(NothingStored):
        plot_emergence([])
    unknown = replace(found, log_snr=(math.nan,) * len(LEVELS))
    with pytest.raises(NothingStored):
        plot_learning([unknown])


# -- the command -----------------------------------------------------------------------------------


def trained(root, runs=("a", "b"), steps=(0, 10, 100, 1000)) -> Store:
    store, random = Store(root), np.random.default_rng(3)
    x0s = {f"p{index}": random.uniform(-0.8, 0.8, (3, 16, 16)) for index in range(4)}

    def answer(step, x_t, x0, level):
        return x0 + level.s * np.exp(-step / 50) * np.sin(np.arange(x0.size)).reshape(x0.shape)

    for run in runs:
        commit_run(store, run, x0s, answer, steps, (200, 400, 600), {"batch_size": 8})
    return store


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Store:
    return trained(tmp_path_factory.mktemp("plot") / "store")


def nca(store, *words, code=0):
    done = CliRunner().invoke(app, ["plot", "--store", str(store.root), *map(str, words)])
    assert done.exit_code == code, done.output
    return done


@pytest.mark.parametrize("way", [("--emergence",), ("--learning", "metric"),
                                 ("--learning", "share", "--axis", "images")])  # fmt: skip
def test_the_command_draws_every_run_and_metric(store, tmp_path, way):
    done = nca(store, *way, "--measure", "psnr", "--measure", "mse", "-o", tmp_path / "a.svg",
               "--json")  # fmt: skip
    told = json.loads(done.stdout)
    assert (told["measures"], told["runs"]) == (["psnr", "mse"], ["a", "b"])
    said = set(re.findall(r"<text[^>]*>([^<]*)</text>", (tmp_path / "a.svg").read_text()))
    assert {"PSNR · a", "PSNR · b", "MSE · a", "MSE · b"} <= said


def test_the_command_draws_trainings_per_pixel(store, tmp_path):
    nca(store, "--emergence", "--per-pixel", "-o", tmp_path / "a.svg")
    assert "log SNR per pixel at 256 px" in (tmp_path / "a.svg").read_text()
    [found, *_] = when_learned(store, metrics=["psnr"])
    assert found.side == 16


def test_a_band_is_a_panel_and_its_metric_is_one_for_each(store):
    assert [each.metric for each in when_learned(store, metrics=["coherence/1"])] == [
        "coherence/1"
    ] * 2
    bands = {each.metric for each in when_learned(store, metrics=["coherence"])}
    assert {"coherence/0", "coherence/1", "coherence/2"} <= bands


def test_steps_and_runs_are_chosen_by_filters(store, tmp_path):
    nca(store, "--emergence", "--run", "b", "--at", "0,10,1000", "-o", tmp_path / "a.png")
    from nca_cli.store import Filters

    [one] = when_learned(store, Filters(models=["b"], steps=[0, 10, 1000]), ["mse"])
    assert one.steps == (0, 10, 1000)


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--emergence", "--learning", "metric"), "exclude each other"),
        (("--learning", "loss"), "--learning 'loss' is unknown"),
        (("--emergence", "--axis", "epochs"), "--axis 'epochs' is unknown"),
        (("--axis", "images"), "is for trainings only"),
        (("--emergence", "--references"), "leave it out"),
        (("--emergence", "--measure", "kept"), "kept has no learning curve"),
        (("--emergence", "--measure", "beauty"), "beauty"),
        (("--emergence", "--measure", "mse/3"), "no learning curve of mse/3 here"),
    ],
)
def test_what_makes_no_sense_is_one_line(store, tmp_path, words, why):
    done = nca(store, *words, "-o", tmp_path / "a.png", code=2)
    assert why in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
