"""How well the demo denoises portraits it never saw, beside three denoisers that need no network.

    python training/evaluate_demo.py                       # the shipped model
    python training/evaluate_demo.py --checkpoint training/runs/demo/checkpoint.pt

PSNR in dB on the [-1, 1] scale (peak 2) of the clipped one-step x0_hat, averaged over 64 held-out
portraits; every denoiser sees the same x_t. References are fitted to the first 4,000 training
portraits.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from data import ASSETS, portraits, to_model
from diffusers import UNet2DModel, VQModel
from scipy.linalg import solve

from nca_cli.portraits import HELD_OUT_SEEDS, TRAIN_SEEDS

LEVELS = tuple(range(100, 1000, 100))
FITTED = 4_000
TESTED = HELD_OUT_SEEDS[1_000:1_064]

Denoiser = Callable[[np.ndarray, int], np.ndarray]  # x_t (N, C, H, W), t -> x0_hat (N, C, H, W)


def scales(t: int) -> tuple[np.float32, np.float32]:
    """Signal and noise scale of a level: sqrt(abar), sqrt(1 - abar), on the linear schedule."""
    alpha_bar = np.cumprod(1 - np.linspace(1e-4, 0.02, 1000))[t]
    return np.float32(np.sqrt(alpha_bar)), np.float32(np.sqrt(1 - alpha_bar))


def mean_image(train: np.ndarray) -> Denoiser:
    mean = train.mean(0)
    return lambda x_t, t: np.broadcast_to(mean, x_t.shape)


def wiener(train: np.ndarray) -> Denoiser:
    """Mean image and empirical power spectrum S of each channel: gain a S / (a² S + s²)."""
    mean = train.mean(0)
    power = np.mean([np.abs(np.fft.fft2(x - mean, norm="ortho")) ** 2 for x in train], axis=0)

    def denoise(x_t: np.ndarray, t: int) -> np.ndarray:
        a, s = scales(t)
        gain = a * power / (a * a * power + s * s)
        spectrum = np.fft.fft2(x_t - a * mean, norm="ortho")
        return (mean + np.fft.ifft2(gain * spectrum, norm="ortho").real).astype(np.float32)

    return denoise


def gaussian(train: np.ndarray) -> Denoiser:
    """Posterior mean under N(mu, Sigma), Sigma = XᵀX/N the full covariance of all pixels.

    a Sigma (a² Sigma + s² I)⁻¹ r = a Xᵀ (a² K + s² I)⁻¹ X r / N with the Gram matrix K = XXᵀ/N:
    exact, the null space of Sigma included, and one solve of size N, not of size 3·64².
    """
    mean = train.mean(0)
    x = (train - mean).reshape(len(train), -1)
    gram, eye = x @ x.T / len(x), np.eye(len(x), dtype=np.float32)

    def denoise(x_t: np.ndarray, t: int) -> np.ndarray:
        a, s = scales(t)
        residual = (x_t - a * mean).reshape(len(x_t), -1)
        system = a * a * gram + s * s * eye  # positive definite
        weights = solve(system, x @ residual.T / len(x), assume_a="pos")
        return mean + (a * weights.T @ x).reshape(x_t.shape)

    return denoise


def network(unet: UNet2DModel) -> Denoiser:
    """The one-step x0_hat of a v-predicting network: a x_t - s v."""
    unet = unet.float().eval().requires_grad_(False)

    def denoise(x_t: np.ndarray, t: int) -> np.ndarray:
        a, s = scales(t)
        v = [unet(x, t).sample for x in torch.from_numpy(x_t).split(16)]
        return a * x_t - s * torch.cat(v).numpy()

    return denoise


def one_step_psnr(denoise: Denoiser, x0: np.ndarray, t: int) -> float:
    """Mean over images of the PSNR of the clipped x0_hat at level t, dB."""
    noise = np.random.default_rng(0).standard_normal(x0.shape, np.float32)
    a, s = scales(t)
    x0_hat = np.clip(denoise(a * x0 + s * noise, t), -1, 1)
    return psnr(x0_hat, x0)


def psnr(x0_hat: np.ndarray, x0: np.ndarray) -> float:
    """Mean over images of 10 log10(4 / MSE): peak to peak of [-1, 1] is 2."""
    return float(np.mean(10 * np.log10(4 / np.square(x0_hat - x0).mean((1, 2, 3)))))


def evaluate(denoisers: dict[str, Denoiser], levels=LEVELS) -> dict[str, list[float]]:
    """PSNR at each level of each denoiser on the held-out portraits."""
    x0 = to_model(portraits(TESTED))
    return {name: [one_step_psnr(d, x0, t) for t in levels] for name, d in denoisers.items()}


def references() -> dict[str, Denoiser]:
    """The three denoisers without a network, fitted to training portraits."""
    train = to_model(portraits(TRAIN_SEEDS[:FITTED]))
    return {"gaussian": gaussian(train), "wiener": wiener(train), "mean image": mean_image(train)}


def shipped() -> UNet2DModel:
    return UNet2DModel.from_pretrained(ASSETS / "demo" / "unet")


def shipped_autoencoder() -> VQModel:
    return VQModel.from_pretrained(ASSETS / "demo-ldm" / "vqvae").float().eval()


@torch.no_grad()
def latents_of(model: VQModel) -> np.ndarray:
    """Scaled latents of the held-out portraits, `(64, 4, 16, 16)`."""
    x0 = torch.from_numpy(to_model(portraits(TESTED)))
    return (model.encode(x0).latents * model.config.scaling_factor).numpy()


@torch.no_grad()
def autoencoder_psnr(model: VQModel) -> float:
    """PSNR of D(E(x0)), quantised, on the held-out portraits, dB."""
    x0 = to_model(portraits(TESTED))
    decoded = model.decode(model.encode(torch.from_numpy(x0)).latents).sample
    return psnr(np.clip(decoded.numpy(), -1, 1), x0)


def averaged(checkpoint: Path) -> UNet2DModel:
    from train_demo import unet

    model = unet()
    model.load_state_dict(torch.load(checkpoint, weights_only=True)["average"])
    return model


def markdown(table: dict[str, list[float]], levels=LEVELS) -> str:
    rows = ["| t | " + " | ".join(map(str, levels)) + " |", "|---" * (len(levels) + 1) + "|"]
    rows += [
        f"| {n} | " + " | ".join(f"{v:.1f}" for v in values) + " |" for n, values in table.items()
    ]
    return "\n".join(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--checkpoint", type=Path, help="evaluate a run's average instead")
    parser.add_argument("--network-only", action="store_true", help="skip the references")
    args = parser.parse_args()
    model = averaged(args.checkpoint) if args.checkpoint else shipped()
    others = {} if args.network_only else references()
    print(markdown(evaluate({"network": network(model), **others})))


if __name__ == "__main__":
    main()
