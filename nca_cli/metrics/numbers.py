"""The values of a sample as a row of numbers."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterator, Mapping
from functools import cache

Values = Mapping[str, Mapping[str, float]]
"""Metric → suffix (`""`, `"/0"`, …) → value."""


class RowPlaces:
    """Which number of a row is which value. Those of the same metrics share one."""

    def __init__(self, suffixes: tuple[tuple[str, tuple[str, ...]], ...]):
        self._places: dict[str, dict[str, int]] = {}
        for name, several in suffixes:
            start = sum(map(len, self._places.values()))
            self._places[name] = {suffix: start + k for k, suffix in enumerate(several)}

    def __getitem__(self, metric: str) -> dict[str, int]:
        """Suffix → place of its number."""
        return self._places[metric]

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)

    @cache  # noqa: B019  (there are few, and they live as long as the process)
    def told(self, metrics: tuple[str, ...]) -> tuple[tuple[str, ...], list[int]]:
        """Measures (`coherence/0`) and the places of their numbers, in the order of `metrics`."""
        found = [(name + suffix, place) for name in metrics
                 for suffix, place in self._places.get(name, {}).items()]  # fmt: skip
        return tuple(name for name, _ in found), [place for _, place in found]

    @cache  # noqa: B019
    def holds(self, metrics: frozenset[str]) -> bool:
        """Whether all of these are among its metrics."""
        return metrics <= self._places.keys()


_places_of = cache(RowPlaces)


class Numbers(Mapping[str, Mapping[str, float]]):
    """`Values` as a row of numbers: as dicts, those of a large store would need gigabytes."""

    __slots__ = ("places", "row")

    def __init__(self, values: Values):
        """Numbers may be as JSON has them: null for NaN, "inf" and "-inf"."""
        self.places = _places_of(tuple((name, tuple(each)) for name, each in values.items()))
        told = [value for each in values.values() for value in each.values()]
        self.row = array("d", map(_number, told))

    def hold(self, metrics: frozenset[str]) -> bool:
        """Whether all of these metrics are among them."""
        return self.places.holds(metrics)

    def __reduce__(self) -> tuple:
        return Numbers, (dict(self),)

    def __getitem__(self, metric: str) -> dict[str, float]:
        return {suffix: self.row[place] for suffix, place in self.places[metric].items()}

    def __iter__(self) -> Iterator[str]:
        return iter(self.places)

    def __len__(self) -> int:
        return len(self.places)


def _number(value: float | str | None) -> float:
    return math.nan if value is None else float(value)
