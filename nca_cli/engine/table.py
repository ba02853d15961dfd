"""Programmes one under another, in columns that they share: what a call looks up for each row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from nca_cli.engine.programme import CLIPPED, NOISE, SPREAD, X0, Instruction, Programme, X

HOLD = 0
"""The row of the table that leaves x as it is, for ever."""


class Programmes:
    """Rows of programmes, each with the number of the row after it.

    Columns are the planes of an engine's state: `planes[source]` is the number of a source's, x and
    x̂0 first; the others are added as programmes need them. Where a value is to go nowhere it goes
    to x̂0, which the next answer replaces.
    """

    def __init__(self) -> None:
        self.planes: dict[Any, int] = {X: 0, X0: 1}
        self.mix = np.zeros((1, 1, 2), np.float32)
        """`(rows, values, planes)`: coefficients of each value that a row makes, next x first."""
        self.mix[HOLD, 0, 0] = 1.0
        self.into = np.ones((1, 1), np.int64)
        """`(rows, values)`: the plane that each value goes to."""
        self.values = np.ones(1, np.int64)
        """How many values a row makes."""
        self.t = np.zeros(1)
        self.after = np.zeros(1, np.int64)
        self.ends = np.zeros(1, bool)
        """Whether x of the row is x̂0, the end."""
        self.draws = np.zeros(1, bool)
        """Whether a row takes fresh noise, and in `arrives` the t at which its step arrives."""
        self.arrives: list[int | float | None] = [None]
        self.clip = np.full((1, 2), (-np.inf, np.inf), np.float32)
        self.spread = np.zeros((1, 2), np.float32)
        """Constant and slope of the logarithm of a learned deviation."""
        self.learned = np.zeros(1, bool)
        self.whole = True
        """Whether every t is a whole number."""
        self._places: dict[Programme, int] = {}

    def place(self, programme: Programme) -> int:
        """The number of a programme's first row; it is added where it is new."""
        if programme not in self._places:
            self._places[programme] = len(self.t)
            self._add(programme.rows)
        return self._places[programme]

    def _add(self, rows: Sequence[Instruction]) -> None:
        first, count = len(self.t), len(rows)
        mix, into = self._mixes(rows)
        self._widen(mix.shape[1:])
        self.mix, self.into = _under(self.mix, mix), _under(self.into, into)
        self.values = _under(self.values, [len(row.writes) for row in rows])
        self.t = _under(self.t, [row.t for row in rows])
        self.after = _under(self.after, [*range(first + 1, first + count), HOLD])
        self.ends = _under(self.ends, [False] * (count - 1) + [True])
        self.draws = _under(self.draws, ["noise" in row.notes for row in rows])
        self.arrives += [row.notes.get("noise") for row in rows]
        self.clip = _under(self.clip, [row.notes.get("clip", (-np.inf, np.inf)) for row in rows])
        self.spread = _under(self.spread, [row.notes.get("spread", (0.0, 0.0)) for row in rows])
        self.learned = _under(self.learned, ["spread" in row.notes for row in rows])
        self.whole = self.whole and all(isinstance(row.t, int) for row in rows)

    def _mixes(self, rows: Sequence[Instruction]) -> tuple[np.ndarray, np.ndarray]:
        """`mix` and `into` of new rows, in the planes that there are after them."""
        cells = [
            (r, v, self._plane(source), coefficient)
            for r, row in enumerate(rows)
            for v, (_, terms) in enumerate(row.writes)
            for source, coefficient in terms.items()
        ]
        values = max(self.mix.shape[1], *(len(row.writes) for row in rows))
        into = np.ones((len(rows), values), np.int64)
        for r, row in enumerate(rows):
            into[r, : len(row.writes)] = [self._plane(target) for target, _ in row.writes]
        mix = np.zeros((len(rows), values, len(self.planes)), np.float32)
        at = tuple(np.array([cell[:3] for cell in cells]).T)
        np.add.at(mix, at, [coefficient for *_, coefficient in cells])
        return mix, into

    def _plane(self, source: Any) -> int:
        """The plane of a source or register, made where it is new."""
        name = getattr(source, "register", NOISE if source == SPREAD else source)
        return self.planes.setdefault(name, len(self.planes))

    def _widen(self, shape: tuple[int, ...]) -> None:
        """Give the rows that there are as many values and planes as the new ones have."""
        values, planes = shape
        more = values - self.mix.shape[1]
        self.mix = np.pad(self.mix, ((0, 0), (0, more), (0, planes - self.mix.shape[2])))
        self.into = np.pad(self.into, ((0, 0), (0, more)), constant_values=1)

    @property
    def noise_plane(self) -> int | None:
        return self.planes.get(NOISE)

    @property
    def clipped_plane(self) -> int | None:
        return self.planes.get(CLIPPED)


def _under(above: np.ndarray, below: Any) -> np.ndarray:
    """`below` under `above`, as numbers of the same kind."""
    return np.concatenate([above, np.asarray(below, above.dtype)])
