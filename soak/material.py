"""A working folder to attack: pictures, a store, results that are there already."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from nca_cli.store import Store
from nca_cli.store.check import check
from nca_cli.store.index import stamp_of
from soak.children import run

SIDE = 16
WIENER = ("--model", "wiener", "--size", str(SIDE))
STORE, PACKED, SPREAD = "nca-store", "whole.h5", "spread"
OLD, NEW = "500,300", "100,700"
"""Levels that the store holds already, and others."""

Tensors = dict[tuple[Any, ...], np.ndarray]


def prepare(folder: Path, pictures: int = 3) -> Path:
    """Pictures, pairs to import, a store with two levels, and results from before the second."""
    _draw(folder, pictures)
    for words in (
        ("reconstruct", "faces", *WIENER, "--t", "500"),
        ("pack", "-o", PACKED),
        ("report", "-o", "report.html", "--csv", "values.csv"),
        ("reconstruct", "faces", *WIENER, "--t", "300"),
    ):
        done = run(folder, *words)
        assert done.code == 0, done.text
    return folder


def _draw(folder: Path, count: int) -> None:
    random = np.random.default_rng(0)
    for name in ("faces", "theirs"):
        (folder / name).mkdir(parents=True)
    with open(folder / "pairs.csv", "w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(("t", "original", "reconstruction"))
        for number in range(count):
            for name in ("faces", "theirs"):
                pixels = random.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / name / f"p{number}.png")
            pair = (f"faces/p{number}.png", f"theirs/p{number}.png")
            rows.writerows([(t, *pair) for t in (200, 400)])


def tensors(place: Path) -> Tensors:
    """All that is sound in a store: (model, image, artifact, t, seed) → its tensor, and x0 of each
    image."""
    found: Tensors = {}
    for artifact in Store(place, check=False).select() if place.exists() else ():
        if any(check(part).reason for part in artifact.parts):
            continue
        who = (artifact.model, artifact.image, artifact.name)
        if artifact.is_noise and "x0" in artifact.datasets:
            found[*who, "x0"] = artifact.fixed("x0")
        dataset = "x_t" if artifact.is_noise else "x0_hat"
        keys = sorted(artifact.keys)
        if keys:
            found |= zip(((*who, *key) for key in keys), artifact.read(dataset, keys), strict=True)
    return found


def damaged(place: Path) -> list[str]:
    """What is wrong with the parts of a store: `path: reason`."""
    parts = list(Store(place, check=False).all_parts()) if place.exists() else []
    found = ((part, check(part).reason) for part in parts)
    return [f"{part}: {reason}" for part, reason in found if reason]


def vouch(place: Path) -> None:
    """Say of all that is sound that it was found so, as the index of a copied store does not."""
    store = Store(place)
    for part in store.all_parts():
        if not check(part).reason:
            store.backend.guard.vouch(part, stamp_of(part.path))


def temporaries(folder: Path) -> list[Path]:
    """What writers have left."""
    return sorted(folder.rglob(".*.tmp"))


def lost(before: Tensors, after: Tensors) -> list[tuple[Any, ...]]:
    """What was there before and is not there bit for bit."""
    return [key for key, tensor in before.items()
            if key not in after or not np.array_equal(after[key], tensor)]  # fmt: skip


def differing(some: Tensors, whole: Tensors) -> list[tuple[Any, ...]]:
    """What is not in the whole, or not the same to 1e-5."""
    return [key for key, tensor in some.items()
            if key not in whole or not np.abs(tensor - whole[key]).max() <= 1e-5]  # fmt: skip


def values(place: Path) -> dict[str, Any]:
    """What was measured, by file."""
    return {str(path.relative_to(place)): json.loads(path.read_text())
            for path in sorted(place.glob("*/*/*.metrics.json"))}  # fmt: skip
