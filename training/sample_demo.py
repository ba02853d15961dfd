"""Draw sheets of samples from pure noise for the docs, with diffusers' own pipelines.

python training/sample_demo.py                  # both shipped models, DDIM 50, eta 0
python training/sample_demo.py --checkpoint training/runs/demo/checkpoint.pt -o sheet.png
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from data import ASSETS
from diffusers import DDIMPipeline, DDIMScheduler, LDMPipeline
from make_portraits import IMAGES, sheet


def pixel_samples(unet, scheduler, count: int, steps: int, eta: float = 0.0) -> np.ndarray:
    """DDIM samples from seeded noise, uint8 `(count, 64, 64, 3)`."""
    pipeline = DDIMPipeline(unet.float(), DDIMScheduler.from_config(scheduler.config))
    return draw(pipeline, count, num_inference_steps=steps, eta=eta)


def latent_samples(folder: Path, count: int, steps: int) -> np.ndarray:
    """LDMPipeline ignores `scaling_factor`; a hook divides by it before decoding."""
    pipeline = LDMPipeline.from_pretrained(folder)
    pipeline.vqvae.float(), pipeline.unet.float()
    decode, factor = pipeline.vqvae.decode, pipeline.vqvae.config.scaling_factor
    pipeline.vqvae.decode = lambda z, **kw: decode(z / factor, **kw)
    return draw(pipeline, count, num_inference_steps=steps)


def draw(pipeline, count: int, **options) -> np.ndarray:
    pipeline.set_progress_bar_config(disable=True)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        images = pipeline(batch_size=count, generator=generator, output_type="np", **options).images
    return np.rint(images * 255).astype(np.uint8)


def main() -> None:
    from evaluate_demo import averaged, shipped
    from train_demo import scheduler

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--checkpoint", type=Path, help="sample a pixel run's average instead")
    parser.add_argument("-o", "--output", type=Path, default=IMAGES / "demo-samples.png")
    parser.add_argument("--count", type=int, default=24)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--eta", type=float, default=0.0)
    args = parser.parse_args()
    unet = averaged(args.checkpoint) if args.checkpoint else shipped()
    samples = pixel_samples(unet, scheduler(), args.count, args.steps, args.eta)
    sheet(samples, 12, 1, args.output)
    if not args.checkpoint and (ASSETS / "demo-ldm").exists():
        latent = latent_samples(ASSETS / "demo-ldm", args.count, args.steps)
        sheet(latent, 12, 1, args.output.with_name("demo-ldm-samples.png"))


if __name__ == "__main__":
    main()
