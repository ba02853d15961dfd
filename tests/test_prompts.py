"""Prompts: models of Stable Diffusion's layout, against diffusers' own pipeline."""

from __future__ import annotations

import json
import sys

import numpy as np
import pipelines
import pytest
from chains import chain
from typer.testing import CliRunner

from nca_cli.cli import app
from nca_cli.errors import ModelError, NcaError, UsageError
from nca_cli.models import find_model, load_autoencoder, load_denoiser, recipe_for
from nca_cli.sampler_choice import SamplerChoice
from nca_cli.store import Store

pytest.importorskip("transformers")
CAT = "a CAT, sleeping"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Pipelines by (scheduler, what the network predicts). Read only."""
    root = tmp_path_factory.mktemp("prompts")
    wanted = [("PNDMScheduler", "epsilon"), ("DDIMScheduler", "v_prediction"),
              ("EulerDiscreteScheduler", "epsilon")]  # fmt: skip
    return {
        (scheduler, prediction): pipelines.tiny_stable_diffusion(
            root / scheduler,
            scheduler,
            prediction,
            "bin" if "Euler" in scheduler else "safetensors",
        )
        for scheduler, prediction in wanted
    }


@pytest.fixture(scope="module")
def plain(made):
    """Stable Diffusion 1.x: ε, and the scheduler that its repository names."""
    return made["PNDMScheduler", "epsilon"]


@pytest.fixture
def copy(tmp_path):
    """A pipeline of one's own, to be broken."""
    return pipelines.tiny_stable_diffusion(tmp_path / "sd")


def pipe_of(folder, scheduler=None):
    """diffusers' pipeline, without the parts that no reconstruction needs."""
    from diffusers import StableDiffusionPipeline

    pipe = StableDiffusionPipeline.from_pretrained(
        folder, safety_checker=None, feature_extractor=None, low_cpu_mem_usage=False
    )
    pipe.set_progress_bar_config(disable=True)
    if scheduler is not None:
        pipe.scheduler = scheduler.from_config(pipe.scheduler.config)
    return pipe


def noise(seed=2):
    import torch

    return torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("prompt", ["", CAT])
@pytest.mark.parametrize("guidance", [1.0, 7.5])
@pytest.mark.parametrize(
    ("kind", "sampler"),
    [(("PNDMScheduler", "epsilon"), "ddim"), (("PNDMScheduler", "epsilon"), "plms"),
     (("DDIMScheduler", "v_prediction"), "ddim"), (("EulerDiscreteScheduler", "epsilon"), "ddim")],
)  # fmt: skip
def test_chains_from_the_top_equal_diffusers_pipeline(made, kind, sampler, guidance, prompt):
    """Euler's method in σ, of x/a, and DDIM are one and the same step."""
    import diffusers
    import torch

    swap = diffusers.DDIMScheduler if kind[0] == "PNDMScheduler" and sampler == "ddim" else None
    pipe = pipe_of(made[kind], swap)
    with torch.no_grad():
        theirs = pipe(
            prompt, guidance_scale=guidance, num_inference_steps=10, latents=noise(),
            output_type="latent",
        ).images  # fmt: skip
    assert int(pipe.scheduler.timesteps[0]) == 901
    mine = chain(
        made[kind], SamplerChoice(sampler, 10), noise(), 901, prompt=prompt, guidance=guidance
    )
    assert mine.std() > 0.1
    torch.testing.assert_close(mine, theirs, rtol=1e-3, atol=1e-3)


def test_a_prompt_changes_the_answer_and_guidance_moves_on_from_the_empty_one(plain):
    import torch

    model, t = find_model(str(plain)), torch.tensor([300])
    free, given, guided = (
        load_denoiser(model, device="cpu", **condition)(noise(), t).x0
        for condition in ({}, {"prompt": CAT}, {"prompt": CAT, "guidance": 7.5})
    )
    assert (given - free).abs().max() > 1e-2
    torch.testing.assert_close(guided, free + 7.5 * (given - free), rtol=1e-4, atol=1e-4)


def test_latents_are_the_mean_of_the_posterior_times_the_default_scale(plain):
    import torch
    from diffusers import AutoencoderKL

    raw = AutoencoderKL.from_pretrained(plain / "vae", low_cpu_mem_usage=False).eval()
    pixels = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.no_grad():
        expected = raw.encode(pixels).latent_dist.mean * 0.18215
    mine = load_autoencoder(find_model(str(plain)), device="cpu").encode(pixels)
    torch.testing.assert_close(mine, expected, rtol=1e-5, atol=1e-5)


def nca(*arguments):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_every_command_works_under_prompts(plain, faces, tmp_path):
    store, image = ("--store", tmp_path / "s"), faces / "anna.png"
    model = ("--model", plain, "--t", "200,900", *store)
    nca("noise", image, *model)
    conditions = [(), ("--prompt", CAT), ("--prompt", CAT, "--guidance", 7.5)]
    for condition in conditions:
        for sampler in (("one-step",), ("ddim", "--steps", 5)):
            nca("reconstruct", image, *model, *condition, "--sampler", *sampler)
    _, *others = Store(tmp_path / "s").select()
    assert len({artifact.name for artifact in others}) == 6
    told = {(artifact.recipe.prompt, artifact.recipe.guidance) for artifact in others}
    assert told == {("", None), (CAT, None), (CAT, 7.5)}
    assert all(np.isfinite(artifact.read("x0_hat", [*artifact.keys])).all() for artifact in others)
    nca("grid", *store, "-o", tmp_path / "grid.png")
    nca("report", *store, "-o", tmp_path / "report.html")
    again = nca("reconstruct", image, *model, *conditions[2], "--sampler", "one-step", "--json")
    assert json.loads(again)["computed"] == 0


def test_a_blank_names_the_prompt_in_the_command_that_fills_it(plain, faces, tmp_path):
    store, image = ("--store", tmp_path / "s"), faces / "anna.png"
    nca("reconstruct", image, "--model", plain, "--t", 200, "--prompt", CAT, "--guidance", 3,
        "--sampler", "one-step", *store)  # fmt: skip
    result = CliRunner().invoke(
        app, ["grid", *map(str, store), "--t", "200,300", "-o", str(tmp_path / "g.png")]
    )
    assert f"--prompt '{CAT}' --guidance 3" in result.stderr


def test_text_encoders_are_loaded_once_for_all_prompts_whose_numbers_are_those_of_each_alone(
    plain, faces, tmp_path, monkeypatch
):
    """Counted at the one place where networks are made, which works as ever."""
    from nca_cli.models import load

    made, real = [], load._filled
    monkeypatch.setattr(load, "_filled", lambda pipeline, part, name: (
        made.append(part.folder), real(pipeline, part, name))[1])  # fmt: skip
    monkeypatch.chdir(tmp_path)
    command = [
        "reconstruct",
        str(faces / "anna.png"),
        "-m",
        str(plain),
        "-s",
        "one-step",
        "--t",
        "500",
    ]
    prompts = [word for each in (CAT, "a dog", "a CAT") for word in ("--prompt", each)]
    result = CliRunner().invoke(app, [*command, *prompts, "--guidance", "1,3", "--store", "all"])
    assert result.exit_code == 0, result.output
    assert sorted(made) == ["text_encoder", "unet", "vae"]
    result = CliRunner().invoke(app, [*command, "--prompt", "a dog", "--store", "alone"])
    assert result.exit_code == 0, result.output
    (alone,) = [each for each in Store("alone").select() if not each.is_noise]
    same = next(each for each in Store("all").select() if each.name == alone.name)
    assert np.array_equal(alone.read("x0_hat", [(500, 0)]), same.read("x0_hat", [(500, 0)]))


def test_prompt_and_guidance_are_part_of_the_recipe(plain):
    model = find_model(str(plain))
    conditions = [{}, {"prompt": CAT}, {"prompt": "a dog"}, {"prompt": CAT, "guidance": 7.5}]
    recipes = [recipe_for(model, SamplerChoice(), **each) for each in conditions]
    assert len({recipe.digest for recipe in recipes}) == 4
    assert recipes[0].prompt == ""
    same = recipe_for(model, SamplerChoice(), prompt="", guidance=7.5)
    assert same == recipes[0] == recipe_for(model, SamplerChoice(), prompt="")
    assert recipe_for(model, SamplerChoice(), prompt=CAT, guidance=1) == recipes[1]


def test_the_text_encoder_and_its_words_are_part_of_the_weights(copy):
    def weights():
        return recipe_for(find_model(str(copy)), SamplerChoice()).weights

    seen = {weights()}
    pipelines.edit_json(copy / "tokenizer/tokenizer_config.json", model_max_length=76)
    seen.add(weights())
    file = copy / "text_encoder/model.safetensors"
    file.write_bytes(file.read_bytes()[:-4] + b"\0\0\0\0")
    seen.add(weights())
    assert len(seen) == 3


def test_an_older_models_recipe_says_nothing_of_prompts(pixel_pipeline):
    recipe = recipe_for(find_model(str(pixel_pipeline)), SamplerChoice())
    assert recipe.prompt is None
    assert "prompt" not in recipe.canonical()


# What is refused


@pytest.mark.parametrize(
    ("condition", "words"),
    [({"label": 3}, "no class labels; use --prompt"), ({"guidance": 2.0}, "needs a --prompt"),
     ({"prompt": CAT, "guidance": -1.0}, "--guidance -1")],
)  # fmt: skip
def test_conditions_that_mean_nothing_to_a_text_model_are_refused(plain, condition, words):
    with pytest.raises(UsageError) as caught:
        recipe_for(find_model(str(plain)), SamplerChoice(), **condition)
    assert words in f"{caught.value}; {caught.value.hint}"


def test_a_prompt_for_a_model_without_text_is_refused(pixel_pipeline):
    with pytest.raises(UsageError, match="takes no prompt"):
        recipe_for(find_model(str(pixel_pipeline)), SamplerChoice(), prompt="")


def test_a_prompt_that_would_be_cut_is_refused_with_its_rest(plain):
    model = find_model(str(plain))
    load_denoiser(model, device="cpu", prompt="cat " * 75)
    with pytest.raises(UsageError, match="has 76 tokens, of which the model reads 75") as caught:
        load_denoiser(model, device="cpu", prompt="cat " * 75 + "z")
    assert "it would lose 'z'" in caught.value.hint


def test_without_transformers_there_is_one_line_with_the_command(plain, monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    model = find_model(str(plain))
    recipe_for(model, SamplerChoice(), prompt=CAT)
    with pytest.raises(NcaError, match="need transformers, which is not installed") as caught:
        load_denoiser(model, device="cpu")
    assert "pip install 'nca-cli[text]'" in caught.value.hint


def assert_refused(function, *words):
    with pytest.raises(ModelError) as caught:
        function()
    text = f"{caught.value}; {caught.value.hint}"
    assert "\n" not in text
    for word in words:
        assert word in text


@pytest.mark.parametrize(
    ("file", "change", "words"),
    [
        ("model_index.json", {"text_encoder": ["transformers", "T5EncoderModel"]},
         ["text_encoder is a T5EncoderModel"]),
        ("model_index.json", {"text_encoder_2": ["transformers", "CLIPTextModelWithProjection"]},
         ["text_encoder_2"]),
        ("model_index.json", {"text_encoder": [None, None]}, ["no text_encoder"]),
        ("text_encoder/config.json", {"architectures": ["BertModel"]}, ["BertModel"]),
        ("text_encoder/config.json", {"hidden_size": 24}, ["width 16", "width 24"]),
        ("unet/config.json", {"addition_embed_type": "text_image"}, ["addition_embed_type"]),
        ("unet/config.json", {"time_cond_proj_dim": 256}, ["time_cond_proj_dim"]),
        ("unet/config.json", {"in_channels": 9}, ["9 channels into 4"]),
        ("scheduler/scheduler_config.json", {"_class_name": "LCMScheduler"}, ["LCMScheduler"]),
        ("scheduler/scheduler_config.json",
         {"_class_name": "EulerDiscreteScheduler", "timestep_type": "continuous"},
         ["continuous times"]),
    ],
)  # fmt: skip
def test_what_nca_cannot_run_is_named(copy, file, change, words):
    pipelines.edit_json(copy / file, **change)
    assert_refused(lambda: find_model(str(copy)), *words)


@pytest.mark.parametrize(
    ("file", "words"),
    [("text_encoder/model.safetensors", ["text_encoder/model.safetensors is missing"]),
     ("text_encoder/config.json", ["text_encoder/config.json is missing"]),
     ("tokenizer/merges.txt", ["tokenizer/vocab.json is missing"])],
)  # fmt: skip
def test_missing_parts_are_named(copy, file, words):
    (copy / file).unlink()
    assert_refused(lambda: find_model(str(copy)), *words)
    if "config" not in file:
        assert find_model(str(copy), weights=False).takes_prompt


def test_noise_needs_neither_text_encoder_nor_transformers(copy, faces, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    (copy / "text_encoder/model.safetensors").unlink()
    nca("noise", faces / "anna.png", "--model", copy, "--store", tmp_path / "s")
    assert len(Store(tmp_path / "s").select()) == 1


@pytest.mark.parametrize(
    ("file", "content", "words"),
    [
        ("text_encoder/model.safetensors", b"version https://git-lfs.github.com/spec/v1\n",
         ["Git LFS pointer"]),
        ("text_encoder/model.safetensors", b"\x10\0\0\0\0\0\0\0{", ["damaged or incomplete"]),
        ("tokenizer/vocab.json", b"{", ["holds no tokenizer"]),
        ("tokenizer/vocab.json",
         json.dumps({"a": 0, "<|startoftext|>": 900, "<|endoftext|>": 901}).encode(),
         ["knows more words"]),
    ],
)  # fmt: skip
def test_damaged_parts_are_named(copy, file, content, words):
    (copy / file).write_bytes(content)
    if "vocab" in file:
        (copy / "tokenizer/merges.txt").write_text("#version: 0.2\n")
    assert_refused(lambda: load_denoiser(find_model(str(copy)), device="cpu"), *words)


def test_a_text_encoder_of_another_shape_than_its_configuration_is_named(copy):
    pipelines.edit_json(copy / "text_encoder/config.json", num_hidden_layers=3)
    assert_refused(lambda: load_denoiser(find_model(str(copy)), device="cpu"), "lacks", "layers.2")
    pipelines.edit_json(copy / "text_encoder/config.json", num_hidden_layers="two")
    assert_refused(
        lambda: load_denoiser(find_model(str(copy)), device="cpu"), "does not describe a CLIPText"
    )


@pytest.mark.parametrize("key", ["_attn_implementation", "attn_implementation"])
@pytest.mark.parametrize("asked", ["kernels-community/anything", "flash_attention_2"])
def test_no_configuration_can_make_code_of_the_hub_run_a_text_encoder(key, asked):
    from transformers import CLIPTextConfig

    from nca_cli.models.text import CLIP, make_encoder

    small = {"vocab_size": 9, "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1,
             "num_attention_heads": 2}  # fmt: skip
    encoder = make_encoder(CLIP, {**CLIPTextConfig(**small).to_dict(), key: asked})
    assert (encoder.config._attn_implementation, encoder.config.hidden_size) == ("sdpa", 16)


def test_pickled_weights_of_a_text_encoder_are_noted(made):
    model = find_model(str(made["EulerDiscreteScheduler", "epsilon"]))
    notes = load_denoiser(model, device="cpu").notes
    assert [note.split(" (")[0] for note in notes] == [
        "weights come from text_encoder/pytorch_model.bin",
        "weights come from unet/diffusion_pytorch_model.bin",
    ]
