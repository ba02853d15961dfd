"""One artifact part as HDF5: what is written, how it is labelled, and how it is read back.

The layout is described for other programs in docs/store-format.md.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import h5py
import numpy as np

from nca_cli.errors import DamagedArtifact, StoreError
from nca_cli.store.layout import ARTIFACT_FORMAT, FORMAT_VERSION

PIXEL_AXES = ("channel", "height", "width")
LATENT_AXES = ("latent_channel", "latent_height", "latent_width")
PREVIEW_AXES = ("sample", "height", "width", "rgb")
LATENT = frozenset({"z0", "z_t", "z0_hat"})
"""Datasets in the space of a latent model; all others are pixels."""
PER_SAMPLE = ("x_t", "z_t", "x0_hat", "z0_hat")
PREVIEWED = ("x_t", "x0_hat")
INDEX = ("t", "seed", "log_snr")
LIBVER = ("v110", "v110")
"""HDF5 1.10 files: half the size of the oldest format for small files, and more checksums."""


@dataclass
class Samples:
    """N samples of one artifact: their t, seed and logSNR `(N,)`, and tensors `(N, C, H, W)`."""

    t: np.ndarray
    seed: np.ndarray
    log_snr: np.ndarray
    tensors: dict[str, np.ndarray] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.t)

    @property
    def keys(self) -> list[tuple[int | float, int]]:
        """(t, seed) of each sample."""
        return list(zip(self.t.tolist(), self.seed.tolist(), strict=True))

    def take(self, rows: np.ndarray | list[int] | slice) -> Samples:
        """The samples at `rows`."""
        tensors = {name: tensor[rows] for name, tensor in self.tensors.items()}
        return Samples(self.t[rows], self.seed[rows], self.log_snr[rows], tensors)

    def followed_by(self, other: Samples) -> Samples:
        """These samples and then `other`'s; both hold the same tensors."""
        tensors = {
            name: np.concatenate([tensor, other.tensors[name].astype(tensor.dtype, copy=False)])
            for name, tensor in self.tensors.items()
        }
        index = [np.concatenate([getattr(self, key), getattr(other, key)]) for key in INDEX]
        return Samples(*index, tensors)

    @property
    def bytes_per_sample(self) -> int:
        """Size of one sample in a file, preview included, filters and labels left out."""
        sizes = [tensor[:1].nbytes for tensor in self.tensors.values()]
        previews = [tensor[0, 0].size * 3 for name, tensor in self.tensors.items() if name in PREVIEWED]
        return sum(sizes) + sum(previews) + 32


@dataclass
class Part:
    """The content of one file: text attributes, tensors that belong to all samples, samples."""

    header: dict[str, str]
    fixed: dict[str, np.ndarray]
    samples: Samples

    @property
    def dtype(self) -> np.dtype | None:
        """Stored dtype of the samples' tensors; `None` while there are none."""
        return next((tensor.dtype for tensor in self.samples.tensors.values()), None)


def write_part(group: h5py.Group, part: Part) -> None:
    """Write `part` into an empty group (the root of a file, or a group of a packed store)."""
    for name, values in part.fixed.items():
        _write_tensor(group, name, values, _axes(name))
    for name, values in part.samples.tensors.items():
        _write_tensor(group, name, values, ("sample", *_axes(name)))
        if name in PREVIEWED:
            _write_preview(group, values)
    for name in INDEX:
        _write_tensor(group, name, getattr(part.samples, name), ("sample",))
    group.attrs.update(part.header)
    group.attrs["format"] = ARTIFACT_FORMAT
    group.attrs["version"] = FORMAT_VERSION
    group.attrs["content_sha256"] = content_digest(group)


def _axes(name: str) -> tuple[str, str, str]:
    return LATENT_AXES if name in LATENT else PIXEL_AXES


def _write_tensor(group: h5py.Group, name: str, values: np.ndarray, axes: tuple[str, ...]) -> None:
    """A checksummed dataset, one chunk per sample, every axis labelled with a dimension scale."""
    per_sample = axes[0] == "sample"
    single = (1, *values.shape[1:]) if per_sample and values.ndim > 1 else values.shape
    data = group.create_dataset(
        name, data=values, fletcher32=True,
        chunks=tuple(max(1, size) for size in single),
        maxshape=((None if per_sample else values.shape[0]), *values.shape[1:]),
    )  # fmt: skip
    if per_sample and name not in INDEX:
        data.attrs["coordinates"] = " ".join(INDEX)
    for axis, (label, size) in enumerate(zip(axes, values.shape, strict=True)):
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
    _write_tensor(group, "preview", preview(values), PREVIEW_AXES)
    for key, text in {"CLASS": "IMAGE", "IMAGE_SUBCLASS": "IMAGE_TRUECOLOR",
                      "IMAGE_VERSION": "1.2", "INTERLACE_MODE": "INTERLACE_PIXEL"}.items():  # fmt: skip
        group["preview"].attrs[key] = np.bytes_(text)


def preview(values: np.ndarray) -> np.ndarray:
    """float `(N, C, H, W)` in [-1, 1] → uint8 `(N, H, W, 3)`, clipped; grey becomes RGB."""
    bytes_ = (np.clip(values.astype(np.float32), -1, 1) * 127.5 + 128).astype(np.uint8)
    pixels = np.moveaxis(bytes_, 1, -1)
    return np.repeat(pixels, 3, axis=-1) if pixels.shape[-1] == 1 else pixels[..., :3]


def content_digest(group: h5py.Group) -> str:
    """SHA-256 over every dataset (name, dtype, shape, bytes) and text attribute of the group."""
    hasher = hashlib.sha256()
    for name in sorted(group):
        values = group[name][()]
        hasher.update(f"{name}|{values.dtype.str}|{values.shape}|".encode())
        hasher.update(np.ascontiguousarray(values).data)
    for key in sorted(set(group.attrs) - {"content_sha256"}):
        hasher.update(f"{key}={group.attrs[key]}|".encode())
    return hasher.hexdigest()


def read_part(group: h5py.Group) -> Part:
    """Everything in a group, as `write_part` wrote it (previews and labels are made anew)."""
    tensors = {name: group[name][()] for name in PER_SAMPLE if name in group}
    fixed = {name: group[name][()] for name in ("x0", "z0", "x0_floor") if name in group}
    return Part(read_header(group), fixed, Samples(*(group[key][()] for key in INDEX), tensors))


def read_header(group: h5py.Group) -> dict[str, str]:
    """The text attributes: kind, model, image, recipe, written_by."""
    own = {"format", "version", "content_sha256"}
    return {key: value for key, value in group.attrs.items() if key not in own and isinstance(value, str)}


def file_image(part: Part) -> bytes:
    """The bytes of an HDF5 file that holds `part`, made in memory: disk errors stay plain."""
    with h5py.File("part", "w", driver="core", backing_store=False, libver=LIBVER) as file:
        write_part(file, part)
        file.flush()
        return file.id.get_file_image()


@contextmanager
def opened(path: Path, group: str = "/") -> Iterator[h5py.Group]:
    """A part for reading. Any failure to read it becomes `DamagedArtifact` or `StoreError`."""
    try:
        with h5py.File(path, "r") as file:
            part = file[group]
            check_version(path, part.attrs)
            yield part
    except PermissionError as error:
        raise StoreError(path, "no permission to read it") from error
    except FileNotFoundError as error:
        raise StoreError(path, "no such artifact") from error
    except (OSError, KeyError, RuntimeError, ValueError) as error:
        raise DamagedArtifact(path, _reason(error)) from error


def check_version(path: Path, attributes: Mapping[str, object]) -> None:
    """Refuse a format that this program does not know."""
    version = int(attributes.get("version", 0))
    if version > FORMAT_VERSION:
        raise StoreError(
            path, f"format {version} is newer than this nca knows ({FORMAT_VERSION})",
            "upgrade nca, or use another --store",
        )  # fmt: skip


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split())
    if "checksum" in text or "fletcher" in text.lower():
        return "checksum error"
    if "truncated" in text:
        return "truncated file"
    if "signature" in text:
        return "not an HDF5 file"
    return text[:120] or type(error).__name__
