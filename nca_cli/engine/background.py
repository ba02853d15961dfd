"""Files are written while the device computes: on a few threads, a few jobs at a time.

Each commit waits for the disk to have it; meanwhile another thread makes the next file. What
belongs to one image is written in order, by one of them: its x_t before what was made of them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from threading import BoundedSemaphore
from zlib import crc32

from nca_cli.store import turns

THREADS = 4
"""At most one of them works at a time (`turns`); the others wait for the disk."""
ROOM = 8
"""Jobs that may wait or run: they hold the samples that they write."""


class Background:
    """Runs jobs on threads of its own, those of one thing one after another.

    What a job raises, be it an interrupt, is raised by `check()` or handed out by `wait()`.
    """

    def __init__(self, room: int = ROOM):
        self._threads = [ThreadPoolExecutor(1, f"writing-{k}") for k in range(THREADS)]
        self._room = BoundedSemaphore(room)
        self._jobs: deque[Future[object]] = deque()

    def later(self, job: Callable[[], object], of: str) -> None:
        """Have a job done, after all others of the same thing (an image's digest, say); waits while
        there is no room for it."""
        thread = self._threads[crc32(of.encode()) % THREADS]
        self._room.acquire()
        try:
            future = thread.submit(_in_turn, job)
        except BaseException:
            self._room.release()
            raise
        self._jobs.append(future)
        future.add_done_callback(lambda _: self._room.release())

    def check(self) -> None:
        """Raise what a job raised that has ended."""
        while self._jobs and self._jobs[0].done():
            self._jobs.popleft().result()

    def wait(self) -> list[BaseException]:
        """Wait for all jobs, through interrupts too. Returns what went wrong."""
        errors: list[BaseException] = []
        while self._jobs:
            try:
                if error := self._jobs[0].exception():
                    errors.append(error)
                self._jobs.popleft()
            except BaseException as interrupt:
                errors.append(interrupt)
        return errors

    def close(self) -> None:
        """Have the threads end, once their jobs are done."""
        for thread in self._threads:
            thread.shutdown(wait=False)


def _in_turn(job: Callable[[], object]) -> object:
    with turns.working():
        return job()
