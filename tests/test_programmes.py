"""Trajectories as one tensor: every sampler, at any mix of levels and any batch, as it is alone."""

import itertools
import os
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from nca_cli.engine import Engine, Reconstruction, Request, reconstruction_plans
from nca_cli.engine.programme import programme
from nca_cli.engine.state import Flight
from nca_cli.recipe import Recipe
from nca_cli.samplers import METHODS, Method, Prediction, drive, start
from nca_cli.schedule import FlowMatching, Schedule, VarianceExploding
from nca_cli.store import Filters, Store
from nca_cli.twins import reconstruct

BEFORE = Path(__file__).parent / "before"
SHAPE = (3, 4, 4)
SETTINGS = (
    {}, {"eta": 0.5, "clip": 0.8}, {"variance": "learned_range", "clip": 1.0},
    {"variance": "fixed_large", "final_alpha": "first"},
)  # fmt: skip
SCHEDULES = {
    "vp": (Schedule(), (0, 1, 19, 300, 555, 980, 999)),
    "ve": (VarianceExploding(scale=2), (3.0, 555.5, 1999.0)),
    "flow": (FlowMatching(), (1.0, 333.3, 999.9)),
    "flow, shifted": (FlowMatching(), (1.0, 333.3, 900.0)),
}


def network(x, t):
    """A stand-in for one, smooth in x and t, with a signal of variance."""
    turn = torch.sin(t.double() / 100).to(x.dtype).view(-1, 1, 1, 1)
    return Prediction(0.9 * torch.tanh(0.6 * x + 0.1 * turn), torch.tanh(0.3 * x))


def fresh(t):
    return np.random.default_rng(int(1000 + 7 * t)).standard_normal(SHAPE).astype(np.float32)


def alone(recipe, schedule, x_t, t, dtype):
    """The sampler by itself, one trajectory, in a precision of our choice."""

    def noise(level):
        return torch.from_numpy(fresh(level.t)).to(dtype)

    def one(x, level):
        answer = network(x[None], torch.tensor([level.t], dtype=torch.float64))
        return Prediction(answer.x0[0], answer.variance[0])

    x = torch.from_numpy(x_t).to(dtype)
    return drive(start(recipe, schedule, x, t, noise), one)[0].numpy()


def flights(cases, schedule):
    """Each case by itself: (recipe, t, x_t)."""
    for number, (recipe, t, x_t) in enumerate(cases):
        yield x_t, [Flight(number, programme(recipe, schedule, t), fresh)]


@pytest.mark.parametrize("kind", SCHEDULES)
@pytest.mark.parametrize("batch", [1, 7, 64])
def test_every_sampler_computes_in_any_mix_what_it_computes_alone(kind, batch):
    """To 1e-5, or as near to the sampler in float64 as the sampler in float32 is: from almost pure
    noise 1/a makes much of the last digit."""
    schedule, levels = SCHEDULES[kind]
    shift = 3.0 if kind == "flow, shifted" else None
    random, cases = np.random.default_rng(3), []
    for sampler, steps, settings, t in itertools.product(METHODS, (1, 3, 4, 20), SETTINGS, levels):
        recipe = Recipe("w", sampler, steps=steps, shift=shift, **settings)
        cases.append((recipe, t, random.standard_normal(SHAPE).astype(np.float32)))
    cases = cases[:: 1 if batch > 1 else 19]
    found = dict(Engine(network, flights(cases, schedule), batch=batch))
    assert sorted(found) == list(range(len(cases)))
    for number, (recipe, t, x_t) in enumerate(cases):
        exact = alone(recipe, schedule, x_t, t, torch.float64)
        rounding = np.abs(alone(recipe, schedule, x_t, t, torch.float32) - exact).max()
        error = np.abs(found[number] - exact).max()
        assert error <= max(1e-5 * np.abs(exact).max(), 5 * rounding), (recipe, t)


@pytest.mark.parametrize("store", ["demo", "latent"])
def test_what_an_earlier_version_computed_comes_out_again(store, tmp_path, monkeypatch):
    """From the same x_t, to 1e-5, or to the rounding of the file."""
    for name in (store, "tiny-latent"):
        shutil.copytree(BEFORE / name, tmp_path / name)
    shutil.copy(BEFORE / "portrait-03.png", tmp_path)
    monkeypatch.chdir(tmp_path)
    before = [each for each in Store(BEFORE / store).select() if not each.is_noise]
    for path in tmp_path.glob(f"{store}/*/*/*-*.h5"):
        path.unlink()
    t = sorted({t for t, _ in before[0].keys})
    wanted = {
        "samplers": list(METHODS), "steps": 6, "eta": [0, 0.5], "t": t,
        "seeds": sorted({seed for _, seed in before[0].keys}),
        "models": ["demo" if store == "demo" else "./tiny-latent"],
    }  # fmt: skip
    reconstruct("portrait-03.png", store=tmp_path / store, **wanted)
    again = {each.name: each for each in Store(tmp_path / store).select(Filters())}
    for old in before:
        for name, (_, dtype) in old.datasets.items():
            if name not in ("x0_hat", "z0_hat"):
                continue
            then, now = (each.read(name, sorted(old.keys)) for each in (old, again[old.name]))
            limit = 1e-5 if dtype == "float32" else 1e-3
            assert np.abs(now - then).max() <= limit * np.abs(then).max(), (old.name, name)


# -- how much is done ------------------------------------------------------------------------------


class Counted(TorchDispatchMode):
    """Counts tensor operations, views among them, but not that of `from_numpy`: it does nothing."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.count += "lift_fresh" not in str(function)
        return function(*args, **(kwargs or {}))


def operations(samplers, trajectories, batch):
    """Those of each call after the first, between one answer of the network and the next."""
    counted, marks = Counted(), []

    def denoise(x, t):
        marks.append(counted.count)
        return Prediction(x)

    cases = [
        (Recipe("w", sampler, steps=20), 100 * (1 + number % 9), np.zeros(SHAPE, np.float32))
        for number in range(trajectories)
        for sampler in samplers
    ]
    with counted:
        list(Engine(denoise, flights(cases, Schedule()), batch=batch))
    return np.diff(marks)


@pytest.mark.parametrize("batch", [4, 64, 256])
@pytest.mark.parametrize("samplers", [*([name] for name in METHODS), list(METHODS)], ids=str)
def test_no_call_takes_more_than_twenty_operations_whatever_the_batch(samplers, batch):
    assert operations(samplers, 3 * batch, batch).max() <= 20


def planned(samplers, model, store, faces, **settings):
    request = Request([faces / "anna.png"], [str(model)], samplers=samplers, **settings)
    (plan,) = reconstruction_plans(request, store)
    return plan


def tensors(store):
    return {(each.label, key): each.read("x0_hat", [key])[0]
            for each in store.select() if not each.is_noise for key in each.keys}  # fmt: skip


@pytest.fixture(scope="module")
def calm(tmp_path_factory):
    """A pipeline that predicts x0: its chains do not amplify rounding."""
    from pipelines import tiny_pixel

    return tiny_pixel(tmp_path_factory.mktemp("models") / "calm", prediction_type="sample")


def test_one_step_costs_nothing_beside_a_chain(calm, faces, tmp_path):
    stores = {name: Store(tmp_path / name) for name in ("both", "one-step", "ddim")}
    samplers = {"both": ["one-step", "ddim"], "one-step": ["one-step"], "ddim": ["ddim"]}
    plans = {name: planned(samplers[name], calm, store, faces) for name, store in stores.items()}
    assert plans["both"].saved == 9
    assert plans["both"].evaluations == plans["ddim"].evaluations
    asked = {}
    for name, plan in plans.items():
        counts = []
        list(Reconstruction(plan, batch=4, tick=counts.append))
        asked[name] = sum(counts)
        assert asked[name] == plan.evaluations
    assert asked["both"] == asked["ddim"]
    both = tensors(stores["both"])
    apart = tensors(stores["one-step"]) | tensors(stores["ddim"])
    assert both.keys() == apart.keys()
    for key, x0_hat in both.items():
        assert np.abs(x0_hat - apart[key]).max() <= 1e-5 * np.abs(x0_hat).max(), key


def test_all_samplers_share_the_first_evaluation_of_an_x_t(calm, faces, tmp_path):
    plan = planned(list(METHODS), calm, Store(tmp_path / "s"), faces, t=[20, 600], steps=5)
    counts = []
    assert len(list(Reconstruction(plan, batch=3, tick=counts.append))) == 2 * len(METHODS)
    assert plan.saved == 2 * (len(METHODS) - 1)
    assert sum(counts) == plan.evaluations


# -- what is apart stays apart ---------------------------------------------------------------------


def thresholded(x, levels):
    """More than linear arithmetic: x̂0 held within half of its own range."""
    for here, there in itertools.pairwise(levels):
        x0 = (yield x, here).x0
        bound = float(abs(x0).max()) / 2
        x = there.a * x0.clip(-bound, bound) + there.s / here.s * (x - here.a * x0)
    return x


def test_a_sampler_that_does_more_than_linear_arithmetic_goes_alone(
    calm, faces, tmp_path, monkeypatch
):
    monkeypatch.setitem(METHODS, "thresholded", Method(thresholded))
    recipe = Recipe("w", "thresholded", steps=10)
    assert programme(recipe, Schedule(), 600) is None
    x_t = np.random.default_rng(0).standard_normal(SHAPE).astype(np.float32)
    other = Recipe("w", "ddim", steps=10)
    mixed = [
        (x_t, [Flight("alone", start(recipe, Schedule(), torch.from_numpy(x_t), 600))]),
        *flights([(other, 600, x_t)] * 3, Schedule()),
    ]
    found = dict(Engine(network, mixed, batch=4))
    for key, each in (("alone", recipe), (2, other)):
        exact = alone(each, Schedule(), x_t, 600, torch.float32)
        assert np.abs(found[key] - exact).max() <= 1e-5 * np.abs(exact).max()
    plan = planned(["one-step", "ddim", "thresholded"], calm, Store(tmp_path / "s"), faces, steps=5)
    counts = []
    assert len(list(Reconstruction(plan, tick=counts.append))) == 27
    assert (plan.saved, sum(counts)) == (9, plan.evaluations)


def test_a_trajectory_that_is_not_finite_spoils_none_that_takes_its_place():
    x_t = np.ones(SHAPE, np.float32)
    cases = [(Recipe("w", sampler, steps=5), 600, x_t) for sampler in ("plms", "heun") * 8]
    broken = x_t * np.nan
    mixed = [(broken if number % 3 == 0 else x, each)
             for number, (x, each) in enumerate(flights(cases, Schedule()))]  # fmt: skip
    found = dict(Engine(network, mixed, batch=3))
    assert {key for key, x0_hat in found.items() if x0_hat is None} == {
        number for number in range(16) if number % 3 == 0
    }


def test_the_network_goes_on_while_a_commit_waits_for_the_disk(calm, faces, tmp_path, monkeypatch):
    request = Request([faces], [str(calm)], samplers=["one-step"])
    (plan,) = reconstruction_plans(request, Store(tmp_path / "s"))
    computed, real = threading.Event(), os.fsync

    def waiting(handle):
        if threading.current_thread() is not threading.main_thread():
            assert computed.wait(60)
        real(handle)

    monkeypatch.setattr(os, "fsync", waiting)
    counts = []

    def heard(count):
        counts.append(count)
        if sum(counts) == plan.evaluations:
            computed.set()

    assert len(list(Reconstruction(plan, batch=9, tick=heard))) == 27
    assert sum(len(each) for each in Store(tmp_path / "s").select() if not each.is_noise) == 27
