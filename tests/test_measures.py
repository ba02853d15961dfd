"""Values over a store are computed once, kept beside the artifact, and hold for it alone."""

import json
import math
import os
import re
import shutil
import subprocess
import sys
from functools import partial
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
import torch
from stores import DDIM, ONE_STEP, commit, full_store, header, place_of, samples, snapshot, tensor
from test_lpips import files
from typer.testing import CliRunner

from nca_cli.cli import app
from nca_cli.errors import NothingStored, UsageError
from nca_cli.metrics import METRICS, Measuring, Metric, Settings, Value, measure, measure_store
from nca_cli.metrics import workers as workers_
from nca_cli.metrics.cache import VERSION
from nca_cli.metrics.lpips import lpips_metrics
from nca_cli.report import ReportRequest, collect, json_text
from nca_cli.store import Filters, Store
from nca_cli.store.pack import pack

NAMES = ["psnr", "mse", "kept"]


@pytest.fixture
def store(tmp_path):
    """Two images, two recipes, three levels, two seeds: 24 reconstructions of 16×16 pixels."""
    return full_store(tmp_path / "store")


@pytest.fixture
def counted(monkeypatch):
    """Registers a measure that counts how often it is taken."""
    calls = []

    def counting(x0, x0_hat):
        calls.append(1)
        return 1.0

    monkeypatch.setitem(METRICS, "counting", Metric(counting, "", "", "lower", weights="counts"))
    return calls


def kept_files(store):
    return sorted(store.root.rglob("*.metrics.json"))


def numbers(values):
    """Rows that can be compared: NaN as None."""
    return [tuple(None if x != x else x for x in value) for value in values]


def test_every_value_is_the_measure_of_the_stored_tensors(store):
    for value in measure_store(store, names=["psnr", "kept"]):
        x0, x0_hat = tensor(0, 0, value.image), tensor(value.t, value.seed, "x0_hat")
        assert value.value == measure(x0, x0_hat)[value.measure]
        assert value.log_snr == -value.t / 100
        assert (value.model, value.sampler) in {("toy", "ddim-50"), ("toy", "one-step")}


def test_by_default_all_that_need_no_network_are_measured_in_the_order_of_the_store(store):
    values = measure_store(store)
    per_sample = [*measure(tensor(0, 0, "cat"), tensor(100, 0, "x0_hat"))]
    assert [value.measure for value in values] == per_sample * 24
    places = [value[:5] for value in values[:: len(per_sample)]]
    assert places == sorted(places)
    assert all(isinstance(value, Value) for value in values)


def test_a_second_time_nothing_is_measured_nothing_is_read_and_nothing_is_written(
    store, counted, monkeypatch
):
    first = measure_store(store)
    assert len(counted) == 24
    before = snapshot(store.root)
    monkeypatch.setattr(workers_, "measured", lambda task: pytest.fail("a tensor was read"))
    work = Measuring(store)
    assert len(work) == 0
    assert numbers(work.run()) == numbers(first)
    assert snapshot(store.root) == before
    assert len(counted) == 24


def test_values_lie_beside_the_artifact_and_leave_it_alone(store):
    before = snapshot(store.root)
    work = Measuring(store, names=NAMES)
    work.run()
    after = snapshot(store.root)
    assert {name: after[name] for name in before} == before
    assert work.files == kept_files(store)
    assert {path.name for path in work.files} == {
        f"{recipe.name}.metrics.json" for recipe in (DDIM, ONE_STEP)
    }


def test_what_grew_is_measured_only_where_it_grew(store, counted):
    first = measure_store(store, names=["counting", "psnr"])
    for recipe in (None, DDIM):
        commit(store, (900,), (0,), recipe)
    values = measure_store(store, names=["counting", "psnr"])
    assert len(counted) == 24 + 1
    assert set(first) < set(values)
    assert len(values) - len(first) == 2


def test_a_new_measure_leaves_the_values_of_the_others(store, counted):
    measure_store(store, names=["counting"])
    measure_store(store, names=["mse"])
    measure_store(store, names=["counting", "mse"])
    assert len(counted) == 24


def test_another_version_of_a_measure_is_measured_anew(store, counted, monkeypatch):
    measure_store(store, names=["counting", "mse"])
    newer = Metric(METRICS["counting"].function, "", "", "lower", version=2,
                    weights="counts")  # fmt: skip
    monkeypatch.setitem(METRICS, "counting", newer)
    assert len(Measuring(store, names=["counting"])) == 24
    measure_store(store, names=["counting"])
    assert len(counted) == 48
    assert len(Measuring(store, names=["mse"])) == 0


def mean_power(x0, x0_hat, p):
    return float((abs(x0 - x0_hat) ** p).mean())


@pytest.mark.parametrize(
    "made", [lambda p: partial(mean_power, p=p), lambda p: lambda a, b: mean_power(a, b, p)]
)
def test_other_parameters_under_one_name_are_measured_anew(store, monkeypatch, made):
    for p in (1, 4, 4):
        monkeypatch.setitem(METRICS, "power", Metric(made(p), "", "", "lower"))
        for value in measure_store(store, names=["power"]):
            pair = tensor(0, 0, value.image), tensor(value.t, value.seed, "x0_hat")
            assert value.value == mean_power(*pair, p)
    assert len(Measuring(store, names=["power"])) == 0


def test_what_depends_on_who_knows_what_is_measured_each_time_and_told(store, monkeypatch):
    network = SimpleNamespace(scale=1.0)
    network_of = Metric(lambda a, b: network.scale * mean_power(a, b, 1), "", "", "lower")
    monkeypatch.setitem(METRICS, "network", network_of)
    first = measure_store(store, names=["network", "mse"])
    network.scale = 2.0
    work = Measuring(store, names=["network", "mse"])
    assert [note.split()[2] for note in work.notes] == ["network"]
    assert len(work) == 24
    for old, new in zip(first, work.run(), strict=True):
        assert new.value == old.value * (2 if new.measure == "network" else 1)
    assert not any("network" in file.read_text() for file in kept_files(store))


def test_another_tensor_of_the_same_name_is_measured_anew(store):
    """Deleted and computed again with other numbers, as after another version of a library."""
    measure_store(store, names=["mse"])
    artifact = next(a for a in store.select() if a.name == DDIM.name)
    store.remove(artifact, [(100, 0)])
    other = samples((100,), (0,))
    other.tensors["x0_hat"] *= 0.5
    store.commit(place_of(store), DDIM.name, header(DDIM), other)
    values = measure_store(store, Filters(t=(100,), seeds=(0,), images=("cat",)), ["mse"])
    expected = measure(tensor(0, 0, "cat"), tensor(100, 0, "x0_hat") * 0.5)["mse"]
    assert values[0].value == expected


def test_another_x0_makes_all_values_of_its_image_void(store, counted):
    measure_store(store, names=["counting", "mse"])
    noise = next(a for a in store.select() if a.is_noise)
    store.remove(noise)
    new = samples((100, 300, 600), (0, 1), "x_t")
    store.commit(place_of(store), "noise", header(), new, {"x0": tensor(0, 0, "other")})
    value = measure_store(store, names=["counting", "mse"])[1]
    assert len(counted) == 24 + 12
    assert value.value == measure(tensor(0, 0, "other"), tensor(100, 0, "x0_hat"))["mse"]


def test_noise_that_grows_costs_no_measuring(store, counted):
    measure_store(store, names=["counting"])
    for image in ("cat", "dog"):
        commit(store, (900,), (0,), None, image)
    measure_store(store, names=["counting"])
    assert len(counted) == 24
    assert len(Measuring(store, names=["counting"])) == 0


def test_processes_and_their_order_change_no_number(tmp_path):
    """Nor does the batch: one store holds a sample per call, the other all of them at once."""
    one = full_store(tmp_path / "one")
    values = measure_store(one, workers=1)
    other = full_store(tmp_path / "other")
    assert numbers(measure_store(other, workers=2)) == numbers(values)
    assert [p.read_text() for p in kept_files(one)] == [p.read_text() for p in kept_files(other)]
    single = full_store(tmp_path / "single")
    for t in (600, 100, 300):
        for seed in (1, 0):
            measure_store(single, Filters(t=(t,), seeds=(seed,)))
    assert numbers(measure_store(single)) == numbers(values)
    assert [p.read_text() for p in kept_files(one)] == [p.read_text() for p in kept_files(single)]


def test_a_script_without_a_guard_may_use_processes_and_its_own_measure(store, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "from nca_cli.store import Store\n"
        "from nca_cli.metrics import measure_store\n"
        "from nca_cli.metrics import METRICS, Metric\n"
        "def zero(x0, x0_hat):\n"
        "    return 0.0\n"
        "METRICS['zero'] = Metric(zero, 'Zero', 'nothing', 'lower')\n"
        f"values = measure_store(Store({str(store.root)!r}), names=['mse', 'zero'], workers=2)\n"
        "print(len(values), sum(value.value for value in values if value.measure == 'zero'))\n"
    )
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == "48 0.0\n"
    assert done.stderr == ""


def test_where_processes_cannot_be_had_the_work_is_done_in_this_one(store, monkeypatch):
    def refused(*_, **__):
        raise OSError("no processes")

    monkeypatch.setattr(workers_, "Popen", refused)
    ticks = []
    assert len(measure_store(store, names=["mse"], workers=2, tick=ticks.append)) == 24
    assert sum(ticks) == 24


def test_ticks_count_the_samples_that_had_to_be_measured(store):
    work, ticks = Measuring(store, Filters(t=(300,)), NAMES), []
    assert len(work) == 8
    work.run(2, ticks.append)
    assert sum(ticks) == 8
    assert len(Measuring(store, names=NAMES)) == 16


@pytest.mark.parametrize("spoil", [
    b"", b"{", b"[]", b"null", b'{"format": "nca-measures", "version": 0}', b"\xff\xfe\x00",
    b'{"format": "nca-measures", "version": 1, "measures": {}, "x0": 3, "samples": []}',
    *(b'{"format": "nca-measures", "version": 1, "measures": {}, "x0": {"content": "", "digest": ""'
      b'}, "samples": [{"t": %b, "seed": 0, "content": "", "digest": "", "values": {}}]}' % odd
      for odd in (b"NaN", b"Infinity", b"1e999", b'"1"', b"9" * 400)),
])  # fmt: skip
def test_a_file_of_values_that_cannot_be_read_is_measured_anew_and_noted(store, spoil):
    first = measure_store(store, names=NAMES)
    path = kept_files(store)[0]
    sound = path.read_bytes()
    path.write_bytes(spoil)
    work = Measuring(store, names=NAMES)
    assert len(work) == 6
    assert work.run() == first
    assert str(path) in work.notes[0]
    assert not work.problems
    assert path.read_bytes() == sound


def test_a_digit_of_a_kept_value_that_changed_by_chance_is_not_read(store):
    first = measure_store(store, names=NAMES)
    path = kept_files(store)[0]
    sound = path.read_bytes()
    digits = [match.start() for match in re.finditer(rb"\d", sound)]
    for at in digits[:: max(1, len(digits) // 12)]:
        path.write_bytes(sound[:at] + bytes([sound[at] ^ 1]) + sound[at + 1 :])
        assert measure_store(store, names=NAMES) == first, at
        assert path.read_bytes() == sound


def test_values_that_were_kept_without_a_digest_are_taken(store):
    measure_store(store, names=NAMES)
    for path in kept_files(store):
        kept = json.loads(path.read_bytes())
        del kept["sha256"]
        path.write_text(json.dumps(kept))
    assert len(Measuring(store, names=NAMES)) == 0


def test_values_that_a_newer_nca_has_kept_stay_as_they_are(store):
    first = measure_store(store, names=["mse"])
    path = kept_files(store)[0]
    data = json.loads(path.read_text())
    newer = json.dumps({**data, "version": VERSION + 1, "values": "of another kind"})
    path.write_text(newer)
    work = Measuring(store, names=["mse"])
    assert len(work) == 6
    assert work.run() == first
    assert path.read_text() == newer
    reason = f"version {VERSION + 1} is newer than this nca knows ({VERSION})"
    assert work.notes == [
        f"{path}: {reason}, so it is measured again", f"values are not kept: {reason}"
    ]  # fmt: skip
    assert not work.problems


def test_a_value_that_is_no_number_in_the_file_is_never_told(store):
    first = measure_store(store, names=["mse"])
    path = kept_files(store)[0]
    data = json.loads(path.read_text())
    data["samples"][0]["values"]["mse"][""] = "many"
    path.write_text(json.dumps(data))
    assert measure_store(store, names=["mse"]) == first


def test_infinite_and_blank_values_survive_being_kept(tmp_path):
    store = Store(tmp_path / "store")
    commit(store, (100,), (0,), None)
    new = samples((100, 200))
    new.tensors["x0_hat"][0] = tensor(0, 0, "cat")
    new.tensors["x0_hat"][1, 0, 0, 0] = np.nan
    store.commit(place_of(store), DDIM.name, header(DDIM), new)
    for _ in range(2):
        equal, broken = (
            {v.measure: v.value for v in measure_store(store, Filters(t=(t,)))} for t in (100, 200)
        )
        assert equal["psnr"] == math.inf
        assert math.isnan(equal["ms-ssim"])
        assert all(map(math.isnan, broken.values()))


def test_the_command_refuses_a_packed_store_before_it_measures(store, tmp_path):
    """Its one result is what it keeps; whoever wants the numbers is told of the command."""
    packed = pack(store, tmp_path / "packed.h5")
    done = CliRunner().invoke(app, ["measure", "--store", str(packed)])
    assert done.exit_code == 1
    assert "packed.h5: values cannot be kept in a packed store" in done.stderr
    assert "nca report --csv measures without keeping them" in done.stderr
    assert "nca pack --unpack" in done.stderr
    assert "measured now" not in done.stderr


def test_a_packed_store_is_measured_in_memory(store, tmp_path):
    values = measure_store(store, names=NAMES)
    packed = Store(pack(store, tmp_path / "packed.h5"))
    before = snapshot(tmp_path)
    assert measure_store(packed, names=NAMES) == values
    assert snapshot(tmp_path) == before


@pytest.mark.skipif(os.name == "nt", reason="folders have no mode there")
def test_a_read_only_store_is_measured_in_memory(store, monkeypatch):
    before = snapshot(store.root)
    monkeypatch.setattr(os, "access", lambda *_: False)
    work = Measuring(store, names=NAMES)
    assert len(work.run()) == 24 * 5
    assert not work.files
    assert not work.notes
    assert snapshot(store.root) == before


def test_a_damaged_artifact_is_a_problem_of_its_own(store):
    whole = measure_store(store, names=["mse"])
    for path in kept_files(store):
        path.unlink()
    path = next(a for a in store.select() if a.name == DDIM.name).parts[0].path
    content = bytearray(path.read_bytes())
    with h5py.File(path) as file:
        offset = file["x0_hat"].id.get_chunk_info(0).byte_offset
    content[offset : offset + 64] = bytes(64)
    path.write_bytes(content)
    for workers in (1, 2):
        work = Measuring(store, names=["mse"])
        values = work.run(workers)
        assert [str(path) in problem.what for problem in work.problems] == [True]
        assert {(v.image, v.sampler) for v in whole} - {(v.image, v.sampler) for v in values} == {
            ("cat", "ddim-50")
        }
        assert len(work.artifacts) == 3


def test_without_its_noise_an_image_is_a_problem_of_its_own(store):
    next(a for a in store.select() if a.is_noise).parts[0].path.unlink()
    work = Measuring(store, names=["mse"])
    assert {value.image for value in work.run()} == {"dog"}
    assert all("noise.h5" in problem.what for problem in work.problems)


def test_values_of_a_deleted_artifact_go_with_it(store):
    measure_store(store, names=["mse"])
    for artifact in reversed(store.select(Filters(images=("cat",)))):
        store.remove(artifact)
    assert not [image for image in store.images(store.models()[0]) if image.startswith("cat")]


def test_an_artifact_in_several_parts_is_one(tmp_path):
    small = Store(tmp_path / "store", part_bytes=1)
    for recipe in (None, DDIM):
        commit(small, (100, 300), (0,), recipe)
    values = measure_store(small, names=["mse"])
    assert [value.t for value in values] == [100, 300]
    assert len(kept_files(small)) == 1
    assert len(Measuring(small, names=["mse"])) == 0


def test_references_are_x_t_itself_and_the_autoencoders_floor(tmp_path):
    store = Store(tmp_path / "store")
    commit(store, (100, 300), (0,), DDIM)
    fixed = {"x0": tensor(0, 0, "cat"), "x0_floor": tensor(0, 0, "cat") * 0.9}
    store.commit(place_of(store), "noise", header(), samples((100, 300), (0,), "x_t"), fixed)
    for _ in range(2):
        values = measure_store(store, names=["mse"], references=("copy", "floor"))
        copy = [value for value in values if value.sampler == "reference:copy"]
        (floor,) = (value for value in values if value.sampler == "reference:floor")
        expected = [measure(fixed["x0"], tensor(t, 0, "x_t"))["mse"] for t in (100, 300)]
        assert [value.value for value in copy] == expected
        assert floor.value == measure(fixed["x0"], fixed["x0_floor"])["mse"]
        assert math.isnan(floor.t)
        assert math.isnan(floor.log_snr)
    assert not [v for v in measure_store(store) if v.sampler.startswith("reference:")]


def test_only_where_there_is_a_floor_is_anything_compared_with_it(tmp_path):
    store = Store(tmp_path / "store")
    commit(store, (100, 300), (0,), DDIM)
    assert not {value.measure for value in measure_store(store)} & {"psnr-floor", "ssim-floor"}
    assert len(Measuring(store)) == 0, "it is no measure that pixel models lack"
    fixed = {"x0": tensor(0, 0, "cat"), "x0_floor": tensor(0, 0, "cat") * 0.9}
    latent = Store(tmp_path / "latent")
    commit(latent, (100, 300), (0,), DDIM)
    latent.commit(place_of(latent), "noise", header(), samples((100, 300), (0,), "x_t"), fixed)
    values = measure_store(latent, names=["psnr", "psnr-floor"], references=("floor",))
    to_floor = [value.value for value in values if value.measure == "psnr-floor"]
    hats = [tensor(t, 0, "x0_hat") for t in (100, 300)]
    assert to_floor == [measure(fixed["x0_floor"], x0_hat)["psnr"] for x0_hat in hats]
    assert len(values) == 5, "the floor itself is compared with x0 alone"
    assert len(Measuring(latent, names=["psnr", "psnr-floor"])) == 0


def test_networks_are_kept_and_told_but_never_computed_without_their_weights(store, tmp_path):
    for recipe in (None, DDIM):
        commit_large(store, recipe)
    weights = tuple(files(tmp_path, "alex", "whole module"))
    settings = Settings(weights, device="cpu")
    large = Filters(images=("large",))
    values = measure_store(store, large, ["lpips"], settings=settings)
    assert {value.measure for value in values} == {"lpips-alex"}
    assert all(value.value > 0 for value in values)
    assert len(Measuring(store, large, ["lpips-alex"], settings=settings)) == 0
    code = (
        "import sys; from nca_cli.store import Store; from nca_cli.metrics import measure_store;"
        f"found = {{v.measure for v in measure_store(Store({str(store.root)!r}))}};"
        "assert {'lpips-alex', 'mse'} <= found; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    state = torch.load(weights[0])
    torch.save({name: 2 * each for name, each in state.items()}, tmp_path / "other.pth")
    other = Settings((tmp_path / "other.pth",), device="cpu")
    assert len(Measuring(store, large, ["lpips"], settings=other)) == len(values)


def test_values_of_other_weights_are_not_told_as_one_measure(store, tmp_path):
    """One has w0 at two levels, the other w1 at one: w0 is told, and a note says so."""
    commit_large(store, None, (100, 300))
    commit_large(store, DDIM, (100, 300))
    commit_large(store, ONE_STEP, (100,))
    (first,) = files(tmp_path, "alex", "whole module")
    state = torch.load(first)
    torch.save({name: 2 * each for name, each in state.items()}, tmp_path / "other.pth")
    for weights, sampler in ((first, "ddim"), (tmp_path / "other.pth", "one-step")):
        measure_store(store, Filters(images=("large",), samplers=(sampler,)), ["lpips"],
                      settings=Settings((weights,), device="cpu"))  # fmt: skip
    work = Measuring(store)
    told = [value for value in work.run() if value.measure == "lpips-alex"]
    assert {(value.sampler, value.t) for value in told} == {("ddim-50", 100), ("ddim-50", 300)}
    (note,) = (note for note in work.notes if "lpips-alex" in note)
    assert "different weights" in note
    assert "2 of 3" in note
    report = collect(store, ReportRequest(Filters(images=("large",))))
    assert f"{note}." in report.notes
    stamp = json.loads(json_text(report))["stamps"]["lpips-alex"]
    assert stamp == lpips_metrics([first])["lpips-alex"].stamp
    alone = Measuring(store, Filters(samplers=("one-step",)))
    assert [value.t for value in alone.run() if value.measure == "lpips-alex"] == [100]
    assert not alone.notes
    assert alone.stamps["lpips-alex"] != stamp
    assert alone.stamps["kept"] == METRICS["kept"].stamp


def commit_large(store, recipe, t=(100,)):
    """A picture of 40×40 pixels, which LPIPS can see."""
    place, name = place_of(store, "large"), recipe.name if recipe else "noise"
    new = samples(t, (0,), "x0_hat" if recipe else "x_t")
    rng = np.random.default_rng(0)
    new.tensors = {key: rng.uniform(-1, 1, (len(t), 3, 40, 40)) for key in new.tensors}
    fixed = None if recipe else {"x0": np.zeros((3, 40, 40), np.float32)}
    store.commit(place, name, header(recipe, "large"), new, fixed)


@pytest.mark.parametrize(("name", "reason"), [
    ("nonsense", "unknown measure"), ("kept/3", "one value of the measure kept"),
    ("lpips-alex", "needs a network"), ("lpips", "needs a network"),
    ("features", "needs a network"),
])  # fmt: skip
def test_a_measure_that_cannot_be_had_is_an_error_of_usage(store, name, reason):
    with pytest.raises(UsageError, match=reason):
        measure_store(store, names=[name])


def test_an_unknown_reference_is_an_error_of_usage(store):
    with pytest.raises(UsageError, match="unknown reference"):
        measure_store(store, references=("gaussian",))


def test_nothing_stored_is_said(store, tmp_path):
    with pytest.raises(NothingStored):
        measure_store(Store(tmp_path / "nothing"))
    with pytest.raises(NothingStored):
        measure_store(store, Filters(t=(1,), images=("nobody",)))


def test_a_copied_store_keeps_its_values(store, tmp_path):
    measure_store(store, names=NAMES)
    shutil.copytree(store.root, tmp_path / "copy")
    assert len(Measuring(Store(tmp_path / "copy"), names=NAMES)) == 0


# --- the command --------------------------------------------------------------------------------


@pytest.fixture
def nca(store):
    """`nca measure …` on the store: exit code, stdout, stderr."""
    from typer.testing import CliRunner

    from nca_cli.cli import app

    def run(*arguments):
        command = ["measure", "--store", str(store.root), *map(str, arguments)]
        done = CliRunner().invoke(app, command)
        return done.exit_code, done.stdout, done.stderr

    return run


def test_the_command_names_the_files_and_says_how_much_was_measured(nca, store):
    code, out, err = nca("--image", "cat")
    assert code == 0
    assert len(out.splitlines()) == len(kept_files(store)) == 3
    assert "18 samples measured now" in err
    code, out, err = nca("--image", "cat", "--json")
    found = json.loads(out)
    assert (found["computed"], len(found["files"]), found["errors"]) == (0, 3, [])
    assert {"psnr", "kept/0", "coherence/1"} <= set(found["measures"])


def test_the_command_measures_what_it_is_told_to(nca):
    found = json.loads(nca("--measure", "mse", "--measure", "kept", "--t", "100", "--json")[1])
    assert found["measures"] == ["kept/0", "kept/1", "kept/2", "mse"]


def test_the_command_fails_in_one_line(nca, store):
    code, out, err = nca("--measure", "lpips-alex")
    assert (code, out) == (2, "")
    assert "--lpips-weights FILE" in err
    next(a for a in store.select() if a.is_noise).parts[0].path.unlink()
    code, _, err = nca()
    assert code == 1
    assert "noise.h5" in err
