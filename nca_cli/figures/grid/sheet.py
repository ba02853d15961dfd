"""From a table to a sheet: boxes of cells and baselines of texts, in pixels.

A sheet draws nothing; whatever paints (`paint` pixels, `vector` SVG and PDF) only follows it. Type
grows with the width of the sheet, so that it is readable when the sheet is fitted to a page, and
never falls below `SMALLEST` pixels; on a sheet of a given width it has the size that was asked for.
Texts never overlap: what does not fit is said shorter, cut with an ellipsis, or (in headers) left
out between neighbours.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, groupby

from nca_cli.errors import UsageError
from nca_cli.figures.grid import below
from nca_cli.figures.grid.header import Header, header
from nca_cli.figures.grid.paper import TALLEST, WIDEST, Paper
from nca_cli.figures.grid.placed import FAINT, INK, Box, Placed, Sheet, Text, Tier
from nca_cli.figures.grid.stubs import Stub, group_names, stubs
from nca_cli.figures.grid.table import Group, Row, Table
from nca_cli.figures.type import text
from nca_cli.figures.type.text import Label

SMALLEST = 12
SMALLEST_FITTED = 8
"""Pixels of a cell below which a sheet of a given width is refused."""
TITLE = 1.15  # size of the title, in em


@dataclass(frozen=True)
class Sizes:
    """What everything on a sheet is measured by, in pixels."""

    cell: int
    """Width of a picture."""
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


@dataclass(frozen=True)
class Skeleton:
    """What is decided before anything is placed: columns, and the words around them."""

    sizes: Sizes
    header: Header
    names: list[Sequence[Label]] | None
    """Of groups, beside their first rows; `None`: they stand above their rows."""
    stubs: list[list[Stub]]
    """Group → row → its names."""
    lefts: list[int]
    """Where columns begin."""
    right: int
    """Where all ends, but for the margin."""


def lay_out(table: Table, paper: Paper) -> Sheet:
    """The table on paper. Raises `UsageError` where a given width has no room for it."""
    if paper.pixels is not None:
        return _placed(table, _fitted(table, paper.pixels, paper.em or paper.usual_em))
    cell = paper.cell or usual_cell(table)
    return _placed(table, skeleton(table, Sizes(cell, paper.em or usual_em(table, cell))))


def usual_cell(table: Table) -> int:
    """The largest resolution shown, small ones enlarged to 128, while the sheet stays handy."""
    sides = [max(cell.pixels.shape[:2]) for cell in table.cells if cell.pixels is not None]
    largest = max(sides, default=128)
    wanted = min(256, largest * -(-128 // largest))
    lines = len(table.rows) + len(table.groups)
    handy = min(WIDEST // (len(table.columns) + 1), TALLEST // lines - 4)
    return max(32, min(wanted, handy))


def usual_em(table: Table, cell: int) -> int:
    """Pixels per em: about 7 pt on a sheet as wide as a page, within reason for the cell."""
    wanted = 0.0145 * (len(table.columns) + 1) * cell * 1.05
    return round(max(SMALLEST, min(max(wanted, 0.085 * cell), 0.145 * cell)))


def _fitted(table: Table, width: int, em: int) -> Skeleton:
    """Exactly `width` pixels wide, with cells as large as they can be. Raises `UsageError`."""

    def of(cell: int, spare: int = 0) -> Skeleton:
        return skeleton(table, Sizes(cell, em, tight=True, spare=spare))

    def total(one: Skeleton) -> int:
        return one.right + one.sizes.margin

    low, high = SMALLEST_FITTED, width
    while low < high:
        cell = (low + high + 1) // 2
        low, high = (cell, high) if total(of(cell)) <= width else (low, cell - 1)
    needed = total(of(low))
    if needed > width:
        raise UsageError(
            f"{len(table.columns)} columns with names need {needed} pixels, not {width}",
            "fewer levels (--t), a larger --width, smaller --font-size, or higher --dpi",
        )
    return of(low, width - needed)


# -- widths ----------------------------------------------------------------------------------------


def skeleton(table: Table, sizes: Sizes) -> Skeleton:
    """Where the columns of a table are, and which words stand around them."""
    head = header(table, sizes.em, sizes.cell + sizes.gap)
    names = group_names(table, sizes.cell, sizes.em)
    beside = stubs(table, names, sizes.cell, sizes.em)
    lefts = _lefts(table, sizes, sizes.margin + _stub_width(beside, head, sizes.em))
    right = max(lefts[-1] + sizes.cell, sizes.margin + _line_width(table, sizes))
    return Skeleton(sizes, head, names, beside, lefts, right)


def _stub_width(beside: list[list[Stub]], head: Header, em: int) -> int:
    widths = [stub.width(em) for stub in chain.from_iterable(beside)]
    widest = max((*widths, *(text.width(name, em) for name in head.names)), default=0)
    return math.ceil(widest + 0.7 * em) if widest else 0


def _line_width(table: Table, sizes: Sizes) -> int:
    """Room for colour bars, the title and notes on a narrow sheet, within reason."""
    lines = () if sizes.tight else (table.title, *table.notes)
    widest = max((text.width(line, round(TITLE * sizes.em)) for line in lines), default=0)
    bars = (below.bar_width(bar, sizes.small, sizes.cell) for bar in table.bars)
    return math.ceil(max(max(bars, default=0), min(28 * sizes.em, widest)))


def _lefts(table: Table, sizes: Sizes, left: int) -> list[int]:
    """Left edges of the columns; the levels stand apart from x0."""
    lefts, fixed = [], [column.fixed for column in table.columns]
    left += 0 if any(fixed) else sizes.spare
    for index, each in enumerate(fixed):
        if index and fixed[index - 1] and not each:
            left += max(3, 2 * sizes.gap) + sizes.spare
        lefts.append(left)
        left += sizes.cell + sizes.gap
    return lefts


# -- from top to bottom ----------------------------------------------------------------------------


def _placed(table: Table, frame: Skeleton) -> Sheet:
    """The whole sheet, tier by tier."""
    sizes, room = frame.sizes, (frame.sizes.margin, frame.right)
    title = _title(table, frame)
    stages = _stages(table, frame, title.bottom)
    head = _head(table, frame, stages.bottom)
    rows = _rows(table, frame, round(head.bottom))
    bars = below.bars(table.bars, round(rows.bottom), room, sizes.small, sizes.cell)
    notes = below.notes(table.notes, round(bars.bottom), room, sizes.small)
    caption = below.caption(table.caption, round(notes.bottom), room, sizes.em)
    texts = chain.from_iterable(
        tier.texts for tier in (title, stages, head, rows, bars, notes, caption)
    )
    return Sheet(
        (frame.right + sizes.margin, round(caption.bottom) + sizes.margin),
        sizes.cell,
        sizes.em,
        rows.pictures,
        tuple(each for each in texts if each.label),
        bars.ramps,
        stages.rules,
    )


def _title(table: Table, frame: Skeleton) -> Tier:
    top, left = float(frame.sizes.margin), frame.sizes.margin
    if not table.title:
        return Tier(top)
    size = round(TITLE * frame.sizes.em)
    title = text.fit(table.title, size, frame.right - left)
    return Tier(top + 1.7 * size, (Text(title, left, top + text.ASCENT * size, size),))


def _stages(table: Table, frame: Skeleton, top: float) -> Tier:
    """P2's stages over their columns, a rule below each; nothing where one has no room."""
    em, lefts = frame.sizes.em, frame.lefts
    runs = groupby(range(len(lefts)), key=lambda index: table.columns[index].stage)
    spans = [(text.words(stage), list(span)) for stage, span in runs if stage]
    places = [(name, lefts[some[0]], lefts[some[-1]] + frame.sizes.cell) for name, some in spans]
    if not places or any(text.width(name, em) > right - left for name, left, right in places):
        return Tier(top)
    thick, short, line = max(1, round(0.06 * em)), round(0.12 * em), round(top + 1.15 * em)
    texts = [
        Text(name, (left + right - text.width(name, em)) / 2, top + text.ASCENT * em, em, FAINT)
        for name, left, right in places
    ]
    rules = [Box(left + short, line, right - short, line + thick) for _, left, right in places]
    return Tier(top + 1.4 * em, tuple(texts), rules=tuple(rules))


def _head(table: Table, frame: Skeleton, top: float) -> Tier:
    """The header's lines, each label over the middle of its column."""
    texts, em = [], frame.sizes.em
    for number, line in enumerate(frame.header.lines):
        y, ink = top + text.ASCENT * em, FAINT if number else INK
        if frame.header.names:
            texts.append(Text(frame.header.names[number], frame.sizes.margin, y, em, ink))
        for label, column in line:
            x = frame.lefts[column] + (frame.sizes.cell - text.width(label, em)) / 2
            fixed = table.columns[column].fixed
            texts.append(Text(label, x, y, em, INK if fixed else ink))
        top += text.LINE * em
    return Tier(round(top + 0.2 * em), tuple(texts))


def _rows(table: Table, frame: Skeleton, top: int) -> Tier:
    """All groups: their names, their rows' names, and the pictures."""
    sizes, texts, pictures = frame.sizes, [], []
    roomy = frame.names is None or any(len(group.rows) > 1 for group in table.groups)
    number = 0
    for group, beside in zip(table.groups, frame.stubs, strict=True):
        if number and roomy:
            top += round(0.45 * sizes.em)
        if frame.names is None and (band := _band(group, frame, top)).label:
            texts.append(band)
            top += round(1.35 * sizes.em)
        for row, stub in zip(group.rows, beside, strict=True):
            height = max(1, round(sizes.cell * row.aspect))
            alone = len(group.rows) == 1
            texts += stub.texts(sizes.margin, top, height, sizes.em, alone)
            pictures += _cells(row, number, frame, top, height)
            number += 1
            top += height + sizes.gap
    return Tier(top - sizes.gap, tuple(texts), tuple(pictures))


def _band(group: Group, frame: Skeleton, top: int) -> Text:
    """The names of a group above its rows."""
    em, left = frame.sizes.em, frame.sizes.margin
    name = text.fit(text.join(list(group.names), "  "), em, frame.right - left)
    return Text(name, left, top + text.ASCENT * em, em)


def _cells(row: Row, number: int, frame: Skeleton, top: int, height: int) -> list[Placed]:
    """The pictures of a row, side by side."""
    return [
        Placed(cell, Box(left, top, left + frame.sizes.cell, top + height), number, column)
        for column, (cell, left) in enumerate(zip(row.cells, frame.lefts, strict=True))
        if cell is not None
    ]
