"""A table as a sequence of tables, one for each level: what an animation shows."""

from __future__ import annotations

from collections.abc import Iterable

from nca_cli.figures.grid.table import Cell, Column, Group, Row, Table
from nca_cli.figures.type.text import join


def frames(table: Table) -> list[Table]:
    """A table for each level, from low to high noise; the table itself where it has no levels."""
    levels = [index for index, column in enumerate(table.columns) if not column.fixed]
    return [frame(table, index) for index in levels] or [table]


def frame(table: Table, column: int) -> Table:
    """One level of a table: rows become columns, groups become rows, the level is the title."""
    fixed = [index for index, each in enumerate(table.columns) if each.fixed]
    names = {str(row.names): row.names for row in table.rows}
    columns = [Column([(name,) for name in parts], fixed=True) for parts in names.values()]
    groups = [Group(group.names, [_side_by_side(group.rows, column, names)])
              for group in table.groups]  # fmt: skip
    if any(_differ(group, index) for group in table.groups for index in fixed):
        groups = [*(_above(table, index, names) for index in fixed), *groups]
    else:
        columns = [*(Column(table.columns[index].header, fixed=True) for index in fixed), *columns]
        groups = [
            Group(group.names, [Row([], [*_firsts(before, fixed), *group.rows[0].cells])])
            for group, before in zip(groups, table.groups, strict=True)
        ]
    title = join([line[0] for line in table.columns[column].header], "   ")
    return Table(
        columns, groups, notes=table.notes, bars=table.bars, title=title, caption=table.caption
    )


def _above(table: Table, column: int, names: Iterable[str]) -> Group:
    """A fixed column as a row above all others, each cell under the name of its row."""
    rows = [row for row in table.rows if row.cells[column]]
    return Group([table.columns[column].header[0][0]], [_side_by_side(rows, column, names)])


def _side_by_side(rows: Iterable[Row], column: int, names: Iterable[str]) -> Row:
    """The cells of a column as a row, each under the name of its own row."""
    by_name: dict[str, Cell | None] = {}
    for row in rows:
        by_name.setdefault(str(row.names), row.cells[column])
    return Row([], [by_name.get(name) for name in names])


def _differ(group: Group, column: int) -> bool:
    """Whether each of several rows has a cell of its own there, as images under a model have."""
    return len(group.rows) > 1 and all(row.cells[column] for row in group.rows)


def _firsts(group: Group, columns: Iterable[int]) -> list[Cell | None]:
    """The first cell of each column."""
    return [
        next((row.cells[column] for row in group.rows if row.cells[column]), None)
        for column in columns
    ]
