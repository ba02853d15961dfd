"""`nca export`, `nca ls` and `nca show`: what is in a store, as files and as text."""

from __future__ import annotations

import json as json_
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from nca_cli.cli import complete
from nca_cli.cli.app import app
from nca_cli.cli.console import (
    Output,
    fail_for,
    print_json,
    print_rows,
    relative,
    size,
    stdout,
    table,
)
from nca_cli.cli.filters import FilterOptions
from nca_cli.cli.groups import grouped
from nca_cli.cli.options import DEFAULT_STORE, Json, StoreDir, opened, option
from nca_cli.errors import LIST_HINT, NcaError, NothingStored, UsageError

if TYPE_CHECKING:
    from rich.table import Table

    from nca_cli.store import Artifact, Filters, Names


@app.command()
@grouped
def export(
    *, out: Annotated[Path | None, option(
        "--out", "-o", metavar="DIR", show_default=False, help="Folder for the files (required)."
    )] = None,
    filters: FilterOptions,
    format: Annotated[str, option(
        "--format", metavar="png|npy",
        help="png for pictures, npy for raw float32 tensors.")] = "png",
    store: StoreDir = DEFAULT_STORE, output: Output,
) -> None:  # fmt: skip
    """Write one file per tensor."""
    from nca_cli.export import export as export_tensors

    if out is None:
        raise UsageError("--out is missing", "nca export -o DIR")
    place = opened(store)
    work = export_tensors(place, out, filters.of(place, output), format=format)
    output.results(list(work))
    fail_for(work.problems)


@app.command()
@grouped
def ls(*, filters: FilterOptions, store: StoreDir = DEFAULT_STORE, json: Json = False) -> None:
    """List the artifacts: model, image, recipe, levels, seeds, size."""
    from nca_cli.store import Names, unmet
    from nca_cli.store.select import holding

    place = opened(store)
    wanted = filters.of(place, Output())
    place.require()
    problems: list[NcaError] = []
    found = holding(place.select(wanted), wanted, problems.append)
    names = Names(found)
    if json:
        rows = ({**_row(each, wanted.keys(each)), "sampler": names.sampler(each)} for each in found)
        print_json([*rows])
    elif found:
        _print_models(found, wanted, names)
    elif not problems:
        raise NothingStored(unmet(place, wanted), LIST_HINT, place.named)
    fail_for(problems)


def _row(artifact: Artifact, keys: list) -> dict:
    return {
        "model": artifact.model,
        "image": artifact.image,
        "artifact": artifact.name,
        "t": sorted({t for t, _ in keys}),
        "seeds": sorted({seed for _, seed in keys}),
        "samples": len(keys),
        "bytes": artifact.bytes,
        "files": [part.path for part in artifact.parts],
    }


def _print_models(found: list[Artifact], wanted: Filters, names: Names) -> None:
    """A heading per model, and below it a row per artifact; an image is named once.

    What tells recipes of one label apart has a column where there are such recipes.
    """
    for model, group in groupby(found, key=lambda artifact: artifact.model):
        artifacts = list(group)
        told = any(map(names.settings, artifacts))
        artifacts = sorted(artifacts, key=_by_step) if told else artifacts
        rows = []
        for _, several in groupby(artifacts, key=lambda artifact: artifact.image):
            for number, artifact in enumerate(several):
                row = _row(artifact, wanted.keys(artifact))
                rows.append((
                    "" if number else names.image(artifact),
                    artifact.name,
                    *([names.settings(artifact)] if told else []),
                    ranges(row["t"]),
                    ranges(row["seeds"]),
                    size(row["bytes"]),
                ))  # fmt: skip
        stdout().print(Text(model), style="bold")
        header = ("image", "artifact", *(["settings"] if told else []), "t", "seeds", "size")
        print_rows(header, rows)


def _by_step(artifact: Artifact) -> tuple[str, bool, str, int, str]:
    """In the order of the store, checkpoints of one training by their steps."""
    step = artifact.step or 0
    return artifact.image, not artifact.is_noise, artifact.label, step, artifact.name


def ranges(numbers: list) -> str:
    """`[100, 200, 300, 555]` → `100…300:100, 555`: evenly spaced runs of three or more together."""
    parts, i = [], 0
    while i < len(numbers):
        j = i + 1
        while j + 1 < len(numbers) and numbers[j + 1] - numbers[j] == numbers[i + 1] - numbers[i]:
            j += 1
        if j - i >= 2:
            step = numbers[i + 1] - numbers[i]
            parts.append(f"{numbers[i]}…{numbers[j]}" + ("" if step == 1 else f":{step}"))
            i = j + 1
        else:
            parts.append(f"{numbers[i]}")
            i += 1
    return ", ".join(parts)


ArtifactPath = Annotated[
    Path,
    typer.Argument(
        metavar="ARTIFACT",
        show_default=False,
        autocompletion=complete.stored_artifacts,
        help="An artifact's file, or model/image/name in the store.",
    ),
]


@app.command()
def show(artifact: ArtifactPath, store: StoreDir = DEFAULT_STORE, json: Json = False) -> None:
    """Show one artifact: tensors, levels, recipe, model and image."""
    found = _find(artifact, store)
    tensors = found.datasets.items()
    details = {
        **_row(found, sorted(found.keys)),
        "datasets": {name: {"shape": shape, "dtype": dtype} for name, (shape, dtype) in tensors},
        **({"checkpoint": found.checkpoint} if found.checkpoint else {}),
        "image_info": found.image_info,
        "model_info": found.model_info,
        "recipe": None if found.is_noise else json_.loads(found.header["recipe"]),
        "written_by": found.header.get("written_by"),
    }
    if json:
        print_json(details, ascii=False)
    else:
        stdout().print(_details(details))


def _find(path: Path, store: Path) -> Artifact:
    """By file, or by its place in the store."""
    given = path.absolute()
    of_file = next((p for p in given.parents if (p / "nca-store.json").is_file()), None)
    root = of_file or store.absolute()
    inside = given.relative_to(root) if given.is_relative_to(root) else path
    place = opened(of_file or store).require()
    for found in place.select():
        stem = inside.as_posix().removesuffix(".h5")
        names = {found.name} | {part.path.name.removesuffix(".h5") for part in found.parts}
        if stem in {f"{found.model}/{found.image}/{name}" for name in names}:
            return found
    raise NothingStored(f"no artifact {path} in {place.root}", LIST_HINT, place.named)


def _details(details: dict) -> Table:
    from nca_cli.images import resolution_of, size_text

    model, image = details["model_info"], details["image_info"]
    space = model["space"]
    rows = {
        "model": f"{model['name']}  ({model['source']})",
        "image": f"{image['name']}  ({image['digest'][:12]}, {image['fit']})",
        "resolution": f"{size_text(resolution_of(space['resolution']))} px",
        "artifact": details["artifact"],
        "t": ranges(details["t"]),
        "seeds": ranges(details["seeds"]),
        "size": size(details["bytes"]),
        **{name: f"{each['shape']} {each['dtype']}" for name, each in details["datasets"].items()},
        "schedule": _listed(space["schedule"]),
        **({"as told": _listed(silent)} if (silent := model.get("silent")) else {}),
        **({"checkpoint": _listed(told)} if (told := details.get("checkpoint")) else {}),
        "recipe": _listed(details["recipe"] or {}) or "none: noise",
        "file": "\n".join(map(relative, details["files"])),
    }
    shown = table(show_header=False)
    shown.add_column(style="dim")
    shown.add_column(overflow="fold")
    for name, value in rows.items():
        shown.add_row(name, Text(value))
    return shown


def _listed(settings: dict) -> str:
    return ", ".join(f"{name} {value}" for name, value in settings.items())
