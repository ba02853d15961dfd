"""Where the images of a store lie now, so that a printed command can name them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any

from nca_cli.errors import NcaError
from nca_cli.images import image_digest, resolution_of, sample_images

PLACEHOLDER = "IMAGES"
"""Stands for a path that nobody knows."""


class Paths:
    """Where stored images lie, as far as that can be known: here, or among the samples."""

    def __init__(self) -> None:
        self._digest = cache(partial(found, image_digest))

    def of(self, images: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
        """Where some images lie, each once."""
        once = {info.get("digest"): info for info in images}
        return tuple(dict.fromkeys(map(self.find, once.values())))

    def find(self, info: Mapping[str, Any]) -> str:
        """A path that leads to the image of an attribute `image`, or the placeholder."""
        paths = [Path(str(info.get("file", ""))), *_samples()]
        same = (path for path in paths if os.path.isfile(path) and self._is(path, info))
        text = str(next(same, PLACEHOLDER))
        return f"./{text}" if text.startswith("-") else text

    def _is(self, path: Path, info: Mapping[str, Any]) -> bool:
        try:
            fitted = resolution_of(info.get("resolution")), str(info.get("fit", "crop"))
        except (TypeError, ValueError):  # of a header that no image has
            return False
        return str(path).isprintable() and self._digest(path, *fitted) == info.get("digest")


def _samples() -> list[Path]:
    return [path for kind in ("photos", "portraits") for path in found(sample_images, kind)]


def found(look: Any, *arguments: Any) -> Any:
    """What there is, nothing where an installation or a file lacks it."""
    try:
        return look(*arguments)
    except NcaError:
        return ()
