"""Which weights each step of a training has, as its `model.json` says: no curve mixes trainings."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress

from nca_cli.errors import ModelError, StoreError
from nca_cli.store.files import locked, write_atomically
from nca_cli.store.header import model_text, step_clash, steps_of, with_steps
from nca_cli.store.layout import MODEL_FILE, split_folder
from nca_cli.store.store import Store


def check_step(store: Store, model: str, step: int, weights: str) -> None:
    """That a step of a run may have these weights (a recipe's digest of them).

    Raises `ModelError` where the step is stored with others, or another step with these: a curve
    over steps mixes no trainings, and counts no checkpoint twice.
    """
    if model not in store.models():
        return
    info = store.model_info(model)
    if step_clash(info, step, weights):  # what is stored still?
        info = with_steps(info, stored_steps(store, model))
    if clash := step_clash(info, step, weights):
        raise ModelError(split_folder(model)[0], *clash)


def note_step(
    store: Store, model: str, info: Mapping[str, object], step: int, weights: str
) -> None:
    """Say in the `model.json` of a run, made where it is not there yet, which weights a step has.
    Raises `ModelError` as `check_step` does."""
    file = store.describe(model, info) / MODEL_FILE
    with locked(store.root, model):
        check_step(store, model, step, weights)
        known = store.model_info(model)
        if steps_of(known).get(step) != weights:
            text = model_text(with_steps(known, {**steps_of(known), step: weights}))
            write_atomically(file, text.encode())


def stored_steps(store: Store, model: str) -> dict[int, str]:
    """Step → weights of all reconstructions of a run, by the headers of those that are sound."""
    found: dict[int, str] = {}
    every = (each for image in store.images(model) for each in store.artifacts(model, image))
    for artifact in every:
        with suppress(StoreError):
            if artifact.recipe is not None and artifact.step is not None:
                found[artifact.step] = artifact.recipe.weights
    return found
