"""The numbers of a page: a table for each series, and the samples of each image."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from operator import attrgetter

from nca_cli.analysis import Point, stage
from nca_cli.figures.curves.titles import part, snr
from nca_cli.report.data import Filmstrip, Gallery, Report, Series, Shelf
from nca_cli.report.data.findings import leading
from nca_cli.report.data.words import count

MOST_ROWS = 5000
"""Samples that are listed one by one; a page of more is slow to open."""
MOST_METRICS = 6
"""Columns of the tables of numbers; every metric has a table behind its curve."""


def headline_metrics(report: Report) -> list[str]:
    """The metrics of one value that have any, in the order in which they were taken; a few."""
    return [name for name in report.metrics
            if not part(name) and name not in report.unmeasured][:MOST_METRICS]  # fmt: skip


@dataclass(frozen=True)
class TableRow:
    """A level in the table of a series: the point of each metric."""

    points: dict[str, Point]

    @property
    def any(self) -> Point:
        """Of the metric that most samples have."""
        return max(self.points.values(), key=attrgetter("n"))

    @property
    def stage(self) -> str:
        """Coarse, content or clean-up; nothing where the SNR is not known."""
        ratio = snr(self.any.log_snr)
        return "" if math.isnan(ratio) else stage(ratio)


@dataclass(frozen=True)
class SeriesTable:
    """The levels of a series."""

    series: Series
    rows: tuple[TableRow, ...]

    @property
    def count(self) -> str:
        """`3 images, 4 samples` where that holds of every level, else nothing."""
        counts = {(row.any.images, row.any.n) for row in self.rows}
        if len(counts) != 1:
            return ""
        images, n = counts.pop()
        what = count(images, "image")
        return what if n == images else f"{what}, {count(n, 'sample')}"


def series_table(series: Series, metrics: Sequence[str]) -> SeriesTable:
    """The levels of a series, from the least t, with the point of each metric that has one."""
    levels: dict[float, dict[str, Point]] = {}
    for name in metrics:
        for point in series.points(name):
            levels.setdefault(point.t, {})[name] = point
    return SeriesTable(series, tuple(TableRow(points) for _, points in sorted(levels.items())))


@dataclass(frozen=True)
class SampleRow:
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
    shelves: Sequence[Shelf]
    samples: Sequence[SampleRow]
    """Empty where a page cannot list them all."""

    @property
    def columns(self) -> int:
        """Pictures beside one another."""
        return sum(shelf.columns for shelf in self.shelves)


def image_pages(report: Report, gallery: Gallery) -> list[ImagePage]:
    """A page for each image; those with pictures first."""
    samples = _samples(report)
    shelves: dict[str, list[Shelf]] = {}
    for shelf in gallery.shelves:
        shelves.setdefault(shelf.image, []).append(shelf)
    pages = (
        ImagePage(name, f"image-{number}", shelves.get(name, []), samples.get(name, []))
        for number, name in enumerate(report.image_names)
    )
    return sorted(pages, key=lambda page: not page.shelves)


def _samples(report: Report) -> dict[str, list[SampleRow]]:
    """Image → its samples, with the metrics of the tables; nothing where they are too many."""
    wanted = set(headline_metrics(report))
    rows: dict[tuple[str, str, int | float, int], dict[str, float]] = {}
    names = {(series.model, series.sampler): series.name for series in report.series}
    told = report.values.where(wanted.__contains__, "measure")
    for value in told:
        if value[1:3] in names:
            key = value.image, names[value[1:3]], value.t, value.seed
            rows.setdefault(key, {})[value.measure] = value.value
    if len(rows) > MOST_ROWS:
        return {}
    found: dict[str, list[SampleRow]] = {}
    for (image, series, t, seed), measured in rows.items():
        found.setdefault(image, []).append(SampleRow(series, t, seed, measured))
    return found


@dataclass(frozen=True)
class Film:
    """One image and series for the first screen."""

    image: str
    anchor: str
    series: int
    noised: bool
    """Whether x_t can be shown, too."""


def film(report: Report, pages: Sequence[ImagePage]) -> Film | None:
    """Of the series that the first sentence is about, else of any; nothing without pictures."""
    first = [report.series.index(one) for one in leading(report)]
    order = dict.fromkeys([*first, *range(len(report.series))])
    for series in order:
        for page in pages:
            for shelf in page.shelves[:1]:
                if any(strip.series == series for strip in shelf.x0_hats):
                    return Film(page.name, page.anchor, series, shelf.x_t is not None)
    return None


def seeds_drawn(gallery: Gallery) -> list[int]:
    """Those to choose from: first the one that most pictures are of; none where there is one."""
    seeds = [shelf.seed for shelf in gallery.shelves]
    most = [max(seeds, key=seeds.count)] if seeds else []
    others = sorted({*seeds, *(shelf.seed for shelf in gallery.other_seeds)} - {*most})
    return [*most, *others] if gallery.other_seeds else []


def of_other_seeds(
    gallery: Gallery, shelf: Shelf, series: int | None
) -> list[tuple[Shelf, Filmstrip]]:
    """The same strip of other seeds: of x_t, or of x̂0 of a series."""
    alike = (one for one in gallery.other_seeds
             if (one.image, one.models) == (shelf.image, shelf.models))  # fmt: skip
    return [(one, strip) for one in alike for strip in one.noisy if strip.series == series]
