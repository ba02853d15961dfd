"""Who an image is, and reading it: from a file's bytes to the square of pixels that a model sees.

Every picture is brought to 8 bits before it is cropped or resized: Pillow then resamples in
fixed-point arithmetic, so that one file gives the same pixels wherever it is read. Colours are
taken as sRGB values as they stand, as image data sets do: an embedded profile is not applied.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import unicodedata
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np

from nca_cli.errors import ImageError, NcaError, UsageError
from nca_cli.images.archives import Member
from nca_cli.images.pixels import to_unit
from nca_cli.images.readable import MAX_PIXELS, READABLE, damage, next_step
from nca_cli.images.size import Resolution, height_width, size_text

if TYPE_CHECKING:
    from PIL import Image

PREPROCESSING_VERSION = 1  # raise it when the same file would give other pixels
FITS = ("crop", "pad", "stretch")
STRIP = 1 << 20
"""Pixels that are worked on at a time."""
SMALLER = "make a smaller copy first"
Source = Path | Member
"""What an image is read from: a file, or a member of an archive."""
# Formats that Pillow decodes by itself (EPS, for one, would start Ghostscript).
_FORMATS = ("PNG", "JPEG", "MPO", "WEBP", "TIFF", "GIF", "BMP", "PPM", "AVIF", "JPEG2000")


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
    newline character, and the bytes of the file. Decodes nothing.

    Raises ImageError when the file cannot be read, UsageError for an unknown fit.
    """
    check_fit(fit)
    try:
        with as_source(image).open("rb") as file:
            return file_digest(file, resolution, fit)
    except OSError as error:
        raise ImageError(image, error.strerror or str(error), next_step(error)) from error


def file_digest(file: IO[bytes], resolution: Resolution, fit: str) -> str:
    """`image_digest` of what an open file holds from here on. Raises `OSError`."""
    stamp = f"nca-image {PREPROCESSING_VERSION} {fit} {size_text(resolution)}\n"
    digest = hashlib.sha256(stamp.encode())
    return hashlib.file_digest(file, lambda: digest).hexdigest()  # type: ignore[arg-type]


def check_fit(fit: str) -> None:
    """Raise `UsageError` for what is no fit."""
    if fit not in FITS:
        raise UsageError(f"unknown fit {fit!r}", f"choose one of {', '.join(FITS)}")


@dataclass(frozen=True, eq=False)
class Picture:
    """An image as a model sees it."""

    pixels: np.ndarray
    """float32 (C, H, W) in [-1, 1]"""
    size: tuple[int, int]
    """(width, height) of the file's picture, upright"""
    notes: tuple[str, ...] = ()
    """what the user may want to know about the way it was read"""


def load_image(
    image: str | Source,
    resolution: Resolution,
    fit: str = "crop",
    channels: int = 3,
    *,
    digest: str | None = None,
) -> Picture:
    """Read `image` as float32 (channels, height, width) in [-1, 1], of a `resolution`.

    EXIF-upright; transparency on white; 16-bit grey scaled, not clipped; the first frame of
    several. One channel means luma (ITU-R 601). `fit` brings the picture to the aspect of the
    resolution, most often a square: "crop" takes the centre, "pad" adds black bars after resizing
    (the letterbox of video), "stretch" ignores the aspect. What already has the resolution is
    passed through with its pixels exact.

    With `digest`, only the picture that `image_digest` said this of is taken: the bytes are read
    once, compared and decoded, so that no other picture comes under its name.

    Raises ImageError for a file that is missing, no image, truncated, damaged, of floating point,
    of more than MAX_PIXELS (refused before decoding), or not of `digest`; UsageError for an unknown
    fit.
    """
    check_fit(fit)
    if channels not in (1, 3):
        raise NcaError(f"images have 1 or 3 channels, not {channels}", "choose another model")
    source = as_source(image)

    def taken(file: IO[bytes]) -> IO[bytes]:
        """The bytes of `file`, in memory: those that were hashed are those that are decoded."""
        held = io.BytesIO(file.read())
        if file_digest(held, resolution, fit) != digest:
            raise ImageError(source, "has changed meanwhile", "run the same command again")
        return held

    with _decoding(source, None if digest is None else taken) as opened:
        return _fitted(opened, source, resolution, fit, channels)


def _fitted(
    opened: Image.Image, source: Source, resolution: Resolution, fit: str, channels: int
) -> Picture:
    height, width = height_width(resolution)
    several = getattr(opened, "is_animated", False) and opened.format != "MPO"
    upright = _upright(opened)
    across, down = upright.size
    chosen = _middle(upright, width, height) if fit == "crop" else upright
    plain, transparent = _plain(chosen, "L" if channels == 1 else "RGB", source)
    resized = _fit(plain, (width, height), fit)
    pixels = to_unit(np.asarray(resized).reshape(height, width, channels))
    notes = {
        "several frames, the first is used": several,
        "transparent, put on white": transparent,
        f"{across}×{down} is much smaller than the model's {width}×{height}":
            across * 2 <= width or down * 2 <= height,
    }  # fmt: skip
    return Picture(pixels, (across, down), tuple(note for note, holds in notes.items() if holds))


@contextmanager
def _decoding(
    source: Source, taken: Callable[[IO[bytes]], IO[bytes]] | None
) -> Iterator[Image.Image]:
    """Open `source` without decoding it, and turn what decoders throw inside into ImageError.

    They throw anything at a damaged file (OSError, SyntaxError, struct.error, IndexError, …).
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's own, on large files and damaged metadata
            with _opened(source) as file, Image.open(taken(file) if taken else file) as image:
                _check_format_and_size(image, source)
                yield image
    except NcaError:
        raise
    except MemoryError as error:
        raise ImageError(source, "takes more memory than there is", SMALLER) from error
    except UnidentifiedImageError as error:
        raise ImageError(source, "not an image that can be read", READABLE) from error
    except Image.DecompressionBombError as error:
        raise _too_large(source) from error
    except Exception as error:
        raise ImageError(source, damage(error), next_step(error)) from error


def _check_format_and_size(image: Image.Image, source: Source) -> None:
    if image.format not in _FORMATS:
        raise ImageError(source, f"{image.format} files are not read", READABLE)
    if image.width * image.height > MAX_PIXELS:
        raise _too_large(source)


def _too_large(source: Source) -> ImageError:
    limit = f"{MAX_PIXELS // 1_000_000} million pixels"
    return ImageError(source, f"more than {limit}, not decoded", SMALLER)


class _Bounded(io.BufferedReader):
    """A file of which no more is read at a time than it has, whatever its headers promise."""

    def read(self, size: int | None = -1, /) -> bytes:
        whole = size is None or size < 0
        left = os.fstat(self.fileno()).st_size - self.tell()
        return super().read(-1 if whole else min(size or 0, max(left, 0)))


def _opened(source: Source) -> IO[bytes]:
    return _Bounded(io.FileIO(source)) if isinstance(source, Path) else source.open("rb")


def _upright(image: Image.Image) -> Image.Image:
    """`image`, decoded and turned as its EXIF says; EXIF that cannot be parsed says nothing."""
    from PIL import ImageOps

    image.load()
    try:
        image.getexif()
    except Exception:
        return image
    ImageOps.exif_transpose(image, in_place=True)
    return image


def _middle(image: Image.Image, width: int, height: int) -> Image.Image:
    """The most of the centre that has the aspect width : height. Taken first: what is done to
    single pixels need not be done to those that are left out."""
    across = min(image.width, max(1, round(image.height * width / height)))
    down = min(image.height, max(1, round(image.width * height / width)))
    if image.size == (across, down):
        return image
    left, top = (image.width - across) // 2, (image.height - down) // 2
    return image.crop((left, top, left + across, top + down))


def _plain(image: Image.Image, mode: str, source: Source) -> tuple[Image.Image, bool]:
    """The picture in `mode`, 8 bits and on white, and whether it was transparent.

    In strips, so that large pictures are in memory at most twice.
    """
    from PIL import Image

    if image.mode == mode and not image.has_transparency_data:
        return image, False
    plain, transparent = Image.new(mode, image.size), False
    for top in range(0, image.height, step := max(1, STRIP // image.width)):
        strip = image.crop((0, top, image.width, min(top + step, image.height)))
        strip = _eight_bit(strip, source)
        if _is_transparent(strip):
            strip, transparent = _on_white(strip), True
        plain.paste(strip.convert(mode), (0, top))
    return plain, transparent


def _eight_bit(image: Image.Image, source: Source) -> Image.Image:
    """16-bit grey (modes I;16 and I) as L, value/257; Pillow's convert would clip it at 255."""
    from PIL import Image

    if image.mode == "F":
        raise ImageError(
            source, "floating-point pixels have no agreed range", "save as 8 or 16 bit"
        )
    if not image.mode.startswith("I"):
        return image
    values = np.asarray(image)
    if values.min() < 0 or values.max() > 65535:
        raise ImageError(source, "more than 16 bits per pixel", "save as 8 or 16 bit")
    return Image.fromarray(np.rint(values / 257).astype(np.uint8))


def _is_transparent(image: Image.Image) -> bool:
    """Whether any pixel lets the background through."""
    if not image.has_transparency_data:
        return False
    return image.convert("RGBA").getchannel("A").getextrema() != (255, 255)


def _on_white(image: Image.Image) -> Image.Image:
    from PIL import Image

    white = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(white, image.convert("RGBA"))


def _fit(image: Image.Image, size: tuple[int, int], fit: str) -> Image.Image:
    """An L or RGB image, its middle where it is to be cropped, at `size` (width, height).

    Lanczos keeps the most detail of Pillow's filters; Pillow widens it by the reduction factor,
    which is the antialiasing. Resizing an image to the size that it has copies it.
    """
    from PIL import Image

    if fit == "pad":
        return _pad(image, size)
    return image.resize(size, Image.Resampling.LANCZOS)


def _pad(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """The whole image, resized first so that no black bleeds into it, on black."""
    from PIL import Image

    scale = min(size[0] / image.width, size[1] / image.height)
    width, height = (max(1, round(side * scale)) for side in image.size)
    whole = Image.new(image.mode, size)
    inner = image.resize((width, height), Image.Resampling.LANCZOS)
    whole.paste(inner, ((size[0] - width) // 2, (size[1] - height) // 2))
    return whole
