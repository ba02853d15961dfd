"""Procedural portraits: small pictures drawn from known, continuous factors."""

from __future__ import annotations

import argparse
import csv
from dataclasses import asdict
from pathlib import Path

import numpy as np

from nca_cli.portraits.factors import HELD_OUT_SEEDS, TRAIN_SEEDS, Factors, draw_factors
from nca_cli.portraits.painter import render


def portrait(seed: int, size: int = 64) -> tuple[np.ndarray, Factors]:
    """The portrait of a seed: an image, uint8 `(size, size, 3)`, and the factors it shows."""
    factors = draw_factors(seed)
    return render(factors, size), factors


def write_portraits(folder: Path, seeds: range, size: int = 64) -> None:
    """`portrait-00100.png`, … and `labels.csv`: column image, and every factor (`hair_r`, …)."""
    from PIL import Image

    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "labels.csv", "w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        for row, seed in enumerate(seeds):
            image, factors = portrait(seed, size)
            name, labels = f"portrait-{seed:05d}.png", _columns(factors)
            Image.fromarray(image).save(folder / name)
            rows.writerows([["image", *labels]] if row == 0 else [])
            rows.writerow([name, *labels.values()])


def _columns(factors: Factors) -> dict[str, float]:
    """Factors as numbers under names of their own; a colour has three."""
    columns: dict[str, float] = {}
    for name, value in asdict(factors).items():
        if isinstance(value, tuple):
            columns |= {f"{name}_{c}": part for c, part in zip("rgb", value, strict=True)}
        else:
            columns[name] = value
    return columns


def main(arguments: list[str] | None = None) -> None:
    """Write portraits that the demo model never saw, and their factors as labels."""
    parser = argparse.ArgumentParser("python -m nca_cli.portraits", description=main.__doc__)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    parser.add_argument("--count", type=int, default=64)
    parser.add_argument("--first-seed", type=int, default=1000)
    parser.add_argument("--size", type=int, default=64)
    args = parser.parse_args(arguments)
    seeds = range(args.first_seed, args.first_seed + args.count)
    if not seeds or seeds[0] not in HELD_OUT_SEEDS or seeds[-1] not in HELD_OUT_SEEDS:
        parser.error(f"seeds must lie within 0 … {HELD_OUT_SEEDS[-1]}: the model saw the others")
    write_portraits(args.out, seeds, args.size)
    print(args.out / "labels.csv")
