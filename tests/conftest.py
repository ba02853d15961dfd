"""Shared by all tests: a quiet, offline environment and one tiny pipeline per session."""

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

for name in [name for name in os.environ if name.startswith("NCA_")]:
    del os.environ[name]
os.environ["OMP_NUM_THREADS"] = "1"  # tiny networks gain nothing from more; and tests fork
os.environ["COLUMNS"] = "100"
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # else each program that starts compiles all anew
sys.dont_write_bytecode = False


def pytest_xdist_auto_num_workers():
    """One more than there are cores: tests wait for servers, browsers, locks and disks."""
    from nca_cli.devices import cores

    return cores() + 1


@pytest.fixture(autouse=True, scope="session")
def _own_cache(tmp_path_factory):
    """Digests of weights are remembered in a folder of this session, never in the user's."""
    os.environ["NCA_CACHE"] = str(tmp_path_factory.mktemp("cache"))
    yield
    del os.environ["NCA_CACHE"]


@pytest.fixture(scope="session")
def pixel_pipeline(tmp_path_factory):
    """A tiny pixel pipeline (16×16) saved by diffusers."""
    from pipelines import tiny_pixel

    return tiny_pixel(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="session")
def latent_pipeline(tmp_path_factory):
    """A tiny latent pipeline (32×32 pixels, 16×16 latents) with a VQ autoencoder."""
    from pipelines import tiny_latent

    return tiny_latent(tmp_path_factory.mktemp("models") / "tiny-latent")


@pytest.fixture(scope="session")
def path_of_nca(tmp_path_factory):
    """The PATH of a shell whose `nca` starts warm.

    With so many sample pictures of each kind, where a number is given: networks take most of the
    time, and no page depends on it.
    """
    from pages import environment
    from warm import write_nca

    folder = tmp_path_factory.mktemp("shell")

    def path(samples=None):
        write_nca(folder / str(samples), environment(), samples)
        return f"{folder / str(samples)}{os.pathsep}{environment()['PATH']}"

    return path


@pytest.fixture
def faces(tmp_path):
    """Three small pictures in a folder."""
    import numpy as np
    from PIL import Image

    folder = tmp_path / "faces"
    folder.mkdir()
    random = np.random.default_rng(0)
    for name in ("anna", "ben", "cleo"):
        coarse = random.integers(0, 256, (4, 4, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((40, 40), Image.Resampling.BICUBIC).save(
            folder / f"{name}.png"
        )
    return folder


@pytest.fixture
def one_thread():
    """Networks of a test give the same rounding wherever it runs."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    """The cache folder of one test, empty at its start."""
    monkeypatch.setenv("NCA_CACHE", str(tmp_path / "nca-cache"))
    return tmp_path / "nca-cache"


@pytest.fixture(scope="module")
def browser():
    """A running Chromium, for the modules that need one."""
    from browser import chromium

    with chromium() as running:
        yield running
