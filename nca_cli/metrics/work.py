"""Measuring itself: tensors of one artifact in, values out; in this process or in several."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import ModuleType

import numpy as np

from nca_cli.errors import NcaError, NothingStored
from nca_cli.metrics.cache import FLOOR, Entry, Kept
from nca_cli.metrics.picture import Picture
from nca_cli.metrics.registry import X0, X0_FLOOR, Metric
from nca_cli.store import Artifact, Key, hdf5

POOL_PIXELS = 40 * 256 * 256
"""With fewer pixels to measure, processes take longer to start than to work: a second or two."""


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
    found, truths = Kept(stamps, content, digest(tensor)), {X0: Picture(tensor)}
    for name in {each.against for each in task.measures.values()} - set(truths):
        truths[name] = Picture(_fixed(task.noise, name)[1])
    known = _still_good(task.known, found)
    for key, content, tensor in _tensors(task):
        sha = digest(tensor)
        values = known.get((key, sha), {})
        missing = {name: each for name, each in task.measures.items() if name not in values}
        picture = Picture(tensor)
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


# --- in several processes -----------------------------------------------------------------------


def carried_out(
    tasks: Sequence[Task], workers: int, tick: Callable[[int], None]
) -> Iterator[tuple[Task, Kept | NcaError]]:
    """Each task with its values, or with what is wrong; in any order.

    Results do not depend on `workers`: a sample is measured by itself wherever it is. Processes
    that cannot be started, or that die, leave their work to this one.
    """
    left = dict.fromkeys(range(len(tasks)))
    if workers > 1 and len(tasks) > 1:
        for index, found in _pooled(tasks, workers):
            del left[index]
            yield tasks[index], _attempt(tasks[index]) if found is None else found
            tick(len(tasks[index].keys))
    for index in left:
        yield tasks[index], _attempt(tasks[index])
        tick(len(tasks[index].keys))


def _attempt(task: Task) -> Kept | NcaError:
    try:
        return measured(task)
    except NcaError as error:
        return error


def _pooled(tasks: Sequence[Task], workers: int) -> Iterator[tuple[int, Kept | None]]:
    try:
        pool = ProcessPoolExecutor(
            min(workers, len(tasks)), multiprocessing.get_context("spawn"), _started
        )
    except (OSError, ImportError):  # no semaphores here
        return
    try:
        with _no_main():
            futures = {pool.submit(_measured_or_none, task): i for i, task in enumerate(tasks)}
        for future in as_completed(futures):
            yield futures[future], future.result()
    except BrokenProcessPool:
        return
    finally:
        pool.shutdown(cancel_futures=True)


def _measured_or_none(task: Task) -> Kept | None:
    """In a worker. None where something is wrong: whoever asked finds out what."""
    try:
        return measured(task)
    except NcaError:
        return None


@contextmanager
def _no_main() -> Iterator[None]:
    """Workers start without the main script: they need nothing of it, and one that has no
    `if __name__ == "__main__"` would run once more in each of them."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def _started() -> None:
    """A worker leaves Ctrl-C to its parent, and ends when that is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def portable(measure: Metric) -> bool:
    """Whether another process finds the function by its name: not one of a script or a notebook."""
    name = getattr(measure.function, "__qualname__", "<")
    return "<" not in name and getattr(measure.function, "__module__", "") != "__main__"
