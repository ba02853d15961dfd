"""A training as an axis: its checkpoints become artifacts of one model."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import threading
import time

import numpy as np
import pytest
from pipelines import edit_json, tiny_pixel, tiny_unet
from test_cli import fails, loaded, nca

from nca_cli.engine import Request, followed, reconstructions
from nca_cli.models import find_model
from nca_cli.store import Filters, Store
from nca_cli.store.header import steps_of

STEPS = (0, 50, 500)
SMALL = ("--t", "100,600", "--sampler", "one-step")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run of three checkpoints, as diffusers' scripts leave it: only its end is a pipeline."""
    root = tmp_path_factory.mktemp("runs") / "mine"
    tiny_pixel(root)
    for number, step in enumerate(STEPS):
        for part, seed in (("unet", 10 + number), ("unet_ema", 20 + number)):
            tiny_unet(seed=seed).save_pretrained(root / f"checkpoint-{step}" / part)
    return root


@pytest.fixture
def run(trained, tmp_path):
    return shutil.copytree(trained, tmp_path / "mine")


def reconstruct(run, store, faces, *options):
    return nca("reconstruct", faces, "--run", run, "--store", store, *SMALL, *options)


def stored_steps(store, **filters):
    found = Store(store).select(Filters(**filters))
    return sorted({each.step for each in found if not each.is_noise})


def test_every_checkpoint_is_an_artifact_of_one_model_over_one_noise(run, tmp_path, faces):
    result = reconstruct(run, tmp_path / "store", faces)
    assert result.exit_code == 0, result.output
    assert "mine step 500 · one-step · 3 images: 6 of 6 to compute" in result.stderr
    assert "run mine: EMA weights (--weights raw takes the others)" in result.stderr
    store = Store(tmp_path / "store")
    (model,) = store.models()
    assert stored_steps(store.root) == list(STEPS)
    assert sorted(steps_of(store.model_info(model))) == list(STEPS)
    for image in store.images(model):
        assert sum(each.is_noise for each in store.artifacts(model, image)) == 1


def test_a_checkpoint_answers_as_the_pipeline_with_its_weights_does(run, tmp_path, faces):
    """The oracle: the same weights, saved as a whole pipeline, asked by --model."""
    whole = shutil.copytree(run, tmp_path / "whole", ignore=shutil.ignore_patterns("checkpoint-*"))
    shutil.rmtree(whole / "unet")
    shutil.copytree(run / "checkpoint-50" / "unet_ema", whole / "unet")
    store = tmp_path / "store"
    assert reconstruct(run, store, faces, "--at", "50").exit_code == 0
    assert nca("reconstruct", faces, "--model", whole, "--store", store, *SMALL).exit_code == 0
    found = Store(store).select()
    noises = [each for each in found if each.is_noise and each.image_name == "anna"]
    made = [each for each in found if not each.is_noise and each.image_name == "anna"]
    assert len(noises) == len(made) == 2
    for pair, dataset in ((noises, "x_t"), (made, "x0_hat")):
        one, other = (each.read(dataset, sorted(each.keys)) for each in pair)
        np.testing.assert_allclose(one, other, atol=1e-6)
    assert len({each.recipe.weights for each in made}) == 1


def test_at_and_every_choose(run, tmp_path, faces):
    store = tmp_path / "store"
    assert reconstruct(run, store, faces, "--at", "500").exit_code == 0
    assert stored_steps(store) == [500]
    assert reconstruct(run, store, faces, "--every", "2").exit_code == 0
    assert stored_steps(store) == [0, 500]
    fails(reconstruct(run, store, faces, "--at", "77"), 2, "run mine has no step 77")


def test_a_run_that_has_grown_computes_only_what_is_new(run, tmp_path, faces):
    store = tmp_path / "store"
    later = run / "checkpoint-500"
    later.rename(tmp_path / "later")
    assert reconstruct(run, store, faces).exit_code == 0
    (tmp_path / "later").rename(later)
    result = reconstruct(run, store, faces, "--json")
    assert json.loads(result.stdout)["computed"] == 6
    assert json.loads(reconstruct(run, store, faces, "--json").stdout)["computed"] == 0


def test_raw_weights_are_a_model_of_their_own(run, tmp_path, faces):
    store = tmp_path / "store"
    assert reconstruct(run, store, faces).exit_code == 0
    assert reconstruct(run, store, faces, "--weights", "raw").exit_code == 0
    names = sorted({each.model_name for each in Store(store).select()})
    assert names == ["mine", "mine-raw"]


def test_a_replaced_checkpoint_is_named_and_the_rest_computed(run, tmp_path, faces):
    store = tmp_path / "store"
    assert reconstruct(run, store, faces, "--at", "0,50").exit_code == 0
    tiny_unet(seed=77).save_pretrained(run / "checkpoint-50" / "unet_ema")
    result = reconstruct(run, store, faces)
    assert result.exit_code == 1
    assert "mine: step 50 is stored with other weights" in result.stderr
    assert "--run NAME=PATH" in result.stderr
    assert stored_steps(store) == list(STEPS)
    assert len({a.recipe.weights for a in Store(store).select() if a.step == 50}) == 1


def test_another_run_of_the_same_name_is_not_mixed_in(run, tmp_path, faces):
    store, other = tmp_path / "store", tmp_path / "elsewhere" / "mine"
    shutil.copytree(run, other)
    for number, step in enumerate(STEPS):
        unet = tiny_unet(seed=90 + number)
        unet.save_pretrained(other / f"checkpoint-{step}" / "unet_ema")
    assert reconstruct(run, store, faces).exit_code == 0
    result = reconstruct(other, store, faces)
    assert result.exit_code == 1
    assert result.stderr.count("is stored with other weights") == len(STEPS)
    assert reconstruct(f"theirs={other}", store, faces).exit_code == 0
    assert sorted({a.model_name for a in Store(store).select()}) == ["mine", "theirs"]
    both = nca("reconstruct", faces, "--run", run, "--run", other, "--store", store)
    fails(both, 2, "two runs are called mine")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda run: tiny_unet(seed=5, layers_per_block=2).save_pretrained(
            run / "checkpoint-50" / "unet_ema"), "step 50: has another network than step 0"),
        (lambda run: tiny_unet(size=8, seed=5).save_pretrained(
            run / "checkpoint-50" / "unet_ema"), "step 50: has another shape than step 0"),
        (lambda run: (run / "checkpoint-50" / "unet_ema" / "diffusion_pytorch_model.safetensors")
            .unlink(), "is incomplete"),
        (lambda run: _cut(run), "is incomplete"),
        (lambda run: (run / "checkpoint-50" / "unet_ema" / "config.json").write_text("{"),
            "cannot read"),
    ],
)  # fmt: skip
def test_one_bad_checkpoint_is_one_line_and_the_rest_is_computed(
    run, tmp_path, faces, change, says
):
    change(run)
    result = reconstruct(run, tmp_path / "store", faces)
    assert result.exit_code == 1
    assert result.stderr.count("error: ") == 1
    assert says in result.stderr
    assert stored_steps(tmp_path / "store") == [0, 500]


def _cut(run):
    path = run / "checkpoint-50" / "unet_ema" / "diffusion_pytorch_model.safetensors"
    path.write_bytes(path.read_bytes()[:-10])


def test_one_checkpoint_under_two_steps_counts_once(run, tmp_path, faces):
    shutil.copytree(run / "checkpoint-500", run / "checkpoint-600")
    result = reconstruct(run, tmp_path / "store", faces)
    assert result.exit_code == 1
    assert "step 600 has the same weights as step 500" in result.stderr
    assert stored_steps(tmp_path / "store") == list(STEPS)


def test_a_network_without_a_scheduler_says_where_to_put_it(run, tmp_path, faces):
    shutil.rmtree(run / "scheduler")
    result = reconstruct(run, tmp_path / "store", faces, "--at", "0")
    assert result.exit_code == 1
    assert "has no scheduler_config.json, and neither has any folder above it" in result.stderr
    assert str(run / "checkpoint-0" / "scheduler" / "scheduler_config.json") in result.stderr


def test_a_checkpoint_by_itself_is_a_model(run):
    network = run / "checkpoint-50" / "unet_ema"
    model = find_model(str(network))
    assert model.name == "checkpoint-50-ema"
    assert model.trained is None
    with pytest.raises(Exception, match="is not a diffusers pipeline") as caught:
        find_model(str(run / "checkpoint-50"))
    assert str(network) in caught.value.hint


def test_options_of_a_training_need_one(tmp_path, faces):
    for option in (("--at", "5"), ("--every", "2"), ("--weights", "ema")):
        result = nca("reconstruct", faces, "--store", tmp_path / "s", *option)
        fails(result, 2, f"{option[0]} applies only to trainings")
    fails(nca("reconstruct", faces, "--follow", "--store", tmp_path / "s"), 2, "--follow")
    fails(nca("reconstruct", faces, "--run", "nowhere", "--store", tmp_path / "s"), 2, "nowhere")
    bad = nca("reconstruct", faces, "--run", "x", "--at", "-3", "--store", tmp_path / "s")
    fails(bad, 2, "--at -3 is not a step")


def test_noise_of_a_run_is_made_once(run, tmp_path, faces):
    result = nca("noise", faces, "--run", run, "--store", tmp_path / "s", "--t", "100", "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["computed"] == 3


FACTORY = '''
import torch
from nca_cli.schedule import Schedule

class Shrink:
    """Predicts x0 as a share of x_t that grows with training."""
    shape, prediction = (3, 16, 16), "sample"

    def __init__(self, step):
        self.identity, self.share = f"shrink {step}", step / 1000

    def __call__(self, x, t):
        return self.share * x

def at_step(step):
    return Shrink(step)
'''


def test_a_factory_is_asked_for_each_step(tmp_path, faces, monkeypatch):
    (tmp_path / "shrinking.py").write_text(FACTORY)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    store = tmp_path / "store"
    fails(
        reconstruct("shrinking:at_step", store, faces),
        2,
        "the steps of --run shrinking:at_step are not known",
    )
    result = reconstruct("shrinking:at_step", store, faces, "--at", "100,800")
    assert result.exit_code == 0, result.output
    for artifact in (a for a in Store(store).select() if not a.is_noise):
        noise = next(a for a in Store(store).select() if a.is_noise and a.image == artifact.image)
        keys = sorted(artifact.keys)
        expected = artifact.step / 1000 * noise.read("x_t", keys)
        np.testing.assert_allclose(artifact.read("x0_hat", keys), expected, atol=1e-6)


def test_filters_take_a_run_and_its_steps(run, tmp_path, faces):
    store = tmp_path / "store"
    assert reconstruct(run, store, faces).exit_code == 0
    listed = json.loads(nca("ls", "--store", store, "--run", "mine", "--at", "50", "--json").stdout)
    assert len(json.dumps(listed)) > 2
    for place in ("mine", str(run)):
        result = nca("export", "--out", tmp_path / place.replace("/", "-"), "--store", store,
                     "--run", place, "--at", "0,50", "--t", "100")  # fmt: skip
        assert result.exit_code == 0, result.output
    gone = nca("rm", "--store", store, "--run", "mine", "--at", "0", "--yes")
    assert gone.exit_code == 0, gone.output
    assert stored_steps(store) == [50, 500]
    fails(nca("grid", "--store", store, "--run", "yours"), 1, "no training yours in ")


def test_what_lacks_is_computed_by_the_line_that_is_told(run, tmp_path, faces):
    """`verify` of a damaged step tells a command, and that command computes it again."""
    store = tmp_path / "store"
    assert reconstruct(run, store, faces).exit_code == 0
    artifact = next(a for a in Store(store).select() if a.step == 50 and a.image_name == "ben")
    path = artifact.parts[0].path
    path.write_bytes(path.read_bytes()[:-100])
    result = nca("verify", "--store", store, "--repair", "--yes")
    assert f"--run {run} --at 50 --sampler one-step" in result.output.replace("\n", " ")
    (line,) = re.findall(r"nca (reconstruct .*)", result.output)
    words = [str(faces / "ben.png") if word == "IMAGES" else word for word in shlex.split(line)]
    again = nca(*words)
    assert again.exit_code == 0, again.output
    assert sum(a.step == 50 for a in Store(store).select()) == 3


def test_followed_takes_checkpoints_as_they_come(run, tmp_path, faces):
    """Half-written ones are waited for, and the last step ends it."""
    store, late = tmp_path / "store", run / "checkpoint-500" / "unet_ema"
    (run / "run.toml").write_text("steps = 500\n")
    weights = late / "diffusion_pytorch_model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[: len(whole) // 2])
    seen, errors = [], []

    def finish():
        while len(seen) < 2:
            time.sleep(0.01)
        time.sleep(0.2)
        weights.write_bytes(whole)

    writer = threading.Thread(target=finish)
    writer.start()
    request = Request([faces], runs=[str(run)], t=[100], samplers=["one-step"])
    for work in followed(request, Store(store), "cpu", errors.append, pause=0.05):
        for _ in work:
            pass
        seen.append(work.plan.model.trained.step)
    writer.join()
    assert seen == [0, 50, 500]
    assert errors == []
    assert stored_steps(store) == [0, 50, 500]


def test_a_diverged_checkpoint_is_tried_once_however_long_others_are_waited_for(
    run, tmp_path, faces
):
    (run / "run.toml").write_text("steps = 500\n")
    diverged = tiny_unet(seed=3)
    diverged.conv_out.weight.data.fill_(3e38)
    diverged.save_pretrained(run / "checkpoint-50" / "unet_ema")
    late = run / "checkpoint-500" / "unet_ema" / "diffusion_pytorch_model.safetensors"
    whole, seen, errors = late.read_bytes(), [], []
    late.write_bytes(whole[:-10])
    finish = threading.Timer(3, late.write_bytes, [whole])
    finish.start()
    request = Request([faces], runs=[str(run)], t=[100], samplers=["one-step"])
    for work in followed(request, Store(tmp_path / "store"), "cpu", errors.append, pause=0.05):
        list(work)
        seen.append(work.plan.model.trained.step)
    finish.join()
    assert seen == [0, 50, 500]
    assert {"is not finite" in str(error) for error in errors} == {True}


def test_the_next_checkpoint_is_read_while_one_computes(run, tmp_path, faces):
    request = Request([faces], runs=[str(run)], t=[100], samplers=["one-step"])
    works = list(reconstructions(request, Store(tmp_path / "store"), "cpu"))
    ahead = [work.following and work.following.trained.step for work in works]
    assert ahead == [50, 500, None]


def test_a_cached_sweep_loads_no_torch(run, tmp_path, faces):
    store = tmp_path / "store"
    assert reconstruct(run, store, faces).exit_code == 0
    asked = ("reconstruct", faces, "--run", run, "--store", store, *SMALL)
    assert not {"torch", "diffusers"} & loaded(*asked)


def test_the_run_that_ships_needs_no_path(tmp_path):
    result = nca("reconstruct", "--run", "demo-run", "--at", "0,6400", "--store", tmp_path / "s",
                 "--t", "300", "--sampler", "one-step", "--limit", "2")  # fmt: skip
    assert result.exit_code == 0, result.output
    store = Store(tmp_path / "s")
    assert store.model_info(store.models()[0])["source"] == "built in"
    assert stored_steps(store.root, latest=True) == [6400]


def test_settings_of_a_run_stand_in_the_store(run, tmp_path, faces):
    (run / "run.toml").write_text('name = "first try"\nbatch_size = 32\nwhen = 2026-01-02\n')
    assert reconstruct(run, tmp_path / "store", faces, "--at", "0").exit_code == 0
    store = Store(tmp_path / "store")
    info = store.model_info(store.models()[0])
    assert info["name"] == "first-try"
    assert info["run"]["settings"] == {
        "name": "first try", "batch_size": 32, "when": "2026-01-02",
    }  # fmt: skip


def test_schedules_are_not_mixed(run, tmp_path, faces):
    shutil.copytree(run / "scheduler", run / "checkpoint-50" / "scheduler")
    edit_json(run / "checkpoint-50" / "scheduler" / "scheduler_config.json", beta_end=0.03)
    result = reconstruct(run, tmp_path / "store", faces)
    assert result.exit_code == 1
    assert "step 50: has another schedule than step 0" in result.stderr
