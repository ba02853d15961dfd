"""Files as trainings leave them: wrappers' names, moving averages, variants, optimizers' states."""

from __future__ import annotations

import argparse
import json
import shutil
from itertools import pairwise

import pipelines
import pytest
from adm_reference import P2, random_adm
from typer.testing import CliRunner

from nca_cli.cli import app
from nca_cli.errors import ModelError, UsageError
from nca_cli.models import find_model, load_autoencoder, load_denoiser, recipe_for
from nca_cli.models.reading import FileChoice
from nca_cli.models.tables import NoTable, weights_in
from nca_cli.store import Store

SMALL = {"num_channels": 32, "channel_mult": (1, 1), "image_size": 8, "num_res_blocks": 1,
         "attention_resolutions": (4,), "num_head_channels": 32}  # fmt: skip
STEM = pipelines.STEM
LEVELS = (0, 250, 500, 999)

pytestmark = pytest.mark.usefixtures("one_thread", "own_cache")


def flags(file, **given):
    """The TOML beside a checkpoint."""
    text = {key: list(value) if isinstance(value, tuple) else value for key, value in given.items()}
    lines = (f"{key} = {json.dumps(value)}" for key, value in text.items())
    file.with_suffix(".toml").write_text("\n".join(lines))


def saved(folder, value, **given):
    """A file of whatever a training saves, with its flags. The name that --model takes."""
    import torch

    torch.save(value, folder / "net.pt")
    flags(folder / "net.pt", **SMALL, **given)
    return f"adm:{folder / 'net.pt'}"


def answers(name, channels=3, told=None):
    """x̂0 of a model at four levels from one x, and the notes of its loading."""
    import torch

    model = find_model(name, **({"told": told} if told else {}))
    denoiser = load_denoiser(model, device="cpu")
    side = model.space.shape[1]
    x = torch.randn(4, channels, side, side, generator=torch.Generator().manual_seed(1))
    return denoiser(x, torch.tensor(LEVELS)).x0, denoiser.notes


def prefixed(table, prefix):
    return {f"{prefix}{key}": value for key, value in table.items()}


def refused(action, *words):
    with pytest.raises((ModelError, UsageError)) as caught:
        action()
    line = f"{caught.value} {caught.value.hint or ''}"
    assert "\n" not in line
    for word in words:
        assert word in line, line


@pytest.fixture(scope="module")
def networks():
    """A network, and its moving average."""
    return random_adm(0, **P2 | SMALL), random_adm(1, **P2 | SMALL)


# -- names that wrappers put before ----------------------------------------------------------------


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "module._orig_mod.", "model."])
def test_names_of_wrappers_are_taken_off(prefix, networks, tmp_path):
    table = networks[0].state_dict()
    (tmp_path / "wrapped").mkdir()
    plain = answers(saved(tmp_path, table))[0]
    assert answers(saved(tmp_path / "wrapped", prefixed(table, prefix)))[0].equal(plain)


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod."])
def test_names_of_wrappers_are_taken_off_weights_in_folders(prefix, pixel_pipeline, tmp_path):
    from safetensors.torch import load_file, save_file

    copy = tmp_path / "copy"
    shutil.copytree(pixel_pipeline, copy)
    file = copy / "unet" / f"{STEM}.safetensors"
    save_file(prefixed(load_file(file), prefix), file)
    assert answers(str(copy))[0].equal(answers(str(pixel_pipeline))[0])


# -- which of several tables -----------------------------------------------------------------------


def with_buffers(table):
    """As a state_dict lists what its optimiser does not train, somewhere between."""
    import torch

    names = list(table)
    found = {}
    for name in names:
        found[name] = table[name]
        if name == names[3]:
            found["sigmas"] = torch.ones(7)
    return found


FILES = {
    "ema": lambda net, ema: {"model": net, "ema": ema, "opt": {"state": {}, "param_groups": []}},
    "model_ema": lambda net, ema: {"model": net, "model_ema": ema, "step": 3},
    "state_dict_ema": lambda net, ema: {"state_dict": net, "state_dict_ema": ema},
    "ema_model of lucidrains": lambda net, ema: {
        "step": 5, "model": prefixed(net, "online_model."),
        "ema": prefixed(net, "online_model.") | prefixed(ema, "ema_model."), "version": "1",
    },
    "ema_model, flat": lambda net, ema: (
        prefixed(net, "online_model.") | prefixed(ema, "ema_model.")),
    "ema, DDP": lambda net, ema: {
        "model": prefixed(net, "module."), "ema": prefixed(ema, "module.")},
    "shadow parameters": lambda net, ema: {
        "optimizer": {}, "model": net, "ema": {"decay": 0.9, "num_updates": 1,
                                              "shadow_params": list(ema.values())},
    },
    "options beside": lambda net, ema: {"ema": ema, "args": argparse.Namespace(lr=1e-4)},
}  # fmt: skip


@pytest.mark.parametrize("kind", FILES)
def test_the_moving_average_in_a_file_is_found_and_said(kind, networks, tmp_path):
    net, ema = (network.state_dict() for network in networks)
    (tmp_path / "plain").mkdir()
    expected = answers(saved(tmp_path / "plain", ema))[0]
    found, notes = answers(saved(tmp_path, FILES[kind](net, ema)))
    assert found.equal(expected)
    assert any("moving average of training" in note for note in notes), notes


def test_without_a_moving_average_the_last_step_is_taken_and_said(networks, tmp_path):
    net = networks[0].state_dict()
    found, notes = answers(saved(tmp_path, {"model": net, "step": 7}))
    assert any("of the last step (model)" in note for note in notes)
    (tmp_path / "plain").mkdir()
    expected, notes = answers(saved(tmp_path / "plain", net))
    assert found.equal(expected)
    assert not notes


def test_a_list_of_parameters_follows_the_names_of_the_network_beside_it():
    import torch

    net = {"a": torch.zeros(2), "count": torch.zeros(()), "b": torch.zeros(3), "c": torch.zeros(2)}
    shadow = [torch.full((2,), 1.0), torch.full((3,), 2.0), torch.full((2,), 3.0)]
    found = weights_in({"model": net, "ema": {"shadow_params": shadow}}).tensors
    assert {key: float(value.sum()) for key, value in found.items()} == {
        "a": 2, "count": 0, "b": 6, "c": 6}  # fmt: skip


@pytest.mark.parametrize("shadow", [[2], [2, 2, 2, 2], [3, 2]])
def test_a_list_that_fits_in_several_ways_or_none_is_refused(shadow):
    import torch

    net = {"a": torch.zeros(2), "b": torch.zeros(2), "c": torch.zeros(3)}
    with pytest.raises(NoTable, match="without names"):
        weights_in({"model": net, "ema": {"shadow_params": [torch.zeros(n) for n in shadow]}})


def test_a_state_dict_beside_its_average_is_another_identity_than_it_was(networks, tmp_path):
    """Its last weights were taken once: a store never mixes them with the average's."""
    net = networks[0].state_dict()
    model = find_model(saved(tmp_path, {"state_dict": net, "state_dict_ema": net}))
    assert model.revision != f"adm-{_key_without_average(model.origin)}"
    alone = find_model(saved(tmp_path, {"state_dict": net}))
    assert alone.revision == f"adm-{_key_without_average(alone.origin)}"


def _key_without_average(origin):
    from nca_cli.models.checkpoints.file import CONVERSION, find_checkpoint
    from nca_cli.models.digests import file_digest
    from nca_cli.recipe import digest

    found = find_checkpoint(origin.named)
    return digest(["adm", CONVERSION, file_digest(found.file), found.config.identity()])


def test_the_state_of_an_optimizer_is_told_from_the_model(networks, tmp_path):
    import torch

    for name in ("opt000500", "ema_0.9999_000500", "model000500"):
        file = tmp_path / f"{name}.pt"
        held = {"state": {}, "param_groups": []} if name.startswith("opt") else {}
        torch.save(held, file)
        flags(file, **SMALL)
    opt = tmp_path / "opt000500.pt"
    words = ("state of an optimizer", "the model lies in ema_0.9999_000500.pt")
    refused(lambda: load_denoiser(find_model(f"adm:{opt}"), device="cpu"), *words)
    (tmp_path / "ema_0.9999_000500.pt").unlink()
    refused(lambda: load_denoiser(find_model(f"adm:{opt}"), device="cpu"), "in model000500.pt")


def test_a_lora_is_refused_by_name(networks, tmp_path):
    import torch

    keys = ("unet.down.to_k.lora.down.weight", "lora_unet_x.lora_up.weight", "a.lora_A.weight")
    for key in keys:
        name = saved(tmp_path, {key: torch.zeros(1)})
        refused(lambda name=name: load_denoiser(find_model(name), device="cpu"), "is a LoRA", key)
    folder = tmp_path / "checkpoint-5"
    folder.mkdir()
    (folder / "pytorch_lora_weights.safetensors").touch()
    refused(lambda: find_model(str(folder)), "is a LoRA", "fuse_lora")


# -- improved-diffusion ----------------------------------------------------------------------------

IMPROVED = SMALL | {"in_channels": 1, "diffusion_steps": 4000, "noise_schedule": "cosine",
                    "resblock_updown": False, "learn_sigma": True, "num_head_channels": -1,
                    "num_heads": 4}  # fmt: skip


@pytest.mark.parametrize("rescaled", [True, False])
def test_a_grey_network_of_4000_cosine_steps_hears_the_time_that_it_was_trained_with(
    rescaled, tmp_path
):
    import math

    import torch

    network = random_adm(**P2 | IMPROVED, channels=1)
    torch.save(network.state_dict(), tmp_path / "net.pt")
    flags(tmp_path / "net.pt", **IMPROVED, rescale_timesteps=rescaled)
    model = find_model(f"adm:{tmp_path / 'net.pt'}")
    assert (model.space.shape, model.space.channels) == ((1, 8, 8), 1)
    denoiser, t = load_denoiser(model, device="cpu"), torch.tensor([0, 1000, 2001, 3900])
    x = torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        output = network(x, t * 1000 / 4000 if rescaled else t)
    f = [math.cos((i / 4000 + 0.008) / 1.008 * math.pi / 2) ** 2 for i in range(4001)]
    bars = torch.cumprod(torch.tensor([max(b / a, 0.001) for a, b in pairwise(f)],
                                      dtype=torch.float64), 0)[t].view(-1, 1, 1, 1)  # fmt: skip
    expected = (x - (1 - bars).sqrt() * output[:, :1]) / bars.sqrt()
    found = denoiser(x, t)
    error = (found.x0 - expected).flatten(1).norm(dim=1) / expected.flatten(1).norm(dim=1)
    assert error.max() < 1e-5
    assert (found.variance - output[:, 1:]).abs().max() < 1e-4


def test_4000_steps_without_a_word_on_their_time_are_asked_about(tmp_path):
    import torch

    torch.save({}, tmp_path / "net.pt")
    flags(tmp_path / "net.pt", **IMPROVED)
    refused(lambda: find_model(f"adm:{tmp_path / 'net.pt'}"), "4000", "rescale_timesteps",
            "improved-diffusion: true")  # fmt: skip


def test_show_tells_what_no_tensor_reveals(faces, networks, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name = saved(tmp_path, networks[0].state_dict(), predict_xstart=True)
    command = ["reconstruct", str(faces / "anna.png"), "--model", name, "--t", "500"]
    run = CliRunner().invoke(app, [*command, "--sampler", "one-step"])
    assert run.exit_code == 0, run.output
    made = next(each for each in Store(tmp_path / "nca-store").select() if not each.is_noise)
    shown = CliRunner().invoke(app, ["show", f"{made.model}/{made.image}/{made.name}"])
    assert "predict_xstart True" in " ".join(shown.output.split())
    told = made.model_info["silent"]
    assert told["rescale_timesteps"] is False
    assert told["noise_schedule"] == "linear"


# -- folders of diffusers --------------------------------------------------------------------------


def bare(pipeline, folder, name="unet_ema"):
    """The network of a pipeline alone, as a training leaves it. Its folder."""
    shutil.copytree(pipeline / "unet", folder / "checkpoint-5" / name)
    return folder / "checkpoint-5" / name


@pytest.mark.parametrize("what", ["file", "folder", "folder above"])
def test_a_network_alone_takes_the_scheduler_that_is_named(what, pixel_pipeline, tmp_path):
    network = bare(pixel_pipeline, tmp_path)
    refused(lambda: find_model(str(network)), "--scheduler FILE")
    scheduler = pixel_pipeline / "scheduler"
    given = {"file": scheduler / "scheduler_config.json", "folder": scheduler,
             "folder above": pixel_pipeline}[what]  # fmt: skip
    told, whole = FileChoice(scheduler=given), find_model(str(pixel_pipeline))
    model = find_model(str(network), told=told)
    assert recipe_for(model, model.sampler) == recipe_for(whole, whole.sampler), "equal weights"
    assert answers(str(network), told=told)[0].equal(answers(str(pixel_pipeline))[0])
    refused(lambda: FileChoice(scheduler=tmp_path / "none.json"), "none.json", "no such file")


def test_a_scheduler_is_named_on_the_command_line(pixel_pipeline, faces, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run_folder = bare(pixel_pipeline, tmp_path, "unet").parent.parent
    scheduler = pixel_pipeline / "scheduler/scheduler_config.json"
    command = ["reconstruct", str(faces / "anna.png"), "--t", "500", "--sampler", "one-step"]
    for named in (["--model", "checkpoint-5/unet"], ["--run", f"mine={run_folder}/checkpoint-*"]):
        run = CliRunner().invoke(app, [*command, *named, "--scheduler", str(scheduler), "--json"])
        assert run.exit_code == 0, run.output
    run = CliRunner().invoke(app, [*command, "--model", "wiener", "--scheduler", str(scheduler)])
    assert run.exit_code == 2
    assert "--scheduler applies only to folders and hub models" in " ".join(run.output.split())


def renamed(pipeline, folder, *variants):
    """A copy of a pipeline whose weights are of variants alone. Its folder."""
    shutil.copytree(pipeline, folder)
    for file in sorted(folder.rglob("*.safetensors")):
        for variant in variants:
            shutil.copy(file, file.with_suffix(f".{variant}.safetensors"))
        file.unlink()
    return folder


def test_the_only_variant_is_taken_and_said(latent_pipeline, tmp_path):
    copy = renamed(latent_pipeline, tmp_path / "half", "fp16")
    found, notes = answers(str(copy))
    assert found.equal(answers(str(latent_pipeline))[0])
    assert [note for note in notes if "variant fp16" in note and "unet" in note]
    assert "variant fp16" in " ".join(load_autoencoder(find_model(str(copy)), device="cpu").notes)


def test_one_of_several_variants_is_named(pixel_pipeline, tmp_path):
    copy = renamed(pixel_pipeline, tmp_path / "both", "fp16", "non_ema")
    refused(lambda: find_model(str(copy)), "--variant fp16, --variant non_ema")
    model = find_model(str(copy), told=FileChoice("non_ema"))
    assert model.origin.pipeline(model).network.weights == (f"unet/{STEM}.non_ema.safetensors",)
    refused(lambda: find_model(str(copy), told=FileChoice("bf16")), "missing", "--variant fp16")
    refused(lambda: find_model(str(pixel_pipeline), told=FileChoice("bf16")), "of variant bf16")


@pytest.mark.parametrize("form", ["{}.fp16-{}.safetensors", "{}-{}.fp16.safetensors"])
def test_a_variant_in_shards(form, pixel_pipeline, tmp_path):
    from safetensors.torch import load_file, save_file

    copy = tmp_path / "copy"
    shutil.copytree(pixel_pipeline, copy)
    whole = copy / "unet" / f"{STEM}.safetensors"
    tensors = list(load_file(whole).items())
    whole.unlink()
    for number in (0, 1):
        name = form.format(STEM, f"{number + 1:05}-of-00002")
        save_file(dict(tensors[number::2]), copy / "unet" / name)
    (copy / "unet" / f"{STEM}.safetensors.index.fp16.json").write_text("{}")
    assert answers(str(copy))[0].equal(answers(str(pixel_pipeline))[0])


def test_a_variant_of_a_hub_model_is_other_weights_than_the_usual_ones(
    pixel_pipeline, tmp_path, monkeypatch
):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    commit, home = "a" * 40, tmp_path / "models--some--net"
    snapshot = home / "snapshots" / commit
    (home / "refs").mkdir(parents=True)
    (home / "refs/main").write_text(commit)
    renamed(pixel_pipeline, snapshot, "fp16")
    model = find_model("some/net", offline=True)
    assert model.origin.identity(model) == f"{commit}+unet.fp16"
    shutil.copy(pixel_pipeline / f"unet/{STEM}.safetensors", snapshot / "unet")
    assert find_model("some/net", offline=True).revision == commit
    assert find_model("some/net", offline=True, told=FileChoice("fp16")).revision != commit
