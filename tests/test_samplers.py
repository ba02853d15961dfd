"""Samplers against three oracles: a perfect denoiser, diffusers, Gaussians in closed form."""

import math
from itertools import pairwise

import numpy as np
import pytest

from nca_cli.errors import UsageError
from nca_cli.recipe import Recipe
from nca_cli.samplers import METHODS, Prediction, drive, evaluations, start
from nca_cli.schedule import Schedule

LINEAR = Schedule()
RANDOM = np.random.default_rng(7)


# -- a perfect denoiser ----------------------------------------------------------------------------


@pytest.mark.parametrize("sampler", METHODS)
@pytest.mark.parametrize("steps", [1, 2, 3, 4, 7, 50, 333, 1000])
def test_with_a_perfect_denoiser_every_sampler_returns_x0_from_any_level(sampler, steps):
    """ε = (x - a·x0)/s at the current x, final ᾱ = 1, unclipped."""
    recipe = Recipe("oracle", sampler, steps=steps, final_alpha="one")
    x0 = RANDOM.uniform(-1, 1, (3, 4, 4))
    for t in (0, 1, 2, 19, 20, 57, 300, 555, 980, 999):
        level = LINEAR.level(t)
        x = level.a * x0 + level.s * RANDOM.standard_normal(x0.shape)

        def perfect(x, level):
            noise = (x - level.a * x0) / level.s
            return Prediction((x - level.s * noise) / level.a, np.zeros_like(x))

        x0_hat, count = drive(
            start(recipe, LINEAR, x, t, lambda level: RANDOM.standard_normal(x0.shape)), perfect
        )
        assert np.abs(x0_hat - x0).max() < 1e-3
        assert count == evaluations(recipe, LINEAR, t)


def test_every_t_from_0_to_999_can_be_started_from():
    x0 = RANDOM.uniform(-1, 1, (2, 2))
    for sampler in METHODS:
        recipe = Recipe("oracle", sampler, steps=20, final_alpha="one")
        for t in range(1000):
            x0_hat, _ = drive(
                start(recipe, LINEAR, RANDOM.standard_normal(x0.shape), t, lambda level: 0.0 * x0),
                lambda x, level: Prediction(x0, 0 * x0),
            )
            assert np.abs(x0_hat - x0).max() < 1e-3, (sampler, t)


@pytest.mark.parametrize("name", ["dpm", "imported", "", "DDIM", "_multistep"])
def test_a_recipe_of_a_sampler_that_is_not_known_is_refused(name):
    with pytest.raises(UsageError, match=f"unknown sampler '{name}'"):
        start(Recipe("oracle", name, steps=20), LINEAR, np.zeros(3), 500)


# -- diffusers -------------------------------------------------------------------------------------


def smooth(x, t):
    """A stand-in network: any smooth function of (x, t), predicting ε."""
    return 0.5 * x + 0.3 * np.tanh(x) + 0.1 * math.sin(t / 100)


def by_smooth(x, level):
    return Prediction((x - level.s * smooth(x, level.t)) / level.a)


def theirs(scheduler, x, steps, **options):
    """A chain by a diffusers scheduler in float64: x̂0 and the noise that each step drew."""
    import torch

    scheduler.set_timesteps(steps)
    x, generator, drawn = torch.tensor(x), torch.Generator().manual_seed(0), {}
    for t in scheduler.timesteps:
        before = generator.get_state()
        e = torch.tensor(smooth(x.numpy(), int(t)))
        if options:
            x_next = scheduler.step(e, t, x, generator=generator, **options).prev_sample
            generator.set_state(before)
            drawn[int(t)] = torch.randn(x.shape, generator=generator, dtype=x.dtype).numpy()
        else:
            x_next = scheduler.step(e, t, x).prev_sample
        x = x_next
    return x.numpy(), drawn


CASES = {
    "ddim": ("DDIMScheduler", {}, {"clip": 1.0, "final_alpha": "one"}, {}),
    "ddim, unclipped, final ᾱ of level 0": (
        "DDIMScheduler",
        {"clip_sample": False, "set_alpha_to_one": False},
        {"final_alpha": "first"},
        {},
    ),
    "ddim, η 0.7": (
        "DDIMScheduler",
        {},
        {"eta": 0.7, "clip": 1.0, "final_alpha": "one"},
        {"eta": 0.7},
    ),
    "ddim, η 1, final ᾱ of level 0": (
        "DDIMScheduler",
        {"set_alpha_to_one": False},
        {"eta": 1.0, "clip": 1.0, "final_alpha": "first"},
        {"eta": 1.0},
    ),
    "pndm": ("PNDMScheduler", {}, {"final_alpha": "first"}, {}),
    "pndm, final ᾱ 1": ("PNDMScheduler", {"set_alpha_to_one": True}, {"final_alpha": "one"}, {}),
    "plms": ("PNDMScheduler", {"skip_prk_steps": True}, {"final_alpha": "first"}, {}),
}


@pytest.mark.parametrize("steps", [10, 50, 100])
@pytest.mark.parametrize("case", CASES)
def test_on_their_own_grid_chains_equal_diffusers_schedulers(case, steps):
    import diffusers

    name, config, settings, options = CASES[case]
    x = RANDOM.standard_normal((2, 3, 4, 4))
    expected, drawn = theirs(getattr(diffusers, name)(**config), x, steps, **options)
    h, recipe = 1000 // steps, Recipe("w", case.split(",")[0], steps=steps, **settings)
    trajectory = start(
        recipe,
        LINEAR,
        x,
        1000 - h,
        lambda level: drawn[max(level.t, -h) + h if level.t >= 0 else 0],
    )
    assert np.abs(drive(trajectory, by_smooth)[0] - expected).max() < 1e-4


@pytest.mark.parametrize("variance", ["fixed_small", "fixed_large"])
@pytest.mark.parametrize("clip", [1.0, None])
@pytest.mark.parametrize("steps", [10, 50, 1000])
def test_ddpm_chains_equal_diffusers_given_the_same_noise(steps, clip, variance):
    from diffusers import DDPMScheduler

    x = RANDOM.standard_normal((3, 4, 4))
    scheduler = DDPMScheduler(variance_type=variance, clip_sample=clip is not None)
    scheduler.set_timesteps(steps)
    import torch

    state, generator, drawn = torch.tensor(x), torch.Generator().manual_seed(1), {}
    for t in scheduler.timesteps:
        before = generator.get_state()
        drawn[int(t)] = torch.randn(state.shape, generator=generator, dtype=state.dtype).numpy()
        generator.set_state(before)
        e = torch.tensor(smooth(state.numpy(), int(t)))
        state = scheduler.step(e, t, state, generator=generator).prev_sample
    recipe = Recipe("w", "ddpm", steps=steps, clip=clip, variance=variance)
    h = 1000 // steps
    mine, _ = drive(start(recipe, LINEAR, x, 1000 - h, lambda level: drawn[level.t + h]), by_smooth)
    assert np.abs(mine - state.numpy()).max() < 1e-4


def test_learned_variance_steps_equal_diffusers():
    import torch
    from diffusers import DDPMScheduler

    scheduler = DDPMScheduler(variance_type="learned_range")
    scheduler.set_timesteps(50)
    x, v = RANDOM.standard_normal((1, 3, 4, 4)), RANDOM.uniform(-1, 1, (1, 3, 4, 4))
    state, generator, drawn = torch.tensor(x), torch.Generator().manual_seed(2), {}
    for t in scheduler.timesteps:
        before = generator.get_state()
        drawn[int(t)] = torch.randn(state.shape, generator=generator, dtype=state.dtype).numpy()
        generator.set_state(before)
        out = torch.tensor(np.concatenate([smooth(state.numpy(), int(t)), v], axis=1))
        state = scheduler.step(out, t, state, generator=generator).prev_sample
    recipe = Recipe("w", "ddpm", steps=50, clip=1.0, variance="learned_range")
    trajectory = start(recipe, LINEAR, x, 980, lambda level: drawn[level.t + 20])
    mine, _ = drive(trajectory, lambda x, level: by_smooth(x, level)._replace(variance=v))
    assert np.abs(mine - state.numpy()).max() < 1e-4


@pytest.mark.parametrize(
    ("sampler", "prediction"),
    [
        ("ddim", "epsilon"),
        ("ddpm", "epsilon"),
        ("pndm", "epsilon"),
        ("ddim", "sample"),
        ("ddpm", "sample"),
    ],
)
def test_chains_equal_diffusers_whole_pipelines(tmp_path, sampler, prediction):
    """The pipeline's own pictures, from its own initial noise, through the real denoiser.

    Unclipped where the net predicts ε: a random net's x̂0 is far out of range at high noise, and
    clipping it then amplifies rounding errors in diffusers itself.
    """
    import diffusers
    import torch
    from pipelines import tiny_pixel

    from nca_cli.models import find_model, load_denoiser, recipe_for
    from nca_cli.sampler_choice import SamplerChoice

    clips = prediction == "sample"
    folder = tiny_pixel(tmp_path / "tiny", prediction_type=prediction, clip_sample=clips)
    pipe = getattr(diffusers, f"{sampler.upper()}Pipeline").from_pretrained(folder)
    pipe.set_progress_bar_config(disable=True)
    if sampler == "pndm":
        pipe.scheduler = diffusers.PNDMScheduler.from_config(pipe.scheduler.config)
    generator = torch.Generator().manual_seed(5)
    expected = pipe(generator=generator, num_inference_steps=50, output_type="np").images[0]

    generator = torch.Generator().manual_seed(5)
    x = torch.randn((1, 3, 16, 16), generator=generator)[0]
    model = find_model(str(folder))
    recipe, denoise = (
        recipe_for(model, SamplerChoice(sampler, 50)),
        load_denoiser(model, device="cpu"),
    )

    def one(x, level):
        return Prediction(denoise(x[None], torch.tensor([level.t])).x0[0])

    def fresh(level):
        return torch.randn((1, 3, 16, 16), generator=generator)[0]

    mine, _ = drive(start(recipe, model.space.schedule, x, 980, fresh), one)
    picture = (mine / 2 + 0.5).clip(0, 1).permute(1, 2, 0).numpy()
    assert recipe.clip == (1.0 if clips else None)
    assert np.abs(picture - expected).max() < 1e-4


# -- Gaussian data in closed form ------------------------------------------------------------------

SPECTRUM = np.array([1.0, 0.3, 0.1, 0.03, 0.01, 0.001])
"""Variances λ of independent modes."""


def gain(level, spectrum=SPECTRUM):
    """E[x0|x_t]/x_t per mode: a·λ/(a²λ + s²)."""
    return level.a * spectrum / (level.a**2 * spectrum + level.s**2)


def chain_error(sampler, t, steps, spectrum=SPECTRUM, variance="fixed_small"):
    """Exact E(x̂0 - x0)² per mode of a finite chain, by tracking Cov(x, x0) and Var(x).

    The coefficients are those of the papers in ᾱ, written independently of the samplers.
    """
    levels = LINEAR.chain(t, steps)
    bars = [level.a**2 for level in levels]
    c, v = math.sqrt(bars[0]) * spectrum, bars[0] * spectrum + 1 - bars[0]
    for level, bar, nxt in zip(levels, bars[:-1], bars[1:], strict=False):
        g = gain(level, spectrum)
        if sampler == "ddim":
            k, sigma2 = (
                math.sqrt(nxt) * g
                + math.sqrt(1 - nxt) * (1 - math.sqrt(bar) * g) / math.sqrt(1 - bar),
                0,
            )
        else:
            beta = 1 - bar / nxt
            k = math.sqrt(nxt) * beta / (1 - bar) * g + math.sqrt(1 - beta) * (1 - nxt) / (1 - bar)
            sigma2 = (
                0
                if nxt == 1
                else beta * (1 if variance == "fixed_large" else (1 - nxt) / (1 - bar))
            )
        c, v = k * c, k**2 * v + sigma2
    return v + spectrum - 2 * c


def mmse(level, spectrum=SPECTRUM):
    """One-step error per mode: λ/(1 + sλ) with s the SNR."""
    return spectrum / (1 + level.snr * spectrum)


def measured_error(recipe, t, count=20_000):
    """(x̂0 - x0)² per mode by simulation: mean and standard error."""
    random, level = np.random.default_rng(11), LINEAR.level(t)
    x0 = random.standard_normal((count, len(SPECTRUM))) * np.sqrt(SPECTRUM)
    x_t = level.a * x0 + level.s * random.standard_normal(x0.shape)
    trajectory = start(recipe, LINEAR, x_t, t, lambda level: random.standard_normal(x0.shape))
    x0_hat, _ = drive(trajectory, lambda x, level: Prediction(gain(level) * x))
    error = (x0_hat - x0) ** 2
    return error.mean(0), error.std(0) / math.sqrt(count)


@pytest.mark.parametrize("t", [50, 300, 600, 900])
def test_one_step_error_on_gaussian_data_is_the_mmse(t):
    mean, deviation = measured_error(Recipe("g", "one-step"), t)
    assert np.all(np.abs(mean - mmse(LINEAR.level(t))) < 4 * deviation)


@pytest.mark.parametrize("steps", [10, 50, 1000])
@pytest.mark.parametrize(
    ("sampler", "variance"), [("ddim", None), ("ddpm", "fixed_small"), ("ddpm", "fixed_large")]
)
def test_chain_error_on_gaussian_data_is_the_exact_finite_step_value(sampler, variance, steps):
    recipe = Recipe("g", sampler, steps=steps, variance=variance, final_alpha="one")
    for t in (300, 700):
        mean, deviation = measured_error(recipe, t, count=20_000 if steps < 1000 else 4_000)
        exact = chain_error(sampler, t, steps, variance=variance)
        assert np.all(np.abs(mean - exact) < 4.5 * deviation), (t, mean / exact)


def test_chain_errors_approach_their_limits_as_steps_grow():
    """DDPM → 2·MMSE, DDIM → the probability flow 2Σλ(1 - √(ᾱλ/(ᾱλ+1-ᾱ)))."""
    level = LINEAR.level(600)
    bar = level.a**2
    flow = 2 * SPECTRUM * (1 - np.sqrt(bar * SPECTRUM / (bar * SPECTRUM + 1 - bar)))
    for sampler, limit in (("ddpm", 2 * mmse(level)), ("ddim", flow)):
        shares = [chain_error(sampler, 600, steps) / limit for steps in (10, 50, 200, 1000)]
        distances = [np.abs(share - 1).max() for share in shares]
        assert distances == sorted(distances, reverse=True)
        assert distances[-1] < 0.15
        assert abs(shares[-1][0] - 1) < 0.01  # the strong modes are there already


# -- second-order samplers -------------------------------------------------------------------------

SECOND_ORDER = ("heun", "dpmpp-2m")


@pytest.mark.parametrize("steps", [5, 10, 20, 50])
def test_dpmpp_2m_equals_diffusers(steps):
    from diffusers import DPMSolverMultistepScheduler

    x = RANDOM.standard_normal((2, 3, 4, 4))
    scheduler = DPMSolverMultistepScheduler(
        beta_start=1e-4, solver_order=2, timestep_spacing="trailing", final_sigmas_type="zero"
    )
    expected, _ = theirs(scheduler, x, steps)
    assert scheduler.timesteps[0] == 999
    recipe = Recipe("w", "dpmpp-2m", steps=steps, final_alpha="one")
    assert np.abs(drive(start(recipe, LINEAR, x, 999), by_smooth)[0] - expected).max() < 1e-4


@pytest.mark.parametrize("steps", [5, 20, 50])
def test_heun_equals_algorithm_1_of_its_paper_written_in_sigma(steps):
    """Karras et al., algorithm 1 without churn, on x/a and σ = s/a."""
    levels = LINEAR.chain(999, steps)
    x = RANDOM.standard_normal((3, 4, 4))
    scaled, sigmas = x / levels[0].a, [level.s / level.a for level in levels]

    def derivative(scaled, i):
        x0 = by_smooth(scaled * levels[i].a, levels[i]).x0
        return (scaled - x0) / sigmas[i]

    for i in range(len(levels) - 1):
        width = sigmas[i + 1] - sigmas[i]
        d = derivative(scaled, i)
        trial = scaled + width * d
        if sigmas[i + 1] != 0:
            trial = scaled + width * (d + derivative(trial, i + 1)) / 2
        scaled = trial
    recipe = Recipe("w", "heun", steps=steps, final_alpha="one")
    mine, count = drive(start(recipe, LINEAR, x, 999), by_smooth)
    assert np.abs(mine - scaled).max() < 1e-8
    assert count == 2 * steps - 1


@pytest.mark.parametrize("sampler", SECOND_ORDER)
def test_the_error_of_second_order_samplers_falls_with_the_square_of_the_step(sampler):
    """On Gaussian modes, against the exact probability flow from t = 900 to t = 100."""
    from nca_cli.samplers import dpmpp_2m, heun

    method = {"heun": heun, "dpmpp-2m": dpmpp_2m}[sampler]
    begin, end = LINEAR.level(900), LINEAR.level(100)
    spread = [np.sqrt(level.a**2 * SPECTRUM + level.s**2) for level in (begin, end)]
    errors = []
    for h in (40, 20, 10, 5):
        levels = [LINEAR.level(t) for t in range(900, 99, -h)]
        x, _ = drive(
            method(np.ones_like(SPECTRUM), levels), lambda x, level: Prediction(gain(level) * x)
        )
        errors.append(np.abs(x - spread[1] / spread[0]).max())
    ratios = [coarse / fine for coarse, fine in pairwise(errors)]
    assert all(3.3 < ratio < 4.7 for ratio in ratios[1:]), ratios


@pytest.mark.parametrize(("sampler", "steps"), [("heun", 50), ("dpmpp-2m", 100)])
def test_second_order_samplers_are_nearer_to_the_flow_than_ddim_at_its_price(sampler, steps):
    level = LINEAR.level(900)
    exact = np.sqrt(SPECTRUM) / np.sqrt(level.a**2 * SPECTRUM + level.s**2)

    def error(name, steps):
        recipe = Recipe("g", name, steps=steps, final_alpha="one")
        trajectory = start(recipe, LINEAR, np.ones_like(SPECTRUM), 900)
        x0_hat, _ = drive(trajectory, lambda x, level: Prediction(gain(level) * x))
        return np.abs(x0_hat - exact).max()

    assert error(sampler, steps) < error("ddim", 100)
