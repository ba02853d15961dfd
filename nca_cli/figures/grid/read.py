"""From a selection to its pictures; each file is opened once per tensor."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from nca_cli.errors import DamagedArtifact, NcaError, NothingStored
from nca_cli.figures.grid.selection import Selection, Strip
from nca_cli.figures.grid.table import Cell, Cells
from nca_cli.images import to_rgb
from nca_cli.store import Artifact, Key

AT_ONCE = 32
"""Samples of an artifact that are in memory as floats together."""


def read(selection: Selection, scale: float = 1.0) -> tuple[Cells, list[NcaError]]:
    """Every picture of a selection that is stored, and damaged artifacts, whose pictures lack.

    Differences are shown from -`scale` to +`scale`; errors are left as numbers (`maps.coloured`).
    """
    cells: Cells = {}
    problems: list[NcaError] = []
    originals = _Originals(problems)
    for strip in selection.strips:
        for kind in strip.fixed:
            values = originals.read(strip, kind)
            if values is not None:
                cells[strip, kind] = Cell(kind, to_rgb(values))
    for artifact, wanted in _requests(selection).items():
        try:
            for (t, seed), values in _samples(artifact, wanted):
                for strip in wanted[t, seed]:
                    cell = _cell(strip, values, originals, scale)
                    if cell is not None:
                        cells[strip, t] = cell
        except (DamagedArtifact, NothingStored) as problem:
            problems.append(problem)
    return cells, problems


def _cell(strip: Strip, values: np.ndarray, originals: _Originals, scale: float) -> Cell | None:
    """One sample (C, H, W) as its strip shows it; `None` where x0 is missing to compare it with."""
    if strip.kind not in ("diff", "error"):
        return Cell(strip.kind, to_rgb(values))
    x0 = originals.read(strip, "x0")
    if x0 is None:
        return None
    if strip.kind == "diff":
        return Cell("diff", to_rgb((values - x0) / scale))
    return Cell("error", error=np.sqrt(np.mean(np.square(values - x0), axis=0)))


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


class _Originals:
    """x0 and floor of each noise artifact, read when first asked for; problems are noted."""

    def __init__(self, problems: list[NcaError]):
        self.problems = problems
        self.known: dict[tuple[Artifact, str], np.ndarray | None] = {}

    def read(self, strip: Strip, kind: str) -> np.ndarray | None:
        """float32 (C, H, W), or `None` where it is not stored."""
        noise = strip.subject.noise
        if noise is None:
            return None
        if (noise, kind) not in self.known:
            try:
                self.known[noise, kind] = noise.fixed("x0_floor" if kind == "floor" else kind)
            except (DamagedArtifact, NothingStored) as problem:
                self.known[noise, kind] = None
                if isinstance(problem, DamagedArtifact):
                    self.problems.append(problem)
        return self.known[noise, kind]
