"""What is said where a name, a number or a level is not what it seems."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pipelines
import pytest
from adm_reference import P2, random_adm
from stores import DDIM, commit
from typer.testing import CliRunner

import nca_cli
from nca_cli.cli import app
from nca_cli.errors import ModelError, UsageError
from nca_cli.models import find_model, load_denoiser
from nca_cli.models.checkpoints.kept import clear, converted
from nca_cli.sampler_choice import SamplerChoice
from nca_cli.store import Store

SMALL = {"num_channels": 32, "channel_mult": (1, 1), "image_size": 8, "num_res_blocks": 1,
         "attention_resolutions": (4,), "num_head_channels": 32}  # fmt: skip
TOML = ("image_size = 8\nnum_channels = 32\nchannel_mult = [1, 1]\nnum_res_blocks = 1\n"
        "attention_resolutions = [4]\nnum_head_channels = 32\n")  # fmt: skip

pytestmark = pytest.mark.usefixtures("one_thread", "own_cache")


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def nca(*words, code=0):
    run = CliRunner(env={"COLUMNS": "200"}).invoke(app, [*map(str, words)])
    assert run.exit_code == code, run.output
    return run


def said(run):
    return " ".join(run.stderr.split())


def checkpoint(name="net.pt", **flags):
    import torch

    torch.save(random_adm(**P2 | SMALL).state_dict(), name)
    more = "".join(f"{key} = {json.dumps(value)}\n" for key, value in flags.items())
    Path(name).with_suffix(".toml").write_text(TOML + more)
    return f"adm:{name}"


# -- levels ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("sampler", ["one-step", "ddim"])
def test_an_epsilon_network_is_not_asked_where_no_signal_is_left(sampler, faces):
    pipelines.tiny_pixel("net", rescale_betas_zero_snr=True)
    command = ["reconstruct", faces / "anna.png", "--model", "./net", "--sampler", sampler]
    line = said(nca(*command, "--t", "500,999", code=2))
    assert "net predicts ε, and x_t holds no signal at t = 999 (use t up to 998)" in line
    nca(*command, "--t", "998", *(["--steps", "5"] if sampler == "ddim" else []))
    nca("noise", faces / "anna.png", "--model", "./net", "--t", "999")


def test_a_v_network_is_asked_there(faces):
    pipelines.tiny_pixel("net", rescale_betas_zero_snr=True, prediction_type="v_prediction")
    nca("reconstruct", faces / "anna.png", "--model", "./net", "-s", "one-step", "--t", "999")


# -- samplers and their settings -------------------------------------------------------------------


def test_a_sampler_is_named_with_its_steps(pixel_pipeline, faces):
    command = ["reconstruct", faces / "anna.png", "-m", pixel_pipeline, "--t", "500"]
    nca(*command, "-s", "ddim-4", "-s", "heun-3", "-s", "dpmpp-2m", "-s", "one-step")
    found = {a.recipe.label for a in Store("nca-store").select() if not a.is_noise}
    assert found == {"ddim-4", "heun-3", "dpmpp-2m-50", "one-step"}
    again = nca(*command, "-s", "ddim", "--steps", "4", "--json")
    assert json.loads(again.stdout)["computed"] == 0, "it is the same chain"
    line = said(nca(*command, "-s", "ddim-4", "--steps", "5", code=2))
    assert "--sampler ddim-4 and --steps both set the number of steps" in line
    assert "one-step takes no steps" in said(nca(*command, "-s", "one-step-5", code=2))
    assert "unknown sampler 'euler-5'" in said(nca(*command, "-s", "euler-5", code=2))


def test_an_eta_that_is_no_number(pixel_pipeline, faces):
    line = said(
        nca("reconstruct", faces / "anna.png", "-m", pixel_pipeline, "--eta", "nan", code=2)
    )
    assert "eta 'nan' is not a number (give a list such as --eta 0,0.5,1)" in line
    with pytest.raises(UsageError, match="--eta nan is outside 0 … 1"):
        SamplerChoice("ddim", eta=float("nan"))


# -- models and images of one name -----------------------------------------------------------------

OWN = """
class Net:
    identity, shape = "{0}", (3, 16, 16)

    def __call__(self, x, t):
        return x * {0}


def grey():
    return Net()
"""


def test_one_of_two_functions_of_one_name_is_filtered_by_its_module(faces):
    for number, module in enumerate(("words_a", "words_b")):
        Path(f"{module}.py").write_text(OWN.format(number))
        nca(
            "reconstruct",
            faces / "anna.png",
            "-m",
            f"{module}:grey",
            "--t",
            "500",
            "-s",
            "one-step",
        )
    rows = json.loads(nca("ls", "-m", "words_a:grey", "--json").stdout)
    made = [row for row in rows if row["artifact"] != "noise"]
    (artifact,) = [a for a in Store("nca-store").select() if a.name == made[0]["artifact"]]
    assert len(made) == 1
    assert artifact.model_info["source"] == "words_a:grey"


def test_images_of_one_stem_are_told_apart_by_ls():
    from PIL import Image

    for folder, grey in (("a", 50), ("b", 200)):
        Path(folder).mkdir()
        Image.new("RGB", (16, 16), (grey,) * 3).save(f"{folder}/cat.png")
    nca("noise", "a/cat.png", "b/cat.png", "-m", "wiener", "--size", "16", "--t", "100")
    images = {artifact.image for artifact in Store("nca-store").select()}
    assert len(images) == 2
    shown = nca("ls").stdout
    assert all(image in shown for image in images), shown


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"clip": None}, ("clip ±1", "no clip")),
        ({"weights": "1" * 40}, ("weights ",)),
        ({"weights": "1" * 40, "eta": 0.5}, ("η=0", "η=0.5", "weights ")),
        ({"eta": 0.5, "clip": None}, ("η=0, clip ±1", "η=0.5, no clip")),
        ({"dtype": "bfloat16"}, ("float32", "bfloat16")),
    ],
)
def test_recipes_that_differ_are_told_apart_by_ls_in_words(other, words, tmp_path):
    store, first = Store(tmp_path / "store"), replace(DDIM, clip=1.0)
    for recipe in (first, replace(first, **other)):
        commit(store, [100], recipe=recipe)
    shown = nca("ls", "--store", store.root).stdout
    for word in words:
        assert word in shown, shown


# -- what is not supported -------------------------------------------------------------------------


def refused(action, *words):
    with pytest.raises(ModelError) as caught:
        action()
    for word in words:
        assert word in f"{caught.value} {caught.value.hint or ''}"


def test_super_resolution_is_refused_by_its_name():
    import torch

    words = "super-resolution is not supported"
    index = {"_class_name": "LDMSuperResolutionPipeline", "unet": ["diffusers", "UNet2DModel"]}
    Path("four").mkdir()
    Path("four/model_index.json").write_text(json.dumps(index))
    refused(lambda: find_model("./four"), "LDMSuperResolutionPipeline", words)
    pipelines.tiny_pixel("net")
    pipelines.edit_json("net/unet/config.json", in_channels=6)
    refused(lambda: find_model("./net"), "6 channels into 3", "super-resolution")
    name = checkpoint("up.pt", large_size=8, small_size=4)
    refused(lambda: find_model(name), "large_size", words)
    name = checkpoint("up.pt")
    table = torch.load("up.pt", weights_only=True)
    table["input_blocks.0.0.weight"] = torch.zeros(32, 6, 3, 3)
    torch.save(table, "up.pt")
    refused(lambda: load_denoiser(find_model(name), device="cpu"), "(32, 6, 3, 3)", words)


# -- converted weights -----------------------------------------------------------------------------


def test_converted_checkpoints_are_listed_and_cleared():
    names = [checkpoint("one.pt"), checkpoint("two.pt", predict_xstart=True)]
    before = [load_denoiser(find_model(name), device="cpu") for name in names]
    assert len(nca_cli.cached_models()) == 2
    shown = nca("cache").stdout
    assert "one.pt" in shown
    Path("two.pt").unlink()
    assert "its checkpoint is gone" in nca("cache").stdout
    line = said(nca("cache", "--clear", "all", code=2))
    assert "would delete 2 converted checkpoints" in line
    assert len(converted()) == 2
    assert "freed" in said(nca("cache", "--clear", "stale", "--yes"))
    (left,) = converted()
    assert left.source.endswith("one.pt")
    rows = json.loads(nca("cache", "--json").stdout)
    assert [row["current"] for row in rows["kept"]] == [True]
    assert clear(converted()) == left.bytes
    assert json.loads(nca("cache", "--json").stdout) == {"kept": [], "bytes": 0}
    assert load_denoiser(find_model(names[0]), device="cpu").shape == before[0].shape
    assert "--clear 'old' is unknown" in said(nca("cache", "--clear", "old", code=2))


# -- files -----------------------------------------------------------------------------------------


def test_rows_lie_by_rising_t_and_datasets_say_what_they_are(tmp_path):
    store = Store(tmp_path / "store")
    commit(store, [600, 100], seeds=[1, 0])
    artifact = commit(store, [300], seeds=[0])
    with artifact.parts[0].opened() as group:
        assert list(zip(group["t"], group["seed"], strict=True)) == [
            (100, 0), (100, 1), (300, 0), (600, 0), (600, 1)]  # fmt: skip
        assert group["log_snr"].attrs["units"] == b"1"
        assert b"signal-to-noise" in group["log_snr"].attrs["long_name"]
        assert group["x0_hat"].attrs["long_name"] == b"reconstruction"
