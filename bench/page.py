"""The page of a large report: its size, how fast it is written, opened and scrubbed.

    python -m bench page
    python -m bench.page [--images 50] [--levels 9] [--side 256]

Portraits under two models. The report is written by a fresh process from measures that are kept;
Chromium (without a window, and drawing without a GPU) then opens it and its slider is swept over
all levels, a step for every frame that the browser asks for.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path

import bench.material  # noqa: F401  makes the tests' helpers importable
from nca_cli.store.layout import DERIVED

MB, WRITTEN, READY, RATE = 20, 20, 2, 30
"""Bounds: megabytes, seconds of writing, seconds until the page answers, frames per second."""
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


def opened(page: Path, seconds: float = 4) -> tuple[float, float, list[float]]:
    """Seconds to load and until the page answers, and the milliseconds of each frame of a sweep."""
    from browser import Watched, chromium

    with chromium() as browser:
        watched = Watched(browser, page, viewport={"width": 1440, "height": 900})
        loaded, ready = (watched.page.evaluate(what) / 1000 for what in
                         (LOADED, "Number(document.documentElement.dataset.ready)"))  # fmt: skip
        watched.page.locator("#scrubber > .bar").evaluate("(bar) => bar.scrollIntoView()")
        watched.page.wait_for_timeout(500)
        times = watched.page.evaluate(SWEEP, seconds)
        watched.close()
    return loaded, ready, [after - before for before, after in pairwise(times)]


def main(argv: list[str] | None = None) -> None:
    """Make a store, measure it, write its report, open it, sweep it."""
    from browser import CHROMIUM
    from galleries import portrait_store
    from stores import ONE_STEP

    parser = argparse.ArgumentParser(prog="python -m bench page")
    parser.add_argument("--images", type=int, default=50)
    parser.add_argument("--levels", type=int, default=9)
    parser.add_argument("--side", type=int, default=256)
    wanted = parser.parse_args(argv or [])
    with tempfile.TemporaryDirectory() as folder:
        store, page = Path(folder) / "store", Path(folder) / "report.html"
        portrait_store(
            store, images=[f"portrait-{number:03}" for number in range(wanted.images)],
            models=("demo", "other"), recipes=(ONE_STEP,), side=wanted.side, dtype="float16",
            levels=[(k + 1) * (990 // wanted.levels) for k in range(wanted.levels)],
        )  # fmt: skip
        written(store, page)  # takes the measures, which are kept; all else is made again
        shutil.rmtree(store / DERIVED)
        print(f"page: written in {written(store, page):5.2f} s from kept measures"
              f" (at most {WRITTEN}), in {written(store, page):.2f} s once more")  # fmt: skip
        print(f"page: {page.stat().st_size / 1e6:5.1f} MB (at most {MB})", flush=True)
        if CHROMIUM is None:
            print("page: no chromium, so it is not opened")
            return
        loaded, ready, frames = opened(page)
    median, worst = statistics.median(frames), max(frames)
    print(f"page: answers {ready:.2f} s after navigation starts (at most {READY}),"
          f" loaded after {loaded:.2f} s")  # fmt: skip
    print(f"page: scrubs at {1000 / median:.0f} frames per second (at least {RATE}),"
          f" {1000 / worst:.0f} at worst, {len(frames)} frames")  # fmt: skip


if __name__ == "__main__":
    main(sys.argv[1:])
