"""What is decided of a sheet before anything is placed: its columns, and the words around them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise, takewhile
from typing import NamedTuple

from nca_cli.figures.grid.layouts import SYMBOLS
from nca_cli.figures.grid.table import Bar, Column, Row, Table
from nca_cli.figures.type import text
from nca_cli.figures.type.text import Label

SMALLEST = 12
TITLE = 1.15  # size of the title, in em


class Stub(NamedTuple):
    """Lines at the left of a row: those of its group above its own."""

    above: Sequence[Label]
    own: Sequence[Label]


@dataclass(frozen=True, eq=False)
class Skeleton:
    """A table with pictures `cell` pixels wide, in type of `em` pixels."""

    table: Table
    cell: int
    em: int
    tight: bool = False
    """Whether margins are narrow: a page has its own."""
    spare: int = 0
    """What is left of a given width, between the fixed columns and the levels."""

    @property
    def gap(self) -> int:
        """Between pictures."""
        return max(1, round(0.02 * self.cell))

    @property
    def margin(self) -> int:
        """Around the sheet."""
        return max(1, round(0.1 * self.em)) if self.tight else max(8, self.em)

    @property
    def small(self) -> int:
        """Type of notes and colour bars."""
        return round(0.85 * self.em) if self.tight else max(SMALLEST, round(0.85 * self.em))

    @cached_property
    def lefts(self) -> list[int]:
        """Left edges of the columns; the levels stand apart from x0."""
        lefts, fixed = [], [column.fixed for column in self.table.columns]
        left = self.margin + self._stub_width + (0 if any(fixed) else self.spare)
        for index, each in enumerate(fixed):
            if index and fixed[index - 1] and not each:
                left += max(3, 2 * self.gap) + self.spare
            lefts.append(left)
            left += self.cell + self.gap
        return lefts

    @cached_property
    def right(self) -> int:
        """Where all ends, but for the margin: with room for colour bars, and within reason for the
        title and notes on a narrow sheet."""
        lines = () if self.tight else (self.table.title, *self.table.notes)
        widest = max((text.width(line, round(TITLE * self.em)) for line in lines), default=0)
        bars = max(map(self.bar_width, self.table.bars), default=0)
        words = math.ceil(max(bars, min(28 * self.em, widest)))
        return max(self.lefts[-1] + self.cell, self.margin + words)

    @property
    def width(self) -> int:
        """Of the sheet."""
        return self.right + self.margin

    @property
    def ramp_width(self) -> int:
        """Of the colours of a colour bar, …"""
        return max(5 * self.small, min(round(1.5 * self.cell), 14 * self.small))

    def bar_width(self, bar: Bar) -> float:
        """… and of the bar with its words."""
        words = sum(text.width(label, self.small) for label in (bar.label, *bar.ends))
        return words + self.ramp_width + 1.8 * self.small

    @property
    def _stub_width(self) -> int:
        labels = [line for stub in self.stubs for lines in stub for line in lines]
        widths = (text.width(label, self.em) for label in (*labels, *self.line_names))
        widest = max(widths, default=0)
        return math.ceil(widest + 0.7 * self.em) if widest else 0

    @property
    def _lines(self) -> int:
        """How many fit beside a row."""
        return max(1, int(self.cell / (1.15 * self.em)))

    @cached_property
    def groups(self) -> list[Sequence[Label]]:
        """What each group is called, as far as the one above is not called so as well."""
        return once([group.names for group in self.table.groups])

    @cached_property
    def names(self) -> list[Sequence[Label]] | None:
        """Lines that name the groups beside their first rows; `None`: in bands above them."""
        groups, stacked = self.table.groups, self.groups
        joined: list[Sequence[Label]] = [
            [text.join(names, "  ")] if names else [] for names in stacked
        ]

        def fits(lines: Sequence[Label], first: Row) -> bool:
            few = len(lines) + bool(first.names) <= self._lines
            return few and all(text.width(line, self.em) <= 12 * self.em for line in lines)

        firsts = [group.rows[0] for group in groups]
        return next((names for names in (stacked, joined) if all(map(fits, names, firsts))), None)

    @cached_property
    def stubs(self) -> list[Stub]:
        """One for each row; a group is named in its first."""
        found = []
        for number, group in enumerate(self.table.groups):
            rows = zip(group.rows, once([row.names for row in group.rows]), strict=True)
            for row, names in rows:
                above = self.names[number] if self.names and row is group.rows[0] else []
                found.append(Stub(above, self._own(names, max(1, self._lines - len(above)))))
        return found

    def _own(self, names: Sequence[Label], count: int) -> list[Label]:
        """The names of a row in at most `count` lines."""
        room = max(7.5 * self.em, min(13 * self.em, 1.1 * self.cell))
        lines = [line for name in names for line in text.split(name, self.em, room)]
        if len(lines) > count:
            lines = list(names)
        while len(lines) > count:
            widths = [text.width(a + b, self.em) for a, b in pairwise(lines)]
            at = widths.index(min(widths))
            lines[at : at + 2] = [text.join(lines[at : at + 2], " ")]
            room = 17 * self.em
        return [text.fit(line, self.em, room) for line in lines]

    @property
    def _room(self) -> float:
        """Of a label above a column."""
        return self.cell + self.gap - 0.45 * self.em

    @cached_property
    def _forms(self) -> list[int]:
        """For each line of the header the first way of saying it that fits everywhere."""
        levels = [column for column in self.table.columns if not column.fixed]
        count = max((len(column.header) for column in self.table.columns), default=0)
        return [self._form([column.header[line] for column in levels]) for line in range(count)]

    def _form(self, ways: list[tuple[Label, ...]]) -> int:
        count = max(map(len, ways), default=1)
        fitting = (
            form for form in range(count)
            if all(text.width(each[form], self.em) <= self._room for each in ways)
        )  # fmt: skip
        return next(fitting, count - 1)

    @property
    def _bare(self) -> bool:
        """Whether columns do not say what a line is."""
        return self.table.header_named or any(self._forms)

    @property
    def line_names(self) -> Sequence[Label]:
        """What the lines of the header are, where the columns do not say it."""
        return self.table.header_names if self._bare else ()

    def header(self) -> list[list[tuple[Label, int]]]:
        """Its lines: labels and their columns; labels that would touch are thinned out."""
        forms = [max(form, int(self._bare)) for form in self._forms]
        columns = list(enumerate(self.table.columns))
        return [
            self._thinned([
                (self._label(column, line, form), index)
                for index, column in columns if len(column.header) >= -line
            ])
            for line, form in enumerate(forms, -len(forms))
        ]  # fmt: skip

    def _label(self, column: Column, line: int, form: int) -> Label:
        """Of a column; lines count from the last one (-1), where short headers stand."""
        ways = column.header[line]
        if column.fixed:
            return text.fit(ways[0], self.em, self._room)
        return ways[min(form, len(ways) - 1)]

    def _thinned(self, line: list[tuple[Label, int]]) -> list[tuple[Label, int]]:
        levels = [each for each in line if not self.table.columns[each[1]].fixed]
        widest = max((text.width(label, self.em) for label, _ in levels), default=0)
        if widest <= self._room:
            return line
        every = math.ceil((widest + 0.45 * self.em) / (self.cell + self.gap))
        first = levels[0][1] + (every - 1) // 2
        kept = [each for each in levels if (each[1] - first) % every == 0]
        return [each for each in line if each not in levels] + kept


def once(names: Sequence[Sequence[Label]]) -> list[Sequence[Label]]:
    """Names of groups, or of the rows of one, without those in front that the one above has as
    well, such as the image; symbols stay, and each keeps one."""
    found: list[Sequence[Label]] = []
    before: Sequence[Label] = ()
    for own in names:
        pairs = zip(own, before, strict=False)
        again = takewhile(lambda pair: pair[0] == pair[1] not in SYMBOLS.values(), pairs)
        same = sum(1 for _ in again)
        found.append(own[min(same, len(own) - 1) :] if own else own)
        before = own
    return found
