"""Measures over noise levels as a figure for a paper: matplotlib draws, and nothing else here does.

Millimetres and points are those of the page, type is text in PDF and SVG, colours and markers are
those of the report. matplotlib is an extra: pip install 'nca-cli[figures]'.
"""

from __future__ import annotations

import base64
import importlib.util
import io
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nca_cli.analysis import CLEAN_UP, COARSE, REFERENCE, Curve, Point, Value, curves
from nca_cli.errors import NcaError, NothingStored, UsageError
from nca_cli.grid.text import FILES, FONTS, drawable
from nca_cli.measures import measure_store
from nca_cli.metrics import described
from nca_cli.results import write_result
from nca_cli.store import Filters, Store

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MEASURES = ("psnr", "ssim")
SUFFIXES = (".pdf", ".svg", ".png")
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#b8609a", "#c98a00", "#3a9ad9", "#55585f")
"""Okabe and Ito's, told apart by the colour-blind; darkened where they are thin on white."""
MARKERS = ("o", "s", "^", "D", "v", "P", "p")
DASHES: tuple[Any, ...] = ("-", (0, (4, 2)), (0, (1.2, 1.4)), (0, (5, 1.6, 1.2, 1.6)))
REFERENCE_DASHES: tuple[Any, ...] = (
    *DASHES[1:], (0, (9, 2)), "-", (0, (5, 1.4, 1.2, 1.4, 1.2, 1.4)), (0, (2.5, 1)),
)  # fmt: skip
GREY, INK, FAINT = "#8a8d93", "#1f1f1f", "#666666"
STAGES = (
    ("clean-up", math.log(CLEAN_UP), math.inf, "#ffffff"),
    ("content", math.log(COARSE), math.log(CLEAN_UP), "#f3f3f5"),
    ("coarse", -math.inf, math.log(COARSE), "#e6e6ea"),
)
"""P2's stages (Choi et al., 2204.00227): logSNR from and to, and their shade."""
MOST_AREAS = 3
"""Intervals of so many series are areas; those of more would cover one another and are bars."""
MM_PER_INCH, POINTS_PER_INCH = 25.4, 72.0
FAMILY, MATHS = "Source Sans Pro", "Source Serif Pro"
SMALL = 0.86
"""Size of the names of stages and of t, in em."""


@dataclass(frozen=True)
class Page:
    """Size of the figure in millimetres and of its type in points."""

    width: float = 174
    height: float | None = None
    """By default each panel is a little wider than high."""
    font_size: float = 8
    dpi: float = 300

    def __post_init__(self) -> None:
        for what, value, low, high in (
            ("--width", self.width, 30, 1000), ("--height", self.height, 20, 1000),
            ("--font-size", self.font_size, 3, 72), ("--dpi", self.dpi, 36, 2400),
        ):  # fmt: skip
            if value is not None and not low <= value <= high:
                raise UsageError(f"{what} {value:g}", f"from {low} to {high}")


@dataclass(frozen=True)
class Look:
    """How a series is told from the others: by colour, and without colour."""

    colour: str
    marker: str
    dash: Any
    hollow: bool = False


@dataclass(frozen=True, eq=False)
class Plot:
    """Curves, a panel for each measure, drawn when they are saved."""

    curves: tuple[Curve, ...]
    page: Page = Page()
    title: str | None = None

    @property
    def measures(self) -> list[str]:
        """A panel for each."""
        return list(dict.fromkeys(curve.measure for curve in self.curves))

    def figure(self) -> Figure:
        """As a matplotlib figure, to be changed at will. Raises `NcaError` without matplotlib."""
        with styled(self.page):
            return _Drawing(self).figure()

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
            figure, out = _Drawing(self).figure(), io.BytesIO()
            # no date: the same values are the same file
            stated = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}.get(kind, {})
            figure.savefig(out, format=kind, dpi=self.page.dpi, metadata=stated)
        return _with_font(out.getvalue()) if kind == "svg" else out.getvalue()

    def _repr_png_(self) -> bytes:
        return self._content("png")


def plot_curves(
    store: Store, filters: Filters = Filters(), measures: Iterable[str] | None = None, *,  # noqa: B008
    references: bool = False, page: Page = Page(), title: str | None = None,
    tick: Callable[[int], None] = lambda count: None,
) -> Plot:  # fmt: skip
    """Curves of what is stored: means over images with 95 % intervals, over logSNR.

    `measures` by name (default PSNR and SSIM); what is not kept of them is measured first.
    `references` adds x_t itself, the autoencoder's floor, and the Gaussians where there are images
    enough. Raises `NothingStored` and `UsageError`, and `NcaError` without matplotlib.
    """
    need_matplotlib()
    names = list(dict.fromkeys(measures or MEASURES))
    measured = ("copy", "floor") if references else ()
    values = measure_store(store, filters, names, tick=tick, references=measured)
    if references:
        values = [*values, *_gaussians(store, filters, names)]
    drawn = tuple(curve for curve in curves(values) if _points(curve) or _is_floor(curve))
    if not drawn:
        raise NothingStored(f"{store.root} holds no values at known noise levels",
                            "see what there is: nca ls")  # fmt: skip
    return Plot(drawn, page, title)


def _gaussians(store: Store, filters: Filters, names: Sequence[str]) -> list[Value]:
    from nca_cli.analysis.references import references

    return [value for value in references(store, filters)[0] if value.measure in names]


def need_matplotlib() -> None:
    """Raises `NcaError` that says how to get it."""
    if importlib.util.find_spec("matplotlib") is None:
        raise NcaError("curves are drawn by matplotlib, which is not installed",
                       "pip install 'nca-cli[figures]'")  # fmt: skip


def _points(curve: Curve) -> list[Point]:
    """The points that have a place in a plot, from the cleanest level to the noisiest."""
    found = [p for p in curve.points if math.isfinite(p.log_snr) and math.isfinite(p.mean)]
    return sorted(found, key=lambda point: -point.log_snr)


def _is_floor(curve: Curve) -> bool:
    return curve.sampler == f"{REFERENCE}floor" and any(math.isfinite(p.mean) for p in curve.points)


# -- style -----------------------------------------------------------------------------------------


def styled(page: Page) -> Any:
    """A context of matplotlib settings: our font, text as text, thin calm lines."""
    need_matplotlib()
    import matplotlib
    from matplotlib import font_manager

    for file in FILES.values():
        font_manager.fontManager.addfont(FONTS / file)
    small = SMALL * page.font_size
    return matplotlib.rc_context({
        "font.family": FAMILY, "font.size": page.font_size, "axes.labelsize": page.font_size,
        "axes.titlesize": page.font_size, "legend.fontsize": page.font_size,
        "xtick.labelsize": small, "ytick.labelsize": small, "pdf.fonttype": 42,
        "svg.fonttype": "none", "svg.hashsalt": "nca", "axes.linewidth": 0.5,
        "xtick.major.width": 0.5, "ytick.major.width": 0.5, "xtick.major.size": 2.5,
        "ytick.major.size": 2.5, "axes.edgecolor": FAINT, "xtick.color": FAINT,
        "ytick.color": FAINT, "axes.labelcolor": INK, "text.color": INK,
        "axes.spines.right": False, "axes.unicode_minus": True, "legend.frameon": False,
        "text.parse_math": False,  # a prompt may hold dollars
    })  # fmt: skip


def looks(names: Sequence[tuple[str, str]]) -> dict[tuple[str, str], Look]:
    """(model, sampler) → look: colour and marker tell samplers, dash and filling models; or all
    tell the series. References are grey."""
    own = [name for name in names if not name[1].startswith(REFERENCE)]
    models = list(dict.fromkeys(model for model, _ in own))
    samplers = list(dict.fromkeys(sampler for _, sampler in own))
    crossed = len(models) <= len(DASHES) and 1 < len(samplers) <= len(COLOURS)
    found = {}
    for number, (model, sampler) in enumerate(own):
        kind, variant = (
            (samplers.index(sampler), models.index(model))
            if crossed
            else (number, number // len(COLOURS))
        )
        found[model, sampler] = _look(kind, variant)
    for number, name in enumerate(name for name in names if name not in found):
        found[name] = Look(GREY, "", REFERENCE_DASHES[number % len(REFERENCE_DASHES)])
    return found


def _look(kind: int, variant: int) -> Look:
    return Look(
        COLOURS[kind % len(COLOURS)], MARKERS[kind % len(MARKERS)], DASHES[variant % len(DASHES)],
        hollow=bool(variant % 2),
    )  # fmt: skip


def _with_font(svg: bytes) -> bytes:
    """The SVG with the font inside, cut down to the characters that it may need."""
    from nca_cli.grid.vector import subset

    letters = "".join(sorted({chr(c) for c in range(32, 127)} | set(svg.decode())))
    rules = "".join(
        f"@font-face{{font-family:'{family}';{style};src:url(data:font/woff;base64,"
        f"{base64.b64encode(subset(face, characters)).decode()}) format('woff')}}"
        for face, family, style, characters in (
            ("text", FAMILY, "font-weight:400", letters),
            ("bold", FAMILY, "font-weight:600", letters),
            ("math", MATHS, "font-style:italic", "t"),
        )
    )
    return svg.replace(b"</svg>", f"<style>{rules}</style></svg>".encode())


# -- drawing ---------------------------------------------------------------------------------------


class _Drawing:
    def __init__(self, plot: Plot):
        self.plot, self.page = plot, plot.page
        self.looks = looks(list(dict.fromkeys((c.model, c.sampler) for c in plot.curves)))
        own = {name for name in self.looks if not name[1].startswith(REFERENCE)}
        self.areas = len(own) <= MOST_AREAS
        found = [p.log_snr for curve in plot.curves for p in _points(curve)] or [0.0]
        room = 0.05 * (max(found) - min(found)) or 1.0
        self.low, self.high = min(found) - room, max(found) + room

    def figure(self) -> Figure:
        from matplotlib.figure import Figure
        from matplotlib.layout_engine import ConstrainedLayoutEngine

        measures = self.plot.measures
        columns = min(len(measures), max(1, round(self.page.width / 80)))
        rows = math.ceil(len(measures) / columns)
        width = self.page.width / MM_PER_INCH
        em = self.page.font_size / POINTS_PER_INCH
        legend = self._legend_rows(width / em) * 1.35 * em + 1.6 * em
        height = (self.page.height or 0) / MM_PER_INCH or rows * 0.74 * width / columns + legend
        share = legend / height
        engine = ConstrainedLayoutEngine(w_pad=0.03, h_pad=0.03, rect=(0, share, 1, 1 - share))
        figure = Figure(figsize=(width, height), layout=engine)
        for number, measure in enumerate(measures, 1):
            self._panel(figure.add_subplot(rows, columns, number), measure)
        if self.plot.title:
            figure.suptitle(self.plot.title, fontweight=600, x=0.01, ha="left")
        self._legend(figure)
        figure.text(0.004, 0.3 * em / height, self._note(), color=FAINT, va="bottom",
                    fontsize=SMALL * self.page.font_size)  # fmt: skip
        return figure

    # -- below the panels ------------------------------------------------------------------------

    def _names(self) -> list[str]:
        models = {model for model, _ in self.looks}
        return [_series(model, sampler, len(models) > 1) for model, sampler in self.looks]

    def _legend_columns(self, ems: float) -> int:
        widest = max(len(name) for name in self._names()) * 0.5 + 4.5
        return max(1, min(len(self.looks), int(ems / widest)))

    def _legend_rows(self, ems: float) -> int:
        return math.ceil(len(self.looks) / self._legend_columns(ems))

    def _legend(self, figure: Figure) -> None:
        from matplotlib.lines import Line2D

        ems = self.page.width / MM_PER_INCH * POINTS_PER_INCH / self.page.font_size
        handles = [Line2D([], [], **self._line(look)) for look in self.looks.values()]
        figure.legend(
            handles, self._names(), loc="lower left", ncols=self._legend_columns(ems),
            bbox_to_anchor=(0.0, 1.35 * self.page.font_size / POINTS_PER_INCH
                            / figure.get_figheight()),
            borderpad=0, borderaxespad=0.3, handlelength=2.6, columnspacing=1.6, labelspacing=0.3,
        )  # fmt: skip

    def _note(self) -> str:
        """What a point is the mean of, and what the intervals are, or why there are none."""
        points = [p for curve in self.plot.curves if not curve.sampler.startswith(REFERENCE)
                  for p in _points(curve)]  # fmt: skip
        counts = sorted({p.images for p in points}) or [0]
        images = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
        text = f"Means over {images} images" if counts[-1] != 1 else "One image"
        if any(math.isfinite(p.low) for p in points):
            return f"{text}; {'areas' if self.areas else 'bars'}: 95 % bootstrap intervals."
        return f"{text}; too few for intervals." if points else ""

    # -- a panel ---------------------------------------------------------------------------------

    def _panel(self, axes: Axes, measure: str) -> None:
        for curve in self.plot.curves:
            if curve.measure == measure:
                self._curve(axes, curve)
        axes.set_xlim(self.high, self.low)
        self._stages(axes)
        axes.set_xlabel("log SNR")
        axes.set_ylabel(_title(measure))
        axes.tick_params(top=False)
        low, high = axes.get_ylim()
        axes.set_ylim(low, high + 0.07 * (high - low))  # room for the names of the stages
        self._levels(axes)

    def _curve(self, axes: Axes, curve: Curve) -> None:
        look, points = self.looks[curve.model, curve.sampler], _points(curve)
        if _is_floor(curve):
            axes.axhline(next(p.mean for p in curve.points if math.isfinite(p.mean)),
                         color=GREY, linewidth=0.8, linestyle=look.dash)  # fmt: skip
            return
        x, y = [p.log_snr for p in points], [p.mean for p in points]
        axes.plot(x, y, **self._line(look), zorder=3)
        known = [p for p in points if math.isfinite(p.low) and math.isfinite(p.high)]
        if not known or curve.sampler.startswith(REFERENCE):
            return
        at, low, high = zip(*((p.log_snr, p.low, p.high) for p in known), strict=True)
        if self.areas:
            axes.fill_between(at, low, high, color=look.colour, alpha=0.16, linewidth=0, zorder=2)
        else:
            aside = self._aside(curve)
            axes.vlines([x + aside for x in at], low, high, color=look.colour, linewidth=0.7,
                        alpha=0.7, zorder=2)  # fmt: skip

    def _aside(self, curve: Curve) -> float:
        """How far the bars of a series stand from its points, so that all are seen."""
        names = [name for name in self.looks if not name[1].startswith(REFERENCE)]
        place = names.index((curve.model, curve.sampler)) - (len(names) - 1) / 2
        return -0.006 * (self.high - self.low) * place

    def _line(self, look: Look) -> dict[str, Any]:
        return {
            "color": look.colour, "linestyle": look.dash, "linewidth": 1.1,
            "marker": look.marker, "markersize": 0.42 * self.page.font_size,
            "markeredgewidth": 0.8, "markerfacecolor": "white" if look.hollow else look.colour,
        }  # fmt: skip

    def _stages(self, axes: Axes) -> None:
        """P2's stages as shades, their names at the top where there is room."""
        span = self.high - self.low
        for name, low, high, shade in STAGES:
            left, right = min(high, self.high), max(low, self.low)
            if left > right:
                axes.axvspan(left, right, color=shade, linewidth=0, zorder=0)
                if left - right > 0.16 * span:
                    axes.text((left + right) / 2, 0.985, name, color=FAINT, ha="center", va="top",
                              fontsize=SMALL * self.page.font_size,
                              transform=axes.get_xaxis_transform())  # fmt: skip

    def _levels(self, axes: Axes) -> None:
        """t at the top, where all models agree on it: round ones first, as many as have room."""
        levels = {p.t: p.log_snr for curve in self.plot.curves for p in _points(curve)}
        if any(levels[p.t] != p.log_snr for c in self.plot.curves for p in _points(c)):
            return
        kept: list[float] = []
        for t in sorted(levels, key=_roundness):
            if all(
                abs(levels[t] - levels[other]) > 0.09 * (self.high - self.low) for other in kept
            ):
                kept.append(t)
        above = axes.secondary_xaxis("top")
        above.set_xticks([levels[t] for t in kept], [f"{t:g}" for t in kept])
        above.set_xlabel("t", labelpad=2, color=FAINT, family=MATHS, style="italic")


def _roundness(t: float) -> tuple[int, float]:
    """Smaller for rounder numbers: hundreds, fifties, tens, then all others."""
    return next((rank for rank, unit in enumerate((100, 50, 10)) if t % unit == 0), 3), t


def _series(model: str, sampler: str, several: bool) -> str:
    name = drawable(sampler.removeprefix(REFERENCE))
    shown = {"copy": "noisy image itself", "floor": "autoencoder alone"}.get(name, name)
    return f"{model} · {shown}" if several else shown


def _title(measure: str) -> str:
    known, part = described(measure), measure.partition("/")[2]
    if known is None:
        return measure
    title = f"{known.title} {part}" if part else known.title
    arrow = "higher is closer" if known.better == "higher" else "lower is closer"
    return f"{title} ({known.unit}; {arrow})" if known.unit else f"{title} ({arrow})"
