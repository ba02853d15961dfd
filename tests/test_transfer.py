"""The transfer matrix against one linear map for all levels, whose optimum is known."""

import math

import numpy as np
import pytest

from nca_cli.analysis.transfer import transfer

VARIANCES = np.array([4.0, 1.0, 0.25, 0.05])
SNRS = np.array([100.0, 30.0, 10.0, 3.0, 0.3, 0.1, 0.01, 0.003])
NOISE = 1 / SNRS
BANDS = ["clean-up"] * 4 + ["content"] * 2 + ["coarse"] * 2
TRAINED = {
    "all": range(8),
    "only clean-up": range(4),
    "only coarse": (6, 7),
    "without content": (0, 1, 2, 3, 6, 7),
}


def optimum(levels, weights=None):
    """w of D(x) = w·x/a per mode: Σω·λ / Σω·(λ + n), with n = s²/a²."""
    omega = np.ones(len(levels)) if weights is None else np.asarray(weights)
    signal = (omega[:, None] * VARIANCES).sum(0)
    return signal / (omega[:, None] * (VARIANCES + NOISE[list(levels), None])).sum(0)


def error(w):
    """(w - 1)²·λ + w²·n at every level, the mean over the modes `(levels,)`."""
    return ((w - 1) ** 2 * VARIANCES + w**2 * NOISE[:, None]).mean(1)


def drawn(w, images=400, repeats=64, seed=0):
    """Errors `(images, levels)` of the map on Gaussian images, the same x_t for every map."""
    random = np.random.default_rng(seed)
    x0 = np.sqrt(VARIANCES) * random.standard_normal((images, repeats, 4))
    noise = random.standard_normal((images, repeats, 4))
    found = [((w * (x0 + math.sqrt(n) * noise) - x0) ** 2).mean((1, 2)) for n in NOISE]
    return np.stack(found, axis=1)


def exact(run, band):
    mine, all_levels = error(optimum(TRAINED[run])), error(optimum(TRAINED["all"]))
    rows = [row for row, name in enumerate(BANDS) if name == band]
    return ((mine - all_levels) / all_levels)[rows].mean()


def test_measured_entries_equal_the_closed_form():
    found = transfer({run: drawn(optimum(levels)) for run, levels in TRAINED.items()}, BANDS, "all")
    assert [(entry.run, entry.band) for entry in found[:4]] == [
        ("all", "clean-up"), ("all", "content"), ("all", "coarse"), ("only clean-up", "clean-up"),
    ]  # fmt: skip
    for entry in found:
        true = exact(entry.run, entry.band)
        assert entry.change.low <= true + 1e-9
        assert entry.change.high >= true - 1e-9
        assert entry.change.value == pytest.approx(true, rel=0.05, abs=0.01)
        assert entry.levels == BANDS.count(entry.band)


def test_a_run_is_no_better_than_itself():
    cells = drawn(optimum(range(8)))
    for entry in transfer({"all": cells, "again": cells}, BANDS, "all"):
        assert (entry.change.value, entry.change.low, entry.change.high) == (0, 0, 0)


def test_intervals_cover_the_closed_form():
    """Of 95 % intervals over 20 images, 200 draws of the images: between 90 and 99 % do."""
    weights, inside = {run: optimum(levels) for run, levels in TRAINED.items()}, 0
    for seed in range(200):
        errors = {run: drawn(weights[run], 20, 4, seed) for run in ("all", "only coarse")}
        (entry,) = (each for each in transfer(errors, BANDS, "all")
                    if (each.run, each.band) == ("only coarse", "clean-up"))  # fmt: skip
        inside += entry.change.low <= exact("only coarse", "clean-up") <= entry.change.high
    assert 0.90 <= inside / 200 <= 0.99


def test_images_that_lack_a_level_are_left_out_of_all_runs():
    cells = drawn(optimum(range(8)), images=10)
    holed = cells.copy()
    holed[4:, 2] = np.nan
    found = transfer({"all": cells, "mine": holed}, BANDS, "all")
    assert {entry.change.n for entry in found} == {4}
    nothing = transfer({"all": cells, "mine": holed * np.nan}, BANDS, "all")
    assert {entry.change.blank for entry in nothing} == {"no image at all levels of all runs"}


def test_what_there_is_to_compare_with_must_be_a_run():
    with pytest.raises(ValueError, match="no run 'uniform'"):
        transfer({"mine": np.ones((3, 8))}, BANDS, "uniform")
