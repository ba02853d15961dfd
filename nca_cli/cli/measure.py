"""`nca measure`: every number once, and kept."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nca_cli.cli import complete
from nca_cli.cli import options as opt
from nca_cli.cli.app import app
from nca_cli.cli.console import bar, be_quiet, complain, note, plural, results
from nca_cli.cli.filters import filters

MEASURING = "What to measure"


@app.command()
def measure(
    t: opt.TFilter = None, seed: opt.SeedFilter = None, image: opt.ImageFilter = None,
    model: opt.ModelFilters = None, sampler: opt.SamplerFilter = None,
    recipe: opt.RecipeFilter = None,
    name: Annotated[list[str] | None, opt.option(
        "--measure", metavar="NAME", show_default="all that can be", rich_help_panel=MEASURING,
        autocompletion=complete.measures,
        help="Such as psnr, ssim, kept, colour, lpips, features. Repeatable.")] = None,
    lpips_weights: Annotated[list[Path] | None, opt.option(
        "--lpips-weights", metavar="FILE", show_default="none", rich_help_panel=MEASURING,
        help="Of LPIPS: torchvision's network, and the lpips package's lin. Repeatable.")] = None,
    backbone: Annotated[str | None, opt.option(
        "--backbone", metavar="ID", show_default="none", rich_help_panel=MEASURING,
        help="A vision model of transformers, for deep features: hub id or folder.")] = None,
    workers: Annotated[int | None, opt.option(
        "--workers", min=1, show_default="one per processor", rich_help_panel=MEASURING,
        help="Processes that measure.")] = None,
    device: Annotated[str, opt.option("--device", rich_help_panel=MEASURING,
                                      help="For networks: auto, cpu, cuda, cuda:1, mps.")] = "auto",
    store: opt.StoreDir = opt.DEFAULT_STORE, json: opt.Json = False, quiet: opt.Quiet = False,
) -> None:  # fmt: skip
    """Measure reconstructions against their images; values are kept, and computed only once."""
    from nca_cli.metrics import REFERENCES, Measuring, Settings
    from nca_cli.store import Store

    be_quiet(quiet)
    wanted = filters(t, seed, image, model, sampler, recipe)
    settings = Settings(tuple(lpips_weights or ()), backbone, device)
    references = tuple(REFERENCES)
    work = Measuring(Store(store), wanted, name, settings=settings, references=references)
    computed = len(work)
    with bar("measure", computed, "samples") as advance:
        values = work.run(workers, advance)
    for text in work.notes:
        note(text)
    for problem in work.problems:
        complain(problem)
    note(f"{plural(len(values), 'value')}, {plural(computed, 'sample')} measured now")
    results(work.files, json, values=len(values), computed=computed,
            measures=sorted({value.measure for value in values}),
            errors=[problem.what for problem in work.problems])  # fmt: skip
    if work.problems:
        raise typer.Exit(1)
