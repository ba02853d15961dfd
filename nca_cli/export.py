"""Stored tensors as plain files, one each: PNG to look at, NumPy to go on with.

    DIR/<model>/<image>/x0.png
    DIR/<model>/<image>/noise/t0300_seed0_x_t.png
    DIR/<model>/<image>/ddim-50-7f31c02a/t0300_seed0_x0_hat.png

Folder names are the store's. PNG holds pixels, clipped and rounded to 8 bits; NumPy (`.npy`) holds
what is stored, float32 (C, H, W), neither clipped nor rounded, and latents too.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np

from nca_cli.errors import NothingStored, UsageError
from nca_cli.images import to_uint8
from nca_cli.outputs import write_result
from nca_cli.store import Artifact, Filters, Key, Store
from nca_cli.store.fields import FIELDS, fixed, per_sample

AT_ONCE = 32
"""Samples that are in memory together."""


@dataclass(frozen=True)
class TensorFile:
    """One tensor and the file it goes to; without a key it belongs to all samples."""

    artifact: Artifact
    dataset: str
    key: Key | None
    path: Path


@dataclass(frozen=True)
class Export:
    """What will be written. Iterating writes and yields each path; `len` is known before."""

    files: tuple[TensorFile, ...]
    encode: Callable[[np.ndarray], bytes]

    def __len__(self) -> int:
        return len(self.files)

    def __iter__(self) -> Iterator[Path]:
        for _, group in groupby(self.files, key=lambda file: (file.artifact, file.dataset)):
            some = list(group)
            for start in range(0, len(some), AT_ONCE):
                batch = some[start : start + AT_ONCE]
                for file, values in zip(batch, _values(batch), strict=True):
                    write_result(file.path, self.encode(values))
                    yield file.path


def export(
    store: Store,
    folder: str | Path,
    filters: Filters = Filters(),  # noqa: B008
    *,
    format: str = "png",
) -> Export:
    """Write every tensor that fits into a file of its own under `folder`.

    Returns a sized iterable: each step writes one file (replacing one of that name as a whole) and
    yields its path. Raises `UsageError` for an unknown format, `NothingStored` when nothing fits.
    """
    if format not in ENCODERS:
        raise UsageError(f"--format {format!r} is unknown", f"one of: {', '.join(ENCODERS)}")
    files = tuple(_files(store.require(), Path(folder), filters, format))
    if not files:
        raise NothingStored(f"{store.root} holds nothing that fits", "see what it holds: nca ls")
    return Export(files, ENCODERS[format])


def _files(store: Store, folder: Path, filters: Filters, format: str) -> Iterator[TensorFile]:
    for artifact in store.select(filters):
        keys = filters.keys(artifact)
        whole = bool(keys) or (artifact.is_noise and not artifact.keys)
        names = [name for name in artifact.datasets if format == "npy" or not FIELDS[name].latent]
        place = folder / artifact.model / artifact.image
        for name in (name for name in fixed() if name in names and whole):
            yield TensorFile(artifact, name, None, place / f"{name}.{format}")
        for name in (name for name in per_sample() if name in names):
            for key in keys:
                path = place / artifact.name / f"{_stem(key)}_{name}.{format}"
                yield TensorFile(artifact, name, key, path)


def _stem(key: Key) -> str:
    """`t0300_seed0`; levels that are no whole numbers as `t0000.35`."""
    t, seed = key
    whole, _, rest = repr(t).partition(".")
    return f"t{whole.zfill(4)}{'.' + rest if rest else ''}_seed{seed}"


def _values(files: list[TensorFile]) -> np.ndarray:
    """Of one dataset, in one read: (N, C, H, W)."""
    first = files[0]
    if first.key is None:
        return first.artifact.fixed(first.dataset)[None]
    return first.artifact.read(first.dataset, [file.key for file in files if file.key is not None])


def _png(values: np.ndarray) -> bytes:
    from PIL import Image

    pixels = to_uint8(values)
    picture = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels[..., :3])
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", compress_level=4)
    return buffer.getvalue()


def _npy(values: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.ascontiguousarray(values, np.float32), allow_pickle=False)
    return buffer.getvalue()


ENCODERS: dict[str, Callable[[np.ndarray], bytes]] = {"png": _png, "npy": _npy}
