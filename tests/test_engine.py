"""The engine: the same tensors however the work is cut, only what is missing, nothing lost."""

import gc
import itertools
import json
import os
import shutil
import threading
import time
import weakref
from dataclasses import replace

import numpy as np
import pytest

import nca_cli.engine.noise
import nca_cli.engine.writing
from nca_cli.engine import (
    Engine,
    Noising,
    Reconstruction,
    Request,
    Shard,
    noise_plans,
    reconstruction_plans,
    reconstructions,
)
from nca_cli.engine.background import Background
from nca_cli.engine.batching import BatchSize
from nca_cli.engine.codec import Codec
from nca_cli.engine.landing import Landing
from nca_cli.engine.noise import noise_image
from nca_cli.engine.padded import Padded
from nca_cli.engine.state import Flight
from nca_cli.errors import DamagedArtifact, ImageError, NcaError, StoreError, UsageError
from nca_cli.models import find_model
from nca_cli.models.batches import BatchMemory
from nca_cli.models.load import PICKLED
from nca_cli.samplers import Prediction
from nca_cli.schedule import Schedule, diffuse, seeded_noise
from nca_cli.store import Filters, Store, hdf5
from nca_cli.twins import noise_images, reconstruct

LEVELS = [20, 250, 600]
SAMPLERS = ["one-step", "ddim", "ddpm", "pndm"]


def run(store, model, images, **settings):
    """A small reconstruction, unclipped (a random net amplifies rounding when clipped)."""
    settings = {
        "t": LEVELS,
        "seeds": [0, 1],
        "samplers": SAMPLERS,
        "steps": 10,
        "clip": None,
    } | settings
    if settings["samplers"] == ["one-step"]:
        settings["steps"] = None
    return reconstruct(images, store=store, models=[str(model)], **settings)


def tensors(store):
    """(image, artifact, dataset, t, seed) → tensor, of everything in a store."""
    return {
        (artifact.image, artifact.name, name, *key): artifact.read(name, [key])[0]
        for artifact in Store(store).select()
        for name in artifact.datasets
        if name in ("x_t", "x0_hat", "z_t", "z0_hat")
        for key in artifact.keys
    }


def finished_samples(tmp_path):
    """(image, sampler, t) of every x̂0 in the store."""
    return {
        (image.rpartition("-")[0], artifact.rpartition("-")[0], t)
        for image, artifact, name, t, _ in tensors(tmp_path / "s")
        if name == "x0_hat"
    }


@pytest.fixture(scope="module")
def calm_pipeline(tmp_path_factory):
    """A pipeline whose chains do not amplify rounding: it predicts x0."""
    from pipelines import tiny_pixel

    return tiny_pixel(tmp_path_factory.mktemp("models") / "calm", prediction_type="sample")


@pytest.fixture
def whole(calm_pipeline, faces, tmp_path):
    """Everything computed in one call, with measured batches."""
    summary = run(tmp_path / "whole", calm_pipeline, faces)
    assert summary.computed == 3 * len(LEVELS) * 2 * len(SAMPLERS)
    return tensors(tmp_path / "whole")


def assert_same(mine, whole):
    assert mine.keys() == whole.keys()
    for key, tensor in mine.items():
        exact = key[2] in ("x_t", "z_t")
        assert np.abs(tensor - whole[key]).max() <= (0 if exact else 1e-4), key


@pytest.mark.parametrize("batch", [1, 3, 64])
def test_the_batch_size_changes_nothing(batch, whole, calm_pipeline, faces, tmp_path):
    run(tmp_path / "batch", calm_pipeline, faces, batch=batch)
    assert_same(tensors(tmp_path / "batch"), whole)


def test_the_order_of_images_and_levels_changes_nothing(whole, calm_pipeline, faces, tmp_path):
    for name in ("cleo", "anna", "ben"):
        run(tmp_path / "order", calm_pipeline, faces / f"{name}.png", t=LEVELS[::-1], seeds=[1, 0])
    assert_same(tensors(tmp_path / "order"), whole)


def test_levels_asked_for_in_three_calls_equal_those_of_one(whole, calm_pipeline, faces, tmp_path):
    for t in LEVELS:
        run(tmp_path / "calls", calm_pipeline, faces, t=[t])
    assert_same(tensors(tmp_path / "calls"), whole)


def test_shards_are_disjoint_and_make_the_whole(whole, calm_pipeline, faces, tmp_path):
    counts = [
        run(tmp_path / "shards", calm_pipeline, faces, shard=Shard(i, 4)).computed for i in range(4)
    ]
    assert sum(counts) == len(whole) * len(SAMPLERS) // (len(SAMPLERS) + 1)
    assert max(counts) - min(counts) <= 2 * len(SAMPLERS)
    assert_same(tensors(tmp_path / "shards"), whole)


def test_reconstructing_after_noising_starts_from_the_stored_x_t(
    whole, calm_pipeline, faces, tmp_path
):
    noise_images(faces, store=tmp_path / "two", models=[str(calm_pipeline)], t=LEVELS, seeds=[0, 1])
    run(tmp_path / "two", calm_pipeline, faces)
    assert_same(tensors(tmp_path / "two"), whole)


def test_a_half_precision_store_changes_only_its_rounding(whole, calm_pipeline, faces, tmp_path):
    run(tmp_path / "half", calm_pipeline, faces, store_dtype="float16")
    for key, tensor in tensors(tmp_path / "half").items():
        assert np.abs(tensor - whole[key]).max() <= 2e-3 * max(1, np.abs(whole[key]).max())


def test_x_t_is_the_mix_that_the_formula_says(calm_pipeline, faces, tmp_path):
    noise_images(faces, store=tmp_path / "s", models=[str(calm_pipeline)], t=[0, 999], seeds=[5])
    for artifact in Store(tmp_path / "s").select():
        x0, digest = artifact.fixed("x0"), artifact.image_info["digest"]
        for t in (0, 999):
            expected = diffuse(x0, Schedule().level(t), seeded_noise(5, digest, x0.shape))
            assert np.array_equal(artifact.read("x_t", [(t, 5)])[0], expected)


def test_only_what_is_missing_is_computed(calm_pipeline, faces, tmp_path):
    store = tmp_path / "s"
    assert run(store, calm_pipeline, faces, t=[20]).computed == 3 * 2 * 4
    again = run(store, calm_pipeline, faces, t=[20, 250], samplers=["ddim"])
    assert (again.computed, again.cached) == (6, 6)
    (plan,) = reconstruction_plans(
        Request(
            [faces], [str(calm_pipeline)], t=[20, 250], seeds=[0, 1], samplers=["ddim"], steps=10
        ),
        Store(store),
    )
    assert plan.empty
    assert plan.evaluations == 0


def test_a_renamed_image_keeps_its_cache(calm_pipeline, faces, tmp_path):
    run(tmp_path / "s", calm_pipeline, faces / "anna.png")
    (faces / "anna.png").rename(faces / "zoe.png")
    assert run(tmp_path / "s", calm_pipeline, faces / "zoe.png").computed == 0
    assert {artifact.image_name for artifact in Store(tmp_path / "s").select()} == {"anna"}


def test_copies_of_one_image_are_computed_once(calm_pipeline, faces, tmp_path):
    (faces / "copy.png").write_bytes((faces / "anna.png").read_bytes())
    assert run(tmp_path / "s", calm_pipeline, faces).computed == 3 * 6 * len(SAMPLERS)


def test_settings_that_change_the_result_never_share_an_artifact(pixel_pipeline, faces, tmp_path):
    settings = [
        {"eta": 0.0},
        {"eta": 0.5},
        {"clip": True},
        {"clip": False},
        {"steps": 5},
        {"steps": 10},
        {"dtype": "bfloat16"},
    ]
    for extra in settings:
        run(
            tmp_path / "s",
            pixel_pipeline,
            faces / "anna.png",
            t=[600],
            seeds=[0],
            samplers=["ddim"],
            **extra,
        )
    found = [artifact for artifact in Store(tmp_path / "s").select() if not artifact.is_noise]
    # η 0, clipping and 10 steps are what is done anyway: saying so is no other recipe
    assert len(found) == 5
    values = [artifact.read("x0_hat", [(600, 0)])[0] for artifact in found]
    assert all(not np.array_equal(a, b) for a, b in itertools.combinations(values, 2))


def test_the_network_computes_as_the_recipe_says_and_nothing_else_can_say_so(
    calm_pipeline, faces, tmp_path
):
    def stored(root, **settings):
        store = Store(tmp_path / root)
        request = Request(
            [faces / "anna.png"], [str(calm_pipeline)], [20], samplers=["one-step"], **settings
        )
        (plan,) = reconstruction_plans(request, store)
        assert len(list(Reconstruction(plan))) == 1
        (artifact,) = (each for each in store.select() if not each.is_noise)
        return artifact, plan

    exact, plan = stored("exact")
    coarse, _ = stored("coarse", dtype="bfloat16")
    assert (exact.recipe.dtype, coarse.recipe.dtype) == ("float32", "bfloat16")
    difference = exact.read("x0_hat", exact.keys) - coarse.read("x0_hat", coarse.keys)
    assert 1e-5 < abs(difference).max() < 0.5  # a rounding to 8 bits, and not none
    with pytest.raises(TypeError):
        Reconstruction(plan, dtype="bfloat16")


def test_one_network_serves_no_two_precisions(calm_pipeline, faces, tmp_path):
    request = Request([faces], [str(calm_pipeline)], [20], samplers=["one-step"])
    (plan,) = reconstruction_plans(request, Store(tmp_path / "s"))
    (recipe,) = plan.recipes.values()
    other = replace(recipe, dtype="bfloat16")
    plan.recipes[other.name] = other
    with pytest.raises(UsageError, match="differ in dtype"):
        list(Reconstruction(plan))


def test_several_steps_and_etas_are_a_chain_each_and_one_step_stays_one(
    pixel_pipeline, faces, tmp_path
):
    def ask(**extra):
        samplers = ["one-step", "ddim", "pndm"]
        return run(tmp_path / "s", pixel_pipeline, faces / "anna.png", t=[600], seeds=[0],
                   samplers=samplers, **extra)  # fmt: skip

    assert ask(steps=[5, 10], eta=[0, 0.5]).computed == 1 + 2 * 2 + 2
    assert ask(steps=10, eta=0.0).computed == 0
    labels = sorted(artifact.label for artifact in Store(tmp_path / "s").select())
    assert labels == ["ddim-10"] * 2 + ["ddim-5"] * 2 + ["noise", "one-step", "pndm-10", "pndm-5"]


def test_retrained_weights_in_the_same_folder_are_another_recipe(faces, tmp_path):
    from pipelines import tiny_pixel

    found = []
    for seed in (0, 1):
        tiny_pixel(tmp_path / "model", prediction_type="sample", seed=seed)
        assert (
            run(
                tmp_path / "s", tmp_path / "model", faces / "anna.png", samplers=["one-step"]
            ).computed
            == 6
        )
    found = [artifact for artifact in Store(tmp_path / "s").select() if not artifact.is_noise]
    assert len(found) == 2
    assert len({artifact.model for artifact in found}) == 1, "x_t is shared: the space is the same"


def test_two_folders_of_one_name_are_two_recipes(faces, tmp_path):
    from pipelines import tiny_pixel

    for seed in (0, 1):
        folder = tiny_pixel(tmp_path / str(seed) / "model", prediction_type="sample", seed=seed)
        assert run(tmp_path / "s", folder, faces / "anna.png", samplers=["one-step"]).computed == 6


def test_a_bad_image_is_left_out_and_the_others_are_done(calm_pipeline, faces, tmp_path):
    (faces / "bad.png").write_bytes((faces / "anna.png").read_bytes()[:200])
    summary = run(tmp_path / "s", calm_pipeline, faces, samplers=["one-step"])
    assert summary.computed == 3 * 6
    (error,) = summary.errors
    assert isinstance(error, ImageError)
    assert "bad.png" in str(error)


def test_a_picture_that_changes_before_it_is_read_is_left_out_alone(calm_pipeline, faces, tmp_path):
    store, errors = Store(tmp_path / "s"), []
    request = Request([faces], [str(calm_pipeline)], [20], samplers=["one-step"])
    (plan,) = reconstruction_plans(request, store)
    (faces / "ben.png").write_bytes((faces / "anna.png").read_bytes())
    list(Reconstruction(plan, on_error=errors.append))
    (error,) = errors
    assert isinstance(error, ImageError)
    assert "ben.png: changed while it was read" in error.what
    assert error.hint == "run the same command again"
    assert {artifact.image_name for artifact in store.select()} == {"anna", "cleo"}
    with pytest.raises(ImageError, match="changed while it was read"):
        list(Reconstruction(plan))


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[: len(data) // 2],
        lambda data: data[:8] + bytes(64) + data[72:],
    ],
)
def test_a_damaged_artifact_is_named_and_the_others_are_done(
    damage, calm_pipeline, faces, tmp_path
):
    run(tmp_path / "s", calm_pipeline, faces, samplers=["one-step"], t=[20])
    victim = next(
        a for a in Store(tmp_path / "s").select(Filters(images=["ben"])) if not a.is_noise
    )
    victim.parts[0].path.write_bytes(damage(victim.parts[0].path.read_bytes()))
    summary = run(tmp_path / "s", calm_pipeline, faces, samplers=["one-step"], t=[20, 250])
    assert [type(error) for error in summary.errors] == [DamagedArtifact]
    assert "ben" in str(summary.errors[0])
    assert summary.computed == 2 * 2


def test_what_was_computed_is_kept_even_when_its_artifact_turns_out_to_be_damaged(
    calm_pipeline, faces, tmp_path
):
    image = faces / "ben.png"
    run(tmp_path / "s", calm_pipeline, image, samplers=["one-step"], t=[20])
    wanted = Request(
        [image], [str(calm_pipeline)], t=[20, 250], seeds=[0, 1], samplers=["one-step"]
    )
    (work,) = reconstructions(wanted, Store(tmp_path / "s"), "cpu")
    victim = next(a for a in Store(tmp_path / "s").select() if not a.is_noise)
    content = victim.parts[0].path.read_bytes()
    inside = content.index(victim.read("x0_hat", [(20, 0)])[0].tobytes()[:64])
    victim.parts[0].path.write_bytes(content[:inside] + b"\0" * 8 + content[inside + 8 :])
    assert len(list(work)) == 2
    artifact = next(a for a in Store(tmp_path / "s").select() if not a.is_noise)
    assert len(artifact.parts) == 2
    assert np.isfinite(artifact.read("x0_hat", [(250, 0), (250, 1)])).all()
    with pytest.raises(DamagedArtifact):
        artifact.read("x0_hat", [(20, 0)])


def test_a_result_that_is_not_finite_is_left_out_alone(calm_pipeline, faces, tmp_path):
    (plan,) = reconstruction_plans(
        Request([faces], [str(calm_pipeline)], t=[20, 250], samplers=["one-step"]),
        Store(tmp_path / "s"),
    )
    errors, stored = [], []
    work = Reconstruction(plan, batch=1, on_error=errors.append)
    real, count = work._denoiser, itertools.count()

    def once_nan():
        denoise = real()

        def call(x, t):
            prediction = denoise(x, t)
            return Prediction(prediction.x0 * float("nan")) if next(count) == 3 else prediction

        return call

    work._denoiser = once_nan
    for done in work:
        assert work._writer.background.wait() == []
        stored.append((done.image.name, done.t, len(finished_samples(tmp_path))))
    (error,) = errors
    assert error.what == "ben: one-step from t=20 seed=0 is not finite and was not stored"
    assert stored == [
        ("anna", 250, 0),
        ("anna", 20, 2),
        ("ben", 250, 2),
        ("cleo", 250, 3),  # ben is complete and written without the sample that failed
        ("cleo", 20, 5),
    ]


# -- interrupts, and errors while it is written ----------------------------------------------------


@pytest.fixture
def all_at_once(calm_pipeline, faces, tmp_path):
    """Makes work of 3 images × 3 levels × 2 samplers whose noise is stored already, that ends with
    one call of the network, and that call alone."""
    noise_images(faces, store=tmp_path / "s", models=[str(calm_pipeline)], t=LEVELS)
    request = Request([faces], [str(calm_pipeline)], LEVELS, samplers=["one-step", "ddim"], steps=1)
    (plan,) = reconstruction_plans(request, Store(tmp_path / "s"))
    return lambda **settings: Reconstruction(plan, batch=64, **settings)


EVERYTHING = set(itertools.product(("anna", "ben", "cleo"), ("one-step", "ddim-1"), LEVELS))


@pytest.mark.parametrize("commits", range(6))
def test_an_interrupt_inside_a_commit_loses_nothing(commits, all_at_once, tmp_path, monkeypatch):
    write, count = hdf5.file_image, itertools.count()

    def interrupted(part):
        if next(count) == commits:
            raise KeyboardInterrupt
        return write(part)

    monkeypatch.setattr(hdf5, "file_image", interrupted)
    with pytest.raises(KeyboardInterrupt):
        list(all_at_once())
    assert finished_samples(tmp_path) == EVERYTHING


def test_an_interrupt_after_the_call_that_finished_samples_loses_none(all_at_once, tmp_path):
    def interrupted(count):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(all_at_once(tick=interrupted))
    assert finished_samples(tmp_path) == EVERYTHING


def test_an_interrupt_on_the_way_from_the_device_loses_nothing(all_at_once, tmp_path, monkeypatch):
    fetch, count = Landing.fetch, itertools.count()

    def interrupted(landing):
        if next(count) == 0:
            raise KeyboardInterrupt
        return fetch(landing)

    monkeypatch.setattr(Landing, "fetch", interrupted)
    with pytest.raises(KeyboardInterrupt):
        list(all_at_once())
    assert finished_samples(tmp_path) == EVERYTHING


def test_who_stops_listening_loses_nothing_that_was_finished(all_at_once, tmp_path):
    samples = iter(all_at_once())
    next(samples)
    samples.close()
    assert finished_samples(tmp_path) == EVERYTHING


def test_an_artifact_that_cannot_be_written_keeps_no_other_from_it(
    all_at_once, tmp_path, monkeypatch
):
    write = hdf5.file_image

    def full(part):
        if '"name":"ben"' in part.header["image"] and "ddim" in part.header["recipe"]:
            raise StoreError("ben", "disk full")
        return write(part)

    monkeypatch.setattr(hdf5, "file_image", full)
    with pytest.raises(StoreError, match="disk full"):
        list(all_at_once())
    assert finished_samples(tmp_path) == {
        sample for sample in EVERYTHING if sample[:2] != ("ben", "ddim-1")
    }


# -- noise -----------------------------------------------------------------------------------------


@pytest.fixture
def writes(monkeypatch):
    """Samples in each file that is written."""
    write, sizes = hdf5.file_image, []

    def counted(part):
        sizes.append(len(part.samples))
        return write(part)

    monkeypatch.setattr(hdf5, "file_image", counted)
    return sizes


def noise_of_anna(calm_pipeline, faces, store):
    """Work: x_t at 40 levels."""
    request = Request([faces / "anna.png"], [str(calm_pipeline)], range(40))
    (plan,) = noise_plans(request, store)
    return Noising(plan)


def test_the_noise_of_an_image_is_written_once(calm_pipeline, faces, tmp_path, writes):
    list(noise_of_anna(calm_pipeline, faces, Store(tmp_path / "s")))
    assert writes == [40]


def test_noise_waits_for_no_more_than_a_part(calm_pipeline, faces, tmp_path, writes):
    list(noise_of_anna(calm_pipeline, faces, Store(tmp_path / "s", part_bytes=20 * 4000)))
    assert writes == [20, 12, 20], "32 samples are two chunks, and more than a part"
    assert len(Store(tmp_path / "s").select()[0]) == 40


def test_noise_waits_no_longer_than_it_may(calm_pipeline, faces, tmp_path, writes, monkeypatch):
    monkeypatch.setattr(nca_cli.engine.writing, "COMMIT_SECONDS", 0.0)
    list(noise_of_anna(calm_pipeline, faces, Store(tmp_path / "s")))
    assert writes == [16, 32, 40]


def test_noise_that_was_made_before_an_interrupt_is_stored(
    calm_pipeline, faces, tmp_path, monkeypatch
):
    count = itertools.count()

    def interrupted(*values):
        if next(count) == 20:
            raise KeyboardInterrupt
        return diffuse(*values)

    monkeypatch.setattr(nca_cli.engine.noise, "diffuse", interrupted)
    with pytest.raises(KeyboardInterrupt):
        list(noise_of_anna(calm_pipeline, faces, Store(tmp_path / "s")))
    assert len(Store(tmp_path / "s").select()[0]) == 16


def test_the_noise_of_an_image_is_drawn_once_per_seed(calm_pipeline, faces, tmp_path, monkeypatch):
    drawn = []

    def counted(seed, *rest):
        drawn.append(seed)
        return seeded_noise(seed, *rest)

    monkeypatch.setattr(nca_cli.engine.noise, "seeded_noise", counted)
    asked = {"models": [str(calm_pipeline)], "t": LEVELS, "seeds": [0, 7]}
    noise_images(faces / "anna.png", store=tmp_path / "s", **asked)
    assert sorted(drawn) == [0, 7]


def test_latent_noise_counts_as_large_by_its_pixels(latent_pipeline, faces, tmp_path):
    """z_t of all levels would fit into a part; with x_t they fill several, and none of them may
    wait in memory behind the device."""
    request = Request([faces / "anna.png"], [str(latent_pipeline)], range(40))
    store = Store(tmp_path / "s", part_bytes=40 * 4000)
    (plan,) = noise_plans(request, store)
    (image,), (channels, *size) = plan.images, plan.model.space.shape
    assert 40 * 4 * channels * size[0] * size[1] < store.part_bytes, "z_t alone are less"
    ((_, decoded),) = nca_cli.engine.noise.decoded_ahead(plan)
    codec, background = Codec(plan.model, "cpu", []), Background()
    made = noise_image(plan, image, decoded, codec, "float32", background)
    assert made.x_t == {}, "what is written at once is read when it is needed"
    assert len(store.select()[0]) == 40


def test_a_plan_that_is_carried_out_keeps_no_network_and_no_threads(
    calm_pipeline, faces, tmp_path, monkeypatch
):
    """Or those of a hundred checkpoints would lie on the device until Python happens to look."""
    loaded = []

    def noted(self):
        denoise = real(self)
        loaded.append(weakref.ref(denoise))
        return denoise

    real = Reconstruction._denoiser
    monkeypatch.setattr(Reconstruction, "_denoiser", noted)
    threads, request = threading.active_count(), Request([faces], [str(calm_pipeline)], LEVELS)
    gc.disable()
    try:
        (work,) = reconstructions(request, Store(tmp_path / "s"))
        assert len(list(work)) == work.plan.missing > 0
        work.kept.clear()
        assert loaded[0]() is None
    finally:
        gc.enable()
    for _ in range(100):
        if threading.active_count() <= threads:
            break
        time.sleep(0.05)
    assert threading.active_count() <= threads


# -- what is asked for -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"seeds": [1.0]}, r"seed 1\.0"),
        ({"seeds": [0.5, -3]}, r"seed 0\.5"),
        ({"seeds": [-3]}, "seed -3"),
        ({"seeds": [2**63]}, f"seed {2**63}"),
        ({"seeds": ["1"]}, "seed '1'"),
        ({"store_dtype": "int8"}, "--store-dtype 'int8'"),
        ({"batch": 0}, "--batch 0"),
        ({"batch": 2.5}, r"--batch 2\.5"),
    ],
    ids=str,
)
@pytest.mark.parametrize("ask", [noise_images, reconstruct])
def test_what_makes_no_sense_is_refused_before_anything_is_done(
    ask, wrong, named, calm_pipeline, faces, tmp_path
):
    with pytest.raises(UsageError, match=named):
        ask(faces, store=tmp_path / "s", models=[str(calm_pipeline)], t=[20], **wrong)
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize("one", [True, np.int64(1), np.uint8(1)])
def test_integers_of_any_kind_are_the_same_seed(one, calm_pipeline, faces, tmp_path):
    for store, seed in (("s", one), ("plain", 1)):
        noise_images(
            faces, store=tmp_path / store, models=[str(calm_pipeline)], t=[20], seeds=[seed]
        )
    assert_same(tensors(tmp_path / "s"), tensors(tmp_path / "plain"))


# -- latent models ---------------------------------------------------------------------------------


def test_latent_models_store_latents_pixels_and_the_floor(latent_pipeline, faces, tmp_path):
    run(
        tmp_path / "s",
        latent_pipeline,
        faces / "anna.png",
        samplers=["one-step", "ddim"],
        clip=False,
    )
    noise, *others = Store(tmp_path / "s").select()
    assert noise.datasets["z_t"][0] == (6, 3, 16, 16)
    assert noise.datasets["x_t"][0] == (6, 3, 32, 32)
    assert {"x0", "z0", "x0_floor"} <= noise.datasets.keys()
    level = find_model(str(latent_pipeline)).space.schedule.level(250)
    z_t = diffuse(
        noise.fixed("z0"), level, seeded_noise(1, noise.image_info["digest"], (3, 16, 16))
    )
    assert np.array_equal(noise.read("z_t", [(250, 1)])[0], z_t)
    for artifact in others:
        assert artifact.datasets["z0_hat"][0] == (6, 3, 16, 16)
        assert artifact.datasets["x0_hat"][0] == (6, 3, 32, 32)


def test_an_autoencoder_that_runs_out_of_memory_is_given_less_for_the_whole_run(
    latent_pipeline, faces, tmp_path, monkeypatch
):
    import torch

    from nca_cli.models.denoiser import Autoencoder

    def ask(store):
        return run(tmp_path / store, latent_pipeline, faces / "anna.png", samplers=["one-step"])

    ask("whole")
    decode, sizes = Autoencoder.decode, []

    def small(self, z):
        sizes.append(len(z))
        if len(z) > 3:
            raise torch.OutOfMemoryError("too large")
        return decode(self, z)

    monkeypatch.setattr(Autoencoder, "decode", small)
    assert ask("small").computed == 6
    assert sizes == [1, 6, 3, 3, 3, 3], "the floor; then x_t, and x̂0 without a failure"
    assert_same(tensors(tmp_path / "small"), tensors(tmp_path / "whole"))


def test_notes_of_an_autoencoder_are_told_like_those_of_the_network(faces, tmp_path):
    from pipelines import tiny_latent

    model, store = tiny_latent(tmp_path / "model", weights="bin"), Store(tmp_path / "s")
    request = Request([faces], [str(model)], [20], samplers=["one-step"])
    (plan,) = noise_plans(request, store)
    noising = Noising(plan)
    list(noising)
    (plan,) = reconstruction_plans(request, store)
    reconstruction = Reconstruction(plan)
    list(reconstruction)
    network, autoencoder = (
        PICKLED.format(f"{part}/diffusion_pytorch_model.bin") for part in ("unet", "vqvae")
    )
    assert [note for note in noising.notes if "pickle" in note] == [autoencoder]
    assert [note for note in reconstruction.notes if "pickle" in note] == [network, autoencoder]


def test_headers_say_how_a_tensor_was_made(calm_pipeline, faces, tmp_path):
    run(tmp_path / "s", calm_pipeline, faces / "anna.png", samplers=["ddim"], t=[20], eta=0.3)
    _, artifact = Store(tmp_path / "s").select()
    recipe = json.loads(artifact.header["recipe"])
    assert (recipe["sampler"], recipe["steps"], recipe["eta"], recipe["clip"]) == (
        "ddim",
        10,
        0.3,
        1.0,
    )
    assert len(recipe["weights"]) == 64
    assert artifact.model_info["source"] == str(calm_pipeline)
    assert artifact.log_snr[0] == pytest.approx(Schedule().log_snr(20))


# -- the engine itself -----------------------------------------------------------------------------


def alone(number, length):
    """A trajectory of a sampler without a programme, and the x_t of it, which it does not need."""
    return np.zeros((1, 1, 1), np.float32), [Flight(number, chain(length, number))]


def chain(length, name):
    """A trajectory that asks for `length` denoisings of its own number."""
    import torch

    x = torch.full((1, 1, 1), float(name))
    for _ in range(length):
        answer = yield x, Schedule().level(0)
        assert answer.x0.item() == name + 0.5, "an answer went to another trajectory"
    return x


@pytest.mark.parametrize("batch", [1, 2, 5, 100])
def test_trajectories_of_any_length_share_calls_and_never_mix(batch):
    lengths, sizes = [1, 7, 2, 30, 1, 1, 4, 9, 3, 3], []

    def denoise(x, t):
        sizes.append(len(x))
        return Prediction(x + 0.5)

    queue = (alone(number, length) for number, length in enumerate(lengths))
    done = dict(Engine(denoise, queue, batch=batch))
    assert sorted(done) == list(range(len(lengths)))
    assert sum(sizes) == sum(lengths)
    assert max(sizes) <= batch
    full = [size for size in sizes if size == min(batch, len(lengths))]
    assert len(full) >= (sum(lengths) - 30 * min(batch, len(lengths))) // batch, (
        "calls are kept full"
    )


def test_trajectories_are_begun_only_when_there_is_room():
    begun = []

    def queue():
        for number in range(6):
            begun.append(number)
            yield alone(number, 3)

    engine = iter(Engine(lambda x, t: Prediction(x + 0.5), queue(), batch=2))
    next(engine)
    assert len(begun) == 2


@pytest.mark.parametrize("batch", [10, 16, 64])
def test_running_out_of_memory_halves_the_batch_and_loses_nothing(batch):
    import torch

    sizes = []

    def denoise(x, t):
        sizes.append(len(x))
        if len(x) > 3:
            raise torch.OutOfMemoryError("too large")
        return Prediction(x + 0.5)

    queue = (alone(number, 4) for number in range(10))
    engine = Engine(denoise, queue, batch=batch)
    assert sorted(key for key, _ in engine) == list(range(10))
    assert engine.batch.size <= 3
    assert sizes.count(10) == 1, "a size that failed is not asked for again"


def test_the_batch_grows_while_it_pays_and_then_stays():
    seconds = {1: 1.0, 2: 1.2, 4: 1.8, 8: 4.0, 16: 8.0}
    batch = BatchSize()
    for _ in range(20):
        batch.record(batch.size, seconds.get(batch.size, 99.0))
    assert batch.size == 4
    assert batch.settled


def test_one_size_that_was_timed_at_a_bad_moment_does_not_end_the_search_for_a_batch():
    seconds = {size: 0.001 + 0.0001 * size for size in (1, 2, 4, 8, 16, 32, 64)}
    seconds[2] = 0.01
    batch = BatchSize()
    while not batch.settled:
        batch.record(batch.size, seconds[batch.size])
    assert batch.size == 64


def test_short_calls_are_timed_more_often_than_long_ones():
    batch = BatchSize()
    for _ in range(19):
        batch.record(1, 0.001)
    assert batch.size == 1
    batch.record(1, 0.001)
    assert batch.size == 2
    for _ in range(3):
        batch.record(2, 1.0)
    assert batch.size == 4


def test_shards_are_read_as_share_of_count():
    assert Shard.parse("2/5") == Shard(2, 5)
    for text in ("5/5", "1", "a/2", "-1/2", "1/0"):
        with pytest.raises(UsageError, match="--shard"):
            Shard.parse(text)


def test_the_batch_that_was_found_is_remembered_for_its_model_and_dtype(
    calm_pipeline, faces, tmp_path, own_cache
):
    request = Request([faces], [str(calm_pipeline)], t=LEVELS, samplers=["ddim"], steps=10)
    (plan,) = reconstruction_plans(request, Store(tmp_path / "store"))
    memory = BatchMemory.of(plan.model, plan.network_recipe, "cpu")
    assert memory.recall() is None
    memory.keep(5)
    sizes = []
    (work,) = reconstructions(request, Store(tmp_path / "store"), "cpu")
    work.tick = sizes.append
    list(work)
    assert (memory.recall(), max(sizes), sizes[0]) == (5, 5, 5)
    other = replace(plan.network_recipe, dtype="bfloat16")
    assert BatchMemory.of(plan.model, other, "cpu").recall() is None


def test_a_padded_batch_has_one_size_and_the_answers_of_its_own_rows():
    import torch

    asked = []

    def denoise(x, t):
        asked.append(len(x))
        return Prediction(2 * x, x + t[:, None])

    x, t = torch.arange(6.0).view(3, 2), torch.arange(3)
    answer = Padded(denoise, 8)(x, t)
    assert asked == [8]
    assert torch.equal(answer.x0, 2 * x)
    assert torch.equal(answer.variance, x + t[:, None])


@pytest.mark.skipif(not shutil.which("g++"), reason="torch.compile needs a C++ compiler here")
def test_a_compiled_network_gives_the_same_answers():
    import torch

    from nca_cli.models.denoiser import Asked, Denoiser

    class Network(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.mix = torch.nn.Conv2d(3, 3, 3, padding=1)

        def forward(self, x, t):
            return torch.tanh(self.mix(x)) * (1 + t.view(-1, 1, 1, 1) / 1000)

    torch.manual_seed(0)
    asked = Asked(Network(), Schedule(), "sample", (3, 8, 8), ask=lambda net, x, t, _: net(x, t))
    plain = Denoiser(asked, device="cpu")
    quick = Denoiser(asked, device="cpu")
    quick.compile()
    padded = Padded(quick, 4)
    x, t = torch.randn(3, 3, 8, 8), torch.tensor([100, 500, 900])
    torch.testing.assert_close(padded(x, t).x0, plain(x, t).x0, rtol=1e-5, atol=1e-6)


def test_a_network_that_cannot_be_compiled_is_one_clear_line():
    def denoise(x, t):
        raise RuntimeError("no compiler\nof any kind")

    import torch

    with pytest.raises(NcaError, match="cannot be compiled"):
        Padded(denoise, 4)(torch.zeros(1, 2), torch.zeros(1))


def test_no_file_is_flushed_by_the_thread_that_asks_the_network(
    calm_pipeline, faces, tmp_path, monkeypatch
):
    """However slow a disk is, it holds up nothing but the last commits."""
    flushing, flush = [], os.fsync

    def noted(handle):
        flushing.append(threading.current_thread())
        flush(handle)

    monkeypatch.setattr(os, "fsync", noted)
    request = Request([faces], [str(calm_pipeline)], t=LEVELS, samplers=["ddim"], steps=10)
    (work,) = reconstructions(request, Store(tmp_path / "store"), "cpu")
    list(work)
    assert len(flushing) >= 2 * (2 * 3 + 2)  # files and folders: of three images, marker, model
    assert threading.main_thread() not in flushing
