"""Unsafe and wrong files, through the program: one line each, and no code in them is run."""

from __future__ import annotations

import os
import pickle
import time
from pathlib import Path

import pipelines
import pytest
from adm_reference import P2, random_adm
from ldm_reference import random_first_stage, state_dict
from typer.testing import CliRunner

from nca_cli.cli import app

STEM = pipelines.STEM
KINDS = {"bin": f"net/unet/{STEM}.bin", "safetensors": f"net/unet/{STEM}.safetensors",
         "adm": "net.pt", "ldm": "net.ckpt"}  # fmt: skip
"""Where each kind of model keeps its weights."""
PICKLES = ("bin", "adm", "ldm")
UNET = {
    "image_size": 8, "num_channels": 32, "channel_mult": (1, 1), "num_res_blocks": 1,
    "attention_resolutions": (4,), "num_head_channels": 32,
}  # fmt: skip
LATENT = {"resblock_updown": False, "learn_sigma": False, "use_scale_shift_norm": False}
FIRST_STAGE = {"ch": 32, "ch_mult": (1, 1), "num_res_blocks": 1, "n_embed": 8, "resolution": 16}
TOML = {
    "adm": "image_size = 8\nnum_channels = 32\nchannel_mult = [1, 1]\nnum_res_blocks = 1\n"
    "attention_resolutions = [4]\nnum_head_channels = 32\n",
    "ldm": "image_size = 8\n[unet_config]\nmodel_channels = 32\nchannel_mult = [1, 1]\n"
    "num_res_blocks = 1\nattention_resolutions = [2]\n[first_stage_config]\nn_embed = 8\n"
    "[first_stage_config.ddconfig]\nch = 32\nch_mult = [1, 1]\nnum_res_blocks = 1\n",
}


@pytest.fixture(autouse=True)
def own_folder(tmp_path, faces, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NCA_CACHE", str(tmp_path / "nca-cache"))


def tensors(kind):
    """What a sound file of this kind holds."""
    if kind == "adm":
        return random_adm(**P2 | UNET).state_dict()
    if kind == "ldm":
        unet = random_adm(**P2 | UNET | LATENT)
        return state_dict(unet, random_first_stage(**FIRST_STAGE))
    return pipelines.tiny_unet().state_dict()


def model(kind):
    """A model in the working folder whose weights may be replaced. Its file, and its name."""
    import torch

    file = Path(KINDS[kind])
    if kind in TOML:
        torch.save(tensors(kind), file)
        file.with_suffix(".toml").write_text(TOML[kind])
        return file, f"{kind}:{file}"
    pipelines.tiny_pixel("net", weights=kind)
    return file, "./net"


def reconstruct(name):
    return CliRunner().invoke(
        app,
        ["reconstruct", "faces/anna.png", "--model", name, "--t", "500", "--sampler", "one-step"],
    )


def refusal(name):
    """The one line with which the program refuses a model."""
    run = reconstruct(name)
    assert run.exit_code == 1, run.output
    assert run.stdout == ""
    assert "unexpected" not in run.stderr
    lines = run.stderr.strip().splitlines()
    assert [line.partition(":")[0] for line in lines if line.startswith(("error", "Trace"))] == [
        "error"
    ]
    assert not list(Path("nca-store").rglob("one-step*.h5")), "nothing of it is stored"
    return " ".join(run.stderr.split())


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_file_unharmed_is_run(kind):
    run = reconstruct(model(kind)[1])
    assert run.exit_code == 0, run.output


class Touch:
    """A pickle that would make a file when it is loaded."""

    def __reduce__(self):
        return Path.touch, (Path("executed"),)


class Shell:
    def __reduce__(self):
        return os.system, ("touch executed",)


@pytest.mark.parametrize("kind", PICKLES)
@pytest.mark.parametrize("how", ["torch", "pickle"])
@pytest.mark.parametrize("payload", [Touch, Shell])
def test_a_pickle_that_would_execute(kind, how, payload):
    import torch

    file, name = model(kind)
    if how == "torch":
        torch.save({"state_dict": {"x": payload()}}, file)
    else:
        file.write_bytes(pickle.dumps({"x": payload()}))
    assert "no code in it was run" in refusal(name)
    assert not Path("executed").exists()


@pytest.mark.parametrize("kind", KINDS)
def test_an_empty_file(kind):
    file, name = model(kind)
    file.write_bytes(b"")
    assert f"{file.name} is empty" in refusal(name)


@pytest.mark.parametrize("kind", PICKLES)
@pytest.mark.parametrize("text", ["epoch,loss\n1,0.5\n", "<!DOCTYPE html><title>404</title>"])
def test_a_text_in_the_place_of_weights(kind, text):
    file, name = model(kind)
    file.write_text(text)
    line = refusal(name)
    assert f"{file.name} holds no weights: it begins" in line
    assert text[:5] in line


def test_a_text_in_the_place_of_safetensors():
    file, name = model("safetensors")
    file.write_text("epoch,loss\n1,0.5\n")
    assert f"{file.name} is damaged" in refusal(name)


@pytest.mark.parametrize("kind", KINDS)
def test_a_pointer_of_git_lfs(kind):
    file, name = model(kind)
    file.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    line = refusal(name)
    assert f"{file.name} is a Git LFS pointer" in line
    assert "git lfs pull" in line


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("kept", [30, 5000])
def test_a_truncated_file(kind, kept):
    file, name = model(kind)
    file.write_bytes(file.read_bytes()[:kept])
    line = refusal(name)
    assert file.name in line
    assert "damaged" in line


@pytest.mark.parametrize("kind", ["adm", "ldm"])
def test_a_folder_of_a_checkpoints_name(kind):
    file, name = model(kind)
    file.unlink()
    file.mkdir()
    assert f"{file.name} is a folder, not a checkpoint" in refusal(name)


@pytest.mark.parametrize("kind", ["adm", "ldm"])
def test_a_checkpoint_without_its_prefix(kind):
    file, _ = model(kind)
    line = refusal(f"./{file}")
    assert "is a file; nca needs the folder of a diffusers pipeline" in line
    assert f"--model {kind}:./{file}" in line


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("value", ["nan", "inf"])
def test_weights_that_are_no_numbers(kind, value):
    import torch
    from safetensors.torch import save_file

    file, name = model(kind)
    table = tensors(kind)
    key = next(key for key, tensor in reversed(table.items()) if tensor.ndim == 4)
    table[key][0, 0, 0, 0] = float(value)
    (save_file if kind == "safetensors" else torch.save)(table, file)
    line = refusal(name)
    assert file.name in line
    assert "holds values that are not finite" in line
    assert not list(Path("nca-cache").glob("*/*/unet")), "nothing of it is kept either"


@pytest.mark.parametrize("kind", KINDS)
def test_weights_of_another_architecture_by_the_first_key_and_shape(kind):
    import torch
    from safetensors.torch import save_file

    file, name = model(kind)
    table = tensors(kind)
    key = next(key for key, tensor in table.items() if tensor.ndim == 4)
    shape = tuple(table[key].shape)
    table[key] = table[key][:4].clone()
    (save_file if kind == "safetensors" else torch.save)(table, file)
    assert f"{key} is {(4, *shape[1:])}, not {shape}" in refusal(name)


@pytest.mark.parametrize("kind", PICKLES)
def test_tensors_a_level_deeper_are_no_damage(kind):
    import torch

    file, name = model(kind)
    torch.save({"weights": tensors(kind), "step": 3}, file)
    line = refusal(name)
    assert "is not a table of tensors: weights are none" in line
    assert "damaged" not in line
    assert "state_dict" in line


def test_weights_of_a_variant_alone_are_taken_and_said():
    file, name = model("safetensors")
    file.rename(file.with_suffix(".fp16.safetensors"))
    run = reconstruct(name)
    assert run.exit_code == 0, run.output
    assert "weights of its unet are the variant fp16" in " ".join(run.stderr.split())


def test_a_note_on_many_images_is_printed_once():
    from PIL import Image

    _, name = model("safetensors")
    for side in (1, 2, 3):  # three files of one size, 4×4, in other colours
        Image.new("RGB", (4, 4), (side, 0, 0)).save(f"faces/small-{side}.png")
    pictures = map(str, Path("faces").glob("small-*.png"))
    run = CliRunner().invoke(app, ["noise", *pictures, "-m", name])
    assert run.exit_code == 0, run.output
    assert " ".join(run.stderr.split()).count("is much smaller") == 1
    assert "(and 2 more images)" in " ".join(run.stderr.split())


def test_channels_past_those_of_any_network():
    file, name = model("adm")
    settings = TOML["adm"].replace("[1, 1]", "[1, 1e9]")
    file.with_suffix(".toml").write_text(settings)
    assert "channels are more than 65536" in refusal(name)


def test_a_configuration_that_names_an_unknown_class():
    _, name = model("safetensors")
    pipelines.edit_json("net/unet/config.json", _class_name="UNet9DModel")
    assert "is a UNet9DModel; nca runs UNet2DModel" in refusal(name)
    pipelines.edit_json("net/unet/config.json", _class_name="os.system")
    assert "is a os.system; nca runs UNet2DModel" in refusal(name)


@pytest.mark.parametrize("kind", PICKLES)
def test_a_zip_that_says_it_spans_several_disks(kind):
    """By the end of the zip alone, at which Python's own question whether it is one throws."""
    file, name = model(kind)
    content = bytearray(file.read_bytes())
    locator = content.rfind(b"PK\x06\x07")
    if locator < 0:  # torch writes one where it needs to; the last 22 bytes are the usual end
        locator = len(content) - 22
        content[locator:locator] = b"PK\x06\x07" + bytes(16)
    content[locator + 16 : locator + 20] = (7).to_bytes(4, "little")
    file.write_bytes(content)
    assert f"{file.name} is damaged" in refusal(name)


@pytest.mark.parametrize("line", [
    "num_res_blocks = 999999999999999999999", "num_res_blocks = 0x7fffffff", "num_channels = 1e99",
    "channel_mult = [1e300, 1]", f"channel_mult = {[1] * 100_000}", "image_size = 2147483647",
    f"attention_resolutions = [{'9' * 400}]", "num_heads = " + "[" * 10_000,
])  # fmt: skip
def test_flags_that_no_network_has_are_one_line_and_soon(line):
    file, name = model("adm")
    flags = [each for each in TOML["adm"].splitlines() if each.split()[0] != line.split()[0]]
    file.with_suffix(".toml").write_text("\n".join([*flags, line, ""]))
    began = time.process_time()
    assert "net.toml" in refusal(name)
    assert time.process_time() - began < 5
