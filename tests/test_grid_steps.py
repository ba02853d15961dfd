"""Steps of a training as rows or columns: the same x_t, and what each checkpoint makes of it."""

from __future__ import annotations

import json
import re
import shlex

import numpy as np
import pytest
from PIL import Image
from test_grid import options, pixels, plain, rows, texts
from trainings import commit_run
from typer.testing import CliRunner

from nca_cli.cli import app
from nca_cli.errors import NothingStored, UsageError
from nca_cli.figures.grid import compose_grid
from nca_cli.figures.grid.training import SHOWN_STEPS, evenly
from nca_cli.images import to_uint8
from nca_cli.store import Filters, Store

SIDE = 16
STEPS, LEVELS = (0, 25, 100, 800), (100, 300, 600)
X0 = np.random.default_rng(1).uniform(-1, 1, (3, SIDE, SIDE)).astype(np.float32)


def answer(step, x_t, x0, level):
    """Other numbers at every step and level."""
    stream = np.random.default_rng([step, int(1000 * level.a)])
    return stream.uniform(-1, 1, x0.shape).astype(np.float32)


def other(step, x_t, x0, level):
    return -answer(step, x_t, x0, level)


def trained(root, runs=("mine",), steps=STEPS, levels=LEVELS, images=("cat",), **settings) -> Store:
    store = Store(root)
    for number, name in enumerate(runs):
        x0s = {image: np.roll(X0, shift, -1) for shift, image in enumerate(images)}
        commit_run(store, name, x0s, other if number else answer, steps, levels, settings)
    return store


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Store:
    return trained(tmp_path_factory.mktemp("steps") / "store", batch_size=32)


@pytest.fixture(scope="module")
def two(tmp_path_factory) -> Store:
    return trained(tmp_path_factory.mktemp("two") / "store", ("p2", "uniform"))


def stored(store: Store, step: int | None, t: int, run: str = "") -> np.ndarray:
    """The preview of a sample: x̂0 of a step, or x_t."""
    [artifact] = [
        each for each in store.select(Filters(models=[run] if run else ()))
        if each.is_noise == (step is None) and (step is None or each.step == step)
    ]  # fmt: skip
    return artifact.read("preview", [(t, 0)])[0]


def headers(grid) -> list[str]:
    """The first line of the header, column by column."""
    return [plain(column.header[0][0]) for column in grid.table.columns]


# -- steps as columns ------------------------------------------------------------------------------


@pytest.mark.parametrize("of", ["t", "images"])
def test_columns_are_steps_rising_beside_x0_and_x_t(store, of):
    grid = compose_grid(store, columns="step", rows=of, cell=SIDE)
    assert headers(grid) == ["x0", "xt", *(f"step {step}" for step in STEPS)]
    for row, t in enumerate(LEVELS):
        np.testing.assert_array_equal(pixels(grid, row, 1), stored(store, None, t))
        for column, step in enumerate(STEPS, 2):
            np.testing.assert_array_equal(pixels(grid, row, column), stored(store, step, t))


def test_x0_and_x_t_are_shown_once(two):
    for way in ({"columns": "step", "rows": "t"}, {"columns": "step"}, {"rows": "step"},
                {"columns": "step", "rows": "models"}):  # fmt: skip
        kinds = [cell.kind for cell in compose_grid(two, **way).table.cells]
        assert kinds.count("x0") == 1
        assert kinds.count("x_t") == len(LEVELS)
        assert kinds.count("x0_hat") == 2 * len(STEPS) * len(LEVELS)


def test_headers_say_how_many_images_were_seen_where_the_run_says_its_batch(store, two):
    grid = compose_grid(store, columns="step", cell=128)
    assert {"step 800", "25,600 images", "0 images"} <= set(texts(grid))
    assert not [text for text in texts(compose_grid(two, columns="step")) if "images" in text]


def test_levels_are_rows_of_every_run_side_by_side(two):
    grid = compose_grid(two, columns="step", rows="t", cell=SIDE)
    assert [re.sub(r" SNR \S+", "", row) for row in rows(grid)] == [
        f"cat t = {t} {run}" for t in LEVELS for run in ("p2", "uniform")
    ]
    for row, (t, run) in enumerate((t, run) for t in LEVELS for run in ("p2", "uniform")):
        np.testing.assert_array_equal(pixels(grid, row, 5), stored(two, 800, t, run))


def test_differences_are_taken_at_every_step(store):
    grid = compose_grid(store, columns="step", show="x0,diff", cell=SIDE)
    assert "x_t" not in {cell.kind for cell in grid.table.cells}
    [artifact] = [each for each in store.select() if each.step == 100]
    expected = to_uint8(artifact.read("x0_hat", [(300, 0)])[0] - X0)
    assert np.abs(pixels(grid, 1, 3).astype(int) - expected).max() <= 1


def test_levels_may_be_rows_beside_columns_of_seeds(store):
    grid = compose_grid(store, Filters(latest=True), columns="seeds", rows="t", cell=SIDE)
    assert len(grid.table.groups) > 1
    assert "seed 0" in headers(grid)


# -- steps as rows ---------------------------------------------------------------------------------


def test_rows_are_steps_rising_below_x_t(store):
    grid = compose_grid(store, rows="step", cell=SIDE)
    steps = (f"cat step {step:,} {32 * step:,} images" for step in STEPS)
    assert rows(grid) == ["cat xt", *steps]
    for column, t in enumerate(LEVELS, 1):
        np.testing.assert_array_equal(pixels(grid, 0, column), stored(store, None, t))
        for row, step in enumerate(STEPS, 1):
            np.testing.assert_array_equal(pixels(grid, row, column), stored(store, step, t))


def test_under_p2s_stages_levels_run_from_noise(store):
    grid = compose_grid(store, rows="step", layout="p2", cell=SIDE)
    for column, t in enumerate(reversed(LEVELS), 1):
        for row, step in enumerate(STEPS):
            np.testing.assert_array_equal(pixels(grid, row, column), stored(store, step, t))


def test_each_run_has_its_rows_in_the_order_asked_for(two):
    grid = compose_grid(two, Filters(models=["uniform", "p2"]), rows="step", cell=SIDE)
    assert [each for each in ("uniform", "p2") for _ in STEPS] == [
        re.search("uniform|p2", plain(name))[0]
        for group in grid.table.groups for name in group.names[-1:] for row in group.rows
        if "step" in plain(row.names[0])
    ]  # fmt: skip
    for row, step in enumerate(STEPS, 1):
        np.testing.assert_array_equal(pixels(grid, row, 2), stored(two, step, 300, "uniform"))


def test_the_sampler_is_said_once_and_only_if_it_is_one(store, tmp_path):
    assert sum("one-step" in text for text in texts(compose_grid(store, rows="step"))) == 1
    both = trained(tmp_path / "both")
    commit_run(both, "mine", {"cat": X0}, other, (25, 100), LEVELS, sampler="ddim")
    grid = compose_grid(both, columns="step", cell=SIDE)
    assert headers(grid) == ["x0", "xt", *(f"step {step}" for step in STEPS)]
    shown = [cell is not None for cell in grid.table.rows[len(LEVELS)].cells]
    assert shown == [False, False, False, True, True, False]  # ddim is stored at two steps
    assert "ddim" in rows(grid)[len(LEVELS)]


# -- which steps -----------------------------------------------------------------------------------


def nca(*words: object, code: int = 0):
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exit_code == code, done.output
    return done


def test_the_latest_step_alone_is_shown_by_default(store, tmp_path):
    grid = compose_grid(store, Filters(latest=True), cell=SIDE)
    assert len(grid.table.rows) == 2
    np.testing.assert_array_equal(pixels(grid, 1, 1), stored(store, 800, 100))
    assert plain(grid.table.notes[0]) == "Training step 800"
    out = tmp_path / "a.png"
    nca("grid", "--store", store.root, "--cell", SIDE, "-o", out)
    with Image.open(out) as drawn:
        assert drawn.size == grid.sheet.size


def test_steps_that_are_asked_for_are_told_apart_in_any_rows(store):
    for way in ("images", "models", "seeds"):
        said = " ".join(rows(compose_grid(store, Filters(steps=[25, 800]), rows=way)))
        assert "step 25" in said
        assert "step 800" in said


def test_of_many_steps_some_are_shown_evenly_in_their_logarithm(tmp_path):
    many = [0, *(round(10 * 1.5**each) for each in range(19))]
    store = trained(tmp_path / "many", steps=many, levels=(300,))
    grid = compose_grid(store, Filters(latest=True), columns="step")
    shown = headers(grid)[2:]
    assert shown == [f"step {step:,}" for step in evenly(many)]
    assert len(shown) == SHOWN_STEPS
    assert f"{SHOWN_STEPS} of 20 stored training steps, evenly spaced in log step" in texts(grid)
    assert len(headers(compose_grid(store, columns="step"))) == 2 + len(many)
    listed = ("grid", "--store", store.root, "--columns", "step", "-o", tmp_path / "a.svg")
    nca(*listed, "--at", "all")
    assert "stored training steps" not in (tmp_path / "a.svg").read_text()
    nca(*listed, "--at", "0,15")
    assert "stored training steps" not in (tmp_path / "a.svg").read_text()


def test_evenly_keeps_both_ends_and_step_0_and_no_ratio_is_far_from_the_others():
    linear = [0, *range(500, 50_001, 500)]
    shown = evenly(linear)
    assert shown[:2] == [0, 500]
    assert shown[-1] == 50_000
    ratios = np.diff(np.log(shown[1:]))
    assert ratios.max() / ratios.min() < 2
    assert evenly(STEPS) == list(STEPS)
    assert evenly([7]) == [7]


# -- what is not there -----------------------------------------------------------------------------


def test_what_is_not_stored_at_a_step_is_blank_and_the_command_names_the_step(store, tmp_path):
    ragged = trained(tmp_path / "ragged", levels=(100, 300))
    commit_run(ragged, "mine", {"cat": X0}, answer, (25, 800), (600,))
    grid = compose_grid(ragged, columns="step", cell=SIDE)
    assert {(missing.t, missing.step) for missing in grid.missing} == {(600, 0), (600, 100)}
    assert len(grid.sheet.blanks) == 2
    assert grid.sheet.box(2, 2) in grid.sheet.blanks
    assert options(grid.command, "--run") == ["runs/mine"]
    assert options(grid.command, "--t") == ["600"]
    assert set(",".join(options(grid.command, "--at")).split(",")) == {"0", "100"}


def test_a_step_that_was_asked_for_and_is_not_stored_is_a_blank_column(store):
    grid = compose_grid(store, Filters(steps=[25, 900]), columns="step", cell=SIDE)
    assert headers(grid)[2:] == ["step 25", "step 900"]
    assert {missing.step for missing in grid.missing} == {900}
    assert len(grid.sheet.blanks) == len(LEVELS)
    assert options(grid.command, "--at") == ["900"]


def test_models_of_no_training_are_left_out_and_without_any_it_is_said(store, tmp_path):
    from stores import full_store

    plain_store = full_store(tmp_path / "plain", images=["cat"])
    with pytest.raises(NothingStored, match="no training that fits") as caught:
        compose_grid(plain_store, columns="step")
    assert "nca reconstruct --run" in caught.value.hint
    trained(plain_store.root)
    grid = compose_grid(plain_store, columns="step", cell=SIDE)
    assert len(grid.table.rows) == len(LEVELS)
    assert not grid.missing


@pytest.mark.parametrize(
    "choices",
    [{"show": "x_t"}, {"show": "x0"}, {"rows": "step", "columns": "step"}, {"rows": "snr"}],
)
def test_what_makes_no_figure_is_refused(store, choices):
    given = {"columns": "step", **choices} if "rows" not in choices else choices
    with pytest.raises(UsageError):
        compose_grid(store, **given)


def test_a_damaged_checkpoint_leaves_the_others(tmp_path):
    store = trained(tmp_path / "harmed")
    [artifact] = [each for each in store.select() if each.step == 100]
    artifact.parts[0].path.write_bytes(b"no HDF5")
    grid = compose_grid(Store(store.root), columns="step", cell=SIDE)
    assert headers(grid)[2:] == ["step 0", "step 25", "step 800"]
    assert [str(artifact.parts[0]) in str(each) for each in grid.problems] == [True]


# -- every format ----------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["png", "pdf", "svg", "webp"])
@pytest.mark.parametrize("way", [("--columns", "step", "--rows", "t"), ("--rows", "step")])
def test_every_format_is_written(store, tmp_path, suffix, way):
    out = tmp_path / f"a.{suffix}"
    done = nca("grid", "--store", store.root, *way, "--width", 174, "-o", out, "--json")
    assert json.loads(done.stdout)["missing"] == 0
    assert out.stat().st_size > 1000
    if suffix == "svg":
        said = "".join(re.findall(r"<text[^>]*>(.*?)</text>", out.read_text(), re.DOTALL))
        assert "800" in said


def test_a_sweep_moves_through_the_training(store, tmp_path):
    grid = compose_grid(store, columns="step", rows="t", cell=SIDE)
    assert len(grid.frames()) == len(STEPS)
    nca(*shlex.split(f"grid --store {store.root} --columns step --sweep -o {tmp_path}/a.webp"))
    with Image.open(tmp_path / "a.webp") as moving:
        assert moving.n_frames == len(STEPS)


def test_samples_of_one_step_are_not_taken_for_those_of_another(store):
    """The previews that the tests above compare with differ from step to step."""
    seen = {stored(store, step, t).tobytes() for step in STEPS for t in LEVELS}
    assert len(seen) == len(STEPS) * len(LEVELS)
