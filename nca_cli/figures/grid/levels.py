"""Columns by SNR: the t at which each model has a logSNR, and columns of levels that agree."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean
from typing import NamedTuple

from nca_cli.errors import UsageError
from nca_cli.recipe import Number
from nca_cli.schedule import Schedule

TOLERANCE = 0.1
"""logSNR within which levels of several models are one column: their SNR differs by 10 %."""

Columns = dict[float, dict[str, Number]]
"""logSNR → model → the t of it that stands in this column."""


class ModelLevel(NamedTuple):
    """A level of a model."""

    log_snr: float
    model: str
    t: Number


@dataclass(frozen=True, eq=False)
class LogSnrs:
    """What is known of the logSNR of models, each by its stored levels and by its schedule."""

    stored: Mapping[str, Mapping[Number, float]]
    schedules: Mapping[str, Schedule | None]

    def log_snr(self, model: str, t: Number) -> float:
        """By what is stored, else by the schedule; NaN where neither tells."""
        if t in self.stored[model]:
            return self.stored[model][t]
        schedule = self.schedules[model]
        return schedule.log_snr(t) if schedule and schedule.holds(t) else math.nan

    def nearest(self, model: str, log_snr: float) -> Number | None:
        """The t of a model at a logSNR: what is stored within `TOLERANCE`, else its nearest level.

        `None` where the model does not reach it.
        """
        stored, schedule = self.stored[model], self.schedules[model]
        near = min(stored, key=lambda t: _apart(stored[t], log_snr), default=None)
        if near is not None and _apart(stored[near], log_snr) <= TOLERANCE:
            return near
        try:
            return schedule.nearest(log_snr) if schedule else None
        except UsageError:
            return None

    def asked(self, log_snrs: Iterable[float]) -> Columns:
        """A column for each logSNR, with every model that reaches it."""
        columns: Columns = {}
        for log_snr in log_snrs:
            nearest = {model: self.nearest(model, log_snr) for model in self.stored}
            columns[log_snr] = {model: t for model, t in nearest.items() if t is not None}
        return columns

    def gathered(self, wanted: Mapping[str, Iterable[Number]]) -> Columns:
        """Levels of models (model → t) in columns, and beside them what other models have there.

        Levels without SNR stand in no column.
        """
        points = [self._level(model, t) for model in wanted for t in wanted[model]]
        placed = {(point.model, point.t) for point in points}
        columns: Columns = {}
        for cluster in clusters(point for point in points if not math.isnan(point.log_snr)):
            column = self._completed(cluster, placed)
            log_snr = fmean(point.log_snr for point in column)
            while log_snr in columns:  # a model may have two levels of one SNR
                log_snr = math.nextafter(log_snr, math.inf)
            columns[log_snr] = {point.model: point.t for point in column}
        return columns

    def distance(self, columns: Columns) -> float:
        """How far, at most, the logSNR of a level lies from what its column is called."""
        apart = (
            abs(self.log_snr(model, t) - level)
            for level, ts in columns.items() if math.isfinite(level)
            for model, t in ts.items() if model in self.stored
        )  # fmt: skip
        return max(apart, default=0.0)

    def _level(self, model: str, t: Number) -> ModelLevel:
        return ModelLevel(self.log_snr(model, t), model, t)

    def _completed(self, cluster: list[ModelLevel], placed: set) -> list[ModelLevel]:
        """A cluster with the levels of other models that agree with it and stand nowhere else."""
        column, middle = list(cluster), fmean(point.log_snr for point in cluster)
        for model in self.stored:
            t = self.nearest(model, middle)
            if t is not None and (model, t) not in placed:
                whole = sorted([*column, self._level(model, t)])
                if _agree(whole):
                    column = whole
                    placed.add((model, t))
        return column


def clusters(points: Iterable[ModelLevel]) -> list[list[ModelLevel]]:
    """Points within `TOLERANCE` of each other, no two of one model, together; the nearest first."""
    ordered = sorted(points)
    found = [[point] for point in ordered]
    """For each point the cluster that it is in."""
    gaps = [_apart(one.log_snr, other.log_snr) for one, other in pairwise(ordered)]
    for i in sorted(range(len(gaps)), key=gaps.__getitem__):
        if _agree(joined := found[i] + found[i + 1]):
            first = i + 1 - len(found[i])
            found[first : first + len(joined)] = [joined] * len(joined)
    return list({id(cluster): cluster for cluster in found}.values())


def _agree(points: list[ModelLevel]) -> bool:
    """Whether neighbours, in order, may share a column."""
    models = {point.model for point in points}
    close = _apart(points[0].log_snr, points[-1].log_snr) <= TOLERANCE
    return close and len(models) == len(points)


def _apart(one: float, other: float) -> float:
    """Distance of two logSNR: none between pure noise and pure noise."""
    return 0.0 if one == other else abs(one - other)
