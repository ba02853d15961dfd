"""Stored arrays as one labelled picture: noise levels in columns, images, models or seeds in rows.

A figure is made in steps, each a function from value to value: `select` (store and request →
strips of samples), `pictures` (→ what they look like), `table` (→ rows and columns of cells),
`sheet` (→ boxes, texts and pictures in their places), and `paint` or `vector` (→ pixels, PDF, SVG).
What may be chosen is in `request`; `layouts` holds one record for each layout and each axis.

Never computes and never loads torch: what is not stored stays blank.
"""

from nca_cli.figures.grid.compose import Grid, compose, compose_grid
from nca_cli.figures.grid.layouts import LAYOUTS, SHOW, Axis, Layout
from nca_cli.figures.grid.request import GridRequest

__all__ = ["LAYOUTS", "SHOW", "Axis", "Grid", "GridRequest", "Layout", "compose", "compose_grid"]
