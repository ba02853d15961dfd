"""A portrait from its factors.

It is painted from back to front with signed distances (negative inside a shape), so that its edges
are antialiased at any size. Two frames are used: the canvas, x and y in [-1, 1] with y downwards,
and the head, u and v, which is the canvas shifted, scaled and tilted. Layers are float32 planes
`(3, H, W)`.
"""

from __future__ import annotations

import numpy as np

from nca_cli.portraits.factors import Colour, Factors

Plane = np.ndarray


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
        shade = 0.93 - 0.2 * np.clip(1.6 - 2.2 * self.v, 0, 1)
        self.fill(_box(self.u, self.v - 0.46, 0.17, 0.26, 0.08), skin * shade)

    def face(self) -> None:
        f, u, v = self.f, self.u, self.v
        for side in (-1, 1):
            ear = _ellipse(u - side * f.face_width, v - 0.04, 0.065, 0.11)
            self.fill(ear, _column(f.skin) * 0.9)
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
        wisps = 0.025 * f.fringe * np.sin(30 * self.u)
        wisps = wisps + 0.02 * f.hair_curl * np.sin(22 * self.u + 1)
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
    outside = np.hypot(np.maximum(dx, 0), np.maximum(dy, 0))
    return outside + np.minimum(np.maximum(dx, dy), 0) - corner
