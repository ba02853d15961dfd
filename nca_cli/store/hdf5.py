"""One artifact part as HDF5: how it is written, labelled and read back.

The layout is described for other programs in docs/store-format.md.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from h5py import h5d

from nca_cli.errors import DamagedArtifact, StoreError
from nca_cli.images.pixels import to_rgb
from nca_cli.recipe import digest
from nca_cli.store import objects
from nca_cli.store.fields import FIELDS, INDEX, UNITS, fixed, per_sample
from nca_cli.store.files import write_atomically
from nca_cli.store.layout import ARTIFACT_FORMAT, FORMAT_VERSION
from nca_cli.store.opening import UNREADABLE, explained, open_file, reason_of
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
Shapes = tuple[tuple[str, str, tuple[int, ...]], ...]
"""Name, dtype and shape of each dataset of a part."""


def write_part(group: h5py.Group, part: Part) -> None:
    """Write `part` into an empty group (the root of a file, or a group of a packed store)."""
    written = _written(part)
    _lay_out(group, _shapes_of(written))
    _fill(group, part, written)


def _written(part: Part) -> dict[str, np.ndarray]:
    """The datasets of a part: fixed tensors, those of its samples, the index, previews."""
    written = {**part.fixed, **part.samples.tensors}
    for name in INDEX:
        written[name] = getattr(part.samples, name)
    for name in part.samples.tensors:
        if FIELDS[name].previewed:
            written["preview"] = to_rgb(written[name])
    return written


def _shapes_of(written: Mapping[str, np.ndarray]) -> Shapes:
    return tuple((name, values.dtype.str, values.shape) for name, values in written.items())


def _lay_out(group: h5py.Group, shapes: Shapes) -> None:
    """All that does not depend on values: datasets, their labels, and the scales of their axes."""
    scales = {label: _make_scale(group, label, axis) for label, axis in _scales_of(shapes).items()}
    for name, dtype, shape in shapes:
        data = _make_dataset(group, name, np.dtype(dtype), shape)
        for axis, label in enumerate(FIELDS[name].dims):
            objects.label_axis(data, axis, scales[label])
        if name == "preview":
            for key, text in IMAGE_TAGS.items():
                objects.write_value(data, key, np.bytes_(text))
    objects.write_text(group.id, "format", ARTIFACT_FORMAT)
    objects.write_value(group.id, "version", FORMAT_VERSION)


def _make_dataset(
    group: h5py.Group, name: str, dtype: np.dtype, shape: tuple[int, ...]
) -> h5d.DatasetID:
    """A checksummed dataset, one chunk per sample."""
    field = FIELDS[name]
    single = (1, *shape[1:]) if field.axes and not field.fixed else shape
    limits = ((shape[0] if field.fixed else None), *shape[1:])
    chunks = tuple(max(1, size) for size in single)
    data = objects.make_dataset(group, name, dtype, shape, chunks, limits)
    for key, text in (("long_name", field.long_name), ("units", UNITS)):
        objects.write_value(data, key, np.bytes_(text))
    if field.axes and not field.fixed:
        objects.write_text(data, "coordinates", " ".join(INDEX))
    return data


def _scales_of(shapes: Shapes) -> dict[str, np.ndarray]:
    """The dimension scales that all datasets share: 0, 1, … size-1 of each axis."""
    return {
        label: np.arange(size) for name, _, shape in shapes
        for label, size in zip(FIELDS[name].dims, shape, strict=True)
    }  # fmt: skip


def _make_scale(group: h5py.Group, label: str, values: np.ndarray) -> h5d.DatasetID:
    limits = (None,) if label == "sample" else (len(values),)
    chunks = (max(1, len(values)),)
    scale = objects.make_dataset(group, label, values.dtype, values.shape, chunks, limits)
    objects.write_values(scale, values)
    objects.make_scale(scale, label)
    return scale


def _fill(group: h5py.Group, part: Part, written: Mapping[str, np.ndarray]) -> None:
    """Values and header, where `_lay_out` was before.

    The digest is of what was to be written, not of what a library made of it.
    """
    for name, values in written.items():
        objects.write_values(h5d.open(group.id, name.encode()), values)
    for key, text in part.header.items():
        objects.write_text(group.id, key, text)
    held = {**written, **_scales_of(_shapes_of(written))}
    objects.write_text(group.id, "content_sha256", _digest_of(part.header, FORMAT_VERSION, held))


@lru_cache(32)
def _blank(shapes: Shapes) -> bytes:
    """A file that only lacks values and header. To make its objects takes several times as long as
    to fill them, and a run writes many parts of few shapes."""
    with h5py.File.in_memory(libver=LIBVER) as file:
        _lay_out(file, shapes)
        file.flush()
        return file.id.get_file_image()


@dataclass(frozen=True)
class Content:
    """All that a part holds, read once."""

    attributes: dict[str, Any]
    datasets: dict[str, np.ndarray]

    @classmethod
    def of(cls, group: h5py.Group) -> Content:
        """Read from a part, tensors too."""
        return cls(objects.read_attributes(group), objects.read_datasets(group))

    @property
    def header(self) -> dict[str, str]:
        """The text attributes: kind, model, image, recipe, written_by."""
        return _header_in(self.attributes)

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical JSON that lists the text attributes, version and datasets.

        A dataset counts with its dtype, its shape and the SHA-256 of its bytes in C order.
        """
        told = {**self.header, "format": str(self.attributes["format"])}
        return _digest_of(told, int(self.attributes["version"]), self.datasets)

    def check(self) -> Content:
        """This, unless it is not what was written: `ValueError`."""
        if self.digest != self.attributes["content_sha256"]:
            raise ValueError(WRONG_DIGEST)
        return self


def content_digest(group: h5py.Group) -> str:
    """The digest of what a part holds now."""
    return Content.of(group).digest


def _digest_of(header: Mapping[str, str], version: int, held: Mapping[str, np.ndarray]) -> str:
    attributes = {"format": ARTIFACT_FORMAT, **header, "version": version}
    datasets = {name: _fingerprint(values) for name, values in held.items()}
    return digest({"attributes": attributes, "datasets": datasets})


def _fingerprint(held: np.ndarray) -> dict[str, object]:
    values = np.ascontiguousarray(held)
    sha256 = hashlib.sha256(values.reshape(-1).view(np.uint8).data).hexdigest()
    return {"dtype": values.dtype.str, "shape": list(held.shape), "sha256": sha256}


def read_part(group: h5py.Group) -> Part:
    """Everything in a group, as `write_part` wrote it (previews and labels are made anew).

    Checks the content digest first, so that a rewrite never hides damage: `ValueError`.
    """
    held = Content.of(group).check()
    tensors = {name: held.datasets[name] for name in per_sample() if name in held.datasets}
    shared = {name: held.datasets[name] for name in fixed() if name in held.datasets}
    t, seed, log_snr = (held.datasets[key] for key in INDEX)
    return Part(held.header, shared, Samples(t, seed, log_snr, tensors))


def read_header(group: h5py.Group) -> dict[str, str]:
    """The text attributes: kind, model, image, recipe, written_by."""
    return _header_in(objects.read_attributes(group))


def _header_in(attributes: Mapping[str, Any]) -> dict[str, str]:
    texts = {key: value for key, value in attributes.items() if isinstance(value, str)}
    return {key: text for key, text in texts.items() if key not in STAMP}


def read_columns(group: h5py.Group, names: Sequence[str] = INDEX) -> list[np.ndarray]:
    """t, seed and logSNR of each row. Raises `ValueError` where they do not go together."""
    return columns_of({name: group[name][()] for name in names}, names)


def columns_of(held: Mapping[str, np.ndarray], names: Sequence[str] = INDEX) -> list[np.ndarray]:
    """As `read_columns`, of datasets that are read."""
    columns = [held[name] for name in names]
    for name, column in zip(names, columns, strict=True):
        if column.shape != columns[0].shape:
            raise ValueError(f"{name} counts other samples than {names[0]}")
    return columns


def read_keys(group: h5py.Group) -> list[Key]:
    """(t, seed) of each row."""
    t, seed = read_columns(group, ("t", "seed"))
    return list(zip(t.tolist(), seed.tolist(), strict=True))


WRONG_DIGEST = "content digest differs"


def write_file(
    path: Path, part: Part, tell: Callable[[Content], None] = lambda content: None
) -> None:
    """The file of a part, whole or not at all, and read back before it takes its name.

    `tell` is shown what was read back. Raises `StoreError` where what was written cannot be read,
    as with a faulty HDF5 library; the old file stays.
    """
    write_atomically(path, file_image(part), read_back=partial(check_written, path, tell=tell))


def file_image(part: Part) -> bytes:
    """The bytes of an HDF5 file that holds `part`, made in memory: disk errors stay plain."""
    written = _written(part)
    with h5py.File.in_memory(_blank(_shapes_of(written)), libver=LIBVER) as file:
        objects.read_attributes(file)  # so that HDF5 knows the block of texts, and fills it up
        _fill(file, part, written)
        file.flush()
        return file.id.get_file_image()


def check_written(
    path: Path, written: Path, tell: Callable[[Content], None] = lambda content: None
) -> None:
    """Raise `StoreError` unless every part in the file `written`, soon `path`, has its digest."""
    try:
        with open_file(written) as file:
            for part in _parts(file):
                tell(Content.of(part).check())
    except UNREADABLE as error:
        told = explained(written, str(path), error)
        if not isinstance(told, DamagedArtifact):  # it is the machine's trouble
            raise StoreError(path, told.reason, told.hint) from error
        raise StoreError(
            path, f"what h5py {h5py.__version__} wrote cannot be read back ({reason_of(error)})",
            "nothing was changed; upgrade h5py: pip install --upgrade h5py",
        ) from error  # fmt: skip


def _parts(file: h5py.File) -> Iterator[h5py.Group]:
    """The part that a file is, or the parts that a packed file holds as /model/image/name."""
    if objects.has_attribute(file, "content_sha256"):
        yield file
        return
    for model in file.values():
        for image in model.values():
            yield from image.values()
