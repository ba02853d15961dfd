"""Type for figures: labels of words and mathematics, measured and fitted before they are drawn.

A label is a sequence of spans, each a text in one style. Sizes are pixels per em. The fonts are
shipped (nca_cli/assets/fonts), so that a figure looks the same on every machine; what they lack
others lend (`fonts`), and what none has is replaced before it is measured.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

from nca_cli.figures.type.bidi import visual
from nca_cli.figures.type.fonts import Fonts, drawable, font, lender

if TYPE_CHECKING:
    from PIL import ImageDraw

_FACES = {"hat": "math", "mathsub": "math", "sub": "text", "sup": "text"}
HAT = "ˆ"
_SMALL = 0.68  # size of sub- and superscripts
_SMALLEST = 9  # … which stay readable
_DROP, _RAISE = 0.16, 0.36  # their baselines, in em below and above the line's
ASCENT, DESCENT = 0.82, 0.28  # what a line takes above and below its baseline, in em
_SLANT = 0.05  # how far the top of an italic x leans to the right, in em
LINE = 1.25  # distance of baselines, in em
ELLIPSIS = "…"


class Span(NamedTuple):
    """A text in one style: text, bold, math (italic), hat (math under ^), sub, mathsub or sup."""

    text: str
    style: str = "text"
    fonts: Fonts = ()
    """Files that lend characters."""


Label = tuple[Span, ...]


def words(text: str, style: str = "text", fonts: Fonts = ()) -> Label:
    """Plain text as a label; what no font can show becomes "?"."""
    return (Span(drawable(text, fonts), style, fonts),)


def join(labels: Sequence[Label], by: str) -> Label:
    """The labels in one line, with `by` between them."""
    spans: list[Span] = []
    for label in labels:
        spans += [Span(by), *label] if spans and label else label
    return tuple(spans)


def number(value: float | None, digits: int = 2) -> Label:
    """As many significant digits; powers of ten below 0.1 and from 1000: 8.5, 0.27, 3.8×10⁻²."""
    if value is None or math.isnan(value):
        return (Span("–"),)
    if math.isinf(value):
        return (Span("∞"),)
    if value == 0:
        return (Span("0"),)
    rounded = f"{value:.{digits - 1}e}"
    factor, exponent = rounded.split("e")
    if -1 <= int(exponent) < 3:
        return (Span(f"{float(rounded):.{max(0, digits - 1 - int(exponent))}f}"),)
    power = (Span("10"), Span(str(int(exponent)).replace("-", "−"), "sup"))
    return power if float(factor) == 1 else (Span(f"{factor}×"), *power)


def terse(value: float | None) -> Label:
    """One significant digit, powers of ten as programs write them: 4e-2."""
    short = number(value, 1)
    if value is None or short[-1].style != "sup":
        return short
    return (Span(f"{value:.0e}".replace("e-0", "e−").replace("e+0", "e").replace("e-", "e−")),)


def count(number: int) -> str:
    """`800`, `6.4k`, `205k`, `1.2M`: a count in at most three digits."""
    for unit, name in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if number >= unit:
            return f"{number / unit:.3g}{name}"
    return str(number)


@lru_cache(maxsize=4096)
def _parts(span: Span) -> tuple[tuple[str, str], ...]:
    """(face, text) from left to right: a face for the span's style, and files where others lend."""
    own = _FACES.get(span.style, span.style)

    def has(character: str) -> bool:
        return lender(character, span.fonts) is not None

    shown = span.text if span.text.isascii() else visual(span.text, has)
    lent = groupby(shown, key=lambda character: lender(character, span.fonts) or own)
    return tuple((face, "".join(characters)) for face, characters in lent)


def _of(span: Span, size: int) -> tuple[int, float]:
    """Size of a span's type, and how far its baseline is below the line's."""
    small = max(_SMALLEST, round(size * _SMALL))
    if span.style in ("sub", "mathsub"):
        return small, size * _DROP
    return (small, -size * _RAISE) if span.style == "sup" else (size, 0.0)


def width(label: Label, size: int) -> float:
    """Advance of a label in pixels."""
    return sum(
        font(face, _of(span, size)[0]).getlength(part)
        for span in label
        for face, part in _parts(span)
    )


def fit(label: Label, size: int, room: float) -> Label:
    """The label, its end cut off and replaced by an ellipsis where it is wider than `room`."""
    if width(label, size) <= room:
        return label
    for index in range(len(label) - 1, -1, -1):
        span, before = label[index], label[:index]
        for length in range(len(span.text) - 1, -1, -1):
            if span.style == "hat" and length < len(span.text):
                break
            text = span.text[:length].rstrip(" -·") + ELLIPSIS
            style = span.style if span.style == "bold" else "text"
            shorter = (*before, Span(text, style, span.fonts))
            if width(shorter, size) <= room:
                return shorter
    return ()


def split(label: Label, size: int, room: float) -> list[Label]:
    """A label of one span in lines of at most `room`, broken after "-", "_", "." and spaces."""
    if len(label) != 1 or width(label, size) <= room:
        return [label]
    return _lines(label[0], re.findall(r"[^-_. ]*[-_. ]|[^-_. ]+", label[0].text), size, room)


def wrap(label: Label, size: int, room: float) -> list[Label]:
    """A label of one span in lines of at most `room`, broken at spaces; longer words are cut."""
    if not label:
        return []
    words = [f"{word} " for word in label[0].text.split()]
    return [fit(line, size, room) for line in _lines(label[0], words, size, room)]


def _lines(span: Span, pieces: Sequence[str], size: int, room: float) -> list[Label]:
    """Pieces of a text in as few lines as they fit in."""
    lines = [""]
    for piece in pieces:
        if lines[-1] and width((span._replace(text=lines[-1] + piece.rstrip()),), size) > room:
            lines.append("")
        lines[-1] += piece
    return [(span._replace(text=line.strip()),) for line in lines]


class Piece(NamedTuple):
    """A text in one font, its left end on a baseline."""

    text: str
    x: float
    y: float
    face: str
    """text, bold, math, or the file of a font"""
    size: int


def pieces(label: Label, x: float, y: float, size: int) -> Iterator[Piece]:
    """A label taken apart into what is drawn, from left to right."""
    for span in label:
        pixels, drop = _of(span, size)
        if span.style == "hat":  # the circumflex stands at its height over the letter's middle
            middle = x + width((span,), size) / 2 + _SLANT * size
            half = font("text", size).getlength(HAT) / 2
            yield Piece(HAT, middle - half, y, "text", size)
        for face, part in _parts(span):
            yield Piece(part, x, y + drop, face, pixels)
            x += font(face, pixels).getlength(part)


def draw(
    canvas: ImageDraw.ImageDraw, at: tuple[float, float], label: Label, size: int, ink: str
) -> None:
    """Draw a label with the left end of its baseline at `at`."""
    for piece in pieces(label, *at, size):
        face = font(piece.face, piece.size)
        canvas.text((piece.x, piece.y), piece.text, ink, face, anchor="ls")
