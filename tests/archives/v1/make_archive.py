"""The command that made this archive: `python tests/archives/v1/make_archive.py`, once.

Format 1, as nca 0.1.0 wrote it. It is never made again: a new format gets a folder of its own.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np

from nca_cli.recipe import Recipe, digest
from nca_cli.store import Samples, Store
from nca_cli.store.pack import pack

HERE = Path(__file__).parent
SIDE = 8
IMAGE = {"digest": digest("an image"), "name": "cat", "fit": "crop", "resolution": SIDE}
ONE_STEP = Recipe("0" * 40, "one-step")
LATENT_DDIM = Recipe("1" * 40, "ddim", steps=50, eta=0.0, latent_scale=1.0, final_alpha="one")


def values(name: str, t: float, seed: int, shape: tuple[int, ...] = (3, SIDE, SIDE)) -> np.ndarray:
    """Numbers in [-1, 1] that float32 and float16 hold exactly, told by name, t and seed."""
    start = sum(name.encode()) + int(t * 10) + 1000 * seed
    whole = (start + 7 * np.arange(int(np.prod(shape)))) % 257
    return (whole / 128 - 1).astype(np.float32).reshape(shape)


def samples(keys: list[tuple[float, int]], names: dict[str, tuple[int, ...]]) -> Samples:
    """The given (t, seed); logSNR is -t/100 here."""
    tensors = {name: np.stack([values(name, *key, shape) for key in keys])
               for name, shape in names.items()}  # fmt: skip
    t, seed = (np.array(column) for column in zip(*keys, strict=True))
    return Samples(t, seed, -t / 100, tensors)


PIXELS, LATENT = (3, SIDE, SIDE), (4, 2, 2)
ARTIFACTS = [
    ("toy", None, [(100, 0), (600, 1)], {"x_t": PIXELS}, {"x0": PIXELS}, "float32"),
    ("toy", ONE_STEP, [(100, 0), (600, 1)], {"x0_hat": PIXELS}, {}, "float32"),
    ("toy-latent", None, [(14.6, 0)], {"x_t": PIXELS, "z_t": LATENT},
     {"x0": PIXELS, "z0": LATENT, "x0_floor": PIXELS}, "float32"),
    ("toy-latent", LATENT_DDIM, [(14.6, 0)], {"x0_hat": PIXELS, "z0_hat": LATENT}, {}, "float16"),
]  # fmt: skip
"""Model, recipe, (t, seed), tensors per sample, fixed tensors, stored dtype."""
PACKED = 1
"""How many of them, from the first on, are in the packed file too."""


def commit(store: Store, model: str, recipe: Recipe | None, keys, names, fixed, dtype) -> None:
    """Put one of `ARTIFACTS` into a store."""
    info = {"name": model, "source": "built in", "space": {"name": model}, "licence": "MIT"}
    folder = f"{model}-{digest(info['space'])[:8]}"
    place = store.place(folder, info, IMAGE["name"], IMAGE["digest"])
    header = {"model": json.dumps(info), "image": json.dumps(IMAGE)}
    header["kind"] = "reconstruction" if recipe else "noise"
    if recipe:
        header["recipe"] = recipe.canonical()
    whole = {name: values(name, 0, 0, shape) for name, shape in fixed.items()}
    name = recipe.name if recipe else "noise"
    store.commit(place, name, header, samples(keys, names), whole, dtype)


def main() -> None:
    if (HERE / "store").exists():
        sys.exit("an archive is made once")
    store = Store(HERE / "store")
    for number, artifact in enumerate(ARTIFACTS):
        if number == PACKED:
            pack(store, HERE / "packed.h5")
        commit(store, *artifact)
    shutil.rmtree(store.root / ".locks")
    digests = {}
    for location in store.all_parts():
        with location.opened() as group:
            digests["/".join(location.names)] = group.attrs["content_sha256"]
    (HERE / "digests.json").write_text(json.dumps(digests, indent=2) + "\n")


if __name__ == "__main__":
    main()
