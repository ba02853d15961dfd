"""The factors of a portrait, and their draw from a seed.

Draws use `uniform` of a Philox stream alone: the same on every machine. The demo model was trained
on the seeds in `TRAIN_SEEDS`; `HELD_OUT_SEEDS` it never saw.
"""

from __future__ import annotations

from collections.abc import Callable
from colorsys import hsv_to_rgb
from dataclasses import dataclass

import numpy as np

HELD_OUT_SEEDS = range(10_000)
TRAIN_SEEDS = range(10_000, 1_000_000)

Colour = tuple[float, float, float]
Draw = Callable[..., float]
"""`uniform` of a stream: from 0 to 1, below one number, or between two."""

SKIN_TONES = (
    (0.98, 0.85, 0.75),
    (0.93, 0.74, 0.60),
    (0.78, 0.57, 0.42),
    (0.56, 0.37, 0.26),
    (0.36, 0.23, 0.17),
)
HAIR_TONES = (
    (0.09, 0.07, 0.08),
    (0.26, 0.15, 0.10),
    (0.45, 0.27, 0.14),
    (0.62, 0.27, 0.14),
    (0.72, 0.50, 0.27),
    (0.88, 0.70, 0.38),
    (0.94, 0.84, 0.60),
    (0.72, 0.72, 0.74),
)
EYE_TONES = (
    (0.22, 0.13, 0.09),
    (0.42, 0.28, 0.14),
    (0.32, 0.46, 0.26),
    (0.25, 0.50, 0.66),
    (0.45, 0.53, 0.58),
)


@dataclass(frozen=True)
class Factors:
    """What a portrait is made of. Colours are RGB in [0, 1]; without a unit, 0 is none, 1 is full.

    Lengths are in half canvas widths. Glasses, freckles, stripes and blush are opacities.
    """

    background: Colour
    glow: float  # how much lighter the background is behind the head
    skin: Colour
    hair: Colour
    hair_length: float
    hair_volume: float
    hair_curl: float
    fringe: float  # 0: high forehead, 1: down to the brows
    parting: float  # -1: left, 1: right
    face_width: float  # half width of the face
    face_height: float  # half height of the face
    jaw: float  # 0: round, 1: pointed
    eye: Colour
    eye_size: float  # relative to the usual one
    eye_distance: float  # from the middle of the face to a pupil
    gaze: float  # -1: left, 1: right
    brow_tilt: float  # -1: worried, 1: stern
    brow_weight: float
    smile: float  # -1: sad, 1: happy
    mouth_width: float
    mouth_open: float
    lips: Colour
    blush: float
    freckles: float
    glasses: float
    glasses_round: float  # 0: rectangular, 1: round
    frame: Colour
    shirt: Colour
    stripes: float
    neckline: float
    shift_x: float
    shift_y: float
    scale: float
    tilt: float  # radians


def draw_factors(seed: int) -> Factors:
    """Draw the factors of a seed; the same seed is the same person, always."""
    u = np.random.Generator(np.random.Philox(key=seed)).uniform
    skin = _jitter(_between(SKIN_TONES, u()), u, 0.03)
    return Factors(
        background=hsv_to_rgb(u(), u(0.1, 0.55), u(0.6, 0.95)), glow=u(0.2, 1.0),
        skin=skin, hair=_jitter(_between(HAIR_TONES, u()), u, 0.03),
        hair_length=u() ** 1.3, hair_volume=u(), hair_curl=max(0.0, u(-0.6, 1.0)),
        fringe=u(), parting=u(-1, 1),
        face_width=u(0.37, 0.45), face_height=u(0.50, 0.57), jaw=u(),
        eye=_jitter(_between(EYE_TONES, u()), u, 0.04), eye_size=u(0.85, 1.2),
        eye_distance=u(0.155, 0.19), gaze=u(-1, 1), brow_tilt=u(-1, 1), brow_weight=u(),
        smile=u(-0.3, 1.0), mouth_width=u(0.11, 0.19), mouth_open=max(0.0, u(-1.0, 1.0)),
        lips=_tint(skin, (u(0.78, 1.0), u(0.45, 0.65), u(0.48, 0.68))),
        blush=u(), freckles=_sometimes(u, 0.4), glasses=_sometimes(u, 0.35), glasses_round=u(),
        frame=hsv_to_rgb(u(), u(0.0, 0.9), u(0.08, 0.6)),
        shirt=hsv_to_rgb(u(), u(0.2, 0.9), u(0.25, 0.95)), stripes=_sometimes(u, 0.4), neckline=u(),
        shift_x=u(-0.07, 0.07), shift_y=u(-0.05, 0.05), scale=u(1.05, 1.17), tilt=u(-0.09, 0.09),
    )  # fmt: skip


def _between(tones: tuple[Colour, ...], where: float) -> Colour:
    """The colour at `where` in [0, 1] along a chain of tones."""
    stops = np.linspace(0, 1, len(tones))
    red, green, blue = (float(np.interp(where, stops, c)) for c in zip(*tones, strict=True))
    return red, green, blue


def _jitter(colour: Colour, u: Draw, amount: float) -> Colour:
    red, green, blue = (float(np.clip(c + u(-amount, amount), 0, 1)) for c in colour)
    return red, green, blue


def _tint(colour: Colour, gains: Colour) -> Colour:
    red, green, blue = (c * gain for c, gain in zip(colour, gains, strict=True))
    return red, green, blue


def _sometimes(u: Draw, share: float) -> float:
    """0 for most; for `share` of all draws, uniform between one half and one."""
    present, strength = u() < share, u(0.5, 1.0)
    return strength if present else 0.0
