"""Images: find them, name them, identify them, and bring them to a model's resolution.

Every picture is brought to 8 bits before it is cropped or resized: Pillow then resamples in
fixed-point arithmetic, so that one file gives the same pixels wherever it is read. Colours are
taken as sRGB values as they stand, as image data sets do: an embedded profile is not applied.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import sys
import unicodedata
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import numpy as np

from nca_cli.errors import ImageError, NcaError, UsageError

if TYPE_CHECKING:
    from PIL import Image

PREPROCESSING_VERSION = 1  # raise it when the same file would give other pixels
FITS = ("crop", "pad", "stretch")
MAX_PIXELS = 178_956_970  # 0.5 GB as RGB: twice Pillow's limit, where Pillow refuses too

# Formats that Pillow decodes by itself (EPS, for one, would start Ghostscript).
_FORMATS = ("PNG", "JPEG", "MPO", "WEBP", "TIFF", "GIF", "BMP", "PPM", "AVIF", "JPEG2000")
_SUFFIXES = (
    *(".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".avif", ".jp2", ".gif"),
    *(".tif", ".tiff", ".bmp", ".ppm", ".pgm", ".pbm", ".pnm"),
)
_READABLE = "PNG, JPEG, WebP, TIFF, GIF, BMP, PPM and AVIF can be read: convert other kinds first"

Complain = Callable[[NcaError], None]


# --- finding ------------------------------------------------------------------------------------


def find_images(
    arguments: Sequence[str | Path],
    *,
    stdin: TextIO | None = None,
    on_error: Complain | None = None,
) -> list[Path]:
    """The image files that `arguments` mean: files, folders, globs (also `**`), "-" for stdin.

    A named file is taken whatever its suffix. A folder is searched to any depth, without hidden
    entries and without following links to folders; of it, and of a glob's matches, the files with
    an image suffix are taken, in sorted order. Arguments keep their order, and a file reached
    twice (by its real path) is listed once. "-" reads one path per line.

    Raises ImageError for an argument that yields nothing and UsageError for an empty stdin, or
    calls `on_error` with each and goes on. No file is opened.
    """
    complain = on_error or _raise
    found: dict[str, Path] = {}
    for argument in arguments:
        lines = _paths_on_stdin(stdin or sys.stdin, complain) if argument == "-" else [argument]
        for line in lines:
            for path in _expand(os.fspath(line), complain):
                found.setdefault(os.path.realpath(path), path)
    return list(found.values())


def _raise(error: NcaError) -> None:
    raise error


def _paths_on_stdin(stdin: TextIO, complain: Complain) -> list[str]:
    try:
        lines = [line.rstrip("\r\n") for line in stdin]
    except UnicodeDecodeError:
        lines = []
    paths = [line for line in lines if line.strip()]
    if not paths:
        complain(UsageError("no image paths on stdin", "pipe paths into nca, one per line"))
    return paths


def _expand(argument: str, complain: Complain) -> list[Path]:
    """The images behind one argument, which is taken literally if something has that name."""
    if os.path.isfile(argument):
        return [Path(argument)]
    if os.path.isdir(argument):
        images = _images_in(argument, complain)
        problem, hint = "no images in this folder", _READABLE
    elif os.path.lexists(argument):
        images, problem, hint = [], "not a regular file", "name an image file or a folder"
    elif _is_glob(argument):
        images = _images_matching(argument, complain)
        problem = "no images match"
        hint = "check the pattern: of its matches, files with an image suffix are taken"
    else:
        images, problem, hint = [], "no such file or folder", "check the path"
    if not images:
        complain(ImageError(argument or "''", problem, hint))
    return images


def _images_in(folder: str | Path, complain: Complain) -> list[Path]:
    """All images below `folder`, sorted; unreadable folders in it are complained about."""

    def unreadable(error: OSError) -> None:
        complain(ImageError(error.filename, error.strerror or "cannot be read"))

    images = []
    for where, folders, files in os.walk(folder, onerror=unreadable):
        folders[:] = [name for name in folders if not name.startswith(".")]
        images += [Path(where, name) for name in files if not name.startswith(".")]
    return sorted(path for path in images if _looks_like_an_image(path))


def _images_matching(pattern: str, complain: Complain) -> list[Path]:
    """All images that match a glob or lie in a folder that matches it, sorted."""
    parts = Path(pattern).parts
    first = next(i for i, part in enumerate(parts) if _is_glob(part))
    root = Path(*parts[:first])
    try:  # pathlib's `**`, unlike the glob module's, follows no links: it cannot run in circles
        matches = sorted(set(root.glob(os.path.join(*parts[first:]))))
    except (OSError, ValueError):
        return []
    images: list[Path] = []
    for path in matches:
        if any(part.startswith(".") for part in path.relative_to(root).parts):
            continue
        images += _images_in(path, complain) if path.is_dir() else [path]
    return [path for path in images if _looks_like_an_image(path)]


def _is_glob(text: str) -> bool:
    return any(character in text for character in "*?[")


def _looks_like_an_image(path: Path) -> bool:
    return path.suffix.lower() in _SUFFIXES and os.path.isfile(path)


# --- sample images, names, identity -------------------------------------------------------------


def sample_images(kind: str = "photos") -> list[Path]:
    """Image files that need no download: "photos" of scikit-image, or nca's own "portraits".

    Raises NcaError when the installation lacks them, UsageError for another kind.
    """
    if kind == "photos":
        return _sample_photos()
    if kind == "portraits":
        portraits = sorted((Path(__file__).parent / "assets" / "portraits").glob("*.png"))
        if not portraits:
            raise NcaError("this installation has no sample portraits", "install nca again")
        return portraits
    raise UsageError(f"no sample images of kind {kind!r}", "choose photos or portraits")


def _sample_photos() -> list[Path]:
    """Astronaut, cat and coffee, found without importing scikit-image."""
    spec = importlib.util.find_spec("skimage")
    folder = Path(spec.origin).parent / "data" if spec and spec.origin else Path()
    photos = [folder / f"{name}.png" for name in ("astronaut", "chelsea", "coffee")]
    if not (spec and all(photo.is_file() for photo in photos)):
        raise NcaError(
            "the sample photos of scikit-image are not installed",
            "pip install scikit-image, or name images of your own",
        )
    return photos


def image_name(path: str | Path) -> str:
    """The stem of `path` as a name for a folder: at most 60 characters, any script.

    Separators, control characters, spaces and what Windows reserves become "-"; no name starts
    with a dot or a dash, ends with one, or is empty. scikit-image's chelsea.png is the "cat".
    """
    path = Path(path)
    if path.parts[-3:] == ("skimage", "data", "chelsea.png"):
        return "cat"
    stem = unicodedata.normalize("NFC", path.stem)
    safe = re.sub("-+", "-", "".join("-" if _unsafe(c) else c for c in stem))
    return safe.lstrip(".-")[:60].rstrip(".-") or "image"


def _unsafe(character: str) -> bool:
    """Control, format and unassigned characters (C*), separators (Z*), and reserved ones."""
    return unicodedata.category(character)[0] in "CZ" or character in '<>:"/\\|?*'


def image_digest(path: str | Path, resolution: int, fit: str = "crop") -> str:
    """The identity of an image: 64 hex digits that depend on content and preprocessing alone.

    SHA-256 of the line "nca-image VERSION FIT RESOLUTION" (such as "nca-image 1 crop 256"), one
    newline character, and the bytes of the file. Decodes nothing, reads in pieces.

    Raises ImageError when the file cannot be read, UsageError for an unknown fit.
    """
    _check_fit(fit)
    digest = hashlib.sha256(f"nca-image {PREPROCESSING_VERSION} {fit} {resolution}\n".encode())
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, lambda: digest).hexdigest()
    except OSError as error:
        raise ImageError(path, error.strerror or str(error)) from error


# --- loading ------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Picture:
    """An image as a model sees it."""

    pixels: np.ndarray
    """float32 (C, H, W) in [-1, 1]"""
    size: tuple[int, int]
    """(width, height) of the file's picture, upright"""
    notes: tuple[str, ...] = ()
    """what the user may want to know about the way it was read"""


def load_image(path: str | Path, resolution: int, fit: str = "crop", channels: int = 3) -> Picture:
    """Read `path` as float32 (channels, resolution, resolution) in [-1, 1].

    EXIF-upright; transparency on white; 16-bit grey scaled, not clipped; the first frame of
    several. One channel means luma (ITU-R 601). `fit` brings the picture to a square: "crop" takes
    the centre, "pad" adds black bars after resizing (the letterbox of video), "stretch" ignores
    the aspect. What already has the resolution is passed through with its pixels exact.

    Raises ImageError for a file that is missing, no image, truncated, damaged, of floating point,
    or of more than MAX_PIXELS (refused before decoding); UsageError for an unknown fit.
    """
    _check_fit(fit)
    if channels not in (1, 3):
        raise NcaError(f"images have 1 or 3 channels, not {channels}", "choose another model")
    with _decoding(path) as image:
        several = getattr(image, "is_animated", False) and image.format != "MPO"
        upright = _eight_bit(_upright(image), path)
        transparent = _is_transparent(upright)
        opaque = _on_white(upright) if transparent else upright
        square = _fit(opaque.convert("L" if channels == 1 else "RGB"), resolution, fit)
    pixels = to_unit(np.asarray(square).reshape(resolution, resolution, channels))
    notes = {
        "several frames, the first is used": several,
        "transparent, put on white": transparent,
        _small_note(upright.size, resolution): min(upright.size) * 2 <= resolution,
    }
    return Picture(pixels, upright.size, tuple(note for note, holds in notes.items() if holds))


def _small_note(size: tuple[int, int], resolution: int) -> str:
    return f"{size[0]}×{size[1]} is much smaller than the model's {resolution}×{resolution}"


def _check_fit(fit: str) -> None:
    if fit not in FITS:
        raise UsageError(f"unknown fit {fit!r}", f"choose one of {', '.join(FITS)}")


@contextmanager
def _decoding(path: str | Path) -> Iterator[Image.Image]:
    """Open `path` without decoding it, and turn what decoders throw inside into ImageError.

    They throw anything at a damaged file (OSError, SyntaxError, struct.error, IndexError, …).
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's own, on large files and damaged metadata
            with Image.open(path) as image:
                _check_format_and_size(image, path)
                yield image
    except (NcaError, MemoryError):
        raise
    except UnidentifiedImageError as error:
        raise ImageError(path, "not an image that can be read", _READABLE) from error
    except Image.DecompressionBombError as error:
        raise _too_large(path) from error
    except Exception as error:
        raise ImageError(path, _damage(error)) from error


def _check_format_and_size(image: Image.Image, path: str | Path) -> None:
    if image.format not in _FORMATS:
        raise ImageError(path, f"{image.format} files are not read", _READABLE)
    if image.width * image.height > MAX_PIXELS:
        raise _too_large(path)


def _too_large(path: str | Path) -> ImageError:
    limit = f"{MAX_PIXELS // 1_000_000} million pixels"
    return ImageError(path, f"more than {limit}, not decoded", "make a smaller copy first")


def _damage(error: Exception) -> str:
    """What is wrong with a file, from the error that a decoder threw."""
    if isinstance(error, OSError) and error.errno is not None:
        return error.strerror or str(error)
    message = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, EOFError) or "truncated" in message.lower():
        return "truncated, the end of the file is missing"
    return f"damaged or unsupported ({message})"


def _upright(image: Image.Image) -> Image.Image:
    """`image`, decoded and turned as its EXIF says; EXIF that cannot be parsed says nothing."""
    from PIL import ImageOps

    image.load()
    try:
        image.getexif()
    except Exception:
        return image
    return ImageOps.exif_transpose(image)


def _eight_bit(image: Image.Image, path: str | Path) -> Image.Image:
    """16-bit grey (modes I;16 and I) as L, value/257; Pillow's convert would clip it at 255."""
    from PIL import Image

    if image.mode == "F":
        raise ImageError(path, "floating-point pixels have no agreed range", "save as 8 or 16 bit")
    if not image.mode.startswith("I"):
        return image
    values = np.asarray(image)
    if values.min() < 0 or values.max() > 65535:
        raise ImageError(path, "more than 16 bits per pixel", "save as 8 or 16 bit")
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


def _fit(image: Image.Image, resolution: int, fit: str) -> Image.Image:
    """An L or RGB image as a square of `resolution`.

    Lanczos keeps the most detail of Pillow's filters; Pillow widens it by the reduction factor,
    which is the antialiasing. Resizing an image to the size that it has copies it.
    """
    from PIL import Image

    if fit == "pad":
        return _pad(image, resolution)
    if fit == "crop":
        side = min(image.size)
        left, top = (image.width - side) // 2, (image.height - side) // 2
        image = image.crop((left, top, left + side, top + side))
    return image.resize((resolution, resolution), Image.Resampling.LANCZOS)


def _pad(image: Image.Image, resolution: int) -> Image.Image:
    """The whole image, resized first so that no black bleeds into it, in a black square."""
    from PIL import Image

    scale = resolution / max(image.size)
    width, height = (max(1, round(side * scale)) for side in image.size)
    square = Image.new(image.mode, (resolution, resolution))
    inner = image.resize((width, height), Image.Resampling.LANCZOS)
    square.paste(inner, ((resolution - width) // 2, (resolution - height) // 2))
    return square


# --- pixels -------------------------------------------------------------------------------------


def to_unit(image: np.ndarray) -> np.ndarray:
    """uint8 (..., H, W, C) → float32 (..., C, H, W); 0 → -1 and 255 → 1 exactly."""
    return np.ascontiguousarray(np.moveaxis(image, -1, -3)).astype(np.float32) / 127.5 - 1


def to_uint8(pixels: np.ndarray) -> np.ndarray:
    """float (..., C, H, W) in [-1, 1] → uint8 (..., H, W, C), clipped and rounded.

    The exact inverse of `to_unit`. Works in float32 for float16 too; NaN becomes black.
    """
    unit = np.nan_to_num(np.asarray(pixels, np.float32), nan=-1.0)
    rounded = np.rint((np.clip(unit, -1, 1) + 1) * 127.5).astype(np.uint8)
    return np.ascontiguousarray(np.moveaxis(rounded, -3, -1))
