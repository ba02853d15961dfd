"""A new kind of model takes one record: docs/adding-a-family.md, followed word for word."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from typer.testing import CliRunner

from nca_cli.cli import app
from nca_cli.models.families import FAMILIES

PAGE = Path(__file__).parent.parent / "docs" / "adding-a-family.md"
NETWORK, FAMILY, SAVING = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
SIDE, GREY = 16, 0.25


@pytest.fixture
def here(tmp_path, monkeypatch):
    """The folder where the page's code lies; what it adds is taken out again."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    Path("greynet.py").write_text(NETWORK, "utf-8")
    Path("greys.py").write_text(FAMILY, "utf-8")
    exec(compile(SAVING, "saving", "exec"), {})
    yield tmp_path
    FAMILIES.pop("GreyNet", None)
    for module in ("greynet", "greys"):
        sys.modules.pop(module, None)


def test_a_model_family_of_a_new_network_class_takes_sixty_lines(here, faces, one_thread):
    assert len((NETWORK + FAMILY).splitlines()) <= 60
    store = here / "store"
    command = ["reconstruct", str(faces / "anna.png"), "--model", str(here / "greys"), "--t", "500",
               "--sampler", "one-step", "--store", str(store), "--device", "cpu"]  # fmt: skip
    refused = CliRunner().invoke(app, command)
    assert (refused.exit_code, "GreyPipeline" in refused.output) == (1, True)

    importlib.import_module("greys")
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    [artifact] = store.rglob("one-step-*.h5")
    with h5py.File(artifact) as file:
        x0_hat = file["x0_hat"][:]
    told = 500 / 1000  # its time is a share of the range
    np.testing.assert_array_equal(x0_hat, np.full((1, 3, SIDE, SIDE), GREY * told, np.float32))


def test_torch_is_not_loaded_before_the_network_is_made(here):
    code = "import sys, greys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
