"""From a selection to its pictures and colour bars; each file is opened once per tensor."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np

from nca_cli.errors import NcaError, NothingStored, StoreError
from nca_cli.figures.grid.layouts import SYMBOLS
from nca_cli.figures.grid.selection import Selection, Strip
from nca_cli.figures.grid.table import Bar, Cell, Cells
from nca_cli.figures.type.text import Label, Span
from nca_cli.images import to_rgb
from nca_cli.store import Artifact, Key

AT_ONCE = 32
"""Samples of an artifact that are in memory as floats together."""
COMPARED = ("diff", "error")
"""Kinds that need x0."""
MAGMA = (
    (0, 0, 4), (24, 15, 61), (68, 15, 118), (114, 31, 129), (158, 47, 127), (205, 64, 113),
    (241, 96, 93), (253, 150, 104), (254, 202, 141), (252, 253, 191),
)  # fmt: skip
"""Even steps through matplotlib's magma (CC0): perceptually even, and told apart by the
colour-blind and in grey print."""


def pictures(selection: Selection) -> tuple[Cells, list[Bar], list[NcaError]]:
    """Every picture that is stored, colour bars, and damaged artifacts, whose pictures lack.

    Differences are shown from -`scale` to +`scale`, errors from 0 to `scale`, or else to what
    99.5 % of the pixels of all stay below.
    """
    problems: list[NcaError] = []
    scale = selection.request.scale
    originals = _originals(selection, problems)
    cells: Cells = {
        (strip, kind): Cell(kind, to_rgb(originals[strip.subject.noise, kind]))
        for strip in selection.strips for kind in strip.fixed
        if (strip.subject.noise, kind) in originals
    }  # fmt: skip
    for artifact, wanted in _requests(selection).items():
        try:
            for (t, seed), values in _samples(artifact, wanted):
                for strip in wanted[t, seed]:
                    x0 = originals.get((strip.subject.noise, "x0"))
                    if strip.kind not in COMPARED:
                        cells[strip, t] = Cell(strip.kind, to_rgb(values))
                    elif x0 is not None:
                        cells[strip, t] = _compared(strip.kind, values - x0, scale or 1.0)
        except (StoreError, NothingStored) as problem:
            problems.append(problem)
    return *_coloured(selection, cells, scale), problems


def _originals(selection: Selection, problems: list[NcaError]) -> dict[tuple, np.ndarray]:
    """(noise artifact, x0 or floor) → float32 (C, H, W), where stored; damaged ones are noted."""
    found = {}
    for noise, kind in dict.fromkeys(
        (strip.subject.noise, kind)
        for strip in selection.strips if strip.subject.noise
        for kind in (*strip.fixed, *(["x0"] if strip.kind in COMPARED else []))
    ):  # fmt: skip
        try:
            found[noise, kind] = noise.fixed("x0_floor" if kind == "floor" else kind)
        except StoreError as problem:
            problems.append(problem)
        except NothingStored:  # its cell stays blank
            continue
    return found


def _compared(kind: str, difference: np.ndarray, scale: float) -> Cell:
    """x̂0 - x0 (C, H, W) as a picture, or the size of it as numbers."""
    if kind == "diff":
        return Cell(kind, to_rgb(difference / scale))
    return Cell(kind, error=np.sqrt(np.mean(np.square(difference), axis=0)))


def _requests(selection: Selection) -> dict[Artifact, dict[Key, list[Strip]]]:
    """Artifact → (t, seed) → the strips that show it."""
    found: dict[Artifact, dict[Key, list[Strip]]] = {}
    for strip in selection.strips:
        for t, source in strip.cells.items():
            if source is not None:
                found.setdefault(source, {}).setdefault((t, strip.seed), []).append(strip)
    return found


def _samples(artifact: Artifact, wanted: Iterable[Key]) -> Iterator[tuple[Key, np.ndarray]]:
    keys, dataset = list(wanted), "x_t" if artifact.is_noise else "x0_hat"
    for start in range(0, len(keys), AT_ONCE):
        some = keys[start : start + AT_ONCE]
        yield from zip(some, artifact.read(dataset, some), strict=True)


def _coloured(selection: Selection, cells: Cells, scale: float | None) -> tuple[Cells, list[Bar]]:
    """The cells with errors in colours, and the colour bars of the figure."""
    kinds, bars = {strip.kind for strip in selection.strips if strip.cells}, []
    if "diff" in kinds:
        greys = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1)
        bars.append(_bar(SYMBOLS["diff"], -(scale or 1.0), scale or 1.0, greys))
    if "error" in kinds:
        errors = {key: cell.error for key, cell in cells.items() if cell.error is not None}
        top = scale or _usual(list(errors.values()))
        largest = max((float(np.nanmax(error)) for error in errors.values()), default=0)
        bars.append(_bar(SYMBOLS["error"], 0.0, top, ramp(), largest > top))
        painted = {key: replace(cells[key], pixels=_colours(errors[key], top)) for key in errors}
        cells = {**cells, **painted}
    return cells, bars


def _usual(errors: list[np.ndarray]) -> float:
    """Below which 99.5 % of the finite errors are, two digits, rounded up; 1 where all are 0."""
    values = np.concatenate([error[np.isfinite(error)] for error in errors] or [np.zeros(0)])
    top = float(np.quantile(values, 0.995)) if len(values) else 0.0
    if top <= 0:
        return 1.0
    unit = 10.0 ** (math.floor(math.log10(top)) - 1)
    return float(f"{math.ceil(top / unit - 1e-9) * unit:.2g}")


def _colours(error: np.ndarray, top: float) -> np.ndarray:
    share = np.clip(np.nan_to_num(error / top, nan=0.0, posinf=1.0), 0, 1)
    return ramp()[np.rint(share * 255).astype(np.uint8)]


def _bar(label: Label, low: float, high: float, colours: np.ndarray, beyond: bool = False) -> Bar:
    """`beyond`: whether there are values above the high end, which have its colour."""
    sign = "+" if low < 0 else "≥ " if beyond else ""
    return Bar(label, (_end(low), _end(high, sign)), colours)


def _end(value: float, sign: str = "") -> Label:
    return (Span(f"{'−' if value < 0 else sign}{abs(value):g}"),)


def ramp(count: int = 256) -> np.ndarray:
    """Colours from low to high, uint8 (count, 3)."""
    at, known = np.linspace(0, len(MAGMA) - 1, count), np.array(MAGMA, float)
    channels = [np.interp(at, np.arange(len(MAGMA)), known[:, c]) for c in range(3)]
    return np.rint(np.stack(channels, axis=-1)).astype(np.uint8)
