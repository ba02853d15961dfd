"""One artifact part as HDF5: how it is written, labelled and read back.

The layout is described for other programs in docs/store-format.md.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import h5py
import numpy as np

from nca_cli.errors import StoreError
from nca_cli.images.pixels import to_rgb
from nca_cli.recipe import digest
from nca_cli.store.fields import FIELDS, INDEX, UNITS, fixed, per_sample
from nca_cli.store.files import write_atomically
from nca_cli.store.layout import ARTIFACT_FORMAT, FORMAT_VERSION
from nca_cli.store.opening import UNREADABLE, open_file, reason_of
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
    """Write `part` into an empty group (the root of a file, or a group of a packed store).

    Its digest is of what was to be written, not of what a library made of it.
    """
    written = {**part.fixed, **part.samples.tensors}
    for name in INDEX:
        written[name] = getattr(part.samples, name)
    for name in part.samples.tensors:
        if FIELDS[name].previewed:
            written["preview"] = to_rgb(written[name])
    scales: dict[str, np.ndarray] = {}
    for name, values in written.items():
        _write_dataset(group, name, values, scales)
    if "preview" in written:
        for key, text in IMAGE_TAGS.items():
            group["preview"].attrs[key] = np.bytes_(text)
    group.attrs.update(part.header)
    group.attrs["format"] = ARTIFACT_FORMAT
    group.attrs["version"] = FORMAT_VERSION
    group.attrs["content_sha256"] = _digest_of(part.header, FORMAT_VERSION, written | scales)


def _write_dataset(
    group: h5py.Group, name: str, values: np.ndarray, scales: dict[str, np.ndarray]
) -> None:
    """A checksummed dataset, one chunk per sample, every axis labelled with a dimension scale."""
    field = FIELDS[name]
    single = (1, *values.shape[1:]) if field.axes and not field.fixed else values.shape
    data = group.create_dataset(
        name, data=values, fletcher32=True,
        chunks=tuple(max(1, size) for size in single),
        maxshape=((values.shape[0] if field.fixed else None), *values.shape[1:]),
    )  # fmt: skip
    for key, text in (("long_name", field.long_name), ("units", UNITS)):
        data.attrs[key] = np.bytes_(text)
    if field.axes and not field.fixed:
        data.attrs["coordinates"] = " ".join(INDEX)
    for axis, (label, size) in enumerate(zip(field.dims, values.shape, strict=True)):
        if label not in scales:
            scales[label] = np.arange(size)
            _write_scale(group, label, scales[label])
        data.dims[axis].attach_scale(group[label])


def _write_scale(group: h5py.Group, label: str, values: np.ndarray) -> None:
    """The dimension scale `label`, shared by all datasets of the group: 0, 1, … size-1."""
    maxshape = (None,) if label == "sample" else (len(values),)
    scale = group.create_dataset(
        label, data=values, chunks=(max(1, len(values)),), maxshape=maxshape, fletcher32=True
    )
    scale.make_scale(label)


def content_digest(group: h5py.Group) -> str:
    """SHA-256 of the canonical JSON that lists a part's text attributes, version and datasets.

    A dataset counts with its dtype, its shape and the SHA-256 of its bytes in C order.
    """
    held = {name: group[name][()] for name in group}
    version, kind = int(group.attrs["version"]), str(group.attrs["format"])
    return _digest_of({**read_header(group), "format": kind}, version, held)


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


WRONG_DIGEST = "content digest differs"


def write_file(
    path: Path, part: Part, tell: Callable[[h5py.Group], None] = lambda group: None
) -> None:
    """The file of a part, whole or not at all, and read back before it takes its name.

    `tell` is shown what was read back. Raises `StoreError` where what was written cannot be read,
    as with a faulty HDF5 library; the old file stays.
    """
    write_atomically(path, file_image(part), read_back=partial(check_written, path, tell=tell))


def file_image(part: Part) -> bytes:
    """The bytes of an HDF5 file that holds `part`, made in memory: disk errors stay plain."""
    with h5py.File.in_memory(libver=LIBVER) as file:
        write_part(file, part)
        file.flush()
        return file.id.get_file_image()


def check_written(
    path: Path, written: Path, tell: Callable[[h5py.Group], None] = lambda group: None
) -> None:
    """Raise `StoreError` unless every part in the file `written`, soon `path`, has its digest."""
    try:
        with open_file(written) as file:
            for part in _parts(file):
                if content_digest(part) != part.attrs["content_sha256"]:
                    raise ValueError(WRONG_DIGEST)
                tell(part)
    except UNREADABLE as error:
        raise StoreError(
            path, f"what h5py {h5py.__version__} wrote cannot be read back ({reason_of(error)})",
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
