"""Continuous batching: many trajectories in flight, one network call for all their requests.

A finished trajectory makes room for the next one in the queue, so calls stay full whatever the
levels, samplers and images are. Between calls the work does not grow with the batch: see `state`.
The engine yields finished samples; it prints nothing.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from nca_cli.engine.state import Bundle, Flights
from nca_cli.samplers import Prediction

LARGEST_BATCH = {"cpu": 64, "mps": 128}
"""Where doubling stops at the latest; 512 on other devices."""
WORTH_DOUBLING = 1.03
"""Gain in samples per second below which a larger batch is not worth its memory."""
CALLS, MOMENT = (3, 20), 0.1
"""How many calls time a size: the first number, or as many as take so many seconds up to the second
one. Short calls vary with whatever else the processors do, files that are written, say."""


@dataclass
class BatchSize:
    """Finds the batch size by doubling while samples per second grow, on the real work.

    `fixed` switches the search off. The fastest call of a size counts, because the first one also
    pays for the backend's own set-up; two sizes in a row that do not pay end the search, since one
    may have been timed at a bad moment.
    """

    fixed: int | None = None
    largest: int = 64
    size: int = 1
    settled: bool = False
    best: tuple[float, int] = (0.0, 1)
    """Samples per second, and the size that takes them."""
    times: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.fixed is not None:
            self.size, self.settled = self.fixed, True

    def record(self, count: int, seconds: float) -> None:
        """One call took `seconds` for `count` samples."""
        if self.settled or count < self.size:
            return
        self.times.append(seconds)
        fewest, most = CALLS
        if len(self.times) < fewest or (len(self.times) < most and sum(self.times) < MOMENT):
            return
        rate = self.size / min(self.times)
        self.times.clear()
        if rate >= self.best[0] * WORTH_DOUBLING:
            self.best = (rate, self.size)
        self.settled = self.size >= min(self.largest, 4 * self.best[1])
        self.size = self.best[1] if self.settled else min(2 * self.size, self.largest)

    def halve(self, failed: int) -> None:
        """The device had no memory for `failed` samples: never ask for so many again."""
        self.size, self.settled = max(1, failed // 2), True


def as_many_as_fit(call: Callable[[Any], Any], items: Any, batch: BatchSize) -> Any:
    """`call` with the first `batch.size` of `items`; with fewer when the device lacks memory.

    Raises `torch.OutOfMemoryError` where there is no room for one.
    """
    import torch

    while True:
        some = items[: batch.size]
        try:
            return call(some)
        except torch.OutOfMemoryError:
            if len(some) == 1:
                raise
            batch.halve(len(some))
        torch.cuda.empty_cache()  # here nothing refers to the tensors of the failed call any more


class Engine:
    """Runs trajectories through `denoise`; iterating yields `(key, x̂0)` as they finish, x̂0 on the
    host or `None` where it is not finite.

    `bundles` gives x_t `(C, H, W)` with the flights that begin with it, which have their first
    denoising in common; the next one is asked for only when there is room for it. `denoise(x (B, C,
    H, W), t (B,)) -> Prediction` is called with up to `batch` of them (`None`: measured). `tick(n)`
    hears of every call and its n evaluations, after what ended with it was yielded. `denoise` is
    `None` where no trajectory will come.

    When iteration stops halfway, all that ended has been yielded or is in `unyielded()`.
    """

    def __init__(
        self,
        denoise: Callable[..., Prediction] | None,
        bundles: Iterable[Bundle],
        *,
        batch: int | None = None,
        tick: Callable[[int], None] = lambda count: None,
    ):
        self.denoise = denoise
        self.tick = tick
        self.device = getattr(denoise, "device", "cpu")
        kind = str(self.device).split(":")[0]
        self.batch = BatchSize(batch, LARGEST_BATCH.get(kind, 512))
        self.network_seconds = 0.0
        self.flights = Flights(self.device)
        self._bundles = iter(bundles)
        self._finished: deque[tuple[Any, np.ndarray | None]] = deque()

    def __iter__(self) -> Iterator[tuple[Any, np.ndarray | None]]:
        import torch

        while True:
            with torch.inference_mode():
                self._fill()
                count = self.flights.count and self._call_and_advance()
            self._land(wait=not count)
            while self._finished:
                yield self._finished[0]
                self._finished.popleft()
            if not count:
                return
            self.tick(count)

    def unyielded(self) -> list[tuple[Any, np.ndarray | None]]:
        """What ended and whose yielding is not over."""
        self._land(wait=True)
        return list(self._finished)

    def let_go(self) -> None:
        """Keep nothing of what it ran with, on the device least of all; for who is done with it."""
        self.denoise, self.tick, self._bundles = None, lambda count: None, iter(())
        self.flights = Flights(self.device)

    def _land(self, *, wait: bool) -> None:
        """Take finished samples from the device, those that are here or all."""
        landings = self.flights.landings
        while landings and (wait or landings[0].over):
            self._finished += landings[0].fetch()
            landings.popleft()

    def _fill(self) -> None:
        """Begin trajectories until the batch is full or there are no more."""
        flights, begun = self.flights, []
        room = self.batch.size - flights.taken
        while room > 0 and (bundle := next(self._bundles, None)) is not None:
            begun.append(bundle)
            room -= 1 if len(bundle[1]) == 1 else max(1, sum(each.goes_on for each in bundle[1]))
        if begun:
            flights.begin(begun)
        flights.close_up()

    def _call_and_advance(self) -> int:
        """One network call and what it leads to; how many evaluations it was."""
        answer, count = as_many_as_fit(self._call, range(self.flights.count), self.batch)
        self.flights.advance(answer, count)
        return count

    def _call(self, rows: range) -> tuple[Prediction, int]:
        import torch

        assert self.denoise is not None  # it was given, since trajectories came
        x, t = self.flights.asked(rows)
        began = time.perf_counter()
        answer = Prediction(*self.denoise(x, t))
        if x.device.type == "cuda" and not self.batch.settled:
            torch.cuda.synchronize(x.device)
        seconds = time.perf_counter() - began
        self.network_seconds += seconds
        self.batch.record(len(rows), seconds)
        return answer, len(rows)
