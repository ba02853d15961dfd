"""`nca plot`: curves for paper from the store alone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from nca_cli.cli import complete
from nca_cli.cli.app import app
from nca_cli.cli.console import Output
from nca_cli.cli.filters import FilterOptions
from nca_cli.cli.groups import grouped
from nca_cli.cli.options import DEFAULT_STORE, StoreDir, opened, option, paper_option


@dataclass(frozen=True)
class PageOptions:
    """How large the figure is; named as in `Page`."""

    # fmt: off
    width: Annotated[float, paper_option(
        "--width", metavar="MM", help="Of the whole figure.")] = 174
    height: Annotated[float | None, paper_option(
        "--height", metavar="MM", show_default="by width", help="Of the whole figure.")] = None
    font_size: Annotated[float, paper_option(
        "--font-size", metavar="PT", help="Size of type, in points.")] = 8
    dpi: Annotated[float, paper_option(
        "--dpi", help="Of a PNG, in pixels per inch.")] = 300
    # fmt: on


@app.command()
@grouped
def plot(
    *, out: Annotated[Path, option(
        "--out", "-o", metavar="FILE", help="PDF, SVG or PNG, by the suffix."
    )] = Path("curves.pdf"),
    filters: FilterOptions,
    measure: Annotated[list[str] | None, option(
        "--measure", metavar="NAME", show_default="psnr, ssim", autocompletion=complete.metrics,
        help="A panel for each, such as mse, kept, colour. Repeatable.")] = None,
    references: Annotated[bool, option(
        "--references", help="Draw what needs no network beside it, in grey.")] = False,
    page: PageOptions,
    title: Annotated[str | None, paper_option(
        "--title", show_default="none", help="A line above the curves.")] = None,
    store: StoreDir = DEFAULT_STORE, output: Output,
) -> None:  # fmt: skip
    """Draw metrics over logSNR, with P2's stages and 95 % intervals. Needs matplotlib."""
    from nca_cli.figures.curves import Page, plot_curves

    drawn = plot_curves(
        opened(store), filters.parsed(latest=True), measure, references=references,
        page=Page(**vars(page)), title=title,
    )  # fmt: skip
    path = drawn.save(out)
    output.results([path], measures=drawn.measures, curves=len(drawn.curves))
    if drawn.note:
        output.note(drawn.note)
