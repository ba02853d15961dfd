"""Who an image is: a digest of its content, and a name for people."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from pathlib import Path
from typing import IO

from nca_cli.errors import ImageError, UsageError
from nca_cli.images.archives import Member
from nca_cli.images.source import next_step

PREPROCESSING_VERSION = 1  # raise it when the same file would give other pixels
FITS = ("crop", "pad", "stretch")
Source = Path | Member
"""What an image is read from: a file, or a member of an archive."""


def as_source(image: str | Source) -> Source:
    """Text is the path of a file."""
    return Path(image) if isinstance(image, str) else image


def image_name(image: str | Source) -> str:
    """The stem of an image as a name for a folder: at most 60 characters, any script.

    Separators, control characters, spaces and what Windows reserves become "-"; no name starts
    with a dot or a dash, ends with one, or is empty. scikit-image's chelsea.png is the "cat".
    """
    source = as_source(image)
    if source.parts[-3:] == ("skimage", "data", "chelsea.png"):
        return "cat"
    stem = unicodedata.normalize("NFC", source.stem)
    safe = re.sub("-+", "-", "".join("-" if _unsafe(c) else c for c in stem))
    return safe.lstrip(".-")[:60].rstrip(".-") or "image"


def _unsafe(character: str) -> bool:
    """Control, format and unassigned characters (C*), separators (Z*), and reserved ones."""
    return unicodedata.category(character)[0] in "CZ" or character in '<>:"/\\|?*'


def image_digest(image: str | Source, resolution: int, fit: str = "crop") -> str:
    """The identity of an image: 64 hex digits that depend on content and preprocessing alone.

    SHA-256 of the line "nca-image VERSION FIT RESOLUTION" (such as "nca-image 1 crop 256"), one
    newline character, and the bytes of the file. Decodes nothing.

    Raises ImageError when the file cannot be read, UsageError for an unknown fit.
    """
    check_fit(fit)
    try:
        with as_source(image).open("rb") as file:
            return file_digest(file, resolution, fit)
    except OSError as error:
        raise ImageError(image, error.strerror or str(error), next_step(error)) from error


def file_digest(file: IO[bytes], resolution: int, fit: str) -> str:
    """`image_digest` of what an open file holds from here on. Raises `OSError`."""
    digest = hashlib.sha256(f"nca-image {PREPROCESSING_VERSION} {fit} {resolution}\n".encode())
    return hashlib.file_digest(file, lambda: digest).hexdigest()  # type: ignore[arg-type]


def check_fit(fit: str) -> None:
    """Raise `UsageError` for what is no fit."""
    if fit not in FITS:
        raise UsageError(f"unknown fit {fit!r}", f"choose one of {', '.join(FITS)}")
