"""Models of several resolutions on one axis of logSNR.

Averaging 2×2 pixels halves the standard deviation of independent noise and leaves large structures
as they are. So the same content stands 2·ln 2 lower in logSNR for every doubling of the side, and
logSNR + 2·ln(side/256), "per pixel at 256 px", means the same for every resolution. Of what is no
square the longer side counts, as it does for bands. None of this holds in latents, which are no
means of pixels: a latent model has no place on this axis.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from nca_cli.analysis.emergence import Emergence
from nca_cli.errors import NcaError, UsageError
from nca_cli.store import Filters, Names, Store
from nca_cli.store.header import side_of

STATED = 256
"""Pixels of a side for which P2 states its stages."""
Sides = Mapping[str, int | None]
"""Model, as tables call it → side of its x_t in pixels; None where its noise lies in latents."""


def shift(side: int) -> float:
    """2·ln(side/256), from logSNR to logSNR per pixel at 256 px."""
    return 2 * math.log(side / STATED)


def sides_of(store: Store, filters: Filters) -> dict[str, int | None]:
    """Of the models whose reconstructions fit, as far as they say it."""
    made = [each for each in store.select(filters) if not each.is_noise]
    names, found = Names(made), dict[str, int | None]()
    for artifact in made:
        if (name := names.model(artifact)) not in found:
            with suppress(NcaError, LookupError, TypeError, ValueError):
                found[name] = side_of(artifact.model_info["space"])
    return found


def per_pixel(rows: Iterable[Any], sides: Sides) -> list[Any]:
    """Values, or readings of concepts, at their logSNR per pixel at 256 px: named tuples with a
    model and a logSNR, which is NaN for models of unknown side. Raises `UsageError` for latents."""
    shifts = {model: shift(_pixels(model, side)) for model, side in sides.items()}
    return [row._replace(log_snr=row.log_snr + shifts.get(row.model, math.nan)) for row in rows]


def trained_per_pixel(found: Emergence) -> Emergence:
    """A training at its logSNR per pixel at 256 px. Raises `UsageError` for latents."""
    moved = shift(_pixels(found.run, found.side))
    return replace(found, log_snr=tuple(at + moved for at in found.log_snr))


def _pixels(model: str, side: int | None) -> int:
    if side is None:
        raise UsageError(f"--per-pixel: the noise of {model} is in no pixels of known size",
                         "name the other models: --model NAME")  # fmt: skip
    return side


def apart(sides: Sides) -> str:
    """What keeps models of pixels from being compared at equal logSNR; nothing where they have one
    side."""
    known = [side for side in sides.values() if side is not None]
    if len({*known}) < 2:
        return ""
    low, high = min(known), max(known)
    return (f"Models of {low} to {high} px: at {high} px the same content lies "
            f"{shift(high) - shift(low):.2f} lower in log SNR than at {low} px")  # fmt: skip


def in_latents(sides: Sides) -> str:
    """What keeps latent models from being compared with others at equal logSNR, or nothing."""
    latent = [model for model, side in sides.items() if side is None]
    if not latent or len(latent) == len(sides):
        return ""
    return (f"The noise of {', '.join(latent)} is in latents, that of the other models in pixels: "
            "equal log SNR is not equal noise.")  # fmt: skip


def advice(sides: Sides, corrected: bool) -> str:
    """`in_latents`, `apart`, and the option that helps, unless it was given."""
    said = "" if corrected else apart(sides)
    helped = f"{said} (--per-pixel corrects that)." if said else ""
    return " ".join(filter(None, (in_latents(sides), helped)))


def stages_stated(sides: Sides, corrected: bool) -> str:
    """What a caption says of P2's stages; nothing where they are those of the models' own side."""
    return "" if corrected or {*sides.values()} <= {STATED} else "P2's stages as defined at 256 px"
