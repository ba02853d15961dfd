"""What a figure says: names of rows and groups, headers of columns, and nothing twice."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property

from nca_cli.errors import UsageError
from nca_cli.figures.grid import text
from nca_cli.figures.grid.content import Content, Strip
from nca_cli.figures.grid.text import Label, Run
from nca_cli.schedule import Schedule
from nca_cli.store.layout import split_folder
from nca_cli.store.names import told

SYMBOLS = {
    "x0": text.X0,
    "floor": text.FLOOR,
    "x_t": text.X_T,
    "x0_hat": text.X0_HAT,
    "diff": text.DIFF,
    "error": text.ERROR,
}


SNR: Label = (Run("SNR"),)
LOG_SNR: Label = (Run("log SNR"),)


class Wording:
    """Words for the rows and columns of some content: what all have in common is left out."""

    def __init__(self, content: Content):
        self.content, self.chosen = content, content.chosen

    def _said(self, words: str) -> Label:
        """What somebody has called something."""
        return text.words(words, fonts=self.chosen.fonts)

    @cached_property
    def _several(self) -> dict[str, bool]:
        """Which properties differ over the figure, and so must be said."""
        seeds = len({strip.seed for strip in self.content.strips})
        return {
            "model": len({pair.model for pair in self.content.pairs}) > 1,
            "image": True,
            "seed": self.chosen.columns != "seeds" and (seeds > 1 or self.chosen.rows == "seeds"),
        }

    @cached_property
    def model_names(self) -> dict[str, str]:
        """Folder → the shortest name that tells models apart."""
        named = {pair.model: pair.model_name for pair in self.content.pairs}
        short = list(named.values())
        return {folder: folder if short.count(name) > 1 else name for folder, name in named.items()}

    def _words(self, strip: Strip, what: str) -> list[Label]:
        """One property of a row in words; none where it says nothing new."""
        if what in ("symbol", "sampler") and self._one_sampler:
            return []
        if what == "symbol":
            return [SYMBOLS[strip.kind]] if strip.kind else []
        if what == "sampler":
            return [self._said(part) for part in self._sampler_words(strip)]
        if not self._several[what]:
            return []
        if what == "model":
            return [self._said(name) for name in self._model_words(strip)]
        name = {
            "model": self.model_names[strip.pair.model],
            "image": strip.image,
            "seed": f"seed {strip.seed}",
        }
        return [self._said(name[what])]

    def _model_words(self, strip: Strip) -> list[str]:
        """The model of a row; of x_t all that share it, or none where all models do."""
        if strip.kind != "x_t":
            return [self.model_names[strip.pair.model]]
        same = [pair.model for pair in self.content.pairs if pair.space == strip.pair.space]
        if {*same} == {pair.model for pair in self.content.pairs}:
            return []
        return [", ".join(self.model_names[model] for model in dict.fromkeys(same))]

    def _sampler_words(self, strip: Strip) -> list[str]:
        """`ddim-50`, and what tells it from another recipe of that name: η, prompt, … or digest."""
        if strip.choice is None or not strip.choice.label:
            return []
        label, recipe = strip.choice.label, strip.choice.recipe
        same = (each for each in self.content.choices[strip.pair.model] if each.label == label)
        twins = {each.name: each for each in same if each.recipe}
        if len(twins) < 2 or recipe is None:
            return [label]
        name = strip.choice.name
        recipes = {name: each.recipe for name, each in twins.items() if each.recipe}
        sources = {name: each.source for name, each in twins.items()}
        return [label, *told(recipes, sources).get(name, (split_folder(name)[1],))]

    def of_row(self, strip: Strip) -> tuple[list[Label], list[Label]]:
        """Names of the group that a row is in, and of the row in it."""
        whole, own = {
            "images": (["image"], ["symbol", "sampler", "model", "seed"]),
            "models": (["model", "sampler"], ["image", "seed"]),
            "seeds": (["image", "model", "sampler"], ["seed"]),
        }[self.content.rows]
        if self.content.rows != "images":
            alone = strip.kind == "x_t" or len({*self.content.kinds} - {"x_t"}) == 1
            whole.insert(len(whole) - 1, "symbol") if alone else own.append("symbol")
        outer = [label for what in whole for label in self._words(strip, what)]
        return outer, [label for what in own for label in self._words(strip, what)]

    @cached_property
    def _one_sampler(self) -> bool:
        """Whether P2's figure has one sampler: it is said once, below, and rows are images."""
        labels = {str(self._sampler_words(strip)) for strip in self.content.strips}
        return self.chosen.layout == "p2" and self.content.kinds == ["x0_hat"] and len(labels) == 1

    @property
    def notes(self) -> list[Label]:
        """Lines below the figure."""
        names = " ".join(self._sampler_words(self.content.strips[0])) if self._one_sampler else ""
        if not names:
            return []
        return [(*text.X0_HAT, Run(" from "), *text.X_T, Run(" by "), *self._said(names))]

    def header(self, level: int | float) -> list[tuple[Label, ...]]:
        """Lines of a column's header, each from long to short: t, then SNR for each schedule.

        Of columns by SNR, logSNR and then t for each schedule.
        """
        first, rest = (_log_snr_line, _t_line) if self.chosen.by_snr else (_t_line, _snr_line)
        return [first(level), *(rest(table.get(level)) for _, table in self.schedules)]

    @property
    def header_names(self) -> list[Label]:
        """What the lines of a header are."""
        first, rest = (LOG_SNR, text.T) if self.chosen.by_snr else (text.T, SNR)
        if len(self.schedules) == 1:
            return [first, rest]
        return [first, *((*rest, Run(" "), *self._said(names)) for names, _ in self.schedules)]

    def of_level(self, level: int | float) -> list[Label]:
        """t and its SNR, where all models agree on it, as the name of a row."""
        lines = self.header(level)
        return [line[0] for line in (lines if len(self.schedules) == 1 else lines[:1])]

    def stage_of(self, level: int | float) -> str:
        """P2's stage of a level, in P2's figure, where all models agree on its SNR."""
        if self.chosen.layout != "p2":
            return ""
        from nca_cli.analysis.stages import stage

        if self.chosen.by_snr:
            return stage(math.exp(level))
        snr = self.schedules[0][1].get(level) if len(self.schedules) == 1 else None
        return "" if snr is None else stage(snr)

    @cached_property
    def schedules(self) -> list[tuple[str, dict[int | float, float]]]:
        """(names of models, t → SNR) for each schedule in the figure: the same t may differ.

        Of columns by SNR, logSNR → t.
        """
        tables: list[tuple[list[str], dict]] = []
        for model in dict.fromkeys(pair.model for pair in self.content.pairs if pair.stored):
            found = self.content.ts(model) if self.chosen.by_snr else self._snr(model)
            same = next((names for names, other in tables if _agree(other, found)), None)
            if same is None:
                tables.append(([self.model_names[model]], found))
            else:
                same.append(self.model_names[model])
                next(other for names, other in tables if names is same).update(found)
        return [(", ".join(names), table) for names, table in tables]

    def _snr(self, model: str) -> dict[int | float, float]:
        pairs = [pair for pair in self.content.pairs if pair.model == model]
        stored: dict[int | float, float] = {}
        levels = self.content.levels
        for artifact in (artifact for pair in pairs for artifact in pair.artifacts):
            if self.content.keys(artifact):
                log_snr = zip(artifact.t.tolist(), artifact.log_snr.tolist(), strict=True)
                stored.update(
                    {t: math.exp(value) for t, value in log_snr if t in self.content.levels}
                )
            if set(levels) <= set(stored):
                return stored
        return {
            **_snr_of_schedule(self.content.space_info(pairs[0]), self.content.levels),
            **stored,
        }


def _snr_line(snr: float | None) -> tuple[Label, ...]:
    """An SNR in a header, from long to short."""
    return (*SNR, Run(" "), *text.number(snr)), text.number(snr), text.rough(snr), text.terse(snr)


def _t_line(t: int | float | None) -> tuple[Label, ...]:
    """A t in a header; the shortest way is for those between whole ones."""
    if t is None:
        return ((Run("–"),),) * 3
    rough = f"{t:.0f}" if t >= 100 else f"{t:.2g}"
    return (*text.T, Run(f" = {t:g}")), (Run(f"{t:g}"),), (Run(rough),)


def _log_snr_line(value: float) -> tuple[Label, ...]:
    """A logSNR in a header, to two digits after the point."""
    said = f"{round(value, 2) + 0.0:g}".replace("-", "−").replace("inf", "∞")
    return (*LOG_SNR, Run(f" {said}")), (Run(said),)


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


def _snr_of_schedule(space: dict, levels: Sequence[int | float]) -> dict[int | float, float]:
    """SNR of the levels by the schedule that a model's description gives, where it gives it."""
    schedule = Schedule.from_description(space.get("schedule") or {})
    if schedule is None:
        return {}
    try:
        return {t: schedule.snr(t) for t in levels if schedule.holds(t)}
    except (UsageError, ZeroDivisionError):
        return {}
