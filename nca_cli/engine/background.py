"""Files are written while the device computes: on one thread, in order, a few jobs at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from threading import BoundedSemaphore

ROOM = 8
"""Jobs that may wait or run: they hold the samples that they write."""


class Background:
    """Runs jobs on a thread of its own, one after another.

    What a job raises, be it an interrupt, is raised by `check()` or handed out by `wait()`.
    """

    def __init__(self, room: int = ROOM):
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="writing")
        self._room = BoundedSemaphore(room)
        self._jobs: deque[Future[object]] = deque()

    def later(self, job: Callable[[], object]) -> None:
        """Have a job done; waits while there is no room for it."""
        self._room.acquire()
        try:
            future = self._thread.submit(job)
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
