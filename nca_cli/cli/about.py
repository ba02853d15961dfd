"""`nca models` and `nca doctor`: what can be run, and what would go wrong here."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict
from typing import TYPE_CHECKING

import typer
from rich.text import Text

from nca_cli.cli import options as opt
from nca_cli.cli.app import app
from nca_cli.cli.console import NARROW, print_json, stdout, table
from nca_cli.cli.stores import DEFAULT_STORE

if TYPE_CHECKING:
    from rich.table import Table

    from nca_cli.models.find import ModelRow

LEAST = {"pixels": NARROW, "licence": 100}
"""Columns of a terminal from which on there is room for these too."""


@app.command()
def models(json: opt.Json = False) -> None:
    """List the built-in names: what, resolution, sampler, licence, whether on this disk."""
    from nca_cli.models import list_models

    rows = list_models()
    if json:
        print_json([asdict(row) for row in rows])
        return
    stdout().print(_models_table(rows, stdout().width))
    stdout().print(
        "Any hub id (org/name, org/name@revision) or local diffusers folder works too; so do "
        "adm:FILE.pt (guided-diffusion), ldm:FILE.ckpt (CompVis) and module:factory (your own).",
        style="dim",
    )


def _models_table(rows: list[ModelRow], width: int) -> Table:
    """What a model is may take several lines, in whole words; a narrow one leaves things out."""
    left_out = {name for name, least in LEAST.items() if width < least}
    shown = table()
    lines = [_cells(row, left_out) for row in rows]
    for name in lines[0]:
        right = name == "pixels"
        shown.add_column(name, justify="right" if right else "left", no_wrap=name != "what")
    for cells in lines:
        shown.add_row(*cells.values())
    return shown


def _cells(row: ModelRow, left_out: Collection[str]) -> dict[str, str]:
    """Column → what it says of a model."""
    cells = {
        "name": row.name,
        "what": row.what,
        "pixels": str(row.resolution or ""),
        "sampler": row.sampler,
        "licence": row.licence,
        "on disk": "yes" if row.on_disk else "no",
    }
    return {name: text for name, text in cells.items() if name not in left_out}


@app.command()
def doctor(
    store: opt.StoreDir = DEFAULT_STORE, offline: opt.Offline = False, json: opt.Json = False
) -> None:
    """Check this machine: versions, imports, devices, the store's disk and locks, hub access."""
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
