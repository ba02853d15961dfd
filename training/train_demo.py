"""Train the pixel demo model on procedural portraits.

    python training/train_demo.py --steps 3350 --decay 2600
    python training/train_demo.py --export          # float16 diffusers folder from the checkpoint

A run is seeded and resumable: the same command goes on from `training/runs/demo/checkpoint.pt`.
v-prediction (Salimans & Ho 2022) on the linear DDPM schedule. Each level's loss is divided by its
own running mean, the uncertainty weighting of Karras et al. 2024 (EDM2, eq. 21) in its limit of a
table of bins: no level drowns another.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from data import ASSETS, RUNS, to_model, training_portraits
from diffusers import DDPMPipeline, DDPMScheduler, UNet2DModel
from loop import Run, train

BINS = 20
PORTRAITS = 30_000


def unet() -> UNet2DModel:
    """5.2 M parameters; a thin top level, as 64x64 planes cost memory traffic, not sums."""
    return UNet2DModel(
        sample_size=64,
        block_out_channels=(16, 48, 128, 160),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "DownBlock2D", "DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D", "UpBlock2D", "UpBlock2D"),
        attention_head_dim=32,
        norm_num_groups=8,
        resnet_time_scale_shift="scale_shift",
    )


def scheduler() -> DDPMScheduler:
    return DDPMScheduler(prediction_type="v_prediction")


class VLoss:
    """The v-prediction loss of a seeded batch, each level divided by its running mean."""

    def __init__(self, data: np.ndarray, batch: int, to_x0=to_model) -> None:
        self.data, self.batch, self.to_x0 = data, batch, to_x0
        self.alpha_bar = scheduler().alphas_cumprod
        self.state = {"mean": torch.ones(BINS)}

    def __call__(self, model: UNet2DModel, generator: torch.Generator):
        x0 = self.draw(generator)
        noise = torch.randn(x0.shape, generator=generator)
        t = self.levels(generator)
        a = self.alpha_bar[t].sqrt()[:, None, None, None]
        s = (1 - self.alpha_bar[t]).sqrt()[:, None, None, None]
        x_t = (a * x0 + s * noise).contiguous(memory_format=torch.channels_last)
        error = (model(x_t, t).sample - (a * noise - s * x0)).square().mean((1, 2, 3))
        loss = (error / self.running_mean(t, error.detach())).mean()
        return loss, self.numbers(t, error.detach())

    def draw(self, generator: torch.Generator) -> torch.Tensor:
        rows = torch.randint(len(self.data), (self.batch,), generator=generator).numpy()
        return torch.from_numpy(self.to_x0(self.data[np.sort(rows)]))

    def levels(self, generator: torch.Generator) -> torch.Tensor:
        """One level per stratum of [0, 1000), in random order: less noise than free draws."""
        jitter = torch.rand(self.batch, generator=generator)
        order = torch.randperm(self.batch, generator=generator)
        return ((order + jitter) * 1000 / self.batch).long()

    def running_mean(self, t: torch.Tensor, error: torch.Tensor) -> torch.Tensor:
        mean = self.state["mean"]
        for index, value in zip(t * BINS // 1000, error, strict=True):
            mean[index] += 0.02 * (value - mean[index])
        return mean[t * BINS // 1000]

    def numbers(self, t: torch.Tensor, error: torch.Tensor) -> dict[str, float]:
        thirds = {f"v_mse_{i}": error[t * 3 // 1000 == i].mean().item() for i in range(3)}
        return {"v_mse": error.mean().item(), **thirds}


def export(checkpoint: Path, folder: Path) -> None:
    """Write the averaged weights as an ordinary diffusers pipeline, float16."""
    model = unet()
    model.load_state_dict(torch.load(checkpoint, weights_only=True)["average"])
    DDPMPipeline(model.half(), scheduler()).save_pretrained(folder)
    readable(folder)


def readable(folder: Path) -> None:
    """safetensors writes files that only their owner can read."""
    for weights in folder.rglob("*.safetensors"):
        weights.chmod(0o644)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=3350)
    parser.add_argument("--decay", type=int, default=2600)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--lr", type=float, default=0.01, help="of Muon's matrices")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--run", type=Path, default=RUNS / "demo")
    parser.add_argument("--export", action="store_true", help="write nca_cli/assets/demo and stop")
    args = parser.parse_args()
    if args.export:
        return export(args.run / "checkpoint.pt", ASSETS / "demo")
    torch.manual_seed(args.seed)
    torch.set_flush_denormal(True)
    loss = VLoss(training_portraits(PORTRAITS), args.batch)
    run = Run(args.run, args.steps, args.decay, args.lr, seed=args.seed)
    train(unet().to(memory_format=torch.channels_last), loss, run)
    return None


if __name__ == "__main__":
    main()
