"""Half-levels on paper: a row for each band or concept, a mark for each model and sampler."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from nca_cli.analysis import HalfLevel, Turn
from nca_cli.errors import NothingStored
from nca_cli.figures.curves import style
from nca_cli.figures.curves.drawn import Drawn, PaperFigure
from nca_cli.figures.curves.foot import Foot, Legend, shortened, wide
from nca_cli.figures.curves.halves import HalfMark, HalfRows, Key, half_rows
from nca_cli.figures.curves.panel import AxisRange, Look, series_looks, stage_areas
from nca_cli.figures.curves.sides import Sides, advice, stages_stated
from nca_cli.figures.curves.style import PAGE, TALLEST, Page
from nca_cli.figures.curves.titles import noise_axis
from nca_cli.outputs import Outputs

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ROW, LANE, GAP = 0.9, 0.55, 1.4
"""Em: of a row, of each further series in it, and between groups."""
LONGEST = 18
"""Em of the name of a row."""
EDGES = {Turn.GONE: "<", Turn.LASTS: ">"}
"""Arrows at the edges: less noise is at the left."""


@dataclass(frozen=True, eq=False)
class HalfFigure(PaperFigure):
    """What is lost first, group by group."""

    groups: tuple[tuple[str, HalfRows], ...]
    """Name, and its rows."""
    titles: Mapping[str, str]
    """Of measures."""
    keys: tuple[Key, ...]
    page: Page = PAGE
    title: str | None = None
    outputs: Outputs = Outputs()  # noqa: RUF009
    sides: Sides = field(default_factory=dict)
    """Of its models."""
    per_pixel: bool = False
    """Whether the axis is logSNR per pixel at 256 px."""

    @property
    def note(self) -> str:
        """Why not all series may be compared, or nothing."""
        return advice(self.sides, self.per_pixel)

    @property
    def looks(self) -> dict[Key, Look]:
        """Of each series, as in all charts."""
        return dict(zip(self.keys, series_looks(self.keys), strict=True))

    @property
    def marks(self) -> list[HalfMark]:
        """All that are drawn."""
        return [mark for _, found in self.groups for _, marks in found.rows for mark in marks]

    @property
    def summary(self) -> dict[str, object]:
        return {"half_levels": len(self.marks)}

    @property
    def numbers(self) -> list[Drawn]:
        beyond = {Turn.GONE: math.inf, Turn.LASTS: -math.inf}
        return [
            Drawn(" · ".join(mark.key), mark.half.measure, mark.half.t, math.nan, math.nan,
                  beyond.get(mark.turn, found.value), found.low, found.high, found.n)
            for mark in self.marks for found in [mark.half.log_snr]
        ]  # fmt: skip

    @property
    def caption(self) -> str:
        """What marks and lines are."""
        counts = sorted({mark.half.log_snr.n for mark in self.marks})
        images = "one image" if counts == [1] else " to ".join(
            dict.fromkeys(map(str, (counts[0], counts[-1])))) + " images"  # fmt: skip
        beyond = {mark.turn for mark in self.marks}
        said = [f"Half is lost at the mark; {images}"]
        if any(map(_sure, self.marks)):
            said.append("lines: 95 % bootstrap intervals")
        if len(self.keys) > 1:
            said.append("series from top to bottom as in the legend")
        if Turn.LASTS in beyond:
            said.append("right edge: more than 50 % left at the last level")
        if Turn.GONE in beyond:
            said.append("left edge: lost before the first level")
        stages = stages_stated(self.sides, self.per_pixel)
        return ". ".join(filter(None, ("; ".join(said), stages))) + "."

    @cached_property
    def foot(self) -> Foot:
        """Legend and caption."""
        several = len({model for model, _ in self.keys}) > 1
        names = [" · ".join(key) if several else key[1] for key in self.keys]
        looks = [style.line_style(look, self.page) for look in self.looks.values()]
        return Foot(self.page, [Legend(list(zip(names, looks, strict=True)))], self.caption)

    @property
    def columns(self) -> list[list[tuple[str, HalfRows]]]:
        """The groups of each panel, from left to right: as many panels as asked for, else one."""
        count = min(len(self.groups), self.page.columns or 1)
        size = math.ceil(len(self.groups) / count)
        starts = range(0, len(self.groups), size)
        return [list(self.groups[start : start + size]) for start in starts]

    @property
    def lanes(self) -> float:
        """Em of a row."""
        return ROW + LANE * len(self.keys)

    @property
    def height(self) -> float:
        """In inches."""
        if self.page.height:
            return self.page.height / style.MM_PER_INCH
        em = max(self.lanes * sum(len(found.rows) for _, found in some) + GAP * len(some)
                 for some in self.columns)  # fmt: skip
        whole = (em + 4 + (2 if self.title else 0)) * self.foot.em + self.foot.height
        return min(whole, TALLEST / style.MM_PER_INCH)

    def drawn(self) -> Figure:
        from matplotlib.figure import Figure
        from matplotlib.layout_engine import ConstrainedLayoutEngine

        share = min(0.9, self.foot.height / self.height)
        engine = ConstrainedLayoutEngine(w_pad=0.03, h_pad=0.03, rect=(0, share, 1, 1 - share))
        made = Figure(figsize=(self.page.width / style.MM_PER_INCH, self.height), layout=engine)
        if self.title:
            made.suptitle(self.title, fontweight=600, x=0.01, ha="left")
        for number, groups in enumerate(self.columns, 1):
            self._draw(made.add_subplot(1, len(self.columns), number), groups)
        self.foot.draw(made)
        return made

    def _draw(self, axes: Axes, groups: Sequence[tuple[str, HalfRows]]) -> None:
        x = self.groups[0][1].x
        y, ticks = 0.0, []
        if len(groups) == 1:
            axes.set_title(groups[0][0], fontweight=600, loc="left", pad=1.5 * self.page.font_size)
        for name, found in groups:
            if len(groups) > 1:
                axes.text(x.high, y + 0.2, name, fontweight=600, va="center", ha="left")
                y += GAP
            for measure, marks in found.rows:
                self._draw_marks(axes, marks, y)
                title = shortened(self.titles.get(measure, measure), LONGEST)
                ticks.append((y + LANE * (len(self.keys) - 1) / 2, title))
                y += self.lanes
        axes.set_xlim(x.high, x.low)
        axes.set_ylim(y, -0.6)
        room = self.page.width / style.MM_PER_INCH / len(self.columns) / self.foot.em
        room -= max(wide(title) for _, title in ticks) + 1
        self._draw_stages(axes, x, room)
        axes.set_yticks([at for at, _ in ticks], [title for _, title in ticks])
        axes.tick_params(left=False)
        axes.spines["left"].set_visible(False)
        axes.set_xlabel(noise_axis(self.per_pixel, narrow=room < wide(noise_axis(True))))

    def _draw_stages(self, axes: Axes, x: AxisRange, room: float) -> None:
        """P2's stages as shades, named above them where there is room, in em of the whole axis."""
        for area in stage_areas(x):
            axes.axvspan(area.left, area.right, color=style.SHADES[area.name], linewidth=0,
                         zorder=0)  # fmt: skip
            if (area.left - area.right) / x.width * room > style.SMALL * wide(area.name) + 0.6:
                axes.text((area.left + area.right) / 2, 1.01, area.name, color=style.FAINT,
                          ha="center", va="bottom", transform=axes.get_xaxis_transform(),
                          fontsize=style.SMALL * self.page.font_size)  # fmt: skip

    def _draw_marks(self, axes: Axes, marks: Sequence[HalfMark], top: float) -> None:
        for mark in marks:
            y = top + LANE * self.keys.index(mark.key)
            look = style.line_style(self.looks[mark.key], self.page)
            if mark.turn in EDGES:
                look |= {"marker": EDGES[mark.turn], "clip_on": False}
            elif _sure(mark):
                axes.plot([mark.high, mark.low], [y, y], **look | {"marker": ""}, zorder=2)
                self._draw_arrows(axes, mark, y, look["color"])
            axes.plot([mark.at], [y], **look | {"linestyle": ""}, zorder=3)

    def _draw_arrows(self, axes: Axes, mark: HalfMark, y: float, colour: str) -> None:
        """Where an interval reaches beyond the axis."""
        for end, arrow, reaches in zip((mark.high, mark.low), EDGES.values(), mark.open,
                                       strict=True):  # fmt: skip
            if reaches:
                axes.plot([end], [y], marker=arrow, color=colour, clip_on=False,
                          markersize=0.3 * self.page.font_size, zorder=2)  # fmt: skip


def _sure(mark: HalfMark) -> bool:
    """Whether it has an interval, be it open."""
    return not math.isnan(mark.half.log_snr.low)


def half_figure(
    groups: Mapping[str, Sequence[HalfLevel]], levels: Iterable[float],
    titles: Mapping[str, str], *, sides: Sides = {}, per_pixel: bool = False,  # noqa: B006
    page: Page = PAGE, title: str | None = None, outputs: Outputs = Outputs(),  # noqa: B008
) -> HalfFigure:  # fmt: skip
    """Half-levels by the name of their group, over an axis of the measured `levels` (logSNR).

    Raises `NothingStored` where none is known, and `NcaError` without matplotlib.
    """
    style.need_matplotlib()
    every, span = [half for some in groups.values() for half in some], list(levels)
    keys = tuple(dict.fromkeys((half.model, half.sampler) for half in every))
    made = ((name, half_rows(some, keys, span)) for name, some in groups.items())
    found = tuple((name, rows) for name, rows in made if rows)
    if not found:
        raise NothingStored("half-levels need two or more noise levels of known SNR")
    return HalfFigure(found, dict(titles), keys, page, title, outputs, sides, per_pixel)
