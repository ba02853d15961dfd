"""How large images are: the side of a square in pixels, or height and width."""

from __future__ import annotations

from typing import Any, TypeAlias

Resolution: TypeAlias = int | tuple[int, int]
"""256, or (height, width) of what is no square."""


def resolution_of(said: Any) -> Resolution:
    """256, "256", [256, 256] → 256; [32, 64], "32x64" → (32, 64). Raises `ValueError`."""
    told = said.lower().split("x") if isinstance(said, str) else said
    sides = [int(side) for side in (told if isinstance(told, list | tuple) else [told])]
    if not sides or (len(sides) > 2 and len({*sides}) > 1):
        raise ValueError(said)
    height, width = sides[0], sides[-1]
    return height if height == width else (height, width)


def height_width(resolution: Resolution) -> tuple[int, int]:
    """Of a square too."""
    return (resolution, resolution) if isinstance(resolution, int) else resolution


def size_text(resolution: Resolution) -> str:
    """`256`, `32x64`: as an option says it, and as digests are taken of it."""
    return str(resolution) if isinstance(resolution, int) else "{}x{}".format(*resolution)


def size_json(resolution: Resolution) -> int | list[int]:
    """256, or [height, width]: as files say it."""
    return resolution if isinstance(resolution, int) else [*resolution]
