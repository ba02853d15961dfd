"""A selection and its pictures as a table: columns, groups of rows, cells. No pixel positions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from nca_cli.figures.grid.layouts import AXES, FIXED, SYMBOLS
from nca_cli.figures.grid.selection import Selection, Strip
from nca_cli.figures.grid.wording import Wording, heading
from nca_cli.figures.type import text
from nca_cli.figures.type.text import Label
from nca_cli.recipe import Number


class Frame(NamedTuple):
    """A rectangle in a picture, in fractions of its sides, drawn in a colour."""

    left: float
    top: float
    right: float
    bottom: float
    colour: str


WHOLE = (0.0, 0.0, 1.0, 1.0)


@dataclass(frozen=True, eq=False)
class Cell:
    """One picture. Without pixels it is drawn as a blank: what should be there is not stored."""

    kind: str
    """x0, floor, x_t, x0_hat, diff or error"""
    pixels: np.ndarray | None = None
    """uint8 (H, W, 3)"""
    error: np.ndarray | None = None
    """Of kind error: what is shown, float32 (H, W), before it becomes colours."""
    frames: tuple[Frame, ...] = ()

    @property
    def aspect(self) -> float | None:
        """Height over width of the picture; `None` of a blank."""
        shown = self.error if self.pixels is None else self.pixels
        return None if shown is None else shown.shape[0] / shown.shape[1]


def tallest(cells: Iterable[Cell | None], otherwise: float = 1.0) -> float:
    """The greatest aspect among pictures; `otherwise` where all are blanks."""
    return max((cell.aspect for cell in cells if cell and cell.aspect), default=otherwise)


Cells = dict[tuple[Strip, Number | str], Cell]
"""(strip, t), or (strip, x0 or floor) → its picture."""


@dataclass(frozen=True)
class Column:
    """A column and its header: for each line the ways to say it, from long to short."""

    header: Sequence[tuple[Label, ...]]
    fixed: bool = False
    """Whether it stands before the others: x0 and the floor."""
    stage: str = ""
    """P2's stage of the level, where the figure says it."""


@dataclass(frozen=True)
class Row:
    """A strip of cells, one per column (`None`: nothing belongs there), and what it is called."""

    names: Sequence[Label]
    cells: Sequence[Cell | None]
    aspect: float | None = None
    """Height of its cells, as a share of their width; `None`: that of its tallest picture, and
    those that are lower stand in the middle."""


@dataclass(frozen=True)
class Bar:
    """A colour bar: what it measures, its two ends in words, and its colours from low to high."""

    label: Label
    ends: tuple[Label, Label]
    colours: np.ndarray
    """uint8 (N, 3)"""


@dataclass(frozen=True)
class Group:
    """Rows under one name, which may have several parts."""

    names: Sequence[Label]
    rows: Sequence[Row]


@dataclass(frozen=True)
class Table:
    """A figure without positions."""

    columns: Sequence[Column]
    groups: Sequence[Group]
    header_names: Sequence[Label] = ()
    """What the header's lines are, said at the left where the columns have no room for it."""
    header_named: bool = False
    """Whether it must be said at the left, because the columns cannot say it."""
    notes: Sequence[Label] = ()
    bars: Sequence[Bar] = ()
    title: Label = ()
    caption: Label = ()

    @property
    def rows(self) -> list[Row]:
        """The rows of all groups."""
        return [row for group in self.groups for row in group.rows]

    @property
    def cells(self) -> list[Cell]:
        """All cells, row by row."""
        return [cell for row in self.rows for cell in row.cells if cell is not None]


def tabulate(selection: Selection, cells: Cells, bars: Sequence[Bar] = ()) -> Table:
    """The figure as a table; a picture that is not in `cells` is blank."""
    words, request = Wording(selection), selection.request
    kinds = [kind for kind in FIXED if any(kind in strip.fixed for strip in selection.strips)]
    by_property = bool(request.column_axis.property and request.kinds)
    arrange = _by_property if by_property else _by_levels
    columns, groups, names = arrange(words, kinds, cells)
    fonts, caption = request.lenders, request.caption or request.arrangement.caption
    return Table(
        [*(Column([(SYMBOLS[kind],)], fixed=True) for kind in kinds), *columns],
        groups,
        names,
        header_named=len(words.schedules) > 1 and not by_property,
        notes=words.notes,
        bars=bars,
        title=text.words(request.title, "bold", fonts) if request.title else (),
        caption=text.words(caption, fonts=fonts) if caption else (),
    )


Arranged = tuple[list[Column], list[Group], list[Label]]
"""Columns after the fixed ones, groups of rows, what the header's lines are."""


def _by_levels(words: Wording, kinds: Sequence[str], cells: Cells) -> Arranged:
    """A row per strip, a column per level."""
    levels, rows = words.chosen.levels, []
    for strip in words.chosen.strips:
        outer, own = words.of_row(strip)
        ts = words.chosen.ts(strip.model)
        held = [_cell(cells, strip, ts.get(level)) for level in levels]
        rows.append((outer, Row(own, [*_fixed(cells, strip, kinds), *held])))
    columns = [Column(words.header(each), stage=words.stage_of(each)) for each in levels]
    return columns, _groups(rows), words.header_names


def _by_property(words: Wording, kinds: Sequence[str], cells: Cells) -> Arranged:
    """A row per strip and level, a column per value of what tells strips apart, such as seeds.

    x_t, where it is the same in all of them, has a column of its own before them.
    """
    axis, every = words.request.column_axis, words.chosen.strips
    noises = {} if axis.of_noise else {_noise(each): each for each in every if each.kind == "x_t"}
    strips = [strip for strip in every if strip not in noises.values()]
    values = sorted({getattr(strip, axis.property) for strip in strips})
    rows, shown = [], set()
    for line in _lines(words, strips):
        before = noises.get(_noise(line.first), line.first)
        begin: list[Cell | None] = [None] * len(kinds)
        if before not in shown:
            begin = _fixed(cells, before, kinds)
        if noises:
            begin += [None if (before, line.t) in shown else _cell(cells, before, line.t)]
        shown |= {before, (before, line.t)}
        held = [_cell(cells, line.strips.get(value), line.t) for value in values]
        rows.append((line.outer, Row(line.own, [*begin, *held])))
    lead = [Column([(SYMBOLS["x_t"],)], fixed=True)] if noises else []
    columns = [Column(words.of_property(axis.property, value)) for value in values]
    return [*lead, *columns], _groups(rows), words.property_names


class Line(NamedTuple):
    """A row of strips that differ in one property alone, at one level."""

    outer: list[Label]
    """Names of its group, …"""
    own: list[Label]
    """… and its own."""
    level: Number
    t: Number
    strips: Mapping[object, Strip]

    @property
    def first(self) -> Strip:
        """Of its strips."""
        return next(iter(self.strips.values()))

    @property
    def group(self) -> str:
        """By which rows are gathered."""
        return str(self.outer)


def _lines(words: Wording, strips: Sequence[Strip]) -> list[Line]:
    """The rows in order, level by level in each group: so t is said once for all that is shown
    there."""
    selection, request, found = words.chosen, words.request, []
    for alike in _alike(strips, request.column_axis.property):
        first = next(iter(alike.values()))
        names = words.of_row(first)
        found += [Line(*names, level, t, alike) for level, t in selection.ts(first.model).items()]
    groups = list(dict.fromkeys(line.group for line in found))
    found.sort(key=lambda line: (groups.index(line.group), selection.levels.index(line.level)))
    shared = Counter((line.group, line.level) for line in found)
    several = {group for (group, _), count in shared.items() if count > 1}
    return [_named(line, words.of_level(line.level), line.group in several) for line in found]


def _named(line: Line, level: list[Label], grouped: bool) -> Line:
    """With its level as its own name, or as that of its group."""
    if grouped:
        return line._replace(outer=[*line.outer, *level])
    return line._replace(own=[*line.own, *level])


def _noise(strip: Strip) -> tuple[str, str, int]:
    """What tells its x_t from others."""
    return strip.subject.space, strip.image, strip.seed


def _cell(cells: Cells, strip: Strip | None, t: Number | None) -> Cell | None:
    """The picture of a level in a strip, a blank, or nothing where none belongs."""
    if strip is None or t is None or t not in strip.cells:
        return None
    return cells.get((strip, t), Cell(strip.kind))


def _fixed(cells: Cells, strip: Strip, kinds: Sequence[str]) -> list[Cell | None]:
    """x0 and the floor, where they stand before a strip."""
    return [cells.get((strip, kind), Cell(kind)) if kind in strip.fixed else None for kind in kinds]


def _groups(rows: Iterable[tuple[list[Label], Row]]) -> list[Group]:
    """Rows, each with the names of its group, by these names."""
    found: dict[str, tuple[list[Label], list[Row]]] = {}
    for outer, row in rows:
        found.setdefault(str(outer), (heading(outer), []))[1].append(row)
    return [Group(*each) for each in found.values()]


def _alike(strips: Iterable[Strip], what: str) -> list[Mapping[object, Strip]]:
    """Strips that differ in one property alone, together: its value → strip."""
    others = ["kind", *(axis.property for axis in AXES.values() if axis.property)]
    others.remove(what)
    found: dict[tuple, dict[object, Strip]] = {}
    for strip in strips:
        settings = strip.settings if what == "step" else strip.sampling
        key = (settings, *(getattr(strip, other) for other in others))
        found.setdefault(key, {})[getattr(strip, what)] = strip
    return list(found.values())
