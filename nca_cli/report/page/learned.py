"""Trainings in the page: when each level learned what, over steps and levels at once."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from nca_cli.analysis.bootstrap import Estimate
from nca_cli.analysis.emergence import CLEAREST, Emergence, LearnedOrder
from nca_cli.analysis.learning import AFTER, BEFORE
from nca_cli.figures.curves.sides import STATED, shift
from nca_cli.figures.curves.svg import Tick
from nca_cli.figures.curves.titles import full_title, known_metric, measured, number
from nca_cli.figures.curves.training import EmergenceMap, learning_panel
from nca_cli.figures.curves.training_svg import (
    DrawnCurves,
    DrawnMap,
    StepScale,
    drawn_curves,
    drawn_map,
    step_scale,
)
from nca_cli.metrics.registry import family
from nca_cli.recipe import Number
from nca_cli.report.data import Gallery, Report
from nca_cli.report.data.shelf_plans import depth, distance
from nca_cli.report.data.step_sheets import MOST_TRAININGS, StepSheet, trainings
from nca_cli.report.data.words import concept_title, count, isolated
from nca_cli.report.page.orders import orders_of_levels, orders_of_measures
from nca_cli.report.page.scrub import SliderLevel

BASELINES = {"step 0": "the untrained network (step 0)", "mean image": "the mean image",
             "wiener": "the Wiener filter"}  # fmt: skip
BEYOND = {BEFORE: "earlier", AFTER: "later"}
"""Blanks that say where a learning step lies: an arrow at the edge."""


@dataclass(frozen=True)
class LearnedMeasure:
    """One measure of a training: its map and its curves."""

    emergence: Emergence
    title: str
    map: DrawnMap
    curves: DrawnCurves
    order: str
    """Which levels learn it first and last, in a sentence."""


@dataclass(frozen=True)
class LearnedLost:
    """A measure that was learned at a level, and then in part lost."""

    title: str
    t: Number
    best_step: int
    lost: Estimate


@dataclass(frozen=True)
class StepsTable:
    """Learning steps: a row for each measure, a column for each level."""

    t: tuple[Number, ...]
    """From clean to noise."""
    rows: tuple[tuple[str, tuple[Estimate, ...]], ...]
    """Title, and a step for each level."""

    @property
    def reasons(self) -> dict[str, str]:
        """Why a learning step is blank → the letter that stands for it."""
        blank = (step.blank for _, steps in self.rows for step in steps if math.isnan(step.value))
        return {why: chr(ord("a") + place) for place, why in enumerate(dict.fromkeys(blank))}


@dataclass(frozen=True, eq=False)
class TrainingView:
    """A training with one sampler."""

    number: int
    name: str
    measures: tuple[LearnedMeasure, ...]
    sheets: dict[str, StepSheet]
    """By image."""
    orders: tuple[LearnedOrder, ...]
    """Of every two levels, and of every two measures, as far as they are known."""

    @cached_property
    def pairs(self) -> dict[Number, tuple[int, int]]:
        """t → of how many pairs of measures the order is certain there, and how many there are."""
        found: dict[Number, tuple[int, int]] = {}
        for one in self.orders:
            if one.metric != one.then_metric:
                certain, known = found.get(one.t, (0, 0))
                found[one.t] = certain + one.certain, known + 1
        return found

    @property
    def axes(self) -> Emergence:
        """Of any measure: all have the same steps and levels."""
        return self.measures[0].emergence

    @property
    def shift(self) -> float:
        """From its logSNR to logSNR per pixel at 256 px; 0 where its side is unknown."""
        return shift(self.axes.side or STATED)

    @cached_property
    def levels(self) -> list[int]:
        """Which levels, from clean to noise."""
        axes = self.axes
        return sorted(range(len(axes.t)), key=lambda level: (-axes.log_snr[level], axes.t[level]))

    @property
    def scale(self) -> StepScale:
        """Steps after 0, in per cent."""
        later = [step for step in self.axes.steps if step > 0]
        return step_scale(later[0], later[-1], 0, 100)

    @property
    def ticks(self) -> tuple[Tick, ...]:
        """Of that axis."""
        return self.scale.ticks()

    @property
    def start(self) -> str:
        """What stands for having learned nothing."""
        return " or ".join(dict.fromkeys(BASELINES[one.emergence.baseline_kind]
                                         for one in self.measures))  # fmt: skip

    @cached_property
    def table(self) -> StepsTable:
        """Learning steps of all measures."""
        rows = ((one.title, tuple(one.emergence.learned[level].step for level in self.levels))
                for one in self.measures)  # fmt: skip
        return StepsTable(tuple(self.axes.t[level] for level in self.levels), tuple(rows))

    @property
    def lost(self) -> list[LearnedLost]:
        """What the last checkpoint has lost again, beyond its interval."""
        return [
            LearnedLost(one.title, one.emergence.t[level], found.best_step, found.lost)
            for one in self.measures for level in self.levels
            if (found := one.emergence.learned[level]).lost.low > 0
        ]  # fmt: skip


def views(report: Report, gallery: Gallery) -> list[TrainingView]:
    """The trainings of a page, one-step ones first; none where the store holds none."""
    sheets: dict[tuple[str, str], dict[str, StepSheet]] = {}
    for sheet in gallery.sheets:
        sheets.setdefault((sheet.run, sheet.sampler), {})[sheet.image] = sheet
    orders = _orders(report)
    found = trainings(report)
    return [
        TrainingView(place, " · ".join(series),
                     tuple(_measure(report, each, orders.get(series, []))
                           for each in some if _placed(each)),
                     sheets.get(series, {}), tuple(orders.get(series, [])))
        for place, (series, some) in enumerate(found.items())
    ]  # fmt: skip


def together(report: Report) -> dict[str, StepsTable]:
    """Settings and sampler → learning steps over the trainings that have them in common."""
    found: dict[str, dict[str, dict[tuple[float, Number], Estimate]]] = {}
    for one in report.training.over_trainings if report.training else ():
        name = f"{one.settings} · {one.sampler}, {count(len(one.runs), 'training')}"
        rows = found.setdefault(name, {}).setdefault(measure_title(report, one.metric), {})
        rows[-one.log_snr, one.t] = one.step
    return {name: _steps_table(rows) for name, rows in found.items()}


def _steps_table(rows: dict[str, dict[tuple[float, Number], Estimate]]) -> StepsTable:
    """Of title → (-logSNR, t) → step."""
    levels = sorted({level for row in rows.values() for level in row})
    nothing = Estimate(blank="not measured")
    made = ((title, tuple(row.get(level, nothing) for level in levels))
            for title, row in rows.items())  # fmt: skip
    return StepsTable(tuple(t for _, t in levels), tuple(made))


def _placed(emergence: Emergence) -> bool:
    """Whether it has levels of known logSNR."""
    return any(map(math.isfinite, emergence.log_snr))


def _measure(report: Report, each: Emergence, orders: Iterable[LearnedOrder]) -> LearnedMeasure:
    mine = [one for one in orders if one.metric == one.then_metric == each.metric]
    return LearnedMeasure(each, measure_title(report, each.metric), drawn_map(EmergenceMap(each)),
                          drawn_curves(learning_panel(each)), _order(each, mine))  # fmt: skip


def measure_title(report: Report, metric: str) -> str:
    """`PSNR`; `Hair colour` of a concept."""
    if not metric.startswith("concept/"):
        return full_title(metric)
    title = concept_title(metric, report.concepts)
    return title[:1].upper() + title[1:]


def _orders(report: Report) -> dict[tuple[str, str], list[LearnedOrder]]:
    """Run and sampler → the orders that are known."""
    found: dict[tuple[str, str], list[LearnedOrder]] = {}
    for one in report.training.orders if report.training else ():
        if math.isfinite(one.probability):
            found.setdefault((one.run, one.sampler), []).append(one)
    return found


def _order(each: Emergence, orders: Sequence[LearnedOrder]) -> str:
    """`First at t = 900 (step 210), last at t = 100 (step 2,100); 30 of 36 pairs …`."""
    known = sorted((one.step.value, t) for one, t in zip(each.learned, each.t, strict=True)
                   if math.isfinite(one.step.value))  # fmt: skip
    if len(known) < 2:
        return ""
    (first, at), (last, then) = known[0], known[-1]
    said = (f"Half is learned first at t = {at:g} (step {first:,.0f}) and last at t = {then:g} "
            f"(step {last:,.0f})")  # fmt: skip
    if not orders:
        return f"{said}."
    certain = sum(order.certain for order in orders)
    return f"{said}; {_surely(certain, len(orders), ' of levels')}."


def lead(views: Sequence[TrainingView]) -> str:
    """What was trained, and what the share is of."""
    axes = views[0].axes
    seen = f" ({counted(axes.steps[-1] * axes.batch_size)} images seen)" if axes.batch_size else ""
    return (
        f"{isolated(axes.run)} has {count(len(axes.steps), 'checkpoint')}, up to step "
        f"{axes.steps[-1]:,}{seen}. The learned share is the fraction of the gain from "
        f"{views[0].start} to the best checkpoint; it reaches one half at the learning step."
    )


def notes(report: Report, shown: Sequence[TrainingView]) -> list[str]:
    """What is left out."""
    said = list(report.training.notes) if report.training else []
    every = {(each.run, each.sampler) for each in report.training.emergences} \
        if report.training else set()  # fmt: skip
    if len(every) > len(shown):
        said.append(f"{MOST_TRAININGS} of {len(every)} trainings are shown; choose others with "
                    "--run and --sampler. --training-csv writes the numbers of all.")  # fmt: skip
    return said


def counted(steps: float) -> str:
    """`25,600`."""
    return f"{steps:,.0f}"


def step_ends(found: Estimate) -> str:
    """`[350, 470]`, `[before, 470]`: an interval, as far as there are checkpoints."""
    known = [end for end in (found.low, found.high) if not math.isnan(end)]
    ends = ["before" if not end else "after" if math.isinf(end) else counted(end) for end in known]
    return f"[{', '.join(ends)}]" if ends else ""


def said_step(found: Estimate) -> str:
    """`410 [350, 470]`."""
    return f"{counted(found.value)} {step_ends(found)}".rstrip()


def described(shown: Iterable[TrainingView], positions: Sequence[SliderLevel]) -> list[dict]:
    """What the page's script needs of each training."""
    return [_described(view, positions) for view in shown]


def _described(view: TrainingView, positions: Sequence[SliderLevel]) -> dict:
    axes = view.axes
    depths = [depth(level) for level in zip(axes.t, axes.log_snr, strict=True)]
    nearest = [min(range(len(depths)), key=lambda level: distance(depths[level], at.depth))
               for at in positions]  # fmt: skip
    back = [min(range(len(positions)), key=lambda k: distance(positions[k].depth, each), default=0)
            for each in depths]  # fmt: skip
    return {
        "steps": [f"{step:,}" for step in axes.steps],
        "seen": [counted(step * axes.batch_size) if axes.batch_size else "" for step in axes.steps],
        "t": [f"{t:g}" for t in axes.t],
        "levels": view.levels,
        "place": [view.scale(step) if step else None for step in axes.steps],
        "nearest": nearest, "position": back,
        "measures": [_said(one, view.scale)
                     | {"orders": orders_of_levels(view.orders, one.emergence.metric, axes.t),
                        "family": family(one.emergence.metric)} for one in view.measures],
        "orders": orders_of_measures(
            view.orders, [one.emergence.metric for one in view.measures], axes.t),
        "pairs": [_said_pairs(*view.pairs.get(t, (0, 0))) for t in axes.t],
        "start": len(axes.steps) - 1,
    }  # fmt: skip


def _said_pairs(certain: int, known: int) -> str:
    """`25 of 78 pairs are ordered with ≥ 95 % probability.`"""
    return f"{_surely(certain, known)}." if known else ""


def _surely(certain: int, known: int, what: str = "") -> str:
    are = "is" if known == 1 else "are"
    sure = f"ordered with ≥ {100 * CLEAREST:.0f} % probability"
    return f"{certain} of {count(known, 'pair')}{what} {are} {sure}"


def _said(one: LearnedMeasure, scale: StepScale) -> dict:
    """`value`: of each level and step; `half`: text and place in per cent of each level."""
    each, drawn = one.emergence, one.map
    untrained = len(each.steps) - len(drawn.rows)
    return {
        "title": one.title,
        "value": [[_value(each, level, step, untrained) for step in range(len(each.steps))]
                  for level in range(len(each.t))],
        "half": [_half(found.step, scale) for found in each.learned],
        "map": {"x": [drawn.columns.get(level) for level in range(len(each.t))],
                "y": [None] * untrained + list(drawn.rows)},
        "x": one.curves.steps,
    }  # fmt: skip


def _value(each: Emergence, level: int, step: int, untrained: int) -> str:
    """`21.3 dB [20.1, 22.0], 83 % learned`."""
    mean, unit = each.mean[level][step], known_metric(each.metric).unit
    if math.isnan(mean):
        return "–"
    ends = [row[level][step] for row in (each.low, each.high) if row]
    known = [measured(each.metric, end) for end in ends if math.isfinite(end)]
    share = each.learned[level].share[step - untrained] if step >= untrained else math.nan
    parts = [measured(each.metric, mean), unit, f"[{', '.join(known)}]" if known else ""]
    learned = "" if math.isnan(share) else f", {number(100 * share, 0)} % learned"
    return " ".join(filter(None, parts)) + learned


def _half(found: Estimate, scale: StepScale) -> dict:
    if math.isnan(found.value):
        return {"why": found.blank, "beyond": BEYOND.get(found.blank, "")}
    ends = [found.value if math.isnan(end) else end for end in (found.low, found.high)]
    return {"text": said_step(found), "at": scale.within(found.value),
            "low": scale.within(ends[0]), "high": scale.within(ends[1]),
            "value": found.value}  # fmt: skip
