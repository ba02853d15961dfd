"""`nca verify`, `pack`, `merge`, `rm` and `cache`: stores and the cache, kept in order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from nca_cli.cli.app import app
from nca_cli.cli.console import Output, fail_for, plural, print_json, relative, size, stdout
from nca_cli.cli.filters import FilterOptions
from nca_cli.cli.groups import grouped
from nca_cli.cli.options import DEFAULT_STORE, StoreDir, opened, option
from nca_cli.errors import LIST_HINT, NcaError, NothingStored, Unconfirmed, UsageError

if TYPE_CHECKING:
    from nca_cli.store.verify import Finding


@app.command()
@grouped
def verify(
    *, repair: Annotated[bool, option(
        "--repair", help="Set damaged files aside, so that they are computed again.")] = False,
    yes: Annotated[bool, option(
        "--yes",
        help="With --repair, include what cannot be computed again: imports, and lost images."
    )] = False,
    store: StoreDir = DEFAULT_STORE, output: Output,
) -> None:  # fmt: skip
    """Read every artifact and compare its content with its digest."""
    from nca_cli.commands import at, fill, lasting
    from nca_cli.store import NAME_HINT
    from nca_cli.store.verify import verify as verify_store

    place = opened(store).require(NAME_HINT)
    keep = (lambda gap: False) if yes else lasting
    work = verify_store(place, repair=repair, command=fill, keep=keep)
    findings = []
    with output.bar("verify", len(work), "files") as advance:
        for finding in work:
            findings.append(finding)
            advance(1)
    bad = [finding for finding in findings if not finding.ok]
    if output.json:
        print_json([asdict(finding) for finding in findings])
    else:
        output.results([finding.path for finding in bad])
    for finding in bad:
        output.note(*_lines(finding))
    output.note(_summary(findings))
    if any(finding.kept for finding in bad):
        output.note(at("files that cannot be computed again were left in place; to set them aside: "
                       "nca verify --repair --yes", place.named))  # fmt: skip
    if not (repair or place.packed) and any(finding.command for finding in bad):
        output.note(at("first set damaged files aside: nca verify --repair", place.named))
    if not all(finding.repaired for finding in bad):
        raise typer.Exit(1)


def _lines(finding: Finding) -> Iterator[str]:
    """What is wrong with a file, and what to do about it."""
    state = "could not be checked: " if finding.unchecked else ""
    yield f"{relative(finding.path)}: {state}{finding.reason}"
    if finding.command:
        yield f"  to compute it again: {finding.command}"
    if finding.hint:
        yield f"  {finding.hint}"


def _summary(findings: Sequence[Finding]) -> str:
    """How many files are in which state."""
    bad = [finding for finding in findings if not finding.ok]
    counts = {
        "damaged": sum(not finding.unchecked for finding in bad),
        "set aside": sum(finding.set_aside is not None for finding in bad),
        "could not be checked": sum(finding.unchecked for finding in bad),
    }
    told = [f"{count} {what}" for what, count in counts.items() if count or what == "damaged"]
    return ", ".join([f"{plural(len(findings), 'file')} read", *told])


@app.command()
@grouped
def pack(
    *, out: Annotated[Path | None, option(
        "--out", "-o", metavar="PATH", show_default="<store>.h5, or <file> without .h5",
        help="The packed file; with --unpack, the folder.")] = None,
    unpack: Annotated[bool, option(
        "--unpack", help="Turn a packed file back into a folder.")] = False,
    store: StoreDir = DEFAULT_STORE, output: Output,
) -> None:  # fmt: skip
    """Join a store into one self-contained, read-only HDF5 file."""
    from nca_cli.store import NAME_HINT
    from nca_cli.twins import pack_store, unpack_store

    source = opened(store).require(NAME_HINT)
    if source.packed != unpack:
        raise UsageError(
            f"{store} is {'a packed file' if source.packed else 'a folder'}",
            f"{'add' if source.packed else 'leave out'} --unpack, "
            f"or give {'a folder' if source.packed else 'a packed file'}",
        )
    if unpack:
        target = out or store.with_suffix("")
        unpack_store(store, target)
    else:
        target = out or store.with_name(store.name + ".h5")
        with output.bar("pack", len(list(source.all_parts())), "files") as advance:
            pack_store(source, target, progress=lambda done: advance(1 if done else 0))
    output.results([target])


@app.command()
@grouped
def merge(
    others: Annotated[list[Path], typer.Argument(
        metavar="STORES...", help="Stores to copy from: folders or packed files. They are not "
        "changed.")], *,
    store: StoreDir = DEFAULT_STORE, output: Output,
) -> None:  # fmt: skip
    """Copy what is missing in a store from other stores, such as those of several machines."""
    from nca_cli.store import NAME_HINT
    from nca_cli.store.union import merge_stores

    sources, target = [opened(each).require(NAME_HINT) for each in others], opened(store)
    output.begins(target)
    total = sum(1 for source in sources for _ in source.all_parts())
    with output.bar("merge", total, "files") as advance:
        found = merge_stores(target, *sources, tick=advance)
    if output.json:
        print_json(
            {
                "taken": found.taken,
                "there": found.there,
                "errors": [each.what for each in found.errors],
            }
        )
    output.note(f"{plural(found.taken, 'sample')} taken, {found.there} were there")
    fail_for(found.errors)


@app.command()
@grouped
def rm(
    *, filters: FilterOptions,
    yes: Annotated[bool, option(
        "--yes", help="Really delete; without it, only list what would be deleted.")] = False,
    store: StoreDir = DEFAULT_STORE, output: Output,
) -> None:  # fmt: skip
    """Delete what the filters select. x_t is kept while a reconstruction refers to it."""
    from nca_cli.store import NAME_HINT, unmet
    from nca_cli.store.remove import kept_noise, removal

    place = opened(store)
    wanted = filters.of(place, output)
    place.require(NAME_HINT)
    problems: list[NcaError] = []
    doomed = removal(place, wanted, problems.append)
    if not doomed and problems:
        fail_for(problems)
    if not doomed:
        raise NothingStored(unmet(place, wanted), LIST_HINT, place.named)
    for artifact, keys, count in doomed:
        where = f"{artifact.model}/{artifact.image}/{artifact.name}"
        output.note(f"{where}: {plural(len(keys), 'sample')}, {size(count)}")
    if kept := sum(len(keys) for _, keys in kept_noise(place, wanted, problems.append)):
        output.note(f"{plural(kept, 'x_t')} kept: reconstructions start from them")
    total = sum(count for _, _, count in doomed)
    if not yes:
        raise Unconfirmed(f"this would delete {plural(len(doomed), 'artifact')} ({size(total)})")
    freed = sum(place.remove(artifact, keys) for artifact, keys, _ in doomed)
    if output.json:
        samples = sum(len(keys) for _, keys, _ in doomed)
        print_json({"bytes": freed, "samples": samples})
    output.note(f"{size(freed)} freed")
    fail_for(problems)


@app.command()
@grouped
def cache(
    *, clear: Annotated[str | None, option(
        "--clear", metavar="all|stale", show_default="none",
        help="Delete all of them, or those whose checkpoint is gone (stale).")] = None,
    yes: Annotated[bool, option(
        "--yes", help="Really delete; without it, only list what would be deleted.")] = False,
    output: Output,
) -> None:  # fmt: skip
    """List or delete converted checkpoints. What is deleted is converted again when needed."""
    from nca_cli.models.checkpoints import kept

    if clear not in (None, "all", "stale"):
        raise UsageError(f"--clear {clear!r} is unknown", "one of: all, stale")
    found = kept.converted()
    doomed = [each for each in found if clear and (clear == "all" or not each.current)]
    for each in (doomed if clear else found) if not output.json else ():
        state = "" if each.current else "  (its checkpoint is gone)"
        stdout().print(Text(f"{size(each.bytes)}  {each.source or each.folder}{state}"))
    total = sum(each.bytes for each in doomed)
    if doomed and not yes:
        what = f"this would delete {plural(len(doomed), 'converted checkpoint')} ({size(total)})"
        raise Unconfirmed(what)
    freed = kept.clear(doomed)
    if output.json:
        rows = [{**asdict(each), "current": each.current} for each in found if each not in doomed]
        print_json({"kept": rows, "bytes": freed}, ascii=False)
    whole = sum(each.bytes for each in found)
    held = f"{plural(len(found), 'converted checkpoint')}, {size(whole)}"
    output.note(f"{size(freed)} freed" if clear else held)
