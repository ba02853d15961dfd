"""What a file's numbers mean: colour profiles (ICC) and 12 bits, brought to sRGB and to 8 bits.

A profile is applied where it changes a colour by more than NEAR; the many writings of sRGB itself
leave pixels as they are. What a profile means is LittleCMS' to say, with the perceptual intent,
as browsers do.
"""

from __future__ import annotations

import io
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from nca_cli.errors import ImageError

if TYPE_CHECKING:
    from PIL import Image, ImageCms

NEAR = 2
"""Of 255: the writings of sRGB are within 1 of each other, the profiles that differ 9 and more."""
UNFIT = "its colour profile does not match its pixels and is ignored"
_SPACES = {"RGB ": "RGB", "GRAY": "L", "CMYK": "CMYK"}
_DEVICES = ("mntr", "scnr", "prtr", "spac")
"""Classes of profiles that say what colours of a picture are."""
_BITS_PER_SAMPLE = 258
"""The tag of TIFF."""


def steps(image: Image.Image) -> list[str]:
    """What is done about the numbers of an opened picture: "srgb", "12-bit". Decodes nothing."""
    done = {"srgb": isinstance(profile_of(image), Conversion), "12-bit": twelve_bit(image)}
    return [step for step, is_done in done.items() if is_done]


def twelve_bit(image: Image.Image) -> bool:
    """Whether a file says that its samples have 12 bits, which Pillow hands out as they are."""
    return getattr(image, "tag_v2", {}).get(_BITS_PER_SAMPLE) == (12,)


class Conversion:
    """From the colours of a profile to sRGB, at 8 bits."""

    def __init__(self, transform: ImageCms.ImageCmsTransform, mode: str):
        self._transform, self._mode = transform, mode
        self._greys = self._colours(_probe(mode)) if mode == "L" else None
        """Of greys each is converted once: exactly, which is slow."""

    def __call__(self, image: Image.Image) -> Image.Image:
        """An 8-bit picture of any mode as RGB, with its alpha if it has any."""
        from PIL import Image

        alpha = image.convert("RGBA").getchannel("A") if image.has_transparency_data else None
        plain = image if image.mode == self._mode else image.convert(self._mode)
        if self._greys is None:
            converted = self._colours(plain)
        else:
            converted = Image.fromarray(np.asarray(self._greys)[0][np.asarray(plain)])
        if alpha is not None:
            converted.putalpha(alpha)
        return converted

    def _colours(self, image: Image.Image) -> Image.Image:
        from PIL import ImageCms

        converted = ImageCms.applyTransform(image, self._transform)
        assert converted is not None  # as it is of changes in place
        return converted


def profile_of(image: Image.Image) -> Conversion | str | None:
    """What the profile of a picture asks for: a conversion, or nothing; a text says why it cannot
    be applied. Raises `ImageError` where Pillow lacks LittleCMS."""
    profile = image.info.get("icc_profile")
    return _conversion(profile, _kind(image.mode)) if profile and image.mode != "1" else None


def _kind(mode: str) -> str:
    """RGB, L or CMYK: what the colours of a picture are, whatever their depth."""
    if mode == "CMYK":
        return mode
    return "L" if mode.startswith(("L", "I")) and mode != "LAB" else "RGB"


@lru_cache(maxsize=16)
def _conversion(profile: bytes, mode: str) -> Conversion | str | None:
    from PIL import ImageCms

    try:
        given = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        about = given.profile
        if (about.xcolor_space, mode) == ("RGB ", "L") and _conversion(profile, "RGB") is None:
            return None  # sRGB beside grey, as many programs write it
        if _SPACES.get(about.xcolor_space) != mode or about.device_class not in _DEVICES:
            return UNFIT
        exact = ImageCms.Flags.NOOPTIMIZE if mode == "L" else ImageCms.Flags.NONE
        transform = ImageCms.buildTransform(
            given, ImageCms.createProfile("sRGB"), mode, "RGB", flags=exact
        )  # of greys LittleCMS would take every eighth, and a line between
        assert isinstance(transform, ImageCms.ImageCmsTransform)
    except ImportError as error:
        raise ImageError("colour profiles", "this Pillow was built without LittleCMS",
                         "pip install --force-reinstall pillow") from error  # fmt: skip
    except MemoryError:
        raise
    except Exception:  # LittleCMS and Pillow throw several kinds at what is no profile
        return UNFIT
    conversion = Conversion(transform, mode)
    probe = _probe(mode)
    changed = np.asarray(conversion(probe)).astype(int) - np.asarray(probe.convert("RGB"))
    return conversion if abs(changed).max() > NEAR else None


def _probe(mode: str) -> Image.Image:
    """All greys, and for colours a cube of 18 x 18 x 18 as well."""
    from PIL import Image

    greys = Image.fromarray(np.arange(256, dtype=np.uint8)[None])
    if mode == "L":
        return greys
    side = np.linspace(0, 255, 18).astype(np.uint8)
    cube = np.stack(np.meshgrid(side, side, side), -1).reshape(1, -1, 3)
    ramp = np.repeat(np.asarray(greys)[..., None], 3, -1)
    return Image.fromarray(np.concatenate([cube, ramp], 1)).convert(mode)
