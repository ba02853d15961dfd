"""The lines above the columns, in the longest form that fits every one of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from nca_cli.figures.grid.table import Column, Table
from nca_cli.figures.type import text
from nca_cli.figures.type.text import Label


class Said(NamedTuple):
    """A label above a column."""

    label: Label
    column: int


@dataclass(frozen=True)
class Header:
    """What stands above the columns, line by line."""

    lines: list[list[Said]]
    names: Sequence[Label] = ()
    """What the lines are, at the left of them; none where the columns say it themselves."""


def header(table: Table, em: int, pitch: int) -> Header:
    """The header of columns that begin `pitch` pixels apart, in type of `em` pixels."""
    room = pitch - 0.45 * em
    levels = [column for column in table.columns if not column.fixed]
    count = max((len(column.header) for column in table.columns), default=0)
    forms = [_form(levels, line, em, room) for line in range(count)]
    named = table.header_named or any(forms)
    said = [
        _line(table.columns, line - count, max(form, int(named)), em, room)
        for line, form in enumerate(forms)
    ]
    lines = [_thinned(line, table.columns, em, pitch) for line in said]
    return Header(lines, table.header_names if named else ())


def _form(levels: list[Column], line: int, em: int, room: float) -> int:
    """Index of the first way of saying a line that fits everywhere (or of the last one)."""
    count = max((len(column.header[line]) for column in levels), default=1)
    for form in range(count):
        if all(text.width(column.header[line][form], em) <= room for column in levels):
            return form
    return count - 1


def _line(columns: Sequence[Column], line: int, form: int, em: int, room: float) -> list[Said]:
    """A line, counted from the last one (-1); fixed columns have theirs at the bottom."""
    said = []
    for index, column in enumerate(columns):
        if len(column.header) >= -line:
            ways = column.header[line]
            fitted = text.fit(ways[0], em, room) if column.fixed else None
            said.append(Said(ways[min(form, len(ways) - 1)] if fitted is None else fitted, index))
    return said


def _thinned(line: list[Said], columns: Sequence[Column], em: int, pitch: int) -> list[Said]:
    """Without labels that would touch their neighbours: every second, every third, … is kept."""
    levels = [each for each in line if not columns[each.column].fixed]
    widest = max((text.width(each.label, em) for each in levels), default=0)
    if widest <= pitch - 0.45 * em:
        return line
    every = math.ceil((widest + 0.45 * em) / pitch)
    first = levels[0].column + (every - 1) // 2
    kept = [each for each in levels if (each.column - first) % every == 0]
    return [each for each in line if columns[each.column].fixed] + kept
