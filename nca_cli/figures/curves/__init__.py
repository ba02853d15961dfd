"""Measures over noise levels as panels: values that the page and paper draw.

`panel` says what is where in the units of the axes; `svg` draws it for a page, `paper` for a figure
with matplotlib, which is an extra: pip install 'nca-cli[figures]'. Millimetres and points are those
of the page, type is text in PDF and SVG, colours and markers are those of the report.
"""

from nca_cli.figures.curves.drawn import SUFFIXES
from nca_cli.figures.curves.emergence import TrainingFigure, plot_emergence, plot_learning
from nca_cli.figures.curves.half_figure import HalfFigure, half_figure
from nca_cli.figures.curves.paper import Plot
from nca_cli.figures.curves.plots import METRICS, plot_curves
from nca_cli.figures.curves.style import Page, styled

__all__ = [
    "METRICS",
    "SUFFIXES",
    "HalfFigure",
    "Page",
    "Plot",
    "TrainingFigure",
    "half_figure",
    "plot_curves",
    "plot_emergence",
    "plot_learning",
    "styled",
]
