"""Learning steps against a linear denoiser under gradient descent, whose curves are known."""

import math
from itertools import pairwise

import numpy as np
import pytest

from nca_cli.analysis.learning import BEFORE, NOTHING_TO_LEARN, learned, precedes

ETA = 0.05
STEPS = (0, 1, 2, 3, 5, 8, 12, 20, 33, 55, 90, 150, 250, 400, 700)
VARIANCES = (1.0, 0.1, 0.01)
SNRS = (100.0, 10.0, 1.0, 0.1, 0.01)


def level(snr):
    """a and s of a variance-preserving level."""
    return math.sqrt(snr / (1 + snr)), math.sqrt(1 / (1 + snr))


def weight(step, variance, snr):
    """w after so many steps of gradient descent on E(w·x_t - x0)² from w = 0."""
    a, s = level(snr)
    c = a**2 * variance + s**2
    return a * variance / c * (1 - (1 - 2 * ETA * c) ** step)


def error(step, variance, snr):
    """E(w·x_t - x0)², exactly."""
    a, s = level(snr)
    w, c = weight(step, variance, snr), a**2 * variance + s**2
    return variance * s**2 / c + (w - a * variance / c) ** 2 * c


def half_learned(variance, snr):
    """The step at which half of what the run learns is learned, by bisection on the formula."""
    first, best = error(0, variance, snr), error(STEPS[-1], variance, snr)
    low, high = 0.0, float(STEPS[-1])
    for _ in range(80):
        middle = (low + high) / 2
        learned_half = first - error(middle, variance, snr) >= (first - best) / 2
        low, high = (low, middle) if learned_half else (middle, high)
    return high


def errors(variance, snr, images=40, pixels=256, seed=0):
    """Squared errors `(images, checkpoints)` of the denoiser on Gaussian images, by drawing."""
    random, (a, s) = np.random.default_rng([seed, int(1e4 * variance), int(1e4 * snr)]), level(snr)
    x0 = math.sqrt(variance) * random.standard_normal((images, pixels))
    x_t = a * x0 + s * random.standard_normal((images, pixels))
    answers = (weight(step, variance, snr) * x_t for step in STEPS)
    return np.stack([((answer - x0) ** 2).mean(1) for answer in answers], axis=1)


@pytest.mark.parametrize("snr", SNRS)
@pytest.mark.parametrize("variance", VARIANCES)
def test_the_learning_step_of_a_linear_denoiser_is_the_one_that_its_formula_has(variance, snr):
    a, s = level(snr)
    explained = a**2 * variance / (a**2 * variance + s**2)
    found = learned(STEPS, errors(variance, snr, images=400))
    if explained < 0.005:  # what there is to learn drowns in the drawing of the images
        pytest.skip("half a percent of the variance can be known here")
    true = half_learned(variance, snr)
    if true < STEPS[1]:
        assert found.step.blank == BEFORE
        return
    assert found.step.low <= found.step.value <= found.step.high
    assert found.step.value == pytest.approx(true, rel=0.15)  # linear between checkpoints
    assert found.best_step == STEPS[-1] or found.share[-1] > 0.999


def test_large_variances_are_learned_first_and_small_ones_first_where_noise_is_high():
    """VP levels, variances up to 1: the 1/λ law shows at clean levels alone."""
    at_clean = [learned(STEPS, errors(variance, 100.0)) for variance in VARIANCES]
    for one, other in pairwise(at_clean):
        assert one.step.value < other.step.value / 3
        assert precedes(one, other) == 1.0
        assert precedes(other, one) == 0.0
    by_level = [learned(STEPS, errors(0.1, snr)).step.value for snr in (100.0, 10.0, 1.0)]
    assert by_level == sorted(by_level, reverse=True)


def test_intervals_of_learning_steps_cover_the_truth():
    """Of 95 % intervals over 24 images, 200 draws of the images: between 90 and 99 % do."""
    variance, snr = 0.1, 10.0
    exact = np.array([[error(step, variance, snr) for step in STEPS]] * 3)
    true = learned(STEPS, exact + np.zeros((3, 1))).step.value  # of the means, without drawing
    inside = 0
    for seed in range(200):
        found = learned(STEPS, errors(variance, snr, images=24, pixels=64, seed=seed)).step
        inside += found.low <= true <= found.high
    assert 0.90 <= inside / 200 <= 0.99


def test_intervals_of_the_learned_share_cover_the_truth():
    """While a run learns, at checkpoints 5 and 12: between 90 and 99 % of 200 do."""
    variance, snr = 0.1, 10.0
    first, best = error(0, variance, snr), error(STEPS[-1], variance, snr)
    inside = np.zeros(2)
    for seed in range(200):
        found = learned(STEPS, errors(variance, snr, images=24, pixels=64, seed=seed))
        for row, step in enumerate((5, 12)):
            true, at = (first - error(step, variance, snr)) / (first - best), STEPS.index(step) - 1
            inside[row] += found.share_low[at] <= true <= found.share_high[at]
    assert (inside / 200 >= 0.90).all()
    assert (inside / 200 <= 0.99).all()


def test_what_does_not_change_is_blank():
    """Of pure noise, in which the luckiest of 14 checkpoints is looked at."""
    found = []
    for seed in range(200):
        noise = np.random.default_rng(seed).standard_normal((20, len(STEPS)))
        found.append(learned(STEPS, 1 + 0.1 * noise))
    blank = [each for each in found if each.step.blank == NOTHING_TO_LEARN]
    assert len(blank) >= 185
    assert math.isnan(blank[0].step.value)
    assert math.isnan(precedes(blank[0], blank[1]))


def test_what_gets_worse_is_never_learned():
    rising = np.linspace(1, 2, len(STEPS))[None] + np.linspace(0, 0.1, 9)[:, None]
    assert learned(STEPS, rising).step.blank == NOTHING_TO_LEARN
    assert math.isfinite(learned(STEPS, rising, higher_is_better=True).step.value)


def test_learned_then_lost_is_told():
    random = np.random.default_rng(1)
    curve = np.array([1.0, 0.8, 0.6, 0.3, 0.1, 0.1, 0.2, 0.4, 0.6])
    cells = curve + 0.02 * random.standard_normal((20, len(curve)))
    found = learned((0, 1, 2, 4, 8, 16, 32, 64, 128), cells)
    assert found.best_step in (8, 16)
    assert found.lost.low < 0.5 / 0.9 < found.lost.high
    assert found.lost.low > 0.3
    kept = learned((0, 1, 2, 4, 8), cells[:, :5])
    assert kept.lost.value == 0


def test_one_lucky_checkpoint_is_not_the_learning_step():
    curve = np.array([1.0, 0.9, 0.2, 0.9, 0.8, 0.2, 0.1])
    cells = curve + np.linspace(0, 0.01, 5)[:, None]
    found = learned((0, 1, 2, 4, 8, 16, 32), cells)
    assert 4 < found.step.value < 16


def test_a_baseline_may_be_given_where_step_0_is_not_stored():
    cells = errors(1.0, 10.0)
    given = learned(STEPS[1:], cells[:, 1:], baseline=cells[:, 0])
    assert given.step == learned(STEPS, cells).step
    with pytest.raises(ValueError, match="no baseline"):
        learned(STEPS[1:], cells[:, 1:])


def test_images_that_lack_a_checkpoint_are_left_out():
    cells = errors(1.0, 10.0)
    holed = cells.copy()
    holed[3:, 5] = np.nan
    assert learned(STEPS, holed).step == learned(STEPS, cells[:3]).step
    assert learned(STEPS, holed).step.n == 3


def later_by_6_percent(images=12):
    """Errors of two measures; every image learns the second 6 % later, and images differ more."""
    random = np.random.default_rng(3)
    halves = 30 * np.exp(0.5 * random.standard_normal((images, 1)))
    return [1 / (1 + np.array(STEPS) / (halves * factor)) for factor in (1.0, 1.06)]


def test_the_order_is_of_the_same_images_where_each_lacks_another():
    one, other = later_by_6_percent()
    assert precedes(learned(STEPS, one), learned(STEPS, other)) == 1.0
    one[0, 3] = other[-1, 5] = np.nan
    assert precedes(learned(STEPS, one), learned(STEPS, other)) > 0.95


@pytest.mark.filterwarnings("error")
def test_draws_without_a_complete_image_say_nothing_of_an_order():
    one, other = later_by_6_percent()
    one[3:, 3] = other[3:, 5] = np.nan
    found = [learned(STEPS, each) for each in (one, other)]
    assert np.isnan(found[0].halves).any()
    assert precedes(*found) == 1.0


def test_the_order_of_images_changes_nothing_but_rounding():
    cells = errors(0.1, 1.0)
    one, other = learned(STEPS, cells), learned(STEPS, cells[::-1])
    assert one.step.value == pytest.approx(other.step.value)
    assert one.best_step == other.best_step
