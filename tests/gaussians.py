"""Pictures from a known Gaussian, noised and denoised exactly: every statistic has a truth."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from nca_cli.analysis import Value, curves
from nca_cli.analysis.pairs import unshared
from nca_cli.analysis.variance import components
from nca_cli.recipe import Recipe, digest
from nca_cli.samplers import Prediction, drive, start
from nca_cli.schedule import Level, Schedule, seeded_noise
from nca_cli.store import Samples, Store

LINEAR = Schedule()
LEVELS = tuple(range(100, 1000, 100))
ONE_STEP = Recipe("0" * 40, "one-step")
DDIM = Recipe("0" * 40, "ddim", steps=50, eta=0.0, final_alpha="one")
VARIANCES = "within", "between", "share", "unshared pairs"
DDPM = Recipe("0" * 40, "ddpm", steps=100, variance="fixed_small", final_alpha="one")


class Gaussian:
    """Stationary pictures `(3, side, side)` of mean μ with the power S(f) = A/(f² + f0²)."""

    def __init__(self, side: int = 8, amplitude: float = 0.6, mean: float = 0.1):
        f = np.fft.fftfreq(side, 1 / side)
        power = amplitude / (f[:, None] ** 2 + f[None] ** 2 + 0.25)
        self.side, self.mean = side, mean
        self.power = np.stack([power, 0.3 * power, 0.1 * power])
        self.spectrum = self.power.ravel()

    @property
    def d(self) -> int:
        return self.spectrum.size

    def filtered(self, x: np.ndarray, gain: np.ndarray) -> np.ndarray:
        return np.fft.ifft2(np.fft.fft2(x, norm="ortho") * gain, norm="ortho").real

    def draw(self, count: int, random: np.random.Generator) -> np.ndarray:
        """`(count, 3, side, side)`."""
        white = random.standard_normal((count, *self.power.shape))
        return self.mean + self.filtered(white, np.sqrt(self.power))

    def denoise(self, x: np.ndarray, level: Level) -> Prediction:
        """The exact E[x0|x_t]."""
        gain = level.a * self.power / (level.a**2 * self.power + level.s**2)
        return Prediction(self.mean + self.filtered(x - level.a * self.mean, gain))

    def reconstruct(
        self, recipe: Recipe, x_t: np.ndarray, t: int, random: np.random.Generator,
        schedule: Schedule = LINEAR,
    ) -> np.ndarray:  # fmt: skip
        fresh = lambda level: random.standard_normal(x_t.shape)  # noqa: E731
        return drive(start(recipe, schedule, x_t, t, fresh), self.denoise)[0]

    def mmse(self, t: int) -> float:
        """Per pixel."""
        return float((self.spectrum / (1 + LINEAR.snr(t) * self.spectrum)).sum() / self.d)

    def errors(self, images: int, t: int, random: np.random.Generator) -> np.ndarray:
        """Mean squared errors `(images,)` of exact one-step reconstructions, unclipped."""
        x0, level = self.draw(images, random), LINEAR.level(t)
        x_t = level.a * x0 + level.s * random.standard_normal(x0.shape)
        return ((self.denoise(x_t, level).x0 - x0) ** 2).mean(axis=(1, 2, 3))

    def coverage(self, images: int, levels=(100, 500, 800), repeats: int = 200) -> dict[int, float]:
        """t → share of repeats whose 95 % interval holds the MMSE."""
        random = np.random.default_rng(images)
        rows = [
            Value(
                f"i{i:03}", "g", "one-step", t, 0, LINEAR.log_snr(t), f"mse/{repeat}", float(error)
            )
            for repeat in range(repeats)
            for t in levels
            for i, error in enumerate(self.errors(images, t, random))
        ]
        points = [point for curve in curves(rows) for point in curve.points]
        return {
            t: float(np.mean([p.low <= self.mmse(t) <= p.high for p in points if p.t == t]))
            for t in levels
        }

    def variance_truth(self, t: int) -> tuple[float, float, float]:
        """Within, between and share of one-step reconstructions: Σλρ(1-ρ)/d, Σλρ²/d with
        ρ = sλ/(1+sλ)."""
        rho = LINEAR.snr(t) * self.spectrum / (1 + LINEAR.snr(t) * self.spectrum)
        within, between = ((self.spectrum * rho * part).mean() for part in (1 - rho, rho))
        return float(within), float(between), float(between / (between + within))

    def variance_coverage(
        self, images: int, levels=(100, 500, 800), repeats: int = 200
    ) -> dict[tuple[str, int], float]:
        """(what, t) → share of repeats whose 95 % interval holds the truth; 0 without intervals.

        Two seeds, and pictures as their independent modes: variances over pixels are the same.
        """
        random, hits = np.random.default_rng(images), {}
        for t in levels:
            level, gain = LINEAR.level(t), LINEAR.snr(t) * self.spectrum
            truths = (*self.variance_truth(t), 2 * (level.a**2 * self.spectrum.mean() + level.s**2))
            for _ in range(repeats):
                x0 = random.standard_normal((images, 1, self.d)) * np.sqrt(self.spectrum)
                x_t = level.a * x0 + level.s * random.standard_normal((images, 2, self.d))
                found = (*components(x_t / level.a * gain / (1 + gain))[:3], unshared(x_t[:, 0]))
                for name, one, truth in zip(VARIANCES, found, truths, strict=True):
                    hits.setdefault((name, t), []).append(one.low <= truth <= one.high)
        return {key: float(np.mean(some)) for key, some in hits.items()}

    def rows(
        self, images: int, recipe: Recipe = ONE_STEP, levels=LEVELS, seed: int = 0
    ) -> list[Value]:
        """Rows of the mean squared error, unclipped, of fresh images."""
        random = np.random.default_rng(seed)
        x0, rows = self.draw(images, random), []
        for t in levels:
            level = LINEAR.level(t)
            x_t = level.a * x0 + level.s * random.standard_normal(x0.shape)
            errors = ((self.reconstruct(recipe, x_t, t, random) - x0) ** 2).mean(axis=(1, 2, 3))
            rows += [
                Value(f"i{i:03}", "g", recipe.label, t, 0, LINEAR.log_snr(t), "mse", float(error))
                for i, error in enumerate(errors)
            ]
        return rows


def fill(
    root: Path,
    data: Gaussian,
    images: int,
    seeds: int = 1,
    recipes=(ONE_STEP,),
    levels=LEVELS,
    seed: int = 0,
    schedule: Schedule = LINEAR,
) -> Store:
    """A store of images of `data`, x_t by seeded noise, and exact reconstructions."""
    store, random = Store(root), np.random.default_rng(seed)
    space = {
        "schedule": schedule.describe(),
        "shape": [3, data.side, data.side],
        "resolution": data.side,
        "channels": 3,
    }
    info = {"name": "g", "source": "built in", "space": space}
    keys = [(t, s) for t in levels for s in range(seeds)]
    index = [
        np.array(column)
        for column in zip(*[(t, s, schedule.log_snr(t)) for t, s in keys], strict=True)
    ]
    for number, x0 in enumerate(data.draw(images, random).astype(np.float32)):
        name = f"i{number:03}"
        place = store.place("g-00000000", info, name, digest(name))
        header = {
            "model": json.dumps(info),
            "image": json.dumps({"name": name, "digest": digest(name)}),
        }
        mixed = [(schedule.level(t), seeded_noise(s, digest(name), x0.shape)) for t, s in keys]
        x_t = np.stack([level.a * x0 + level.s * noise for level, noise in mixed]).astype(
            np.float32
        )
        store.commit(
            place, "noise", {**header, "kind": "noise"}, Samples(*index, {"x_t": x_t}), {"x0": x0}
        )
        for recipe in recipes:
            made = [
                data.reconstruct(recipe, x, t, random, schedule)
                for (t, _), x in zip(keys, x_t, strict=True)
            ]
            text = {**header, "kind": "reconstruction", "recipe": recipe.canonical()}
            store.commit(
                place,
                recipe.name,
                text,
                Samples(*index, {"x0_hat": np.stack(made).astype(np.float32)}),
            )
    return store


def errors_in(store: Store) -> list[Value]:
    """Unclipped mean squared errors of everything stored."""
    rows = []
    for artifact in store.select():
        if artifact.is_noise:
            x0 = artifact.fixed("x0")
            continue
        keys = zip(artifact.t.tolist(), artifact.seed.tolist(), strict=True)
        for (t, seed), log_snr in sorted(zip(keys, artifact.log_snr.tolist(), strict=True)):
            error = float(((artifact.read("x0_hat", [(t, seed)])[0] - x0) ** 2).mean())
            name = artifact.image_name, artifact.model_name, artifact.label
            rows.append(Value(*name, t, seed, log_snr, "mse", error))
    return rows
