"""What single things cost: an evaluation, a commit, a measured sample.

In processor time, which others on the machine lengthen less than they do the clock's.

docs/performance.md multiplies them by what large experiments need.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from bench.table import say

REPEATS = 5
LEVELS, SIDE = 25, 256


def main() -> None:
    """One after the other."""
    evaluation()
    with tempfile.TemporaryDirectory() as folder:
        for side, levels in ((32, 9), (SIDE, LEVELS)):
            for dtype in ("float32", "float16"):
                commits(Path(folder) / f"{side}-{dtype}", side, levels, dtype)
        measured(Path(folder) / f"{SIDE}-float16")


def spent(call: Callable[[], object], repeats: int = REPEATS) -> list[float]:
    """Milliseconds of processor time of each call, after one to warm up."""
    call()
    found = []
    for _ in range(repeats):
        began = time.process_time()
        call()
        found.append(1000 * (time.process_time() - began))
    return found


def evaluation() -> None:
    """Of the demo model, in batches."""
    import torch

    from nca_cli.models import find_model, load_denoiser

    torch.set_num_threads(1)
    model = find_model("demo")
    denoise = load_denoiser(model, device="cpu")
    x, t = torch.randn(16, *model.space.shape), torch.full((16,), 500)
    times = [each / 16 for each in spent(lambda: denoise(x, t))]
    say("an evaluation of the demo model, 1 thread, batch 16", times, "ms")


def commits(root: Path, side: int, levels: int, dtype: str) -> None:
    """Of x̂0 of one image at all levels, in a new file."""
    from bench.measures import make_store
    from nca_cli.store import Samples, Store

    make_store(root, 1, levels, side)
    store = Store(root)
    noise, made = store.select()
    samples = Samples(
        noise.t, noise.seed, noise.log_snr, {"x0_hat": made.read("x0_hat", sorted(made.keys))}
    )
    names = iter(range(10**6))

    def commit() -> None:
        key = f"{next(names) + 1:064x}"[::-1]
        place = store.place(made.model, made.model_info, "copy", key)
        store.commit(place, made.name, made.header, samples, None, dtype)

    say(f"a commit of {levels} samples of {side} px, {dtype}", spent(commit), "ms")
    each = made.bytes / levels if dtype == "float16" else None
    if each:
        say(f"a stored sample of {side} px, float16", [each / 1000], "kB")


def measured(root: Path) -> None:
    """All measures that need no network."""
    from nca_cli.metrics import measure_store
    from nca_cli.store import Store

    def again() -> None:
        for kept in root.rglob("*.metrics.json"):
            kept.unlink()
        measure_store(Store(root), workers=1)

    times = [each / LEVELS for each in spent(again, 3)]
    say(f"measuring a sample of {SIDE} px, all measures without a network", times, "ms")


if __name__ == "__main__":
    np.seterr(all="ignore")
    main()
