"""Trainings on paper: maps of what is learned when, and learning curves of every level."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nca_cli.analysis.emergence import Emergence
from nca_cli.errors import NothingStored
from nca_cli.figures.curves import charts, style
from nca_cli.figures.curves.drawn import PaperFigure
from nca_cli.figures.curves.panel import AxisRange
from nca_cli.figures.curves.style import PAGE, Page
from nca_cli.figures.curves.titles import axis_title, full_title
from nca_cli.figures.curves.training import EmergenceMap, in_images, learning_panel
from nca_cli.recipe import Number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NARROWEST = 55
"""Millimetres of a panel."""


@dataclass(frozen=True, eq=False)
class TrainingFigure(PaperFigure):
    """Panels of trainings: rows of measures, columns of runs, or measures side by side."""

    found: tuple[Emergence, ...]
    page: Page = PAGE
    title: str | None = None
    images: bool = False
    """Whether the axis counts images seen instead of steps."""

    @property
    def measures(self) -> list[str]:
        """What there is a panel of for each run."""
        return list(dict.fromkeys(each.metric for each in self.found))

    @property
    def runs(self) -> list[str]:
        """The trainings."""
        return list(dict.fromkeys(each.run for each in self.found))

    @property
    def columns(self) -> int:
        """Of panels, as far as the page is wide."""
        series = len({(each.run, each.sampler) for each in self.found})
        fitting = max(1, int(self.page.width // NARROWEST))
        return min(series if series > 1 else len(self.found), fitting)

    @property
    def bar_aspect(self) -> float:
        """Of a colour bar beside all rows."""
        return 28.0 * math.ceil(len(self.found) / self.columns)

    def name(self, emergence: Emergence) -> str:
        """Of a panel: its measure, and what it is of where several are."""
        several = len(self.runs) > 1
        samplers = len({each.sampler for each in self.found}) > 1
        parts = (full_title(emergence.metric), emergence.run if several else "",
                 emergence.sampler if samplers else "")  # fmt: skip
        return " · ".join(filter(None, parts))

    @property
    def axis(self) -> str:
        """What the axis of steps is called."""
        return "images seen" if self.images else "training step"

    @property
    def over_images(self) -> str:
        """Behind every number."""
        counts = sorted({each.images for each in self.found})
        if counts == [1]:
            return "one image"
        return f"{counts[0]} images" if len(counts) == 1 else f"{counts[0]} to {counts[-1]} images"

    @property
    def start(self) -> str:
        """What stands for having learned nothing."""
        return " or ".join(dict.fromkeys(each.baseline_kind for each in self.found))


@dataclass(frozen=True, eq=False)
class EmergenceFigure(TrainingFigure):
    """Maps of training step × logSNR, coloured by the learned share G."""

    @property
    def caption(self) -> str:
        """What the colours are."""
        blank = any(map(_has_blanks, self.found))
        return (
            f"Colour: share of the gain from the baseline ({self.start}) to the best of the run; "
            f"means over {self.over_images}."
            + (" Grey: no gain beyond its uncertainty." if blank else "")
        )

    def drawn(self) -> Figure:
        made, panels = _panels(self, self.caption, 0.74)
        for axes, emergence in zip(panels, self.found, strict=True):
            mesh = charts.draw_map(axes, EmergenceMap(emergence), self.page)
            axes.set_title(self.name(emergence), loc="left")
            axes.set_ylabel(self.axis)
        below = any(share < 0 for each in self.found for one in each.learned for share in one.share)
        bar = made.colorbar(mesh, ax=panels, extend="min" if below else "neither", pad=0.015,
                            aspect=self.bar_aspect, ticks=[0, 0.25, 0.5, 0.75, 1])  # fmt: skip
        bar.ax.set_yticklabels(["0", "25", "50", "75", "100 %"])
        bar.set_label("learned")
        bar.outline.set_linewidth(0.5)
        return made


@dataclass(frozen=True, eq=False)
class LearningFigure(TrainingFigure):
    """Learning curves: a measure, or its learned share, over training steps at every level."""

    share: bool = False

    def y(self, metric: str) -> AxisRange:
        """Of all panels of a metric, so that runs can be compared."""
        spans = [learning_panel(each, self.share).y for each in self.found if each.metric == metric]
        return AxisRange(min(each.low for each in spans), max(each.high for each in spans))

    @property
    def caption(self) -> str:
        """What lines and marks are."""
        text = f"A line for each noise level: means over {self.over_images}"
        known = any(math.isfinite(low) for each in self.found for row in each.low for low in row)
        text += "; areas: 95 % bootstrap intervals" if known and not self.share else ""
        return f"{text}. Diamonds: half of the way from the baseline ({self.start}) to the best."

    def drawn(self) -> Figure:
        made, panels = _panels(self, self.caption, 0.8)
        levels = _levels(self.found)
        for axes, emergence in zip(panels, self.found, strict=True):
            panel = learning_panel(emergence, self.share)
            charts.draw_curves(axes, panel, self.y(emergence.metric), levels, self.page)
            axes.set_title(self.name(emergence), loc="left")
            axes.set_xlabel(self.axis)
            axes.set_ylabel("learned" if self.share else axis_title(emergence.metric))
            if self.share:
                axes.yaxis.set_major_formatter(lambda share, _: f"{100 * share:.0f} %")
        charts.draw_level_bar(made, panels, levels, self.bar_aspect)
        return made


def plot_emergence(
    found: Sequence[Emergence], *, page: Page = PAGE, title: str | None = None, images: bool = False
) -> EmergenceFigure:
    """A map of each. Raises `NothingStored`, `UsageError` and, without matplotlib, `NcaError`."""
    return EmergenceFigure(_drawable(found, images), page, title, images)


def plot_learning(
    found: Sequence[Emergence], *, share: bool = False, page: Page = PAGE,
    title: str | None = None, images: bool = False,
) -> LearningFigure:  # fmt: skip
    """Learning curves of each, of the measure or its learned share G. Raises as
    `plot_emergence`."""
    return LearningFigure(_drawable(found, images), page, title, images, share)


def _drawable(found: Sequence[Emergence], images: bool) -> tuple[Emergence, ...]:
    """Measure by measure, over images seen where these are wanted."""
    style.need_matplotlib()
    placed = [each for each in found if any(map(math.isfinite, each.log_snr))]
    if not placed:
        raise NothingStored("nothing is learned here at known noise levels",
                            "compute some: nca reconstruct --run demo-run")  # fmt: skip
    measures = list(dict.fromkeys(each.metric for each in placed))
    placed.sort(key=lambda each: measures.index(each.metric))
    return tuple(in_images(each) if images else each for each in placed)


def _levels(found: Sequence[Emergence]) -> list[tuple[Number | None, float]]:
    """t and logSNR of all levels, clean to noise; without t where trainings disagree on it."""
    pairs = {pair for each in found for pair in zip(each.t, each.log_snr, strict=True)}
    placed = sorted((pair for pair in pairs if math.isfinite(pair[1])), key=lambda pair: -pair[1])
    agree = len({t for t, _ in placed}) == len(placed)
    return [(t if agree else None, log_snr) for t, log_snr in placed]


def _has_blanks(emergence: Emergence) -> bool:
    return any(math.isnan(share) for each in emergence.learned for share in each.share)


def _panels(figure: TrainingFigure, caption: str, aspect: float) -> tuple[Figure, list[Axes]]:
    """Empty panels on the page, with title and caption; `aspect`: height of one over its width."""
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    page, columns = figure.page, figure.columns
    rows = math.ceil(len(figure.found) / columns)
    width, em = page.width / style.MM_PER_INCH, page.font_size / style.POINTS_PER_INCH
    lines = textwrap.wrap(caption, max(20, int(width / (0.43 * em * style.SMALL))))
    foot = (1.25 * len(lines) * style.SMALL + 0.5) * em
    each = (width - 5 * em) / columns
    height = (page.height or 0) / style.MM_PER_INCH or rows * (aspect * each + 3 * em) + foot
    engine = ConstrainedLayoutEngine(w_pad=0.03, h_pad=0.03,
                                     rect=(0, foot / height, 1, 1 - foot / height))  # fmt: skip
    made = Figure(figsize=(width, height), layout=engine)
    if figure.title:
        made.suptitle(figure.title, fontweight=600, x=0.01, ha="left")
    made.text(0.004, 0.2 * em / height, "\n".join(lines), color=style.FAINT, va="bottom",
              fontsize=style.SMALL * page.font_size, linespacing=1.2)  # fmt: skip
    return made, [made.add_subplot(rows, columns, number + 1)
                  for number in range(len(figure.found))]  # fmt: skip
