"""The geometry of a training: maps of step × logSNR, and curves over steps, one for each level.

Values in the units of their axes, as in `panel`: whoever draws a page or a paper follows them. The
axis of steps is logarithmic; step 0, which has no logarithm, is the baseline of a map, and stands
one place before the first step of a curve.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from nca_cli.analysis.bootstrap import Estimate
from nca_cli.analysis.emergence import Emergence
from nca_cli.analysis.halflevel import isotonic
from nca_cli.analysis.learning import Learned
from nca_cli.errors import UsageError
from nca_cli.figures.curves.panel import AxisRange, widened
from nca_cli.figures.curves.titles import known_metric
from nca_cli.recipe import Number

ISO_SHARES = (0.25, 0.5, 0.75)
"""Learned shares that a map draws lines of; at ½ lie the learning steps."""
SHARE = AxisRange(0.0, 1.0)
"""Colours of a map; what lies below (worse than the baseline) has the lowest one."""


@dataclass(frozen=True)
class IsoLine:
    """Where so much is learned, as (logSNR, step) from point to point."""

    share: float
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True, eq=False)
class EmergenceMap:
    """The learned share G of one measure of a run over steps and levels."""

    emergence: Emergence

    @cached_property
    def levels(self) -> list[int]:
        """Which levels have a place, from clean to noise."""
        known = self.emergence.log_snr
        placed = [index for index, each in enumerate(known) if math.isfinite(each)]
        return sorted(placed, key=lambda index: -known[index])

    @property
    def log_snr(self) -> list[float]:
        """Of the columns, falling."""
        return [self.emergence.log_snr[index] for index in self.levels]

    @property
    def t(self) -> list[Number]:
        """Of the columns."""
        return [self.emergence.t[index] for index in self.levels]

    @property
    def steps(self) -> list[int]:
        """Of the rows, rising from the first one after 0."""
        return [step for step in self.emergence.steps if step > 0]

    @cached_property
    def shares(self) -> np.ndarray:
        """G `(levels, steps)`; NaN where a level has nothing to learn."""
        return np.array([self.emergence.learned[index].share for index in self.levels])

    @property
    def x_edges(self) -> list[float]:
        """Of the columns: halfway between levels, falling."""
        return _edges(self.log_snr)

    @property
    def y_edges(self) -> list[float]:
        """Of the rows, in steps: halfway between their logarithms."""
        return [math.exp(edge) for edge in _edges([math.log(step) for step in self.steps])]

    @cached_property
    def iso_lines(self) -> list[IsoLine]:
        """Lines of equal share; at ½ they pass through the learning step of every level.

        Between levels and between the logarithms of steps they are linear. As for learning steps,
        G is made monotone first: one lucky checkpoint is no island.
        """
        from skimage.measure import find_contours

        if min(self.shares.shape) < 2:
            return []
        known = np.isfinite(self.shares).all(axis=1)
        shares = np.full(self.shares.shape, np.nan)
        shares[known] = isotonic(self.shares[known])
        return [
            IsoLine(share, self._placed(line))
            for share in ISO_SHARES
            for line in find_contours(shares, share)
        ]

    def _placed(self, line: np.ndarray) -> tuple[tuple[float, float], ...]:
        """Places between cells `(points, 2)` as (logSNR, step)."""
        at = np.interp(line[:, 0], np.arange(len(self.levels)), self.log_snr)
        steps = np.exp(np.interp(line[:, 1], np.arange(len(self.steps)), np.log(self.steps)))
        return tuple(zip(at.tolist(), steps.tolist(), strict=True))


def _edges(centres: Sequence[float]) -> list[float]:
    """Halfway between neighbours; the outermost as far from their centre as the next ones."""
    if len(centres) == 1:
        return [centres[0] + 0.5, centres[0] - 0.5]
    between = [(one + other) / 2 for one, other in pairwise(centres)]
    return [2 * centres[0] - between[0], *between, 2 * centres[-1] - between[-1]]


class StepPoint(NamedTuple):
    """A measure at one step, with its 95 % interval; NaN where there is none."""

    step: int
    value: float
    low: float = math.nan
    high: float = math.nan


@dataclass(frozen=True)
class LevelLine:
    """A measure over the steps of a training at one level, and where half of it is learned."""

    t: Number
    log_snr: float
    points: tuple[StepPoint, ...]
    half: Estimate
    """The learning step."""
    half_value: float
    """The measure halfway from the baseline to the best."""


@dataclass(frozen=True, eq=False)
class LearningPanel:
    """Learning curves of one measure of a run: a line for each level, clean to noise."""

    emergence: Emergence
    lines: tuple[LevelLine, ...]
    share: bool = False
    """Whether they are of the learned share G instead of the measure."""

    @property
    def steps(self) -> list[int]:
        """Along the axis; 0 comes first where it is stored."""
        return [step for step in self.emergence.steps if step > 0 or not self.share]

    def place(self, step: float) -> float:
        """Where a step stands on the logarithmic axis: 0 one place before the first one."""
        later = [each for each in self.steps if each > 0]
        ratio = later[1] / later[0] if len(later) > 1 else 2.0
        return step if step > 0 else later[0] / min(max(ratio, 1.5), 3.0)

    @property
    def y(self) -> AxisRange:
        """All means with a little room, but nothing that no value can reach.

        Intervals stretch it by a quarter of what means span, at either end; what lies beyond is
        cut.
        """
        points = [point for line in self.lines for point in line.points]
        means = [point.value for point in points]
        if self.share:
            return widened(min([0.0, *means]), 1.0, 0.05)
        low, high = min(means, default=0.0), max(means, default=1.0)
        room = AxisRange(low - (high - low) / 4, high + (high - low) / 4)
        ends = [end for point in points for end in point[2:] if math.isfinite(end)]
        reached = [low, high, *map(room.within, ends)]
        span = widened(min(reached), max(reached), 0.06)
        least, most = known_metric(self.emergence.metric).bounds
        return AxisRange(max(span.low, least), min(span.high, most))


def learning_panel(emergence: Emergence, share: bool = False) -> LearningPanel:
    """A panel of one measure of one run."""
    order = sorted(range(len(emergence.t)), key=lambda index: -emergence.log_snr[index])
    placed = [index for index in order if math.isfinite(emergence.log_snr[index])]
    lines = (_line(emergence, index, share) for index in placed)
    return LearningPanel(emergence, tuple(lines), share)


def _line(emergence: Emergence, level: int, share: bool) -> LevelLine:
    found = emergence.learned[level]
    if share:
        steps = [step for step in emergence.steps if step > 0]
        rows = (found.share, found.share_low, found.share_high)
    else:
        steps = list(emergence.steps)
        rows = (emergence.mean[level], emergence.low[level], emergence.high[level])
    points = [StepPoint(*each) for each in zip(steps, *rows, strict=True)]
    drawn = tuple(point for point in points if math.isfinite(point.value))
    half = 0.5 if share else (found.baseline + found.best) / 2
    return LevelLine(emergence.t[level], emergence.log_snr[level], drawn, found.step, half)


def in_images(emergence: Emergence) -> Emergence:
    """The same over images seen instead of steps. Raises `UsageError` for unknown batch sizes."""
    size = emergence.batch_size
    if size is None:
        raise UsageError(f"how many images {emergence.run} saw in a step is not known",
                         "--batch-size N, or batch_size = N in its run.toml")  # fmt: skip
    return replace(
        emergence,
        steps=tuple(step * size for step in emergence.steps),
        learned=tuple(_times(each, size) for each in emergence.learned),
    )


def _times(found: Learned, size: int) -> Learned:
    step = replace(found.step, value=found.step.value * size, low=found.step.low * size,
                   high=found.step.high * size)  # fmt: skip
    return replace(found, step=step, best_step=found.best_step * size,
                   halves=found.halves + math.log(size))  # fmt: skip
