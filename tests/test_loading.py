"""Loading: how much memory a network takes on its way from a file, and what it leaves behind."""

from __future__ import annotations

from pathlib import Path

import pipelines
import pytest
import warm

from nca_cli.models import find_model, load_denoiser
from nca_cli.models.load import building

STATUS = Path("/proc/self/status")

PEAK = """
import sys
from nca_cli.models import find_model, load_denoiser
def memory(name):
    lines = open("/proc/self/status").read().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(name))
tiny, *large = sys.argv[1:]
load_denoiser(find_model(tiny), device="cpu")
for folder in large:
    model, before = find_model(folder), memory("VmRSS")
    denoiser = load_denoiser(model, device="cpu")
    weights = sum(4 * p.numel() for p in denoiser._network.parameters())
    del denoiser
    print(weights, (memory("VmHWM") - before) / weights)
"""


@pytest.mark.skipif(not STATUS.exists(), reason="reads the peak of memory from /proc")
def test_loading_takes_little_more_than_twice_the_weights(tmp_path, pixel_pipeline):
    """90 million parameters, beyond what the imports and a tiny model take in the same process.

    Half of the peak is the file itself, mapped into memory.
    """
    from diffusers import UNet2DModel

    folders = []
    with building():
        network = UNet2DModel(sample_size=64, block_out_channels=(128, 256, 384, 512))
    for parameter in network.parameters():
        parameter.data.zero_()
    for weights in ("safetensors", "bin"):
        folders.append(pipelines.tiny_pixel(tmp_path / weights, weights=weights))
        pipelines.save_part(network, folders[-1] / "unet", weights)
    del network
    run = warm.run(PEAK, pixel_pipeline, *folders)
    assert run.returncode == 0, run.stderr
    peaks = [line.split() for line in run.stdout.splitlines()]
    assert len(peaks) == 2
    for size, peak in peaks:
        assert int(size) > 4 * 80e6
        assert 1 < float(peak) < 2.2


def test_loading_leaves_torch_as_it_was(pixel_pipeline):
    """New networks are not filled while one is built, and are again afterwards."""
    import torch

    load_denoiser(find_model(str(pixel_pipeline)), device="cpu")
    with building():
        assert torch.nn.Linear(2, 3).weight.shape == (3, 2)
    torch.manual_seed(0)
    first = torch.nn.Linear(64, 64).weight
    torch.manual_seed(0)
    assert torch.equal(first, torch.nn.Linear(64, 64).weight)
    assert 0.05 < first.std() < 0.1
