"""The page of a large report: its size, how fast it is written, opened and scrubbed.

    python -m bench page
    python -m bench.page [--images 50] [--levels 9] [--side 256]

Portraits under two models of two samplers. The report is written by a fresh process from measures
that are kept; Chromium (without a window, and drawing without a GPU) then opens it, and its slider
is swept over all levels, a step for every frame that the browser asks for: over the pictures, over
the charts, and over the chart of half-levels at the top.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path

import numpy as np

import bench.material  # noqa: F401  makes the tests' helpers importable
from bench.table import say
from nca_cli.recipe import digest
from nca_cli.schedule import Schedule
from nca_cli.store import Samples, Store
from nca_cli.store.layout import DERIVED, METRICS

SCHEDULE = Schedule()

MB, WRITTEN, READY, RATE = 20, 20, 1, 30
"""Bounds: megabytes, seconds of writing, seconds until the page answers, frames per second."""
COPIES = 10
"""Of each portrait: a page of many images whose measures cost those of few."""
REPORT = """
import sys
from nca_cli.report import build_report
from nca_cli.store import Store
build_report(Store(sys.argv[1]), sys.argv[2])
"""
LOADED = "performance.getEntriesByType('navigation')[0].loadEventEnd"
SWEEP = """
(seconds) => new Promise((done) => {
  const slider = document.querySelector("#level");
  const [times, last] = [[], Number(slider.max)];
  let step = 1;
  function frame(now) {
    times.push(now);
    if (now - times[0] > 1000 * seconds) return done(times);
    const at = Number(slider.value);
    if (at + step < 0 || at + step > last) step = -step;
    slider.value = at + step;
    slider.dispatchEvent(new Event("input", { bubbles: true }));
    requestAnimationFrame(frame);
  }
  requestAnimationFrame(frame);
})
"""


def written(store: Path, page: Path) -> float:
    """Seconds of a whole process that writes the report."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", REPORT, str(store), str(page)], check=True)
    return time.perf_counter() - start


def again(store: Store, times: int) -> None:
    """Every image so many times, each under a name and digest of its own, with its measures.

    These hold for the same tensors wherever they lie, so few pictures need be measured.
    """
    for artifact in [*store.select()]:
        keys = sorted(artifact.keys)
        what = "x_t" if artifact.is_noise else "x0_hat"
        fixed = {"x0": artifact.fixed("x0")} if artifact.is_noise else None
        t, seed = (np.array(column) for column in zip(*keys, strict=True))
        log_snr = np.array([SCHEDULE.log_snr(each) for each in t.tolist()])
        samples = Samples(t, seed, log_snr, {what: artifact.read(what, keys)})
        measures = artifact.parts[0].path.with_name(f"{artifact.name}{METRICS}")
        for number in range(1, times):
            name = f"{artifact.image_name}-{number}"
            image = {**artifact.image_info, "name": name, "digest": digest(name)}
            place = store.place(artifact.model, artifact.model_info, name, digest(name))
            header = {**artifact.header, "image": json.dumps(image)}
            store.commit(place, artifact.name, header, samples, fixed, "float16")
            shutil.copy(measures, store.root / place.model / place.image / measures.name)


PLACES = {"half-levels": "header", "pictures": "#scrubber", "charts": "#curves"}
"""What is in sight while the slider is swept."""


def opened(page: Path, seconds: float = 3) -> tuple[float, float, dict[str, list[float]]]:
    """Seconds to load and until the page answers; of each place, the milliseconds of each frame."""
    from browser import Watched, chromium

    with chromium() as browser:
        watched = Watched(browser, page, viewport={"width": 1440, "height": 900})
        loaded, ready = (watched.page.evaluate(what) / 1000 for what in
                         (LOADED, "Number(document.documentElement.dataset.ready)"))  # fmt: skip
        frames = {}
        for name, place in PLACES.items():
            watched.page.locator(place).first.evaluate("(place) => place.scrollIntoView()")
            watched.page.wait_for_timeout(1000)
            times = watched.page.evaluate(SWEEP, seconds)
            frames[name] = [after - before for before, after in pairwise(times)]
        watched.close()
    return loaded, ready, frames


def main(argv: list[str] | None = None) -> None:
    """Make a store, measure it, write its report, open it, sweep it."""
    from browser import CHROMIUM
    from galleries import portrait_store
    from stores import DDIM, ONE_STEP

    parser = argparse.ArgumentParser(prog="python -m bench page")
    parser.add_argument("--images", type=int, default=50)
    parser.add_argument("--levels", type=int, default=9)
    parser.add_argument("--side", type=int, default=256)
    wanted = parser.parse_args(argv or [])
    with tempfile.TemporaryDirectory() as folder:
        store, page = Path(folder) / "store", Path(folder) / "report.html"
        made = portrait_store(
            store, images=[f"portrait-{number:02}" for number in range(wanted.images // COPIES)],
            models=("demo", "other"), recipes=(ONE_STEP, DDIM), side=wanted.side, dtype="float16",
            levels=[(k + 1) * (990 // wanted.levels) for k in range(wanted.levels)],
        )  # fmt: skip
        written(store, page)  # takes the measures, which are kept; all else is made again
        again(made, COPIES)
        shutil.rmtree(store / DERIVED)
        say("written from kept measures", [written(store, page)], "s", f"<= {WRITTEN}")
        say("written once more", [written(store, page)], "s")
        say("size of the page", [page.stat().st_size / 1e6], "MB", f"<= {MB}")
        if CHROMIUM is None:
            print("page: no chromium, so it is not opened")
            return
        loaded, ready, frames = opened(page)
    say("answers, after navigation starts", [ready], "s", f"<= {READY}")
    say("loaded, after navigation starts", [loaded], "s")
    for name, times in frames.items():
        rates = [1000 / each for each in times]
        say(f"scrubs {name}", rates, "frames per second", f">= {RATE}")


if __name__ == "__main__":
    main(sys.argv[1:])
