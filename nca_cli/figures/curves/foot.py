"""What stands below panels on paper: legends, and the caption under them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from nca_cli.figures.curves import style
from nca_cli.figures.curves.style import Page
from nca_cli.figures.curves.titles import FINE
from nca_cli.figures.type import text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

HANDLE, BETWEEN = 3.4, 1.6
"""Em: of a line in a legend with the space after it, and between columns."""
PITCH = 1.35
"""Em from line to line of a legend."""
Entry = tuple[str, Mapping[str, Any]]
"""A name, and what matplotlib draws its line by."""


def shortened(name: str, room: float) -> str:
    """A name that is no wider than so many em; what is too long ends in "…"."""
    return "".join(span.text for span in text.fit(text.words(name), FINE, room * FINE))


def wide(name: str) -> float:
    """Width of a name, in em."""
    return text.width(text.words(name), FINE) / FINE


class Legend(NamedTuple):
    """Entries, and what they have in common, above them."""

    entries: Sequence[Entry]
    title: str = ""


@dataclass(frozen=True)
class Foot:
    """Legends, each in lines of its own, and a caption, as wide as the page."""

    page: Page
    legends: Sequence[Legend]
    caption: str = ""

    @property
    def em(self) -> float:
        """In inches."""
        return self.page.font_size / style.POINTS_PER_INCH

    @property
    def _room(self) -> float:
        """Of a line, in em."""
        return self.page.width / style.MM_PER_INCH / self.em - 0.6

    @cached_property
    def lines(self) -> list[str]:
        """Of the caption."""
        wrapped = text.wrap(text.words(self.caption), FINE, self._room / style.SMALL * FINE)
        return ["".join(span.text for span in line) for line in wrapped if self.caption]

    @property
    def _caption_height(self) -> float:
        return 1.25 * style.SMALL * len(self.lines) + 0.4

    @property
    def height(self) -> float:
        """In inches."""
        return (sum(map(self._tall, self.legends)) + self._caption_height) * self.em

    def _columns(self, legend: Legend) -> int:
        widest = max((wide(name) for name, _ in legend.entries), default=0) + HANDLE + BETWEEN
        return max(1, min(len(legend.entries), int((self._room + BETWEEN) / widest)))

    def _tall(self, legend: Legend) -> float:
        """Height of a legend, in em."""
        rows = math.ceil(len(legend.entries) / self._columns(legend)) + bool(legend.title)
        return rows * PITCH + 0.3

    def draw(self, made: Figure) -> None:
        """At the bottom of a figure."""
        em = self.em / made.get_figheight()
        made.text(0.004, 0.2 * em, "\n".join(self.lines), color=style.FAINT, va="bottom",
                  fontsize=style.SMALL * self.page.font_size, linespacing=1.2)  # fmt: skip
        bottom = self._caption_height + sum(map(self._tall, self.legends))
        for legend in self.legends:
            bottom -= self._tall(legend)
            self._draw_legend(made, legend, bottom * em)

    def _draw_legend(self, made: Figure, legend: Legend, bottom: float) -> None:
        from matplotlib.lines import Line2D

        drawn = made.legend(
            [Line2D([], [], **look) for _, look in legend.entries],
            [shortened(name, self._room - HANDLE) for name, _ in legend.entries],
            title=legend.title or None, alignment="left", title_fontsize=self.page.font_size,
            loc="lower left", ncols=self._columns(legend), bbox_to_anchor=(0.0, bottom),
            borderpad=0, borderaxespad=0.3, handlelength=2.6, columnspacing=BETWEEN,
            labelspacing=0.3,
        )  # fmt: skip
        drawn.set_in_layout(False)
