"""A request divided among processes: which images each one takes, and which levels of the last."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

from nca_cli.errors import UsageError


@dataclass(frozen=True)
class Shard:
    """Share `index` of `count` of a request; the shares of all indices make the whole.

    What a share is depends on the request alone, never on what a store holds: processes that begin
    at different times agree on it.
    """

    index: int = 0
    count: int = 1

    @classmethod
    def parse(cls, text: str) -> Shard:
        """`0/4` … `3/4`. Raises `UsageError`."""
        index, slash, count = text.partition("/")
        if not (slash and index.isdecimal() and count.isdecimal() and int(index) < int(count)):
            raise UsageError(f"--shard {text!r} is not I/N with I from 0 to N-1", "for example 0/4")
        return cls(int(index), int(count))

    def of(self, costs: Sequence[Sequence[float]]) -> list[Sequence[int]]:
        """The columns of each row that are this shard's, where `costs[row][column]` is the work.

        Rows (images) go to the shards in turn, whole, so that few processes read or write one
        image. The last ones, fewer than there are shards, are cut into stretches of equal cost.
        """
        whole = len(costs) - len(costs) % self.count
        mine = [range(len(row)) if at % self.count == self.index else range(0)
                for at, row in enumerate(costs[:whole])]  # fmt: skip
        return [*mine, *self._stretch(costs[whole:])]

    def _stretch(self, costs: Sequence[Sequence[float]]) -> Iterator[list[int]]:
        """As `of`, of one line of all columns: each belongs where its middle lies."""
        ends = list(accumulate((each for row in costs for each in row), initial=0.0))
        middles = ((one + other) / 2 for one, other in pairwise(ends))
        last = self.count - 1  # of what costs nothing, too, and where a share is rounded up
        homes = (min(last, int(middle * self.count / (ends[-1] or 1))) for middle in middles)
        for row in costs:
            yield [column for column, home in zip(range(len(row)), homes, strict=False)
                   if home == self.index]  # fmt: skip


WHOLE = Shard()
