"""The command line's options, each defined once. Types and help only; defaults are in `recipe`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from nca_cli.cli import complete
from nca_cli.errors import UsageError
from nca_cli.recipe import DTYPES, STORE_DTYPES
from nca_cli.samplers import METHODS

COMPUTE, FILTER, OUTPUT = "What to compute", "What to take from the store", "Output"


def option(*names: str, variable: str | None = None, **settings: Any) -> Any:
    """An option with its `NCA_…` variable, named after its long form unless told otherwise.

    Where its metavar names the words it takes, the shell offers them.
    """
    long = next(name for name in names if name.startswith("--"))
    variable = variable or "NCA_" + long.split("/")[0].strip("-").replace("-", "_").upper()
    settings.setdefault("autocompletion", complete.words(settings.get("metavar", "")))
    return typer.Option(*names, envvar=variable, show_envvar=False, **settings)


def named(param: typer.CallbackParam, value: Path | None) -> Path | None:
    """The file that an option names. Raises `UsageError` where the next option follows instead."""
    if value is not None and str(value).startswith("-"):
        option = param.opts[0]
        raise UsageError(f"{option} names a file, and {value} is none", f"give {option} FILE")
    return value


Images = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="IMAGES",
        show_default=False,
        help="Files, folders, zip and tar archives, globs, or - for paths on stdin. "
        "None: the sample images.",
    ),
]
StoreDir = Annotated[
    Path,
    option("--store", metavar="DIR", help="Where artifacts are kept (a folder or a packed file)."),
]
DEFAULT_STORE = Path("nca-store")

# -- computing -------------------------------------------------------------------------------------

Limit = Annotated[
    int | None,
    option(
        "--limit",
        metavar="N",
        min=1,
        show_default="all",
        rich_help_panel=COMPUTE,
        help="The first N of the images.",
    ),
]
Sample = Annotated[
    int | None,
    option(
        "--sample",
        metavar="N",
        min=1,
        show_default="all",
        rich_help_panel=COMPUTE,
        help="N of the images at random, the same ones every time.",
    ),
]
SampleSeed = Annotated[
    int | None,
    option(
        "--sample-seed",
        metavar="S",
        show_default="0",
        rich_help_panel=COMPUTE,
        help="Which sample.",
    ),
]
Models = Annotated[
    list[str] | None,
    option(
        "--model",
        "-m",
        metavar="M",
        show_default="demo",
        rich_help_panel=COMPUTE,
        autocompletion=complete.models,
        help="Alias (see: nca models), hub id, local diffusers folder, adm:FILE.pt, "
        "ldm:FILE.ckpt or module:factory. Repeatable.",
    ),
]
Levels = Annotated[
    list[str] | None,
    option(
        "--t",
        metavar="LIST",
        show_default="100,200,…,900",
        rich_help_panel=COMPUTE,
        help="Noise levels: 100,300,600 or 0:1000:100. Repeatable.",
    ),
]
LogSnr = Annotated[
    list[str] | None,
    option(
        "--log-snr",
        metavar="LIST",
        show_default="by --t",
        rich_help_panel=COMPUTE,
        help="Instead of --t: 4,0,-4 or -6:7, levels by log SNR, for each model at its own t.",
    ),
]
Seeds = Annotated[
    list[str] | None,
    option(
        "--seed",
        metavar="LIST",
        show_default="0",
        rich_help_panel=COMPUTE,
        help="Draws of the noise. Repeatable.",
    ),
]
Samplers = Annotated[
    list[str] | None,
    option(
        "--sampler",
        "-s",
        metavar="S",
        show_default="the model's",
        rich_help_panel=COMPUTE,
        autocompletion=complete.samplers,
        help=f"{', '.join(METHODS)}. Repeatable: all start from the same x_t.",
    ),
]
Steps = Annotated[
    list[str] | None,
    option(
        "--steps",
        metavar="LIST",
        show_default="the model's",
        rich_help_panel=COMPUTE,
        help="Steps over the whole range of levels; 10,50 makes a chain of each.",
    ),
]
Eta = Annotated[
    list[str] | None,
    option(
        "--eta",
        metavar="LIST",
        show_default="0",
        rich_help_panel=COMPUTE,
        help="Fresh noise of ddim: 0 none, 1 as ddpm; 0,0.5,1 makes a chain of each.",
    ),
]
Clip = Annotated[
    bool | None,
    option(
        "--clip/--no-clip",
        show_default="the model's",
        rich_help_panel=COMPUTE,
        help="Hold x̂0 in range inside ddim and ddpm chains.",
    ),
]
Label = Annotated[
    int | None,
    option(
        "--label",
        metavar="N",
        min=0,
        show_default="none",
        rich_help_panel=COMPUTE,
        help="Class label, for class-conditional models.",
    ),
]
Guidance = Annotated[
    float | None,
    option(
        "--guidance",
        metavar="W",
        min=0.0,
        show_default="none",
        rich_help_panel=COMPUTE,
        help="Weight of guidance towards label or prompt; 1 is none.",
    ),
]
Prompt = Annotated[
    str | None,
    option(
        "--prompt",
        metavar="TEXT",
        show_default="the empty prompt",
        rich_help_panel=COMPUTE,
        help="Text, for text-conditional models.",
    ),
]
Fit = Annotated[
    str,
    option(
        "--fit",
        metavar="crop|pad|stretch",
        rich_help_panel=COMPUTE,
        help="How a picture becomes square.",
    ),
]
Size = Annotated[
    int, option("--size", min=2, rich_help_panel=COMPUTE, help="Side in pixels, for wiener alone.")
]
Device = Annotated[
    str, option("--device", rich_help_panel=COMPUTE, help="auto, cpu, cuda, cuda:1, mps.")
]
Dtype = Annotated[
    str,
    option("--dtype", metavar="|".join(DTYPES), rich_help_panel=COMPUTE, help="Of the network."),
]
Tf32 = Annotated[
    bool,
    option(
        "--tf32", rich_help_panel=COMPUTE, help="Allow TF32 on NVIDIA devices (part of the recipe)."
    ),
]
StoreDtype = Annotated[
    str,
    option(
        "--store-dtype",
        metavar="|".join(STORE_DTYPES),
        rich_help_panel=COMPUTE,
        help="Of the stored tensors; float16 halves the store.",
    ),
]
Batch = Annotated[
    str,
    option(
        "--batch",
        metavar="N|auto",
        rich_help_panel=COMPUTE,
        help="Samples per network call; auto measures.",
    ),
]
ShardText = Annotated[
    str | None,
    option(
        "--shard",
        metavar="I/N",
        rich_help_panel=COMPUTE,
        help="Compute share I of N, counted from 0; shares may run at once.",
    ),
]
Offline = Annotated[
    bool, option("--offline", rich_help_panel=COMPUTE, help="Never ask the network.")
]
Refresh = Annotated[
    bool,
    option("--refresh", rich_help_panel=COMPUTE, help="Look for a newer revision of a hub model."),
]
DryRun = Annotated[bool, option("--dry-run", help="Say what would be computed, and stop.")]
Stamp = Annotated[
    Path | None, option("--stamp", metavar="FILE", help="Touch FILE when all is there, for make.")
]

# -- filters ---------------------------------------------------------------------------------------

TFilter = Annotated[
    list[str] | None,
    option(
        "--t",
        metavar="LIST",
        show_default="all",
        rich_help_panel=FILTER,
        help="Noise levels: 100,300,600 or 0:1000:100.",
    ),
]
LogSnrColumns = Annotated[
    list[str] | None,
    option(
        "--log-snr",
        metavar="LIST",
        show_default="by --t",
        rich_help_panel=FILTER,
        help="Instead of --t: columns at 4,0,-4 or -6:7 in log SNR, each model at its own t.",
    ),
]
SeedFilter = Annotated[
    list[str] | None,
    option("--seed", metavar="LIST", show_default="all", rich_help_panel=FILTER, help="Seeds."),
]
ImageFilter = Annotated[
    list[str] | None,
    option(
        "--image",
        metavar="NAME",
        show_default="all",
        rich_help_panel=FILTER,
        autocompletion=complete.stored_images,
        help="Stem or folder name of an image. Repeatable.",
    ),
]
ModelFilters = Annotated[
    list[str] | None,
    option(
        "--model",
        "-m",
        metavar="M",
        show_default="all",
        rich_help_panel=FILTER,
        autocompletion=complete.stored_models,
        help="Alias (with its sampler), hub id or stored name. Repeatable.",
    ),
]
SamplerFilter = Annotated[
    list[str] | None,
    option(
        "--sampler",
        "-s",
        metavar="NAME[-STEPS]",
        show_default="all",
        rich_help_panel=FILTER,
        autocompletion=complete.stored_samplers,
        help="Such as ddim or ddim-50. Repeatable.",
    ),
]
RecipeFilter = Annotated[
    list[str] | None,
    option(
        "--recipe",
        metavar="HEX",
        show_default="all",
        rich_help_panel=FILTER,
        autocompletion=complete.stored_recipes,
        help="First digits of a recipe's digest. Repeatable.",
    ),
]

# -- output ----------------------------------------------------------------------------------------

Json = Annotated[bool, option("--json", rich_help_panel=OUTPUT, help="Results as JSON on stdout.")]
Quiet = Annotated[
    bool,
    option("--quiet", "-q", rich_help_panel=OUTPUT, help="No progress, no notes; errors only."),
]
