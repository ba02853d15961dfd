"""A layout as pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nca_cli.grid import text
from nca_cli.grid.layout import Box, Layout

if TYPE_CHECKING:
    from PIL import Image, ImageDraw

BLANK, EDGE = (246, 246, 246), (205, 205, 205)


def paint(layout: Layout) -> Image.Image:
    """The sheet as an RGB picture on white."""
    from PIL import Image, ImageDraw

    width, height = layout.size
    sheet = np.full((height, width, 3), 255, np.uint8)
    for picture in layout.pictures:
        if picture.cell.pixels is not None:
            left, top, right, bottom = picture.box
            sheet[top:bottom, left:right] = resized(picture.cell.pixels, layout.cell)
    image = Image.fromarray(sheet)
    canvas = ImageDraw.Draw(image)
    for picture in layout.pictures:
        if picture.cell.pixels is None:
            _blank(canvas, picture.box)
    for label, x, y, size, ink, _ in layout.texts:
        text.draw(canvas, (x, y), label, size, ink)
    return image


def resized(pixels: np.ndarray, size: int) -> np.ndarray:
    """uint8 (H, W, 3) as (size, size, 3): untouched at its own size, else antialiased."""
    from PIL import Image

    if pixels.shape[:2] == (size, size):
        return pixels
    return np.asarray(Image.fromarray(pixels).resize((size, size), Image.Resampling.LANCZOS))


def _blank(canvas: ImageDraw.ImageDraw, box: Box) -> None:
    """A sample that is not stored: grey, framed, crossed out once."""
    left, top, right, bottom = box[0], box[1], box[2] - 1, box[3] - 1
    canvas.rectangle((left, top, right, bottom), BLANK, EDGE)
    canvas.line((left, bottom, right, top), EDGE)
