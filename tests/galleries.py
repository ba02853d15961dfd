"""Stores whose pictures are worth looking at: portraits, noised, and blurred as if by a model."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from stores import DDIM, ONE_STEP

from nca_cli.portraits import portrait
from nca_cli.recipe import Recipe, digest
from nca_cli.schedule import Schedule, diffuse, seeded_noise
from nca_cli.store import Samples, Store

SCHEDULE = Schedule()
LEVELS = (100, 300, 600, 900)


def portrait_store(
    root: Path, *, images: Sequence[str], models: Sequence[str] = ("demo",),
    recipes: Sequence[Recipe] = (ONE_STEP, DDIM), levels: Iterable[int] = LEVELS,
    seeds: Iterable[int] = (0,), side: int = 32, dtype: str = "float32", source: str = "built in",
) -> Store:  # fmt: skip
    """x0 is a portrait, x_t has its true noise, and x̂0 is x0 with less and less of its detail.

    No model takes part.
    """
    store, keys = Store(root), [(t, seed) for t in levels for seed in seeds]
    for portrait_seed, image in enumerate(images):
        x0 = _to_model(portrait(portrait_seed, side)[0])
        key = digest([image, side])
        described = {"digest": key, "name": image, "fit": "crop", "resolution": side,
                     "size": [side, side]}  # fmt: skip
        x_t = np.stack([_noised(x0, key, t, seed) for t, seed in keys])
        for number, model in enumerate(models):
            space = {"schedule": SCHEDULE.describe(), "shape": [3, side, side], "resolution": side}
            info = {"name": model, "source": source, "space": space, "licence": "MIT"}
            place = store.place(f"{model}-{digest(space)[:8]}", info, image, key)
            header = {"model": json.dumps(info), "image": json.dumps(described)}
            given = {**header, "kind": "noise"}
            store.commit(place, "noise", given, _samples(keys, "x_t", x_t), {"x0": x0}, dtype)
            for recipe in recipes:
                made = {**header, "kind": "reconstruction", "recipe": recipe.canonical()}
                guesses = _samples(keys, "x0_hat", _guessed(x0, keys, number, recipe))
                store.commit(place, recipe.name, made, guesses, None, dtype)
    return store


def _to_model(pixels: np.ndarray) -> np.ndarray:
    """uint8 (H, W, 3) → float32 (3, H, W) in [-1, 1]."""
    return np.moveaxis(pixels.astype(np.float32) / 127.5 - 1, -1, 0)


def _noised(x0: np.ndarray, key: str, t: int, seed: int) -> np.ndarray:
    return diffuse(x0, SCHEDULE.level(t), seeded_noise(seed, key, x0.shape))


def _guessed(x0: np.ndarray, keys: Sequence[tuple[int, int]], model: int, recipe: Recipe):
    """A blur that grows with t; chains keep more of the detail, and get it a little wrong."""
    from scipy.ndimage import gaussian_filter

    chain = recipe.sampler != "one-step"
    guesses = []
    for t, seed in keys:
        width = x0.shape[-1] * (t / 1000) ** 2 * (0.12 if chain else 0.2) * (1 + 0.3 * model)
        wrong = np.random.default_rng([t, seed, model, chain]).normal(0, t / 2000, x0.shape)
        texture = gaussian_filter(wrong, (0, 1, 1)) * (1.5 if chain else 0.5)
        guesses.append(gaussian_filter(x0, (0, width, width)) + texture)
    return np.stack(guesses).astype(np.float32)


def _samples(keys: Sequence[tuple[int, int]], dataset: str, tensors: np.ndarray) -> Samples:
    t, seed = (np.array(column) for column in zip(*keys, strict=True))
    log_snr = np.array([SCHEDULE.log_snr(each) for each in t.tolist()])
    return Samples(t, seed, log_snr, {dataset: tensors})
