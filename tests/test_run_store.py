"""A training's checkpoints in a store: one model folder, one noise, an artifact per step."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from time import sleep

import numpy as np
import pytest

from nca_cli.errors import ModelError
from nca_cli.recipe import Recipe, digest
from nca_cli.store import Filters, Names, Samples, Store
from nca_cli.store.files import locked, write_atomically
from nca_cli.store.header import (
    header,
    image_info,
    model_info,
    model_text,
    steps_of,
    with_steps,
)
from nca_cli.store.layout import MODEL_FILE
from nca_cli.store.steps import note_step
from nca_cli.store.verify import verify

RUN = {"name": "mine", "weights": "ema", "settings": {"batch_size": 32}}
SPACE = {"schedule": {}, "shape": [3, 4, 4], "resolution": 4, "channels": 3}
INFO = model_info("mine", "/runs/mine", None, SPACE, RUN)
HEX = digest(SPACE)[:8]
FOLDER = f"mine-{HEX}"


def commit(store: Store, step: int, image: str = "face", info: dict = INFO) -> None:
    """One x̂0 of a checkpoint, whose weights are told by its step."""
    place = store.place(FOLDER, info, image, "ab" * 32)
    recipe = Recipe(weights=f"{step:064x}", sampler="one-step")
    texts = header(info, image_info(image, "ab" * 32, f"{image}.png", "crop", 4), recipe,
                   {"run": "mine", "step": step, "weights": "ema"})  # fmt: skip
    note_step(store, FOLDER, info, step, recipe.weights)
    tensor = np.full((1, 3, 4, 4), step / 1000, np.float32)
    samples = Samples(np.array([100]), np.array([0]), np.array([2.0]), {"x0_hat": tensor})
    store.commit(place, recipe.name, texts, samples)


@pytest.fixture
def store(tmp_path) -> Store:
    made = Store(tmp_path / "store")
    for step in (0, 100, 800):
        commit(made, step)
    return made


def test_run_step_and_weights_stand_in_header_and_model(store):
    artifacts = store.select()
    assert sorted(each.step for each in artifacts) == [0, 100, 800]
    assert {each.checkpoint["weights"] for each in artifacts} == {"ema"}
    info = store.model_info(FOLDER)
    assert info["run"]["name"] == "mine"
    assert info["run"]["settings"] == {"batch_size": 32}
    assert steps_of(info) == {step: f"{step:064x}" for step in (0, 100, 800)}


def test_steps_are_filters(store):
    def steps(**wanted) -> list[int]:
        return sorted(each.step for each in store.select(Filters(**wanted)))

    assert steps(steps=[0, 800]) == [0, 800]
    assert steps(steps=100) == [100]
    assert steps(latest=True) == [800]
    assert steps(latest=True, steps=[0]) == [0]
    assert steps() == [0, 100, 800]


def test_models_that_are_no_run_fit_any_step(store):
    info = model_info("other", "hub/other", None, SPACE)
    place = store.place(f"other-{HEX}", info, "face", "ab" * 32)
    recipe = Recipe(weights="f" * 64, sampler="one-step")
    image = image_info("face", "ab" * 32, "face.png", "crop", 4)
    samples = Samples(np.array([100]), np.array([0]), np.array([2.0]),
                      {"x0_hat": np.zeros((1, 3, 4, 4), np.float32)})  # fmt: skip
    store.commit(place, recipe.name, header(info, image, recipe), samples)
    for wanted in (Filters(steps=[100]), Filters(latest=True)):
        assert "other" in {each.model_name for each in store.select(wanted)}


def test_steps_tell_recipes_apart_in_words(store):
    found = store.select()
    assert {Names(found).sampler(each) for each in found} == {
        "one-step step 0", "one-step step 100", "one-step step 800",
    }  # fmt: skip
    last = store.select(Filters(latest=True))
    assert Names(last).sampler(last[0]) == "one-step"


def test_a_replaced_checkpoint_is_refused(store):
    with pytest.raises(ModelError, match="step 100 is stored with other weights") as caught:
        note_step(store, FOLDER, INFO, 100, "e" * 64)
    assert "--run NAME=PATH" in caught.value.hint
    assert steps_of(store.model_info(FOLDER))[100] == f"{100:064x}"


def test_one_checkpoint_is_no_two_steps(store):
    with pytest.raises(ModelError, match="step 900 has the same weights as step 800"):
        note_step(store, FOLDER, INFO, 900, f"{800:064x}")


def test_a_step_that_another_writer_noted_meanwhile_stays(tmp_path):
    store = Store(tmp_path / "store")
    store.require_writable()
    path = store.root / FOLDER / MODEL_FILE
    with ThreadPoolExecutor(1) as pool:
        with locked(store.root, FOLDER):
            slow = pool.submit(note_step, Store(store.root), FOLDER, INFO, 200, "b" * 64)
            sleep(0.3)  # it found no model.json, and waits for the lock
            write_atomically(path, model_text(with_steps(INFO, {100: "a" * 64})).encode())
        slow.result()
    assert steps_of(store.model_info(FOLDER)) == {100: "a" * 64, 200: "b" * 64}


def test_a_model_file_that_is_restored_knows_its_steps(store):
    path = store.root / FOLDER / MODEL_FILE
    before = steps_of(store.model_info(FOLDER))
    path.write_text("{")
    assert any(finding.repaired for finding in verify(Store(store.root), repair=True))
    assert steps_of(store.model_info(FOLDER)) == before
    with pytest.raises(ModelError, match="stored with other weights"):
        note_step(store, FOLDER, INFO, 100, "e" * 64)


def test_a_step_that_was_removed_may_come_again_with_other_weights(store):
    for artifact in store.select(Filters(steps=[100])):
        store.remove(artifact)
    note_step(store, FOLDER, INFO, 100, "e" * 64)
    assert steps_of(store.model_info(FOLDER))[100] == "e" * 64


def test_what_a_store_says_of_a_run_outlives_packing(store, tmp_path):
    from nca_cli.store.pack import pack

    pack(store, tmp_path / "packed.h5")
    packed = Store(tmp_path / "packed.h5")
    assert packed.model_info(FOLDER) == store.model_info(FOLDER)
    assert json.loads(packed.select(Filters(steps=[100]))[0].header["checkpoint"])["step"] == 100


def test_a_model_of_no_training_has_no_checkpoint_in_its_header():
    texts = header(INFO, {}, Recipe(weights="", sampler="one-step"))
    assert "checkpoint" not in texts
    assert "run" not in model_info("demo", "built in", None, SPACE)
    assert replace(Filters(), latest=True).steps == ()
