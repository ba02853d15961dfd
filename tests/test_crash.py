"""Kills and rivals: what was committed stays, and nobody overwrites anybody."""

import os
import signal
import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent))

from bench.kill import command, finished, in_child, kill_at_random, tensors, verified

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs fork")

MANY = 150
"""Pictures: files are written behind the computing, so there must be much to compute."""


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    from bench.material import tiny_model

    return tiny_model(tmp_path_factory.mktemp("model") / "tiny")


def test_committed_tensors_survive_kills_and_a_rerun_finishes_the_rest(model, faces, tmp_path):
    _, committed = kill_at_random(6, model, faces, tmp_path)
    assert len(committed) == 6


def test_four_processes_write_one_store_at_once_and_everything_is_there(model, faces, tmp_path):
    """Different levels of the same images: all four merge into the same artifacts."""
    import diffusers  # noqa: F401

    store = tmp_path / "shared"
    children = [in_child(command(model, faces, store, "--t", f"{t}")) for t in (11, 22, 33, 44)]
    assert [finished(child) for child in children] == [0, 0, 0, 0]
    levels = {key[2] for key in tensors(store)}
    assert levels == {100, 400, 700, 11, 22, 33, 44}
    assert len(tensors(store)) == 3 * 3 * 7
    assert verified(store) == 3 * 3


def test_four_shards_at_once_make_the_whole(model, faces, tmp_path):
    store = tmp_path / "shards"
    children = [in_child(command(model, faces, store, "--shard", f"{i}/4")) for i in range(4)]
    assert [finished(child) for child in children] == [0, 0, 0, 0]
    assert len(tensors(store)) == 3 * 3 * 3


def test_an_interrupt_ends_with_130_and_keeps_what_was_finished(model, tmp_path):
    import diffusers  # noqa: F401

    from bench.material import noise_pictures

    images, store = noise_pictures(tmp_path / "images", MANY), tmp_path / "s"
    child = in_child(command(model, images, store))
    while len(list(store.glob("*/*/one-step-*.h5"))) < 2:
        time.sleep(0.02)
    os.kill(child, signal.SIGINT)
    assert finished(child) == 130
    kept = tensors(store)
    assert 2 * 3 <= sum(name.startswith("one-step") for _, name, _, _ in kept) < MANY * 3
    assert verified(store)
