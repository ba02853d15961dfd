"""Which files are images, and what may be wrong with one."""

MAX_PIXELS = 178_956_970  # 0.5 GB as RGB: twice Pillow's limit, where Pillow refuses too
SUFFIXES = (
    *(".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".avif", ".jp2", ".gif"),
    *(".tif", ".tiff", ".bmp", ".ppm", ".pgm", ".pbm", ".pnm"),
)
READABLE = "PNG, JPEG, WebP, TIFF, GIF, BMP, PPM and AVIF can be read: convert other kinds first"


def has_image_suffix(name: str) -> bool:
    """Whether a file of this name is taken where it was not named itself."""
    return name.lower().endswith(SUFFIXES)


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
