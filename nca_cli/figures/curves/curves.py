"""From a store to curves, and from curves to a file."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nca_cli.analysis import Curve, Reference, Value, curves
from nca_cli.errors import NothingStored, UsageError
from nca_cli.figures.curves.charts import uneven
from nca_cli.figures.curves.drawing import Drawing, is_floor, known
from nca_cli.figures.curves.style import PAGE, Page, need_matplotlib, styled, with_font
from nca_cli.metrics import measure_store
from nca_cli.outputs import write_result
from nca_cli.store import Filters, Store

if TYPE_CHECKING:
    from matplotlib.figure import Figure

METRICS = ("psnr", "ssim")
SUFFIXES = (".pdf", ".svg", ".png")


@dataclass(frozen=True, eq=False)
class Plot:
    """Curves, a panel for each measure, drawn when they are saved."""

    curves: tuple[Curve, ...]
    page: Page = PAGE
    title: str | None = None
    references: tuple[Reference, ...] = ()
    """What the Gaussians are that are among the curves."""
    note: str = ""
    """Why not all curves may be compared, or nothing."""

    @property
    def measures(self) -> list[str]:
        """A panel for each."""
        return list(dict.fromkeys(curve.measure for curve in self.curves))

    def figure(self) -> Figure:
        """As a matplotlib figure, to be changed at will. Raises `NcaError` without matplotlib."""
        with styled(self.page):
            return self._drawing().figure()

    def save(self, path: str | Path) -> Path:
        """Write the figure; the suffix says whether as PDF, SVG or PNG. Raises `UsageError`."""
        path = Path(path)
        if path.suffix.lower() not in SUFFIXES:
            raise UsageError(f"{path}: curves are not written in this format",
                             f"one of: {', '.join(SUFFIXES)}")  # fmt: skip
        write_result(path, self._content(path.suffix.lower()[1:]))
        return path

    def _content(self, kind: str) -> bytes:
        with styled(self.page):
            figure, out = self._drawing().figure(), io.BytesIO()
            # no date: the same values are the same file
            stated = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}.get(kind, {})
            figure.savefig(out, format=kind, dpi=self.page.dpi, metadata=stated)
        return with_font(out.getvalue()) if kind == "svg" else out.getvalue()

    def _drawing(self) -> Drawing:
        return Drawing(self.curves, self.page, self.title, self.references)

    def _repr_png_(self) -> bytes:
        return self._content("png")


def plot_curves(
    store: Store, filters: Filters = Filters(), measures: Iterable[str] | None = None, *,  # noqa: B008
    references: bool = False, page: Page = PAGE, title: str | None = None,
    tick: Callable[[int], None] = lambda count: None,
) -> Plot:  # fmt: skip
    """Curves of what is stored: means over images with 95 % intervals, over logSNR.

    `measures` by name (default PSNR and SSIM); what is not kept of them is measured first.
    `references` adds x_t itself, the autoencoder's floor, and the Gaussians where there are images
    enough. Raises `NothingStored` and `UsageError`, and `NcaError` without matplotlib.
    """
    need_matplotlib()
    names = list(dict.fromkeys(measures or METRICS))
    measured = ("copy", "floor") if references else ()
    values = measure_store(store, filters, names, tick=tick, references=measured)
    found: tuple[Reference, ...] = ()
    if references:
        rows, found = _gaussians(store, filters, names)
        values = [*values, *rows]
    drawn = tuple(curve for curve in curves(values) if known(curve) or is_floor(curve))
    if not drawn:
        raise NothingStored(f"{store.root} holds no values at known noise levels",
                            "see what there is: nca ls")  # fmt: skip
    return Plot(drawn, page, title, found, uneven(values))


def _gaussians(
    store: Store, filters: Filters, names: Sequence[str]
) -> tuple[list[Value], tuple[Reference, ...]]:
    from nca_cli.analysis.references import references

    rows, found = references(store, filters)
    return [value for value in rows if value.measure in names], tuple(found)
