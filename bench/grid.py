"""How fast is a grid from the store, against the least that could make the same file?

    python -m bench grid

Both run as fresh processes on the same store. The bare one imports Pillow, NumPy and h5py, reads
the same tensors, turns them into bytes and saves a PNG of the same pixels, at Pillow's usual
compression (6) and at the grid's own.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.table import say

BARE = """
import sys
from pathlib import Path
import h5py, numpy as np
from PIL import Image
root, out = sys.argv[1:3]
cells = []
for folder in sorted(Path(root).glob("*/*/")):
    for file in sorted(folder.glob("*.h5"), key=lambda path: path.stem != "noise"):
        with h5py.File(file) as part:
            if "x0" in part:
                cells.append(part["x0"][()])
            cells += list(part["x_t" if "x_t" in part else "x0_hat"][()])
strips = np.stack(cells)
pixels = np.rint((np.clip(strips, -1, 1) + 1) * 127.5).astype(np.uint8)
with Image.open(sys.argv[3]) as sheet:
    picture = Image.fromarray(np.asarray(sheet))
picture.save(out, compress_level=int(sys.argv[4]))
"""
GRID = """
import sys
from nca_cli.figures.grid import compose_grid
from nca_cli.store import Store
compose_grid(Store(sys.argv[1])).save(sys.argv[2])
"""


def make_store(root: Path, images: int, levels: int, side: int) -> None:
    """Smooth pictures with seeded noise: what a real store holds, as far as speed goes."""
    import numpy as np

    from nca_cli.recipe import Recipe, digest
    from nca_cli.schedule import Schedule, diffuse, seeded_noise
    from nca_cli.store import Samples, Store

    store, schedule, recipe = Store(root), Schedule(), Recipe("0" * 40, "ddim", steps=50, eta=0.0)
    space = {"schedule": schedule.describe(), "resolution": side, "autoencoder": None}
    info = {"name": "bench", "source": "built in", "space": space}
    t = np.arange(1, levels + 1) * (990 // levels)
    log_snr = np.array([schedule.log_snr(value) for value in t.tolist()])
    grid = np.linspace(0, 6, side, dtype=np.float32)
    for number in range(images):
        x0 = np.sin(np.stack([grid[None] * (c + number) + grid[:, None] for c in (1, 2, 3)]))
        name = digest(number)
        place = store.place("bench-00000000", info, f"image-{number:02}", name)
        header = {"model": json.dumps(info), "image": json.dumps({"name": f"image-{number:02}"})}
        noises = [
            diffuse(x0, schedule.level(v), seeded_noise(0, name, x0.shape)) for v in t.tolist()
        ]
        index = t, np.zeros_like(t), log_snr
        store.commit(place, "noise", header, Samples(*index, {"x_t": np.stack(noises)}), {"x0": x0})
        text = {**header, "recipe": recipe.canonical()}
        guess = np.stack([x0 * (1 - v / 1000) for v in t.tolist()]).astype(np.float32)
        store.commit(place, recipe.name, text, Samples(*index, {"x0_hat": guess}))


def seconds(code: str, *arguments: str) -> float:
    """Wall time of a fresh process."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", code, *arguments], check=True)
    return time.perf_counter() - start


def main(images: int = 12, levels: int = 10, side: int = 256, repeats: int = 5) -> None:
    """Fresh processes by turns, after a round that warms the disk's cache."""
    with tempfile.TemporaryDirectory() as folder:
        store, grid, bare = (str(Path(folder) / name) for name in ("store", "grid.png", "bare.png"))
        make_store(Path(store), images, levels, side)
        runs = {
            "grid": lambda: seconds(GRID, store, grid),
            "bare, PNG level 6": lambda: seconds(BARE, store, bare, grid, "6"),
            "bare, PNG level 1": lambda: seconds(BARE, store, bare, grid, "1"),
        }
        rounds = [{name: run() for name, run in runs.items()} for _ in range(repeats + 1)][1:]
    times = {name: [each[name] for each in rounds] for name in runs}
    for name, each in times.items():
        say(name, each, "s")
    for name in list(times)[1:]:
        ratios = [ours / least for ours, least in zip(times["grid"], times[name], strict=True)]
        say(f"grid, against {name}", ratios, "x", "<= 1.5")
