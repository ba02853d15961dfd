"""A live network is watched from inside its training loop, and the training does not notice."""

from __future__ import annotations

import math
import random
import subprocess
import sys
import time
from contextlib import nullcontext

import numpy as np
import pytest
import warm
from pages import ROOT, blocks, environment, run_python, run_shell
from pipelines import save_index, save_part, tiny_unet

import nca_cli
from nca_cli.commands import settings
from nca_cli.errors import ImageError, ModelError, NcaError, StoreError, UsageError
from nca_cli.metrics import measure
from nca_cli.schedule import FlowMatching
from nca_cli.store import Filters, Store

PAGE = ROOT / "docs" / "training-loop.md"
T = (100, 500, 900)
pytestmark = pytest.mark.usefixtures("one_thread")


def tiny(dropout=0.0, **settings):
    """A trainable network; with dropout, which draws random numbers in training mode."""
    return tiny_unet(dropout=dropout, **settings).train()


def watched(faces, **more):
    return nca_cli.Watch("mine", faces, **{"t": T, "store": faces.parent / "store", **more})


def stored(faces, step):
    """(noise, x̂0) of each image, of one step."""
    found = Store(faces.parent / "store").select(Filters(steps=[step]))
    noises = {each.image: each for each in found if each.is_noise}
    return [(noises[each.image], each) for each in found if not each.is_noise]


# -- what it says ----------------------------------------------------------------------------------


def scheduler_of(prediction):
    import diffusers

    if prediction == "flow":
        return diffusers.FlowMatchEulerDiscreteScheduler()
    return diffusers.DDPMScheduler(prediction_type=prediction, beta_schedule="squaredcos_cap_v2")


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "sample", "flow"])
def test_x0_hat_is_that_of_nca_for_the_same_weights_saved_as_a_pipeline(faces, prediction):
    network, scheduler = tiny(seed=3), scheduler_of(prediction)
    watched(faces, schedule=scheduler)(network, 700)
    folder = faces.parent / "saved"
    save_part(network, folder / "unet")
    scheduler.save_pretrained(folder / "scheduler")
    save_index(folder, "DDPMPipeline", {
        "scheduler": ["diffusers", type(scheduler).__name__], "unet": ["diffusers", "UNet2DModel"],
    })  # fmt: skip
    nca_cli.reconstruct(faces, models=[str(folder)], samplers=["one-step"], t=T, device="cpu",
                        store=faces.parent / "theirs")  # fmt: skip
    theirs = Store(faces.parent / "theirs").select()
    pairs = stored(faces, 700)
    assert len(pairs) == 3
    for noise, made in pairs:
        same = {each.is_noise: each for each in theirs if each.image == made.image}
        assert made.label == "one-step"
        for t in T:
            key = [(t, 0)]
            assert np.array_equal(noise.read("x_t", key), same[True].read("x_t", key))
            difference = made.read("x0_hat", key) - same[False].read("x0_hat", key)
            assert abs(difference).max() <= 1e-5


def test_values_are_the_means_over_images_of_the_projects_metrics(faces):
    network = tiny()
    values = watched(faces, seeds=(0, 1))(network, 0)
    assert list(values) == list(T)
    for t in T:
        every = [
            measure(noise.fixed("x0"), x0_hat, ["mse", "psnr", "kept", "coherence"])
            for noise, made in stored(faces, 0)
            for x0_hat in made.read("x0_hat", [(t, 0), (t, 1)])
        ]
        assert values[t].keys() == every[0].keys()
        for name, value in values[t].items():
            assert type(value) is float
            assert value == pytest.approx(np.mean([each[name] for each in every]), nan_ok=True)
    assert values[100]["mse"] < values[900]["mse"]


def test_values_alone_are_the_same_and_nothing_is_written(faces, monkeypatch):
    network = tiny()
    monkeypatch.chdir(faces.parent)
    before = sorted(faces.parent.rglob("*"))
    alone = watched(faces, store=None)(network, 5)
    assert sorted(faces.parent.rglob("*")) == before
    kept = watched(faces)(network, 5)
    for t in T:
        assert alone[t] == pytest.approx(kept[t], rel=1e-4, nan_ok=True)
    assert nca_cli.watch(network, 5, faces, run="mine", t=T, store=None) == alone


def test_each_step_is_a_checkpoint_of_the_run_and_all_share_one_noise(faces):
    network, watch = tiny(), watched(faces, weights="ema", settings={"trained_on": "all levels"})
    for step in (0, 100, 800):
        watch(network, step)
        with_new_weights(network)
    store = Store(faces.parent / "store")
    (model,) = store.models()
    assert store.model_info(model)["run"]["settings"] == {"trained_on": "all levels"}
    assert len([each for each in store.select() if each.is_noise]) == 3
    for step in (0, 100, 800):
        for _, made in stored(faces, step):
            assert made.checkpoint == {"run": "mine", "step": step, "weights": "ema"}
    line = settings(made.recipe, store.model_info(model), {}).line(store)
    assert "--run mine=CHECKPOINTS --at 800" in line


def with_new_weights(network):
    import torch

    with torch.no_grad():
        next(network.parameters()).add_(0.01)


class Counted:
    """Counts the calls of a network, and the seconds spent in them."""

    def __init__(self, network):
        self.calls, self.seconds = [], 0.0
        network.register_forward_pre_hook(self.begin)
        network.register_forward_hook(self.end)

    def begin(self, network, inputs):
        self.calls.append(len(inputs[0]))
        self.began = time.perf_counter()

    def end(self, network, inputs, answer):
        self.seconds += time.perf_counter() - self.began


def test_a_second_call_at_the_same_step_computes_nothing(faces):
    network, watch = tiny(), watched(faces)
    counted = Counted(network)
    first = watch(network, 40)
    assert sum(counted.calls) == 3 * len(T)
    times = {path: path.stat().st_mtime_ns for path in faces.parent.rglob("*.h5")}
    assert watched(faces)(network, 40) == first
    assert sum(counted.calls) == 3 * len(T)
    assert {path: path.stat().st_mtime_ns for path in faces.parent.rglob("*.h5")} == times


def test_a_step_with_other_weights_stays_as_it_is_and_the_values_come_with_a_warning(faces):
    network, watch = tiny(), watched(faces)
    watch(network, 40)
    before = [made.read("x0_hat", [(100, 0)]) for _, made in stored(faces, 40)]
    with_new_weights(network)
    with pytest.warns(UserWarning, match="step 40 is stored with other weights") as heard:
        values = watch(network, 40)
    assert heard[0].filename == __file__
    assert values == watched(faces, store=None)(network, 40)
    after = [made.read("x0_hat", [(100, 0)]) for _, made in stored(faces, 40)]
    assert np.array_equal(before, after)


def test_wrapped_networks_are_the_ones_inside(faces):
    import torch

    network = tiny()
    expected = watched(faces)(network, 3)
    averaged = torch.optim.swa_utils.AveragedModel(network)
    counted = Counted(averaged.module)
    for wrapped in (averaged, torch.nn.DataParallel(network), torch.compile(network)):
        assert watched(faces)(wrapped, 3) == expected, "a cache hit: they are the same weights"
    assert not counted.calls


# -- what it leaves alone --------------------------------------------------------------------------


class Restless:
    """Draws random numbers of every kind whenever its network is asked."""

    def __init__(self, network):
        network.register_forward_pre_hook(self.draw)

    def draw(self, network, inputs):
        import torch

        torch.rand(3)
        np.random.rand(3)
        random.random()


def states():
    import torch

    return [torch.get_rng_state().tolist(), str(np.random.get_state()), random.getstate()]


@pytest.mark.parametrize("store", [True, False], ids=["stored", "values alone"])
def test_the_next_random_numbers_are_the_same(faces, store):
    network = tiny(dropout=0.5)
    Restless(network)
    watch = watched(faces) if store else watched(faces, store=None)
    before = states()
    watch(network, 0)
    assert states() == before


def trained(faces, watching, precision=nullcontext):
    """Losses and final weights of a short training."""
    import torch

    torch.manual_seed(0)
    network = tiny(dropout=0.5)
    optimizer = torch.optim.Adam(network.parameters(), 1e-3)
    watch, losses = watched(faces), []
    for step in range(4):
        x, t = torch.randn(2, 3, 16, 16), torch.randint(1000, (2,))
        with precision():
            if watching:
                watch(network, step)
            losses.append(network(x, t).sample.square().mean())
        optimizer.zero_grad()
        losses[-1].backward()
        optimizer.step()
    return [loss.item() for loss in losses], [each.tolist() for each in network.parameters()]


def test_losses_and_weights_of_a_training_are_the_same_bit_for_bit(faces):
    assert trained(faces, watching=True) == trained(faces, watching=False)


def test_so_they_are_under_autocast_whose_rounding_does_not_reach_the_store(faces):
    import torch

    def rounded():
        return torch.autocast("cpu", torch.bfloat16)

    assert trained(faces, True, rounded) == trained(faces, False, rounded)
    network = tiny()
    plain = watched(faces, store=None)(network, 0)
    with rounded():
        assert watched(faces, store=None)(network, 0) == plain
    network._original_forward = network.forward  # as accelerate wraps a network
    network.forward = rounded()(network.forward)
    assert watched(faces, store=None)(network, 0) == plain


def precision():
    """What torch says of its precision, by older and newer names; older ones may be refused."""
    import torch

    cuda, cudnn = torch.backends.cuda, torch.backends.cudnn
    try:
        older = torch.get_float32_matmul_precision(), cuda.matmul.allow_tf32, cudnn.allow_tf32
    except RuntimeError:
        older = "mixed"
    full = {"none": "ieee"}  # two words for one thing
    newer = (cuda.matmul, cudnn.conv, cudnn.rnn)
    return older, [full.get(each.fp32_precision, each.fp32_precision) for each in newer]


@pytest.mark.parametrize("setting", [
    "set_float32_matmul_precision('high')", "set_float32_matmul_precision('medium')",
    "backends.cuda.matmul.fp32_precision = 'tf32'", "backends.cudnn.conv.fp32_precision = 'ieee'",
])  # fmt: skip
def test_the_trainings_precision_stays_as_it_was_set(faces, setting):
    """In a process of its own: torch does not forget which names were used."""
    code = (f"import pathlib, torch, test_watch as t; torch.{setting}; before = t.precision()\n"
            f"values = t.watched(pathlib.Path({str(faces)!r}))(t.tiny(), 0)\n"
            "assert t.precision() == before, (before, t.precision())\n"
            "print(values[100]['mse'])")  # fmt: skip
    done = warm.run(code, cwd=ROOT / "tests", env=environment())
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 0.1


class Fails(Exception):
    pass


@pytest.mark.parametrize("fails", [False, True])
def test_every_submodule_gets_its_mode_back(faces, fails):
    network = tiny(dropout=0.5)
    network.mid_block.eval()  # frozen, as parts of a network may be
    modes = [each.training for each in network.modules()]
    gradients = [each.grad for each in network.parameters()]
    seen = []

    def look(module, inputs):
        seen.append(module.training or any(each.training for each in module.modules()))
        if fails:
            raise Fails

    network.register_forward_pre_hook(look)
    before = states()
    with pytest.raises(Fails) if fails else nullcontext():
        watched(faces)(network, 0)
    assert seen
    assert not any(seen), "it is asked in evaluation mode"
    assert [each.training for each in network.modules()] == modes
    assert [each.grad for each in network.parameters()] == gradients
    assert states() == before


def test_weights_keep_their_place_and_layout_and_what_a_call_leaves_behind_can_be_trained_with(
    faces,
):
    import torch

    class Remembers(torch.nn.Module):
        """Makes a table at its first call and keeps it, as rotary embeddings do."""

        table = None

        def __init__(self):
            super().__init__()
            self.mix = torch.nn.Conv2d(3, 3, 3, padding=1)

        def forward(self, x, t):
            if self.table is None:
                self.table = torch.linspace(0, 1, x.shape[-1]) + x[0, 0, 0] * 0
            return self.mix(x).reshape(len(x), -1).view(x.shape) * self.table

    network = Remembers()
    held = [(each.data_ptr(), each.stride()) for each in network.parameters()]
    watched(faces, shape=(3, 16, 16))(network, 0)
    assert [(each.data_ptr(), each.stride()) for each in network.parameters()] == held
    network(torch.randn(2, 3, 16, 16), torch.tensor([1, 2])).sum().backward()
    assert network.mix.weight.grad is not None


def test_it_costs_little_beyond_the_networks_own_calls(faces):
    network, watch = tiny(), watched(faces, t=range(100, 1000, 100))
    watch(network, 0)  # imports, images, noise
    counted = Counted(network)
    with_new_weights(network)
    began = time.perf_counter()
    watch(network, 1)
    beyond = time.perf_counter() - began - counted.seconds
    assert len(counted.calls) == math.ceil(3 * 9 / 16)
    assert sum(counted.calls) == 3 * 9
    assert beyond < 1.0


def test_the_facade_hands_it_out_and_stays_light():
    code = ("import sys, nca_cli; assert {'watch', 'Watch'} <= {*nca_cli.__all__}; "
            "heavy = {'torch', 'numpy', 'diffusers', 'h5py'}; assert not heavy & {*sys.modules}; "
            "nca_cli.Watch; assert not {'torch', 'diffusers'} & {*sys.modules}")  # fmt: skip
    subprocess.run([sys.executable, "-c", code], check=True, env=environment())


# -- networks and schedules of all kinds -----------------------------------------------------------


def test_a_plain_network_returns_a_tensor_and_may_be_grey(faces):
    import torch

    class Half(torch.nn.Module):
        def forward(self, x, t):
            assert x.shape[1:] == (1, 8, 8)
            assert t.dtype == torch.float32
            return x * 0 + 0.5

    levels = FlowMatching()
    watched(faces, schedule=levels, shape=(1, 8, 8), prediction="sample", t=None)(Half(), 1)
    for _, made in stored(faces, 1):
        assert sorted(made.t.tolist()) == sorted(levels.default_levels)
        assert (made.read("x0_hat", [(made.t[0], 0)]) == 0.5).all()


def test_reduced_precision_is_part_of_the_recipe(faces):
    import torch

    network = tiny().to(torch.bfloat16)
    watched(faces)(network, 1)
    assert {made.recipe.dtype for _, made in stored(faces, 1)} == {"bfloat16"}


def test_images_of_another_size_are_fitted_and_one_of_them_suffices(faces):
    watched(faces / "anna.png", store=faces.parent / "store")(tiny(), 1)
    ((noise, _),) = stored(faces, 1)
    assert noise.fixed("x0").shape == (3, 16, 16)
    assert noise.fixed("x0").std() > 0.1


# -- what goes wrong -------------------------------------------------------------------------------


def refused(kind, action, *words):
    with pytest.raises(kind) as caught:
        action()
    line = f"{caught.value} {caught.value.hint or ''}"
    assert "\n" not in line
    for word in words:
        assert word in line, line


def test_settings_that_make_no_sense_are_refused_before_the_training(faces, tmp_path):
    import diffusers

    refused(UsageError, lambda: watched(faces, t=(1000,)), "t 1000", "0 to 999")
    refused(UsageError, lambda: watched(faces, t=()), "no levels")
    refused(UsageError, lambda: watched(faces, seeds=(-1,)), "seed -1")
    refused(UsageError, lambda: watched(faces, weights="mean"), "'mean'", "ema, raw")
    refused(UsageError, lambda: watched(faces, metrics=("lpips-alex",)), "lpips-alex", "psnr")
    refused(UsageError, lambda: watched(faces, prediction="flow"), "'flow'", "epsilon")
    refused(UsageError, lambda: watched(faces, schedule=object()), "object", "Schedule")
    strange = diffusers.EDMEulerScheduler()
    refused(UsageError, lambda: watched(faces, schedule=strange), "EDMEulerScheduler")
    refused(UsageError, lambda: nca_cli.Watch(" ", faces), "a run needs a name")
    (tmp_path / "file.h5").write_bytes(b"no store")
    refused(StoreError, lambda: watched(faces, store=tmp_path / "file.h5"), "file.h5")


def test_images_have_to_be_there(faces, tmp_path):
    import torch

    (tmp_path / "empty").mkdir()
    for nothing in (tmp_path / "empty", tmp_path / "missing"):
        refused(ImageError, lambda path=nothing: nca_cli.Watch("mine", path), nothing.name)
    refused(UsageError, lambda: nca_cli.Watch("mine", []), "no images")
    refused(UsageError, lambda: nca_cli.Watch("mine", torch.zeros(2, 3, 16, 16)), "Tensor", "PNG")
    (faces / "dora.png").write_text("no picture")
    refused(ImageError, lambda: watched(faces)(tiny(), 0), "dora.png")


@pytest.mark.parametrize("step", [-1, 1.5, None, "12"])
def test_a_step_is_a_whole_number_from_0(faces, step):
    refused(UsageError, lambda: watched(faces)(tiny(), step), f"step {step!r}", "from 0 on")


def answering(answer):
    """A network without weights."""
    import torch

    class Answers(torch.nn.Module):
        def forward(self, x, t):
            return answer(x, t)

    return Answers()


@pytest.mark.parametrize("store", [True, False], ids=["stored", "values alone"])
def test_answers_that_cannot_be_used_are_told_in_one_line(faces, store):
    more = {"shape": (3, 16, 16), **({} if store else {"store": None})}
    watch = watched(faces, **more)
    short, none = answering(lambda x, t: x[:, :, 1:]), answering(lambda x, t: None)
    broken = answering(lambda x, t: x / (t > 500).view(-1, 1, 1, 1))
    refused(ModelError, lambda: watch(short, 1), "mine", "answers (9, 3, 15, 16)")
    refused(ModelError, lambda: watch(none, 1), "mine", "answers ()")
    refused(NcaError, lambda: watch(broken, 2), "mine", "is not finite", "diverged")


def test_a_network_that_is_none_or_does_not_say_its_shape_is_refused(faces):
    watch = watched(faces)
    refused(UsageError, lambda: watch(lambda x, t: x, 1), "function", "torch.nn.Module")
    refused(UsageError, lambda: watch(answering(lambda x, t: x), 1), "mine", "shape=(C, H, W)")
    refused(UsageError, lambda: watch(tiny(channels=4), 1), "(4, 16, 16)", "not latent ones")


# -- the page --------------------------------------------------------------------------------------


def test_the_example_of_the_page_runs_as_it_stands(faces):
    folder = faces.parent
    faces.rename(folder / "validation")
    (code,) = blocks(PAGE, "python")
    said = run_python(code, folder).splitlines()
    assert [line.split()[0] for line in said] == ["0", "20", "40"]
    assert (
        len([line for line in code.splitlines() if line.rstrip().endswith(("# 1", "# 2", "# 3"))])
        == 3
    )
    (shell,) = blocks(PAGE, "sh")
    run_shell(shell, folder)
    assert (folder / "my-run.png").stat().st_size > 1000
    assert len(Store(folder / "nca-store").select()) == 3 + 3 * 3
