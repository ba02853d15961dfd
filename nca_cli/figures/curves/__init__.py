"""Measures over noise levels as a figure for a paper: matplotlib draws, and nothing else here does.

Millimetres and points are those of the page, type is text in PDF and SVG, colours and markers are
those of the report. matplotlib is an extra: pip install 'nca-cli[figures]'.
"""

from nca_cli.figures.curves.curves import METRICS, SUFFIXES, Plot, plot_curves
from nca_cli.figures.curves.style import Page, styled

__all__ = ["METRICS", "SUFFIXES", "Page", "Plot", "plot_curves", "styled"]
