"""Damage is found, named, set aside on request, and never spreads."""

from __future__ import annotations

import os
import random
import shutil
import signal
import sys
import threading
from pathlib import Path

import h5py
import numpy as np
import pytest
from stores import (
    DDIM,
    assert_holds,
    change_a_tensor,
    commit,
    full_store,
    header,
    place_of,
    samples,
    snapshot,
    tensor,
)

import nca_cli.store.verify
from nca_cli.errors import DamagedArtifact, StoreError
from nca_cli.recipe import Recipe
from nca_cli.store import Artifact, Location, Store
from nca_cli.store.child import Child
from nca_cli.store.hdf5 import content_digest
from nca_cli.store.pack import pack
from nca_cli.store.verify import Finding
from nca_cli.twins import verify_store as verify


def bad(store: Store, **options) -> list[Finding]:
    return [finding for finding in verify(store, **options) if not finding.ok]


def file_of(store: Store, label: str, image: str = "cat") -> Path:
    found = (a for a in store.select() if a.label == label and a.image_name == image)
    return next(found).parts[0].path


def damage(path: Path, how: str = "tensor") -> Path:
    if how == "truncated":
        path.write_bytes(path.read_bytes()[:1000])
    else:
        change_a_tensor(path)
    return path


def sign(path: Path) -> None:
    """Make the content digest fit again."""
    with h5py.File(path, "r+") as file:
        file.attrs["content_sha256"] = content_digest(file)


# --- finding --------------------------------------------------------------------------------------


def test_a_sound_store_has_no_finding_and_is_not_touched(tmp_path):
    store = full_store(tmp_path)
    before = snapshot(tmp_path)
    findings = verify(store)
    assert len(findings) == len(list(findings)) == 1 + 6
    assert all(finding.ok for finding in verify(store, repair=True))
    assert snapshot(tmp_path) == before


def test_several_readers_find_what_one_finds_in_the_same_order(tmp_path, monkeypatch):
    store = full_store(tmp_path)
    damage(file_of(store, "ddim-50"))
    alone = [(finding.path, finding.reason) for finding in verify(store)]
    monkeypatch.setattr(nca_cli.store.verify, "PARTS_OF_A_CHILD", 1)
    monkeypatch.setattr(nca_cli.store.verify, "cores", lambda: 3)
    assert [(finding.path, finding.reason) for finding in verify(store)] == alone
    assert sum(bool(reason) for _, reason in alone) == 1


@pytest.mark.parametrize("how", ["tensor", "truncated"])
def test_damage_is_named(tmp_path, how):
    store = full_store(tmp_path)
    path = damage(file_of(store, "ddim-50"), how)
    (finding,) = bad(store)
    assert finding.path == path
    assert finding.reason in {"checksum error", "truncated file", "content digest differs"}


@pytest.fixture
def small(tmp_path) -> tuple[Artifact, bytes]:
    artifact = commit(Store(tmp_path / "small"), (100, 300))
    return artifact, artifact.parts[0].path.read_bytes()


@pytest.fixture(scope="module")
def child():
    with Child(time_limit=20) as child:
        yield child


def _assert_found_or_harmless(child: Child, artifact: Artifact, content: bytes) -> bool:
    """Whether the changed content is found; if it is not, everything reads as it was."""
    location = artifact.parts[0]
    location.path.write_bytes(content)
    checked = child.check(location)
    if checked.reason:
        assert checked.damaged
        return True
    again = Artifact(artifact.model, artifact.image, artifact.name, artifact.parts)
    assert_holds(again, [(100, 0), (300, 0)])
    assert again.header == artifact.header
    np.testing.assert_array_equal(again.log_snr, [-1, -3])
    return False


def test_a_flipped_bit_is_found_or_changes_nothing(small, child):
    artifact, content = small
    assert artifact.header
    chance, found = random.Random(0), 0
    for _ in range(150):
        flipped = bytearray(content)
        flipped[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
        found += _assert_found_or_harmless(child, artifact, bytes(flipped))
    assert found > 100


def test_a_file_cut_at_any_length_is_found(small, child):
    artifact, content = small
    for length in {0, 1, 8, 100, *range(0, len(content), 997), len(content) - 1}:
        assert _assert_found_or_harmless(child, artifact, content[:length]), length
    assert not _assert_found_or_harmless(child, artifact, content)


def test_blocks_of_zeros_are_found(small, child):
    artifact, content = small
    for start in range(0, len(content), 2048):
        holed = content[:start] + bytes(512) + content[start + 512 :]
        if holed != content:
            _assert_found_or_harmless(child, artifact, holed[: len(content)])


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda file: file.attrs.update(kind="other"), "unknown kind"),
        (lambda file: file.attrs.update(image='{"digest": "00"}'), "another image"),
        (lambda file: file.attrs.update(recipe="{}"), "another recipe"),
        (lambda file: file["t"].resize((1,)), "counts other samples"),
        (lambda file: file.pop("x0_hat"), "no dataset x0_hat"),
        (lambda file: file.create_dataset("big", (10**7,), "f4", chunks=True), "incomplete"),
        (lambda file: file.create_group("more"), "incomplete"),
        (lambda file: file.attrs.pop("content_sha256"), "content_sha256"),
        (lambda file: file.attrs.update(format="other"), "not an nca artifact"),
    ],
)
def test_a_signed_file_must_make_sense_too(tmp_path, change, reason):
    store = Store(tmp_path)
    path = commit(store, (100, 300)).parts[0].path
    with h5py.File(path, "r+") as file:
        change(file)
        if "content_sha256" in file.attrs and "more" not in file:
            file.attrs["content_sha256"] = content_digest(file)
    (finding,) = bad(store)
    assert reason in finding.reason


def test_a_copy_under_another_image_is_found(tmp_path):
    store = full_store(tmp_path)
    shutil.copy(file_of(store, "noise"), file_of(store, "noise", "dog"))
    (finding,) = bad(store)
    assert finding.reason == "belongs to another image"


def test_changed_values_with_good_checksums_are_found(tmp_path):
    store = Store(tmp_path)
    path = commit(store, (100,)).parts[0].path
    with h5py.File(path, "r+") as file:
        file["seed"][0] = 5
    (finding,) = bad(store)
    assert finding.reason == "content digest differs"
    sign(path)
    assert bad(store) == []


# --- children -------------------------------------------------------------------------------------

needs_fifo = pytest.mark.skipif(sys.platform == "win32", reason="needs a named pipe")


@needs_fifo
def test_a_reader_that_waits_is_a_finding_and_the_next_file_is_read(tmp_path, small):
    os.mkfifo(tmp_path / "hangs.h5")
    with Child(time_limit=1) as child:
        checked = child.check(Location(tmp_path / "hangs.h5"))
        assert (checked.reason, checked.damaged) == ("cannot be read within 1 s", False)
        child.time_limit = 60
        assert child.check(small[0].parts[0]).reason == ""


@needs_fifo
def test_a_reader_that_crashes_is_a_finding_and_the_next_file_is_read(tmp_path, small):
    os.mkfifo(tmp_path / "crashes.h5")
    with Child(time_limit=60) as child:
        assert child.check(small[0].parts[0]).reason == ""
        pid = child._process.pid
        threading.Timer(0.3, os.kill, (pid, signal.SIGSEGV)).start()
        checked = child.check(Location(tmp_path / "crashes.h5"))
        assert (checked.reason, checked.damaged) == ("crashes its reader (signal 11)", True)
        assert child.check(small[0].parts[0]).reason == ""


# --- repairing ------------------------------------------------------------------------------------


def test_a_damaged_file_is_set_aside_and_computed_again(tmp_path):
    store = full_store(tmp_path)
    path = damage(file_of(store, "ddim-50"))
    content = path.read_bytes()
    (finding,) = bad(store, repair=True)
    assert finding.set_aside == path.with_name(f"{path.name}.damaged-1")
    assert finding.set_aside.read_bytes() == content
    assert bad(store) == []
    again = commit(store, (100, 300, 600), (0, 1))
    assert_holds(again, [(t, seed) for t in (100, 300, 600) for seed in (0, 1)])
    damage(path)
    assert bad(store, repair=True)[0].set_aside.name.endswith(".h5.damaged-2")


def test_repair_leaves_the_other_files_alone(tmp_path):
    store = full_store(tmp_path)
    damage(file_of(store, "noise"), "truncated")
    before = snapshot(tmp_path)
    (finding,) = bad(store, repair=True)
    after = snapshot(tmp_path)
    assert after.pop(str(finding.set_aside.relative_to(tmp_path)))
    assert before.pop(str(finding.path.relative_to(tmp_path)))
    assert after == before


def test_setting_one_part_aside_keeps_the_others(tmp_path):
    store = Store(tmp_path, part_bytes=12000)
    artifact = commit(store, range(8))
    assert [len(_keys(part)) for part in artifact.parts] == [3, 3, 2]
    damage(artifact.parts[0].path)
    (finding,) = bad(store, repair=True)
    assert "--t 0,1,2 " in finding.command
    (rest,) = store.select()
    assert_holds(rest, [(t, 0) for t in range(3, 8)])
    assert_holds(commit(store, range(8)), [(t, 0) for t in range(8)])


def _keys(part: Location) -> list:
    with part.opened() as group:
        return group["t"][()].tolist()


def test_lost_noise_is_a_clear_error_until_it_is_set_aside(tmp_path):
    store = full_store(tmp_path)
    noise = store.select()[0]
    assert noise.is_noise
    damage(noise.parts[0].path, "truncated")
    with pytest.raises(DamagedArtifact):
        store.artifact(place_of(store, noise.image_name), "noise").fixed("x0")
    bad(store, repair=True)
    assert store.artifact(place_of(store, noise.image_name), "noise") is None
    again = commit(store, (100,), recipe=None, image=noise.image_name)
    np.testing.assert_array_equal(again.fixed("x0"), tensor(0, 0, noise.image_name))


def test_an_artifact_that_was_replaced_meanwhile_is_not_set_aside(tmp_path):
    store = full_store(tmp_path)
    path = file_of(store, "ddim-50")
    content = path.read_bytes()
    damage(path)
    verification = verify(store, repair=True)
    set_aside = verification._set_aside
    verification._set_aside = lambda *found: (path.write_bytes(content), set_aside(*found))[1]
    assert all(finding.ok for finding in verification)
    assert path.read_bytes() == content


def test_a_newer_artifact_is_reported_and_never_set_aside(tmp_path):
    store = Store(tmp_path)
    path = commit(store, (100,)).parts[0].path
    with h5py.File(path, "r+") as file:
        file.attrs["version"] = 99
    (finding,) = bad(store, repair=True)
    assert "newer" in finding.reason
    assert finding.set_aside is None
    assert path.exists()


@pytest.mark.parametrize("content", [None, b"", b"{", b"[]", b"\xff\xfe"])
def test_a_lost_model_file_is_restored_from_an_artifact(tmp_path, content):
    store = full_store(tmp_path)
    path = tmp_path / store.models()[0] / "model.json"
    whole = path.read_bytes()
    path.unlink() if content is None else path.write_bytes(content)
    (finding,) = bad(store)
    assert finding.path == path
    with pytest.raises(StoreError, match=r"model\.json"):
        store.model_info(store.models()[0])
    (finding,) = bad(store, repair=True)
    assert "restored" in finding.reason
    assert path.read_bytes() == whole


def test_a_packed_store_is_verified_but_not_repaired(tmp_path):
    store = full_store(tmp_path / "store")
    packed = pack(store, tmp_path / "packed.h5")
    assert bad(Store(packed)) == []
    name = next(part.group for part in Store(packed).all_parts() if "ddim" in part.group)
    with h5py.File(packed, "r+") as file:
        file[name]["x0_hat"][0, 0, 0, 0] = 9
    (finding,) = bad(Store(packed))
    assert (str(finding.path), finding.reason) == (f"{packed}:{name}", "content digest differs")
    assert "--sampler ddim" in finding.command
    with pytest.raises(StoreError, match="read-only"):
        verify(Store(packed), repair=True)


# --- how to compute it again ----------------------------------------------------------------------


def test_the_command_knows_what_the_damaged_file_still_tells(tmp_path):
    store = Store(tmp_path / "my store")
    recipe = Recipe("0" * 40, "ddim", steps=20, eta=0.5, dtype="bfloat16", prompt="a cat")
    path = commit(store, (100, 300), (0, 2), recipe).parts[0].path
    with h5py.File(path, "r+") as file:
        file["x0_hat"][0] = 0
    (finding,) = bad(store)
    assert finding.command == (
        "nca reconstruct IMAGES --model toy --sampler ddim --steps 20 --eta 0.5 --no-clip"
        " --prompt 'a cat'"
        f" --dtype bfloat16 --t 100,300 --seed 0,2 --store '{store.root}'"
    )


def test_the_command_asks_the_other_artifacts_where_a_file_tells_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    store = Store("nca-store")
    commit(store, range(100, 1000, 100), recipe=None)
    path = commit(store, range(100, 1000, 100)).parts[0].path
    path.write_bytes(b"")
    (finding,) = bad(store)
    assert finding.command == (
        "nca reconstruct IMAGES --model toy --sampler ddim --steps 50 --t 100:1000:100 --seed 0"
    )


def test_the_command_names_hub_models_by_their_id(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    store, text = Store("nca-store"), header(DDIM)
    text["model"] = text["model"].replace("built in", "someone/some-model@1234")
    store.commit(place_of(store), DDIM.name, text, samples((100,)))
    path = file_of(store, "ddim-50")
    with h5py.File(path, "r+") as file:
        file["x0_hat"][0] = 0
    assert "--model someone/some-model@1234 " in bad(store)[0].command
    path.write_bytes(b"")
    assert bad(store)[0].command == "nca reconstruct IMAGES --model toy --sampler ddim --steps 50"


def test_lost_noise_is_made_by_nca_noise(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    store = full_store(Path("nca-store"), ["cat"])
    file_of(store, "noise").write_bytes(b"")
    assert bad(store)[0].command == "nca noise IMAGES --model toy --t 100,300,600 --seed 0,1"
