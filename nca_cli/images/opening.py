"""From a file's bytes to a decoder, within bounds: formats, sizes, and one line for what fails."""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

from nca_cli.errors import ImageError, NcaError
from nca_cli.images.identity import Source
from nca_cli.images.readable import HEIC_HINT, MAX_PIXELS, READABLE, damage, next_step, reads_heic

if TYPE_CHECKING:
    from PIL import Image

SMALLER = "make a smaller copy first"
# Formats that Pillow decodes by itself (EPS, for one, would start Ghostscript), and HEIC.
_FORMATS = ("PNG", "JPEG", "MPO", "WEBP", "TIFF", "GIF", "BMP", "PPM", "AVIF", "JPEG2000", "HEIF")
_MOST = {
    "JPEG2000": 40_000_000, "WEBP": 60_000_000, "AVIF": 80_000_000, "HEIF": 120_000_000,
    "progressive JPEG": 80_000_000,
}  # fmt: skip
"""Pixels of what takes more than 5 bytes each to decode, so that 1 GiB of memory suffices: JPEG
2000 takes 20 to 25, WebP 17, AVIF 12, HEIC 8, progressive JPEG 7 to 13."""
_BRANDS = {
    "HEIC": (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"),
    "AVIF": (b"avif", b"avis"),
}
"""How files of the ISO base media format say what they are."""


@contextmanager
def decoding(
    source: Source, taken: Callable[[IO[bytes]], IO[bytes]] | None = None
) -> Iterator[Image.Image]:
    """Open `source` without decoding it, and turn what decoders throw inside into `ImageError`.

    They throw anything at a damaged file (OSError, SyntaxError, struct.error, IndexError, …).
    """
    with (
        _refusing(source),
        _opened(source) as file,
        _identified(taken(file) if taken else file, source) as image,
    ):
        _check_format_and_size(image, source)
        yield image


def treatment(file: IO[bytes], source: Source) -> list[str]:
    """What is done about the numbers of a picture (`colours.steps`); nothing about what is none.

    Raises `ImageError` where a decoder is not installed.
    """
    from nca_cli.images.colours import steps

    try:
        file.seek(0)
        held = io.BytesIO(file.read())  # decoders close what they read
        with _refusing(source), _identified(held, source) as image:
            _check_format_and_size(image, source)
            return steps(image)
    except _Lacking:
        raise
    except ImageError:
        return []  # whoever decodes it is told


class _Lacking(ImageError):
    """What would decode an image is not installed."""


def _identified(file: IO[bytes], source: Source) -> Image.Image:
    """The picture that a file holds. Raises `ImageError` where a package is missing for it."""
    from PIL import Image, UnidentifiedImageError, features

    try:
        return Image.open(file)
    except UnidentifiedImageError:
        file.seek(0)
        box = file.read(12)
        kind = next((k for k, brands in _BRANDS.items() if box[8:] in brands), "")
        if box[4:8] != b"ftyp" or not kind:
            raise
        if kind == "AVIF" and not features.check("avif"):
            raise _Lacking(source, "this Pillow does not read AVIF",
                           "pip install --upgrade pillow") from None  # fmt: skip
        if kind == "AVIF":
            raise
        if not reads_heic():
            raise _Lacking(source, "HEIC is read with pillow-heif", HEIC_HINT) from None
    import pillow_heif

    pillow_heif.register_heif_opener()
    file.seek(0)
    return Image.open(file)


@contextmanager
def _refusing(source: Source) -> Iterator[None]:
    from PIL import Image, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's own, on large files and damaged metadata
            yield
    except NcaError:
        raise
    except MemoryError as error:
        raise ImageError(source, "too large for the memory", SMALLER) from error
    except UnidentifiedImageError as error:
        raise ImageError(source, "not an image that can be read", READABLE) from error
    except Image.DecompressionBombError as error:
        raise _too_large(source) from error
    except Exception as error:
        raise ImageError(source, damage(error), next_step(error)) from error


def _check_format_and_size(image: Image.Image, source: Source) -> None:
    if image.format not in _FORMATS:
        raise ImageError(source, f"{image.format} files are not supported", READABLE)
    kind = "progressive JPEG" if image.info.get("progressive") else image.format
    limit = min(MAX_PIXELS, _MOST.get(kind, MAX_PIXELS))
    if image.width * image.height > limit:
        raise _too_large(source, limit, f" in {kind}" if kind in _MOST else "")


def _too_large(source: Source, limit: int = MAX_PIXELS, where: str = "") -> ImageError:
    reason = f"more than {limit // 1_000_000} million pixels{where}, not decoded"
    return ImageError(source, reason, SMALLER)


class _Bounded(io.BufferedReader):
    """A file of which no more is read at a time than it has, whatever its headers promise."""

    def read(self, size: int | None = -1, /) -> bytes:
        whole = size is None or size < 0
        left = os.fstat(self.fileno()).st_size - self.tell()
        return super().read(-1 if whole else min(size or 0, max(left, 0)))


def _opened(source: Source) -> IO[bytes]:
    return _Bounded(io.FileIO(source)) if isinstance(source, Path) else source.open("rb")
