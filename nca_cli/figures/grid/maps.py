"""Differences as colours: the range that a figure shares, its colour bars."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from nca_cli.figures.grid.selection import Selection
from nca_cli.figures.grid.symbols import SYMBOLS
from nca_cli.figures.grid.table import Bar, Cells
from nca_cli.figures.type.text import Label, Span

MAGMA = (
    (0, 0, 4), (24, 15, 61), (68, 15, 118), (114, 31, 129), (158, 47, 127), (205, 64, 113),
    (241, 96, 93), (253, 150, 104), (254, 202, 141), (252, 253, 191),
)  # fmt: skip
"""Even steps through matplotlib's magma (CC0): perceptually even, and told apart by the
colour-blind and in grey print."""


def ramp(count: int = 256) -> np.ndarray:
    """Colours from low to high, uint8 (count, 3)."""
    at, known = np.linspace(0, len(MAGMA) - 1, count), np.array(MAGMA, float)
    channels = [np.interp(at, np.arange(len(MAGMA)), known[:, c]) for c in range(3)]
    return np.rint(np.stack(channels, axis=-1)).astype(np.uint8)


def coloured(selection: Selection, cells: Cells, scale: float | None) -> tuple[Cells, list[Bar]]:
    """The cells with errors in colours, from 0 to `scale`, and the colour bars of the figure.

    Without a `scale`, errors share the range that holds 99.5 % of their pixels.
    """
    kinds, bars = {strip.kind for strip in selection.strips if strip.cells}, []
    if "diff" in kinds:
        bars.append(_bar(SYMBOLS["diff"], -(scale or 1.0), scale or 1.0, _greys()))
    if "error" in kinds:
        errors = {key: cell.error for key, cell in cells.items() if cell.error is not None}
        top = scale or _usual([*errors.values()])
        largest = max((float(np.nanmax(error)) for error in errors.values()), default=0)
        bars.append(_bar(SYMBOLS["error"], 0.0, top, ramp(), largest > top))
        painted = {key: replace(cells[key], pixels=_colours(errors[key], top)) for key in errors}
        cells = {**cells, **painted}
    return cells, bars


def _usual(errors: list[np.ndarray]) -> float:
    """Below which 99.5 % of the finite errors are, two digits, rounded up; 1 where all are 0."""
    found = [error[np.isfinite(error)] for error in errors]
    values = np.concatenate(found) if found else np.zeros(0)
    top = float(np.quantile(values, 0.995)) if len(values) else 0.0
    if top <= 0:
        return 1.0
    unit = 10.0 ** (math.floor(math.log10(top)) - 1)
    return float(f"{math.ceil(top / unit - 1e-9) * unit:.2g}")


def _colours(error: np.ndarray, top: float) -> np.ndarray:
    share = np.clip(np.nan_to_num(error / top, nan=0.0, posinf=1.0), 0, 1)
    return ramp()[np.rint(share * 255).astype(np.uint8)]


def _greys() -> np.ndarray:
    return np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1)


def _bar(label: Label, low: float, high: float, colours: np.ndarray, beyond: bool = False) -> Bar:
    """`beyond`: whether there are values above the high end, which have its colour."""
    sign = "+" if low < 0 else "≥ " if beyond else ""
    return Bar(label, (_end(low), _end(high, sign)), colours)


def _end(value: float, sign: str = "") -> Label:
    return (Span(f"{'−' if value < 0 else sign}{abs(value):g}"),)
