"""Reading an image: from a file's bytes to the pixels that a model sees.

Every picture is brought to 8 bits and to sRGB before it is cropped or resized: Pillow then
resamples in fixed-point arithmetic, so that one file gives the same pixels wherever it is read.
What is not said by an embedded profile is taken as sRGB, as image data sets are.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

import numpy as np

from nca_cli.errors import ImageError, NcaError
from nca_cli.images.colours import Conversion, profile_of, twelve_bit
from nca_cli.images.identity import Source, as_source, check_fit, file_digest
from nca_cli.images.opening import decoding
from nca_cli.images.pixels import to_unit
from nca_cli.images.size import Resolution, height_width

if TYPE_CHECKING:
    from PIL import Image

LARGE, STRIP = 1 << 24, 1 << 20
"""Pixels: what is more than LARGE is worked on in parts of STRIP."""
Box = tuple[int, int, int, int]
"""left, top, right, bottom"""
Size = tuple[int, int]
"""width, height"""
# EXIF's orientation → how the file is turned, whether its rows become columns, and which of its
# axes (x, y) are mirrored.
_TURNS = {
    2: ("FLIP_LEFT_RIGHT", False, True, False),
    3: ("ROTATE_180", False, True, True),
    4: ("FLIP_TOP_BOTTOM", False, False, True),
    5: ("TRANSPOSE", True, False, False),
    6: ("ROTATE_270", True, False, True),
    7: ("TRANSVERSE", True, True, True),
    8: ("ROTATE_90", True, True, False),
}


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

    EXIF-upright; colours by their profile to sRGB; transparency on white; 16-bit grey scaled, not
    clipped; the first frame of several. One channel means luma (ITU-R 601). `fit` brings the
    picture to the aspect of the resolution, most often a square: "crop" takes the centre, "pad"
    adds black bars after resizing (the letterbox of video), "stretch" ignores the aspect. What
    already has the resolution is passed through with its pixels exact.

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
        if file_digest(held, resolution, fit, source) != digest:
            raise ImageError(source, "changed while it was read", "run the same command again")
        return held

    with decoding(source, None if digest is None else taken) as opened:
        size = height_width(resolution)[::-1]
        return _fitted(opened, source, size, fit, "L" if channels == 1 else "RGB")


def _fitted(opened: Image.Image, source: Source, size: Size, fit: str, mode: str) -> Picture:
    several = getattr(opened, "is_animated", False) and opened.format != "MPO"
    plain = _Plain(source, profile_of(opened), twelve_bit(opened), mode)
    seen = _Upright(opened)
    fitted = np.asarray(_fit(seen, plain, size, fit))
    (width, height), (across, down) = size, seen.size
    notes = {
        "several frames, the first is used": several,
        **plain.notes,
        f"{across}×{down} is much smaller than the model's {width}×{height}":
            across * 2 <= width or down * 2 <= height,
    }  # fmt: skip
    pixels = to_unit(fitted.reshape(height, width, len(mode)))
    return Picture(pixels, seen.size, tuple(note for note, holds in notes.items() if holds))


class _Upright:
    """A decoded picture, turned as its EXIF says; EXIF that cannot be parsed says nothing.

    Only what is asked for is turned, so that no large picture is in memory twice.
    """

    def __init__(self, image: Image.Image):
        image.load()
        try:
            orientation = image.getexif().get(0x0112)
        except Exception:
            orientation = None
        turn = _TURNS.get(orientation or 1, ("", False, False, False))
        self._image, (self._turn, self._swapped, *self._mirrored) = image, turn
        self.size = image.size[::-1] if self._swapped else image.size

    def crop(self, box: Box) -> Image.Image:
        """A part of the upright picture."""
        from PIL import Image

        across, down = (box[0], box[2]), (box[1], box[3])
        spans = (down, across) if self._swapped else (across, down)
        (left, right), (top, bottom) = (
            (side - span[1], side - span[0]) if mirrored else span
            for span, side, mirrored in zip(spans, self._image.size, self._mirrored, strict=True)
        )
        part = self._image.crop((left, top, right, bottom))
        return part.transpose(Image.Transpose[self._turn]) if self._turn else part


@dataclass
class _Plain:
    """Makes parts of a picture plain: in `mode`, 8 bits, sRGB and on white."""

    source: Source
    profile: Conversion | str | None
    twelve_bit: bool
    mode: str
    transparent: bool = False
    deepest: int = 0
    """The largest value of a 16-bit picture."""

    def __call__(self, part: Image.Image) -> Image.Image:
        part = self._eight_bit(part)
        if isinstance(self.profile, Conversion):
            part = self.profile(part)
        if _is_transparent(part):
            part, self.transparent = _on_white(part), True
        return part.convert(self.mode)

    @property
    def notes(self) -> dict[str, bool]:
        """What may have been done, and whether it was, once all parts are made."""
        bits = self.deepest.bit_length()
        return {
            "transparent, drawn on white": self.transparent,
            "colours converted to sRGB by its profile": isinstance(self.profile, Conversion),
            str(self.profile): isinstance(self.profile, str),
            f"16 bits, with a largest value of {self.deepest:,}: "
            f"too dark if the data have {bits} bits": 0 < bits <= 14 and not self.twelve_bit,
        }  # fmt: skip

    def _eight_bit(self, image: Image.Image) -> Image.Image:
        """16-bit grey (modes I;16 and I) as L, value/257; Pillow's convert would clip it at 255.

        Of 12 bits value·255/4095.
        """
        from PIL import Image

        if image.mode == "F":
            raise ImageError(
                self.source, "floating-point pixels have no agreed range", "save as 8 or 16 bit"
            )
        if not image.mode.startswith("I"):
            return image
        values = np.asarray(image)
        if values.min() < 0 or values.max() > 65535:
            raise ImageError(self.source, "more than 16 bits per pixel", "save as 8 or 16 bit")
        self.deepest = max(self.deepest, int(values.max()))
        scaled = values * (255 / 4095) if self.twelve_bit else values / 257
        return Image.fromarray(np.rint(scaled).astype(np.uint8))


def _is_transparent(image: Image.Image) -> bool:
    """Whether any pixel lets the background through."""
    if not image.has_transparency_data:
        return False
    return image.convert("RGBA").getchannel("A").getextrema() != (255, 255)


def _on_white(image: Image.Image) -> Image.Image:
    from PIL import Image

    white = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(white, image.convert("RGBA"))


def _fit(seen: _Upright, plain: _Plain, size: Size, fit: str) -> Image.Image:
    """The picture as an L or RGB image of `size`.

    "pad" resizes the whole picture first, so that no black bleeds into it.
    """
    from PIL import Image

    (width, height), (across, down) = size, seen.size
    if fit == "crop":
        return _resized(seen, plain, _middle(seen.size, size), size)
    whole = (0, 0, across, down)
    if fit == "stretch":
        return _resized(seen, plain, whole, size)
    scale = min(width / across, height / down)
    inside = (max(1, round(across * scale)), max(1, round(down * scale)))
    padded = Image.new(plain.mode, size)
    inner = _resized(seen, plain, whole, inside)
    padded.paste(inner, ((width - inside[0]) // 2, (height - inside[1]) // 2))
    return padded


def _middle(size: Size, aspect: Size) -> Box:
    """The most of the centre that has an aspect. What is done to single pixels need not be done to
    those that are left out."""
    (width, height), (across, down) = size, aspect
    taken = (min(width, max(1, round(height * across / down))),
             min(height, max(1, round(width * down / across))))  # fmt: skip
    left, top = (width - taken[0]) // 2, (height - taken[1]) // 2
    return (left, top, left + taken[0], top + taken[1])


def _resized(seen: _Upright, plain: _Plain, box: Box, size: Size) -> Image.Image:
    """A part of the picture, made plain and resized.

    Lanczos keeps the most detail of Pillow's filters; Pillow widens it by the reduction factor,
    which is the antialiasing. Resizing to the same size copies. Of a large picture one channel is
    made at a time, from strips: beside what was decoded there is 1 byte a pixel.
    """
    from PIL import Image

    lanczos = Image.Resampling.LANCZOS
    if (box[2] - box[0]) * (box[3] - box[1]) <= LARGE:
        return plain(seen.crop(box)).resize(size, lanczos)
    channels = [_channel(seen, plain, box, band).resize(size, lanczos) for band in plain.mode]
    return Image.merge(plain.mode, channels)


def _channel(seen: _Upright, plain: _Plain, box: Box, band: str) -> Image.Image:
    from PIL import Image

    left, top, right, bottom = box
    channel, step = Image.new("L", (right - left, bottom - top)), max(1, STRIP // (right - left))
    for start in range(top, bottom, step):
        part = plain(seen.crop((left, start, right, min(start + step, bottom))))
        channel.paste(part.getchannel(band), (0, start - top))
    return channel
