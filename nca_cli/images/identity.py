"""Who an image is: its name for people, and the digest by which every machine knows it."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from pathlib import Path
from typing import IO

from nca_cli.errors import ImageError, UsageError
from nca_cli.images.archives import Member
from nca_cli.images.readable import next_step
from nca_cli.images.size import Resolution, size_text

PREPROCESSING_VERSION = 1  # raise it when the same file would give other pixels
FITS = ("crop", "pad", "stretch")
Source = Path | Member
"""What an image is read from: a file, or a member of an archive."""
CHUNK = 1 << 20
_PNG, _TIFF = b"\x89PNG", (b"II*\0", b"II+\0", b"MM\0*", b"MM\0+")


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


def image_digest(image: str | Source, resolution: Resolution, fit: str = "crop") -> str:
    """The identity of an image: 64 hex digits that depend on content and preprocessing alone.

    SHA-256 of the line "nca-image VERSION FIT RESOLUTION" (such as "nca-image 1 crop 256"), one
    newline character, and the bytes of the file. The line of a picture whose numbers do not mean
    what they usually do names what is done about it: "nca-image 1 crop 256 srgb" (its profile is
    converted), "… 12-bit" (scaled). Decodes no pixel.

    Raises ImageError when the file cannot be read, UsageError for an unknown fit.
    """
    check_fit(fit)
    source = as_source(image)
    try:
        with source.open("rb") as file:
            return file_digest(file, resolution, fit, source)
    except OSError as error:
        raise ImageError(image, error.strerror or str(error), next_step(error)) from error


def file_digest(file: IO[bytes], resolution: Resolution, fit: str, source: Source) -> str:
    """`image_digest` of an open file. Raises `OSError`, and `ImageError` of `source`."""
    line = f"nca-image {PREPROCESSING_VERSION} {fit} {size_text(resolution)}"
    digest, special = _hashed(file, line)
    if special:
        from nca_cli.images.opening import treatment

        if steps := treatment(file, source):
            digest, _ = _hashed(file, " ".join([line, *steps]))
    file.seek(0)
    return digest


def _hashed(file: IO[bytes], line: str) -> tuple[str, bool]:
    """SHA-256 of a line and all of a file, and whether it may hold a colour profile or 12 bits.

    A profile says "acsp" in its header; PNG, which compresses it, says "iCCP" before it.
    """
    file.seek(0)
    digest, last = hashlib.sha256(f"{line}\n".encode()), b""
    start = chunk = file.read(CHUNK)
    mark, special = b"iCCP" if start.startswith(_PNG) else b"acsp", start.startswith(_TIFF)
    while chunk:
        digest.update(chunk)
        special = special or mark in chunk or mark in last + chunk[:3]
        last = chunk[-3:]
        chunk = file.read(CHUNK)
    return digest.hexdigest(), special


def check_fit(fit: str) -> None:
    """Raise `UsageError` for what is no fit."""
    if fit not in FITS:
        raise UsageError(f"unknown fit {fit!r}", f"choose one of {', '.join(FITS)}")
