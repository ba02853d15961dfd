"""What was expected of the study before it was trained, and what came out.

Each answer is one number with its interval over trainings, or over images where there is one
training of a kind: held, refuted, or undecided where the interval reaches across. A learning step
before the first checkpoint counts as that checkpoint and one that never comes as the last, so that
no ratio is told as further from 1 than it is; where both lie beyond the same end there is none.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from nca_cli.analysis.bootstrap import Estimate
from nca_cli.analysis.emergence import Emergence
from nca_cli.analysis.learning import AFTER, BEFORE
from nca_cli.analysis.p2 import BOUNDS, stage
from nca_cli.analysis.taught import Taught
from nca_cli.analysis.trainings import mean_over
from nca_cli.concepts.truth import COLOURS, PRESENT, VALUES

UNIFORM, P2 = "uniform", "p2"
LATE = 1600
"""Step after which gain is late: a quarter of the training on portraits, half of that on digits."""
BANDS = tuple(BOUNDS)


@dataclass(frozen=True)
class Finding:
    """One expectation at one place."""

    expected: str
    where: str
    unit: str
    value: float
    low: float
    high: float
    over: str
    """`3 trainings` or `32 images`."""
    verdict: str


def verdict(found: Estimate, none: float, above: bool) -> str:
    """Of a number that is expected above `none`, or below it."""
    if not all(math.isfinite(end) for end in (found.low, found.high)):
        return "undecided"
    if found.low > none:
        return "held" if above else "refuted"
    if found.high < none:
        return "refuted" if above else "held"
    return "undecided"


def finding(
    expected: str, where: str, unit: str, found: Estimate, over: str, *, above: bool,
    none: float = 0.0,
) -> Finding:  # fmt: skip
    counted = f"{found.n} {over}{'' if found.n == 1 else 's'}"
    return Finding(expected, where, unit, found.value, found.low, found.high, counted,
                   verdict(found, none, above))  # fmt: skip


class Steps:
    """ln of the learning steps of each training."""

    def __init__(self, found: Iterable[Emergence]) -> None:
        self.found = {(one.settings, one.run, one.metric): one for one in found
                      if one.sampler.startswith("one-step")}  # fmt: skip

    def runs(self, settings: str) -> list[str]:
        return sorted({run for told, run, _ in self.found if told == settings})

    def levels(self) -> list[tuple[float, float]]:
        """(t, logSNR) of each."""
        return sorted({level for one in self.found.values()
                       for level in zip(one.t, one.log_snr, strict=True)})  # fmt: skip

    @property
    def of_portraits(self) -> bool:
        """Whether the pictures have what is expected of portraits."""
        return bool(self.metrics("concept/background"))

    def metrics(self, begin: str) -> list[str]:
        return sorted({metric for *_, metric in self.found if metric.startswith(begin)})

    def of(self, settings: str, run: str, metric: str, t: float) -> float:
        """NaN where nothing is learned."""
        one = self.found.get((settings, run, metric))
        if one is None or t not in one.t:
            return math.nan
        step, trained = one.learned[one.t.index(t)].step, [each for each in one.steps if each > 0]
        if step.blank in (BEFORE, AFTER):
            return math.log(trained[0 if step.blank == BEFORE else -1])
        return math.log(step.value) if step.value > 0 else math.nan

    def late(self, settings: str, run: str, metric: str, name: str) -> float:
        """Share of the gain made after `LATE`, mean over the levels of a stage."""
        one = self.found.get((settings, run, metric))
        if one is None:
            return math.nan
        trained = [step for step in one.steps if step > 0]
        column = trained.index(LATE) if LATE in trained else -1
        levels = zip(one.learned, one.log_snr, strict=True)
        late = [1 - level.share[column] for level, log_snr in levels
                if stage(math.exp(log_snr)) == name]  # fmt: skip
        known = [each for each in late if math.isfinite(each)]
        return float(np.mean(known)) if known else math.nan


def ratio(pairs: Iterable[tuple[float, float]]) -> Estimate:
    """Geometric mean of first over second, given their logarithms; pairs without one are out."""
    known = [one - other for one, other in pairs if math.isfinite(one - other) and one != other]
    found = mean_over(known)
    ends = [math.exp(each) if math.isfinite(each) else math.nan
            for each in (found.value, found.low, found.high)]  # fmt: skip
    return Estimate(ends[0], ends[1], ends[2], found.n, found.blank)


Pick = Callable[[list[float]], float]


def _group(steps: Steps, run: str, names: Sequence[str], t: float, pick: Pick) -> float:
    """One number for several concepts of a training at a level: of those that are learned there."""
    every = (steps.of(UNIFORM, run, f"concept/{name}", t) for name in names)
    known = [step for step in every if math.isfinite(step)]
    return pick(known) if known else math.nan


def findings(found: Sequence[Emergence], transfers: Sequence[Taught]) -> Iterator[Finding]:
    """Every expectation, in the order in which they were written down."""
    steps = Steps(found)
    yield from _coarse_first(steps)
    yield from _freckles_last(steps)
    yield from _content_longest(steps)
    yield from _p2_earlier(steps)
    yield from _p2_pays(transfers)
    yield from _left_out(transfers)


def _coarse_first(steps: Steps) -> Iterator[Finding]:
    bands, runs = steps.metrics("coherence/"), steps.runs(UNIFORM)
    for t, _ in steps.levels():
        if len(bands) > 1:
            pairs = [(steps.of(UNIFORM, run, bands[0], t), steps.of(UNIFORM, run, bands[-1], t))
                     for run in runs]  # fmt: skip
            yield finding("coarse bands are learned before fine ones", f"t {t:g}",
                          f"learning step of {bands[0]} over that of {bands[-1]}", ratio(pairs),
                          "training", above=False, none=1.0)  # fmt: skip
        if not steps.of_portraits:
            continue
        pairs = [(_group(steps, run, COLOURS, t, np.mean),
                  _group(steps, run, (*VALUES, *PRESENT), t, np.mean)) for run in runs]  # fmt: skip
        yield finding("colours are learned before shapes", f"t {t:g}",
                      "learning step of colours over that of other concepts", ratio(pairs),
                      "training", above=False, none=1.0)  # fmt: skip


def _freckles_last(steps: Steps) -> Iterator[Finding]:
    if not steps.of_portraits:
        return
    others = [name for name in (*COLOURS, *VALUES, *PRESENT) if name != "freckles"]
    for t, _ in steps.levels():
        pairs = [(_group(steps, run, ["freckles"], t, max), _group(steps, run, others, t, max))
                 for run in steps.runs(UNIFORM)]  # fmt: skip
        yield finding("freckles are learned last", f"t {t:g}",
                      "learning step of freckles over that of the latest other concept",
                      ratio(pairs), "training", above=True, none=1.0)  # fmt: skip


def _content_longest(steps: Steps) -> Iterator[Finding]:
    runs = steps.runs(UNIFORM)
    for metric in ("mse", "ssim"):
        late = {name: [steps.late(UNIFORM, run, metric, name) for run in runs] for name in BANDS}
        for other in ("coarse", "clean-up"):
            gaps = [one - two for one, two in zip(late["content"], late[other], strict=True)]
            yield finding("content-stage levels gain longest", f"{metric}, against {other}",
                          f"difference in the share of gain made after step {LATE}",
                          mean_over([gap for gap in gaps if math.isfinite(gap)]), "training",
                          above=True)  # fmt: skip


def _p2_earlier(steps: Steps) -> Iterator[Finding]:
    seeds = list(zip(steps.runs(P2), steps.runs(UNIFORM), strict=False))
    content = [t for t, log_snr in steps.levels() if stage(math.exp(log_snr)) == "content"]
    for metric in ("mse", "ssim", *steps.metrics("coherence/")):
        pairs = []
        for mine, theirs in seeds:
            both = [(steps.of(P2, mine, metric, t), steps.of(UNIFORM, theirs, metric, t))
                    for t in content]  # fmt: skip
            known = [pair for pair in both if all(map(math.isfinite, pair))]
            if known:
                pairs.append(tuple(np.mean(known, axis=0).tolist()))
        yield finding("P2 reaches the half of content earlier", f"{metric}, content levels",
                      "learning step under P2 over that under uniform", ratio(pairs), "training",
                      above=False, none=1.0)  # fmt: skip


def _p2_pays(transfers: Sequence[Taught]) -> Iterator[Finding]:
    for entry in transfers:
        if (entry.settings, entry.metric) == (P2, "mse"):
            cost = entry.band == "clean-up"
            yield finding("P2 pays at clean-up levels" if cost else "P2 gains elsewhere",
                          f"{entry.band} levels, step {entry.step}",
                          "change of error in units of the uniform run's", *_over(entry),
                          above=cost)  # fmt: skip


def _over(entry: Taught) -> tuple[Estimate, str]:
    """Over trainings where there are several, else over images."""
    several = math.isfinite(entry.trainings.low)
    return (entry.trainings, "training") if several else (entry.change, "image")


def _left_out(transfers: Sequence[Taught]) -> Iterator[Finding]:
    """Difference of two entries of one run, its interval from both as if they were independent:
    wider than it need be, as errors of neighbouring levels rise and fall together."""
    for band in BANDS:
        mine = {entry.band: entry.change for entry in transfers
                if (entry.settings, entry.metric) == (f"without-{band}", "mse")}  # fmt: skip
        for other in (each for each in BANDS if each != band and {each, band} <= mine.keys()):
            one, two = mine[band], mine[other]
            value = one.value - two.value
            down = math.hypot(one.value - one.low, two.high - two.value)
            up = math.hypot(one.high - one.value, two.value - two.low)
            yield finding("a band that is left out suffers most itself",
                          f"without {band}, against {other}", "difference of changes of error",
                          Estimate(value, value - down, value + up, one.n), "image",
                          above=True)  # fmt: skip
