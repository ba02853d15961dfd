"""`nca import`: reconstructions that other programs made."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nca_cli.cli import options as opt
from nca_cli.cli.app import app
from nca_cli.cli.console import bar, be_quiet, complain, note, plural, results
from nca_cli.cli.interrupt import stop_if_interrupted
from nca_cli.errors import Complain, NcaError, UsageError

if TYPE_CHECKING:
    from nca_cli.imports import Importing, Pair

EXAMPLE = "nca import --model NAME --t 80 ORIGINAL RECON, or nca import --model NAME --csv FILE"


Original = Annotated[
    Path | None,
    typer.Argument(
        metavar="ORIGINAL", show_default=False, help="The image, or float32 (C, H, W) as .npy."
    ),
]
Recon = Annotated[
    Path | None,
    typer.Argument(
        metavar="RECON", show_default=False, help="What was made of it; it sets the size."
    ),
]
Name = Annotated[
    str | None,
    opt.option(
        "--model",
        "-m",
        metavar="NAME",
        show_default=False,
        help="What to call the model (required).",
    ),
]
Level = Annotated[
    str | None,
    opt.option("--t", metavar="T", show_default=False, help="The noise level of the pair."),
]
Csv = Annotated[
    Path | None,
    opt.option(
        "--csv", metavar="FILE", show_default=False,
        help="Many pairs: columns t, original, reconstruction, and if wanted seed, sampler. "
        "Paths are relative to FILE.",
    ),
]  # fmt: skip
Seed = Annotated[
    str, opt.option("--seed", metavar="N", help="Which draw, where the CSV says nothing.")
]
Sampler = Annotated[
    str,
    opt.option(
        "--sampler", "-s", metavar="NAME[-STEPS]",
        help="How it was drawn, where the CSV says nothing.",
    ),
]  # fmt: skip
ScheduleName = Annotated[
    str,
    opt.option(
        "--schedule", metavar="NAME|FILE",
        help="What t means: linear, scaled-linear, cosine, a scheduler_config.json, "
        "or none: t is a label without an SNR.",
    ),
]  # fmt: skip
Replace = Annotated[
    bool, opt.option("--replace", help="Let new pictures take the place of stored ones.")
]


@app.command("import")
def import_(
    original: Original = None, reconstruction: Recon = None, model: Name = None, t: Level = None,
    csv: Csv = None, seed: Seed = "0", sampler: Sampler = "imported",
    schedule: ScheduleName = "linear", fit: opt.Fit = "crop", replace: Replace = False,
    store: opt.StoreDir = opt.DEFAULT_STORE, store_dtype: opt.StoreDtype = "float32",
    json: opt.Json = False, quiet: opt.Quiet = False,
) -> None:  # fmt: skip
    """Take in reconstructions that another program made, to compare them with the same measures."""
    from nca_cli.imports import Importing, named_schedule
    from nca_cli.store import Store

    be_quiet(quiet)
    if not model:
        raise UsageError("no model named", EXAMPLE)
    errors: list[NcaError] = []

    def failed(error: NcaError) -> None:
        stop_if_interrupted()  # what an interrupt hits in a decoder looks like a damaged picture
        errors.append(error)
        complain(error)

    levels = named_schedule(schedule)
    pairs = _pairs(original, reconstruction, t, csv, seed, sampler, failed)
    work = Importing(Store(store), model, pairs, levels, fit=fit, replace=replace,
                     store_dtype=store_dtype, on_error=failed if csv else None)  # fmt: skip
    with bar(work.model, len(work), "pairs") as advance:
        for _ in work:
            advance(1)
    for text in work.notes:
        note(text)
    _end(work, errors, json)


def _pairs(
    original: Path | None, reconstruction: Path | None, t: str | None, csv: Path | None,
    seed: str, sampler: str, failed: Complain,
) -> list[Pair]:  # fmt: skip
    """The pair of the arguments, or those of a CSV file."""
    from nca_cli.imports import Pair, read_csv
    from nca_cli.imports.pairs import parse_level, parse_seed

    if csv is not None:
        if original or t:
            raise UsageError("--csv takes neither pictures nor --t", EXAMPLE)
        return read_csv(csv, seed=parse_seed(seed), sampler=sampler, on_error=failed)
    if original is None or reconstruction is None:
        raise UsageError("a pair of pictures is needed, or --csv", EXAMPLE)
    if t is None:
        raise UsageError("the noise level of the pair is needed", EXAMPLE)
    return [Pair(parse_level(t), original, reconstruction, parse_seed(seed), sampler)]


def _end(work: Importing, errors: list[NcaError], json: bool) -> None:
    """Print the artifacts; fail if a pair failed."""
    stored = f"{work.imported} imported" + (f", {work.cached} there already" if work.cached else "")
    note(f"{work.model} · {plural(len(work), 'pair')}: {stored}")
    paths = [part.path for artifact in work.artifacts for part in artifact.parts]
    results(paths, json, imported=work.imported, cached=work.cached,
            errors=[error.what for error in errors])  # fmt: skip
    if errors:
        note(f"{plural(len(errors), 'pair')} left out, the others are done")
        raise typer.Exit(1)
