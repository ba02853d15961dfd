"""Measures agree with independent computations, and never give a wrong number."""

import hashlib
import importlib
import inspect
import subprocess
import sys
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import numpy as np
import pytest
from scipy.fft import dctn
from scipy.ndimage import gaussian_filter
from scipy.signal import convolve2d
from skimage.color import deltaE_ciede2000, rgb2lab
from skimage.data import astronaut
from skimage.filters import sobel_h, sobel_v
from skimage.metrics import mean_squared_error, peak_signal_noise_ratio, structural_similarity

from nca_cli.metrics import (
    METRICS,
    Metric,
    Prepared,
    band_edges,
    band_energies,
    coherence,
    colour,
    described,
    edges,
    kept,
    measure,
    ms_ssim,
    mse,
    psnr,
    ssim,
)
from nca_cli.metrics.fidelity import C1, C2, SCALE_WEIGHTS
from nca_cli.metrics.registry import cheap, taken

CHEAP = cheap()


def pixels(x):
    """`(H, W, C)` in [0, 1]."""
    return np.moveaxis((np.clip(x, -1, 1) + 1) / 2, 0, -1)


@pytest.fixture
def pair():
    """(x0, x0_hat) `(3, 24, 32)` in [-1, 1], some of x0_hat beyond it, and both as pixels."""
    rng = np.random.default_rng(0)
    x0 = rng.uniform(-1, 1, (3, 24, 32)).astype(np.float32)
    x0_hat = x0 + 0.4 * rng.standard_normal(x0.shape).astype(np.float32)
    return x0, x0_hat, [pixels(x) for x in (x0, x0_hat)]


@pytest.fixture(scope="module")
def photo():
    """A photograph `(3, 256, 256)`, and a blur of it (σ = 3 pixels)."""
    x0 = np.moveaxis(astronaut()[::2, ::2], -1, 0).astype(np.float32) / 127.5 - 1
    return x0, gaussian_filter(x0, (0, 3, 3)).astype(np.float32)


# --- fidelity -----------------------------------------------------------------------------------


def test_psnr_is_that_of_scikit_image(pair):
    x0, x0_hat, (a, b) = pair
    assert psnr(x0, x0_hat) == pytest.approx(peak_signal_noise_ratio(a, b, data_range=1), abs=1e-4)


def test_ssim_is_that_of_scikit_image(pair):
    x0, x0_hat, (a, b) = pair
    assert ssim(x0, x0_hat) == structural_similarity(a, b, channel_axis=2, data_range=1)


def test_mse_is_four_times_that_of_pixels_in_0_1(pair):
    x0, x0_hat, (a, b) = pair
    assert mse(x0, x0_hat) == pytest.approx(4 * mean_squared_error(a, b), rel=1e-5)


def slow_ms_ssim(a, b):
    """As the paper has it, for one channel in [0, 1], with plain convolutions."""
    offsets = np.arange(-5, 6)
    window = np.exp(-(offsets[:, None] ** 2 + offsets**2) / 4.5)
    window /= window.sum()
    product = 1.0
    for scale, weight in enumerate(SCALE_WEIGHTS, 1):
        m, n, aa, bb, ab = (convolve2d(x, window, "valid") for x in (a, b, a * a, b * b, a * b))
        term = (2 * (ab - m * n) + C2) / (aa - m * m + bb - n * n + C2)
        if scale == len(SCALE_WEIGHTS):
            term = term * (2 * m * n + C1) / (m * m + n * n + C1)
        product *= term.mean() ** weight
        a, b = (convolve2d(x, np.full((2, 2), 0.25), "valid")[::2, ::2] for x in (a, b))
    return product


def test_multi_scale_ssim_is_the_papers(photo):
    x0, x0_hat = (x[:, :181, :176] for x in photo)
    a, b = pixels(x0), pixels(x0_hat)
    expected = np.mean([slow_ms_ssim(a[..., c], b[..., c]) for c in range(3)])
    assert ms_ssim(x0, x0_hat) == pytest.approx(expected, abs=1e-6)
    assert ms_ssim(x0, x0) == pytest.approx(1)


def test_one_scale_of_it_is_scikit_images_ssim(photo):
    from nca_cli.metrics.fidelity import _similarity, scales

    a, b = Prepared(photo[0]), Prepared(photo[1])
    settings = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    one = structural_similarity(a.unit[..., 0], b.unit[..., 0], data_range=1, **settings)
    assert _similarity(scales(a)[0], scales(b)[0])[1][0] == pytest.approx(one, abs=1e-5)


# --- spectrum -----------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(3, 24, 32), (1, 17, 9), (3, 64, 64), (2, 4, 5)])
def test_the_energies_of_the_bands_add_up_to_that_of_the_picture(shape):
    x = np.random.default_rng(1).normal(0, 0.7, shape)
    assert band_energies(x).sum() == pytest.approx(np.sum(np.clip(x, -1, 1) ** 2), rel=1e-12)


def wave(side, cycles, across=True):
    """A cosine of so many cycles per picture, as the transform has it."""
    line = np.cos(2 * np.pi * cycles * (np.arange(side) + 0.5) / side).astype(np.float32)
    return np.broadcast_to(line if across else line[:, None], (3, side, side)) * 0.9


@pytest.mark.parametrize("side", [64, 100, 256])
def test_a_wave_lies_in_the_band_that_names_its_frequency(side):
    bands = band_edges(side, side)
    assert bands[0][0] == 0
    assert all(above == below for (_, above), (below, _) in pairwise(bands))
    for cycles in (1, 1.5, 2, 3.5, 4, 7.5, 8, 15, side / 2 - 0.5):
        for across in (True, False):
            energies = band_energies(wave(side, cycles, across))
            (band,) = (k for k, (low, high) in enumerate(bands) if low <= cycles < high)
            assert energies[band] == pytest.approx(energies.sum(), rel=1e-6)


def test_a_band_means_the_same_frequencies_at_every_resolution():
    assert len(band_edges(64, 64)) == 5
    assert band_edges(64, 64)[:4] == band_edges(256, 256)[:4]


def test_kept_is_the_square_of_a_gain_and_coherence_does_not_see_it(photo):
    x0, _ = photo
    assert list(kept(x0, 0.5 * x0).values()) == pytest.approx([0.25] * 7)
    assert list(coherence(x0, 0.5 * x0).values()) == pytest.approx([1] * 7)


def test_kept_and_coherence_by_a_plain_loop_over_coefficients(pair):
    x0, x0_hat, _ = pair
    a, b = (dctn(np.clip(x, -1, 1).astype(float), axes=(1, 2), norm="ortho") for x in (x0, x0_hat))
    sums = np.zeros((3, 4))
    for i, j in np.ndindex(24, 32):
        cycles = np.hypot(i * 32 / 24, j) / 2
        band = 0 if cycles < 2 else min(int(np.log2(cycles)), 3)
        x, y = (a[:, i, j], b[:, i, j]) if cycles else (0 * a[:, 0, 0], 0 * b[:, 0, 0])
        sums[:, band] += (x * x).sum(), (y * y).sum(), (x * y).sum()
    assert list(kept(x0, x0_hat).values()) == pytest.approx(sums[1] / sums[0])
    assert list(coherence(x0, x0_hat).values()) == pytest.approx(sums[2] ** 2 / sums[0] / sums[1])


@pytest.mark.parametrize("brightness", [-0.65, 0, 0.65])
def test_dark_and_bright_pictures_agree_no_more_than_grey_ones(brightness):
    """The mean colour is no content: how far it is from mid-grey must not count as agreement."""
    x, y = (gaussian_filter(np.random.default_rng(k).normal(size=(3, 64, 64)), (0, 9, 9))
            for k in (1, 2))  # fmt: skip
    x, y = (each / abs(each).max() * 0.3 for each in (x, y))
    assert coherence(x + brightness, y + brightness) == pytest.approx(coherence(x, y))
    assert kept(x + brightness, y + brightness) == pytest.approx(kept(x, y))
    flat = np.full_like(x, brightness)
    assert (kept(x + brightness, flat)["0"], coherence(x + brightness, flat)["0"]) == (0, 0)


def test_a_blur_leaves_nothing_of_the_fine_bands_whatever_the_borders(photo):
    """A Fourier transform without a window would see a tenth of them here: border steps."""
    x0, _ = photo
    found = list(kept(x0, gaussian_filter(x0, (0, 6, 6))).values())
    assert found == sorted(found, reverse=True)
    assert found[0] > 0.95
    assert max(found[-2:]) < 1e-4


def test_unrelated_noise_is_kept_but_not_coherent(photo):
    noise = np.random.default_rng(2).uniform(-1, 1, photo[0].shape)
    found = list(coherence(photo[0], noise).values())
    assert max(found[3:]) < 0.02
    assert kept(photo[0], noise)["6"] > 1


# --- colour and edges ---------------------------------------------------------------------------


def test_the_colour_difference_of_flat_pictures_is_that_of_their_colours():
    a, b = np.array([0.2, -0.5, 0.7]), np.array([0.3, -0.4, 0.1])
    flat = [np.broadcast_to(c[:, None, None], (3, 32, 48)).astype(np.float32) for c in (a, b)]
    labs = [rgb2lab((c + 1) / 2) for c in (a, b)]
    assert colour(*flat) == pytest.approx(float(deltaE_ciede2000(*labs)), abs=1e-3)


def test_lost_detail_changes_no_colour_but_a_tint_does(photo):
    x0, blurred = photo
    texture = 0.2 * np.random.default_rng(3).standard_normal(x0.shape) * (np.abs(x0) < 0.4)
    tint = np.array([0.1, 0, -0.1])[:, None, None]
    assert colour(x0, x0 + texture) < 1
    assert colour(x0, blurred) < 1
    assert colour(x0, x0 + tint) > 3


def test_edges_are_the_correlation_of_sobel_lengths(photo):
    luma = [np.tensordot([0.299, 0.587, 0.114], x.astype(float), 1) for x in photo]
    maps = [np.hypot(sobel_h(x), sobel_v(x))[1:-1, 1:-1].ravel() for x in luma]
    assert edges(*photo) == pytest.approx(np.corrcoef(*maps)[0, 1], abs=1e-6)


def test_edges_do_not_see_contrast_but_place(photo):
    x0, _ = photo
    assert edges(x0, 0.3 * x0 + 0.1) == pytest.approx(1)
    assert abs(edges(x0, x0[:, :, ::-1])) < 0.3


# --- all of them --------------------------------------------------------------------------------


def test_a_reconstruction_is_clipped_before_it_is_measured(pair):
    x0, x0_hat, _ = pair
    np.testing.assert_equal(measure(x0, x0_hat), measure(x0, np.clip(x0_hat, -1, 1)))
    assert psnr(np.ones((3, 8, 8)), np.full((3, 8, 8), 7.0)) == np.inf


def test_equal_pictures_have_no_error(photo):
    found = measure(photo[0], photo[0])
    best = {"psnr": np.inf, "mse": 0, "colour": 0}
    assert {name: best.get(name, 1) for name in found} == pytest.approx(found)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", CHEAP)
@pytest.mark.parametrize("spoilt", [0, 1])
@pytest.mark.filterwarnings("error")
def test_one_pixel_that_is_no_number_spoils_the_measure(pair, name, bad, spoilt):
    pictures = [x.copy() for x in pair[:2]]
    pictures[spoilt][1, 0, 0] = bad
    found = measure(*pictures, [name])
    assert found
    assert np.isnan(list(found.values())).all()


@pytest.mark.parametrize("side", range(1, 18))
@pytest.mark.filterwarnings("error")
def test_a_picture_too_small_for_a_measure_is_blank_in_it(side):
    rng = np.random.default_rng(side)
    found = measure(*rng.uniform(-1, 1, (2, 3, side, side + 1)).astype(np.float32))
    blank = {name for name, value in found.items() if np.isnan(value)}
    least = {"ms-ssim": 176, "ssim": 7, "colour": 16, "edges": 5}
    assert blank == {name for name, needed in least.items() if side < needed}


@pytest.mark.filterwarnings("error")
def test_of_a_constant_picture_only_what_it_has_is_measured():
    flat, other = np.full((3, 32, 32), 0.25, np.float32), np.zeros((3, 32, 32), np.float32)
    noisy = flat + np.random.default_rng(4).normal(0, 0.1, flat.shape).astype(np.float32)
    found = measure(flat, noisy)
    bands = [f"{name}/{k}" for name in ("kept", "coherence") for k in range(4)]
    assert np.isnan([found[name] for name in bands]).all()
    assert np.isfinite([found["colour"], found["mse"]]).all()
    assert np.isnan(found["edges"])
    black = measure(other, noisy)
    assert np.isnan([black["kept/0"], black["coherence/0"]]).all()


@pytest.mark.filterwarnings("error")
def test_a_constant_reconstruction_has_kept_nothing_but_its_mean(photo):
    x0, _ = photo
    mean = np.broadcast_to(x0.mean(axis=(1, 2), keepdims=True), x0.shape)
    found = measure(x0, mean)
    assert [found[f"kept/{k}"] for k in range(7)] == pytest.approx([0] * 7)
    assert [found[f"coherence/{k}"] for k in range(7)] == [0] * 7
    assert found["edges"] == 0


def test_grey_pictures_are_measured_too():
    x0 = np.random.default_rng(1).uniform(-1, 1, (1, 16, 16)).astype(np.float32)
    assert ssim(x0, x0 * 0.5) == pytest.approx(
        structural_similarity((x0[0] + 1) / 2, (x0[0] * 0.5 + 1) / 2, data_range=1), abs=1e-6
    )
    found = measure(x0, x0 * 0.5)
    assert {name for name, value in found.items() if np.isnan(value)} == {"ms-ssim", "colour"}


@pytest.mark.parametrize("name", CHEAP)
def test_pictures_of_different_shapes_are_not_compared(name):
    with pytest.raises(ValueError, match="different shapes"):
        measure(np.zeros((3, 8, 8)), np.zeros((1, 8, 8)), [name])


def test_what_measures_share_changes_no_number(pair):
    """Pictures keep transforms between measures and pairs: the order must not matter."""
    x0, x0_hat, _ = pair
    a, b = Prepared(x0), Prepared(x0_hat)
    taken(a, Prepared(x0_hat[::-1]), METRICS_CHEAP)
    together = taken(a, b, dict(reversed(METRICS_CHEAP.items())))
    alone = {}
    for name in CHEAP:
        alone.update(measure(x0, x0_hat, [name]))
    np.testing.assert_equal(together, alone)


METRICS_CHEAP = {name: METRICS[name] for name in CHEAP}


def test_every_value_lies_within_its_measures_bounds(pair, photo):
    for x0, x0_hat in (pair[:2], photo, pair[1::-1]):
        for name, value in measure(x0, x0_hat).items():
            low, high = described(name).bounds
            assert np.isnan(value) or low <= value <= high


def test_five_lines_add_a_measure(pair, monkeypatch):
    def brightness(x0, x0_hat):
        return float(abs(x0.mean() - x0_hat.clip(-1, 1).mean()))

    mine = Metric(brightness, "Brightness", "difference of means", "lower")
    monkeypatch.setitem(METRICS, "brightness", mine)
    x0, x0_hat, _ = pair
    assert measure(x0, x0_hat)["brightness"] == brightness(x0, x0_hat)


@pytest.mark.parametrize("module", ["mine", "nca_cli.metrics.mine"])
@pytest.mark.parametrize(("takes_prepared", "kind"), [(False, np.ndarray), (True, Prepared)])
def test_the_record_says_what_a_function_takes_wherever_it_is_written(
    pair, module, takes_prepared, kind
):
    def mine(x0, x0_hat):
        return float(isinstance(x0, kind) and isinstance(x0_hat, kind))

    mine.__module__ = module
    metric = Metric(mine, "", "", "", takes_prepared=takes_prepared)
    assert metric(Prepared(pair[0]), Prepared(pair[1])) == {"": 1.0}
    assert (metric.stamp == "1") == takes_prepared


def test_a_stored_name_leads_to_its_measure():
    assert described("kept/3") is METRICS["kept"]
    assert described("features-dinov2-small/7") is METRICS["features"]
    assert described("nonsense/1") is None


def test_the_stamp_of_ones_own_measure_is_its_text():
    def first(x0, x0_hat):
        return 1.0

    def second(x0, x0_hat):
        return 2.0

    stamps = [stamp(first), stamp(second), METRICS["psnr"].stamp]
    assert len(set(stamps)) == 3
    assert stamps[2] == "1"
    text = hashlib.sha256(inspect.getsource(first).encode()).hexdigest()
    assert stamps[0] == f"1 {text[:16]}", "kept values of earlier versions are void"


def power(p):
    def distance(x0, x0_hat):
        return float((abs(x0 - x0_hat) ** p).mean())

    return distance


def raised(x0, x0_hat, p, *, scale=1.0):
    return float((abs(x0 - x0_hat) ** p).mean()) * scale


@dataclass
class Settings:
    p: int

    def distance(self, x0, x0_hat):
        return float((abs(x0 - x0_hat) ** self.p).mean())


def stamp(function, **settings):
    return Metric(function, "", "", "lower", **settings).stamp


@pytest.mark.parametrize(
    "made",
    [
        power,
        lambda p: partial(raised, p=p),
        lambda p: partial(partial(raised, p=1), scale=p),
        lambda p: lambda a, b, weights=np.full(3, p): float(abs(a - b).mean((1, 2)) @ weights),  # noqa: B008
        lambda p: lambda a, b: raised(a, b, p=(p, p)[0]),
        lambda p: power(power(p)),
    ],
)
def test_one_text_with_other_parameters_is_another_measure(made):
    assert len({stamp(made(p)) for p in (1, 2, 4, 2.5)}) == 4
    assert stamp(made(2)) == stamp(made(2)) != ""


def test_what_a_function_uses_of_its_module_counts(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    text = (
        "import numpy as np\nP = {}\ndef f(a):\n    return {}\ndef mine(a, b):\n    return P + f(a)"
    )
    stamps = set()
    for number, values in enumerate([(1, "a"), (2, "a"), (1, "np.abs(a)"), (1, "mine(a, a)")]):
        (tmp_path / f"own_{number}.py").write_text(text.format(*values))
        stamps.add(stamp(importlib.import_module(f"own_{number}").mine))
    assert len(stamps) == 4
    assert "" not in stamps


USES = {
    "a lambda": "return (lambda v: v * GAIN)(a.mean())",
    "a function": "def scaled(v):\n        return v * GAIN\n    return scaled(a.mean())",
    "a comprehension": "return sum([v * GAIN for v in a.ravel()])",
    "two of them": "return sum((lambda: [v * GAIN for v in a.ravel()])())",
    "a class inside": "class Scaled:\n        by = GAIN\n    return a.mean() * Scaled.by",
    "a method": "return Scaled().of(a)",
    "a property": "return a.mean() * Scaled().by",
    "a static method": "return Scaled.twice(a)",
    "a method of a base": "return Scaled().of_base(a)",
    "a value of a class": "return a.mean() * Scaled.gain",
    "a decorator": "return 0.0",
}
MODULE = """
import functools
GAIN = {gain}
class Base:
    def of_base(self, a):
        return a.mean() * GAIN
class Scaled(Base):
    gain = GAIN
    def of(self, a):
        return Scaled and a.mean() * GAIN
    @property
    def by(self):
        return GAIN
    @staticmethod
    def twice(a):
        return 2 * a.mean() * GAIN
def decorated(function):
    @functools.wraps(function)
    def scaled(a, b):
        return function(a, b) + {gain}
    return scaled
{decorator}
def mine(a, b):
    {body}
"""


@pytest.mark.parametrize("use", USES)
def test_what_is_used_inside_a_function_or_class_counts(use, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    decorator, ones = "@decorated" if use == "a decorator" else "", np.ones((1, 2, 2))
    stamps, values = [], []
    for number, gain in enumerate((1.0, 5.0, 5.0)):
        name = f"{tmp_path.name}_{number}"
        text = MODULE.format(gain=gain, decorator=decorator, body=USES[use])
        (tmp_path / f"{name}.py").write_text(text)
        mine = importlib.import_module(name).mine
        mine.__globals__["__name__"] = "mine"  # which a class inside reads
        stamps.append(stamp(mine))
        values.append(mine(ones, ones))
    assert values[0] != values[1]
    assert "" not in stamps
    assert stamps[0] != stamps[1] == stamps[2]


def test_what_cannot_be_described_has_no_stamp_unless_its_user_gives_one():
    def counting(x0, x0_hat):
        return calls.append(1) or 0.0

    calls = []
    for function in (Settings(2).distance, counting, partial(raised, p=object()), power(calls),
                     eval("lambda a, b: 0.0")):  # fmt: skip
        assert stamp(function) == ""
        assert stamp(function, weights="two") != stamp(function, version=2) != ""


def test_measures_load_no_torch():
    code = (
        "import sys, numpy as np; from nca_cli.metrics import measure; before = set(sys.modules);"
        "measure(np.zeros((3, 8, 8)), np.ones((3, 8, 8)));"
        "assert not {'skimage', 'scipy'} & before; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
