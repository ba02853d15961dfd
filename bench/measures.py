"""Measuring 100 images × 9 levels at 256²: in parallel against one process, and a second report.

    python -m bench measures
    python -m bench.measures [--images 100] [--levels 9] [--side 256] [--workers N]

Prints the ratio of the times (at least 1.7 is wanted on two free processors), that both gave the
same values, and how long reports take whose measures are all kept: the first, which reads tensors
for the statistics and encodes the pictures, and the second (2 s at most, without torch).
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from operator import ne
from pathlib import Path

from bench.table import say

REPORT = """
import sys
from nca_cli.report import build_report
from nca_cli.store import Store
build_report(Store(sys.argv[1]), sys.argv[2], csv=sys.argv[3])
print("with torch" if "torch" in sys.modules else "without torch")
"""


def make_store(root: Path, images: int, levels: int, side: int) -> None:
    """Pictures with a natural spectrum, and blurs of them that grow with the level."""
    import json

    import numpy as np
    from scipy.ndimage import gaussian_filter

    from nca_cli.recipe import Recipe, digest
    from nca_cli.schedule import Schedule
    from nca_cli.store import Samples, Store

    store, schedule, recipe = Store(root), Schedule(), Recipe("0" * 40, "one-step")
    space = {"schedule": schedule.describe(), "shape": [3, side, side], "resolution": side}
    info = {"name": "bench", "source": "built in", "space": space}
    t = np.arange(1, levels + 1) * (990 // levels)
    index = t, np.zeros_like(t), np.array([schedule.log_snr(value) for value in t.tolist()])
    rng = np.random.default_rng(0)
    for number in range(images):
        x0 = _picture(rng, side)
        name, key = f"image-{number:03}", digest(number)
        place = store.place("bench-00000000", info, name, key)
        image = {"name": name, "digest": key, "resolution": side, "fit": "crop"}
        header = {"model": json.dumps(info), "image": json.dumps(image)}
        noised = Samples(*index, {"x_t": np.stack([x0] * levels)})
        guesses = [gaussian_filter(x0, (0, 1 + k, 1 + k)) for k in range(levels)]
        guessed = Samples(*index, {"x0_hat": np.stack(guesses)})
        noise = {**header, "kind": "noise"}
        text = {**header, "kind": "reconstruction", "recipe": recipe.canonical()}
        store.commit(place, "noise", noise, noised, {"x0": x0}, "float16")
        store.commit(place, recipe.name, text, guessed, None, "float16")


def _picture(rng, side: int):
    """Noise whose amplitude falls as 1/f."""
    import numpy as np

    f = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)) * side
    noise = np.fft.rfft2(rng.standard_normal((3, side, side)))
    x = np.fft.irfft2(noise / np.maximum(f, 1), s=(side, side))
    return np.clip(x / x.std() * 0.4, -1, 1).astype(np.float32)


def timed(store: Path, workers: int) -> tuple[float, list]:
    """Seconds of measuring a store of which nothing is kept, and the values."""
    from nca_cli.metrics import measure_store
    from nca_cli.store import Store

    for kept in store.rglob("*.metrics.json"):
        kept.unlink()
    start = time.perf_counter()
    values = measure_store(Store(store), workers=workers)
    return time.perf_counter() - start, values


def keep_all(store: Path) -> None:
    """Measure x_t itself as well, as `nca measure` does."""
    from nca_cli.metrics import REFERENCES, measure_store
    from nca_cli.store import Store

    measure_store(Store(store), references=tuple(REFERENCES))


def report(store: Path, folder: Path, which: str, limit: str = "") -> None:
    """A report from kept measures, in a fresh process."""
    command = [sys.executable, "-c", REPORT, str(store)]
    command += [str(folder / name) for name in ("report.html", "values.csv")]
    start = time.perf_counter()
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    say(f"{which} report, {done.stdout.strip()}", [time.perf_counter() - start], "s", limit)


def main(argv: list[str] | None = None) -> None:
    """Make a store, measure it twice, report on it."""
    parser = argparse.ArgumentParser(prog="python -m bench measures")
    parser.add_argument("--images", type=int, default=100)
    parser.add_argument("--levels", type=int, default=9)
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--workers", type=int, default=max(2, os.cpu_count() or 1))
    wanted = parser.parse_args(argv or [])
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "store"
        make_store(store, wanted.images, wanted.levels, wanted.side)
        one, values = timed(store, 1)
        pairs = wanted.images * wanted.levels
        say(f"measuring {pairs} pairs, 1 process", [one], "s")
        say("each of them", [1000 * one / pairs], "ms")
        many, again = timed(store, wanted.workers)
        others = sum(map(ne, map(str, again), map(str, values))) + abs(len(again) - len(values))
        say(f"measuring {pairs} pairs, {wanted.workers} processes", [many], "s")
        say("1 process, against them", [one / many], "x", ">= 1.7")
        say("values that differ between the two", [others], "", "<= 0")
        keep_all(store)
        report(store, Path(folder), "first")
        report(store, Path(folder), "second", "<= 2")


if __name__ == "__main__":
    main(sys.argv[1:])
