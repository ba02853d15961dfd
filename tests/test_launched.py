"""Several processes of one job: each does its share, one speaks, and none does another's work."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from nca_cli.cli import app
from nca_cli.cli.launched import Launch, launched
from nca_cli.errors import UsageError
from nca_cli.shard import Shard
from nca_cli.store import Store
from nca_cli.store.progress import SPREAD, Progress

TORCHRUN = {"RANK": "3", "WORLD_SIZE": "8", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2",
            "TORCHELASTIC_RUN_ID": "none", "MASTER_ADDR": "a", "MASTER_PORT": "1"}  # fmt: skip
# fmt: off
STEP = {"SLURM_JOB_ID": "7", "SLURM_STEP_ID": "0", "SLURM_PROCID": "5", "SLURM_NTASKS": "32",
        "SLURM_STEP_NUM_TASKS": "32", "SLURM_STEP_NUM_NODES": "4", "SLURM_LOCALID": "5"}
ARRAY = {"SLURM_JOB_ID": "9", "SLURM_ARRAY_JOB_ID": "8", "SLURM_PROCID": "0", "SLURM_NTASKS": "1"}
# fmt: on
REQUEST = ("--model", "wiener", "--size", "16", "--t", "100,300,500", "--sampler", "one-step")


def numbers(task, first, last, count):
    names = ("ID", "MIN", "MAX", "COUNT")
    given = zip(names, (task, first, last, count), strict=True)
    return {f"SLURM_ARRAY_TASK_{name}": str(number) for name, number in given}


SAID = {
    "nothing": ({}, None),
    "torchrun": (TORCHRUN, Launch("torchrun", "none-a-1", 3, 8, 1, 2)),
    "a rank alone": ({**TORCHRUN, "RANK": "0", "WORLD_SIZE": "1"}, None),
    "half of torchrun": ({"RANK": "1", "WORLD_SIZE": "2"}, None),
    "srun": (STEP, Launch("srun", "7.0", 5, 32, 5, 8)),
    "a batch script without srun": (
        {"SLURM_JOB_ID": "7", "SLURM_PROCID": "0", "SLURM_NTASKS": "32"}, None),
    "an array": ({**ARRAY, **numbers(3, 0, 7, 8)}, Launch("Slurm array", "8", 3, 8)),
    "an array from 1 in steps of 2": (
        {**ARRAY, **numbers(5, 1, 7, 4)}, Launch("Slurm array", "8", 2, 4)),
    "an array of one": ({**ARRAY, **numbers(5, 5, 5, 1)}, None),
    "steps of an array": (
        {**ARRAY, **STEP, **numbers(1, 0, 1, 2)}, Launch("srun", "8-7.0", 37, 64, 5, 8)),
    "torchrun in a step": ({**STEP, **TORCHRUN}, Launch("torchrun", "none-a-1", 3, 8, 1, 2)),
}  # fmt: skip


@pytest.mark.parametrize("case", SAID)
def test_the_environment_says_which_process_this_is(case):
    said, found = SAID[case]
    assert launched(said) == found


@pytest.mark.parametrize("task", [(2, 1, 7, 3), (3, 1, 8, 3)])
def test_an_array_with_gaps_is_refused(task):
    with pytest.raises(UsageError, match="array"):
        launched({**ARRAY, **numbers(*task)})


@pytest.mark.parametrize("images", [1, 3, 8, 70])
@pytest.mark.parametrize("count", [1, 2, 3, 7, 32])
def test_shares_make_the_whole_cost_the_same_and_read_few_images_twice(images, count):
    chain = [45, 40, 35, 30, 25, 20, 15, 10, 5]
    costs = [chain] * images
    shares = [Shard(index, count).of(costs) for index in range(count)]
    for row in range(images):
        assert sorted(c for share in shares for c in share[row]) == list(range(len(chain)))
    loads = [sum(costs[row][c] for row, columns in enumerate(share) for c in columns)
             for share in shares]  # fmt: skip
    assert max(loads) - sum(loads) / count <= max(chain)
    assert sum(bool(columns) for share in shares for columns in share) <= images + count - 1


@pytest.fixture
def pictures(tmp_path):
    """Five pictures, and one that is none."""
    random, folder = np.random.default_rng(0), tmp_path / "pictures"
    folder.mkdir()
    for i in range(5):
        pixels = random.integers(0, 256, (16, 16, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{i}.png")
    return folder


def ranks(monkeypatch, count, *words):
    """The command in each process of a job, in turn."""
    answers = []
    for rank in range(count):
        monkeypatch.setenv("LOCAL_RANK", str(rank))
        monkeypatch.setenv("RANK", str(rank))
        monkeypatch.setenv("WORLD_SIZE", str(count))
        answers.append(CliRunner().invoke(app, [*map(str, words), "--json"]))
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.delenv(name)
    return answers


def tensors(store):
    return {
        (one.image, one.name, *key): one.read("x_t" if one.is_noise else "x0_hat", [key])[0]
        for one in Store(store).select() for key in one.keys
    }  # fmt: skip


def test_each_computes_and_measures_its_share_and_one_speaks(pictures, tmp_path, monkeypatch):
    store, alone = tmp_path / "store", tmp_path / "alone"
    request = ("reconstruct", pictures, *REQUEST, "--store")
    done = ranks(monkeypatch, 3, *request, store)
    told = [json.loads(each.stdout) for each in done]
    assert sum(each["computed"] for each in told) == 15
    assert {each["computed"] for each in told} == {5}
    assert "share 0/3, as torchrun says" in done[0].stderr
    assert [each.stderr for each in done[1:]] == ["", ""]
    assert CliRunner().invoke(app, [*map(str, request), str(alone)]).exit_code == 0
    whole = tensors(alone)
    assert tensors(store).keys() == whole.keys()
    assert all((tensors(store)[key] == whole[key]).all() for key in whole)

    measured = ranks(monkeypatch, 2, "measure", "--measure", "psnr", "--store", store)
    counts = [json.loads(each.stdout)["computed"] for each in measured]
    again = CliRunner().invoke(app, ["measure", "--measure", "psnr", "--store", str(store),
                                     "--json"])  # fmt: skip
    assert min(counts) > 0
    assert json.loads(again.stdout)["computed"] == 0


def test_a_share_that_is_named_wins(pictures, tmp_path, monkeypatch):
    request = ("noise", pictures, *REQUEST[:6], "--store", tmp_path / "store", "--shard", "0/1")
    done = ranks(monkeypatch, 2, *request)
    assert [json.loads(each.stdout)["computed"] for each in done] == [15, 0]


def test_a_stamp_is_left_by_the_last_one(pictures, tmp_path, monkeypatch):
    stamp = tmp_path / "done"
    request = ("noise", pictures, *REQUEST[:6], "--store", tmp_path / "store", "--stamp", stamp)
    monkeypatch.setenv("LOCAL_RANK", "0")
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert CliRunner().invoke(app, [*map(str, request)]).exit_code == 0
    assert not stamp.exists()
    monkeypatch.setenv("RANK", "1")
    assert CliRunner().invoke(app, [*map(str, request)]).exit_code == 0
    assert stamp.exists()


def test_processes_that_start_late_agree_on_the_shares(pictures, tmp_path, monkeypatch):
    """The store changes while they start; what a share is does not."""
    store = tmp_path / "store"
    CliRunner().invoke(app, ["noise", str(pictures / "0.png"), *REQUEST[:6], "--store", str(store)])
    done = ranks(monkeypatch, 2, "noise", pictures, *REQUEST[:6], "--store", store)
    told = [json.loads(each.stdout) for each in done]
    assert sum(each["computed"] for each in told) == 12
    assert sum(each["cached"] for each in told) == 3


def test_a_cached_job_writes_nothing(pictures, tmp_path, monkeypatch):
    request = ("reconstruct", pictures, *REQUEST, "--store", tmp_path / "store")
    CliRunner().invoke(app, [*map(str, request)])

    def times():
        return {path: path.stat().st_mtime_ns for path in sorted((tmp_path / "store").rglob("*"))}

    before = times()
    assert [each.exit_code for each in ranks(monkeypatch, 2, *request)] == [0, 0]
    assert times() == before


def test_the_bar_is_of_all_processes_and_of_this_job(tmp_path):
    one, other = (Progress(tmp_path, "none-a-1", i, 2, again=True) for i in (0, 1))
    one.tell(total=10)
    assert one.seen() == (0, 10)
    other.tell(total=20)
    other.tell(5, ended=True)
    one.tell(1)
    assert one.seen() == (6, 30)
    one.wait(lambda: pytest.fail("the other one has ended"))
    (file,) = tmp_path.glob(".progress/*/1.json")
    old = file.stat().st_mtime - 2 * SPREAD
    os.utime(file, (old, old))
    assert one.seen() == (1, 10)


def test_torchrun_runs_them_and_a_bad_image_ends_none(pictures, tmp_path):
    """A real launcher. It ends all processes when one fails: so that one waits for the others."""
    (pictures / "0.png").write_bytes(b"no picture")
    store = tmp_path / "store"
    words = ["reconstruct", pictures, "--model", "demo", "--t", "200,600", "--steps", "10",
             "--store", store, "--json"]  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port",
         "29517", "-m", "nca_cli", *map(str, words)],
        capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 1
    told = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert sum(each["computed"] for each in told) == 8, done.stderr
    assert done.stderr.count("0.png: not an image") == 1
    assert done.stderr.count("to compute") == 1
    alone = ["reconstruct", *sorted(pictures.glob("[1-4].png")), *words[2:-3]]
    assert CliRunner().invoke(app, [*map(str, alone), "--store", str(tmp_path / "alone")]
                              ).exit_code == 0  # fmt: skip
    whole, found = tensors(tmp_path / "alone"), tensors(store)
    assert found.keys() == whole.keys()
    for key, values in whole.items():
        np.testing.assert_allclose(found[key], values, rtol=1e-5, atol=1e-5)
