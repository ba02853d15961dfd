"""What a figure says: names of rows and groups, headers of columns, and nothing twice."""

from __future__ import annotations

import math
from functools import cached_property

from nca_cli.figures.grid.layouts import AXES, LOG_SNR, SNR, SYMBOLS, X0_HAT, X_T, T
from nca_cli.figures.grid.selection import Selection, Strip
from nca_cli.figures.type import text
from nca_cli.figures.type.text import Label, Span
from nca_cli.recipe import Number
from nca_cli.store.layout import split_folder
from nca_cli.store.names import told, told_models


class Wording:
    """Words for the rows and columns of a selection: what all have in common is left out."""

    def __init__(self, chosen: Selection):
        self.chosen, self.request = chosen, chosen.request

    def _said(self, words: str) -> Label:
        """What somebody has called something."""
        return text.words(words, fonts=self.request.lenders)

    @cached_property
    def _several(self) -> dict[str, bool]:
        """Which properties differ over the figure, and so must be said."""
        found = {
            axis.property: axis is self.request.row_axis
            or len({getattr(strip, axis.property) for strip in self.chosen.strips} - {None}) > 1
            for axis in AXES.values() if axis.property
        }  # fmt: skip
        return {**found, "model": len(self.chosen.models) > 1, "image": True}

    @cached_property
    def model_names(self) -> dict[str, str]:
        """Folder → the shortest name that tells models apart."""
        named = {each.model: each.model_name for each in self.chosen.subjects}
        spaces = self.chosen.spaces
        return told_models(named, lambda folder: spaces.get(folder, {}).get("resolution"))

    def _words(self, strip: Strip, what: str) -> list[Label]:
        """One property of a row in words; none where it says nothing new."""
        if what in ("symbol", "sampler") and self._one_sampler and strip.kind == "x0_hat":
            return []
        if what == "symbol":
            return [SYMBOLS[strip.kind]] if strip.kind else []
        if what == "sampler":
            return [self._said(part) for part in self._sampler_words(strip)]
        if not self._several[what] or what == self.request.column_axis.property:
            return []
        if what == "model":
            return [self._said(name) for name in self._model_words(strip)]
        if what == "step":
            return [] if strip.step is None else [line[0] for line in self.of_step(strip.step)]
        return [self._said(strip.name if what == "image" else f"{what} {getattr(strip, what)}")]

    def _model_words(self, strip: Strip) -> list[str]:
        """The model of a row; of x_t all that share it, or none where all models do."""
        if strip.kind != "x_t":
            return [self.model_names[strip.model]]
        having = self.chosen.noising(strip.image)
        same = [each.model for each in self.chosen.subjects
                if each.space == strip.subject.space and each.model in having]  # fmt: skip
        if {*same} == {each.model for each in self.chosen.subjects}:
            return []
        return [", ".join(self.model_names[model] for model in dict.fromkeys(same))]

    def _sampler_words(self, strip: Strip) -> list[str]:
        """`ddim-50`, and what tells it from another recipe of that name: η, prompt, … or digest."""
        if strip.sampling is None or not strip.sampling.label:
            return []
        label, recipe, step = strip.sampling.label, strip.sampling.recipe, strip.step
        every = self.chosen.samplings[strip.model]
        same = (each for each in every if (each.label, each.step) == (label, step))
        twins = {each.name: each for each in same if each.recipe}
        if len(twins) < 2 or recipe is None:
            return [label]
        recipes = {name: each.recipe for name, each in twins.items() if each.recipe}
        sources = {name: each.source for name, each in twins.items()}
        name = strip.sampling.name
        return [label, *told(recipes, sources).get(name, (split_folder(name)[1],))]

    def of_row(self, strip: Strip) -> tuple[list[Label], list[Label]]:
        """Names of the group that a row is in, and of the row in it."""
        axis = self.request.row_axis
        whole, own = list(axis.group), list(axis.own)
        if "symbol" not in own:
            alone = strip.kind == "x_t" or len({*self.request.kinds} - {"x_t"}) == 1
            whole.insert(whole.index("sampler"), "symbol") if alone else own.append("symbol")
        outer = [label for what in whole for label in self._words(strip, what)]
        return outer, [label for what in own for label in self._words(strip, what)]

    @cached_property
    def _one_sampler(self) -> bool:
        """Whether the sampler of x̂0 is said once, below the figure."""
        wanted = self.request.arrangement.sampler_below or self.request.by_step
        shown = {strip.kind for strip in self._reconstructed}
        said = {str(self._sampler_words(strip)) for strip in self._reconstructed}
        return wanted and shown == {"x0_hat"} and len(said) == 1

    @cached_property
    def _reconstructed(self) -> list[Strip]:
        """Along a training x_t is no strip among them: it is shown beside them or above, once."""
        aside = ("x_t",) if self.request.by_step else ()
        return [strip for strip in self.chosen.strips if strip.kind not in aside]

    @property
    def notes(self) -> list[Label]:
        """Lines below the figure."""
        names = " ".join(self._sampler_words(self._reconstructed[0])) if self._one_sampler else ""
        if names and not self._several["model"]:
            names = f"{next(iter(self.model_names.values()))}, {names}"
        said = (*X0_HAT, Span(" from "), *X_T, Span(" by "), *self._said(names))
        return [*([said] if names else []), *map(text.words, self._steps_said)]

    @property
    def _steps_said(self) -> list[str]:
        """Which steps of trainings are shown, where rows and columns do not say it."""
        stored = self.chosen.steps
        shown = {strip.step for strip in self.chosen.strips if strip.sampling}
        if self.request.by_step:
            few = not self.chosen.filters.steps and len(shown) < len(stored)
            said = f"{len(shown)} of {len(stored)} stored training steps, evenly spaced in log step"
            return [said] if few else []
        return [f"Training step {step:,}" for step in shown if step is not None and len(shown) == 1]

    def header(self, level: Number) -> list[tuple[Label, ...]]:
        """Lines of a column's header, each from long to short: t, then SNR for each schedule.

        Of columns by SNR, logSNR and then t for each schedule.
        """
        first, rest = (_log_snr_line, _t_line) if self.request.by_snr else (_t_line, _snr_line)
        return [first(level), *(rest(table.get(level)) for _, table in self.schedules)]

    def of_property(self, what: str, value: int) -> list[tuple[Label, ...]]:
        """Lines of the header of a column that is one value of a property, such as a seed."""
        if what == "step":
            return self.of_step(value)
        return [(text.words(f"{what} {value}"), text.words(str(value)))]

    def of_step(self, step: int) -> list[tuple[Label, ...]]:
        """Of a training: the step, and how many images it has seen then, where that is known."""
        ways = [[f"step {step:,}", f"{step:,}", text.count(step)]]
        if size := self.chosen.batch_size:
            seen, short = step * size, text.count(step * size)
            ways.append([f"{seen:,} images", f"{short} images", short])
        return [tuple(map(text.words, line)) for line in ways]

    @property
    def property_names(self) -> list[Label]:
        """What the lines of `of_property` are."""
        what = self.request.column_axis.property
        seen = what == "step" and self.chosen.batch_size
        return [text.words(name) for name in (what, *(["images seen"] if seen else []))]

    @property
    def header_names(self) -> list[Label]:
        """What the lines of a header are."""
        first, rest = (LOG_SNR, T) if self.request.by_snr else (T, SNR)
        if len(self.schedules) == 1:
            return [first, rest]
        return [first, *((*rest, Span(" "), *self._said(names)) for names, _ in self.schedules)]

    def of_level(self, level: Number) -> list[Label]:
        """t and its SNR, where all models agree on it, as the name of a row."""
        lines = self.header(level)
        return [line[0] for line in (lines if len(self.schedules) == 1 else lines[:1])]

    def stage_of(self, level: Number) -> str:
        """P2's stage of a level, where the layout has them and all models agree on its SNR."""
        if not self.request.arrangement.stages:
            return ""
        from nca_cli.analysis.p2 import stage

        if self.request.by_snr:
            return stage(math.exp(level))
        snr = self.schedules[0][1].get(level) if len(self.schedules) == 1 else None
        return "" if snr is None else stage(snr)

    @cached_property
    def schedules(self) -> list[tuple[str, dict[Number, float]]]:
        """(names of models, t → SNR) for each schedule in the figure: the same t may differ.

        Of columns by SNR, logSNR → t.
        """
        tables: list[tuple[list[str], dict]] = []
        for model in dict.fromkeys(each.model for each in self.chosen.subjects if each.stored):
            found = self.chosen.ts(model) if self.request.by_snr else dict(self.chosen.snr[model])
            for names, table in tables:
                if _agree(table, found):
                    names.append(self.model_names[model])
                    table.update(found)
                    break
            else:
                tables.append(([self.model_names[model]], found))
        return [(", ".join(names), table) for names, table in tables]


def _snr_line(snr: float | None) -> tuple[Label, ...]:
    """An SNR in a header, from long to short."""
    said = text.number(snr)
    return (*SNR, Span(" "), *said), said, text.number(snr, 1), text.terse(snr)


def _t_line(t: Number | None) -> tuple[Label, ...]:
    """A t in a header; the shortest way is for those between whole ones."""
    if t is None:
        return ((Span("–"),),) * 3
    rough = f"{t:.0f}" if t >= 100 else f"{t:.2g}"
    return (*T, Span(f" = {t:g}")), (Span(f"{t:g}"),), (Span(rough),)


def _log_snr_line(value: float) -> tuple[Label, ...]:
    """A logSNR in a header, to two digits after the point."""
    said = f"{round(value, 2) + 0.0:g}".replace("-", "−").replace("inf", "∞")
    return (*LOG_SNR, Span(f" {said}")), (Span(said),)


def heading(labels: list[Label]) -> list[Label]:
    """Names of a group: the first one bold, a symbol and its sampler as one."""
    if not labels:
        return []
    bold = tuple(run._replace(style="bold") if run.style == "text" else run for run in labels[0])
    names = [bold]
    for label in labels[1:]:
        if names[-1] in SYMBOLS.values():
            names[-1] = text.join([names[-1], label], " ")
        else:
            names.append(label)
    return names


def _agree(one: dict, other: dict) -> bool:
    return all(math.isclose(one[t], other[t], rel_tol=1e-6) for t in one.keys() & other.keys())
