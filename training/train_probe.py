"""Fit the probe that reads the factors of the portraits, and print what it is worth.

    python training/train_probe.py        (a minute on one core; NumPy only)

Half of the pictures are blurred (Gaussian, σ up to 4 pixels), all carry a little noise. So the
probe meets pictures as smooth as a posterior mean is: it reads a colour from a blur as well as
from a sharp picture, and where a concept cannot be seen any more it falls back to the average. A
probe that has only met sharp pictures would misread blurs, and call that forgetting. The noise
keeps it from undoing the blur. The consequence: it reads fine detail of sharp pictures a little
less well than it could.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
from data import portraits, to_model, training_portraits

from nca_cli.concepts import Probe, factor_labels, fit_probe
from nca_cli.concepts.probe import SHIPPED, described
from nca_cli.portraits import HELD_OUT_SEEDS, TRAIN_SEEDS, draw_factors

COUNT = 4_000
BLURS = (0.0, 4.0)
NOISE = 0.02
TESTED = HELD_OUT_SEEDS[2_000:2_500]


def blurred(pictures: np.ndarray, sigma: float) -> np.ndarray:
    """(N, C, S, S) under a Gaussian of `sigma` pixels; edges are reflected in the weights."""
    if not sigma:
        return pictures
    places = np.arange(pictures.shape[-1])
    kernel = np.exp(-((places[:, None] - places) ** 2) / (2 * sigma**2))
    kernel = (kernel / kernel.sum(1, keepdims=True)).astype(np.float32)
    return kernel @ pictures @ kernel.T


def seen_in_training(pictures: np.ndarray, seed: int = 0) -> np.ndarray:
    """Every second picture blurred, all with a little noise."""
    random = np.random.default_rng(seed)
    pictures = pictures.copy()
    for row in range(1, len(pictures), 2):
        pictures[row] = blurred(pictures[row], random.uniform(*BLURS))
    return pictures + NOISE * random.standard_normal(pictures.shape, np.float32)


def held_out(probe: Probe) -> Probe:
    """The probe with its accuracy on portraits that no fit has seen."""
    read = probe.read(to_model(portraits(TESTED)))
    truth = factor_labels([draw_factors(seed) for seed in TESTED])
    tested = (described(name, truth[name], read[name]) for name in probe.names)
    return replace(probe, concepts=tuple(
        replace(old, accuracy=new.accuracy, threshold=new.threshold)
        for old, new in zip(probe.concepts, tested, strict=True)
    ))  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=SHIPPED)
    parser.add_argument("--count", type=int, default=COUNT)
    args = parser.parse_args()
    pictures = to_model(training_portraits(30_000)[: args.count])
    truth = factor_labels([draw_factors(seed) for seed in TRAIN_SEEDS[: args.count]])
    probe = held_out(fit_probe(seen_in_training(pictures), truth))
    args.out.parent.mkdir(parents=True, exist_ok=True)
    print(f"{probe.save(args.out)}: {args.out.stat().st_size:,} bytes")
    for concept in probe.concepts:
        print(f"{concept.title:20} {concept.measured_by:18} {concept.accuracy:.3f}")


if __name__ == "__main__":
    main()
