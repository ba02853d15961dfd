"""`nca grid`: one labelled picture from the store alone."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nca_cli.cli import complete
from nca_cli.cli.app import app
from nca_cli.cli.console import Output, complain, plural
from nca_cli.cli.filters import FilterOptions
from nca_cli.cli.groups import grouped, option_group
from nca_cli.cli.options import DEFAULT_STORE, StoreDir, filter_option, opened, option, paper_option
from nca_cli.recipe import parse_list


@option_group
class GridOptions:
    """How a grid is arranged; named as in `GridRequest`."""

    # fmt: off
    log_snr: Annotated[list[str] | None, filter_option(
        "--log-snr", metavar="LIST", show_default="by --t",
        help="Columns by log SNR, instead of --t: 4,0,-4 or -6:7. Each model has its own t."
    )] = None
    layout: Annotated[str, option(
        "--layout", metavar="strips|p2",
        help="strips: x0 and x_t, with x̂0 below. p2: x0, and beside it x̂0 from low to high SNR."
    )] = "strips"
    show: Annotated[str | None, option(
        "--show", metavar="LIST", show_default="by layout", autocompletion=complete.shown,
        help="What to show: x0, x_t, x0_hat, diff, error (and floor, for latent models).")] = None
    rows: Annotated[str, option(
        "--rows", metavar="images|models|seeds|step|t|snr",
        help="What each row is. step: checkpoints of a training, with x_t once "
        "above them.")] = "images"
    columns: Annotated[str, option(
        "--columns", metavar="t|snr|seeds|step",
        help="What each column is. snr: levels of all models whose log SNR agree within 0.1. step: "
        "checkpoints of a training; of more than 10, some evenly spaced in log step (--at chooses "
        "others).")] = "t"
    zoom: Annotated[list[str] | None, option(
        "--zoom", metavar="X,Y,W,H", show_default="none",
        help="Crop to enlarge below each row, in pixels or fractions (0.4,0.3,0.2,0.2). "
        "Repeatable.")] = None
    scale: Annotated[float | None, option(
        "--range", metavar="R", show_default="±1; by the errors",
        help="Largest value on the colour scale of diff and error.")] = None
    # fmt: on


@option_group
class SheetOptions:
    """How large a grid is, and what is written on it; named as in `GridRequest`."""

    # fmt: off
    cell: Annotated[int | None, option(
        "--cell", metavar="PIXELS", min=16, show_default="by resolution",
        help="Side of a picture, in pixels."
    )] = None
    width: Annotated[float | None, paper_option(
        "--width", metavar="MM", show_default="by the cells",
        help="Width of the whole figure, such as 84 for a column or 174 for a page.")] = None
    dpi: Annotated[float | None, paper_option(
        "--dpi", metavar="DPI", show_default="300; in PDF and SVG as stored",
        help="Resolution of the pictures, in pixels per inch.")] = None
    pixelated: Annotated[bool, paper_option(
        "--pixelated", help="Enlarge pictures without smoothing, as is always done for x_t."
    )] = False
    font_size: Annotated[float | None, paper_option(
        "--font-size", metavar="PT", show_default="7 with --width",
        help="Size of type, in points.")] = None
    fonts: Annotated[list[Path] | None, paper_option(
        "--font", metavar="FILE", show_default="the system's",
        help="Font for characters that the shipped fonts lack. Repeatable.")] = None
    title: Annotated[str | None, paper_option(
        "--title", metavar="TEXT", show_default="none", help="A line above the grid.")] = None
    caption: Annotated[str | None, paper_option(
        "--caption", metavar="TEXT", show_default="none", help="Text below the grid.")] = None
    # fmt: on


@app.command()
@grouped
def grid(
    *, out: Annotated[Path, option(
        "--out", "-o", metavar="FILE", help="PNG, WebP, JPEG, PDF, SVG or GIF, by the suffix."
    )] = Path("grid.png"),
    filters: FilterOptions, arrangement: GridOptions,
    sweep: Annotated[bool, option(
        "--sweep", help="Animate over the noise levels, as WebP or GIF.")] = False,
    sheet: SheetOptions,
    strict: Annotated[bool, option("--strict", help="Exit with 1 if a cell stays blank.")] = False,
    store: StoreDir = DEFAULT_STORE, output: Output,
) -> None:  # fmt: skip
    """Compose one labelled picture of noise levels, images, models, seeds and training steps."""
    from nca_cli.figures.grid import GridRequest, compose

    log_snr = parse_list(arrangement.log_snr or (), "log-snr")
    chosen = vars(arrangement) | vars(sheet) | {"log_snr": log_snr}
    given = {name: value for name, value in chosen.items() if value is not None}
    figure = compose(opened(store), GridRequest(filters.parsed(latest=True), **given))
    path = figure.save(out, sweep=sweep)
    output.results([path], missing=len(figure.missing), command=figure.command)
    output.distance("levels of a column", figure.distance, "its head")
    for problem in figure.problems:
        complain(problem)
    output.note(*figure.advice(out))
    if figure.unwritten:
        output.note(f"left out: {' '.join(figure.unwritten)} (no font has these characters, or "
                    "they are combining marks; add a font with --font FILE)")  # fmt: skip
    if figure.missing:
        first, *more = figure.commands
        how = "to fill, start with" if more else "to fill"
        output.note(f"{plural(len(figure.missing), 'blank cell')}; {how}: {first}")
    if figure.problems or (strict and figure.missing):
        raise typer.Exit(1)
