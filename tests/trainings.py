"""Trainings in small stores, committed as their checkpoints would have answered."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from nca_cli.images import resolution_of, size_json
from nca_cli.portraits import portrait
from nca_cli.recipe import Recipe, digest
from nca_cli.schedule import Level, Schedule, diffuse, seeded_noise
from nca_cli.store import Samples, Store
from nca_cli.store.header import header, image_info, model_info
from nca_cli.store.layout import NOISE
from nca_cli.store.steps import note_step

SCHEDULE = Schedule()
STEPS, LEVELS, FACES = (0, 10, 100, 1000), (100, 300, 600, 900), 5
"""Of `face_store`."""
Answer = Callable[[int, np.ndarray, np.ndarray, Level], np.ndarray]
"""Step, x_t, x0, level → x̂0."""


def commit_run(
    store: Store, name: str, x0s: Mapping[str, np.ndarray], answer: Answer,
    steps: Sequence[int], ts: Sequence[int], settings: Mapping | None = None,
    sampler: str = "one-step",
) -> None:  # fmt: skip
    """Noise and a reconstruction by each checkpoint, of each picture `(C, H, W)`."""
    shape = next(iter(x0s.values())).shape
    size = resolution_of(shape[1:])
    space = {"schedule": SCHEDULE.describe(), "shape": [*shape], "resolution": size_json(size),
             "channels": shape[0]}  # fmt: skip
    run = {"name": name, "weights": "raw", "settings": {"name": name, **(settings or {})}}
    info = model_info(name, f"runs/{name}", None, space, run)
    folder = f"{name}-{digest(space)[:8]}"
    for image, x0 in x0s.items():
        image_digest = digest([image, x0.tolist()])
        about = image_info(image, image_digest, f"{image}.png", "crop", size)
        place = store.place(folder, info, image, image_digest)
        x_t = {t: diffuse(x0, SCHEDULE.level(t), seeded_noise(0, image_digest, x0.shape))
               for t in ts}  # fmt: skip
        store.commit(place, NOISE, header(info, about), _samples(x_t, "x_t"),
                     {"x0": x0.astype(np.float32)})  # fmt: skip
        for step in steps:
            recipe = Recipe(digest([name, step]), sampler, steps=None if sampler == "one-step"
                            else 20)  # fmt: skip
            found = {t: answer(step, x_t[t], x0, SCHEDULE.level(t)) for t in ts}
            note_step(store, folder, info, step, recipe.weights)
            checkpoint = {"run": name, "step": step, "weights": "raw"}
            store.commit(place, recipe.name, header(info, about, recipe, checkpoint),
                         _samples(found, "x0_hat"))  # fmt: skip


def _samples(tensors: Mapping[int, np.ndarray], dataset: str) -> Samples:
    ts = np.array(list(tensors))
    log_snr = np.array([SCHEDULE.log_snr(int(t)) for t in ts])
    stacked = np.stack(list(tensors.values())).astype(np.float32)
    return Samples(ts, np.zeros(len(ts), int), log_snr, {dataset: stacked})


def x0_of(seed: int) -> np.ndarray:
    """A portrait of 32 pixels."""
    return np.moveaxis(portrait(seed, 32)[0].astype(np.float32) / 127.5 - 1, -1, 0)


def soon(step, x_t, x0, level):
    """From grey to x0, the sooner the cleaner the level is; what is most noisy learns nothing."""
    if level.s > 0.99:
        return np.zeros_like(x0)
    return x0 * (step / (step + 1000 * level.s**2)) if step else np.zeros_like(x0)


def face_store(root, names: Sequence[str] = ("mine",), answer: Answer = soon, **more) -> Store:
    """Trainings on portraits."""
    store = Store(root)
    x0s = {f"face-{seed}": x0_of(seed) for seed in range(FACES)}
    for name in names:
        commit_run(store, name, x0s, answer, STEPS, LEVELS, {"batch_size": 32}, **more)
    return store
