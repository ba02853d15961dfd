"""A new kind of model takes one file: docs/adding-a-family.md, followed word for word."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import h5py
import numpy as np
from pipelines import save_index
from typer.testing import CliRunner

from nca_cli.cli import app
from nca_cli.models.families import FAMILIES

PAGE = Path(__file__).parent.parent / "docs" / "adding-a-family.md"
SIDE, GREY = 16, 0.25


def save(folder):
    """A pipeline of the new network class in the layout of the hub; the folder.

    Its network says that every image is grey, but for what a weight adds to it.
    """
    import diffusers
    import torch
    from safetensors.torch import save_file

    (folder / "greynet").mkdir(parents=True)
    config = {"_class_name": "GreyNet", "sample_size": SIDE, "in_channels": 3}
    (folder / "greynet" / "config.json").write_text(json.dumps(config))
    weights = {"grey": torch.tensor([GREY])}
    save_file(weights, folder / "greynet" / "diffusion_pytorch_model.safetensors")
    scheduler = diffusers.DDIMScheduler(prediction_type="sample", clip_sample=False)
    scheduler.save_pretrained(folder / "scheduler")
    save_index(folder, "GreyPipeline", {
        "scheduler": ["diffusers", "DDIMScheduler"], "greynet": ["grey", "GreyNet"],
    })  # fmt: skip
    return folder


def test_a_model_family_of_a_new_network_class_takes_one_file_and_sixty_lines(
    tmp_path, monkeypatch, faces, one_thread
):
    code = re.search(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)[1]
    assert len(code.splitlines()) <= 60
    model, store = save(tmp_path / "greys"), tmp_path / "store"
    (tmp_path / "grey.py").write_text(code)
    command = ["reconstruct", str(faces / "anna.png"), "--model", str(model), "--t", "500",
               "--sampler", "one-step", "--store", str(store), "--device", "cpu"]  # fmt: skip
    refused = CliRunner().invoke(app, command)
    assert (refused.exit_code, "GreyPipeline" in refused.output) == (1, True)

    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "grey", raising=False)
    from grey import GREYS

    monkeypatch.setitem(FAMILIES, GREYS.network, GREYS)
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    [artifact] = store.rglob("one-step-*.h5")
    with h5py.File(artifact) as file:
        x0_hat = file["x0_hat"][:]
    told = 500 / 1000  # its time is a share of the range
    np.testing.assert_array_equal(x0_hat, np.full((1, 3, SIDE, SIDE), GREY * told, np.float32))
