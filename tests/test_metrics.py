"""Measures agree with scikit-image on the same pixels, and never give a wrong number."""

import subprocess
import sys

import numpy as np
import pytest
from skimage.metrics import mean_squared_error, peak_signal_noise_ratio, structural_similarity

from nca_cli.analysis import Value, curves, stage
from nca_cli.metrics import MEASURES, measure, mse, psnr, ssim


@pytest.fixture
def pair():
    """(x0, x0_hat) `(3, 24, 32)` in [-1, 1], some of x0_hat beyond it, and both as pixels."""
    rng = np.random.default_rng(0)
    x0 = rng.uniform(-1, 1, (3, 24, 32)).astype(np.float32)
    x0_hat = x0 + 0.4 * rng.standard_normal(x0.shape).astype(np.float32)
    pixels = [np.moveaxis((np.clip(x, -1, 1) + 1) / 2, 0, -1) for x in (x0, x0_hat)]
    return x0, x0_hat, pixels


def test_psnr_is_that_of_scikit_image(pair):
    x0, x0_hat, (a, b) = pair
    assert psnr(x0, x0_hat) == pytest.approx(peak_signal_noise_ratio(a, b, data_range=1), abs=1e-4)


def test_ssim_is_that_of_scikit_image(pair):
    x0, x0_hat, (a, b) = pair
    assert ssim(x0, x0_hat) == structural_similarity(a, b, channel_axis=2, data_range=1)


def test_mse_is_four_times_that_of_pixels_in_0_1(pair):
    x0, x0_hat, (a, b) = pair
    assert mse(x0, x0_hat) == pytest.approx(4 * mean_squared_error(a, b), rel=1e-5)


def test_a_reconstruction_is_clipped_before_it_is_measured(pair):
    x0, x0_hat, _ = pair
    assert measure(x0, x0_hat) == measure(x0, np.clip(x0_hat, -1, 1))
    assert psnr(np.ones((3, 8, 8)), np.full((3, 8, 8), 7.0)) == np.inf


def test_equal_pictures_have_no_error(pair):
    assert measure(pair[0], pair[0]) == {"psnr": np.inf, "ssim": 1.0, "mse": 0.0}


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", MEASURES)
@pytest.mark.filterwarnings("error")
def test_one_pixel_that_is_no_number_spoils_the_measure(pair, name, bad):
    x0, x0_hat, _ = pair
    x0_hat[1, 0, 0] = bad
    assert np.isnan(MEASURES[name].function(x0, x0_hat))


def test_a_picture_below_seven_pixels_has_no_ssim_but_a_psnr():
    found = measure(np.zeros((3, 6, 9), np.float32), np.ones((3, 6, 9), np.float32))
    assert np.isnan(found["ssim"])
    assert found["mse"] == 1
    assert found["psnr"] == pytest.approx(10 * np.log10(4))


def test_grey_pictures_are_measured_too():
    x0 = np.random.default_rng(1).uniform(-1, 1, (1, 16, 16)).astype(np.float32)
    assert ssim(x0, x0 * 0.5) == pytest.approx(
        structural_similarity((x0[0] + 1) / 2, (x0[0] * 0.5 + 1) / 2, data_range=1), abs=1e-6
    )


@pytest.mark.parametrize("name", MEASURES)
def test_pictures_of_different_shapes_are_not_compared(name):
    with pytest.raises(ValueError, match="different shapes"):
        MEASURES[name].function(np.zeros((3, 8, 8)), np.zeros((1, 8, 8)))


def test_measures_load_no_torch():
    code = (
        "import sys, numpy as np; from nca_cli.metrics import measure; before = set(sys.modules);"
        "measure(np.zeros((3, 8, 8)), np.ones((3, 8, 8)));"
        "assert 'skimage' not in before; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# --- statistics ---------------------------------------------------------------------------------


def _values(numbers, t=300):
    """{(image, seed): value} at one level."""
    return [Value(i, "demo", "ddim-50", t, s, -0.4, "psnr", v) for (i, s), v in numbers.items()]


def test_the_mean_is_over_images_and_seeds_are_averaged_first():
    (curve,) = curves(_values({("a", 0): 10.0, ("a", 1): 14.0, ("b", 0): 20.0}))
    (point,) = curve.points
    assert (point.mean, point.images, point.n) == (16.0, 2, 3)
    assert point.std == pytest.approx(np.std([12, 20], ddof=1))


def test_one_image_has_no_spread():
    (curve,) = curves(_values({("a", 0): 10.0, ("a", 1): 14.0}))
    assert np.isnan(curve.points[0].std)


def test_a_value_that_is_no_number_counts_as_absent():
    (curve,) = curves(_values({("a", 0): np.nan, ("b", 0): 20.0}))
    assert (curve.points[0].mean, curve.points[0].n) == (20.0, 1)


def test_a_level_without_any_number_stays_blank():
    (curve,) = curves(_values({("a", 0): np.nan}))
    assert np.isnan(curve.points[0].mean)
    assert curve.points[0].images == 0


def test_levels_are_in_order_whatever_the_order_of_the_values():
    values = [value for t in (900, 100, 500) for value in _values({("a", 0): float(t)}, t)]
    (curve,) = curves(values)
    assert [point.t for point in curve.points] == [100, 500, 900]


def test_stages_are_those_of_p2_weighting():
    assert [stage(snr) for snr in (0.009, 0.01, 1.0, 1.01)] == [
        "coarse", "content", "content", "clean-up",
    ]  # fmt: skip
