"""A report as one HTML file that asks nothing of any network."""

from __future__ import annotations

import base64
import json
import math
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

import nca_cli
from nca_cli.analysis import stage
from nca_cli.metrics import MEASURES
from nca_cli.report import curves, words
from nca_cli.report.content import Report, Series, selection

HOME = Path(__file__).parent
MOST_ROWS = 5000
"""Samples that are listed one by one; a page of more is slow to open."""


def render(report: Report) -> str:
    """The page. Every text from a store is escaped by the template."""
    environment = Environment(
        loader=FileSystemLoader(HOME), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters |= {"measured": _measured, "scientific": words.scientific,
                            "number": words.number, "snr": words.snr, "pretty": _pretty}  # fmt: skip
    environment.tests["nan"] = math.isnan
    return environment.get_template("report.html.j2").render(
        report=report,
        version=nca_cli.__version__,
        style=Markup((HOME / "report.css").read_text("utf-8")),
        title=words.title(report),
        headlines=words.headlines(report),
        alt=words.alt_text(report),
        picture=report.picture and base64.b64encode(report.picture.content).decode(),
        charts=curves.charts(report),
        geometry=curves,
        styles=dict(zip((s.name for s in report.series), curves.styles(report.series), strict=True)),
        measures={name: MEASURES[name] for name in report.measures},
        tables=[(series, rows, _count(rows)) for series in report.series for rows in [_table(series)]],
        samples=_samples(report),
        most_rows=MOST_ROWS,
        selection=selection(report.filters),
    )


def _measured(value: float, name: str) -> str:
    return words.measured(name, value)


def _pretty(value: object) -> str:
    return json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False)


def _table(series: Series) -> list[dict]:
    """A row per level: the point of each measure, and the level's stage."""
    rows = zip(*(curve.points for curve in series.curves), strict=True)
    return [
        {
            "t": points[0].t,
            "log_snr": points[0].log_snr,
            "stage": stage(words.snr(points[0].log_snr)),
            "points": {c.measure: p for c, p in zip(series.curves, points, strict=True)},
            "images": max(point.images for point in points),
            "n": max(point.n for point in points),
        }
        for points in rows
    ]


def _count(rows: list[dict]) -> str:
    """`3 images, 4 samples` where that holds of every level, else nothing."""
    counts = {(row["images"], row["n"]) for row in rows}
    if len(counts) > 1:
        return ""
    images, n = counts.pop()
    what = words.count(images, "image")
    return what if n == images else f"{what}, {words.count(n, 'sample')}"


def _samples(report: Report) -> dict[str, dict[tuple, dict[str, float]]]:
    """Series → (image, t, seed) → measure → value."""
    found: dict[str, dict[tuple, dict[str, float]]] = {series.name: {} for series in report.series}
    names = {(series.model, series.sampler): series.name for series in report.series}
    for value in report.values:
        rows = found[names[value.model, value.sampler]]
        rows.setdefault((value.image, value.t, value.seed), {})[value.measure] = value.value
    return found
