"""A sheet as pixels."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from nca_cli.figures.grid.placed import RULE, Box, Sheet
from nca_cli.figures.grid.table import WHOLE
from nca_cli.figures.type import text
from nca_cli.images import subsampled

if TYPE_CHECKING:
    from PIL import Image

BLANK, EDGE = "#f6f6f6", "#cdcdcd"


def paint(sheet: Sheet) -> Image.Image:
    """The sheet as an RGB picture on white."""
    from PIL import Image, ImageDraw

    width, height = sheet.size
    page = np.full((height, width, 3), 255, np.uint8)
    for (left, top, right, bottom), pixels in rasters(sheet):
        page[top:bottom, left:right] = pixels
    image = Image.fromarray(page)
    canvas = ImageDraw.Draw(image)
    for box in sheet.blanks:  # grey, framed, crossed out once
        left, top, right, bottom = box.drawn
        canvas.rectangle(box.drawn, BLANK, EDGE)
        canvas.line((left, bottom, right, top), EDGE)
    for box, colour, thick in outlines(sheet):
        canvas.rectangle(box.drawn, None, colour, thick)
    for box in sheet.rules:
        canvas.rectangle(box.drawn, RULE)
    for label, x, y, size, ink in sheet.texts:
        text.draw(canvas, (x, y), label, size, ink)
    return image


def rasters(sheet: Sheet) -> Iterator[tuple[Box, np.ndarray]]:
    """Pictures and colour bars, each with its uint8 (height, width, 3) and where they lie."""
    for picture in sheet.pictures:
        if picture.cell.pixels is not None:
            shown = noisy if picture.cell.kind == "x_t" else resized
            yield picture.box, shown(picture.cell.pixels, picture.box.size)
    for colours, box in sheet.ramps:
        across = np.linspace(0, len(colours) - 1, box.size[0]).round().astype(int)
        yield box, np.repeat(colours[None, across], box.size[1], axis=0)


def outlines(sheet: Sheet) -> Iterator[tuple[Box, str, int]]:
    """Frames of zooms, (box, colour, thickness): in colour, and a white line around in x0."""
    thick = max(1, round(0.014 * sheet.cell))
    for picture in sheet.pictures:
        left, top, (width, height) = *picture.box[:2], picture.box.size
        for frame in picture.cell.frames:
            box = Box(
                left + round(frame.left * width), top + round(frame.top * height),
                left + round(frame.right * width), top + round(frame.bottom * height),
            )  # fmt: skip
            if frame[:4] != WHOLE:
                yield _grown(box, 1, picture.box), "#ffffff", thick + 2
            yield box, frame.colour, thick


def _grown(box: Box, by: int, limit: Box) -> Box:
    return Box(
        max(box.left - by, limit.left), max(box.top - by, limit.top),
        min(box.right + by, limit.right), min(box.bottom + by, limit.bottom),
    )  # fmt: skip


def resized(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """uint8 (H, W, 3) at a (width, height): untouched at its own size, else antialiased."""
    from PIL import Image

    if pixels.shape[1::-1] == size:
        return pixels
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.LANCZOS))


def noisy(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """As `resized`, for x_t: made smaller, it keeps its noise, pixel by pixel."""
    smaller = any(new < old for new, old in zip(size, pixels.shape[1::-1], strict=True))
    return subsampled(pixels, size) if smaller else resized(pixels, size)
