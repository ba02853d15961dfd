"""The tidy table as columns: one row per number, in a tenth of the memory of as many `Value`s.

A store of ten thousand images has millions of rows, and each of their names thousands of times. So
all columns but the number itself are coded: a small integer for each row, and the names once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, overload

import numpy as np

from nca_cli.metrics.registry import Value

NAMED = Value._fields[:-1]
"""The coded columns; the last one is the number."""


@dataclass(frozen=True, eq=False)
class CodedColumn:
    """A coded column: row k says `names[codes[k]]`. Names that no row says may be among them."""

    codes: np.ndarray
    """Unsigned integers `(rows,)`, as short as they can be."""
    names: tuple[Any, ...]

    def __getitem__(self, rows: np.ndarray | slice) -> CodedColumn:
        return CodedColumn(self.codes[rows], self.names)


@dataclass(frozen=True, eq=False)
class TidyTable(Sequence[Value]):
    """Rows of the tidy table. A sequence of `Value`s; whoever wants columns takes them whole."""

    columns: dict[str, CodedColumn]
    """Each of `NAMED`."""
    numbers: np.ndarray
    """float64 `(rows,)`."""

    @classmethod
    def of(cls, values: Iterable[Value]) -> TidyTable:
        """The table of these rows: the same where it is one."""
        if isinstance(values, TidyTable):
            return values
        *named, numbers = list(zip(*values, strict=True)) or [()] * len(Value._fields)
        columns = {name: _coded(column) for name, column in zip(NAMED, named, strict=True)}
        return cls(columns, np.array(numbers, np.float64))

    @classmethod
    def joined(cls, tables: Iterable[Iterable[Value]]) -> TidyTable:
        """The rows of all, one table after another."""
        found = [cls.of(each) for each in tables]
        columns = {name: _joined([each.columns[name] for each in found]) for name in NAMED}
        return cls(columns, np.concatenate([each.numbers for each in found]))

    def __len__(self) -> int:
        return len(self.numbers)

    @overload
    def __getitem__(self, row: int) -> Value: ...
    @overload
    def __getitem__(self, row: slice) -> TidyTable: ...
    def __getitem__(self, row: int | slice) -> Value | TidyTable:
        if isinstance(row, slice):
            return self.rows(row)
        place = (each.names[each.codes[row]] for each in self.columns.values())
        return Value._make((*place, float(self.numbers[row])))

    def __iter__(self) -> Iterator[Value]:
        names = ([each.names[code] for code in each.codes.tolist()]
                 for each in self.columns.values())  # fmt: skip
        return map(Value._make, zip(*names, self.numbers.tolist(), strict=True))

    def __eq__(self, other: object) -> bool:
        """Whether a sequence has the same rows, as lists of them are equal."""
        return list(self) == list(other) if isinstance(other, Sequence) else NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def rows(self, which: np.ndarray | slice) -> TidyTable:
        """Some rows: a mask, indices or a slice."""
        columns = {name: column[which] for name, column in self.columns.items()}
        return TidyTable(columns, self.numbers[which])

    def where(self, test: Callable[..., bool], *columns: str) -> TidyTable:
        """The rows whose names in these columns pass `test`, which is asked once of each."""
        found, rows = self._combined(columns)
        kept = np.fromiter((bool(test(*names)) for names in found), bool, len(found))
        return self if kept.all() else self.rows(kept[rows])

    def of_measure(self, name: str) -> TidyTable:
        """The rows of one measure."""
        return self.where(name.__eq__, "measure")

    def distinct(self, *columns: str) -> list[tuple[Any, ...]]:
        """The names that stand together in these columns, in the order in which they first do."""
        return self._combined(columns)[0]

    def _combined(self, columns: Sequence[str]) -> tuple[list[tuple[Any, ...]], np.ndarray]:
        """Names that stand together, as they first occur, and for each row which of them."""
        some = [self.columns[name] for name in columns]
        key = np.zeros(len(self), np.int64)
        for column in some:
            key = key * len(column.names) + column.codes
        _, first, rows = np.unique(key, return_index=True, return_inverse=True)
        order = np.argsort(first)
        place = np.empty_like(order)
        place[order] = np.arange(len(order))
        names = ([each.names[code] for code in each.codes[first[order]].tolist()] for each in some)
        return list(zip(*names, strict=True)), place[rows.ravel()]

    @cached_property
    def samples(self) -> list[tuple[Any, ...]]:
        """(image, model, sampler, t, seed), each once."""
        return self.distinct(*NAMED[:5])


class _Codes:
    """Gives names codes, in the order in which they come. 100 and 100.0 are two, NaN is one."""

    def __init__(self) -> None:
        self._known: dict[tuple[type, Any], int] = {}

    def of(self, names: Iterable[Any]) -> np.ndarray:
        """A code for each of them."""
        known = self._known
        told = ((type(name), name if name == name else np.nan) for name in names)
        return np.array([known.setdefault(name, len(known)) for name in told], np.int32)

    def column(self, parts: Iterable[np.ndarray]) -> CodedColumn:
        """Codes that were given, one part after another, in as few bytes as they need."""
        short = np.min_scalar_type(max(len(self._known) - 1, 0))
        codes = [np.empty(0, short), *(part.astype(short) for part in parts)]
        return CodedColumn(np.concatenate(codes), tuple(name for _, name in self._known))


class TidyRows:
    """Gathers blocks of rows into a `TidyTable`."""

    def __init__(self) -> None:
        self._coders = [_Codes() for _ in NAMED]
        self._alike: dict[tuple[Any, ...], np.ndarray] = {}
        """Codes of samples and of measures, which most blocks have in common."""
        self._codes: list[np.ndarray] = []
        self._numbers: list[np.ndarray] = []

    def add(
        self, place: tuple[str, ...], samples: Sequence[tuple], measures: Sequence[str],
        numbers: np.ndarray,
    ) -> None:  # fmt: skip
        """Rows of one (image, model, sampler): all `measures` of each (t, seed, logSNR) in turn.

        `numbers`: `(samples, measures)`.
        """
        count, each = numbers.shape
        if not each:
            return
        block = np.empty((len(NAMED), count, each), np.int32)
        block[:3] = self._codes_of(0, [place])[:, :, None]
        block[3:6] = self._codes_of(3, samples)[:, :, None]
        block[6:] = self._codes_of(6, [(name,) for name in measures])[:, None]
        self._codes.append(block.reshape(len(NAMED), -1))
        self._numbers.append(numbers.ravel())

    def _codes_of(self, first: int, rows: Sequence[tuple]) -> np.ndarray:
        """Codes `(columns, rows)` of names in some columns, from the `first`."""
        key = first, *rows, *(type(row[0]) for row in rows)  # a t of 100 is none of 100.0
        if key not in self._alike:
            columns = enumerate(zip(*rows, strict=True), first)
            codes = [self._coders[column].of(names) for column, names in columns]
            self._alike[key] = np.array(codes)
        return self._alike[key]

    def table(self) -> TidyTable:
        """All rows so far."""
        columns = {
            name: coder.column(block[number] for block in self._codes)
            for number, (name, coder) in enumerate(zip(NAMED, self._coders, strict=True))
        }
        return TidyTable(columns, np.concatenate([*self._numbers, np.empty(0)]))


def _coded(names: Iterable[Any]) -> CodedColumn:
    codes = _Codes()
    return codes.column([codes.of(names)])


def _joined(columns: Sequence[CodedColumn]) -> CodedColumn:
    codes = _Codes()
    return codes.column([codes.of(column.names)[column.codes] for column in columns])
