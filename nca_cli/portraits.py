"""Procedural portraits: small pictures whose every cause is a known, continuous factor.

A portrait is painted from back to front with signed distances (negative inside a shape), so
its edges are antialiased at any size. Two frames are used: the canvas, x and y in [-1, 1] with
y downwards, and the head, u and v, which is the canvas shifted, scaled and tilted. Layers are
float32 planes `(3, H, W)`. Draws use `uniform` of a Philox stream alone: the same on every machine.

The demo model was trained on the seeds in `TRAIN_SEEDS`; `HELD_OUT_SEEDS` it never saw.
"""

from __future__ import annotations

import colorsys
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

HELD_OUT_SEEDS = range(10_000)
TRAIN_SEEDS = range(10_000, 1_000_000)

Colour = tuple[float, float, float]
Plane = np.ndarray

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


def portrait(seed: int, size: int = 64) -> tuple[np.ndarray, Factors]:
    """The portrait of a seed: an image, uint8 `(size, size, 3)`, and the factors it shows."""
    factors = draw_factors(seed)
    return render(factors, size), factors


def draw_factors(seed: int) -> Factors:
    """Draw the factors of a seed; the same seed is the same person, always."""
    u = np.random.Generator(np.random.Philox(key=seed)).uniform
    skin = _jitter(_between(SKIN_TONES, u()), u, 0.03)
    return Factors(
        background=_hsv(u(), u(0.1, 0.55), u(0.6, 0.95)), glow=u(0.2, 1.0),
        skin=skin, hair=_jitter(_between(HAIR_TONES, u()), u, 0.03),
        hair_length=u() ** 1.3, hair_volume=u(), hair_curl=max(0.0, u(-0.6, 1.0)),
        fringe=u(), parting=u(-1, 1),
        face_width=u(0.37, 0.45), face_height=u(0.50, 0.57), jaw=u(),
        eye=_jitter(_between(EYE_TONES, u()), u, 0.04), eye_size=u(0.85, 1.2),
        eye_distance=u(0.155, 0.19), gaze=u(-1, 1), brow_tilt=u(-1, 1), brow_weight=u(),
        smile=u(-0.3, 1.0), mouth_width=u(0.11, 0.19), mouth_open=max(0.0, u(-1.0, 1.0)),
        lips=_tint(skin, (u(0.78, 1.0), u(0.45, 0.65), u(0.48, 0.68))),
        blush=u(), freckles=_sometimes(u, 0.4), glasses=_sometimes(u, 0.35), glasses_round=u(),
        frame=_hsv(u(), u(0.0, 0.9), u(0.08, 0.6)),
        shirt=_hsv(u(), u(0.2, 0.9), u(0.25, 0.95)), stripes=_sometimes(u, 0.4), neckline=u(),
        shift_x=u(-0.07, 0.07), shift_y=u(-0.05, 0.05), scale=u(1.05, 1.17), tilt=u(-0.09, 0.09),
    )  # fmt: skip


def _between(tones: tuple[Colour, ...], where: float) -> Colour:
    """The colour at `where` in [0, 1] along a chain of tones."""
    stops = np.linspace(0, 1, len(tones))
    red, green, blue = (float(np.interp(where, stops, c)) for c in zip(*tones, strict=True))
    return red, green, blue


def _jitter(colour: Colour, u, amount: float) -> Colour:
    red, green, blue = (float(np.clip(c + u(-amount, amount), 0, 1)) for c in colour)
    return red, green, blue


def _tint(colour: Colour, gains: Colour) -> Colour:
    red, green, blue = (c * gain for c, gain in zip(colour, gains, strict=True))
    return red, green, blue


def _hsv(hue: float, saturation: float, value: float) -> Colour:
    return colorsys.hsv_to_rgb(hue, saturation, value)


def _sometimes(u, share: float) -> float:
    """0 for most; for `share` of all draws, uniform between one half and one."""
    present, strength = u() < share, u(0.5, 1.0)
    return strength if present else 0.0


# ---------------------------------------------------------------- painting


def render(factors: Factors, size: int = 64) -> np.ndarray:
    """Paint a portrait: uint8 `(size, size, 3)`, sRGB, the same picture at every size."""
    return np.rint(255 * _Painter(factors, size).paint()).astype(np.uint8).transpose(1, 2, 0).copy()


class _Painter:
    """One canvas, `(3, H, W)` in [0, 1], painted from the background to the glasses."""

    def __init__(self, factors: Factors, size: int) -> None:
        self.f, self.softness = factors, np.float32(2 / size)
        axis = (np.arange(size, dtype=np.float32) + 0.5) * self.softness - 1
        self.x, self.y = np.broadcast_to(axis, (size, size)), np.repeat(axis[:, None], size, 1)
        f, cos, sin = factors, np.float32(np.cos(factors.tilt)), np.float32(np.sin(factors.tilt))
        dx, dy = (self.x - f.shift_x) / f.scale, (self.y + 0.04 - f.shift_y) / f.scale
        self.u, self.v = cos * dx + sin * dy, cos * dy - sin * dx

    def paint(self) -> Plane:
        self.background()
        self.back_hair()
        self.neck_and_shirt()
        self.face()
        for side in (-1, 1):
            self.eye(side)
            self.brow(side)
        self.nose_and_mouth()
        self.front_hair()
        self.glasses()
        return np.clip(self.canvas, 0, 1)

    def background(self) -> None:
        light = self.f.glow * np.exp(-(self.x**2 + (self.y + 0.25) ** 2) / 0.9) - 0.12 * self.y
        self.canvas = _column(self.f.background) * (1 + 0.45 * (light - 0.35))

    def back_hair(self) -> None:
        f, wave = self.f, 0.035 * self.f.hair_curl * np.sin(15 * self.v + 0.6)
        bottom = -0.05 + 1.05 * f.hair_length
        half_width = f.face_width + 0.04 + 0.11 * f.hair_volume
        middle = (bottom - 0.35) / 2
        locks = _box(np.abs(self.u) + wave, self.v - middle, half_width, (bottom + 0.35) / 2, 0.16)
        half_height = f.face_height + 0.05 + 0.12 * f.hair_volume
        self.cap = _ellipse(self.u + wave, self.v + 0.09, half_width + 0.03, half_height)
        crown = np.maximum(self.cap, self.v - 0.05)
        self.fill(np.minimum(locks, crown), self.hair_colour(0.78))

    def hair_colour(self, shade: float) -> Plane:
        """Strands that follow the head, and a soft gloss where the light falls."""
        bend = 1 + 0.5 * self.v
        across, twist = self.u - 0.2 * self.f.parting, 5 * self.f.hair_curl * self.v
        strands = np.sin(across * 34 / bend + twist)
        gloss = np.exp(-(((np.hypot(self.u + 0.12, self.v - 0.05) - 0.47) / 0.08) ** 2))
        return _column(self.f.hair) * (shade + 0.11 * strands + 0.3 * gloss) + 0.06 * gloss

    def neck_and_shirt(self) -> None:
        f, x, y = self.f, self.x - 0.7 * self.f.shift_x, self.y
        skin = _column(f.skin)
        shirt = _ellipse(x, y - 1.28, 0.86, 0.66)
        folds = 1 - 0.22 * x**2 - 0.25 * np.clip(0.85 - y, 0, 1)
        stripe = 1 + 0.35 * f.stripes * np.clip(3 * np.sin(y * 42 + 3 * x**2), -1, 1)
        self.fill(shirt, _column(f.shirt) * folds * stripe)
        collar = _ellipse(x, y - 0.66, 0.24, 0.08 + 0.2 * f.neckline)
        self.fill(np.maximum(collar - 0.045, shirt - 0.03), _column(f.shirt) * 0.85)
        self.fill(np.maximum(collar, shirt - 0.05), skin * 0.93)
        self.fill(
            _box(self.u, self.v - 0.46, 0.17, 0.26, 0.08),
            skin * (0.93 - 0.2 * np.clip(1.6 - 2.2 * self.v, 0, 1)),
        )

    def face(self) -> None:
        f, u, v = self.f, self.u, self.v
        for side in (-1, 1):
            self.fill(
                _ellipse(u - side * f.face_width, v - 0.04, 0.065, 0.11), _column(f.skin) * 0.9
            )
        narrowing = 1 - (0.12 + 0.22 * f.jaw) * np.clip(v / f.face_height, 0, 1) ** 2
        self.head = _ellipse(u / narrowing, v, f.face_width, f.face_height)
        rim = np.clip(1 + self.head / 0.3, 0, 1) ** 2
        self.fill(self.head, _column(f.skin) * (1.05 - 0.1 * u - 0.07 * v - 0.16 * rim))
        for side in (-1, 1):
            cheek = np.exp(-((u - side * 0.24) ** 2 + (v - 0.16) ** 2) / 0.012)
            self.blend(0.4 * f.blush * cheek, _column(f.lips))
        self.freckles()

    def freckles(self) -> None:
        """Ten dots on each cheek, placed by the golden angle, mirrored."""
        if not self.f.freckles:
            return
        shade = _column(self.f.skin) * _column((0.62, 0.46, 0.38))
        for k in range(20):
            radius, angle = 0.125 * np.sqrt((k % 10 + 0.4) / 10), 2.39996 * (k % 10) + 1
            u, v = 0.22 + 1.15 * radius * np.cos(angle), 0.135 + 0.6 * radius * np.sin(angle)
            dot = _disc(self.u - (u if k < 10 else -u), self.v - v, 0.012)
            self.blend(0.8 * self.f.freckles * self.cover(dot), shade)

    def eye(self, side: int) -> None:
        f, u, v = self.f, self.u - side * self.f.eye_distance, self.v + 0.04
        white = _ellipse(u, v, 0.098 * f.eye_size, 0.066 * f.eye_size)
        self.fill(np.maximum(white - 0.022, v + 0.2 * np.abs(u)), _column(f.skin) * 0.32)
        self.fill(white, _column((0.97, 0.97, 0.98)))
        u = u - 0.022 * f.gaze
        iris = _disc(u, v, 0.058 * f.eye_size)
        self.fill(np.maximum(iris, white), _column(f.eye))
        self.fill(np.maximum(_disc(u, v, 0.027 * f.eye_size), white), _column((0.04, 0.03, 0.05)))
        self.fill(_disc(u + 0.02, v + 0.024, 0.014), _column((1, 1, 1)))

    def brow(self, side: int) -> None:
        f, u, v = self.f, side * self.u - self.f.eye_distance - 0.01, self.v + 0.175
        line = v + 0.18 * f.brow_tilt * u + 3 * u**2
        weight = 0.018 + 0.022 * f.brow_weight
        shape = np.maximum(np.abs(line) - weight * (1 - 2.5 * u), np.abs(u) - 0.115)
        self.fill(shape, _column(f.hair) * 0.7)

    def nose_and_mouth(self) -> None:
        f, u, v, skin = self.f, self.u, self.v, _column(self.f.skin)
        self.blend(0.5 * np.exp(-((u - 0.03) ** 2) / 0.0009 - (v - 0.05) ** 2 / 0.008), skin * 0.8)
        self.fill(_ellipse(u, v - 0.158, 0.055, 0.020), skin * 0.72)
        along = u / f.mouth_width
        line = v - 0.295 + 0.075 * f.smile * (along**2 - 0.5)
        ends = (np.abs(along) - 1) * f.mouth_width
        opening = np.clip(1 - along**2, 0, 1)
        lips = np.abs(line) - 0.014 - (0.026 + 0.035 * f.mouth_open) * opening
        self.fill(np.maximum(lips, ends), _column(f.lips))
        inside = np.abs(line) - (0.004 + 0.038 * f.mouth_open) * opening
        self.fill(np.maximum(inside, ends), _column(f.lips) * 0.4)
        teeth = np.maximum(inside + 0.006, line + 0.002)
        self.blend(f.mouth_open * self.cover(np.maximum(teeth, ends + 0.03)), _column((0.96,) * 3))

    def front_hair(self) -> None:
        f, part = self.f, self.u - 0.2 * self.f.parting
        sweep = 0.55 - 0.40 * f.fringe
        wisps = 0.025 * f.fringe * np.sin(30 * self.u) + 0.02 * f.hair_curl * np.sin(
            22 * self.u + 1
        )
        hairline = -0.44 + 0.22 * f.fringe + sweep * np.sqrt(part**2 + 0.01) + wisps
        shape = np.maximum(self.cap, self.v - np.minimum(hairline, 0.02 + 0.1 * f.hair_length))
        self.blend(0.35 * self.cover(np.maximum(shape - 0.03, self.head)), _column(f.skin) * 0.45)
        self.fill(shape, self.hair_colour(1.0))

    def glasses(self) -> None:
        f = self.f
        if not f.glasses:
            return
        power, ring = 4.5 - 2.5 * f.glasses_round, np.float32(np.inf)
        for side in (-1, 1):
            u, v = self.u - side * (f.eye_distance + 0.005), self.v + 0.03
            lens = _superellipse(u, v, 0.142, 0.105 + 0.035 * f.glasses_round, power)
            self.blend(0.14 * f.glasses * self.cover(lens), _column((0.85, 0.95, 1.0)))
            ring = np.minimum(ring, np.abs(lens) - 0.015)
            temple = _box(self.u - side * (f.face_width - 0.03), v + 0.02, 0.06, 0.011, 0.0)
            ring = np.minimum(ring, temple)
        bridge = _box(self.u, self.v + 0.06, f.eye_distance - 0.13, 0.012, 0.0)
        self.blend(f.glasses * self.cover(np.minimum(ring, bridge)), _column(f.frame))

    def fill(self, distance: Plane, colour: Plane) -> None:
        self.blend(self.cover(distance), colour)

    def cover(self, distance: Plane) -> Plane:
        """Share of each pixel inside a shape: a ramp one pixel wide across its edge."""
        return np.clip(0.5 - distance / (self.softness * np.float32(1.2)), 0, 1)

    def blend(self, opacity: Plane, colour: Plane) -> None:
        self.canvas += opacity * (colour - self.canvas)


def _column(colour: Colour) -> Plane:
    return np.asarray(colour, np.float32).reshape(3, 1, 1)


def _disc(x: Plane, y: Plane, radius: float) -> Plane:
    return np.hypot(x, y) - np.float32(radius)


def _ellipse(x: Plane, y: Plane, rx: float, ry: float) -> Plane:
    """First-order distance to an ellipse: k(k-1)/|∇k²/2|, exact on the edge."""
    px, py = x / np.float32(rx), y / np.float32(ry)
    k = np.hypot(px, py)
    return k * (k - 1) / (np.hypot(px / np.float32(rx), py / np.float32(ry)) + np.float32(1e-6))


def _superellipse(x: Plane, y: Plane, rx: float, ry: float, power: float) -> Plane:
    k = (np.abs(x / rx) ** power + np.abs(y / ry) ** power) ** (1 / power)
    return ((k - 1) * min(rx, ry)).astype(np.float32)


def _box(x: Plane, y: Plane, half_width: float, half_height: float, corner: float) -> Plane:
    """Distance to a box centred on the origin, its corners rounded."""
    dx, dy = np.abs(x) - half_width + corner, np.abs(y) - half_height + corner
    return (
        np.hypot(np.maximum(dx, 0), np.maximum(dy, 0)) + np.minimum(np.maximum(dx, dy), 0) - corner
    )


# ---------------------------------------------------------------- many, with their truth


def write_portraits(folder: Path, seeds: range, size: int = 64) -> None:
    """`portrait-00100.png`, … and `labels.csv`: column image, and every factor (`hair_r`, …)."""
    import csv

    from PIL import Image

    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "labels.csv", "w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        for row, seed in enumerate(seeds):
            image, factors = portrait(seed, size)
            name, labels = f"portrait-{seed:05d}.png", _columns(factors)
            Image.fromarray(image).save(folder / name)
            rows.writerows([["image", *labels]] if row == 0 else [])
            rows.writerow([name, *labels.values()])


def _columns(factors: Factors) -> dict[str, float]:
    """Factors as numbers under names of their own; a colour has three."""
    columns: dict[str, float] = {}
    for name, value in asdict(factors).items():
        if isinstance(value, tuple):
            columns |= {f"{name}_{c}": part for c, part in zip("rgb", value, strict=True)}
        else:
            columns[name] = value
    return columns


def main(arguments: list[str] | None = None) -> None:
    """Write portraits that the demo model never saw, and their factors as labels."""
    import argparse

    parser = argparse.ArgumentParser("python -m nca_cli.portraits", description=main.__doc__)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    parser.add_argument("--count", type=int, default=64)
    parser.add_argument("--first-seed", type=int, default=1000)
    parser.add_argument("--size", type=int, default=64)
    args = parser.parse_args(arguments)
    seeds = range(args.first_seed, args.first_seed + args.count)
    if not seeds or seeds[0] not in HELD_OUT_SEEDS or seeds[-1] not in HELD_OUT_SEEDS:
        parser.error(f"seeds must lie within 0 … {HELD_OUT_SEEDS[-1]}: the model saw the others")
    write_portraits(args.out, seeds, args.size)
    print(args.out / "labels.csv")


if __name__ == "__main__":
    main()
