"""Checkpoints of score_sde: equal to an independent writing of its network."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sde_reference import Ncsnpp
from typer.testing import CliRunner

from nca_cli.cli import app
from nca_cli.errors import ModelError
from nca_cli.models import find_model, load_denoiser
from nca_cli.schedule import VarianceExploding

CASES = {
    "three levels": {},
    "two blocks, four levels, attention at two": {
        "blocks": 2, "mults": (1, 4, 4, 6), "attention": (8, 4)},
    "attention at the last level": {"mults": (1, 4), "attention": (8,)},
}  # fmt: skip
TOML = "image_size = 16\nsigma_max = 50.0\nnum_scales = 40\n"
LEVELS = (0.0, 10.0, 25.5, 39.0)

pytestmark = pytest.mark.usefixtures("one_thread", "own_cache")


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def saved(case="three levels", toml=TOML, **more):
    """A file of its training in the working folder, and the network of its moving average."""
    import torch

    last, averaged = (Ncsnpp(seed=seed, **CASES[case]) for seed in (1, 0))
    table = last.tensors | more
    table["all_modules.0.W"] = averaged.tensors["all_modules.0.W"]  # it is not learned
    shadow = [value for key, value in averaged.tensors.items() if key != "all_modules.0.W"]
    torch.save({
        "optimizer": {"state": {}, "param_groups": []}, "step": 9,
        "model": {f"module.{key}": value for key, value in table.items()},
        "ema": {"decay": 0.999, "num_updates": 9, "shadow_params": shadow},
    }, "checkpoint_9.pth")  # fmt: skip
    Path("checkpoint_9.toml").write_text(toml)
    return averaged


@pytest.mark.parametrize("case", CASES)
def test_x0_is_that_of_the_published_network(case):
    import torch

    network = saved(case)
    model = find_model("sde:checkpoint_9.pth")
    channels = CASES[case].get("channels", 3)
    assert model.space.schedule == VarianceExploding(0.01, 50.0, 40, scale=2)
    assert model.space.shape == (channels, 16, 16)
    stream = torch.Generator().manual_seed(1)
    x = torch.randn(4, channels, 16, 16, generator=stream)
    t = torch.tensor(LEVELS, dtype=torch.float64)
    sigma = torch.from_numpy(model.space.schedule.sigma(t.numpy())).float()
    u = (x + 1) / 2
    with torch.inference_mode():
        score = network.score(u, sigma)
    x0 = 2 * (u + sigma[:, None, None, None] ** 2 * score) - 1  # Tweedie, of pixels in [0, 1]
    found = load_denoiser(model, device="cpu")(x, t).x0
    change = (x0 - x).flatten(1).norm(dim=1)
    assert ((found - x0).flatten(1).norm(dim=1) / x0.flatten(1).norm(dim=1)).max() < 1e-5
    assert (change / x0.flatten(1).norm(dim=1)).min() > 1e-3, "the network has a say at each"


def test_it_runs_through_the_program(faces):
    saved()
    command = ["reconstruct", str(faces / "anna.png"), "-m", "sde:checkpoint_9.pth", "--t", "10,30",
               "-s", "one-step", "-s", "ddpm-5", "--json"]  # fmt: skip
    for computed in (4, 0):
        run = CliRunner().invoke(app, command)
        assert run.exit_code == 0, run.output
        assert json.loads(run.stdout)["computed"] == computed


@pytest.mark.parametrize(
    ("toml", "words"),
    [
        ("", ["image_size and sigma_max", "checkpoint_9.toml"]),
        ("image_size = 16\n", ["does not say sigma_max"]),
        ("image_size = 16\nsigma_max = 0.005\n", ["0 < min < max"]),
        ("image_size = 16\nsigma_max = 50.0\nnum_scales = 3\n", ["num_scales"]),
    ],
)
def test_what_no_tensor_reveals_has_to_be_said(toml, words):
    saved(toml=toml)
    refused(*words)


def test_networks_of_another_kind_are_refused_by_what_they_are():
    import torch

    table = Ncsnpp().tensors
    Path("checkpoint_9.toml").write_text(TOML)
    torch.save({key: value for key, value in table.items() if "all_modules.0." not in key},
               "checkpoint_9.pth")  # fmt: skip
    refused("there is no all_modules.0.W")
    joins = {key for key in table if key.endswith("Conv_0.weight") and value_of(table, key) == 1}
    numbers = {key.split(".")[1] for key in joins}
    torch.save({key: value for key, value in table.items() if key.split(".")[1] not in numbers},
               "checkpoint_9.pth")  # fmt: skip
    refused("input_skip", "CelebA-HQ and FFHQ")
    torch.save(table | {"all_modules.99.weight": torch.zeros(3)}, "checkpoint_9.pth")
    refused("all_modules.99")
    torch.save({key: value for key, value in table.items() if "all_modules.5." not in key},
               "checkpoint_9.pth")  # fmt: skip
    with pytest.raises(ModelError):
        load_denoiser(find_model("sde:checkpoint_9.pth"), device="cpu")


def test_what_diffusers_network_has_not_is_refused():
    """It would norm in other groups, or carry other pictures, without a sign."""
    import torch

    Path("checkpoint_9.toml").write_text(TOML)
    torch.save(Ncsnpp(mults=(1, 2, 2)).tensors, "checkpoint_9.pth")
    refused("attends to 64 channels", "128 or more")
    torch.save(Ncsnpp(channels=1).tensors, "checkpoint_9.pth")
    refused("works on 1 channels")


def value_of(table, key):
    """Whether a module holds that one convolution alone."""
    number = key.split(".")[1]
    return sum(each.split(".")[1] == number for each in table) == 2


def refused(*words):
    with pytest.raises(ModelError) as caught:
        find_model("sde:checkpoint_9.pth")
    line = f"{caught.value} {caught.value.hint or ''}"
    assert "\n" not in line
    for word in words:
        assert word in line, line
