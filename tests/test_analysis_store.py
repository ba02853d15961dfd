"""Statistics of tensors: Gaussian references, chains, noisy pairs, variances; kept in the store."""

import math
import re
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from gaussians import DDIM, DDPM, LEVELS, LINEAR, ONE_STEP, Gaussian, errors_in, fill

from nca_cli.analysis import MIN_REFERENCE, analyse, excess, pair_distances, references, variances
from nca_cli.analysis.bootstrap import positive_interval
from nca_cli.analysis.chains import linear, why_not
from nca_cli.analysis.gaussian import full, on_grid, power, spectrum
from nca_cli.analysis.pairs import unshared
from nca_cli.analysis.references import reference_name
from nca_cli.analysis.remember import KEPT
from nca_cli.analysis.variance import FEWEST, components
from nca_cli.recipe import Recipe
from nca_cli.samplers import Prediction, drive, start
from nca_cli.schedule import FlowMatching, VarianceExploding
from nca_cli.store import Artifact, Filters, Store

DATA = Gaussian()
RANDOM = np.random.default_rng(5)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """40 images, 3 levels, 2 seeds, exact one-step and DDIM reconstructions."""
    return fill(
        tmp_path_factory.mktemp("gaussian") / "store",
        DATA,
        40,
        2,
        (ONE_STEP, DDIM),
        (200, 500, 800),
        seed=1,
    )


# -- Gaussians against brute force -----------------------------------------------------------------


def brute(images, index, covariance, mean, t):
    """E‖x̂0 - x0‖²/d of one image under N(mean, covariance), with explicit matrices."""
    level, d = LINEAR.level(t), covariance.shape[0]
    inverse = np.linalg.inv(level.a**2 * covariance + level.s**2 * np.eye(d))
    gain = level.a * covariance @ inverse
    c = images[index] - mean
    fixed = level.a * gain @ c - c
    return (fixed @ fixed + level.s**2 * (gain**2).sum()) / d


@pytest.mark.parametrize("t", [20, 300, 700, 990])
@pytest.mark.parametrize("images", [5, 40])
def test_the_full_gaussian_equals_the_explicit_leave_one_out_covariance(t, images):
    x = RANDOM.standard_normal((images, 1, 3, 4)) * 0.3 + 0.2
    rows = x.reshape(images, -1)
    found = full(x).error(linear(ONE_STEP, LINEAR, t, spectrum()))
    for index in range(images):
        others = np.delete(rows, index, axis=0)
        expected = brute(rows, index, np.cov(others, rowvar=False), others.mean(axis=0), t)
        assert found[index] == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("channels", [1, 3])
def test_the_spectral_gaussian_equals_explicit_circulant_matrices(channels):
    x = DATA.draw(12, RANDOM)[:, :channels, :4, :4]
    opponent = np.array([[1, 1, 1], [1, 0, -1], [1, -2, 1]]) / np.sqrt([[3], [2], [6]])
    basis = opponent if channels == 3 else np.eye(1)
    fourier = np.kron(*[np.fft.fft(np.eye(4), norm="ortho")] * 2)
    unitary = np.kron(basis, fourier)
    rows = x.reshape(12, -1)
    found = power(x).error(linear(ONE_STEP, LINEAR, 400, spectrum()))
    for index in range(12):
        others = np.delete(rows, index, axis=0)
        variance = np.var(others @ unitary.T, axis=0, ddof=1)
        covariance = (unitary.conj().T @ np.diag(variance) @ unitary).real
        expected = brute(rows, index, covariance, others.mean(axis=0), 400)
        assert found[index] == pytest.approx(expected, rel=1e-6)


def test_an_image_that_is_stored_twice_is_left_out_twice():
    x = RANDOM.standard_normal((6, 1, 3, 3)).astype(np.float32)
    twins = np.concatenate([x, x[:1]])
    chain = linear(ONE_STEP, LINEAR, 500, spectrum())
    for fit in (full, power):
        assert fit(twins).error(chain)[0] == pytest.approx(fit(x).error(chain)[0])


def test_sums_on_the_grid_are_sums_over_modes():
    modes = np.exp(RANDOM.uniform(-20, 10, 3000))
    energy = RANDOM.random(3000)
    for t in (5, 500, 990):
        exact = linear(DDIM, LINEAR, t, modes)
        gridded = linear(DDIM, LINEAR, t, spectrum())
        sums = on_grid(modes, np.stack([energy, np.ones(3000)]))
        for what in (lambda x: (x.start.a * x.gain - 1) ** 2, lambda x: x.gain**2):
            assert sums[0] @ what(gridded) == pytest.approx(energy @ what(exact), rel=1e-6)
    assert on_grid(np.zeros(2), np.ones((1, 2)))[0, 0] == 2


# -- chains ----------------------------------------------------------------------------------------

CHAINS = [
    replace(DDIM, steps=20),
    replace(DDIM, steps=20, eta=0.7),
    replace(DDIM, steps=7, eta=1.0, final_alpha="first"),
    replace(DDPM, steps=20),
    replace(DDPM, steps=20, variance="fixed_large", final_alpha="first"),
    Recipe("w", "pndm", steps=20, final_alpha="first", clip=1.0),
    Recipe("w", "plms", steps=20, final_alpha="one"),
    Recipe("w", "heun", steps=20, final_alpha="one"),
    Recipe("w", "dpmpp-2m", steps=20, final_alpha="one"),
    *(Recipe("w", sampler, steps=8, final_alpha="one", spacing="karras")
      for sampler in ("ddim", "ddpm", "dpmpp-2m")),
]  # fmt: skip


@pytest.mark.parametrize(
    "recipe", CHAINS, ids=lambda r: "-".join(map(str, (r.sampler, r.eta, r.variance, r.spacing)))
)
@pytest.mark.parametrize("t", [30, 500, 999])
def test_chains_are_what_the_samplers_do_to_every_source_of_noise(recipe, t):
    """The sampler itself, run on coefficients: a column for x_t and one for each fresh noise."""
    modes = np.array([0.0, 1e-4, 0.03, 1.0, 40.0])
    columns = 1 + len(LINEAR.spaced(recipe.spacing, t, recipe.steps))
    x, drawn = np.zeros((5, columns)), iter(range(1, columns))
    x[:, 0] = 1

    def fresh(level):
        return np.tile(np.arange(columns) == next(drawn), (5, 1)).astype(float)

    def denoise(x, level):
        return Prediction((level.a * modes / (level.a**2 * modes + level.s**2))[:, None] * x)

    expected = drive(start(replace(recipe, clip=None), LINEAR, x, t, fresh), denoise)[0]
    found = linear(recipe, LINEAR, t, modes)
    np.testing.assert_allclose(found.gain, expected[:, 0], rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(
        found.variance, (expected[:, 1:] ** 2).sum(axis=1), rtol=1e-9, atol=1e-12
    )


@pytest.mark.parametrize("recipe", [DDIM, replace(DDPM, steps=20, final_alpha="first")])
def test_expected_errors_of_chains_are_those_of_simulated_ones(recipe):
    """Means included: with a final ᾱ below 1 they shrink as well."""
    x = DATA.draw(8, RANDOM)[:, :1, :4, :4] + 0.4
    others = x[1:].reshape(7, -1)
    mean, covariance = others.mean(axis=0), np.cov(others, rowvar=False)
    level, x0 = LINEAR.level(600), x[0].reshape(-1)

    def denoise(x, level):
        gain = (
            level.a * covariance @ np.linalg.inv(level.a**2 * covariance + level.s**2 * np.eye(16))
        )
        return Prediction(mean + (x - level.a * mean) @ gain.T)

    x_t = level.a * x0 + level.s * RANDOM.standard_normal((20_000, 16))
    x0_hat = drive(
        start(recipe, LINEAR, x_t, 600, lambda _: RANDOM.standard_normal(x_t.shape)), denoise
    )[0]
    errors = ((x0_hat - x0) ** 2).mean(axis=1)
    expected = full(x).error(linear(recipe, LINEAR, 600, spectrum()))[0]
    assert abs(errors.mean() - expected) < 4 * errors.std() / math.sqrt(20_000)


# -- references of a store -------------------------------------------------------------------------


def test_references_of_a_gaussian_store_are_a_little_worse_than_the_truth(store):
    """Fitted to 39 images: never better than the exact denoiser, on average over images."""
    rows, notes = references(store)
    assert {note.name for note in notes} == {
        "reference:gaussian",
        "reference:gaussian/ddim-50",
        "reference:wiener",
        "reference:wiener/ddim-50",
    }
    assert all(note.blank == "" and note.n == 40 for note in notes)
    assert len(rows) == 2 * 2 * 40 * 3 * 2
    measured = [*errors_in(store), *rows]
    gains = [one for one in excess(measured) if one.sampler == "one-step"]
    assert all(one.gain.low > -0.05 for one in gains)
    assert all(one.gain.value < 0.9 for one in gains if one.reference == "reference:wiener")
    mse = [row for row in rows if row.measure == "mse"]
    psnr = [row for row in rows if row.measure == "psnr"]
    assert all(
        b.value == pytest.approx(10 * math.log10(4 / a.value))
        for a, b in zip(mse, psnr, strict=True)
    )


def test_no_gaussian_is_fitted_to_fewer_than_30_images(tmp_path):
    few = fill(tmp_path / "few", DATA, MIN_REFERENCE - 1, levels=(500,))
    rows, notes = references(few)
    assert rows == []
    assert {note.blank for note in notes} == {"too few images to fit a Gaussian: 29 of 30"}


def test_learned_variances_have_no_closed_form(tmp_path):
    learned = replace(DDPM, variance="learned_range", steps=10)
    made = fill(tmp_path / "s", DATA, 2, recipes=(replace(DDPM, steps=10),), levels=(500,))
    assert why_not(learned) == "the variance of its steps is learned"
    assert why_not(Recipe("w", "imported")) == "no closed form for this sampler"
    assert references(made)[0] == []


def test_imported_chains_have_no_closed_form_for_nobody_knows_their_settings(tmp_path):
    theirs = [Recipe("imported", sampler, steps=steps)
              for sampler, steps in (("one-step", None), ("ddim", 50), ("ddpm", 1000))]  # fmt: skip
    made = fill(tmp_path / "s", DATA, MIN_REFERENCE, recipes=theirs[:2], levels=(500,))
    rows, notes = references(made)
    assert {row.sampler for row in rows} == {"reference:gaussian", "reference:wiener"}
    assert {n.blank for n in notes} == {"", "an imported chain: its settings are not known"}
    assert [bool(why_not(recipe)) for recipe in theirs] == [False, True, True]


def test_references_of_chains_name_the_chain():
    assert reference_name("gaussian", "one-step") == "reference:gaussian"
    assert reference_name("wiener", "ddim-50") == "reference:wiener/ddim-50"
    assert reference_name("wiener", "one-step-0c9d44e1", ONE_STEP) == "reference:wiener"


# -- pairs -----------------------------------------------------------------------------------------


def test_noisy_pairs_lie_on_their_closed_form(store):
    curve = next(c for c in pair_distances(store) if c.sampler == "x_t")
    assert [point.t for point in curve.points] == [200, 500, 800]
    for point in curve.points:
        s2 = LINEAR.level(point.t).s ** 2
        assert point.shared_exact == pytest.approx(2 * s2)
        assert point.shared.low <= point.shared_exact <= point.shared.high
        assert point.unshared.low <= point.unshared_exact <= point.unshared.high
        assert point.unshared.value > point.shared.value
        exact = 2 * s2 + 2 * (1 - s2) * DATA.spectrum.sum() / DATA.d
        assert point.unshared.value == pytest.approx(exact, rel=0.15)


OTHERS = {
    "exploding": (VarianceExploding(0.01, 50.0, 1000, 2), (200, 450, 700)),
    "flow": (FlowMatching(), (200, 500, 800)),
}


@pytest.mark.parametrize("kind", OTHERS)
def test_closed_forms_hold_on_every_kind_of_schedule(tmp_path, kind):
    """Pairs of x_t, and the errors of an exact Gaussian denoiser, one step and chain."""
    schedule, levels = OTHERS[kind]
    chain = replace(DDIM, steps=20)
    made = fill(tmp_path / "s", DATA, 40, 2, (ONE_STEP, chain), levels, 3, schedule)
    noisy = next(c for c in pair_distances(made) if c.sampler == "x_t")
    for point in noisy.points:
        assert point.shared_exact == pytest.approx(2 * schedule.level(point.t).s ** 2)
        for estimate, exact in ((point.shared, point.shared_exact),
                                (point.unshared, point.unshared_exact)):  # fmt: skip
            assert estimate.value == pytest.approx(exact, rel=0.05)
    rows, measured = references(made)[0], errors_in(made)
    for recipe, name in ((ONE_STEP, "wiener"), (chain, "wiener/ddim-20")):
        for t in levels:
            found, fitted = (
                np.mean([v.value for v in some if (v.t, v.measure, v.sampler) == (t, "mse", which)])
                for some, which in ((measured, recipe.label), (rows, f"reference:{name}"))
            )
            level, exact = schedule.level(t), linear(recipe, schedule, t, DATA.spectrum)
            lost = (level.a * exact.gain - 1) ** 2 * DATA.spectrum + level.s**2 * exact.gain**2
            assert found == pytest.approx(lost.mean(), rel=0.07), (name, t)
            assert found < fitted < 1.5 * found  # of 39 images: no better than the truth


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_an_image_that_is_no_number_leaves_the_closed_form_of_the_others(tmp_path, value):
    sound = fill(tmp_path / "sound", DATA, 3, levels=(500,))
    data = Gaussian()
    data.draw = lambda count, random: np.concatenate(
        [DATA.draw(count - 1, random), np.full((1, 3, 8, 8), value)]
    )
    data.denoise = lambda x, level: Prediction(np.zeros(x.shape))
    broken = fill(tmp_path / "broken", data, 4, levels=(500,))
    exact = [curve.points[0].unshared_exact
             for made in (sound, broken) for curve in pair_distances(made)
             if curve.sampler == "x_t"]  # fmt: skip
    assert exact[1] == pytest.approx(exact[0])


def test_reconstructions_of_different_images_grow_together_in_noise(store):
    """One-step answers to pure noise are the mean image, whatever the image was."""
    curve = next(c for c in pair_distances(store) if c.sampler == "one-step")
    apart = [point.unshared.value for point in curve.points]
    assert apart == sorted(apart, reverse=True)
    assert all(math.isnan(point.shared_exact) for point in curve.points)


def test_any_function_is_a_distance(store):
    def l1(a, b):
        return float(np.abs(a - b).mean())

    found = pair_distances(store, Filters(t=(500,)), distances={"l1": l1})
    assert {curve.distance for curve in found} == {"l2", "l1"}
    point = next(c for c in found if c.distance == "l1" and c.sampler == "x_t").points[0]
    assert point.shared.value < point.unshared.value
    assert point.unshared.n == 40


def test_the_mean_over_pairs_and_its_jackknife_are_those_of_every_pair_looked_at():
    pictures = [3 + RANDOM.standard_normal((2, 200, 200)).astype(np.float32) for _ in range(7)]

    def mean(some):
        return np.mean([np.mean((a - b) ** 2, dtype=np.float64) for a, b in combinations(some, 2)])

    found = unshared(pictures)
    assert found.value == pytest.approx(mean(pictures), rel=1e-6)
    without = [mean(pictures[:each] + pictures[each + 1 :]) for each in range(7)]
    interval = positive_interval(mean(pictures), np.array(without))
    assert (found.low, found.high) == pytest.approx(interval, rel=1e-5)


def test_one_seed_or_one_image_makes_no_pair(store):
    one = pair_distances(store, Filters(seeds=(0,), images=("i000",)))[0].points[0]
    assert "one seed" in one.shared.blank
    assert "one image" in one.unshared.blank
    assert math.isnan(one.unshared_exact)


# -- variances -------------------------------------------------------------------------------------


def test_variances_of_gaussian_data_are_the_closed_forms(store):
    """One-step: between Σλρ²/d and within Σλρ(1-ρ)/d with ρ = sλ/(1+sλ)."""
    curve = next(c for c in variances(store) if c.sampler == "one-step")
    assert curve.falls is True
    for point in curve.points:
        measured = (point.within, point.between, point.share)
        for estimate, truth in zip(measured, DATA.variance_truth(point.t), strict=True):
            assert estimate.low <= truth <= estimate.high
        assert (point.between.n, point.seeds) == (40, 2)


@pytest.mark.parametrize("images", [FEWEST, 20])
def test_intervals_of_variances_cover_the_truth_in_90_to_99_percent_of_400_repeats(images):
    """Of a steep spectrum: in noise, a single mode makes most of the variance."""
    found = DATA.variance_coverage(images, (100, 500, 800), 400)
    assert all(0.90 <= share <= 0.99 for share in found.values()), found


def test_pairs_of_few_images_have_intervals_that_cover():
    for images in (3, 5):
        found = DATA.variance_coverage(images, (100, 600))
        assert all(found["unshared pairs", t] >= 0.90 for t in (100, 600)), found


def test_variances_of_few_images_have_no_interval_and_do_not_rise_or_fall(tmp_path):
    few = fill(tmp_path / "s", DATA, FEWEST - 1, 2, levels=(300, 600))
    (curve,) = variances(few)
    assert curve.falls is None
    for estimate in (curve.points[0].within, curve.points[0].between, curve.points[0].share):
        assert math.isfinite(estimate.value)
        assert math.isnan(estimate.low)
        assert estimate.blank == f"too few images for an interval: {FEWEST - 1} of {FEWEST}"


def test_a_share_and_its_interval_lie_within_0_and_1():
    """Where images do not differ, `between` may be below 0, and the share is not."""
    for seed in range(20):
        x = np.random.default_rng(seed).standard_normal((FEWEST, 2, 3))
        within, between, share, _ = components(x)
        assert 0 < within.low <= within.value
        assert between.low <= between.value <= between.high
        assert 0 <= share.low <= share.value <= share.high < 1
    still = components(np.arange(60.0).reshape(20, 1, 3).repeat(2, axis=1))
    assert (still[0].value, still[2].value) == (0, 1)


def test_two_seeds_are_enough_for_an_unbiased_variance():
    """Truth 1 between and 4 within: the naive variance of seed means would be 3."""
    found = []
    for seed in range(60):
        random = np.random.default_rng(seed)
        x = random.standard_normal((15, 1, 20)) + 2 * random.standard_normal((15, 2, 20))
        within, between, _, _ = components(x.astype(np.float32))
        found.append((within.value, between.value))
    found = np.array(found)
    error = found.std(axis=0) / math.sqrt(60)
    assert np.all(np.abs(found.mean(axis=0) - [4, 1]) < 3 * error)


def test_one_seed_says_nothing_about_variance_and_is_not_read(store, monkeypatch):
    monkeypatch.setattr(Artifact, "read", None)
    for curve in variances(store, Filters(seeds=(0,))):
        assert {200, 500, 800} <= {point.t for point in curve.points} <= {*LEVELS}
        assert curve.falls is None
        assert all(
            math.isnan(point.share.value) and "one seed" in point.share.blank
            for point in curve.points
        )


# -- kept, and careful -----------------------------------------------------------------------------


def test_the_second_analysis_reads_no_tensor(tmp_path, monkeypatch):
    made = fill(tmp_path / "s", DATA, 30, 2, levels=(300, 600))
    rows = errors_in(made)
    first = analyse(rows, made)
    assert first.reference_values
    assert first.stages["g"]
    monkeypatch.setattr("nca_cli.store.Artifact.read", None)
    monkeypatch.setattr("nca_cli.store.Artifact.fixed", None)
    again = analyse(rows, Store(made.root))
    assert str(again.as_dict()) == str(first.as_dict())


def test_bits_are_told_of_networks_and_of_the_spectrum_alone(store):
    """The full Gaussian of a few images errs without end where it knows no direction."""
    samplers = {each.sampler for each in analyse(errors_in(store), store).bits}
    assert samplers == {"one-step", "reference:wiener"}


def test_new_samples_make_what_was_kept_void(tmp_path):
    fill(tmp_path / "s", DATA, 3, 2, levels=(300,))
    first = analyse([], Store(tmp_path / "s"))
    fill(tmp_path / "s", DATA, 3, 2, levels=(300, 600))
    again = analyse([], Store(tmp_path / "s"))
    assert [len(found.variances[0].points) for found in (first, again)] == [1, 2]


def test_noise_that_went_on_into_a_second_file_makes_what_was_kept_void(tmp_path):
    root = tmp_path / "s"
    fill(root, DATA, 3, 1, levels=(300,))
    assert "one seed" in analyse([], Store(root)).pairs[0].points[0].shared.blank
    whole = Store.__init__
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Store, "__init__", lambda self, at: whole(self, at, part_bytes=1))
        fill(root, DATA, 3, 2, levels=(300,))
    assert list(root.rglob("noise.1.h5"))
    assert analyse([], Store(root)).pairs[0].points[0].shared.n == 3


def test_what_was_made_of_removed_samples_goes_with_them_and_few_results_stay(tmp_path):
    made = fill(tmp_path / "s", DATA, 3, 2, levels=(300, 600))
    for number in range(KEPT + 2):
        analyse([], made, Filters(seeds=range(2), images=("i000", "i001", f"none-{number}")))
    files = [file.name for file in (made.root / ".analysis").glob("*.json")]
    assert Counter(name.partition("-")[0] for name in files) == dict.fromkeys(
        ("pairs", "variances", "references"), KEPT
    )
    made.remove(next(a for a in made.select() if not a.is_noise))
    assert not (made.root / ".analysis").exists()


def test_a_broken_kept_file_is_computed_again(tmp_path):
    made = fill(tmp_path / "s", DATA, 3, 2, levels=(300,))
    first = analyse([], made)
    kept = list((made.root / ".analysis").glob("*.json"))
    assert len(kept) == 3
    for number, file in enumerate(kept):
        file.write_text(["", "[]", '{"key": 3'][number])
    assert str(analyse([], made)) == str(first)


def test_a_digit_of_a_kept_result_that_changed_by_chance_is_not_read(tmp_path):
    made = fill(tmp_path / "s", DATA, 3, 2, levels=(300,))
    first = analyse([], made)
    kept = {file: file.read_text() for file in (made.root / ".analysis").glob("*.json")}
    with_numbers = {file: text for file, text in kept.items() if re.search(r"\.\d", text)}
    assert with_numbers
    for file, text in with_numbers.items():
        at = re.search(r"\.\d", text).start() + 1
        file.write_text(f"{text[:at]}{int(text[at]) ^ 1}{text[at + 1 :]}")
        assert str(analyse([], made)) == str(first)
        assert file.read_text() == text


def test_reconstructions_that_are_not_numbers_are_left_out(tmp_path):
    made = fill(tmp_path / "s", DATA, 4, 2, levels=LEVELS[:2])
    data = Gaussian()
    data.denoise = lambda x, level: Prediction(np.full(x.shape, np.nan))
    broken = fill(tmp_path / "broken", data, 4, 2, levels=LEVELS[:2])
    for curve in (*variances(broken), *(c for c in pair_distances(broken) if c.sampler != "x_t")):
        for point in curve.points:
            assert math.isnan((point.share if hasattr(point, "share") else point.unshared).value)
    assert all(math.isfinite(point.share.value) for point in variances(made)[0].points)


def test_the_analysis_loads_neither_torch_nor_scipy(store):
    code = (
        "import sys; from nca_cli.analysis import analyse; from nca_cli.store import Store; "
        f"analyse([], Store({str(store.root)!r})); "
        "assert not {'torch', 'scipy', 'skimage', 'pandas'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
