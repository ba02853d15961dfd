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
from dataclasses import replace
from functools import partial
from itertools import chain, groupby

from nca_cli.errors import UsageError
from nca_cli.figures.grid.placed import FAINT, INK, Box, Placed, Ramp, Sheet, Text, Tier
from nca_cli.figures.grid.request import GridRequest
from nca_cli.figures.grid.skeleton import SMALLEST, TITLE, Skeleton, Stub
from nca_cli.figures.grid.table import Bar, Row, Table, tallest
from nca_cli.figures.grid.variants import zoomed
from nca_cli.figures.type import text
from nca_cli.figures.type.text import Label

SMALLEST_FITTED = 8
"""Pixels of a cell below which a sheet of a given width is refused."""
WIDEST, TALLEST = 8192, 16383
"""Pixels of a sheet at the cell size that is chosen for the reader; 16383 is WebP's limit."""


def lay_out(table: Table, request: GridRequest) -> Sheet:
    """The table with its crops, as large as asked for. Raises `UsageError` where it has no room."""
    table = zoomed(table, request.zooms)
    if request.pixels is not None and request.em is not None:
        frame = _fitted(table, request.pixels, request.em)
    else:
        cell = request.cell or usual_cell(table)
        frame = Skeleton(table, cell, request.em or usual_em(table, cell))
    return replace(_placed(frame), pixelated=request.pixelated)


def usual_cell(table: Table) -> int:
    """The largest resolution shown, small ones enlarged to 128, while the sheet stays handy."""
    sides = [max(cell.pixels.shape[:2]) for cell in table.cells if cell.pixels is not None]
    largest = max(sides, default=128)
    wanted = min(256, largest * -(-128 // largest))
    lines = len(table.rows) + len(table.groups)
    high = int(TALLEST / lines / max(1.0, tallest(table.cells)))
    handy = min(WIDEST // (len(table.columns) + 1), high - 4)
    return max(32, min(wanted, handy))


def usual_em(table: Table, cell: int) -> int:
    """Pixels per em: about 7 pt on a sheet as wide as a page, within reason for the cell."""
    wanted = 0.0145 * (len(table.columns) + 1) * cell * 1.05
    return round(max(SMALLEST, min(max(wanted, 0.085 * cell), 0.145 * cell)))


def _fitted(table: Table, width: int, em: int) -> Skeleton:
    """Exactly `width` pixels wide, with cells as large as they can be. Raises `UsageError`."""
    with_cells = partial(Skeleton, table, em=em, tight=True)
    low, high = SMALLEST_FITTED, width
    while low < high:
        cell = (low + high + 1) // 2
        low, high = (cell, high) if with_cells(cell).width <= width else (low, cell - 1)
    needed = with_cells(low).width
    if needed > width:
        raise UsageError(
            f"{len(table.columns)} columns with names need {needed} pixels, not {width}",
            "fewer levels (--t), a larger --width, smaller --font-size, or higher --dpi",
        )
    return with_cells(low, spare=width - needed)


def _placed(frame: Skeleton) -> Sheet:
    """The whole sheet, tier by tier, each below the one before."""
    tiers, bottom = [], float(frame.margin)
    for tier in (_title, _stages, _header, _rows, _bars, _notes, _caption):
        tiers.append(tier(frame, bottom))
        bottom = tiers[-1].bottom
    return Sheet(
        (frame.width, round(bottom) + frame.margin),
        frame.cell,
        frame.em,
        tuple(chain.from_iterable(tier.pictures for tier in tiers)),
        tuple(each for tier in tiers for each in tier.texts if each.label),
        tuple(chain.from_iterable(tier.ramps for tier in tiers)),
        tuple(chain.from_iterable(tier.rules for tier in tiers)),
    )


def _title(frame: Skeleton, top: float) -> Tier:
    if not frame.table.title:
        return Tier(top)
    size = round(TITLE * frame.em)
    title = text.fit(frame.table.title, size, frame.right - frame.margin)
    return Tier(top + 1.7 * size, [Text(title, frame.margin, top + text.ASCENT * size, size)])


def _stages(frame: Skeleton, top: float) -> Tier:
    """P2's stages over their columns, a rule below each; nothing where one has no room."""
    em, lefts = frame.em, frame.lefts
    runs = groupby(range(len(lefts)), key=lambda index: frame.table.columns[index].stage)
    spans = [(text.words(stage), list(span)) for stage, span in runs if stage]
    places = [(name, lefts[some[0]], lefts[some[-1]] + frame.cell) for name, some in spans]
    if not places or any(text.width(name, em) > right - left for name, left, right in places):
        return Tier(top)
    thick, short, line = max(1, round(0.06 * em)), round(0.12 * em), round(top + 1.15 * em)
    texts = [
        Text(name, (left + right - text.width(name, em)) / 2, top + text.ASCENT * em, em, FAINT)
        for name, left, right in places
    ]
    rules = [Box(left + short, line, right - short, line + thick) for _, left, right in places]
    return Tier(top + 1.4 * em, texts, rules=rules)


def _header(frame: Skeleton, top: float) -> Tier:
    """The header's lines, each label over the middle of its column."""
    texts, em = [], frame.em
    for number, line in enumerate(frame.header()):
        y, ink = top + text.ASCENT * em, FAINT if number else INK
        if frame.line_names:
            texts.append(Text(frame.line_names[number], frame.margin, y, em, ink))
        for label, column in line:
            x = frame.lefts[column] + (frame.cell - text.width(label, em)) / 2
            texts.append(Text(label, x, y, em, INK if frame.table.columns[column].fixed else ink))
        top += text.LINE * em
    return Tier(round(top + 0.2 * em), texts)


def _rows(frame: Skeleton, start: float) -> Tier:
    """All groups: their names, their rows' names, and the pictures."""
    groups, top, number = frame.table.groups, round(start), 0
    usual = tallest(frame.table.cells)
    texts: list[Text] = []
    pictures: list[Placed] = []
    roomy = frame.names is None or any(len(group.rows) > 1 for group in groups)
    for group, names in zip(groups, frame.groups, strict=True):
        if number and roomy:
            top += round(0.45 * frame.em)
        if frame.names is None and (band := _band(frame, names, top)).label:
            texts.append(band)
            top += round(1.35 * frame.em)
        for row in group.rows:
            aspect = row.aspect or tallest(row.cells, usual)
            height = max(1, round(frame.cell * aspect))
            texts += _stub(frame, frame.stubs[number], top, height, len(group.rows) == 1)
            pictures += _cells(frame, row, number, top, height)
            number += 1
            top += height + frame.gap
    return Tier(top - frame.gap, texts, pictures)


def _band(frame: Skeleton, names: Sequence[Label], top: int) -> Text:
    """The names of a group above its rows."""
    name = text.fit(text.join(names, "  "), frame.em, frame.right - frame.margin)
    return Text(name, frame.margin, top + text.ASCENT * frame.em, frame.em)


def _stub(frame: Skeleton, stub: Stub, top: int, height: int, centred: bool) -> list[Text]:
    """A row's names in its middle, the group's above them (at the top if it has more rows)."""
    (above, own), em = stub, frame.em
    count = len(above) + len(own)
    pitch = min(text.LINE * em, height / max(1, count))
    middle = (height - (count if centred else len(own)) * pitch) / 2
    first = middle if centred else 0.0
    second = middle + len(above) * pitch if centred else max(middle, len(above) * pitch)
    rise = pitch / 2 + 0.27 * em
    texts = [
        Text(line, frame.margin, top + first + index * pitch + rise, em)
        for index, line in enumerate(above)
    ]
    for index, line in enumerate(own):
        ink = FAINT if index or (centred and above) else INK
        texts.append(Text(line, frame.margin, top + second + index * pitch + rise, em, ink))
    return texts


def _cells(frame: Skeleton, row: Row, number: int, top: int, height: int) -> list[Placed]:
    """The pictures of a row, side by side."""
    placed = []
    for column, (cell, left) in enumerate(zip(row.cells, frame.lefts, strict=True)):
        if cell is not None:
            own = row.aspect is None and cell.aspect
            high = max(1, round(frame.cell * own)) if own else height
            y = top + (height - high) // 2
            placed.append(Placed(cell, Box(left, y, left + frame.cell, y + high), number, column))
    return placed


def _bars(frame: Skeleton, start: float) -> Tier:
    """Colour bars below the pictures, side by side as far as there is room."""
    left, top, size = frame.margin, round(start), frame.small
    texts: list[Text] = []
    ramps: list[Ramp] = []
    for bar in frame.table.bars:
        width = frame.bar_width(bar)
        if left > frame.margin and left + width > frame.right:
            left, top = frame.margin, round(top + 1.6 * size)
        said, ramp = _bar(frame, bar, left, top)
        texts += said
        ramps.append(ramp)
        left = math.ceil(left + width + 2 * size)
    return Tier(round(top + 1.6 * size) if ramps else top, texts, ramps=ramps)


def _bar(frame: Skeleton, bar: Bar, left: float, top: int) -> tuple[list[Text], Ramp]:
    """`x̂0 − x0  −1 ▒▒▓▓ +1`: what, the low end, the colours, the high end."""
    size, texts = frame.small, []
    y = top + 0.55 * size + text.ASCENT * size
    for label, after in ((bar.label, 0.9), (bar.ends[0], 0.4)):
        texts.append(Text(label, left, y, size, FAINT))
        left += text.width(label, size) + after * size
    start, end = round(left), round(left) + frame.ramp_width
    texts.append(Text(bar.ends[1], end + 0.4 * size, y, size, FAINT))
    box = Box(start, round(y - 0.66 * size), end, round(y + 0.04 * size))
    return texts, Ramp(bar.colours, box)


def _notes(frame: Skeleton, start: float) -> Tier:
    """A line each, cut where it is too long."""
    top, size, texts = round(start), frame.small, []
    for note in frame.table.notes:
        y = top + 0.5 * size + text.ASCENT * size
        shown = text.fit(note, size, frame.right - frame.margin)
        texts.append(Text(shown, frame.margin, y, size, FAINT))
        top = round(y + text.DESCENT * size)
    return Tier(top, texts)


def _caption(frame: Skeleton, start: float) -> Tier:
    """The caption in as many lines as it needs, as wide as the sheet."""
    top, em, pitch = round(start), frame.em, text.LINE
    lines = text.wrap(frame.table.caption, em, frame.right - frame.margin)
    top += round(0.4 * em) if lines else 0
    texts = [
        Text(line, frame.margin, top + number * pitch * em + text.ASCENT * em, em)
        for number, line in enumerate(lines)
    ]
    return Tier(round(top + len(lines) * pitch * em), texts)
