"""Digests of weights: of names and bytes alone, and a file is hashed once."""

from __future__ import annotations

import os
import shutil

import pipelines
import pytest

from nca_cli.models import content_digest, digests


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    """No test sees the user's cache."""
    monkeypatch.setenv("NCA_CACHE", str(tmp_path / "nca-cache"))


@pytest.fixture
def hashed(monkeypatch):
    """Names of the files that were really hashed."""
    names, original = [], digests._hash
    monkeypatch.setattr(digests, "_hash", lambda path: names.append(path.name) or original(path))
    return names


def test_a_file_is_hashed_once_and_nothing_is_written_on_a_hit(tmp_path, hashed):
    file = tmp_path / "weights"
    file.write_bytes(b"abc")
    pipelines.age(file)
    first = content_digest([file])
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "nca-cache").rglob("*")}
    assert content_digest([file]) == first
    assert hashed == ["weights"]
    assert before
    assert before == {path: path.stat().st_mtime_ns for path in (tmp_path / "nca-cache").rglob("*")}


def test_a_file_that_was_just_written_is_not_remembered(tmp_path, hashed):
    file = tmp_path / "weights"
    file.write_bytes(b"abc")
    first = content_digest([file])
    stamp = file.stat().st_mtime_ns
    file.write_bytes(b"xyz")
    os.utime(file, ns=(stamp, stamp))
    assert content_digest([file]) != first
    assert len(hashed) == 2


def test_names_and_bytes_make_the_digest_and_order_and_place_do_not(tmp_path):
    one, two, other = tmp_path / "a" / "x", tmp_path / "a" / "y", tmp_path / "b"
    one.parent.mkdir()
    one.write_bytes(b"1")
    two.write_bytes(b"2")
    moved = shutil.copytree(one.parent, other)
    digest = content_digest([one, two])
    assert content_digest([two, one]) == content_digest([moved / "x", moved / "y"]) == digest
    (moved / "y").rename(moved / "z")
    assert content_digest([moved / "x", moved / "z"]) != digest


@pytest.mark.parametrize("damage", ["unwritable", "garbage"])
def test_a_cache_that_cannot_be_used_only_costs_time(tmp_path, monkeypatch, damage):
    file = tmp_path / "weights"
    file.write_bytes(b"abc")
    pipelines.age(file)
    expected = content_digest([file])
    if damage == "unwritable":
        monkeypatch.setenv("NCA_CACHE", str(file / "below a file"))
    else:
        for memory in (tmp_path / "nca-cache" / "digests").iterdir():
            memory.write_text("[1, 2")
    assert content_digest([file]) == expected
