"""From what `--model` takes to a `Model`, and the list of short names.

Neither torch nor diffusers is loaded here, and huggingface_hub only to look into its cache.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from nca_cli.errors import ModelError, NcaError
from nca_cli.images.size import Resolution
from nca_cli.models.aliases import ALIASES, Alias, UserAlias, user_aliases
from nca_cli.models.checkpoints.described import DescribedFile
from nca_cli.models.checkpoints.file import DESCRIBED, is_checkpoint
from nca_cli.models.checkpoints.origin import CheckpointFile
from nca_cli.models.origins import (
    Folder,
    Hub,
    Origin,
    StoredAs,
    Wanted,
    last_part,
)
from nca_cli.models.own import Own, is_own
from nca_cli.models.reading import UNSAID, FileChoice
from nca_cli.models.space import Model

HUB_ID = re.compile(r"([\w.-]+/[\w.-]+)(?:@(\w[\w./-]*))?")


def find_model(
    name: str,
    *,
    weights: bool = True,
    offline: bool = False,
    refresh: bool = False,
    size: Resolution | None = None,
    step: int | None = None,
    told: FileChoice = UNSAID,
) -> Model:
    """The model called `name`: a short name (built in, or of `models.toml`), an existing folder, a
    hub id (`org/name@revision`), a checkpoint (`adm:PATH` of guided-diffusion, `ldm:PATH` of
    CompVis' latent diffusion, `lucid:PATH`, `edm:PATH`, `sde:PATH`), or `module:factory`, which is
    imported.

    With `weights`, all its files are on this disk afterwards; without, only what noising an image
    needs: nothing for a pixel alias, configurations otherwise, and a latent model's autoencoder.
    A hub model on this disk is used as it is; `refresh` asks for a newer revision, `offline` never
    asks. `size` is that of images, `None` the model's own (of `wiener`, 256); with a `step`, a
    `module:factory` is called with it: the network of a training at that step. `told` is about the
    files of folders and of the hub. Raises `ModelError`.
    """
    mine = user_aliases().get(name)
    meant = mine.source if mine else name
    origin = origin_of(meant)
    if step is not None and isinstance(origin, Own):
        origin = replace(origin, step=step)
    if isinstance(origin, Folder | Hub):
        origin = replace(origin, told=told)
    model = origin.find(Wanted(weights, offline, refresh, size))
    model = model if size in (None, model.space.resolution) else origin.sized(model, size)
    model = ALIASES[meant].rename(model) if meant in ALIASES else model
    model = replace(model, sampler=model.sampler.within(model.space.schedule.steps))
    return mine.rename(model) if mine else model


def origin_of(name: str, known: Iterable[str] = ()) -> Origin:
    """Where the model called `name` comes from, without the names of `models.toml`; of files and
    networks asks nothing but whether a path exists.

    Raises `ModelError` where `--model` could not take it, which names what is nearest among the
    built-in names and those that are `known`.
    """
    if is_checkpoint(name):
        described = name.partition(":")[0] in DESCRIBED
        return DescribedFile(name) if described else CheckpointFile(name)
    if name in ALIASES:
        return ALIASES[name].origin
    if Folder.means(name):
        return Folder(name)
    if is_own(name):
        return Own(name)
    match = HUB_ID.fullmatch(name)
    if match is None or ".." in name:
        near = difflib.get_close_matches(name, [*ALIASES, *known], 1)
        hint = f"did you mean {near[0]}?" if near else f"built-in names: {', '.join(ALIASES)}"
        raise ModelError(name, "no such built-in name, folder or hub id (org/name)", hint)
    return Hub(match[1], match[2])


def stored_as(name: str) -> StoredAs:
    """What stores know what `--model` takes by; what it could not take may be a stored name."""
    mine = user_aliases().get(name)
    wanted = mine.source if mine else name
    try:
        stored = origin_of(wanted).stored_as()
    except ModelError:
        stored = StoredAs(last_part(wanted))
    return stored._replace(sampler=mine.settings.get("sampler", stored.sampler)) if mine else stored


def check_name(name: str, known: Iterable[str] = ()) -> None:
    """Raises `ModelError` where `--model` could not take this, as `origin_of` does."""
    if name not in user_aliases():
        origin_of(name, known)


@dataclass(frozen=True)
class ModelRow:
    """One line of `nca models`."""

    name: str
    what: str
    resolution: Resolution
    """In pixels; 0 where it is not known."""
    sampler: str
    licence: str
    source: str
    on_disk: bool


def list_models() -> list[ModelRow]:
    """The short names, built in and of `models.toml`, and which this disk has. Asks no network."""
    mine = user_aliases()
    built_in = (alias for alias in ALIASES.values() if alias.name not in mine)
    return [*map(_row, built_in), *map(_row, mine.values())]


def _row(alias: Alias | UserAlias) -> ModelRow:
    """What is not on this disk is described by its short name alone."""
    try:
        model = find_model(alias.name, offline=True)
    except NcaError:
        model = None
    sampler = model.sampler if model else alias.sampler
    return ModelRow(
        name=alias.name,
        what=alias.what,
        resolution=model.space.resolution if model else alias.resolution,
        sampler=sampler.name if sampler.name == "one-step" else f"{sampler.name}-{sampler.steps}",
        licence=(model and model.licence) or alias.licence,
        source=alias.source,
        on_disk=model is not None,
    )
