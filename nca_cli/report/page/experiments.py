"""P2's experiments in the page, as charts of derived measures.

Pairs that share an image and pairs that do not (Choi et al., 2204.00227, Fig. 2), the share of x̂0
that x_t still decides, and where content is lost beside the weights of training.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

from nca_cli.analysis import Analysis, Curve, Estimate, PairCurve, Point, WeightShare
from nca_cli.analysis.pairs import NOISY
from nca_cli.analysis.variance import FEWEST
from nca_cli.figures.curves.looks import COLOUR_COUNT, Look, Stroke
from nca_cli.figures.curves.panel import Trace
from nca_cli.figures.curves.svg import Chart
from nca_cli.report.data import Report
from nca_cli.report.data.words import isolated, listed
from nca_cli.report.page.charts import charted, log_snr_span, of_series

SHARED, UNSHARED = "one image", "different images"
CLOSED = "closed form"
WEIGHTS = (("plain training", "plain", 0), ("P2 weights", "epsilon", 1))
NOISY_PAIRS, PAIRS, DECIDED, CONTENT = "pairs/xₜ", "pairs/x̂₀", "decided", "content"


def charts(report: Report, entries: Sequence[Trace]) -> list[Chart]:
    """The charts for which there are numbers; lines of a series are switched with the series."""
    analysis = report.analysis
    series = [entry for entry in entries if not entry.reference]
    free = len(entries)
    drawn = {
        NOISY_PAIRS: _noisy(analysis, free),
        PAIRS: _reconstructed(analysis, report, series),
        DECIDED: _decided(analysis, report, series),
        CONTENT: _content(analysis, report, series, free),
    }
    known = {name: [entry for entry in some if entry.points(name)] for name, some in drawn.items()}
    return [
        charted(report, name, some, log_snr_span(entries))
        for name, some in known.items()
        if any(not entry.reference for entry in some)
    ]


def legend(drawn: Sequence[Chart]) -> dict[str, Look]:
    """Names of the lines that are of no series, and how they look; what looks alike is one."""
    looks: dict[Look, dict[str, str]] = {}
    for entry in (line.entry for each in drawn for line in each.lines):
        if entry.look.colour is None:
            model = next(curve.model for curve in entry.curves.values())
            looks.setdefault(entry.look, {})[entry.name] = entry.name.removesuffix(f" ({model})")
    return {
        plain if len(names) > 1 else name: look
        for look, names in looks.items()
        for name, plain in names.items()
    }


def falling(report: Report) -> str:
    """Whether the variance between images falls with noise in every series, as theory says."""
    said: dict[bool | None, list[str]] = {False: [], True: [], None: []}
    for curve in report.analysis.variances:
        if any(math.isfinite(point.between.value) for point in curve.points):
            said[curve.falls].append(isolated(f"{curve.model} · {curve.sampler}"))
    words = {
        False: "rises with noise, beyond its intervals, which that of no exact denoiser does",
        True: "falls with noise, as theory says, up to its intervals",
        None: f"is not checked (that takes {FEWEST} images with two seeds at two levels)",
    }
    parts = [f"{words[falls]}: {listed(names)}" for falls, names in said.items() if names]
    return f"The variance of x̂0 between images {'; it '.join(parts)}." if parts else ""


# --- pairs --------------------------------------------------------------------------------------


def _pairs(analysis: Analysis) -> list[PairCurve]:
    return [curve for curve in analysis.pairs if curve.distance == "l2"]


def _noisy(analysis: Analysis, free: int) -> list[Trace]:
    """Of x_t: what was measured, and its closed form; once for models that see the same x_t."""
    seen: dict[tuple, PairCurve] = {}
    for curve in _pairs(analysis):
        if curve.sampler == NOISY:
            seen.setdefault(tuple((p.log_snr, p.unshared.value) for p in curve.points), curve)
    return [
        entry
        for number, curve in enumerate(seen.values())
        for entry in _of_noise(curve, free, number % COLOUR_COUNT, len(seen) > 1)
    ]


def _of_noise(curve: PairCurve, free: int, marker: int, several: bool) -> Iterator[Trace]:
    of_model = f" ({curve.model})" if several else ""
    for kind, pairs in (("unshared", UNSHARED), ("shared", SHARED)):
        one = kind == "shared"
        look = Look(Stroke.ONE_IMAGE if one else Stroke.SERIES, marker=marker, hollow=one)
        measured, exact = _points(curve, kind), _points(curve, f"{kind}_exact")
        yield _entry(free, f"x_t of {pairs}{of_model}", look, NOISY_PAIRS, curve, measured)
        closed = _entry(free, CLOSED, Look(Stroke.CLOSED_FORM), NOISY_PAIRS, curve, exact)
        yield replace(closed, reference=True)


def _reconstructed(analysis: Analysis, report: Report, series: Sequence[Trace]) -> list[Trace]:
    """A solid line per series for different images, a dashed one for one image."""
    found = {(curve.model, curve.sampler): curve for curve in _pairs(analysis)}
    entries = []
    for one, entry in zip(report.series, series, strict=True):
        curve = found.get((one.model, one.sampler))
        if curve is None:
            continue
        whole = replace(entry.look, dash=0)
        dashed = replace(whole, stroke=Stroke.ONE_IMAGE, hollow=True)
        for kind, pairs, look in (("unshared", UNSHARED, whole), ("shared", SHARED, dashed)):
            name, points = f"{entry.name}, {pairs}", _points(curve, kind)
            entries.append(_entry(entry.index, name, look, PAIRS, curve, points))
    return entries


def _points(curve: PairCurve, what: str) -> list[Point]:
    """Of an estimate with its interval, or of a number that is exact."""
    points = []
    for each in curve.points:
        known = getattr(each, what)
        estimate = known if isinstance(known, Estimate) else Estimate(known)
        points.append(Point.of(each.t, each.log_snr, estimate))
    return points


# --- variance and weights -----------------------------------------------------------------------


def _decided(analysis: Analysis, report: Report, series: Sequence[Trace]) -> list[Trace]:
    curves = {
        (curve.model, curve.sampler): Curve(curve.model, curve.sampler, DECIDED, tuple(
            Point.of(each.t, each.log_snr, each.share) for each in curve.points
        ))
        for curve in analysis.variances
    }  # fmt: skip
    return of_series(report, series, DECIDED, curves)


def _content(analysis: Analysis, report: Report, series: Sequence[Trace], free: int) -> list[Trace]:
    """Shares of an interval between two levels stand at its middle, over its width in logSNR."""
    shares: dict[tuple[str, str], list[WeightShare]] = {}
    for share in analysis.weights:
        shares.setdefault((share.model, share.sampler), []).append(share)
    curves = {key: Curve(*key, CONTENT, tuple(_between(each, each.content) for each in some))
              for key, some in shares.items()}  # fmt: skip
    found = of_series(report, series, CONTENT, curves)
    first = {model: shares[model, sampler] for model, sampler in reversed(shares)}
    for model, some in first.items():
        suffix = f" ({model})" if len(first) > 1 else ""
        for name, weight, number in WEIGHTS:
            drawn = tuple(_between(each, Estimate(getattr(each, weight))) for each in some)
            curve = Curve(model, "", CONTENT, drawn)
            look = Look(Stroke.REFERENCE, number)
            found.append(Trace(free, name + suffix, look, {CONTENT: curve}, reference=True))
    return found


def _between(share: WeightShare, estimate: Estimate) -> Point:
    low, high = share.log_snr_low, share.log_snr_high
    middle, width = (low + high) / 2, high - low
    each = replace(estimate, **{
        name: getattr(estimate, name) / (width or math.nan) for name in ("value", "low", "high")
    })  # fmt: skip
    return Point.of((share.t_low + share.t_high) / 2, middle, each)


def _entry(
    index: int, name: str, look: Look, measure: str, curve: PairCurve, points: Sequence[Point]
) -> Trace:
    drawn = Curve(curve.model, curve.sampler, measure, tuple(points))
    return Trace(index, name, look, {measure: drawn})
