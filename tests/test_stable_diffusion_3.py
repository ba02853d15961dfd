"""Stable Diffusion 3: flow matching under prompts, against diffusers' own pipeline."""

from __future__ import annotations

import json
import shutil
import sys

import numpy as np
import pipelines
import pytest
import warm
from chains import chain
from test_loading import PEAK, STATUS
from typer.testing import CliRunner

from nca_cli.cli import app
from nca_cli.errors import ModelError, UsageError
from nca_cli.models import find_model, load_autoencoder, load_denoiser, recipe_for
from nca_cli.models.load import building
from nca_cli.recipe import Recipe
from nca_cli.sampler_choice import SamplerChoice
from nca_cli.schedule import FlowMatching
from nca_cli.store import Store

pytest.importorskip("transformers")
CAT = "a CAT, sleeping"
GIVE_BACK = (
    "import ctypes; M_MMAP_THRESHOLD = -3; ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, 65536)"
)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Pipelines with T5 (True) and without it (False). Read only."""
    root = tmp_path_factory.mktemp("sd3")
    return {t5: pipelines.tiny_stable_diffusion_3(root / f"t5-{t5}", t5) for t5 in (True, False)}


@pytest.fixture
def copy(made, tmp_path):
    """A pipeline of one's own, to be broken."""
    return shutil.copytree(made[True], tmp_path / "sd3")


def pipe_of(folder, t5=True):
    """diffusers' pipeline; it wants to be told by hand of a T5 that its index leaves out."""
    from diffusers import StableDiffusion3Pipeline

    without = {} if t5 else {"text_encoder_3": None, "tokenizer_3": None}
    pipe = StableDiffusion3Pipeline.from_pretrained(folder, low_cpu_mem_usage=False, **without)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def noise(seed=2):
    import torch

    return torch.randn(1, 16, 8, 8, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("t5", [True, False])
def test_chains_from_the_top_equal_diffusers_pipeline(made, t5):
    import torch

    pipe, answers = pipe_of(made[t5], t5), []
    for prompt in ("", CAT):
        for guidance in (1.0, 7.0):
            with torch.no_grad():
                theirs = pipe(
                    prompt, guidance_scale=guidance, num_inference_steps=10, latents=noise(),
                    output_type="latent",
                ).images  # fmt: skip
            mine = chain(
                made[t5], SamplerChoice("ddim", 10), noise(), 1000, prompt=prompt, guidance=guidance
            )
            torch.testing.assert_close(mine, theirs, rtol=1e-3, atol=1e-3)
            answers.append(mine)
    free, same, given, guided = answers
    torch.testing.assert_close(free, same)
    assert min((given - free).abs().max(), (guided - given).abs().max()) > 0.1


def test_the_picture_that_is_decoded_equals_diffusers_pipeline(made):
    """Shift and scale of the latents included."""
    import torch

    with torch.no_grad():
        theirs = pipe_of(made[True])(
            CAT, guidance_scale=7.0, num_inference_steps=5, latents=noise(), output_type="np"
        ).images[0]  # fmt: skip
    z = chain(made[True], SamplerChoice("ddim", 5), noise(), 1000, prompt=CAT, guidance=7.0)
    decoded = load_autoencoder(find_model(str(made[True])), device="cpu").decode(z)
    mine = (decoded / 2 + 0.5).clamp(0, 1)[0].permute(1, 2, 0).numpy()
    assert theirs.std() > 0.01
    assert np.abs(mine - theirs).max() < 1e-3


def test_latents_are_shifted_before_they_are_scaled(made):
    import torch
    from diffusers import AutoencoderKL

    raw = AutoencoderKL.from_pretrained(made[True] / "vae", low_cpu_mem_usage=False).eval()
    pixels = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.no_grad():
        mean = raw.encode(pixels).latent_dist.mean
        decoded = raw.decode(mean).sample
    model = find_model(str(made[True]))
    ours = load_autoencoder(model, device="cpu")
    z = ours.encode(pixels)
    torch.testing.assert_close(z, (mean - 0.0609) * 1.5305, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(ours.decode(z), decoded, rtol=1e-4, atol=1e-5)
    assert model.space.describe()["latent_shift"] == 0.0609


@pytest.mark.parametrize("shift", [1.0, 3.0])
@pytest.mark.parametrize("steps", [1, 2, 10, 28, 1000])
def test_its_levels_are_those_of_a_scheduler_that_is_told_the_number_of_steps(shift, steps):
    from diffusers import FlowMatchEulerDiscreteScheduler

    theirs = FlowMatchEulerDiscreteScheduler(shift=shift)
    theirs.set_timesteps(steps)
    levels = FlowMatching(shift=shift).as_scheduled().chain(1000, steps)
    assert [level.s for level in levels] == pytest.approx(theirs.sigmas.tolist(), abs=1e-6)


def test_a_chain_from_between_is_the_end_of_one_from_the_top():
    flow = FlowMatching(shift=3.0).as_scheduled()
    whole = flow.chain(1000, 10)
    for at in (1, 4, 9):
        rest = flow.chain(whole[at].t, 10)
        assert [level.t for level in rest] == pytest.approx([level.t for level in whole[at:]])
    assert [level.s for level in flow.chain(1, 10)] == pytest.approx([0.001, 0])


def test_the_recipe_tells_how_its_chains_end(made):
    model = find_model(str(made[True]))
    recipe = recipe_for(model, SamplerChoice("ddim", 10), prompt=CAT)
    assert recipe.shift == 3.0
    assert recipe.last == pytest.approx(3 * 0.001 / (1 + 2 * 0.001))
    assert Recipe.from_json(recipe.canonical()) == recipe
    assert recipe_for(model, SamplerChoice("one-step")).last is None


def nca(*arguments):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_every_command_works(made, faces, tmp_path):
    store, image = ("--store", tmp_path / "s"), faces / "anna.png"
    model = ("--model", made[True], "--t", "200,900.5", *store)
    nca("noise", image, *model)
    conditions = [(), ("--prompt", CAT), ("--prompt", CAT, "--guidance", 7)]
    for condition in conditions:
        for sampler in (("one-step",), ("ddim", "--steps", 5)):
            nca("reconstruct", image, *model, *condition, "--sampler", *sampler)
    _, *others = Store(tmp_path / "s").select()
    assert len({artifact.name for artifact in others}) == 6
    told = {(artifact.recipe.prompt, artifact.recipe.guidance) for artifact in others}
    assert told == {("", None), (CAT, None), (CAT, 7.0)}
    assert all(np.isfinite(artifact.read("x0_hat", [*artifact.keys])).all() for artifact in others)
    nca("grid", *store, "-o", tmp_path / "grid.png")
    nca("report", *store, "-o", tmp_path / "report.html")
    again = nca("reconstruct", image, *model, *conditions[2], "--sampler", "one-step", "--json")
    assert json.loads(again)["computed"] == 0


def test_noise_needs_the_autoencoder_alone(copy, faces, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    for file in copy.glob("t*/*.safetensors"):
        file.unlink()
    nca("noise", faces / "anna.png", "--model", copy, "--store", tmp_path / "s")
    assert len(Store(tmp_path / "s").select()) == 1


@pytest.mark.skipif(not STATUS.exists(), reason="reads the peak of memory from /proc")
def test_text_encoders_are_loaded_one_after_another_and_let_go(made, tmp_path):
    """Two of 39 million parameters each and, at last, a transformer of 45 million.

    Half of the peak is the file itself, mapped into memory. glibc has to give back what is freed,
    which it does with small tensors only when told to.
    """
    import diffusers
    import transformers

    folder = shutil.copytree(made[False], tmp_path / "large")
    for part, width in (("text_encoder", 16), ("text_encoder_2", 24)):
        config = transformers.CLIPTextConfig.from_pretrained(folder / part)
        config.intermediate_size, config.num_hidden_layers = 40_000, 480 // width
        with building():
            encoder = transformers.CLIPTextModelWithProjection(config)
        save_zeros(encoder, folder / part, "model")
    config = diffusers.SD3Transformer2DModel.load_config(folder / "transformer")
    with building():
        network = diffusers.SD3Transformer2DModel.from_config(
            {**config, "num_attention_heads": 100, "caption_projection_dim": 800}
        )
    size = save_zeros(network, folder / "transformer", "diffusion_pytorch_model")
    assert size > 40e6
    del network, encoder
    script = PEAK.replace("denoiser._network", "denoiser._denoiser._network")
    run = warm.run(f"{GIVE_BACK}\n{script}", made[False], folder)
    assert run.returncode == 0, run.stderr
    weights, peak = run.stdout.split()
    assert int(weights) == 4 * size
    assert 1 < float(peak) < 2.2


def save_zeros(network, folder, stem):
    """Configuration and weights of zeros; how many of them are parameters."""
    from safetensors.torch import save_file

    (network.save_config if stem != "model" else network.config.save_pretrained)(folder)
    save_file({key: value.zero_() for key, value in network.state_dict().items()},
              folder / f"{stem}.safetensors")  # fmt: skip
    return sum(parameter.numel() for parameter in network.parameters())


# What is refused


def assert_refused(function, *words):
    with pytest.raises(ModelError) as caught:
        function()
    text = f"{caught.value}; {caught.value.hint}"
    assert "\n" not in text
    for word in words:
        assert word in text


INDEX = "model_index.json"


@pytest.mark.parametrize(
    ("file", "change", "words"),
    [
        (INDEX, {"transformer": ["diffusers", "FluxTransformer2DModel"]},
         ["transformer is a FluxTransformer2DModel"]),
        (INDEX, {"text_encoder": ["transformers", "CLIPTextModel"]},
         ["text_encoder is a CLIPTextModel", "CLIPTextModelWithProjection"]),
        (INDEX, {"text_encoder_2": [None, None]}, ["no text_encoder_2"]),
        (INDEX, {"text_encoder_4": ["transformers", "LlamaForCausalLM"]}, ["text_encoder_4"]),
        ("transformer/config.json", {"_class_name": "AuraFlowTransformer2DModel"},
         ["AuraFlowTransformer2DModel"]),
        ("text_encoder_2/config.json", {"architectures": ["BertModel"]},
         ["text_encoder_2 is a BertModel"]),
        ("text_encoder_3/config.json", {"architectures": ["UMT5EncoderModel"]},
         ["text_encoder_3 is a UMT5EncoderModel"]),
        ("text_encoder_3/config.json", {"d_model": 64}, ["width 48", "width 64"]),
        ("text_encoder_2/config.json", {"hidden_size": 40}, ["width 48", "width 56"]),
        ("text_encoder/config.json", {"projection_dim": 9}, ["pooled", "width 20", "width 21"]),
        ("vae/config.json", {"latent_channels": 4}, ["latents of 4 channels"]),
        ("scheduler/scheduler_config.json", {"use_dynamic_shifting": True},
         ["use_dynamic_shifting"]),
        ("scheduler/scheduler_config.json", {"_class_name": "DDIMScheduler"},
         ["SD3Transformer2DModel", "DDIMScheduler"]),
    ],
)  # fmt: skip
def test_what_nca_cannot_run_is_named(copy, file, change, words):
    pipelines.edit_json(copy / file, **change)
    assert_refused(lambda: find_model(str(copy)), *words)


@pytest.mark.parametrize(
    "file",
    ["text_encoder_2/model.safetensors", "text_encoder_3/config.json", "tokenizer_2/vocab.json",
     "tokenizer_3/tokenizer.json"],
)  # fmt: skip
def test_missing_parts_are_named(copy, file):
    (copy / file).unlink()
    assert_refused(lambda: find_model(str(copy)), f"{file} is missing")


def test_a_tensor_that_is_missing_is_named(copy):
    from safetensors.torch import load_file, save_file

    file = copy / "text_encoder_3/model-00001-of-00002.safetensors"
    tensors = load_file(file)
    del tensors["shared.weight"]
    save_file(tensors, file)
    model = find_model(str(copy))
    assert_refused(lambda: load_denoiser(model, device="cpu"), "lacks", "embed_tokens")


def test_a_prompt_that_clip_would_cut_is_refused_though_t5_reads_it(made):
    with pytest.raises(UsageError, match="has 76 tokens, of which the model reads 75"):
        load_denoiser(find_model(str(made[True])), device="cpu", prompt="cat " * 76)


def test_an_autoencoder_that_shifts_beside_another_network_is_refused(tmp_path):
    folder = pipelines.tiny_dit(tmp_path / "dit")
    pipelines.edit_json(folder / "vae/config.json", shift_factor=0.1)
    assert_refused(lambda: find_model(str(folder)), "shift_factor", "DiTTransformer2DModel")
