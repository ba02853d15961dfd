"""Dynamic thresholding inside chains, and what of a scheduler's file chains do not follow."""

from __future__ import annotations

import json

import numpy as np
import pytest
from pipelines import edit_json, tiny_pixel
from typer.testing import CliRunner

from nca_cli.cli import app
from nca_cli.clipping import DynamicRange, clipped
from nca_cli.errors import ModelError
from nca_cli.models import find_model, load_denoiser, recipe_for
from nca_cli.sampler_choice import SamplerChoice
from nca_cli.samplers import drive, start
from nca_cli.store import Filters, Store

T, STEPS = 900, 10
DYNAMIC = {"thresholding": True, "dynamic_thresholding_ratio": 0.9, "sample_max_value": 3.0}

pytestmark = pytest.mark.usefixtures("one_thread", "own_cache")


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def saved(here, kind, name="net", **config):
    """A pipeline whose scheduler is of a kind and says more."""
    folder = tiny_pixel(here / name)
    edit_json(folder / "scheduler" / "scheduler_config.json", _class_name=kind, **config)
    return folder


def run(*arguments):
    result = CliRunner().invoke(app, list(map(str, arguments)))
    assert result.exit_code == 0, result.output
    return result


@pytest.mark.parametrize("most", [1.0, 1.5, 100.0])
@pytest.mark.parametrize("share", [0.5, 0.995, 1.0])
def test_one_image_is_held_as_diffusers_holds_it(share, most):
    import torch
    from diffusers import DDIMScheduler

    x0 = 3 * torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    x0[1] /= 30  # within ±1: left as it is
    scheduler = DDIMScheduler(
        thresholding=True, dynamic_thresholding_ratio=share, sample_max_value=most
    )
    expected = scheduler._threshold_sample(x0)
    for row, image in zip(expected, x0, strict=True):
        dynamic = DynamicRange(share, most)
        assert torch.allclose(clipped(image, dynamic), row, atol=1e-6)
        assert np.allclose(clipped(image.numpy(), dynamic), row.numpy(), atol=1e-6)
    assert torch.equal(expected[1], x0[1])


@pytest.mark.parametrize(
    ("kind", "sampler", "eta"),
    [("DDIMScheduler", "ddim", 0.0), ("DDIMScheduler", "ddim", 1.0), ("DDPMScheduler", "ddpm", 0)],
)
def test_a_chain_is_the_schedulers_own(here, kind, sampler, eta):
    """diffusers' step functions on the levels that both have, with the same fresh noise."""
    import diffusers
    import torch

    folder = saved(here, kind, **DYNAMIC)
    model = find_model(str(folder))
    recipe = recipe_for(model, SamplerChoice(sampler, STEPS, eta))
    assert (recipe.clip, recipe.threshold, recipe.threshold_max) == (None, 0.9, 3.0)
    denoiser = load_denoiser(model, device="cpu")
    x = 4 * torch.randn(3, 16, 16, generator=torch.Generator().manual_seed(1))
    mine, theirs = (torch.Generator().manual_seed(2) for _ in range(2))

    def fresh(there):
        return torch.randn(1, 3, 16, 16, generator=mine)[0]

    chain = start(recipe, model.space.schedule, x, T, fresh)

    def ask(x, level):
        found = denoiser(x[None], torch.tensor([level.t]))
        return type(found)(found.x0[0])

    found, count = drive(chain, ask)
    assert count == STEPS

    scheduler = getattr(diffusers, kind).from_pretrained(folder / "scheduler")
    scheduler.set_timesteps(STEPS)
    network = diffusers.UNet2DModel.from_pretrained(folder / "unet")
    held, more = 0, {"eta": eta} if sampler == "ddim" else {}
    with torch.inference_mode():
        for t in scheduler.timesteps:
            noise = network(x[None], t).sample
            step = scheduler.step(noise, t, x[None], generator=theirs, **more)
            held += bool((step.pred_original_sample.abs() == 1).sum() > 3)
            x = step.prev_sample[0]
    assert held, "the range was used"
    assert (found - x).norm() < 1e-4 * x.norm()


def test_it_is_in_the_recipe_alone_where_it_is_used_and_clip_options_replace_it(here):
    plain, dynamic = (
        find_model(str(saved(here, "DDIMScheduler", name, **config)))
        for name, config in (("plain", {}), ("dynamic", DYNAMIC))
    )
    recipe = recipe_for(dynamic, SamplerChoice("ddim", STEPS))
    assert "threshold" not in recipe_for(plain, SamplerChoice("ddim", STEPS)).canonical()
    for choice in (SamplerChoice("one-step"), SamplerChoice("pndm", STEPS)):
        assert recipe_for(dynamic, choice).threshold is None
    for clip, value in ((True, 1.0), (False, None)):
        told = recipe_for(dynamic, SamplerChoice("ddim", STEPS, clip=clip))
        assert (told.clip, told.threshold) == (value, None)
    again = recipe_for(dynamic, SamplerChoice("ddim", STEPS, clip_epsilon="recomputed"))
    assert again.clip_epsilon == "recomputed"
    assert len({recipe.digest, again.digest}) == 2


def test_the_engine_stores_it_lists_it_and_says_the_line_that_makes_it(here, faces):
    folder = saved(here, "DDIMScheduler", **DYNAMIC)
    command = ("reconstruct", faces, "-m", folder, "-s", "ddim", "--steps", 5, "--t", "100,900")
    assert json.loads(run(*command, "--json").stdout)["computed"] == 6
    assert json.loads(run(*command, "--json").stdout)["computed"] == 0
    run(*command, "--no-clip")
    listed = run("ls").stdout
    assert "dynamic thresholding 0.9" in listed
    made = [each for each in Store("nca-store").select(Filters()) if not each.is_noise]
    dynamic = next(each for each in made if each.recipe.threshold)
    assert np.abs(dynamic.read("x0_hat", [(900, 0)])).max() <= 3
    said = run("grid", "-o", "grid.png", "--recipe", dynamic.recipe.digest[:8], "--t", "100,300")
    assert "clip" not in said.stderr
    assert "--t 300" in said.stderr


@pytest.mark.parametrize("wrong", [{"dynamic_thresholding_ratio": 2}, {"sample_max_value": 0.5},
                                   {"sample_max_value": "wide"}])  # fmt: skip
def test_settings_that_make_no_range_are_one_line(here, wrong):
    model = find_model(str(saved(here, "DDIMScheduler", **DYNAMIC | wrong)))
    with pytest.raises(ModelError, match=min(wrong)) as caught:
        recipe_for(model, SamplerChoice("ddim", STEPS))
    assert "--no-clip" in caught.value.hint


def test_levels_that_a_scheduler_would_space_otherwise_are_said_once_and_only_for_chains(
    here, faces
):
    linspace = saved(here, "DDIMScheduler", "lin", timestep_spacing="linspace")
    karras = saved(here, "DPMSolverMultistepScheduler", "kar", use_karras_sigmas=True)
    trailing = saved(here, "DDIMScheduler", "tra", timestep_spacing="trailing")

    def notes(folder, *more):
        command = ("reconstruct", faces / "anna.png", "-m", folder, "--t", 900)
        return run(*command, *more, "--dry-run").stderr

    assert (
        notes(linspace, "-s", "ddim").count("do not follow its scheduler's timestep_spacing") == 1
    )
    assert "--spacing karras does" in notes(karras, "-s", "ddim")
    for quiet in ((linspace, "-s", "one-step"), (trailing, "-s", "ddim"),
                  (karras, "-s", "ddim", "--spacing", "karras")):  # fmt: skip
        assert "do not follow" not in notes(*quiet)


def test_trailing_steps_are_the_chain_from_the_last_level():
    from diffusers import DDIMScheduler

    from nca_cli.schedule import Schedule

    scheduler = DDIMScheduler(timestep_spacing="trailing")
    scheduler.set_timesteps(50)
    chain = Schedule().chain(999, 50)
    assert [level.t for level in chain[:-1]] == scheduler.timesteps.tolist()
