"""Stable Diffusion XL: two texts and a size, against diffusers' own pipeline and its parts."""

from __future__ import annotations

import json
import shutil
from functools import partial

import numpy as np
import pipelines
import pytest
from chains import chain
from typer.testing import CliRunner

from nca_cli.cli import app
from nca_cli.errors import ModelError
from nca_cli.models import find_model, load_denoiser, recipe_for
from nca_cli.recipe import Recipe
from nca_cli.sampler_choice import SamplerChoice
from nca_cli.store import Store

pytest.importorskip("transformers")
CAT = "a CAT, sleeping"
LEVELS = (1, 200, 600, 999)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A pipeline whose no text is zeros (True), and one whose no text is the empty prompt. Read
    only."""
    root = tmp_path_factory.mktemp("sdxl")
    return {
        zeros: pipelines.tiny_stable_diffusion_xl(root / f"zeros-{zeros}", zeros=zeros)
        for zeros in (True, False)
    }


@pytest.fixture
def copy(made, tmp_path):
    """A pipeline of one's own, to be broken."""
    return shutil.copytree(made[True], tmp_path / "sdxl")


@pytest.fixture(scope="module")
def pipes(made):
    """diffusers' pipelines of both."""
    from diffusers import StableDiffusionXLPipeline

    load = partial(StableDiffusionXLPipeline.from_pretrained, low_cpu_mem_usage=False)
    loaded = {zeros: load(folder) for zeros, folder in made.items()}
    for pipe in loaded.values():
        pipe.set_progress_bar_config(disable=True)
    return loaded


def noise(seed=2, size=(8, 8)):
    import torch

    return torch.randn(1, 4, *size, generator=torch.Generator().manual_seed(seed))


def answer(pipe, prompt, x, t, size):
    """x̂0 under a prompt (`None`: no text) by the parts of diffusers' pipeline, written out: the
    embeddings that its `encode_prompt` gives, six sizes, x0 = (x - s·ε)/a."""
    import torch

    with torch.no_grad():
        text, none, pooled, none_pooled = pipe.encode_prompt(
            prompt or "", do_classifier_free_guidance=True
        )
        if prompt is None:
            text, pooled = none, none_pooled
        added = {"text_embeds": pooled, "time_ids": torch.tensor([[*size, 0.0, 0.0, *size]])}
        epsilon = pipe.unet(
            x, t, encoder_hidden_states=text, added_cond_kwargs=added, return_dict=False
        )[0]
    bar = torch.cumprod(1 - torch.linspace(0.00085**0.5, 0.012**0.5, 1000).double() ** 2, 0)[t]
    return (x - (1 - bar).sqrt() * epsilon) / bar.sqrt()


def close(mine, theirs, tolerance=1e-5):
    assert ((mine - theirs).norm() / theirs.norm()).item() < tolerance


@pytest.mark.parametrize("zeros", [True, False])
@pytest.mark.parametrize("t", LEVELS)
def test_x0_hat_is_that_of_the_network_under_both_texts_and_the_size(made, pipes, zeros, t):
    import torch

    pipe, model, level = pipes[zeros], find_model(str(made[zeros])), torch.tensor([t])
    given, none = (answer(pipe, prompt, noise(), t, (16.0, 16.0)) for prompt in (CAT, None))
    assert (given - none).norm() > 1e-3 * none.norm()
    for condition, theirs in (
        ({"prompt": CAT}, given),
        ({}, none),
        ({"prompt": CAT, "guidance": 5.0}, none + 5 * (given - none)),
    ):
        close(load_denoiser(model, device="cpu", **condition)(noise(), level).x0, theirs)


def test_of_an_image_of_another_size_the_network_hears_that_size(made, pipes):
    import torch

    model = find_model(str(made[True]), size=(16, 32))
    mine = load_denoiser(model, device="cpu", prompt=CAT)(noise(size=(8, 16)), torch.tensor([600]))
    pipe, x = pipes[True], noise(size=(8, 16))
    close(mine.x0, answer(pipe, CAT, x, 600, (16.0, 32.0)))
    other = answer(pipe, CAT, x, 600, (16.0, 16.0))
    assert (mine.x0 - other).norm() > 1e-3 * other.norm()
    assert recipe_for(model, SamplerChoice(), prompt=CAT).told_size == "16x32"


@pytest.mark.parametrize("guidance", [1.0, 5.0])
def test_chains_from_the_top_equal_diffusers_pipeline(made, pipes, guidance):
    """Euler's method in σ, of x/a, and DDIM are one and the same step."""
    import torch

    pipe = pipes[True]
    with torch.no_grad():
        theirs = pipe(
            CAT, guidance_scale=guidance, num_inference_steps=10, latents=noise(),
            output_type="latent",
        ).images  # fmt: skip
    first = int(pipe.scheduler.timesteps[0])
    mine = chain(
        made[True], SamplerChoice("ddim", 10), noise(), first, prompt=CAT, guidance=guidance
    )
    assert first == 901
    assert mine.std() > 0.1
    close(mine, theirs, 1e-4)


def test_the_recipe_says_the_size_and_what_stood_for_no_text_where_it_was_asked(made):
    model = find_model(str(made[True]))
    free, given, guided = (
        recipe_for(model, SamplerChoice(), **condition)
        for condition in ({}, {"prompt": CAT}, {"prompt": CAT, "guidance": 5})
    )
    assert [each.no_text for each in (free, given, guided)] == ["zeros", None, "zeros"]
    assert {each.told_size for each in (free, given, guided)} == {"16x16"}
    assert Recipe.from_json(guided.canonical()) == guided
    embedded = recipe_for(find_model(str(made[False])), SamplerChoice())
    assert embedded.no_text is None
    assert embedded.told_size == "16x16"


def test_recipes_of_other_models_say_nothing_of_sizes_and_no_text(tmp_path):
    model = find_model(str(pipelines.tiny_stable_diffusion(tmp_path / "sd")))
    said = json.loads(recipe_for(model, SamplerChoice(), prompt=CAT, guidance=2).canonical())
    assert not {"no_text", "told_size"} & said.keys()


def test_it_works_from_the_command_line_and_a_rerun_is_a_full_hit(made, faces, tmp_path):
    command = ["reconstruct", faces / "anna.png", "--model", made[True], "--t", "200,900",
               "--sampler", "one-step", "--guidance", "1,5", "--prompt", CAT,
               "--store", tmp_path / "s", "--json"]  # fmt: skip
    runs = [CliRunner().invoke(app, [str(word) for word in command]) for _ in range(2)]
    assert [run.exit_code for run in runs] == [0, 0], runs[0].output
    assert [json.loads(run.stdout)["computed"] for run in runs] == [4, 0]
    _, *others = Store(tmp_path / "s").select()
    assert {(each.recipe.guidance, each.recipe.no_text) for each in others} == {
        (None, None),
        (5.0, "zeros"),
    }
    assert all(np.isfinite(each.read("x0_hat", [*each.keys])).all() for each in others)


# What is refused, and what is said


@pytest.mark.parametrize(
    ("file", "change", "words"),
    [
        ("model_index.json", {"requires_aesthetics_score": True, "text_encoder": [None, None],
                              "_class_name": "StableDiffusionXLImg2ImgPipeline"},
         ["is a refiner", "its base model runs"]),
        ("model_index.json", {"text_encoder_2": [None, None]}, ["no text_encoder_2"]),
        ("model_index.json", {"text_encoder_2": ["transformers", "CLIPTextModel"]},
         ["text_encoder_2 is a CLIPTextModel", "CLIPTextModelWithProjection"]),
        ("unet/config.json", {"addition_embed_type": None}, ["text_encoder_2 as well"]),
        ("unet/config.json", {"projection_class_embeddings_input_dim": 52},
         ["takes 52 numbers", "6 sizes are 60"]),
        ("unet/config.json", {"time_cond_proj_dim": 256}, ["time_cond_proj_dim"]),
        ("unet/config.json", {"cross_attention_dim": 24}, ["width 24", "width 40"]),
        ("text_encoder_2/config.json", {"projection_dim": 11}, ["6 sizes are 59"]),
        ("vae/config.json", {"latents_mean": [0.1] * 4, "latents_std": [2.0] * 4},
         ["AutoencoderKL", "latents_mean"]),
    ],
)  # fmt: skip
def test_what_nca_cannot_run_is_named(copy, file, change, words):
    pipelines.edit_json(copy / file, **change)
    with pytest.raises(ModelError) as caught:
        find_model(str(copy))
    text = f"{caught.value}; {caught.value.hint}"
    assert "\n" not in text
    assert all(word in text for word in words), text


def test_a_model_that_is_called_distilled_is_noted(copy, made):
    from nca_cli.models.load import FEW_STEPS

    turbo = shutil.move(copy, copy.parent / "sdxl-turbo")
    notes = [load_denoiser(find_model(str(each)), device="cpu").notes for each in
             (turbo, made[True])]  # fmt: skip
    assert notes == [[FEW_STEPS], []]
