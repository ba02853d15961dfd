"""What stands below the pictures: colour bars, notes, the caption.

`room`: the left and right ends of a line; `size`: pixels of type.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from nca_cli.figures.grid.placed import FAINT, Box, Ramp, Text, Tier
from nca_cli.figures.grid.table import Bar
from nca_cli.figures.type import text
from nca_cli.figures.type.text import Label


def bars(some: Sequence[Bar], top: int, room: tuple[int, int], size: int, cell: int) -> Tier:
    """Colour bars side by side as far as there is room."""
    start, right = room
    texts: list[Text] = []
    ramps: list[Ramp] = []
    left = start
    for each in some:
        width = bar_width(each, size, cell)
        if left > start and left + width > right:
            left, top = start, round(top + 1.6 * size)
        words, ramp = _bar(each, left, top, size, cell)
        texts += words
        ramps.append(ramp)
        left = math.ceil(left + width + 2 * size)
    bottom = round(top + 1.6 * size) if some else top
    return Tier(bottom, tuple(texts), ramps=tuple(ramps))


def bar_width(bar: Bar, size: int, cell: int) -> float:
    """Width of a colour bar with its words."""
    words = sum(text.width(label, size) for label in (bar.label, *bar.ends))
    return words + _ramp_width(size, cell) + 1.8 * size


def _ramp_width(size: int, cell: int) -> int:
    return max(5 * size, min(round(1.5 * cell), 14 * size))


def _bar(bar: Bar, left: float, top: int, size: int, cell: int) -> tuple[list[Text], Ramp]:
    """`x̂0 − x0  −1 ▒▒▓▓ +1`: what, the low end, the colours, the high end."""
    y, texts = top + 0.55 * size + text.ASCENT * size, []
    for label, after in ((bar.label, 0.9), (bar.ends[0], 0.4)):
        texts.append(Text(label, left, y, size, FAINT))
        left += text.width(label, size) + after * size
    start, end = round(left), round(left) + _ramp_width(size, cell)
    texts.append(Text(bar.ends[1], end + 0.4 * size, y, size, FAINT))
    return texts, Ramp(bar.colours, Box(start, round(y - 0.66 * size), end, round(y + 0.04 * size)))


def notes(some: Sequence[Label], top: int, room: tuple[int, int], size: int) -> Tier:
    """A line each, cut where it is too long."""
    left, right = room
    texts = []
    for note in some:
        y = top + 0.5 * size + text.ASCENT * size
        texts.append(Text(text.fit(note, size, right - left), left, y, size, FAINT))
        top = round(y + text.DESCENT * size)
    return Tier(top, tuple(texts))


def caption(words: Label, top: int, room: tuple[int, int], size: int) -> Tier:
    """The caption in as many lines as it needs, as wide as the sheet."""
    left, right = room
    lines = text.wrap(words, size, right - left)
    top += round(0.4 * size) if lines else 0
    texts = (
        Text(line, left, top + number * text.LINE * size + text.ASCENT * size, size)
        for number, line in enumerate(lines)
    )
    return Tier(round(top + len(lines) * text.LINE * size), tuple(texts))
