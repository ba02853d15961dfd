"""One artifact part as HDF5: where it lies, how it is written, labelled and read back.

The layout is described for other programs in docs/store-format.md.
"""

from __future__ import annotations

import errno
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePath, PurePosixPath
from typing import Any

import h5py
import numpy as np

from nca_cli.errors import DamagedArtifact, StoreError
from nca_cli.images.pixels import to_rgb
from nca_cli.recipe import digest
from nca_cli.store.fields import FIELDS, INDEX, fixed, per_sample
from nca_cli.store.files import write_atomically
from nca_cli.store.layout import ARTIFACT_FORMAT, FORMAT_VERSION, SUFFIX, split_part
from nca_cli.store.samples import Key, Part, Samples

STAMP = ("format", "version", "content_sha256")
"""Attributes that every file has and that are no header of its own."""
IMAGE_TAGS = {
    "CLASS": "IMAGE",
    "IMAGE_SUBCLASS": "IMAGE_TRUECOLOR",
    "IMAGE_VERSION": "1.2",
    "INTERLACE_MODE": "INTERLACE_PIXEL",
}
"""What the HDF5 Image specification asks of a picture, so that viewers draw it."""
LIBVER = ("v110", "v110")
"""HDF5 1.10 files: half the size of the oldest format for small files, and more checksums."""


def write_part(group: h5py.Group, part: Part) -> None:
    """Write `part` into an empty group (the root of a file, or a group of a packed store)."""
    for name, values in part.fixed.items():
        _write_dataset(group, name, values)
    for name, values in part.samples.tensors.items():
        _write_dataset(group, name, values)
        if FIELDS[name].previewed:
            _write_preview(group, values)
    for name in INDEX:
        _write_dataset(group, name, getattr(part.samples, name))
    group.attrs.update(part.header)
    group.attrs["format"] = ARTIFACT_FORMAT
    group.attrs["version"] = FORMAT_VERSION
    group.attrs["content_sha256"] = content_digest(group)


def _write_dataset(group: h5py.Group, name: str, values: np.ndarray) -> None:
    """A checksummed dataset, one chunk per sample, every axis labelled with a dimension scale."""
    field = FIELDS[name]
    single = (1, *values.shape[1:]) if field.axes and not field.fixed else values.shape
    data = group.create_dataset(
        name, data=values, fletcher32=True,
        chunks=tuple(max(1, size) for size in single),
        maxshape=((values.shape[0] if field.fixed else None), *values.shape[1:]),
    )  # fmt: skip
    if field.axes and not field.fixed:
        data.attrs["coordinates"] = " ".join(INDEX)
    for axis, (label, size) in enumerate(zip(field.dims, values.shape, strict=True)):
        data.dims[axis].attach_scale(_scale(group, label, size))


def _scale(group: h5py.Group, label: str, size: int) -> h5py.Dataset:
    """The dimension scale `label`, shared by all datasets of the group: 0, 1, … size-1."""
    if label not in group:
        maxshape = (None,) if label == "sample" else (size,)
        scale = group.create_dataset(
            label, data=np.arange(size), chunks=(max(1, size),), maxshape=maxshape, fletcher32=True
        )
        scale.make_scale(label)
    return group[label]


def _write_preview(group: h5py.Group, values: np.ndarray) -> None:
    """uint8 pictures of the samples, marked as the HDF5 Image specification asks for."""
    _write_dataset(group, "preview", to_rgb(values))
    for key, text in IMAGE_TAGS.items():
        group["preview"].attrs[key] = np.bytes_(text)


def content_digest(group: h5py.Group) -> str:
    """SHA-256 of the canonical JSON that lists a part's text attributes, version and datasets.

    A dataset counts with its dtype, its shape and the SHA-256 of its bytes in C order.
    """
    attributes = {"version": int(group.attrs["version"]), "format": str(group.attrs["format"])}
    datasets = {name: _fingerprint(group[name]) for name in group}
    return digest({"attributes": attributes | read_header(group), "datasets": datasets})


def _fingerprint(data: h5py.Dataset) -> dict[str, object]:
    values = np.ascontiguousarray(data[()])
    sha256 = hashlib.sha256(values.reshape(-1).view(np.uint8).data).hexdigest()
    return {"dtype": values.dtype.str, "shape": list(data.shape), "sha256": sha256}


def read_part(group: h5py.Group) -> Part:
    """Everything in a group, as `write_part` wrote it (previews and labels are made anew).

    Checks the content digest first, so that a rewrite never hides damage: `ValueError`.
    """
    if content_digest(group) != group.attrs["content_sha256"]:
        raise ValueError(WRONG_DIGEST)
    tensors = {name: group[name][()] for name in per_sample() if name in group}
    shared = {name: group[name][()] for name in fixed() if name in group}
    t, seed, log_snr = (group[key][()] for key in INDEX)
    return Part(read_header(group), shared, Samples(t, seed, log_snr, tensors))


def read_header(group: h5py.Group) -> dict[str, str]:
    """The text attributes: kind, model, image, recipe, written_by."""
    header = {key: value for key, value in group.attrs.items() if key not in STAMP}
    return {key: value for key, value in header.items() if isinstance(value, str)}


def read_columns(group: h5py.Group, names: Sequence[str] = INDEX) -> list[np.ndarray]:
    """t, seed and logSNR of each row. Raises `ValueError` where they do not go together."""
    columns = [group[name][()] for name in names]
    for name, column in zip(names, columns, strict=True):
        if column.shape != columns[0].shape:
            raise ValueError(f"{name} counts other samples than {names[0]}")
    return columns


def read_keys(group: h5py.Group) -> list[Key]:
    """(t, seed) of each row."""
    t, seed = read_columns(group, ("t", "seed"))
    return list(zip(t.tolist(), seed.tolist(), strict=True))


def write_file(path: Path, part: Part) -> None:
    """The file of a part, whole or not at all, and read back before it takes its name.

    Raises `StoreError` where what was written cannot be read, as with a faulty HDF5 library; the
    old file stays.
    """
    write_atomically(path, file_image(part), read_back=partial(check_written, path))


def file_image(part: Part) -> bytes:
    """The bytes of an HDF5 file that holds `part`, made in memory: disk errors stay plain."""
    with h5py.File.in_memory(libver=LIBVER) as file:
        write_part(file, part)
        file.flush()
        return file.id.get_file_image()


def check_written(path: Path, written: Path) -> None:
    """Raise `StoreError` unless every part in the file `written`, soon `path`, has its digest."""
    try:
        with _file(written) as file:
            for part in _parts(file):
                if content_digest(part) != part.attrs["content_sha256"]:
                    raise ValueError(WRONG_DIGEST)
    except _UNREADABLE as error:
        raise StoreError(
            path, f"what h5py {h5py.__version__} wrote cannot be read back ({_reason(error)})",
            "nothing was changed; upgrade h5py: pip install --upgrade h5py",
        ) from error  # fmt: skip


def _parts(file: h5py.File) -> Iterator[h5py.Group]:
    """The part that a file is, or the parts that a packed file holds as /model/image/name."""
    if "content_sha256" in file.attrs:
        yield file
        return
    for model in file.values():
        for image in model.values():
            yield from image.values()


@dataclass(frozen=True)
class Location:
    """Where one part lies: a file and the group in it ("/" unless the store is packed)."""

    path: Path
    group: str = "/"

    def __str__(self) -> str:
        return f"{self.path}:{self.group}" if self._packed else str(self.path)

    @property
    def _packed(self) -> bool:
        return self.group != "/"

    @property
    def _names(self) -> PurePath:
        """`…/model/image/ddim-50-7f31c02a.1`, whatever the store is."""
        if self._packed:
            return PurePosixPath(self.group)
        return self.path.with_name(self.path.name.removesuffix(SUFFIX))

    @property
    def stem(self) -> str:
        """`ddim-50-7f31c02a.1`: name and number of the part."""
        return self._names.name

    @property
    def names(self) -> tuple[str, str, str]:
        """Model, image and artifact (without the number of the part)."""
        model, image, stem = self._names.parts[-3:]
        return model, image, split_part(stem)[0]

    @property
    def number(self) -> int:
        """0 for the first part of an artifact. Numbers may have gaps."""
        return split_part(self.stem)[1]

    @property
    def in_store(self) -> str:
        """Where it lies within its store: `model/image/name.h5`, packed `/model/image/name`."""
        return self.group if self._packed else "/".join(self.path.parts[-3:])

    @contextmanager
    def opened(self) -> Iterator[h5py.Group]:
        """The part for reading. Failing to read it is `DamagedArtifact` or `StoreError`.

        So the body of the `with` reads from the file and does nothing else.
        """
        try:
            with _file(self.path) as file:
                part = file[self.group]
                check_version(self.path, part.attrs)
                yield part
        except _UNREADABLE as error:
            raise _explained(self, error) from error

    def read(self) -> Part:
        """All of the part, once its content digest is checked: `read_part`."""
        with self.opened() as group:
            return read_part(group)

    @property
    def bytes(self) -> int:
        """Size on disk, of the file or of the datasets in the group."""
        if self._packed:
            with self.opened() as group:
                return sum(data.id.get_storage_size() for data in group.values())
        try:
            return self.path.stat().st_size
        except FileNotFoundError:
            return 0


def _file(path: Path) -> h5py.File:
    """Open for reading, whatever locks others hold: a file never changes, it is replaced.

    HDF5's own locks are left out only then, since a process must not open a file both ways.
    """
    try:
        return h5py.File(path, "r")
    except OSError as error:
        if "lock" not in str(error):
            raise
        return h5py.File(path, "r", locking=False)


def check_version(path: Path, attributes: Mapping[str, Any]) -> None:
    """Refuse a format that this program does not know."""
    version = int(attributes.get("version", 0))
    if version > FORMAT_VERSION:
        raise StoreError(
            path, f"format {version} is newer than this nca knows ({FORMAT_VERSION})",
            "upgrade nca, or use another --store",
        )  # fmt: skip


WRONG_DIGEST = "content digest differs"
_UNREADABLE = (
    OSError, LookupError, RuntimeError, ValueError, TypeError, AttributeError, ArithmeticError,
    MemoryError, SystemError,
)  # fmt: skip
"""What h5py raises on files that were changed at random."""
_PASSING = {errno.EMFILE, errno.ENFILE, errno.ESTALE, errno.ETIMEDOUT}
"""Troubles of the machine at this moment, which say nothing about the file."""
_REASONS = {
    "checksum": "checksum error",
    "filter returned failure": "checksum error",
    "truncated": "truncated file",
    "signature": "not an HDF5 file",
}


def _explained(part: Location, error: Exception) -> StoreError:
    """The error that a reader sees."""
    if isinstance(error, PermissionError):
        return StoreError(part.path, "no permission to read it")
    if isinstance(error, FileNotFoundError):
        return StoreError(part.path, "no such artifact")
    if isinstance(error, OSError) and error.errno in _PASSING:
        return StoreError(part.path, "cannot be read now", "run the same command again")
    return DamagedArtifact(str(part), _reason(error))


def _reason(error: Exception) -> str:
    """One short line about what is wrong with a file."""
    text = " ".join(str(error).split())
    known = (reason for mark, reason in _REASONS.items() if mark in text.lower())
    return next(known, text[:120] or type(error).__name__)
