"""The content of a figure as a table: columns, groups of rows, cells. No pixel positions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from nca_cli.figures.grid.text import Label, join


class Missing(NamedTuple):
    """A cell that has no sample: folder names, `noise` or the sampler's label, and the key."""

    model: str
    image: str
    label: str
    t: int | float
    seed: int


class Frame(NamedTuple):
    """A rectangle in a picture, in fractions of its sides, drawn in a colour."""

    left: float
    top: float
    right: float
    bottom: float
    colour: str


WHOLE = (0.0, 0.0, 1.0, 1.0)


@dataclass(eq=False)
class Cell:
    """One picture. Without pixels it is drawn as a blank: what should be there is not stored."""

    kind: str
    """x0, floor, x_t, x0_hat, diff or error"""
    pixels: np.ndarray | None = None
    """uint8 (H, W, 3)"""
    error: np.ndarray | None = None
    """Of kind error: what is shown, float32 (H, W), before it becomes colours."""
    frames: tuple[Frame, ...] = ()


@dataclass
class Column:
    """A column and its header: for each line the ways to say it, from long to short."""

    header: list[tuple[Label, ...]]
    t: int | float | None = None
    """Noise level, t or logSNR; `None` where the column is no level."""
    fixed: bool = False
    """Whether it stands before the others: x0 and the floor."""
    stage: str = ""
    """P2's stage of the level, where the figure says it."""


@dataclass
class Row:
    """A strip of cells, one per column (`None`: nothing belongs there), and what it is called."""

    names: list[Label]
    cells: list[Cell | None]
    aspect: float = 1.0
    """Height of its cells, as a share of their width."""


@dataclass
class Bar:
    """A colour bar: what it measures, its two ends in words, and its colours from low to high."""

    label: Label
    ends: tuple[Label, Label]
    colours: np.ndarray
    """uint8 (N, 3)"""


@dataclass
class Group:
    """Rows under one name, which may have several parts."""

    names: list[Label]
    rows: list[Row]


@dataclass
class Table:
    """A figure without positions."""

    columns: list[Column]
    groups: list[Group]
    header_names: list[Label] = field(default_factory=list)
    """What the header's lines are, said at the left where the columns have no room for it."""
    header_named: bool = False
    """Whether it must be said at the left, because the columns cannot say it."""
    notes: list[Label] = field(default_factory=list)
    bars: list[Bar] = field(default_factory=list)
    title: Label = ()
    caption: Label = ()

    @property
    def cells(self) -> list[Cell]:
        """All cells, row by row."""
        rows = (row for group in self.groups for row in group.rows)
        return [cell for row in rows for cell in row.cells if cell is not None]


def frame(table: Table, column: int) -> Table:
    """One level of a table: rows become columns, groups become rows, the level is the title."""
    fixed = [index for index, each in enumerate(table.columns) if each.fixed]
    names = {str(row.names): row.names for group in table.groups for row in group.rows}
    columns = [Column([(name,) for name in parts], fixed=True) for parts in names.values()]
    groups = [_as_row(group, column, names) for group in table.groups]
    if any(_differ(group, index) for group in table.groups for index in fixed):
        above = [Group([table.columns[index].header[0][0]], []) for index in fixed]
        for group, index in zip(above, fixed, strict=True):
            rows = [row for each in table.groups for row in each.rows if row.cells[index]]
            group.rows = _as_row(Group([], rows), index, names).rows
        groups = above + groups
    else:
        columns = [
            Column(list(table.columns[index].header), fixed=True) for index in fixed
        ] + columns
        for group, before in zip(groups, table.groups, strict=True):
            group.rows[0].cells[:0] = [_first(before, index) for index in fixed]
    title = join([line[0] for line in table.columns[column].header], "   ")
    return Table(
        columns, groups, notes=table.notes, bars=table.bars, title=title, caption=table.caption
    )


def _as_row(group: Group, column: int, names: Iterable[str]) -> Group:
    """The cells of a column side by side, each under the name of its row."""
    by_name = {str(row.names): row.cells[column] for row in reversed(group.rows)}
    return Group(group.names, [Row([], [by_name.get(name) for name in names])])


def _differ(group: Group, column: int) -> bool:
    """Whether each of several rows has a cell of its own there, as images under a model have."""
    return len(group.rows) > 1 and all(row.cells[column] for row in group.rows)


def _first(group: Group, column: int) -> Cell | None:
    return next((row.cells[column] for row in group.rows if row.cells[column]), None)
