"""Models: what configurations mean, recipes that are complete, and networks equal to diffusers'."""

from __future__ import annotations

import json
import os
import pickle
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pipelines
import pytest

from nca_cli.devices import pick_device
from nca_cli.errors import ModelError, NcaError, UsageError
from nca_cli.models import (
    find_model,
    list_models,
    load_autoencoder,
    load_denoiser,
    recipe_for,
)
from nca_cli.models.aliases import ALIASES
from nca_cli.sampler_choice import SamplerChoice
from nca_cli.samplers import METHODS
from nca_cli.schedule import Schedule

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def own_caches(tmp_path, monkeypatch):
    """No test sees the user's caches."""
    monkeypatch.setenv("NCA_CACHE", str(tmp_path / "nca-cache"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub-cache"))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """One of each kind of pipeline. Read only: tests that change one make a copy."""
    root = tmp_path_factory.mktemp("made")
    return {
        "nested": pipelines.tiny_pixel(root / "nested"),
        "flat": pipelines.like_celebahq(root / "flat"),
        "vq": pipelines.like_ldm_celebahq(root / "vq"),
        "kl": pipelines.tiny_latent(root / "kl", "kl", part="vae", scaling_factor=0.5),
    }


def find(folder):
    return find_model(str(folder))


@pytest.fixture
def copy(made, tmp_path):
    """A copy of the nested pixel pipeline, to be changed."""
    return shutil.copytree(made["nested"], tmp_path / "copy")


def scheduled(folder, **config):
    """The model in `folder` with another raw scheduler configuration."""
    return replace(find(folder), scheduler=config)


# What the configurations mean


def test_pixel_aliases_carry_the_published_schedule_and_shape():
    model = find_model("ddpm", weights=False)
    assert model.space.shape == (3, 256, 256)
    assert model.space.resolution == 256
    assert model.space.schedule == Schedule("linear", 1e-4, 0.02, 1000)
    assert (model.sampler.name, model.sampler.steps) == ("ddpm", 1000)
    assert find_model("ddim", weights=False).folder_name == model.folder_name
    assert model.licence == "apache-2.0"
    assert model.source == "google/ddpm-ema-celebahq-256"


def test_a_flat_and_a_nested_layout_of_one_network_are_one_space(made):
    assert find(made["flat"]).space == find(made["nested"]).space


def test_a_carried_space_equals_the_one_read_from_the_same_configuration(made):
    carried, read = find_model("ddim", weights=False), find(made["flat"])
    assert carried.space.schedule.describe() == read.space.schedule.describe()
    assert set(carried.space.describe()) == set(read.space.describe())


def test_a_latent_model_works_in_its_latents_and_its_image_is_larger(made):
    space = find(made["vq"]).space
    assert space.latent
    assert space.shape == (3, 16, 16)
    assert space.resolution == 32
    assert space.schedule == Schedule("scaled_linear", 0.0015, 0.0195, 1000)


@pytest.mark.parametrize(
    ("autoencoder", "written", "scale"),
    [("vq", None, 1.0), ("vq", 0.3, 0.3), ("kl", None, 0.18215), ("kl", 0.5, 0.5)],
)
def test_the_latent_scale_is_read_from_the_raw_configuration(tmp_path, autoencoder, written, scale):
    folder = pipelines.tiny_latent(tmp_path / "ldm", autoencoder, scaling_factor=written)
    model = find(folder)
    assert model.space.latent_scale == recipe_for(model, model.sampler).latent_scale == scale


def test_a_space_depends_on_the_autoencoder_but_not_on_the_network(tmp_path, made):
    before = find(made["vq"])
    retrained = shutil.copytree(made["vq"], tmp_path / "vq")
    pipelines.save_part(pipelines.tiny_unet(seed=5), retrained / "unet", "bin")
    assert find(retrained).folder_name == before.folder_name
    pipelines.save_part(pipelines.tiny_autoencoder(seed=5), retrained / "vqvae", "bin")
    pipelines.edit_json(retrained / "vqvae/config.json", scaling_factor=None)
    assert find(retrained).folder_name != before.folder_name


def test_noise_needs_no_weights_of_the_network(tmp_path, made):
    for kind in ("nested", "vq"):
        folder = shutil.copytree(made[kind], tmp_path / kind)
        for file in (folder / "unet").glob("diffusion_pytorch_model.*"):
            file.unlink()
        assert find_model(str(folder), weights=False).space == find(made[kind]).space
        with pytest.raises(ModelError, match=r"unet/diffusion_pytorch_model\.\w+ is missing"):
            find(folder)


def test_names_are_safe_as_folder_names(tmp_path, made):
    folder = shutil.copytree(made["nested"], tmp_path / "my model: v2 (ü) ..")
    assert re.fullmatch(r"[\w.-]+", find(folder).folder_name, re.ASCII)


def test_a_snapshot_in_the_hubs_cache_is_called_by_its_repository(tmp_path, made):
    folder = tmp_path / "models--org--faces" / "snapshots" / ("0" * 40)
    shutil.copytree(made["nested"], folder)
    assert find(folder).name == "faces"


def test_an_alias_wins_over_a_folder_of_its_name(tmp_path, made, monkeypatch):
    shutil.copytree(made["nested"], tmp_path / "ddim")
    monkeypatch.chdir(tmp_path)
    assert find_model("ddim", weights=False).alias == "ddim"
    assert find_model("./ddim").space.shape == (3, 16, 16)


def test_the_list_of_models_names_every_alias_and_what_is_here():
    rows = {row.name: row for row in list_models()}
    assert set(ALIASES) == set(rows)
    assert {"ddpm", "ddim", "pndm", "ldm", "demo", "demo-ldm", "wiener"} < set(rows)
    assert rows["wiener"].on_disk
    assert not rows["ddim"].on_disk
    assert rows["ddpm"].sampler == "ddpm-1000"
    assert rows["wiener"].sampler == "one-step"


def test_the_demo_is_a_folder_of_the_installation(tmp_path, made, monkeypatch):
    monkeypatch.setattr("nca_cli.models.origins.ASSETS", tmp_path)
    assert_refused(lambda: find_model("demo"), "model demo", "not in this installation")
    shutil.copytree(made["nested"], tmp_path / "demo")
    model = find_model("demo")
    assert (model.name, model.source, model.alias) == ("demo", "built in", "demo")
    assert recipe_for(model, model.sampler) == recipe_for(find(made["nested"]), SamplerChoice())
    rows = {row.name: row for row in list_models()}
    assert rows["demo"].on_disk
    assert rows["demo"].resolution == 16
    assert not rows["demo-ldm"].on_disk


# Recipes


def test_each_sampler_has_only_the_fields_that_bear_on_it(made):
    model = find(made["nested"])
    used = {
        name: set(json.loads(recipe_for(model, SamplerChoice(name)).canonical()))
        - {"weights", "sampler", "sampler_version", "dtype", "tf32"}
        for name in METHODS
    }
    assert used == {
        "one-step": set(),
        "ddim": {"steps", "eta", "clip", "final_alpha"},
        "ddpm": {"steps", "clip", "variance", "final_alpha"},
        "pndm": {"steps", "final_alpha"},
        "plms": {"steps", "final_alpha"},
        "heun": {"steps", "final_alpha"},
        "dpmpp-2m": {"steps", "final_alpha"},
    }


def test_one_step_is_one_recipe_under_every_setting_of_a_chain(made):
    model = find(made["nested"])
    recipes = {
        recipe_for(model, SamplerChoice("one-step", steps, eta, clip)).digest
        for steps in (10, 50) for eta in (0.0, 1.0) for clip in (None, True, False)
    }  # fmt: skip
    assert len(recipes) == 1


@pytest.mark.parametrize(
    ("config", "choice", "clip"),
    [
        ({"_class_name": "DDPMScheduler"}, SamplerChoice("ddim"), 1.0),
        ({"_class_name": "DDIMScheduler", "clip_sample": False}, SamplerChoice("ddim"), None),
        ({"_class_name": "DDPMScheduler", "clip_sample_range": 2.0}, SamplerChoice("ddpm"), 2.0),
        ({"_class_name": "DDPMScheduler"}, SamplerChoice("ddpm", clip=False), None),
        ({"_class_name": "DDIMScheduler", "clip_sample": False},
         SamplerChoice("ddim", clip=True), 1.0),
        ({"_class_name": "DDPMScheduler"}, SamplerChoice("pndm"), None),
    ],
)  # fmt: skip
def test_clipping_is_the_configurations_unless_asked_for(made, config, choice, clip):
    assert recipe_for(scheduled(made["nested"], **config), choice).clip == clip


def test_latents_are_not_clipped_by_a_default_their_scheduler_does_not_know(made):
    config = {"_class_name": "PNDMScheduler"}
    assert recipe_for(scheduled(made["vq"], **config), SamplerChoice("ddim")).clip is None
    assert recipe_for(scheduled(made["nested"], **config), SamplerChoice("ddim")).clip == 1.0


@pytest.mark.parametrize("sampler", ["pndm", "plms", "heun", "dpmpp-2m"])
def test_samplers_that_cannot_clip_say_so(made, sampler):
    with pytest.raises(UsageError, match=f"{sampler} cannot clip"):
        recipe_for(find(made["nested"]), SamplerChoice(sampler, clip=True))


def test_dynamic_thresholding_is_taken_unless_clipping_is_settled(made):
    model = scheduled(made["nested"], _class_name="DDPMScheduler", thresholding=True)
    assert recipe_for(model, SamplerChoice("ddim")).threshold == 0.995
    assert recipe_for(model, SamplerChoice("ddim", clip=False)).clip is None
    assert recipe_for(model, SamplerChoice("one-step"))


@pytest.mark.parametrize("source", ["DDPMScheduler", "DDIMScheduler", "PNDMScheduler"])
@pytest.mark.parametrize("written", [{}, {"set_alpha_to_one": True}, {"set_alpha_to_one": False}])
@pytest.mark.parametrize("sampler", ["ddim", "pndm"])
def test_chains_end_where_diffusers_ends_them(made, source, written, sampler):
    import diffusers

    if source == "DDPMScheduler" and written:
        return
    target = {"ddim": "DDIMScheduler", "pndm": "PNDMScheduler"}[sampler]
    config = {"_class_name": source, **written}
    scheduler = getattr(diffusers, target).from_config(config)
    recipe = recipe_for(scheduled(made["nested"], **config), SamplerChoice(sampler))
    ends_at_one = float(scheduler.final_alpha_cumprod) == 1.0
    assert recipe.final_alpha == ("one" if ends_at_one else "first")


def test_ddpm_takes_its_variance_from_the_configuration(made):
    def variance(**config):
        model = scheduled(made["nested"], _class_name="DDPMScheduler", **config)
        return recipe_for(model, SamplerChoice("ddpm")).variance

    assert variance() == "fixed_small"
    assert variance(variance_type="fixed_large_log") == "fixed_large"
    assert variance(variance_type="learned_range") == "learned_range"
    with pytest.raises(ModelError, match="'learned'"):
        variance(variance_type="learned")


def test_steps_eta_dtype_and_tf32_change_the_recipe(made):
    model = find(made["nested"])
    base = recipe_for(model, SamplerChoice())
    others = [
        recipe_for(model, SamplerChoice(steps=20)),
        recipe_for(model, SamplerChoice(eta=0.5)),
        recipe_for(model, SamplerChoice(), dtype="bfloat16"),
        recipe_for(model, SamplerChoice(), tf32=True),
    ]
    assert len({recipe.digest for recipe in [base, *others]}) == 5


def test_two_folders_of_one_name_share_a_space_but_no_recipe(tmp_path):
    folders = [pipelines.tiny_pixel(tmp_path / str(seed) / "net", seed=seed) for seed in (1, 2)]
    models = [find(folder) for folder in folders]
    recipes = [recipe_for(model, model.sampler) for model in models]
    assert models[0].folder_name == models[1].folder_name
    assert recipes[0].name != recipes[1].name


def test_retrained_weights_in_the_same_folder_are_another_recipe(copy):
    weights = copy / "unet/diffusion_pytorch_model.safetensors"
    pipelines.age(weights)
    before = recipe_for(find(copy), SamplerChoice())
    pipelines.save_part(pipelines.tiny_unet(seed=9), copy / "unet")
    assert recipe_for(find(copy), SamplerChoice()).weights != before.weights


def test_what_the_network_predicts_is_part_of_the_recipe(copy):
    before = recipe_for(find(copy), SamplerChoice("one-step"))
    pipelines.edit_json(copy / "scheduler/scheduler_config.json", prediction_type="sample")
    assert recipe_for(find(copy), SamplerChoice("one-step")).digest != before.digest


def test_a_renamed_folder_keeps_its_recipe(copy):
    before = recipe_for(find(copy), SamplerChoice())
    assert recipe_for(find(copy.rename(copy.parent / "renamed")), SamplerChoice()) == before


def test_a_model_without_weights_on_this_disk_has_no_recipe():
    with pytest.raises(ModelError, match="not on this disk"):
        recipe_for(find_model("ddim", weights=False), SamplerChoice())


def test_finding_and_naming_a_model_loads_neither_torch_nor_diffusers(made, tmp_path):
    code = (
        "import sys\n"
        "from nca_cli.models import find_model, recipe_for, list_models\n"
        "for name in sys.argv[1:]:\n"
        "    model = find_model(name); recipe_for(model, model.sampler)\n"
        "list_models()\n"
        "heavy = {'torch', 'diffusers', 'huggingface_hub.hf_api', 'skimage', 'matplotlib'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    names = [str(made["flat"]), str(made["vq"]), "wiener"]
    settings = {"PYTHONPATH": str(ROOT), "HF_HOME": str(tmp_path)}
    run = [sys.executable, "-c", code, *names]
    assert subprocess.check_output(run, text=True, env={**os.environ, **settings}) == "[]\n"


# Denoisers


def sample(model, count=3, seed=0):
    import torch

    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, *model.space.shape, generator=generator)


def tables(model, ts):
    """a and s of the levels `ts`, float64 (B, 1, 1, 1)."""
    import torch

    levels = [model.space.schedule.level(t) for t in ts]
    shape = (-1, 1, 1, 1)
    a = torch.tensor([level.a for level in levels], dtype=torch.float64).view(shape)
    return a, torch.tensor([level.s for level in levels], dtype=torch.float64).view(shape)


FORMULAS = {
    "epsilon": lambda x, out, a, s: (x - s * out) / a,
    "v_prediction": lambda x, out, a, s: a * x - s * out,
    "sample": lambda x, out, a, s: out,
}
LEVELS = (0, 321, 999)


@pytest.mark.parametrize("prediction", sorted(FORMULAS))
@pytest.mark.parametrize("learned", [False, True])
def test_a_denoiser_is_the_network_and_the_formula_of_its_prediction(tmp_path, prediction, learned):
    import torch
    from diffusers import UNet2DModel

    folder = pipelines.tiny_pixel(
        tmp_path / "net", prediction_type=prediction, learned_variance=learned
    )
    model = find(folder)
    x, t = sample(model), torch.tensor(LEVELS)
    answer = load_denoiser(model, device="cpu")(x, t)
    network = UNet2DModel.from_pretrained(folder / "unet", low_cpu_mem_usage=False).eval()
    with torch.no_grad():
        output = torch.cat([network(x[i : i + 1], t[i]).sample for i in range(3)])
    expected = FORMULAS[prediction](x.double(), output[:, :3].double(), *tables(model, LEVELS))
    assert answer.x0.dtype == torch.float32
    assert answer.x0.is_contiguous()
    torch.testing.assert_close(answer.x0.double(), expected, rtol=2e-5, atol=2e-5)
    if learned:
        torch.testing.assert_close(answer.variance, output[:, 3:], rtol=1e-4, atol=1e-5)
    else:
        assert answer.variance is None


@pytest.mark.parametrize("scheduler", ["DDPMScheduler", "DDIMScheduler"])
def test_one_step_equals_the_clean_image_of_diffusers_schedulers(tmp_path, scheduler):
    import diffusers
    import torch

    folder = pipelines.tiny_pixel(tmp_path / "net", scheduler=scheduler, clip_sample=False)
    model = find(folder)
    x = sample(model, 1)
    x0 = load_denoiser(model, device="cpu")(x, torch.tensor([500])).x0
    network = diffusers.UNet2DModel.from_pretrained(folder / "unet", low_cpu_mem_usage=False)
    theirs = getattr(diffusers, scheduler).from_pretrained(folder / "scheduler")
    theirs.set_timesteps(1000)
    with torch.no_grad():
        step = theirs.step(network(x, 500).sample, 500, x)
    torch.testing.assert_close(x0, step.pred_original_sample, rtol=1e-4, atol=1e-4)


def test_every_sample_has_its_own_level(made):
    import torch

    model = find(made["nested"])
    denoiser, x = load_denoiser(model, device="cpu"), sample(model)
    together = denoiser(x, torch.tensor(LEVELS)).x0
    for i, t in enumerate(LEVELS):
        alone = denoiser(x[i : i + 1], torch.tensor([t])).x0[0]
        torch.testing.assert_close(together[i], alone, rtol=1e-4, atol=1e-4)


def test_attention_names_of_2022_are_read_as_todays(tmp_path):
    import torch

    folders = [pipelines.tiny_pixel(tmp_path / str(old), old_attention_keys=old, weights="bin")
               for old in (False, True)]  # fmt: skip
    names = [set(torch.load(folder / "unet/diffusion_pytorch_model.bin")) for folder in folders]
    assert any(".query.weight" in name for name in names[1] - names[0])
    new, old = (load_denoiser(find(folder), device="cpu") for folder in folders)
    x, t = sample(find(folders[0])), torch.tensor(LEVELS)
    assert torch.equal(new(x, t).x0, old(x, t).x0)


def test_attention_names_of_2022_are_read_as_diffusers_reads_them(made):
    import torch
    from diffusers import UNet2DModel

    model = find(made["flat"])
    theirs = UNet2DModel.from_pretrained(
        made["flat"], use_safetensors=False, low_cpu_mem_usage=False
    )
    ours = load_denoiser(model, device="cpu")._network.state_dict()
    assert set(ours) == set(theirs.state_dict())
    assert all(torch.equal(ours[key], value) for key, value in theirs.state_dict().items())


def test_sharded_weights_are_joined(copy):
    import torch
    from diffusers import UNet2DModel

    model = find(copy)
    x, t = sample(model), torch.tensor(LEVELS)
    whole = load_denoiser(model, device="cpu")(x, t).x0
    network = UNet2DModel.from_pretrained(copy / "unet", low_cpu_mem_usage=False)
    (copy / "unet/diffusion_pytorch_model.safetensors").unlink()
    network.save_pretrained(copy / "unet", max_shard_size="20KB")
    shards = sorted((copy / "unet").glob("*-of-*.safetensors"))
    assert len(shards) > 1
    assert torch.equal(load_denoiser(find(copy), device="cpu")(x, t).x0, whole)
    shards[0].unlink()
    with pytest.raises(ModelError, match="is missing"):
        find(copy)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_takes_and_gives_float32_and_is_close(made, dtype):
    import torch

    model = find(made["nested"])
    x, t = sample(model), torch.tensor((10, 200, 500))
    exact = load_denoiser(model, device="cpu")(x, t).x0
    half = load_denoiser(model, device="cpu", dtype=dtype)(x, t).x0
    assert half.dtype == torch.float32
    assert not torch.equal(half, exact)
    torch.testing.assert_close(half, exact, rtol=0.02, atol=0.02)


def test_a_denoiser_says_what_it_is_and_notes_a_pickle(made):
    denoiser = load_denoiser(find(made["flat"]), device="cpu")
    assert denoiser.shape == (3, 16, 16)
    assert denoiser.device.type == "cpu"
    assert len(denoiser.notes) == 1
    assert "pickle" in denoiser.notes[0]
    assert load_denoiser(find(made["nested"]), device="cpu").notes == []


def test_tf32_is_set_for_the_call_alone(made, monkeypatch):
    import torch

    for wanted in (False, True):
        model = find(made["nested"])
        denoiser, seen = load_denoiser(model, device="cpu", tf32=wanted), []
        original = denoiser._network.forward
        settings = (torch.backends.cuda.matmul, torch.backends.cudnn)

        def forward(*arguments, seen=seen, original=original, settings=settings):
            seen.append([setting.allow_tf32 for setting in settings])
            return original(*arguments)

        monkeypatch.setattr(denoiser._network, "forward", forward)
        before = [setting.allow_tf32 for setting in settings]
        denoiser(sample(model, 1), torch.tensor([5]))
        assert seen == [[wanted, wanted]]
        assert [setting.allow_tf32 for setting in settings] == before


# Autoencoders


@pytest.mark.parametrize("kind", ["vq", "kl"])
def test_an_autoencoder_equals_diffusers_encode_and_decode(made, kind):
    import diffusers
    import torch

    model = find(made[kind])
    ours = load_autoencoder(model, device="cpu")
    pixels = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    cls, part = (diffusers.VQModel, "vqvae") if kind == "vq" else (diffusers.AutoencoderKL, "vae")
    theirs = cls.from_pretrained(
        made[kind], subfolder=part, low_cpu_mem_usage=False, use_safetensors=kind == "kl"
    )
    with torch.no_grad():
        encoded = theirs.encode(pixels)
        z = encoded.latents if kind == "vq" else encoded.latent_dist.mode()
        decoded = theirs.decode(z).sample
    scale = model.space.latent_scale
    assert scale == (1.0 if kind == "vq" else 0.5)
    torch.testing.assert_close(ours.encode(pixels), z * scale, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(ours.decode(z * scale), decoded, rtol=1e-4, atol=1e-5)
    assert ours.encode(pixels).shape[1:] == ours.shape == model.space.shape


def test_a_pixel_model_has_no_autoencoder(made):
    with pytest.raises(ModelError, match="no autoencoder"):
        load_autoencoder(find(made["nested"]), device="cpu")


# What is refused, in one clear line


def assert_refused(action, *words):
    with pytest.raises(NcaError) as caught:
        action()
    text = f"{caught.value} {caught.value.hint or ''}"
    assert "\n" not in text
    assert len(caught.value.what) < 450
    for word in words:
        assert word in text


def assert_loading_refused(folder, *words):
    """The configurations are fine, loading the weights is refused."""
    model = find(folder)
    assert_refused(lambda: load_denoiser(model, device="cpu"), *words)


class Malicious:
    """A pickle that would make a file when it is loaded."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.mark.parametrize("how", ["torch", "plain"])
def test_code_in_a_pickle_is_never_run(tmp_path, how):
    import torch

    folder, trace = pipelines.like_celebahq(tmp_path / "net"), tmp_path / "executed"
    weights = folder / "diffusion_pytorch_model.bin"
    table = {"conv_in.weight": Malicious(trace)}
    if how == "torch":
        torch.save(table, weights)
    else:
        weights.write_bytes(pickle.dumps(table))
    assert_loading_refused(folder, weights.name, "no code in it was run")
    assert not trace.exists()


@pytest.mark.parametrize("kept", [0, 7, 1000, -100])
@pytest.mark.parametrize("suffix", ["safetensors", "bin"])
def test_truncated_weights_are_named(tmp_path, suffix, kept):
    folder = pipelines.tiny_pixel(tmp_path / "net", weights=suffix)
    file = folder / "unet" / f"diffusion_pytorch_model.{suffix}"
    file.write_bytes(file.read_bytes()[:kept])
    assert_loading_refused(folder, file.name, "empty" if kept == 0 else "damaged")


def rewrite(folder, change):
    """Change the table of weights of a nested pipeline."""
    from safetensors.torch import load_file, save_file

    file = folder / "unet/diffusion_pytorch_model.safetensors"
    table = load_file(file)
    change(table)
    save_file(table, file)


def test_a_null_in_place_of_a_count_is_named(copy):
    path = copy / "unet/config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"in_channels": None}))
    assert_refused(lambda: find(copy), "in_channels None", "whole number")


def test_missing_and_misshapen_weights_are_named(copy):
    rewrite(copy, lambda table: table.pop("conv_in.bias"))
    assert_loading_refused(copy, "lacks conv_in.bias")
    rewrite(copy, lambda table: table.update({"conv_in.bias": table["conv_out.bias"].clone()}))
    assert_loading_refused(copy, "conv_in.bias is (3,), not (8,)")


def test_tensors_without_a_place_in_the_network_are_left_out_with_a_note(copy, made):
    import torch

    rewrite(copy, lambda table: table.update({"extra": table["conv_out.bias"].clone()}))
    model, t = find(copy), torch.tensor(LEVELS)
    denoiser, plain = (load_denoiser(item, device="cpu") for item in (model, find(made["nested"])))
    assert len(denoiser.notes) == 1
    assert denoiser.notes[0].endswith("left out: extra")
    assert torch.equal(denoiser(sample(model), t).x0, plain(sample(model), t).x0)


def test_a_git_lfs_pointer_is_called_what_it_is(copy):
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"
    (copy / "unet/diffusion_pytorch_model.safetensors").write_text(pointer)
    assert_loading_refused(copy, "Git LFS pointer", "git lfs pull")


@pytest.mark.parametrize(
    ("file", "change", "words"),
    [
        ("unet/config.json", {"_class_name": "UNet2DConditionModel"}, ["UNet2DConditionModel"]),
        ("unet/config.json", {"class_embed_type": "timestep"}, ["class_embed_type", "timestep"]),
        ("unet/config.json", {"sample_size": [16, 32, 64]}, ["sample_size", "[height"]),
        ("unet/config.json", {"sample_size": None}, ["sample_size"]),
        ("unet/config.json", {"sample_size": {}}, ["sample_size"]),
        ("unet/config.json", {"sample_size": [[]]}, ["sample_size"]),
        ("unet/config.json", {"in_channels": "three"}, ["in_channels 'three'", "whole number"]),
        ("unet/config.json", {"num_class_embeds": "x"}, ["num_class_embeds 'x'"]),
        ("unet/config.json", {"in_channels": 4, "out_channels": 4}, ["4 channels"]),
        ("unet/config.json", {"out_channels": 5}, ["3 channels into 5"]),
        ("model_index.json", {"unet": ["diffusers", "UNet3DConditionModel"]}, ["UNet3D"]),
        ("model_index.json", {"unet": None, "_class_name": "FluxPipeline"}, ["FluxPipeline"]),
        ("model_index.json", {"vae": ["diffusers", "AutoencoderTiny"]}, ["AutoencoderTiny"]),
        ("model_index.json", {"vae": ["diffusers", "AutoencoderKL"]}, ["vae/config.json"]),
        ("scheduler/scheduler_config.json", {"_class_name": "FlowMatchEulerDiscreteScheduler"},
         ["FlowMatchEulerDiscreteScheduler"]),
        ("scheduler/scheduler_config.json", {"beta_schedule": "laplace"}, ["'laplace'"]),
        ("scheduler/scheduler_config.json", {"prediction_type": "flow"}, ["'flow'"]),
    ],
)  # fmt: skip
def test_what_nca_cannot_run_is_named(copy, file, change, words):
    pipelines.edit_json(copy / file, **change)
    assert_refused(lambda: find(copy), *words)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"beta_end": "x"}, ["DDPMScheduler has beta_end 'x'", "no number"]),
        ({"beta_start": None}, ["beta_start None"]),
        ({"beta_end": float("nan")}, ["beta_end nan"]),
        ({"beta_start": 2, "beta_end": 3}, ["between 0 and 1"]),
        ({"beta_start": 0.0}, ["between 0 and 1"]),
        ({"trained_betas": "0.1, 0.2"}, ["trained_betas", "no list"]),
        ({"trained_betas": [0.1, "x"], "num_train_timesteps": 2}, ["no list of numbers"]),
        ({"trained_betas": [0.1] * 9}, ["9 trained_betas and 1000 num_train_timesteps"]),
        ({"trained_betas": [0.1, 1.5], "num_train_timesteps": 2}, ["between 0 and 1"]),
        ({"num_train_timesteps": 10**12}, ["num_train_timesteps 1000000000000", "1 to 1000000"]),
        ({"num_train_timesteps": 0}, ["num_train_timesteps 0"]),
        ({"num_train_timesteps": 1, "rescale_betas_zero_snr": True}, ["no number"]),
        ({"clip_sample_range": "x"}, ["clip_sample_range 'x'"]),
        ({"_class_name": "ScoreSdeVeScheduler", "sigma_max": []}, ["sigma_max []"]),
        ({"_class_name": "FlowMatchEulerDiscreteScheduler", "shift": "3x"}, ["shift '3x'"]),
    ],
)
def test_numbers_that_make_no_schedule_are_named(copy, change, words):
    path = copy / "scheduler/scheduler_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))  # a null is written as one
    assert_refused(lambda: find(copy), *words)


def test_a_latent_scale_that_diffusers_wrote_into_a_copy_is_noted(made, tmp_path):
    import diffusers

    copy = tmp_path / "copy"
    shutil.copytree(made["vq"], copy)
    assert "scale" not in " ".join(load_denoiser(find(copy), device="cpu").notes)
    diffusers.VQModel.from_pretrained(copy / "vqvae").save_pretrained(copy / "vqvae")
    *_, note = load_denoiser(find(copy), device="cpu").notes
    assert "latent scale 0.18215" in note
    assert "set scaling_factor to 1" in note


def test_numbers_of_an_autoencoder_are_looked_at(made, tmp_path):
    folder = tmp_path / "latent"
    shutil.copytree(made["vq"], folder)
    for change, word in (({"scaling_factor": "x"}, "scaling_factor 'x'"),
                         ({"scaling_factor": 1, "in_channels": {}}, "in_channels {}"),
                         ({"in_channels": 3, "block_out_channels": 8}, "no list")):  # fmt: skip
        pipelines.edit_json(folder / "vqvae/config.json", **change)
        assert_refused(lambda: find(folder), "VQModel", word)


def test_a_learned_variance_needs_a_network_that_gives_it(copy):
    pipelines.edit_json(copy / "scheduler/scheduler_config.json", variance_type="learned_range")
    assert_loading_refused(copy, "learned variance")


def test_broken_configurations_are_named(copy):
    (copy / "unet/config.json").write_text("{")
    assert_refused(lambda: find(copy), "unet/config.json", "JSON")
    (copy / "unet/config.json").write_text("[]")
    assert_refused(lambda: find(copy), "unet/config.json")
    (copy / "unet/config.json").unlink()
    assert_refused(lambda: find(copy), "config.json is missing")
    (copy / "model_index.json").unlink()
    assert_refused(
        lambda: find(copy), "not a diffusers pipeline (no model_index.json or config.json)"
    )


def test_a_configuration_that_describes_no_network_is_named(copy):
    pipelines.edit_json(copy / "unet/config.json", down_block_types=["NoSuchBlock"] * 2)
    assert_loading_refused(copy, "NoSuchBlock", "config.json")


def test_names_that_mean_nothing_get_a_hint(tmp_path):
    assert_refused(lambda: find_model("dimm"), "did you mean ddim?")
    assert_refused(lambda: find_model("quite-another"), "built-in names")
    assert_refused(lambda: find_model("../nowhere"), "no such folder")
    file = tmp_path / "model.ckpt"
    file.write_bytes(b"")
    assert_refused(lambda: find_model(str(file)), "is a file")


def test_devices_that_are_not_there_are_refused():
    import torch

    assert pick_device("cpu") == "cpu"
    assert pick_device("auto") in ("cpu", "cuda", "mps")
    assert_refused(lambda: pick_device("quantum"), "unknown device")
    count = torch.cuda.device_count()
    assert_refused(lambda: pick_device(f"cuda:{count}"), f"no device cuda:{count}")
