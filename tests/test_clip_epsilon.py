"""Clipping in ddim: what ε is taken from once x̂0 is held in range, in either rule written down."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from adm_reference import P2, random_adm
from typer.testing import CliRunner

from nca_cli.cli import app
from nca_cli.errors import UsageError
from nca_cli.models import find_model, recipe_for
from nca_cli.recipe import Recipe
from nca_cli.sampler_choice import SamplerChoice
from nca_cli.samplers import METHODS, Prediction, drive, start
from nca_cli.schedule import Schedule
from nca_cli.store import Store

SMALL = {"num_channels": 32, "channel_mult": (1, 1), "image_size": 8, "num_res_blocks": 1,
         "attention_resolutions": (4,), "num_head_channels": 32}  # fmt: skip
TOML = ("image_size = 8\nnum_channels = 32\nchannel_mult = [1, 1]\nnum_res_blocks = 1\n"
        "attention_resolutions = [4]\nnum_head_channels = 32\n")  # fmt: skip
STEPS = 20

pytestmark = pytest.mark.usefixtures("one_thread", "own_cache")


def authors_ddim(x, t, epsilon_of, noises, eta, recomputed):
    """guided-diffusion's `ddim_sample` on its own arrays: a grid of `STEPS` of 1000 levels."""
    bars = np.cumprod(1 - np.linspace(1e-4, 0.02, 1000))
    grid = list(range(t, -1, -1000 // STEPS))
    for i, here in enumerate(grid):
        bar, before = bars[here], bars[grid[i + 1]] if i + 1 < len(grid) else 1.0
        epsilon = epsilon_of(x, here)
        x0 = np.clip((x - np.sqrt(1 - bar) * epsilon) / np.sqrt(bar), -1, 1)
        if recomputed:
            epsilon = (x / np.sqrt(bar) - x0) / np.sqrt(1 / bar - 1)
        sigma = eta * np.sqrt((1 - before) / (1 - bar)) * np.sqrt(1 - bar / before)
        x = x0 * np.sqrt(before) + np.sqrt(1 - before - sigma**2) * epsilon
        x = x + sigma * noises.get(i, 0.0)
    return x


@pytest.mark.parametrize("eta", [0.0, 1.0])
@pytest.mark.parametrize("rule", ["kept", "recomputed"])
def test_each_rule_is_the_authors_own_on_grids_that_coincide(rule, eta):
    random, t = np.random.default_rng(0), 950
    x = 2 * random.standard_normal((3, 4, 4))
    draws = {i: random.standard_normal(x.shape) for i in range(19)}
    schedule = Schedule()
    levels = iter(draws.values())
    recipe = Recipe("w", "ddim", steps=STEPS, eta=eta, clip=1.0, final_alpha="one",
                    clip_epsilon="recomputed" if rule == "recomputed" else None)  # fmt: skip

    def epsilon_of(x, t):
        return np.tanh(1.3 * x + t / 500)

    def denoise(x, level):
        return Prediction((x - level.s * epsilon_of(x, level.t)) / level.a)

    found, _ = drive(start(recipe, schedule, x, t, fresh=lambda there: next(levels)), denoise)
    expected = authors_ddim(x, t, epsilon_of, draws, eta, rule == "recomputed")
    assert abs(found - expected).max() < 1e-10
    other = authors_ddim(x, t, epsilon_of, draws, eta, rule != "recomputed")
    assert abs(found - other).max() > 1e-2, "the test would hide an error"


@pytest.fixture
def checkpoint(tmp_path, monkeypatch):
    """A small ADM checkpoint in the working folder, and its network."""
    import torch

    monkeypatch.chdir(tmp_path)
    network = random_adm(**P2 | SMALL)
    with torch.no_grad():
        network.out[2].weight.mul_(0.1)  # tame over chains
        network.out[2].bias.mul_(0.1)
    torch.save(network.state_dict(), "net.pt")
    Path("net.toml").write_text(TOML)
    return network


def nca(*words, code=0):
    run = CliRunner().invoke(app, [*map(str, words)])
    assert run.exit_code == code, run.output
    return run


def test_a_checkpoint_takes_its_authors_rule_through_the_engine(checkpoint, faces):
    import torch

    command = ["reconstruct", faces / "anna.png", "-m", "adm:net.pt", "--t", "950",
               "-s", "ddim", "--steps", STEPS]  # fmt: skip
    for told in ([], ["--clip-epsilon", "kept"]):
        nca(*command, *told)
    noise, *made = Store("nca-store").select()
    x = noise.read("x_t", [(950, 0)])[0].astype(float)

    def epsilon_of(x, t):
        with torch.inference_mode():
            given = torch.from_numpy(x[None].astype(np.float32))
            return checkpoint(given, torch.tensor([t]))[0, :3].double().numpy()

    answers = {artifact.recipe.clip_epsilon: artifact.read("x0_hat", [(950, 0)])[0]
               for artifact in made}  # fmt: skip
    expected = authors_ddim(x, 950, epsilon_of, {}, 0.0, recomputed=True)
    error = np.linalg.norm(answers["recomputed"] - expected)
    assert error < 1e-4 * np.linalg.norm(expected)
    assert set(answers) == {"recomputed", None}
    assert abs(answers["recomputed"] - answers[None]).max() > 1e-2
    again = json.loads(nca(*command, "--clip-epsilon", "recomputed", "--json").stdout)
    assert again["computed"] == 0, "it is what the checkpoint takes anyway"


def test_the_rule_is_part_of_the_recipe_where_it_changes_anything(checkpoint, pixel_pipeline):
    own, plain = find_model("adm:net.pt"), find_model(str(pixel_pipeline))
    ddim, choose = SamplerChoice("ddim"), SamplerChoice
    assert recipe_for(own, ddim).clip_epsilon == "recomputed"
    assert recipe_for(plain, ddim).clip_epsilon is None
    kept = recipe_for(plain, choose("ddim", clip_epsilon="kept"))
    assert kept == recipe_for(plain, ddim), "what was computed by it keeps its name"
    assert recipe_for(own, choose("ddim", clip=False)).clip_epsilon is None
    assert recipe_for(own, choose("ddpm")).clip_epsilon is None
    assert recipe_for(own, choose("one-step", clip_epsilon="kept")).clip_epsilon is None
    with pytest.raises(UsageError, match="ddpm takes no ε from a clipped"):
        recipe_for(own, choose("ddpm", clip_epsilon="kept"))
    with pytest.raises(UsageError, match="--clip-epsilon 'new' is unknown"):
        choose("ddim", clip_epsilon="new")


def test_a_recipe_of_before_has_the_digest_it_had():
    """Golden: nothing that was stored gets another name."""
    recipe = Recipe("w", "ddim", steps=50, eta=0.0, clip=1.0, final_alpha="one")
    told = '{"clip":1.0,"dtype":"float32","eta":0.0,"final_alpha":"one","sampler":"ddim",'
    assert recipe.canonical() == told + (
        '"sampler_version":1,"steps":50,"tf32":false,"weights":"w"}'
    )


def test_the_line_that_computes_it_again_names_the_rule(checkpoint, faces):
    command = ["reconstruct", faces / "anna.png", "-m", "adm:net.pt", "--t", "950",
               "-s", "ddim", "--steps", "2"]  # fmt: skip
    nca(*command, "--clip-epsilon", "kept")
    run = nca("grid", "-m", "adm:net.pt", "--t", "900,950", "-o", "grid.png")
    assert "--clip-epsilon kept" in " ".join(run.stderr.split())


# -- Karras' steps ---------------------------------------------------------------------------------


def test_karras_levels_are_the_papers_on_continuous_levels():
    """Eq. 5 with ρ = 7, from the noisiest level to the cleanest."""
    schedule = Schedule.from_config({"_class_name": "ScoreSdeVeScheduler", "sigma_min": 0.01,
                                     "sigma_max": 50, "num_train_timesteps": 1000})  # fmt: skip
    n, rho = 18, 7
    low, high = 2 * 0.01, 2 * 50.0  # in units of [-1, 1]
    expected = [(high ** (1 / rho) + i / (n - 1) * (low ** (1 / rho) - high ** (1 / rho))) ** rho
                for i in range(n)]  # fmt: skip
    chain = schedule.spaced("karras", 999, n)
    assert [level.s for level in chain[:-1]] == pytest.approx(expected, rel=1e-5)
    assert chain[-1].s == 0
    part = schedule.spaced("karras", 600, n)
    assert part[0].t == 600
    u = [level.s ** (1 / rho) for level in part[:-1]]
    h = (high ** (1 / rho) - low ** (1 / rho)) / (n - 1)
    assert [a - b for a, b in pairwise(u)] == pytest.approx([h] * (len(u) - 1),
                                                                            rel=1e-3)  # fmt: skip


def test_karras_levels_of_a_discrete_schedule_are_the_nearest_each_once():
    schedule = Schedule()
    for t in (999, 500, 3, 0):
        chain = schedule.spaced("karras", t, 50)
        ts = [level.t for level in chain]
        assert ts[0] == t
        assert ts[-1] == -1
        assert ts == sorted(set(ts), reverse=True)
    assert schedule.spaced(None, 500, 50) == schedule.chain(500, 50)


def test_karras_steps_are_of_samplers_that_may_take_any(pixel_pipeline, faces, tmp_path):
    model = find_model(str(pixel_pipeline))
    able = [name for name, method in METHODS.items() if method.any_spacing]
    assert set(able) >= {"heun", "dpmpp-2m", "ddim"}
    for name in able:
        assert recipe_for(model, SamplerChoice(name, spacing="karras")).spacing == "karras"
    with pytest.raises(UsageError, match="pndm takes only even steps"):
        recipe_for(model, SamplerChoice("pndm", spacing="karras"))
    command = ["reconstruct", faces / "anna.png", "-m", pixel_pipeline, "--t", "700",
               "-s", "heun-6", "-s", "dpmpp-2m-6", "--store", tmp_path / "store"]  # fmt: skip
    nca(*command, "--spacing", "karras")
    assert json.loads(nca(*command, "--json").stdout)["computed"] == 2, "other chains"
