"""Families of models: levels of every kind, and networks of each through the same seam."""

from __future__ import annotations

import json
import math

import numpy as np
import pipelines
import pytest
from chains import chain
from typer.testing import CliRunner

from nca_cli.cli import app
from nca_cli.engine import Request
from nca_cli.errors import ModelError, UsageError
from nca_cli.models import find_model, load_autoencoder, load_denoiser, recipe_for
from nca_cli.recipe import DEFAULT_LEVELS, Recipe
from nca_cli.sampler_choice import SamplerChoice
from nca_cli.samplers import METHODS, Prediction, drive, start
from nca_cli.schedule import (
    CLEAN,
    FlowMatching,
    Schedule,
    VarianceExploding,
    VariancePreserving,
    diffuse,
    seeded_noise,
)
from nca_cli.store import Store
from nca_cli.twins import reconstruct

DDPM = Schedule()
EXPLODING = VarianceExploding(0.01, 348.0, 1000, 2)
FLOW = FlowMatching()
SHIFTED = FlowMatching(shift=3.0)
CONTINUOUS = [EXPLODING, FLOW, SHIFTED]


# Levels


def test_the_kind_of_levels_is_chosen_by_the_schedulers_class():
    assert type(Schedule()) is VariancePreserving
    assert type(Schedule.from_config({"_class_name": "DDIMScheduler"})) is VariancePreserving
    exploding = Schedule.from_config({"_class_name": "ScoreSdeVeScheduler", "sigma_max": 348.0})
    assert exploding == VarianceExploding(0.01, 348.0, 2000, 2)
    flow = {"_class_name": "FlowMatchEulerDiscreteScheduler", "shift": 3.0}
    assert Schedule.from_config(flow) == SHIFTED


def test_exploding_levels_are_those_of_diffusers_seen_from_images_in_minus_one_to_one():
    from diffusers import ScoreSdeVeScheduler

    theirs = ScoreSdeVeScheduler(num_train_timesteps=1000, sigma_max=348.0)
    mine = [EXPLODING.level(t) for t in range(1000)]
    assert {level.a for level in mine} == {1.0}
    np.testing.assert_allclose([level.s for level in mine], 2 * theirs.discrete_sigmas, rtol=2e-5)
    np.testing.assert_allclose(
        EXPLODING.network_time(np.arange(1000)), theirs.discrete_sigmas, rtol=2e-5
    )


@pytest.mark.parametrize("shift", [1.0, 3.0])
@pytest.mark.parametrize("steps", [1, 7, 50])
def test_flow_chains_from_pure_noise_are_the_grid_of_diffusers(steps, shift):
    from diffusers import FlowMatchEulerDiscreteScheduler

    theirs = FlowMatchEulerDiscreteScheduler(shift=shift)
    theirs.set_timesteps(sigmas=list(np.linspace(1, 1 / steps, steps)))
    chain = FlowMatching(shift=shift).chain(1000, steps)
    np.testing.assert_allclose([level.s for level in chain], theirs.sigmas, atol=1e-6)
    np.testing.assert_allclose([level.t for level in chain[:-1]], theirs.timesteps, atol=1e-3)


def test_the_shift_of_a_flow_bends_chains_and_moves_no_level():
    assert SHIFTED.describe() == FLOW.describe()
    assert SHIFTED.level(300.5) == FLOW.level(300.5)
    assert FLOW.shifted(3.0).chain(500, 10) == SHIFTED.chain(500, 10) != FLOW.chain(500, 10)


@pytest.mark.parametrize("schedule", CONTINUOUS)
@pytest.mark.parametrize("steps", [1, 3, 50, 1000])
def test_continuous_chains_begin_at_exactly_t_and_fall_to_the_clean_end(schedule, steps):
    for t in (0.3, 20, 333.25, 998.9):
        levels = schedule.chain(t, steps)
        ts = [level.t for level in levels]
        assert ts[0] == t
        assert all(type(value) is float for value in ts[:-1])
        assert ts[:-1] == sorted(set(ts[:-1]), reverse=True)
        assert tuple(levels[-1]) == (CLEAN, 1.0, 0.0)
    top = 999 if schedule.kind == "ve" else 1000
    assert len(schedule.chain(top, steps)) == steps + 1


@pytest.mark.parametrize(
    ("schedule", "t", "words"),
    [(EXPLODING, -1, "from 0 "), (EXPLODING, 999.5, "to 999"), (FLOW, 0, "above 0"),
     (FLOW, 1000.1, "up to 1000"), (FLOW, math.nan, "up to 1000")],
)  # fmt: skip
def test_a_level_out_of_range_is_refused_with_the_range(schedule, t, words):
    with pytest.raises(UsageError, match="is not a level") as caught:
        schedule.check(t)
    assert words in caught.value.hint


@pytest.mark.parametrize("schedule", CONTINUOUS)
def test_default_levels_are_where_ddpms_are_on_the_log_snr_axis(schedule):
    mine = [schedule.log_snr(t) for t in schedule.default_levels]
    np.testing.assert_allclose(mine, [DDPM.log_snr(t) for t in DEFAULT_LEVELS], atol=5e-3)


@pytest.mark.parametrize("schedule", CONTINUOUS)
def test_continuous_levels_have_just_the_log_snr_that_is_asked_for(schedule):
    for log_snr in (7.3, 4, 0.1, -4, -9):
        assert schedule.log_snr(schedule.nearest(log_snr)) == pytest.approx(log_snr, abs=1e-5)


@pytest.mark.parametrize("name", ["linear", "scaled_linear", "squaredcos_cap_v2"])
def test_no_other_whole_level_is_nearer_to_a_log_snr(name):
    schedule = Schedule(name, 0.00085, 0.012)
    for log_snr in (6, 4, 0.1, -4, -5):
        apart = [abs(schedule.log_snr(t) - log_snr) for t in range(1000)]
        assert apart[schedule.nearest(log_snr)] == min(apart) < 0.2


@pytest.mark.parametrize(
    ("schedule", "beyond", "words"),
    [(DDPM, 9.3, "from -10.12 (t 999) to 9.21 (t 0)"), (EXPLODING, -14, "from -13.09 (t 999)"),
     (FLOW, 50, "t 1000"), (DDPM, math.nan, "t 999"), (FLOW, -math.inf, "t 1000")],
)  # fmt: skip
def test_a_log_snr_beyond_the_levels_is_refused_with_what_they_reach(schedule, beyond, words):
    with pytest.raises(UsageError, match="log SNR") as error:
        schedule.nearest(beyond)
    assert words in error.value.hint


@pytest.mark.parametrize("schedule", [DDPM, EXPLODING])
def test_the_ends_that_a_refusal_names_can_be_asked_for(schedule):
    for t in schedule.ends:
        for log_snr in (schedule.log_snr(t), round(schedule.log_snr(t), 2)):
            assert schedule.nearest(log_snr) == pytest.approx(t, abs=1)


def test_default_levels_that_a_schedule_does_not_reach_are_left_out():
    short = VarianceExploding(0.01, 1.0, 100, 2)
    assert 0 < len(short.default_levels) < 9
    assert Schedule("squaredcos_cap_v2", steps=4000).default_levels[0] == 400
    assert DDPM.default_levels == DEFAULT_LEVELS


@pytest.mark.parametrize("schedule", [DDPM, EXPLODING, FLOW, Schedule("scaled_linear", 0.001)])
def test_a_description_gives_the_schedule_back(schedule):
    assert Schedule.from_description(json.loads(json.dumps(schedule.describe()))) == schedule


def test_a_description_that_does_not_say_enough_gives_none():
    trained = Schedule(trained_betas=(0.1, 0.2), steps=2)
    for description in (trained.describe(), {"kind": "none"}, {}, {"kind": "ve", "new": 1}):
        assert Schedule.from_description(description) is None


@pytest.mark.parametrize("schedule", CONTINUOUS)
@pytest.mark.parametrize("sampler", METHODS)
@pytest.mark.parametrize("eta", [0.0, 1.0])
def test_with_a_perfect_denoiser_every_chain_returns_x0(schedule, sampler, eta):
    random = np.random.default_rng(3)
    x0 = random.uniform(-1, 1, (2, 3))
    for steps in (1, 2, 5, 50):
        recipe = Recipe("oracle", sampler, steps=steps, eta=eta, shift=schedule.shift)
        for t in (
            0.7,
            30,
            512.5,
            990,
            *([1000] if "dd" in sampler and schedule.kind == "flow" else []),
        ):
            level = schedule.level(t)
            x = level.a * x0 + level.s * random.standard_normal(x0.shape)
            trajectory = start(
                recipe, schedule, x, t, lambda level: random.standard_normal(x0.shape)
            )
            x0_hat, _ = drive(trajectory, lambda x, level: Prediction(x0 + 0 * x))
            assert np.abs(x0_hat - x0).max() < 1e-6, (steps, t)


def test_multi_step_samplers_say_that_they_cannot_begin_at_pure_noise():
    with pytest.raises(UsageError, match="pndm cannot begin at pure noise"):
        start(Recipe("w", "pndm", steps=10), FLOW, np.zeros(2), 1000)


# One closed-form Gaussian, as each family would have learned it

VARIANCE = np.geomspace(1e-3, 1, 48).reshape(3, 4, 4)
"""λ of each pixel of x0 ~ N(0, λ)."""


def gaussian(family):
    """A network that predicts, exactly, what a network of `family` is trained to predict.

    Written in the family's own terms: ᾱ of an index, pixels u in [0, 1] and σ, or time in 0 … 1.
    """
    import torch

    alpha_bar = torch.cumprod(1 - torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64), 0)
    power = torch.from_numpy(VARIANCE)

    def noise_of(x, time):
        bar = alpha_bar[time.long()].view(-1, 1, 1, 1)
        return (1 - bar).sqrt() * x / (bar * power + 1 - bar)

    def score_of(u, time):
        sigma = time.double().view(-1, 1, 1, 1)
        return -(u - 0.5) / (power / 4 + sigma**2)

    def velocity_of(x, time):
        sigma = time.double().view(-1, 1, 1, 1) / 1000
        return (sigma - (1 - sigma) * power) / ((1 - sigma) ** 2 * power + sigma**2) * x

    predict = {"epsilon": noise_of, "score": score_of, "flow": velocity_of}[family]

    class Network(torch.nn.Module):
        def forward(self, x, time):
            return type("Output", (), {"sample": predict(x.double(), time).float()})

    return Network()


def test_vp_ve_and_flow_versions_of_one_gaussian_give_one_curve_over_log_snr():
    import torch

    from nca_cli.models.denoiser import Asked, Denoiser

    x0 = np.random.default_rng(0).standard_normal(VARIANCE.shape) * np.sqrt(VARIANCE)
    noise = seeded_noise(0, "ab" * 32, x0.shape).astype(np.float64)
    for t in (20, *DEFAULT_LEVELS, 990):
        snr, answers = DDPM.snr(t), {}
        for schedule, family in ((DDPM, "epsilon"), (EXPLODING, "score"), (FLOW, "flow")):
            mine = t if schedule is DDPM else schedule.t_of(math.log(snr))
            level = schedule.level(mine)
            assert level.snr == pytest.approx(snr, rel=1e-9)
            x_t = torch.from_numpy(level.a * x0 + level.s * noise)[None].float()
            asked = Asked(gaussian(family), schedule, family, x0.shape)
            denoise = Denoiser(asked, device="cpu")
            levels = torch.tensor([mine], dtype=torch.int64 if schedule is DDPM else torch.float64)
            answers[family] = denoise(x_t, levels).x0[0].double().numpy()
        exact = VARIANCE / (1 + snr * VARIANCE) * (snr * x0 + math.sqrt(snr) * noise)
        for family, answer in answers.items():
            assert np.abs(answer - exact).max() < 1e-4, (family, t)


@pytest.mark.parametrize("schedule", CONTINUOUS)
def test_the_spectral_prior_is_the_same_denoiser_on_every_schedule(schedule):
    import torch

    from nca_cli.models.wiener import WienerDenoiser

    x0, noise = torch.randn(2, 1, 3, 8, 8, generator=torch.Generator().manual_seed(0)).double()
    answers = []
    for levels, t in ((DDPM, 400), (schedule, schedule.t_of(DDPM.log_snr(400)))):
        a, s = levels.level(t)[1:]
        denoise = WienerDenoiser(8, levels, "cpu")
        ts = torch.tensor([t], dtype=torch.float64)
        answers.append(denoise((a * x0 + s * noise).float(), ts).x0)
    torch.testing.assert_close(*answers, atol=1e-4, rtol=0)


# The three families as diffusers saves them


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """One pipeline of each family. Read only."""
    root = tmp_path_factory.mktemp("families")
    return {
        "exploding": pipelines.tiny_exploding(root / "exploding", correct_steps=0),
        "flow": pipelines.tiny_flow(root / "flow"),
        "dit": pipelines.tiny_dit(root / "dit"),
        "classes": pipelines.tiny_pixel(root / "classes", classes=10),
        "ddpm": pipelines.tiny_pixel(root / "ddpm"),
        "ldm": pipelines.tiny_latent(root / "ldm"),
    }


def nca(*arguments):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


CONDITIONS = {"dit": ("--label", 7, "--guidance", 4), "classes": ("--label", 7)}
CONTINUOUS_FAMILIES = ("exploding", "flow")


@pytest.mark.parametrize("family", ["ddpm", "ldm", *CONTINUOUS_FAMILIES, *CONDITIONS])
def test_each_family_runs_every_command(made, family, faces, tmp_path):
    store, image = ("--store", tmp_path / "s"), faces / "anna.png"
    model = ("--model", made[family], *store)
    nca("noise", image, *model)
    condition = CONDITIONS.get(family, ())
    levels = ("--t", "5.5,30" if family in CONTINUOUS_FAMILIES else "200,900")
    for sampler in (("one-step",), ("ddim", "--steps", 5), ("ddpm", "--steps", 5)):
        nca("reconstruct", image, *model, *levels, *condition, "--sampler", *sampler)
    noise, *others = Store(tmp_path / "s").select()
    assert len(noise.keys) in (9, 11)
    assert {artifact.name.rpartition("-")[0] for artifact in others} == {
        "one-step", "ddim-5", "ddpm-5"
    }  # fmt: skip
    assert all(len(artifact.keys) == 2 for artifact in others)
    assert all(np.isfinite(artifact.read("x0_hat", [*artifact.keys])).all() for artifact in others)
    nca("grid", *store, "-o", tmp_path / "grid.png")
    nca("report", *store, "-o", tmp_path / "report.html")
    again = nca(
        "reconstruct", image, *model, *levels, *condition, "--sampler", "one-step", "--json"
    )
    assert json.loads(again)["computed"] == 0


def test_without_t_each_model_takes_its_own_default_levels(made):
    request, models = Request(seeds=[0]), [find_model(str(made[name])) for name in made]
    for model in models:
        ts = [t for t, _ in request.keys(model)]
        assert ts == [*model.space.schedule.default_levels]


def raw(folder):
    """The UNet of a pipeline, as diffusers loads it."""
    from diffusers import UNet2DModel

    return UNet2DModel.from_pretrained(folder / "unet", low_cpu_mem_usage=False).eval()


# Variance-exploding: diffusers works on u = (x + 1)/2 in [0, 1]


def test_exploding_x_t_is_the_image_and_twice_sigma_times_the_noise(made, faces, tmp_path):
    reconstruct(faces / "anna.png", store=tmp_path / "s", models=[str(made["exploding"])],
                t=[30, 12.5], samplers=["one-step"])  # fmt: skip
    noise, one_step = Store(tmp_path / "s").select()
    x0, digest = noise.fixed("x0"), noise.image_info["digest"]
    for t in (30, 12.5):
        sigma = 0.01 * 5000 ** (t / 39)
        x_t = x0 + 2 * sigma * seeded_noise(0, digest, x0.shape)
        np.testing.assert_allclose(noise.read("x_t", [(t, 0)])[0], x_t, rtol=1e-5, atol=1e-5)
        stored = dict(zip(noise.t.tolist(), noise.log_snr, strict=True))
        assert stored[t] == pytest.approx(-2 * math.log(2 * sigma))
    assert noise.t.dtype == np.float64
    assert one_step.keys == noise.keys


def test_exploding_one_step_is_the_formula_on_the_raw_network(made):
    import torch

    model, ts = find_model(str(made["exploding"])), (0.0, 20.0, 30.5, 39.0)
    x = torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    x0 = load_denoiser(model, device="cpu")(x, torch.tensor(ts, dtype=torch.float64)).x0
    sigma = 0.01 * 5000 ** (torch.tensor(ts) / 39)
    u = (x + 1) / 2
    with torch.no_grad():
        score = raw(made["exploding"])(u, sigma).sample
    expected = 2 * (u + sigma.view(-1, 1, 1, 1) ** 2 * score) - 1
    torch.testing.assert_close(x0, expected, rtol=1e-4, atol=1e-4)


def test_deterministic_exploding_chains_are_the_euler_steps_of_the_probability_flow(made):
    import torch

    u = 25 * torch.randn(1, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    mine = chain(made["exploding"], SamplerChoice("ddim", 40), 2 * u - 1, 39)
    sigmas = [0.01 * 5000 ** (i / 39) for i in range(40)]
    network = raw(made["exploding"])
    for sigma, below in zip(sigmas[::-1], [*sigmas[-2::-1], 0], strict=True):
        with torch.no_grad():
            u = u + (sigma - below) * sigma * network(u, torch.tensor([sigma])).sample
    torch.testing.assert_close((mine + 1) / 2, u, rtol=1e-3, atol=1e-3)


def test_ancestral_exploding_chains_are_diffusers_pipeline_without_its_corrector(made):
    """The pipeline as it is, its Langevin corrector set to no steps; same noise, all its levels."""
    import diffusers
    import torch

    pipe = diffusers.ScoreSdeVePipeline(
        raw(made["exploding"]),
        diffusers.ScoreSdeVeScheduler.from_pretrained(made["exploding"] / "scheduler"),
    )
    pipe.set_progress_bar_config(disable=True)
    generator = torch.Generator().manual_seed(5)
    picture = pipe(num_inference_steps=40, generator=generator, output_type="np").images[0]
    generator = torch.Generator().manual_seed(5)
    u = 50 * torch.randn((1, 3, 16, 16), generator=generator)

    def fresh(level):
        return torch.randn((1, 3, 16, 16), generator=generator)

    mine = chain(made["exploding"], SamplerChoice("ddpm", 40), 2 * u - 1, 39, fresh)
    unit = ((mine + 1) / 2).clamp(0, 1)[0].permute(1, 2, 0).numpy()
    assert np.abs(unit - picture).max() < 1e-3
    assert unit.std() > 0.01


def test_ncsnpp_is_an_alias_that_reads_its_levels_from_its_own_configuration(made):
    from nca_cli.models.aliases import ALIASES

    alias, model = ALIASES["ncsnpp"], find_model(str(made["exploding"]))
    assert (alias.source, alias.sampler.name) == ("google/ncsnpp-ffhq-256", "ddim")
    assert model.space.schedule == VarianceExploding(0.01, 50.0, 40, 2)
    assert recipe_for(model, SamplerChoice("ddpm", 40)).variance == "fixed_large"
    assert recipe_for(model, SamplerChoice("ddim", 40)).clip is None
    assert recipe_for(model, SamplerChoice("pndm", 40)).final_alpha == "one"


# Flow matching


@pytest.mark.parametrize("steps", [1, 8])
def test_flow_chains_from_the_top_equal_diffusers_scheduler(made, steps):
    import diffusers
    import torch

    x = torch.randn(1, 3, 16, 16, generator=torch.Generator().manual_seed(2))
    mine = chain(made["flow"], SamplerChoice("ddim", steps), x, 1000)
    scheduler = diffusers.FlowMatchEulerDiscreteScheduler.from_pretrained(
        made["flow"] / "scheduler"
    )
    scheduler.set_timesteps(sigmas=list(np.linspace(1, 1 / steps, steps)))
    network = raw(made["flow"])
    for t in scheduler.timesteps:
        with torch.no_grad():
            x = scheduler.step(network(x, t).sample, t, x).prev_sample
    torch.testing.assert_close(mine, x, rtol=1e-3, atol=1e-3)


def test_a_guided_transformer_follows_the_flow_of_diffusers_scheduler(tmp_path):
    import diffusers
    import torch

    kind = "FlowMatchEulerDiscreteScheduler"
    folder = pipelines.tiny_dit(tmp_path / "flow-dit", scheduler=kind, shift=2.0)
    x = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(2))
    mine = chain(folder, SamplerChoice("ddim", 8), x, 1000, label=7, guidance=3.0)
    scheduler = diffusers.FlowMatchEulerDiscreteScheduler.from_pretrained(folder / "scheduler")
    scheduler.set_timesteps(sigmas=list(np.linspace(1, 1 / 8, 8)))
    network = diffusers.DiTTransformer2DModel.from_pretrained(
        folder / "transformer", low_cpu_mem_usage=False
    ).eval()
    for t in scheduler.timesteps:
        with torch.no_grad():
            both = network(x.repeat(2, 1, 1, 1), t.repeat(2), class_labels=torch.tensor([7, 1000]))
        given, free = both.sample[:, :4].chunk(2)
        x = scheduler.step(free + 3.0 * (given - free), t, x).prev_sample
    torch.testing.assert_close(mine, x, rtol=1e-3, atol=1e-3)


def test_the_shift_is_part_of_a_flows_recipe_but_not_of_its_space(made, tmp_path):
    straight = find_model(str(pipelines.tiny_flow(tmp_path / "flow", shift=1.0)))
    shifted = find_model(str(made["flow"]))
    assert straight.folder_name == shifted.folder_name
    assert recipe_for(straight, SamplerChoice("ddim", 5)).shift is None
    assert recipe_for(shifted, SamplerChoice("ddim", 5)).shift == 3.0
    assert recipe_for(shifted, SamplerChoice("one-step")).shift is None


@pytest.mark.parametrize(
    ("family", "change", "word"),
    [("flow", {"use_dynamic_shifting": True}, "use_dynamic_shifting"),
     ("flow", {"shift_terminal": 0.1}, "shift_terminal"),
     ("flow", {"use_karras_sigmas": True}, "use_karras_sigmas"),
     ("flow", {"use_exponential_sigmas": True}, "use_exponential_sigmas"),
     ("flow", {"use_beta_sigmas": True}, "use_beta_sigmas"),
     ("flow", {"stochastic_sampling": True}, "stochastic_sampling"),
     ("flow", {"shift": 0}, "shift"),
     ("flow", {"prediction_type": "epsilon"}, "'epsilon'"),
     ("exploding", {"sigma_max": 0.001}, "sigma_max")],
)  # fmt: skip
def test_levels_that_nca_cannot_follow_are_named(tmp_path, family, change, word):
    folder = getattr(pipelines, f"tiny_{family}")(tmp_path / family)
    pipelines.edit_json(folder / "scheduler/scheduler_config.json", **change)
    with pytest.raises(ModelError, match=word):
        find_model(str(folder))


# Latent diffusion


def test_ldm_chains_and_their_pictures_are_those_of_diffusers_pipeline(made):
    import diffusers
    import torch

    folder = made["ldm"]
    autoencoder = diffusers.VQModel.from_pretrained(folder / "vqvae", low_cpu_mem_usage=False)
    autoencoder.register_to_config(scaling_factor=1.0)  # what an absent one means here
    scheduler = diffusers.DDIMScheduler.from_pretrained(folder / "scheduler")
    pipe = diffusers.LDMPipeline(autoencoder.eval(), raw(folder), scheduler)
    pipe.set_progress_bar_config(disable=True)
    generator = torch.Generator().manual_seed(6)
    picture = pipe(num_inference_steps=10, generator=generator, output_type="np").images[0]
    x = torch.randn((1, 3, 16, 16), generator=torch.Generator().manual_seed(6))
    z = chain(folder, SamplerChoice("ddim", 10), x, 900)
    decoded = load_autoencoder(find_model(str(folder)), device="cpu").decode(z)
    unit = (decoded / 2 + 0.5).clamp(0, 1)[0].permute(1, 2, 0).numpy()
    assert np.abs(unit - picture).max() < 1e-3
    assert unit.std() > 0.01


# Class-conditional networks


def test_a_class_conditional_unet_answers_under_its_label_as_diffusers_does(made):
    """Along DDIM of diffusers' own scheduler, fed with the raw network under that label."""
    import diffusers
    import torch

    x = torch.randn(1, 3, 16, 16, generator=torch.Generator().manual_seed(4))
    mine = [chain(made["classes"], SamplerChoice("ddim", 10), x, 900, label=n) for n in (2, 3)]
    scheduler = diffusers.DDIMScheduler.from_pretrained(made["classes"] / "scheduler")
    scheduler.set_timesteps(10)
    network = raw(made["classes"])
    for t in scheduler.timesteps:
        with torch.no_grad():
            x = scheduler.step(network(x, t, torch.tensor([3])).sample, t, x).prev_sample
    torch.testing.assert_close(mine[1], x, rtol=1e-3, atol=1e-3)
    assert not torch.allclose(mine[0], mine[1], atol=1e-2)
    assert recipe_for(find_model(str(made["classes"])), SamplerChoice(), label=3).class_label == 3


def test_noise_of_a_class_conditional_model_needs_no_label(made, faces, tmp_path):
    nca("noise", faces / "anna.png", "--model", made["classes"], "--store", tmp_path / "s")
    assert len(Store(tmp_path / "s").select()) == 1


@pytest.mark.parametrize("guidance", [None, 4.0])
def test_dit_chains_equal_diffusers_pipeline_guidance_included(made, guidance):
    import diffusers
    import torch

    folder = made["dit"]
    transformer = diffusers.DiTTransformer2DModel.from_pretrained(
        folder / "transformer", low_cpu_mem_usage=False
    )
    pipe = diffusers.DiTPipeline(
        transformer.eval(),
        diffusers.AutoencoderKL.from_pretrained(folder / "vae", low_cpu_mem_usage=False).eval(),
        diffusers.DDIMScheduler.from_pretrained(folder / "scheduler"),
    )
    pipe.set_progress_bar_config(disable=True)
    picture = pipe(
        class_labels=[7], guidance_scale=guidance or 1.0, num_inference_steps=10,
        generator=torch.Generator().manual_seed(3), output_type="np",
    )[0][0]  # fmt: skip
    x = torch.randn((1, 4, 8, 8), generator=torch.Generator().manual_seed(3))
    z = chain(folder, SamplerChoice("ddim", 10), x, 900, label=7, guidance=guidance)
    decoded = load_autoencoder(find_model(str(folder)), device="cpu").decode(z)
    unit = (decoded / 2 + 0.5).clamp(0, 1)[0].permute(1, 2, 0).numpy()
    assert np.abs(unit - picture).max() < 1e-3


def test_a_dit_is_found_under_its_older_class_name_with_labels_and_learned_variance(made):
    import torch

    model = find_model(str(made["dit"]))
    assert (model.classes, model.space.latent, model.space.latent_scale) == (1000, True, 0.18215)
    x, t = torch.zeros(2, 4, 8, 8), torch.tensor([10, 500])
    labelled = load_denoiser(model, device="cpu", label=7)(x, t)
    free = load_denoiser(model, device="cpu")(x, t)
    guided = load_denoiser(model, device="cpu", label=7, guidance=2.0)(x, t)
    assert not torch.allclose(labelled.x0, free.x0)
    (note,) = load_denoiser(model, device="cpu").notes
    assert "has a learned variance, but its scheduler does not use one" in note
    torch.testing.assert_close(guided.x0, 2 * labelled.x0 - free.x0, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(guided.variance, labelled.variance, rtol=1e-4, atol=1e-5)


def test_label_and_guidance_are_part_of_the_recipe(made):
    model = find_model(str(made["dit"]))
    conditions = [{}, {"label": 7}, {"label": 8}, {"label": 7, "guidance": 4.0}]
    digests = [recipe_for(model, SamplerChoice(), **each).digest for each in conditions]
    assert len(set(digests)) == 4
    unguided = recipe_for(model, SamplerChoice(), label=7, guidance=1.0)
    assert unguided.digest == digests[1]
    whole = recipe_for(model, SamplerChoice(), label=7, guidance=4)
    assert whole.digest == digests[3]
    plain = json.loads(recipe_for(model, SamplerChoice()).canonical())
    assert not {"class_label", "guidance", "shift"} & set(plain)


@pytest.mark.parametrize(
    ("family", "condition", "words"),
    [("flow", {"label": 3}, "takes no class labels"), ("dit", {"label": 1000}, "--label 1000"),
     ("classes", {"label": 10}, "--label 10"), ("classes", {}, "no null class label"),
     ("classes", {"label": 1, "guidance": 4.0}, "so guidance is not possible"),
     ("flow", {"guidance": 4.0}, "takes neither labels nor prompts"),
     ("dit", {"guidance": 4.0}, "needs a --label"),
     ("dit", {"label": 1, "guidance": -1.0}, "--guidance -1")],
)  # fmt: skip
def test_conditions_that_mean_nothing_are_refused(made, family, condition, words):
    with pytest.raises(UsageError, match=words):
        recipe_for(find_model(str(made[family])), SamplerChoice(), **condition)


def test_a_condition_is_for_the_models_that_take_it_and_refused_where_none_does(
    made, faces, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    command = ["reconstruct", str(faces / "anna.png"), "--t", "500", "-s", "one-step"]
    both = [*command, "-m", str(made["dit"]), "-m", str(made["flow"])]
    run = CliRunner().invoke(app, [*both, "--label", "7", "--guidance", "4"])
    assert run.exit_code == 0, run.output
    assert "flow takes no --label and no --guidance" in " ".join(run.stderr.split())
    recipes = {a.model_name: a.recipe for a in Store(tmp_path / "nca-store").select() if a.recipe}
    assert (recipes["dit"].class_label, recipes["dit"].guidance) == (7, 4.0)
    assert (recipes["flow"].class_label, recipes["flow"].guidance) == (None, None)
    for wrong in (["--prompt", "a cat"], ["--guidance", "4"], ["--label", "7", "--prompt", "x"]):
        run = CliRunner().invoke(app, [*both, *wrong])
        assert run.exit_code == 2, run.output


def test_a_transformer_that_is_no_dit_is_refused_by_name(tmp_path):
    folder = pipelines.tiny_dit(tmp_path / "dit")
    pipelines.edit_json(folder / "transformer/config.json", norm_type="ada_norm_single")
    with pytest.raises(ModelError, match="ada_norm_single"):
        find_model(str(folder))
    pipelines.edit_json(folder / "transformer/config.json", _class_name="FluxTransformer2DModel")
    with pytest.raises(ModelError, match="FluxTransformer2DModel"):
        find_model(str(folder))


def test_diffusing_at_a_level_of_any_kind_mixes_by_its_two_scales():
    x0, noise = np.full((1, 2), 0.5), np.full((1, 2), -1.0)
    assert diffuse(x0, FLOW.level(250), noise)[0, 0] == pytest.approx(0.75 * 0.5 - 0.25)
    exploding = VarianceExploding(0.5, 2.0, 11, scale=2)
    assert diffuse(x0, exploding.level(0), noise)[0, 0] == pytest.approx(-0.5)
