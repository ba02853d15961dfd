"""A linear denoiser under gradient descent, whose learning curve is known in closed form.

D(x_t) = w·x_t, one w for each level and mode of variance λ; the three modes are the channels of a
picture. The loss is that of ε, whose weight of x̂0's error is the level's SNR, with c = a²λ + s²:

    w* = aλ/c    w_k = w*·(1 - r^k)    r = 1 - 2η·SNR·c    E_k = λs²/c + (w_k - w*)²·c

With this weight clean levels are learned first at any variance, and large variances first at any
level. As `linear_training:at_step` it is a run.
"""

from __future__ import annotations

import numpy as np

from nca_cli.schedule import Level, Schedule

SCHEDULE = Schedule()
VARIANCES = np.array([0.0625, 0.015625, 0.00390625])
"""Of the channels: pictures of these reach beyond [-1, 1] once in 16,000 pixels."""
RATE = 0.002
STEPS = (0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048)
SNRS = (300.0, 100.0, 30.0, 10.0, 3.0)
LEVELS = tuple(int(SCHEDULE.nearest(np.log(snr))) for snr in SNRS)
SIDE = 64


def noisiness(level: Level) -> np.ndarray:
    """c of each mode."""
    return level.a**2 * VARIANCES + level.s**2


def weight(step: int, level: Level) -> np.ndarray:
    """w of each mode after so many steps."""
    c = noisiness(level)
    return level.a * VARIANCES / c * (1 - (1 - 2 * RATE * level.snr * c) ** step)


def error(step: int, level: Level) -> np.ndarray:
    """Expected squared error of each mode, per pixel."""
    c = noisiness(level)
    best = VARIANCES * level.s**2 / c
    return best + (weight(step, level) - level.a * VARIANCES / c) ** 2 * c


class LinearDenoiser:
    """One checkpoint, as `nca` takes a network of your own."""

    shape, schedule, prediction = (3, SIDE, SIDE), SCHEDULE, "sample"

    def __init__(self, step: int):
        self.step, self.identity = step, f"linear, step {step}"

    def __call__(self, x, t):
        import torch

        found = [weight(self.step, SCHEDULE.level(round(float(level)))) for level in t]
        return torch.tensor(np.array(found), dtype=x.dtype)[:, :, None, None] * x


def at_step(step: int) -> LinearDenoiser:
    """The network at a step of its training."""
    return LinearDenoiser(step)


def pictures(folder, count: int = 24, seed: int = 0):
    """PNG files of Gaussian pictures whose channels have `VARIANCES`."""
    from PIL import Image

    from nca_cli.images import to_uint8

    random = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(count):
        x0 = np.sqrt(VARIANCES)[:, None, None] * random.standard_normal((3, SIDE, SIDE))
        Image.fromarray(to_uint8(x0)).save(folder / f"picture-{index:02d}.png")
    return folder


def by_channel(x0, x0_hat):
    """Squared error of each channel: a metric."""
    return dict(zip("abc", ((x0_hat - x0) ** 2).mean((1, 2)).tolist(), strict=True))
