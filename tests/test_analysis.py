"""Statistics of rows: intervals that cover, half-levels, orders, bits, and honest blanks."""

import json
import math
from dataclasses import asdict

import numpy as np
import pytest
from gaussians import DDIM, DDPM, LEVELS, LINEAR, Gaussian
from scipy.interpolate import CubicHermiteSpline
from scipy.special import stdtrit

from nca_cli.analysis import (
    ANY_SEED,
    MIN_IMAGES,
    Turn,
    Value,
    analyse,
    bits,
    curves,
    excess,
    half_levels,
    orders,
    p2_weights,
    stage,
    stages,
    weight_shares,
)
from nca_cli.analysis.bits import _interpolated, integral
from nca_cli.analysis.bootstrap import student, weights
from nca_cli.analysis.halflevel import crossings, isotonic
from nca_cli.metrics import METRICS
from nca_cli.schedule import Schedule

DATA = Gaussian()
LOG_SNR = np.array([LINEAR.log_snr(t) for t in LEVELS])


def rows(numbers, measure="mse", sampler="one-step", t=LEVELS, log_snr=None, model="m"):
    """Rows of an array (images, levels)."""
    log_snr = [LINEAR.log_snr(level) for level in t] if log_snr is None else log_snr
    return [
        Value(f"i{i:03}", model, sampler, t[j], 0, log_snr[j], measure, float(number))
        for i, row in enumerate(numbers)
        for j, number in enumerate(row)
    ]


def logistic(half, images=30, spread=0.3, seed=0, slope=1.0, noise=0.0):
    """Coherence-like curves 1 → 0 with half-levels around `half`."""
    random = np.random.default_rng(seed)
    halves = half + spread * random.standard_normal((images, 1))
    return 1 / (1 + np.exp(-slope * (LOG_SNR - halves))) + noise * random.standard_normal(
        (images, len(LEVELS))
    )


# -- curves and their intervals --------------------------------------------------------------------


@pytest.mark.parametrize("images", [20, 50])
def test_95_percent_intervals_cover_the_truth_in_90_to_99_percent_of_200_repeats(images):
    """Of skewed errors too: at t = 800 a single mode makes most of them."""
    shares = DATA.coverage(images)
    assert all(0.90 <= share <= 0.99 for share in shares.values()), shares


def test_curves_of_gaussian_data_lie_on_the_closed_forms_within_their_intervals():
    from test_samplers import chain_error

    exact = {
        "one-step": DATA.mmse,
        "ddim-50": lambda t: chain_error("ddim", t, 50, DATA.spectrum).mean(),
        "ddpm-100": lambda t: chain_error("ddpm", t, 100, DATA.spectrum).mean(),
    }
    found = [*DATA.rows(40, seed=1), *DATA.rows(40, DDIM, seed=2), *DATA.rows(40, DDPM, seed=3)]
    points = [(curve.sampler, point) for curve in curves(found) for point in curve.points]
    assert len(points) == 27
    inside = [point.low <= exact[sampler](point.t) <= point.high for sampler, point in points]
    assert np.mean(inside) >= 0.88
    assert all(abs(point.mean / exact[sampler](point.t) - 1) < 0.15 for sampler, point in points)


def test_the_image_is_the_unit_however_many_seeds_it_has():
    """Ten seeds of an image are no ten images: the interval stays as wide as the images say."""
    values = np.random.default_rng(0).standard_normal(12)
    once = rows(values[:, None], t=(100,))
    often = [row._replace(seed=seed) for row in once for seed in range(10)]
    one, ten = (curves(each)[0].points[0] for each in (once, often))
    assert (one.low, one.high) == pytest.approx((ten.low, ten.high))
    assert (one.images, ten.images, one.n) == (12, 12, 12)
    assert ten.n == 120


def test_curves_do_not_depend_on_the_order_of_the_rows():
    table = rows(np.random.default_rng(0).random((8, 9)))
    shuffled = [table[i] for i in np.random.default_rng(1).permutation(len(table))]
    assert curves(table) == curves(shuffled)
    assert curves(table) == curves(table)


@pytest.mark.parametrize("images", range(1, MIN_IMAGES))
def test_below_three_images_there_is_a_mean_and_no_interval(images):
    (curve,) = curves(rows(np.ones((images, 2)), t=(100, 200)))
    for point in curve.points:
        assert (point.mean, point.images) == (1, images)
        assert math.isnan(point.low)
        assert math.isnan(point.high)
        assert "too few images" in point.blank


def test_infinite_psnr_is_counted_and_poisons_no_mean():
    (curve,) = curves(
        rows(
            [[30, math.inf], [32, math.inf], [math.inf, math.inf], [34, math.nan]],
            "psnr",
            t=(100, 200),
        )
    )
    first, second = curve.points
    assert (first.mean, first.images, first.infinite, first.n) == (32, 3, 1, 4)
    assert math.isfinite(first.low)
    assert (second.mean, second.infinite, second.n) == (math.inf, 3, 3)
    assert second.blank == "every value is infinite"


def test_nan_values_are_absent_and_a_level_of_nothing_else_is_blank():
    (curve,) = curves(rows([[1, math.nan], [math.nan, math.nan]], t=(100, 200)))
    assert (curve.points[0].mean, curve.points[0].n) == (1, 1)
    assert math.isnan(curve.points[1].mean)
    assert curve.points[1].blank == "no values"


def test_rows_without_a_level_or_a_log_snr_are_one_point():
    nowhere = [
        Value(f"i{i}", "m", "reference:floor", math.nan, ANY_SEED, float("nan"), "mse", 0.1 * i)
        for i in range(4)
    ]
    (curve,) = curves(nowhere)
    assert len(curve.points) == 1
    assert curve.points[0].mean == pytest.approx(0.15)


@pytest.mark.parametrize("freedom", [*range(1, 30), 49, 1000])
def test_students_quantiles_are_right(freedom):
    assert student(freedom) == pytest.approx(stdtrit(freedom, 0.975), abs=3e-3)


def test_draws_are_a_function_of_the_number_of_images_alone():
    before = weights(7).copy()
    weights.cache_clear()
    np.testing.assert_array_equal(before, weights(7))
    np.testing.assert_allclose(weights(7).sum(axis=1), 1)


# -- half-levels -----------------------------------------------------------------------------------


@pytest.mark.parametrize("half", [-6.0, -3.0, 0.0])
def test_half_levels_of_logistic_curves_are_recovered(half):
    (found,) = half_levels(rows(logistic(half), "coherence/0"))
    assert found.log_snr.value == pytest.approx(half, abs=0.25)
    assert found.log_snr.low < half + 0.1
    assert found.log_snr.high > half - 0.1
    assert found.log_snr.high - found.log_snr.low < 0.6
    assert LINEAR.log_snr(int(found.t)) == pytest.approx(found.log_snr.value, abs=0.15)
    assert (found.start, found.end, found.measured_ends) == (1, 0, False)


def test_half_level_intervals_cover_the_half_level_of_the_mean_curve():
    truth = crossings(1 - logistic(-3, 20_000, seed=99).mean(axis=0)[None], LOG_SNR)[0]
    drawn = [rows(logistic(-3, 20, seed=seed), f"coherence/{seed}") for seed in range(100)]
    found = [half.log_snr for half in half_levels(row for table in drawn for row in table)]
    assert 0.88 <= np.mean([half.low <= truth <= half.high for half in found]) <= 1.0


def test_a_measure_without_known_ends_is_halved_between_its_outermost_levels():
    """PSNR from 30 dB to 10 dB, a straight line in logSNR: half at the middle of the axis."""
    line = 10 + 20 * (LOG_SNR - LOG_SNR[-1]) / (LOG_SNR[0] - LOG_SNR[-1])
    (found,) = half_levels(rows(np.tile(line, (5, 1)), "psnr"))
    assert found.log_snr.value == pytest.approx((LOG_SNR[0] + LOG_SNR[-1]) / 2)
    assert found.measured_ends
    assert (found.start, found.end) == pytest.approx((30, 10))


def test_what_is_never_half_lost_has_no_half_level():
    """A chain keeps the energy of a band, true or not, at every level."""
    (kept,) = half_levels(rows(np.full((6, 9), 0.97), "kept/5"))
    assert math.isnan(kept.log_snr.value)
    assert kept.log_snr.blank == "less than half is lost at the noisiest measured level"
    assert kept.turn is Turn.LASTS
    (gone,) = half_levels(rows(np.full((6, 9), 0.1), "kept/5"))
    assert gone.log_snr.blank == "half is lost before the cleanest measured level"
    assert gone.turn is Turn.GONE


@pytest.mark.parametrize("measure", ["kept/0", "coherence/0"])
@pytest.mark.parametrize("floor", [0.0, 0.2, 0.4])
def test_bands_are_half_lost_where_they_are_one_half_whatever_is_left_of_them(measure, floor):
    """A model that knows nothing still has the coherence of the mean image."""
    curve = floor + (1 - floor) * logistic(-3, 5, 0)
    (found,) = half_levels(rows(curve, measure))
    exact = -3 + math.log((0.5 - floor) / 0.5)
    assert found.log_snr.value == pytest.approx(exact, abs=0.15)
    assert not found.measured_ends
    (all_levels,) = half_levels(rows(curve[:, :-2], measure, t=LEVELS[:-2]))
    assert all_levels.log_snr == found.log_snr


def test_a_measure_that_only_wobbles_has_no_half_level():
    wobble = np.random.default_rng(0).standard_normal((20, 9))
    (found,) = half_levels(rows(wobble, "brightness"))
    assert found.log_snr.blank == "does not change beyond its uncertainty"


def test_an_interval_that_reaches_beyond_the_levels_is_open():
    (found,) = half_levels(rows(logistic(LOG_SNR[-1] + 0.1, 12, 1.0), "coherence/0"))
    assert found.log_snr.low == -math.inf
    assert 0 < found.crossed < 1


@pytest.mark.parametrize(
    ("numbers", "options", "why"),
    [
        (np.ones((5, 1)), {"t": (100,)}, "fewer than two levels"),
        (
            np.ones((5, 2)),
            {"t": (100, 200), "log_snr": (math.nan, math.nan)},
            "fewer than two levels",
        ),
        (np.ones((5, 2)), {"t": (100, 200), "log_snr": (1.0, -math.inf)}, "fewer than two levels"),
        (np.full((5, 9), np.nan), {}, "no finite values"),
        (np.full((5, 9), np.inf), {}, "no finite values"),
        (np.where(np.eye(5, 5) > 0, np.nan, 1.0), {"t": LEVELS[:5]}, "no image at all levels"),
    ],
)
def test_half_levels_that_cannot_be_had_say_why(numbers, options, why):
    (found,) = half_levels(rows(numbers, "coherence/0", **options))
    assert math.isnan(found.log_snr.value)
    assert why in found.log_snr.blank


def test_one_image_has_a_half_level_without_an_interval():
    (found,) = half_levels(rows(logistic(-2, 1, 0), "coherence/0"))
    assert found.log_snr.value == pytest.approx(-2, abs=0.2)
    assert math.isnan(found.log_snr.low)
    assert "too few images" in found.log_snr.blank


@pytest.mark.parametrize(
    ("measure", "numbers_of"),
    [
        ("coherence/0", half_levels),
        ("ssim", lambda table: weight_shares(table, {"m": LINEAR})),
        ("mse", bits),
    ],
)
def test_a_level_that_few_images_have_costs_the_others_nothing(measure, numbers_of):
    table = rows(logistic(-2), measure)
    extra = rows([[0.5]] * 14, measure, t=(150,))
    assert repr(numbers_of([*table, *extra])) == repr(numbers_of(table))


def test_half_of_the_images_make_a_level_that_counts():
    extra = rows([[0.9]] * 15, "coherence/0", t=(150,))
    (found,) = half_levels([*rows(logistic(-2), "coherence/0"), *extra])
    assert found.log_snr.n == 15


def test_one_image_may_have_all_levels_where_the_others_have_one():
    one, others = logistic(-2, 1, 0), logistic(-2)[:, :1]
    (found,) = half_levels([*rows(others, "coherence/0", t=LEVELS[:1]), *rows(one, "coherence/0")])
    assert found.log_snr.value == pytest.approx(-2, abs=0.2)
    assert found.log_snr.n == 1


def test_isotonic_regression_is_the_nearest_monotone_curve():
    random = np.random.default_rng(3)
    x = random.standard_normal((50, 7))
    fit = isotonic(x)
    assert np.all(np.diff(fit, axis=1) >= -1e-12)
    np.testing.assert_allclose(fit.mean(axis=1), x.mean(axis=1))
    for other in np.sort(random.standard_normal((200, 7)), axis=1):
        assert np.all(((fit - x) ** 2).sum(axis=1) <= ((other - x) ** 2).sum(axis=1) + 1e-12)
    np.testing.assert_allclose(isotonic(np.array([[0.0, 3, 1, 4]])), [[0, 2, 2, 4]])


def test_crossings_are_linear_between_levels():
    log_snr = np.array([2.0, 0.0, -4.0])
    lost = np.array([[0, 0.25, 0.75], [0.6, 0.7, 0.8], [0, 0.1, 0.2], [0.5, 0.6, 0.7]])
    np.testing.assert_allclose(crossings(lost, log_snr), [-2, np.inf, -np.inf, 2])


# -- orders ----------------------------------------------------------------------------------------


def test_the_order_of_bands_is_found_with_its_probability():
    """Bands whose half-levels are apart are ordered for sure; equal ones are a coin."""
    table = [
        *rows(logistic(-5, seed=1), "coherence/0"),
        *rows(logistic(-1, seed=2), "coherence/1"),
        *rows(logistic(-1, seed=3), "coherence/2"),
    ]
    found = {frozenset((o.first, o.then)): o for o in orders(table)}
    sure = found[frozenset(("coherence/0", "coherence/1"))]
    assert (sure.first, sure.then, sure.certain) == ("coherence/1", "coherence/0", True)
    assert sure.probability > 0.999
    assert sure.difference.value == pytest.approx(4, abs=0.3)
    assert 0.5 <= found[frozenset(("coherence/1", "coherence/2"))].probability < 0.999


def test_order_probabilities_are_those_of_the_difference():
    """Two half-levels 0.1 apart, each known to ±σ/√n: Φ(difference / its standard error)."""
    one, other = logistic(-2.0, 40, seed=4), logistic(-2.1, 40, seed=5)
    (found,) = orders([*rows(one, "coherence/0"), *rows(other, "coherence/1")])
    error = (found.difference.high - found.difference.low) / 2 / 2.02
    expected = 0.5 * (1 + math.erf(found.difference.value / error / math.sqrt(2)))
    assert found.probability == pytest.approx(expected, abs=0.04)


def test_shared_wobble_of_images_does_not_blur_an_order():
    """Joint draws: an image that keeps everything longer keeps both bands longer."""
    base = np.random.default_rng(0).standard_normal((10, 1)) * 2
    both = [
        *rows(1 / (1 + np.exp(-(LOG_SNR - base + 3))), "coherence/0"),
        *rows(1 / (1 + np.exp(-(LOG_SNR - base + 2.7))), "coherence/1"),
    ]
    (order,) = orders(both)
    one, other = half_levels(both)
    assert order.first == "coherence/1"
    assert order.certain
    assert one.log_snr.high > other.log_snr.low  # though the intervals overlap


def test_a_band_that_outlasts_the_levels_goes_after_one_that_does_not():
    kept = rows(np.full((9, len(LEVELS)), 0.9), "coherence/0")
    (order,) = orders([*kept, *rows(logistic(-1, 9), "coherence/1")])
    assert (order.first, order.probability, order.certain) == ("coherence/1", 1, True)
    assert "less than half is lost at the noisiest" in order.difference.blank
    (tie,) = orders([*kept, *(row._replace(measure="coherence/1") for row in kept)])
    assert math.isnan(tie.probability)
    assert not tie.certain


def test_too_few_images_have_no_order():
    table = [*rows(logistic(-5, 2), "kept/0"), *rows(logistic(-1, 2), "kept/1")]
    (order,) = orders(table)
    assert math.isnan(order.probability)
    assert "too few images" in order.difference.blank


# -- stages and weights ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("schedule", "clean_up", "coarse"),
    [
        (Schedule(), 258, 674),
        (Schedule("scaled_linear", 0.0015, 0.0195), 254, 737),
    ],
)
def test_p2s_stages_are_where_the_paper_has_them(schedule, clean_up, coarse):
    noisy, content, clean = stages(schedule)
    assert (noisy.name, content.name, clean.name) == ("coarse", "content", "clean-up")
    assert noisy.t_first == pytest.approx(coarse, abs=1)
    assert content.t_first == pytest.approx(clean_up, abs=1)
    assert (clean.t_first, noisy.t_last) == (0, 999)
    assert noisy.levels + content.levels + clean.levels == 1000
    assert all(
        stage(schedule.snr(t)) == one.name
        for one in (noisy, content, clean)
        for t in (one.t_first, one.t_last)
    )


def test_a_schedule_that_never_gets_coarse_says_so():
    noisy, *_ = stages(Schedule(steps=100))
    assert (noisy.levels, noisy.t_first) == (0, None)


def test_p2_weights_fade_where_the_signal_is_strong():
    plain, weighted = p2_weights(LINEAR, 0), p2_weights(LINEAR, 1)
    np.testing.assert_allclose(plain, 1 / 1000)
    assert weighted.sum() == pytest.approx(1)
    ratio = weighted[1:] / weighted[:-1]
    assert np.all(ratio > 1)
    assert weighted[500] / weighted[100] == pytest.approx(
        (1 + LINEAR.snr(100)) / (1 + LINEAR.snr(500))
    )


def test_on_the_bound_pure_noise_has_no_weight():
    weight = p2_weights(Schedule(zero_terminal_snr=True), bound=True)
    assert weight.sum() == pytest.approx(1)
    assert weight[-1] == 0 < weight[:-1].min()


def test_weight_shares_set_training_beside_content():
    found = weight_shares(rows(logistic(-3, slope=4), "ssim"), {"m": LINEAR})
    assert sum(share.epsilon for share in found) == pytest.approx(p2_weights(LINEAR)[101:901].sum())
    most = max(found, key=lambda share: share.content.value)
    assert most.log_snr_low < -3 < most.log_snr_high
    assert weight_shares(rows(logistic(-3), "ssim"), {}) == []


# -- bits ------------------------------------------------------------------------------------------


def gaussian_bits(low, high):
    """½ Σ log2(1 + sλ) between two logSNR, per pixel."""
    s = np.exp([low, high])
    return float(np.diff(0.5 * np.log2(1 + s[:, None] * DATA.spectrum).sum(axis=1))[0] / DATA.d * 3)


def test_bits_match_the_closed_form_within_2_percent():
    found = {one.stage: one for one in bits(DATA.rows(40, seed=6))}
    for name in ("coarse", "content", "clean-up", "all"):
        one = found[name]
        exact = gaussian_bits(one.log_snr_low, one.log_snr_high)
        assert one.bits.value == pytest.approx(exact, rel=0.05)
        assert one.bits.low <= exact <= one.bits.high
    exact_errors = np.array([[DATA.mmse(t) for t in LEVELS]])
    for one in bits(rows(exact_errors)):
        assert one.bits.value == pytest.approx(
            gaussian_bits(one.log_snr_low, one.log_snr_high), rel=0.005
        )


def test_stages_add_up_and_those_that_go_on_are_partial():
    found = {one.stage: one for one in bits(DATA.rows(5))}
    parts = [found[name].bits.value for name in ("coarse", "content", "clean-up")]
    assert sum(parts) == pytest.approx(found["all"].bits.value, rel=1e-4)
    assert [found[name].partial for name in ("coarse", "content", "clean-up", "all")] == [
        True,
        False,
        True,
        True,
    ]
    assert found["all"].below < gaussian_bits(-50, LOG_SNR[-1]) * 1.2


def test_power_law_errors_are_integrated_exactly():
    log_snr = np.array([-3.0, -1.0, 2.0])
    s = np.exp(log_snr)
    exact = 0.5 / math.log(2) * 2 * (math.exp(1.0) - math.exp(-1.5))  # ½∫ s^-½ ds
    assert integral(log_snr, s[None] ** -0.5)[0] == pytest.approx(exact)
    assert integral(log_snr, 1 / s[None])[0] == pytest.approx(0.5 * 5 / math.log(2))


@pytest.mark.parametrize("levels", [2, 3, 9])
def test_between_levels_the_log_error_is_a_cubic(levels):
    random = np.random.default_rng(levels)
    x, y = np.cumsum(random.uniform(0.2, 2, levels)), random.normal(size=(4, levels))
    slopes = np.gradient(y, x, axis=1, edge_order=2 if levels > 2 else 1)
    at = np.linspace(x[0], x[-1], 50)
    expected = CubicHermiteSpline(x, y, slopes, axis=1)(at)
    np.testing.assert_allclose(_interpolated(at, x, y), expected, atol=1e-12)


def test_chains_and_blank_levels_have_no_bits():
    assert bits(rows(np.ones((4, 9)), sampler="ddim-50")) == []
    assert all("fewer than two" in one.bits.blank for one in bits(rows(np.ones((4, 1)), t=(100,))))
    blank = bits(rows(np.ones((4, 2)), t=(100, 200), log_snr=(math.nan, math.nan)))
    assert all(math.isnan(one.bits.value) for one in blank)
    (coarse, *_) = bits(rows(np.ones((4, 2)), t=(100, 200)))
    assert coarse.bits.blank == "no levels in this stage"
    assert all(
        math.isfinite(one.bits.value) or one.bits.blank for one in bits(rows(np.zeros((4, 9))))
    )


# -- all together ----------------------------------------------------------------------------------


def test_excess_is_paired_and_in_decibels():
    """A network with half the error of its reference in every image gains 3 dB, exactly."""
    errors = np.random.default_rng(0).uniform(0.1, 5, (6, 9))
    table = [
        *rows(errors, sampler="ddim-50"),
        *rows(2 * errors, sampler="reference:gaussian/ddim-50"),
        *rows(9 * errors, sampler="reference:copy"),
    ]
    found = excess(table)
    assert {one.reference for one in found} == {"reference:gaussian/ddim-50", "reference:copy"}
    for one in found:
        factor = 2 if "gaussian" in one.reference else 9
        assert (one.gain.value, one.gain.low, one.gain.high) == pytest.approx(
            (10 * math.log10(factor),) * 3
        )


def test_a_floor_without_a_level_is_compared_at_every_level():
    floor = rows(
        np.full((4, 1), 0.5), sampler="reference:floor", t=(math.nan,), log_snr=(math.nan,)
    )
    found = excess([*rows(np.ones((4, 9))), *floor])
    assert [one.t for one in found] == list(LEVELS)
    assert all(one.gain.value == pytest.approx(-3.0103, abs=1e-4) for one in found)


@pytest.mark.parametrize(
    "values",
    [
        [],
        rows(np.full((3, 9), np.nan)),
        rows(np.ones((1, 1)), t=(100,)),
        rows(np.full((4, 9), np.inf), "psnr"),
        rows(np.ones((3, 2)), t=(100, 200), log_snr=(math.inf, -math.inf)),
    ],
)
def test_poor_input_is_blank_and_never_an_error(values):
    with np.errstate(all="raise", under="ignore"):
        content = analyse(values).as_dict()
    json.dumps(content)
    numbers = [half["log_snr"]["value"] for half in content["half_levels"]]
    assert all(math.isnan(number) for number in numbers)


def test_results_are_plain_data():
    found = analyse(
        [
            *DATA.rows(4),
            *rows(logistic(-3, 4), "coherence/0"),
            *rows(logistic(-1, 4), "coherence/1"),
        ]
    )
    assert json.dumps(found.as_dict())
    assert asdict(found.half_levels[0])["log_snr"]["n"] == 4
    assert found.orders
    assert found.bits


def test_ends_name_families():
    assert METRICS["ssim"].ends == (1, None)
