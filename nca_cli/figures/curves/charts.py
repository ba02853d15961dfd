"""What charts of the page and of paper share: looks of series, which t are named, and titles."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

from nca_cli.analysis import REFERENCE, Point, Reference, Value
from nca_cli.metrics import Metric, described

COLOUR_COUNT, DASH_COUNT = 7, 4
"""How many page and paper have of each, in their own spelling; as many markers as colours."""
MOST_AREAS = 3
"""Intervals of so many series are areas; those of more would cover one another and are bars."""


def variants(series: Sequence[tuple[str, str]]) -> list[tuple[int, int]]:
    """(model, sampler) of each series → which colour and marker, and which dash, it has.

    The first tells samplers and the second models, where both are few enough; else each series
    has a colour of its own, and a new dash when colours come again.
    """
    models = list(dict.fromkeys(model for model, _ in series))
    samplers = list(dict.fromkeys(sampler for _, sampler in series))
    if len(models) > DASH_COUNT or not 1 < len(samplers) <= COLOUR_COUNT:
        return [(index % COLOUR_COUNT, index // COLOUR_COUNT % DASH_COUNT)
                for index in range(len(series))]  # fmt: skip
    return [(samplers.index(sampler), models.index(model)) for model, sampler in series]


def named_levels(
    points: Iterable[Point], place: Callable[[float], float], spacing: float
) -> list[tuple[str, float]]:
    """The t to name along a logSNR axis and their places: round ones first, `spacing` apart.

    None where models disagree on what a t is.
    """
    levels: dict[float, float] = {}
    for point in points:
        if levels.setdefault(point.t, point.log_snr) != point.log_snr:
            return []
    named: list[tuple[str, float]] = []
    for t in sorted(levels, key=_roundness):
        at = place(levels[t])
        if all(abs(at - other) >= spacing for _, other in named):
            named.append((f"{t:g}", at))
    return named


def _roundness(t: float) -> tuple[int, float]:
    """Smaller for rounder numbers: hundreds, fifties, tens, then all others."""
    return next((rank for rank, unit in enumerate((100, 50, 10)) if t % unit == 0), 3), t


# --- titles of measures ---------------------------------------------------------------------------


EXCESS, RETENTION = "excess", "retention"
DERIVED = {
    EXCESS: Metric(lambda *_: math.nan, "Gain over",
                    "how much smaller the squared error is than that of a Gaussian denoiser "
                    "fitted to the other images", "", 2, "dB"),
    RETENTION: Metric(lambda *_: math.nan, "Retention of",
                         "share of a concept that is still read", "higher", 2),
    "pairs": Metric(lambda *_: math.nan, "Pairs of", "mean square distance per pixel", "", 3),
    "decided": Metric(lambda *_: math.nan, "Decided by the image",
                       "share of the variance of x̂0 that is between images, not seeds", "", 2,
                       bounds=(0, 1)),
    "content": Metric(lambda *_: math.nan, "Where SSIM is lost",
                       "share of what is lost, per unit of log SNR", "", 3),
}  # fmt: skip
"""What is drawn as measures are, but derived from them."""


def family(measure: str) -> str:
    """`coherence/3` → `coherence`."""
    return measure.partition("/")[0]


def part(measure: str) -> str:
    """`coherence/3` → `3`; nothing for a measure of one value."""
    return measure.partition("/")[2]


def measure_title(name: str) -> str:
    """`PSNR`; `8–16 cycles per side` of an octave band; `Gaze` of a concept; `layer 7`."""
    if not part(name):
        return family_title(name)
    if family(name) == EXCESS:
        return f"{family_title(name)} the {reference_title(part(name))}"
    if family(name) == RETENTION:
        return part(name)[:1].upper() + part(name)[1:]
    if _is_band(name):
        return band_title(int(part(name)))
    return f"{family_title(name)} {part(name)}"


def _is_band(name: str) -> bool:
    """Whether it is of an octave band: `coherence/3` is 8 to 16 cycles per picture."""
    known = described(name)
    return known is not None and known.bands and part(name).isdigit()


def full_title(name: str) -> str:
    """`Coherence, 8–16 cycles per side`: a title that stands alone."""
    if _is_band(name):
        return f"{family_title(name)}, {measure_title(name)}"
    if family(name) == EXCESS:
        return measure_title(name)
    return f"{family_title(name)} {part(name)}".rstrip()


def known_measure(name: str) -> Metric | None:
    """What is known about a measure, be it derived or not; None if nothing."""
    return DERIVED.get(family(name)) or described(name)


def family_title(name: str) -> str:
    """`Coherence`, of `coherence/3` and of `coherence`; the name itself where none is known."""
    known = known_measure(name)
    return known.title if known else family(name)


def band_title(band: int) -> str:
    """Of octave `band`: it ends below 2^(band+1) cycles per picture side (the finest does not)."""
    low = f"{2**band}–" if band else "below "
    return f"{low}{2 ** (band + 1)} cycles per side"


def which_is_closer(name: str) -> str:
    """`higher` or `lower`; nothing where that is not known, nor where the ideal is in between."""
    known = known_measure(name)
    return known.better if known else ""


# --- references ---------------------------------------------------------------------------------

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


def fitted(references: Iterable[Reference], model: str, name: str) -> Reference | None:
    """What became of the reference of this model that is called `reference:gaussian`, say."""
    found = (each for each in references if (each.model, each.name) == (model, name))
    return next(found, None)


# --- what may be compared -----------------------------------------------------------------------


def uneven(values: Iterable[Value]) -> str:
    """What keeps means from being compared: other images, levels or seeds; nothing if none does."""
    images: dict[tuple[str, str], dict[float, set[str]]] = {}
    seeds: dict[tuple[str, str], set[tuple]] = {}
    for value in values:
        if not value.sampler.startswith(REFERENCE):
            key = value.model, value.sampler
            images.setdefault(key, {}).setdefault(value.t, set()).add(value.image)
            seeds.setdefault(key, set()).add((value.image, value.t, value.seed))
    if _differ(some for levels in images.values() for some in levels.values()):
        return (
            "Not all means are over the same images: they differ by these, too (--image chooses)."
        )
    if _differ(map(set, images.values())):
        return "Not every series has the same levels: compare curves where both have points."
    return "Not every series has the same seeds of its images." if _differ(seeds.values()) else ""


def _differ(sets: Iterable[set]) -> bool:
    return len(set(map(frozenset, sets))) > 1
