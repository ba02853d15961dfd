"""What the slider over noise levels needs: its positions, and which square each strip shows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from nca_cli.analysis import REFERENCE
from nca_cli.report.content import Report
from nca_cli.report.pictures import Gallery, Shelf, Strip
from nca_cli.report.shelves import depth
from nca_cli.report.words import at_level, count, measured, number, scientific, snr

NEAR = 1e-6
"""logSNR of levels that are one."""
CAPTION = "psnr"
"""The measure below a picture, and by which images are ranked."""
MOST_RANKED = 3
MOST_IN_ROW = 8


@dataclass(frozen=True)
class Level:
    """A position of the slider."""

    t: str
    log_snr: float
    depth: tuple[int, float]
    """Its place among the others; see `pictures.depth`."""

    @property
    def shown(self) -> dict[str, str]:
        """Its numbers as text. σ is noise per signal, s/a."""
        return {
            "t": self.t,
            "snr": scientific(snr(self.log_snr)),
            "logSnr": number(self.log_snr, 2),
            "sigma": scientific(
                math.sqrt(1 / snr(self.log_snr)) if snr(self.log_snr) else math.inf
            ),
        }


@dataclass(frozen=True)
class Ranked:
    """An image and its mean over series and seeds at the level of the ranking."""

    image: str
    value: float


def levels(gallery: Gallery) -> list[Level]:
    """From little noise to much; levels of one logSNR are one, whatever their t."""
    found: list[tuple[list[str], float, tuple[int, float]]] = []
    for t, log_snr in gallery.levels:
        here = depth((t, log_snr))
        if not found or _distance(found[-1][2], here) > NEAR:
            found.append(([], log_snr, here))
        found[-1][0].append(f"{t:g}")
    return [Level(" / ".join(dict.fromkeys(names)), log_snr, where)
            for names, log_snr, where in found]  # fmt: skip


def middle(positions: Sequence[Level]) -> int:
    """The level whose signal is most nearly as strong as its noise."""
    return min(range(len(positions)), key=lambda k: abs(positions[k].log_snr), default=0)


def described(report: Report, gallery: Gallery, strips: Sequence[tuple[Shelf, Strip]]) -> dict:
    """Levels and strips, for the script of the page."""
    positions = levels(gallery)
    values = {value[:5]: value.value for value in report.values if value.measure == CAPTION}
    return {
        "levels": [level.shown for level in positions],
        "start": middle(positions),
        "strips": [_strip(report, shelf, strip, positions, values) for shelf, strip in strips],
    }


def _strip(
    report: Report, shelf: Shelf, strip: Strip, positions: Sequence[Level], values: dict
) -> dict:
    """`at`: the square for each position, of the nearest level; `off` where that is another one."""
    if not strip.levels:
        return {"at": [], "t": []}
    at = [_nearest(strip, level) for level in positions]
    off = [int(_distance(depth(strip.levels[k]), level.depth) > NEAR)
           for k, level in zip(at, positions, strict=True)]  # fmt: skip
    found: dict[str, object] = {"at": at, "t": [f"{t:g}" for t, _ in strip.levels]}
    if any(off):
        found["off"] = off
    if strip.series is not None:
        series = report.series[strip.series]
        keys = [(shelf.image, series.model, series.sampler, t, shelf.seed) for t, _ in strip.levels]
        found["text"] = [_text(values.get(key, math.nan)) for key in keys]
    return found


def _nearest(strip: Strip, level: Level) -> int:
    places = [depth(each) for each in strip.levels]
    return min(range(len(places)), key=lambda k: _distance(places[k], level.depth))


def _distance(one: tuple[int, float], other: tuple[int, float]) -> float:
    """Of two depths; without end between a level whose SNR is known and one whose is not."""
    if one[0] != other[0]:
        return math.inf
    return 0.0 if one == other else abs(one[1] - other[1])


def _text(value: float) -> str:
    return "" if math.isnan(value) else f"{measured(CAPTION, value)} dB"


def ranking(report: Report) -> tuple[str, list[Ranked]]:
    """Images from the closest to the farthest, at the level nearest to SNR 1; and its name."""
    known = [v for v in report.values if v.measure == CAPTION and math.isfinite(v.value)
             and not v.sampler.startswith(REFERENCE)]  # fmt: skip
    if not known:
        return "", []
    middle = min(known, key=lambda value: (abs(value.log_snr), value.t))
    groups: dict[str, list[float]] = {}
    for value in known:
        if value.t == middle.t:
            groups.setdefault(value.image, []).append(value.value)
    ranked = [Ranked(image, sum(some) / len(some)) for image, some in groups.items()]
    where = at_level(middle.t, middle.log_snr)
    return where, sorted(ranked, key=lambda each: (-each.value, each.image))


def alt_of(report: Report, shelf: Shelf, strip: Strip) -> str:
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
