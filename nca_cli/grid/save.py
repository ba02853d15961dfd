"""Figures as files; the suffix says which kind."""

from __future__ import annotations

import contextlib
import io
import os
import uuid
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from nca_cli.errors import NcaError, UsageError

if TYPE_CHECKING:
    from PIL import Image

PNG_LEVEL = 1
"""Noise hardly compresses: higher levels take several times as long for a few per cent."""
DPI = 300
"""Pixels per inch of a PDF page."""
FRAME_MS, LAST_MS = 700, 1800


def suffix_of(path: str | Path) -> str:
    """The suffix, checked. Raises `UsageError` that names the known ones."""
    suffix = Path(path).suffix.lower()
    if suffix not in (*WRITERS, GIF):
        known = ", ".join((*WRITERS, GIF))
        raise UsageError(f"{path}: no picture format has this suffix", f"one of: {known}")
    return suffix


def still(image: Image.Image, suffix: str) -> bytes:
    """The bytes of a still picture."""
    return WRITERS[suffix](image)


def _png(image: Image.Image) -> bytes:
    return _encoded(image, "PNG", compress_level=PNG_LEVEL)


def _jpeg(image: Image.Image) -> bytes:
    return _encoded(image, "JPEG", quality=95, subsampling=0)


def _webp(image: Image.Image) -> bytes:
    if max(image.size) > 16383:
        raise UsageError(
            f"a WebP picture has at most 16383 pixels a side, not {max(image.size)}",
            "choose PNG, or fewer rows",
        )
    return _encoded(image, "WEBP", quality=95, method=2)


def _encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def _pdf(image: Image.Image) -> bytes:
    """One page with the sheet as a lossless picture (Pillow's own PDF is a JPEG)."""
    width, height = (72 * size / DPI for size in image.size)
    pixels = zlib.compress(image.tobytes(), 6)
    page = f"q {width:.2f} 0 0 {height:.2f} 0 0 cm /S Do Q".encode()
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 {width:.2f} {height:.2f}] /Contents 4 0 R "
        "/Resources << /XObject << /S 5 0 R >> >> >>".encode(),
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(page), page),
        b"<< /Type /XObject /Subtype /Image /Width %d /Height %d /ColorSpace /DeviceRGB "
        b"/BitsPerComponent 8 /Filter /FlateDecode /Length %d >>\nstream\n%s\nendstream"
        % (*image.size, len(pixels), pixels),
    ]
    return _pdf_file(objects)


def _pdf_file(objects: Sequence[bytes]) -> bytes:
    """The objects, numbered from 1, with the table of their offsets; the first is the catalogue."""
    out, offsets = io.BytesIO(b""), []
    out.write(b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n")
    for number, content in enumerate(objects, 1):
        offsets.append(out.tell())
        out.write(b"%d 0 obj\n%s\nendobj\n" % (number, content))
    start = out.tell()
    out.write(b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1))
    out.write(b"".join(b"%010d 00000 n \n" % offset for offset in offsets))
    out.write(
        b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, start)
    )
    return out.getvalue()


def animation(frames: Sequence[Image.Image]) -> bytes:
    """A GIF that runs through the frames, rests on the last, and begins again for ever."""
    from PIL import Image

    palettes = [each.quantize(256, Image.Quantize.MEDIANCUT) for each in frames]
    palettes = [each.quantize(palette=own) for each, own in zip(frames, palettes, strict=True)]
    durations = [FRAME_MS] * (len(frames) - 1) + [LAST_MS]
    return _encoded(
        palettes[0], "GIF", save_all=True, append_images=palettes[1:], duration=durations, loop=0
    )


GIF = ".gif"
WRITERS: dict[str, Callable[[Image.Image], bytes]] = {
    ".png": _png, ".webp": _webp, ".pdf": _pdf, ".jpg": _jpeg, ".jpeg": _jpeg,
}  # fmt: skip


def write(path: Path, content: bytes) -> None:
    """Replace `path` as a whole, or leave it as it was. Raises `NcaError` where it cannot."""
    temporary = path.with_name(f".{uuid.uuid4().hex[:12]}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(content)
        os.replace(temporary, path)
    except OSError as error:
        raise NcaError(f"{path}: cannot be written ({error.strerror or error})") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
