"""Strips of all levels side by side, as WebP: what the pictures of a page are made of.

A strip holds one image at every level, from little noise to much: x_t, or x̂0 of one series. As it
stands it is a row of a grid, with a blank square where the series lacks a level that others have;
a slider shows one of its squares at a time. Pictures come from the uint8 previews of the artifacts,
so no tensor is read but x0.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np

from nca_cli.devices import cores
from nca_cli.errors import NothingStored, StoreError
from nca_cli.images import to_rgb
from nca_cli.report.data.shelf_plans import (
    LONGEST_STRIP,
    Depth,
    Level,
    ShelfPlan,
    by_image,
    depth,
    levels_of,
    positions,
)
from nca_cli.report.data.step_sheets import resized
from nca_cli.store import Artifact, Key


class Setting(NamedTuple):
    """Sides in pixels at most, and WebP qualities, of x0 and x̂0 and of x_t.

    Noise hardly compresses, so x_t is the first to be made smaller.
    """

    side: int
    quality: int
    noise_side: int
    noise_quality: int


@dataclass(frozen=True)
class Filmstrip:
    """One image at several levels, from the highest logSNR to the lowest, as one picture."""

    content: bytes
    size: tuple[int, int]
    """Width and height of one square of it."""
    levels: tuple[Level, ...]
    places: tuple[int, ...] = (0,)
    """The square of each level."""
    squares: int = 1
    """As many as the image has levels in any strip, so that strips align; some may be blank."""
    series: int | None = None
    """Index in the report; None for x_t."""


@dataclass(frozen=True)
class Shelf:
    """An image as some models of one space see it: x0, x_t of one seed, and x̂0 of each series."""

    image: str
    models: tuple[str, ...]
    seed: int
    resolution: tuple[int, int]
    """Width and height of what is stored; the pictures may be smaller."""
    x0: Filmstrip
    x_t: Filmstrip | None
    x0_hats: tuple[Filmstrip, ...]

    @property
    def strips(self) -> list[Filmstrip]:
        """All that are drawn."""
        return [self.x0, *self.noisy]

    @property
    def noisy(self) -> list[Filmstrip]:
        """Those that depend on the seed: x_t and x̂0."""
        return [strip for strip in (self.x_t, *self.x0_hats) if strip]

    @property
    def columns(self) -> int:
        """Beside one another: what was given, and each x̂0."""
        return 1 + len(self.x0_hats)

    @property
    def bytes(self) -> int:
        """Of its pictures as files."""
        return sum(len(strip.content) for strip in self.strips)


def encoded(plans: Sequence[ShelfPlan], setting: Setting) -> list[Shelf]:
    """Shelves in the order of the plans, a thread per core; what is damaged is left out."""
    grids = {image: _grid(levels) for image, levels in by_image(plans).items()}
    with ThreadPoolExecutor(cores()) as pool:
        shelves = pool.map(lambda plan: _shelf(plan, setting, grids[plan.image]), plans)
        return [shelf for shelf in shelves if shelf]


def _grid(levels: Sequence[Level]) -> dict[Depth, int]:
    """The square of each level of an image, in all its strips."""
    return {depth(each): place for place, some in enumerate(positions(levels)) for each in some}


def _shelf(plan: ShelfPlan, setting: Setting, grid: dict[Depth, int]) -> Shelf | None:
    """Nothing where a file is damaged or gone."""
    fine = partial(_strip, grid, side=setting.side, quality=setting.quality)
    coarse = partial(
        _strip, grid, side=setting.noise_side, quality=setting.noise_quality, noise=True
    )
    try:
        x0 = to_rgb(plan.noise.fixed("x0"))
        x_t = coarse(*_pictures(plan.noise, plan.noise_keys)) if plan.noise_keys else None
        hats = tuple(fine(*_pictures(artifact, keys), series=number)
                     for number, artifact, keys in plan.series)  # fmt: skip
    except (StoreError, NothingStored):
        return None
    height, width = x0.shape[:2]
    given = fine([x0], [])
    return Shelf(plan.image, plan.models, plan.seed, (width, height), given, x_t, hats)


def _pictures(artifact: Artifact, keys: Sequence[Key]) -> tuple[np.ndarray, list[Level]]:
    """uint8 (N, H, W, 3) and (t, logSNR) of each."""
    return artifact.read("preview", keys), levels_of(artifact, keys)


def _strip(
    grid: dict[Depth, int], pixels: Sequence[np.ndarray] | np.ndarray,
    levels: Sequence[Level], *, side: int, quality: int, noise: bool = False,
    series: int | None = None,
) -> Filmstrip:  # fmt: skip
    """Pictures in their squares of a grid; one without a level is alone."""
    from PIL import Image

    places = tuple(grid[depth(level)] for level in levels) or (0,)
    squares = len(set(grid.values())) if levels else 1
    height, width = pixels[0].shape[:2]
    scale = min(1.0, min(side, LONGEST_STRIP // squares) / max(width, height))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    mode = "RGB" if len(set(places)) == squares else "RGBA"
    sheet = Image.new(mode, (size[0] * squares, size[1]))
    for place, picture in zip(places, pixels, strict=True):
        sheet.paste(resized(picture, size, noise), (place * size[0], 0))
    file = io.BytesIO()
    sheet.save(file, "WEBP", quality=quality, method=2)
    return Filmstrip(file.getvalue(), size, tuple(levels), places, squares, series)
