"""The engine against the raw time of its network calls, and against one image at a time."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

STEPS, LEVELS = 20, [100, 300, 500, 700, 900]


def main() -> None:
    """Eight portraits × five levels × ddim-20 on the demo model, from x_t to committed files."""
    import torch

    from nca_cli.engine import Reconstruction, Request, reconstruction_plans
    from nca_cli.store import Store

    with tempfile.TemporaryDirectory() as name:
        request = Request(models=["demo"], t=LEVELS, samplers=["ddim"], steps=STEPS)
        (plan,) = reconstruction_plans(request, Store(Path(name) / "store"))
        work = Reconstruction(plan)
        work._denoiser()  # the first load reads the weights from the disk
        began = time.perf_counter()
        list(work)
        whole, network = time.perf_counter() - began, work.engine.network_seconds
        naive = naive_seconds(Store(Path(name) / "store"))
    size = work.engine.batch.size
    print(
        f"engine: {plan.evaluations} evaluations, batch {size} (measured), "
        f"{torch.get_num_threads()} threads: "
        f"{whole:.1f} s, network alone {network:.1f} s: {whole / network:.3f}x"
    )
    print(
        f"engine: one image at a time through diffusers' scheduler {naive:.1f} s: "
        f"{naive / whole:.2f}x as long"
    )


def naive_seconds(store: object) -> float:
    """The usual script: for each image and level, a loop over scheduler.step, batch 1."""
    import torch
    from diffusers import DDIMScheduler, UNet2DModel

    from nca_cli.models import find_model
    from nca_cli.schedule import CLEAN

    model = find_model("demo")
    unet = (
        UNet2DModel.from_pretrained(model.folder / "unet", low_cpu_mem_usage=False).float().eval()
    )
    scheduler = DDIMScheduler.from_config(dict(model.scheduler))
    scheduler.set_timesteps(STEPS)
    began = time.perf_counter()
    with torch.inference_mode():
        for noise in (artifact for artifact in store.select() if artifact.is_noise):
            for t in LEVELS:
                x = torch.from_numpy(noise.read("x_t", [(t, 0)]))
                for level in model.space.schedule.chain(t, STEPS):
                    if level.t != CLEAN:
                        x = scheduler.step(unet(x, level.t).sample, level.t, x).prev_sample
    return time.perf_counter() - began
