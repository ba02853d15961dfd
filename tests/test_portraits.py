"""The procedural portraits: deterministic, continuous in their factors, and split by seed."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nca_cli.portraits import (
    HELD_OUT_SEEDS,
    TRAIN_SEEDS,
    Factors,
    draw_factors,
    portrait,
    render,
)

BUNDLED = Path(__file__).resolve().parents[1] / "nca_cli" / "assets" / "portraits"


def test_a_seed_is_always_the_same_person():
    (first, factors), (second, again) = portrait(7), portrait(7)
    assert factors == again
    assert np.array_equal(first, second)
    assert not np.array_equal(first, portrait(8)[0])


def test_a_portrait_is_an_rgb_image_of_the_asked_size():
    for size in (48, 64, 128):
        image, _ = portrait(0, size)
        assert image.shape == (size, size, 3)
        assert image.dtype == np.uint8


def test_a_draw_is_pinned_so_that_the_training_data_cannot_drift():
    factors = draw_factors(10_000)
    assert factors.face_width == pytest.approx(0.4397544072105568, abs=1e-12)
    assert render(factors).astype(float).mean() == pytest.approx(144.805, abs=0.05)


def test_a_large_portrait_shrinks_to_the_small_one():
    small, large = (portrait(3, size)[0].astype(float) for size in (64, 256))
    shrunk = large.reshape(64, 4, 64, 4, 3).mean((1, 3))
    assert np.abs(shrunk - small).mean() < 4


@pytest.mark.parametrize("name", ["smile", "hair_length", "tilt", "face_width", "glasses_round"])
def test_a_small_step_of_a_factor_is_a_small_change_of_the_image(name):
    factors = dataclasses.replace(draw_factors(3), glasses=1.0)
    moved = dataclasses.replace(factors, **{name: getattr(factors, name) + 1e-3})
    change = np.abs(render(moved).astype(int) - render(factors).astype(int))
    assert 0 <= change.max() <= 12


@pytest.mark.parametrize("field", [f.name for f in dataclasses.fields(Factors)])
def test_every_factor_shows(field):
    factors = dataclasses.replace(
        draw_factors(11), glasses=0.8, freckles=0.8, stripes=0.8, hair_curl=0.5, mouth_open=0.5
    )
    value = getattr(factors, field)
    other = tuple(1 - c for c in value) if isinstance(value, tuple) else value + 0.3
    changed = render(dataclasses.replace(factors, **{field: other}))
    assert not np.array_equal(changed, render(factors))


def test_a_strength_of_zero_is_none_of_it():
    factors = dataclasses.replace(draw_factors(3), glasses=1.0, freckles=1.0)
    without = render(dataclasses.replace(factors, glasses=0.0, freckles=0.0))
    faint = render(dataclasses.replace(factors, glasses=1e-4, freckles=1e-4))
    assert np.abs(without.astype(int) - faint.astype(int)).max() <= 1


def test_about_a_third_wear_glasses_and_two_fifths_have_freckles():
    draws = [draw_factors(seed) for seed in range(1_000)]
    assert 0.30 < np.mean([f.glasses > 0 for f in draws]) < 0.40
    assert 0.35 < np.mean([f.freckles > 0 for f in draws]) < 0.45


def test_training_never_uses_a_held_out_seed():
    assert not set(TRAIN_SEEDS) & set(HELD_OUT_SEEDS)


def test_the_bundled_portraits_are_held_out_draws_with_their_factors():
    records = json.loads((BUNDLED / "factors.json").read_text())
    assert len(records) == 8
    for name, record in records.items():
        assert record["seed"] in HELD_OUT_SEEDS
        image, factors = portrait(record["seed"])
        stored = np.asarray(Image.open(BUNDLED / name))
        assert np.abs(stored.astype(int) - image.astype(int)).max() <= 1
        assert record["factors"] == json.loads(json.dumps(dataclasses.asdict(factors)))


def test_drawing_a_portrait_imports_no_heavy_library():
    code = (
        "import sys, nca_cli.portraits as p; p.portrait(0);"
        "print([m for m in ('torch', 'diffusers', 'skimage', 'h5py') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
