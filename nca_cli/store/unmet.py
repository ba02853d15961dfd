"""Why nothing stored fits a request: what was asked for that no artifact has, and what there is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace

from nca_cli.errors import StoreError, did_you_mean, few
from nca_cli.recipe import Number
from nca_cli.store.artifact import Artifact
from nca_cli.store.layout import split_folder
from nca_cli.store.select import Filters, lacking
from nca_cli.store.store import Store


def unmet(store: Store, filters: Filters, what: str = "nothing") -> str:
    """`no image cat in nca-store; stored: anna, bert`; so for each filter that nothing fits.

    Where each of them is fitted by something, but not together, that the store holds `what` for
    all of them.
    """
    together = "; ".join(f"{name} {', '.join(values)}" for name, values in _named(filters))
    return unfitted(store, filters) or f"{store.root} holds {what}{together and f' for {together}'}"


def unfitted(store: Store, filters: Filters) -> str:
    """Of `unmet`, what is said of one filter; nothing where something fits each of them."""
    every = store.select()
    one = next(_unfitted(store, filters, every), "")
    return one or lacking(_fitting(every, filters), filters)


def _fitting(every: Sequence[Artifact], filters: Filters) -> list[Artifact]:
    fitting = [artifact for artifact in every if filters.fits(artifact)]
    made = [artifact for artifact in fitting if not artifact.is_noise]
    return made if filters.samplers or filters.recipes else fitting


def _unfitted(store: Store, filters: Filters, every: Sequence[Artifact]) -> Iterator[str]:
    """A sentence for each kind of filter that no artifact fits."""
    made = [one for one in every if not one.is_noise]
    runs = {model for model in store.models() if store.is_run(model)}
    of_runs = [one for one in every if one.model in runs]
    of_models = any(map(filters.fits_model, store.models()))
    kinds = (
        ("image", filters.images, [one.image_name for one in every],
         any(filters.fits_image(one.image) for one in every)),
        ("model", _given(filters, run=False), [one.model_name for one in every], of_models),
        ("training", _given(filters, run=True), [one.model_name for one in of_runs], of_models),
        ("sampler", filters.samplers, [one.label for one in made],
         any(map(filters.fits_sampler, made))),
        ("recipe", filters.recipes, [split_folder(one.name)[1] for one in made],
         any(map(Filters(recipes=filters.recipes).fits, made))),
    )  # fmt: skip
    for kind, asked, stored, fits in kinds:
        if asked and not fits:
            near = did_you_mean(asked, names := sorted({*stored}))
            yield _no(f"{kind} {few(asked)}", store, names) + (near and f"; {near}")
    steps = _steps(one for one in of_runs if replace(filters, steps=()).fits(one))
    if filters.steps and not {*filters.steps} & {*steps}:
        yield _no(f"checkpoint at step {few(filters.steps)}", store, steps)


def _no(what: str, store: Store, stored: Sequence[Number | str]) -> str:
    return f"no {what} in {store.root}; stored: {few(stored) or 'none'}"


def _steps(artifacts: Iterator[Artifact]) -> list[int]:
    """Of trainings, rising; whoever reads a damaged artifact names it."""
    found = set()
    for artifact in artifacts:
        with suppress(StoreError):
            found.add(artifact.step)
    return sorted(step for step in found if step is not None)


def _given(filters: Filters, *, run: bool) -> list[str]:
    return [each.given or each.name for each in filters.models if each.run == run]


def _named(filters: Filters) -> Iterator[tuple[str, list[str]]]:
    """The filters that are set, by their options, with their values."""
    every = {
        "image": filters.images, "model": _given(filters, run=False),
        "run": _given(filters, run=True), "sampler": filters.samplers, "recipe": filters.recipes,
        "at": filters.steps, "t": filters.t, "seed": filters.seeds,
    }  # fmt: skip
    return ((name, [*map(str, values)]) for name, values in every.items() if values)
