"""A run's checkpoints are found as trainings leave them, in the order of their steps."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from pipelines import tiny_pixel, tiny_unet

from nca_cli.errors import UsageError
from nca_cli.runs import find_run, is_whole

STEPS = (0, 50, 500, 1000)


@pytest.fixture(scope="module")
def unet():
    return tiny_unet()


@pytest.fixture
def accelerate_run(tmp_path, unet):
    """As diffusers' training scripts leave it: `checkpoint-N/unet`, `unet_ema`, what resumes it."""
    root = tmp_path / "my-run"
    for step in STEPS:
        for part in ("unet", "unet_ema"):
            unet.save_pretrained(root / f"checkpoint-{step}" / part)
        (root / f"checkpoint-{step}" / "optimizer.bin").write_bytes(b"state")
    (root / "logs").mkdir()
    (root / "scheduler").mkdir()
    return root


def steps_of(run):
    return [saved.step for saved in run.steps]


def test_checkpoint_folders_are_found_in_the_order_of_their_steps(accelerate_run):
    run = find_run(str(accelerate_run))
    assert run.name == "my-run"
    assert steps_of(run) == list(STEPS)
    assert {saved.path.name for saved in run.steps} == {"unet_ema"}
    assert run.notes == ("run my-run: EMA weights (--weights raw takes the others)",)
    assert {saved.path.name for saved in find_run(str(accelerate_run), weights="raw").steps} == {
        "unet"
    }


def test_a_step_without_averaged_weights_is_left_out_aloud(accelerate_run):
    shutil.rmtree(accelerate_run / "checkpoint-0" / "unet_ema")
    run = find_run(str(accelerate_run))
    assert steps_of(run) == [50, 500, 1000]
    assert run.notes[1] == "run my-run: no ema weights at step 0"


def test_whole_pipelines_and_flat_folders_are_checkpoints(tmp_path, unet):
    tiny_pixel(tmp_path / "run" / "step-20")
    tiny_pixel(tmp_path / "run" / "step-100", layout="flat")
    unet.save_pretrained(tmp_path / "run" / "3")
    run = find_run(str(tmp_path / "run"))
    assert [(saved.step, saved.weights) for saved in run.steps] == [
        (3, "raw"), (20, "raw"), (100, "raw"),
    ]  # fmt: skip
    assert run.notes == ()


@pytest.mark.parametrize(
    ("names", "kind", "found"),
    [
        (["model000000.pt", "model050000.pt", "opt050000.pt"], "raw", [0, 50_000]),
        (["model050000.pt", "ema_0.9999_050000.pt", "opt050000.pt"], "ema", [50_000]),
        (["epoch=3-step=5000.ckpt", "epoch=12-step=20000.ckpt", "last.ckpt"], "raw", [5000, 20000]),
        (["global_step_7.ckpt", "readme.txt", ".model8.pt"], "raw", [7]),
    ],
)
def test_checkpoint_files_are_found_by_name(tmp_path, names, kind, found):
    for name in names:
        (tmp_path / name).touch()
    run = find_run(str(tmp_path))
    assert steps_of(run) == found
    assert {saved.weights for saved in run.steps} == {kind}
    prefix = "ldm:" if names[0].endswith(".ckpt") else "adm:"
    assert all(saved.source == f"{prefix}{saved.path}" for saved in run.steps)


def test_globs_lists_and_patterns_choose(tmp_path):
    for name in ("ema_0.9999_10.pt", "ema_0.9999_20.pt", "ema_0.999_20.pt", "it-30-final.pt"):
        (tmp_path / name).touch()
    assert steps_of(find_run(f"{tmp_path}/ema_0.9999_*.pt")) == [10, 20]
    both = f"{tmp_path / 'ema_0.999_20.pt'},{tmp_path / 'ema_0.9999_10.pt'}"
    assert steps_of(find_run(both)) == [10, 20]
    assert steps_of(find_run(str(tmp_path), step_pattern=r"it-(\d+)")) == [30]
    with pytest.raises(UsageError, match=r"step 20 comes twice \(.*ema_0.9999_20.pt and "):
        find_run(str(tmp_path))


def test_steps_are_chosen_among_those_that_are_there(accelerate_run):
    run = find_run(str(accelerate_run))
    assert steps_of(run.at([1000, 50])) == [50, 1000]
    assert steps_of(run.every(2)) == [50, 1000]
    assert steps_of(run.every(3)) == [0, 1000]
    assert steps_of(run.every(99)) == [1000]
    with pytest.raises(UsageError, match="run my-run has no step 7") as error:
        run.at([7, 50])
    assert error.value.hint == "it has: 0, 50, 500, 1000"


def test_a_run_says_in_its_folder_what_it_was_trained_with(accelerate_run):
    text = 'name = "p2-0"\ntrained_on = "every level, weighted by P2"\n'
    (accelerate_run / "run.toml").write_text(text)
    run = find_run(str(accelerate_run))
    assert run.name == "p2-0"
    assert run.settings["trained_on"] == "every level, weighted by P2"
    (accelerate_run / "run.toml").write_text("name =")
    with pytest.raises(UsageError, match=r"cannot read .*run\.toml"):
        find_run(str(accelerate_run))


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"weights": "ema"}, "has no ema weights"),
        ({"step_pattern": "("}, "is not a regular expression"),
        ({"step_pattern": "step"}, "has no group"),
        ({"step_pattern": r"epoch-(\d+)"}, "no checkpoints in"),
    ],
)
def test_what_does_not_fit_is_one_line(tmp_path, settings, complaint):
    (tmp_path / "model10.pt").touch()
    with pytest.raises(UsageError, match=complaint):
        find_run(str(tmp_path), **settings)


def test_a_place_that_is_not_there_is_one_line(tmp_path):
    with pytest.raises(UsageError, match="no such run"):
        find_run(str(tmp_path / "nowhere"))


# -- written to the end? ---------------------------------------------------------------------------


@pytest.fixture(params=["safetensors", "pt", "folder"])
def written(request, tmp_path, unet):
    """A checkpoint, and its file of weights."""
    import torch

    if request.param == "pt":
        torch.save(unet.state_dict(), tmp_path / "model1.pt")
        return tmp_path / "model1.pt", tmp_path / "model1.pt"
    unet.save_pretrained(tmp_path / "unet")
    file = tmp_path / "unet" / "diffusion_pytorch_model.safetensors"
    return (file if request.param == "safetensors" else tmp_path / "unet"), file


def test_a_checkpoint_is_whole_only_when_its_last_byte_is_written(written):
    checkpoint, file = written
    assert is_whole(checkpoint)
    content = file.read_bytes()
    for length in (0, 4, 8, 100, len(content) // 2, len(content) - 1):
        file.write_bytes(content[:length])
        assert not is_whole(checkpoint), length
    file.write_bytes(content)
    assert is_whole(checkpoint)


def test_a_folder_whose_weights_are_still_to_come_is_not_whole(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    assert not is_whole(tmp_path)
    assert not is_whole(Path(os.devnull))
