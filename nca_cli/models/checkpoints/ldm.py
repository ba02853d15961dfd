"""Configurations of CompVis' latent diffusion (Rombach et al., 2112.10752), by its YAML's flags.

The defaults are those of its unconditional models of FFHQ and CelebA-HQ, which are one network.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar

from nca_cli.models.checkpoints.autoencoder import FirstStageConfig
from nca_cli.models.checkpoints.flags import Complaints
from nca_cli.models.checkpoints.layers import Keys, Layer
from nca_cli.models.checkpoints.unet import Unet
from nca_cli.sampler_choice import SamplerChoice

PLAIN = Keys("model.diffusion_model.")
AVERAGED = Keys(
    "model_ema.diffusion_model", dotless=True,
    note="weights are the moving average of training (model_ema), as CompVis samples with",
)  # fmt: skip
UNAVERAGED = Keys(
    PLAIN.prefix, note="it holds no moving average (model_ema), so its last weights are used"
)
FIRST_STAGE = Keys("first_stage_model.", idle="first_stage_model.loss.")
PREDICTIONS = {"eps": "epsilon", "x0": "sample"}
"""parameterization → prediction_type of diffusers."""


@dataclass(frozen=True)
class UnetConfig:
    """`unet_config`."""

    IDLE: ClassVar[frozenset[str]] = frozenset(
        ("image_size", "in_channels", "out_channels", "dropout", "use_checkpoint", "use_fp16",
         "conv_resample", "dims", "legacy")
    )  # fmt: skip
    """Flags of training, and those that stand elsewhere; a wrong one shows in the shapes."""

    model_channels: int = 224
    attention_resolutions: tuple[int, ...] = (8, 4, 2)
    """How often latents are halved where there is attention, as factors: 1, 2, 4, …"""
    num_res_blocks: int = 2
    channel_mult: tuple[float, ...] = (1, 2, 3, 4)
    num_heads: int = -1
    """Counts where `num_head_channels` is -1."""
    num_head_channels: int = 32
    use_scale_shift_norm: bool = False
    resblock_updown: bool = False
    use_new_attention_order: bool = False


@dataclass(frozen=True)
class LdmConfig:
    """A latent diffusion model: schedule, network and autoencoder."""

    SUFFIX: ClassVar = ".ckpt"
    SAMPLER: ClassVar = SamplerChoice()
    PIPELINE: ClassVar = "LDMPipeline"
    IDLE: ClassVar[frozenset[str]] = frozenset(
        ("base_learning_rate", "num_timesteps_cond", "log_every_t", "first_stage_key",
         "cond_stage_key", "cond_stage_trainable", "concat_mode", "scale_by_std", "monitor",
         "loss_type", "scheduler_config")
    )  # fmt: skip
    """Flags of training. (What `scale_by_std` found is `scale_factor`, checked when converting.)"""

    SILENT: ClassVar = (
        "timesteps", "linear_start", "linear_end", "parameterization", "scale_factor",
        "unet_config.use_new_attention_order", "unet_config.num_heads",
        "unet_config.num_head_channels",
    )  # fmt: skip
    """Flags that no tensor reveals: a wrong one gives wrong results without a sign."""

    timesteps: int = 1000
    linear_start: float = 0.0015
    linear_end: float = 0.0195
    image_size: int = 64
    """Side of the latents."""
    channels: int = 3
    """Of the latents."""
    parameterization: str = "eps"
    scale_factor: float = 1.0
    """z = encode(x)·scale_factor."""
    use_ema: bool = True
    """Whether the weights are the moving average of training, where the file holds one."""
    unet_config: UnetConfig = field(default_factory=UnetConfig)
    first_stage_config: FirstStageConfig = field(default_factory=FirstStageConfig)

    @property
    def unet(self) -> Unet:
        """The network."""
        own = self.unet_config
        factors = (2**level for level in range(len(own.channel_mult)))
        return Unet.of(
            own,
            image_size=self.image_size,
            width=own.model_channels,
            channel_mult=own.channel_mult,
            attention=tuple(factor in own.attention_resolutions for factor in factors),
            in_channels=self.channels,
            out_channels=self.channels,
        )

    def identity(self) -> dict[str, Any]:
        """Plain data that tells it from any other configuration."""
        return asdict(self)

    def untold(self, told: Collection[str]) -> str | None:
        """Nothing that nobody may guess: CompVis' models are the default."""
        return None

    def parts(self) -> dict[str, dict[str, Any]]:
        """Configurations of diffusers' networks, by their folders."""
        coder = self.first_stage_config
        folder = "vae" if coder.ddconfig.double_z else "vqvae"
        first_stage = coder.config(self.image_size, self.scale_factor)
        return {"unet": self.unet.config(), folder: first_stage}

    def layers(self, part: str) -> Iterator[Layer]:
        """The layers of one of `parts()`."""
        if part == "unet":
            return self.unet.layers()
        return self.first_stage_config.layers(self.image_size)

    def source(self, part: str, keys: Iterable[str]) -> Keys:
        """Where a checkpoint of these keys has them."""
        if part != "unet":
            return FIRST_STAGE
        if not self.use_ema:
            return PLAIN
        return AVERAGED if any(map(AVERAGED.holds, keys)) else UNAVERAGED

    def scheduler(self) -> dict[str, Any]:
        """The schedule as a configuration of diffusers' DDIMScheduler.

        CompVis' "linear" is linear in √β. Its chains clip nothing and end at ᾱ_0.
        """
        return {
            "_class_name": "DDIMScheduler",
            "beta_schedule": "scaled_linear",
            "beta_start": self.linear_start,
            "beta_end": self.linear_end,
            "num_train_timesteps": self.timesteps,
            "clip_sample": False,
            "set_alpha_to_one": False,
            "prediction_type": PREDICTIONS[self.parameterization],
        }

    def complaints(self) -> Complaints:
        """What is impossible, and what diffusers cannot express."""
        first_stage = self.first_stage_config
        return {
            f"unknown parameterization {self.parameterization!r} ({', '.join(PREDICTIONS)})":
                lambda: self.parameterization not in PREDICTIONS,
            "timesteps is below 20": lambda: self.timesteps < 20,
            "linear_start and linear_end are not 0 < start < end < 1": lambda: (
                not 0 < self.linear_start < self.linear_end < 1),
            "scale_factor is not above 0": lambda: not self.scale_factor > 0,
            **self.unet.complaints(),
            **first_stage.complaints(),
            f"channels is {self.channels}, embed_dim {first_stage.embed_dim}": lambda: (
                self.channels != first_stage.embed_dim),
        }  # fmt: skip
