"""What networks are told beside x_t: labels, prompts and guidance, of all images or of each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from nca_cli.csv_files import TextTable, number_or_name, read_table
from nca_cli.errors import UsageError
from nca_cli.images import Source
from nca_cli.models import Model

if TYPE_CHECKING:
    from nca_cli.engine.request import Request

NEEDED = "columns image, and label or prompt"


class Said(NamedTuple):
    """What a network is told of an image."""

    label: int | None = None
    prompt: str | None = None


def asked_of(
    request: Request, images: Sequence[Source]
) -> Iterator[tuple[Request, Sequence[Source]]]:
    """The request with one label, one prompt and one guidance, and the images that it is about.

    Several of them are a request each; a table of labels says them image by image. Raises
    `UsageError`.
    """
    weights = several(request.guidance)
    if request.labels is None:
        for label, prompt, weight in product(
            several(request.label), several(request.prompt), weights
        ):
            yield replace(request, label=label, prompt=prompt, guidance=weight), images
        return
    if request.label is not None or request.prompt is not None:
        option = "--label" if request.label is not None else "--prompt"
        raise UsageError(f"{option} and --labels exclude each other", "give one of them")
    groups: dict[Said, list[Source]] = {}
    for image, said in _by_image(request.labels, images):
        groups.setdefault(said, []).append(image)
    for said, some in groups.items():
        for weight in weights:
            yield replace(request, **said._asdict(), labels=None, guidance=weight), some


def several(values: Any) -> Sequence[Any]:
    """What was asked for, or `None` alone: what the model says. A text is one value."""
    one = isinstance(values, str) or not isinstance(values, Sequence)
    return [values] if one else list(dict.fromkeys(values)) or [None]


def _by_image(path: Path, images: Sequence[Source]) -> Iterator[tuple[Source, Said]]:
    """Each image with what a table says of it; with each of several rows. Raises `UsageError`."""
    table = read_table(path)
    rows = _rows(table)
    for image in images:
        names = dict.fromkeys((str(image), image.name, image.stem, *_ends(str(image))))
        found = [said for name in names for said in rows.get(number_or_name(name), ())]
        if not found:
            raise UsageError(f"{path} has no row for {image}", "add a row, or leave the image out")
        yield from ((image, said) for said in dict.fromkeys(found))


def _ends(path: str) -> Iterator[str]:
    """`a/b/c.png` → `b/c.png`: a table may name images from its own folder on."""
    parts = path.split("/")
    return ("/".join(parts[start:]) for start in range(1, len(parts) - 1))


def _rows(table: TextTable) -> Mapping[str, list[Said]]:
    """Name of an image → what is said of it."""
    image = table.image
    told = {name: table.lower.index(name) for name in Said._fields if name in table.lower}
    if table.twice:
        raise UsageError(f"{table.path}: column {table.twice} comes twice", NEEDED)
    if image is None or not told:
        missing = "image" if image is None else "label or prompt"
        raise UsageError(f"{table.path}: no column {missing}", NEEDED)
    rows: dict[str, list[Said]] = {}
    for where, cells in table.rows:
        values = {name: _value(name, cells[at], where) for name, at in told.items()}
        rows.setdefault(number_or_name(cells[image].removeprefix("./")), []).append(Said(**values))
    return rows


def _value(column: str, cell: str, where: str) -> Any:
    """A label as a number; an empty cell says nothing."""
    if column == "prompt" or not cell:
        return cell or None
    if not cell.isdecimal():
        raise UsageError(
            f"{where}: label {cell!r} is not a whole number from 0", "of a class, from 0"
        )
    return int(cell)


def conditions_for(request: Request, model: Model, models: Iterable[Model]) -> Request:
    """The request without label and prompt where `model` does not take them and others do.

    What none of them takes stays, and is refused.
    """
    label = model.classes is not None or not any(each.classes is not None for each in models)
    prompt = model.takes_prompt or not any(each.takes_prompt for each in models)
    mine = replace(
        request, label=request.label if label else None, prompt=request.prompt if prompt else None
    )
    unconditional = mine != request and mine.label is None and mine.prompt is None
    return replace(mine, guidance=None) if unconditional else mine


def ignored_options(request: Request, mine: Request, model: Model) -> tuple[str, ...]:
    """A note on the conditions that were left out for a model."""
    options = ("label", "prompt", "guidance")
    left = [f"--{name}" for name in options if getattr(mine, name) != getattr(request, name)]
    return (f"{model.name} takes no {' and no '.join(left)}",) if left else ()
