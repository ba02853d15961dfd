"""Short names for models, with the sampler that each stands for.

The pixel aliases of DDPM and of P2 carry schedule and shape, so that noising an image needs neither
network nor files; `ncsnpp` reads its σ from its own configuration, once that was fetched.
Where the model's own files are on this disk, their configurations win over what is carried here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from nca_cli.models.origins.checkpoint import ByHand
from nca_cli.models.origins.folder import BuiltIn
from nca_cli.models.origins.hub import Hub
from nca_cli.models.origins.origin import Origin
from nca_cli.models.space import Model, Space
from nca_cli.models.wiener import Wiener
from nca_cli.recipe import BUILT_IN
from nca_cli.sampler_choice import SamplerChoice
from nca_cli.schedule import Schedule

CELEBAHQ = "google/ddpm-ema-celebahq-256"
LATENT_CELEBAHQ = "CompVis/ldm-celebahq-256"
FFHQ = "google/ncsnpp-ffhq-256"
IMAGENET = "facebook/DiT-XL-2-256"
TEXT = "stable-diffusion-v1-5/stable-diffusion-v1-5"
FLOW = "stabilityai/stable-diffusion-3.5-medium"
LINEAR = Schedule()
"""Ho et al. (2006.11239), section 4: β from 1e-4 to 0.02 in 1000 equal steps."""


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
    scheduler = {
        "_class_name": "DDPMScheduler",
        "beta_schedule": "linear",
        "beta_start": 1e-4,
        "beta_end": 0.02,
        "num_train_timesteps": 1000,
        "clip_sample": True,
        "variance_type": "fixed_small",
    }
    space = Space(LINEAR, (3, 256, 256), 256, 3)
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
        Alias("ldm", "CelebA-HQ, latents, deterministic sampler", LATENT_CELEBAHQ,
              SamplerChoice("ddim", 50, 0.0), 256, "apache-2.0"),
        Alias("ncsnpp", "FFHQ, pixels, variance-exploding", FFHQ,
              SamplerChoice("ddim", 50), 256, "apache-2.0"),
        Alias("dit", "ImageNet, latents, class-conditional", IMAGENET,
              SamplerChoice("ddim", 50), 256, "cc-by-nc-4.0"),
        Alias("ldm-ffhq", "FFHQ, latents, deterministic sampler", "ldm-ffhq",
              SamplerChoice("ddim", 50, 0.0), 256, "not stated",
              kind=partial(ByHand, "ldm:models/ldm/ffhq256/model.ckpt",
                           page="github.com/CompVis/latent-diffusion (ffhq.zip)")),
        Alias("sd15", "Stable Diffusion 1.5, latents, --prompt", TEXT,
              SamplerChoice("ddim", 50), 512, "creativeml-openrail-m"),
        Alias("sd35-medium", "Stable Diffusion 3.5, flow matching, latents, --prompt", FLOW,
              SamplerChoice("ddim", 50), 1024, "stabilityai-ai-community"),
        _p2("p2-ffhq", "ffhq_p2.pt", "FFHQ"),
        _p2("p2-celebahq", "celebahq_p2.pt", "CelebA-HQ"),
        _p2("p2-afhq-dog", "afhq_p2.pt", "AFHQ dogs"),
        _p2("p2-metfaces", "metface_p2.pt", "MetFaces"),
        _p2("p2-cub", "cub_p2.pt", "CUB birds"),
        _p2("p2-flowers", "flower_p2.pt", "Oxford flowers"),
    )
}  # fmt: skip
