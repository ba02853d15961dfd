"""What the shell offers after Tab: the words an option knows, and the names in a store.

A store is looked at by its folder names alone; whatever is wrong with it, nothing is offered.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import typer

from nca_cli.cli.stores import usual_store
from nca_cli.samplers import METHODS


def words(metavar: str) -> Callable[[str], list[str]] | None:
    """Completion by the words of a metavar such as `crop|pad`; `None` where it has none."""
    known = [word for word in metavar.split("|") if word.islower()]
    return (lambda incomplete: _fitting(known, incomplete)) if known else None


def shown(incomplete: str) -> list[str]:
    """What a grid can show, for the last name of a list."""
    from nca_cli.figures.grid.layouts import SHOW

    before, comma, last = incomplete.rpartition(",")
    left = (name for name in SHOW if name not in before.split(","))
    return [before + comma + name for name in _fitting(left, last)]


def measures(incomplete: str) -> list[tuple[str, str]]:
    """Measures, each with what it is."""
    from nca_cli.metrics import METRICS

    return [(name, each.what) for name, each in METRICS.items() if name.startswith(incomplete)]


def models(incomplete: str) -> list[tuple[str, str]]:
    """Aliases, each with what it is."""
    from nca_cli.models.aliases import ALIASES

    return [(name, each.what) for name, each in ALIASES.items() if name.startswith(incomplete)]


def samplers(incomplete: str) -> list[str]:
    """The samplers there are."""
    return _fitting(METHODS, incomplete)


def stored_models(ctx: typer.Context, incomplete: str) -> list[str]:
    """Stored names, and the aliases of stored models."""
    from nca_cli.models.aliases import ALIASES

    stored = {name.rpartition("-")[0] for name in _folders(_root(ctx))}
    aliases = (name for name, each in ALIASES.items() if each.source.rpartition("/")[2] in stored)
    return _fitting([*aliases, *sorted(stored)], incomplete)


def stored_images(ctx: typer.Context, incomplete: str) -> list[str]:
    """Stems of stored images."""
    root = _root(ctx)
    folders = (image for model in _folders(root) for image in _folders(root / model))
    return _fitting(sorted({image.rpartition("-")[0] for image in folders}), incomplete)


def stored_samplers(ctx: typer.Context, incomplete: str) -> list[str]:
    """Samplers that are stored, with their steps."""
    stems = {name.rpartition("-")[0] for _, _, name in _artifacts(_root(ctx))}
    return _fitting(sorted(stems - {""}), incomplete)


def stored_recipes(ctx: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """Digests of stored recipes, each with its sampler."""
    names = {name.rpartition("-")[::2] for _, _, name in _artifacts(_root(ctx))}
    return sorted(
        (digits, sampler) for sampler, digits in names if sampler and digits.startswith(incomplete)
    )


def stored_artifacts(ctx: typer.Context, incomplete: str) -> list[str]:
    """`model/image/name` of each artifact."""
    return _fitting(sorted(map("/".join, _artifacts(_root(ctx)))), incomplete)


def _root(ctx: typer.Context) -> Path:
    return Path(ctx.params.get("store") or usual_store())


def _artifacts(root: Path) -> set[tuple[str, ...]]:
    """Model, image and name, by the files' own; parts of one artifact are one."""
    files = (path for path in root.glob("*/*/*.h5") if not path.parts[-3].startswith("."))
    return {(*path.parts[-3:-1], path.name.partition(".")[0]) for path in files}


def _folders(root: Path) -> Iterator[str]:
    try:
        found = [path.name for path in root.iterdir() if path.is_dir()]
    except OSError:
        return
    yield from (name for name in sorted(found) if not name.startswith("."))


def _fitting(names: Iterable[str], incomplete: str) -> list[str]:
    return [name for name in dict.fromkeys(names) if name.startswith(incomplete)]
