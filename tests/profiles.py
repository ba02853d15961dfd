"""Colour profiles written by hand, and what their colours are in sRGB, by the formulas.

ICC.1:2001-04 (version 2 profiles of a matrix and curves); IEC 61966-2-1 for sRGB; the Bradford
matrix of ICC.1:2022, annex E.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

D50, D65 = np.array([0.9642, 1.0, 0.8249]), (0.3127, 0.3290)
BRADFORD = np.array(
    [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
)


def srgb_decoded(value: np.ndarray) -> np.ndarray:
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def srgb_encoded(linear: np.ndarray) -> np.ndarray:
    linear = np.clip(linear, 0, 1)
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


@dataclass(frozen=True)
class Space:
    """Red, green and blue by their chromaticities, the white of D65, a curve to linear light."""

    primaries: tuple[tuple[float, float], ...]
    linear: Callable[[np.ndarray], np.ndarray]

    @property
    def matrix(self) -> np.ndarray:
        """From linear light to XYZ under D50."""
        columns = np.array([[x / y, 1, (1 - x - y) / y] for x, y in self.primaries]).T
        x, y = D65
        white = np.array([x / y, 1, (1 - x - y) / y])
        to_xyz = columns * np.linalg.solve(columns, white)
        adapt = np.linalg.solve(BRADFORD, np.diag(BRADFORD @ D50 / (BRADFORD @ white)) @ BRADFORD)
        return adapt @ to_xyz

    def in_srgb(self, picture: np.ndarray) -> np.ndarray:
        """uint8 (..., 3) of this space as numbers of sRGB, 0 to 255, before rounding."""
        linear = self.linear(picture / 255)
        converted = linear @ np.linalg.solve(SRGB.matrix, self.matrix).T
        return 255 * srgb_encoded(converted)

    def profile(self) -> bytes:
        """As an ICC profile."""
        curve = _curve(self.linear)
        tags = dict(zip((b"rXYZ", b"gXYZ", b"bXYZ"), map(_xyz, self.matrix.T), strict=True))
        return _icc(b"RGB ", {**tags, b"rTRC": curve, b"gTRC": curve, b"bTRC": curve})


def grey_profile(linear: Callable[[np.ndarray], np.ndarray]) -> bytes:
    return _icc(b"GRAY", {b"kTRC": _curve(linear)})


def _xyz(values: np.ndarray) -> bytes:
    return b"XYZ \0\0\0\0" + struct.pack(">3i", *np.rint(values * 65536).astype(int))


def _curve(linear: Callable[[np.ndarray], np.ndarray]) -> bytes:
    table = np.rint(65535 * linear(np.linspace(0, 1, 4096))).astype(">u2")
    return b"curv\0\0\0\0" + struct.pack(">I", len(table)) + table.tobytes()


def _icc(space: bytes, tags: dict[bytes, bytes]) -> bytes:
    text = b"text\0\0\0\0none\0\0\0\0"
    desc = b"desc\0\0\0\0" + struct.pack(">I", 2) + b"x\0" + bytes(78 + 8)
    tags = {**tags, b"wtpt": _xyz(D50), b"cprt": text, b"desc": desc}
    table, data, start = struct.pack(">I", len(tags)), b"", 128 + 4 + 12 * len(tags)
    for name, content in tags.items():
        table += name + struct.pack(">II", start + len(data), len(content))
        data += content + bytes(-len(content) % 4)
    head = struct.pack(">I", start + len(data)) + bytes(4) + b"\x02\x40\0\0mntr" + space + b"XYZ "
    head += bytes(12) + b"acsp" + bytes(28) + _xyz(D50)[8:] + bytes(48)
    return head + table + data


_709 = ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06))
SRGB = Space(_709, srgb_decoded)
ADOBE_RGB = Space(((0.64, 0.33), (0.21, 0.71), (0.15, 0.06)), lambda value: value ** (563 / 256))
DISPLAY_P3 = Space(((0.680, 0.320), (0.265, 0.690), (0.150, 0.060)), srgb_decoded)
LINEAR = Space(_709, lambda value: value)
