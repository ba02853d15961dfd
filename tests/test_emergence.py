"""What a store says of trainings: learning steps, their order, excess, gap, copies, trainings."""

import csv
import json
import math
from dataclasses import replace

import linear_training as linear
import numpy as np
import pytest
from stores import full_store
from trainings import SCHEDULE, commit_run
from typer.testing import CliRunner

from nca_cli import merge_stores, pack_store, reconstruct
from nca_cli.analysis.bootstrap import Estimate
from nca_cli.analysis.checkpoints import StepTable, StoredRun, step_tables, whole_block
from nca_cli.analysis.emergence import emergence, emergences, learned_orders
from nca_cli.analysis.knowable import (
    PURE,
    TrainingImages,
    best_errors,
    copied_shares,
    excesses,
    gaps,
    kinds_of,
    welch,
    wilson,
)
from nca_cli.analysis.memory import remembered
from nca_cli.analysis.taught import transfer_matrix
from nca_cli.analysis.trainings import geometric_mean, mean_over, over_trainings
from nca_cli.analysis.untaught import filtered
from nca_cli.cli import app
from nca_cli.concepts.curves import retention
from nca_cli.concepts.learned import shares
from nca_cli.engine.plan import Shard
from nca_cli.metrics import Measuring, measure
from nca_cli.report import build_report
from nca_cli.report.data.training import Training, TrainingRequest, training_numbers
from nca_cli.report.data.training_rows import TrainingRow, training_rows
from nca_cli.store import Filters, Store

TS = (200, 500)
STEPS = (0, 10, 100, 1000)
RANDOM = np.random.default_rng(11)
X0S = {f"p{i:02d}": RANDOM.uniform(-0.8, 0.8, (3, 16, 16)) for i in range(10)}


def getting_there(step, x_t, x0, level):
    """An error that falls with the step, and is largest where noise is."""
    return x0 + level.s * np.exp(-step / 50) * np.sin(np.arange(x0.size)).reshape(x0.shape)


@pytest.fixture
def store(tmp_path):
    made = Store(tmp_path / "store")
    commit_run(made, "mine", X0S, getting_there, STEPS, TS, {"batch_size": 32})
    return made


def tables_of(store, filters=Filters(), metrics=("mse",)):  # noqa: B008
    work = Measuring(store, filters, metrics)
    return step_tables(store, work, work.run())


def by_metric(found):
    return {each.metric: each for each in found}


def test_a_run_is_one_entry_a_measure_and_a_sampler(store):
    found = by_metric(emergences(store))
    assert {"mse", "psnr", "ssim", "colour", "edges", "coherence/0"} <= found.keys()
    assert "kept/0" not in found  # it has no better and no worse
    one = found["mse"]
    assert (one.run, one.sampler, one.steps, one.t) == ("mine", "one-step", STEPS, TS)
    assert (one.batch_size, one.images, one.baseline_kind) == (32, 10, "step 0")
    assert one.baseline == tuple(level[0] for level in one.mean)
    level = SCHEDULE.level(200)
    answers = [getting_there(100, None, x0, level) for x0 in X0S.values()]
    errors = [np.mean((answer.clip(-1, 1) - x0) ** 2)
              for answer, x0 in zip(answers, X0S.values(), strict=True)]  # fmt: skip
    assert one.mean[0][2] == pytest.approx(np.mean(errors), rel=1e-4)
    assert 10 < one.learned[0].step.value < 100
    assert found["psnr"].learned[0].share[-1] == pytest.approx(1)


def test_a_batch_size_may_be_given(store):
    assert emergences(store, metrics=["mse"], batch_size=8)[0].batch_size == 8


def test_filters_choose_steps_levels_and_images(store):
    wanted = Filters(steps=[0, 10, 1000], t=[500], images=["p01", "p02", "p03"])
    (one,) = emergences(store, wanted, ["mse"])
    assert (one.steps, one.t, one.images) == ((0, 10, 1000), (500,), 3)


def test_where_step_0_is_not_stored_the_mean_of_the_other_images_is_the_baseline(store):
    later = Filters(steps=STEPS[1:])
    (one,) = emergences(store, later, ["mse"])
    assert one.baseline_kind == "mean image"
    every = np.stack(list(X0S.values()))
    others = [np.delete(every, i, 0).mean(0) for i in range(len(every))]
    assert one.baseline[0] == pytest.approx(np.mean((every - others) ** 2), rel=1e-4)
    training = RANDOM.uniform(-1, 1, (50, 3, 16, 16))
    (one,) = emergences(store, later, ["mse"], training=training)
    assert one.baseline[1] == pytest.approx(np.mean((every - training.mean(0)) ** 2), rel=1e-4)


def test_few_images_have_the_wiener_filter_as_their_baseline(store):
    (one,) = emergences(store, Filters(steps=STEPS[1:], images=["p01", "p02", "p03"]), ["mse"])
    assert one.baseline_kind == "wiener"
    noise = store.artifacts(store.models()[0], store.images(store.models()[0])[1])[0]
    x0, x_t = noise.fixed("x0"), noise.read("x_t", [(200, 0)])[0]
    assert measure(x0, filtered(x_t, SCHEDULE.level(200)))["mse"] < 1
    assert len(one.baseline) == 2


def test_the_wiener_baseline_is_the_built_in_model_wiener():
    import torch

    from nca_cli.models.wiener import WienerDenoiser

    x_t = RANDOM.standard_normal((3, 16, 16)).astype(np.float32)
    t = torch.tensor([300])
    answer = WienerDenoiser(16, SCHEDULE, "cpu")(torch.from_numpy(x_t)[None], t).x0[0].numpy()
    np.testing.assert_allclose(filtered(x_t, SCHEDULE.level(300)), answer, atol=1e-5)


def test_without_a_baseline_there_is_a_note_and_no_number(tmp_path):
    store, told = Store(tmp_path / "store"), []
    grey = {name: x0[:1] for name, x0 in list(X0S.items())[:3]}
    commit_run(store, "grey", grey, getting_there, STEPS[1:], TS)
    assert emergences(store, metrics=["mse"], tell=told.append) == []
    assert told == ["grey · one-step: no baseline: step 0 is not stored, and there are too few "
                    "images for a mean"]  # fmt: skip


def test_a_sweep_that_is_not_finished_counts_as_far_as_it_is_whole():
    whole = {(f"p{i}", t, step) for i in range(10) for t in (1, 2, 3) for step in (0, 10, 100)}
    told = []
    lacking = whole - {("p3", 2, 10)}
    block = whole_block(lacking | {("p0", 1, 1000), ("p1", 1, 1000), ("p1", 9, 0)}, told.append)
    assert block.steps == (0, 10, 100)
    assert block.t == (1, 2, 3)
    assert block.images == tuple(f"p{i}" for i in range(10) if i != 3)
    assert told == [f"left out because not measured at every step and level: {what}"
                    for what in ("step 1000", "t 9", "image p3")]  # fmt: skip
    assert whole_block(whole, told.append).shape == (10, 3, 3)
    assert len(told) == 3


def test_images_that_lack_a_step_are_told_and_left_out(store):
    gone = [each for each in store.select(Filters(images=["p04"], steps=[100]))
            if not each.is_noise]  # fmt: skip
    store.remove(gone[0])
    told = []
    (one,) = emergences(store, metrics=["mse"], tell=told.append)
    assert one.images == 9
    assert "p04" not in one.image_names
    why = "left out because not measured at every step and level"
    assert told == [f"mine · one-step: {why}: image p04"]


def test_the_order_of_levels_and_of_measures_has_a_probability(store):
    found = emergences(store, metrics=["mse", "ssim"])
    orders = list(learned_orders(found))
    assert [(one.metric, one.t, one.then_metric, one.then_t) for one in orders] == [
        ("mse", 200, "mse", 500), ("ssim", 200, "ssim", 500),
        ("mse", 200, "ssim", 200), ("mse", 500, "ssim", 500),
    ]  # fmt: skip
    assert all(0 <= one.probability <= 1 for one in orders)


def test_levels_that_lack_different_images_have_an_order_too():
    cells = np.concatenate([falling(20, images=9), falling(60, images=9)], axis=1)
    cells[0, 0, 2] = cells[7:, 1, 1] = np.nan
    (order,) = learned_orders([emergence(table(StoredRun("mine", "mine"), cells))])
    assert order.probability == 1.0
    assert order.certain


def test_settings_that_cannot_be_read_leave_a_run_its_name(store):
    (store.root / store.models()[0] / "model.json").write_text("{")
    found = tables_of(store)
    assert {table.run for table in found} == {StoredRun("mine", store.models()[0])}


def test_order_of_commits_calls_shards_and_stores_change_nothing(tmp_path):
    pictures = linear.pictures(tmp_path / "pictures", count=4)
    wanted = {"device": "cpu", "runs": ["linear_training:at_step"], "samplers": ["one-step"]}
    steps, t = (0, 32, 256), (100, 300)
    reconstruct(pictures, store=tmp_path / "whole", at=steps, t=t, **wanted)
    for step, levels in ((256, [300]), (0, t), (32, t[::-1]), (256, [100])):
        for index in (1, 0):
            reconstruct(pictures, store=tmp_path / "parts", at=[step], t=levels,
                        shard=Shard(index, 2), **wanted)  # fmt: skip
    pack_store(Store(tmp_path / "parts"), tmp_path / "packed.h5")
    for machine, at in (("one", (0, 256)), ("other", (32, 256))):
        reconstruct(pictures, store=tmp_path / machine, at=at, t=t, **wanted)
    merge_stores(Store(tmp_path / "one"), Store(tmp_path / "other"))
    found = [[one.as_dict() for one in emergences(Store(tmp_path / name))]
             for name in ("whole", "parts", "packed.h5", "one")]  # fmt: skip
    assert found[0]
    assert all(_close(found[0], other) for other in found[1:])


def _close(one, other):
    """The same, but for rounding in the networks of several batch sizes."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_close(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(_close, one, other))
    return one == pytest.approx(other, rel=1e-4, nan_ok=True) if one != other else True


def test_as_plain_data_it_has_no_draws(store):
    content = emergences(store, metrics=["mse"])[0].as_dict()
    assert "halves" not in content["learned"][0]
    json.dumps(content)


def table(run, cells, **more):
    images, levels, steps = cells.shape
    t = tuple(100 * (1 + level) for level in range(levels))
    return StepTable(run, "one-step", "mse", tuple(f"p{i}" for i in range(images)), t,
                     tuple(SCHEDULE.log_snr(each) for each in t), STEPS[:steps], cells,
                     **more)  # fmt: skip


def falling(half, spread=0.05, images=6):
    """Errors of one level that are half learned near a step, of images that differ a little."""
    curve = 1 / (1 + np.array(STEPS) / half)
    return np.abs(1 + spread * RANDOM.standard_normal((images, 1, 1))) * curve[None, None]


def test_an_image_without_a_value_leaves_the_learning_curve_of_the_others():
    cells = falling(30, images=7)
    cells = np.concatenate([cells, cells], axis=1)
    holed = cells.copy()
    holed[2, 0, 1] = np.nan
    one = emergence(table(StoredRun("mine", "mine"), holed))
    others = emergence(table(StoredRun("mine", "mine"), np.delete(cells, 2, axis=0)))
    assert one.mean[0] == pytest.approx(others.mean[0])
    assert one.mean[1] == pytest.approx(cells[:, 1].mean(axis=0))
    assert one.counts == (6, 7)
    for low, mean, high in zip(one.low[0], one.mean[0], one.high[0], strict=True):
        assert low < mean < high
    rows = [row for row in training_rows(Training((one,))) if row.kind == "mean"]
    assert [row.n for row in rows] == [6] * 4 + [7] * 4
    assert {row.blank for row in rows} == {""}


@pytest.mark.filterwarnings("error")
def test_a_level_that_no_image_has_whole_is_blank_with_a_reason():
    holed = falling(30)
    holed[:, 0, 2] = np.nan
    one = emergence(table(StoredRun("mine", "mine"), holed))
    assert np.isnan(one.mean).all()
    rows = [row for row in training_rows(Training((one,))) if row.kind == "mean"]
    assert {(row.n, row.blank) for row in rows} == {(0, "too few images for an interval: 0 of 3")}


def test_trainings_of_the_same_settings_have_an_interval_of_their_own():
    runs = [StoredRun(f"uniform-{seed}", f"uniform-{seed}", "uniform") for seed in range(3)]
    found = [emergence(table(run, falling(half)))
             for run, half in zip(runs, (20, 30, 45), strict=True)]  # fmt: skip
    alone = emergence(table(StoredRun("p2-0", "p2-0", "p2"), falling(30)))
    (one,) = over_trainings([*found, alone])
    assert (one.settings, one.runs) == ("uniform", ("uniform-0", "uniform-1", "uniform-2"))
    values = [each.learned[0].step.value for each in found]
    assert one.step.value == pytest.approx(np.exp(np.mean(np.log(values))))
    assert one.step.low < min(values) < max(values) < one.step.high
    assert one.step.n == 3
    assert over_trainings([alone]) == []
    raw = replace(found[0], run="uniform-0-raw", weights="raw")
    assert over_trainings([found[0], raw]) == []  # one training


def test_intervals_over_trainings_cover_the_truth():
    random, inside = np.random.default_rng(2), 0
    for _ in range(1000):
        found = geometric_mean([Estimate(step) for step in np.exp(random.normal(5, 0.3, 3))])
        inside += found.low <= math.exp(5) <= found.high
    assert 0.93 <= inside / 1000 <= 0.97


def test_one_training_that_learned_nothing_leaves_the_mean_blank():
    found = geometric_mean([Estimate(10.0), Estimate(blank="half is not learned in this run")])
    assert found.blank == "in 1 of 2 trainings: half is not learned in this run"
    assert mean_over([1.0]).blank == "one training: no interval over trainings"


@pytest.fixture(scope="module")
def memories(tmp_path_factory):
    """A run that ends as the posterior mean over its training images; half of X0S are those."""
    training = np.stack(list(X0S.values())[:5])

    def answer(step, x_t, x0, level):
        known = remembered(x_t[None], training, level).mean[0]
        return known if step == STEPS[-1] else known + 1 / (2 + step)

    store = Store(tmp_path_factory.mktemp("memories") / "store")
    commit_run(store, "heart", X0S, answer, STEPS, TS)
    commit_run(store, "heart", X0S, answer, STEPS, (990,), sampler="ddim")
    model = store.models()[0]
    digests = {store.artifacts(model, image)[0].image_info["digest"]
               for image in store.images(model)[:5]}  # fmt: skip
    return store, TrainingImages(training.astype(np.float32), frozenset(digests))


def test_nothing_is_left_to_learn_for_what_answers_as_its_training_images(memories):
    store, training = memories
    (errors,) = (one for one in tables_of(store) if one.one_step)
    kinds = kinds_of(store, errors, training)
    assert {kind: rows.sum() for kind, rows in kinds.items()} == {"training": 5, "held-out": 5}
    best = best_errors(store, errors, training)
    found = list(excesses(errors, best, kinds, "posterior mean"))
    assert len(found) == 2 * len(TS) * len(STEPS)
    for one in found:
        if one.step == STEPS[-1]:
            assert one.excess.value == pytest.approx(0, abs=1e-6)
        if (one.images, one.t, one.step) == ("training", 200, 10):  # where x0 itself is recalled
            assert one.excess.value == pytest.approx(1 / 12**2, rel=1e-3)
        assert one.excess.low <= one.excess.value <= one.excess.high
        assert one.excess.n == 5


def test_without_training_images_the_gaussian_of_the_others_is_the_best_that_is_known(tmp_path):
    random = np.random.default_rng(7)
    x0s = {f"p{i:02d}": 0.25 * random.standard_normal((3, 4, 4)) for i in range(40)}

    def wiener(step, x_t, x0, level):
        c = level.a**2 * 0.0625 + level.s**2
        return level.a * 0.0625 / c * x_t + 1 / (2 + step)

    store = Store(tmp_path / "store")
    commit_run(store, "mine", x0s, wiener, STEPS, (500,))
    found = training_numbers(store).excess
    assert [(one.step, one.images, one.reference) for one in found] == [
        (step, "all", "gaussian") for step in STEPS
    ]  # fmt: skip
    least = 0.0625 * SCHEDULE.level(500).s ** 2 / (
        SCHEDULE.level(500).a ** 2 * 0.0625 + SCHEDULE.level(500).s ** 2)  # fmt: skip
    assert found[0].best == pytest.approx(least, rel=0.2)  # fitted to 39 images of 48 numbers
    for one in found:
        true = least + 1 / (2 + one.step) ** 2 - one.best
        assert one.excess.value == pytest.approx(true, abs=0.02)


def test_what_is_known_by_heart_shows_in_the_gap(memories):
    store, training = memories
    (errors,) = (one for one in tables_of(store) if one.one_step)
    found = list(gaps(errors, kinds_of(store, errors, training)))
    assert [(one.t, one.step) for one in found] == [(t, step) for t in TS for step in STEPS]
    clean = next(one for one in found if (one.t, one.step) == (200, STEPS[-1]))
    assert clean.training == pytest.approx(0, abs=1e-6)
    assert clean.gap.value == pytest.approx(clean.held_out - clean.training)
    assert clean.gap.low > 0
    assert list(gaps(errors, kinds_of(store, errors, None))) == []


def test_chains_from_noise_that_end_at_training_images_are_copies(memories):
    store, training = memories
    made = [each for each in store.select() if not each.is_noise]
    assert SCHEDULE.log_snr(990) < PURE < SCHEDULE.log_snr(500)
    found = list(copied_shares(store, made, training))
    assert [(one.t, one.step, one.sampler) for one in found] == [
        (990, step, "ddim-20") for step in STEPS
    ]  # fmt: skip
    assert found[-1].share.n == 10


def test_shares_and_differences_have_the_intervals_of_the_literature():
    none = wilson(0.0, 10)
    assert (none.value, none.low) == (0, 0)
    assert none.high == pytest.approx(0.2775, abs=1e-3)
    half = wilson(0.5, 20)
    assert (half.low, half.high) == pytest.approx((0.2993, 0.7007), abs=1e-3)
    random, inside = np.random.default_rng(3), 0
    for _ in range(1000):
        found = welch(random.normal(1, 2, 8), random.normal(0, 0.5, 20))
        inside += found.low <= 1 <= found.high
    assert 0.93 <= inside / 1000 <= 0.97


def test_seeds_of_one_setting_are_joined_in_the_transfer_matrix():
    every, coarse = ("coarse", "content", "clean-up"), ("coarse",)
    random = np.random.default_rng(4)

    def errors(factor):
        return factor * (1 + 0.1 * random.random((6, 3, 2))) * np.array([1, 2, 3])[None, :, None]

    runs = [table(StoredRun(f"{name}-{seed}", "", name, bands, name), errors(factor))
            for name, bands, factor in (("only-coarse", coarse, 2.0), ("p2", every, 1.0),
                                        ("uniform", every, 1.0))
            for seed in range(3)]  # fmt: skip
    found = transfer_matrix(runs)
    assert {one.settings for one in found} == {"only-coarse", "p2"}
    assert {one.reference for one in found} == {"uniform"}
    one = found[0]
    assert one.runs == ("only-coarse-0", "only-coarse-1", "only-coarse-2")
    assert one.change.value == pytest.approx(1.0, abs=0.15)
    assert one.trainings.n == 3
    assert one.trainings.low < one.change.value < one.trainings.high
    told = []
    without = [replace(each, run=replace(each.run, settings=f"{each.run.settings}!"))
               for each in runs]  # fmt: skip
    assert transfer_matrix(without, tell=told.append) == []
    assert "no run on all levels" in told[0]
    assert transfer_matrix(without, "p2!")[0].reference == "p2!"


def test_what_images_add_to_a_concept_is_its_retention():
    random = np.random.default_rng(6)
    truth = random.standard_normal((30, 3))
    clean = truth + 0.3 * random.standard_normal((30, 3))
    read = truth[:, None, None] * 0.6 + random.standard_normal((30, 2, 4, 3))
    found = shares(truth, read, clean)
    for level in range(2):
        for step in range(4):
            true = retention(truth, read[:, level, step], clean)
            assert found[:, level, step].mean() == pytest.approx(true)


def blue(pictures):
    """A probe of one concept: the mean of the blue channel."""
    return {"blue": pictures[:, 2].mean((1, 2))}


def test_concepts_have_learning_steps_too(tmp_path):
    from nca_cli.concepts import FunctionProbe, Truth

    store = Store(tmp_path / "store")
    x0s = {name: x0 + np.array([0, 0, i / 50 - 0.1])[:, None, None]
           for i, (name, x0) in enumerate(X0S.items())}  # fmt: skip
    commit_run(store, "mine", x0s, lambda step, x_t, x0, level: x0 * (1 - math.exp(-step / 50)),
               STEPS, TS)  # fmt: skip
    truth = Truth({name: {"blue": (float(x0[2].mean()),)} for name, x0 in x0s.items()})
    found = training_numbers(store, wanted=TrainingRequest(truth, FunctionProbe(blue, "blue")))
    later = training_numbers(store, Filters(steps=STEPS[1:]),
                             TrainingRequest(truth, FunctionProbe(blue, "blue")))  # fmt: skip
    unlearned = by_metric(later.emergences)["concept/blue"]
    assert (unlearned.baseline_kind, unlearned.baseline) == ("mean image", (0, 0))
    one = by_metric(found.emergences)["concept/blue"]
    np.testing.assert_allclose(one.mean[0], [1 - math.exp(-step / 50) for step in STEPS], atol=1e-5)
    assert one.image_names == by_metric(found.emergences)["mse"].image_names
    pairs = {(order.metric, order.then_metric) for order in found.orders}
    assert ("mse", "concept/blue") in pairs


def test_a_report_has_the_numbers_of_trainings(store, tmp_path):
    build_report(store, tmp_path / "report.html", Filters(latest=True), csv=tmp_path / "all.csv",
                 json=tmp_path / "all.json", training_csv=tmp_path / "training.csv")  # fmt: skip
    with open(tmp_path / "training.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == TrainingRow._fields
    steps = [row for row in rows if (row["kind"], row["measure"]) == ("learning step", "mse")]
    assert [row["t"] for row in steps] == ["200", "500"]
    assert all(
        float(row["images_seen"]) == pytest.approx(32 * float(row["value"])) for row in steps
    )
    assert all(float(row["low"]) <= float(row["value"]) <= float(row["high"]) for row in steps)
    assert {row["kind"] for row in rows} == {"mean", "share", "learning step", "lost", "before"}
    training = json.loads((tmp_path / "all.json").read_text())["training"]
    assert {one["metric"] for one in training["emergences"]} >= {"mse", "psnr"}
    with open(tmp_path / "all.csv", newline="") as file:
        assert {row["sampler"] for row in csv.DictReader(file)} <= {"one-step", "reference:copy"}


def test_the_command_line_writes_them_and_prints_how_to_again(store, tmp_path):
    images = linear.pictures(tmp_path / "seen", count=2)
    asked = ["report", "--store", store.root, "-o", tmp_path / "page.html", "--batch-size", 64,
             "--training-csv", tmp_path / "t.csv", "--train-images", images,
             "--train-images", images / "picture-00.png", "-q"]  # fmt: skip
    result = CliRunner().invoke(app, list(map(str, asked)))
    assert result.exit_code == 0, result.output
    assert str(tmp_path / "t.csv") in result.stdout.split()
    with open(tmp_path / "t.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    step = next(row for row in rows if row["kind"] == "learning step")
    assert float(step["images_seen"]) == pytest.approx(64 * float(step["value"]))
    assert "excess" in {row["kind"] for row in rows}
    page = (tmp_path / "page.html").read_text()
    assert f"--train-images {images}" in page
    assert "--batch-size 64" in page


def test_a_store_without_a_training_says_nothing_of_one(tmp_path):
    store = full_store(tmp_path / "store")
    report = build_report(store, None, json=tmp_path / "all.json",
                          training_csv=tmp_path / "training.csv")  # fmt: skip
    assert report.training is None
    assert json.loads((tmp_path / "all.json").read_text())["training"] is None
    assert (tmp_path / "training.csv").read_text() == ",".join(TrainingRow._fields) + "\n"


def test_training_images_are_read_from_files(tmp_path):
    pictures = linear.pictures(tmp_path / "pictures", count=6)
    reconstruct(pictures, store=tmp_path / "store", at=(0, 32, 256), t=(100, 300), device="cpu",
                runs=["linear_training:at_step"], samplers=["one-step"])  # fmt: skip
    seen = [str(path) for path in sorted(pictures.iterdir())[:3]]
    found = training_numbers(Store(tmp_path / "store"), wanted=TrainingRequest(images=seen))
    assert {(one.images, one.reference, one.excess.n) for one in found.excess} == {
        ("training", "posterior mean", 3), ("held-out", "posterior mean", 3)}  # fmt: skip
    assert len(found.gaps) == 2 * 3
    assert {one.best for one in found.excess if one.images == "training" and one.t == 100} == {0.0}
