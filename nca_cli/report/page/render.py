"""A report as one HTML file that asks nothing of any network."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

import nca_cli
from nca_cli import commands
from nca_cli.analysis.values import made_by_networks
from nca_cli.figures.curves import svg, titles
from nca_cli.figures.curves.panel import Trace, ends
from nca_cli.figures.curves.svg import Chart
from nca_cli.report.data import Filmstrip, Gallery, Report, Shelf, leading, title, told
from nca_cli.report.data.pictures import name_of
from nca_cli.report.data.step_sheets import StepSheet
from nca_cli.report.data.words import count
from nca_cli.report.page import charts, concepts, experiments, learned, numbers, resolution, scrub
from nca_cli.report.page.halves import answers, half_chart
from nca_cli.report.page.orders import band_orders
from nca_cli.store.names import said_size

HOME = Path(__file__).parent
STYLES = ("halves.css", "enlarged.css", "report.css")
"""The last has the rules for paper and phones, which win."""
FIRST_IMAGES = 6
"""Shown at once; the others wait behind a click."""


def render(report: Report, gallery: Gallery = Gallery()) -> str:  # noqa: B008
    """The page. Every text from a store is escaped by the template."""
    return page_of(report)(gallery)


def page_of(report: Report) -> Callable[[Gallery], str]:
    """Gives the page with any pictures. What is the same with all of them is made once."""
    entries = charts.entries(report)
    sections = _curves(report, entries)
    axes = _axes(report, entries, sections["every"])
    told_once = _told_once(report, entries) | sections

    def page(gallery: Gallery) -> str:
        strips = [(shelf, strip) for shelf in gallery.shelves for strip in shelf.strips]
        strips += [(shelf, strip) for shelf in gallery.other_seeds for strip in shelf.noisy]
        trained = learned.views(report, gallery)
        script = _script(trained)
        return _environment().get_template("report.html.j2").render(
            told_once,
            script=Markup(script),
            policy=_policy(script, gallery),
            data={
                **scrub.described(report, gallery, strips),
                **axes,
                "learned": learned.described(trained, scrub.levels(gallery, report)),
            },
            learned=trained,
            learned_lead=learned.lead(trained) if trained else "",
            learned_notes=learned.notes(report, trained),
            **_pictures(report, gallery, strips),
        )  # fmt: skip

    return page


def _told_once(report: Report, entries: Sequence[Trace]) -> dict[str, Any]:
    """What the page says whatever pictures it has, beside its curves."""
    metrics = numbers.headline_metrics(report)
    return {
        "report": report,
        "version": nca_cli.__version__,
        "style": Markup("".join((HOME / name).read_text("utf-8") for name in STYLES)),
        "title": title(report),
        "told": told(report),
        "facts": _facts(report),
        "learned_together": learned.together(report),
        "entries": entries,
        "owners": charts.owners(report),
        "floors": {model.name: f"floor-{place}" for place, model in enumerate(report.models)},
        "resolution_note": resolution.note(report),
        "per_pixel": resolution.per_pixel(report),
        "metrics": metrics,
        "tables": [numbers.series_table(series, metrics) for series in report.series],
        "command": commands.report(
            report.store, report.request.selection, report.request.options
        ),
    }  # fmt: skip


def _script(trained: Sequence[learned.TrainingView]) -> str:
    """Of the page, with what trainings need where there are any."""
    trainings = ("learned.js",) if trained else ()
    names = ("shared.js", "level.js", "charts.js", "axes.js", *trainings, "report.js",
             "enlarged.js", "linked.js")  # fmt: skip
    return "".join((HOME / name).read_text("utf-8") for name in names)


def _axes(report: Report, entries: Sequence[Trace], every: Sequence[Chart]) -> dict[str, Any]:
    """What the script reads in charts, and moves with the series and with the axis of noise."""
    return {
        "charts": [charts.reading(report, chart) for chart in every],
        "plot": {"left": svg.LEFT, "right": svg.RIGHT, "top": svg.TOP + svg.STRIP,
                 "bottom": svg.BOTTOM, "edge": svg.TOP, "stages": resolution.stages()},
        "owners": charts.owners(report),
        "shifts": [resolution.shift(report, entry) for entry in entries],
    }  # fmt: skip


def _curves(report: Report, entries: Sequence[Trace]) -> dict[str, Any]:
    """The sections of curves, and `every` chart in the order in which the script counts them."""
    measured = charts.charts(report, entries)
    derived = experiments.gain_charts(report, entries)
    tried = experiments.charts(report, entries)
    known = concepts.section(report, entries)
    every = [*measured, *derived, *tried, *(known.charts if known else ())]
    return {
        "every": every,
        "chart_number": {chart.measure: number for number, chart in enumerate(every)},
        "groups": charts.groups(measured),
        "beyond": charts.beyond(entries),
        "common_t": all(chart.t_ticks for chart in measured),
        "derived": derived,
        "fitted": experiments.fitted_notes(report.analysis),
        "experiments": tried,
        "falling": experiments.falling(report),
        "experiments_legend": experiments.legend(tried),
        "concepts": known,
        "halves": half_chart(report, entries),
        "band_orders": band_orders(report, entries),
        "answers": answers(report, entries),
        "speakers": [entries[report.series.index(one)] for one in leading(report)],
    }


def _pictures(
    report: Report, gallery: Gallery, strips: Sequence[tuple[Shelf, Filmstrip]]
) -> dict[str, Any]:
    """The section of pictures: a page for each image, the slider, and the ranking."""
    levels = scrub.levels(gallery, report)
    pages = numbers.image_pages(report, gallery)
    places = {id(strip): number for number, (_, strip) in enumerate(strips)}
    return {
        "gallery": gallery,
        "seeds": numbers.seeds_drawn(gallery),
        "of_other_seeds": partial(numbers.of_other_seeds, gallery),
        "images": pages,
        "film": numbers.film(report, pages),
        "first_images": FIRST_IMAGES,
        "anchors": {page.name: page.anchor for page in pages},
        "levels": levels,
        "start": scrub.middle(levels),
        "ranking": scrub.ranking(report),
        "most_ranked": scrub.MOST_RANKED,
        "columns": max([1, *(page.columns for page in pages)]),
        "squares": max((strip.squares for _, strip in strips), default=1),
        "row_length": scrub.row_length,
        "uri": lambda strip: _uri(strip, gallery.folder),
        "alt": lambda strip, shelf: scrub.alt_of(report, shelf, strip),
        "number_in_page": lambda strip: places[id(strip)],
    }


@cache
def _environment() -> Environment:
    """Made once: a page is rendered twice, without pictures to learn how much room they have."""
    environment = Environment(
        loader=FileSystemLoader(HOME), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters |= {
        "number": titles.number, "scientific": titles.scientific, "snr": titles.snr,
        "measured": lambda value, name: titles.measured(name, value), "ends": ends,
        "pretty": partial(json.dumps, indent=1, sort_keys=True, ensure_ascii=False),
        "with_symbols": with_symbols, "counted": learned.counted, "step_ends": learned.step_ends,
    }  # fmt: skip
    environment.tests["nan"] = math.isnan
    environment.globals |= {"words": titles, "count": count, "geometry": svg, "size": said_size}
    return environment


_SYMBOLS = {
    "x_t": '<span class="symbol"><i>x<sub>t</sub></i></span>',
    "x̂0": '<span class="symbol"><i>x̂</i><sub>0</sub></span>',
    "x0": '<span class="symbol"><i>x</i><sub>0</sub></span>',
}
_WRITTEN = re.compile(r"(?<![\w&#;])(x_t|x̂0|x0)(?!\w)")


def with_symbols(text: str) -> Markup:
    """A sentence as HTML: escaped, then x_t, x0 and x̂0 as they are printed."""
    found = _WRITTEN.sub(lambda match: _SYMBOLS[match[1]], str(escape(text)))
    return Markup(found.replace("SNR ", "SNR&nbsp;"))


def _uri(strip: Filmstrip | StepSheet, folder: str | None) -> str:
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


def _facts(report: Report) -> list[str]:
    """How much there is, in a line."""
    found = {
        "image": report.image_names,
        "model": report.models,
        "sampler": {series.sampler for series in report.series},
        "noise level": report.levels,
        "seed": report.seeds,
        "sample": made_by_networks(report.values).samples,
    }
    return [count(len(some), what) for what, some in found.items()]
