"""The content of a figure as a table: columns, groups of rows, cells. No pixel positions."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from nca_cli.grid.text import Label


class Missing(NamedTuple):
    """A cell that has no sample: folder names, `noise` or the sampler's label, and the key."""

    model: str
    image: str
    label: str
    t: int | float
    seed: int


@dataclass(eq=False)
class Cell:
    """One picture. Without pixels it is drawn as a blank: what should be there is not stored."""

    kind: str
    """x0, floor, x_t, x0_hat or diff"""
    pixels: np.ndarray | None = None
    """uint8 (H, W, 3)"""


@dataclass
class Column:
    """A column and its header: for each line the ways to say it, from long to short."""

    header: list[tuple[Label, ...]]
    t: int | float | None = None
    """Noise level; `None` for x0 and the floor."""


@dataclass
class Row:
    """A strip of cells, one per column (`None`: nothing belongs there), and what it is called."""

    names: list[Label]
    cells: list[Cell | None]


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
    notes: list[Label] = field(default_factory=list)
    title: Label = ()

    @property
    def cells(self) -> list[Cell]:
        """All cells, row by row."""
        rows = (row for group in self.groups for row in group.rows)
        return [cell for row in rows for cell in row.cells if cell is not None]


def frame(table: Table, column: int) -> Table:
    """One level of a table: rows become columns, groups become rows, the level is the title."""
    level = table.columns[column]
    fixed = [index for index, each in enumerate(table.columns) if each.t is None]
    names = {str(row.names): row.names for group in table.groups for row in group.rows}
    columns = [Column(list(table.columns[index].header)) for index in fixed]
    columns += [Column([(name,) for name in parts]) for parts in names.values()]
    groups = []
    for group in table.groups:
        by_name = {str(row.names): row.cells[column] for row in group.rows}
        first = [_first(group, index) for index in fixed]
        groups.append(
            Group(group.names, [Row([], [*first, *(by_name.get(name) for name in names)])])
        )
    ways = [line[0] for line in level.header if line]
    title = tuple(run for index, way in enumerate(ways) for run in _spaced(way, index))
    return Table(columns, groups, [], table.notes, title)


def _first(group: Group, column: int) -> Cell | None:
    return next((row.cells[column] for row in group.rows if row.cells[column]), None)


def _spaced(label: Label, index: int) -> Label:
    from nca_cli.grid.text import Run

    return (Run("   "), *label) if index else label
