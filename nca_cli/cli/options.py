"""How an option is declared, those that several commands have, and the store that they mean.

Options that always come together are groups (see `cli.groups`): `filters.FilterOptions`,
`console.Output` and those of `computing`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextvars import ContextVar
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nca_cli.errors import UsageError
from nca_cli.recipe import DEFAULT_STORE, STORE_DTYPES

if TYPE_CHECKING:
    from nca_cli.store import Store

CHECKED: ContextVar[bool] = ContextVar("checked", default=True)
"""Whether what is read from stores is checked where nobody vouches for it: `nca --no-check`."""


def usual_store() -> Path:
    """The store that commands take when none is named."""
    return Path(os.environ.get("NCA_STORE") or DEFAULT_STORE)


def opened(path: Path) -> Store:
    """The store there; lines that are printed name it unless commands take it anyway."""
    from nca_cli.store import Store

    return Store(path, usual=usual_store(), check=CHECKED.get())


def fitting(names: Iterable[str], incomplete: str) -> list[str]:
    """What the shell offers: the names that begin so, each once."""
    return [name for name in dict.fromkeys(names) if name.startswith(incomplete)]


def option(*names: str, variable: str | None = None, **settings: Any) -> Any:
    """An option with its `NCA_…` variable, named after its long form unless told otherwise.

    Where its metavar names the words it takes, the shell offers them.
    """
    long = next(name for name in names if name.startswith("--"))
    variable = variable or "NCA_" + long.split("/")[0].strip("-").replace("-", "_").upper()
    words = [word for word in settings.get("metavar", "").split("|") if word.islower()]
    if words:
        settings.setdefault("autocompletion", lambda incomplete: fitting(words, incomplete))
    return typer.Option(*names, envvar=variable, show_envvar=False, **settings)


compute_option = partial(option, rich_help_panel="What to compute")
run_option = partial(option, rich_help_panel="Which training")
filter_option = partial(option, rich_help_panel="What to take from the store", show_default="all")
output_option = partial(option, rich_help_panel="Output")
measure_option = partial(option, rich_help_panel="What to measure")
paper_option = partial(option, rich_help_panel="On paper")
training_option = partial(option, rich_help_panel="Over training")


def named(param: typer.CallbackParam, value: Path | None) -> Path | None:
    """The file that an option names. Raises `UsageError` where the next option follows instead."""
    if value is not None and str(value).startswith("-"):
        name = param.opts[0]
        raise UsageError(f"{name} has no value: {value} is an option", f"give {name} FILE")
    return value


QUIET = "nca_cli.quiet"
"""Key of a context's `meta`: whether the command that runs in it is to be quiet."""


def _remembered(ctx: typer.Context, value: bool) -> bool:
    """Where a command is interrupted, its group speaks for it, and must know whether it may."""
    ctx.meta[QUIET] = value
    return value


def _place(text: str | Path) -> Path:
    """A store by its path; an empty one would mean the working folder."""
    if not str(text):
        raise typer.BadParameter("it is empty: name a folder, such as nca-store")
    return Path(text)


StoreDir = Annotated[
    Path,
    option(
        "--store", metavar="DIR", parser=_place,
        help="Where results are stored: a folder, or a packed file.",
    ),
]  # fmt: skip
Json = Annotated[bool, output_option("--json", help="Results as JSON on stdout.")]
Quiet = Annotated[
    bool,
    output_option(
        "--quiet", "-q", callback=_remembered, help="No progress, no notes; errors only."
    ),
]
ShardOption = Annotated[
    str | None,
    compute_option(
        "--shard", metavar="I/N", show_default="from torchrun, srun or a Slurm array",
        help="Compute share I of N, counted from 0. Shares may run at the same time.",
    ),
]  # fmt: skip
Offline = Annotated[bool, compute_option("--offline", help="Do not use the network.")]
Device = Annotated[
    str,
    compute_option(
        "--device", metavar="DEVICE", help="Device for networks: auto, cpu, cuda, cuda:1, mps."
    ),
]
Fit = Annotated[
    str,
    compute_option(
        "--fit", metavar="crop|pad|stretch", help="How an image is brought to the model's shape."
    ),
]
StoreDtype = Annotated[
    str,
    compute_option(
        "--store-dtype",
        metavar="|".join(STORE_DTYPES),
        help="Precision of the stored tensors; float16 halves the store.",
    ),
]
