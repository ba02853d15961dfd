"""Checkpoints of EDM: equal to an independent writing of its networks, and to its own sampler."""

from __future__ import annotations

import json
import pickle
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from edm2_reference import random_edm2
from edm_reference import random_edm
from typer.testing import CliRunner

from nca_cli.cli import app
from nca_cli.errors import ModelError, UsageError
from nca_cli.models import find_model, load_denoiser, recipe_for
from nca_cli.sampler_choice import SamplerChoice
from nca_cli.samplers import Prediction, drive, start
from nca_cli.schedule import Schedule
from nca_cli.store import Store

CASES = {
    "DDPM++": {"kind": "ddpmpp", "augments": 9},
    "NCSN++, two blocks, three levels": {"kind": "ncsnpp", "blocks": 2, "mults": (1, 2, 2)},
    "DDPM++ of five classes, grey": {"kind": "ddpmpp", "labels": 5, "channels": 1},
    "ADM of five classes": {"kind": "adm", "labels": 5, "base": 64, "attention": (16, 8)},
    "EDM2": {"second": True},
    "EDM2 of five classes, three levels, two blocks, two heads": {
        "second": True, "labels": 5, "mults": (1, 1, 2), "blocks": 2, "attention": (8, 4)},
    "EDM2, grey": {"second": True, "channels": 1, "mults": (1,), "attention": (16,)},
}  # fmt: skip
SIGMAS = (0.002, 0.5, 5.0, 80.0)

pytestmark = pytest.mark.usefixtures("one_thread", "own_cache")


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def saved(case, **wrapped):
    """A file of the authors' preconditioned network in the working folder, and that network."""
    import torch

    settings = dict(CASES[case])
    if settings.pop("second", False):
        network = random_edm2(**settings)
        torch.save(network.state_dict(), "net.pt")
        return network
    network = random_edm(**settings)
    torch.save({f"model.{key}": value for key, value in network.state_dict().items()}, "net.pt")
    return network


def under(case, label=3):
    return {"label": label} if CASES[case].get("labels") else {}


def hot(case, count, label=3):
    import torch

    labels = CASES[case].get("labels")
    return torch.eye(labels)[[label] * count] if labels else None


@pytest.mark.parametrize("case", CASES)
def test_x0_is_that_of_the_published_network(case):
    import torch

    network = saved(case)
    model = find_model("edm:net.pt")
    denoiser = load_denoiser(model, device="cpu", **under(case))
    channels = CASES[case].get("channels", 3)
    x = torch.randn(4, channels, 16, 16, generator=torch.Generator().manual_seed(1))
    sigma = torch.tensor(SIGMAS, dtype=torch.float64)
    with torch.inference_mode():
        wanted = network(x, sigma.float(), hot(case, 4))
    found = denoiser(x, sigma).x0
    error = (found - wanted).flatten(1).norm(dim=1) / wanted.flatten(1).norm(dim=1)
    assert error.max() < 1e-5
    assert (wanted[2:] - x[2:] * 0.25 / (sigma[2:] ** 2 + 0.25).view(-1, 1, 1, 1)).std() > 0.05
    assert model.space.shape == (channels, 16, 16)


@pytest.mark.parametrize(
    "case", ["NCSN++, two blocks, three levels", "ADM of five classes", "EDM2"]
)
def test_its_chain_is_the_authors_own(case):
    """Algorithm 1 without churn, from σ_max in 18 of Karras' steps."""
    import torch

    network = saved(case)
    model = find_model("edm:net.pt")
    assert (model.sampler.name, model.sampler.steps) == ("heun", 18)
    recipe = recipe_for(model, model.sampler, **under(case))
    x = 80 * torch.randn(1, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    denoiser = load_denoiser(model, device="cpu", **under(case))
    asked = []

    def ask(x, level):
        asked.append(level.t)
        return Prediction(denoiser(x, torch.tensor([level.t])).x0)

    found, _ = drive(start(recipe, model.space.schedule, x, 80.0), ask)
    assert len(asked) == 35

    def denoise(x, sigma):
        with torch.inference_mode():
            return network(x.float(), torch.tensor([sigma]).float(), hot(case, 1)).double()

    rho, n = 7, 18
    ends = 80 ** (1 / rho), 0.002 ** (1 / rho)
    steps = [(ends[0] + i / (n - 1) * (ends[1] - ends[0])) ** rho for i in range(n)] + [0.0]
    y = x.double()
    for here, there in pairwise(steps):
        slope = (y - denoise(y, here)) / here
        euler = y + (there - here) * slope
        if there:
            slope = (slope + (euler - denoise(euler, there)) / there) / 2
            euler = y + (there - here) * slope
        y = euler
    assert (found - y).norm() < 1e-4 * y.norm()


def test_its_levels_are_sigma_and_its_steps_karras():
    saved("DDPM++")
    model = find_model("edm:net.pt")
    schedule = model.space.schedule
    assert schedule.level(3.0)[1:] == (1.0, 3.0)
    assert schedule.log_snr(3.0) == pytest.approx(-2 * np.log(3))
    ddpm = Schedule()
    for t, sigma in zip(range(100, 1000, 100), schedule.default_levels, strict=True):
        assert schedule.log_snr(sigma) == pytest.approx(ddpm.log_snr(t), abs=0.01)
    assert schedule.chain(80.0, 18) == schedule.spaced("karras", 80.0, 18)
    for choice in (SamplerChoice("ddim"), SamplerChoice("ddim", spacing="karras")):
        assert recipe_for(model, choice).spacing is None, "they fall so anyway"
    with pytest.raises(UsageError, match="no even steps"):
        recipe_for(model, SamplerChoice("heun", spacing="even"))
    with pytest.raises(UsageError, match="t 81 is not a level"):
        schedule.check(81)


def test_it_runs_through_the_program(faces):
    saved("DDPM++")
    Path("net.toml").write_text("sigma_data = 0.4\n")
    command = ["reconstruct", str(faces / "anna.png"), "-m", "edm:net.pt", "--t", "0.5,10",
               "-s", "one-step", "-s", "heun-4", "-s", "dpmpp-2m-4", "--json"]  # fmt: skip
    for computed in (6, 0):
        run = CliRunner().invoke(app, command)
        assert run.exit_code == 0, run.output
        assert json.loads(run.stdout)["computed"] == computed
    (made, *_) = [each for each in Store("nca-store").select() if not each.is_noise]
    assert made.model_info["silent"]["sigma_data"] == 0.4
    listed = CliRunner().invoke(app, ["grid", "-o", "grid.png", "-m", "edm:net.pt"])
    assert listed.exit_code == 0, listed.output


def refused(*words):
    with pytest.raises(ModelError) as caught:
        find_model("edm:net.pt")
    line = f"{caught.value} {caught.value.hint or ''}"
    assert "\n" not in line
    for word in words:
        assert word in line, line


class Touch:
    def __reduce__(self):
        return Path.touch, (Path("executed"),)


def test_the_authors_pickles_are_not_run_and_the_way_out_is_told():
    Path("net.pt").write_bytes(pickle.dumps({"ema": Touch()}))
    refused("no code in it was run", "torch.save(", "state_dict()")
    assert not Path("executed").exists()


def test_every_tensor_of_edm2_bears_on_the_answer_but_that_of_its_uncertainty():
    """What no one reads could be wrong without a sign."""
    import torch

    from nca_cli.models.families import FAMILIES

    case = "EDM2 of five classes, three levels, two blocks, two heads"
    table = saved(case).state_dict()
    model = find_model("edm:net.pt")
    config = json.loads((model.folder / "network" / "config.json").read_text())
    network = FAMILIES["Edm2Network"].make("Edm2Network", config)
    x = torch.randn(1, 3, 16, 16, generator=torch.Generator().manual_seed(2))
    inner = {key.removeprefix("unet."): value for key, value in table.items()
             if key.startswith("unet.")}  # fmt: skip

    def answer(tensors):
        network.load_state_dict(tensors)
        with torch.inference_mode():
            return network(x, torch.tensor([0.7]), torch.tensor([3]))

    plain, stream = answer(inner), torch.Generator().manual_seed(3)
    for key, value in inner.items():
        other = value + torch.randn(value.shape, generator=stream)
        assert not torch.equal(answer(inner | {key: other}), plain), key
    assert {key for key in table if not key.startswith("unet.")} == {
        "logvar_fourier.freqs", "logvar_fourier.phases", "logvar_linear.weight"
    }  # fmt: skip


def test_networks_of_latents_and_broken_ones_of_edm2_are_refused():
    import torch

    table = random_edm2().state_dict()
    torch.save({key: value for key, value in table.items() if key != "unet.out_gain"}, "net.pt")
    refused("there is no out_gain")
    Path("net.toml").write_text("sigma_data = 0.5\n")
    torch.save(random_edm2(channels=4).state_dict(), "net.pt")
    refused("4 channels", "3 or 1")


def test_other_networks_are_refused_by_what_they_lack():
    import torch

    network = random_edm(**CASES["DDPM++"])
    torch.save({"x": torch.zeros(1)}, "net.pt")
    refused("there is no map_layer0.weight", "no network of EDM")
    table = network.state_dict()
    torch.save(table | {"enc.8x8_aux_skip.weight": torch.zeros(1)}, "net.pt")
    refused("has a block enc.8x8_aux_skip, which nca does not support")
    Path("net.toml").write_text("sigma_data = 0.0\n")
    refused("sigma_data is not above 0")
