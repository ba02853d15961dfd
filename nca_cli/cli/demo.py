"""`nca demo`: the whole of it in one folder, with the models that come with the program."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from nca_cli.cli.app import app
from nca_cli.cli.console import Output
from nca_cli.cli.groups import grouped
from nca_cli.cli.job import Job
from nca_cli.cli.options import option
from nca_cli.cli.stores import opened
from nca_cli.errors import UsageError


@app.command()
@grouped
def demo(
    *, out: Annotated[Path, option(
        "--out", "-o", metavar="DIR", help="Folder for the store and the figures."
    )] = Path("nca-demo"),
    output: Output,
) -> None:  # fmt: skip
    """Noise, reconstruct, draw and report on sample portraits, offline, in about a minute."""
    from nca_cli.commands import at
    from nca_cli.engine import Reconstruction, Request, reconstruction_plans
    from nca_cli.figures.grid import compose_grid
    from nca_cli.images import sample_images
    from nca_cli.report import build_report
    from nca_cli.store import Filters

    if out.exists() and not out.is_dir():
        raise UsageError(f"{out} is not a folder", "choose another: nca demo -o DIR")
    portraits = sample_images("portraits")
    request = Request(portraits, ("demo",), samplers=("one-step", "ddim"), offline=True)
    job = Job(opened(out / "nca-store"), output)
    for plan in reconstruction_plans(request, job.store):
        job.carry_out(plan, Reconstruction(plan), plan.evaluations, "evaluations")
    files = [out / "grid.png", out / "report.html"]
    with output.bar("figures", len(files), "files") as advance:
        first = portraits[0].stem
        compose_grid(job.store, Filters(images=(first,))).save(files[0])
        advance(1)
        build_report(job.store, files[1])
        advance(1)
    output.results([*files, job.store.root])
    output.note(
        f"look at {files[0]}, open {files[1]} in a browser, "
        + at("list the tensors: nca ls", job.store.named)
    )
