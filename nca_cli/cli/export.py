"""`nca export`: stored tensors as plain files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from nca_cli.cli.app import app
from nca_cli.cli.console import Output
from nca_cli.cli.filters import FilterOptions
from nca_cli.cli.groups import grouped
from nca_cli.cli.options import StoreDir, option
from nca_cli.cli.stores import DEFAULT_STORE, opened
from nca_cli.errors import UsageError


@app.command()
@grouped
def export(
    *, out: Annotated[Path | None, option(
        "--out", "-o", metavar="DIR", show_default=False, help="Folder for the files (required)."
    )] = None,
    filters: FilterOptions,
    format: Annotated[str, option(
        "--format", metavar="png|npy", help="Pictures, or raw float32 tensors.")] = "png",
    store: StoreDir = DEFAULT_STORE, output: Output,
) -> None:  # fmt: skip
    """Write one file per tensor."""
    from nca_cli.export import export as export_tensors

    if out is None:
        raise UsageError("no folder to export to", "nca export -o DIR")
    output.results(list(export_tensors(opened(store), out, filters.parsed(), format=format)))
