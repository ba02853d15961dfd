"""Noise levels and seeded noise: facts of the papers, and golden values that must never move."""

import hashlib
import math
from itertools import pairwise

import numpy as np
import pytest

from nca_cli.errors import UsageError
from nca_cli.schedule import (
    CLEAN,
    FlowMatching,
    Level,
    Schedule,
    VarianceExploding,
    diffuse,
    seeded_noise,
    step_noise,
)

LINEAR = Schedule()
LATENT = Schedule("scaled_linear", 0.0015, 0.0195)


@pytest.mark.parametrize("name", ["linear", "scaled_linear", "squaredcos_cap_v2"])
def test_levels_equal_those_of_diffusers(name):
    from diffusers import DDPMScheduler

    config = {
        "beta_schedule": name,
        "beta_start": 0.0015,
        "beta_end": 0.0195,
        "num_train_timesteps": 500,
    }
    theirs = DDPMScheduler(**config).alphas_cumprod.double().numpy()
    np.testing.assert_allclose(Schedule.from_config(config).alpha_bar, theirs, rtol=2e-5)


def test_zero_terminal_snr_and_trained_betas_equal_those_of_diffusers():
    from diffusers import DDIMScheduler, DDPMScheduler

    rescaled = DDIMScheduler(rescale_betas_zero_snr=True)
    mine = Schedule.from_config(rescaled.config)
    np.testing.assert_allclose(mine.alpha_bar, rescaled.alphas_cumprod, atol=1e-6)
    np.testing.assert_allclose(mine.betas, rescaled.betas, atol=1e-5)
    betas = list(np.linspace(0.001, 0.2, 50))
    trained = DDPMScheduler(num_train_timesteps=50, trained_betas=betas)
    np.testing.assert_allclose(
        Schedule.from_config(trained.config).alpha_bar, trained.alphas_cumprod, rtol=1e-5
    )


@pytest.mark.parametrize(
    "schedule",
    [
        *(Schedule(name, zero_terminal_snr=zero) for zero in (False, True)
          for name in ("linear", "scaled_linear", "squaredcos_cap_v2")),
        Schedule(steps=3, trained_betas=(0.1, 0.2, 0.9)),
        Schedule(steps=3, trained_betas=(0.1, 0.2, 0.9), zero_terminal_snr=True),
        FlowMatching(),
        VarianceExploding(scale=2),
    ],
    ids=repr,
)  # fmt: skip
def test_betas_make_alpha_bar(schedule):
    assert len(schedule.betas) == schedule.steps
    np.testing.assert_allclose(np.cumprod(1 - schedule.betas), schedule.alpha_bar, atol=1e-12)


@pytest.mark.parametrize(
    ("schedule", "content", "coarse"), [(LINEAR, 258, 674), (LATENT, 254, 737)]
)
def test_the_stages_of_p2_weighting_begin_where_its_authors_say(schedule, content, coarse):
    snr = np.array([schedule.snr(t) for t in range(schedule.steps)])
    assert np.argmax(snr < 1) in (content, content + 1)
    assert np.argmax(snr < 1e-2) in (coarse, coarse + 1)


def test_log_snr_is_the_natural_logarithm_of_signal_over_noise_variance():
    level = LINEAR.level(300)
    assert LINEAR.log_snr(300) == pytest.approx(math.log(level.a**2 / level.s**2))
    assert level.a**2 + level.s**2 == pytest.approx(1)


@pytest.mark.parametrize("steps", [10, 50, 100, 1000])
def test_a_chain_from_the_top_of_the_leading_grid_is_the_leading_grid(steps):
    from diffusers import DDIMScheduler

    scheduler = DDIMScheduler()
    scheduler.set_timesteps(steps)
    top = int(scheduler.timesteps[0])
    assert [level.t for level in LINEAR.chain(top, steps)] == [*scheduler.timesteps.tolist(), CLEAN]


@pytest.mark.parametrize("steps", [1, 3, 7, 30, 50, 333, 1000])
@pytest.mark.parametrize("t", [0, 1, 19, 20, 300, 555, 999])
def test_a_chain_starts_at_exactly_t_and_falls_evenly_to_the_clean_end(t, steps):
    levels = LINEAR.chain(t, steps)
    ts = [level.t for level in levels]
    assert ts[0] == t
    assert ts[-1] == CLEAN
    assert levels[-1].a == 1
    h = 1000 / steps
    assert all(abs((a - b) - h) <= 1 for a, b in pairwise(ts[:-1]))
    assert ts[-2] < h


def test_the_clean_end_is_the_first_level_where_a_recipe_says_so():
    end = LINEAR.ending("first").chain(500, 10)[-1]
    assert end.a**2 == pytest.approx(1 - 1e-4)


@pytest.mark.parametrize("t", [-1, 1000, 3.5])
def test_a_level_out_of_range_is_refused_by_name(t):
    with pytest.raises(UsageError, match=str(t)):
        LINEAR.check(t)


def test_diffusing_mixes_image_and_noise_by_the_two_scales():
    x0, noise = np.full((3, 2, 2), 0.5, np.float32), np.full((3, 2, 2), -2, np.float32)
    assert diffuse(x0, Level(0, 0.8, 0.6), noise) == pytest.approx(np.full((3, 2, 2), 0.4 - 1.2))
    assert diffuse(x0, Level(0, 0.8, 0.6), noise).dtype == np.float32


def test_noise_depends_on_seed_image_and_shape_alone_and_never_moves():
    """Golden: a change here would make every store's x_t and x̂0 incomparable with new ones."""
    noise = seeded_noise(0, "ab" * 32, (3, 8, 8))
    assert hashlib.sha256(noise.tobytes()).hexdigest()[:16] == "b11b34543ec37a65"
    fresh = step_noise(0, "ab" * 32, (3, 8, 8), 300, 280)
    assert hashlib.sha256(fresh.tobytes()).hexdigest()[:16] == "81eb453aa71638c2"
    others = [
        seeded_noise(1, "ab" * 32, (3, 8, 8)),
        seeded_noise(0, "cd" * 32, (3, 8, 8)),
        step_noise(0, "ab" * 32, (3, 8, 8), 300, 260),
        step_noise(0, "ab" * 32, (3, 8, 8), 320, 280),
        fresh,
    ]
    assert all(np.abs(noise - other).max() > 0.1 for other in others)


def test_noise_is_standard_normal():
    noise = seeded_noise(3, "ef" * 32, (3, 256, 256)).astype(np.float64)
    count = noise.size
    assert abs(noise.mean()) < 4 / count**0.5
    assert abs(noise.var() - 1) < 4 * (2 / count) ** 0.5
    assert abs((noise**4).mean() - 3) < 4 * (96 / count) ** 0.5
