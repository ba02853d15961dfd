"""Learning steps and transfer through the store, against linear maps whose truth is known."""

import math
from dataclasses import replace
from itertools import pairwise

import linear_training as linear
import numpy as np
import pytest
from trainings import SCHEDULE, commit_run

from nca_cli import reconstruct
from nca_cli.analysis.checkpoints import step_tables
from nca_cli.analysis.emergence import emergences, learned_orders
from nca_cli.analysis.learning import learned
from nca_cli.analysis.p2 import stage
from nca_cli.analysis.taught import transfer_matrix
from nca_cli.metrics import METRICS, Measuring, Metric
from nca_cli.store import Store


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """Level → mode → what was measured, of the run `linear_training:at_step`."""
    root = tmp_path_factory.mktemp("linear")
    summary = reconstruct(linear.pictures(root / "pictures"), store=root / "store", device="cpu",
                          runs=["linear_training:at_step"], at=linear.STEPS, t=linear.LEVELS,
                          samplers=["one-step"])  # fmt: skip
    assert summary.errors == []
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(METRICS, "channel", Metric(linear.by_channel, "Channel", "error", "lower"))
        return emergences(Store(root / "store"), metrics=["channel"])


def test_every_level_and_mode_is_there(found):
    assert [each.metric for each in found] == ["channel/a", "channel/b", "channel/c"]
    for each in found:
        assert each.run == "at_step"
        assert (each.steps, each.images, each.baseline_kind) == (linear.STEPS, 24, "step 0")
        assert set(each.t) == set(linear.LEVELS)
        assert each.batch_size is None


def test_errors_are_those_of_the_formula(found):
    """Within 3 %: 24 pictures of 4096 pixels, whose sample variance is off by 0.5 %."""
    for mode, each in enumerate(found):
        for level, t in enumerate(each.t):
            true = [linear.error(step, SCHEDULE.level(t))[mode] for step in linear.STEPS]
            np.testing.assert_allclose(each.mean[level], true, rtol=0.03)


def test_learning_steps_are_those_of_the_formula(found):
    missed = 0
    for mode, each in enumerate(found):
        for level, t in enumerate(each.t):
            true = [linear.error(step, SCHEDULE.level(t))[mode] for step in linear.STEPS]
            exact = learned(linear.STEPS, np.array([true] * 3)).step.value
            step = each.learned[level].step
            assert step.value == pytest.approx(exact, rel=0.1)
            missed += not step.low <= exact <= step.high
    assert missed <= 3  # of 15 intervals of 95 %, 4 or more do so once in 180


def test_large_variances_are_learned_first_and_clean_levels_first_at_a_variance(found):
    """By the loss of ε: the weights of x̂0's error rise with SNR."""
    steps = np.array([[each.learned[each.t.index(t)].step.value for t in linear.LEVELS]
                      for each in found])  # fmt: skip
    assert (np.diff(steps, axis=1) > 0).all()
    assert (np.diff(steps[:, :3], axis=0) > 0).all()  # where the modes differ at all
    order = {(one.metric, one.t, one.then_metric, one.then_t): one for one in
             learned_orders(found)}  # fmt: skip
    for each in found:
        for clean, noisy in pairwise(sorted(linear.LEVELS)):
            assert order[each.metric, clean, each.metric, noisy].probability >= 0.95
    cleanest = min(linear.LEVELS)
    for large, small in pairwise(found):
        assert order[large.metric, cleanest, small.metric, cleanest].certain


VARIANCES = np.array([0.06, 0.02, 0.005])
TS = (40, 100, 180, 300, 450, 600, 750, 850)
NOISE = np.array([1 / SCHEDULE.snr(t) for t in TS])
BANDS = [stage(SCHEDULE.snr(t)) for t in TS]
TRAINED = {
    "uniform": ["coarse", "content", "clean-up"],
    "only-coarse": ["coarse"],
    "without-content": ["coarse", "clean-up"],
    "only-clean-up": ["clean-up"],
}


def optimum(bands):
    """w of D(x_t) = w·x_t/a per mode: Σλ / Σ(λ + n) over the levels trained on."""
    n = NOISE[[band in bands for band in BANDS]]
    return len(n) * VARIANCES / (VARIANCES[None] + n[:, None]).sum(0)


def shared_error(w):
    """At each level, the mean over modes."""
    return ((w - 1) ** 2 * VARIANCES + w**2 * NOISE[:, None]).mean(1)


@pytest.fixture(scope="module")
def transferred(tmp_path_factory):
    store = Store(tmp_path_factory.mktemp("transfer") / "store")
    random = np.random.default_rng(5)
    scale = np.sqrt(VARIANCES)[:, None, None]
    x0s = {f"p{i:02d}": scale * random.standard_normal((3, 24, 24)) for i in range(40)}
    for name, bands in TRAINED.items():
        w = optimum(bands)[:, None, None]
        commit_run(store, f"{name}-0", x0s, lambda step, x_t, x0, level, w=w: w * x_t / level.a,
                   (1, 100), TS, {"settings": name, "bands": bands, "seed": 0})  # fmt: skip
    work = Measuring(store, names=["raw"])
    tables = step_tables(store, work, work.run())
    return transfer_matrix([replace(table, metric="mse") for table in tables])


@pytest.fixture(scope="module", autouse=True)
def raw():
    """Errors that are not clipped, as the formula has them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(METRICS, "raw", Metric(squared, "Raw", "error", "lower"))
        yield


def squared(x0, x0_hat):
    return float(((x0_hat - x0) ** 2).mean())


def test_transfer_of_a_shared_map_is_the_closed_form(transferred):
    rows = [(entry.settings, entry.band) for entry in transferred]
    bands = list(dict.fromkeys(BANDS))
    assert rows == [(name, band) for name in sorted({*TRAINED} - {"uniform"})
                    for band in bands]  # fmt: skip
    all_levels = shared_error(optimum(TRAINED["uniform"]))
    for entry in transferred:
        mine = shared_error(optimum(TRAINED[entry.settings]))
        here = [row for row, band in enumerate(BANDS) if band == entry.band]
        true = ((mine - all_levels) / all_levels)[here].mean()
        assert entry.change.value == pytest.approx(true, rel=0.05, abs=0.01)
        assert (entry.reference, entry.step, entry.levels) == ("uniform", 100, len(here))
        assert math.isnan(entry.trainings.low)  # of one training nothing is known of others
