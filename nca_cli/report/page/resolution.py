"""Models of several resolutions on one axis of logSNR: what is said, and how far each moves."""

from __future__ import annotations

import math
from contextlib import suppress

from nca_cli.analysis import BOUNDS
from nca_cli.figures.curves.panel import Trace
from nca_cli.figures.curves.sides import STATED, Sides, apart, in_latents
from nca_cli.figures.curves.sides import shift as shift_of
from nca_cli.report.data import Report
from nca_cli.store.header import side_of

LONGER = "For pictures that are not square, cycles per side are counted along the longer side."


def sides(report: Report) -> Sides:
    """Of the models of a report, as far as they say it."""
    found: dict[str, int | None] = {}
    for model in report.models:
        with suppress(LookupError, TypeError, ValueError):
            found[model.name] = side_of(model.space)
    return found


def shift(report: Report, entry: Trace) -> float:
    """2 ln(side/256), from logSNR to logSNR per pixel at 256 px; 0 where no side is known.

    What is of no one model is of the first of all.
    """
    known = {model: side for model, side in sides(report).items() if side is not None}
    own = [known[curve.model] for curve in entry.curves.values() if curve.model in known]
    return shift_of(next(iter([*own, *known.values()]), STATED))


def per_pixel(report: Report) -> bool:
    """Whether there is another axis to choose: all models have known sides in pixels, and some is
    not of 256."""
    known = {*sides(report).values()}
    return len(sides(report)) == len(report.models) and None not in known and known != {STATED}


def note(report: Report) -> str:
    """What keeps models of several resolutions from being compared at equal logSNR, and what a side
    is of pictures that are no squares; or nothing."""
    found = sides(report)
    notes = [said] if (said := in_latents(found)) else []
    if said := apart(found):
        helps = (
            f"; log SNR per pixel at {STATED} px removes this shift" if per_pixel(report) else ""
        )
        notes.append(f"{said}{helps}.")
    oblong = (isinstance(model.space.get("resolution"), list) for model in report.models)
    return " ".join([*notes, LONGER] if any(oblong) else notes)


def stages() -> list[list]:
    """P2's stages as `[name, logSNR of the noisier end, of the cleaner end]`; None: without end."""
    return [[name, *(end if math.isfinite(end) else None for end in ends)]
            for name, ends in BOUNDS.items()]  # fmt: skip
