"""A report as one HTML file that asks nothing of any network."""

from __future__ import annotations

import base64
import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from operator import attrgetter
from pathlib import Path
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup

import nca_cli
from nca_cli import commands
from nca_cli.analysis import REFERENCE, Curve, Point, stage
from nca_cli.report import concepts, curves, experiments, findings, scrub, words
from nca_cli.report.content import Report, Series, selection
from nca_cli.report.pictures import Gallery, Shelf, Strip, name_of

HOME = Path(__file__).parent
MOST_HEADLINES = 3
MOST_ROWS = 5000
"""Samples that are listed one by one; a page of more is slow to open."""
MOST_MEASURES = 6
"""Columns of the tables of numbers; every measure has a table behind its curve."""
FIRST_IMAGES = 6
"""Shown at once; the others wait behind a click."""


def render(report: Report, gallery: Gallery = Gallery()) -> str:  # noqa: B008
    """The page. Every text from a store is escaped by the template."""
    entries = curves.entries(report)
    charts = curves.charts(report, entries)
    derived = _derived(report, entries)
    known = concepts.section(report, entries)
    tried = experiments.charts(report, entries)
    every = [*charts, *derived, *tried, *(known.charts if known else ())]
    strips = [(shelf, strip) for shelf in gallery.shelves for strip in shelf.strips]
    script = (HOME / "report.js").read_text("utf-8")
    numbers = {id(strip): number for number, (_, strip) in enumerate(strips)}
    return _template(report, gallery, numbers).render(
        report=report,
        version=nca_cli.__version__,
        style=Markup((HOME / "report.css").read_text("utf-8")),
        script=Markup(script),
        policy=_policy(script, gallery),
        title=words.title(report),
        lead=report.findings or words.headlines(report)[:MOST_HEADLINES],
        beside=words.headlines(report)[:MOST_HEADLINES] if report.findings else [],
        facts=_facts(report),
        data=_data(report, gallery, strips, every),
        images=_image_pages(report, gallery),
        first_images=FIRST_IMAGES,
        anchors={name: f"image-{number}" for number, name in enumerate(report.image_names)},
        common_t=all(chart.t_ticks for chart in charts),
        levels=scrub.levels(gallery),
        start=scrub.middle(scrub.levels(gallery)),
        ranking=scrub.ranking(report),
        unmeasured=report.unmeasured,
        most_ranked=scrub.MOST_RANKED,
        gallery=gallery,
        columns=_columns(gallery),
        squares=max((strip.squares for _, strip in strips), default=1),
        row_length=scrub.row_length,
        entries=entries,
        groups=curves.groups(charts),
        derived=derived,
        fitted=findings.fitted_notes(report.analysis),
        experiments=tried,
        falling=experiments.falling(report),
        experiments_legend=experiments.legend(tried),
        concepts=known,
        chart_number={chart.measure: number for number, chart in enumerate(every)},
        halves=findings.half_chart(report, entries),
        geometry=curves,
        measures=headline_measures(report),
        tables=[_table(series, headline_measures(report)) for series in report.series],
        selection=selection(report.filters),
        command=commands.report(report.store, selection(report.filters), report.options),
    )


def _columns(gallery: Gallery) -> int:
    """Pictures beside one another, of the image that has most."""
    found: dict[str, int] = {}
    for shelf in gallery.shelves:
        found[shelf.image] = found.get(shelf.image, 0) + shelf.columns
    return max(found.values(), default=1)


def headline_measures(report: Report) -> list[str]:
    """The measures of one value that have any, in the order in which they were taken; a few."""
    return [name for name in report.measures
            if not words.part(name) and name not in report.unmeasured][:MOST_MEASURES]  # fmt: skip


def _template(report: Report, gallery: Gallery, numbers: dict[int, int]) -> Template:
    environment = _environment()
    environment.filters |= {
        "uri": lambda strip: _uri(strip, gallery.folder),
        "alt": lambda strip, shelf: scrub.alt_of(report, shelf, strip),
        "number_in_page": lambda strip: numbers[id(strip)],
    }
    return environment.get_template("report.html.j2")


@cache
def _environment() -> Environment:
    """Made once: a page is rendered twice, without pictures to learn how much room they have."""
    environment = Environment(
        loader=FileSystemLoader(HOME), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    for name in ("number", "scientific", "snr", "with_symbols"):
        environment.filters[name] = getattr(words, name)
    environment.filters |= {
        "measured": _measured, "pretty": _pretty, "uri": None, "alt": None, "number_in_page": None
    }  # fmt: skip
    environment.tests["nan"] = math.isnan
    environment.globals["words"] = words
    return environment


def _measured(value: float, name: str) -> str:
    return words.measured(name, value)


def _pretty(value: object) -> str:
    return json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False)


def _uri(strip: Strip, folder: str | None) -> str:
    """The picture itself, or where it lies."""
    if folder is None:
        return f"data:image/webp;base64,{base64.b64encode(strip.content).decode()}"
    return "/".join(quote(part) for part in (*Path(folder).parts, name_of(strip)))


def _policy(script: str, gallery: Gallery) -> str:
    """Nothing may be loaded but what is in the page, and no script run but its own."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    files = "" if gallery.folder is None else " 'self' file:"
    return (f"default-src 'none'; img-src data:{files}; style-src 'unsafe-inline'; "
            f"script-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'")  # fmt: skip


def _data(
    report: Report, gallery: Gallery, strips: Sequence[tuple[Shelf, Strip]],
    charts: Sequence[curves.Chart],
) -> dict:  # fmt: skip
    """What the script needs, by number."""
    return {
        **scrub.described(report, gallery, strips),
        "charts": [{"title": words.full_title(chart.measure), **chart.reading} for chart in charts],
    }


def _facts(report: Report) -> list[str]:
    """How much there is, in a line."""
    values = {v[:5] for v in report.values if not v.sampler.startswith(REFERENCE)}
    samplers = len({series.sampler for series in report.series})
    return [
        words.count(len(report.image_names), "image"),
        words.count(len(report.models), "model"),
        words.count(samplers, "sampler"),
        words.count(len(report.levels), "noise level"),
        words.count(len(report.seeds), "seed"),
        words.count(len(values), "sample"),
    ]


def _derived(report: Report, entries: Sequence[curves.Entry]) -> list[curves.Chart]:
    """Charts of what was derived from measures: the excess over a Gaussian."""
    found: dict[str, dict[tuple[str, str], Curve]] = {}
    for curve in findings.excess_curves(report.analysis):
        found.setdefault(curve.measure, {})[curve.model, curve.sampler] = curve
    charts = []
    for measure, by_series in found.items():
        drawn = [
            curves.Entry(entry.index, entry.name, entry.style, {measure: by_series[key]})
            for entry, key in zip(
                entries, [(s.model, s.sampler) for s in report.series], strict=False
            )
            if key in by_series
        ]  # fmt: skip
        charts.append(curves.chart(report, measure, drawn, curves.log_snr_scale(entries)))
    return charts


# --- tables -------------------------------------------------------------------------------------


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
        """Coarse, content or clean-up; nothing where the SNR is not known."""
        snr = words.snr(self.any.log_snr)
        return "" if math.isnan(snr) else stage(snr)


@dataclass(frozen=True)
class Table:
    """The levels of a series."""

    series: Series
    rows: tuple[Row, ...]

    @property
    def count(self) -> str:
        """`3 images, 4 samples` where that holds of every level, else nothing."""
        counts = {(row.any.images, row.any.n) for row in self.rows}
        if len(counts) != 1:
            return ""
        images, n = counts.pop()
        what = words.count(images, "image")
        return what if n == images else f"{what}, {words.count(n, 'sample')}"


def _table(series: Series, measures: Sequence[str]) -> Table:
    levels: dict[float, dict[str, Point]] = {}
    for name in measures:
        for point in series.curve(name).points if series.has(name) else ():
            levels.setdefault(point.t, {})[name] = point
    return Table(series, tuple(Row(points) for _, points in sorted(levels.items())))


# --- images -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Sample:
    """A row of the table of an image."""

    series: str
    t: float
    seed: int
    values: dict[str, float]


@dataclass(frozen=True)
class ImagePage:
    """An image: its pictures, if they are drawn, and its numbers."""

    name: str
    anchor: str
    shelves: tuple[Shelf, ...]
    samples: tuple[Sample, ...]
    """Empty where a page cannot list them all."""


def _image_pages(report: Report, gallery: Gallery) -> list[ImagePage]:
    """A page for each image; those with pictures first."""
    samples = _samples(report)
    shelves: dict[str, list[Shelf]] = {}
    for shelf in gallery.shelves:
        shelves.setdefault(shelf.image, []).append(shelf)
    pages = [
        ImagePage(
            name, f"image-{number}", tuple(shelves.get(name, ())), tuple(samples.get(name, ()))
        )
        for number, name in enumerate(report.image_names)
    ]  # fmt: skip
    return sorted(pages, key=lambda page: not page.shelves)


def _samples(report: Report) -> dict[str, list[Sample]]:
    """Image → its samples, with the measures of the tables; nothing where they are too many."""
    wanted = set(headline_measures(report))
    rows: dict[tuple[str, str, int | float, int], dict[str, float]] = {}
    names = {(series.model, series.sampler): series.name for series in report.series}
    for value in report.values:
        if value.measure in wanted and value[1:3] in names:
            key = value.image, names[value[1:3]], value.t, value.seed
            rows.setdefault(key, {})[value.measure] = value.value
    if len(rows) > MOST_ROWS:
        return {}
    found: dict[str, list[Sample]] = {}
    for (image, series, t, seed), measured in rows.items():
        found.setdefault(image, []).append(Sample(series, t, seed, measured))
    return found
