"""Measuring itself: tensors of one artifact in, values out."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from nca_cli.errors import NothingStored
from nca_cli.metrics.cache import FLOOR, Entry, Kept
from nca_cli.metrics.prepared import Prepared
from nca_cli.metrics.registry import X0, X0_FLOOR, Metric
from nca_cli.store import Artifact, Key, hdf5


@dataclass(frozen=True)
class Task:
    """Samples of one artifact, to be measured against the x0 (or D(E(x0))) in `noise`."""

    artifact: Artifact
    noise: Artifact
    dataset: str
    """`x0_hat`, `x_t` (the noised picture as its own reconstruction) or `x0_floor`."""
    keys: tuple[Key, ...]
    measures: Mapping[str, Metric]
    known: Kept = field(default_factory=Kept)
    """Values that hold for tensors of the same digest."""


def measured(task: Task) -> Kept:
    """The values of a task, read from the files. Raises `StoreError` and `NothingStored`.

    D(E(x0)) needs no digest of its own: x0 and the space, which is the folder, settle it.
    """
    content, tensor = _fixed(task.noise, X0)
    stamps = {name: each.stamp for name, each in task.measures.items()}
    found, truths = Kept(stamps, content, digest(tensor)), {X0: Prepared(tensor)}
    for name in {each.against for each in task.measures.values()} - set(truths):
        truths[name] = Prepared(_fixed(task.noise, name)[1])
    known = _still_good(task.known, found)
    for key, content, tensor in _tensors(task):
        sha = digest(tensor)
        values = known.get((key, sha), {})
        missing = {name: each for name, each in task.measures.items() if name not in values}
        picture = Prepared(tensor)
        fresh = {name: each(truths[each.against], picture) for name, each in missing.items()}
        found.entries[key] = Entry(content, sha, {**values, **fresh})
    return found


def _still_good(known: Kept, now: Kept) -> dict[tuple[Key, str], dict[str, dict[str, float]]]:
    """(key, digest) → what was measured already, with the same x0 and the same stamps."""
    same = {name for name, stamp in now.stamps.items() if stamp and known.stamps.get(name) == stamp}
    if known.x0 != now.x0:
        return {}
    return {
        (key, entry.digest): {name: each for name, each in entry.values.items() if name in same}
        for key, entry in known.entries.items()
    }


def digest(tensor: np.ndarray) -> str:
    """SHA-256 (hex) of the numbers of a tensor as float32."""
    return hashlib.sha256(np.ascontiguousarray(tensor, np.float32).data).hexdigest()


def _tensors(task: Task) -> Iterator[tuple[Key, str, np.ndarray]]:
    """Each sample with the content of its part, both from one look at the file."""
    if task.dataset == X0_FLOOR:
        yield FLOOR, *_fixed(task.artifact, X0_FLOOR)
        return
    wanted = set(task.keys)
    for part in task.artifact.parts:
        with part.opened() as group:
            content, keys = str(group.attrs["content_sha256"]), hdf5.read_keys(group)
            rows = {key: row for row, key in enumerate(keys) if key in wanted}
            data = {key: group[task.dataset][row] for key, row in rows.items()}
        for key, tensor in data.items():
            yield key, content, tensor.astype(np.float32, copy=False)
        wanted -= set(data)
    if wanted:
        t, seed = min(wanted)
        raise NothingStored(f"{task.artifact} holds no t={t} seed={seed}")


def _fixed(artifact: Artifact, name: str) -> tuple[str, np.ndarray]:
    """A tensor that belongs to all samples, with the content of the part that holds it."""
    for part in artifact.parts:
        with part.opened() as group:
            if name in group:
                return str(group.attrs["content_sha256"]), group[name][()].astype(np.float32)
    raise NothingStored(f"{artifact} holds no {name}", "compute it again: nca reconstruct")
