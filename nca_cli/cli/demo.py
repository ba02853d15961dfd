"""`nca demo`: the whole of it in one folder, with the models that come with the program."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from nca_cli.cli import options as opt
from nca_cli.cli.app import app
from nca_cli.cli.compute import Run
from nca_cli.cli.console import bar, be_quiet, note, results
from nca_cli.errors import UsageError


@app.command()
def demo(
    out: Annotated[
        Path, opt.option("--out", "-o", metavar="DIR", help="Folder for the store and the figures.")
    ] = Path("nca-demo"),
    json: opt.Json = False,
    quiet: opt.Quiet = False,
) -> None:
    """Noise, reconstruct, draw and report on sample portraits, offline, in about a minute."""
    from nca_cli.engine import Reconstruction, Request, reconstruction_plans
    from nca_cli.figures.grid import compose_grid
    from nca_cli.images import sample_images
    from nca_cli.report import build_report
    from nca_cli.store import Filters, Store

    be_quiet(quiet)
    if out.exists() and not out.is_dir():
        raise UsageError(f"{out} is not a folder", "choose another: nca demo -o DIR")
    portraits = sample_images("portraits")
    request = Request(portraits, ("demo",), samplers=("one-step", "ddim"), offline=True)
    run = Run(out / "nca-store")
    for plan in reconstruction_plans(request, run.store):
        run.carry_out(plan, Reconstruction(plan), plan.evaluations, "evaluations")
    store = Store(run.store.root)
    files = [out / "grid.png", out / "report.html"]
    with bar("figures", len(files), "files") as advance:
        first = portraits[0].stem
        compose_grid(store, Filters(images=(first,))).save(files[0])
        advance(1)
        build_report(store, files[1])
        advance(1)
    results([*files, store.root], json)
    note(
        f"look at {files[0]}, open {files[1]} in a browser, "
        f"list the tensors: nca ls --store {store.root}"
    )
