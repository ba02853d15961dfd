"""What a damaged part held, and what would make it again, as far as anything still tells."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

from nca_cli.errors import NcaError
from nca_cli.recipe import Number, Recipe
from nca_cli.schedule import Schedule
from nca_cli.store import layout
from nca_cli.store.artifact import Artifact
from nca_cli.store.location import Location
from nca_cli.store.samples import Key
from nca_cli.store.select import Filters
from nca_cli.store.store import Store

if TYPE_CHECKING:  # it is run in a process of its own
    from nca_cli.store.check import Checked

Look = Callable[[Location], "Checked"]
"""Reads header and (t, seed) of a part, without its tensors."""


@dataclass(frozen=True)
class Gap:
    """Samples of one image by one model that are not there, and what would make them."""

    made: Recipe | str
    """Their recipe, or as much of one as a label says: `ddim-50`, `noise`."""
    model: Mapping[str, Any]
    """As in `model.json`, as far as that is known."""
    image: Mapping[str, Any]
    """As an artifact's attribute `image` says, as far as that is known."""
    keys: Sequence[Key]


def gaps_of(artifacts: Iterable[Artifact], filters: Filters) -> Iterator[Gap]:
    """What `filters` ask for that reconstructions of theirs lack, recipe by recipe."""
    for artifact in artifacts:
        with suppress(NcaError):  # whoever reads it names it
            held = set(artifact.keys)
            ts = filters.t or sorted({t for t, _ in held})
            ts = possible(artifact.model_info, ts)
            asked = product(ts, filters.seeds or sorted({seed for _, seed in held}))
            keys = [key for key in asked if key not in held]
            if keys and artifact.recipe:
                yield Gap(artifact.recipe, artifact.model_info, artifact.image_info, keys)


def possible(model: Mapping[str, Any], ts: Iterable[Number]) -> list[Number]:
    """Those of some levels that a model has, as far as `model.json` says which it has."""
    described = (model.get("space") or {}).get("schedule") or {}
    schedule = Schedule.from_description(described)
    return [t for t in ts if schedule is None or schedule.holds(t)]


def gap_left(store: Store, location: Location, checked: Checked, look: Look) -> Gap:
    """What a damaged part held, as well as what is left of it and the parts beside it can tell."""
    model, folder, _ = location.names
    others = {part: look(part) for part in store.parts(model, folder) if part != location}
    sound = {part: found for part, found in others.items() if not found.reason}
    headers = [checked.header, *(found.header for found in sound.values())]
    return Gap(
        _made(store, location, checked, look),
        _model(store, model, headers),
        _image(folder, headers),
        checked.keys or _missing(location, sound),
    )


def _made(store: Store, location: Location, checked: Checked, look: Look) -> Recipe | str:
    """The recipe that the name has the digest of; its label where no file tells it."""
    name = location.names[2]
    label, hexes = layout.split_folder(name)
    if name == layout.NOISE:
        return layout.NOISE
    for text in _recipes(store, location, checked, look):
        if hashlib.sha256(text.encode()).hexdigest()[: len(hexes)] == hexes:
            with suppress(ValueError, TypeError):
                return Recipe.from_json(text)
    return label


def _recipes(store: Store, location: Location, checked: Checked, look: Look) -> Iterator[str]:
    """What the part says, then others of its name: of this image, or of any other."""
    yield checked.header.get("recipe", "")
    for part in store.all_parts():
        if part.names[2] == location.names[2] and part != location:
            yield look(part).header.get("recipe", "")


def _image(folder: str, headers: Iterable[dict[str, str]]) -> dict:
    """Who the image is, from the first header that speaks of it."""
    found = (_parsed(header, "image") for header in headers)
    hexes = layout.split_folder(folder)[1]
    return next((info for info in found if str(info.get("digest")).startswith(hexes)), {})


def _model(store: Store, folder: str, headers: Iterable[dict[str, str]]) -> dict:
    """What a header or `model.json` (which knows the steps of a run) says of the model; its stored
    name where neither does."""
    known = {"name": layout.split_folder(folder)[0]}
    found = (_parsed(header, "model") for header in headers)
    told = next((info for info in found if "name" in info), {})
    with suppress(NcaError):
        said = store.model_info(folder)
        run = {"run": said["run"]} if "run" in said else {}
        return {**known, **said, **told, **run}
    return {**known, **told}


def _parsed(header: dict[str, str], key: str) -> dict:
    try:
        info = json.loads(header[key])
    except (LookupError, ValueError):
        return {}
    return info if isinstance(info, dict) else {}


def _missing(location: Location, others: dict[Location, Checked]) -> list[Key]:
    """What other artifacts of the image hold and the other parts of this one do not."""
    mine = [part for part in others if part.names == location.names]
    held = {key for part in mine for key in others[part].keys}
    stored = {key for found in others.values() for key in found.keys}
    return sorted(stored - held)
