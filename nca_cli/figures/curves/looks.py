"""How lines are told from one another, by slots: page and paper spell each in their own way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

COLOUR_COUNT, DASH_COUNT = 7, 4
"""How many page and paper have of each for series; as many markers as colours."""


class Stroke(Enum):
    """What a line stands for; each kind has dashes of its own."""

    SERIES = 0
    REFERENCE = 1
    ONE_IMAGE = 2
    """Pairs of two seeds of an image, beside those of different images."""
    CLOSED_FORM = 3


@dataclass(frozen=True)
class Look:
    """How a line looks: by colour, and without colour."""

    stroke: Stroke
    dash: int = 0
    """Which of the dashes of its stroke, counted round and round."""
    colour: int | None = None
    """Which colour; None: the grey of what is of no series."""
    marker: int | None = None
    """Which marker; None: a line alone."""
    hollow: bool = False


def series_looks(series: Sequence[tuple[str, str]]) -> list[Look]:
    """The look of each (model, sampler): colour and marker tell one, dash and filling the other."""
    return [
        Look(Stroke.SERIES, dash, kind, kind, hollow=bool(dash % 2))
        for kind, dash in variants(series)
    ]


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
