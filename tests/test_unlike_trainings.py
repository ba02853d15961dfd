"""What is unlike stays apart: runs of other sizes, schedules and colours, twins and seeds."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from gaussians import ONE_STEP as EXACT
from gaussians import Gaussian, fill
from PIL import Image
from test_concept_retention import readings
from test_emergence import STEPS, TS, X0S, falling, getting_there, table, tables_of
from trainings import SCHEDULE, commit_run

from nca_cli.analysis.checkpoints import StoredRun, made_by
from nca_cli.analysis.emergence import emergence
from nca_cli.analysis.gaussian import MIN_REFERENCE, full, power
from nca_cli.analysis.knowable import TrainingImages, copied_shares, kinds_of
from nca_cli.analysis.references import references
from nca_cli.analysis.taught import transfer_matrix
from nca_cli.analysis.trainings import over_trainings
from nca_cli.analysis.untaught import filtered, stored_noises
from nca_cli.concepts.curves import concept_points
from nca_cli.imports import Pair, import_pairs
from nca_cli.report.data.training import TrainingRequest, training_numbers
from nca_cli.store import Filters, Store
from nca_cli.store.layout import NOISE

EVERY, COARSE = ("coarse", "content", "clean-up"), ("coarse",)


@pytest.fixture
def store(tmp_path):
    made = Store(tmp_path / "store")
    commit_run(made, "mine", X0S, getting_there, STEPS, TS, {"batch_size": 32})
    return made


def test_trainings_of_other_sizes_or_schedules_are_no_two_of_one_setting():
    def run(name, side=16, **more):
        made = table(StoredRun(name, name, "uniform", side=side), falling(30))
        return emergence(replace(made, **more))

    assert len(over_trainings([run("a"), run("b")])) == 1
    assert over_trainings([run("a"), run("b", side=32)]) == []
    assert over_trainings([run("a"), run("b", log_snr=(1.5,))]) == []


def runs_of(side=16, weights="raw", settings=("uniform", "only-coarse")):
    bands = {"uniform": EVERY, "only-coarse": COARSE, "p2": EVERY}
    return [
        table(StoredRun(f"{name}-{side}-{weights}", "", name, bands[name], name, weights=weights,
                        side=side),
              (1 + index) * (1 + np.zeros((6, 3, 2))) * np.arange(1, 7)[:, None, None])
        for index, name in enumerate(settings)
    ]  # fmt: skip


def test_transfer_compares_runs_of_one_size():
    found = transfer_matrix([*runs_of(16), *runs_of(32)])
    assert {one.runs for one in found} == {("only-coarse-16-raw",), ("only-coarse-32-raw",)}
    assert [one.change.value for one in found] == [pytest.approx(1.0)] * len(found)


def test_transfer_compares_levels_of_one_noise():
    uniform, coarse = runs_of()
    assert transfer_matrix([uniform, coarse])
    elsewhere = replace(coarse, log_snr=tuple(at + 1 for at in coarse.log_snr))
    assert transfer_matrix([uniform, elsewhere]) == []


@pytest.mark.parametrize("first", ["ema", "raw"])
def test_weights_without_a_run_on_all_levels_take_nothing_from_the_others(first):
    told = []
    several = [*runs_of(weights="ema"), *runs_of(weights="raw", settings=("p2", "only-coarse"))]
    found = transfer_matrix(several if first == "ema" else several[::-1], "uniform",
                            tell=told.append)  # fmt: skip
    assert {one.runs for one in found} == {("only-coarse-16-ema",)}
    assert len(told) == 1


def test_a_twin_that_has_noise_alone_changes_no_name(store):
    (model,) = store.models()
    source = store.artifacts(model, store.images(model)[0])[0]
    info = dict(source.image_info, digest="f" * 64)
    place = store.place(model, source.model_info, source.image_name, info["digest"])
    part = source.parts[0].read()
    store.commit(place, NOISE, part.header, part.samples, part.fixed)
    assert sorted(stored_noises(Store(store.root), model, Filters())) == sorted(X0S)
    (errors,) = (one for one in tables_of(Store(store.root)) if one.one_step)
    training = TrainingImages(np.zeros((2, 3, 16, 16), np.float32), frozenset())
    assert kinds_of(Store(store.root), errors, training)["held-out"].sum() == len(X0S)


def test_an_image_whose_noise_is_gone_is_of_no_kind(store):
    (errors,) = (one for one in tables_of(store) if one.one_step)
    (model,) = store.models()
    (store.root / model / store.images(model)[0] / "noise.h5").unlink()
    training = TrainingImages(np.zeros((2, 3, 16, 16), np.float32), frozenset())
    assert kinds_of(Store(store.root), errors, training)["held-out"].sum() == len(X0S) - 1


def test_a_run_is_called_as_in_tables_where_an_import_has_its_name(store, tmp_path):
    for name in ("face.png", "theirs.png"):
        Image.new("RGB", (16, 16), "grey").save(tmp_path / name)
    pair = Pair(80, tmp_path / "face.png", tmp_path / "theirs.png")
    import_pairs([pair], model="mine", store=store.root, schedule="cosine")
    made = [one for one in store.select() if not one.is_noise]
    names = {run.name for run, _, _ in made_by(store, made).values()}
    tables = {one.run.name for one in tables_of(store)}
    assert len(names) == 1
    assert names == tables
    assert names != {"mine"}


def test_the_wiener_baseline_takes_pictures_that_are_no_squares():
    x_t = np.random.default_rng(0).standard_normal((3, 16, 32))
    assert filtered(x_t, SCHEDULE.level(300)).shape == (3, 16, 32)


def test_a_single_training_image_has_no_copies(store):
    commit_run(store, "heart", X0S, getting_there, STEPS, (990,), sampler="ddim")
    made = [one for one in store.select() if not one.is_noise]
    one = TrainingImages(np.zeros((1, 3, 16, 16), np.float32), frozenset())
    assert list(copied_shares(store, made, one)) == []


def test_training_images_are_read_for_each_run_as_it_sees_them(tmp_path):
    store = Store(tmp_path / "store")
    grey = {name: x0[:1] for name, x0 in X0S.items()}
    commit_run(store, "colour", X0S, getting_there, STEPS, TS)
    commit_run(store, "grey", grey, getting_there, STEPS, TS)
    for number in range(2):
        pixels = np.full((16, 16, 3), 60 * number + 60, np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"seen-{number}.png")
    asked = TrainingRequest(images=[str(tmp_path / f"seen-{number}.png") for number in range(2)])
    found = training_numbers(store, wanted=asked)
    assert {one.run for one in found.excess} == {"colour", "grey"}


def test_seeds_of_an_image_count_as_one_in_points_of_concepts():
    few = readings(10, {"hair": -3.0}, noise=0)
    many = [one for one in few for _ in range(8 if one.image == "i000" else 1)]
    known = {point.t: point.retention for point in concept_points(few)}
    for point in concept_points(many):
        assert point.retention == pytest.approx(known[point.t])


def test_pictures_that_are_all_the_same_have_no_gaussian(tmp_path, monkeypatch):
    same = np.full((MIN_REFERENCE, 3, 4, 4), 0.25)
    for fit in (full, power):
        with pytest.raises(ValueError, match="too few different images"):
            fit(same)
    monkeypatch.setattr(Gaussian, "draw", lambda self, count, random: same[:, :, :1, :1]
                        * np.ones((count, 3, self.side, self.side)))  # fmt: skip
    made = fill(tmp_path / "s", Gaussian(), MIN_REFERENCE, recipes=(EXACT,), levels=(500,))
    rows, notes = references(made)
    assert rows == []
    assert {note.blank for note in notes} == {"too few different images to fit a Gaussian"}
