"""`nca grid`, `nca report` and `nca export`: figures and files from the store alone."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nca_cli.cli import complete
from nca_cli.cli import options as opt
from nca_cli.cli.app import app
from nca_cli.cli.console import (
    bar,
    be_quiet,
    complain,
    note,
    note_distance,
    plural,
    results,
    size,
)
from nca_cli.cli.filters import filters
from nca_cli.errors import UsageError
from nca_cli.recipe import parse_list

PAPER = "On paper"


@app.command()
def grid(
    out: Annotated[
        Path,
        opt.option(
            "--out", "-o", metavar="FILE", help="PNG, WebP, JPEG, PDF, SVG or GIF, by the suffix."
        ),
    ] = Path("grid.png"),
    t: opt.TFilter = None,
    seed: opt.SeedFilter = None,
    image: opt.ImageFilter = None,
    model: opt.ModelFilters = None,
    sampler: opt.SamplerFilter = None,
    recipe: opt.RecipeFilter = None,
    log_snr: opt.LogSnrColumns = None,
    layout: Annotated[
        str,
        opt.option(
            "--layout",
            metavar="strips|p2",
            help="strips: x0, x_t, and x̂0 below. p2: x0, and x̂0 from low to high SNR beside it.",
        ),
    ] = "strips",
    show: Annotated[
        str | None,
        opt.option(
            "--show",
            metavar="LIST",
            show_default="by layout",
            autocompletion=complete.shown,
            help="Of x0, x_t, x0_hat, diff, error (and floor, for latent models).",
        ),
    ] = None,
    rows: Annotated[
        str, opt.option("--rows", metavar="images|models|seeds", help="What a row is.")
    ] = "images",
    columns: Annotated[
        str,
        opt.option(
            "--columns",
            metavar="t|snr|seeds",
            help="What a column is. snr: one level of each model, their log SNR within 0.1.",
        ),
    ] = "t",
    zoom: Annotated[
        list[str] | None,
        opt.option(
            "--zoom",
            metavar="X,Y,W,H",
            show_default="none",
            help="A crop, enlarged below each row: pixels, or fractions (0.4,0.3,0.2,0.2). "
            "Repeatable.",
        ),
    ] = None,
    range_: Annotated[
        float | None,
        opt.option(
            "--range",
            metavar="R",
            show_default="±1; by the errors",
            help="Where the colours of diff and error end.",
        ),
    ] = None,
    sweep: Annotated[
        bool, opt.option("--sweep", help="Move through the levels: animated WebP or GIF.")
    ] = False,
    cell: Annotated[
        int | None,
        opt.option(
            "--cell", min=16, show_default="by resolution", help="Side of a picture, in pixels."
        ),
    ] = None,
    width: Annotated[
        float | None,
        opt.option(
            "--width",
            metavar="MM",
            show_default="by the cells",
            rich_help_panel=PAPER,
            help="Of the whole figure, such as 84 for a column or 174 for a page.",
        ),
    ] = None,
    dpi: Annotated[
        float, opt.option("--dpi", rich_help_panel=PAPER, help="Pixels of pictures per inch.")
    ] = 300,
    font_size: Annotated[
        float | None,
        opt.option(
            "--font-size",
            metavar="PT",
            show_default="7 with --width",
            rich_help_panel=PAPER,
            help="Size of type, in points.",
        ),
    ] = None,
    font: Annotated[
        list[Path] | None,
        opt.option(
            "--font",
            metavar="FILE",
            show_default="the system's",
            rich_help_panel=PAPER,
            help="Lends the characters of names that the shipped fonts lack. Repeatable.",
        ),
    ] = None,
    title: Annotated[
        str | None,
        opt.option(
            "--title", show_default="none", rich_help_panel=PAPER, help="A line above the grid."
        ),
    ] = None,
    caption: Annotated[
        str | None,
        opt.option(
            "--caption", show_default="none", rich_help_panel=PAPER, help="Text below the grid."
        ),
    ] = None,
    strict: Annotated[bool, opt.option("--strict", help="Fail when a cell stays blank.")] = False,
    store: opt.StoreDir = opt.DEFAULT_STORE,
    json: opt.Json = False,
    quiet: opt.Quiet = False,
) -> None:
    """Compose one labelled picture: noise levels as columns, images, models or seeds as rows."""
    from nca_cli.figures.grid import compose_grid
    from nca_cli.store import Store

    be_quiet(quiet)
    figure = compose_grid(
        Store(store),
        filters(t, seed, image, model, sampler, recipe),
        show=show,
        rows=rows,
        columns=columns,
        log_snr=parse_list(log_snr or (), "log-snr"),
        layout=layout,
        zoom=zoom or (),
        scale=range_,
        cell=cell,
        width=width,
        dpi=dpi,
        font_size=font_size,
        title=title,
        caption=caption,
        fonts=font or (),
    )
    path = figure.save(out, sweep=sweep)
    results([path], json, missing=len(figure.missing), command=figure.command)
    note_distance("levels of a column", figure.distance, "its head")
    for problem in figure.problems:
        complain(problem)
    if figure.unwritten:
        note(f"left out, as no font here has them or they are marks over letters: "
             f"{' '.join(figure.unwritten)} (--font FILE lends characters)")  # fmt: skip
    if figure.missing:
        note(f"{plural(len(figure.missing), 'blank cell')}; to fill: {figure.command}")
    if strict and (figure.missing or figure.problems):
        raise typer.Exit(1)


@app.command()
def plot(
    out: Annotated[
        Path, opt.option("--out", "-o", metavar="FILE", help="PDF, SVG or PNG, by the suffix.")
    ] = Path("curves.pdf"),
    t: opt.TFilter = None,
    seed: opt.SeedFilter = None,
    image: opt.ImageFilter = None,
    model: opt.ModelFilters = None,
    sampler: opt.SamplerFilter = None,
    recipe: opt.RecipeFilter = None,
    measure: Annotated[
        list[str] | None,
        opt.option(
            "--measure",
            metavar="NAME",
            show_default="psnr, ssim",
            autocompletion=complete.measures,
            help="A panel for each, such as mse, kept, colour. Repeatable.",
        ),
    ] = None,
    references: Annotated[
        bool,
        opt.option("--references", help="Draw what needs no network beside it, in grey."),
    ] = False,
    width: Annotated[
        float,
        opt.option("--width", metavar="MM", rich_help_panel=PAPER, help="Of the whole figure."),
    ] = 174,
    height: Annotated[
        float | None,
        opt.option(
            "--height",
            metavar="MM",
            show_default="by width",
            rich_help_panel=PAPER,
            help="Of the whole figure.",
        ),
    ] = None,
    font_size: Annotated[
        float,
        opt.option(
            "--font-size", metavar="PT", rich_help_panel=PAPER, help="Size of type, in points."
        ),
    ] = 8,
    dpi: Annotated[
        float, opt.option("--dpi", rich_help_panel=PAPER, help="Of a PNG, in pixels per inch.")
    ] = 300,
    title: Annotated[
        str | None,
        opt.option(
            "--title", show_default="none", rich_help_panel=PAPER, help="A line above the curves."
        ),
    ] = None,
    store: opt.StoreDir = opt.DEFAULT_STORE,
    json: opt.Json = False,
    quiet: opt.Quiet = False,
) -> None:
    """Draw measures over logSNR, with P2's stages and 95 % intervals. Needs matplotlib."""
    from nca_cli.figures.curves import Page, plot_curves
    from nca_cli.store import Store

    be_quiet(quiet)
    wanted = filters(t, seed, image, model, sampler, recipe)
    page = Page(width, height, font_size, dpi)
    drawn = plot_curves(
        Store(store), wanted, measure, references=references, page=page, title=title
    )
    path = drawn.save(out)
    results([path], json, measures=drawn.measures, curves=len(drawn.curves))
    if drawn.note:
        note(drawn.note)


@app.command()
def report(
    out: Annotated[Path, opt.option("--out", "-o", metavar="FILE", help="The HTML page.")] = Path(
        "report.html"
    ),
    t: opt.TFilter = None,
    seed: opt.SeedFilter = None,
    image: opt.ImageFilter = None,
    model: opt.ModelFilters = None,
    sampler: opt.SamplerFilter = None,
    recipe: opt.RecipeFilter = None,
    csv: Annotated[
        Path | None,
        opt.option(
            "--csv",
            metavar="FILE",
            variable="NCA_REPORT_CSV",
            callback=opt.named,
            help="Every value, one row each.",
        ),
    ] = None,
    json: Annotated[
        Path | None,
        opt.option(
            "--json",
            metavar="FILE",
            variable="NCA_REPORT_JSON",
            callback=opt.named,
            help="Values and curves as JSON.",
        ),
    ] = None,
    labels: Annotated[
        Path | None,
        opt.option(
            "--labels",
            metavar="CSV",
            show_default="of the bundled portraits",
            help="What is in the images: a table (CSV, or as CelebA's) with a column image, "
            "and one for each concept.",
        ),
    ] = None,
    probe: Annotated[
        str | None,
        opt.option(
            "--probe",
            metavar="MODULE:FUNCTION",
            show_default="of portraits",
            help="What reads concepts: a function of pictures, which is run, or a saved .npz.",
        ),
    ] = None,
    max_mb: Annotated[
        float, opt.option("--max-mb", min=0.1, help="Size of the page, pictures included.")
    ] = 20.0,
    assets: Annotated[
        Path | None,
        opt.option("--assets", metavar="DIR", help="Pictures as files there, not in the page."),
    ] = None,
    store: opt.StoreDir = opt.DEFAULT_STORE,
    quiet: opt.Quiet = False,
) -> None:
    """Measure what is stored: one self-contained HTML page, with CSV and JSON on request."""
    from nca_cli.report import MEGABYTE, build_report
    from nca_cli.store import Store

    be_quiet(quiet)
    if out.suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"{out}: a report is an HTML page", "-o report.html; browsers make PDFs")
    wanted = filters(t, seed, image, model, sampler, recipe)
    build_report(
        Store(store),
        out,
        wanted,
        csv=csv,
        json=json,
        max_mb=max_mb,
        assets=assets,
        labels=labels,
        probe=probe,
        progress=lambda total: bar("measure", total, "samples"),
    )
    results([path for path in (out, csv, json) if path], as_json=False)
    if assets is None and out.stat().st_size > max_mb * MEGABYTE:
        note(f"{out} takes {size(out.stat().st_size)} without any picture, more than --max-mb "
             f"{max_mb:g}: raise it, or give the pictures a folder with --assets")  # fmt: skip


@app.command()
def export(
    out: Annotated[
        Path | None,
        opt.option(
            "--out",
            "-o",
            metavar="DIR",
            show_default=False,
            help="Folder for the files (required).",
        ),
    ] = None,
    t: opt.TFilter = None,
    seed: opt.SeedFilter = None,
    image: opt.ImageFilter = None,
    model: opt.ModelFilters = None,
    sampler: opt.SamplerFilter = None,
    recipe: opt.RecipeFilter = None,
    format: Annotated[
        str, opt.option("--format", metavar="png|npy", help="Pictures, or raw float32 tensors.")
    ] = "png",
    store: opt.StoreDir = opt.DEFAULT_STORE,
    json: opt.Json = False,
    quiet: opt.Quiet = False,
) -> None:
    """Write one file per tensor."""
    from nca_cli.export import export as export_tensors
    from nca_cli.store import Store

    be_quiet(quiet)
    if out is None:
        raise UsageError("no folder to export to", "nca export -o DIR")
    wanted = filters(t, seed, image, model, sampler, recipe)
    results(list(export_tensors(Store(store), out, wanted, format=format)), json)
