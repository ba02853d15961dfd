"""What networks gain over Gaussian denoisers: charts, and what the Gaussians know."""

from __future__ import annotations

import math
from collections.abc import Sequence

from nca_cli.analysis import Analysis, Curve, Excess, Point
from nca_cli.analysis.references import GAUSSIANS
from nca_cli.figures.curves.panel import Trace
from nca_cli.figures.curves.svg import Chart
from nca_cli.figures.curves.titles import EXCESS, reference_kind, reference_title
from nca_cli.report.data import Report
from nca_cli.report.page.charts import charted, log_snr_span

WHAT_IS_FITTED = {
    "gaussian": "the mean and the covariance of the other {others} images, which know {known:,} of "
    "{dimensions:,} directions",
    "wiener": "the mean image and the power spectrum of the other {others} images; nothing of how "
    "frequencies go together",
}


def fitted_notes(analysis: Analysis) -> list[str]:
    """What each Gaussian knows that networks are compared with: a sentence for those alike."""
    known = [each for each in analysis.references if each.dimensions]
    sentences = (
        f"The {reference_title(kind)} has {WHAT_IS_FITTED[kind]}.".format(
            others=each.n - 1, known=each.known, dimensions=each.dimensions
        )
        for each in known for kind in [reference_kind(each.name)]
    )  # fmt: skip
    return list(dict.fromkeys(sentences))


def excess_curves(analysis: Analysis) -> list[Curve]:
    """The gain over the Gaussians that were fitted, as curves of the derived measure."""
    groups: dict[tuple[str, str, str], list[Excess]] = {}
    for each in analysis.excess:
        if math.isfinite(each.gain.value) and reference_kind(each.reference) in GAUSSIANS:
            groups.setdefault((each.model, each.sampler, each.reference), []).append(each)
    return [
        Curve(model, sampler, f"{EXCESS}/{reference_kind(reference)}",
              tuple(Point.of(each.t, each.log_snr, each.gain) for each in some))
        for (model, sampler, reference), some in groups.items()
    ]  # fmt: skip


def gain_charts(report: Report, entries: Sequence[Trace]) -> list[Chart]:
    """Charts of what was derived from measures: the excess over a Gaussian."""
    found: dict[str, dict[tuple[str, str], Curve]] = {}
    for curve in excess_curves(report.analysis):
        found.setdefault(curve.measure, {})[curve.model, curve.sampler] = curve
    charts = []
    for measure, by_series in found.items():
        drawn = [
            Trace(entry.index, entry.name, entry.look, {measure: by_series[key]})
            for entry, key in zip(
                entries, [(s.model, s.sampler) for s in report.series], strict=False
            )
            if key in by_series
        ]  # fmt: skip
        charts.append(charted(report, measure, drawn, log_snr_span(entries)))
    return charts
