"""What the shell offers after Tab: the words an option knows, and the names in a store.

A store is looked at by its folder names alone; whatever is wrong with it, nothing is offered.
"""

from __future__ import annotations

from pathlib import Path

import typer

from nca_cli.cli.options import fitting, usual_store
from nca_cli.samplers import METHODS


def shown(incomplete: str) -> list[str]:
    """What a grid can show, for the last name of a list."""
    from nca_cli.figures.grid.layouts import SHOW

    before, comma, last = incomplete.rpartition(",")
    left = (name for name in SHOW if name not in before.split(","))
    return [before + comma + name for name in fitting(left, last)]


def metrics(incomplete: str) -> list[tuple[str, str]]:
    """Measures, each with what it is."""
    from nca_cli.metrics import METRICS

    return [(name, each.what) for name, each in METRICS.items() if name.startswith(incomplete)]


def models(incomplete: str) -> list[tuple[str, str]]:
    """Aliases, each with what it is."""
    from nca_cli.models.aliases import ALIASES

    return [(name, each.what) for name, each in ALIASES.items() if name.startswith(incomplete)]


def runs(incomplete: str) -> list[str]:
    """The runs that ship; the shell knows folders."""
    from nca_cli.runs.find import BUILT_IN_RUNS

    return fitting(BUILT_IN_RUNS, incomplete)


def samplers(incomplete: str) -> list[str]:
    """The samplers there are."""
    return fitting(METHODS, incomplete)


def stored_models(ctx: typer.Context, incomplete: str) -> list[str]:
    """Stored names, and the aliases of stored models."""
    from nca_cli.models.aliases import ALIASES

    stored = {model.rpartition("-")[0] for (model,) in _stored(ctx, "*/")}
    aliases = (name for name, each in ALIASES.items() if each.source.rpartition("/")[2] in stored)
    return fitting([*aliases, *sorted(stored)], incomplete)


def stored_images(ctx: typer.Context, incomplete: str) -> list[str]:
    """Stems of stored images."""
    stems = {image.rpartition("-")[0] for _, image in _stored(ctx, "*/*/")}
    return fitting(sorted(stems), incomplete)


def stored_samplers(ctx: typer.Context, incomplete: str) -> list[str]:
    """Samplers that are stored, with their steps."""
    stems = {name.rpartition("-")[0] for _, _, name in _artifacts(ctx)}
    return fitting(sorted(stems - {""}), incomplete)


def stored_recipes(ctx: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """Digests of stored recipes, each with its sampler."""
    names = {name.rpartition("-")[::2] for _, _, name in _artifacts(ctx)}
    return sorted(
        (digits, sampler) for sampler, digits in names if sampler and digits.startswith(incomplete)
    )


def stored_artifacts(ctx: typer.Context, incomplete: str) -> list[str]:
    """`model/image/name` of each artifact."""
    return fitting(sorted(map("/".join, _artifacts(ctx))), incomplete)


def _artifacts(ctx: typer.Context) -> set[tuple[str, ...]]:
    """Model, image and name; parts of one artifact are one."""
    files = _stored(ctx, "*/*/*.h5")
    return {(model, image, name.partition(".")[0]) for model, image, name in files}


def _stored(ctx: typer.Context, pattern: str) -> list[tuple[str, ...]]:
    """The names that lead to what fits a pattern, without what begins with a dot."""
    root = Path(ctx.params.get("store") or usual_store())
    try:
        found = [path.relative_to(root).parts for path in root.glob(pattern)]
    except OSError:
        return []
    return [names for names in found if not any(name.startswith(".") for name in names)]
