"""Trainings on paper: maps of what is learned when, and learning curves of every level."""

from __future__ import annotations

import math
import textwrap
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from nca_cli.analysis.emergence import Emergence
from nca_cli.errors import NothingStored
from nca_cli.figures.curves import charts, style
from nca_cli.figures.curves.charts import PanelSize
from nca_cli.figures.curves.drawn import Drawn, PaperFigure
from nca_cli.figures.curves.panel import AxisRange
from nca_cli.figures.curves.sides import advice, stages_stated, trained_per_pixel
from nca_cli.figures.curves.style import PAGE, TALLEST, Page, balanced
from nca_cli.figures.curves.titles import (
    LOG_SNR,
    PER_PIXEL,
    axis_title,
    full_title,
    number,
    scale_of,
)
from nca_cli.figures.curves.training import EmergenceMap, in_images, learning_panel
from nca_cli.outputs import Outputs
from nca_cli.recipe import Number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NARROWEST = 55
"""Millimetres of a panel."""
BESIDE = 5.5
"""Width of the labels beside the axes of a panel, and of a colour bar, in em."""
ASPECT = 0.72
"""Height of axes over their width."""


@dataclass(frozen=True, eq=False)
class TrainingFigure(PaperFigure):
    """Panels of trainings: rows of measures, columns of runs, or measures side by side."""

    found: tuple[Emergence, ...]
    page: Page = PAGE
    title: str | None = None
    images: bool = False
    """Whether the axis counts images seen instead of steps."""
    outputs: Outputs = Outputs()  # noqa: RUF009
    per_pixel: bool = False
    """Whether noise is logSNR per pixel at 256 px."""

    around: ClassVar[float] = 5.0
    """Height of what stands above and below the axes of a panel, in em."""

    @property
    @abstractmethod
    def caption(self) -> str:
        """What is to be known of the panels, below them."""

    @property
    def summary(self) -> dict[str, object]:
        return {"measures": self.measures, "runs": self.runs}

    @property
    def numbers(self) -> list[Drawn]:
        return [
            Drawn(f"{one.run} · {one.sampler}", one.metric, one.t[i], one.log_snr[i], step,
                  one.mean[i][j], one.low[i][j], one.high[i][j], one.counts[i])
            for one in self.found for i in range(len(one.t)) for j, step in enumerate(one.steps)
        ]  # fmt: skip

    @property
    def measures(self) -> list[str]:
        """What there is a panel of for each run."""
        return list(dict.fromkeys(each.metric for each in self.found))

    @property
    def runs(self) -> list[str]:
        """The trainings."""
        return list(dict.fromkeys(each.run for each in self.found))

    @property
    def sides(self) -> dict[str, int]:
        """Of the trainings, as far as they say it."""
        return {each.run: each.side for each in self.found if each.side is not None}

    @property
    def note(self) -> str:
        """What a reader of the figure should know first, or nothing."""
        return advice(self.sides, self.per_pixel)

    @property
    def columns(self) -> int:
        """Of panels, as far as the page is wide."""
        if self.page.columns:
            return min(self.page.columns, len(self.found))
        series = len({(each.run, each.sampler) for each in self.found})
        fitting = max(1, int(self.page.width // NARROWEST))
        return min(series, fitting) if series > 1 else balanced(len(self.found), fitting)

    @property
    def rows(self) -> int:
        """Of panels."""
        return math.ceil(len(self.found) / self.columns)

    @property
    def bar_aspect(self) -> float:
        """Of a colour bar beside all rows."""
        return 28.0 * self.rows

    @property
    def em(self) -> float:
        """In inches, as all lengths here."""
        return self.page.font_size / style.POINTS_PER_INCH

    @property
    def width(self) -> float:
        """Of the figure."""
        return self.page.width / style.MM_PER_INCH

    @property
    def height(self) -> float:
        """Of the figure: as asked for, or panels a little wider than high, up to `TALLEST`."""
        if self.page.height is not None:
            return self.page.height / style.MM_PER_INCH
        wanted = (self.rows * (ASPECT * self._axes_width + self.around) + self.foot) * self.em
        return min(wanted, TALLEST / style.MM_PER_INCH)

    @property
    def lines(self) -> list[str]:
        """Of the caption."""
        letters = int(self.width / (0.43 * self.em * style.SMALL))
        return textwrap.wrap(self.caption, max(20, letters))

    @property
    def foot(self) -> float:
        """Height of the caption, in em."""
        return 1.25 * len(self.lines) * style.SMALL + 0.5

    @property
    def _axes_width(self) -> float:
        """Of one panel, without its labels and its share of the colour bar, in em."""
        return max(6.0, (self.width / self.em - BESIDE) / self.columns - BESIDE)

    @property
    def size(self) -> PanelSize:
        """Of the axes of a panel."""
        high = (self.height / self.em - self.foot) / self.rows - self.around
        return PanelSize(self._axes_width, max(6.0, high), self.page.font_size)

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
        counts = sorted({count for each in self.found for count in each.counts})
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

    around = 7.5

    @property
    def caption(self) -> str:
        """What the colours are."""
        blank = any(map(_has_blanks, self.found))
        return (
            f"Colour: share of the gain from the baseline ({self.start}) to the best of the run; "
            f"means over {self.over_images}."
            + (" Grey: no gain beyond its uncertainty." if blank else "")
            + (f" {stated}." if (stated := stages_stated(self.sides, self.per_pixel)) else "")
        )

    def drawn(self) -> Figure:
        made, panels = _panels(self)
        for axes, emergence in zip(panels, self.found, strict=True):
            mesh = charts.draw_map(axes, EmergenceMap(emergence), self.size, self.per_pixel)
            axes.set_title(self.name(emergence), loc="left")
            axes.set_ylabel(self.axis)
        below = any(share < 0 for each in self.found for one in each.learned for share in one.share)
        bar = made.colorbar(mesh, ax=panels, extend="min" if below else "neither", pad=0.015,
                            aspect=self.bar_aspect, ticks=[0, 0.25, 0.5, 0.75, 1])  # fmt: skip
        bar.ax.set_yticklabels(["0", "25", "50", "75", "100 %"])
        bar.set_label("learned")
        bar.outline.set_linewidth(0.5)
        for share, (colour, width) in charts.ISO_STYLES.items():
            bar.ax.axhline(share, color=colour, linewidth=width)
        return made


@dataclass(frozen=True, eq=False)
class LearningFigure(TrainingFigure):
    """Learning curves: a measure, or its learned share, over training steps at every level."""

    share: bool = False

    def y(self, metric: str) -> AxisRange:
        """Of all panels of its unit, so that runs and bands can be compared."""
        spans = [learning_panel(each, self.share).y for each in self.found
                 if scale_of(each.metric) == scale_of(metric)]  # fmt: skip
        return AxisRange(min(each.low for each in spans), max(each.high for each in spans))

    @property
    def caption(self) -> str:
        """What lines and marks are."""
        text = f"A line for each noise level: means over {self.over_images}"
        known = any(math.isfinite(low) for each in self.found for row in each.low for low in row)
        text += "; areas: 95 % bootstrap intervals" if known else ""
        half = f"half of the way from the baseline ({self.start}) to the best of the run"
        sure = any(math.isfinite(one.step.low) for each in self.found for one in each.learned)
        return f"{text}. Diamonds: {half}{', with 95 % intervals' if sure else ''}."

    def drawn(self) -> Figure:
        from matplotlib.ticker import MaxNLocator

        made, panels = _panels(self)
        levels = _levels(self.found)
        for axes, emergence in zip(panels, self.found, strict=True):
            panel = learning_panel(emergence, self.share)
            charts.draw_curves(axes, panel, self.y(emergence.metric), levels, self.size)
            axes.set_title(self.name(emergence), loc="left")
            axes.set_xlabel(self.axis)
            axes.set_ylabel("learned" if self.share else axis_title(emergence.metric))
            if self.share:
                axes.yaxis.set_major_locator(MaxNLocator(9, steps=[1, 2.5, 5, 10]))
                axes.yaxis.set_major_formatter(lambda share, _: f"{number(100 * share, 0)} %")
        charts.draw_level_bar(made, panels, levels, self.bar_aspect, self.size.height * self.rows,
                              PER_PIXEL if self.per_pixel else LOG_SNR)  # fmt: skip
        return made


def plot_emergence(
    found: Sequence[Emergence], *, page: Page = PAGE, title: str | None = None,
    images: bool = False, per_pixel: bool = False, outputs: Outputs = Outputs(),  # noqa: B008
) -> EmergenceFigure:  # fmt: skip
    """A map of each, over logSNR or, `per_pixel`, over logSNR per pixel at 256 px.

    Raises `NothingStored`, `UsageError` and, without matplotlib, `NcaError`.
    """
    drawable = _drawable(found, images, per_pixel)
    return EmergenceFigure(drawable, page, title, images, outputs, per_pixel)


def plot_learning(
    found: Sequence[Emergence], *, share: bool = False, page: Page = PAGE,
    title: str | None = None, images: bool = False, per_pixel: bool = False,
    outputs: Outputs = Outputs(),  # noqa: B008
) -> LearningFigure:  # fmt: skip
    """Learning curves of each, of the measure or its learned share G; `per_pixel` colours levels
    by logSNR per pixel at 256 px. Raises as `plot_emergence`."""
    drawable = _drawable(found, images, per_pixel)
    return LearningFigure(drawable, page, title, images, outputs, per_pixel, share)


def _drawable(found: Sequence[Emergence], images: bool, per_pixel: bool) -> tuple[Emergence, ...]:
    """Measure by measure, over images seen and at levels per pixel where these are wanted."""
    style.need_matplotlib()
    found = [trained_per_pixel(each) if per_pixel else each for each in found]
    placed = [each for each in found if any(map(math.isfinite, each.log_snr))]
    if not placed:
        raise NothingStored("no learning step at noise levels of known SNR",
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


def _panels(figure: TrainingFigure) -> tuple[Figure, list[Axes]]:
    """Empty panels on the page, with title and caption."""
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    page, em, width, lines = figure.page, figure.em, figure.width, figure.lines
    foot, height = figure.foot * em, figure.height
    engine = ConstrainedLayoutEngine(w_pad=0.03, h_pad=0.03,
                                     rect=(0, foot / height, 1, 1 - foot / height))  # fmt: skip
    made = Figure(figsize=(width, height), layout=engine)
    if figure.title:
        made.suptitle(figure.title, fontweight=600, x=0.01, ha="left")
    made.text(0.004, 0.2 * em / height, "\n".join(lines), color=style.FAINT, va="bottom",
              fontsize=style.SMALL * page.font_size, linespacing=1.2)  # fmt: skip
    places = range(1, len(figure.found) + 1)
    return made, [made.add_subplot(figure.rows, figure.columns, each) for each in places]
