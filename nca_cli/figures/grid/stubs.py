"""The names at the left of the rows, and of the groups where there is room for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from nca_cli.figures.grid.placed import FAINT, INK, Text
from nca_cli.figures.grid.table import Row, Table
from nca_cli.figures.type import text
from nca_cli.figures.type.text import Label


@dataclass(frozen=True)
class Stub:
    """Lines at the left of a row: those of its group above its own."""

    above: Sequence[Label]
    own: Sequence[Label]

    def width(self, em: int) -> float:
        """Of its widest line, in pixels."""
        return max((text.width(line, em) for line in (*self.above, *self.own)), default=0)

    def texts(self, left: int, top: int, height: int, em: int, centred: bool) -> list[Text]:
        """The row's lines in its middle, the group's above them; those at the top, if not
        `centred`, as in a group of several rows."""
        count = len(self.above) + len(self.own)
        pitch = min(text.LINE * em, height / max(1, count))
        middle = (height - (count if centred else len(self.own)) * pitch) / 2
        first = middle if centred else 0.0
        own = middle + len(self.above) * pitch if centred else max(middle, len(self.above) * pitch)
        rise = pitch / 2 + 0.27 * em
        above = [
            Text(line, left, top + first + index * pitch + rise, em)
            for index, line in enumerate(self.above)
        ]
        below = [
            Text(line, left, top + own + index * pitch + rise, em,
                 FAINT if index or (centred and self.above) else INK)
            for index, line in enumerate(self.own)
        ]  # fmt: skip
        return above + below


def group_names(table: Table, cell: int, em: int) -> list[Sequence[Label]] | None:
    """Lines that name the groups beside their first rows; `None`: there is no room for them."""
    stacked = [group.names for group in table.groups]
    joined: list[Sequence[Label]] = [
        [text.join(list(names), "  ")] if names else [] for names in stacked
    ]

    def fits(lines: Sequence[Label], first: Row) -> bool:
        few = len(lines) + bool(first.names) <= _lines(cell, em)
        return few and all(text.width(line, em) <= 12 * em for line in lines)

    firsts = [group.rows[0] for group in table.groups]
    return next((names for names in (stacked, joined) if all(map(fits, names, firsts))), None)


def stubs(
    table: Table, names: list[Sequence[Label]] | None, cell: int, em: int
) -> list[list[Stub]]:
    """Those of the rows of each group; `names` of the groups stand above their first rows."""
    found = []
    for number, group in enumerate(table.groups):
        above = [names[number] if names else [], *([()] * (len(group.rows) - 1))]
        found.append([
            Stub(lines, _own(row, max(1, _lines(cell, em) - len(lines)), cell, em))
            for lines, row in zip(above, group.rows, strict=True)
        ])  # fmt: skip
    return found


def _lines(cell: int, em: int) -> int:
    """How many fit beside a row."""
    return max(1, int(cell / (1.15 * em)))


def _own(row: Row, count: int, cell: int, em: int) -> list[Label]:
    """The names of a row in at most `count` lines."""
    room = max(7.5 * em, min(13 * em, 1.1 * cell))
    lines = [line for name in row.names for line in text.split(name, em, room)]
    if len(lines) > count:
        lines = list(row.names)
    while len(lines) > count:
        widths = [text.width(a + b, em) for a, b in pairwise(lines)]
        at = widths.index(min(widths))
        lines[at : at + 2] = [text.join(lines[at : at + 2], " ")]
        room = 17 * em
    return [text.fit(line, em, room) for line in lines]
