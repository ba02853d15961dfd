"""The pictures of a page, as fine as its budget of bytes allows."""

from __future__ import annotations

import hashlib
import math
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache

from nca_cli.analysis.remember import remembered
from nca_cli.report.data.report import Report
from nca_cli.report.data.shelf_plans import (
    ShelfPlan,
    plans_of,
    positions,
    spread,
    with_few_levels,
)
from nca_cli.report.data.step_sheets import SHARE, StepSheet, step_sheets
from nca_cli.report.data.strips import Filmstrip, Setting, Shelf, encoded
from nca_cli.store import Store

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
    shelves = _fitting(encoded(chosen, setting), budget)
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
        drawn = [] if short or share > budget else encoded(plans, setting)
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
        yield f"Not shown, but in the numbers: {seeds} {names}{more} (choose with --seed)."


def _setting(plans: Sequence[ShelfPlan], budget: float) -> tuple[Setting, float]:
    """The first setting in which all plans fit, or the last; and the bytes of a shelf in it.

    Every step costs less than the one before: the finest is tried, then few of the others.
    """
    probes = [plans[index] for index in spread(len(plans), PROBES)]

    @cache
    def each(setting: Setting) -> float:
        shelves = encoded(probes, setting)
        return MARGIN * sum(map(_cost, shelves)) / max(1, len(shelves)) or 1.0

    def fits(setting: Setting) -> bool:
        return each(setting) * len(plans) <= budget

    first = 0 if fits(LADDER[0]) else bisect_left(LADDER[:-1], True, lo=1, key=fits)
    return LADDER[first], each(LADDER[first])


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
            f"A sample of {len(images)} of {len(every)} images is shown, "
            "to keep the page within --max-mb; numbers are from all of them."
        )
    if short:
        yield "Pictures show a sample of the levels; numbers are from all of them."
    largest = max((max(shelf.resolution) for shelf in shelves), default=0)
    if largest > setting.side:
        yield f"Pictures are reduced from {largest} to {setting.side} pixels."
    if largest > setting.noise_side:
        yield (f"x_t is reduced from {largest} to {setting.noise_side} pixels by picking single "
               "pixels: averaging would weaken the noise.")  # fmt: skip
