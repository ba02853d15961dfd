"""Half-levels as a chart: a row for each measure, a mark for each series where half of it is lost.

Page and paper draw the same rows. What outlasts the measured levels, or is lost before the first,
stands at the edge of the axis and says so.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from nca_cli.analysis import HalfLevel, Turn
from nca_cli.figures.curves.panel import AxisRange, widened

Key = tuple[str, str]
"""Model and sampler."""


@dataclass(frozen=True)
class HalfMark:
    """Where one series loses half of one measure, in logSNR."""

    key: Key
    half: HalfLevel
    at: float
    """At the edge of the axis where half is lost beyond the measured levels."""
    low: float
    high: float
    """Ends of the interval, as far as the axis goes; `at` where there is none."""
    open: tuple[bool, bool]
    """Whether it reaches beyond the axis: to less noise, to more noise."""

    @property
    def turn(self) -> Turn:
        """Lost within the levels, before them or after them."""
        return self.half.turn


@dataclass(frozen=True)
class HalfRows:
    """The chart: measures from what one series loses first to what it loses last."""

    rows: tuple[tuple[str, tuple[HalfMark, ...]], ...]
    """Measure, and the marks of the series that have one."""
    x: AxisRange
    first: Key
    """The series whose order the rows have."""


def half_rows(
    halves: Iterable[HalfLevel], keys: Sequence[Key], levels: Iterable[float],
    leading: Sequence[Key] = (),
) -> HalfRows | None:  # fmt: skip
    """Marks in the order of `keys`; nothing where no half-level is known.

    `levels` are the measured logSNR, which the axis spans. The rows are in the order of the first
    of `leading`, else of `keys`, that has any.
    """
    known = [half for half in halves
             if half.turn is not Turn.UNKNOWN and (half.model, half.sampler) in keys]  # fmt: skip
    span = [level for level in levels if math.isfinite(level)]
    span += [half.log_snr.value for half in known if half.turn is Turn.GOES]
    if not known or not span:
        return None
    x = widened(min(span), max(span), 0.02, least=0.5)
    held = {(half.model, half.sampler) for half in known}
    first = next(key for key in (*leading, *keys) if key in held)
    rows: dict[str, list[HalfMark]] = {}
    for half in sorted(known, key=lambda half: keys.index((half.model, half.sampler))):
        rows.setdefault(half.measure, []).append(_mark(half, x))
    order = sorted(rows, key=lambda measure: _place(rows[measure], first))
    return HalfRows(tuple((measure, tuple(rows[measure])) for measure in order), x, first)


def _place(marks: Sequence[HalfMark], first: Key) -> tuple[int, float]:
    """Sorts rows as one series loses them; what it has no mark of stands last."""
    mine = next((mark for mark in marks if mark.key == first), None)
    return (mine.turn.value, -mine.at) if mine else (Turn.UNKNOWN.value, -marks[0].at)


def _mark(half: HalfLevel, x: AxisRange) -> HalfMark:
    key, where = (half.model, half.sampler), half.log_snr
    edge: Mapping[Turn, float] = {Turn.GONE: x.high, Turn.LASTS: x.low}
    at = edge.get(half.turn, where.value)
    low, high = (at if math.isnan(end) else x.within(end) for end in (where.low, where.high))
    return HalfMark(key, half, at, low, high, (where.high > x.high, where.low < x.low))
