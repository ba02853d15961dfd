"""`verify` calls damaged what is, and nothing else; what it cannot check stays where it is."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import h5py
import numpy as np
import pytest
from stores import DDIM, SIDE, commit, full_store, header, model_info, place_of, snapshot
from test_trust_readers import WRITES, nca, path_of, zero_chunk

from nca_cli.errors import NcaError, StoreError
from nca_cli.recipe import digest
from nca_cli.store import Location, Samples, Store
from nca_cli.store.child import Child
from nca_cli.store.hdf5 import content_digest
from nca_cli.store.pack import pack
from nca_cli.store.verify import Finding, verify


def bad(store: Store, **options) -> list[Finding]:
    return [finding for finding in verify(Store(store.root), **options) if not finding.ok]


@pytest.fixture
def store(tmp_path) -> Store:
    return full_store(tmp_path / "store")


# --- what could not be checked --------------------------------------------------------------------


def assert_left_alone(store: Store, path: Path, words: str) -> None:
    before = path.read_bytes()
    (finding,) = bad(store, repair=True)
    assert (finding.path, finding.unchecked, finding.set_aside) == (path, True, None)
    assert words in finding.reason
    assert path.read_bytes() == before


@pytest.mark.parametrize("killed", [False, True])
def test_a_file_that_is_open_for_writing_is_left_alone(store, killed):
    path = path_of(store, "ddim-50")
    with subprocess.Popen([sys.executable, "-c", WRITES, path], stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"open\n"
        if killed:
            other.kill()
            other.wait()
        assert_left_alone(store, path, "another program writes")
        other.kill()
    result = nca("verify", "--repair", "--store", store.root)
    assert result.exit_code == 1
    assert "could not be checked" in result.stderr
    assert "h5clear -s" in result.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="needs a named pipe")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_reader_that_is_killed_says_nothing_of_the_file(tmp_path, number):
    os.mkfifo(tmp_path / "waits.h5")
    with Child() as child:
        child._running()
        threading.Timer(0.3, os.kill, (child._process.pid, number)).start()
        checked = child.check(Location(tmp_path / "waits.h5"))
    assert not checked.damaged
    assert "was ended" in checked.reason


SMALL = """
import json, resource, sys
resource.setrlimit(resource.RLIMIT_AS, (int(sys.argv[2]), int(sys.argv[2])))
from nca_cli.store import Store
from nca_cli.store.verify import verify
found = [f for f in verify(Store(sys.argv[1]), repair=True) if not f.ok]
print(json.dumps([[f.reason, f.unchecked, str(f.set_aside)] for f in found]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs a limit of memory")
def test_a_part_for_which_there_is_no_memory_is_left_alone(tmp_path):
    store, one = Store(tmp_path), np.zeros(1)
    large = {"x0_hat": np.zeros((1, 3, 3000, 3000), np.float32)}
    store.commit(place_of(store), DDIM.name, header(DDIM), Samples(one, one, one, large))
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    told = subprocess.check_output(
        [sys.executable, "-c", SMALL, str(tmp_path), str(210 * 2**20)], text=True, env=environment
    )
    ((reason, unchecked, aside),) = json.loads(told)
    assert (reason, unchecked, aside) == ("too little memory to read it", True, "None")


# --- what cannot be computed again ----------------------------------------------------------------


def test_what_cannot_be_computed_again_is_set_aside_only_on_demand(store):
    path = path_of(store, "ddim-50")  # of an image that lies nowhere
    zero_chunk(path, "x0_hat")
    result = nca("verify", "--repair", "--store", store.root)
    assert (result.exit_code, path.exists()) == (1, True)
    assert "nca verify --repair --yes" in result.stderr
    result = nca("verify", "--repair", "--yes", "--store", store.root)
    assert (result.exit_code, path.exists()) == (1, False)
    assert nca("verify", "--store", store.root).exit_code == 0


def test_what_can_be_computed_again_is_set_aside(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    asked = ("--model", "wiener", "--size", 32, "--t", 300, "-q")
    assert nca("reconstruct", *asked).exit_code == 0
    path = next(Path("nca-store").rglob("one-step-*.h5"))
    zero_chunk(path, "x0_hat")
    assert nca("verify", "--repair").exit_code == 1
    assert not path.exists()
    assert nca("verify").exit_code == 0


# --- models ---------------------------------------------------------------------------------------


def test_noise_of_another_schedule_is_found(store):
    path, space = path_of(store, "noise"), model_info()["space"]
    other = {**model_info(), "space": {**space, "schedule": {**space["schedule"], "steps": 500}}}
    with h5py.File(path, "r+") as file:
        file.attrs["model"] = json.dumps(other)
        file.attrs["content_sha256"] = content_digest(file)
    (finding,) = bad(store)
    assert (finding.path, finding.reason) == (path, "belongs to another model")


def test_a_folder_that_was_renamed_is_named_and_nothing_is_moved(store):
    (model,) = store.models()
    wrong = store.root / "toy-00000000"
    (store.root / model).rename(wrong)
    before = snapshot(store.root)
    findings = bad(store, repair=True)
    assert {finding.reason for finding in findings} == {"its folder was renamed"}
    assert len(findings) == 1 + 6
    assert snapshot(store.root) == before
    subprocess.run(findings[0].hint, shell=True, check=True)
    assert bad(store) == []


RUNS = ("[1]", '"run"', '{"steps": [1]}', '{"steps": {"a": "0"}}', '{"steps": {"1": 3}}')


@pytest.mark.parametrize("run", RUNS)
def test_a_model_file_whose_run_is_none_is_found_and_restored(store, run):
    path = next(store.root.glob("*/model.json"))
    sound = path.read_text()
    path.write_text(json.dumps({**json.loads(sound), "run": json.loads(run)}))
    with pytest.raises(StoreError, match="does not describe a model"):
        store.model_info(path.parent.name)
    assert nca("verify", "--repair", "--store", store.root).exit_code == 0
    assert path.read_text() == sound


def test_a_letter_that_changed_in_a_model_file_is_found_and_restored(store):
    path = store.root / store.models()[0] / "model.json"
    whole = path.read_text()
    for change in (("toy", "tox"), ("built in", "built on"), ("MIT", "MIX"), ("  ", " ")):
        path.write_text(whole.replace(*change))
        with pytest.raises(StoreError, match=r"model\.json"):
            store.model_info(path.parent.name)
        assert [finding.path for finding in bad(store, repair=True)] == [path]
        assert path.read_text() == whole


def test_a_model_file_without_a_digest_is_taken_as_it_is(store):
    path = store.root / store.models()[0] / "model.json"
    info = store.model_info(path.parent.name)
    path.write_text(json.dumps(info, indent=2))
    assert store.model_info(path.parent.name) == info
    assert not bad(store)


@pytest.mark.parametrize("text", ["{}", "[]", '{"name": "toy"}', '{"space": 3}', "[" * 10**5])
def test_a_model_file_that_describes_no_model_is_found_and_restored(store, text):
    path = store.root / store.models()[0] / "model.json"
    whole = path.read_bytes()
    path.write_text(text)
    assert nca("verify", "--store", store.root).exit_code == 1
    result = nca("verify", "--repair", "--store", store.root)
    assert (result.exit_code, path.read_bytes()) == (0, whole)


def test_a_model_file_of_another_space_is_found_and_restored(store):
    path = store.root / store.models()[0] / "model.json"
    info = model_info()
    info["space"]["resolution"] = 2 * SIDE
    path.write_text(json.dumps(info))
    (finding,) = bad(store, repair=True)
    assert "another model" in finding.reason
    assert finding.repaired
    assert store.model_info(store.models()[0]) == model_info()


def test_a_model_file_of_another_name_is_found(store):
    path = store.root / store.models()[0] / "model.json"
    path.write_text(json.dumps({**model_info(), "name": "other"}))
    (finding,) = bad(store)
    assert finding.path == path


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize("change", [("steps", "stepz"), ("toy", "tay"), ('"space"', '"spade"')])
def test_what_a_packed_file_says_of_a_model_is_checked(store, tmp_path, change, old):
    packed = pack(store, tmp_path / "packed.h5")
    with h5py.File(packed, "r+") as file:
        group = file[store.models()[0]]
        group.attrs["model"] = group.attrs["model"].replace(*change)
        if old:
            del group.attrs["model_sha256"]
    (finding,) = bad(Store(packed))
    assert finding.path.name == "model.json"
    assert nca("verify", "--store", packed).exit_code == 1


def test_a_marker_that_is_gone_is_written_again(store):
    (store.root / "nca-store.json").unlink()
    assert len(Store(store.root).select()) == 6
    assert nca("ls", "--store", store.root).exit_code == 0
    assert nca("verify", "--store", store.root).exit_code == 1
    assert nca("verify", "--repair", "--store", store.root).exit_code == 0
    assert nca("verify", "--store", store.root).exit_code == 0


# --- chance ---------------------------------------------------------------------------------------


def read(root: Path) -> object:
    """All that readers are given of a store: values, headers and what models are."""
    store = Store(root)
    found = []
    for artifact in store.select():
        dataset = "x_t" if artifact.is_noise else "x0_hat"
        keys = sorted(artifact.keys)
        tensors = digest([artifact.read(dataset, keys).tolist(), artifact.log_snr.tolist()])
        found.append([str(artifact), keys, tensors, artifact.header])
    return [found, [store.model_text(model) for model in store.models()]]


@pytest.mark.parametrize("how", ["flip", "zeros"])
def test_a_packed_file_that_changed_by_chance_is_found_or_reads_as_it_was(tmp_path, how):
    store = Store(tmp_path / "store")
    commit(store, (100,), recipe=None)
    commit(store, (100, 300))
    packed = pack(store, tmp_path / "packed.h5")
    content, chance = packed.read_bytes(), random.Random(7)
    whole = read(packed)
    for _ in range(25):
        changed, at = bytearray(content), chance.randrange(len(content))
        if how == "flip":
            changed[at] ^= 1 << chance.randrange(8)
        else:
            changed[at - at % 512 : at - at % 512 + 512] = bytes(512)
        packed.write_bytes(changed[: len(content)])
        try:
            found = bad(Store(packed))
        except NcaError:
            continue  # no store at all
        if not found:
            assert read(packed) == whole, at


def test_the_archives_of_the_tests_are_found_sound(tmp_path):
    copy = shutil.copytree(Path(__file__).parent / "archives" / "v1" / "store", tmp_path / "v1")
    assert bad(Store(copy)) == []
