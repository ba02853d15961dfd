"""Figures as files; the suffix says which kind."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from nca_cli.errors import UsageError

if TYPE_CHECKING:
    from PIL import Image

PNG_LEVEL = 1
"""Noise hardly compresses: higher levels take several times as long for a few per cent."""
FRAME_MS, LAST_MS = 700, 1800


def suffix_of(path: str | Path) -> str:
    """The suffix, checked. Raises `UsageError` that names the known ones."""
    suffix = Path(path).suffix.lower()
    if suffix not in SUFFIXES:
        raise UsageError(
            f"{path}: no picture format has this suffix", f"one of: {', '.join(SUFFIXES)}"
        )
    return suffix


def still(image: Image.Image, suffix: str, dpi: float | None = None) -> bytes:
    """The bytes of a still picture; `dpi` says how large it is on paper, but in WebP."""
    if suffix == ".webp":
        check_webp(image)
        return _encoded(image, "WEBP", quality=95, method=2)
    if suffix == ".png":
        exact = {"dpi": (dpi, dpi)} if dpi else {}
        return _encoded(image, "PNG", compress_level=PNG_LEVEL, **exact)
    size = {"dpi": (round(dpi), round(dpi))} if dpi else {}
    return _encoded(image, "JPEG", quality=95, subsampling=0, **size)


def check_webp(image: Image.Image) -> None:
    """Raises `UsageError` for a picture that the format cannot hold."""
    if max(image.size) > 16383:
        raise UsageError(
            f"a WebP picture has at most 16383 pixels a side, not {max(image.size)}",
            "choose PNG, or fewer rows",
        )


def _encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def animation(frames: Sequence[Image.Image], suffix: str) -> bytes:
    """A GIF or WebP that runs through the frames, rests on the last, and begins again for ever."""
    durations = [FRAME_MS] * (len(frames) - 1) + [LAST_MS]
    if suffix == ".webp":
        check_webp(frames[0])
        return _encoded(
            frames[0], "WEBP", save_all=True, append_images=frames[1:], duration=durations,
            loop=0, quality=90, method=2,
        )  # fmt: skip
    palettes = [_indexed(frame) for frame in frames]
    return _encoded(
        palettes[0], "GIF", save_all=True, append_images=palettes[1:], duration=durations, loop=0
    )


def _indexed(frame: Image.Image) -> Image.Image:
    """In 256 colours of its own."""
    from PIL import Image

    own = frame.quantize(256, Image.Quantize.MEDIANCUT)
    return frame.quantize(palette=own)


ANIMATED = (".gif", ".webp")
VECTOR = (".pdf", ".svg")
SUFFIXES = (".png", ".webp", ".pdf", ".svg", ".jpg", ".jpeg", ".gif")
