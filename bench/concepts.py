"""What goes at which noise level, on 64 portraits that the demo model never saw.

    python -m bench concepts

One-step reconstructions at t = 0, 50, … 950, about half a minute of the demo model on two cores.
Expected: fine bands are lost to less noise than coarse ones, freckles before hair colour.
"""

from __future__ import annotations

import math
import tempfile
import time
from itertools import pairwise
from pathlib import Path

import numpy as np

from bench.table import say
from nca_cli.analysis import Analysis, HalfLevel, analyse
from nca_cli.concepts import ConceptRetention, concept_curves, concept_retention, read_labels
from nca_cli.images import load_image
from nca_cli.metrics import coherence, kept
from nca_cli.portraits import HELD_OUT_SEEDS, write_portraits

IMAGES = 64
LEVELS = range(0, 1000, 50)
SEEDS = HELD_OUT_SEEDS[4_000 : 4_000 + IMAGES]


def bands(found: Analysis, family: str) -> None:
    """Half-levels from coarse to fine, and whether each is lost surely before the coarser one."""
    halves = [half for half in found.half_levels if half.measure.startswith(f"{family}/")]
    halves.sort(key=lambda half: int(half.measure.partition("/")[2]))
    for half in halves:
        _say(half)
    orders = {frozenset((one.first, one.then)): one for one in found.orders}
    for coarse, fine in pairwise(halves):
        order = orders[frozenset((coarse.measure, fine.measure))]
        expected = order.first == fine.measure
        sure = order.probability if expected else 1 - order.probability
        apart = coarse.log_snr.high < fine.log_snr.low
        pair = f"{fine.measure} before {coarse.measure}"
        say(f"{pair}: probability", [sure])
        say(f"{pair}: difference is certain", [order.certain and expected])
        say(f"{pair}: intervals are apart", [apart])


def concepts(found: ConceptRetention) -> None:
    """Half-levels of concepts, the one that goes first first; then freckles against hair colour."""

    def place(half: HalfLevel) -> float:
        return math.inf if math.isnan(half.log_snr.value) else -half.log_snr.value

    for half in sorted(found.half_levels, key=place):
        _say(half)
    for first, then in (("freckles", "hair"), ("freckles", "glasses"), ("eye", "hair")):
        say(f"{first} before {then}: probability", [found.probability(first, then)])


def gains(found: Analysis) -> None:
    """The model against the Gaussian fitted to the other images, in dB at each level."""
    for one in found.excess:
        gain = one.gain
        for which, value in (("", gain.value), (", low", gain.low), (", high", gain.high)):
            say(f"t {one.t}, gain over {one.reference}{which}", [value], "dB")
    for note in found.references:
        if note.blank:
            print(f"{note.name}: {note.blank}")


def learned(found: Analysis) -> None:
    """Bits per pixel of each of P2's stages, of the model and of the Gaussians."""
    for one in found.bits:
        number = one.bits
        what = f"{one.sampler}, {one.stage}{' as far as measured' * one.partial}"
        for which, value in (("", number.value), (", low", number.low), (", high", number.high)):
            say(f"{what}{which}", [value], "bits per pixel")


def unknowing(files: list[Path]) -> None:
    """What bands have where nothing is known: the mean image of all others against each image."""
    x0 = np.stack([load_image(file, 64).pixels for file in files])
    others = (x0.sum(axis=0) - x0) / (len(x0) - 1)
    pairs = list(zip(x0, others, strict=True))
    for measure in (kept, coherence):
        found = [list(measure(*pair).values()) for pair in pairs]
        for number, mean in enumerate(np.mean(found, axis=0)):
            say(f"{measure.__name__} of the mean image, band {number} from coarse", [mean])


def _say(half: HalfLevel) -> None:
    """logSNR and t at which half is lost, with the interval where there is one."""
    where = half.log_snr
    if math.isnan(where.value):
        print(f"{half.measure}: {where.blank}")
        return
    what = f"{half.measure}, half lost ({where.n} images)"
    say(f"{what}: t", [half.t])
    say(f"{what}: logSNR", [where.value])
    if where.blank:
        print(f"{what}: {where.blank}")
        return
    say(f"{what}: logSNR, low", [where.low])
    say(f"{what}: logSNR, high", [where.high])


def main() -> None:
    """Render, reconstruct, measure, analyse, print."""
    from nca_cli.metrics import measure_store
    from nca_cli.twins import reconstruct

    with tempfile.TemporaryDirectory() as folder:
        pictures = Path(folder) / "portraits"
        write_portraits(pictures, SEEDS)
        began = time.perf_counter()
        summary = reconstruct(
            *sorted(pictures.glob("*.png")),
            store=Path(folder) / "store", models=["demo"], samplers=["one-step"],
            t=list(LEVELS), seeds=(0,),
        )  # fmt: skip
        say(f"{summary.computed} reconstructions", [time.perf_counter() - began], "s")
        began = time.perf_counter()
        found = analyse(measure_store(summary.store), summary.store)
        truth = read_labels(pictures / "labels.csv")
        read = concept_retention(concept_curves(summary.store, truth=truth).readings)
        say("measured and analysed", [time.perf_counter() - began], "s")
        unknowing(sorted(pictures.glob("*.png")))
    for family in ("kept", "coherence"):
        bands(found, family)
    concepts(read)
    gains(found)
    learned(found)


if __name__ == "__main__":
    main()
