"""`nca models` and `nca doctor`: what can be run, and what would go wrong here."""

from __future__ import annotations

import json as json_
from dataclasses import asdict

import typer

from nca_cli.cli import options as opt
from nca_cli.cli.app import app
from nca_cli.cli.console import stdout


@app.command()
def models(json: opt.Json = False) -> None:
    """List the built-in names: what, resolution, sampler, licence, whether on this disk."""
    from nca_cli.models import list_models

    rows = list_models()
    if json:
        typer.echo(json_.dumps([asdict(row) for row in rows]))
        return
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for name in ("name", "what", "pixels", "sampler", "licence", "on disk"):
        table.add_column(name, justify="right" if name == "pixels" else "left", overflow="fold")
    for row in rows:
        table.add_row(
            row.name,
            row.what,
            str(row.resolution),
            row.sampler,
            row.licence,
            "yes" if row.on_disk else "no",
        )
    stdout().print(table)
    stdout().print(
        "Any hub id (org/name, org/name@revision) or local diffusers folder works too.", style="dim"
    )


@app.command()
def doctor(
    store: opt.StoreDir = opt.DEFAULT_STORE, offline: opt.Offline = False, json: opt.Json = False
) -> None:
    """Check this machine: versions, imports, devices, the store's disk and locks, hub access."""
    from nca_cli.doctor import examine

    findings = list(examine(store, offline=offline))
    if json:
        typer.echo(json_.dumps([asdict(finding) for finding in findings]))
    else:
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
        marks = {"good": ("ok", "green"), "note": ("note", "yellow"), "bad": ("bad", "bold red")}
        for finding in findings:
            mark, style = marks[finding.state]
            hint = f"\n{finding.hint}" if finding.hint else ""
            table.add_row(Text(mark, style=style), finding.what, Text(finding.found + hint))
        stdout().print(table)
    if any(finding.state == "bad" for finding in findings):
        raise typer.Exit(1)
