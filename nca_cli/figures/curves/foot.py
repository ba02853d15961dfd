"""What stands below panels on paper: legends, and the caption under them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from nca_cli.figures.curves import style
from nca_cli.figures.curves.style import Page
from nca_cli.figures.type import text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

HANDLE, BETWEEN = 3.4, 1.6
"""Em: of a line in a legend with the space after it, and between columns."""
PITCH = 1.35
"""Em from line to line of a legend."""
FINE = 100
"""Pixels per em at which words are measured."""

Entry = tuple[str, Mapping[str, Any]]
"""A name, and what matplotlib draws its line by."""


def shortened(name: str, room: float) -> str:
    """A name that is no wider than so many em; what is too long ends in "…"."""
    return "".join(span.text for span in text.fit(text.words(name), FINE, room * FINE))


def wide(name: str) -> float:
    """Width of a name, in em."""
    return text.width(text.words(name), FINE) / FINE


@dataclass(frozen=True)
class Foot:
    """Legends, each of its own lines, and a caption, as wide as the page."""

    page: Page
    legends: Sequence[Sequence[Entry]]
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
        rows = sum(math.ceil(len(some) / self._columns(some)) for some in self.legends)
        return (rows * PITCH + 0.3 * len(self.legends) + self._caption_height) * self.em

    def _columns(self, entries: Sequence[Entry]) -> int:
        widest = max((wide(name) for name, _ in entries), default=0) + HANDLE + BETWEEN
        return max(1, min(len(entries), int((self._room + BETWEEN) / widest)))

    def draw(self, made: Figure) -> None:
        """At the bottom of a figure."""
        em = self.em / made.get_figheight()
        made.text(0.004, 0.2 * em, "\n".join(self.lines), color=style.FAINT, va="bottom",
                  fontsize=style.SMALL * self.page.font_size, linespacing=1.2)  # fmt: skip
        bottom = self._caption_height
        for entries in reversed(self.legends):
            columns = self._columns(entries)
            self._draw_legend(made, entries, columns, bottom * em)
            bottom += math.ceil(len(entries) / columns) * PITCH + 0.3

    def _draw_legend(
        self, made: Figure, entries: Sequence[Entry], columns: int, bottom: float
    ) -> None:
        from matplotlib.lines import Line2D

        legend = made.legend(
            [Line2D([], [], **look) for _, look in entries],
            [shortened(name, self._room - HANDLE) for name, _ in entries], loc="lower left",
            ncols=columns, bbox_to_anchor=(0.0, bottom), borderpad=0, borderaxespad=0.3,
            handlelength=2.6, columnspacing=BETWEEN, labelspacing=0.3,
        )  # fmt: skip
        legend.set_in_layout(False)
