"""Tasks of measuring, carried out in this process or in several.

A worker is a Python of its own that reads tasks from its standard input and answers on its standard
output. It never runs the main script of its parent again, as the workers of `multiprocessing` would
where that has no `if __name__ == "__main__"`; and it ends when its parent does, with its input.
"""

from __future__ import annotations

import os
import pickle
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from queue import SimpleQueue
from subprocess import PIPE, Popen

from nca_cli.errors import NcaError
from nca_cli.metrics.cache import Kept
from nca_cli.metrics.registry import Metric
from nca_cli.metrics.task import Task, measured

POOL_PIXELS = 40 * 256 * 256
"""With fewer pixels to measure, processes take longer to start than to work: a second or two."""
CHILD = """
import pickle, signal, sys
signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is its parent's
sys.path[:] = pickle.load(sys.stdin.buffer)
from nca_cli.metrics.workers import serve
serve()
"""


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
    idle: SimpleQueue[Popen[bytes]] = SimpleQueue()
    threads = ThreadPoolExecutor(count)
    try:
        for _ in range(count):
            children.append(Popen([sys.executable, "-c", CHILD], stdin=PIPE, stdout=PIPE))
            _send(children[-1], sys.path)
            idle.put(children[-1])
        futures = {threads.submit(_asked, idle, task): i for i, task in enumerate(tasks)}
        for future in as_completed(futures):
            yield futures[future], future.result()
    except OSError:  # no processes here
        return
    finally:
        for child in children:
            child.kill()
        threads.shutdown(cancel_futures=True)
        for child in children:
            child.communicate()


def _asked(idle: SimpleQueue[Popen[bytes]], task: Task) -> Kept | None:
    """What the next idle worker answers; None if it is gone."""
    child = idle.get()
    try:
        _send(child, pickle.dumps(task))
        assert child.stdout is not None  # a pipe
        answer: Kept | None = pickle.load(child.stdout)
        return answer
    except (OSError, EOFError, pickle.PickleError):
        return None
    finally:
        idle.put(child)


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


def portable(metric: Metric) -> bool:
    """Whether another process finds the function by its name: not one of a script or a notebook."""
    name = getattr(metric.function, "__qualname__", "<")
    return "<" not in name and getattr(metric.function, "__module__", "") != "__main__"
