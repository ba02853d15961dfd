"""Concepts: what a probe reads in pictures whose truth is known, and what is left of it."""

import dataclasses
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from nca_cli import concepts
from nca_cli.concepts import (
    Probe,
    Truth,
    concept_curves,
    concept_error,
    factor_labels,
    fit_probe,
    load_probe,
    read_labels,
    retention,
)
from nca_cli.concepts.probe import SHIPPED, FunctionProbe, _tried, described
from nca_cli.errors import NcaError, NothingStored, UsageError
from nca_cli.images import sample_images, to_uint8, to_unit
from nca_cli.imports import Pair, import_pairs
from nca_cli.portraits import HELD_OUT_SEEDS, main, portrait, write_portraits
from nca_cli.store import Store

STATED = {
    "background": 0.99, "hair": 0.98, "skin": 0.98, "shirt": 0.98, "hair_length": 0.80,
    "tilt": 0.80, "glasses": 0.93, "stripes": 0.90, "freckles": 0.75,
}  # fmt: skip
"""What the shipped probe can at least do: R² of values, balanced accuracy of what is present."""


def blurred(pictures, sigma):
    """(N, C, S, S) under a Gaussian of `sigma` pixels."""
    places = np.arange(pictures.shape[-1])
    kernel = np.exp(-((places[:, None] - places) ** 2) / (2 * sigma**2))
    kernel = (kernel / kernel.sum(1, keepdims=True)).astype(np.float32)
    return kernel @ pictures @ kernel.T


@pytest.fixture(scope="module")
def held_out():
    """160 portraits that neither the probe nor its stored accuracy has met, and their truth."""
    drawn = [portrait(seed) for seed in HELD_OUT_SEEDS[3_000:3_160]]
    return to_unit(np.stack([image for image, _ in drawn])), factor_labels([f for _, f in drawn])


# -- the shipped probe -----------------------------------------------------------------------------


def test_the_probe_reads_clean_portraits_as_well_as_it_says(held_out):
    pictures, truth = held_out
    probe = Probe.load()
    read = probe.read(pictures)
    for concept in probe.concepts:
        now = described(concept.name, truth[concept.name], read[concept.name]).accuracy
        assert concept.accuracy >= STATED.get(concept.name, 0.3), concept
        assert now == pytest.approx(concept.accuracy, abs=0.02 + 0.4 * (1 - concept.accuracy))


def test_the_probe_is_a_small_file():
    assert SHIPPED.stat().st_size < 1_000_000


def test_reading_needs_numpy_alone():
    code = (
        "import sys, numpy as np; from nca_cli.concepts import Probe;"
        "Probe.load().read(np.zeros((1, 3, 64, 64), np.float32));"
        "print([m for m in ('torch', 'diffusers', 'skimage', 'scipy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_readings_do_not_depend_on_the_batch(held_out):
    pictures, _ = held_out
    together, alone = Probe.load().read(pictures[:70]), Probe.load().read(pictures[69:70])
    for name, values in alone.items():
        np.testing.assert_allclose(together[name][69:], values, atol=1e-4)


def test_pictures_of_other_sizes_are_read_alike():
    images = [np.stack([portrait(seed, size)[0] for seed in range(12)]) for size in (64, 128)]
    small, large = (Probe.load().read(to_unit(each)) for each in images)
    for name in ("hair", "skin", "glasses"):
        assert np.abs(small[name] - large[name]).mean() < 0.12


def test_a_picture_that_is_not_finite_reads_nan_and_spoils_no_other(held_out):
    pictures = held_out[0][:2].copy()
    pictures[0, 0, 0, 0] = np.inf
    for values in Probe.load().read(pictures).values():
        assert np.isnan(values[0]).all()
        assert np.isfinite(values[1]).all()


def test_no_reading_is_wilder_than_the_truth_could_be():
    noise = np.random.default_rng(0).uniform(-1, 1, (20, 3, 64, 64)).astype(np.float32)
    probe = Probe.load()
    read = probe.read(noise)
    for concept in probe.concepts:
        low, high = concept.limits
        assert ((low <= read[concept.name]) & (read[concept.name] <= high)).all()


def test_nothing_is_retained_in_the_mean_image_or_in_pure_noise(held_out):
    pictures, truth = held_out
    noise = np.random.default_rng(0).standard_normal(pictures.shape, np.float32)
    probe = Probe.load()
    clean, mean, wild = map(
        probe.read, (pictures, np.repeat(pictures.mean(0)[None], len(pictures), 0), noise)
    )
    for name in ("hair", "skin", "background", "glasses", "freckles"):
        assert retention(truth[name], mean[name], clean[name]) == pytest.approx(0, abs=1e-4)
        assert abs(retention(truth[name], wild[name], clean[name])) < 0.3


def test_blur_takes_freckles_before_hair_colour(held_out):
    pictures, truth = held_out
    probe = Probe.load()
    clean = probe.read(pictures)
    left = {"freckles": [], "hair": []}
    for sigma in (0.5, 1, 2, 4):
        read = probe.read(blurred(pictures, sigma))
        for name, values in left.items():
            values.append(retention(truth[name], read[name], clean[name]))
    assert all(
        hair > freckles for hair, freckles in zip(left["hair"], left["freckles"], strict=True)
    )
    assert left["freckles"][2] < 0.5
    assert min(left["hair"]) > 0.85


# -- retention -------------------------------------------------------------------------------------


def test_retention_is_one_for_the_truth_and_nought_for_what_does_not_follow_it():
    random = np.random.default_rng(0)
    truth = random.normal(size=(2_000, 3))
    assert retention(truth, truth) == pytest.approx(1)
    assert retention(truth, 0 * truth + 5) == pytest.approx(0)
    assert retention(truth, random.normal(size=truth.shape)) == pytest.approx(0, abs=0.06)
    assert retention(truth, 0.7 * truth, 0.7 * truth) == pytest.approx(1)


def test_retention_of_presence_is_the_rescaled_balanced_accuracy():
    random = np.random.default_rng(0)
    truth = (random.uniform(size=300) < 0.3).astype(float)
    read = np.where(random.uniform(size=300) < 0.2, 1 - truth, truth)
    there = truth == 1
    balanced = ((read[there] == 1).mean() + (read[~there] == 0).mean()) / 2
    assert retention(truth, read) == pytest.approx(2 * balanced - 1)


def test_posterior_means_and_posterior_samples_have_the_same_retention():
    """Gaussian truth of variance 1 seen at SNR s: both follow the share s/(1+s) of it."""
    random = np.random.default_rng(0)
    snr, truth = 0.8, random.normal(size=200_000)
    share = snr / (1 + snr)
    mean = share * (truth + random.normal(size=truth.size) / snr**0.5)
    sample = mean + (1 - share) ** 0.5 * random.normal(size=truth.size)
    assert retention(truth, mean) == pytest.approx(share, abs=0.01)
    assert retention(truth, sample) == pytest.approx(share, abs=0.01)


def test_retention_is_blank_where_the_images_cannot_tell():
    assert np.isnan(retention([1.0], [1.0]))
    assert np.isnan(retention([1.0, 1.0], [0.0, 1.0]))
    assert np.isnan(retention([], []))
    truth = np.arange(9.0)
    assert np.isnan(retention(truth, truth, np.zeros(9)))  # the probe does not read it
    assert retention([*truth, 5], [*truth, np.nan]) == pytest.approx(1)


def test_a_reading_that_has_not_moved_has_no_error(held_out):
    pictures, _ = held_out
    assert set(concept_error(pictures[0], pictures[0]).values()) == {0}
    other = np.mean([concept_error(pictures[i], pictures[i + 1])["hair"] for i in range(60)])
    assert other == pytest.approx(2, abs=0.6)


# -- fitting ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def squares():
    """60 pictures of one colour, half of them with a white square, and their labels."""
    random = np.random.default_rng(0)
    colours = random.uniform(-0.8, 0.4, (60, 3)).astype(np.float32)
    pictures = np.tile(colours[:, :, None, None], (1, 1, 64, 64))
    pictures += random.normal(0, 0.02, pictures.shape).astype(np.float32)
    pictures[::2, :, 20:36, 24:40] = 1
    return pictures, {"paint": colours, "square": np.arange(60) % 2 == 0}


def test_a_probe_can_be_fitted_saved_and_loaded(squares, tmp_path):
    pictures, labels = squares
    probe = fit_probe(pictures, labels, filters=8)
    assert [(each.kind, each.size) for each in probe.concepts] == [("value", 3), ("present", 1)]
    assert all(concept.accuracy > 0.9 for concept in probe.concepts)
    again = load_probe(str(probe.save(tmp_path / "own.npz")))
    assert again.concepts == probe.concepts
    for name, values in again.read(pictures).items():
        np.testing.assert_allclose(values, probe.read(pictures)[name], atol=0.02)
    assert again.digest != Probe.load().digest


def test_leaving_one_out_in_closed_form_is_leaving_one_out():
    random = np.random.default_rng(0)
    z, y, penalty = random.normal(size=(12, 30)), random.normal(size=(12, 2)), 0.3
    gram = z @ z.T
    _, missed = _tried(gram, y, penalty)
    share = np.float32(penalty * np.trace(gram) / 12)
    for row in range(12):
        rest = np.delete(np.arange(12), row)
        normal = z[rest].T @ z[rest] + share * np.eye(30)
        weights = np.linalg.solve(normal, z[rest].T @ y[rest])
        np.testing.assert_allclose(missed[row], y[row] - z[row] @ weights, atol=1e-6)


def test_labels_that_do_not_go_with_the_pictures_are_refused(squares):
    pictures, labels = squares
    with pytest.raises(UsageError, match="too few"):
        fit_probe(pictures[:5], {"paint": labels["paint"][:5]})
    with pytest.raises(UsageError, match="paint"):
        fit_probe(pictures, {"paint": labels["paint"][:5]})
    with pytest.raises(UsageError, match="paint"):
        fit_probe(pictures, {"paint": np.full(60, np.nan)})


def test_a_users_function_is_a_probe(tmp_path, monkeypatch):
    (tmp_path / "own_probe.py").write_text(
        "def light(pictures):\n    return {'light': pictures.mean((1, 2, 3))}\n"
        "def wrong(pictures):\n    return {'light': [1.0]}\n"
        "def none(pictures):\n    return None\n"
    )
    monkeypatch.chdir(tmp_path)
    path = list(sys.path)
    read = load_probe("own_probe:light").read(np.ones((4, 3, 8, 8)))
    np.testing.assert_allclose(read["light"], np.ones((4, 1)))
    for name, words in (("wrong", "light"), ("none", "dict")):
        with pytest.raises(NcaError, match=words):
            load_probe(f"own_probe:{name}").read(np.ones((4, 3, 8, 8)))
    for text in ("own_probe:gone", "gone_module:f", "words", "gone.npz"):
        with pytest.raises(NcaError, match=r"own_probe|gone|words"):
            load_probe(text)
    assert sys.path == path


# -- truth -----------------------------------------------------------------------------------------


def test_labels_are_numbers_words_and_colours(tmp_path):
    table = tmp_path / "labels.csv"
    table.write_text(
        "image,hair_r,hair_g,hair_b,age,beard\na/anna.png,1,0,0.5,30,no\nben,0,0,0,,YES\n"
    )
    labels = read_labels(table).labels
    assert labels["anna"] == {"hair": (1, 0, 0.5), "age": (30,), "beard": (0,)}
    assert labels["ben"] == {"hair": (0, 0, 0), "beard": (1,)}


@pytest.mark.parametrize(("text", "words"), [
    ("name,age\na,1\n", "no column image"),
    ("image\na\n", "no column of a concept"),
    ("image,age\n", "no rows"),
    ("image,age\na,old\n", "age 'old'"),
    ("image,age\na,1\na.png,2\n", "comes twice"),
    ("image,age\n,1\n", "no image"),
])  # fmt: skip
def test_labels_that_cannot_be_read_get_a_clear_line(tmp_path, text, words):
    (tmp_path / "labels.csv").write_text(text)
    with pytest.raises(UsageError, match=words):
        read_labels(tmp_path / "labels.csv")


def test_labels_that_are_not_there_get_a_clear_line(tmp_path):
    with pytest.raises(UsageError, match=r"gone\.csv"):
        read_labels(tmp_path / "gone.csv")


def test_many_portraits_with_their_truth_can_be_written(tmp_path, capsys):
    main(["--out", str(tmp_path / "p"), "--count", "3", "--first-seed", "100"])
    assert Path(capsys.readouterr().out.strip()).is_file()
    assert len(list((tmp_path / "p").glob("*.png"))) == 3
    truth, factors = read_labels(tmp_path / "p" / "labels.csv"), portrait(101)[1]
    assert truth.labels["portrait-00101"]["hair"] == pytest.approx(factors.hair)
    assert truth.labels["portrait-00101"]["smile"] == pytest.approx((factors.smile,))
    assert set(dataclasses.asdict(factors)) == set(truth.labels["portrait-00101"])
    with pytest.raises(SystemExit):
        main(["--out", str(tmp_path / "q"), "--first-seed", "9999", "--count", "2"])
    assert not (tmp_path / "q").exists()


# -- curves over a store ---------------------------------------------------------------------------


BLURS = {100: None, 300: 1.5, 700: 4.0}


@pytest.fixture(scope="module")
def portraits(tmp_path_factory):
    """Sixteen portraits with labels, and a store in which levels are blurs of them."""
    folder = tmp_path_factory.mktemp("concepts")
    write_portraits(folder / "p", range(200, 216))
    pairs = []
    for path in sorted((folder / "p").glob("*.png")):
        x0 = to_unit(np.asarray(Image.open(path)))[None]
        for t, sigma in BLURS.items():
            recon = folder / f"{path.stem}-{t}.png"
            Image.fromarray(to_uint8(x0 if sigma is None else blurred(x0, sigma))[0]).save(recon)
            pairs.append(Pair(t, path, recon))
    summary = import_pairs(pairs, model="blur", store=folder / "store")
    assert not summary.errors
    return folder


def test_a_curve_has_a_retention_for_each_model_sampler_concept_and_level(portraits):
    found = concept_curves(
        Store(portraits / "store"), truth=read_labels(portraits / "p/labels.csv")
    )
    assert {(point.model, point.sampler, point.n) for point in found.points} == {
        ("blur", "imported", 16)
    }
    assert {point.t for point in found.points} == set(BLURS)
    by = {(point.concept, point.t): point.retention for point in found.points}
    assert all(
        by[name, 100] == pytest.approx(1, abs=1e-3)
        for name in ("hair", "skin", "glasses", "freckles")
    )
    assert by["hair", 700] > 0.85 > by["freckles", 700]
    assert not found.notes
    assert len(found.readings) == 16 * 3 * len(Probe.load().concepts)


def test_packed_stores_and_readings_by_name_are_the_same(portraits):
    truth = read_labels(portraits / "p/labels.csv")
    points = concept_curves(Store(portraits / "store"), truth=truth).points
    named = concept_curves(
        Store(portraits / "store"), truth=truth, names=lambda a: (a.image, "m", "s")
    )
    assert [p.retention for p in named.points] == [p.retention for p in points]
    assert {(p.model, p.sampler) for p in named.points} == {("m", "s")}


def test_labels_of_images_that_are_not_stored_are_noted(portraits, tmp_path):
    table = tmp_path / "labels.csv"
    table.write_text((portraits / "p/labels.csv").read_text().replace("portrait-00200", "nobody"))
    (note,) = concept_curves(Store(portraits / "store"), truth=read_labels(table)).notes
    assert "nobody" in note


def test_labels_that_name_no_image_at_all_get_a_clear_line(portraits):
    truth = Truth({"nobody": {"hair": (0, 0, 0)}}, "labels.csv")
    with pytest.raises(NothingStored, match=r"labels\.csv: none of nobody"):
        concept_curves(Store(portraits / "store"), truth=truth)


def test_a_stem_that_two_images_have_is_no_name(portraits, tmp_path):
    store = shutil.copytree(portraits / "store", tmp_path / "s")
    image = next(store.glob("*/portrait-00203-*"))
    image.with_name("portrait-00203-0123456789ab").mkdir()
    with pytest.raises(UsageError, match="portrait-00203 is the name of 2 stored images"):
        concept_curves(Store(store), truth=read_labels(portraits / "p/labels.csv"))


def test_labels_of_what_the_probe_does_not_read_get_a_clear_line(portraits):
    truth = Truth({"portrait-00200": {"beard": (1,)}}, "labels.csv")
    with pytest.raises(UsageError, match="labels beard"):
        concept_curves(Store(portraits / "store"), truth=truth)
    truth = Truth({"portrait-00200": {"hair": (1,)}}, "labels.csv")
    with pytest.raises(UsageError, match="1 numbers, the probe reads 3"):
        concept_curves(Store(portraits / "store"), truth=truth)


def test_a_hint_names_the_columns_that_the_probe_needs(portraits):
    for name, numbers, columns in (
        ("hair", 1, "hair_r, hair_g, hair_b"),
        ("glasses", 3, "glasses"),
    ):
        truth = Truth({"portrait-00200": {name: (1.0,) * numbers}}, "labels.csv")
        with pytest.raises(UsageError) as caught:
            concept_curves(Store(portraits / "store"), truth=truth)
        assert caught.value.hint.startswith(f"name columns {columns}")
        assert ("_r" in caught.value.hint) == (numbers == 1)


def test_labelled_concepts_that_a_function_does_not_read_are_named(portraits):
    probe = FunctionProbe(lambda pictures: {"smile": pictures.mean((1, 2, 3))}, "own")
    truth = Truth({"portrait-00200": {"smiling": (1.0,)}}, "l2.csv")
    with pytest.raises(UsageError, match=r"l2\.csv: labels smiling") as caught:
        concept_curves(Store(portraits / "store"), truth=truth, probe=probe)
    assert caught.value.hint == "the probe reads smile"
    truth = read_labels(portraits / "p/labels.csv")
    (note,) = concept_curves(Store(portraits / "store"), truth=truth, probe=probe).notes
    assert note.startswith("The probe does not read these labels of ")
    assert ": background, " in note
    assert note.endswith(". It reads: smile.")


def test_a_mistyped_concept_is_noted_beside_those_that_are_read(portraits, tmp_path):
    table = tmp_path / "labels.csv"
    table.write_text((portraits / "p/labels.csv").read_text().replace("glasses", "galsses"))
    (note,) = concept_curves(Store(portraits / "store"), truth=read_labels(table)).notes
    assert ", galsses, " in note
    assert note.endswith(". It reads concepts without labels: glasses.")


def test_images_without_known_concepts_get_a_clear_line(portraits):
    with pytest.raises(NothingStored, match="known concepts"):
        concept_curves(Store(portraits / "store"))


def test_the_truth_of_the_bundled_portraits_is_known_under_any_name(tmp_path):
    pairs = []
    for number, path in enumerate(sample_images("portraits")):
        copy = shutil.copy(path, tmp_path / f"face-{number}.png")
        pairs.append(Pair(300, copy, path))
    import_pairs(pairs, model="copy", store=tmp_path / "s")
    found = concept_curves(Store(tmp_path / "s"))
    assert {point.n for point in found.points} == {8}
    values = [point.retention for point in found.points if not np.isnan(point.retention)]
    assert values == pytest.approx([1] * len(values), abs=1e-3)
    assert len(values) >= 10


def test_a_damaged_artifact_is_left_out_with_a_note(portraits, tmp_path):
    store = shutil.copytree(portraits / "store", tmp_path / "s")
    os.truncate(next(store.glob("*/portrait-00203-*/imported-*.h5")), 500)
    found = concept_curves(Store(store), truth=read_labels(portraits / "p/labels.csv"))
    assert {point.n for point in found.points} == {15}
    assert "portrait-00203" in found.notes[0]


def test_what_a_probe_read_is_kept_until_labels_or_samples_change(portraits, tmp_path, monkeypatch):
    store = shutil.copytree(portraits / "store", tmp_path / "s")
    table = tmp_path / "labels.csv"
    table.write_text((portraits / "p/labels.csv").read_text().replace("portrait-00200", "nobody"))
    found = concept_curves(Store(store), truth=read_labels(portraits / "p/labels.csv"))
    with monkeypatch.context() as patch:
        patch.setattr("nca_cli.store.Artifact.read", None)
        patch.setattr("nca_cli.store.Artifact.fixed", None)
        again = concept_curves(Store(store), truth=read_labels(portraits / "p/labels.csv"))
    assert str(again) == str(found)
    fewer = concept_curves(Store(store), truth=read_labels(table))
    assert {point.n for point in fewer.points} == {15}
    shutil.rmtree(next(store.glob("*/portrait-00203-*")))
    fewer = concept_curves(Store(store), truth=read_labels(table))
    assert {point.n for point in fewer.points} == {14}


def test_what_a_function_read_is_kept_for_its_version_alone(portraits, tmp_path):
    store, seen = shutil.copytree(portraits / "store", tmp_path / "s"), []

    def own(pictures):
        seen.append(len(pictures))
        return {"smile": pictures.mean((1, 2, 3))}

    def calls() -> int:
        seen.clear()
        concept_curves(Store(store), truth=truth, probe=FunctionProbe(own, "own"))
        return len(seen)

    truth = read_labels(portraits / "p/labels.csv")
    assert calls() == calls() > 0
    own.version = 1
    assert calls() > 0
    assert calls() == 0
    own.version = 2
    assert calls() > 0


def test_no_concept_name_hides_a_module():
    files = {path.stem for path in Path(concepts.__file__).parent.glob("*.py")}
    named = [vars(concepts).get(name, concepts) for name in files]
    assert all(isinstance(each, ModuleType) for each in named)
