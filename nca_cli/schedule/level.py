"""What every schedule is: the numbers of a level, and chains of levels down to the clean end."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields
from functools import cached_property
from typing import Any, ClassVar, NamedTuple

import numpy as np

from nca_cli.errors import UsageError
from nca_cli.recipe import DEFAULT_LEVELS, SPACINGS

CLEAN = -1
"""The t of the clean end of a chain, below every level."""
ROUNDED = 0.01
"""How far beyond its ends a schedule still takes a logSNR: messages round them to two digits."""


RHO = 7
"""Of Karras' steps: how much shorter they are at low noise."""


class Level(NamedTuple):
    """One noise level: t, signal scale a and noise scale s."""

    t: int | float
    a: float
    s: float

    @property
    def snr(self) -> float:
        """Signal-to-noise ratio a²/s²."""
        return self.a**2 / self.s**2

    @property
    def log_snr(self) -> float:
        """Natural logarithm of `snr`; infinite where there is no noise."""
        with np.errstate(divide="ignore"):
            return float(2.0 * (np.log(self.a) - np.log(self.s)))


class Schedule:
    """What t means: x_t = a_t·x0 + s_t·ε for x0 in [-1, 1].

    The kinds are dataclasses of their own: `VariancePreserving`, `VarianceExploding`,
    `FlowMatching`. `Schedule(…)` itself makes a variance-preserving one, the kind that most models
    have (as `pathlib.Path(…)` makes a path of this system's kind).

    Discrete kinds have the whole levels 0 … steps-1. Continuous ones take any real t in their
    range; their t is always a float, so that a level has one spelling.
    """

    kind: ClassVar[str] = ""
    """As `describe()` names it."""
    schedulers: ClassVar[frozenset[str]] = frozenset()
    """Scheduler classes of diffusers whose configurations describe this kind of levels."""
    prediction: ClassVar[str | None] = None
    """What networks of this kind predict, where their configurations do not say."""
    predictions: ClassVar[frozenset[str]] = frozenset({"epsilon", "sample", "score"})
    """From what of a network's answers x̂0 follows at these levels."""
    discrete: ClassVar[bool] = False
    """Whether a β of each whole level makes them: there are no others."""
    settings: ClassVar[tuple[str, ...]] = ()
    """The numbers that `from_config` reads, besides how many steps there are."""
    ends_at_image: ClassVar[bool] = True
    """Whether chains end at the image itself, whatever a scheduler's configuration says."""
    variance: ClassVar[str] = "fixed_small"
    """Of the ancestral step, where a scheduler's configuration does not say."""
    spacings: ClassVar[tuple[str, ...]] = SPACINGS
    """How the levels of its chains may fall; where there is one, that is how they fall anyway."""
    kinds: ClassVar[dict[str, type[Schedule]]] = {}
    default_kind: ClassVar[str] = "vp"

    steps: int
    shift: float = 1.0
    """Time shift of chains; only flow matching has one other than 1."""
    last: float | None = None
    """Time of the last step of chains, before the shift; only flow matching can have one."""

    def __new__(cls, *args: Any, **kwargs: Any) -> Schedule:
        kind = cls.kinds[cls.default_kind] if cls is Schedule else cls
        taken = [field.name for field in fields(kind)]  # type: ignore[arg-type]
        if unknown := kwargs.keys() - set(taken):
            hint = f"it takes {', '.join(taken)}"
            raise UsageError(f"{kind.__name__} takes no {min(unknown)}", hint)
        return object.__new__(kind)

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        Schedule.kinds[cls.kind] = cls

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Schedule:
        """The schedule of a diffusers scheduler config (`scheduler_config.json`)."""
        return kind_of(config).from_config(config)

    @classmethod
    def from_description(cls, description: Mapping[str, Any]) -> Schedule | None:
        """The inverse of `describe()`; `None` where it does not say all that is needed.

        Learned betas, for one, are described by a digest alone.
        """
        settings = dict(description)
        kind = cls.kinds.get(str(settings.pop("kind", None)))
        try:
            schedule = None if kind is None else kind(**settings)
        except (TypeError, ValueError, UsageError):
            return None
        return schedule if schedule and schedule.describe() == dict(description) else None

    def check(self, t: int | float) -> int | float:
        """t as a valid level, or `UsageError` that names the range."""
        raise NotImplementedError

    def scales(self, t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """a and s of valid levels `t (N,)`, float64 `(N,)`."""
        raise NotImplementedError

    def describe(self) -> dict[str, object]:
        """Plain data that identifies the levels (not the clean end, which belongs to a recipe)."""
        raise NotImplementedError

    def t_of(self, log_snr: float) -> float:
        """The t, not rounded, at which a continuous schedule has this logSNR."""
        raise NotImplementedError

    @property
    def ends(self) -> tuple[int | float, int | float]:
        """The cleanest level and the noisiest."""
        return 0, self.steps - 1

    def level(self, t: int | float) -> Level:
        """The level t, or with t = `CLEAN` the clean end. Raises `UsageError` out of range."""
        if t == CLEAN:
            return Level(CLEAN, 1.0, 0.0)
        t = self.check(t)
        a, s = self.scales(np.array([t]))
        return Level(t, float(a[0]), float(s[0]))

    def ending(self, final_alpha: str) -> Schedule:
        """The same levels with another clean end; only variance-preserving ones have a choice."""
        return self

    def shifted(self, shift: float | None, last: float | None = None) -> Schedule:
        """The same levels with another time shift and last u of chains; for flow matching alone."""
        return self

    def network_time(self, t: np.ndarray) -> np.ndarray:
        """What the network is told of the levels `t (N,)`."""
        return t.astype(np.float32)

    def chain(self, t: int | float, steps: int) -> list[Level]:
        """Levels t, t-h, t-2h, … ≥ 0, h = T/steps, and then the clean end.

        Continuous levels are rounded to 1e-6, discrete ones to whole ones. `steps` counts the whole
        range 0 … T, so a chain that starts at t takes about t/h of them.
        """
        start, h = self.check(t), self.steps / self.check_steps(steps)
        count = int(start / h + 1e-9) + 1
        ts = [start, *(self._rounded(max(0.0, start - k * h)) for k in range(1, count))]
        return [self.level(value) for value in [*ts, CLEAN]]

    def spaced(self, spacing: str | None, t: int | float, steps: int) -> list[Level]:
        """`chain`, or with `karras` the levels of Karras et al. (2206.00364), eq. 5, ρ = 7.

        They fall evenly in u = σ^(1/ρ), σ = s/a, by h = (u_max - u_min)/(steps - 1): from the
        noisiest level the paper's own, from t those at t, u - h, u - 2h, … and then the clean end.
        Discrete levels are the nearest in logSNR, each once.
        """
        if spacing is None:
            return self.chain(t, steps)
        start = self.level(self.check(t))
        high, low = (_root(self.level(end)) for end in reversed(self._finite_ends))
        h = (high - low) / max(1, self.check_steps(steps) - 1)
        count = int((_root(start) - low) / h + 1e-6) if start.a else 0
        wanted = [(_root(start) - k * h) ** RHO for k in range(1, count + 1)]
        found = [self._nearest(-2 * math.log(max(sigma, low**RHO))) for sigma in wanted]
        below = dict.fromkeys(each for each in found if each < start.t)
        return [start, *map(self.level, below), self.level(CLEAN)]

    @property
    def _finite_ends(self) -> tuple[int | float, int | float]:
        """The ends of what Karras' steps go through: levels with signal."""
        first, last = self.ends
        return first, last if self.level(last).a else self.check(last - 1)

    def _rounded(self, t: float) -> int | float:
        return round(t, 6)

    def check_steps(self, steps: int) -> int:
        """`steps`, or `UsageError` where there are not as many levels."""
        if not 1 <= steps <= self.steps:
            raise UsageError(f"--steps {steps} is outside 1 … {self.steps} for this model")
        return steps

    def midpoint(self, here: Level, there: Level) -> Level:
        """The level halfway in t; `there` is no clean end."""
        return self.level((here.t + there.t) / 2)

    def snr(self, t: int | float) -> float:
        """SNR(t) = a²/s²."""
        return self.level(t).snr

    def log_snr(self, t: int | float) -> float:
        """Natural logarithm of SNR(t): the axis on which models are compared."""
        return self.level(t).log_snr

    def nearest(self, log_snr: float) -> int | float:
        """The level of a logSNR, to 1e-6 in t; of discrete ones the nearest.

        Raises `UsageError` for a logSNR that the levels do not reach.
        """
        high, low = map(self.log_snr, self.ends)
        if not (math.isfinite(log_snr) and low - ROUNDED <= log_snr <= high + ROUNDED):
            raise UsageError(
                f"log SNR {log_snr:g} is beyond the levels of this model",
                f"numbers from {low:.2f} (t {self.ends[1]:g}) to {high:.2f} (t {self.ends[0]:g})",
            )
        return self.check(self._nearest(min(max(log_snr, low), high)))

    def _nearest(self, log_snr: float) -> int | float:
        first, last = self.ends
        return min(max(round(self.t_of(log_snr), 6), first), last)

    @property
    def default_levels(self) -> tuple[int | float, ...]:
        """Nine levels at the logSNR of DDPM's 100, 200, … 900 (those within range), to 0.1 in t."""
        ddpm = self.kinds[self.default_kind]()
        wanted = (self.t_of(ddpm.log_snr(t)) for t in DEFAULT_LEVELS)
        return tuple(round(t, 1) for t in wanted if self.holds(round(t, 1)))

    def holds(self, t: float) -> bool:
        """Whether t is a level."""
        try:
            self.check(t)
        except UsageError:
            return False
        return True

    @cached_property
    def alpha_bar(self) -> np.ndarray:
        """a²/(a²+s²) of the whole levels, float64 `(steps,)`: ᾱ_t where variance is preserved.

        Elsewhere it is the ᾱ of the same SNR: x_t/√(a²+s²) is a variance-preserving x_t.
        """
        a, s = self.scales(np.arange(self.steps, dtype=np.float64))
        return a**2 / (a**2 + s**2)

    @cached_property
    def log_snrs(self) -> np.ndarray:
        """logSNR of the whole levels, float64 `(steps,)`; -inf at a level of pure noise."""
        with np.errstate(divide="ignore"):
            return np.log(self.alpha_bar) - np.log1p(-self.alpha_bar)

    @cached_property
    def betas(self) -> np.ndarray:
        """1 - ᾱ_t/ᾱ_{t-1}, float64 `(steps,)`: β_t where variance is preserved."""
        before = np.concatenate([[1.0], self.alpha_bar[:-1]])
        return 1.0 - self.alpha_bar / before


def _root(level: Level) -> float:
    """u = σ^(1/ρ)."""
    return (level.s / level.a) ** (1 / RHO)


def kind_of(config: Mapping[str, Any]) -> type[Schedule]:
    """The kind of levels that a scheduler's configuration describes, by the class it names."""
    name = str(config.get("_class_name"))
    kinds = (kind for kind in Schedule.kinds.values() if name in kind.schedulers)
    return next(kinds, Schedule.kinds[Schedule.default_kind])
