"""From a store to panels: what is drawn, who is in the legend, and what the axes span."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

from nca_cli.analysis import REFERENCE, Curve, Reference, Value, curves
from nca_cli.analysis.references import references as fit_gaussians
from nca_cli.errors import NothingStored
from nca_cli.figures.curves.panel import (
    AxisRange,
    Look,
    Panel,
    Rule,
    Stroke,
    Trace,
    areas,
    drawable,
    ends,
    every_point,
    series_looks,
    shown_levels,
    widened,
)
from nca_cli.figures.curves.paper import Plot
from nca_cli.figures.curves.style import PAGE, Page, need_matplotlib
from nca_cli.figures.curves.titles import fitted, reference_title
from nca_cli.figures.type.fonts import drawable as printable
from nca_cli.metrics import measure_store
from nca_cli.outputs import Outputs
from nca_cli.store import Filters, Store

METRICS = ("psnr", "ssim")
MARGIN = 0.05
"""Room around what is drawn, as a share of it: matplotlib's own."""


def plot_curves(
    store: Store, filters: Filters = Filters(), measures: Iterable[str] | None = None, *,  # noqa: B008
    references: bool = False, page: Page = PAGE, title: str | None = None,
    tick: Callable[[int], None] = lambda count: None,
) -> Plot:  # fmt: skip
    """Curves of what is stored: means over images with 95 % intervals, over logSNR.

    A panel for each of `measures` (by default PSNR and SSIM); what is not kept of them is measured
    first, and `tick` is told of each sample. `references` adds x_t itself, the autoencoder's
    floor, and the Gaussians that were fitted.

    Raises `NothingStored` and `UsageError`, and `NcaError` without matplotlib.
    """
    need_matplotlib()
    names = list(dict.fromkeys(measures or METRICS))
    measured = ("copy", "floor") if references else ()
    values = measure_store(store, filters, names, tick=tick, references=measured)
    rows, gaussians = fit_gaussians(store, filters) if references else ([], [])
    values = [*values, *(row for row in rows if row.measure in names)]
    drawn = tuple(curve for curve in curves(values)
                  if drawable(curve) or _floor(curve) is not None)  # fmt: skip
    if not drawn:
        raise NothingStored(f"{store.root} holds no values at known noise levels",
                            "see what there is: nca ls")  # fmt: skip
    entries = legend(drawn, gaussians)
    panels = (_panel(measure, entries) for measure in dict.fromkeys(c.measure for c in drawn))
    return Plot(drawn, tuple(entries), tuple(panels), page, title, uneven(values), Outputs(store))


def uneven(values: Iterable[Value]) -> str:
    """What keeps means from being compared: other images, levels or seeds; nothing if none does."""
    images: dict[tuple[str, str], dict[float, set[str]]] = {}
    seeds: dict[tuple[str, str], set[tuple]] = {}
    for value in values:
        if not value.sampler.startswith(REFERENCE):
            key = value.model, value.sampler
            images.setdefault(key, {}).setdefault(value.t, set()).add(value.image)
            seeds.setdefault(key, set()).add((value.image, value.t, value.seed))
    if _differ(some for levels in images.values() for some in levels.values()):
        return (
            "Not all means are over the same images: they differ by these, too (--image chooses)."
        )
    if _differ(map(set, images.values())):
        return "Not every series has the same levels: compare curves where both have points."
    return "Not every series has the same seeds of its images." if _differ(seeds.values()) else ""


def _differ(sets: Iterable[set]) -> bool:
    return len(set(map(frozenset, sets))) > 1


def _floor(curve: Curve) -> float | None:
    """What an autoencoder alone reaches, drawn as a horizontal line; None for all other curves."""
    known = (p.mean for p in curve.points if math.isfinite(p.mean))
    return next(known, None) if curve.sampler == f"{REFERENCE}floor" else None


def legend(drawn: Sequence[Curve], references: Sequence[Reference]) -> list[Trace]:
    """An entry for each (model, sampler); references are grey."""
    groups: dict[tuple[str, str], dict[str, Curve]] = {}
    for curve in drawn:
        groups.setdefault((curve.model, curve.sampler), {})[curve.measure] = curve
    own = [name for name in groups if not name[1].startswith(REFERENCE)]
    looks = dict(zip(own, series_looks(own), strict=True))
    for number, name in enumerate(name for name in groups if name not in looks):
        looks[name] = Look(Stroke.REFERENCE, number)
    several = len({model for model, _ in groups}) > 1
    return [
        Trace(index, _name(name, references, several), looks[name], found, name not in own)
        for index, (name, found) in enumerate(groups.items())
    ]


def _name(key: tuple[str, str], references: Sequence[Reference], several: bool) -> str:
    model, sampler = key
    shown = printable(sampler)
    if sampler.startswith(REFERENCE):
        shown = reference_title(sampler, fitted(references, model, sampler))
    return f"{model} · {shown}" if several else shown


def _panel(measure: str, entries: Sequence[Trace]) -> Panel:
    """On paper the values of nothing are cut, and x is that of all panels."""
    levels = shown_levels(every_point(entries)) or [0.0]
    x = widened(levels[0], levels[-1], MARGIN, least=1.0)
    drawn = tuple(entry.within(x) for entry in entries if measure in entry.curves)
    floors = ((entry, _floor(entry.curves[measure])) for entry in drawn)
    rules = tuple(Rule(entry.name, at, entry.index) for entry, at in floors if at is not None)
    return Panel(measure, drawn, x, _whole(measure, drawn, rules), areas(entries), rules)


def _whole(measure: str, drawn: Sequence[Trace], rules: Iterable[Rule]) -> AxisRange:
    """Of every mean, of the intervals of networks, and of rules that do not lie in their room."""
    values = [
        value
        for entry in drawn
        for point in entry.points(measure)
        for value in (point.mean, *(() if entry.reference else ends(point)))
    ]
    last = max((entry.index for entry in drawn if entry.points(measure)), default=-1)
    for rule in rules:  # matplotlib looks again at what lies in the room when a line follows
        inside = values and rule.index > last and _roomy(values).holds(rule.value)
        values += [] if inside else [rule.value]
    return _roomy(values)


def _roomy(values: Sequence[float]) -> AxisRange:
    low, high = min(values), max(values)
    if low == high:  # as matplotlib opens an axis of one value
        low, high = low - MARGIN * (abs(low) or 1.0), high + MARGIN * (abs(high) or 1.0)
    return widened(low, high, MARGIN)
