"""What networks gain over Gaussian denoisers: charts, and what the Gaussians know."""

from __future__ import annotations

import math
from collections.abc import Sequence

from nca_cli.analysis import Analysis, Curve, Point
from nca_cli.analysis.references import GAUSSIANS
from nca_cli.figures.curves.panel import Trace
from nca_cli.figures.curves.svg import Chart
from nca_cli.figures.curves.titles import EXCESS, reference_kind, reference_title
from nca_cli.report.data import Report
from nca_cli.report.page.charts import charted, log_snr_span, of_series

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


def gain_charts(report: Report, entries: Sequence[Trace]) -> list[Chart]:
    """Charts of the gain over each Gaussian that was fitted."""
    found: dict[str, dict[tuple[str, str], list[Point]]] = {}
    for each in report.analysis.excess:
        kind = reference_kind(each.reference)
        if math.isfinite(each.gain.value) and kind in GAUSSIANS:
            lines = found.setdefault(f"{EXCESS}/{kind}", {})
            points = lines.setdefault((each.model, each.sampler), [])
            points.append(Point.of(each.t, each.log_snr, each.gain))
    charts = []
    for measure, lines in found.items():
        curves = {key: Curve(*key, measure, tuple(points)) for key, points in lines.items()}
        drawn = of_series(report, entries, measure, curves)
        charts.append(charted(report, measure, drawn, log_snr_span(entries)))
    return charts
