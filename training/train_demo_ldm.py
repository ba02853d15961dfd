"""Train the latent demo model: a VQ autoencoder (factor 4), then a UNet on its latents.

    python training/train_demo_ldm.py vq --steps 1600 --decay 1000
    python training/train_demo_ldm.py unet --steps 2500 --decay 2000
    python training/train_demo_ldm.py export    # float16 diffusers folder from both checkpoints

Both runs are seeded and resumable like the pixel model's. The autoencoder starts without
quantisation; its codebook is then seeded with latents (a codebook that starts at random leaves
most codes unused) and unused codes are moved onto latents from time to time. The UNet learns on
unquantised latents, as CompVis' does, scaled by `scaling_factor` to unit standard deviation.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch
from data import ASSETS, RUNS, to_model, training_portraits
from diffusers import DDIMScheduler, LDMPipeline, UNet2DModel, VQModel
from loop import Run, train
from torch.nn.functional import l1_loss, mse_loss
from train_demo import PORTRAITS, VLoss, readable

CODES = 1024
LATENTS = 16_000  # portraits whose latents the UNet learns
FREE_STEPS = 300  # before quantisation begins
RESTART_EVERY, LAST_RESTART = 50, 900
VQ_RUN, UNET_RUN = RUNS / "demo-vq", RUNS / "demo-ldm"


def autoencoder(scaling_factor: float = 1.0) -> VQModel:
    """64x64x3 to 16x16x4 and back, 1024 codes."""
    return VQModel(
        block_out_channels=(16, 48, 96),
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        layers_per_block=1,
        latent_channels=4,
        vq_embed_dim=4,
        num_vq_embeddings=CODES,
        norm_num_groups=8,
        sample_size=64,
        mid_block_add_attention=False,
        scaling_factor=scaling_factor,
    )


def latent_unet() -> UNet2DModel:
    return UNet2DModel(
        sample_size=16,
        in_channels=4,
        out_channels=4,
        block_out_channels=(48, 96, 128),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "AttnUpBlock2D", "UpBlock2D"),
        attention_head_dim=32,
        norm_num_groups=8,
    )


class Reconstruction:
    """L1 + L2 + L1 of image gradients (edges), and the commitment loss once codes are in use."""

    def __init__(self, data: np.ndarray, batch: int) -> None:
        self.data, self.batch = data, batch
        self.state = {"step": torch.zeros((), dtype=torch.long), "used": torch.zeros(CODES)}

    def __call__(self, model: VQModel, generator: torch.Generator):
        rows = torch.randint(len(self.data), (self.batch,), generator=generator).numpy()
        x = torch.from_numpy(to_model(self.data[rows]))
        x = x.contiguous(memory_format=torch.channels_last)
        z = model.encode(x).latents
        step = int(self.state["step"])
        self.state["step"] += 1
        if step < FREE_STEPS:
            y, commitment = self.decode(model, z, quantise=False), torch.zeros(())
        else:
            if step == FREE_STEPS or (step % RESTART_EVERY == 0 and step <= LAST_RESTART):
                self.restart(model, z, everything=step == FREE_STEPS, generator=generator)
            y, commitment = self.decode(model, z, quantise=True)
        mse = mse_loss(y, x)
        loss = l1_loss(y, x) + 2 * mse + 0.5 * edges(y, x) + commitment
        numbers = {"psnr": float(10 * torch.log10(4 / mse.detach())), "loss": loss.item()}
        return loss, numbers | {"codes_used": float((self.state["used"] > 0).sum())}

    def decode(self, model: VQModel, z: torch.Tensor, quantise: bool):
        if not quantise:
            return model.decode(z, force_not_quantize=True).sample
        quantised, commitment, (_, _, indices) = model.quantize(z)
        self.state["used"].index_add_(0, indices.flatten(), torch.ones(indices.numel()))
        return model.decoder(model.post_quant_conv(quantised)), commitment

    @torch.no_grad()
    def restart(self, model: VQModel, z, everything: bool, generator) -> None:
        """Move unused codes (at first: all) onto latents of this batch."""
        vectors = z.permute(0, 2, 3, 1).reshape(-1, z.shape[1])
        dead = torch.arange(CODES) if everything else torch.nonzero(self.state["used"] == 0)[:, 0]
        picks = torch.randperm(len(vectors), generator=generator)[: len(dead)]
        model.quantize.embedding.weight[dead[: len(picks)]] = vectors[picks]
        self.state["used"].zero_()


def edges(y: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    return sum(l1_loss(y.diff(dim=d), x.diff(dim=d)) for d in (2, 3))


@torch.no_grad()
def latents(model: VQModel, data: np.ndarray) -> np.ndarray:
    """Unquantised, unscaled latents, float32 `(N, 4, 16, 16)`."""
    parts = np.array_split(data, len(data) // 64)
    return np.concatenate([model.encode(torch.from_numpy(to_model(p))).latents for p in parts])


def trained_autoencoder() -> VQModel:
    model = autoencoder()
    model.load_state_dict(torch.load(VQ_RUN / "checkpoint.pt", weights_only=True)["average"])
    return model.eval()


def scaled_latents(data: np.ndarray) -> tuple[np.ndarray, float]:
    """Latents with unit standard deviation, and the factor that made them so."""
    path = RUNS / "latents.npy"
    if not path.exists():
        np.save(path, latents(trained_autoencoder(), data[:LATENTS]))
    z = np.load(path)
    factor = round(1 / float(z.std()), 4)
    return z * factor, factor


def export() -> None:
    """Write the averaged weights as an ordinary LDMPipeline, float16."""
    _, factor = scaled_latents(training_portraits(PORTRAITS))
    vq, unet = autoencoder(factor), latent_unet()
    vq.load_state_dict(trained_autoencoder().state_dict())
    unet.load_state_dict(torch.load(UNET_RUN / "checkpoint.pt", weights_only=True)["average"])
    scheduler = DDIMScheduler(prediction_type="v_prediction", clip_sample=False)
    LDMPipeline(vq.half(), unet.half(), scheduler).save_pretrained(ASSETS / "demo-ldm")
    readable(ASSETS / "demo-ldm")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("part", choices=("vq", "unet", "export"))
    parser.add_argument("--steps", type=int, default=1600)
    parser.add_argument("--decay", type=int, default=1000)
    parser.add_argument("--batch", type=int, default=None)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    torch.set_flush_denormal(True)
    if args.part == "export":
        return export()
    data = training_portraits(PORTRAITS)
    if args.part == "vq":
        folder, model, loss = VQ_RUN, autoencoder(), Reconstruction(data, args.batch or 16)
    else:
        z, _ = scaled_latents(data)
        folder, model, loss = UNET_RUN, latent_unet(), VLoss(z, args.batch or 64, np.asarray)
    run = Run(folder, args.steps, args.decay, ema=0.998, seed=args.seed)
    train(model.to(memory_format=torch.channels_last), loss, run)
    return None


if __name__ == "__main__":
    main()
