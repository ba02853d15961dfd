"""How numbers, metrics and references are written, on the page and on paper."""

from __future__ import annotations

import math
from collections.abc import Iterable

from nca_cli.analysis import REFERENCE, Reference
from nca_cli.figures.type import text
from nca_cli.metrics import Metric, described
from nca_cli.metrics.registry import family

FINE = 100
"""Pixels per em at which words are measured."""
LOG_SNR, PER_PIXEL = "log SNR", "log SNR per pixel at 256 px"
"""The two axes of noise."""
_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


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
    size = "∞" if math.isinf(value) else f"{abs(value):.{digits}f}"
    return f"−{size}" if value < 0 else size


def scientific(value: float, digits: int = 3) -> str:
    """`1.52`, `0.00264`, `4.04×10⁻⁵`: a number of any size in so many significant digits."""
    if not math.isfinite(value):
        return number(value, 0)
    mantissa, _, exponent = f"{value:.{digits}g}".partition("e")
    return f"{mantissa}×10{str(int(exponent)).translate(_SUPERSCRIPT)}" if exponent else mantissa


EXCESS, RETENTION, CONCEPT = "excess", "retention", "concept"


def _derived(*_: object) -> float:
    """Taken of no two pictures."""
    return math.nan


_RETAINED = Metric(_derived, "Retention of", "share of a concept that is still read", "higher", 2)
DERIVED = {
    EXCESS: Metric(_derived, "Gain over",
                    "how much smaller the squared error is than that of a Gaussian denoiser "
                    "fitted to the other images", "", 2, "dB"),
    RETENTION: _RETAINED,
    CONCEPT: _RETAINED,
    "pairs": Metric(_derived, "Pairs of", "mean square distance per pixel", "", 3),
    "decided": Metric(_derived, "Share of variance explained by the image",
                       "share of the variance of x̂0 that lies between images", "", 2,
                       bounds=(0, 1)),
    "content": Metric(_derived, "Where SSIM is lost",
                       "share of what is lost, per unit of log SNR", "", 3),
}  # fmt: skip
"""What is drawn as metrics are, but derived from them."""


def part(measure: str) -> str:
    """`coherence/3` → `3`; nothing for a metric of one value."""
    return measure.partition("/")[2]


def metric_title(name: str) -> str:
    """`PSNR`; `8–16 cycles per side` of an octave band; `Gaze` of a concept; `layer 7`."""
    title = known_metric(name).title
    if not part(name):
        return title
    if family(name) == EXCESS:
        return f"{title} the {reference_title(part(name))}"
    if family(name) == RETENTION:
        return part(name)[:1].upper() + part(name)[1:]
    return band_title(int(part(name))) if _is_band(name) else f"{title} {part(name)}"


def _is_band(name: str) -> bool:
    """Whether it is of an octave band: `coherence/3` is 8 to 16 cycles per picture."""
    known = described(name)
    return known is not None and known.bands and part(name).isdigit()


def noise_axis(per_pixel: bool = False, narrow: bool = False) -> str:
    """Title of the axis of logSNR, whose noise grows to the right; two lines where it is narrow."""
    between = "\n" if per_pixel and narrow else " "
    return f"{PER_PIXEL if per_pixel else LOG_SNR}{between}(more noise →)"


def full_title(name: str) -> str:
    """`Coherence, 8–16 cycles per side`: a title that stands alone."""
    title = known_metric(name).title
    if _is_band(name):
        return f"{title}, {metric_title(name)}"
    return metric_title(name) if family(name) == EXCESS else f"{title} {part(name)}".rstrip()


def axis_title(metric: str, room: float = math.inf) -> str:
    """`PSNR (dB; higher is closer)`; in two lines where it is wider than `room`, in em."""
    known = known_metric(metric)
    remark = "; ".join(filter(None, [known.unit, known.better and f"{known.better} is closer"]))
    if not remark:
        return full_title(metric)
    whole = f"{full_title(metric)} ({remark})"
    narrow = part(metric) or text.width(text.words(whole), FINE) > room * FINE
    return f"{full_title(metric)}\n({remark})" if narrow else whole


def scale_of(name: str) -> object:
    """Equal for metrics whose numbers are of one unit, or are taken by one function."""
    known = known_metric(name)
    return known.unit or known.function


def known_metric(name: str) -> Metric:
    """What is known about a metric, be it derived or not; nothing but its name if need be."""
    return DERIVED.get(family(name)) or described(name) or Metric(_derived, family(name), "", "")


def band_title(band: int) -> str:
    """Of octave `band`: it ends below 2^(band+1) cycles per picture side (the finest does not)."""
    return f"{octave_title(band)} cycles per side"


def octave_title(band: int) -> str:
    """`8–16`, of octave 3."""
    return f"{2**band}–{2 ** (band + 1)}" if band else "below 2"


def octave(measure: str) -> int:
    """`coherence/3` → 3."""
    return int(part(measure))


def measured(name: str, value: float) -> str:
    """A value of a metric with the decimals that are worth printing."""
    return number(value, known_metric(name).digits)


REFERENCES = {
    "copy": "x_t itself", "floor": "autoencoder alone",
    "gaussian": "Gaussian", "wiener": "Wiener filter",
}  # fmt: skip


def reference_title(name: str, fitted: Reference | None = None) -> str:
    """`x_t itself`, `Wiener filter, ddim-50`; what is `fitted` says to how much.

    `Gaussian of 31 other images (30 of 12,288 directions)`.
    """
    kind, _, chain = name.removeprefix(REFERENCE).partition("/")
    title = REFERENCES.get(kind, kind)
    if fitted and fitted.dimensions:
        title += f" of {fitted.n - 1} other images"
        if fitted.known < fitted.dimensions:
            title += f" ({fitted.known:,} of {fitted.dimensions:,} directions)"
    return f"{title}, {chain}" if chain else title


def reference_kind(reference: str) -> str:
    """`reference:gaussian/ddim-50` → `gaussian`."""
    return reference.rpartition(":")[2].partition("/")[0]


def fitted(references: Iterable[Reference], model: str, name: str) -> Reference | None:
    """What became of the reference of this model that is called `reference:gaussian`, say."""
    found = (each for each in references if (each.model, each.name) == (model, name))
    return next(found, None)
