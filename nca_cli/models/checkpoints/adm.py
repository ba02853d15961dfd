"""Configurations of ADM networks (Dhariwal & Nichol, 2105.05233), by the flags of guided-diffusion.

The defaults are those of P2 weighting's models (Choi et al., 2204.00227).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from nca_cli.models.checkpoints.flags import Complaints
from nca_cli.models.checkpoints.layers import Keys, Layer
from nca_cli.models.checkpoints.unet import Unet
from nca_cli.models.tables import AVERAGED
from nca_cli.sampler_choice import SamplerChoice

BETAS = {"linear": "linear", "cosine": "squaredcos_cap_v2"}
"""noise_schedule → beta_schedule of diffusers."""
CHANNEL_MULT = {
    512: (0.5, 1, 1, 2, 2, 4, 4), 256: (1, 1, 2, 2, 4, 4), 128: (1, 1, 2, 3, 4), 64: (1, 2, 3, 4),
    32: (1, 2, 2, 2),
}  # fmt: skip
"""Multipliers by image size, where none are given: of guided-diffusion and improved-diffusion."""
FIRST = "time_embed.0.weight"
"""A key that every such network has."""


@dataclass(frozen=True)
class AdmConfig:
    """An ADM network and its schedule; every field is a flag of guided-diffusion."""

    SUFFIX: ClassVar = ".pt"
    SAMPLER: ClassVar = SamplerChoice("ddpm", 250)
    """As guided-diffusion samples: 250 ancestral steps, here with the variance that was learned."""
    PIPELINE: ClassVar = "DDPMPipeline"
    first_stage_config: ClassVar = None
    scale_factor: ClassVar = None
    """It works on pixels, without an autoencoder."""
    IDLE: ClassVar[frozenset[str]] = frozenset(
        ("dropout", "use_checkpoint", "use_fp16", "use_ddim", "timestep_respacing", "use_kl",
         "rescale_learned_sigmas", "p2_gamma", "p2_k", "clip_denoised", "batch_size", "lr",
         "data_dir", "schedule_sampler", "weight_decay", "lr_anneal_steps", "microbatch",
         "ema_rate", "log_interval", "save_interval", "resume_checkpoint", "fp16_scale_growth",
         "model_path", "num_samples")
    )  # fmt: skip
    """Flags of training and sampling, which change nothing about the network."""
    SILENT: ClassVar = (
        "noise_schedule", "diffusion_steps", "rescale_timesteps", "predict_xstart",
        "use_new_attention_order", "num_heads", "num_head_channels", "sigma_small",
    )  # fmt: skip
    """Flags that no tensor reveals: a wrong one gives wrong results without a sign."""

    image_size: int = 256
    in_channels: int = 3
    """Of images: 3, or 1 for grey ones."""
    num_channels: int = 128
    channel_mult: tuple[float, ...] = ()
    """Of `num_channels`, one for each resolution; empty: guided-diffusion's for `image_size`."""
    num_res_blocks: int = 1
    attention_resolutions: tuple[int, ...] = (16,)
    """Sides in pixels at which there is attention."""
    num_heads: int = 4
    """Counts where `num_head_channels` is -1."""
    num_heads_upsample: int = -1
    """guided-diffusion's: -1 is `num_heads`; diffusers knows no other."""
    num_head_channels: int = 64
    resblock_updown: bool = True
    learn_sigma: bool = True
    use_scale_shift_norm: bool = True
    use_new_attention_order: bool = False
    class_cond: bool = False
    num_classes: int = 1000
    """Labels of a class-conditional network; guided-diffusion itself knows ImageNet's alone."""
    predict_xstart: bool = False
    sigma_small: bool = False
    noise_schedule: str = "linear"
    diffusion_steps: int = 1000
    rescale_timesteps: bool = False
    """Whether the network hears 1000·t/diffusion_steps: so improved-diffusion trains by default."""

    @property
    def unet(self) -> Unet:
        """The network."""
        mult = self.channel_mult or CHANNEL_MULT.get(self.image_size, (1,))
        sides = (self.image_size // 2**level for level in range(len(mult)))
        return Unet.of(
            self,
            image_size=self.image_size,
            width=self.num_channels,
            channel_mult=mult,
            attention=tuple(side in self.attention_resolutions for side in sides),
            in_channels=self.in_channels,
            out_channels=self.in_channels * (2 if self.learn_sigma else 1),
            classes=self.num_classes if self.class_cond else None,
            time_scale=1000 / self.diffusion_steps if self.rescale_timesteps else 1.0,
        )

    def identity(self) -> dict[str, Any]:
        """Plain data that tells it from any other configuration."""
        idle = {"num_heads_upsample"} | ({"num_classes"} if not self.class_cond else set())
        idle |= {"in_channels"} if self.in_channels == 3 else set()
        return {key: value for key, value in asdict(self).items() if key not in idle}

    def untold(self, told: Collection[str]) -> str | None:
        """What a configuration that says `told` leaves open and nobody may guess, if anything."""
        if self.diffusion_steps == 1000 or "rescale_timesteps" in told:
            return None
        return (
            f"diffusion_steps is {self.diffusion_steps}, so say rescale_timesteps as trained "
            "(improved-diffusion: true unless told, guided-diffusion: false)"
        )

    def parts(self) -> dict[str, dict[str, Any]]:
        """Configurations of diffusers' networks, by their folders."""
        return {"unet": self.unet.config()}

    def layers(self, part: str) -> Iterator[Layer]:
        """The layers of one of `parts()`."""
        return self.unet.layers()

    def source(self, part: str, keys: Iterable[str]) -> Keys:
        """Where a checkpoint of these keys has them: behind the name that a larger module gives the
        network, the moving average's before others."""
        names = [key.removesuffix(FIRST) for key in keys if key.endswith(FIRST)]
        averaged = [name for name in names if "ema" in name]
        chosen = next(iter(averaged or names), "")
        note = AVERAGED.format(chosen.rstrip("."))
        return Keys(chosen, note=note if averaged and chosen else None)

    def scheduler(self) -> dict[str, Any]:
        """The schedule as a configuration of diffusers' DDPMScheduler.

        guided-diffusion stretches the linear β so that any number of steps ends in the same noise.
        `clip_epsilon` is nca's own: its DDIM takes ε anew from the clipped x̂0.
        """
        fixed = "fixed_small" if self.sigma_small else "fixed_large"
        stretch = 1000 / self.diffusion_steps
        return {
            "_class_name": "DDPMScheduler",
            "beta_schedule": BETAS[self.noise_schedule],
            "beta_start": 1e-4 * stretch,
            "beta_end": 0.02 * stretch,
            "num_train_timesteps": self.diffusion_steps,
            "clip_sample": True,
            "clip_epsilon": "recomputed",
            "prediction_type": "sample" if self.predict_xstart else "epsilon",
            "variance_type": "learned_range" if self.learn_sigma else fixed,
            "timestep_spacing": "linspace",
        }

    def complaints(self) -> Complaints:
        """What is impossible, and what diffusers cannot express."""
        side = self.image_size
        return {
            f"unknown noise_schedule {self.noise_schedule!r} ({', '.join(BETAS)})":
                lambda: self.noise_schedule not in BETAS,
            "diffusion_steps is below 20": lambda: self.diffusion_steps < 20,
            "num_classes is below 1": lambda: self.num_classes < 1,
            f"channel_mult is needed for image_size {side}":
                lambda: not self.channel_mult and side not in CHANNEL_MULT,
            **self.unet.complaints(),
            "num_heads_upsample is another than num_heads, which diffusers cannot": lambda: (
                self.num_head_channels == -1
                and self.num_heads_upsample not in (-1, self.num_heads)),
            "in_channels must be 3 or 1": lambda: self.in_channels not in (1, 3),
        }  # fmt: skip
