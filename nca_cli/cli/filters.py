"""From filter options to the store's `Filters`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from nca_cli.errors import UsageError
from nca_cli.recipe import parse_list, parse_seeds

if TYPE_CHECKING:
    from nca_cli.store import Filters, ModelFilter

Texts = Sequence[str] | None


def filters(
    t: Texts = None,
    seed: Texts = None,
    image: Texts = None,
    model: Texts = None,
    sampler: Texts = None,
    recipe: Texts = None,
) -> Filters:
    """What the filter options mean; those not given mean everything stored."""
    from nca_cli.store import Filters

    return Filters(
        t=tuple(parse_list(t or ())),
        seeds=tuple(parse_seeds(seed or ())),
        images=tuple(image or ()),
        models=tuple(model_filter(name) for name in model or ()),
        samplers=tuple(sampler or ()),
        recipes=tuple(map(_digits, recipe or ())),
    )


def _digits(text: str) -> str:
    if not re.fullmatch("[0-9a-fA-F]{1,64}", text):
        hint = "hex digits, as names of artifacts end in: nca ls"
        raise UsageError(f"--recipe {text!r} begins no recipe's digest", hint)
    return text


def model_filter(text: str) -> ModelFilter:
    """An alias (with its sampler), a hub id, a folder's path or a stored name."""
    from nca_cli.models.find import stored_as
    from nca_cli.store import ModelFilter

    return ModelFilter(*stored_as(text), given=text)
