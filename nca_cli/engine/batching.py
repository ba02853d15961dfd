"""Continuous batching: many trajectories in flight, one network call for all their requests.

A finished trajectory makes room for the next one in the queue, so calls stay full whatever the
levels, samplers and images are. The engine yields finished samples; it prints nothing.
"""

from __future__ import annotations

import time
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


def _levels(ts: list[int | float]) -> Any:
    """t `(B,)` as a tensor on the CPU: int64, or float64 where levels are continuous.

    Not on the device: some know no float64, and denoisers look levels up before they compute.
    """
    import torch

    whole = all(isinstance(t, int) for t in ts)
    return torch.tensor(ts, dtype=torch.int64 if whole else torch.float64)


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

    def halve(self) -> None:
        """The device had no memory for this size: never ask for it again."""
        self.size, self.settled = max(1, self.size // 2), True


class Engine:
    """Runs trajectories through `denoise`; iterating yields `(key, x̂0)` as they finish.

    `trajectories` gives `(key, sampler)` pairs; the next one is asked for only when there is
    room for it. `denoise(x (B, C, H, W), t (B,)) -> Prediction` is called with up to `batch`
    requests (`None`: measured). `tick(n)` hears of every call and its n evaluations. `denoise` is
    `None` where no trajectory will come.
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
        self._queue = iter(trajectories)
        self._flights: list[Flight] = []

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        while True:
            self._fill()
            if not self._flights:
                return
            answers = self._ask(self._flights[: self.batch.size])
            finished = self._send(answers)
            self.tick(len(answers))
            yield from finished

    def _fill(self) -> None:
        """Begin trajectories until the batch is full or the queue is empty."""
        room = self.batch.size - len(self._flights)
        for key, sampler in islice(self._queue, max(0, room)):
            self._flights.append(Flight(key, sampler, next(sampler)))

    def _send(self, answers: list[Prediction]) -> list[tuple[Any, Any]]:
        """Give each flight its answer; those that end with it leave and are returned."""
        finished = []
        for flight, answer in zip(list(self._flights), answers, strict=False):
            try:
                flight.request = flight.sampler.send(answer)
            except StopIteration as end:
                self._flights.remove(flight)
                finished.append((flight.key, end.value))
        return finished

    def _ask(self, flights: list[Flight]) -> list[Prediction]:
        """One network call for the requests of `flights`; fewer of them when memory is short."""
        import torch

        while True:
            try:
                return self._call(flights)
            except torch.OutOfMemoryError:
                if len(flights) == 1:
                    raise
                self.batch.halve()
                flights = flights[: self.batch.size]
                torch.cuda.empty_cache()

    def _call(self, flights: list[Flight]) -> list[Prediction]:
        import torch

        assert self.denoise is not None  # it was given, since trajectories came
        x = torch.stack([flight.request[0] for flight in flights])
        t = _levels([flight.request[1].t for flight in flights])
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
