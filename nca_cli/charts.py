"""What charts of the page and of paper share: how series are told apart, and which t are named."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from nca_cli.analysis import Point

COLOUR_COUNT, DASH_COUNT = 7, 4
"""How many page and paper have of each, in their own spelling; as many markers as colours."""
MOST_AREAS = 3
"""Intervals of so many series are areas; those of more would cover one another and are bars."""


def variants(series: Sequence[tuple[str, str]]) -> list[tuple[int, int]]:
    """(model, sampler) of each series → which colour and marker, and which dash, it has.

    The first tells samplers and the second models, where both are few enough; else each series
    has a colour of its own, and a new dash when colours come again.
    """
    models = list(dict.fromkeys(model for model, _ in series))
    samplers = list(dict.fromkeys(sampler for _, sampler in series))
    if len(models) > DASH_COUNT or not 1 < len(samplers) <= COLOUR_COUNT:
        return [(index % COLOUR_COUNT, index // COLOUR_COUNT % DASH_COUNT)
                for index in range(len(series))]  # fmt: skip
    return [(samplers.index(sampler), models.index(model)) for model, sampler in series]


def named_levels(
    points: Iterable[Point], place: Callable[[float], float], spacing: float
) -> list[tuple[str, float]]:
    """The t to name along a logSNR axis and their places: round ones first, `spacing` apart.

    None where models disagree on what a t is.
    """
    levels: dict[float, float] = {}
    for point in points:
        if levels.setdefault(point.t, point.log_snr) != point.log_snr:
            return []
    named: list[tuple[str, float]] = []
    for t in sorted(levels, key=_roundness):
        at = place(levels[t])
        if all(abs(at - other) >= spacing for _, other in named):
            named.append((f"{t:g}", at))
    return named


def _roundness(t: float) -> tuple[int, float]:
    """Smaller for rounder numbers: hundreds, fifties, tens, then all others."""
    return next((rank for rank, unit in enumerate((100, 50, 10)) if t % unit == 0), 3), t
