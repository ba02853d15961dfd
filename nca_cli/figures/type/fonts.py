"""The fonts of figures: those shipped, and those that lend the characters that they lack.

A character comes from the first that has it: the shipped fonts, files that were given, and fonts
that many systems have. Only the last make a figure differ from one machine to another. Pillow's
basic layout is used throughout, so that all formats place letters alike.
"""

from __future__ import annotations

import io
import logging
import unicodedata
from collections.abc import Iterable, Iterator
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from nca_cli.errors import UsageError

if TYPE_CHECKING:
    from PIL import ImageFont

FONTS = Path(__file__).parents[2] / "assets" / "fonts"
FILES = {
    "text": "SourceSansPro-Regular.ttf",
    "bold": "SourceSansPro-Semibold.ttf",
    "math": "SourceSerifPro-It.ttf",
}
SYSTEM = (
    "DejaVuSans.ttf", "NotoSans-Regular.ttf", "NotoSansArabic-Regular.ttf",
    "NotoSansHebrew-Regular.ttf", "NotoSansCJK-Regular.ttc", "NotoEmoji-Regular.ttf",
    "Arial Unicode.ttf", "segoeui.ttf", "msgothic.ttc", "msyh.ttc", "malgun.ttf", "seguiemj.ttf",
)  # fmt: skip
"""Looked for in this order where the system keeps its fonts: Linux, macOS, Windows."""
SUFFIXES = (".ttf", ".otf", ".ttc", ".otc")
SELECTORS = range(0xFE00, 0xFE10)
"""Marks that choose between two drawings of a character; either will do."""

Fonts = tuple[str, ...]
"""Files that lend characters, the first one first."""


def file_of(face: str) -> str:
    """The file of a face: `text`, `bold`, `math`, or a file already."""
    return str(FONTS / FILES[face]) if face in FILES else face


@cache
def font(face: str, size: int) -> ImageFont.FreeTypeFont:
    """A face at a size in pixels per em. Raises `OSError` where there is no such font."""
    from PIL import ImageFont

    return ImageFont.truetype(file_of(face), size, layout_engine=ImageFont.Layout.BASIC)


def subset(face: str, characters: str) -> bytes:
    """The font with these characters alone, as WOFF, without kerning: places are ours."""
    from fontTools import subset as tools

    hush()
    options = tools.Options(flavor="woff", layout_features=[], notdef_outline=True)
    options.font_number = 0  # the first of a collection
    cut = tools.load_font(file_of(face), options)
    worker = tools.Subsetter(options)
    worker.populate(text=characters)
    worker.subset(cut)
    out = io.BytesIO()
    tools.save_font(cut, out, options)
    return out.getvalue()


def hush() -> None:
    """Fonts of others hold tables that are left out, which nobody needs to hear of."""
    logging.getLogger("fontTools").setLevel(logging.ERROR)


def checked(files: Iterable[str | Path]) -> Fonts:
    """Font files, each of which can be drawn with, by path or by name where the system has them.

    Raises `UsageError`.
    """
    found = {str(file): _path(str(file)) for file in files}
    for name, path in found.items():
        if Path(name).suffix.lower() not in SUFFIXES or path is None:
            hint = f"a file with outlines: {', '.join(SUFFIXES)}"
            raise UsageError(f"--font {name} is not a usable font", hint)
    return tuple(filter(None, found.values()))


@cache
def _path(name: str) -> str | None:
    try:
        return str(font(name, 24).path)
    except (OSError, ValueError):  # not there, no font, or a font of bitmaps
        return None


@cache
def _system() -> Fonts:
    """The files of those system fonts that this machine has."""
    return tuple(filter(None, map(_path, SYSTEM)))


@lru_cache(maxsize=4096)
def lender(character: str, fonts: Fonts | None = ()) -> str | None:
    """The file that lends a character, "" where the shipped fonts have it; `None`: no font does.

    With `None` for `fonts`, not even the system lends.
    """
    if character.isascii() or _has("text", character):
        return ""
    if fonts is None:
        return None
    return next((file for file in (*fonts, *_system()) if _has(file, character)), None)


def _has(face: str, character: str) -> bool:
    probe = font(face, 24)
    return bytes(probe.getmask(character)) != bytes(probe.getmask("\uffff"))


_HIDDEN = ("Cc", "Cf", "Cs", "Co", "Mn", "Me")


def drawable(text: str, fonts: Fonts | None = None) -> str:
    """`text` in one line of characters that the shipped fonts have, or with `fonts` any font.

    Control and direction marks go, accents are composed or dropped, the rest becomes "?".
    """
    kept = (c for c in _composed(text) if unicodedata.category(c) not in _HIDDEN)
    return "".join(_shown(c, fonts) for c in kept).strip()


def lacking(text: str, fonts: Fonts = ()) -> str:
    """The characters of `text` that `drawable` leaves out or writes as something else."""
    marks = ("Mn", "Me")
    found = (
        c for c in _composed(text)
        if (unicodedata.category(c) in marks and ord(c) not in SELECTORS)
        or (unicodedata.category(c) not in _HIDDEN and lender(c, fonts) is None)
    )  # fmt: skip
    return "".join(dict.fromkeys(found))


def _composed(text: str) -> Iterator[str]:
    return (" " if c.isspace() else c for c in unicodedata.normalize("NFC", text))


@lru_cache(maxsize=4096)
def _shown(character: str, fonts: Fonts | None) -> str:
    if lender(character, fonts) is not None:
        return character
    base = unicodedata.normalize("NFKD", character)[0]
    return base if base.isascii() and base.isprintable() else "?"
