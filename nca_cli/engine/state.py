"""All trajectories in flight as one tensor: they advance together, whatever their levels are."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from nca_cli.devices import to_device
from nca_cli.engine.landing import Landing
from nca_cli.engine.programme import Programme
from nca_cli.engine.table import HOLD, Programmes
from nca_cli.samplers import Prediction, Sampler, no_noise

if TYPE_CHECKING:
    import torch


@dataclass(eq=False)
class Flight:
    """A trajectory: whose it is and how it goes on, by a programme or by a sampler itself."""

    key: Any
    course: Programme | Sampler
    fresh: Callable[[Any], np.ndarray] = no_noise
    """Noise `(C, H, W)` of the step that arrives at a level t."""

    @property
    def goes_on(self) -> bool:
        """Whether it asks for more than one denoising, as far as is known."""
        return not isinstance(self.course, Programme) or len(self.course) > 1


Shape = tuple[int, ...]
Bundle = tuple[np.ndarray, Sequence[Flight]]
"""x_t `(C, H, W)`, and the flights that begin with the network's answer to it."""


class Views(NamedTuple):
    """The first rows of a state, looked at as they are needed."""

    x: torch.Tensor
    """`(B, C, H, W)`."""
    flat: torch.Tensor
    """The same x `(B, C·H·W)`."""
    answer: torch.Tensor
    """x̂0 `(B, C·H·W)`."""
    rows: torch.Tensor
    """All planes of each row: `(B, planes, C·H·W)`."""
    made: list[tuple[torch.Tensor, torch.Tensor]]
    """Where new values of each row are put together: each `(B, 1, C·H·W)` and `(B, C·H·W)`."""


@dataclass
class Flights:
    """The state `(planes, rows, C·H·W)` of flights in rows 0 … `count`-1, and where each one is.

    Plane 0 is x, which the network is asked about; 1 its answer x̂0; the others are those of a
    `Programmes`. Rows are independent: what one of them holds changes no other.
    """

    device: Any
    table: Programmes = field(default_factory=Programmes)
    count: int = 0
    shape: Shape = ()
    """(C, H, W)."""
    state: Any = None

    def __post_init__(self) -> None:
        self.flights: list[Flight] = []
        self.followers: dict[Flight, Sequence[Flight]] = {}
        """Those that take the first answer of another, which begins with the same x_t."""
        self.at = np.zeros(0, np.int64)
        """Instruction of the table of each flight."""
        self.t = np.zeros(0)
        self._views: Views | None = None
        self.landings: deque[Landing] = deque()
        """x̂0 of the flights that have ended."""
        self.ended: list[int] = []
        """Rows of these, as long as nobody took them."""
        self._alone = 0
        """How many flights have no programme."""

    # -- into rows and out of them ------------------------------------------------------------

    @property
    def taken(self) -> int:
        """Rows of flights under way, and of followers that will go on."""
        expected = (other.goes_on for others in self.followers.values() for other in others)
        return self.count - len(self.ended) + sum(expected)

    def begin(self, starts: Sequence[Bundle]) -> None:
        """Put flights where others have ended, or into new rows: for each x_t one, which the
        others follow."""
        rows = [*self.ended, *range(self.count, self.count + len(starts))][: len(starts)]
        xs = np.stack([x for x, _ in starts])
        self.shape = xs.shape[1:]
        for course in {flight.course for _, flights in starts for flight in flights}:
            if isinstance(course, Programme):
                self.table.place(course)
        others = sum(len(flights) - 1 for _, flights in starts)
        self._make_room(max(self.count, rows[-1] + 1) + others, xs[0].size)
        self._put(rows, to_device(xs.reshape(len(xs), -1), self.device))
        for row, (_, (leader, *following)) in zip(rows, starts, strict=True):
            self.flights[row : row + 1] = [leader]
            if following:
                self.followers[leader] = following
        self._enter(rows)
        del self.ended[: len(rows)]
        self.count = len(self.flights)

    def _put(self, rows: Sequence[int], x: torch.Tensor) -> None:
        """x `(N, C·H·W)` into rows that rise, zeros into their other planes, x̂0 left as it is."""
        if len(self.state) == 2 and rows[-1] - rows[0] == len(rows) - 1:  # side by side: faster
            self._x.narrow(0, rows[0], len(rows)).copy_(x)
            return
        into = to_device(np.array(rows), self.device)
        self._x.index_copy_(0, into, x)
        if len(self.state) > 2:
            self._kept.index_fill_(1, into, 0)

    def _enter(self, rows: Sequence[int]) -> None:
        """Have the flights in new rows begin."""
        courses = [self.flights[row].course for row in rows]
        places = {one: self.table.place(one) if isinstance(one, Programme) else HOLD
                  for one in set(courses)}  # fmt: skip
        at = [places[one] for one in courses]
        self.at[rows], self.t[rows] = at, self.table.t[at]
        self._make_room(len(self.at), self.state.shape[2])
        if HOLD not in places.values():
            return
        for row, course in zip(rows, courses, strict=True):
            if not isinstance(course, Programme):
                x, level = next(course)
                self.t[row] = level.t
                self.table.whole &= isinstance(level.t, int)
                self._x[row] = x.reshape(-1)
                self._alone += 1

    def _make_room(self, rows: int, size: int) -> None:
        """Planes for all of the table, and at least so many rows; what there is stays."""
        import torch

        planes, old = len(self.table.planes), self.state
        have = (0, 0) if old is None else old.shape[:2]
        if planes <= have[0] and rows <= have[1]:
            return
        rows = max(rows, have[1]) if rows <= have[1] else max(rows, 2 * have[1])
        if old is None:
            old = torch.zeros(planes, rows, size, device=self.device)
        more = (0, 0, 0, rows - old.shape[1], 0, planes - old.shape[0])  # of the last axis first
        self.state, self._views = torch.constant_pad_nd(old, more), None
        self._x, self._kept = self.state[0], self.state[2:]
        self._all = self.state.view(planes * rows, size)
        self.at = np.concatenate([self.at, np.zeros(rows - len(self.at), np.int64)])
        self.t = np.concatenate([self.t, np.zeros(rows - len(self.t))])

    def _move(self, sources: Sequence[int], targets: Sequence[int]) -> None:
        """Copy rows over others."""
        if not len(sources):
            return
        here, there = np.array(sources), np.array(targets)
        moved = self.state.index_select(1, to_device(here, self.device))
        self.state.index_copy_(1, to_device(there, self.device), moved)
        self.at[there], self.t[there] = self.at[here], self.t[here]
        for source, target in zip(sources, targets, strict=True):
            self.flights[target] = self.flights[source]

    def close_up(self) -> None:
        """Have the last rows take the places of those that ended."""
        kept, ended = self.count - len(self.ended), set(self.ended)
        if ended:
            last = [row for row in range(kept, self.count) if row not in ended]
            self._move(last, [row for row in self.ended if row < kept])
            del self.flights[kept:]
            self.count, self.ended = kept, []

    # -- from one call to the next ------------------------------------------------------------

    def asked(self, rows: range) -> tuple[Any, Any]:
        """x `(B, C, H, W)` and t `(B,)` of the first rows: what the network is asked next."""
        import torch

        count = len(rows)
        # On the CPU: some devices know no float64, and denoisers look levels up before they compute
        t = self.t[:count].astype(np.int64 if self.table.whole else np.float64)
        return self._view(count).x, torch.from_numpy(t)

    def _view(self, count: int) -> Views:
        """Views of so many rows, made anew where there were others."""
        if self._views is None or len(self._views.x) != count:
            rows = self.state.narrow(1, 0, count)
            flat, answer, *_ = rows.unbind()
            shaped = flat.view(count, *self.shape)
            self._views = Views(shaped, flat, answer, rows.transpose(0, 1), [])
        return self._views

    def advance(self, answer: Prediction, count: int) -> None:
        """Make the next x of the first `count` rows from the answer. Where some end, their x̂0 is
        among `landings` and their rows among `ended`, until others begin there."""
        x0, variance = answer
        self._view(count).answer.copy_(x0.reshape(count, -1))
        if self.followers:
            count, variance = self._join(count, variance)
        at = self.at[:count].copy()
        if self.table.clipped_plane is not None:
            self._clip(at)
        if self.table.noise_plane is not None:
            self._draw(at, variance)
        self._mix(at)
        ended = self.table.ends[at].nonzero()[0].tolist()
        self.at[:count] = self.table.after[at]
        self.t[:count] = self.table.t[self.at[:count]]
        if self._alone:
            ended = sorted([*ended, *self._send(answer, at)])
        if ended:
            keys, x = [self.flights[row].key for row in ended], self._view(count).flat
            self.landings.append(Landing.of(keys, x, ended, self.shape))
            self.ended = ended

    def _join(self, count: int, variance: Any) -> tuple[int, Any]:
        """Give those that follow called rows their own, next to these, with x and x̂0 of theirs."""
        joining = [
            (row, follower)
            for row in range(count)
            for follower in self.followers.pop(self.flights[row], ())
        ]
        if not joining:
            return count, variance
        leaders, new = [row for row, _ in joining], count + len(joining)
        total = self.count + len(joining)
        self._make_room(total, self.state.shape[2])
        waiting = min(len(joining), self.count - count)  # rows that were not called make way
        self.flights += [flight for _, flight in joining]
        self._move(range(count, count + waiting), range(total - waiting, total))
        chosen = self.state.index_select(1, to_device(np.array(leaders), self.device))
        self.state.narrow(1, count, len(leaders)).copy_(chosen)
        self.count = total
        for row, (_, flight) in enumerate(joining, count):
            self.flights[row] = flight
        self._enter(range(count, new))
        if variance is not None:
            import torch

            variance = torch.cat([variance, variance[leaders]])
        return new, variance

    def _clip(self, at: np.ndarray) -> None:
        """x̂0 held within the range of each row."""
        import torch

        low, high = (self._column(bound) for bound in self.table.clip[at].T)
        held = self.state[self.table.clipped_plane].narrow(0, 0, len(at))
        torch.clamp(self._view(len(at)).answer, low, high, out=held)

    def _draw(self, at: np.ndarray, variance: Any) -> None:
        """Fresh noise for the rows that take some, times its deviation where that is learned."""
        plane, rows = self.table.noise_plane, self.table.draws[at].nonzero()[0].tolist()
        if not rows:
            return
        drawn = [self.flights[row].fresh(self.table.arrives[at[row]]) for row in rows]
        noise = to_device(np.stack(drawn).reshape(len(rows), -1), self.device)
        into = np.array(rows) + plane * self.state.shape[1]
        self._all.index_copy_(0, to_device(into, self.device), noise)
        if self.table.learned[at].any():
            assert variance is not None  # a model whose network gives none is refused when loaded
            constant, slope = (self._column(part) for part in self.table.spread[at].T)
            deviation = (constant + slope * variance.reshape(len(at), -1)).exp()
            self.state[plane, : len(at)] *= deviation

    def _column(self, values: np.ndarray) -> torch.Tensor:
        """A number for each row, `(B, 1)`."""
        return to_device(np.ascontiguousarray(values)[:, None], self.device)

    def _mix(self, at: np.ndarray) -> None:
        """Every row's values, each a product of its coefficients with the row's planes."""
        import torch

        table, view, count = self.table, self._view(len(at)), len(at)
        values = int(table.values[at].max())
        mix, into = table.mix[at, :values], table.into[at, :values]
        if (into == into[0]).all():  # all at one stage: plain copies, which are faster
            while len(view.made) < values:  # memory that stays need not be found at each call
                flat = torch.empty_like(view.flat)
                view.made.append((flat.unsqueeze(1), flat))
            for value, (made, _) in enumerate(view.made[:values]):
                torch.bmm(to_device(mix[:, value : value + 1], self.device), view.rows, out=made)
            for plane, (_, flat) in zip(into[0].tolist(), view.made, strict=False):
                self._all.narrow(0, plane * self.state.shape[1], count).copy_(flat)
        else:
            made = torch.bmm(to_device(mix, self.device), view.rows).view(count * values, -1)
            places = into * self.state.shape[1] + np.arange(count)[:, None]
            self._all.index_copy_(0, to_device(places.reshape(-1), self.device), made)

    def _send(self, answer: Prediction, at: np.ndarray) -> list[int]:
        """Give samplers that have no programme their answers. Returns the rows that end."""
        ended = []
        for row in (at == HOLD).nonzero()[0].tolist():
            mine = Prediction(*(None if part is None else part[row] for part in answer))
            try:
                x, level = self.flights[row].course.send(mine)
                self.t[row] = level.t
            except StopIteration as end:
                x, self._alone = end.value, self._alone - 1
                ended.append(row)
            self.state[0, row] = x.reshape(-1)
        return ended
