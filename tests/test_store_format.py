"""The format page tells the truth: its listing and its snippets are checked."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import pytest
from listing import listing
from stores import full_store

from nca_cli.store import Store, hdf5
from nca_cli.store.fields import FIELDS
from nca_cli.store.layout import FORMAT_VERSION

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "store-format.md"
ARCHIVE = HERE / "archives" / "v1"
NOISE = ARCHIVE / "store/toy-79019b4d/cat-4a92c5fa915e/noise.h5"
SNIPPETS = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


def test_the_listing_is_what_a_file_holds():
    text = PAGE.read_text(encoding="utf-8")
    shown = re.search(r"<!-- listing.*?```text\n(.*?)\n?```\n<!-- end", text, re.DOTALL)[1]
    assert shown == listing(NOISE), "run: python tests/listing.py"


@pytest.mark.parametrize("number", range(len(SNIPPETS)))
def test_the_snippets_run(tmp_path, number):
    shutil.copytree(ARCHIVE / "store", tmp_path / "nca-store")
    shutil.copy(ARCHIVE / "packed.h5", tmp_path / "nca-store.h5")
    answer = subprocess.run(
        [sys.executable, "-c", SNIPPETS[number]], cwd=tmp_path, capture_output=True, text=True
    )
    assert answer.returncode == 0, answer.stderr


def test_the_digest_of_the_page_is_the_digest_of_the_code(tmp_path):
    names: dict = {}
    definition = next(text for text in SNIPPETS if "def content_digest" in text)
    exec(definition.split("\nwith ")[0], names)
    for location in full_store(tmp_path).all_parts():
        with h5py.File(location.path) as file:
            assert names["content_digest"](file) == hdf5.content_digest(file)
            assert names["content_digest"](file) == file.attrs["content_sha256"]


def test_every_dataset_axis_and_attribute_is_on_the_page(tmp_path):
    text = PAGE.read_text(encoding="utf-8")
    for location in [*Store(ARCHIVE / "store").all_parts(), *full_store(tmp_path).all_parts()]:
        with location.opened() as group:
            for name in (*group, *group.attrs):
                assert f"`{name}`" in text, name
    for name in FIELDS:
        assert f"`{name}`" in text, name
    assert f"version {FORMAT_VERSION}\n" in text
