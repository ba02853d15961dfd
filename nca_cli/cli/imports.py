"""`nca import`: reconstructions that other programs made."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nca_cli.cli.app import app
from nca_cli.cli.console import Output, complain, plural
from nca_cli.cli.groups import grouped, option_group
from nca_cli.cli.interrupt import stop_if_interrupted
from nca_cli.cli.options import DEFAULT_STORE, Fit, StoreDir, StoreDtype, opened, option
from nca_cli.errors import Complain, NcaError, UsageError

if TYPE_CHECKING:
    from nca_cli.imports import Importing, Pair

EXAMPLE = "nca import --model NAME --t 80 ORIGINAL RECON, or nca import --model NAME --csv FILE"


@option_group
class PairOptions:
    """One pair of pictures, or a CSV file of many."""

    # fmt: off
    original: Annotated[Path | None, typer.Argument(
        metavar="ORIGINAL", show_default=False,
        help="The original image, or float32 (C, H, W) in [-1, 1] as .npy."
    )] = None
    reconstruction: Annotated[Path | None, typer.Argument(
        metavar="RECON", show_default=False, help="Its reconstruction, whose size is used for both."
    )] = None
    model: Annotated[str | None, option(
        "--model", "-m", metavar="NAME", show_default=False,
        help="Name of the model (required).")] = None
    t: Annotated[str | None, option(
        "--t", metavar="T", show_default=False, help="The noise level of the pair.")] = None
    csv: Annotated[Path | None, option(
        "--csv", metavar="FILE", show_default=False,
        help="Table of pairs: columns t, original, reconstruction, and optionally seed, sampler. "
        "Paths are relative to FILE.")] = None
    seed: Annotated[str, option(
        "--seed", metavar="N", help="Seed, unless the CSV gives one.")] = "0"
    sampler: Annotated[str, option(
        "--sampler", "-s", metavar="NAME[-STEPS]",
        help="Sampler, unless the CSV gives one.")] = "imported"
    # fmt: on

    def parsed(self, failed: Complain) -> list[Pair]:
        """The pair of the arguments, or those of the CSV file. Raises `UsageError`."""
        from nca_cli.imports import Pair, read_csv
        from nca_cli.imports.pairs import parse_level, parse_seed

        if self.csv is not None:
            if self.original or self.t:
                raise UsageError("--csv takes neither pictures nor --t", EXAMPLE)
            return read_csv(
                self.csv, seed=parse_seed(self.seed), sampler=self.sampler, on_error=failed
            )
        if self.original is None or self.reconstruction is None:
            raise UsageError("give an original and its reconstruction, or --csv", EXAMPLE)
        if self.t is None:
            raise UsageError("--t is missing: the noise level of the pair", EXAMPLE)
        return [Pair(parse_level(self.t), self.original, self.reconstruction,
                     parse_seed(self.seed), self.sampler)]  # fmt: skip


@app.command("import")
@grouped
def import_(
    *, given: PairOptions,
    schedule: Annotated[str, option(
        "--schedule", metavar="NAME|FILE",
        help="What t means: linear, scaled-linear, cosine, a scheduler_config.json, "
        "or none: t is a label without an SNR.")] = "linear",
    fit: Fit = "crop",
    replace: Annotated[bool, option(
        "--replace", help="Replace stored pictures by new ones.")] = False,
    store: StoreDir = DEFAULT_STORE, store_dtype: StoreDtype = "float32", output: Output,
) -> None:  # fmt: skip
    """Import reconstructions that another program made, to compare them with the same metrics."""
    from nca_cli.imports import Importing, named_schedule

    if not given.model:
        raise UsageError("--model is missing", EXAMPLE)
    errors: list[NcaError] = []

    def failed(error: NcaError) -> None:
        stop_if_interrupted()  # what an interrupt hits in a decoder looks like a damaged picture
        errors.append(error)
        complain(error)

    levels, pairs = named_schedule(schedule), given.parsed(failed)
    work = Importing(opened(store), given.model, pairs, levels, fit=fit, replace=replace,
                     store_dtype=store_dtype, on_error=failed if given.csv else None)  # fmt: skip
    output.begins(work.store)
    with output.bar(work.model, len(work), "pairs") as advance:
        for _ in work:
            advance(1)
    output.note(*work.notes)
    _end(work, errors, output)


def _end(work: Importing, errors: list[NcaError], output: Output) -> None:
    """Print the artifacts; fail if a pair failed."""
    stored = f"{work.imported} imported" + (f", {work.cached} there already" if work.cached else "")
    output.note(f"{work.model} · {plural(len(work), 'pair')}: {stored}")
    paths = [part.path for artifact in work.artifacts for part in artifact.parts]
    output.results(paths, imported=work.imported, cached=work.cached,
                   errors=[error.what for error in errors])  # fmt: skip
    if errors:
        others = ", the others are done" if work.imported + work.cached else ""
        output.note(f"{plural(len(errors), 'pair')} left out{others}")
        raise typer.Exit(1)
