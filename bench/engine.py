"""The engine against what it must not cost: operations, raw network time, the disk, a naive loop.

Counts are exact. Times are medians of `REPEATS` with their spread, all as ratios in one run.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from bench.table import say

REPEATS = 5
STEPS, LEVELS = 50, list(range(100, 1000, 100))
NOISIEST = 900
SHAPE, BATCH, CALLS = (3, 32, 32), 64, 180
"""Of the network that costs nothing: pictures, trajectories in flight, and calls at least."""
DELAY = 0.05
"""Seconds by which every fsync is held up."""


def main() -> None:
    """First a network that costs nothing, then eight portraits on the demo model."""
    import torch

    from nca_cli.samplers import METHODS

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    for sampler in METHODS:
        counts = operations(sampler)
        say(f"{sampler}: operations per call, at most", [max(counts)], "", "<= 20")
        ratios = [engine_seconds(sampler) / loop_seconds(sampler) for _ in range(REPEATS)]
        say(f"{sampler}: free network, against a vectorised loop", ratios, "x", "<= 2")
    torch.set_num_threads(threads)
    print(f"engine: the demo model, {threads} threads")
    reconstruct(plain=True)  # the first run reads the weights from the disk
    runs = [(reconstruct(plain=True), reconstruct(), reconstruct(delay=DELAY), naive())
            for _ in range(REPEATS)]  # fmt: skip
    plain, stored, held, alone = zip(*runs, strict=True)
    say("engine alone, against its network", [all_ / net for all_, net in plain], "x", "<= 1.03")
    say("with commits, against its network", [all_ / net for all_, net in stored], "x", "<= 1.06")
    fast = [all_ for all_, _ in stored]
    slowed = [slow / quick for (slow, _), quick in zip(held, fast, strict=True)]
    say(f"fsync held up by {1000 * DELAY:.0f} ms, against none", slowed, "x", "<= 1.05")
    loops = [loop / quick for loop, quick in zip(alone, fast, strict=True)]
    say("naive loop, against all of it", loops, "x", ">= 2")


# -- a network that costs nothing ------------------------------------------------------------------


def free(x: Any, t: Any) -> Any:
    """A network that answers what it is asked about."""
    from nca_cli.samplers import Prediction

    return Prediction(x)


def noise(t: float) -> np.ndarray:
    """Fresh noise, as an image has it."""
    from nca_cli.schedule import step_noise

    return step_noise(0, "0", SHAPE, NOISIEST, t)


def in_flight(sampler: str) -> Any:
    """An engine with batches of trajectories from the noisiest level."""
    from nca_cli.engine import Engine
    from nca_cli.engine.programme import programme
    from nca_cli.engine.state import Flight
    from nca_cli.recipe import Recipe
    from nca_cli.schedule import Schedule

    course = programme(Recipe("0", sampler, steps=50), Schedule(), NOISIEST)
    x_t = np.zeros(SHAPE, np.float32)
    return partial(
        Engine, bundles=[(x_t, [Flight(i, course, noise)]) for i in range(batches(course) * BATCH)],
        batch=BATCH,
    )  # fmt: skip


def batches(course: Any) -> int:
    """How many of so long trajectories."""
    return -(-CALLS // len(course))


def operations(sampler: str) -> list[int]:
    """Tensor operations between two calls, views among them."""
    from torch.utils._python_dispatch import TorchDispatchMode

    class Counted(TorchDispatchMode):
        count = 0

        def __torch_dispatch__(self, function, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
            self.count += "lift_fresh" not in str(function)  # of `from_numpy`: it does nothing
            return function(*args, **(kwargs or {}))

    counted, marks = Counted(), []

    def denoise(x: Any, t: Any) -> Any:
        marks.append(counted.count)
        return free(x, t)

    with counted:
        list(in_flight(sampler)(denoise))
    return [int(step) for step in np.diff(marks)]


def engine_seconds(sampler: str) -> float:
    """Through the engine, which hands out one x̂0 at a time and says whether it is finite."""
    engine = in_flight(sampler)(free)
    began = time.perf_counter()
    assert all(x0_hat is not None for _, x0_hat in engine)
    return time.perf_counter() - began


def loop_seconds(sampler: str) -> float:
    """The sampler by hand on whole batches that keep step: as it stands, on tensors. Its results
    too are looked at and handed out one by one."""
    import torch

    from nca_cli.engine.programme import programme
    from nca_cli.recipe import Recipe
    from nca_cli.samplers import drive, start
    from nca_cli.schedule import Level, Schedule

    def fresh(level: Level) -> torch.Tensor:
        return torch.from_numpy(np.stack([noise(level.t) for _ in range(BATCH)]))

    def denoise(x: torch.Tensor, level: Level) -> Any:
        return free(x, torch.full((len(x),), level.t))

    recipe, began = Recipe("0", sampler, steps=50), time.perf_counter()
    with torch.inference_mode():
        for _ in range(batches(programme(recipe, Schedule(), NOISIEST))):
            x = torch.from_numpy(np.stack([np.zeros(SHAPE, np.float32)] * BATCH))
            x0_hat, _ = drive(start(recipe, Schedule(), x, NOISIEST, fresh), denoise)
            assert all(np.isfinite(each).all() for each in x0_hat.numpy())
    return time.perf_counter() - began


# -- the demo model --------------------------------------------------------------------------------


@contextmanager
def held_up(seconds: float) -> Iterator[None]:
    """Every fsync takes so much longer."""
    real: Callable[[int], None] = os.fsync

    def slow(handle: int) -> None:
        time.sleep(seconds)
        real(handle)

    os.fsync = slow if seconds else real
    try:
        yield
    finally:
        os.fsync = real


def reconstruct(plain: bool = False, delay: float = 0.0) -> tuple[float, float]:
    """Seconds after loading, of all and of the network: portraits × levels × ddim, from pictures to
    committed files; `plain`: to x̂0 alone, from x_t that are there."""
    from nca_cli.engine import Engine, Reconstruction, Request, reconstruction_plans
    from nca_cli.engine.noise import noised
    from nca_cli.store import Store

    with tempfile.TemporaryDirectory() as name, held_up(delay):
        request = Request(models=["demo"], t=LEVELS, samplers=["ddim"], steps=STEPS)
        (plan,) = reconstruction_plans(request, Store(Path(name) / "store"))
        work = Reconstruction(plan, batch=16)
        denoise, schedule = work._denoiser(), plan.model.space.schedule
        if plain:
            x0 = np.zeros(plan.model.space.shape, np.float32)
            starts = [
                {key: noised(x0, schedule, image.digest, [key])[0] for key in image.by_key()}
                for image in plan.images
            ]
            bundles = [bundle for image, made in zip(plan.images, starts, strict=True)
                       for bundle in work._of_image(image, made)]  # fmt: skip
            engine = Engine(denoise, bundles, batch=16)
            began = time.perf_counter()
            assert all(x0_hat is not None for _, x0_hat in engine)
            return time.perf_counter() - began, engine.network_seconds
        work._denoiser = lambda: denoise  # type: ignore[method-assign]
        began = time.perf_counter()
        list(work)
        return time.perf_counter() - began, work.engine.network_seconds  # type: ignore[union-attr]


def naive() -> float:
    """The usual script: for each image and level a loop over scheduler.step, batch 1."""
    import torch
    from diffusers import DDIMScheduler, UNet2DModel

    from nca_cli.images import usual_images
    from nca_cli.models import find_model
    from nca_cli.schedule import CLEAN

    model = find_model("demo")
    unet = UNet2DModel.from_pretrained(model.folder / "unet", low_cpu_mem_usage=False)
    unet = unet.float().eval()
    scheduler = DDIMScheduler.from_config(dict(model.scheduler))
    scheduler.set_timesteps(STEPS)
    began = time.perf_counter()
    with torch.inference_mode():
        for _ in usual_images(["demo"]):
            for t in LEVELS:
                x = torch.randn(1, *model.space.shape)
                for level in model.space.schedule.chain(t, STEPS):
                    if level.t != CLEAN:
                        x = scheduler.step(unet(x, level.t).sample, level.t, x).prev_sample
    return time.perf_counter() - began
