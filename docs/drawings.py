"""Figures of the docs that no command draws: what a level is, and where what is lost.

In the type and colours of `nca plot`. matplotlib draws; millimetres are those of the page.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nca_cli.analysis import BOUNDS, HalfLevel
from nca_cli.figures.curves import Page, styled
from nca_cli.figures.curves.style import COLOURS, FAINT, GREY, MM_PER_INCH, SHADES
from nca_cli.schedule import Schedule

WIDTH = 174.0
LEVELS = range(0, 1000)
SCHEDULES = {
    "linear (DDPM)": Schedule(),
    "scaled linear (latent diffusion)": Schedule("scaled_linear", 0.0015, 0.0195),
    "cosine": Schedule("squaredcos_cap_v2"),
}


def schedules(path: Path) -> None:
    """logSNR over t of three schedules, with P2's stages: the same t is another level."""
    page = Page(width=WIDTH / 2)
    with styled(page):
        figure, (axes,) = _empty(page, 0.72)
        for (name, schedule), colour in zip(SCHEDULES.items(), COLOURS, strict=False):
            axes.plot(
                LEVELS,
                [schedule.log_snr(t) for t in LEVELS],
                color=colour,
                label=name,
                linewidth=1.1,
            )
        axes.set_xlim(0, 1000)
        axes.set_ylim(-12, 10)
        for name, (low, high) in BOUNDS.items():
            low, high = max(low, -12), min(high, 10)
            axes.axhspan(low, high, color=SHADES[name], linewidth=0, zorder=0)
            axes.text(1015, (low + high) / 2, name, color=FAINT, va="center")
        axes.set_xlabel("t")
        axes.set_ylabel("log SNR")
        axes.legend(loc="lower left")
        figure.savefig(path)


def half_levels(path: Path, groups: Mapping[str, Sequence[tuple[str, HalfLevel]]]) -> None:
    """A row for each half-level with its interval, in a panel for each group of them."""
    page = Page(width=WIDTH)
    most = max(map(len, groups.values()))
    with styled(page):
        figure, panels = _empty(page, (4.2 * most + 16) / WIDTH, len(groups))
        found = [half.log_snr for rows in groups.values() for _, half in rows]
        ends = [end for each in found for end in (each.value, each.low, each.high)]
        known = [end for end in ends if math.isfinite(end)]
        low, high = min(known) - 0.4, max(known) + 0.4
        for axes, (title, rows) in zip(panels, groups.items(), strict=True):
            _rows(axes, title, rows, low, high)
        figure.supxlabel("log SNR at which half is lost", fontsize=page.font_size)
        figure.savefig(path)


def _rows(
    axes: Any, title: str, rows: Sequence[tuple[str, HalfLevel]], low: float, high: float
) -> None:
    axes.set_xlim(high, low)
    axes.set_ylim(len(rows) - 0.5, -0.5 - 0.1 * len(rows))
    axes.set_yticks(range(len(rows)), [name for name, _ in rows])
    axes.tick_params(axis="y", length=0)
    axes.set_title(title, loc="left", fontweight=600)
    for name, (first, last) in BOUNDS.items():
        first, last = max(first, low), min(last, high)
        if first < last:
            axes.axvspan(first, last, color=SHADES[name], linewidth=0, zorder=0)
            axes.text((first + last) / 2, 0.985, name, color=FAINT, ha="center", va="top",
                      transform=axes.get_xaxis_transform())  # fmt: skip
    for row, (_, half) in enumerate(rows):
        where = half.log_snr
        if math.isfinite(where.value):
            reach = max(where.low, low), min(where.high, high)
            axes.plot(reach, (row, row), color=COLOURS[0], linewidth=1)
            axes.plot(where.value, row, "o", color=COLOURS[0], markersize=3)
        else:
            axes.text(low + 0.2, row, "beyond the levels", color=GREY, ha="right", va="center")


def _empty(page: Page, ratio: float, columns: int = 1) -> Any:
    """A figure `page.width` wide and `ratio` times as high, with its axes."""
    from matplotlib.figure import Figure

    width = page.width / MM_PER_INCH
    figure = Figure(figsize=(width, ratio * width), layout="constrained", dpi=180)
    panels = figure.subplots(1, columns, squeeze=False)[0]
    for axes in panels:
        axes.spines["top"].set_visible(False)
    return figure, panels
