"""What is known of the blanks of a figure, so that a command can fill them."""

from __future__ import annotations

from nca_cli.commands import known_model
from nca_cli.errors import NcaError
from nca_cli.figures.grid.content import Content, Strip
from nca_cli.figures.grid.table import Missing
from nca_cli.store import Artifact, Gap


def gap(content: Content, strip: Strip, missing: Missing) -> Gap:
    """One sample that is not there, by its row."""
    recipe = strip.choice.recipe if strip.choice else None
    artifact = _like(content, strip) if strip.choice and recipe else None
    unmade = known_model(content.store, content.filters, strip.pair.model)
    made = missing.label if missing.label == "noise" or recipe is None else recipe
    model = artifact.model_info if artifact else unmade
    return Gap(made, model, _image_info(strip), [(missing.t, missing.seed)])


def _like(content: Content, strip: Strip) -> Artifact | None:
    """What the model has of the same recipe: a folder may hold imported and computed ones."""
    name = strip.choice.name if strip.choice else ""
    same = (pair.recipes.get(name) for pair in content.pairs if pair.model == strip.pair.model)
    return next((artifact for artifact in same if artifact), None)


def _image_info(strip: Strip) -> dict:
    try:
        return next((source.image_info for source in strip.pair.artifacts), {})
    except NcaError:
        return {}
