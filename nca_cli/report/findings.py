"""What goes when: half-levels, bits and the excess over a Gaussian, as sentences and as a chart."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum

from nca_cli.analysis import (
    MIN_IMAGES,
    Analysis,
    Curve,
    Estimate,
    Excess,
    HalfLevel,
    Point,
    analyse,
)
from nca_cli.analysis.references import GAUSSIANS
from nca_cli.figures.curves.charts import EXCESS, fitted, reference_title
from nca_cli.metrics import described
from nca_cli.report.content import Report, Series
from nca_cli.report.curves import Entry, Scale, Stage, Tick, drawable, stages, ticks
from nca_cli.report.words import (
    band_title,
    count,
    family,
    full_title,
    isolated,
    listed,
    number,
    part,
    scientific,
    snr,
)
from nca_cli.store import Store

MOST_SENTENCES = 2
BLANK = "\N{NO-BREAK SPACE}"


class Turn(Enum):
    """When half of a measure is lost, as seen from the levels that were measured."""

    GONE = 0
    """Before the cleanest."""
    GOES = 1
    LASTS = 2
    """Not even at the noisiest."""
    UNKNOWN = 3


def turn(half: HalfLevel) -> Turn:
    """When half is lost, from the half-level and from why there is none."""
    if math.isfinite(half.log_snr.value):
        return Turn.GOES
    if "before the cleanest" in half.log_snr.blank:
        return Turn.GONE
    return Turn.LASTS if "not even at the noisiest" in half.log_snr.blank else Turn.UNKNOWN


def in_turn(half: HalfLevel) -> tuple[int, float]:
    """Sorts half-levels: what goes first comes first, what is not known comes last."""
    return turn(half).value, -half.log_snr.value if turn(half) is Turn.GOES else 0.0


def analysed(report: Report, store: Store | None = None) -> Report:
    """A report with its analysis and its findings; those that it has already stay."""
    rows = (*report.values, *report.baselines)
    analysis = report.analysis or analyse(rows, store, report.filters)
    return replace(
        report, analysis=analysis, findings=report.findings or tuple(findings(report, analysis))
    )


def known_halves(analysis: Analysis) -> list[HalfLevel]:
    """Half-levels that were found, of the metrics that say so (`Metric.half_level`)."""
    return [half for half in analysis.half_levels if math.isfinite(half.log_snr.value)
            and (known := described(half.measure)) and known.half_level]  # fmt: skip


def findings(report: Report, analysis: Analysis) -> list[str]:
    """What goes when in each model, and what the best of them knows beyond Gaussian statistics."""
    return [*_losses(report, analysis), *_best_gain(report, analysis)]


def _losses(report: Report, analysis: Analysis) -> list[str]:
    """A sentence for each model: the noise that takes half of its detail, and of its structure.

    All are of the same two octave bands: of those that all have, the finest and the coarsest of
    which some model loses half at a measured level.
    """
    found = {series.name: _bands(analysis, series) for series in leading(report)}
    found = {name: bands for name, bands in found.items() if bands}
    shared = [band for band in _shared(found.values())
              if any(bands[band].turn is Turn.GOES for bands in found.values())]  # fmt: skip
    if len(shared) < 2:
        return []
    sentences = (_finding(name, bands, shared[-1], shared[0]) for name, bands in found.items())
    return list(sentences)[:MOST_SENTENCES]


def leading(report: Report) -> list[Series]:
    """The series of each model that speaks for it: one-step, what it knows; else its first."""
    found: dict[str, Series] = {}
    for series in sorted(report.series, key=lambda one: one.recipe.get("sampler") != "one-step"):
        found.setdefault(series.model, series)
    return [found[model.name] for model in report.models if model.name in found]


@dataclass(frozen=True)
class Band:
    """A half-level, and the logSNR of the noisiest and the cleanest level that were measured."""

    half: HalfLevel
    noisiest: float
    cleanest: float

    @property
    def turn(self) -> Turn:
        return turn(self.half)

    @property
    def title(self) -> str:
        """`below 2 cycles per side`, `at 2–4 cycles per side`."""
        title = band_title(int(part(self.half.measure)))
        return title if title.startswith("below") else f"at {title}"

    @property
    def at(self) -> str:
        """`0.65 [0.5, 0.8]`."""
        return _at(self.half.log_snr, self.noisiest, self.cleanest)


def _bands(analysis: Analysis, series: Series) -> dict[int, Band]:
    """Octave → half-level of its coherence, of those where one can be told; coarsest first."""
    levels = {curve.measure: measured_range(curve) for curve in series.curves}
    halves = [half for half in analysis.half_levels if family(half.measure) == "coherence"
              and (half.model, half.sampler) == (series.model, series.sampler)]  # fmt: skip
    found = {int(part(half.measure)): Band(half, *levels[half.measure]) for half in halves}
    return {octave: band for octave, band in sorted(found.items())
            if band.turn is not Turn.UNKNOWN}  # fmt: skip


def measured_range(curve: Curve) -> tuple[float, float]:
    """logSNR of the noisiest and the cleanest level at which a measure was taken."""
    known = [p.log_snr for p in drawable(curve)]
    return min(known, default=math.nan), max(known, default=math.nan)


def _shared(found: Iterable[dict[int, Band]]) -> list[int]:
    every = [set(bands) for bands in found]
    return sorted(set.intersection(*every)) if every else []


def _finding(series: str, bands: dict[int, Band], fine: int, coarse: int) -> str:
    half = bands[fine].half.log_snr
    unsure = ", too few for intervals" if half.n < MIN_IMAGES else ""
    return (
        f"{isolated(series)} {_lost('detail', bands[fine])}, and "
        f"{_lost('structure', bands[coarse], 'only ')}{_lasting(bands, coarse)} "
        f"(n{BLANK}={BLANK}{count(half.n, 'image')}{unsure})."
    )


def _lost(what: str, band: Band, only: str = "") -> str:
    """`loses half of the detail at 16–32 cycles per side by SNR 0.65 [0.5, 0.8]`."""
    if band.turn is Turn.GONE:
        return f"has lost half of the {what} {band.title} at SNR {at(band.cleanest)} already"
    if band.turn is Turn.LASTS:
        last = at(band.noisiest)
        return f"keeps most of the {what} {band.title} to the noisiest level, SNR {last}"
    return f"loses half of the {what} {band.title} {only}by SNR {band.at}"


def _lasting(bands: dict[int, Band], coarse: int) -> str:
    """What is coarser still, and there to the end."""
    lasting = [bands[octave] for octave in bands
               if octave < coarse and bands[octave].turn is Turn.LASTS]  # fmt: skip
    return f"; most of it {lasting[-1].title} lasts to the noisiest level" if lasting else ""


def _at(where: Estimate, noisiest: float, cleanest: float) -> str:
    """`0.65 [0.5, 0.8]`, `0.017 [below 0.0069, 0.036]`: what was not measured has no number."""
    if math.isnan(where.low):
        return at(where.value)
    low = f"below {at(noisiest)}" if where.low < noisiest else at(where.low)
    high = f"above {at(cleanest)}" if where.high > cleanest else at(where.high)
    return f"{at(where.value)} [{low},{BLANK}{high}]"


def at(log_snr: float) -> str:
    """The SNR of a level, to two digits."""
    return scientific(snr(log_snr), 2)


# --- the chart of half-levels -------------------------------------------------------------------


@dataclass(frozen=True)
class Mark:
    """A half-level in the chart; places in per cent of its width."""

    entry: Entry
    half: HalfLevel
    at: float
    low: float
    high: float
    open: tuple[bool, bool]
    """Whether its interval reaches beyond the levels, to less and to more noise."""

    @property
    def text(self) -> str:
        """For a reader of the chart."""
        where = self.half.log_snr
        sure = ", no interval" if math.isnan(where.low) else ""
        when = _at(where, *measured_range(self.entry.curves[self.half.measure]))
        return (
            f"{self.entry.name}: half is lost at SNR {when} (n = {count(where.n, 'image')}{sure})"
        )


@dataclass(frozen=True)
class HalfRow:
    """A measure, and where each series loses half of it."""

    title: str
    marks: tuple[Mark, ...]


@dataclass(frozen=True)
class HalfChart:
    """What goes when, from what one series loses first to what it loses last."""

    first: str
    """The name of that series."""
    rows: tuple[HalfRow, ...]
    x_ticks: tuple[Tick, ...]
    stages: tuple[Stage, ...]


def half_chart(report: Report, drawn: Sequence[Entry]) -> HalfChart | None:
    """The chart, or nothing where no half-level was found."""
    analysis = report.analysis
    halves = known_halves(analysis) if analysis else []
    if not analysis or not halves:
        return None
    x = _scale(halves, drawn)
    entries = {(c.model, c.sampler): e for e in drawn if not e.reference for c in e.curves.values()}
    rows: dict[str, list[Mark]] = {}
    for half in sorted(halves, key=lambda half: entries[half.model, half.sampler].index):
        rows.setdefault(half.measure, []).append(_mark(half, entries[half.model, half.sampler], x))
    known = {(half.model, half.sampler) for half in halves}
    first = next(s for s in (*leading(report), *report.series) if (s.model, s.sampler) in known)
    lost = {half.measure: half for half in analysis.half_levels
            if (half.model, half.sampler) == (first.model, first.sampler)}  # fmt: skip
    unknown = Turn.UNKNOWN.value, 0.0
    order = sorted(rows, key=lambda name: (
        in_turn(lost[name]) if name in lost else unknown, rows[name][0].at
    ))  # fmt: skip
    found = tuple(HalfRow(full_title(measure), tuple(rows[measure])) for measure in order)
    return HalfChart(first.name, found, ticks(x, 8), stages(x))


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
    open_ = where.high > x.low, where.low < x.high  # the axis begins with the cleanest level
    return Mark(entry, half, x(where.value), left, round(right - left, 1), open_)


# --- beyond the Gaussian ------------------------------------------------------------------------


WHAT_IS_FITTED = {
    "gaussian": "the mean and the covariance of the other {others} images, which know {known:,} of "
    "{dimensions:,} directions",
    "wiener": "the mean image and the power spectrum of the other {others} images; nothing of how "
    "frequencies go together",
}


def fitted_notes(analysis: Analysis | None) -> list[str]:
    """What each Gaussian knows that networks are compared with: a sentence for those alike."""
    known = [each for each in (analysis.references if analysis else ()) if each.dimensions]
    sentences = (
        f"The {reference_title(kind)} has {WHAT_IS_FITTED[kind]}.".format(
            others=each.n - 1, known=each.known, dimensions=each.dimensions
        )
        for each in known for kind in [_short(each.name)]
    )  # fmt: skip
    return list(dict.fromkeys(sentences))


def excess_curves(analysis: Analysis | None) -> list[Curve]:
    """The gain over the Gaussians that were fitted, as curves of the derived measure."""
    known = [e for e in (analysis.excess if analysis else ())
             if math.isfinite(e.gain.value) and _short(e.reference) in GAUSSIANS]  # fmt: skip
    groups: dict[tuple[str, str, str], list[Excess]] = {}
    for each in known:
        groups.setdefault((each.model, each.sampler, each.reference), []).append(each)
    return [
        Curve(model, sampler, f"{EXCESS}/{_short(reference)}",
              tuple(Point.of(each.t, each.log_snr, each.gain) for each in some))
        for (model, sampler, reference), some in groups.items()
    ]  # fmt: skip


def _best_gain(report: Report, analysis: Analysis) -> Iterator[str]:
    """Of the model that gains most: how much near SNR 1, and at the noisiest level.

    Over the Gaussian that comes closest there: what is gained over the other may be its lack of
    images. Of one-step where there is one; nothing without intervals.
    """
    found = (_closest(analysis, series) for series in leading(report))
    gains = [some for some in found if some]
    if not gains:
        return
    near, noisiest = max(gains, key=lambda some: some[0].gain.value)
    told = [f"{_decibels(each.gain)} at SNR {at(each.log_snr)}"
            for each in dict.fromkeys((near, noisiest))]  # fmt: skip
    known = fitted(analysis.references, near.model, near.reference)
    images = count(near.gain.n, "image")
    name = next(s.name for s in leading(report) if s.model == near.model)
    yield (f"Beyond what a Gaussian knows, {isolated(name)} gains {listed(told)} (over the "
           f"{reference_title(near.reference, known)}; n{BLANK}={BLANK}{images}).")  # fmt: skip


def _closest(analysis: Analysis, series: Series) -> tuple[Excess, Excess] | None:
    """A series' gain near SNR 1 and at the noisiest level, over the Gaussian that is closest."""
    own = [each for each in analysis.excess
           if (each.model, each.sampler) == (series.model, series.sampler)
           and _short(each.reference) in GAUSSIANS and math.isfinite(each.gain.low)
           and math.isfinite(each.log_snr)]  # fmt: skip
    if not own:
        return None
    middle = min((each.log_snr for each in own), key=abs)
    near = min((e for e in own if e.log_snr == middle), key=lambda each: each.gain.value)
    same = [each for each in own if each.reference == near.reference]
    return near, min(same, key=lambda each: each.log_snr)


def _decibels(gain: Estimate) -> str:
    """`5.0 dB [4.8, 5.2]`."""
    value, low, high = (number(each, 1) for each in (gain.value, gain.low, gain.high))
    return f"{value} dB [{low},{BLANK}{high}]"


def _short(reference: str) -> str:
    """`reference:gaussian/ddim-50` → `gaussian`."""
    return reference.rpartition(":")[2].partition("/")[0]
