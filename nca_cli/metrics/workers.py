"""Measuring itself: tasks, tensors in and values out, carried out in this process or in several.

A worker is a Python of its own that reads tasks from its standard input and answers on its standard
output. It never runs the main script of its parent again, as the workers of `multiprocessing` would
where that has no `if __name__ == "__main__"`; and it ends when its parent does, with its input. One
thread waits for all of them, so that an interrupt at any place, even while another one is seen to,
leaves nothing behind that has to be waited for.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from multiprocessing.connection import wait
from subprocess import PIPE, Popen
from typing import Any

import numpy as np

from nca_cli.errors import NcaError, NothingStored
from nca_cli.metrics.cache import FLOOR, Entry, Kept
from nca_cli.metrics.numbers import Values
from nca_cli.metrics.prepared import Prepared
from nca_cli.metrics.registry import X0, X0_FLOOR, Metric
from nca_cli.store import Artifact, Key, hdf5

POOL_PIXELS = 40 * 256 * 256
"""With fewer pixels to measure, processes take longer to start than to work: a second or two."""
CHILD = """
import pickle, signal, sys
signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is its parent's
sys.path[:] = pickle.load(sys.stdin.buffer)
from nca_cli.metrics.workers import serve
serve()
"""


@dataclass(frozen=True)
class Task:
    """Samples of one artifact, to be measured against the x0 (or D(E(x0))) in `noise`."""

    artifact: Artifact
    noise: Artifact
    dataset: str
    """`x0_hat`, `x_t` (the noised picture as its own reconstruction) or `x0_floor`."""
    keys: tuple[Key, ...]
    metrics: Mapping[str, Metric]
    known: Kept = field(default_factory=Kept)
    """Values that hold for tensors of the same digest."""

    @property
    def portable(self) -> bool:
        """Whether other processes can carry it out."""
        return all(each.portable for each in self.metrics.values())


def measured(task: Task) -> Kept:
    """The values of a task, read from the files. Raises `StoreError` and `NothingStored`.

    D(E(x0)) needs no digest of its own: x0 and the space, which is the folder, settle it.
    """
    content, tensor = _fixed(task.noise, X0)
    stamps = {name: each.stamp for name, each in task.metrics.items()}
    found, truths = Kept(stamps, content, digest(tensor)), {X0: Prepared(tensor)}
    for name in {each.against for each in task.metrics.values()} - set(truths):
        truths[name] = Prepared(_fixed(task.noise, name)[1])
    known = _still_good(task.known, found)
    for key, content, tensor in _tensors(task):
        sha = digest(tensor)
        values = known.get((key, sha), {})
        missing = {name: each for name, each in task.metrics.items() if name not in values}
        picture = Prepared(tensor)
        fresh = {name: each(truths[each.against], picture) for name, each in missing.items()}
        found.entries[key] = Entry.of(content, sha, {**values, **fresh})
    return found


def _still_good(known: Kept, now: Kept) -> dict[tuple[Key, str], Values]:
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


def carried_out(
    tasks: Sequence[Task], workers: int, tick: Callable[[int], None]
) -> Iterator[tuple[Task, Kept | NcaError]]:
    """Each task with its values, or with what is wrong; in any order.

    Results do not depend on `workers`: a sample is measured by itself wherever it is. Processes
    that cannot be started, or that die, leave their work to this one.
    """
    left = dict.fromkeys(range(len(tasks)))
    if workers > 1 and len(tasks) > 1:
        for index, found in _pooled(tasks, min(workers, len(tasks))):
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


def _pooled(tasks: Sequence[Task], count: int) -> Iterator[tuple[int, Kept | None]]:
    """The place of each task with its values; None where a worker could not give them."""
    children: list[Popen[bytes]] = []
    left = iter(enumerate(tasks))
    busy: dict[Any, tuple[Popen[bytes], int]] = {}
    try:
        for index, task in islice(left, count):
            children.append(Popen([sys.executable, "-c", CHILD], stdin=PIPE, stdout=PIPE))
            _send(children[-1], sys.path)
            _send(children[-1], pickle.dumps(task))
            busy[children[-1].stdout] = children[-1], index
        while busy:
            for answers in wait(list(busy)):
                child, index = busy.pop(answers)
                found, alive = _answer(child)
                if alive and (following := next(left, None)):
                    _send(child, pickle.dumps(following[1]))
                    busy[child.stdout] = child, following[0]
                yield index, found
    except OSError:  # no processes here, or no more
        return
    finally:
        for child in children:
            child.kill()
        for child in children:
            child.communicate()


def _answer(child: Popen[bytes]) -> tuple[Kept | None, bool]:
    """What a worker answers, and whether it is still there."""
    assert child.stdout is not None  # a pipe
    try:
        return pickle.load(child.stdout), True
    except (OSError, EOFError, pickle.PickleError):
        return None, False


def _send(child: Popen[bytes], value: object) -> None:
    assert child.stdin is not None  # a pipe
    pickle.dump(value, child.stdin)
    child.stdin.flush()


def serve() -> None:
    """In a worker: answer tasks until there are no more.

    What goes wrong is answered with None: whoever asked finds out what. What a function prints
    goes to standard error, since standard output is for answers.
    """
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    while True:
        try:
            task = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        try:
            found = measured(pickle.loads(task))
        except Exception:
            found = None
        pickle.dump(found, answers)
        answers.flush()
