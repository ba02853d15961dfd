"""The pictures of a page: strips of all levels side by side, as WebP, within a budget of bytes.

A strip holds one image at every level, from little noise to much: x_t, or x̂0 of one series. As it
stands it is a row of a grid, with a blank square where the series lacks a level that others have;
a slider shows one of its squares at a time. Pictures come from the uint8 previews of the artifacts,
so no tensor is read but x0.
"""

from __future__ import annotations

import hashlib
import io
import math
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import NamedTuple

import numpy as np

from nca_cli.analysis.remember import remembered
from nca_cli.devices import cores
from nca_cli.errors import NothingStored, StoreError
from nca_cli.images import to_rgb
from nca_cli.report.data.report import Report
from nca_cli.report.data.shelf_plans import (
    LONGEST_STRIP,
    Depth,
    Level,
    ShelfPlan,
    by_image,
    depth,
    levels_of,
    plans_of,
    positions,
    spread,
    with_few_levels,
)
from nca_cli.report.data.step_sheets import SHARE, StepSheet, resized, step_sheets
from nca_cli.store import Artifact, Key, Store

VERSION = 3
"""Rises when the same samples give other pictures."""
MOST_SEEDS = 4
"""To choose from in a page."""
PROBES = 3
"""Shelves that are encoded to learn how large the others will be."""
MARGIN = 1.06
"""What is estimated may come out larger."""
MARKUP_BYTES = 1500
"""Of HTML around a strip."""
INLINE = 4 / 3
"""Base64."""


class Setting(NamedTuple):
    """Sides in pixels at most, and WebP qualities, of x0 and x̂0 and of x_t.

    Noise hardly compresses, so x_t is the first to be made smaller.
    """

    side: int
    quality: int
    noise_side: int
    noise_quality: int


LADDER = (
    Setting(512, 88, 512, 80),
    Setting(256, 85, 256, 70),
    Setting(256, 85, 192, 60),
    Setting(256, 80, 128, 65),
    Setting(256, 65, 128, 45),
    Setting(192, 65, 96, 50),
    Setting(128, 60, 64, 50),
)
"""From fine to coarse; the first that fits the budget is used."""


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


@dataclass(frozen=True)
class Gallery:
    """The pictures of a page."""

    shelves: tuple[Shelf, ...] = ()
    notes: tuple[str, ...] = ()
    """What is left out or made smaller, in sentences."""
    folder: str | None = None
    """Where the files lie, relative to the page; None: inlined."""
    sheets: tuple[StepSheet, ...] = ()
    """Of trainings."""
    other_seeds: tuple[Shelf, ...] = ()
    """The same images at other seeds, each with the x0 of its shelf, as far as there is room."""

    @property
    def files(self) -> dict[str, bytes]:
        """Name → content of each picture."""
        shelves = (*self.shelves, *self.other_seeds)
        strips = {name_of(strip): strip.content for shelf in shelves for strip in shelf.strips}
        return strips | {name_of(sheet): sheet.content for sheet in self.sheets}


def name_of(strip: Filmstrip | StepSheet) -> str:
    """A file name that depends on the pixels alone, so that no name of a user gets into a path."""
    return f"{hashlib.sha256(strip.content).hexdigest()[:16]}.webp"


def gallery(store: Store, report: Report, budget: float = math.inf) -> Gallery:
    """The pictures of a report in at most `budget` bytes of a page.

    The finest setting that fits is taken; where none does, a sample of the images, and of the
    levels where an image alone is too much. What cannot be read is left out. Encoding takes most
    of a page's time, so the pictures of a page with a budget are kept in the store for the next
    page of the same samples (`analysis.remember`). Sheets of trainings are few and small, and drawn
    each time.
    """
    sheets = step_sheets(store, report, SHARE * budget / INLINE)
    drawn = _strips(store, report, budget - sum(INLINE * len(sheet.content) for sheet in sheets))
    return replace(drawn, sheets=sheets)


def _strips(store: Store, report: Report, budget: float) -> Gallery:
    room = _steady(budget)
    if math.isinf(room):
        return _drawn(store, report, room)
    held = [(artifact, (image, model, sampler)) for image, model, sampler, artifact in report.held]
    return remembered(
        store, report.request.filters, held, "pictures", Gallery,
        lambda: _drawn(store, report, room), [VERSION, room],
    )  # fmt: skip


def _steady(budget: float) -> float:
    """A budget of two significant digits, so that a page of slightly other text has the same."""
    if not 0 < budget < math.inf:
        return budget
    step = 10 ** max(0, math.floor(math.log10(budget)) - 1)
    return budget // step * step


def _drawn(store: Store, report: Report, budget: float) -> Gallery:
    plans = list(plans_of(store, report))
    if not plans or budget <= 0:
        notes = ["The page has no room for pictures: raise --max-mb, or use --assets."]
        return Gallery(notes=tuple(notes) if plans else ())
    plans, short = with_few_levels(plans)
    setting, each = _setting(plans, budget)
    most = len(plans) if each * len(plans) <= budget else int(budget / each)
    chosen = [plans[index] for index in spread(len(plans), most)]
    if not chosen:
        share = budget / each * len(positions(plans[0].levels))
        chosen, fewer = with_few_levels(plans[:1], max(1, int(share)))
        short = short or fewer
    shelves = _fitting(_encoded(chosen, setting), budget)
    others, left_out = _other_seeds(store, report, shelves, setting, budget)
    notes = [*_notes(shelves, plans, setting, short), *_notes_of_seeds(left_out)]
    return Gallery(tuple(shelves), tuple(notes), other_seeds=tuple(others))


def _other_seeds(
    store: Store, report: Report, shelves: Sequence[Shelf], setting: Setting, budget: float
) -> tuple[list[Shelf], list[int]]:
    """The images that are drawn, at further seeds while there is room; and the seeds left out.

    They make no picture of the first seed smaller. Each seed is drawn for all images or for none.
    """
    held = {(shelf.image, shelf.models): shelf for shelf in shelves}
    first = {shelf.seed for shelf in shelves}
    others = [seed for seed in report.seeds if seed not in first]
    budget -= sum(map(_cost, shelves))
    most = max(0, MOST_SEEDS - len(first))
    found: list[Shelf] = []
    for place, seed in enumerate(others[:most]):
        plans = [plan for plan in plans_of(store, report, seed) if plan.name in held]
        plans, short = with_few_levels(plans)
        share = sum(_cost_of_noisy(held[plan.name]) for plan in plans)
        drawn = [] if short or share > budget else _encoded(plans, setting)
        budget -= sum(map(_cost_of_noisy, drawn))
        if budget < 0 or not drawn:
            return found, others[place:]
        found += [replace(one, x0=held[one.image, one.models].x0) for one in drawn]
    return found, others[most:]


def _cost_of_noisy(shelf: Shelf) -> float:
    """Bytes in a page, without x0."""
    return sum(len(strip.content) * INLINE + MARKUP_BYTES for strip in shelf.noisy)


def _notes_of_seeds(left_out: Sequence[int]) -> Iterator[str]:
    if left_out:
        names = ", ".join(map(str, left_out[:MOST_SEEDS]))
        more = ", …" if len(left_out) > MOST_SEEDS else ""
        seeds = "seed" if len(left_out) == 1 else "seeds"
        yield f"Not drawn, but in the numbers: {seeds} {names}{more} (--seed chooses)."


def _setting(plans: Sequence[ShelfPlan], budget: float) -> tuple[Setting, float]:
    """The first setting in which all plans fit, or the last; and the bytes of a shelf in it.

    Every step of the ladder costs less than the one before, so few of them are tried.
    """
    probes = [plans[index] for index in spread(len(plans), PROBES)]

    @cache
    def each(setting: Setting) -> float:
        shelves = _encoded(probes, setting)
        return MARGIN * sum(map(_cost, shelves)) / max(1, len(shelves)) or 1.0

    fits = bisect_left(LADDER[:-1], True, key=lambda one: each(one) * len(plans) <= budget)
    return LADDER[fits], each(LADDER[fits])


def _cost(shelf: Shelf) -> float:
    """Bytes in a page."""
    return shelf.bytes * INLINE + MARKUP_BYTES * len(shelf.strips)


def _fitting(shelves: Sequence[Shelf], budget: float) -> list[Shelf]:
    """As many of the shelves as fit, from the first."""
    total, kept = 0.0, []
    for shelf in shelves:
        total += _cost(shelf)
        if total <= budget:
            kept.append(shelf)
    return kept


def _notes(
    shelves: Sequence[Shelf], plans: Sequence[ShelfPlan], setting: Setting, short: bool
) -> Iterator[str]:
    images, every = ({item.image for item in items} for items in (shelves, plans))
    if len(images) < len(every):
        yield (
            f"A sample of {len(images)} of {len(every)} images is drawn, "
            "to keep the page within --max-mb; the numbers are of all."
        )
    if short:
        yield "A sample of the levels is drawn; the numbers are of all."
    largest = max((max(shelf.resolution) for shelf in shelves), default=0)
    if largest > setting.side:
        yield f"Pictures are drawn at {setting.side} of {largest} pixels."
    if largest > setting.noise_side:
        yield (f"x_t is drawn at {setting.noise_side} of {largest} pixels: single pixels, no "
               "averages, which would hide noise.")  # fmt: skip


def _encoded(plans: Sequence[ShelfPlan], setting: Setting) -> list[Shelf]:
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
