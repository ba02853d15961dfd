"""The options that choose from a store, and the store's `Filters` that they mean."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated

from nca_cli.cli import complete
from nca_cli.cli.groups import option_group
from nca_cli.cli.options import filter_option
from nca_cli.errors import UsageError
from nca_cli.recipe import parse_at, parse_list, parse_seeds

if TYPE_CHECKING:
    from nca_cli.cli.console import Output
    from nca_cli.store import Filters, ModelFilter, Store


@option_group
class FilterOptions:
    """What to take from the store; those not given mean everything stored."""

    # fmt: off
    t: Annotated[list[str] | None, filter_option(
        "--t", metavar="LIST", help="Noise levels: 100,300,600 or 0:1000:100.")] = None
    seed: Annotated[list[str] | None, filter_option(
        "--seed", metavar="LIST", help="Seeds.")] = None
    image: Annotated[list[str] | None, filter_option(
        "--image", metavar="NAME", autocompletion=complete.stored_images,
        help="Image, by its file name without suffix or its folder in the "
        "store. Repeatable.")] = None
    model: Annotated[list[str] | None, filter_option(
        "--model", "-m", metavar="M", autocompletion=complete.stored_models,
        help="Model: alias (which implies its sampler), hub id or stored name. Repeatable.")] = None
    sampler: Annotated[list[str] | None, filter_option(
        "--sampler", "-s", metavar="NAME[-STEPS]", autocompletion=complete.stored_samplers,
        help="Sampler, such as ddim or ddim-50. Repeatable.")] = None
    run: Annotated[list[str] | None, filter_option(
        "--run", metavar="RUN", autocompletion=complete.stored_models,
        help="Training, by its stored name or its path. Repeatable.")] = None
    at: Annotated[list[str] | None, filter_option(
        "--at", metavar="LIST", show_default="all; figures and reports: the last",
        help="Steps of trainings: 100,800, or all.")] = None
    recipe: Annotated[list[str] | None, filter_option(
        "--recipe", metavar="HEX", autocompletion=complete.stored_recipes,
        help="First digits of a recipe's digest. Repeatable.")] = None
    # fmt: on

    def parsed(self, *, latest: bool = False) -> Filters:
        """What they mean; with `latest`, of trainings the last step alone, unless others are asked
        for. Raises `UsageError` for a bad list or digest."""
        from nca_cli.store import Filters

        every = self.at == ["all"]
        models = [model_filter(name) for name in self.model or ()]
        return Filters(
            t=tuple(parse_list(self.t or ())),
            seeds=tuple(parse_seeds(self.seed or ())),
            images=tuple(self.image or ()),
            models=(*models, *map(run_filter, self.run or ())),
            samplers=tuple(self.sampler or ()),
            recipes=tuple(map(_digits, self.recipe or ())),
            steps=() if every else tuple(parse_at(self.at or ())),
            latest=latest and not every,
        )

    def of(
        self, store: Store, output: Output, *, latest: bool = False, made: bool = False
    ) -> Filters:
        """As `parsed`, with a note of values that nothing in a store fits; `made` is for readers
        of reconstructions alone."""
        from nca_cli.store import unstored

        wanted = self.parsed(latest=latest)
        output.note(*unstored(store, wanted, made=made))
        return wanted


def _digits(text: str) -> str:
    if not re.fullmatch("[0-9a-fA-F]{1,64}", text):
        hint = "the names of artifacts end in it: nca ls"
        raise UsageError(f"--recipe {text!r} is not hexadecimal", hint)
    return text


def model_filter(text: str) -> ModelFilter:
    """An alias (with its sampler), a hub id, a folder's path or a stored name."""
    from nca_cli.models.find import stored_as
    from nca_cli.store import ModelFilter

    return ModelFilter(*stored_as(text), given=text)


def run_filter(text: str) -> ModelFilter:
    """A training's stored name, or its place."""
    from nca_cli.runs import name_of
    from nca_cli.store import ModelFilter

    return ModelFilter(name_of(text), given=text, run=True)
