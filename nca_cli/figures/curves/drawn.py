"""Figures on paper: drawn by matplotlib when they are saved, as PDF, SVG or PNG."""

from __future__ import annotations

import io
from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from nca_cli.csv_files import as_csv
from nca_cli.errors import UsageError
from nca_cli.figures.curves import style
from nca_cli.figures.curves.style import Page
from nca_cli.outputs import Outputs

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SUFFIXES = (".pdf", ".svg", ".png")


class Drawn(NamedTuple):
    """A number of a figure; the field names are the columns of its table. What does not apply is
    NaN, an empty cell."""

    series: str
    measure: str
    t: float
    log_snr: float
    """Of the level, as the axis has it; of half-levels none, since they are one."""
    step: float
    """Of a training, or images seen where the axis counts those."""
    value: float
    """Mean over images, or a half-level: logSNR at which half is lost, infinite where that is
    beyond the measured levels."""
    low: float
    high: float
    """95 % interval."""
    n: int
    """Images."""


class PaperFigure(ABC):
    """Whatever matplotlib draws on a page."""

    page: Page
    outputs: Outputs
    """What it may be written over."""

    @abstractmethod
    def drawn(self) -> Figure:
        """The figure, where matplotlib is set as the page wants it."""

    @property
    @abstractmethod
    def numbers(self) -> list[Drawn]:
        """What is drawn."""

    @property
    @abstractmethod
    def summary(self) -> dict[str, object]:
        """What a program is told of it."""

    @property
    def table(self) -> bytes:
        """`numbers` as CSV."""
        return as_csv(Drawn._fields, self.numbers).encode()

    def save_numbers(self, path: str | Path) -> Path:
        """Write `table`. Raises `UsageError`."""
        self.outputs.write(Path(path), self.table)
        return Path(path)

    def figure(self) -> Figure:
        """As a matplotlib figure, to be changed at will. Raises `NcaError` without matplotlib."""
        with style.styled(self.page):
            return self.drawn()

    def save(self, path: str | Path) -> Path:
        """Write the figure; the suffix says whether as PDF, SVG or PNG. Raises `UsageError`."""
        path = Path(path)
        if path.suffix.lower() not in SUFFIXES:
            raise UsageError(f"{path}: curves cannot be saved in this format",
                             f"one of: {', '.join(SUFFIXES)}")  # fmt: skip
        self.outputs.write(path, self._content(path.suffix.lower()[1:]))
        return path

    def _content(self, kind: str) -> bytes:
        with style.styled(self.page):
            made, out = self.drawn(), io.BytesIO()
            # no date: the same values are the same file
            stated = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}.get(kind, {})
            made.savefig(out, format=kind, dpi=self.page.dpi, metadata=stated)
        return style.with_font(out.getvalue()) if kind == "svg" else out.getvalue()

    def _repr_png_(self) -> bytes:
        return self._content("png")
