"""What an earlier version computed stays a full cache hit: nothing is computed or written again."""

from __future__ import annotations

import importlib.util
import json
import math
import shutil
from pathlib import Path

import pytest
from stores import snapshot

from nca_cli.metrics import REFERENCES, measure_store
from nca_cli.store import Store

BEFORE = Path(__file__).parent / "before"
STORES = ("demo", "latent", "wiener")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The script that made the stores, at work on a copy of them."""
    copy = tmp_path_factory.mktemp("before")
    for name in (*STORES, "tiny-latent"):
        shutil.copytree(BEFORE / name, copy / name)
    for file in BEFORE.glob("*.*"):
        shutil.copy(file, copy)
    spec = importlib.util.spec_from_file_location("make_before", BEFORE / "make.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.HERE = copy
    return module


@pytest.mark.parametrize("store", STORES)
def test_reconstructing_again_is_a_full_hit(made, store):
    root = made.HERE / store
    before = snapshot(root)
    assert len(before) > 4
    told = json.loads(made.nca(*made.reconstruct(store, store), "--json"))
    assert told["computed"] == 0
    assert told["cached"] >= 2
    assert snapshot(root) == before


@pytest.mark.parametrize("store", STORES)
def test_what_was_measured_stays_measured(made, store):
    root = made.HERE / store
    before = {path.name: path.read_bytes() for path in root.rglob("*.metrics.json")}
    assert before
    assert json.loads(made.nca("measure", "--store", store, "--json"))["computed"] == 0
    assert {path.name: path.read_bytes() for path in root.rglob("*.metrics.json")} == before


@pytest.mark.parametrize("store", STORES)
def test_metrics_give_the_numbers_that_they_gave_or_have_another_version(made, store, tmp_path):
    """The built-in ones are known by their version alone: other numbers under the same stamp would
    be mixed with those that stores keep."""
    shutil.copytree(BEFORE / store, tmp_path / "anew")
    for path in (tmp_path / "anew").rglob("*.metrics.json"):
        path.unlink()
    measure_store(Store(tmp_path / "anew"), references=tuple(REFERENCES))
    compared = 0
    for path in (BEFORE / store).rglob("*.metrics.json"):
        then = json.loads(path.read_text())
        now = json.loads((tmp_path / "anew" / path.relative_to(BEFORE / store)).read_text())
        same = {name for name, stamp in then["measures"].items() if now["measures"][name] == stamp}
        for old, new in zip(then["samples"], now["samples"], strict=True):
            assert (old["t"], old["seed"]) == (new["t"], new["seed"])
            for name in same & old["values"].keys():
                assert numbers(new, name) == pytest.approx(
                    numbers(old, name), rel=1e-5, nan_ok=True
                )
                compared += 1
    assert compared


def numbers(sample, name):
    """Suffix → value; what has none is NaN."""
    values = sample["values"][name]
    return {key: math.nan if value is None else value for key, value in values.items()}


@pytest.mark.parametrize("store", STORES)
def test_listings_say_in_json_what_they_said(made, store):
    assert made.told(store) == json.loads((BEFORE / f"{store}.json").read_text())


@pytest.mark.parametrize("store", STORES)
def test_every_file_is_sound(made, store):
    made.nca("verify", "--store", store)  # raises unless it exits 0
