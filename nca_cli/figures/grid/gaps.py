"""What is known of the blanks of a figure, so that a command can fill them."""

from __future__ import annotations

from nca_cli.commands import known_model
from nca_cli.errors import NcaError
from nca_cli.figures.grid.blanks import Missing
from nca_cli.figures.grid.selection import Selection, Strip
from nca_cli.store import Artifact, Gap


def gap(selection: Selection, strip: Strip, missing: Missing) -> Gap:
    """One sample that is not there, by its row."""
    recipe = strip.sampling.recipe if strip.sampling else None
    artifact = _like(selection, strip) if strip.sampling and recipe else None
    unmade = known_model(selection.store, selection.filters, strip.subject.model)
    made = missing.label if missing.label == "noise" or recipe is None else recipe
    model = artifact.model_info if artifact else unmade
    return Gap(made, model, _image_info(strip), [(missing.t, missing.seed)])


def _like(selection: Selection, strip: Strip) -> Artifact | None:
    """What the model has of the same recipe: a folder may hold imported and computed ones."""
    name = strip.sampling.name if strip.sampling else ""
    same = (
        subject.recipes.get(name)
        for subject in selection.subjects
        if subject.model == strip.subject.model
    )
    return next((artifact for artifact in same if artifact), None)


def _image_info(strip: Strip) -> dict:
    try:
        return next((source.image_info for source in strip.subject.artifacts), {})
    except NcaError:
        return {}
