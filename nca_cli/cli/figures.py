"""`nca grid`, `nca report` and `nca export`: figures and files from the store alone."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nca_cli.cli import options as opt
from nca_cli.cli.app import app
from nca_cli.cli.console import be_quiet, complain, note, plural, results
from nca_cli.cli.filters import filters
from nca_cli.errors import UsageError

SHOWN = "x0,x_t,x0_hat"


@app.command()
def grid(
    out: Annotated[
        Path,
        opt.option(
            "--out", "-o", metavar="FILE", help="PNG, WebP, PDF or animated GIF, by the suffix."
        ),
    ] = Path("grid.png"),
    t: opt.TFilter = None,
    seed: opt.SeedFilter = None,
    image: opt.ImageFilter = None,
    model: opt.ModelFilters = None,
    sampler: opt.SamplerFilter = None,
    recipe: opt.RecipeFilter = None,
    show: Annotated[
        str,
        opt.option(
            "--show",
            metavar="LIST",
            help="Of x0, x_t, x0_hat, diff (and floor, for latent models).",
        ),
    ] = SHOWN,
    rows: Annotated[
        str, opt.option("--rows", metavar="images|models|seeds", help="What a row is.")
    ] = "images",
    cell: Annotated[
        int | None,
        opt.option(
            "--cell", min=16, show_default="by resolution", help="Side of a picture, in pixels."
        ),
    ] = None,
    title: Annotated[
        str | None, opt.option("--title", show_default="none", help="A line above the grid.")
    ] = None,
    strict: Annotated[bool, opt.option("--strict", help="Fail when a cell stays blank.")] = False,
    store: opt.StoreDir = opt.DEFAULT_STORE,
    json: opt.Json = False,
    quiet: opt.Quiet = False,
) -> None:
    """Compose one labelled picture: noise levels as columns, images, models or seeds as rows."""
    from nca_cli.grid import compose_grid
    from nca_cli.store import Store

    be_quiet(quiet)
    wanted = filters(t, seed, image, model, sampler, recipe)
    parts = tuple(part.strip() for part in show.split(",") if part.strip())
    figure = compose_grid(Store(store), wanted, show=parts, rows=rows, cell=cell, title=title)
    results([figure.save(out)], json, missing=len(figure.missing), command=figure.command)
    for problem in figure.problems:
        complain(problem)
    if figure.missing:
        note(f"{plural(len(figure.missing), 'blank cell')}; to fill: {figure.command}")
    if strict and (figure.missing or figure.problems):
        raise typer.Exit(1)


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
        Path | None, opt.option("--csv", metavar="FILE", help="Every value, one row each.")
    ] = None,
    json: Annotated[
        Path | None, opt.option("--json", metavar="FILE", help="Values and curves as JSON.")
    ] = None,
    store: opt.StoreDir = opt.DEFAULT_STORE,
    quiet: opt.Quiet = False,
) -> None:
    """Measure what is stored: one self-contained HTML page, with CSV and JSON on request."""
    from nca_cli.report import build_report
    from nca_cli.store import Store

    be_quiet(quiet)
    wanted = filters(t, seed, image, model, sampler, recipe)
    build_report(Store(store), out, wanted, csv=csv, json=json)
    results([path for path in (out, csv, json) if path], as_json=False)


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
