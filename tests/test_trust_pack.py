"""A pack that is interrupted or killed leaves no wreck."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from stores import full_store
from test_trust_readers import nca

from nca_cli.store import Store
from nca_cli.store.pack import pack, unpack

LONG_AGO = time.time() - 3600


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Store:
    return full_store(tmp_path_factory.mktemp("packs") / "store", [f"image{i}" for i in range(12)])


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_a_pack_that_is_interrupted_ends_with_its_exit_code_and_leaves_nothing(store, tmp_path):
    run = [sys.executable, "-m", "nca_cli", "pack", "--store", str(store.root), "-o", "packed.h5"]
    codes = []
    for number in range(16):
        with subprocess.Popen(run, cwd=tmp_path, stderr=subprocess.PIPE) as packing:
            while packing.poll() is None and not list(tmp_path.glob(".packed.h5.*")):
                time.sleep(0.001)
            time.sleep(0.006 * number)  # somewhere within the writing
            packing.send_signal(signal.SIGINT)
            codes.append(packing.wait())
        left = sorted(path.name for path in tmp_path.iterdir())
        assert left in ([], ["packed.h5"]), codes
        (tmp_path / "packed.h5").unlink(missing_ok=True)
    assert {*codes} <= {0, 130}
    assert 130 in codes


def killed_pack(root: Path) -> Path:
    left = root.with_name(f".{root.name}.h5.1a2b3c4d.tmp")
    left.write_bytes(b"half")
    os.utime(left, (LONG_AGO, LONG_AGO))
    return left


def killed_unpack(folder: Path) -> Path:
    left = folder.with_name(f".{folder.name}.1a2b3c4d.tmp")
    (left / "model" / "image").mkdir(parents=True)
    (left / "nca-store.json").write_text("{}")
    for path in (left, *left.rglob("*")):
        os.utime(path, (LONG_AGO, LONG_AGO))
    return left


def test_what_a_killed_unpack_left_goes_with_the_next_one(store, tmp_path):
    packed = pack(store, tmp_path / "packed.h5")
    left, others = killed_unpack(tmp_path / "again"), killed_unpack(tmp_path / "other")
    unpack(packed, tmp_path / "again")
    assert not left.exists()
    assert others.exists()


def test_a_folder_that_is_still_written_to_stays(store, tmp_path):
    packed = pack(store, tmp_path / "packed.h5")
    left = killed_unpack(tmp_path / "again")
    (left / "model" / "image" / "noise.h5").touch()
    unpack(packed, tmp_path / "again")
    assert left.exists()


def test_verify_names_and_removes_what_killed_packs_left(tmp_path):
    root = full_store(tmp_path / "store", ["cat"]).root
    left = [killed_pack(root), killed_unpack(root)]
    assert "left over" in nca("verify", "--store", root, "--json").stdout
    assert all(path.exists() for path in left)
    assert nca("verify", "--repair", "--store", root).exit_code == 0
    assert not any(path.exists() for path in left)
