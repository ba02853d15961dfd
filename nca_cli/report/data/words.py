"""Words of sentences: names, counts, lists, and half-levels."""

from __future__ import annotations

import math
import unicodedata

from nca_cli.analysis import Analysis, Curve, Estimate, HalfLevel, Turn
from nca_cli.concepts import ConceptRetention
from nca_cli.concepts.retained import CONCEPT
from nca_cli.figures.curves.panel import drawable
from nca_cli.figures.curves.titles import scientific, snr
from nca_cli.metrics import described

BLANK = "\N{NO-BREAK SPACE}"
_TURNING = {"R", "AL", "RLE", "LRE", "RLO", "LRO", "RLI", "LRI", "FSI", "PDF", "PDI"}


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


def concept_title(measure: str, found: ConceptRetention | None = None) -> str:
    """`concept/hair_length` → `hair length`; of a colour, `hair colour`."""
    colour = found is not None and f"{measure}_g" in found.metrics
    return measure.removeprefix(CONCEPT).replace("_", " ") + (" colour" if colour else "")


def in_turn(half: HalfLevel) -> tuple[int, float]:
    """Sorts half-levels: what goes first comes first, what is not known comes last."""
    return half.turn.value, -half.log_snr.value if half.turn is Turn.GOES else 0.0


def known_halves(analysis: Analysis) -> list[HalfLevel]:
    """Half-levels that were found, of the metrics that say so (`Metric.half_level`)."""
    return [half for half in analysis.half_levels if math.isfinite(half.log_snr.value)
            and (known := described(half.measure)) and known.half_level]  # fmt: skip


def measured_range(curve: Curve) -> tuple[float, float]:
    """logSNR of the noisiest and the cleanest level at which a metric was taken."""
    known = [p.log_snr for p in drawable(curve)]
    return min(known, default=math.nan), max(known, default=math.nan)


def at_between(where: Estimate, noisiest: float, cleanest: float) -> str:
    """`0.65 [0.5, 0.8]`, `0.017 [below 0.0069, 0.036]`: what was not measured has no number."""
    if math.isnan(where.low):
        return at(where.value)
    low = f"below {at(noisiest)}" if where.low < noisiest else at(where.low)
    high = f"above {at(cleanest)}" if where.high > cleanest else at(where.high)
    return f"{at(where.value)} [{low},{BLANK}{high}]"


def at(log_snr: float) -> str:
    """The SNR of a level, to two digits."""
    return scientific(snr(log_snr), 2)
