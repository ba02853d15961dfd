"""Zip and tar archives, read where they lie: nothing of them is ever written to a disk.

What an archive says about itself is not believed: sizes are bounded before memory is taken, a
checksum that fails is damage, and no name or link in it leads to anything outside.
"""

from __future__ import annotations

import io
import os
import stat
import tarfile
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from importlib import import_module
from pathlib import Path, PurePosixPath
from typing import IO, Any, Literal

from nca_cli.errors import ImageError, NcaError
from nca_cli.images.readable import MAX_PIXELS, damage, has_image_suffix

ENDINGS = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
MAX_BYTES = 3 * MAX_PIXELS
"""Of a member: what the largest picture takes as plain RGB."""
RATIO, FREE = 500, 256 << 20
"""Anything may expand to FREE bytes; what is larger, at most RATIO times."""
MAX_HEADER = 1 << 20
"""Bytes of an extended tar header (long names and the like)."""
MAX_MEMBERS = 2_000_000
"""ImageNet has 1.3 million. Listed, each takes 0.7 kB of memory in a zip and 0.3 kB in a tar."""
MAX_DIRECTORY = 256 * MAX_MEMBERS
"""Bytes of a zip's list of members, which is read as a whole."""
CHUNK = 1 << 20
_ZIP_HEADER = 30
"""Bytes before a member of a zip file, its name left out."""
_ZIP_ENTRY = b"PK\1\2"
"""How a member begins in a zip's list of members."""
_COMPRESSED = {b"\x1f\x8b": "gzip", b"BZh": "bz2", b"\xfd7zXZ\0": "lzma"}
"""How a compressed tar begins, and the module that reads it: a Python may lack some of them."""
_AGAIN = "download or make the archive again"


def is_archive(path: str | Path) -> bool:
    """Whether a file of this name is taken for an archive."""
    return os.fspath(path).lower().endswith(ENDINGS)


@dataclass(frozen=True, slots=True)
class Member:
    """A file in an archive: a `Source`, whose text (`faces.zip/a/b.png`) nca finds it by again."""

    archive: Archive
    path: str
    """In the archive: `a/b.png`."""
    entry: str = field(repr=False)
    """The same as the archive spells it: `./a/b.png`."""
    position: int = field(repr=False)
    """Where it lies: members that are read in this order are read in one pass."""
    size: int = field(repr=False)
    problem: str = field(default="", repr=False)
    """Why it is not read, known without reading it."""

    def __str__(self) -> str:
        return f"{self.archive.path}/{self.path}"

    __fspath__ = __str__

    @property
    def name(self) -> str:
        """`b.png`."""
        return PurePosixPath(self.path).name

    @property
    def stem(self) -> str:
        """`b`."""
        return PurePosixPath(self.path).stem

    @property
    def parts(self) -> tuple[str, ...]:
        """Folders around the archive, the archive, and folders in it."""
        return self.archive.path.parts + PurePosixPath(self.path).parts

    def open(self, mode: Literal["rb"] = "rb") -> io.BytesIO:
        """Its bytes, in memory, complete and checked. Raises `ImageError`."""
        if self.problem:
            raise ImageError(self, self.problem)
        with _refusing(self):
            return self.archive.read(self)


class Archive:
    """The members of a zip or tar file, listed once. Raises `ImageError` for what is none.

    Damage to the archive as a whole is an error at once, damage to a member when it is read.
    """

    def __init__(self, path: str | Path):
        self.path, self.real = Path(path), os.path.realpath(path)
        self.members: dict[str, Member] = {}
        """By their path in the archive; of two with one path, the later."""
        with _refusing(self.path, _AGAIN):
            for member in self._list():
                self.members[member.path] = member
                if len(self.members) > MAX_MEMBERS:
                    raise _too_many(self.path)

    def images(self, path: str = ".") -> list[Member]:
        """The image at `path`, whatever its suffix, or all images in that folder, sorted.

        As in a folder on a disk, hidden entries are passed over; so is what macOS adds.
        """
        if path in self.members:
            return [self.members[path]]
        images = [self.members[name] for name in self.shown(path) if has_image_suffix(name)]
        return sorted(images, key=lambda image: image.path.split("/"))

    def shown(self, path: str) -> Iterator[str]:
        """What is in a folder of it, but for hidden entries."""
        start = "" if path == "." else f"{path}/"
        for name in self.members:
            if name.startswith(start) and not _hidden(name[len(start) :]):
                yield name

    def read(self, member: Member) -> io.BytesIO:
        """The bytes of a member. Raises whatever decoders raise."""
        raise NotImplementedError

    def handle(self) -> Any:
        """The archive, opened. Kept open by `_opened`, for as long as it is in use."""
        raise NotImplementedError

    def _list(self) -> Iterator[Member]:
        raise NotImplementedError


def open_archive(path: str | Path) -> Archive:
    """The archive at `path`. Raises `ImageError`."""
    return (Zip if os.fspath(path).lower().endswith(".zip") else Tar)(path)


@lru_cache(maxsize=2)
def _opened(archive: Archive) -> Any:
    """The archives used last stay open; thousands may be named, and descriptors are few."""
    return archive.handle()


class Zip(Archive):
    """A zip file: any member can be read at once."""

    def handle(self) -> zipfile.ZipFile:
        try:
            return zipfile.ZipFile(_Directory(self.path))
        except zipfile.BadZipFile as error:
            problem = f"not a zip archive, or its end is missing ({error})"
            raise ImageError(self.path, problem, _AGAIN) from error

    def read(self, member: Member) -> io.BytesIO:
        with _opened(self).open(member.entry) as file:
            return _exactly(file, member.size)

    def _list(self) -> Iterator[Member]:
        infos = _opened(self).infolist()
        _refuse_overlaps(infos)
        for info in infos:
            if not info.is_dir():
                name, size = info.filename, info.file_size
                yield Member(self, _plain(name), name, info.header_offset, size, _zip_problem(info))


class _Directory:
    """What zipfile sees of a file: its list of members comes in one read, and is of modest size.

    What the file says of their number is not asked: the list itself is counted, before zipfile
    makes an object of each.
    """

    def __init__(self, path: Path):
        self._path, self._file = path, open(path, "rb")  # noqa: SIM115  # for as long as it is used
        self.seek, self.tell, self.seekable = self._file.seek, self._file.tell, self._file.seekable

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size) if size <= MAX_DIRECTORY else b""
        if size > MAX_DIRECTORY or data.count(_ZIP_ENTRY) > MAX_MEMBERS:
            raise _too_many(self._path)
        return data


def _refuse_overlaps(infos: Sequence[zipfile.ZipInfo]) -> None:
    """Members that share their bytes are how a small archive holds endless data."""
    end = 0
    for info in sorted(infos, key=lambda info: info.header_offset):
        if info.header_offset < end:
            raise zipfile.BadZipFile(f"{info.filename} overlaps another member")
        end = info.header_offset + _ZIP_HEADER + info.compress_size


def _zip_problem(info: zipfile.ZipInfo) -> str:
    if info.flag_bits & 1:
        return "encrypted, not read"
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return "compressed in a way that is not read: zip it again with deflate, or with none"
    if stat.S_ISLNK(info.external_attr >> 16):
        return _LINK
    return _problem(info.filename, info.file_size, info.compress_size)


class Tar(Archive):
    """A tar file, plain or compressed; a compressed one is read from its start to the member."""

    def handle(self) -> io.BufferedIOBase:
        with open(self.path, "rb") as file:
            start = file.read(6)
        for mark, module in _COMPRESSED.items():
            if start.startswith(mark):
                return import_module(module).open(self.path)
        return open(self.path, "rb")

    def read(self, member: Member) -> io.BytesIO:
        file = _opened(self)
        file.seek(member.position)
        return _exactly(file, member.size)

    def _list(self) -> Iterator[Member]:
        headers, name = _Headers(self.path, _opened(self)), ""
        with headers.tarfile() as tar:
            while (info := tar.next()) is not None:
                tar.members.clear()  # type: ignore[attr-defined]  # or it keeps them all
                name = info.name
                if not info.isdir():
                    problem = _tar_problem(info)
                    yield Member(self, _plain(name), name, info.offset_data, info.size, problem)
        if headers.last != bytes(tarfile.BLOCKSIZE):
            after = f"after {name}" if name else "from its start"
            raise ImageError(self.path, f"truncated or damaged {after}", _AGAIN)
        headers.finish()


class _Headers:
    """What tarfile sees of an archive that it lists: headers of modest size, and never backwards.

    A compressed archive that expands too far is refused before it is expanded.
    """

    def __init__(self, path: Path, file: io.BufferedIOBase):
        self._path, self._file, self.tell = path, file, file.tell
        self._plain, size = isinstance(file, io.BufferedReader), path.stat().st_size
        self._end = size if self._plain else max(FREE, RATIO * size)
        self.last = b""
        """What was read last; a complete archive ends with a block of zeros."""

    def read(self, count: int) -> bytes:
        if count > MAX_HEADER:
            raise tarfile.ReadError(f"a header of {count} bytes")
        self.last = self._file.read(count)
        return self.last

    def seek(self, position: int) -> None:
        if position < self.tell():
            raise tarfile.ReadError("a header that leads backwards")
        self._check(position)
        self._file.seek(position)

    def tarfile(self) -> tarfile.TarFile:
        """The archive as it lists itself. Raises `ImageError` for what is none."""
        try:
            return tarfile.open(fileobj=self, mode="r:")  # type: ignore[call-overload]
        except tarfile.ReadError as error:
            raise ImageError(self._path, f"not a tar archive ({error})", _AGAIN) from error

    def finish(self) -> None:
        """Read what follows the last member: only then are the checksums of gzip compared."""
        while not self._plain and self._file.read(CHUNK):
            self._check(self.tell())

    def _check(self, position: int) -> None:
        if position > self._end:
            problem = "truncated, its end is missing" if self._plain else _EXPANDS
            raise ImageError(self._path, problem, _AGAIN if self._plain else None)


def _tar_problem(info: tarfile.TarInfo) -> str:
    if info.issym() or info.islnk():
        return _LINK
    if not info.isreg() or info.issparse():
        return "not a regular file, not read"
    return _problem(info.name, info.size, info.size)


_LINK = "a link, not read: links in archives are not followed"
_EXPANDS = f"expands more than {RATIO} times, not read"


def _too_many(path: Path) -> ImageError:
    return ImageError(path, f"more than {MAX_MEMBERS:,} members, not read",
                      "unpack it or split it into several archives")  # fmt: skip


def _problem(name: str, size: int, packed: int) -> str:
    """Why a member is not read, by its name and sizes; "" when it is."""
    if name[:1] in ("/", "\\") or ".." in _plain(name).split("/"):
        return "its name points outside the archive"
    if is_archive(name):
        return "archives in archives are not opened"
    if size > MAX_BYTES:
        return f"more than {MAX_BYTES // 1_000_000} MB, not read"
    if size > max(FREE, RATIO * packed):
        return _EXPANDS
    return ""


def _plain(name: str) -> str:
    """`./a//b.png` and `a\\b.png` → `a/b.png`."""
    return "/".join(part for part in name.replace("\\", "/").split("/") if part not in ("", "."))


def _hidden(path: str) -> bool:
    parts = path.split("/")
    return any(part == "__MACOSX" or (part[:1] == "." and part != "..") for part in parts)


def _exactly(file: IO[bytes], size: int) -> io.BytesIO:
    """The next `size` bytes, taking memory only for what is really there."""
    data = io.BytesIO()
    while data.tell() < size:
        chunk = file.read(min(CHUNK, size - data.tell()))
        if not chunk:
            raise EOFError
        data.write(chunk)
    data.seek(0)
    return data


@contextmanager
def _refusing(what: object, hint: str | None = None) -> Iterator[None]:
    """Turn what decompressors throw inside into `ImageError`; at damage they throw anything."""
    try:
        yield
    except NcaError:
        raise
    except MemoryError as error:
        raise ImageError(what, "too large for the memory") from error
    except Exception as error:
        damaged = not (isinstance(error, OSError) and error.errno)
        raise ImageError(what, damage(error), hint if damaged else None) from error
