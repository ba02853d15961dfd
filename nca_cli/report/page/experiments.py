"""Charts of derived metrics: what networks gain over Gaussian denoisers, and P2's experiments.

The experiments: pairs that share an image and pairs that do not (Choi et al., 2204.00227, Fig. 2),
the share of x̂0 that x_t still decides, and where content is lost beside the weights of training.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

from nca_cli.analysis import Analysis, Curve, Estimate, PairCurve, Point, WeightShare
from nca_cli.analysis.pairs import NOISY
from nca_cli.analysis.references import GAUSSIANS
from nca_cli.analysis.variance import FEWEST
from nca_cli.figures.curves.panel import COLOUR_COUNT, Look, Stroke, Trace
from nca_cli.figures.curves.svg import Chart
from nca_cli.figures.curves.titles import EXCESS, reference_kind, reference_title
from nca_cli.report.data import Report
from nca_cli.report.data.words import isolated, listed
from nca_cli.report.page.charts import charted, log_snr_span, of_series

SHARED, UNSHARED = "same image", "different images"
CLOSED = "closed form"
WEIGHTS = (("plain training", "plain", 0), ("P2 weights", "epsilon", 1))
NOISY_PAIRS, PAIRS, DECIDED, CONTENT = "pairs/xₜ", "pairs/x̂₀", "decided", "content"
WHAT_IS_FITTED = {
    "gaussian": "the mean and covariance of the other {others} images, which span {known:,} of "
    "{dimensions:,} directions",
    "wiener": "the mean image and power spectrum of the other {others} images, but no "
    "correlations between frequencies",
}


def fitted_notes(analysis: Analysis) -> list[str]:
    """What each Gaussian knows that networks are compared with: a sentence for those alike."""
    known = [each for each in analysis.references if each.dimensions]
    sentences = (
                f"The {reference_title(kind)} knows {WHAT_IS_FITTED[kind]}.".format(
            others=each.n - 1, known=each.known, dimensions=each.dimensions
        )
        for each in known for kind in [reference_kind(each.name)]
    )  # fmt: skip
    return list(dict.fromkeys(sentences))


def gain_charts(report: Report, entries: Sequence[Trace]) -> list[Chart]:
    """Charts of the gain over each Gaussian that was fitted."""
    found: dict[str, dict[tuple[str, str], list[Point]]] = {}
    for each in report.analysis.excess:
        kind = reference_kind(each.reference)
        if math.isfinite(each.gain.value) and kind in GAUSSIANS:
            lines = found.setdefault(f"{EXCESS}/{kind}", {})
            points = lines.setdefault((each.model, each.sampler), [])
            points.append(Point.of(each.t, each.log_snr, each.gain))
    span = log_snr_span(entries)
    return [charted(report, name, of_series(report, entries, name, lines), span)
            for name, lines in found.items()]  # fmt: skip


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
        False: "rises with noise beyond its intervals, which no exact denoiser does",
        True: "falls with noise within its intervals, as theory predicts",
        None: f"is not checked (needs {FEWEST} images with two seeds at two levels)",
    }
    parts = [f"{words[falls]}: {listed(names)}" for falls, names in said.items() if names]
    return f"The variance of x̂0 between images {'; it '.join(parts)}." if parts else ""


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
        look = Look(Stroke.SERIES, marker=marker, hollow=one)
        yield _entry(free, f"x_t, {pairs}{of_model}", look, NOISY_PAIRS, curve, kind)
        closed = Look(Stroke.CLOSED_FORM)
        exact = _entry(free, CLOSED, closed, NOISY_PAIRS, curve, f"{kind}_exact")
        yield replace(exact, reference=True)


def _reconstructed(analysis: Analysis, report: Report, series: Sequence[Trace]) -> list[Trace]:
    """Two lines per series: full markers for different images, hollow ones for one image."""
    found = {(curve.model, curve.sampler): curve for curve in _pairs(analysis)}
    entries = []
    for one, entry in zip(report.series, series, strict=True):
        curve = found.get((one.model, one.sampler))
        if curve is None:
            continue
        hollow = replace(entry.look, hollow=True)
        for kind, pairs, look in (("unshared", UNSHARED, entry.look), ("shared", SHARED, hollow)):
            name = f"{entry.name}, {pairs}"
            entries.append(_entry(entry.index, name, look, PAIRS, curve, kind))
    return entries


def _entry(index: int, name: str, look: Look, measure: str, curve: PairCurve, what: str) -> Trace:
    """A line of pairs: `what` is an estimate with its interval, or a number that is exact."""
    points = []
    for each in curve.points:
        known = getattr(each, what)
        estimate = known if isinstance(known, Estimate) else Estimate(known)
        points.append(Point.of(each.t, each.log_snr, estimate))
    drawn = Curve(curve.model, curve.sampler, measure, tuple(points))
    return Trace(index, name, look, {measure: drawn})


def _decided(analysis: Analysis, report: Report, series: Sequence[Trace]) -> list[Trace]:
    lines = {
        (curve.model, curve.sampler): [
            Point.of(each.t, each.log_snr, each.share) for each in curve.points
        ]
        for curve in analysis.variances
    }
    return of_series(report, series, DECIDED, lines)


def _content(analysis: Analysis, report: Report, series: Sequence[Trace], free: int) -> list[Trace]:
    """Shares of an interval between two levels stand at its middle, over its width in logSNR."""
    shares: dict[tuple[str, str], list[WeightShare]] = {}
    for share in analysis.weights:
        shares.setdefault((share.model, share.sampler), []).append(share)
    lines = {key: [_between(each, each.content) for each in some] for key, some in shares.items()}
    found = of_series(report, series, CONTENT, lines)
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
