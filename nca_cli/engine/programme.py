"""A sampler run once on symbols: the numbers with which every x of its chain is mixed.

Between two denoisings a sampler does arithmetic with numbers that its levels alone determine. So
from one level it is a table: row by row the level to ask at, and the coefficients that make the
next x of this x, of the network's answer, and of what was kept of the rows before. Trajectories at
any rows of any tables are then advanced together, by one product of a matrix each.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from nca_cli.recipe import Recipe
from nca_cli.samplers import Prediction, start
from nca_cli.schedule import Level, Schedule

X, X0, CLIPPED, NOISE, SPREAD, VARIANCE, ONE = range(-7, 0)
"""What a symbol is a mix of: the x that was asked about, x̂0, x̂0 held in range, fresh noise,
fresh noise times a learned deviation, the network's signal of variance, and the number 1. Besides
these, a `Carried` value of a row before."""


class NotLinear(Exception):
    """The sampler does something else with arrays than a table can say."""


@dataclass(eq=False)
class Carried:
    """A value of row `since` that rows up to `last` need: a mix of `terms`, kept in `register`."""

    since: int
    terms: dict[Any, float]
    last: int = 0
    register: int = -1


class Symbol:
    """An array of a sampler, as the mix that it is: source → coefficient. Linear, else `NotLinear`.

    One that a later row uses is kept from the row in which it was made.
    """

    __array_ufunc__ = None  # NumPy's numbers leave arithmetic with a symbol to the symbol

    def __init__(self, tracing: Tracing, terms: dict[Any, float]):
        self._tracing, self.terms, self.row = tracing, terms, tracing.row
        self._kept: Carried | None = None

    def read(self) -> dict[Any, float]:
        """Its terms in the present row."""
        now = self._tracing.row
        if self.row == now:
            return self.terms
        if self._kept is None:
            self._kept = Carried(self.row, self.terms)
            self._tracing.kept.append(self._kept)
        self._kept.last = now
        return {self._kept: 1.0}

    def _scaled(self, factor: float) -> Symbol:
        terms = {source: factor * value for source, value in self.read().items()}
        return Symbol(self._tracing, terms)

    def _plus(self, other: Any, sign: float) -> Symbol:
        terms = dict(self.read())
        if isinstance(other, Symbol):
            more = other.read()
        else:
            more = {ONE: number} if (number := _number(other)) else {}
        for source, value in more.items():
            terms[source] = terms.get(source, 0.0) + sign * value
        return Symbol(self._tracing, terms)

    def __add__(self, other: Any) -> Symbol:
        return self._plus(other, 1.0)

    __radd__ = __add__

    def __sub__(self, other: Any) -> Symbol:
        return self._plus(other, -1.0)

    def __rsub__(self, other: Any) -> Symbol:
        return self._scaled(-1.0)._plus(other, 1.0)

    def __mul__(self, other: Any) -> Symbol:
        return other * self if isinstance(other, Deviation) else self._scaled(_number(other))

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> Symbol:
        return self._scaled(1.0 / _number(other))

    def __neg__(self) -> Symbol:
        return self._scaled(-1.0)

    def __rpow__(self, base: float) -> Deviation:
        terms, rate = self.read(), math.log(_number(base))
        if not terms.keys() <= {VARIANCE, ONE}:
            raise NotLinear("a power of what is no learned variance")
        return Deviation(rate * terms.get(ONE, 0.0), rate * terms.get(VARIANCE, 0.0))

    def clip(self, low: float, high: float) -> Symbol:
        """x̂0 held in a range; nothing else can be."""
        if self.read() != {X0: 1.0}:
            raise NotLinear("clips another array than x̂0")
        self._tracing.note("clip", (_number(low), _number(high)))
        return Symbol(self._tracing, {CLIPPED: 1.0})


@dataclass(frozen=True)
class Deviation:
    """exp(constant + slope·v) of the signal of variance v: what fresh noise is multiplied by."""

    constant: float
    slope: float

    def __mul__(self, noise: Symbol) -> Symbol:
        terms = noise.read() if isinstance(noise, Symbol) else {}
        if terms.keys() != {NOISE}:
            raise NotLinear("multiplies two arrays")
        noise._tracing.note("spread", (self.constant, self.slope))
        return Symbol(noise._tracing, {SPREAD: terms[NOISE]})


def _number(value: Any) -> float:
    try:
        return operator.index(value) if isinstance(value, int) else float(value)
    except TypeError as error:
        raise NotLinear(f"arithmetic with {type(value).__name__}") from error


@dataclass
class Instruction:
    """One evaluation: the level to ask at, and what is made of the answer."""

    t: int | float
    writes: list[tuple[int, dict[Any, float]]] = field(default_factory=list)
    """(register or `X`, mix): the next x first."""
    notes: dict[str, Any] = field(default_factory=dict)
    """`noise`: t of the fresh noise; `clip`: (low, high); `spread`: a `Deviation`'s numbers."""


@dataclass(frozen=True, eq=False)
class Programme:
    """A trajectory from one level, row by row; x of the last row is x̂0."""

    rows: list[Instruction]
    registers: int
    """How many values are kept at a time."""

    def __len__(self) -> int:
        return len(self.rows)


class Tracing:
    """A sampler under way on symbols."""

    def __init__(self) -> None:
        self.row = -1
        self.rows: list[Instruction] = []
        self.kept: list[Carried] = []

    def note(self, name: str, value: Any) -> None:
        """Say of the present row what is done besides mixing, always in one way."""
        if self.row < 0 or self.rows[self.row].notes.setdefault(name, value) != value:
            raise NotLinear(f"two kinds of {name} after one denoising")

    def fresh(self, there: Level) -> Symbol:
        self.note("noise", there.t)
        return Symbol(self, {NOISE: 1.0})

    def run(self, begin: Callable[[Symbol, Callable[[Level], Symbol]], Any]) -> Programme:
        """What `begin(x, fresh)` does, from x on."""
        x = Symbol(self, {})
        sampler = begin(x, self.fresh)
        asked, level = next(sampler)
        if asked is not x:
            raise NotLinear("does not begin with x_t")
        while True:
            self.rows.append(Instruction(level.t))
            self.row += 1
            asked.terms, asked.row = {X: 1.0}, self.row
            answer = Prediction(Symbol(self, {X0: 1.0}), Symbol(self, {VARIANCE: 1.0}))
            try:
                asked, level = sampler.send(answer)
            except StopIteration as end:
                self.rows[self.row].writes.append((X, end.value.read()))
                return Programme(self.rows, self._placed())
            self.rows[self.row].writes.append((X, asked.read()))

    def _placed(self) -> int:
        """Give each kept value a register, free again after its last row; how many it takes."""
        free_after: list[int] = []  # of each register
        for value in sorted(self.kept, key=lambda one: one.since):
            free = (i for i, last in enumerate(free_after) if last <= value.since)
            value.register = next(free, len(free_after))
            free_after[value.register : value.register + 1] = [value.last]
            self.rows[value.since].writes.append((value.register, value.terms))
        return len(free_after)


def programme(recipe: Recipe, schedule: Schedule, t: int | float) -> Programme | None:
    """The table of `recipe` from t; `None` where its sampler does more than linear arithmetic."""
    try:
        made = Tracing().run(lambda x, fresh: start(recipe, schedule, x, t, fresh))
    except (NotLinear, TypeError, AttributeError, ArithmeticError):
        return None
    simple = all(_plain(mix) for row in made.rows for _, mix in row.writes)
    return made if simple else None


def _plain(mix: dict[Any, float]) -> bool:
    """Whether a mix is of arrays alone, of one kind of noise."""
    return not ({ONE, VARIANCE} & mix.keys() or {NOISE, SPREAD} <= mix.keys())
