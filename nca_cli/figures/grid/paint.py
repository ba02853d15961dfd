"""A sheet as pixels."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

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
    for (left, top, right, bottom), pixels, _ in rasters(sheet):
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


class Raster(NamedTuple):
    """Pixels, uint8 (height, width, 3), and the box that they fill."""

    box: Box
    pixels: np.ndarray
    smooth: bool
    """Whether they are smoothed where they are enlarged."""


def rasters(sheet: Sheet, *, enlarge: bool = True, reduce: bool = True) -> Iterator[Raster]:
    """Pictures and colour bars, as many pixels as their boxes have.

    Without `enlarge` smaller pictures keep their own, without `reduce` larger ones. x_t is never
    smoothed: what makes it noise is that each pixel differs from its neighbours.
    """
    for picture in sheet.pictures:
        pixels, (box, noise) = picture.cell.pixels, (picture.box, picture.cell.kind == "x_t")
        if pixels is not None:
            smooth = not (noise or sheet.pixelated)
            smaller = any(new < old for new, old in zip(box.size, pixels.shape[1::-1], strict=True))
            if reduce if smaller else enlarge:
                pixels = _fitted(pixels, box.size, smaller and noise, smooth or smaller)
            yield Raster(box, pixels, smooth)
    for colours, box in sheet.ramps:
        across = np.linspace(0, len(colours) - 1, box.size[0]).round().astype(int)
        yield Raster(box, np.repeat(colours[None, across], box.size[1], axis=0), True)


def _fitted(pixels: np.ndarray, size: tuple[int, int], single: bool, smooth: bool) -> np.ndarray:
    """At a (width, height): by `single` pixels, evenly apart, as `subsampled`; else as `resized`,
    or each pixel a rectangle."""
    if single:
        return subsampled(pixels, size)
    return resized(pixels, size) if smooth else enlarged(pixels, size)


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


def enlarged(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """uint8 (H, W, 3) at a larger (width, height), each pixel as a rectangle of its colour."""
    across, down = (np.arange(new) * old // new
                    for new, old in zip(size, pixels.shape[1::-1], strict=True))  # fmt: skip
    return pixels[down[:, None], across[None]]
