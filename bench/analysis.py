"""Do the statistics tell the truth? Data from a known Gaussian, against the closed forms.

python -m bench analysis
"""

from __future__ import annotations

import math
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bench.table import say

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))


def coverage() -> None:
    """Of the 95 % intervals of one-step errors: 200 repeats at each number of images."""
    from gaussians import Gaussian

    for images in (3, 5, 10, 20, 30, 50):
        shares = Gaussian().coverage(images)
        for t, share in shares.items():
            say(f"95 % intervals of {images} images at t {t} cover the truth", [100 * share], "%")


def variance_coverage() -> None:
    """Of the intervals of variances, shares and pairs: 400 repeats at each number of images."""
    from gaussians import VARIANCES, Gaussian

    for images in (3, 5, 8, 12, 20, 50):
        found = Gaussian().variance_coverage(images, repeats=400)
        for name in VARIANCES:
            shares = {t: share for (what, t), share in found.items() if what == name}
            if not any(shares.values()):
                print(f"{name} of {images} images: no interval")
                continue
            for t, share in shares.items():
                say(f"{name} of {images} images at t {t}: covered", [100 * share], "%")


def closed_forms() -> None:
    """Measured curves of one-step, DDIM and DDPM reconstructions against exact errors."""
    from gaussians import DDIM, DDPM, LEVELS, LINEAR, ONE_STEP, Gaussian

    from nca_cli.analysis import curves
    from nca_cli.analysis.chains import linear

    data = Gaussian()
    for recipe in (ONE_STEP, DDIM, DDPM):
        points = curves(data.rows(50, recipe, seed=1))[0].points
        ones = np.ones_like(data.spectrum)
        chains = [linear(recipe, LINEAR, t, data.spectrum) for t in LEVELS]
        exact = [chain.error(data.spectrum, 0 * ones, 0 * ones, ones) / data.d for chain in chains]
        inside = sum(p.low <= e <= p.high for p, e in zip(points, exact, strict=True))
        off = max(abs(p.mean / e - 1) for p, e in zip(points, exact, strict=True))
        what = f"{recipe.label}, 50 images"
        say(f"{what}: levels of {len(points)} whose interval holds the closed form", [inside])
        say(f"{what}: means off the closed form by at most", [100 * off], "%")


def bits_against_closed_form() -> None:
    """I-MMSE from nine levels, exact errors and measured ones, against ½ Σ log2(1 + sλ)."""
    from gaussians import LEVELS, LINEAR, Gaussian

    from nca_cli.analysis import Value, bits

    data = Gaussian()
    exact = [
        Value("x", "g", "one-step", t, 0, LINEAR.log_snr(t), "mse", data.mmse(t)) for t in LEVELS
    ]
    for what, rows in (("exact errors", exact), ("50 images", data.rows(50, seed=2))):
        for one in bits(rows):
            s = np.exp([one.log_snr_low, one.log_snr_high])
            truth = np.diff(np.log2(1 + s[:, None] * data.spectrum).sum(axis=1))[0] / 2 / data.d * 3
            off = 100 * (one.bits.value / truth - 1)
            say(f"bits per pixel, {one.stage}, {what}", [one.bits.value])
            say(f"the same, off the closed form of {truth:.4f}", [off], "%")


def half_level_coverage(repeats: int = 200) -> None:
    """Of the 95 % intervals of half-levels of noisy logistic curves."""
    from gaussians import LEVELS, LINEAR

    from nca_cli.analysis import Value, half_levels
    from nca_cli.analysis.halflevel import crossings

    log_snr = np.array([LINEAR.log_snr(t) for t in LEVELS])

    def drawn(images: int, random: np.random.Generator) -> np.ndarray:
        halves = -3 + 0.5 * random.standard_normal((images, 1))
        noise = 0.05 * random.standard_normal((images, len(LEVELS)))
        return 1 / (1 + np.exp(halves - log_snr)) + noise

    def rows(images: int, random: np.random.Generator, measure: str) -> list[Value]:
        return [
            Value(f"i{i:03}", "m", "s", LEVELS[j], 0, log_snr[j], measure, float(value))
            for i, row in enumerate(drawn(images, random))
            for j, value in enumerate(row)
        ]

    mean = drawn(100_000, np.random.default_rng(0)).mean(axis=0)
    truth = float(crossings(1 - mean[None], log_snr)[0])
    for images in (5, 20, 50):
        random = np.random.default_rng(images)
        table = [row for k in range(repeats) for row in rows(images, random, f"coherence/{k}")]
        found = [half.log_snr for half in half_levels(table)]
        share = np.mean([half.low <= truth <= half.high for half in found])
        what = f"half-levels of {images} images"
        say(f"{what}: 95 % intervals that hold the truth {truth:.3f}", [100 * share], "%")
        say(f"{what}: mean", [np.mean([half.value for half in found])])


def references_of_a_store() -> None:
    """The Gaussians fitted to 40 images, against the exact denoiser of the same Gaussian."""
    from gaussians import DDIM, ONE_STEP, Gaussian, errors_in, fill

    from nca_cli.analysis import analyse

    with tempfile.TemporaryDirectory() as folder:
        store = fill(Path(folder) / "store", Gaussian(), 40, 2, (ONE_STEP, DDIM), (200, 500, 800))
        rows = errors_in(store)
        times = []
        for _ in range(2):
            began = time.perf_counter()
            found = analyse(rows, store)
            times.append(time.perf_counter() - began)
    for one in found.excess:
        gain = one.gain
        for which, value in (("", gain.value), (", low", gain.low), (", high", gain.high)):
            say(f"the truth beats {one.reference} at t {one.t}{which}", [value], "dB")
    for curve in found.pairs:
        worst = max(
            (
                abs(p.unshared.value / p.unshared_exact - 1)
                for p in curve.points
                if math.isfinite(p.unshared_exact)
            ),
            default=math.nan,
        )
        if math.isfinite(worst):
            say(f"{curve.sampler} pairs off their closed form by at most", [100 * worst], "%")
    say("statistics of a store, first", times[:1], "s")
    say("statistics of a store, again", times[1:], "s")


def main(arguments: Sequence[str] = ()) -> None:
    """All of it; under a minute."""
    coverage()
    variance_coverage()
    closed_forms()
    bits_against_closed_form()
    half_level_coverage()
    references_of_a_store()


if __name__ == "__main__":
    main()
