"""Models and pictures to measure with."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))


def tiny_model(folder: Path) -> Path:
    """A pixel pipeline of a few thousand parameters whose chains do not amplify rounding."""
    from pipelines import tiny_pixel

    return tiny_pixel(folder, prediction_type="sample")


def noise_pictures(folder: Path, count: int, side: int = 32) -> Path:
    """A folder of different pictures."""
    import numpy as np
    from PIL import Image

    folder.mkdir(parents=True)
    random = np.random.default_rng(0)
    for number in range(count):
        pixels = random.integers(0, 256, (side, side, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"picture-{number:03d}.png")
    return folder
