"""From a store to panels, and from panels to a file."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nca_cli.analysis import REFERENCE, Curve, Reference, Value, curves
from nca_cli.errors import NothingStored, UsageError
from nca_cli.figures.curves.comparable import uneven
from nca_cli.figures.curves.looks import Look, Stroke, series_looks
from nca_cli.figures.curves.panel import (
    AxisRange,
    Panel,
    Rule,
    Trace,
    areas,
    drawable,
    ends,
    every_point,
    widened,
)
from nca_cli.figures.curves.paper import Drawing, figure
from nca_cli.figures.curves.style import PAGE, Page, need_matplotlib, styled, with_font
from nca_cli.figures.curves.titles import fitted, reference_title
from nca_cli.figures.type.fonts import drawable as printable
from nca_cli.metrics import measure_store
from nca_cli.outputs import write_result
from nca_cli.store import Filters, Store

if TYPE_CHECKING:
    from matplotlib.figure import Figure

METRICS = ("psnr", "ssim")
SUFFIXES = (".pdf", ".svg", ".png")
MARGIN = 0.05
"""Room around what is drawn, as a share of it: matplotlib's own."""


@dataclass(frozen=True)
class PlotRequest:
    """What is to be drawn of a store, and on which page."""

    filters: Filters = Filters()  # noqa: RUF009
    measures: tuple[str, ...] = METRICS
    """A panel for each."""
    references: bool = False
    """Whether to add x_t itself, the autoencoder's floor, and the Gaussians that were fitted."""
    page: Page = PAGE
    title: str | None = None


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

    @property
    def drawing(self) -> Drawing:
        """The panels and the legend, as values."""
        entries = legend(self.curves, self.references)
        panels = tuple(_panel(measure, entries) for measure in self.measures)
        return Drawing(panels, tuple(entries), self.page, self.title)

    def figure(self) -> Figure:
        """As a matplotlib figure, to be changed at will. Raises `NcaError` without matplotlib."""
        with styled(self.page):
            return figure(self.drawing)

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
            made, out = figure(self.drawing), io.BytesIO()
            # no date: the same values are the same file
            stated = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}.get(kind, {})
            made.savefig(out, format=kind, dpi=self.page.dpi, metadata=stated)
        return with_font(out.getvalue()) if kind == "svg" else out.getvalue()

    def _repr_png_(self) -> bytes:
        return self._content("png")


def plot_curves(
    store: Store, filters: Filters = Filters(), measures: Iterable[str] | None = None, *,  # noqa: B008
    references: bool = False, page: Page = PAGE, title: str | None = None,
    tick: Callable[[int], None] = lambda count: None,
) -> Plot:  # fmt: skip
    """Curves of what is stored: means over images with 95 % intervals, over logSNR.

    `measures` by name (default PSNR and SSIM); what is not kept of them is measured first.
    The rest is as in `PlotRequest` and `plot`.
    """
    names = tuple(dict.fromkeys(measures or METRICS))
    return plot(store, PlotRequest(filters, names, references, page, title), tick)


def plot(
    store: Store, request: PlotRequest, tick: Callable[[int], None] = lambda count: None
) -> Plot:
    """The curves that a request asks for; `tick` is told of each sample that is measured.

    Raises `NothingStored` and `UsageError`, and `NcaError` without matplotlib.
    """
    need_matplotlib()
    names, filters = list(request.measures), request.filters
    measured = ("copy", "floor") if request.references else ()
    values = measure_store(store, filters, names, tick=tick, references=measured)
    found: tuple[Reference, ...] = ()
    if request.references:
        rows, found = _gaussians(store, filters, names)
        values = [*values, *rows]
    drawn = tuple(curve for curve in curves(values) if drawable(curve) or is_floor(curve))
    if not drawn:
        raise NothingStored(f"{store.root} holds no values at known noise levels",
                            "see what there is: nca ls")  # fmt: skip
    return Plot(drawn, request.page, request.title, found, uneven(values))


def _gaussians(
    store: Store, filters: Filters, names: Sequence[str]
) -> tuple[list[Value], tuple[Reference, ...]]:
    from nca_cli.analysis.references import references

    rows, found = references(store, filters)
    return [value for value in rows if value.measure in names], tuple(found)


# --- panels -------------------------------------------------------------------------------------


def is_floor(curve: Curve) -> bool:
    """Whether it is what an autoencoder alone reaches, drawn as a horizontal line."""
    return curve.sampler == f"{REFERENCE}floor" and any(math.isfinite(p.mean) for p in curve.points)


def legend(drawn: Sequence[Curve], references: Sequence[Reference]) -> list[Trace]:
    """An entry for each (model, sampler); references are grey."""
    groups: dict[tuple[str, str], dict[str, Curve]] = {}
    for curve in drawn:
        groups.setdefault((curve.model, curve.sampler), {})[curve.measure] = curve
    own = [name for name in groups if not name[1].startswith(REFERENCE)]
    looks = dict(zip(own, series_looks(own), strict=True))
    for number, name in enumerate(name for name in groups if name not in looks):
        looks[name] = Look(Stroke.REFERENCE, number)
    several = len({model for model, _ in groups}) > 1
    return [
        Trace(index, _name(name, references, several), looks[name], found, name not in own)
        for index, (name, found) in enumerate(groups.items())
    ]


def _name(key: tuple[str, str], references: Sequence[Reference], several: bool) -> str:
    model, sampler = key
    shown = printable(sampler)
    if sampler.startswith(REFERENCE):
        shown = reference_title(sampler, fitted(references, model, sampler))
    return f"{model} · {shown}" if several else shown


def _panel(measure: str, entries: Sequence[Trace]) -> Panel:
    """On paper nothing is cut: both axes span all that is drawn, and x that of all panels."""
    levels = [point.log_snr for point in every_point(entries)] or [0.0]
    drawn = tuple(entry for entry in entries if measure in entry.curves)
    rules = tuple(_rules(measure, drawn))
    x = widened(min(levels), max(levels), MARGIN, least=1.0)
    return Panel(measure, drawn, x, _whole(measure, drawn, rules), areas(entries), rules)


def _rules(measure: str, drawn: Iterable[Trace]) -> Iterable[Rule]:
    for entry in drawn:
        curve = entry.curves[measure]
        if is_floor(curve):
            value = next(p.mean for p in curve.points if math.isfinite(p.mean))
            yield Rule(entry.name, value, entry.index)


def _whole(measure: str, drawn: Sequence[Trace], rules: Iterable[Rule]) -> AxisRange:
    """Of every mean, of the intervals of networks, and of rules that do not lie in their room."""
    values = [
        value
        for entry in drawn
        for point in entry.points(measure)
        for value in (point.mean, *(() if entry.reference else ends(point)))
    ]
    last = max((entry.index for entry in drawn if entry.points(measure)), default=-1)
    for rule in rules:  # matplotlib looks again at what lies in the room when a line follows
        inside = values and rule.index > last and _roomy(values).holds(rule.value)
        values += [] if inside else [rule.value]
    return _roomy(values)


def _roomy(values: Sequence[float]) -> AxisRange:
    low, high = min(values), max(values)
    if low == high:  # as matplotlib opens an axis of one value
        low, high = low - MARGIN * (abs(low) or 1.0), high + MARGIN * (abs(high) or 1.0)
    return widened(low, high, MARGIN)
