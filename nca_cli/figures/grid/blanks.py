"""Samples that a figure lacks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from nca_cli.figures.grid.selection import Selection, Strip
from nca_cli.figures.grid.table import Cells
from nca_cli.recipe import Number
from nca_cli.store.layout import NOISE


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

    def note(strip: Strip, label: str, name: str, ts: Iterable[Number]) -> None:
        for t in ts:
            missing = Missing(strip.model, strip.image, label, t, strip.seed)
            found.setdefault((missing, name), strip)

    for strip in selection.strips:
        label, name = (strip.sampling.label, strip.sampling.name) if strip.sampling else (NOISE, "")
        note(strip, label, name, [t for t in strip.cells if (strip, t) not in cells])
        if any((strip, kind) not in cells for kind in strip.fixed):
            note(strip, NOISE, "", strip.cells or [_usual_level(selection, strip)])
    return [(strip, missing) for (missing, _), strip in found.items()]


def _usual_level(selection: Selection, strip: Strip) -> Number:
    """Any level, for a figure that shows none."""
    schedule = selection.schedules[strip.model]
    return 0 if schedule is None or schedule.holds(0) else schedule.default_levels[0]
