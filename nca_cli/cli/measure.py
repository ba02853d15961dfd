"""`nca measure`: every number once, and kept."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from nca_cli.cli import complete
from nca_cli.cli.app import app
from nca_cli.cli.console import Output, complain, plural
from nca_cli.cli.filters import FilterOptions
from nca_cli.cli.groups import grouped
from nca_cli.cli.options import DEFAULT_STORE, StoreDir, opened, option

measure_option = partial(option, rich_help_panel="What to measure")


@app.command()
@grouped
def measure(
    *, filters: FilterOptions,
    name: Annotated[list[str] | None, measure_option(
        "--measure", metavar="NAME", show_default="all that can be",
        autocompletion=complete.measures,
        help="Such as psnr, ssim, kept, colour, lpips, features. Repeatable.")] = None,
    lpips_weights: Annotated[list[Path] | None, measure_option(
        "--lpips-weights", metavar="FILE", show_default="none",
        help="Of LPIPS: torchvision's network, and the lpips package's lin. Repeatable.")] = None,
    backbone: Annotated[str | None, measure_option(
        "--backbone", metavar="ID", show_default="none",
        help="A vision model of transformers, for deep features: hub id or folder.")] = None,
    workers: Annotated[int | None, measure_option(
        "--workers", min=1, show_default="one per processor",
        help="Processes that measure.")] = None,
    device: Annotated[str, measure_option(
        "--device", help="For networks: auto, cpu, cuda, cuda:1, mps.")] = "auto",
    store: StoreDir = DEFAULT_STORE, output: Output,
) -> None:  # fmt: skip
    """Measure reconstructions against their images; values are kept, and computed only once."""
    from nca_cli.metrics import REFERENCES, Measuring, Settings

    wanted = filters.parsed()
    settings = Settings(tuple(lpips_weights or ()), backbone, device)
    references = tuple(REFERENCES)
    work = Measuring(opened(store), wanted, name, settings=settings, references=references)
    computed = len(work)
    with output.bar("measure", computed, "samples") as advance:
        values = work.run(workers, advance)
    for text in work.notes:
        output.note(text)
    for problem in work.problems:
        complain(problem)
    output.note(f"{plural(len(values), 'value')}, {plural(computed, 'sample')} measured now")
    output.results(work.files, values=len(values), computed=computed,
                   measures=sorted({value.measure for value in values}),
                   errors=[problem.what for problem in work.problems])  # fmt: skip
    if work.problems:
        raise typer.Exit(1)
