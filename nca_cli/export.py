"""Stored tensors as plain files, one each: PNG to look at, NumPy to work with.

    DIR/<model>/<image>/x0.png
    DIR/<model>/<image>/noise/t0300_seed0_x_t.png
    DIR/<model>/<image>/ddim-50-7f31c02a/t0300_seed0_x0_hat.png

Folder names are the store's. PNG holds pixels, clipped and rounded to 8 bits; NumPy (`.npy`) holds
what is stored, float32 (C, H, W), neither clipped nor rounded, and latents too.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nca_cli.errors import LIST_HINT, Complain, NcaError, NothingStored, StoreError, UsageError
from nca_cli.images import to_uint8
from nca_cli.outputs import Outputs
from nca_cli.store import NAME_HINT, Artifact, Filters, Key, Store, unmet
from nca_cli.store.fields import FIELDS, fixed, per_sample

AT_ONCE = 32
"""Samples that are in memory together."""


@dataclass(frozen=True)
class TensorBatch:
    """Tensors of one dataset, and the file of each; one that belongs to all samples has no key."""

    artifact: Artifact
    dataset: str
    keys: Sequence[Key]
    paths: Sequence[Path]

    def read(self) -> np.ndarray:
        """In one go: (N, C, H, W)."""
        if self.keys:
            return self.artifact.read(self.dataset, self.keys)
        return self.artifact.fixed(self.dataset)[None]


@dataclass(frozen=True)
class Export:
    """What will be written. Iterating writes and yields each path; `len` is known before."""

    batches: Sequence[TensorBatch]
    encode: Callable[[np.ndarray], bytes]
    outputs: Outputs
    problems: list[NcaError]
    """Artifacts that cannot be read, with the reason; the others are written."""

    def __len__(self) -> int:
        return sum(len(batch.paths) for batch in self.batches)

    def __iter__(self) -> Iterator[Path]:
        for batch in self.batches:
            try:
                tensors = batch.read()
            except StoreError as error:
                self.problems.append(error)
                continue
            for path, values in zip(batch.paths, tensors, strict=True):
                self.outputs.write(path, self.encode(values))
                yield path


def export(
    store: Store,
    folder: str | Path,
    filters: Filters = Filters(),  # noqa: B008
    *,
    format: str = "png",
) -> Export:
    """Write every tensor that fits into a file of its own under `folder`.

    Returns a sized iterable: each step writes one file (replacing one of that name as a whole) and
    yields its path. `problems` are known at the end. Raises `UsageError` for an unknown format or
    where it may not be written, `NothingStored` when nothing fits, and the first error where
    nothing that fits can be read.
    """
    if format not in ENCODERS:
        raise UsageError(f"--format {format!r} is unknown", f"one of: {', '.join(ENCODERS)}")
    outputs = Outputs(store)
    problems: list[NcaError] = []
    outputs.check(Path(folder))
    batches = list(
        _batches(store.require(NAME_HINT), Path(folder), filters, format, problems.append)
    )
    if not batches and problems:
        raise problems[0]
    if not batches:
        raise NothingStored(unmet(store, filters), LIST_HINT, store.named)
    return Export(batches, ENCODERS[format], outputs, problems)


def _batches(
    store: Store, folder: Path, filters: Filters, format: str, on_error: Complain
) -> Iterator[TensorBatch]:
    for artifact in store.select(filters):
        try:
            keys, names = filters.keys(artifact), list(artifact.datasets)
        except StoreError as error:
            on_error(error)
            continue
        whole = bool(keys) or (artifact.is_noise and not artifact.keys)
        names = [name for name in names if format == "npy" or not FIELDS[name].latent]
        place = folder / artifact.model / artifact.image
        for name in (name for name in fixed() if name in names and whole):
            yield TensorBatch(artifact, name, (), [place / f"{name}.{format}"])
        for name in (name for name in per_sample() if name in names):
            for start in range(0, len(keys), AT_ONCE):
                some = keys[start : start + AT_ONCE]
                paths = [place / artifact.name / f"{_stem(key)}_{name}.{format}" for key in some]
                yield TensorBatch(artifact, name, some, paths)


def _stem(key: Key) -> str:
    """`t0300_seed0`; levels that are no whole numbers as `t0000.35`."""
    t, seed = key
    whole, _, rest = repr(t).partition(".")
    return f"t{whole.zfill(4)}{'.' + rest if rest else ''}_seed{seed}"


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
