"""Models of a hub: fetched once, only what is needed, and clear words when that cannot be.

Every use runs in its own process, with the hub's address in its environment, as in real life.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pipelines
import pytest
from hub import Hub

CELEBAHQ = "google/ddpm-ema-celebahq-256"
LATENT = "CompVis/ldm-celebahq-256"

FIND = """
import json, sys
from nca_cli.errors import NcaError
from nca_cli.models import find_model, recipe_for
name, options = sys.argv[1], json.loads(sys.argv[2])
try:
    model = find_model(name, **options)
    answer = {"revision": model.revision, "space": model.space.describe(), "source": model.source,
              "folder": str(model.folder), "name": model.name, "licence": model.licence,
              "scheduler": dict(model.scheduler)}
    if options.get("weights", True):
        answer["weights"] = recipe_for(model, model.sampler).weights
except NcaError as error:
    answer = {"error": str(error), "hint": error.hint}
heavy = ["torch", "diffusers", "transformers", "huggingface_hub.hf_api"]
answer["imported"] = [module for module in heavy if module in sys.modules]
print(json.dumps(answer))
"""


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Tiny pipelines in the layouts of the two hub aliases, and retrained ones."""
    root = tmp_path_factory.mktemp("pipelines")
    made = {
        "pixel": pipelines.like_celebahq(root / "pixel"),
        "retrained": pipelines.like_celebahq(root / "retrained", seed=1),
        "latent": pipelines.like_ldm_celebahq(root / "latent"),
        "both": pipelines.tiny_pixel(root / "both"),
    }
    (made["pixel"] / "images").mkdir()
    for name in ("images/grid.png", "README.md", "diffusion_pytorch_model.fp16.bin", "ema.ckpt"):
        (made["pixel"] / name).write_bytes(b"not needed")
    unet = made["both"] / "unet"
    for name in ("diffusion_pytorch_model.bin", "diffusion_pytorch_model.fp16.safetensors"):
        (unet / name).write_bytes(b"not needed")
    return made


class Elsewhere:
    """A computer of its own: an empty cache and a hub's address."""

    def __init__(self, home: Path, url: str):
        self.home, self.url = home, url

    def find(self, name: str, environment: dict | None = None, **options) -> dict:
        text = self.run(FIND, name, json.dumps(options), environment=environment).stdout
        return json.loads(text)

    def run(self, code: str, *arguments: str, environment: dict | None = None):
        kept = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}
        settings = {"HF_ENDPOINT": self.url, "HF_HOME": str(self.home / "hf"),
                    "NCA_CACHE": str(self.home / "nca"), "OMP_NUM_THREADS": "1",
                    "PYTHONPATH": str(Path(__file__).resolve().parents[1])}  # fmt: skip
        return subprocess.run(
            [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True,
            env={**kept, **settings, **(environment or {})},
        )  # fmt: skip


@pytest.fixture
def hub():
    with Hub() as server:
        yield server


@pytest.fixture
def computer(tmp_path, hub):
    return Elsewhere(tmp_path, hub.url)


def test_only_configurations_and_the_chosen_weights_are_fetched(hub, computer, folders):
    commit = hub.add(CELEBAHQ, folders["pixel"])
    found = computer.find("ddim")
    assert found["revision"] == found["weights"] == commit
    assert hub.fetched == [
        "config.json", "diffusion_pytorch_model.bin", "model_index.json", "scheduler_config.json",
    ]  # fmt: skip


def test_safetensors_are_preferred_and_variants_left_alone(hub, computer, folders):
    hub.add("someone/faces", folders["both"])
    computer.find("someone/faces")
    weights = [file for file in hub.fetched if not file.endswith(".json")]
    assert weights == ["unet/diffusion_pytorch_model.safetensors"]


def test_a_model_on_this_disk_is_found_again_without_asking_anyone(hub, computer, folders):
    hub.add(CELEBAHQ, folders["pixel"])
    first = computer.find("ddim")
    asked = len(hub.requests)
    assert computer.find("ddim") == {**first, "imported": []}
    assert len(hub.requests) == asked
    hub.stop()
    assert computer.find("ddim")["revision"] == first["revision"]
    assert computer.find(f"{CELEBAHQ}@{first['revision']}")["weights"] == first["weights"]


def test_refresh_sees_a_newer_commit_and_the_recipe_changes(hub, computer, folders):
    old = hub.add(CELEBAHQ, folders["pixel"])
    before = computer.find("ddim")
    new = hub.add(CELEBAHQ, folders["retrained"])
    assert computer.find("ddim")["weights"] == before["weights"] == old
    after = computer.find("ddim", refresh=True)
    assert after["weights"] == new != old
    assert after["space"] == before["space"]
    assert computer.find("ddim")["weights"] == new
    assert computer.find(f"{CELEBAHQ}@{old}")["weights"] == old


def test_refresh_without_news_fetches_no_file_again(hub, computer, folders):
    hub.add(CELEBAHQ, folders["pixel"])
    computer.find("ddim")
    fetched = hub.fetched
    computer.find("ddim", refresh=True)
    assert hub.fetched == fetched


def test_a_branch_can_be_asked_for_and_is_remembered(hub, computer, folders):
    hub.add("someone/faces", folders["pixel"])
    commit = hub.add("someone/faces", folders["retrained"], branch="later")
    assert computer.find("someone/faces@later")["revision"] == commit
    hub.stop()
    again = computer.find("someone/faces@later")
    assert (again["revision"], again["source"]) == (commit, "someone/faces@later")
    assert "not on this disk" in computer.find("someone/faces", offline=True)["error"]


def test_noise_of_a_pixel_alias_needs_neither_network_nor_files(hub, computer):
    hub.stop()
    found = computer.find("ddim", weights=False)
    assert found["space"]["shape"] == [3, 256, 256]
    assert found["folder"] == "None"
    assert found["imported"] == []
    assert hub.requests == []


def test_noise_uses_the_configuration_that_is_on_this_disk(hub, computer, folders):
    hub.add(CELEBAHQ, folders["pixel"])
    with_weights = computer.find("ddim")
    without = computer.find("ddim", weights=False)
    assert without["space"] == with_weights["space"]
    assert without["space"]["shape"] == [3, 16, 16]


def test_noise_of_a_hub_model_fetches_configurations_only(hub, computer, folders):
    hub.add("someone/faces", folders["pixel"])
    assert computer.find("someone/faces", weights=False)["space"]["resolution"] == 16
    assert all(file.endswith(".json") for file in hub.fetched)


def test_noise_of_a_latent_model_fetches_the_autoencoder_but_no_unet(hub, computer, folders):
    hub.add(LATENT, folders["latent"])
    found = computer.find("ldm", weights=False)
    assert found["space"]["latent_scale"] == 1.0
    weights = [file for file in hub.fetched if not file.endswith(".json")]
    assert weights == ["vqvae/diffusion_pytorch_model.bin"]
    assert computer.find("ldm")["space"] == found["space"]


def test_files_that_went_missing_from_the_cache_are_fetched_again(hub, computer, folders):
    hub.add(CELEBAHQ, folders["pixel"])
    folder = Path(computer.find("ddim")["folder"])
    (folder / "diffusion_pytorch_model.bin").unlink()
    assert Path(computer.find("ddim")["folder"], "diffusion_pytorch_model.bin").is_file()


def assert_one_clear_line(answer, *words):
    assert "\n" not in answer["error"] + (answer["hint"] or "")
    assert len(answer["error"]) < 200
    for word in words:
        assert word in answer["error"] + " " + (answer["hint"] or "")


@pytest.mark.parametrize("name", ["ddim", "someone/faces"])
def test_no_network_and_nothing_stored_is_one_clear_line(hub, computer, name):
    hub.stop()
    assert_one_clear_line(computer.find(name), "hub", "nca reconstruct --model", "local folder")


@pytest.mark.parametrize("how", ["option", "environment"])
def test_offline_never_asks_the_network(hub, computer, folders, how):
    hub.add(CELEBAHQ, folders["pixel"])
    options = {"offline": True} if how == "option" else {}
    environment = {} if how == "option" else {"HF_HUB_OFFLINE": "1"}
    assert_one_clear_line(
        computer.find("ddim", environment, **options), "not on this disk", "network is off"
    )
    assert hub.requests == []
    computer.find("ddim")
    asked = len(hub.requests)
    found = computer.find("ddim", environment, refresh=True, **options)
    assert found["revision"]
    assert len(hub.requests) == asked


def test_an_unknown_repository_a_gated_one_and_a_failing_hub_are_told_apart(hub, computer, folders):
    hub.add("someone/faces", folders["pixel"])
    assert_one_clear_line(computer.find("someone/else"), "not on the hub", "private", "HF_TOKEN")
    assert_one_clear_line(computer.find("someone/faces@gone"), "no revision 'gone'")
    hub.gated.add("someone/faces")
    assert_one_clear_line(computer.find("someone/faces"), "gated", "HF_TOKEN")


def test_a_hub_that_fails_is_named_by_its_status(hub, computer):
    hub.broken = True
    assert_one_clear_line(computer.find("someone/faces"), "503")


def test_a_pipeline_that_nca_cannot_run_costs_no_download_of_weights(
    hub, computer, folders, tmp_path
):
    folder = pipelines.tiny_pixel(tmp_path / "conditional")
    pipelines.edit_json(folder / "unet/config.json", _class_name="UNet2DConditionModel")
    hub.add("someone/prompts", folder)
    assert_one_clear_line(computer.find("someone/prompts"), "UNet2DConditionModel")
    assert all(file.endswith(".json") for file in hub.fetched)


def test_a_repository_without_weights_names_the_missing_file(hub, computer, folders, tmp_path):
    folder = pipelines.tiny_pixel(tmp_path / "empty")
    (folder / "unet/diffusion_pytorch_model.safetensors").unlink()
    hub.add("someone/empty", folder)
    assert_one_clear_line(computer.find("someone/empty"), "unet/diffusion_pytorch_model")


def test_the_token_is_sent(hub, computer, folders):
    hub.add("someone/faces", folders["pixel"])
    computer.find("someone/faces", {"HF_TOKEN": "hf_secret"})
    sent = {request.authorization for request in hub.requests if "someone/faces" in request.path}
    assert sent == {"Bearer hf_secret"}


def test_a_fetched_model_runs_and_nothing_is_printed(hub, computer, folders):
    hub.add(CELEBAHQ, folders["pixel"])
    done = computer.run(
        "import torch; torch.set_num_threads(1)\n"
        "from nca_cli.models import find_model, load_denoiser\n"
        "denoiser = load_denoiser(find_model('ddim'), device='cpu')\n"
        "x0 = denoiser(torch.zeros(2, 3, 16, 16), torch.tensor([1, 999])).x0\n"
        "assert x0.shape == (2, 3, 16, 16) and x0.isfinite().all()\n"
    )
    assert done.stdout == done.stderr == ""


# Prompts

TEXT = "stable-diffusion-v1-5/stable-diffusion-v1-5"


@pytest.fixture(scope="module")
def prompted(tmp_path_factory):
    """The layout of Stable Diffusion 1.5 among files that nobody needs."""
    pytest.importorskip("transformers")
    folder = pipelines.tiny_stable_diffusion(tmp_path_factory.mktemp("prompts") / "sd")
    for name in (
        "safety_checker/config.json", "safety_checker/model.safetensors",
        "feature_extractor/preprocessor_config.json", "text_encoder/pytorch_model.bin",
        "text_encoder/model.fp16.safetensors", "v1-5-pruned.ckpt",
    ):  # fmt: skip
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"not needed")
    return folder


def test_of_a_text_model_its_five_parts_are_fetched_and_nothing_else(hub, computer, prompted):
    commit = hub.add(TEXT, prompted)
    found = computer.find("sd15")
    assert found["weights"] == commit
    assert found["licence"] == "creativeml-openrail-m"
    assert hub.fetched == [
        "model_index.json", "scheduler/scheduler_config.json", "text_encoder/config.json",
        "text_encoder/model.safetensors", "tokenizer/merges.txt",
        "tokenizer/special_tokens_map.json", "tokenizer/tokenizer_config.json",
        "tokenizer/vocab.json", "unet/config.json", "unet/diffusion_pytorch_model.safetensors",
        "vae/config.json", "vae/diffusion_pytorch_model.safetensors",
    ]  # fmt: skip
    hub.stop()
    assert computer.find("sd15", offline=True) == {**found, "imported": []}


def test_a_fetched_text_model_runs_without_the_hub_and_nothing_is_printed(hub, computer, prompted):
    hub.add(TEXT, prompted)
    computer.find("sd15")
    hub.stop()
    done = computer.run(
        "import torch; torch.set_num_threads(1)\n"
        "from nca_cli.models import find_model, load_denoiser\n"
        "denoiser = load_denoiser(find_model('sd15'), device='cpu', prompt='a cat', guidance=2)\n"
        "assert denoiser(torch.zeros(2, 4, 8, 8), torch.tensor([1, 999])).x0.isfinite().all()\n"
    )
    assert done.stdout == done.stderr == ""


def test_noise_of_a_text_model_fetches_its_autoencoder_alone(hub, computer, prompted):
    hub.add(TEXT, prompted)
    computer.find("sd15", weights=False)
    weights = [file for file in hub.fetched if not file.endswith(".json")]
    assert weights == ["vae/diffusion_pytorch_model.safetensors"]


def test_without_transformers_no_weights_of_a_text_model_are_fetched(hub, computer, prompted):
    hub.add(TEXT, prompted)
    done = computer.run(
        "import sys; sys.modules['transformers'] = None\n"
        "from nca_cli.errors import NcaError\n"
        "from nca_cli.models import find_model\n"
        "try:\n    find_model('sd15')\n"
        "except NcaError as error:\n    print(error, error.hint)\n"
    )
    assert "need transformers" in done.stdout
    assert "pip install 'nca-cli[text]'" in done.stdout
    assert all(file.endswith(".json") for file in hub.fetched)


def test_of_stable_diffusion_3_its_parts_are_fetched_and_nothing_else(hub, computer, tmp_path):
    """What two tokenizers have in common is one file to the hub's cache."""
    pytest.importorskip("transformers")
    folder = pipelines.tiny_stable_diffusion_3(tmp_path / "sd3")
    wanted = sorted(file.relative_to(folder).as_posix()
                    for file in folder.rglob("*") if file.is_file())  # fmt: skip
    for name in (
        "sd3.5_medium.safetensors", "text_encoders/t5xxl_fp16.safetensors",
        "text_encoder_2/model.fp16.safetensors", "tokenizer_3/spiece.model",
        "text_encoder_3/model.fp16-00001-of-00002.safetensors",
        "text_encoder_3/model.safetensors.index.fp16.json",
    ):  # fmt: skip
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"not needed")
    repo = "stabilityai/stable-diffusion-3.5-medium"
    commit = hub.add(repo, folder)
    hub.gated.add(repo)
    assert_one_clear_line(computer.find("sd35-medium"), "gated", "HF_TOKEN")
    hub.gated.clear()
    found = computer.find("sd35-medium")
    assert (found["weights"], found["licence"]) == (commit, "stabilityai-ai-community")
    assert set(hub.fetched) <= set(wanted)
    contents = sorted((folder / name).read_bytes() for name in hub.fetched)
    assert contents == sorted({(folder / name).read_bytes() for name in wanted})
    hub.stop()
    assert computer.find("sd35-medium", offline=True) == {**found, "imported": []}


@pytest.mark.parametrize("lost", ["text_encoder/model.safetensors", "tokenizer/vocab.json"])
def test_a_text_model_that_lacks_a_part_costs_no_download_of_weights(
    hub, computer, prompted, tmp_path, lost
):
    folder = shutil.copytree(prompted, tmp_path / "sd")
    (folder / lost).unlink()
    (folder / "text_encoder/pytorch_model.bin").unlink()
    (folder / "text_encoder/model.fp16.safetensors").unlink()
    hub.add("someone/half", folder)
    assert_one_clear_line(computer.find("someone/half"), "has neither", lost)
    assert all(file.endswith(".json") for file in hub.fetched)
