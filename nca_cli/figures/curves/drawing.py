"""The figure itself: a panel for each measure, as a matplotlib figure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from nca_cli.analysis import BOUNDS, REFERENCE, Curve, Point, Reference
from nca_cli.figures.curves.charts import (
    MOST_AREAS,
    fitted,
    full_title,
    known_measure,
    named_levels,
    part,
    reference_title,
    which_is_closer,
)
from nca_cli.figures.curves.style import (
    FAINT,
    GREY,
    MATHS,
    MM_PER_INCH,
    POINTS_PER_INCH,
    SHADES,
    SMALL,
    Look,
    Page,
    looks,
)  # fmt: skip
from nca_cli.figures.type.fonts import drawable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def known(curve: Curve) -> list[Point]:
    """The points that have a place in a plot, from the cleanest level to the noisiest."""
    found = [p for p in curve.points if math.isfinite(p.log_snr) and math.isfinite(p.mean)]
    return sorted(found, key=lambda point: -point.log_snr)


def is_floor(curve: Curve) -> bool:
    """Whether it is what an autoencoder alone reaches, drawn as a horizontal line."""
    return curve.sampler == f"{REFERENCE}floor" and any(math.isfinite(p.mean) for p in curve.points)


class Drawing:
    """Panels side by side, the legend below them, and a note under it."""

    def __init__(
        self, curves: Sequence[Curve], page: Page, title: str | None = None,
        references: Sequence[Reference] = (),
    ):  # fmt: skip
        self.curves, self.page, self.title, self.references = curves, page, title, references
        self.looks = looks(list(dict.fromkeys((c.model, c.sampler) for c in curves)))
        own = {name for name in self.looks if not name[1].startswith(REFERENCE)}
        self.areas = len(own) <= MOST_AREAS
        found = [p.log_snr for curve in curves for p in known(curve)] or [0.0]
        room = 0.05 * (max(found) - min(found)) or 1.0
        self.low, self.high = min(found) - room, max(found) + room

    def figure(self) -> Figure:
        """As a matplotlib figure of the page's size."""
        from matplotlib.figure import Figure
        from matplotlib.layout_engine import ConstrainedLayoutEngine

        measures = list(dict.fromkeys(curve.measure for curve in self.curves))
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
        if self.title:
            figure.suptitle(self.title, fontweight=600, x=0.01, ha="left")
        self._legend(figure)
        figure.text(0.004, 0.3 * em / height, self._note(), color=FAINT, va="bottom",
                    fontsize=SMALL * self.page.font_size)  # fmt: skip
        return figure

    # -- below the panels ------------------------------------------------------------------------

    def _names(self) -> list[str]:
        several = len({model for model, _ in self.looks}) > 1
        counts = {name: self._images(name) for name in self.looks}
        own = {count for (_, sampler), count in counts.items() if not sampler.startswith(REFERENCE)}
        return [
            self._name(*name, several) + (f" (n = {counts[name]})" if len(own) > 1 else "")
            for name in self.looks
        ]

    def _name(self, model: str, sampler: str, several: bool) -> str:
        shown = drawable(sampler)
        if sampler.startswith(REFERENCE):
            shown = reference_title(sampler, fitted(self.references, model, sampler))
        return f"{model} · {shown}" if several else shown

    def _images(self, name: tuple[str, str]) -> str:
        """`8`, or `3 to 10` images."""
        return _counted(point for curve in self.curves if (curve.model, curve.sampler) == name
                        for point in curve.points)  # fmt: skip

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
        points = [p for curve in self.curves if not curve.sampler.startswith(REFERENCE)
                  for p in known(curve)]  # fmt: skip
        images = _counted(points)
        text = "One image" if images == "1" else f"Means over {images} images"
        if any(math.isfinite(p.low) for p in points):
            return f"{text}; {'areas' if self.areas else 'bars'}: 95 % bootstrap intervals."
        return f"{text}; too few for intervals." if points else ""

    # -- a panel ---------------------------------------------------------------------------------

    def _panel(self, axes: Axes, measure: str) -> None:
        for curve in self.curves:
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
        look, points = self.looks[curve.model, curve.sampler], known(curve)
        if is_floor(curve):
            axes.axhline(next(p.mean for p in curve.points if math.isfinite(p.mean)),
                         color=GREY, linewidth=0.8, linestyle=look.dash)  # fmt: skip
            return
        x, y = [p.log_snr for p in points], [p.mean for p in points]
        axes.plot(x, y, **self._line(look), zorder=3)
        sure = [p for p in points if math.isfinite(p.low) and math.isfinite(p.high)]
        if not sure or curve.sampler.startswith(REFERENCE):
            return
        at, low, high = zip(*((p.log_snr, p.low, p.high) for p in sure), strict=True)
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
        for name, (noisiest, cleanest) in BOUNDS.items():
            left, right = min(cleanest, self.high), max(noisiest, self.low)
            if left <= right:
                continue
            axes.axvspan(left, right, color=SHADES[name], linewidth=0, zorder=0)
            if left - right > 0.16 * (self.high - self.low):
                axes.text((left + right) / 2, 0.985, name, color=FAINT, ha="center", va="top",
                          fontsize=SMALL * self.page.font_size,
                          transform=axes.get_xaxis_transform())  # fmt: skip

    def _levels(self, axes: Axes) -> None:
        """t at the top, where all models agree on it."""
        points = [point for curve in self.curves for point in known(curve)]
        named = named_levels(points, lambda log_snr: log_snr, 0.09 * (self.high - self.low))
        if not named:
            return
        above = axes.secondary_xaxis("top")
        above.set_xticks([at for _, at in named], [t for t, _ in named])
        above.set_xlabel("t", labelpad=2, color=FAINT, family=MATHS, style="italic")


def _counted(points: Iterable[Point]) -> str:
    """Images behind a mean: `8`, or `3 to 10`."""
    counts = sorted({point.images for point in points}) or [0]
    return f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"


def _title(measure: str) -> str:
    """`PSNR (dB; higher is closer)`; what is long has two lines."""
    told, closer = known_measure(measure), which_is_closer(measure)
    remarks = [told.unit if told else "", closer and f"{closer} is closer"]
    remark = "; ".join(filter(None, remarks))
    return full_title(measure) + (
        f"{chr(10) if part(measure) else ' '}({remark})" if remark else ""
    )
