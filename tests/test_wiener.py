"""The spectral prior of natural images, and the best denoiser that knows no more."""

from __future__ import annotations

import numpy as np
import pytest

from nca_cli.errors import UsageError
from nca_cli.installed import file_of
from nca_cli.models import find_model, load_denoiser, recipe_for
from nca_cli.models.wiener import OPPONENT, spectrum


def draw(size, count, seed=0):
    """Images from the prior itself: float64 (count, 3, size, size)."""
    noise = np.random.default_rng(seed).standard_normal((count, 3, size, size))
    filtered = np.fft.fft2(noise, norm="ortho") * np.sqrt(spectrum(size))
    return np.einsum("oc,nohw->nchw", OPPONENT, np.fft.ifft2(filtered, norm="ortho").real)


@pytest.mark.parametrize("size", [16, 17])
@pytest.mark.parametrize("t", [50, 300, 700])
def test_wiener_reaches_the_closed_form_error_on_its_own_prior(size, t):
    import torch

    model = find_model("wiener", size=size)
    denoiser, count = load_denoiser(model, device="cpu"), 2000
    level = model.space.schedule.level(t)
    x0 = draw(size, count)
    noise = np.random.default_rng(1).standard_normal(x0.shape)
    x = torch.from_numpy(level.a * x0 + level.s * noise).float()
    guess = denoiser(x, torch.full((count,), t)).x0.double().numpy()
    errors = ((guess - x0) ** 2).sum(axis=(1, 2, 3))
    deviation = errors.std() / np.sqrt(count)
    mmse = (spectrum(size) / (1 + level.snr * spectrum(size))).sum()
    assert abs(errors.mean() - mmse) < 4 * deviation
    assert deviation < 0.02 * errors.mean()


def test_the_prior_describes_the_same_pictures_at_every_size():
    def coefficients(size):
        """Power of the Fourier coefficients of the picture itself, whatever its sampling."""
        return spectrum(size)[:, :8, :8] / size**2

    np.testing.assert_allclose(coefficients(32), coefficients(256))


def test_the_opponent_basis_is_orthonormal_and_starts_with_grey():
    np.testing.assert_allclose(OPPONENT @ OPPONENT.T, np.eye(3), atol=1e-15)
    assert np.ptp(OPPONENT[0]) == 0


def test_wiener_knows_a_photograph_better_than_grey_and_than_its_noisy_copy():
    import torch

    image = np.asarray(_photograph(64), np.float32).transpose(2, 0, 1)[None] / 127.5 - 1
    model = find_model("wiener", size=64)
    denoiser = load_denoiser(model, device="cpu")
    noise = np.random.default_rng(0).standard_normal(image.shape)
    for t in (100, 300, 500, 700):
        level = model.space.schedule.level(t)
        x = torch.from_numpy(level.a * image + level.s * noise).float()
        guess = denoiser(x, torch.tensor([t])).x0.numpy()
        error = float(((guess - image) ** 2).mean())
        assert error < float((image**2).mean())
        assert error < 0.8 / level.snr


def _photograph(size):
    """A photograph that scikit-image brings, by its path: importing its reader takes seconds."""
    from PIL import Image

    path = file_of("skimage", "data/astronaut.png")
    return Image.open(path).convert("RGB").resize((size, size))


def test_wiener_has_a_recipe_of_its_own_for_each_size():
    models = [find_model("wiener", size=size) for size in (64, 128)]
    names = {recipe_for(model, model.sampler).name for model in models}
    assert len(names) == 2
    assert all(name.startswith("one-step-") for name in names)
    with pytest.raises(UsageError, match="--size 1"):
        find_model("wiener", size=1)
