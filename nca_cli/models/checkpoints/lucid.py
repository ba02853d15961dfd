"""Checkpoints of denoising-diffusion-pytorch: the network by its shapes, its diffusion by what it
registered beside it.

A file of its Trainer holds β and the weights of its loss, which tell schedule and objective; a file
of the Unet alone does not, and they have to be said.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from nca_cli.models.checkpoints.flags import Complaints
from nca_cli.models.checkpoints.layers import Misfit, of_network
from nca_cli.models.checkpoints.told import SelfDescribed
from nca_cli.sampler_choice import SamplerChoice
from nca_cli.schedule import Schedule

if TYPE_CHECKING:
    import torch

SCHEDULES = {"linear": "linear", "cosine": "squaredcos_cap_v2", "sigmoid": "sigmoid_alpha_bar"}
"""beta_schedule → nca's."""
OBJECTIVES = {"pred_noise": "epsilon", "pred_x0": "sample", "pred_v": "v_prediction"}
FIRST = "init_conv.weight"
CLOSE = 1e-5
"""Between β in float32 and β by their formula."""


@dataclass(frozen=True)
class LucidConfig:
    """Arguments of its GaussianDiffusion; those of its Unet are read from shapes."""

    SUFFIX: ClassVar = ".pt"
    SAMPLER: ClassVar = SamplerChoice()
    IDLE: ClassVar[frozenset[str]] = frozenset(
        ("dim", "dim_mults", "flash_attn", "channels", "dropout", "init_dim", "full_attn",
         "attn_heads", "attn_dim_head", "sampling_timesteps", "ddim_sampling_eta",
         "min_snr_loss_weight", "min_snr_gamma", "offset_noise_strength", "immiscible",
         "train_batch_size", "train_lr", "train_num_steps", "gradient_accumulate_every",
         "ema_decay", "amp", "calculate_fid", "results_folder")
    )  # fmt: skip
    """Arguments that shapes reveal, or that change nothing about the network."""
    SAVE: ClassVar = None
    """Its files are tensors."""
    SILENT: ClassVar = ("image_size", "theta")

    image_size: int = 0
    """Side of its images, which a convolutional network does not reveal."""
    objective: str = ""
    """pred_noise, pred_x0 or pred_v; empty: as its loss was weighted."""
    beta_schedule: str = ""
    """linear, cosine or sigmoid; empty: as its β say."""
    timesteps: int = 0
    """0: as many as there are β."""
    auto_normalize: bool = True
    """Whether it works in [-1, 1]."""
    theta: int = 10_000
    """Of the sines of t (`sinusoidal_pos_emb_theta`)."""

    def identity(self) -> dict[str, Any]:
        """Plain data that tells it from any other configuration."""
        return asdict(self)

    def untold(self, told: Collection[str]) -> str | None:
        """The size of its images, if it is not said."""
        return None if self.image_size else "it does not say image_size, which no tensor reveals"

    def complaints(self) -> Complaints:
        """What is impossible, and what nca has not."""
        return {
            "image_size is below 1": lambda: self.image_size < 0,
            f"unknown objective {self.objective!r} ({', '.join(OBJECTIVES)})": lambda: (
                self.objective not in ("", *OBJECTIVES)),
            f"unknown beta_schedule {self.beta_schedule!r} ({', '.join(SCHEDULES)})": lambda: (
                self.beta_schedule not in ("", *SCHEDULES)),
            "timesteps is below 20": lambda: 0 < self.timesteps < 20,
            "auto_normalize is false: images in [0, 1], which nca does not support": lambda: (
                not self.auto_normalize),
        }  # fmt: skip

    def described(self, tensors: Mapping[str, torch.Tensor]) -> SelfDescribed:
        """The network and its diffusion. Raises `Misfit`."""
        own = of_network(tensors, FIRST, "Unet of denoising-diffusion-pytorch")
        network = {key: value for key, value in own.items() if key not in BUFFERS}
        schedule, said = self._schedule(tensors)
        objective = self._objective(tensors, schedule)
        scheduler = {
            "_class_name": "DDPMScheduler", **said, "num_train_timesteps": schedule.steps,
            "prediction_type": OBJECTIVES[objective], "variance_type": "fixed_small",
            "clip_sample": True, "clip_epsilon": "recomputed",
        }  # fmt: skip
        config = unet_config(network) | {"sample_size": self.image_size, "theta": self.theta}
        return SelfDescribed("LucidUnet", config, network, scheduler)

    def _schedule(self, tensors: Mapping[str, torch.Tensor]) -> tuple[Schedule, dict[str, Any]]:
        """Its levels, and how a scheduler's configuration says them."""
        betas = tensors.get("betas")
        if betas is None and not self.beta_schedule:
            raise Misfit("holds no β: set beta_schedule (linear, cosine or sigmoid)")
        if betas is None:
            said = configured(self.beta_schedule, self.timesteps or 1000)
            return Schedule.from_config(said), said
        found = betas.double().numpy()
        if self.timesteps not in (0, len(found)):
            raise Misfit(f"holds {len(found)} β, not {self.timesteps}")
        names = [self.beta_schedule] if self.beta_schedule else SCHEDULES
        for name in names:
            said = configured(name, len(found))
            schedule = Schedule.from_config(said)
            if np.abs(schedule.betas - found).max() < CLOSE:
                return schedule, said
        if self.beta_schedule:
            raise Misfit(f"its β are not those of the {self.beta_schedule} schedule")
        said = {"trained_betas": found.tolist(), "num_train_timesteps": len(found)}
        return Schedule.from_config(said), said

    def _objective(self, tensors: Mapping[str, torch.Tensor], schedule: Schedule) -> str:
        """As its loss was weighted, which min-SNR changes at high SNR alone."""
        weights, revealed = tensors.get("loss_weight"), None
        if weights is not None:
            snr = schedule.alpha_bar / (1 - schedule.alpha_bar)
            low = (snr < 0.5) & (snr > 1e-4)
            ways = {"pred_noise": np.ones_like(snr), "pred_x0": snr, "pred_v": snr / (1 + snr)}
            ratios = {name: weights.double().numpy()[low] / way[low] for name, way in ways.items()}
            close = [
                name for name, ratio in ratios.items() if np.abs(ratio - 1).max(initial=0) < 0.01
            ]
            revealed = close[0] if len(close) == 1 and low.any() else None
        if self.objective and revealed not in (None, self.objective):
            raise Misfit(f"its loss was weighted as for {revealed}, not {self.objective}")
        if not (self.objective or revealed):
            raise Misfit(f"does not reveal its objective: set it to one of {', '.join(OBJECTIVES)}")
        return self.objective or str(revealed)


BUFFERS = frozenset(
    ("betas", "alphas_cumprod", "alphas_cumprod_prev", "sqrt_alphas_cumprod",
     "sqrt_one_minus_alphas_cumprod", "log_one_minus_alphas_cumprod", "sqrt_recip_alphas_cumprod",
     "sqrt_recipm1_alphas_cumprod", "posterior_variance", "posterior_log_variance_clipped",
     "posterior_mean_coef1", "posterior_mean_coef2", "loss_weight", "p2_loss_weight")
)  # fmt: skip
"""What a GaussianDiffusion registers beside its network."""


def configured(name: str, steps: int) -> dict[str, Any]:
    """A schedule of its own as a scheduler's configuration says it; the linear one is stretched, so
    that any number of steps ends in the same noise."""
    said: dict[str, Any] = {"beta_schedule": SCHEDULES[name], "num_train_timesteps": steps}
    if name == "linear":
        said |= {"beta_start": 0.1 / steps, "beta_end": 20 / steps}
    return said


def unet_config(tensors: Mapping[str, torch.Tensor]) -> dict[str, Any]:
    """The settings of its Unet, by shapes. Raises `Misfit`."""
    shapes = {key: tuple(value.shape) for key, value in tensors.items()}
    for key, what in UNSUPPORTED.items():
        if key in shapes:
            raise Misfit(f"has {what}, which nca does not support ({key})")
    levels = 1 + max((int(found[1]) for key in shapes if (found := LEVEL.match(key))), default=-1)
    needed = ["init_conv.weight", "time_mlp.1.weight", "final_conv.weight"]
    needed += [f"downs.{i}.2.mem_kv" for i in range(levels)]
    needed += [f"downs.{i}.1.block1.proj.weight" for i in range(levels)]
    if not levels or (missing := [key for key in needed if key not in shapes]):
        what = missing[0] if levels else "downs.0.0.block1.proj.weight"
        raise Misfit(f"there is no {what}: saved by denoising-diffusion-pytorch before version 2?")
    first, ins = shapes["init_conv.weight"][:2]
    dim = shapes["time_mlp.1.weight"][1]
    ends = [i + 1 < levels for i in range(levels)]
    nexts = [shapes.get(f"downs.{i}.3.{'1.' if more else ''}weight", (0,))[0]
             for i, more in enumerate(ends)]  # fmt: skip
    full = [f"downs.{i}.2.to_out.weight" in shapes for i in range(levels)]
    memories = [shapes[f"downs.{i}.2.mem_kv"] for i in range(levels)]
    return {
        "_class_name": "LucidUnet", "in_channels": ins,
        "out_channels": shapes["final_conv.weight"][0], "dim": dim, "first_dim": first,
        "mults": [width / dim for width in nexts],
        "heads": [shape[1] for shape in memories],
        "head_dims": [memory[3 if whole else 2]
                      for memory, whole in zip(memories, full, strict=True)],
        "memory": memories[0][2 if full[0] else 3], "full": full,
    }  # fmt: skip


LEVEL = re.compile(r"downs\.(\d+)\.")
UNSUPPORTED = {"time_mlp.0.weights": "random or learned frequencies of t"}
