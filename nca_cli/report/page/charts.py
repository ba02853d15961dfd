"""The curves of a report as panels and charts: what the legend names, and a chart per measure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from nca_cli.analysis import Curve, Point
from nca_cli.analysis.references import GAUSSIANS, reference_name
from nca_cli.figures.curves import titles
from nca_cli.figures.curves.panel import (
    ALWAYS,
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
    value_span,
    widened,
)
from nca_cli.figures.curves.svg import Chart, chart, log_snr_scale
from nca_cli.figures.curves.titles import known_metric, measured, number, scientific, snr
from nca_cli.report.data import Report, Series
from nca_cli.report.page.resolution import shift


@dataclass(frozen=True)
class ReferenceCurves:
    """A baseline without a network, once for all models for which its numbers are the same."""

    sampler: str
    models: tuple[str, ...]
    """Empty names stand for all."""
    curves: dict[str, Curve]

    def belongs_to(self, series: Series) -> bool:
        """Whether it is of this model and, where it is a chain or one step, of this sampler."""
        kind = titles.reference_kind(self.sampler)
        same = kind not in GAUSSIANS or self.sampler == reference_name(kind, series.sampler)
        return same and (self.models == ("",) or series.model in self.models)


def entries(report: Report) -> list[Trace]:
    """The series of a report, then its references."""
    looks = series_looks([(one.model, one.sampler) for one in report.series])
    found = [
        Trace(index, one.name, look, {curve.measure: curve for curve in one.curves})
        for index, (one, look) in enumerate(zip(report.series, looks, strict=True))
    ]
    for place, each in enumerate(_references(report)):
        look, name = Look(Stroke.REFERENCE, place), _reference_title(report, each)
        found.append(Trace(len(report.series) + place, name, look, each.curves, reference=True))
    return found


def owners(report: Report) -> dict[str, list[int]]:
    """What is switched with series → these: references by their entry, floors by their model."""
    found = {
        str(len(report.series) + place): [
            number for number, one in enumerate(report.series) if each.belongs_to(one)
        ]
        for place, each in enumerate(_references(report))
    }
    for place, model in enumerate(report.models):
        mine = [number for number, one in enumerate(report.series) if one.model == model.name]
        found[f"floor-{place}"] = mine
    return {name: series for name, series in found.items() if series}


def _references(report: Report) -> list[ReferenceCurves]:
    """One of several models is one where their numbers agree."""
    groups: dict[tuple[str, str], dict[str, Curve]] = {}
    for curve in report.references:
        if drawable(curve):  # an autoencoder's floor has no level, and is a line of its own
            groups.setdefault((curve.sampler, curve.model), {})[curve.measure] = curve
    merged: list[tuple[str, list[str], dict[str, Curve]]] = []
    for (sampler, model), curves in groups.items():
        same = next((m for m in merged if m[0] == sampler and _agree(m[2], curves)), None)
        if same is None:
            merged.append((sampler, [model], curves))
        else:
            same[1].append(model)
            same[2].update({name: _joined(same[2].get(name), c) for name, c in curves.items()})
    return [ReferenceCurves(sampler, tuple(models), curves) for sampler, models, curves in merged]


def _reference_title(report: Report, each: ReferenceCurves) -> str:
    known = titles.fitted(report.analysis.references, each.models[0], each.sampler)
    title = titles.reference_title(each.sampler, known)
    of_all = each.models == ("",) or len(each.models) == len(report.models)
    return title if of_all else f"{', '.join(each.models)} · {title}"


def _agree(some: dict[str, Curve], others: dict[str, Curve]) -> bool:
    """Whether the same pictures were measured: all numbers are equal where both have one."""
    pairs: list[tuple[Point, Point]] = []
    for name in some.keys() & others.keys():
        at = {point.log_snr: point for point in drawable(some[name])}
        pairs += [(at[p.log_snr], p) for p in drawable(others[name]) if p.log_snr in at]
    return bool(pairs) and all((a.mean, a.n) == (b.mean, b.n) for a, b in pairs)


def _joined(one: Curve | None, other: Curve) -> Curve:
    """The points of both."""
    points = {p.log_snr: p for curve in (other, one) if curve for p in drawable(curve)}
    return replace(one or other, points=tuple(sorted(points.values(), key=lambda p: p.t)))


def charts(report: Report, drawn: Sequence[Trace]) -> list[Chart]:
    """A chart per measure that has any finite value at a finite logSNR."""
    x = log_snr_span(drawn)
    shown = [name for name in report.metrics if any(e.points(name) for e in drawn)]
    return [charted(report, name, [e for e in drawn if e.points(name)], x) for name in shown]


def groups(drawn: Sequence[Chart]) -> dict[str, list[Chart]]:
    """The charts of single metrics under "", then those of each family (`kept/0`, `kept/1`, …)."""
    found: dict[str, list[Chart]] = {"": []}
    for each in drawn:
        name = titles.family(each.measure) if titles.part(each.measure) else ""
        found.setdefault(name, []).append(each)
    return {name: some for name, some in found.items() if some}


def charted(report: Report, measure: str, drawn: Sequence[Trace], x: AxisRange) -> Chart:
    """A metric of a report, with what its autoencoders alone reach."""
    rules = tuple(Rule(model.name, model.floor[measure]) for model in report.models
                  if math.isfinite(model.floor.get(measure, math.nan)))  # fmt: skip
    drawn = [entry.within(x) for entry in drawn]
    drawn = [entry for entry in drawn if entry.points(measure)]
    y = value_span(measure, drawn, [rule.value for rule in rules])
    return chart(Panel(measure, tuple(drawn), x, y, areas(drawn), rules))


def of_series(
    report: Report, entries: Sequence[Trace], measure: str,
    lines: Mapping[tuple[str, str], Sequence[Point]],
) -> list[Trace]:  # fmt: skip
    """Derived points by (model, sampler), each line in the look of its series."""
    keys = [(one.model, one.sampler) for one in report.series]
    return [replace(entry, curves={measure: Curve(*key, measure, tuple(lines[key]))})
            for entry, key in zip(entries, keys, strict=False) if key in lines]  # fmt: skip


def log_snr_span(drawn: Sequence[Trace]) -> AxisRange:
    """All levels with a little room."""
    found = shown_levels(every_point(drawn)) or [0.0]
    return widened(found[0], found[-1], 0.04)


def beyond(drawn: Sequence[Trace]) -> str:
    """Which level the axes leave out, in a sentence, or nothing."""
    points, shown = every_point(drawn), set(shown_levels(every_point(drawn)))
    left = {point.log_snr: point.t for point in points if point.log_snr not in shown}
    said = [f"t = {t:g} (log SNR {number(log_snr, 1)})" for log_snr, t in left.items()]
    return f"{said[0]} lies outside the axes; its numbers are in the tables." if said else ""


def reading(report: Report, drawn: Chart) -> dict[str, object]:
    """What the cursor of a chart says at each level, for the script of the page."""
    panel, x = drawn.panel, log_snr_scale(drawn.panel.x)
    texts = [[point and said(panel.measure, point) for point in row.points] for row in panel.rows]
    series = [{"entry": entry.index, "name": entry.name, "reference": entry.reference,
               "shift": shift(report, entry),
               "text": [row[place] for row in texts],
               "value": [_numbers(row.points[place]) for row in panel.rows]}
              for place, entry in enumerate(panel.entries)]  # fmt: skip
    labels = [f"t = {row.t}, SNR {scientific(snr(row.log_snr))}" for row in panel.rows]
    return {"title": titles.full_title(panel.measure), "x": [x(row.log_snr) for row in panel.rows],
            "t": [row.t for row in panel.rows], "logSnr": [row.log_snr for row in panel.rows],
            "span": [panel.x.high, panel.x.low], "labels": labels, "series": series,
            "range": _range(report, panel)}  # fmt: skip


def _range(report: Report, panel: Panel) -> dict[str, object]:
    """What `value_span` makes a range of, for the range of fewer series."""
    bounds = [each if math.isfinite(each) else None for each in known_metric(panel.measure).bounds]
    floors = [(rule.value, [number for number, one in enumerate(report.series)
                            if one.model == rule.name]) for rule in panel.rules]  # fmt: skip
    return {"y": [panel.y.low, panel.y.high], "x": [panel.x.high, panel.x.low],
            "bounds": bounds, "floors": floors,
            "always": ALWAYS.get(titles.family(panel.measure), ())}  # fmt: skip


def said(measure: str, point: Point) -> str:
    """`24.13 dB [23.80, 24.40]`."""
    both = ", ".join(measured(measure, end) for end in ends(point))
    parts = measured(measure, point.mean), known_metric(measure).unit, both and f"[{both}]"
    return " ".join(filter(None, parts))


def _numbers(point: Point | None) -> list[float | None] | None:
    """Mean and both ends, as JSON has them, for tables that are saved from the page."""
    if point is None:
        return None
    return [each if math.isfinite(each) else None for each in (point.mean, point.low, point.high)]
