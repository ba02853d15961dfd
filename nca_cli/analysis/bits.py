"""Bits about x0 that noise levels carry, from one-step errors alone: I-MMSE.

Guo, Shamai & Verdú (2005, theorem 1): dI/ds = ½·MMSE(s) in nats, s = SNR. The information between
two levels is thus

    I = ½ ∫ MMSE ds / ln 2 = ½ ∫ s·MMSE d(ln s) / ln 2   bits,

with MMSE per pixel the mean squared error times the channels. A network's error is at least the
MMSE, so its integral is an upper bound that a perfect denoiser attains. Between measured levels
ln MMSE is a cubic in ln s, a straight line for power laws. Nothing is extrapolated: a stage that
reaches beyond the measured levels is `partial`. For Gaussian data I(s) = ½ Σ log2(1 + sλ).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from nca_cli.analysis.bootstrap import Estimate, estimate, resampled_means
from nca_cli.analysis.p2 import BOUNDS
from nca_cli.analysis.values import Matrices, Value, common_levels, tables
from nca_cli.metrics.tidy import TidyTable

CHANNELS = 3
PIECES = 8
ALL = "all"
"""Name of everything between the first and the last measured level."""
ONE_STEP = ("one-step", "reference:gaussian", "reference:wiener")
"""How the samplers begin whose error estimates the MMSE; a chain's does not, nor that
of a reference for a chain, which it names after a slash."""


@dataclass(frozen=True)
class Bits:
    """Bits per pixel between two logSNR, of one model's one-step errors."""

    model: str
    sampler: str
    stage: str
    """Of P2, or `all`."""
    bits: Estimate
    log_snr_low: float
    log_snr_high: float
    """What was integrated over: the stage as far as it was measured."""
    partial: bool
    """Whether the stage goes on beyond; `coarse` and `clean-up` always do."""
    below: float
    """At least so many bits per pixel lie below the lowest measured level: ½·s·MMSE(s)/ln 2."""


def bits(values: Iterable[Value], channels: Mapping[str, int] | int = CHANNELS) -> list[Bits]:
    """Bits per pixel of each stage, and of all levels, of every one-step series.

    `channels` of the images, or per model. Not for latent models: their error in pixels is not that
    of what the noise was added to.
    """
    found: list[Bits] = []
    errors = TidyTable.of(values).of_measure("mse")
    for table in tables(errors.where(_one_step, "sampler")):
        known = channels if isinstance(channels, int) else channels.get(table.model, CHANNELS)
        found += _of_table(table, known)
    return found


def _one_step(sampler: str) -> bool:
    return sampler.startswith(ONE_STEP) and "/" not in sampler


def _of_table(table: Matrices, channels: int) -> Iterable[Bits]:
    cells = table.grids["mse"].mean
    with np.errstate(invalid="ignore"):
        there = np.isfinite(cells)
        there &= (there & (cells > 0)).any(axis=0)
    levels = common_levels(there, table.log_snr)[::-1]
    complete = np.isfinite(cells[:, levels]).all(axis=1)
    cells = np.where(complete[:, None], cells[:, levels], np.nan) * channels
    for name, bounds in {**BOUNDS, ALL: (-math.inf, math.inf)}.items():
        yield _bits(table, name, bounds, table.log_snr[levels], cells)


def _bits(
    table: Matrices, name: str, bounds: tuple[float, float], log_snr: np.ndarray, mse: np.ndarray
) -> Bits:
    n = int(np.isfinite(mse).all(axis=1).sum()) if len(log_snr) else 0
    names, nowhere = (table.model, table.sampler, name), (math.nan, math.nan)
    if len(log_snr) < 2 or not n:
        why = "no image at all levels" if len(log_snr) > 1 else "fewer than two levels of known SNR"
        return Bits(*names, Estimate(n=n, blank=why), *nowhere, True, math.nan)
    low, high = max(bounds[0], log_snr[0]), min(bounds[1], log_snr[-1])
    below = float(np.exp(log_snr[0]) * np.nanmean(mse[:, 0]) / 2 / math.log(2))
    if low >= high:
        return Bits(*names, Estimate(n=n, blank="no levels in this stage"), *nowhere, True, below)
    mean = np.nanmean(mse, axis=0)[None]
    value = integral(log_snr, mean, low, high)[0]
    draws = integral(log_snr, resampled_means(mse), low, high)
    found = estimate(float(value), draws, n, mean=True)
    partial = name == ALL or (low, high) != bounds
    return Bits(*names, found, float(low), float(high), partial, below)


def integral(
    log_snr: np.ndarray, mse: np.ndarray, low: float = -math.inf, high: float = math.inf
) -> np.ndarray:
    """½ ∫ MMSE ds / ln 2 `(draws,)` between two logSNR, within those of `mse` `(draws, levels)`.

    ln MMSE is interpolated by cubics and then taken as straight between `PIECES` points of each
    interval, so that s·MMSE is a chain of exponentials, which has an exact integral. logSNR rises.
    """
    low, high = max(low, log_snr[0]), min(high, log_snr[-1])
    inner = log_snr[(log_snr > low) & (log_snr < high)]
    ends = np.array([low, *inner, high])
    steps = np.diff(ends)[:, None] * np.arange(PIECES) / PIECES
    knots = np.append((ends[:-1, None] + steps).ravel(), high)
    with np.errstate(divide="ignore", invalid="ignore"):
        density = _interpolated(knots, log_snr, np.log(mse)) + knots  # ln(s·MMSE)
        slopes = np.diff(density, axis=1)
        shape = np.where(np.abs(slopes) > 1e-9, np.expm1(slopes) / slopes, 1.0)
    pieces = np.exp(density[:, :-1]) * shape * np.diff(knots)
    return pieces.sum(axis=1) / 2 / math.log(2)


def _interpolated(at: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Rows of `y (draws, levels)` at `at`: cubic Hermite pieces with slopes of second order.

    `scipy.interpolate` has them too, but its import would slow every report of kept values.
    """
    slopes = np.gradient(y, x, axis=1, edge_order=2 if len(x) > 2 else 1)
    after = np.clip(np.searchsorted(x, at), 1, len(x) - 1)
    width = x[after] - x[after - 1]
    u = (at - x[after - 1]) / width
    start, end = slopes[:, after - 1] * width, slopes[:, after] * width
    rise = y[:, after] - y[:, after - 1]
    bend = u * (1 - u) * ((1 - u) * (start - rise) - u * (end - rise))
    return y[:, after - 1] + u * rise + bend
