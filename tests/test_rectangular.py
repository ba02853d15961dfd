"""Models of images that are no squares, from the picture to the page."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image
from pipelines import tiny_dit, tiny_latent, tiny_pixel
from trainings import commit_run, soon
from typer.testing import CliRunner

from nca_cli.analysis.checkpoints import stored_run
from nca_cli.cli import app
from nca_cli.engine import Request
from nca_cli.errors import UsageError
from nca_cli.images import image_digest, load_image, resolution_of, size_text
from nca_cli.metrics import spectrum
from nca_cli.models import find_model, load_denoiser, wiener
from nca_cli.store import Filters, Store
from nca_cli.store.header import side_of

WIDE = (16, 32)

pytestmark = pytest.mark.usefixtures("one_thread", "own_cache")


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def wide(here):
    tiny_pixel(here / "wide", size=[*WIDE])
    return here / "wide"


@pytest.fixture
def pictures(here):
    """Of other shapes than the model's: wide, tall, and its own."""
    folder, random = here / "pictures", np.random.default_rng(0)
    folder.mkdir()
    for name, size in (("anna", (80, 50)), ("bert", (30, 70)), ("carl", (32, 16))):
        coarse = random.integers(0, 255, (4, 4, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize(size).save(folder / f"{name}.png")
    return folder


def run(*arguments, code=0):
    result = CliRunner().invoke(app, list(map(str, arguments)))
    assert result.exit_code == code, result.output
    return result


def test_a_size_is_a_side_or_height_and_width_however_it_is_written():
    for said in (64, "64", "64x64", [64, 64], (64,), [64.0]):
        assert resolution_of(said) == 64
    for said in ("32x64", [32, 64], (32, 64)):
        assert resolution_of(said) == (32, 64)
        assert size_text(resolution_of(said)) == "32x64"
    for said in ("", "32x", "32x64x3", [], [1, 2, 3], "wide"):
        with pytest.raises(ValueError, match=r".*"):
            resolution_of(said)


@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
def test_pictures_take_the_aspect_by_cropping_padding_or_stretching(here, fit):
    """Held against Pillow, told which box and which size."""
    source = Image.fromarray(np.random.default_rng(1).integers(0, 255, (50, 80, 3), dtype=np.uint8))
    source.save("a.png")
    taken = source.crop((0, 5, 80, 45)) if fit == "crop" else source
    inner = (26, 16) if fit == "pad" else (32, 16)
    resized = taken.resize(inner, Image.Resampling.LANCZOS)
    expected = Image.new("RGB", (32, 16))
    expected.paste(resized, ((32 - inner[0]) // 2, 0))
    found = load_image("a.png", WIDE, fit).pixels
    assert found.shape == (3, *WIDE)
    assert np.allclose(found.transpose(1, 2, 0), np.asarray(expected) / 127.5 - 1, atol=1e-6)


def test_its_identity_is_another_for_each_size_and_that_of_squares_is_as_it_was(here):
    Image.new("RGB", (8, 8)).save("a.png")
    digests = {image_digest("a.png", size) for size in ((16, 32), (32, 16), 16, 32)}
    assert len(digests) == 4
    assert image_digest("a.png", resolution_of([16, 16])) == image_digest("a.png", 16)


def test_a_pipeline_of_no_square_is_diffusers_own_network_on_such_images(wide):
    import torch
    from diffusers import UNet2DModel

    model = find_model(str(wide))
    assert model.space.shape == (3, *WIDE)
    assert model.space.describe()["resolution"] == [*WIDE]
    x, t = torch.randn(2, 3, *WIDE), torch.tensor([9, 900])
    with torch.inference_mode():
        noise = UNet2DModel.from_pretrained(wide / "unet")(x, t).sample
    a, s = (torch.tensor(each).view(-1, 1, 1, 1) for each in model.space.schedule.scales(t.numpy()))
    expected = (x - s * noise) / a
    found = load_denoiser(model, device="cpu")(x, t).x0
    assert (found - expected).norm() < 1e-5 * expected.norm()


@pytest.mark.parametrize("shape", [(3, 32, 16), (3, 16, 32)])
def test_the_side_of_a_training_is_the_longer_one_as_of_any_model(here, shape):
    store = Store("nca-store")
    commit_run(store, "mine", {"anna": np.zeros(shape)}, soon, (0, 10), (300,))
    (folder,) = store.models()
    space = store.model_info(folder)["space"]
    assert stored_run(store, folder, "mine").side == side_of(space) == 32


def test_noise_store_grid_measures_page_and_export_are_of_that_shape(here, wide, pictures):
    command = ("reconstruct", pictures, "-m", wide, "-s", "ddim", "--steps", 4, "--t", "100,600")
    assert json.loads(run(*command, "--json").stdout)["computed"] == 6
    assert json.loads(run(*command, "--json").stdout)["computed"] == 0, "a full hit"
    store = Store("nca-store")
    made = [each for each in store.select(Filters()) if not each.is_noise]
    assert {each.datasets["x0_hat"][0] for each in made} == {(2, 3, *WIDE)}
    noise = next(each for each in store.select(Filters()) if each.is_noise)
    assert noise.fixed("x0").shape[-2:] == noise.read("x_t", [(100, 0)]).shape[-2:] == WIDE
    assert noise.image_info["resolution"] == [*WIDE]
    assert "16x32 px" in run("show", next((here / "nca-store").rglob("ddim-4-*.h5"))).stdout
    run("grid", "-o", "grid.svg", "--cell", 64)
    drawn = (here / "grid.svg").read_text()
    assert drawn.count('width="64" height="32"') >= 9, "3 images: x0, and x_t and x̂0 of two levels"
    run("measure")
    run("report", "-o", "page.html", "--csv", "values.csv")
    page = (here / "page.html").read_text()
    assert "cycles per side are counted along the longer side" in page
    assert "16x32" in page
    assert "--w:32;--h:16" in page, "pictures keep their shape"
    values = (here / "values.csv").read_text()
    assert {f"coherence/{band}" in values for band in range(4)} == {True}, "up to 16 cycles"
    run("export", "-o", "out", "--format", "npy")
    assert {np.load(each).shape for each in (here / "out").rglob("*x0_hat*.npy")} == {(3, *WIDE)}
    assert "0 damaged" in run("verify").stderr


def test_the_same_picture_has_the_same_bands_whichever_side_is_longer(here):
    """Waves of a frequency per longer side, along either axis, lie in one band."""
    rows, columns = np.mgrid[:32, :64]
    x = np.zeros((3, 32, 64), np.float32)
    for phase in (columns + 0.5, rows + 0.5):  # 6 cycles per longer side each
        wave = np.broadcast_to(np.cos(2 * np.pi * 6 * phase / 64), x.shape).astype(np.float32)
        assert spectrum.band_energies(wave).argmax() == 2, "4 to 8"
    assert side_of({"shape": [3, 32, 64]}) == side_of({"shape": [3, 64, 32]}) == 64


def test_a_network_without_positions_works_at_a_size_that_is_asked_for(here, pictures):
    tiny_pixel(here / "net", size=16)
    tiny_latent(here / "latent", size=8)
    command = ("reconstruct", pictures / "anna.png", "-s", "ddim", "--steps", 4, "--t", 600)
    run(*command, "-m", here / "net", "-m", here / "latent", "--size", "16x32")
    found = {each.model: each for each in Store("nca-store").select(Filters()) if not each.is_noise}
    assert [each.datasets["x0_hat"][0] for each in found.values()] == [(1, 3, *WIDE)] * 2
    assert all(each.model_info["size"] == [*WIDE] for each in found.values())
    assert found[max(found)].recipe.weights == find_model(str(here / "net")).origin.identity(
        find_model(str(here / "net"))
    ), "the same weights, in another space"
    assert find_model(str(here / "net"), size=16) == find_model(str(here / "net"))
    wanted = run("grid", "-o", "grid.png", "-m", here / "net", "--t", "100,600").stderr
    assert "--size 16x32" in wanted, "the line to run says it"


def test_a_size_that_a_network_cannot_take_is_one_line(here, pictures):
    tiny_pixel(here / "net", size=16)
    tiny_latent(here / "latent", size=8)
    tiny_dit(here / "dit")
    (here / "mine.py").write_text(
        "class Net:\n    identity, shape = 'one', (3, 8, 16)\n"
        "    def __call__(self, x, t):\n        return x * 0\nnet = Net\n"
    )
    for name, size, *words in (
        ("net", (15, 32), "15x32", "multiples of 2"),
        ("latent", (18, 32), "18x32", "multiples of 4"),
        ("dit", 64, "images of", "alone", "--size"),
    ):
        with pytest.raises(UsageError) as caught:
            find_model(str(here / name), size=size)
        line = f"{caught.value} {caught.value.hint}"
        assert all(word in line for word in words), line
    for size, word in (("ax3", "is no size"), ("0", "outside 2"), ("1x9000", "1x9000 is outside")):
        assert word in run("noise", pictures, "-m", "wiener", "--size", size, code=2).stderr
    assert find_model("mine:net").space.resolution == (8, 16), "one's own says it itself"
    with pytest.raises(UsageError, match="its shape is"):
        find_model("mine:net", size=16)
    run("reconstruct", "--run", here, "--size", 16, code=2)


def test_the_spectral_prior_gives_a_pixel_the_same_fine_variance_whatever_the_aspect():
    """A crop of a stationary field has its variance, but for how few coarse frequencies it has."""

    def fine(height, width):
        rows, columns = np.fft.fftfreq(height, 1 / 64), np.fft.fftfreq(width, 1 / 64)
        kept = np.hypot(rows[:, None], columns[None]) >= 4
        return (wiener.spectrum((height, width)) * kept).sum((1, 2)) / (height * width)

    assert np.allclose(fine(32, 64), fine(64, 64), rtol=0.02)
    assert np.allclose(fine(64, 32), fine(64, 64), rtol=0.02)
    assert np.array_equal(wiener.spectrum((64, 64)), wiener.spectrum(64))


def test_pictures_of_other_programs_may_be_of_any_shape(here, pictures):
    random = np.random.default_rng(2)
    np.save("hat.npy", random.uniform(-1, 1, (3, *WIDE)).astype(np.float32))
    (here / "pairs.csv").write_text(
        "original,reconstruction,t,seed,sampler\npictures/anna.png,hat.npy,100,0,ddim-5\n"
    )
    run("import", "--csv", "pairs.csv", "--model", "theirs")
    (made,) = [each for each in Store("nca-store").select(Filters()) if not each.is_noise]
    assert made.datasets["x0_hat"][0] == (1, 3, *WIDE)
    assert made.image_info["resolution"] == [*WIDE]


def test_a_request_in_python_says_it_too(here, wide):
    assert Request(models=(str(wide),), size=(32, 64)).size == (32, 64)
