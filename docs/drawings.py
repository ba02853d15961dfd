"""The figure of the docs that no command draws: what a level is.

In the type and colours of `nca plot`. matplotlib draws; millimetres are those of the page.
"""

from __future__ import annotations

from pathlib import Path

from nca_cli.analysis import BOUNDS
from nca_cli.figures.curves import Page, styled
from nca_cli.figures.curves.style import COLOURS, FAINT, MM_PER_INCH, SHADES
from nca_cli.schedule import Schedule

WIDTH = 87.0
LEVELS = range(0, 1000)
SCHEDULES = {
    "linear (DDPM)": Schedule(),
    "scaled linear (latent diffusion)": Schedule("scaled_linear", 0.0015, 0.0195),
    "cosine": Schedule("squaredcos_cap_v2"),
}


def schedules(path: Path) -> None:
    """logSNR over t of three schedules, with P2's stages: the same t is another level."""
    from matplotlib.figure import Figure

    with styled(Page()):
        width = WIDTH / MM_PER_INCH
        figure = Figure(figsize=(width, 0.72 * width), layout="constrained", dpi=180)
        axes = figure.subplots()
        axes.spines["top"].set_visible(False)
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
