"""The options that say what to compute, in groups whose fields are named as in `Request`."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nca_cli.cli import complete
from nca_cli.cli.groups import option_group
from nca_cli.cli.options import (
    Device,
    Fit,
    Offline,
    ShardOption,
    StoreDtype,
    compute_option,
    run_option,
)
from nca_cli.errors import UsageError
from nca_cli.recipe import (
    DTYPES,
    SPACINGS,
    parse_at,
    parse_labels,
    parse_list,
    parse_seeds,
    parse_steps,
)
from nca_cli.samplers import METHODS, taking
from nca_cli.shard import Shard

if TYPE_CHECKING:
    from nca_cli.engine import Request
    from nca_cli.images import Resolution


@option_group
class SampleOptions:
    """Which x_t: of which images and models, at which levels, by which seeds."""

    # fmt: off
    images: Annotated[list[str] | None, typer.Argument(
        metavar="IMAGES", show_default=False,
        help="Files, folders, zip and tar archives, globs, or - for paths on stdin. "
        "Without any, the sample images are used.")] = None
    models: Annotated[list[str] | None, compute_option(
        "--model", "-m", metavar="M", show_default="demo", autocompletion=complete.models,
        help="Alias (see: nca models), hub id, local diffusers folder, adm:FILE.pt, "
        "ldm:FILE.ckpt, lucid:FILE.pt, edm:FILE.pt, sde:FILE.pth or module:factory. "
        "Repeatable.")] = None
    scheduler: Annotated[Path | None, compute_option(
        "--scheduler", metavar="FILE", show_default="the model's",
        help="scheduler_config.json, for a folder or hub model that comes without one.")] = None
    variant: Annotated[str | None, compute_option(
        "--variant", metavar="NAME", show_default="the usual weights",
        help="Which weights of a folder or hub model, such as fp16.")] = None
    t: Annotated[list[str] | None, compute_option(
        "--t", metavar="LIST", show_default="100,200,…,900",
        help="Noise levels: 100,300,600 or 0:1000:100. Repeatable.")] = None
    log_snr: Annotated[list[str] | None, compute_option(
        "--log-snr", metavar="LIST", show_default="by --t",
        help="Noise levels by log SNR, instead of --t: 4,0,-4 or -6:7. Each model gets its own t."
    )] = None
    seeds: Annotated[list[str] | None, compute_option(
        "--seed", metavar="LIST", show_default="0",
        help="Seeds of the noise, each a different draw. Repeatable.")] = None
    # fmt: on


@option_group
class ChainOptions:
    """How x̂0 is drawn: samplers, and what the network is told."""

    # fmt: off
    samplers: Annotated[list[str] | None, compute_option(
        "--sampler", "-s", metavar="S", show_default="the model's",
        autocompletion=complete.samplers,
        help=f"{', '.join(METHODS)}, or your own as module:name. Repeatable: all start from the "
        "same x_t.")] = None
    steps: Annotated[list[str] | None, compute_option(
        "--steps", metavar="LIST", show_default="the model's",
        help="Steps of the chain over the whole range of noise levels; 10,50 runs both.")] = None
    eta: Annotated[list[str] | None, compute_option(
        "--eta", metavar="LIST", show_default="0",
        help=f"Fresh noise in {' and '.join(taking('eta'))} chains: 0 is none, 1 as much as ddpm; "
        "0,0.5,1 runs all three.")] = None
    clip: Annotated[bool | None, compute_option(
        "--clip/--no-clip", show_default="the model's",
        help=f"Clip x̂0 to the model's range in {' and '.join(taking('clip'))} chains.")] = None
    clip_epsilon: Annotated[str | None, compute_option(
        "--clip-epsilon", metavar="kept|recomputed", show_default="the model's",
        help="Whether clipped ddim chains keep ε or recompute it from the clipped x̂0.")] = None
    spacing: Annotated[str | None, compute_option(
        "--spacing", metavar="|".join(SPACINGS), show_default="the model's",
        help="Spacing of a chain's noise levels: even in t, or as in Karras et al. (2022).")] = None
    label: Annotated[list[str] | None, compute_option(
        "--label", metavar="LIST", show_default="none",
        help="Class label, for class-conditional models; 3,4 reconstructs with each.")] = None
    prompt: Annotated[list[str] | None, compute_option(
        "--prompt", metavar="TEXT", show_default="the empty prompt",
        help="Text, for text-conditional models. Repeatable: reconstructs with each.")] = None
    labels: Annotated[Path | None, compute_option(
        "--labels", metavar="FILE", variable="NCA_CONDITIONS", show_default="none",
        help="CSV with a label or prompt for each image: columns image, and "
        "label or prompt.")] = None
    guidance: Annotated[list[str] | None, compute_option(
        "--guidance", metavar="LIST", show_default="none",
        help="Weight of classifier-free guidance; 1 is no guidance; 1,3,7 runs all three.")] = None
    # fmt: on


@option_group
class RunOptions:
    """Which trainings, and which of their checkpoints."""

    # fmt: off
    runs: Annotated[list[str] | None, run_option(
        "--run", metavar="PATH", show_default="none", autocompletion=complete.runs,
        help="A training: a folder of checkpoints, a glob, a list, or module:factory. NAME=PATH "
        "gives it a name. demo-run ships with nca. Repeatable.")] = None
    weights: Annotated[str | None, run_option(
        "--weights", metavar="ema|raw", show_default="ema where there are any",
        help="Moving average of the weights, or the weights of the step itself.")] = None
    at: Annotated[list[str] | None, run_option(
        "--at", metavar="LIST", show_default="all",
        help="Steps of the training to take: 1000,5000,20000.")] = None
    every: Annotated[int | None, run_option(
        "--every", metavar="N", min=1, show_default="all",
        help="Every N-th checkpoint, and always the last.")] = None
    step_pattern: Annotated[str | None, run_option(
        "--step-pattern", metavar="REGEX", show_default="as trainers name them",
        help="Regular expression whose first group is the step in a checkpoint's name.")] = None
    # fmt: on


@option_group
class ImageOptions:
    """Which of the images found, and how they become x0."""

    # fmt: off
    limit: Annotated[int | None, compute_option(
        "--limit", metavar="N", min=1, show_default="all", help="Take the first N images."
    )] = None
    sample: Annotated[int | None, compute_option(
        "--sample", metavar="N", min=1, show_default="all",
        help="Take N images at random, the same ones every time.")] = None
    sample_seed: Annotated[int | None, compute_option(
        "--sample-seed", metavar="S", show_default="0", help="Seed of --sample.")] = None
    fit: Fit = "crop"
    size: Annotated[str | None, compute_option(
        "--size", metavar="N|HxW", show_default="the model's own; 256 for wiener",
        help="Size of the images in pixels: a side, or height x width.")] = None
    # fmt: on


@option_group
class NetworkOptions:
    """Where and in which numbers the network computes."""

    # fmt: off
    device: Device = "auto"
    dtype: Annotated[str, compute_option(
        "--dtype", metavar="|".join(DTYPES), help="Precision of the network.")] = "float32"
    tf32: Annotated[bool, compute_option(
        "--tf32", help="Allow TF32 on NVIDIA devices (part of the recipe).")] = False
    store_dtype: StoreDtype = "float32"
    batch: Annotated[str, compute_option(
        "--batch", metavar="N|auto",
        help="Samples per network call; auto measures once which is fastest."
    )] = "auto"
    compiled: Annotated[bool, compute_option(
        "--compile",
        help="Compile the network (torch.compile): takes minutes at first, then runs faster."
    )] = False
    # fmt: on


@option_group
class AccessOptions:
    """Which share of the work, and whether the network may be asked."""

    # fmt: off
    shard: ShardOption = None
    offline: Offline = False
    refresh: Annotated[bool, compute_option(
        "--refresh", help="Look for a newer revision of a hub model.")] = False
    # fmt: on


def requested(*groups: Any, **others: Any) -> Request:
    """What groups of options ask for; what was not given is as usual. Raises `UsageError`."""
    from nca_cli.engine import Request

    given = {name: value for group in groups for name, value in vars(group).items()} | others
    given.pop("device", None)  # no request knows it
    return Request(**{
        name: PARSERS[name](value) if name in PARSERS else value
        for name, value in given.items()
        if value is not None and value != []
    })  # fmt: skip


def _prompts(texts: list[str]) -> list[str]:
    """The prompts; of a variable of the environment one, whatever spaces are in it."""
    whole = os.environ.get("NCA_PROMPT")
    return [whole] if whole and texts == whole.split() else texts


def _size(text: str) -> Resolution:
    """Raises `UsageError`."""
    from nca_cli.images import resolution_of

    try:
        return resolution_of(text)
    except ValueError as error:
        hint = "a side or HEIGHTxWIDTH in pixels: 64, 32x64"
        raise UsageError(f"--size {text!r} is no size of images", hint) from error


def _batch(text: str) -> Any:
    """`None` for `auto`; `Request` refuses what is no number."""
    return None if text == "auto" else int(text) if text.isdecimal() else text


PARSERS: dict[str, Callable[[Any], Any]] = {
    "t": parse_list,
    "log_snr": partial(parse_list, what="log-snr"),
    "seeds": parse_seeds,
    "steps": parse_steps,
    "eta": partial(parse_list, what="eta"),
    "at": parse_at,
    "batch": _batch,
    "size": _size,
    "label": parse_labels,
    "guidance": partial(parse_list, what="guidance"),
    "prompt": _prompts,
    "shard": lambda given: given if isinstance(given, Shard) else Shard.parse(given),
}
"""Options that are text on the command line, and numbers in a `Request`."""
