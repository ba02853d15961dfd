"""The shipped demo models: real models, small, in ordinary diffusers layout.

One-step PSNR on 64 portraits that training never saw, against references that need no network;
`training/evaluate_demo.py` prints the whole table.
"""

import sys
from pathlib import Path

import numpy as np
import pytest

from nca_cli.runs import find_run, is_whole

ROOT = Path(__file__).resolve().parents[1]
ASSETS = ROOT / "nca_cli" / "assets"
LEVELS = (100, 200, 300, 400, 500, 600, 700)
MIB = 2**20


@pytest.fixture(scope="module")
def evaluation():
    """`training/evaluate_demo.py`, which lives outside the package."""
    sys.path.insert(0, str(ROOT / "training"))
    try:
        import evaluate_demo

        yield evaluate_demo
    finally:
        sys.path.remove(str(ROOT / "training"))


@pytest.fixture(scope="module")
def psnr(evaluation):
    """{denoiser: {t: dB}} of the shipped network and its references."""
    denoisers = {"network": evaluation.network(evaluation.shipped()), **evaluation.references()}
    table = evaluation.evaluate(denoisers, LEVELS)
    return {name: dict(zip(LEVELS, values, strict=True)) for name, values in table.items()}


@pytest.mark.parametrize("t", [100, 200, 300, 400])
def test_the_demo_beats_the_full_covariance_gaussian_where_content_forms(psnr, t):
    assert psnr["network"][t] > psnr["gaussian"][t]


@pytest.mark.parametrize("t", LEVELS)
def test_the_demo_is_never_below_the_wiener_denoiser(psnr, t):
    assert psnr["network"][t] >= psnr["wiener"][t]


@pytest.mark.parametrize("t", LEVELS)
def test_the_references_rank_by_what_they_know(psnr, t):
    assert psnr["gaussian"][t] > psnr["wiener"][t] > psnr["mean image"][t]


def test_the_gaussian_reference_equals_the_textbook_formula(evaluation):
    """a Sigma (a² Sigma + s² I)⁻¹ r, written out in 12 dimensions."""
    rng = np.random.default_rng(0)
    train = (rng.standard_normal((40, 12)) @ rng.standard_normal((12, 12))).reshape(40, 3, 2, 2)
    x_t, (a, s) = rng.standard_normal((5, 3, 2, 2)), evaluation.scales(300)
    flat, mean = train.reshape(40, 12), train.reshape(40, 12).mean(0)
    sigma = np.cov(flat.T, bias=True)
    solved = np.linalg.solve(a * a * sigma + s * s * np.eye(12), (x_t.reshape(5, 12) - a * mean).T)
    expected = mean + a * (sigma @ solved).T
    found = evaluation.gaussian(train)(x_t, 300)
    assert np.allclose(found.reshape(5, 12), expected, atol=1e-4)


def test_the_pixel_demo_has_at_most_six_million_parameters(evaluation):
    assert evaluation.shipped().num_parameters() <= 6_000_000


def test_all_weights_are_float16_and_fit_in_twenty_mebibytes():
    folders = [ASSETS / name for name in ("demo", "demo-ldm")]
    files = [file for folder in folders for file in folder.rglob("*.safetensors")]
    assert len(files) == 3
    assert all(is_float16(file) for file in files)
    assert sum(path.stat().st_size for path in files) <= 20 * MIB


def test_the_run_that_ships_is_ten_checkpoints_in_six_mebibytes():
    run = find_run(str(ASSETS / "demo-run"))
    assert [saved.step for saved in run.steps] == [0, 25, 50, 100, 200, 400, 800, 1600, 3200, 6400]
    assert {saved.weights for saved in run.steps} == {"ema"}
    assert run.name == "demo-run"
    assert all(is_whole(saved.path) for saved in run.steps)
    files = [file for file in (ASSETS / "demo-run").rglob("*") if file.is_file()]
    assert all(is_float16(file) for file in files if file.suffix == ".safetensors")
    assert sum(file.stat().st_size for file in files) <= 6 * MIB


def test_the_networks_of_the_study_have_at_most_a_million_parameters(evaluation):
    import study  # beside `evaluate_demo`

    for widths in (study.WIDTHS, study.DEMO_WIDTHS):
        assert sum(each.numel() for each in study.unet(3, widths).parameters()) <= 1_000_000


def is_float16(file):
    """Whether all tensors of a safetensors file are."""
    from safetensors import safe_open

    with safe_open(file, "np") as weights:
        return {weights.get_slice(k).get_dtype() for k in weights.keys()} == {"F16"}  # noqa: SIM118


def test_the_pixel_demo_is_an_ordinary_diffusers_pipeline():
    from diffusers import DDPMPipeline

    pipeline = DDPMPipeline.from_pretrained(ASSETS / "demo")
    assert pipeline.scheduler.config.prediction_type == "v_prediction"
    assert pipeline.unet.config.sample_size == 64


def test_the_latent_demo_is_an_ordinary_diffusers_pipeline_with_its_own_scale():
    from diffusers import LDMPipeline

    pipeline = LDMPipeline.from_pretrained(ASSETS / "demo-ldm")
    assert pipeline.unet.config.sample_size == 16
    assert pipeline.vqvae.config.scaling_factor != 0.18215


def test_the_latents_have_unit_standard_deviation_once_scaled(evaluation):
    z = evaluation.latents_of(evaluation.shipped_autoencoder())
    assert z.std() == pytest.approx(1, abs=0.1)


def test_the_autoencoder_reconstructs_unseen_portraits_at_26_db(evaluation):
    assert evaluation.autoencoder_psnr(evaluation.shipped_autoencoder()) >= 26
