"""Checkpoints of denoising-diffusion-pytorch: equal to an independent writing of its network."""

from __future__ import annotations

import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import lucid_reference as lucid
import numpy as np
import pytest
from typer.testing import CliRunner

from nca_cli.cli import app
from nca_cli.commands import settings
from nca_cli.errors import ModelError
from nca_cli.models import find_model, load_denoiser, recipe_for
from nca_cli.models.checkpoints.lucid import BUFFERS
from nca_cli.sampler_choice import SamplerChoice
from nca_cli.samplers import drive, start
from nca_cli.store import Store

CASES = {
    "its own schedule and objective": ({}, "sigmoid", "pred_v", None),
    "grey, three levels, full attention at two of them": (
        {"mults": (1, 2, 4), "first": 12, "channels": 1, "full": (False, True, True), "heads": 2,
         "width": 8}, "cosine", "pred_noise", 5),
    "x0 on a linear schedule": ({"memory": 3}, "linear", "pred_x0", 5),
}  # fmt: skip
LEVELS = (0, 250, 500, 999)

pytestmark = pytest.mark.usefixtures("one_thread", "own_cache")


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def saved(case="its own schedule and objective", without=frozenset(), toml="image_size = 16\n"):
    """A file of its Trainer in the working folder; the network of its moving average."""
    import torch

    settings, schedule, objective, gamma = CASES[case]
    net, _ = lucid.random_unet(1, **settings)
    averaged, said = lucid.random_unet(0, **settings)
    states = [lucid.state_dict(each, schedule, objective, gamma=gamma) for each in (net, averaged)]
    for state in states:
        for name in without & state.keys():
            del state[name]
    ema = {**{f"online_model.{key}": value for key, value in states[0].items()},
           **{f"ema_model.{key}": value for key, value in states[1].items()},
           "initted": torch.tensor(True), "step": torch.tensor(9)}  # fmt: skip
    torch.save({"step": 9, "model": states[0], "opt": {"state": {}, "param_groups": []},
                "ema": ema, "scaler": None, "version": "2.3.4"}, "model-9.pt")  # fmt: skip
    Path("model-9.toml").write_text(toml)
    return averaged, said


def expected(network, x, t, case):
    """x̂0 as the authors have it."""
    import torch

    tensors, said = network
    _, schedule, objective, _ = CASES[case]
    bars = torch.from_numpy(np.cumprod(1 - lucid.betas(schedule, 1000)))[t].view(-1, 1, 1, 1)
    with torch.inference_mode():
        output = lucid.predict(tensors, said, x, t)
    return lucid.x0_of(output, x, bars.float(), objective)


@pytest.mark.parametrize("case", CASES)
def test_x0_is_that_of_the_published_network(case):
    import torch

    network = saved(case)
    model = find_model("lucid:model-9.pt")
    denoiser, channels = load_denoiser(model, device="cpu"), model.space.channels
    x = torch.randn(4, channels, 16, 16, generator=torch.Generator().manual_seed(1))
    t = torch.tensor(LEVELS)
    wanted, found = expected(network, x, t, case), denoiser(x, t).x0
    error = (found - wanted).flatten(1).norm(dim=1) / wanted.flatten(1).norm(dim=1)
    assert error.max() < 1e-5
    assert any("moving average of training" in note for note in denoiser.notes)


@pytest.mark.parametrize("case", CASES)
def test_what_its_tensors_reveal_is_read_from_them(case):
    saved(case)
    model, (settings, schedule, objective, _) = find_model("lucid:model-9.pt"), CASES[case]
    told = {"sigmoid": "sigmoid_alpha_bar", "cosine": "squaredcos_cap_v2", "linear": "linear"}
    assert model.space.schedule.beta_schedule == told[schedule]
    assert abs(model.space.schedule.betas - lucid.betas(schedule, 1000)).max() < 1e-12
    assert model.prediction == {"pred_noise": "epsilon", "pred_x0": "sample",
                                "pred_v": "v_prediction"}[objective]  # fmt: skip
    assert model.space.shape == (settings.get("channels", 3), 16, 16)
    assert model.name == "model-9"


NET = """
import lucid_reference as lucid
import torch
class Unet(torch.nn.Module):
    def __init__(self, dim, dim_mults):
        super().__init__()
        self.said = lucid.SETTINGS | {"dim": dim, "mults": dim_mults}
    def load_state_dict(self, tensors):
        self.tensors = tensors
    def forward(self, x, t):
        return lucid.predict(self.tensors, self.said, x, t)
"""


def test_the_page_for_ones_own_such_network_says_the_same_as_the_loader(monkeypatch):
    """docs/own-model.md, with the independent writing as the network that a user would have."""
    import torch

    page = (Path(__file__).parents[1] / "docs" / "own-model.md").read_text()
    *_, block = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    Path("mylucid.py").write_text(block)
    Path("mynet.py").write_text(NET)
    monkeypatch.syspath_prepend(str(Path.cwd()))
    saved()
    mine, theirs = (find_model(name) for name in ("mylucid:trained", "lucid:model-9.pt"))
    assert mine.space == theirs.space
    x = torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    found, expected = (load_denoiser(model, device="cpu")(x, torch.tensor(LEVELS)).x0
                       for model in (mine, theirs))  # fmt: skip
    assert (found - expected).norm() < 1e-5 * expected.norm()


@pytest.mark.parametrize(("rule", "told"), [("kept", True), ("recomputed", False)])
def test_the_line_that_computes_it_again_names_the_rule_that_is_not_its_authors(rule, told):
    saved()
    model = find_model("lucid:model-9.pt")
    recipe = recipe_for(model, SamplerChoice("ddim", 2, clip_epsilon=rule))
    known = {"name": "model-9", "source": "lucid:model-9.pt"}
    line = settings(recipe, known, {}).line(Store("nca-store"))
    assert ("--clip-epsilon kept" in line) == told


@pytest.mark.parametrize("eta", [0.0, 1.0])
def test_its_chain_is_the_authors_own(eta):
    """Their `ddim_sample` of 20 steps: from 999 in steps of 50, clipped, ε anew."""
    import torch

    case = "its own schedule and objective"
    tensors, said = saved(case)
    tensors["final_conv.weight"] *= 0.1  # tame over chains
    network = saved_again(tensors, said, case)
    model = find_model("lucid:model-9.pt")
    denoiser = load_denoiser(model, device="cpu")
    stream = torch.Generator().manual_seed(1)
    x = torch.randn(3, 16, 16, generator=stream)
    draws = [torch.randn(3, 16, 16, generator=stream) for _ in range(20)]
    fresh = iter(draws)
    recipe = recipe_for(model, SamplerChoice("ddim", 20, eta))
    assert (recipe.clip, recipe.clip_epsilon) == (1.0, "recomputed")
    chain = start(recipe, model.space.schedule, x, 999, fresh=lambda there: next(fresh))
    found, _ = drive(chain, lambda x, level: type(denoiser(x[None], torch.tensor([level.t])))(
        denoiser(x[None], torch.tensor([level.t])).x0[0]))  # fmt: skip
    bars = np.cumprod(1 - lucid.betas("sigmoid", 1000))
    times = [*range(999, -1, -50), -1]
    for step, (here, there) in enumerate(pairwise(times)):
        x0 = expected(network, x[None], torch.tensor([here]), case)[0].clamp(-1, 1)
        noise = (x / bars[here] ** 0.5 - x0) / (1 / bars[here] - 1) ** 0.5
        if there < 0:
            x = x0
            break
        now, then = bars[here], bars[there]
        sigma = eta * ((1 - now / then) * (1 - then) / (1 - now)) ** 0.5
        x = x0 * then**0.5 + (1 - then - sigma**2) ** 0.5 * noise + sigma * draws[step]
    assert (found - x).norm() < 1e-4 * x.norm()


def saved_again(tensors, said, case):
    import torch

    _, schedule, objective, _ = CASES[case]
    torch.save(lucid.state_dict(tensors, schedule, objective), "model-9.pt")
    return tensors, said


def test_finding_one_that_was_converted_loads_no_torch():
    saved()
    find_model("lucid:model-9.pt")
    code = ("import sys\nfrom nca_cli.models import find_model, recipe_for\n"
            "model = find_model('lucid:model-9.pt'); recipe_for(model, model.sampler)\n"
            "print({'torch', 'diffusers'} & set(sys.modules))\n")  # fmt: skip
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.stdout.strip() == "set()", run.stderr


def test_it_runs_through_the_program(faces):
    saved()
    command = ["reconstruct", str(faces / "anna.png"), "-m", "lucid:model-9.pt", "--t", "500",
               "-s", "one-step", "-s", "ddim-4"]  # fmt: skip
    run = CliRunner().invoke(app, command)
    assert run.exit_code == 0, run.output
    made = [each for each in Store("nca-store").select() if not each.is_noise]
    assert {each.label for each in made} == {"one-step", "ddim-4"}
    assert all(np.isfinite(each.read("x0_hat", [(500, 0)])).all() for each in made)


# -- what is not told ------------------------------------------------------------------------------


def refused(*words):
    with pytest.raises(ModelError) as caught:
        find_model("lucid:model-9.pt")
    line = f"{caught.value} {caught.value.hint or ''}"
    assert "\n" not in line
    for word in words:
        assert word in line, line


def test_what_no_tensor_reveals_has_to_be_said():
    saved(toml="")
    refused("model-9.toml", "image_size", "no tensor reveals")
    Path("model-9.toml").unlink()
    refused("image_size")
    saved(without=BUFFERS)
    refused("holds no β", "linear, cosine or sigmoid")
    Path("model-9.toml").write_text('image_size = 16\nbeta_schedule = "sigmoid"\n')
    refused("does not reveal its objective", "pred_v")
    said = 'image_size = 16\nbeta_schedule = "sigmoid"\nobjective = "pred_v"\n'
    Path("model-9.toml").write_text(said)
    alone = find_model("lucid:model-9.pt")
    saved()
    assert alone.space == find_model("lucid:model-9.pt").space


@pytest.mark.parametrize(
    ("toml", "words"),
    [
        ('objective = "pred_noise"', "its loss was weighted as for pred_v, not pred_noise"),
        ('beta_schedule = "linear"', "its β are not those of the linear schedule"),
        ("timesteps = 500", "holds 1000 β, not 500"),
        ("auto_normalize = false", "images in [0, 1]"),
        ('objective = "x"', "unknown objective 'x'"),
        ("side = 3", "which is not a known flag"),
    ],
)
def test_what_contradicts_the_file_is_refused(toml, words):
    saved(toml=f"image_size = 16\n{toml}\n")
    refused(words)


def test_other_networks_are_refused_by_what_they_lack():
    import torch

    Path("model-9.toml").write_text("image_size = 16\n")
    torch.save({"x": torch.zeros(1)}, "model-9.pt")
    refused("there is no init_conv.weight")
    old = {
        "init_conv.weight": torch.zeros(8, 3, 7, 7), "time_mlp.1.weight": torch.zeros(4, 1),
        "downs.0.0.block1.proj.weight": torch.zeros(1), "loss_weight": torch.ones(1000),
        "betas": torch.from_numpy(lucid.betas("linear", 1000)),
    }  # fmt: skip
    torch.save(old, "model-9.pt")
    refused("before version 2")
    Path("model-9.pt").unlink()
    refused("no such file")


def test_a_sigmoid_of_beta_is_diffusers_own():
    from diffusers import DDPMScheduler

    from nca_cli.schedule import Schedule

    theirs = DDPMScheduler(beta_schedule="sigmoid", beta_start=1e-4, beta_end=0.03)
    mine = Schedule.from_config({**theirs.config, "_class_name": "DDPMScheduler"})
    error = abs(mine.alpha_bar / theirs.alphas_cumprod.double().numpy() - 1)
    assert error.max() < 1e-4
