"""A command that is printed does what it is printed for: what it names is there afterwards."""

import json
import shlex

import numpy as np
import pipelines
import pytest
from stores import change_a_tensor
from typer.testing import CliRunner

from nca_cli.cli import app
from nca_cli.store import Store

CHAIN = ("--sampler", "ddim", "--steps", "4")
PIXEL, DIT, FLOW = "pixel", "dit", "flow"
CASES = {
    "size of wiener": ("wiener", "--size", "32"),
    "clipped wiener": ("wiener", "--size", "32", *CHAIN, "--clip"),
    "usual chain": (PIXEL, *CHAIN),
    "several samplers": (PIXEL, *CHAIN, "--sampler", "one-step", "--sampler", "pndm"),
    "digits of eta": (PIXEL, *CHAIN, "--eta", "0.123456789,0.1234567891"),
    "no clipping": (PIXEL, *CHAIN, "--no-clip"),
    "tf32": (PIXEL, "--sampler", "one-step", "--tf32"),
    "dtype": (PIXEL, "--sampler", "one-step", "--dtype", "bfloat16"),
    "fit": (PIXEL, "--sampler", "one-step", "--fit", "pad"),
    "label": (DIT, "--sampler", "one-step", "--label", "7"),
    "guidance": (DIT, *CHAIN, "--label", "7", "--guidance", "2.3456789012"),
    "levels between": (FLOW, *CHAIN),
}
LEVELS = {FLOW: (123.456789012, 500.5, 800), None: (20, 300, 600)}


def nca(*arguments, code=0):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output
    return result.stdout


def follow(line):
    """Run what was printed, as a shell would."""
    for command in line.split(" && "):
        program, *arguments = shlex.split(command)
        assert program == "nca"
        nca(*arguments)


def content(store):
    """(image, artifact, t, seed) → tensor, of everything in a store."""
    return {
        (artifact.image, artifact.name, *key): artifact.read(
            "x_t" if artifact.is_noise else "x0_hat", [key]
        )[0]
        for artifact in store.select()
        for key in artifact.keys
    }


@pytest.fixture(scope="module")
def models(tmp_path_factory, pixel_pipeline):
    folder = tmp_path_factory.mktemp("models")
    return {
        PIXEL: pixel_pipeline,
        DIT: pipelines.tiny_dit(folder / "dit"),
        FLOW: pipelines.tiny_flow(folder / "flow"),
        "wiener": "wiener",
    }


@pytest.fixture(params=CASES)
def asked(request, models, faces, monkeypatch):
    """Two pictures at two of three levels, in a store; its path, and the three levels."""
    model, *options = CASES[request.param]
    monkeypatch.chdir(faces)
    levels = LEVELS.get(model, LEVELS[None])
    t = ",".join(map(str, (levels[0], levels[2])))
    nca("reconstruct", "anna.png", "ben.png", "--model", models[model], *options,
        "--t", t, "--seed", 3, "--store", "my store")  # fmt: skip
    return Store("my store"), levels


def test_the_command_of_a_grid_fills_its_blanks_by_the_recipes_that_are_there(asked):
    store, levels = asked
    shown = ("grid", "--store", store.root, "--t", ",".join(map(str, levels)), "--json")
    before, told = content(store), json.loads(nca(*shown, "-o", "grid.png"))
    assert told["missing"] > 0
    follow(told["command"])
    assert json.loads(nca(*shown, "-o", "grid.png"))["missing"] == 0
    after = content(store)
    assert {key[:2] for key in after} == {key[:2] for key in before}
    assert len(after) == len(before) * 3 // 2
    assert all(np.array_equal(after[key], tensor) for key, tensor in before.items())


@pytest.mark.parametrize("harm", ["a bit", "all of it"])
def test_the_command_of_verify_makes_what_was_lost_anew(asked, harm):
    store, _ = asked
    before = content(store)
    for part in [part for part in store.all_parts() if part.names[1].startswith("anna")]:
        if harm == "a bit":
            change_a_tensor(part.path)
        else:
            part.path.write_bytes(b"")
        findings = json.loads(nca("verify", "--repair", "--store", store.root, "--json", code=1))
        (lost,) = [each["command"] for each in findings if not each["ok"]]
        follow(lost)
        after = content(store)
        assert after.keys() == before.keys()
        for key, tensor in before.items():
            np.testing.assert_allclose(after[key], tensor, atol=1e-4, err_msg=str(key))


def test_a_store_that_commands_take_anyway_is_not_named(faces, monkeypatch):
    monkeypatch.chdir(faces)
    monkeypatch.setenv("NCA_STORE", "elsewhere")
    nca("noise", "anna.png", "--model", "wiener", "--size", 16, "--t", 20)
    (part,) = Store("elsewhere").all_parts()
    part.path.write_bytes(part.path.read_bytes()[:-100])
    findings = json.loads(nca("verify", "--repair", "--json", code=1))
    (lost,) = [each for each in findings if not each["ok"]]
    assert "--store" not in lost["command"]
    assert lost["command"].startswith("nca noise ")
