"""`nca verify`, `nca pack` and `nca rm`: keeping a store in order."""

from __future__ import annotations

import json as json_
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nca_cli.cli import options as opt
from nca_cli.cli.app import app
from nca_cli.cli.console import bar, be_quiet, note, plural, relative, results, size
from nca_cli.cli.filters import filters
from nca_cli.errors import NothingStored, UsageError

if TYPE_CHECKING:
    from nca_cli.store.verify import Finding


@app.command()
def verify(
    repair: Annotated[
        bool,
        opt.option("--repair", help="Set damaged files aside, so that they are computed again."),
    ] = False,
    store: opt.StoreDir = opt.DEFAULT_STORE,
    json: opt.Json = False,
    quiet: opt.Quiet = False,
) -> None:
    """Read every artifact and compare its content with its digest."""
    from nca_cli.store import Store
    from nca_cli.store.verify import verify as verify_store

    be_quiet(quiet)
    place = Store(store).require()
    work = verify_store(place, repair=repair)
    findings = []
    with bar("verify", len(work), "files") as advance:
        for finding in work:
            findings.append(finding)
            advance(1)
    bad = [finding for finding in findings if not finding.ok]
    if json:
        typer.echo(json_.dumps([_finding(finding) for finding in findings]))
    else:
        results([finding.path for finding in bad], as_json=False)
    for finding in bad:
        note(f"{relative(finding.path)}: {finding.reason}")
        if finding.command:
            note(f"  to compute it again: {finding.command}")
    aside = sum(finding.set_aside is not None for finding in bad)
    note(
        f"{plural(len(findings), 'file')} read, {len(bad)} damaged"
        + (f", {aside} set aside" if aside else "")
    )
    if not (repair or place.packed) and any(finding.command for finding in bad):
        note(
            " ".join(["before that, set aside what is damaged: nca verify --repair", *place.named])
        )
    if len(bad) > aside:
        raise typer.Exit(1)


def _finding(finding: Finding) -> dict:
    return {
        "path": str(finding.path),
        "ok": finding.ok,
        "reason": finding.reason,
        "command": finding.command,
        "set_aside": finding.set_aside and str(finding.set_aside),
        "stale": finding.stale,
    }


@app.command()
def pack(
    out: Annotated[
        Path | None,
        opt.option(
            "--out",
            "-o",
            metavar="PATH",
            show_default="<store>.h5, or <file> without .h5",
            help="The packed file, or with --unpack the folder.",
        ),
    ] = None,
    unpack: Annotated[
        bool, opt.option("--unpack", help="Make a folder of a packed file again.")
    ] = False,
    store: opt.StoreDir = opt.DEFAULT_STORE,
    json: opt.Json = False,
    quiet: opt.Quiet = False,
) -> None:
    """Join a store into one self-contained, read-only HDF5 file."""
    from nca_cli.store import Store
    from nca_cli.store.pack import pack as pack_store
    from nca_cli.store.pack import unpack as unpack_store

    be_quiet(quiet)
    source = Store(store).require()
    if source.packed != unpack:
        raise UsageError(
            f"{store} is {'a packed file' if source.packed else 'a folder'}",
            f"give --store {'a folder' if source.packed else 'a packed file'}, "
            f"or {'add' if source.packed else 'leave out'} --unpack",
        )
    if unpack:
        target = out or store.with_suffix("")
        unpack_store(store, target)
    else:
        target = out or store.with_name(store.name + ".h5")
        with bar("pack", len(list(source.all_parts())), "files") as advance:
            pack_store(source, target, progress=lambda done: advance(1 if done else 0))
    results([target], json)


@app.command()
def rm(
    t: opt.TFilter = None,
    seed: opt.SeedFilter = None,
    image: opt.ImageFilter = None,
    model: opt.ModelFilters = None,
    sampler: opt.SamplerFilter = None,
    recipe: opt.RecipeFilter = None,
    yes: Annotated[
        bool, opt.option("--yes", help="Really delete; without it, only say what would go.")
    ] = False,
    store: opt.StoreDir = opt.DEFAULT_STORE,
    json: opt.Json = False,
    quiet: opt.Quiet = False,
) -> None:
    """Delete what the filters take. x_t stays while a reconstruction refers to it."""
    from nca_cli.store import Store
    from nca_cli.store.remove import kept_noise, removal

    be_quiet(quiet)
    place, wanted = Store(store).require(), filters(t, seed, image, model, sampler, recipe)
    doomed = removal(place, wanted)
    if not doomed:
        hint = " ".join(["see all of it: nca ls", *place.named])
        raise NothingStored(f"{store} holds nothing that fits", hint)
    for artifact, keys, count in doomed:
        note(
            f"{artifact.model}/{artifact.image}/{artifact.name}: "
            f"{plural(len(keys), 'sample')}, {size(count)}"
        )
    if kept := sum(len(keys) for _, keys in kept_noise(place, wanted)):
        note(f"{plural(kept, 'x_t')} kept: reconstructions start from them")
    total = sum(count for _, _, count in doomed)
    if not yes:
        raise UsageError(
            f"this would delete {size(total)}; nothing was deleted", "add --yes to delete"
        )
    freed = sum(place.remove(artifact, keys) for artifact, keys, _ in doomed)
    if json:
        typer.echo(
            json_.dumps({"bytes": freed, "samples": sum(len(keys) for _, keys, _ in doomed)})
        )
    note(f"{size(freed)} freed")
