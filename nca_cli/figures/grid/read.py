"""Pixels from the store into the cells of a figure; each file is opened once per tensor."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from nca_cli.errors import DamagedArtifact, NothingStored
from nca_cli.figures.grid.content import Content, Strip
from nca_cli.figures.grid.table import Cell
from nca_cli.images import to_rgb
from nca_cli.store import Artifact, Key

AT_ONCE = 32
"""Samples of an artifact that are in memory as floats together."""


def fill(content: Content, scale: float = 1.0) -> None:
    """Read every cell that is stored. Damaged artifacts leave blanks and are noted.

    Differences are shown from -`scale` to +`scale`; errors are left as numbers (`maps.paint`).
    """
    originals = _Originals(content)
    for strip in content.strips:
        for kind, cell in strip.fixed.items():
            cell.pixels = _picture(originals.read(strip, kind))
    for artifact, wanted in _requests(content).items():
        dataset = "x_t" if artifact.is_noise else "x0_hat"
        try:
            for key, values in _read(artifact, dataset, wanted):
                for strip, cell in wanted[key]:
                    if cell.kind in ("diff", "error"):
                        _compare(cell, values, originals.read(strip, "x0"), scale)
                    else:
                        cell.pixels = _picture(values)
        except (DamagedArtifact, NothingStored) as problem:
            content.problems.append(problem)


def _compare(cell: Cell, x0_hat: np.ndarray, x0: np.ndarray | None, scale: float) -> None:
    if x0 is None:
        return
    if cell.kind == "diff":
        cell.pixels = _picture((x0_hat - x0) / scale)
    else:
        cell.error = np.sqrt(np.mean(np.square(x0_hat - x0), axis=0))


def _requests(content: Content) -> dict[Artifact, dict[Key, list[tuple[Strip, Cell]]]]:
    """Artifact → (t, seed) → the cells that show it, each from the first source that has it."""
    found: dict[Artifact, dict[Key, list[tuple[Strip, Cell]]]] = {}
    for strip in content.strips:
        for t, cell in strip.cells.items():
            key = (t, strip.seed)
            source = next((each for each in strip.sources if key in content.keys(each)), None)
            if source is not None:
                found.setdefault(source, {}).setdefault(key, []).append((strip, cell))
    return found


def _read(
    artifact: Artifact, dataset: str, keys: Iterable[Key]
) -> Iterator[tuple[Key, np.ndarray]]:
    keys = list(keys)
    for start in range(0, len(keys), AT_ONCE):
        some = keys[start : start + AT_ONCE]
        yield from zip(some, artifact.read(dataset, some), strict=True)


class _Originals:
    """x0 and floor of each noise artifact, read when first asked for."""

    def __init__(self, content: Content):
        self.content = content
        self.known: dict[tuple[Artifact, str], np.ndarray | None] = {}

    def read(self, strip: Strip, kind: str) -> np.ndarray | None:
        """float32 (C, H, W), or `None` where it is not stored."""
        noise = strip.pair.noise
        if noise is None:
            return None
        if (noise, kind) not in self.known:
            try:
                self.known[noise, kind] = noise.fixed("x0_floor" if kind == "floor" else kind)
            except (DamagedArtifact, NothingStored) as problem:
                self.known[noise, kind] = None
                if isinstance(problem, DamagedArtifact):
                    self.content.problems.append(problem)
        return self.known[noise, kind]


def _picture(values: np.ndarray | None) -> np.ndarray | None:
    return None if values is None else to_rgb(values)
