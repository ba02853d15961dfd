"""`nca import`: what other programs reconstructed becomes an artifact like any other."""

import csv
import itertools
import json
import math
import os
import shutil
import subprocess
import sys
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from stores import snapshot
from typer.testing import CliRunner

import nca_cli.cli.imports  # noqa: F401
from nca_cli.cli import app
from nca_cli.errors import NcaError, UsageError
from nca_cli.images import image_digest, load_image, sample_images, to_uint8
from nca_cli.imports import Pair, import_pairs, named_schedule, read_csv
from nca_cli.imports.pictures import read_reconstruction
from nca_cli.metrics import measure
from nca_cli.models.space import Space
from nca_cli.schedule import Schedule
from nca_cli.store import Filters, Place, Store

PUBLISHED = Path(__file__).resolve().parents[2] / "shared" / "reference" / "published-ddim-celebahq"
ORIGINALS = PUBLISHED.parents[1] / "images" / "CelebA-HQ"


def nca(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def fails(result, code, *words):
    """One clear line on stderr that holds `words`, nothing on stdout."""
    assert result.exit_code == code, result.output
    assert result.stdout == ""
    lines = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, result.stderr
    for word in words:
        assert word in lines[0], result.stderr


def write_csv(path, rows, columns=("t", "original", "reconstruction")):
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows([columns, *rows])
    return path


def read_rows(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def work(tmp_path, monkeypatch):
    """A folder with an original of 48×40 and reconstructions of 16×16, as the working folder."""
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    coarse = Image.fromarray(random.integers(0, 256, (5, 6, 3), dtype=np.uint8))
    coarse.resize((48, 40), Image.Resampling.BICUBIC).save("face.png")
    for t in (80, 180, 280):
        Image.fromarray(random.integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(f"r{t}.png")
    return tmp_path


def only(store="nca-store"):
    """The one reconstruction of a store, and its noise."""
    artifacts = Store(store).select()
    (artifact,) = (each for each in artifacts if not each.is_noise)
    return artifact, next(each for each in artifacts if each.is_noise)


# -- a pair ----------------------------------------------------------------------------------------


def test_a_pair_becomes_an_artifact_with_its_level_and_its_pixels(work):
    result = nca("import", "--model", "theirs", "--t", "80", "face.png", "r80.png")
    assert result.exit_code == 0, result.output
    artifact, noise = only()
    assert Path(result.stdout.strip()) == Path(artifact.parts[0].path)
    assert (artifact.sampler, artifact.model_name, artifact.image_name) == (
        "imported",
        "theirs",
        "face",
    )
    assert (artifact.t.tolist(), artifact.seed.tolist()) == ([80], [0])
    assert artifact.log_snr[0] == pytest.approx(Schedule().log_snr(80))
    stored = to_uint8(artifact.read("x0_hat", [(80, 0)])[0])
    np.testing.assert_array_equal(stored, np.asarray(Image.open("r80.png")))
    np.testing.assert_array_equal(noise.fixed("x0"), load_image("face.png", 16).pixels)
    assert (len(noise), artifact.recipe.weights, artifact.model_info["source"]) == (
        0,
        "imported",
        "imported",
    )


def test_the_reconstruction_sets_the_size_and_the_fit_brings_the_original_to_it(work):
    for fit in ("crop", "pad", "stretch"):
        nca(
            "import",
            "--model",
            "m",
            "--t",
            "80",
            "face.png",
            "r80.png",
            "--fit",
            fit,
            "--store",
            fit,
        )
        artifact, noise = only(fit)
        np.testing.assert_array_equal(noise.fixed("x0"), load_image("face.png", 16, fit).pixels)
        assert artifact.image_info["digest"] == image_digest("face.png", 16, fit)
        assert artifact.image_info["resolution"] == 16


def test_a_model_folder_is_named_by_schedule_and_size_as_a_computed_one_is(work):
    nca("import", "--model", "m", "--t", "80", "face.png", "r80.png")
    space = Space(Schedule(), (3, 16, 16), 16, 3)
    assert Store("nca-store").models() == [f"m-{space.digest[:8]}"]
    assert Store("nca-store").model_info(f"m-{space.digest[:8]}")["space"] == space.describe()


def test_images_that_were_computed_and_imported_share_their_folder(work, pixel_pipeline):
    nca("reconstruct", "face.png", "--model", pixel_pipeline, "--t", "80", "-s", "one-step")
    nca("import", "--model", pixel_pipeline.name, "--t", "80", "face.png", "r80.png")
    (model,) = Store("nca-store").models()
    (image,) = Store("nca-store").images(model)
    names = [artifact.label for artifact in Store("nca-store").artifacts(model, image)]
    assert names == ["noise", "imported", "one-step"]
    assert len(Store("nca-store").artifact(Place(model, image), "noise")) == 1


def test_blanks_of_a_folder_of_both_are_imported_and_computed_each(work, pixel_pipeline):
    nca("import", "--model", pixel_pipeline.name, "--t", "80", "face.png", "r80.png")
    nca("reconstruct", "face.png", "--model", pixel_pipeline, "--t", "80", "-s", "one-step")
    result = nca("grid", "--t", "80,180", "--show", "x0_hat", "--json")
    commands = json.loads(result.stdout)["command"].split(" && ")
    assert set(commands) == {
        f"nca import --model {pixel_pipeline.name} --csv FILE",
        f"nca reconstruct face.png --model {pixel_pipeline} --sampler one-step --t 180 --seed 0",
    }
    (note,) = (line for line in result.stderr.splitlines() if "blank cell" in line)
    assert note == f"2 blank cells; to fill, start with: {commands[0]}"


def test_the_same_pair_again_is_cached_and_moves_no_mtime(work):
    arguments = ["import", "--model", "m", "--t", "80", "face.png", "r80.png", "--json"]
    first = json.loads(nca(*arguments).stdout)
    before = snapshot(work / "nca-store")
    again = json.loads(nca(*arguments).stdout)
    assert (first["imported"], again["imported"], again["cached"]) == (1, 0, 1)
    assert again["files"] == first["files"]
    assert snapshot(work / "nca-store") == before


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_other_content_for_the_same_sample_is_refused_unless_replaced(work, dtype):
    pair = ["import", "--model", "m", "--t", "80", "face.png", "--store-dtype", dtype]
    assert nca(*pair, "r80.png").exit_code == 0
    assert nca(*pair, "r80.png").exit_code == 0
    before = snapshot(work / "nca-store")
    fails(nca(*pair, "r180.png"), 1, "face", "t=80", "another picture", "--replace")
    assert snapshot(work / "nca-store") == before
    assert nca(*pair, "r180.png", "--replace").exit_code == 0
    stored = to_uint8(only()[0].read("x0_hat", [(80, 0)])[0])
    np.testing.assert_array_equal(stored, np.asarray(Image.open("r180.png")))


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("rows", [[(80, "r180.png")], [(80, "r180.png"), (280, "r80.png")]])
def test_an_interrupted_replacement_leaves_the_old_picture_or_the_new(work, rows, dtype):
    old, new = {80: "r80.png", 280: "r280.png"}, dict(rows)
    import_pairs([Pair(t, "face.png", path) for t, path in old.items()], model="m", store="old")
    for after in itertools.count():
        shutil.copytree("old", f"new{after}")
        with interrupted(after) as came:
            import_pairs(
                [Pair(t, "face.png", path) for t, path in rows],
                model="m", store=f"new{after}", replace=True, store_dtype=dtype,
            )  # fmt: skip
        shown = {t: shown_at(t, only(f"new{after}")[0]) for t in old}
        assert all(shown[t] in (old[t], new.get(t, old[t])) for t in old), after
        if not came:
            break
    assert after
    assert shown == old | new


@contextmanager
def interrupted(after):
    """Ctrl-C instead of a change of names in the file system, once `after` of them are done."""
    left, came = itertools.count(after, -1), []

    def unless_due(change):
        def changed(*arguments, **options):
            if next(left) == 0:
                came.append(change)
                raise KeyboardInterrupt
            return change(*arguments, **options)

        return changed

    with pytest.MonkeyPatch.context() as patch, suppress(KeyboardInterrupt):
        for name in ("replace", "rename", "unlink", "rmdir"):
            patch.setattr(os, name, unless_due(getattr(os, name)))
        yield came


def shown_at(t, artifact):
    """Name of the picture that is stored at a level."""
    pixels = to_uint8(artifact.read("x0_hat", [(t, 0)])[0])
    files = ("r80.png", "r180.png", "r280.png")
    return next(file for file in files if np.array_equal(pixels, np.asarray(Image.open(file))))


def test_a_replaced_picture_lies_in_the_file_of_the_old_one(work):
    pair = ["import", "--model", "m", "--t", "80", "face.png"]
    first = nca(*pair, "r80.png")
    again = nca(*pair, "r180.png", "--replace", "--store-dtype", "float16")
    assert again.stdout == first.stdout


def test_seeds_and_samplers_tell_reconstructions_apart(work):
    for options in (["--seed", "1"], ["--sampler", "ddim-50"], ["--sampler", "ddim-20"], []):
        assert (
            nca("import", "--model", "m", "--t", "80", "face.png", "r80.png", *options).exit_code
            == 0
        )
    found = Store("nca-store").select(Filters(samplers=("ddim",)))
    assert [each.label for each in found] == ["noise", "ddim-20", "ddim-50"]
    assert [each.recipe.steps for each in found[1:]] == [20, 50]
    (imported,) = Store("nca-store").select(Filters(samplers=("imported",)))[1:]
    assert imported.keys == {(80, 0), (80, 1)}


def test_arrays_are_taken_as_they_are_unclipped(work):
    x0_hat = np.random.default_rng(1).normal(0, 1.5, (3, 16, 16)).astype(np.float32)
    x0 = np.clip(x0_hat, -1, 1)
    np.save("x0.npy", x0)
    np.save("r.npy", x0_hat)
    assert nca("import", "--model", "m", "--t", "80", "x0.npy", "r.npy").exit_code == 0
    artifact, noise = only()
    np.testing.assert_array_equal(artifact.read("x0_hat", [(80, 0)])[0], x0_hat)
    np.testing.assert_array_equal(noise.fixed("x0"), x0)


def test_grey_arrays_are_compared_with_grey_originals(work):
    np.save("r.npy", np.zeros((1, 16, 16), np.float32))
    assert nca("import", "--model", "m", "--t", "80", "face.png", "r.npy").exit_code == 0
    assert only()[1].fixed("x0").shape == (1, 16, 16)


# -- schedules -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "schedule"),
    [
        ("linear", Schedule()),
        ("scaled-linear", Schedule("scaled_linear", 0.0015, 0.0195)),
        ("cosine", Schedule("squaredcos_cap_v2")),
        ("scheduler_config.json", Schedule("scaled_linear", 0.00085, 0.012)),
    ],
)
def test_a_schedule_is_recorded_and_gives_the_log_snr(work, name, schedule):
    config = {
        "_class_name": "PNDMScheduler",
        "beta_schedule": "scaled_linear",
        "beta_start": 0.00085,
        "beta_end": 0.012,
        "num_train_timesteps": 1000,
        "trained_betas": None,
    }
    Path("scheduler_config.json").write_text(json.dumps(config))
    nca("import", "--model", "m", "--t", "80", "face.png", "r80.png", "--schedule", name)
    artifact, _ = only()
    assert artifact.log_snr[0] == pytest.approx(schedule.log_snr(80))
    assert artifact.model_info["space"]["schedule"] == schedule.describe()


def test_no_schedule_leaves_log_snr_blank_and_takes_any_level(work):
    for t in ("80", "1200", "0.5"):
        result = nca(
            "import", "--model", "m", "--t", t, "face.png", "r80.png", "--schedule", "none"
        )
        assert result.exit_code == 0, result.output
    artifact, _ = only()
    assert sorted(artifact.t.tolist()) == [0.5, 80, 1200]
    assert np.isnan(artifact.log_snr).all()
    assert artifact.model_info["space"]["schedule"] == {"kind": "none"}


# -- CSV -------------------------------------------------------------------------------------------


def test_a_csv_brings_many_pairs_with_paths_relative_to_itself(work, monkeypatch):
    rows = [(t, "face.png", f"r{t}.png") for t in (80, 180, 280)]
    write_csv(work / "pairs.csv", rows)
    (work / "elsewhere").mkdir()
    monkeypatch.chdir(work / "elsewhere")
    result = nca("import", "--model", "m", "--csv", "../pairs.csv", "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["imported"] == 3
    assert only()[0].keys == {(80, 0), (180, 0), (280, 0)}


def test_a_csv_may_name_seeds_and_samplers_and_leave_them_blank(work):
    columns = ("Sampler", "reconstruction", "original", "t", "seed", "note")
    write_csv(
        "pairs.csv",
        [("", "r80.png", "face.png", 80, "", "a"), ("ddim-50", "r180.png", "face.png", 80, 4, "b")],
        columns,
    )
    assert nca("import", "--model", "m", "--csv", "pairs.csv", "--seed", "2").exit_code == 0
    found = {artifact.label: artifact.keys for artifact in Store("nca-store").select()}
    assert found == {"noise": set(), "imported": {(80, 2)}, "ddim-50": {(80, 4)}}


@pytest.mark.parametrize("delimiter", [";", "\t"])
def test_a_spreadsheets_csv_is_read_too(work, delimiter):
    text = f"t,original,reconstruction\r\n80,{work / 'face.png'},r80.png\r\n".replace(
        ",", delimiter
    )
    Path("pairs.csv").write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert read_csv("pairs.csv") == [
        Pair(80, work / "face.png", Path("r80.png"), where="pairs.csv:2")
    ]


def test_bad_rows_are_listed_and_the_others_are_done(work):
    Path("text.png").write_text("no picture")
    np.save("nan.npy", np.full((3, 16, 16), np.nan, np.float32))
    rows = [
        (80, "face.png", "r80.png"),
        (180, "face.png", "gone.png"),
        (1000, "face.png", "r80.png"),
        ("many", "face.png", "r80.png"),
        (180, "gone.png", "r180.png"),
        (180, "face.png", "text.png"),
        (280, "face.png", ""),
        (180, "face.png", "nan.npy"),
        (280, "face.png", "r280.png"),
    ]
    result = nca("import", "--model", "m", "--csv", write_csv("pairs.csv", rows))
    assert result.exit_code == 1
    assert only()[0].keys == {(80, 0), (280, 0)}
    lines = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    expected = {
        3: "gone.png",
        4: "0 to 999",
        5: "many",
        6: "gone.png",
        7: "not an image",
        8: "no reconstruction",
        9: "not finite",
    }
    assert len(lines) == len(expected)
    for number, words in expected.items():
        (line,) = (line for line in lines if f"pairs.csv:{number}: " in line)
        assert words in line
    assert "7 pairs left out" in result.stderr
    assert Path(result.stdout.strip()).is_file()


def test_sizes_that_differ_are_spaces_of_their_own(work):
    Image.new("RGB", (8, 8), "red").save("small.png")
    rows = [(80, "face.png", "r80.png"), (80, "face.png", "small.png")]
    assert nca("import", "--model", "m", "--csv", write_csv("pairs.csv", rows)).exit_code == 0
    sizes = {each.model: each.image_info["resolution"] for each in Store("nca-store").select()}
    assert sorted(sizes.values()) == [8, 16]


def test_a_sample_that_comes_twice_with_different_pictures_is_refused(work):
    rows = [(80, "face.png", "r80.png"), (80, "face.png", "r80.png"), (80, "face.png", "r180.png")]
    result = nca("import", "--model", "m", "--csv", write_csv("pairs.csv", rows), "--replace")
    assert result.exit_code == 1
    assert "pairs.csv:4: face, imported, t=80 seed=0 comes twice" in result.stderr
    stored = to_uint8(only()[0].read("x0_hat", [(80, 0)])[0])
    np.testing.assert_array_equal(stored, np.asarray(Image.open("r80.png")))


def test_batches_do_not_change_what_is_stored(work, monkeypatch):
    rows = [(t, "face.png", "r80.png") for t in range(7)]
    nca("import", "--model", "m", "--csv", write_csv("pairs.csv", rows), "--store", "whole")
    monkeypatch.setattr("nca_cli.imports.run.AT_ONCE", 3)
    nca("import", "--model", "m", "--csv", "pairs.csv", "--store", "batches")
    (whole, _), (batches, _) = only("whole"), only("batches")
    assert batches.keys == whole.keys == {(t, 0) for t in range(7)}


# -- bad input -------------------------------------------------------------------------------------

PAIR = ["--model", "m", "--t", "80", "face.png", "r80.png"]
BAD = {
    "no model": (["--t", "80", "face.png", "r80.png"], 2, "model", "nca import --model"),
    "no pictures": (["--model", "m", "--t", "80"], 2, "nca import --model NAME --csv"),
    "one picture": (
        ["--model", "m", "--t", "80", "face.png"],
        2,
        "an original and its reconstruction",
    ),
    "no level": (["--model", "m", "face.png", "r80.png"], 2, "level"),
    "two levels": (["--model", "m", "--t", "80,90", "face.png", "r80.png"], 2, "80,90"),
    "level out of range": (
        ["--model", "m", "--t", "1000", "face.png", "r80.png"],
        2,
        "1000",
        "0 to 999",
    ),
    "level between": (["--model", "m", "--t", "80.5", "face.png", "r80.png"], 2, "80.5"),
    "negative label": ([*PAIR, "--t=-1", "--schedule", "none"], 2, "-1"),
    "missing original": (
        ["--model", "m", "--t", "80", "gone.png", "r80.png"],
        1,
        "gone.png",
        "check the path",
    ),
    "missing reconstruction": (
        ["--model", "m", "--t", "80", "face.png", "gone.npy"],
        1,
        "gone.npy",
        "check the path",
    ),
    "not a picture": (["--model", "m", "--t", "80", "face.png", "text.png"], 1, "text.png"),
    "not an array": (["--model", "m", "--t", "80", "face.png", "text.npy"], 1, "text.npy"),
    "channels last": (
        ["--model", "m", "--t", "80", "face.png", "hwc.npy"],
        1,
        "(16, 16, 3)",
        "(C, H, W)",
    ),
    "bytes": (["--model", "m", "--t", "80", "face.png", "bytes.npy"], 1, "uint8", "[-1, 1]"),
    "0 to 255": (["--model", "m", "--t", "80", "face.png", "to255.npy"], 1, "to255.npy", "[-1, 1]"),
    "pickled": (["--model", "m", "--t", "80", "face.png", "pickle.npy"], 1, "pickle.npy"),
    "array of another size": (
        ["--model", "m", "--t", "80", "zeros.npy", "r80.png"],
        1,
        "(3, 8, 8)",
        "(3, 16, 16)",
    ),
    "name that is a path": (["--model", "..", "--t", "80", "face.png", "r80.png"], 2, ".."),
    "sampler that is a path": ([*PAIR, "--sampler", "../x"], 2, "../x"),
    "sampler of a reference": ([*PAIR, "--sampler", "reference:gaussian"], 2, "reference:gaussian"),
    "unknown schedule": ([*PAIR, "--schedule", "quadratic"], 2, "quadratic", "linear"),
    "schedule without levels": ([*PAIR, "--schedule", "flow.json"], 2, "flow.json", "none"),
    "schedule that is no JSON": ([*PAIR, "--schedule", "face.png"], 2, "face.png"),
    "unknown fit": ([*PAIR, "--fit", "squash"], 2, "squash", "crop"),
    "negative seed": ([*PAIR, "--seed", "-1"], 2, "-1"),
    "missing CSV": (["--model", "m", "--csv", "gone.csv"], 2, "gone.csv"),
    "CSV and pair": ([*PAIR, "--csv", "columns.csv"], 2, "--csv"),
    "missing column": (
        ["--model", "m", "--csv", "columns.csv"],
        2,
        "columns.csv",
        "no column reconstruction",
    ),
    "empty CSV": (
        ["--model", "m", "--csv", "empty.csv"],
        2,
        "empty.csv",
        "t, original, reconstruction",
    ),
    "no rows": (["--model", "m", "--csv", "rows.csv"], 2, "rows.csv", "no rows"),
    "packed store": ([*PAIR, "--store", "packed.h5"], 1, "packed.h5"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_gets_one_clear_line(case, work):
    arguments, code, *words = BAD[case]
    Path("text.png").write_text("words")
    Path("text.npy").write_text("words")
    np.save("hwc.npy", np.zeros((16, 16, 3), np.float32))
    np.save("bytes.npy", np.zeros((3, 16, 16), np.uint8))
    np.save("to255.npy", np.full((3, 16, 16), 200, np.float32))
    np.save("pickle.npy", np.array([{}], object))
    np.save("zeros.npy", np.zeros((3, 8, 8), np.float32))
    Path("flow.json").write_text('{"_class_name": "FlowMatchEulerDiscreteScheduler", "shift": 3.0}')
    write_csv("columns.csv", [(80, "face.png")], ("t", "original"))
    write_csv("rows.csv", [])
    Path("empty.csv").write_text("")
    if "packed.h5" in arguments:
        nca("import", "--model", "other", *PAIR[2:], "--store", "full")
        nca("pack", "--store", "full", "-o", "packed.h5")
    fails(nca("import", *arguments), code, *words)
    assert not Path("nca-store").exists()


def test_arrays_in_the_wrong_range_are_noticed(work):
    np.save("r.npy", np.random.default_rng(0).uniform(0, 1, (3, 16, 16)).astype(np.float32))
    result = nca("import", "--model", "m", "--t", "80", "face.png", "r.npy")
    assert result.exit_code == 0
    assert "not as [0, 1]" in result.stderr


def test_a_stored_sampler_of_any_name_is_known_with_and_without_its_steps(work):
    nca("import", *PAIR, "--sampler", "theirs-50")
    shown = [
        nca("grid", "--sampler", name, "-o", f"{name}.png").exit_code
        for name in ("theirs", "theirs-50", "ours")
    ]
    assert shown == [0, 0, 2]
    assert Path("theirs.png").read_bytes() == Path("theirs-50.png").read_bytes()


# -- beside the rest -------------------------------------------------------------------------------


@pytest.fixture
def filled(work):
    write_csv("pairs.csv", [(t, "face.png", f"r{t}.png") for t in (80, 180, 280)])
    assert nca("import", "--model", "theirs", "--csv", "pairs.csv").exit_code == 0
    return work


def test_imported_reconstructions_are_listed_shown_drawn_packed_and_verified(filled):
    assert "80, 180, 280" in nca("ls").stdout or "80…280:100" in nca("ls").stdout
    artifact, noise = only()
    for each in (artifact, noise):
        assert nca("show", each.parts[0].path).exit_code == 0
    assert nca("verify").exit_code == 0
    assert nca("pack", "-o", "packed.h5").exit_code == 0
    for store in ("nca-store", "packed.h5"):
        result = nca(
            "grid", "--store", store, "--show", "x0,x0_hat,diff", "--strict", "-o", f"{store}.png"
        )
        assert result.exit_code == 0, result.output
    assert nca("export", "-o", "files").exit_code == 0
    assert len(list(Path("files").rglob("*x0_hat.png"))) == 3


def test_the_report_measures_imported_reconstructions_as_scikit_image_does(filled):
    from skimage.metrics import structural_similarity

    assert nca("report", "--csv", "values.csv").exit_code == 0
    rows = read_rows("values.csv")
    assert {(row["model"], row["sampler"], row["image"]) for row in rows} == {
        ("theirs", "imported", "face")
    }
    x0, x0_hat = (load_image(name, 16).pixels for name in ("face.png", "r180.png"))
    a, b = ((np.moveaxis(x, 0, -1) + 1) / 2 for x in (x0, x0_hat))
    values = {row["measure"]: row["value"] for row in rows if row["t"] == "180"}
    assert float(values["mse"]) == pytest.approx(np.mean((x0 - x0_hat) ** 2), rel=1e-5)
    assert float(values["ssim"]) == pytest.approx(
        structural_similarity(a, b, channel_axis=2, data_range=1), rel=1e-5
    )


def test_a_report_without_a_schedule_has_blank_log_snr(filled):
    result = nca(
        "import", "--model", "blank", "--csv", "pairs.csv", "--schedule", "none", "--store", "b"
    )
    assert result.exit_code == 0, result.output
    assert nca("report", "--store", "b", "--csv", "b.csv", "--json", "b.json").exit_code == 0
    rows = read_rows("b.csv")
    assert {row["log_snr"] for row in rows} == {""}
    json.loads(Path("b.json").read_text(), parse_constant=lambda text: pytest.fail(text))
    assert nca("grid", "--store", "b", "--show", "x0,x0_hat").exit_code == 0


def test_a_portrait_of_no_known_level_has_a_report(work):
    """It is recognised, and its concepts have no level to be lost at."""
    portrait = sample_images("portraits")[0]
    result = nca(
        "import", "--model", "theirs", "--schedule", "none", "--t", "5", portrait, portrait
    )
    assert result.exit_code == 0, result.output
    result = nca("report", "--json", "r.json")
    assert result.exit_code == 0, result.output
    halves = json.loads(Path("r.json").read_text())["concepts"]["half_levels"]
    assert {half["log_snr"]["blank"] for half in halves} == {"fewer than two levels of known SNR"}


def test_rm_of_everything_leaves_no_artifact(filled):
    assert nca("rm", "--yes").exit_code == 0
    assert not list(Path("nca-store").glob("*/*/*.h5"))


def test_export_writes_the_original_too(filled):
    assert nca("export", "-o", "files").exit_code == 0
    assert len(list(Path("files").rglob("x0.png"))) == 1


def test_what_grid_suggests_for_imported_models_is_no_reconstruct(filled):
    result = nca("grid", "--show", "x0,x0_hat", "--t", "80,777")
    assert "--model imported" not in result.stderr
    assert "nca import" in result.stderr


def test_what_verify_suggests_for_a_damaged_import_is_nca_import(filled):
    only()[0].parts[0].path.write_bytes(b"damaged")
    assert "nca import" in nca("verify").stderr


def test_importing_loads_no_torch(work):
    code = (
        "import sys; from nca_cli.imports import Pair, import_pairs;"
        "s = import_pairs([Pair(80, 'face.png', 'r80.png')], model='m');"
        "assert s.imported == 1, s.errors;"
        "print([m for m in ('torch', 'diffusers', 'skimage') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_python_twin_tells_what_it_did(work):
    pairs = [
        Pair(80, "face.png", "r80.png"),
        Pair(180, "face.png", "gone.png"),
        Pair(80, "face.png", "r80.png"),
    ]
    summary = import_pairs(pairs, model="org/theirs@main", store="s")
    assert (summary.imported, summary.cached, len(summary.errors)) == (1, 1, 1)
    assert [artifact.model_name for artifact in summary.artifacts] == ["theirs"]
    with pytest.raises(UsageError, match="is not valid as a folder name"):
        import_pairs(pairs, model="a b")


def test_a_bad_row_is_raised_where_nobody_listens(work):
    write_csv("pairs.csv", [("many", "face.png", "r80.png")])
    with pytest.raises(NcaError, match=r"pairs\.csv:2: t 'many'"):
        read_csv("pairs.csv")


def test_a_column_that_comes_twice_is_refused(work):
    Path("pairs.csv").write_text("t,original,reconstruction,T\n80,face.png,r80.png,90\n")
    with pytest.raises(UsageError, match=r"pairs\.csv: column t comes twice"):
        read_csv("pairs.csv")


def test_whole_numbers_may_be_written_as_pandas_does_where_cells_are_empty(work):
    Path("pairs.csv").write_text(
        "t,original,reconstruction,seed\n80.0,face.png,r80.png,1.0\n80,face.png,r80.png,\n"
    )
    assert [(pair.t, pair.seed) for pair in read_csv("pairs.csv")] == [(80, 1), (80, 0)]
    columns = ("t", "original", "reconstruction", "seed")
    write_csv("pairs.csv", [(80, "face.png", "r80.png", "1.5")], columns)
    with pytest.raises(NcaError, match=r"1\.5"):
        read_csv("pairs.csv")


def test_quotes_may_come_after_a_space(work):
    Path("pairs.csv").write_text('t, original, reconstruction\n80, face.png, "sub, dir/r.png"\n')
    (pair,) = read_csv("pairs.csv")
    assert pair.reconstruction == Path("sub, dir/r.png")


def test_no_others_are_done_where_no_pair_is(work):
    write_csv("pairs.csv", [(180, "face.png", "gone.png")])
    result = nca("import", "--model", "m", "--csv", "pairs.csv")
    assert result.exit_code == 1
    assert "1 pair left out" in result.stderr
    assert "others" not in result.stderr


def test_an_array_of_another_range_is_refused_and_overshoots_are_noted(work):
    random = np.random.default_rng(0)
    array = (40 * random.standard_normal((3, 16, 16))).astype(np.float32)
    np.save("far.npy", array)
    with pytest.raises(NcaError, match=r"far\.npy.*values from -1\d\d"):
        read_reconstruction("far.npy")
    array = (random.standard_normal((3, 16, 16)) / 2).astype(np.float32)
    array[0, 3, 4] = -7
    np.save("spike.npy", array)
    (note,) = read_reconstruction("spike.npy").notes
    assert "values from -7 to" in note


def test_a_schedule_without_levels_has_no_snr():
    assert math.isnan(named_schedule("none").log_snr(80))
    assert named_schedule("linear").log_snr(80) == Schedule().log_snr(80)


# -- the published reconstructions -----------------------------------------------------------------


@pytest.mark.skipif(not PUBLISHED.is_dir(), reason="the published pictures are not here")
def test_ssim_of_the_published_reconstructions_falls_over_all_nine_levels(tmp_path):
    from bench.published import LEVELS, METRICS, measured, pairs_csv

    summary = import_pairs(
        read_csv(pairs_csv(tmp_path / "pairs.csv")), model="published-ddim", store=tmp_path / "s"
    )
    assert (summary.imported, summary.errors) == (36, [])
    means = measured(tmp_path / "s")
    assert list(means) == list(LEVELS) == list(range(80, 881, 100))
    assert all(values["n"] == 4 for values in means.values())
    ssim = [values["ssim"] for values in means.values()]
    assert ssim == sorted(ssim, reverse=True)
    faces = (ORIGINALS / "00101.jpeg", PUBLISHED / "ddim_00101_0.3.png")
    expected = measure(*(load_image(path, 256).pixels for path in faces), METRICS)
    noise, artifact = Store(tmp_path / "s").select(Filters(images=("00101",)))
    stored = (noise.fixed("x0"), artifact.read("x0_hat", [(280, 0)])[0])
    assert measure(*stored, METRICS) == expected
