"""What the data say, in sentences with numbers: title, findings and headlines of a report."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from nca_cli.analysis import MIN_IMAGES, Analysis, Estimate, Excess, HalfLevel, Point, Turn
from nca_cli.analysis.references import GAUSSIANS
from nca_cli.figures.curves import titles
from nca_cli.report.data.report import Report, Series
from nca_cli.report.data.words import BLANK, at, at_between, count, isolated, listed, measured_range

MOST_SENTENCES = 3


def title(report: Report) -> str:
    """`3 images, reconstructed from noise by demo`."""
    models = [isolated(model.name) for model in report.models]
    who = listed(models) if len(models) <= 3 else f"{len(models)} models"
    return f"{count(len(report.image_names), 'image')}, reconstructed from noise by {who}"


def headlines(report: Report) -> list[str]:
    """A sentence per model: PSNR of each sampler at the level where signal and noise are equal.

    Of the levels that all its samplers have (or the first of them), the one nearest to SNR 1.
    """
    sentences = (_headline(model.name, [s for s in report.series if s.model == model.name])
                 for model in report.models)  # fmt: skip
    return [sentence for sentence in sentences if sentence]


def _headline(model: str, series: list[Series]) -> str:
    measured = [one for one in series if one.points("psnr")]
    points = [{p.t: p for p in one.points("psnr") if p.n} for one in measured]
    shared = set(points[0]).intersection(*points) or set(points[0]) if points else set()
    if not shared:
        return ""
    t = min(sorted(shared), key=lambda t: abs(points[0][t].log_snr))
    known = [(one, found[t]) for one, found in zip(measured, points, strict=True) if t in found]
    images = max(point.images for _, point in known)
    results = [
        f"{titles.number(point.mean, 1)} dB with {isolated(one.sampler)}{_fewer(point, images)}"
        for one, point in known
    ]
    what = "a mean PSNR of" if any(point.n > 1 for _, point in known) else "a PSNR of"
    return (f"From x_t at {titles.at_level(t, known[0][1].log_snr)}, {isolated(model)} "
            f"reconstructs {count(images, 'image')} at {what} {listed(results)}.")  # fmt: skip


def _fewer(point: Point, images: int) -> str:
    return f" ({count(point.images, 'image')})" if point.images < images else ""


def findings(report: Report) -> list[str]:
    """What each model loses first, and what the best of them gains over Gaussian denoisers."""
    return [*_losses(report, report.analysis), *_best_gain(report, report.analysis)]


class Told(NamedTuple):
    """The findings, by where a page says them."""

    lead: str
    """The first sentence: what one model loses first, or what was done."""
    beside: list[str]
    """What is gained over Gaussian denoisers."""
    others: list[str]
    """What the other models lose first."""


def told(report: Report) -> Told:
    """`findings`, and never none."""
    losses, gains = _losses(report, report.analysis), list(_best_gain(report, report.analysis))
    lead, *beside = [*losses[:1], *gains] or [_done(report)]
    return Told(lead, beside, losses[1:])


def _done(report: Report) -> str:
    """`demo reconstructs 1 image with ddim-50 from 1 noise level (t = 300), too few to tell …`."""
    one, t = leading(report)[0], report.levels
    between = f"t = {t[0]:g}" + (f" to {t[-1]:g}" if len(t) > 1 else "")
    return (f"{isolated(one.model)} reconstructs {count(len(report.image_names), 'image')} with "
            f"{isolated(one.sampler)} from {count(len(t), 'noise level')} ({between}), too few to "
            "tell where half of the detail and half of the structure are lost.")  # fmt: skip


def _losses(report: Report, analysis: Analysis) -> list[str]:
    """A sentence for each model: the noise that takes half of its detail, and of its structure.

    All are of the same two octave bands: of those that all have, the finest and the coarsest of
    which some model loses half at a measured level.
    """
    found = {series.name: _bands(analysis, series) for series in leading(report)}
    found = {name: bands for name, bands in found.items() if bands}
    shared = [band for band in _shared(found.values())
              if any(bands[band].half.turn is Turn.GOES for bands in found.values())]  # fmt: skip
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
    def title(self) -> str:
        """`below 2 cycles per side`, `at 2–4 cycles per side`."""
        title = titles.band_title(int(titles.part(self.half.measure)))
        return title if title.startswith("below") else f"at {title}"

    @property
    def at(self) -> str:
        """`0.65 [0.5, 0.8]`."""
        return at_between(self.half.log_snr, self.noisiest, self.cleanest)


def _bands(analysis: Analysis, series: Series) -> dict[int, Band]:
    """Octave → half-level of its coherence, of those where one can be told; coarsest first."""
    levels = {curve.measure: measured_range(curve) for curve in series.curves}
    halves = [half for half in analysis.half_levels if titles.family(half.measure) == "coherence"
              and (half.model, half.sampler) == (series.model, series.sampler)]  # fmt: skip
    found = {int(titles.part(half.measure)): Band(half, *levels[half.measure]) for half in halves}
    return {octave: band for octave, band in sorted(found.items())
            if band.half.turn is not Turn.UNKNOWN}  # fmt: skip


def _shared(found: Iterable[dict[int, Band]]) -> list[int]:
    every = [set(bands) for bands in found]
    return sorted(set.intersection(*every)) if every else []


def _finding(series: str, bands: dict[int, Band], fine: int, coarse: int) -> str:
    half = bands[fine].half.log_snr
    unsure = ", too few for intervals" if half.n < MIN_IMAGES else ""
    return (
        f"{isolated(series)} {_lost('detail', bands[fine])} and "
        f"{_lost('structure', bands[coarse])}{_lasting(bands, coarse)} "
        f"(n{BLANK}={BLANK}{count(half.n, 'image')}{unsure})."
    )


def _lost(what: str, band: Band) -> str:
    """`loses half of the detail at 16–32 cycles per side by SNR 0.65 [0.5, 0.8]`."""
    if band.half.turn is Turn.GONE:
        return f"has already lost half of the {what} {band.title} at SNR {at(band.cleanest)}"
    if band.half.turn is Turn.LASTS:
        last = at(band.noisiest)
        return f"keeps most of the {what} {band.title} down to the noisiest level, SNR {last}"
    if what == "structure":
        return f"keeps half of the structure {band.title} down to SNR {band.at}"
    return f"loses half of the detail {band.title} by SNR {band.at}"


def _lasting(bands: dict[int, Band], coarse: int) -> str:
    """What is coarser still, and there to the end."""
    lasting = [bands[octave] for octave in bands
               if octave < coarse and bands[octave].half.turn is Turn.LASTS]  # fmt: skip
    return f"; most structure {lasting[-1].title} survives the noisiest level" if lasting else ""


def _best_gain(report: Report, analysis: Analysis) -> Iterator[str]:
    """Of the model that gains most: how much near SNR 1, and at the noisiest level.

    Over the Gaussian that comes closest there: what is gained over the other may be its lack of
    images, as some of this may be: one of all images that there are would be closer still. Of
    one-step where there is one; nothing without intervals.
    """
    found = (_closest(analysis, series) for series in leading(report))
    gains = [some for some in found if some]
    if not gains:
        return
    near, noisiest = max(gains, key=lambda some: some[0].gain.value)
    told = [f"{_compared(each.gain)} at SNR {at(each.log_snr)}"
            for each in dict.fromkeys((near, noisiest))]  # fmt: skip
    fitted = titles.fitted(analysis.references, near.model, near.reference)
    gaussian = titles.reference_title(near.reference, fitted)
    images = count(near.gain.n, "image")
    name = next(s.name for s in leading(report) if s.model == near.model)
    yield (f"Compared with the {gaussian}, {isolated(name)} is {listed(told)} "
           f"(an upper bound; n{BLANK}={BLANK}{images}).")  # fmt: skip


def _closest(analysis: Analysis, series: Series) -> tuple[Excess, Excess] | None:
    """A series' gain near SNR 1 and at the noisiest level, over the Gaussian that is closest."""
    own = [each for each in analysis.excess
           if (each.model, each.sampler) == (series.model, series.sampler)
           and titles.reference_kind(each.reference) in GAUSSIANS and math.isfinite(each.gain.low)
           and math.isfinite(each.log_snr)]  # fmt: skip
    if not own:
        return None
    middle = min((each.log_snr for each in own), key=abs)
    near = min((e for e in own if e.log_snr == middle), key=lambda each: each.gain.value)
    same = [each for each in own if each.reference == near.reference]
    return near, min(same, key=lambda each: each.log_snr)


def _compared(gain: Estimate) -> str:
    """`5.0 dB [4.8, 5.2] better`, or `no better` where the interval does not say so."""
    if gain.low <= 0 <= gain.high:
        return "no better"
    ends = sorted((gain.low, gain.high), key=abs)
    value, low, high = (titles.number(abs(each), 1) for each in (gain.value, *ends))
    return f"{value} dB [{low},{BLANK}{high}] {'better' if gain.value > 0 else 'worse'}"
