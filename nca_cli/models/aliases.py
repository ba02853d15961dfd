"""Short names for models, with the sampler that each stands for: built in, or of `models.toml`.

The pixel aliases of DDPM and of P2 carry schedule and shape, so that noising an image needs neither
network nor files; `ncsnpp` reads its σ from its own configuration, once that was fetched.
Where the model's own files are on this disk, their configurations win over what is carried here.

Short names of one's own are in `models.toml` of the working folder, or the file of `$NCA_MODELS`:

    [ffhq]
    model = "adm:checkpoints/ffhq_p2.pt"    # paths from the folder of this file
    sampler = "ddpm"
    steps = 250
    licence = "ask the authors"
    what = "FFHQ, P2 weighting"

`model` is a built-in name, a hub id, a folder, `adm:PATH` or `ldm:PATH`; never `module:factory`,
for no file may make nca run code.
"""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from nca_cli.errors import UsageError
from nca_cli.models.checkpoints.file import is_checkpoint
from nca_cli.models.checkpoints.origin import ByHand
from nca_cli.models.environment import aliases_file
from nca_cli.models.origins import BuiltIn, Hub, Origin
from nca_cli.models.own import is_own
from nca_cli.models.space import Model, Space
from nca_cli.models.wiener import Wiener
from nca_cli.recipe import BUILT_IN
from nca_cli.sampler_choice import SamplerChoice
from nca_cli.schedule import Schedule

CELEBAHQ = "google/ddpm-ema-celebahq-256"


@dataclass(frozen=True)
class Alias:
    """What a short name stands for."""

    name: str
    what: str
    source: str
    """Hub id, or "built in"; of a file that its authors share by hand, the alias itself."""
    sampler: SamplerChoice
    resolution: int
    licence: str
    space: Space | None = None
    """Carried for pixel models of the hub."""
    scheduler: Mapping[str, Any] = field(default_factory=dict)
    kind: Callable[[Alias], Origin] = lambda alias: Hub(alias.source, None, alias)
    """Of its origin."""

    @property
    def origin(self) -> Origin:
        """Where the model comes from."""
        return self.kind(self)

    def rename(self, model: Model) -> Model:
        """The model that it names, under its name, sampler and licence."""
        return replace(model, alias=self.name, licence=self.licence, sampler=self.sampler)


def _celebahq(name: str, sampler: SamplerChoice, what: str) -> Alias:
    """Ho et al. (2006.11239), section 4: β from 1e-4 to 0.02 in 1000 equal steps."""
    scheduler = {
        "_class_name": "DDPMScheduler",
        "beta_schedule": "linear",
        "beta_start": 1e-4,
        "beta_end": 0.02,
        "num_train_timesteps": 1000,
        "clip_sample": True,
        "variance_type": "fixed_small",
    }
    space = Space(Schedule(), (3, 256, 256), 256, 3)
    return Alias(name, what, CELEBAHQ, sampler, 256, "apache-2.0", space, scheduler)


def _p2(name: str, file: str, data: str) -> Alias:
    """A model of P2 weighting (Choi et al., 2204.00227) in guided-diffusion's format."""
    what, sampler = f"{data}, pixels, P2 weighting", SamplerChoice("ddpm", 250)
    page = "github.com/jychoi118/P2-weighting"
    kind = partial(ByHand, f"adm:{file}", page=page)
    return Alias(name, what, name, sampler, 256, "not stated", kind=kind)


ALIASES: dict[str, Alias] = {
    alias.name: alias
    for alias in (
        Alias("demo", "small pixel model, portraits", BUILT_IN,
              SamplerChoice(), 64, "MIT", kind=BuiltIn),
        Alias("demo-ldm", "small latent model, portraits", BUILT_IN,
              SamplerChoice(), 64, "MIT", kind=BuiltIn),
        Alias("wiener", "spectral prior of natural images, no weights", BUILT_IN,
              SamplerChoice("one-step"), 256, "MIT", kind=lambda alias: Wiener()),
        _celebahq("ddpm", SamplerChoice("ddpm", 1000), "CelebA-HQ, pixels, ancestral sampler"),
        _celebahq("ddim", SamplerChoice("ddim", 50), "CelebA-HQ, pixels, deterministic sampler"),
        _celebahq("pndm", SamplerChoice("pndm", 50), "CelebA-HQ, pixels, multi-step sampler"),
        Alias("ldm", "CelebA-HQ, latents, deterministic sampler", "CompVis/ldm-celebahq-256",
              SamplerChoice("ddim", 50, 0.0), 256, "apache-2.0"),
        Alias("ncsnpp", "FFHQ, pixels, variance-exploding", "google/ncsnpp-ffhq-256",
              SamplerChoice("ddim", 50), 256, "apache-2.0"),
        Alias("dit", "ImageNet, latents, class-conditional", "facebook/DiT-XL-2-256",
              SamplerChoice("ddim", 50), 256, "cc-by-nc-4.0"),
        Alias("ldm-ffhq", "FFHQ, latents, deterministic sampler", "ldm-ffhq",
              SamplerChoice("ddim", 50, 0.0), 256, "not stated",
              kind=partial(ByHand, "ldm:models/ldm/ffhq256/model.ckpt",
                           page="github.com/CompVis/latent-diffusion (ffhq.zip)")),
        Alias("sd15", "Stable Diffusion 1.5, latents, --prompt",
              "stable-diffusion-v1-5/stable-diffusion-v1-5", SamplerChoice("ddim", 50), 512,
              "creativeml-openrail-m"),
        Alias("sdxl", "Stable Diffusion XL, latents, --prompt",
              "stabilityai/stable-diffusion-xl-base-1.0", SamplerChoice("ddim", 50), 1024,
              "openrail++"),
        Alias("sd35-medium", "Stable Diffusion 3.5, flow matching, latents, --prompt",
              "stabilityai/stable-diffusion-3.5-medium", SamplerChoice("ddim", 50), 1024,
              "stabilityai-ai-community"),
        _p2("p2-ffhq", "ffhq_p2.pt", "FFHQ"),
        _p2("p2-celebahq", "celebahq_p2.pt", "CelebA-HQ"),
        _p2("p2-afhq-dog", "afhq_p2.pt", "AFHQ dogs"),
        _p2("p2-metfaces", "metface_p2.pt", "MetFaces"),
        _p2("p2-cub", "cub_p2.pt", "CUB birds"),
        _p2("p2-flowers", "flower_p2.pt", "Oxford flowers"),
    )
}  # fmt: skip

NAME = re.compile(r"[A-Za-z0-9][\w.-]*")
KEYS: dict[str, type | tuple[type, ...]] = {
    "model": str, "sampler": str, "steps": int, "eta": (int, float), "clip": bool,
    "clip_epsilon": str, "spacing": str,
    "licence": str, "what": str,
}  # fmt: skip


CHAIN = ("steps", "eta", "clip", "clip_epsilon", "spacing")
"""Those of them that are about a chain."""


@dataclass(frozen=True)
class UserAlias:
    """One table of a `models.toml`."""

    name: str
    source: str
    """As `--model` takes it; paths absolute."""
    settings: Mapping[str, Any]
    what: str
    licence: str
    resolution: int = 0
    """Not known until the model is found."""

    @property
    def sampler(self) -> SamplerChoice:
        """The sampler that it asks for, whatever the model."""
        return self.choice(SamplerChoice())

    def choice(self, own: SamplerChoice, levels: int = 1000) -> SamplerChoice:
        """The sampler it asks for, over the own one of a model of so many levels."""
        name = self.settings.get("sampler", own.name)
        base = own if name == own.name else SamplerChoice.default(name, levels)
        options = {key: self.settings.get(key) for key in CHAIN}
        return base.with_options(**options)

    def rename(self, model: Model) -> Model:
        """The model that it names, under its name, sampler and licence."""
        licence = self.settings.get("licence", model.licence)
        sampler = self.choice(model.sampler, model.space.schedule.steps)
        return replace(model, alias=self.name, licence=licence, sampler=sampler)


def user_aliases() -> dict[str, UserAlias]:
    """The short names of `$NCA_MODELS`, else of `./models.toml`. Raises `UsageError`."""
    if (file := aliases_file()) is None:
        return {}
    try:
        tables = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        text = " ".join(str(error).split())
        raise UsageError(f"cannot read {file} ({text})") from error
    return {name: _alias(name, table, file) for name, table in tables.items()}


def _alias(name: str, table: Any, file: Path) -> UserAlias:
    where = f"{file}: [{name}]"
    if not isinstance(table, dict):
        raise UsageError(f"{where} is not a table", f'write [{name}] and model = "…"')
    _check_name(name, where)
    for key, value in table.items():
        _check(key, value, where)
    if "model" not in table:
        raise UsageError(f"{where} names no model", 'model = "org/name", a folder or adm:PATH')
    model, licence = _resolved(table["model"], file, where), table.get("licence", "not stated")
    alias = UserAlias(name, model, table, table.get("what", model), licence)
    try:
        alias.choice(SamplerChoice())
    except UsageError as error:
        raise UsageError(f"{where}: {error}", error.hint) from error
    return alias


def _check_name(name: str, where: str) -> None:
    if not NAME.fullmatch(name):
        raise UsageError(f"{where} is not a valid short name", "letters, digits, dots, dashes")
    built_in = ALIASES.get(name)
    if built_in is not None and not isinstance(built_in.origin, ByHand):
        raise UsageError(f"{where} is a built-in name", "choose another")


def _check(key: str, value: object, where: str) -> None:
    kind = KEYS.get(key)
    if kind is None:
        near = difflib.get_close_matches(key, KEYS, 1)
        hint = f"did you mean {near[0]}?" if near else f"one of: {', '.join(KEYS)}"
        raise UsageError(f"{where} has no {key!r}", hint)
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise UsageError(f"{where}: {key} = {value!r} is not of the right type")


def _resolved(model: str, file: Path, where: str) -> str:
    """`model` with its path, if it is one, taken from the folder of `file`."""
    if is_checkpoint(model):
        kind, _, checkpoint = model.partition(":")
        return f"{kind}:{(file.parent / Path(os.path.expanduser(checkpoint))).absolute()}"
    if is_own(model):
        reason = f"{where}: a file may not name code to run ({model})"
        raise UsageError(reason, f"use --model {model} on the command line")
    path = file.parent / Path(os.path.expanduser(model))
    return str(path.absolute()) if model not in ALIASES and os.path.exists(path) else model
