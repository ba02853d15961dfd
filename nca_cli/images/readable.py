"""Which files are images, and what may be wrong with one."""

from collections import Counter
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import PurePath

MAX_PIXELS = 178_956_970  # 0.5 GB as RGB: twice Pillow's limit, where Pillow refuses too
HEIC = (".heic", ".heif", ".hif")
HEIC_HINT = "pip install 'nca-cli[heic]'"
SUFFIXES = (
    *(".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".avif", ".gif"),
    *(".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx"),
    *(".tif", ".tiff", ".bmp", ".ppm", ".pgm", ".pbm", ".pnm", *HEIC),
)
OTHERS = (
    *(".dng", ".cr2", ".cr3", ".crw", ".nef", ".arw", ".raf", ".orf", ".rw2", ".pef", ".srw"),
    *(".psd", ".psb", ".xcf", ".jxl", ".exr", ".hdr", ".tga", ".svg", ".eps", ".dcm", ".ico"),
)
"""Pictures that are not read: raw files of cameras, layers, floating point, drawings."""
READABLE = (
    "PNG, JPEG, JPEG 2000, WebP, TIFF, GIF, BMP, PPM, AVIF and HEIC are supported: "
    "convert other kinds first"
)


def has_image_suffix(name: str) -> bool:
    """Whether a file of this name is taken where it was not named itself."""
    return name.lower().endswith(SUFFIXES) and (not name.lower().endswith(HEIC) or reads_heic())


def reads_heic() -> bool:
    """Whether what decodes HEIC is installed. Imports nothing."""
    return find_spec("pillow_heif") is not None


def left_out(names: Iterable[str]) -> str:
    """Which of these files are pictures that are not read, counted and with what helps; or ""."""
    kinds = Counter(PurePath(name).suffix.lower() for name in names)
    unread = {kind: kinds[kind] for kind in (*OTHERS, *HEIC) if kinds[kind]}
    if reads_heic():
        unread = {kind: count for kind, count in unread.items() if kind not in HEIC}
    if not unread:
        return ""
    total = sum(unread.values())
    counted = ", ".join(f"{count:,} {kind}" for kind, count in unread.items())
    helps = [HEIC_HINT] if set(unread) & set(HEIC) else []
    helps += ["convert to TIFF or PNG first"] if set(unread) - set(HEIC) else []
    pictures = "1 picture is" if total == 1 else f"{total:,} pictures are"
    return f"{pictures} left out ({counted}): {'; '.join(helps)}"


def next_step(error: Exception) -> str | None:
    """What to do about a file that cannot be read, where that is known."""
    return "check the path" if isinstance(error, FileNotFoundError) else None


def damage(error: Exception) -> str:
    """What is wrong with a file, from the error that a decoder threw."""
    if isinstance(error, OSError) and error.errno is not None:
        return error.strerror or str(error)
    message = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, EOFError) or "truncated" in message.lower():
        return "truncated, the end of the file is missing"
    return f"damaged or unsupported ({message})"
