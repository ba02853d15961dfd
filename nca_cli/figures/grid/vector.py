"""A sheet as SVG or PDF: texts stay texts, with the fonts inside; pictures are rasters.

Both follow the sheet to the pixel, as `paint` does. In the file, fonts are cut down to the
characters that occur. A picture is embedded without loss at the size that it has in the sheet.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape, quoteattr

import numpy as np

from nca_cli import __version__
from nca_cli.figures.grid.paint import BLANK, EDGE, outlines, rasters
from nca_cli.figures.grid.placed import RULE, Box, Sheet, Text
from nca_cli.figures.grid.request import MM_PER_INCH, POINTS_PER_INCH
from nca_cli.figures.grid.save import encoded
from nca_cli.figures.type.fonts import FILES, file_of, hush, subset
from nca_cli.figures.type.text import pieces

if TYPE_CHECKING:
    from fpdf import FPDF

FALLBACK = {
    "text": "'Source Sans 3','Source Sans Pro',sans-serif",
    "bold": "'Source Sans 3','Source Sans Pro',sans-serif",
    "math": "'Source Serif 4','Source Serif Pro',serif",
}
LETTERS = "direction:ltr;unicode-bidi:bidi-override"
"""Of right-to-left writing too, letters stand in the order in which they are drawn."""


def svg(sheet: Sheet, width_mm: float, title: str) -> bytes:
    """One SVG, `width_mm` wide. Browsers take its own fonts, editors the installed ones."""
    width, height = sheet.size
    height_mm = width_mm * height / width
    parts = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width_mm:.4g}mm" '
        f'height="{height_mm:.4f}mm" viewBox="0 0 {width} {height}" role="img">',
        f"<title>{escape(title)}</title>",
        f"<style>{_faces(sheet)}text{{white-space:pre;{LETTERS}}}</style>",
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
        *(_svg_picture(box, pixels) for box, pixels in rasters(sheet)),
        *_svg_shapes(sheet),
        *(_svg_text(each) for each in sheet.texts),
        "</svg>",
    ]
    return "\n".join(parts).encode()


def _svg_picture(box: Box, pixels: np.ndarray) -> str:
    from PIL import Image

    png = _data("image/png", encoded(Image.fromarray(pixels), "PNG", compress_level=6))
    place = f'x="{box.left}" y="{box.top}" width="{box.size[0]}" height="{box.size[1]}"'
    return f'<image {place} preserveAspectRatio="none" href="{png}"/>'


def _svg_shapes(sheet: Sheet) -> Iterator[str]:
    for left, top, right, bottom in sheet.blanks:
        yield (
            f'<path d="M{left} {top}H{right}V{bottom}H{left}ZM{left} {bottom}L{right} {top}" '
            f'fill="{BLANK}" stroke="{EDGE}"/>'
        )
    for box, colour, thick in outlines(sheet):
        x, y, end, low = _middle(box, thick)
        yield (
            f'<path d="M{x:g} {y:g}H{end:g}V{low:g}H{x:g}Z" fill="none" '
            f'stroke="{colour}" stroke-width="{thick}"/>'
        )
    for left, top, right, bottom in sheet.rules:
        yield f'<path d="M{left} {top}H{right}V{bottom}H{left}Z" fill="{RULE}"/>'


def _svg_text(each: Text) -> str:
    label, x, y, size, ink = each
    spans = (
        f'<tspan class="{_name(piece.face)}" x="{piece.x:.2f}" y="{piece.y:.2f}" '
        f'font-size="{piece.size}">{escape(piece.text)}</tspan>'
        for piece in pieces(label, x, y, size)
    )
    return f"<text fill={quoteattr(ink)}>{''.join(spans)}</text>"


def _faces(sheet: Sheet) -> str:
    """CSS of the fonts that occur."""
    rules = []
    for face, characters in sorted(_characters(sheet).items()):
        source = f"url({_data('font/woff', subset(face, characters))}) format('woff')"
        name, others = _name(face), FALLBACK.get(face, "sans-serif")
        weight = ";font-weight:600" if face == "bold" else ""
        rules.append(f"@font-face{{font-family:'nca {name}';src:{source}}}")
        rules.append(f".{name}{{font-family:'nca {name}',{others}{weight}}}")
    return "".join(rules)


def _name(face: str) -> str:
    """What a face is called in a file: a font that lends characters, after its own file."""
    return face if face in FILES else "lent-" + re.sub(r"[^A-Za-z0-9]+", "-", Path(face).stem)


def _characters(sheet: Sheet) -> dict[str, str]:
    """Face → the characters that are drawn in it."""
    found: dict[str, set[str]] = {}
    for label, x, y, size, *_ in sheet.texts:
        for piece in pieces(label, x, y, size):
            found.setdefault(piece.face, set()).update(piece.text)
    return {face: "".join(sorted(characters)) for face, characters in found.items()}


def _data(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def _middle(box: Box, thick: int) -> tuple[float, float, float, float]:
    """Where the middle of a line runs that lies inside a box."""
    half = thick / 2
    return box.left + half, box.top + half, box.right - half, box.bottom - half


def pdf(sheet: Sheet, width_mm: float, title: str) -> bytes:
    """One page, `width_mm` wide, whose text can be selected and searched."""
    from fpdf import FPDF
    from PIL import Image

    hush()
    points = width_mm / MM_PER_INCH * POINTS_PER_INCH / sheet.size[0]
    page = FPDF(unit=points, format=sheet.size)  # its unit is a pixel of the sheet
    page.set_title(title)
    page.set_creator(f"nca {__version__}")
    page.set_auto_page_break(False)
    page.add_page()
    for box, pixels in rasters(sheet):
        page.image(Image.fromarray(pixels), *box[:2], *box.size)
    _pdf_shapes(page, sheet)
    for face in _characters(sheet):
        page.add_font(_name(face), fname=file_of(face))
    page.set_text_shaping(False)
    for label, x, y, size, ink in sheet.texts:
        page.set_text_color(ink)
        for piece in pieces(label, x, y, size):
            page.set_font(_name(piece.face), size=piece.size * points)
            page.text(piece.x, piece.y, piece.text)
    return bytes(page.output())


def _pdf_shapes(page: FPDF, sheet: Sheet) -> None:
    from PIL.ImageColor import getrgb

    page.set_line_width(1)
    page.set_draw_color(*getrgb(EDGE))
    page.set_fill_color(*getrgb(BLANK))
    for box in sheet.blanks:
        page.rect(*box[:2], *box.size, "DF")
        page.line(box.left, box.bottom, box.right, box.top)
    for box, colour, thick in outlines(sheet):
        page.set_draw_color(colour)
        page.set_line_width(thick)
        left, top, right, bottom = _middle(box, thick)
        page.rect(left, top, right - left, bottom - top)
    page.set_fill_color(RULE)
    for box in sheet.rules:
        page.rect(*box[:2], *box.size, "F")
