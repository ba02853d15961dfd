"""Where everything of a figure lies: boxes of cells and baselines of texts, in pixels.

The layout knows no picture and draws nothing; whatever paints (`paint` pixels, `vector` SVG and
PDF) only follows it. Type grows with the width of the sheet, so that it is readable when the sheet
is fitted to a page, and never falls below `SMALLEST` pixels; on a sheet of a given width it has
the size that was asked for. Texts never overlap: what does not fit is said shorter, cut with an
ellipsis, or (in headers) left out between neighbours.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import groupby, pairwise

from nca_cli.errors import UsageError
from nca_cli.figures.grid import text
from nca_cli.figures.grid.placed import FAINT, INK, Box, Layout, Picture, Ramp
from nca_cli.figures.grid.table import Bar, Column, Group, Row, Table
from nca_cli.figures.grid.text import Label

SMALLEST = 12
SMALLEST_FITTED = 8
"""Pixels of a cell below which a sheet of a given width is refused."""
TITLE = 1.15  # size of the title, in em


def arrange(table: Table, cell: int, em: int | None = None) -> Layout:
    """Lay out a table with cells `cell` pixels wide; `em` is the size of type, chosen if None."""
    return _Arranger(table, cell, em).run()


def arrange_within(table: Table, width: int, em: int) -> Layout:
    """Lay out a table on a sheet of exactly `width` pixels, with cells as large as they can be.

    The margins are narrow: a page has its own. Raises `UsageError` where there is no room.
    """
    low, high = SMALLEST_FITTED, width
    while low < high:
        cell = (low + high + 1) // 2
        fits = _Arranger(table, cell, em, tight=True).run().size[0] <= width
        low, high = (cell, high) if fits else (low, cell - 1)
    narrow = _Arranger(table, low, em, tight=True).run()
    if narrow.size[0] > width:
        raise UsageError(
            f"{len(table.columns)} columns with names need {narrow.size[0]} pixels, not {width}",
            "fewer levels (--t), a larger --width, smaller --font-size, or higher --dpi",
        )
    return _Arranger(table, low, em, tight=True, spare=width - narrow.size[0]).run()


def type_size(columns: int, cell: int) -> int:
    """Pixels per em: about 7 pt on a sheet as wide as a page, within reason for the cell."""
    wanted = 0.0145 * (columns + 1) * cell * 1.05
    return round(max(SMALLEST, min(max(wanted, 0.085 * cell), 0.145 * cell)))


class _Arranger:
    def __init__(
        self,
        table: Table,
        cell: int,
        em: int | None = None,
        tight: bool = False,
        spare: int = 0,
    ):
        self.table, self.cell, self.spare, self.tight = table, cell, spare, tight
        self.em = em or type_size(len(table.columns), cell)
        self.gap = max(1, round(0.02 * cell))
        self.margin = max(1, round(0.1 * self.em)) if tight else max(8, self.em)
        self.header = _Header(table, self.em, cell + self.gap)
        self.fit = max(1, int(cell / (1.15 * self.em)))
        self.names = self._group_names()
        self.stubs = [self._stub(group, row) for group in table.groups for row in group.rows]
        self.layout = Layout(cell=cell, em=self.em)

    def run(self) -> Layout:
        lefts = self._lefts(self.margin + self._stub_width())
        right = lefts[-1] + self.cell
        right = max(right, self.margin + self._line_width())
        bottom = self._groups(lefts, self._top(lefts, right), right)
        bottom = self._caption(self._notes(self._bars(bottom, right), right), right)
        self.layout.size = (right + self.margin, bottom + self.margin)
        return self.layout

    # -- widths ----------------------------------------------------------------------------------

    def _group_names(self) -> list[list[Label]] | None:
        """Lines that name the groups at the left of their first rows; `None`: in bands above."""
        stacked = [group.names for group in self.table.groups]
        joined = [[text.join(names, "  ")] if names else [] for names in stacked]
        return next((names for names in (stacked, joined) if self._fits_left(names)), None)

    def _fits_left(self, names: list[list[Label]]) -> bool:
        """Whether each group's lines, and one more for its first row, fit beside that row."""
        for lines, group in zip(names, self.table.groups, strict=True):
            if len(lines) + bool(group.rows[0].names) > self.fit:
                return False
            if any(text.width(line, self.em) > 12 * self.em for line in lines):
                return False
        return True

    def _stub(self, group: Group, row: Row) -> list[Label]:
        """Lines at the left of a row: its names, in the room that the group's leave."""
        above = (
            self.names[self.table.groups.index(group)]
            if self.names and row is group.rows[0]
            else []
        )
        room = max(7.5 * self.em, min(13 * self.em, 1.1 * self.cell))
        count = max(1, self.fit - len(above))
        lines = [line for name in row.names for line in text.split(name, self.em, room)]
        if len(lines) > count:
            lines = list(row.names)
        while len(lines) > count:
            widths = [text.width(a + b, self.em) for a, b in pairwise(lines)]
            at = widths.index(min(widths))
            lines[at : at + 2] = [text.join(lines[at : at + 2], " ")]
            room = 17 * self.em
        return [text.fit(line, self.em, room) for line in lines]

    def _stub_width(self) -> int:
        labels = [label for lines in self.stubs for label in lines]
        labels += [*self.header.names, *(line for lines in self.names or [] for line in lines)]
        widest = max((text.width(label, self.em) for label in labels), default=0)
        return math.ceil(widest + 0.7 * self.em) if widest else 0

    def _line_width(self) -> int:
        """Room for colour bars, the title and notes on a narrow sheet, within reason."""
        lines = () if self.tight else (self.table.title, *self.table.notes)
        size = round(TITLE * self.em)
        widest = max((text.width(line, size) for line in lines), default=0)
        bars = max((self._bar_width(bar) for bar in self.table.bars), default=0)
        return math.ceil(max(bars, min(28 * self.em, widest)))

    def _lefts(self, left: int) -> list[int]:
        """Left edges of the columns; the levels stand apart from x0."""
        lefts, kinds = [], [column.fixed for column in self.table.columns]
        left += 0 if any(kinds) else self.spare
        for index, fixed in enumerate(kinds):
            if index and kinds[index - 1] and not fixed:
                left += max(3, 2 * self.gap) + self.spare
            lefts.append(left)
            left += self.cell + self.gap
        return lefts

    # -- from top to bottom ----------------------------------------------------------------------

    def _top(self, lefts: Sequence[int], right: int) -> int:
        top = float(self.margin)
        if self.table.title:
            size = round(TITLE * self.em)
            title = text.fit(self.table.title, size, right - self.margin)
            self.layout.write(title, self.margin, top + text.ASCENT * size, size)
            top += 1.7 * size
        top = self._stages(lefts, top)
        for line in range(self.header.lines):
            y = top + text.ASCENT * self.em
            ink = INK if line == 0 else FAINT
            if self.header.names:
                self.layout.write(self.header.names[line], self.margin, y, self.em, ink)
            for label, size, column in self.header.line(line):
                x = lefts[column] + (self.cell - text.width(label, size)) / 2
                level = not self.table.columns[column].fixed
                self.layout.write(label, x, y, size, ink if level else INK)
            top += text.LINE * self.em
        return round(top + 0.2 * self.em)

    def _stages(self, lefts: Sequence[int], top: float) -> float:
        """P2's stages over their columns, a rule below each; nothing where one has no room."""
        runs = groupby(range(len(lefts)), key=lambda index: self.table.columns[index].stage)
        spans = [(text.words(stage), list(span)) for stage, span in runs if stage]
        places = [(name, lefts[span[0]], lefts[span[-1]] + self.cell) for name, span in spans]
        if any(text.width(name, self.em) > right - left for name, left, right in places):
            return top
        thick, short = max(1, round(0.06 * self.em)), round(0.12 * self.em)
        for name, left, right in places:
            x = (left + right - text.width(name, self.em)) / 2
            self.layout.write(name, x, top + text.ASCENT * self.em, self.em, FAINT)
            line = round(top + 1.15 * self.em)
            self.layout.rules.append(Box(left + short, line, right - short, line + thick))
        return top + (1.4 * self.em if places else 0)

    def _groups(self, lefts: Sequence[int], top: int, right: int) -> int:
        number = 0
        roomy = self.names is None or any(len(group.rows) > 1 for group in self.table.groups)
        for index, group in enumerate(self.table.groups):
            if index and roomy:
                top += round(0.45 * self.em)
            if self.names is None:
                name = text.fit(text.join(group.names, "  "), self.em, right - self.margin)
                self.layout.write(name, self.margin, top + text.ASCENT * self.em, self.em)
                top += round(1.35 * self.em) if name else 0
            for row in group.rows:
                above = self.names[index] if self.names and row is group.rows[0] else []
                height = self._height(row)
                centred = len(group.rows) == 1
                self._write_stub(above, self.stubs[number], top, height, centred)
                self._place(row, number, lefts, top)
                number += 1
                top += height + self.gap
        return top - self.gap

    def _height(self, row: Row) -> int:
        return max(1, round(self.cell * row.aspect))

    def _write_stub(
        self, above: list[Label], lines: list[Label], top: int, height: int, centred: bool
    ) -> None:
        """A row's names in its middle, the group's above them (at the top if it has more rows)."""
        count = len(above) + len(lines)
        pitch = min(text.LINE * self.em, height / max(1, count))
        middle = (height - (count if centred else len(lines)) * pitch) / 2
        first = middle if centred else 0.0
        own = middle + len(above) * pitch if centred else max(middle, len(above) * pitch)
        rise = pitch / 2 + 0.27 * self.em
        for index, line in enumerate(above):
            self.layout.write(line, self.margin, top + first + index * pitch + rise, self.em)
        for index, line in enumerate(lines):
            ink = FAINT if index or (centred and above) else INK
            self.layout.write(line, self.margin, top + own + index * pitch + rise, self.em, ink)

    def _place(self, row: Row, number: int, lefts: Sequence[int], top: int) -> None:
        for column, cell in enumerate(row.cells):
            if cell is not None:
                left = lefts[column]
                box = Box(left, top, left + self.cell, top + self._height(row))
                self.layout.pictures.append(Picture(cell, box, number, column))

    @property
    def _small(self) -> int:
        return round(0.85 * self.em) if self.tight else max(SMALLEST, round(0.85 * self.em))

    def _bars(self, top: int, right: int) -> int:
        """Colour bars below the pictures, side by side as far as there is room."""
        left = self.margin
        for bar in self.table.bars:
            if left > self.margin and left + self._bar_width(bar) > right:
                left, top = self.margin, round(top + 1.6 * self._small)
            self._bar(bar, left, top)
            left = math.ceil(left + self._bar_width(bar) + 2 * self._small)
        return round(top + 1.6 * self._small) if self.table.bars else top

    def _ramp_width(self) -> int:
        return max(5 * self._small, min(round(1.5 * self.cell), 14 * self._small))

    def _bar_width(self, bar: Bar) -> float:
        words = sum(text.width(label, self._small) for label in (bar.label, *bar.ends))
        return words + self._ramp_width() + 1.8 * self._small

    def _bar(self, bar: Bar, left: float, top: int) -> None:
        """`x̂0 − x0  −1 ▒▒▓▓ +1`: what, the low end, the colours, the high end."""
        size, y = self._small, top + 0.55 * self._small + text.ASCENT * self._small
        for label, after in ((bar.label, 0.9), (bar.ends[0], 0.4)):
            self.layout.write(label, left, y, size, FAINT)
            left += text.width(label, size) + after * size
        start, end = round(left), round(left) + self._ramp_width()
        self.layout.ramps.append(Ramp(bar.colours, Box(start, round(y - 0.66 * size), end,
                                                       round(y + 0.04 * size))))  # fmt: skip
        self.layout.write(bar.ends[1], end + 0.4 * size, y, size, FAINT)

    def _notes(self, top: int, right: int) -> int:
        size = self._small
        for note in self.table.notes:
            y = top + 0.5 * size + text.ASCENT * size
            self.layout.write(
                text.fit(note, size, right - self.margin), self.margin, y, size, FAINT
            )
            top = round(y + text.DESCENT * size)
        return top

    def _caption(self, top: int, right: int) -> int:
        """The caption in as many lines as it needs, as wide as the sheet."""
        lines = text.wrap(self.table.caption, self.em, right - self.margin)
        top += round(0.4 * self.em) if lines else 0
        for number, line in enumerate(lines):
            y = top + number * text.LINE * self.em + text.ASCENT * self.em
            self.layout.write(line, self.margin, y, self.em)
        return round(top + len(lines) * text.LINE * self.em)


class _Header:
    """The header's lines in the longest form that fits every column."""

    def __init__(self, table: Table, em: int, pitch: int):
        self.columns, self.em, self.pitch = table.columns, em, pitch
        self.room = pitch - 0.45 * em
        self.lines = max((len(column.header) for column in self.columns), default=0)
        levels = [column for column in self.columns if not column.fixed]
        forms = [self._form(levels, line) for line in range(self.lines)]
        self.bare = table.header_named or any(forms)
        self.forms = [max(form, int(self.bare)) for form in forms]
        self.names = table.header_names if self.bare else []

    def _form(self, levels: list[Column], line: int) -> int:
        """Index of the first way of saying a line that fits everywhere (or of the last one)."""
        count = max((len(column.header[line]) for column in levels), default=1)
        for form in range(count):
            if all(
                text.width(column.header[line][form], self.em) <= self.room for column in levels
            ):
                return form
        return count - 1

    def line(self, line: int) -> list[tuple[Label, int, int]]:
        """Label, size and column of one line; labels that would touch are thinned out."""
        placed = []
        for index, column in enumerate(self.columns):
            missing = self.lines - len(column.header)
            if line < missing:
                continue
            ways = column.header[line - missing]
            if column.fixed:
                placed.append((text.fit(ways[0], self.em, self.room), self.em, index))
            else:
                placed.append((ways[min(self.forms[line], len(ways) - 1)], self.em, index))
        return self._thinned(placed)

    def _thinned(self, placed: list[tuple[Label, int, int]]) -> list[tuple[Label, int, int]]:
        levels = [each for each in placed if not self.columns[each[2]].fixed]
        widest = max((text.width(label, size) for label, size, _ in levels), default=0)
        if widest <= self.room:
            return placed
        every = math.ceil((widest + 0.45 * self.em) / self.pitch)
        first = levels[0][2] + (every - 1) // 2
        kept = [each for each in levels if (each[2] - first) % every == 0]
        return [each for each in placed if self.columns[each[2]].fixed] + kept
