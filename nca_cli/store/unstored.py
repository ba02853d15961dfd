"""What of a request nothing stored fits, where something fits the rest of it: a name with a slip
beside a right one would go unseen."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Any

from nca_cli.errors import StoreError, did_you_mean, few
from nca_cli.store.artifact import Artifact
from nca_cli.store.layout import split_folder
from nca_cli.store.select import Filters
from nca_cli.store.snapshot import Snapshot
from nca_cli.store.store import Store

OPTIONS = {"images": "image", "models": "model", "samplers": "sampler", "recipes": "recipe",
           "steps": "at", "t": "t", "seeds": "seed"}  # fmt: skip
"""Fields of `Filters` and the options that fill them."""


def unstored(store: Store, filters: Filters, *, made: bool = False) -> Iterator[str]:
    """`nothing is stored for --model demo-ldmm (did you mean demo-ldm?)`: a line for each option
    with values that nothing fits beside others that something does.

    `made` is for readers of reconstructions, to which noise is no answer. Where no value of an
    option is stored, nothing is said: `unmet` does.
    """
    several = [field for field in OPTIONS if len({*getattr(filters, field)}) > 1]
    if not several:  # then whatever is found fits it
        return
    store = Snapshot(store)
    found = _readable(store.select(filters), made)
    for field in several:
        asked, held = getattr(filters, field), _held(field, found, filters)
        missing = [value for value in asked if value not in held]
        if 0 < len(missing) < len(asked):
            yield from _lines(field, asked, missing, _readable(store.select(), made), made)


def _readable(artifacts: Iterable[Artifact], made: bool) -> list[Artifact]:
    """Without noise if they are to be `made`; whoever reads a damaged one names it."""
    found = []
    for artifact in artifacts:
        with suppress(StoreError):
            if artifact.keys and not (made and artifact.is_noise):
                found.append(artifact)
    return found


def _held(field: str, artifacts: Sequence[Artifact], filters: Filters) -> set[Any]:
    """The values of a filter that some artifacts fit, others that they have included."""
    made = [one for one in artifacts if not one.is_noise]
    if field == "images":
        return {name for one in artifacts for name in (one.image, *split_folder(one.image))}
    if field == "models":
        explicit = bool(filters.samplers or filters.recipes)
        return {each for each in filters.models if any(each.fits(a, explicit) for a in artifacts)}
    if field == "samplers":
        return {name for one in made for name in (one.sampler, one.label)}
    if field == "recipes":
        return {each for each in filters.recipes if any(map(Filters(recipes=each).fits, made))}
    if field == "steps":
        return {one.step for one in made}
    keys = {key for one in artifacts for key in filters.keys(one)}
    return {t for t, _ in keys} if field == "t" else {seed for _, seed in keys}


def _lines(
    field: str, asked: Sequence[Any], missing: Sequence[Any], every: Sequence[Artifact], made: bool
) -> Iterator[str]:
    """One for what is stored nowhere, one for what is not stored beside the other filters."""
    alone: dict[str, Any] = {field: missing}
    held = _held(field, every, Filters(**alone))
    what = "no reconstruction" if made else "nothing"
    for option, values in _by_option(field, missing):
        if nowhere := [_text(value) for value in values if value not in held]:
            hint = _hint(nowhere, _names(field, option, every), asked)
            yield f"{what} is stored for --{option} {few(nowhere)} ({hint})"
        if apart := [_text(value) for value in values if value in held]:
            yield f"{what} is stored for --{option} {few(apart)} with the other filters"


def _hint(unknown: Sequence[str], names: Sequence[Any], asked: Iterable[Any]) -> str:
    """The nearest names, without those that were asked for too: they are meant as they are."""
    taken = {*map(_text, asked)}
    others = [name for name in names if isinstance(name, str) and name not in taken]
    return did_you_mean(unknown, others) or f"stored: {few(names) or 'none'}"


def _by_option(field: str, values: Sequence[Any]) -> Iterator[tuple[str, list[Any]]]:
    """Of models, trainings have an option of their own."""
    if field != "models":
        yield OPTIONS[field], list(values)
        return
    for option, run in (("model", False), ("run", True)):
        if some := [value for value in values if value.run == run]:
            yield option, some


def _text(value: Any) -> str:
    return str(getattr(value, "given", "") or getattr(value, "name", value))


def _names(field: str, option: str, every: Sequence[Artifact]) -> list[Any]:
    """What a value of this kind might have been meant as."""
    if field == "images":
        return sorted({one.image_name for one in every})
    if field == "models":
        every = [one for one in every if option == "model" or _of_run(one)]
        return sorted({one.model_name for one in every})
    if field == "recipes":
        return sorted({split_folder(one.name)[1] for one in every if not one.is_noise})
    return sorted(value for value in _held(field, every, Filters()) if value is not None)


def _of_run(artifact: Artifact) -> bool:
    return "run" in artifact.model_info
