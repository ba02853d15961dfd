"""Results that a user asked for by name (figures, pages, tables), and the guard before them.

Nothing is written into a store, nothing over a picture that a store was made from or over a file
that the command reads, and a file that exists is replaced only by one of its own kind.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from errno import ENOTDIR
from functools import cached_property
from pathlib import Path

from nca_cli.atomic import replace
from nca_cli.errors import NcaError, NotAStore, UsageError
from nca_cli.images import FITS, Resolution, image_digest, resolution_of
from nca_cli.store import Store
from nca_cli.store.layout import IMAGE_HEX, MARKER, split_folder

HEAD = 4096
"""Bytes at the start of a file that tell its kind."""
HDF5 = b"\x89HDF\r\n\x1a\n"
STAMP = b""
"""The content of a stamp: only its time counts."""
KINDS = {
    "a PNG": rb"\x89PNG\r\n", "a JPEG": rb"\xff\xd8\xff", "a GIF": rb"GIF8", "a PDF": rb"%PDF-",
    "a WebP": rb"RIFF....WEBP", "a NumPy array": rb"\x93NUMPY", "an HDF5 file": rb"\x89HDF\r\n",
    "an HTML page": rb"\s*<(!doctype html|html)\b",
    "an SVG": rb"\s*(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)*(<!DOCTYPE svg[^>]*>\s*)?<svg\b",
}  # fmt: skip
"""What can be told by how it begins."""
OTHER = "a file of another kind"
PICTURES = {"a PNG", "a JPEG", "a GIF", "a WebP", "a NumPy array", OTHER}
"""Kinds of files that a store may have been made from."""
ELSEWHERE = "choose another name"


def kind_of(start: bytes) -> str:
    """What a file is, by its first bytes: of JSON by the format it names, of tables by the first
    columns; nothing for an empty one."""
    for name, pattern in KINDS.items():
        if re.match(pattern, start, re.DOTALL | re.IGNORECASE):
            return name
    if named := re.match(rb'\s*\{\s*"format":\s*"([\w-]+)"', start):
        return f"JSON of the format {named[1].decode()}"
    line = start.partition(b"\n")[0].strip()
    if re.fullmatch(rb"[\w ]+(,[\w ]+)+", line):
        return f"a table of {', '.join(line.decode('ascii').split(',')[:3])}"
    return OTHER if start else ""


@dataclass(frozen=True)
class Outputs:
    """What a command may write, that reads a `store` and other files (`inputs`)."""

    store: Store | None = None
    inputs: tuple[Path, ...] = ()

    def write(self, path: Path, content: str | bytes) -> None:
        """Write beside `path` and rename; into `path` itself where that is no plain file (a pipe).

        Text is UTF-8. Folders are made as needed. Raises `UsageError` as `check` does, `NcaError`
        where it cannot be written.
        """
        data = content if isinstance(content, bytes) else content.encode("utf-8")
        self.check(path, data)
        try:
            if path.exists() and not path.is_file():
                path.write_bytes(data)
            else:
                replace(path.resolve(), data)
        except OSError as error:
            raise _unwritable(path, error) from error

    def stamp(self, path: Path) -> None:
        """Give an empty file the time of now. Raises as `write` does."""
        self.check(path, STAMP)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        except OSError as error:
            raise _unwritable(path, error) from error

    def check(self, path: Path, start: bytes | None = None) -> None:
        """Raise `UsageError` where a file that begins with `start` may not be written.

        Without `start` its kind is not looked at yet. Nothing there is changed.
        """
        try:
            real = path.resolve()
            self._check_place(path, real)
            if not real.is_file():
                return
            with open(real, "rb") as file:
                there = kind_of(file.read(HEAD))
            if there:
                self._check_sources(path, real, there)
        except (OSError, RuntimeError, ValueError) as error:  # a loop of links, a null character
            raise _unwritable(path, error) from error
        if there and start is not None:
            _check_kind(path, there, kind_of(start[:HEAD]) or "a stamp, which is empty")

    def _check_place(self, path: Path, real: Path) -> None:
        nearest = next(folder for folder in real.parents if folder.exists())
        if not nearest.is_dir():
            raise NotADirectoryError(ENOTDIR, f"{nearest} is not a folder")
        for folder in (real, *real.parents):
            own = self.store is not None and folder == self.store.root.resolve()
            if own or (folder / MARKER).is_file():
                raise UsageError(f"{path} lies in the store {folder}", "choose a place outside it")

    def _check_sources(self, path: Path, real: Path, there: str) -> None:
        if any(each.resolve() == real for each in self.inputs):
            raise UsageError(f"{path} is an input of this command", ELSEWHERE)
        if there not in PICTURES:
            return
        for resolution, digits in self._images.items():
            if any(image_digest(real, resolution, fit)[:IMAGE_HEX] in digits for fit in FITS):
                raise UsageError(f"{path} is an image that the store was made from", ELSEWHERE)

    @cached_property
    def _images(self) -> dict[Resolution, set[str]]:
        """Resolution → first digits of the stored images' digests."""
        found: dict[Resolution, set[str]] = {}
        if self.store is not None and self.store.exists:
            for resolution, folder in _stored(self.store):
                found.setdefault(resolution, set()).add(split_folder(folder)[1])
        return found


def _stored(store: Store) -> Iterator[tuple[Resolution, str]]:
    """Resolution and folder of each stored image; a damaged model is told of by who reads it."""
    for model in store.models():
        with suppress(NcaError, LookupError, TypeError, ValueError):
            resolution = resolution_of(store.model_info(model)["space"]["resolution"])
            yield from ((resolution, folder) for folder in store.images(model))


def _check_kind(path: Path, there: str, new: str) -> None:
    if there != new:
        raise UsageError(f"{path} is {there} and would be replaced by {new}", ELSEWHERE)
    if there == kind_of(HDF5):
        try:
            Store(path)
        except NotAStore as error:
            raise UsageError(f"{path} is not a packed store", ELSEWHERE) from error


def _unwritable(path: Path, error: Exception) -> NcaError:
    reason = getattr(error, "strerror", None) or str(error)
    return NcaError(f"{path}: cannot be written ({reason})", "choose another place: -o")
