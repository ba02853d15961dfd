"""Models of several resolutions on one axis of logSNR.

Averaging 2×2 pixels halves the standard deviation of independent noise and leaves large structures
as they are. So the same content stands 2·ln 2 lower in logSNR for every doubling of the side, and
logSNR + 2·ln(side/256), "per pixel at 256 px", means the same for every resolution. Of what is no
square the longer side counts, as it does for bands.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from nca_cli.analysis.emergence import Emergence
from nca_cli.errors import NcaError
from nca_cli.store import Filters, Names, Store
from nca_cli.store.header import side_of

STATED = 256
"""Pixels of a side for which P2 states its stages."""
Sides = Mapping[str, int]
"""Model, as tables call it → side of its x_t in pixels; of latent models in latents, where their
noise lies."""


def shift(side: int) -> float:
    """2·ln(side/256), from logSNR to logSNR per pixel at 256 px."""
    return 2 * math.log(side / STATED)


def sides_of(store: Store, filters: Filters) -> dict[str, int]:
    """Of the models whose reconstructions fit, as far as they say it."""
    made = [each for each in store.select(filters) if not each.is_noise]
    names, found = Names(made), {}
    for artifact in made:
        if (name := names.model(artifact)) not in found:
            with suppress(NcaError, LookupError, TypeError, ValueError):
                found[name] = side_of(artifact.model_info["space"])
    return found


def per_pixel(rows: Iterable[Any], sides: Sides) -> list[Any]:
    """Values, or readings of concepts, at their logSNR per pixel at 256 px: named tuples with a
    model and a logSNR, which is NaN for models of unknown side."""

    shifts = {model: shift(side) for model, side in sides.items()}
    return [row._replace(log_snr=row.log_snr + shifts.get(row.model, math.nan)) for row in rows]


def trained_per_pixel(found: Emergence) -> Emergence:
    """A training at its logSNR per pixel at 256 px; NaN where its side is unknown."""
    moved = math.nan if found.side is None else shift(found.side)
    return replace(found, log_snr=tuple(at + moved for at in found.log_snr))


def apart(sides: Sides) -> str:
    """What keeps models from being compared at equal logSNR; nothing where it is one side."""
    if len({*sides.values()}) < 2:
        return ""
    low, high = min(sides.values()), max(sides.values())
    return (f"Models of {low} to {high} px: at {high} px the same content lies "
            f"{shift(high) - shift(low):.2f} lower in log SNR than at {low} px")  # fmt: skip


def advice(sides: Sides, corrected: bool) -> str:
    """`apart`, and the option that helps, unless it was given."""
    said = "" if corrected else apart(sides)
    return f"{said} (--per-pixel corrects that)." if said else ""


def stages_stated(sides: Sides, corrected: bool) -> str:
    """What a caption says of P2's stages; nothing where they are those of the models' own side."""
    return "" if corrected or {*sides.values()} <= {STATED} else "P2's stages as defined at 256 px"
