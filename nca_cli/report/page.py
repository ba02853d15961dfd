"""A report as one HTML file that asks nothing of any network."""

from __future__ import annotations

import base64
import json
import math
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup

import nca_cli
from nca_cli.analysis import Point, stage
from nca_cli.metrics import MEASURES
from nca_cli.report import curves, words
from nca_cli.report.content import Report, Series, selection

HOME = Path(__file__).parent
MOST_HEADLINES = 3
MOST_ROWS = 5000
"""Samples that are listed one by one; a page of more is slow to open."""


def render(report: Report) -> str:
    """The page. Every text from a store is escaped by the template."""
    names = [series.name for series in report.series]
    return _template().render(
        report=report,
        version=nca_cli.__version__,
        style=Markup((HOME / "report.css").read_text("utf-8")),
        title=words.title(report),
        headlines=words.headlines(report),
        alt=words.alt_text(report),
        caption=words.caption(report) if report.picture else "",
        picture=report.picture and base64.b64encode(report.picture.content).decode(),
        charts=curves.charts(report),
        geometry=curves,
        styles=dict(zip(names, curves.styles(report.series), strict=True)),
        measures={name: MEASURES[name] for name in report.measures},
        tables=[_table(series) for series in report.series],
        samples=_samples(report),
        most_headlines=MOST_HEADLINES,
        most_rows=MOST_ROWS,
        selection=selection(report.filters),
    )


def _template() -> Template:
    environment = Environment(
        loader=FileSystemLoader(HOME), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters["measured"] = _measured
    environment.filters["number"] = words.number
    environment.filters["pretty"] = _pretty
    environment.filters["scientific"] = words.scientific
    environment.filters["snr"] = words.snr
    environment.tests["nan"] = math.isnan
    return environment.get_template("report.html.j2")


def _measured(value: float, name: str) -> str:
    return words.measured(name, value)


def _pretty(value: object) -> str:
    return json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False)


@dataclass(frozen=True)
class Row:
    """A level in the table of a series: the point of each measure."""

    points: dict[str, Point]

    @property
    def any(self) -> Point:
        """Of the measure that most samples have."""
        return max(self.points.values(), key=attrgetter("n"))

    @property
    def stage(self) -> str:
        """Coarse, content or clean-up."""
        return stage(words.snr(self.any.log_snr))


@dataclass(frozen=True)
class Table:
    """The levels of a series."""

    series: Series
    rows: tuple[Row, ...]

    @property
    def count(self) -> str:
        """`3 images, 4 samples` where that holds of every level, else nothing."""
        counts = {(row.any.images, row.any.n) for row in self.rows}
        if len(counts) > 1:
            return ""
        images, n = counts.pop()
        what = words.count(images, "image")
        return what if n == images else f"{what}, {words.count(n, 'sample')}"


def _table(series: Series) -> Table:
    levels = zip(*(curve.points for curve in series.curves), strict=True)
    names = [curve.measure for curve in series.curves]
    return Table(series, tuple(Row(dict(zip(names, level, strict=True))) for level in levels))


def _samples(report: Report) -> dict[str, dict[tuple, dict[str, float]]]:
    """Series → (image, t, seed) → measure → value."""
    found: dict[str, dict[tuple, dict[str, float]]] = {series.name: {} for series in report.series}
    names = {(series.model, series.sampler): series.name for series in report.series}
    for value in report.values:
        rows = found[names[value.model, value.sampler]]
        rows.setdefault((value.image, value.t, value.seed), {})[value.measure] = value.value
    return found
