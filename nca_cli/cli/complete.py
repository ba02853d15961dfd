"""What the shell offers after Tab: names of models, samplers and stored images.

A store is looked at by its folder names alone; whatever is wrong with it, nothing is offered.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import typer

from nca_cli.recipe import SAMPLERS


def models(incomplete: str) -> list[tuple[str, str]]:
    """Aliases, each with what it is."""
    from nca_cli.models.aliases import ALIASES

    return [(name, each.what) for name, each in ALIASES.items() if name.startswith(incomplete)]


def samplers(incomplete: str) -> list[str]:
    """The samplers there are."""
    return _fitting(SAMPLERS, incomplete)


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
    files = (path.name for path in _root(ctx).glob("*/*/*.h5"))
    stems = {name.partition(".")[0].rpartition("-")[0] for name in files}
    return _fitting(sorted(stems - {""}), incomplete)


def _root(ctx: typer.Context) -> Path:
    return Path(ctx.params.get("store") or os.environ.get("NCA_STORE") or "nca-store")


def _folders(root: Path) -> Iterator[str]:
    try:
        found = [path.name for path in root.iterdir() if path.is_dir()]
    except OSError:
        return
    yield from (name for name in sorted(found) if not name.startswith("."))


def _fitting(names: Iterable[str], incomplete: str) -> list[str]:
    return [name for name in dict.fromkeys(names) if name.startswith(incomplete)]
