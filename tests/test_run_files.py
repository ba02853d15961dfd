"""Runs of checkpoint files that reveal their networks: which they are, and of which step."""

from __future__ import annotations

import subprocess
import sys

import lucid_reference as lucid
import numpy as np
import pytest
from edm_reference import random_edm
from sde_reference import Ncsnpp
from typer.testing import CliRunner

from nca_cli.cli import app
from nca_cli.errors import ModelError, UsageError
from nca_cli.models import find_model, load_denoiser
from nca_cli.models.inside import step_inside
from nca_cli.runs import find_run, models_of
from nca_cli.store import Store

pytestmark = pytest.mark.usefixtures("one_thread", "own_cache")


def lucid_file(folder, number):
    """As its Trainer saves every 1,000 steps: `model-7.pt` of step 7,000."""
    import torch

    last, averaged = (lucid.random_unet(seed)[0] for seed in (100 + number, number))
    last, averaged = (lucid.state_dict(each, "sigmoid", "pred_v") for each in (last, averaged))
    ema = {f"ema_model.{key}": value for key, value in averaged.items()}
    # torch keeps the word "step" once, and names it by its number in the second place
    torch.save({"opt": {"state": {0: {"step": torch.tensor(4.0)}}, "param_groups": []},
                "model": last, "ema": {**ema, "step": torch.tensor(5)}, "step": 1000 * number,
                "version": "2.3.4"}, folder / f"model-{number}.pt")  # fmt: skip


def sde_file(folder, number):
    """As score_sde saves every 1,000 steps: `checkpoint_7.pth`."""
    import torch

    last, averaged = (Ncsnpp(seed=seed, mults=(1, 4)).tensors for seed in (100 + number, number))
    fixed = "all_modules.0.W"
    torch.save({
        "optimizer": {"state": {}, "param_groups": []}, "model": last | {fixed: averaged[fixed]},
        "ema": {"decay": 0.999, "num_updates": 9,
                "shadow_params": [each for key, each in averaged.items() if key != fixed]},
        "step": 1000 * number,
    }, folder / f"checkpoint_{number}.pth")  # fmt: skip


def edm_file(folder, number):
    """Saved by hand of EDM's `network-snapshot-000007.pkl`, which counts thousands of images."""
    import torch

    network = random_edm(seed=number)
    tensors = {f"model.{key}": value for key, value in network.state_dict().items()}
    torch.save(tensors, folder / f"network-snapshot-{number:06d}.pt")


KINDS = {
    "lucid": (lucid_file, "image_size = 16\n", "ema", 1000),
    "sde": (sde_file, "image_size = 16\nsigma_max = 50.0\nnum_scales = 40\n", "ema", 1000),
    "edm": (edm_file, "", None, 1),
}  # fmt: skip


@pytest.fixture
def run_of(tmp_path):
    """Makes the folder of a training of a kind, with the checkpoints of some numbers."""

    def made(kind, numbers=(1, 3)):
        folder = tmp_path / f"{kind}-run"
        folder.mkdir()
        write, toml, *_ = KINDS[kind]
        for number in numbers:
            write(folder, number)
        (folder / f"{kind}.toml").write_text(toml)
        return folder

    return made


@pytest.mark.parametrize("kind", KINDS)
def test_the_toml_beside_them_says_the_kind_and_the_file_its_step(run_of, kind):
    folder, (_, _, weights, unit) = run_of(kind, (1, 10)), KINDS[kind]
    run = find_run(str(folder))
    assert (run.name, [saved.step for saved in run.steps]) == (folder.name, [unit, 10 * unit])
    assert {saved.weights for saved in run.steps} == {weights}
    assert run.notes == ()
    assert [saved.source for saved in run.steps] == [f"{kind}:{saved.path}" for saved in run.steps]
    models = models_of(run)
    assert [model.name for model in models] == [folder.name] * 2
    alone = [find_model(saved.source) for saved in run.steps]
    assert [model.revision for model in models] == [model.revision for model in alone]
    assert len({model.revision for model in models}) == 2
    assert {model.space for model in models} == {alone[0].space}


def test_its_checkpoints_are_reconstructed_and_a_rerun_is_a_full_hit(run_of, faces, tmp_path):
    folder, store = run_of("lucid"), tmp_path / "s"
    command = ["reconstruct", faces / "anna.png", "--run", folder, "--t", "300", "--sampler",
               "one-step", "--store", store]  # fmt: skip
    runs = [CliRunner().invoke(app, [str(word) for word in command]) for _ in range(2)]
    assert [run.exit_code for run in runs] == [0, 0], runs[0].output
    assert runs[1].output.count("all 1 sample cached") == 2
    made = [each for each in Store(store).select() if not each.is_noise]
    assert {each.step: each.checkpoint["weights"] for each in made} == {1000: "ema", 3000: "ema"}
    first, last = (each.read("x0_hat", [(300, 0)]) for each in made)
    assert np.abs(first - last).max() > 1e-3


def test_a_pattern_of_ones_own_reads_the_name(run_of):
    run = find_run(str(run_of("lucid")), step_pattern=r"model-(\d+)")
    assert [saved.step for saved in run.steps] == [1, 3]


def test_finding_a_run_loads_no_torch(run_of):
    code = (
        "import sys\nfrom nca_cli.runs import find_run\n"
        "print([each.step for each in find_run(sys.argv[1]).steps], 'torch' in sys.modules)\n"
    )
    run = subprocess.run([sys.executable, "-c", code, run_of("lucid")], capture_output=True,
                         text=True)  # fmt: skip
    assert run.stdout == "[1000, 3000] False\n", run.stderr


@pytest.mark.parametrize("zipped", [True, False])
def test_the_step_of_a_file_is_its_first_whole_number_of_that_name(tmp_path, zipped):
    import torch

    value = {"state": {"global_step": torch.tensor(3), "lr": 0.1}, "global_step": 70_000,
             "again": {"global_step": 9}}  # fmt: skip
    file = tmp_path / "last.ckpt"
    torch.save(value, file, _use_new_zipfile_serialization=zipped)
    assert step_inside(file, "global_step") == 70_000
    assert step_inside(file, "step") is None
    file.write_bytes(b"")
    assert step_inside(file, "global_step") is None


def test_two_tomls_that_say_the_kind_are_refused_and_weights_that_are_not_told(run_of):
    folder = run_of("edm")
    with pytest.raises(UsageError, match="has no raw weights") as caught:
        find_run(str(folder), weights="raw")
    assert caught.value.hint == "leave out --weights: its files do not say"
    (folder / "adm.toml").write_text("")
    with pytest.raises(UsageError, match=r"holds adm.toml and edm.toml"):
        find_run(str(folder))


def test_without_a_toml_files_are_of_the_kinds_that_they_were(tmp_path):
    for name in ("model1.pt", "step=2.ckpt", "checkpoint_3.pth", "model4.safetensors"):
        (tmp_path / name).touch()
    found = find_run(str(tmp_path))
    assert [saved.source.partition(":")[0] for saved in found.steps] == ["adm", "ldm"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_that_is_taken_for_another_kind_names_its_own(tmp_path, kind):
    KINDS[kind][0](tmp_path, 3)
    (file,) = tmp_path.iterdir()
    with pytest.raises(ModelError) as caught:
        load_denoiser(find_model(f"adm:{file}"), device="cpu")
    assert caught.value.hint.startswith(f"its names are those of {kind}:PATH; of files of a run, ")
