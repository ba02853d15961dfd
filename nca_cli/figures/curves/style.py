"""Size, type, colours and lines of the figure on paper: matplotlib's settings."""

from __future__ import annotations

import base64
import importlib.util
import math
from dataclasses import dataclass
from typing import Any

from nca_cli.errors import NcaError, UsageError
from nca_cli.figures.curves.panel import Look, Stroke
from nca_cli.figures.type.fonts import FILES, FONTS

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#b8609a", "#c98a00", "#3a9ad9", "#55585f")
"""Okabe and Ito's, told apart by the colour-blind; darkened where they are thin on white."""
MARKERS = ("o", "s", "^", "D", "v", "P", "p")
_SERIES = ("-", (0, (4, 2)), (0, (1.2, 1.4)), (0, (5, 1.6, 1.2, 1.6)))
DASHES: dict[Stroke, tuple[Any, ...]] = {
    Stroke.SERIES: _SERIES,
    Stroke.REFERENCE: (
        *_SERIES[1:], (0, (9, 2)), "-", (0, (5, 1.4, 1.2, 1.4, 1.2, 1.4)), (0, (2.5, 1)),
    ),
}  # fmt: skip
GREY, INK, FAINT = "#8a8d93", "#1f1f1f", "#666666"
SHADES = {"clean-up": "#ffffff", "content": "#f3f3f5", "coarse": "#e6e6ea"}
"""Of P2's stages."""
COLOUR_MAP = "viridis"
"""matplotlib's: perceptually uniform, told apart by the colour-blind and in grey print."""
LIGHTEST = 0.88
"""Of the colour map, for lines on white."""
TALLEST = 210
"""Millimetres, where no height is asked for: a page of A4 has room for a caption below."""
MM_PER_INCH, POINTS_PER_INCH = 25.4, 72.0
FAMILY, MATHS = "Source Sans Pro", "Source Serif Pro"
SMALL = 0.86
"""Size of the names of stages and of t, in em."""


@dataclass(frozen=True)
class Page:
    """Size of the figure in millimetres and of its type in points."""

    width: float = 174
    height: float | None = None
    """By default each panel is a little wider than high, and all are at most `TALLEST` high."""
    font_size: float = 8
    dpi: float = 300
    columns: int | None = None
    """Panels side by side; by default as many as are readable."""

    def __post_init__(self) -> None:
        for what, value, low, high in (
            ("--width", self.width, 30, 1000), ("--height", self.height, 20, 1000),
            ("--font-size", self.font_size, 3, 72), ("--dpi", self.dpi, 36, 2400),
            ("--columns", self.columns, 1, 12),
        ):  # fmt: skip
            if value is not None and not low <= value <= high:
                raise UsageError(f"{what} {value:g} is out of range", f"{low} to {high}")


PAGE = Page()


def balanced(count: int, most: int) -> int:
    """Columns of so many panels, at most `most`, with no more rows than need be and as few gaps."""
    return math.ceil(count / math.ceil(count / most))


def need_matplotlib() -> None:
    """Raises `NcaError` that says how to get it."""
    if importlib.util.find_spec("matplotlib") is None:
        raise NcaError("curves are drawn by matplotlib, which is not installed",
                       "pip install 'nca-cli[figures]'")  # fmt: skip


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


def colour(look: Look) -> str:
    """Grey is what is of no series."""
    return GREY if look.colour is None else COLOURS[look.colour]


def line_style(look: Look, page: Page) -> dict[str, Any]:
    """What matplotlib draws a line by."""
    return {
        "color": colour(look), "linestyle": look.dashes(DASHES), "linewidth": 1.1,
        "marker": "" if look.marker is None else MARKERS[look.marker],
        "markersize": 0.42 * page.font_size, "markeredgewidth": 0.8,
        "markerfacecolor": "white" if look.hollow else colour(look),
    }  # fmt: skip


def with_font(svg: bytes) -> bytes:
    """The SVG with the font inside, cut down to the characters that it may need."""
    from nca_cli.figures.type.fonts import subset

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
