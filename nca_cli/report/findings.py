"""What goes when: half-levels, bits and the excess over a Gaussian, as sentences and as a chart."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from nca_cli.analysis import Analysis, Curve, Excess, HalfLevel, Point, analyse
from nca_cli.analysis.references import GAUSSIANS
from nca_cli.report.content import Report
from nca_cli.report.curves import Entry, Scale, Stage, Tick, stages, ticks
from nca_cli.report.words import (
    band_title,
    count,
    family,
    full_title,
    isolated,
    part,
    scientific,
    snr,
)
from nca_cli.store import Store

HALVES_OF = ("coherence", "colour", "edges", "ms-ssim", "ssim")
"""Families whose half-levels are listed: they have a value for "all is lost"."""
MOST_SENTENCES = 2
BLANK = "\N{NO-BREAK SPACE}"


def analysed(report: Report, store: Store | None = None) -> Report:
    """A report with its analysis and its findings; those that it has already stay."""
    rows = (*report.values, *report.baselines)
    analysis = report.analysis or analyse(rows, store, report.filters)
    return replace(
        report, analysis=analysis, findings=report.findings or tuple(findings(report, analysis))
    )


def known_halves(analysis: Analysis) -> list[HalfLevel]:
    """Half-levels that were found, of the measures in `HALVES_OF`."""
    return [half for half in analysis.half_levels if family(half.measure) in HALVES_OF
            and math.isfinite(half.log_snr.value)]  # fmt: skip


def findings(report: Report, analysis: Analysis) -> list[str]:
    """A sentence for the first series of each model that has half-levels of its octave bands."""
    said: dict[str, str] = {}
    for series in report.series:
        sentence = _finding(series.name, _bands(analysis, series.model, series.sampler))
        if sentence:
            said.setdefault(series.model, sentence)
    return list(said.values())[:MOST_SENTENCES]


def _bands(analysis: Analysis, model: str, sampler: str) -> list[HalfLevel]:
    """Half-levels of coherence, from the coarsest band to the finest."""
    mine = [half for half in analysis.half_levels if family(half.measure) == "coherence"
            and (half.model, half.sampler) == (model, sampler)]  # fmt: skip
    return sorted(mine, key=lambda half: int(part(half.measure)))


def _finding(series: str, bands: Sequence[HalfLevel]) -> str:
    known = [half for half in bands if math.isfinite(half.log_snr.value)]
    if len(known) < 2:
        return ""
    coarse, fine = known[0], known[-1]
    images = count(fine.log_snr.n, "image")
    unsure = "" if math.isfinite(fine.log_snr.low) else ", too few for intervals"
    return (
        f"{isolated(series)} loses half of the detail at {_band(fine)} by SNR {_at(fine)}, "
        f"and half of the structure {_at_band(coarse)} only by SNR {_at(coarse)}"
        f"{_lasting(bands[0])} (n{BLANK}={BLANK}{images}{unsure})."
    )


def _lasting(coarsest: HalfLevel) -> str:
    """What is there to the end."""
    if "not even at the noisiest" not in coarsest.log_snr.blank:
        return ""
    return f"; most of it {_at_band(coarsest)} lasts to the noisiest level"


def _band(half: HalfLevel) -> str:
    return band_title(int(part(half.measure)))


def _at_band(half: HalfLevel) -> str:
    return _band(half) if _band(half).startswith("below") else f"at {_band(half)}"


def _at(half: HalfLevel) -> str:
    """`0.65 [0.5, 0.8]`."""
    where = half.log_snr
    ends = [scientific(snr(end), 2) for end in (where.low, where.high) if not math.isnan(end)]
    interval = f" [{f',{BLANK}'.join(ends)}]" if ends else ""
    return scientific(snr(where.value), 2) + interval


# --- the chart of half-levels -------------------------------------------------------------------


@dataclass(frozen=True)
class Mark:
    """A half-level in the chart; places in per cent of its width."""

    entry: Entry
    half: HalfLevel
    at: float
    low: float
    high: float

    @property
    def text(self) -> str:
        """For a reader of the chart."""
        sure = "" if math.isfinite(self.half.log_snr.low) else ", no interval"
        n = count(self.half.log_snr.n, "image")
        return f"{self.entry.name}: half is lost at SNR {_at(self.half)} (n = {n}{sure})"


@dataclass(frozen=True)
class HalfRow:
    """A measure, and where each series loses half of it."""

    title: str
    marks: tuple[Mark, ...]


@dataclass(frozen=True)
class HalfChart:
    """What goes when: the measure that goes first is the first row."""

    rows: tuple[HalfRow, ...]
    x_ticks: tuple[Tick, ...]
    stages: tuple[Stage, ...]


def half_chart(analysis: Analysis | None, drawn: Sequence[Entry]) -> HalfChart | None:
    """The chart, or nothing where no half-level was found."""
    halves = known_halves(analysis) if analysis else []
    if not halves:
        return None
    x = _scale(halves, drawn)
    entries = {(c.model, c.sampler): e for e in drawn if not e.reference for c in e.curves.values()}
    rows: dict[str, list[Mark]] = {}
    for half in sorted(halves, key=lambda half: entries[half.model, half.sampler].index):
        rows.setdefault(half.measure, []).append(_mark(half, entries[half.model, half.sampler], x))
    order = sorted(rows.items(), key=lambda row: _middle(row[1]))
    found = tuple(HalfRow(full_title(name), tuple(marks)) for name, marks in order)
    return HalfChart(found, ticks(x, 8), stages(x))


def _middle(marks: Sequence[Mark]) -> float:
    return sum(mark.at for mark in marks) / len(marks)


def _scale(halves: Iterable[HalfLevel], drawn: Sequence[Entry]) -> Scale:
    """All measured levels."""
    points = (p for entry in drawn for curve in entry.curves.values() for p in curve.points)
    levels = [p.log_snr for p in points if math.isfinite(p.log_snr)]
    levels += [half.log_snr.value for half in halves]
    room = (max(levels) - min(levels)) * 0.02
    return Scale(max(levels) + room, min(levels) - room, 0.0, 100.0)


def _mark(half: HalfLevel, entry: Entry, x: Scale) -> Mark:
    where = half.log_snr
    ends = [where.value if math.isnan(end) else end for end in (where.high, where.low)]
    left, right = (x(min(max(end, x.high), x.low)) for end in ends)
    return Mark(entry, half, x(where.value), left, round(right - left, 1))


# --- beyond the Gaussian ------------------------------------------------------------------------


def excess_curves(analysis: Analysis | None) -> list[Curve]:
    """The gain over the Gaussians that were fitted, as curves of the derived measure."""
    known = [e for e in (analysis.excess if analysis else ())
             if math.isfinite(e.gain.value) and _short(e.reference) in GAUSSIANS]  # fmt: skip
    groups: dict[tuple[str, str, str], list[Excess]] = {}
    for each in known:
        groups.setdefault((each.model, each.sampler, each.reference), []).append(each)
    return [
        Curve(model, sampler, f"excess/{_short(reference)}",
              tuple(Point.of(each.t, each.log_snr, each.gain) for each in some))
        for (model, sampler, reference), some in groups.items()
    ]  # fmt: skip


def _short(reference: str) -> str:
    """`reference:gaussian/ddim-50` → `gaussian`."""
    return reference.rpartition(":")[2].partition("/")[0]
