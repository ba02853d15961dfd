"""A sheet as SVG or PDF: texts stay texts, with the fonts inside; pictures are rasters.

Both follow the sheet to the pixel, as `paint` does. In the file, fonts are cut down to the
characters that occur. A picture is embedded without loss, with the pixels that are stored: however
large it is drawn, it takes no more of the file. Where a resolution was asked for (`capped`), larger
pictures have the pixels of the sheet.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape, quoteattr

from nca_cli import __version__
from nca_cli.figures.grid.paint import BLANK, EDGE, Raster, outlines, rasters
from nca_cli.figures.grid.placed import RULE, Box, Sheet, Text
from nca_cli.figures.grid.request import MM_PER_INCH, POINTS_PER_INCH
from nca_cli.figures.grid.save import encoded
from nca_cli.figures.type.fonts import FILES, file_of, hush, subset
from nca_cli.figures.type.text import pieces

if TYPE_CHECKING:
    from fpdf import FPDF
    from fpdf.output import OutputProducer

FALLBACK = {
    "text": "'Source Sans 3','Source Sans Pro',sans-serif",
    "bold": "'Source Sans 3','Source Sans Pro',sans-serif",
    "math": "'Source Serif 4','Source Serif Pro',serif",
}
SHARP = ".sharp{image-rendering:pixelated}"
"""Of pictures that are not smoothed."""
SMOOTH, INTERPOLATE = "smooth", "interpolate"
"""The same of a PDF: a key of ours in what fpdf2 keeps of a picture, and PDF's name for it, which
fpdf2 writes as it writes each attribute."""
LETTERS = "direction:ltr;unicode-bidi:bidi-override"
"""Of right-to-left writing too, letters stand in the order in which they are drawn."""


def svg(sheet: Sheet, width_mm: float, title: str, capped: bool = False) -> bytes:
    """One SVG, `width_mm` wide. Browsers take its own fonts, editors the installed ones."""
    width, height = sheet.size
    height_mm = width_mm * height / width
    parts = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width_mm:.4g}mm" '
        f'height="{height_mm:.4f}mm" viewBox="0 0 {width} {height}" role="img">',
        f"<title>{escape(title)}</title>",
        f"<style>{_faces(sheet)}text{{white-space:pre;{LETTERS}}}{SHARP}</style>",
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
        *(_svg_picture(each) for each in rasters(sheet, enlarge=False, reduce=capped)),
        *_svg_shapes(sheet),
        *(_svg_text(each) for each in sheet.texts),
        "</svg>",
    ]
    return "\n".join(parts).encode()


def _svg_picture(raster: Raster) -> str:
    from PIL import Image

    box = raster.box
    png = _data("image/png", encoded(Image.fromarray(raster.pixels), "PNG", compress_level=6))
    place = f'x="{box.left}" y="{box.top}" width="{box.size[0]}" height="{box.size[1]}"'
    look = "" if raster.smooth else 'class="sharp" '
    return f'<image {look}{place} preserveAspectRatio="none" href="{png}"/>'


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


def pdf(sheet: Sheet, width_mm: float, title: str, capped: bool = False) -> bytes:
    """One page, `width_mm` wide, whose text can be selected and searched."""
    from fpdf import FPDF

    hush()
    points = width_mm / MM_PER_INCH * POINTS_PER_INCH / sheet.size[0]
    page = FPDF(unit=points, format=sheet.size)  # its unit is a pixel of the sheet
    page.set_title(title)
    page.set_creator(f"nca {__version__}")
    page.set_auto_page_break(False)
    page.add_page()
    for each in rasters(sheet, enlarge=False, reduce=capped):
        _pdf_picture(page, each)
    _pdf_shapes(page, sheet)
    for face in _characters(sheet):
        page.add_font(_name(face), fname=file_of(face))
    page.set_text_shaping(False)
    for label, x, y, size, ink in sheet.texts:
        page.set_text_color(ink)
        for piece in pieces(label, x, y, size):
            page.set_font(_name(piece.face), size=piece.size * points)
            page.text(piece.x, piece.y, piece.text)
    return bytes(page.output(output_producer_class=_smoothing()))


def _pdf_picture(page: FPDF, raster: Raster) -> None:
    from PIL import Image

    (left, top, *_), size = raster.box, raster.box.size
    page.image(Image.fromarray(raster.pixels), left, top, *size)[SMOOTH] = raster.smooth


def _smoothing() -> type[OutputProducer]:
    """Writes PDF files in which pictures say whether they are smoothed: fpdf2 knows no word for
    it, and without one some viewers smooth what is enlarged and others do not."""
    from fpdf.output import OutputProducer, PDFXObject

    class Smoothing(OutputProducer):
        def _add_image(self, info: dict[str, Any]) -> PDFXObject:
            picture = super()._add_image(info)
            setattr(picture, INTERPOLATE, bool(info.get(SMOOTH)))
            return picture

    return Smoothing


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
