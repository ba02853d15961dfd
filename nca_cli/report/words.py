"""The sentences and numbers of a report as a reader sees them."""

from __future__ import annotations

import math
import re
import unicodedata

from markupsafe import Markup, escape

from nca_cli.analysis import Point
from nca_cli.figures.curves.charts import (  # noqa: F401 - those of measures are words of the page, too
    RETENTION,
    band_title,
    family,
    family_title,
    full_title,
    known_measure,
    measure_title,
    part,
    which_is_closer,
)
from nca_cli.report.content import Report, Series

_TURNING = {"R", "AL", "RLE", "LRE", "RLO", "LRO", "RLI", "LRI", "FSI", "PDF", "PDI"}
_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


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
    points = [
        {p.t: p for p in one.curve("psnr").points if p.n} for one in series if one.has("psnr")
    ]
    shared = set(points[0]).intersection(*points) or set(points[0]) if points else set()
    if not shared:
        return ""
    t = min(sorted(shared), key=lambda t: abs(points[0][t].log_snr))
    measured = [one for one in series if one.has("psnr")]
    known = [(one, found[t]) for one, found in zip(measured, points, strict=True) if t in found]
    images = max(point.images for _, point in known)
    results = [f"{number(point.mean, 1)} dB with {isolated(one.sampler)}{_fewer(point, images)}"
               for one, point in known]  # fmt: skip
    what = "a mean PSNR of" if any(point.n > 1 for _, point in known) else "a PSNR of"
    return (f"From x_t at {at_level(t, known[0][1].log_snr)}, {isolated(model)} "
            f"reconstructs {count(images, 'image')} at {what} {listed(results)}.")  # fmt: skip


def _fewer(point: Point, images: int) -> str:
    return f" ({count(point.images, 'image')})" if point.images < images else ""


def isolated(name: str) -> str:
    """A name that cannot turn the words around it: what runs from right to left stays inside."""
    turns = any(unicodedata.bidirectional(letter) in _TURNING for letter in name)
    return f"\N{FIRST STRONG ISOLATE}{name}\N{POP DIRECTIONAL ISOLATE}" if turns else name


def count(n: int, what: str) -> str:
    """`1 image`, `3 images`."""
    return f"{n} {what}" if n == 1 else f"{n} {what}s"


def listed(words: list[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else words[0]


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


def snr(log_snr: float) -> float:
    """SNR from its natural logarithm; infinite rather than too large."""
    return math.inf if log_snr >= 700 else math.exp(log_snr)


def at_level(t: float, log_snr: float) -> str:
    """`t = 300 (SNR 0.65)`; `t = 300` where no schedule is known."""
    known = "" if math.isnan(log_snr) else f" (SNR {scientific(snr(log_snr))})"
    return f"t = {t:g}{known}"


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


# --- measures -----------------------------------------------------------------------------------


def measure_what(name: str) -> str:
    """What a measure is, in one line; nothing where that is not known."""
    known = known_measure(name)
    return known.what if known else ""


def measure_unit(name: str) -> str:
    """`dB`, or nothing."""
    known = known_measure(name)
    return known.unit if known else ""


def bounds(name: str) -> tuple[float, float]:
    """What no value lies beyond."""
    known = known_measure(name)
    return known.bounds if known else (-math.inf, math.inf)


def measured(name: str, value: float) -> str:
    """A value of a measure with the decimals that are worth printing."""
    known = known_measure(name)
    return number(value, known.digits if known else 3)
