"""A sampler is one function and one entry: what adding one takes, and what comes of it."""

from __future__ import annotations

import importlib
import json
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from chains import chain
from typer.testing import CliRunner

from nca_cli.analysis.chains import linear, why_not, wiener_gain
from nca_cli.cli import app, complete
from nca_cli.models import find_model, recipe_for
from nca_cli.recipe import Recipe
from nca_cli.sampler_choice import SamplerChoice
from nca_cli.samplers import METHODS, Prediction, drive, start, taking
from nca_cli.schedule import Schedule
from nca_cli.store import Store

SAMPLE = str(Path(__file__).parent / "before" / "portrait-03.png")

PAGE = Path(__file__).parents[1] / "docs" / "adding-a-sampler.md"
SOURCE = PAGE.read_text("utf-8").split("```python\n")[1].split("```")[0]
"""The example of the page."""


@pytest.fixture
def added(tmp_path, monkeypatch):
    """The sampler, from a module of its own."""
    (tmp_path / "my_sampler.py").write_text(SOURCE, "utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    yield importlib.import_module("my_sampler")
    del METHODS["midpoint"], sys.modules["my_sampler"]


def nca(*arguments):
    return CliRunner().invoke(app, arguments)


def test_it_takes_no_more_than_twenty_lines():
    assert len(SOURCE.split("\n\n\n", 1)[1].splitlines()) <= 20


def test_the_command_line_computes_what_the_function_says(added):
    done = nca("reconstruct", SAMPLE, "--model", "demo", "--t", "300", "--steps", "10",
               "--sampler", "midpoint", "--clip", "--store", "s", "--json")  # fmt: skip
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["computed"] > 0
    (made,), (noise,) = ([one for one in Store("s").select() if one.is_noise == kind]
                         for kind in (False, True))  # fmt: skip
    assert (made.label, made.recipe.clip, made.recipe.final_alpha) == ("midpoint-10", 1.0, "one")
    assert made.recipe.eta is made.recipe.variance is None
    x_t = torch.from_numpy(noise.read("x_t", [(300, 0)]))
    expected = chain("demo", SamplerChoice("midpoint", 10, clip=True), x_t, 300)
    assert np.abs(made.read("x0_hat", [(300, 0)]) - expected.numpy()).max() < 1e-4


def test_the_command_line_knows_it_like_the_others(added):
    wrong = nca("reconstruct", "--sampler", "nosuch", "--model", "demo")
    assert wrong.exit_code == 2
    assert "dpmpp-2m, midpoint" in wrong.stderr
    eta = nca("reconstruct", "--sampler", "midpoint", "--model", "demo", "--eta", "1")
    assert f"--eta applies to {', '.join(taking('eta'))}, not to midpoint" in eta.stderr
    assert "midpoint" in complete.samplers("mid")


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A folder with the module, which nothing has imported; and how to write it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "own_sampler.py").write_text(SOURCE, "utf-8")
    yield tmp_path / "own_sampler.py"
    METHODS.pop("midpoint", None)
    sys.modules.pop("own_sampler", None)


COMMAND = ("reconstruct", SAMPLE, "--model", "demo", "--t", "300", "--steps", "4", "--store", "s",
           "--json")  # fmt: skip


def test_the_shell_takes_it_from_a_module_that_it_names(own):
    assert "midpoint" not in METHODS
    done, again = (nca(*COMMAND, "--sampler", "own_sampler:midpoint") for _ in range(2))
    assert done.exit_code == 0, done.output
    assert [json.loads(each.stdout)["computed"] for each in (done, again)] == [1, 0]
    assert [made.label for made in Store("s").select() if made.recipe] == ["midpoint-4"]


def test_another_version_of_it_is_another_recipe(own):
    nca(*COMMAND, "--sampler", "own_sampler:midpoint")
    METHODS["midpoint"] = replace(METHODS["midpoint"], version=2)
    again = nca(*COMMAND, "--sampler", "midpoint")
    assert json.loads(again.stdout)["computed"] == 1
    versions = {made.recipe.sampler_version for made in Store("s").select() if made.recipe}
    assert versions == {1, 2}


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nosuch_module:midpoint", "ModuleNotFoundError: No module named 'nosuch_module'"),
        ("own_sampler:nosuch", "own_sampler adds no sampler 'nosuch' to METHODS"),
    ],
)
def test_a_module_that_does_not_bring_it_is_one_line(own, name, said):
    wrong = nca(*COMMAND, "--sampler", name)
    assert wrong.exit_code == 2
    assert said in wrong.stderr
    assert wrong.stderr.count("\n") <= 2


def test_it_is_of_second_order_on_gaussian_data(added):
    """Against the exact probability flow from t = 900 to t = 100."""
    schedule, spectrum = Schedule(), np.array([1.0, 0.1, 0.01, 0.001])
    begin, end = schedule.level(900), schedule.level(100)
    spread = [np.sqrt(level.a**2 * spectrum + level.s**2) for level in (begin, end)]
    errors = []
    for h in (40, 20, 10):
        levels = [schedule.level(t) for t in range(900, 99, -h)]
        trajectory = added.midpoint_ode(np.ones(4), levels, midpoint=schedule.midpoint)
        x, _ = drive(trajectory, lambda x, level: Prediction(wiener_gain(level, spectrum) * x))
        errors.append(np.abs(x - spread[1] / spread[0]).max())
    assert all(3.3 < coarse / fine < 4.7 for coarse, fine in pairwise(errors)), errors


def test_the_closed_form_of_its_chains_comes_from_running_it(added):
    recipe = Recipe("w", "midpoint", steps=20, final_alpha="one", clip=1.0)
    spectrum = np.array([1.0, 0.1])
    found = linear(recipe, Schedule(), 500, spectrum)
    assert why_not(recipe) == ""
    trajectory = start(replace(recipe, clip=None), Schedule(), np.ones(2), 500)
    gain, _ = drive(trajectory, lambda x, level: Prediction(wiener_gain(level, spectrum) * x))
    np.testing.assert_array_equal(found.gain, gain)


def test_a_variant_of_ddim_ends_where_ddim_ends(pixel_pipeline, monkeypatch):
    """Where a chain ends is said by the entry of METHODS, not by its name."""
    model = find_model(str(pixel_pipeline))
    monkeypatch.setitem(METHODS, "variant", METHODS["ddim"])
    ends = {
        name: recipe_for(model, SamplerChoice(name)).final_alpha for name in ("ddim", "variant")
    }
    assert ends == {"ddim": "one", "variant": "one"}
