"""Samples that a figure lacks."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from nca_cli.figures.grid.selection import Selection, Strip
from nca_cli.figures.grid.table import Cells
from nca_cli.recipe import Number


class Missing(NamedTuple):
    """A cell that has no sample: folder names, `noise` or the sampler's label, and the key."""

    model: str
    image: str
    label: str
    t: Number
    seed: int


def blanks(selection: Selection, cells: Cells) -> list[tuple[Strip, Missing]]:
    """Strips and what they lack, each sample once; one label may be of several recipes."""
    found: dict[tuple[Missing, str], Strip] = {}
    for strip in selection.strips:
        name = strip.sampling.name if strip.sampling else ""
        for t in strip.cells:
            if (strip, t) not in cells:
                found.setdefault((_missing(strip, t), name), strip)
        bare = replace(strip, sampling=None)
        for kind in strip.fixed:
            if (strip, kind) not in cells:
                for t in strip.cells or [_usual_level(selection, strip)]:
                    found.setdefault((_missing(bare, t), ""), strip)
    return [(strip, missing) for (missing, _), strip in found.items()]


def is_drawn(selection: Selection, cells: Cells) -> bool:
    """Whether anything is, beside x0 and the floor where a figure has levels."""
    return any((not selection.request.kinds) == (place in strip.fixed) for strip, place in cells)


def _usual_level(selection: Selection, strip: Strip) -> Number:
    """Any level, for a figure that shows none."""
    schedule = selection.schedules[strip.model]
    return 0 if schedule is None or schedule.holds(0) else schedule.default_levels[0]


def _missing(strip: Strip, t: Number) -> Missing:
    label = strip.sampling.label if strip.sampling else "noise"
    return Missing(strip.model, strip.image, label, t, strip.seed)
