"""What a training set alone would answer, against the sums written out, and its two limits."""

import math

import numpy as np
import pytest

from nca_cli.analysis.memory import copies, remembered
from nca_cli.schedule import Schedule

SCHEDULE = Schedule()
RANDOM = np.random.default_rng(3)
TRAINING = RANDOM.uniform(-1, 1, (150, 3, 4, 4))


def noised(x0, level, seed=0):
    noise = np.random.default_rng(seed).standard_normal(x0.shape)
    return level.a * x0 + level.s * noise


@pytest.mark.parametrize("t", [300, 700, 950])
def test_the_posterior_mean_is_the_weighted_sum_of_its_formula(t):
    level = SCHEDULE.level(t)
    x_t = noised(TRAINING[:5], level)
    found = remembered(x_t, TRAINING, level)
    for x, mean, effective in zip(x_t, found.mean, found.effective, strict=True):
        logs = [-((x - level.a * y) ** 2).sum() / (2 * level.s**2) for y in TRAINING]
        weights = [math.exp(log - max(logs)) for log in logs]
        total = sum(weights)
        want = sum(weight * y for weight, y in zip(weights, TRAINING, strict=True)) / total
        np.testing.assert_allclose(mean, want, atol=1e-10)
        assert effective == pytest.approx(total**2 / sum(weight**2 for weight in weights))


def test_little_noise_remembers_one_image_and_much_noise_their_mean():
    clean, noisy = SCHEDULE.level(0), SCHEDULE.level(999)
    found = remembered(noised(TRAINING[:9], clean), TRAINING, clean)
    np.testing.assert_allclose(found.mean, TRAINING[:9], atol=1e-9)
    np.testing.assert_allclose(found.effective, 1, atol=1e-9)
    found = remembered(noised(TRAINING[:9], noisy), TRAINING, noisy)
    assert (found.effective > 100).all()
    assert np.abs(found.mean - TRAINING.mean(0)).max() < 0.25


def test_nobody_does_better_on_the_training_images_themselves():
    """Not the same sum with wider or narrower weights."""
    level = SCHEDULE.level(600)
    x0 = np.repeat(TRAINING, 20, axis=0)
    x_t = noised(x0, level)
    best = ((remembered(x_t, TRAINING, level).mean - x0) ** 2).mean()
    for factor in (0.8, 0.95, 1.05, 1.25):
        answer = remembered(x_t, TRAINING, level._replace(s=factor * level.s)).mean
        assert best < ((answer - x0) ** 2).mean()


def test_more_pictures_than_a_chunk_are_answered_each_by_itself():
    level = SCHEDULE.level(500)
    x_t = noised(TRAINING, level)
    whole, alone = remembered(x_t, TRAINING, level), remembered(x_t[130:131], TRAINING, level)
    np.testing.assert_allclose(whole.mean[130], alone.mean[0], atol=1e-12)


def test_a_copy_is_three_times_nearer_to_one_image_than_to_any_other():
    far = np.full((1, 3, 4, 4), 9.0)
    pair = np.stack([np.zeros((3, 4, 4)), np.ones((3, 4, 4))])
    training = np.concatenate([pair, far])
    weights = np.array([0.0, 0.1, 0.24, 0.26, 0.5, 0.74, 0.76, 1.0])
    samples = weights[:, None, None, None] * np.ones((8, 3, 4, 4))
    assert copies(samples, training).tolist() == [True, True, True, False, False, False, True, True]
    assert copies(samples[:0], training).tolist() == []
    with pytest.raises(ValueError, match="two or more"):
        copies(samples, pair[:1])
