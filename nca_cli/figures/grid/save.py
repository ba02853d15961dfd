"""Figures as files; the suffix says which kind."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nca_cli.errors import UsageError
from nca_cli.figures.grid.request import MOST_PIXELS

if TYPE_CHECKING:
    from PIL import Image

JPEG = ("JPEG", {"quality": 95, "subsampling": 0})
STILL: dict[str, tuple[str, dict[str, Any]]] = {
    ".png": ("PNG", {"compress_level": 1}),  # noise hardly compresses, at any level
    ".webp": ("WEBP", {"quality": 95, "method": 2}),
    ".jpg": JPEG,
    ".jpeg": JPEG,
}
"""Suffix → Pillow's format and its options."""
ANIMATED = (".gif", ".webp")
VECTOR = (".pdf", ".svg")
SUFFIXES = (".png", ".webp", ".pdf", ".svg", ".jpg", ".jpeg", ".gif")
FRAME_MS, LAST_MS = 700, 1800


def suffix_of(path: Path) -> str:
    """The suffix, checked. Raises `UsageError` that names the known ones."""
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        known = f"one of: {', '.join(SUFFIXES)}"
        raise UsageError(f"{path}: unknown picture format", known)
    return suffix


def still(image: Image.Image, suffix: str, dpi: float | None = None) -> bytes:
    """The bytes of a still picture; `dpi` says how large it is on paper, but in WebP."""
    kind, options = STILL[suffix]
    return encoded(image, kind, **options, **({"dpi": (dpi, dpi)} if dpi else {}))


def animation(frames: Sequence[Image.Image], suffix: str) -> bytes:
    """A GIF or WebP that runs through the frames, rests on the last, and begins again for ever."""
    kind, options = "WEBP", {"quality": 90, "method": 2}
    if suffix == ".gif":
        kind, options, frames = "GIF", {}, [_indexed(frame) for frame in frames]
    durations = [FRAME_MS] * (len(frames) - 1) + [LAST_MS]
    moving = {"save_all": True, "append_images": frames[1:], "duration": durations, "loop": 0}
    return encoded(frames[0], kind, **moving, **options)


def _indexed(frame: Image.Image) -> Image.Image:
    """In 256 colours of its own."""
    from PIL import Image

    return frame.quantize(palette=frame.quantize(256, Image.Quantize.MEDIANCUT))


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    """The picture in a format of Pillow's. Raises `UsageError` where WebP cannot hold it."""
    if kind == "WEBP" and max(image.size) > MOST_PIXELS:
        raise UsageError(
            f"a WebP picture has at most {MOST_PIXELS} pixels a side, not {max(image.size)}",
            "choose PNG, or fewer rows",
        )
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()
