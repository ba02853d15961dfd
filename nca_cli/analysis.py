"""Statistics over measured values: one number per sample in, curves over noise levels out."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from typing import NamedTuple

import numpy as np

COARSE, CLEAN_UP = 1e-2, 1.0
"""SNR below which only coarse structure survives, and above which only detail is missing:
the three stages of P2 weighting (Choi et al., 2204.00227)."""


class Value(NamedTuple):
    """One number about one sample; the field names are the columns of the tidy table."""

    image: str
    model: str
    sampler: str
    t: int | float
    seed: int
    log_snr: float
    measure: str
    value: float


@dataclass(frozen=True)
class Point:
    """A measure at one level. The unit of replication is the image: seeds are averaged first."""

    t: int | float
    log_snr: float
    mean: float
    """Over images; NaN where no sample has a value."""
    std: float
    """Between images, with n-1; NaN below two images."""
    images: int
    n: int
    """Samples: images times seeds."""


@dataclass(frozen=True)
class Curve:
    """One measure of one model and sampler over noise levels, in the order of t."""

    model: str
    sampler: str
    measure: str
    points: tuple[Point, ...]


def curves(values: Iterable[Value]) -> list[Curve]:
    """A curve per (model, sampler, measure), in the order in which they first occur.

    Values that are NaN count as absent.
    """
    groups: dict[tuple[str, str, str], list[Value]] = {}
    for value in values:
        groups.setdefault((value.model, value.sampler, value.measure), []).append(value)
    return [Curve(*key, _points(group)) for key, group in groups.items()]


def _points(values: Sequence[Value]) -> tuple[Point, ...]:
    by_level = groupby(sorted(values, key=attrgetter("t", "image", "seed")), key=attrgetter("t"))
    return tuple(_point(list(group)) for _, group in by_level)


def _point(values: Sequence[Value]) -> Point:
    """The statistics of one level; `values` are sorted by image."""
    known = [value for value in values if not math.isnan(value.value)]
    means = [
        float(np.mean([value.value for value in group]))
        for _, group in groupby(known, key=attrgetter("image"))
    ]
    mean = float(np.mean(means)) if means else math.nan
    spread = len(means) > 1 and math.isfinite(mean)
    std = float(np.std(means, ddof=1)) if spread else math.nan
    return Point(values[0].t, values[0].log_snr, mean, std, len(means), len(known))


def stage(snr: float) -> str:
    """`coarse`, `content` or `clean-up`: what is being decided at a level of this SNR."""
    if snr < COARSE:
        return "coarse"
    return "content" if snr <= CLEAN_UP else "clean-up"
