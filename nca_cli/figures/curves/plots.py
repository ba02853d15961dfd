"""From a store to panels: what is drawn, who is in the legend, and what the axes span."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from nca_cli.analysis import REFERENCE, Curve, Reference, Value, curves
from nca_cli.analysis.references import references as fit_gaussians
from nca_cli.analysis.values import made_by_networks
from nca_cli.commands import fills, next_step
from nca_cli.errors import LIST_HINT, NothingStored, UsageError
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
from nca_cli.figures.curves.sides import advice, sides_of
from nca_cli.figures.curves.sides import per_pixel as per_pixel_of
from nca_cli.figures.curves.style import PAGE, Page, need_matplotlib
from nca_cli.figures.curves.titles import fitted, reference_title, scale_of
from nca_cli.figures.type.fonts import drawable as printable
from nca_cli.metrics import described, measure_store
from nca_cli.metrics.registry import family
from nca_cli.outputs import Outputs
from nca_cli.store import Filters, Store, unmet
from nca_cli.store.gaps import gaps_of
from nca_cli.store.select import lacking

METRICS = ("psnr", "ssim")
MARGIN = 0.05
"""Room around what is drawn, as a share of it: matplotlib's own."""


def plot_curves(
    store: Store, filters: Filters = Filters(), measures: Iterable[str] | None = None, *,  # noqa: B008
    references: bool = False, per_pixel: bool = False, page: Page = PAGE, title: str | None = None,
    tick: Callable[[int], None] = lambda count: None,
) -> Plot:  # fmt: skip
    """Curves of what is stored: means over images with 95 % intervals, over logSNR.

    A panel for each of `measures` (by default PSNR and SSIM); all octave bands of one share a
    panel, and `coherence/2` is one of them alone. What is not kept of them is measured first, and
    `tick` is told of each sample. `references` adds x_t itself, the autoencoder's floor, and the
    Gaussians that were fitted. `per_pixel` draws over logSNR per pixel at 256 px, on which models
    of several resolutions compare.

    Raises `NothingStored` and `UsageError`, and `NcaError` without matplotlib.
    """
    need_matplotlib()
    names = list(dict.fromkeys(measures or METRICS))
    measured = ("copy", "floor") if references else ()
    families = dict.fromkeys(_measured(name) for name in names)
    values = measure_store(store, filters, families, tick=tick, references=measured)
    rows, gaussians = fit_gaussians(store, filters) if references else ([], [])
    every = [*values, *(row for row in rows if family(row.measure) in families)]
    sides = sides_of(store, filters)
    every = per_pixel_of(every, sides) if per_pixel else every
    drawn = tuple(curve for curve in curves(_asked(every, names))
                  if drawable(curve) or _floor(curve) is not None)  # fmt: skip
    if not drawn:
        raise nothing_drawn(store, filters, "no values at known noise levels")
    entries = legend(drawn, gaussians)
    panels = _panels(dict.fromkeys(curve.measure for curve in drawn), names, entries)
    note = " ".join(filter(None, (uneven(values), advice(sides, per_pixel))))
    return Plot(drawn, tuple(entries), panels, page, title, note, Outputs(store), sides, per_pixel)


def _measured(name: str) -> str:
    """What is measured for a name: all bands for one of them."""
    known = described(name)
    return family(name) if known and known.bands else name


def _asked(values: Iterable[Value], names: Sequence[str]) -> list[Value]:
    """Without bands that were not asked for. Raises `UsageError` for one that there is not."""
    values = list(values)
    bands, there = [name for name in names if name != _measured(name)], {v.measure for v in values}
    for band in bands:
        if values and band not in there:
            known = ", ".join(name for name in sorted(there) if family(name) == family(band))
            raise UsageError(f"there is no {band} at this resolution", f"available: {known}")
    some = {*map(family, bands)} - {*names}
    return [each for each in values if family(each.measure) not in some or each.measure in names]


def nothing_drawn(store: Store, filters: Filters, why: str) -> NothingStored:
    """What is said where nothing of a store can be drawn, with the line that computes what was
    asked for."""
    made = [each for each in store.select(filters) if not each.is_noise]
    what, lines = lacking(made, filters), fills(store, gaps_of(made, filters))
    if what and lines:
        return NothingStored(what, next_step(lines))
    said = unmet(store, filters, "no reconstruction") if what or not made else ""
    return NothingStored(said or f"{store.root} holds {why}", LIST_HINT, store.named)


def uneven(values: Iterable[Value]) -> str:
    """What keeps means from being compared: other images, levels or seeds; nothing if none does."""
    images: dict[tuple[str, str], dict[float, set[str]]] = {}
    seeds: dict[tuple[str, str], set[tuple]] = {}
    for image, model, sampler, t, seed in made_by_networks(values).samples:
        images.setdefault((model, sampler), {}).setdefault(t, set()).add(image)
        seeds.setdefault((model, sampler), set()).add((image, t, seed))
    if _differ(some for levels in images.values() for some in levels.values()):
        return "The means cover different images, which alone can make them differ (see --image)."
    if _differ(map(set, images.values())):
        return "Series have different noise levels: compare curves only where both have points."
    return "Series have different seeds of their images." if _differ(seeds.values()) else ""


def _differ(sets: Iterable[set]) -> bool:
    return len(set(map(frozenset, sets))) > 1


def _floor(curve: Curve) -> float | None:
    """What an autoencoder alone reaches, drawn as a horizontal line; None for all other curves."""
    known = (p.mean for p in curve.points if math.isfinite(p.mean))
    return next(known, None) if curve.sampler == f"{REFERENCE}floor" else None


def legend(drawn: Sequence[Curve], references: Sequence[Reference]) -> list[Trace]:
    """An entry for each (model, sampler); references are grey, and one where models share it."""
    groups: dict[tuple[str, str], dict[str, Curve]] = {}
    for curve in drawn:
        groups.setdefault((curve.model, curve.sampler), {})[curve.measure] = curve
    shared = _shared(groups)
    own = [key for key in groups if not key[1].startswith(REFERENCE)]
    looks = dict(zip(own, series_looks(own), strict=True))
    kept = [key for key in groups if key in looks or key in shared]
    for number, key in enumerate(key for key in kept if key not in looks):
        looks[key] = Look(Stroke.REFERENCE, number)
    several = len({model for model, _ in groups}) > 1
    return [
        Trace(index, _name(key, references, shared.get(key, key[0] if several else "")),
              looks[key], groups[key], key not in own)
        for index, key in enumerate(kept)
    ]  # fmt: skip


def _shared(groups: Mapping[tuple[str, str], dict[str, Curve]]) -> dict[tuple[str, str], str]:
    """The first of each group of references that are the same curve → the models whose it is;
    nothing where it is that of all."""
    same: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for key, found in groups.items():
        if key[1].startswith(REFERENCE):
            points = [(name, p.t, f"{p.log_snr:.6g}", f"{p.mean:.6g}")
                      for name, curve in found.items() for p in curve.points]  # fmt: skip
            same.setdefault((key[1], str(sorted(map(str, points)))), []).append(key)
    kinds = [sampler for sampler, _ in same]
    return {keys[0]: ", ".join(model for model, _ in keys) if kinds.count(sampler) > 1 else ""
            for (sampler, _), keys in same.items()}  # fmt: skip


def _name(key: tuple[str, str], references: Sequence[Reference], models: str) -> str:
    model, sampler = key
    shown = printable(sampler)
    if sampler.startswith(REFERENCE):
        shown = reference_title(sampler, fitted(references, model, sampler))
    return f"{models} · {shown}" if models else shown


def _panels(
    measures: Iterable[str], names: Sequence[str], entries: Sequence[Trace]
) -> tuple[Panel, ...]:
    """A panel for each measure, and one for all bands of a metric; those of one unit share y."""
    gathered: dict[str, list[str]] = {}
    for measure in measures:
        known = described(measure)
        together = known is not None and known.bands and family(measure) in names
        gathered.setdefault(family(measure) if together else measure, []).append(measure)
    panels = [_panel(name, some, entries) for name, some in gathered.items()]
    scales: dict[object, list[AxisRange]] = {}
    for panel in panels:
        scales.setdefault(scale_of(panel.measure), []).append(panel.y)
    return tuple(replace(each, y=_joined(scales[scale_of(each.measure)])) for each in panels)


def _joined(ranges: Sequence[AxisRange]) -> AxisRange:
    return AxisRange(min(each.low for each in ranges), max(each.high for each in ranges))


def _panel(name: str, measures: Sequence[str], entries: Sequence[Trace]) -> Panel:
    """On paper the values of nothing are cut, and x is that of all panels."""
    levels = shown_levels(every_point(entries)) or [0.0]
    x = widened(levels[0], levels[-1], MARGIN, least=1.0)
    wanted = {*measures}
    drawn = tuple(entry.within(x) for entry in entries if wanted & entry.curves.keys())
    floors = [(entry, _floor(entry.curves[measure])) for entry in drawn for measure in measures
              if measure in entry.curves]  # fmt: skip
    rules = tuple(Rule(entry.name, at, entry.index) for entry, at in floors if at is not None)
    bands = tuple(measures) if name not in measures else ()
    spans = [_whole(measure, drawn, rules) for measure in measures]
    few = areas(entries) and (not bands or sum(not entry.reference for entry in entries) == 1)
    return Panel(name, drawn, x, _joined(spans), few, rules, bands)


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
