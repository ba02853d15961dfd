"""Small stores with known content, for the tests of whatever reads or writes one."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np
import pytest

from nca_cli.recipe import Recipe, digest
from nca_cli.schedule import Schedule
from nca_cli.store import Artifact, Place, Samples, Store
from nca_cli.store.layout import INDEX_FILE, NOISE

SCHEDULE = Schedule()
DDIM = Recipe("0" * 40, "ddim", steps=50, eta=0.0, clip=1.0, final_alpha="one")
ONE_STEP = Recipe("0" * 40, "one-step")
SIDE = 16


def model_info(name: str = "toy", side: int = SIDE) -> dict:
    space = {"schedule": SCHEDULE.describe(), "shape": [3, side, side], "resolution": side}
    return {"name": name, "source": "built in", "space": space, "licence": "MIT"}


def image_info(name: str = "cat", side: int = SIDE) -> dict:
    return {"digest": digest([name, side]), "name": name, "fit": "crop", "resolution": side}


def header(recipe: Recipe | None = None, image: str = "cat", model: str = "toy") -> dict[str, str]:
    """Attributes of an artifact: of noise, or of the reconstructions of a recipe."""
    text = {"model": json.dumps(model_info(model)), "image": json.dumps(image_info(image))}
    if recipe is None:
        return {**text, "kind": "noise"}
    return {**text, "kind": "reconstruction", "recipe": recipe.canonical()}


def tensor(t: float, seed: int, name: str, side: int = SIDE) -> np.ndarray:
    """What the sample (t, seed) holds in the dataset `name`: any numbers, always the same."""
    stream = np.random.default_rng([int(t * 1000), seed, *name.encode()])
    return stream.uniform(-1, 1, (3, side, side)).astype(np.float32)


def samples(ts: Iterable[float], seeds: Iterable[int] = (0,), dataset: str = "x0_hat") -> Samples:
    keys = [(t, seed) for seed in seeds for t in ts]
    t, seed = (np.array(column) for column in zip(*keys, strict=True))
    log_snr = np.array([-t / 100 for t, _ in keys])
    return Samples(t, seed, log_snr, {dataset: np.stack([tensor(*key, dataset) for key in keys])})


def place_of(store: Store, image: str = "cat", model: str = "toy") -> Place:
    info = model_info(model)
    folder = f"{model}-{digest(info['space'])[:8]}"
    return store.place(folder, info, image, image_info(image)["digest"])


def commit(
    store: Store, ts: Iterable[float], seeds: Iterable[int] = (0,), recipe: Recipe | None = DDIM,
    image: str = "cat", model: str = "toy", dtype: str = "float32",
) -> Artifact:  # fmt: skip
    """Commit x̂0 of a recipe, or with `recipe=None` x0 and x_t; the artifact as it is then."""
    place, name = place_of(store, image, model), recipe.name if recipe else NOISE
    new = samples(ts, seeds, "x0_hat" if recipe else "x_t")
    fixed = None if recipe else {"x0": tensor(0, 0, image)}
    store.commit(place, name, header(recipe, image, model), new, fixed, dtype)
    return store.artifact(place, name)


def full_store(root: Path, images: Iterable[str] = ("cat", "dog")) -> Store:
    """Noise and two recipes of each image at three levels and two seeds."""
    store = Store(root)
    for image in images:
        for recipe in (None, DDIM, ONE_STEP):
            commit(store, (100, 300, 600), (0, 1), recipe, image)
    return store


def change_a_tensor(path: Path) -> None:
    """Other bits in the middle of the first sample's tensor of an artifact's file."""
    with h5py.File(path) as file:
        first = file["x_t" if "x_t" in file else "x0_hat"].id.get_chunk_info(0)
    content = bytearray(path.read_bytes())
    content[first.byte_offset + first.size // 2] ^= 0xFF
    path.write_bytes(content)


def snapshot(root: Path) -> dict[str, tuple[int, bytes]]:
    """mtime and content of every file under `root`, locks and index left out."""
    return {
        str(path.relative_to(root)): (path.stat().st_mtime_ns, path.read_bytes())
        for path in sorted(root.rglob("*"))
        if path.is_file() and ".locks" not in path.parts and path.name != INDEX_FILE
    }


def assert_holds(artifact: Artifact, keys: Iterable[tuple[float, int]]) -> None:
    """The artifact holds exactly these (t, seed), each with its own numbers."""
    keys, dataset = sorted(keys), "x_t" if artifact.is_noise else "x0_hat"
    assert sorted(artifact.keys) == keys
    expected = np.stack([tensor(*key, dataset) for key in keys])
    np.testing.assert_array_equal(artifact.read(dataset, keys), expected)


@contextmanager
def mounted(folder: Path, options: str):
    """A tmpfs of its own, which can be full or read-only for root too."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    try:
        subprocess.run(mount, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("mounting a file system needs root")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)
