"""Write the bundled sample portraits with their factors, and the contact sheet for the docs.

python training/make_portraits.py
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
from data import ASSETS
from PIL import Image

from nca_cli.portraits import HELD_OUT_SEEDS, portrait

SEEDS = (111, 77, 102, 115, 81, 50, 106, 64)  # chosen for variety
IMAGES = Path(__file__).resolve().parents[1] / "docs" / "images"


def bundle(folder: Path) -> None:
    """portrait-00.png ... and factors.json, {file name: {"seed": ..., "factors": {...}}}."""
    folder.mkdir(parents=True, exist_ok=True)
    records = {}
    for index, seed in enumerate(SEEDS):
        image, factors = portrait(seed)
        name = f"portrait-{index:02d}.png"
        Image.fromarray(image).save(folder / name, optimize=True)
        records[name] = {"seed": seed, "factors": dataclasses.asdict(factors)}
    (folder / "factors.json").write_text(json.dumps(records, indent=1) + "\n")


def sheet(images: np.ndarray, columns: int, zoom: int, path: Path) -> None:
    """Uint8 images (N, H, W, 3) side by side, each pixel drawn as `zoom` x `zoom`."""
    rows = [np.concatenate(images[i : i + columns], 1) for i in range(0, len(images), columns)]
    picture = Image.fromarray(np.concatenate(rows, 0))
    path.parent.mkdir(parents=True, exist_ok=True)
    size = (picture.width * zoom, picture.height * zoom)
    picture.resize(size, Image.Resampling.NEAREST).save(path, optimize=True)


def contact_sheet() -> Path:
    """48 held-out portraits, for the docs."""
    faces = np.stack([portrait(seed)[0] for seed in HELD_OUT_SEEDS[:48]])
    path = IMAGES / "demo-portraits.png"
    sheet(faces, 12, 1, path)
    return path


def main() -> None:
    bundle(ASSETS / "portraits")
    contact_sheet()


if __name__ == "__main__":
    main()
