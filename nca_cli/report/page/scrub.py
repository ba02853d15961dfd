"""What the slider over noise levels needs: its positions, and which square each strip shows."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from nca_cli.analysis.values import made_by_networks
from nca_cli.figures.curves.titles import at_level, measured, number, scientific, snr
from nca_cli.report.data import Filmstrip, Gallery, Report, Shelf
from nca_cli.report.data.shelf_plans import NEAR, Depth, depth, distance, positions
from nca_cli.report.data.words import count

CAPTION = "psnr"
"""The metric below a picture, and by which images are ranked."""
MOST_RANKED = 3
MOST_IN_ROW = 8


@dataclass(frozen=True)
class SliderLevel:
    """A position of the slider."""

    t: str
    log_snr: float
    depth: Depth
    """Its place among the others."""

    @property
    def shown(self) -> dict[str, Any]:
        """Its numbers as text. σ is noise per signal, s/a."""
        ratio = snr(self.log_snr)
        sigma = math.sqrt(1 / ratio) if ratio else math.inf
        return {"t": self.t, "snr": scientific(ratio), "logSnr": number(self.log_snr, 2),
                "sigma": scientific(sigma)}  # fmt: skip


@dataclass(frozen=True)
class Ranked:
    """An image and its mean over seeds and series at the level of the ranking."""

    image: str
    value: float


@dataclass(frozen=True)
class Ranking:
    """Images from the closest to the farthest."""

    where: str
    """The level."""
    series: tuple[str, ...]
    """Names of those that count."""
    images: tuple[Ranked, ...]


def levels(gallery: Gallery, report: Report | None = None) -> list[SliderLevel]:
    """From little noise to much; levels of one logSNR are one, whatever their t.

    Those of the pictures; where there are none, those of the numbers of `report`.
    """
    shelves = (*gallery.shelves, *gallery.other_seeds)
    drawn = {level for shelf in shelves for strip in shelf.strips for level in strip.levels}
    if not drawn and report:
        drawn = {*report.values.distinct("t", "log_snr")}
    found = []
    for some in positions(drawn):
        names = dict.fromkeys(f"{t:g}" for t, _ in some)
        found.append(SliderLevel(" / ".join(names), some[0][1], depth(some[0])))
    return found


def middle(positions: Sequence[SliderLevel]) -> int:
    """The level whose signal is most nearly as strong as its noise."""
    return min(range(len(positions)), key=lambda k: abs(positions[k].log_snr), default=0)


def described(report: Report, gallery: Gallery, strips: Sequence[tuple[Shelf, Filmstrip]]) -> dict:
    """Levels and strips, for the script of the page."""
    positions = levels(gallery, report)
    values = {value[:5]: value.value for value in report.values.of_measure(CAPTION)}
    return {
        "levels": [level.shown | {"at": _finite(level.log_snr)} for level in positions],
        "start": middle(positions),
        "strips": [
            _strip(report, shelf, strip, positions, values)
            | ({"seed": shelf.seed} if gallery.other_seeds and strip.levels else {})
            for shelf, strip in strips
        ],
    }


def _finite(log_snr: float) -> float | None:
    """As JSON has it."""
    return log_snr if math.isfinite(log_snr) else None


def _strip(
    report: Report, shelf: Shelf, strip: Filmstrip, positions: Sequence[SliderLevel], values: dict
) -> dict:
    """`at`: the square for each position, of the nearest level; `off` where that is another one.

    `t` and `text` are of each square, and empty for blank ones.
    """
    if not strip.levels:
        return {"at": [], "t": []}
    nearest = [_nearest(strip, level) for level in positions]
    off = [int(distance(depth(strip.levels[k]), level.depth) > NEAR)
           for k, level in zip(nearest, positions, strict=True)]  # fmt: skip
    at = [strip.places[k] for k in nearest]
    found: dict[str, object] = {"at": at, "t": _squares(strip, [f"{t:g}" for t, _ in strip.levels])}
    if any(off):
        found["off"] = off
    if strip.series is not None:
        series = report.series[strip.series]
        keys = [(shelf.image, series.model, series.sampler, t, shelf.seed) for t, _ in strip.levels]
        found["text"] = _squares(strip, [_text(values.get(key, math.nan)) for key in keys])
    return found


def _squares(strip: Filmstrip, texts: Sequence[str]) -> list[str]:
    """What is said of each level, at the square of that level."""
    found = dict(zip(strip.places, texts, strict=True))
    return [found.get(place, "") for place in range(strip.squares)]


def _nearest(strip: Filmstrip, level: SliderLevel) -> int:
    places = [depth(each) for each in strip.levels]
    return min(range(len(places)), key=lambda k: distance(places[k], level.depth))


def _text(value: float) -> str:
    return "" if math.isnan(value) else f"{measured(CAPTION, value)} dB"


def ranking(report: Report) -> Ranking | None:
    """Images by their mean over the series that every image has, at the level nearest to SNR 1.

    A mean over other series would rank models, not images. Nothing where no series has them all.
    """
    known = [v for v in made_by_networks(report.values.of_measure(CAPTION))
             if not math.isnan(v.value)]  # fmt: skip
    every = {value.image for value in known}
    names = {(each.model, each.sampler): each.name for each in report.series}
    levels: dict[Depth, tuple[int | float, float]] = {}
    cells: dict[Depth, dict[str, dict[str, list[float]]]] = {}
    for value in known:
        here = depth((value.t, value.log_snr))
        levels.setdefault(here, (value.t, value.log_snr))
        series = cells.setdefault(here, {}).setdefault(names[value[1:3]], {})
        series.setdefault(value.image, []).append(value.value)
    for here in sorted(cells, key=lambda where: (where[0], abs(where[1]), where[1])):
        whole = {name: some for name, some in cells[here].items() if some.keys() == every}
        if whole:
            ranked = _ranked(every, whole.values())
            return Ranking(at_level(*levels[here]), tuple(whole), tuple(ranked))
    return None


def _ranked(
    images: Iterable[str], series: Collection[Mapping[str, Sequence[float]]]
) -> list[Ranked]:
    """From the highest mean to the lowest; seeds of a series are averaged first."""
    found = [Ranked(image, fmean(fmean(each[image]) for each in series)) for image in images]
    return sorted(found, key=lambda each: (-each.value, each.image))


def alt_of(report: Report, shelf: Shelf, strip: Filmstrip) -> str:
    """What a strip shows, for who cannot see it."""
    if not strip.levels:
        return f"{shelf.image}, the image itself"
    what = f"{shelf.image} with noise"
    if strip.series is not None:
        what = f"{shelf.image}, reconstructed by {report.series[strip.series].name}"
    names = ", ".join(f"{t:g}" for t, _ in strip.levels)
    return f"{what}, at {count(len(strip.levels), 'level')}: t = {names}"


def row_length(columns: int) -> int:
    """Pictures in a row where there is room: all, or as many as make all rows about as long."""
    return math.ceil(columns / math.ceil(columns / MOST_IN_ROW))
