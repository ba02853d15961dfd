"""The sentences and numbers of a report as a reader sees them."""

from __future__ import annotations

import math

from nca_cli.analysis import Point
from nca_cli.metrics import MEASURES
from nca_cli.report.content import Report, Series

_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def title(report: Report) -> str:
    """`3 images, reconstructed from noise by demo`."""
    models = [model.name for model in report.models]
    who = _listed(models) if len(models) <= 3 else f"{len(models)} models"
    return f"{count(len(report.image_names), 'image')}, reconstructed from noise by {who}"


def headlines(report: Report) -> list[str]:
    """A sentence per model: PSNR of each sampler at the level where signal and noise are equal.

    Of the levels that all its samplers have (or the first of them), the one nearest to SNR 1.
    """
    sentences = (_headline(model.name, [s for s in report.series if s.model == model.name])
                 for model in report.models)  # fmt: skip
    return [sentence for sentence in sentences if sentence]


def _headline(model: str, series: list[Series]) -> str:
    points = [{point.t: point for point in one.curve("psnr").points if point.n} for one in series]
    shared = set(points[0]).intersection(*points) or set(points[0])
    if not shared:
        return ""
    t = min(sorted(shared), key=lambda t: abs(points[0][t].log_snr))
    known = [(one, found[t]) for one, found in zip(series, points, strict=True) if t in found]
    images = max(point.images for _, point in known)
    results = [f"{number(point.mean, 1)} dB with {one.sampler}{_fewer(point, images)}"
               for one, point in known]  # fmt: skip
    what = "a mean PSNR of" if any(point.n > 1 for _, point in known) else "a PSNR of"
    return (f"From x_t at t = {t} (SNR {scientific(snr(known[0][1].log_snr))}), {model} "
            f"reconstructs {count(images, 'image')} at {what} {_listed(results)}.")  # fmt: skip


def _fewer(point: Point, images: int) -> str:
    return f" ({count(point.images, 'image')})" if point.images < images else ""


def count(n: int, what: str) -> str:
    """`1 image`, `3 images`."""
    return f"{n} {what}" if n == 1 else f"{n} {what}s"


def _listed(words: list[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else words[0]


def alt_text(report: Report) -> str:
    """What the grid shows, for who cannot see it; nothing where there is none."""
    if report.picture is None:
        return ""
    levels = ", ".join(map(str, report.levels))
    return (f"Grid of pictures: {_listed(list(report.picture.images))}; each noised image and its "
            f"reconstructions at t = {levels}.")  # fmt: skip


def caption(report: Report) -> str:
    """Which part of the images and seeds the grid shows; nothing where it shows all."""
    shown, every = len(report.picture.images), len(report.image_names)
    parts = [f"the first {shown} of {every} images"] if shown < every else []
    parts += [f"seed {report.picture.seed}"] if len(report.seeds) > 1 else []
    return f"Here {' with '.join(parts)}." if parts else ""


def snr(log_snr: float) -> float:
    """SNR from its natural logarithm; infinite rather than too large."""
    return math.exp(log_snr) if log_snr < 700 else math.inf


def number(value: float, digits: int) -> str:
    """Fixed decimals with a true minus sign; `–` for NaN, `∞` for infinity."""
    if math.isnan(value):
        return "–"
    text = "∞" if math.isinf(value) else f"{abs(value):.{digits}f}"
    return f"−{text}" if value < 0 else text


def scientific(value: float, digits: int = 3) -> str:
    """`1.52`, `0.00264`, `4.04×10⁻⁵`: a number of any size in so many significant digits."""
    if not math.isfinite(value):
        return number(value, 0)
    mantissa, _, exponent = f"{value:.{digits}g}".partition("e")
    return f"{mantissa}×10{str(int(exponent)).translate(_SUPERSCRIPT)}" if exponent else mantissa


def measured(name: str, value: float) -> str:
    """A value of a measure with the decimals that are worth printing."""
    return number(value, MEASURES[name].digits)
