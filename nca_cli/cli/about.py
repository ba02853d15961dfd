"""`nca models`, `nca doctor` and `nca demo`: what can be run, whether it can here, and a try."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from nca_cli.cli import options as opt
from nca_cli.cli.app import app
from nca_cli.cli.compute import Job
from nca_cli.cli.console import NARROW, Output, print_json, stdout, table
from nca_cli.cli.groups import grouped
from nca_cli.errors import UsageError

if TYPE_CHECKING:
    from rich.table import Table

    from nca_cli.models.find import ModelRow
    from nca_cli.store import Store

RUN = "demo-run"
"""The training that ships."""
LEAST = {"pixels": NARROW, "licence": 100}
"""Columns of a terminal from which on there is room for these too."""


@app.command()
def models(json: opt.Json = False) -> None:
    """List the built-in models: resolution, sampler, licence, and whether they are on this disk."""
    from nca_cli.models import list_models

    rows = list_models()
    if json:
        print_json([asdict(row) for row in rows])
        return
    stdout().print(_models_table(rows, stdout().width))
    stdout().print(
        "Any hub id (org/name, org/name@revision) or local diffusers folder works too; so do "
        "adm:FILE.pt (guided-diffusion), ldm:FILE.ckpt (CompVis), lucid:FILE.pt, edm:FILE.pt, "
        "sde:FILE.pth (score_sde) and "
        "module:factory (your own).",
        style="dim",
    )


def _models_table(rows: list[ModelRow], width: int) -> Table:
    """What a model is may take several lines, in whole words; a narrow one leaves things out."""
    from nca_cli.images import size_text

    shown = table()
    cells = {
        "name": [row.name for row in rows],
        "what": [row.what for row in rows],
        "pixels": [size_text(row.resolution) if row.resolution else "" for row in rows],
        "sampler": [row.sampler for row in rows],
        "licence": [row.licence for row in rows],
        "on disk": ["yes" if row.on_disk else "no" for row in rows],
    }
    columns = {name: column for name, column in cells.items() if width >= LEAST.get(name, 0)}
    for name in columns:
        right = name == "pixels"
        shown.add_column(name, justify="right" if right else "left", no_wrap=name != "what")
    for row in zip(*columns.values(), strict=True):
        shown.add_row(*row)
    return shown


@app.command()
def doctor(
    store: opt.StoreDir = opt.DEFAULT_STORE, offline: opt.Offline = False, json: opt.Json = False
) -> None:
    """Check this machine: versions, imports, devices, disk and locks of the store, hub access."""
    from nca_cli.doctor import examine

    checks = list(examine(store, offline=offline))
    if json:
        print_json([asdict(check) for check in checks])
    else:
        shown = table(show_header=False)
        marks = {"good": ("ok", "green"), "note": ("note", "yellow"), "bad": ("bad", "bold red")}
        for check in checks:
            mark, style = marks[check.state]
            hint = f"\n{check.hint}" if check.hint else ""
            shown.add_row(Text(mark, style=style), check.what, Text(check.found + hint))
        stdout().print(shown)
    if any(check.state == "bad" for check in checks):
        raise typer.Exit(1)


@app.command()
@grouped
def demo(
    *, out: Annotated[Path, opt.option(
        "--out", "-o", metavar="DIR", help="Folder for the store and the figures."
    )] = Path("nca-demo"),
    output: Output,
) -> None:  # fmt: skip
    """Run everything on sample portraits, offline, in a minute or two."""
    from nca_cli.commands import at
    from nca_cli.engine import Request, reconstructions
    from nca_cli.figures.grid import GridRequest, compose
    from nca_cli.images import sample_images
    from nca_cli.report import build_report
    from nca_cli.store import Filters, ModelFilter

    if out.exists() and not out.is_dir():
        raise UsageError(f"{out} is not a folder", "choose another: nca demo -o DIR")
    portraits = sample_images("portraits")
    request = Request(portraits, ("demo",), samplers=("one-step", "ddim"), offline=True)
    job = Job(opt.opened(out / opt.DEFAULT_STORE), output, request)
    files = [out / "grid.png", out / "training.png", out / "report.html"]
    _check(files, job.store)
    job.carry_out(reconstructions(request, job.store))
    training = Request(portraits, runs=(RUN,), samplers=("one-step",), offline=True)
    job.carry_out(reconstructions(training, job.store))
    with output.bar("figures", len(files), "files") as advance:
        first = portraits[0].stem
        known = Filters(images=(first,), models=(ModelFilter("demo"),))
        compose(job.store, GridRequest(known)).save(files[0])
        advance(1)
        learned = Filters(images=(first,), models=(ModelFilter(RUN),))
        compose(job.store, GridRequest(learned, columns="step")).save(files[1])
        advance(1)
        build_report(job.store, files[2], Filters(latest=True))
        advance(1)
    output.results([*files, job.store.root])
    output.note(
        f"look at {files[0]} and {files[1]}, open {files[2]} in a browser, "
        + at("list the tensors: nca ls", job.store.named)
    )


def _check(files: list[Path], store: Store) -> None:
    """Refuse to write what may not be written, before anything is computed."""
    from nca_cli.outputs import Outputs

    for file in files:
        Outputs(store).check(file)
