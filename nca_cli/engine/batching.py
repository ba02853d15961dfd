"""Continuous batching: many trajectories in flight, one network call for all their requests.

A finished trajectory makes room for the next one in the queue, so calls stay full whatever the
levels, samplers and images are. The engine yields finished samples; it prints nothing.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from nca_cli.samplers import Prediction, Sampler
from nca_cli.schedule import Level

LARGEST_BATCH = {"cpu": 64, "mps": 128}
"""Where doubling stops at the latest; 512 on other devices."""
WORTH_DOUBLING = 1.03
"""Gain in samples per second below which a larger batch is not worth its memory."""


@dataclass(eq=False)
class Flight:
    """A trajectory under way: whose it is, and the denoising it waits for."""

    key: Any
    sampler: Sampler
    request: tuple[Any, Level]


@dataclass
class BatchSize:
    """Finds the batch size by doubling while samples per second grow, on the real work.

    `fixed` switches the search off. Each size is timed three times and its fastest call counts,
    because the first call at a new size also pays for the backend's own set-up.
    """

    fixed: int | None = None
    largest: int = 64
    size: int = 1
    settled: bool = False
    best: tuple[float, int] = (0.0, 1)
    times: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.fixed is not None:
            self.size, self.settled = self.fixed, True

    def record(self, count: int, seconds: float) -> None:
        """One call took `seconds` for `count` samples."""
        if self.settled or count < self.size:
            return
        self.times.append(seconds)
        if len(self.times) < 3:
            return
        rate = self.size / min(self.times)
        self.times.clear()
        if rate < self.best[0] * WORTH_DOUBLING:
            self.size, self.settled = self.best[1], True
            return
        self.best = (rate, self.size)
        self.size = min(2 * self.size, self.largest)
        self.settled = self.size == self.best[1]

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
    """Runs trajectories through `denoise`; iterating yields `(key, x̂0)` as they finish.

    `trajectories` gives `(key, sampler)` pairs; the next one is asked for only when there is
    room for it. `denoise(x (B, C, H, W), t (B,)) -> Prediction` is called with up to `batch`
    requests (`None`: measured). `tick(n)` hears of every call and its n evaluations, after what
    ended with it was yielded. `denoise` is `None` where no trajectory will come.

    `finished` holds what ended and whose yielding is not over: when iteration stops halfway, all
    that ended has been yielded or is there.
    """

    def __init__(
        self,
        denoise: Callable[..., Prediction] | None,
        trajectories: Iterable[tuple[Any, Sampler]],
        *,
        batch: int | None = None,
        tick: Callable[[int], None] = lambda count: None,
    ):
        self.denoise = denoise
        self.tick = tick
        device = str(getattr(denoise, "device", "cpu")).split(":")[0]
        self.batch = BatchSize(batch, LARGEST_BATCH.get(device, 512))
        self.network_seconds = 0.0
        self.finished: deque[tuple[Any, Any]] = deque()
        self._queue = iter(trajectories)
        self._flights: list[Flight] = []

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        while True:
            self._fill()
            if not self._flights:
                return
            answers = as_many_as_fit(self._call, self._flights, self.batch)
            self._send(answers)
            while self.finished:
                yield self.finished[0]
                self.finished.popleft()
            self.tick(len(answers))

    def _fill(self) -> None:
        """Begin trajectories until the batch is full or the queue is empty."""
        room = self.batch.size - len(self._flights)
        for key, sampler in islice(self._queue, max(0, room)):
            self._flights.append(Flight(key, sampler, next(sampler)))

    def _send(self, answers: list[Prediction]) -> None:
        """Give each flight its answer; those that end with it have finished."""
        for flight, answer in zip(list(self._flights), answers, strict=False):
            try:
                flight.request = flight.sampler.send(answer)
            except StopIteration as end:
                self.finished.append((flight.key, end.value))
                self._flights.remove(flight)

    def _call(self, flights: list[Flight]) -> list[Prediction]:
        import torch

        assert self.denoise is not None  # it was given, since trajectories came
        x = torch.stack([flight.request[0] for flight in flights])
        ts = [flight.request[1].t for flight in flights]
        whole = all(isinstance(t, int) for t in ts)
        # On the CPU: some devices know no float64, and denoisers look levels up before they compute
        t = torch.tensor(ts, dtype=torch.int64 if whole else torch.float64)
        began = time.perf_counter()
        x0, variance = self.denoise(x, t)
        if x.device.type == "cuda" and not self.batch.settled:
            torch.cuda.synchronize(x.device)
        seconds = time.perf_counter() - began
        self.network_seconds += seconds
        self.batch.record(len(flights), seconds)
        return [
            Prediction(x0[row], None if variance is None else variance[row])
            for row in range(len(flights))
        ]
