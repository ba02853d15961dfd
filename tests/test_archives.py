"""Today's code reads what earlier versions wrote: one small archived store per format version."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

from nca_cli.store import Artifact, Store
from nca_cli.store.hdf5 import content_digest
from nca_cli.store.layout import FORMAT_VERSION, INDEX_FILE
from nca_cli.store.verify import verify

ARCHIVES = Path(__file__).parent / "archives"
V1 = ARCHIVES / "v1"


@pytest.fixture(scope="module")
def made():
    """What the script of the archive knows: which artifacts, and the numbers in them."""
    spec = importlib.util.spec_from_file_location("make_archive", V1 / "make_archive.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def artifact_of(store: Store, model: str, recipe) -> Artifact:
    name = recipe.name if recipe else "noise"
    return next(a for a in store.select() if (a.model_name, a.name) == (model, name))


def assert_as_made(made, artifact: Artifact, keys, names, fixed) -> None:
    assert artifact.keys == set(keys)
    np.testing.assert_array_equal(artifact.log_snr, -artifact.t / 100)
    for name, shape in names.items():
        for key in keys:
            stored = artifact.read(name, [key])[0]
            np.testing.assert_array_equal(stored, made.values(name, *key, shape))
    for name, shape in fixed.items():
        np.testing.assert_array_equal(artifact.fixed(name), made.values(name, 0, 0, shape))


def test_there_is_an_archive_of_every_version():
    assert [path.name for path in sorted(ARCHIVES.iterdir())] == [
        f"v{version}" for version in range(1, FORMAT_VERSION + 1)
    ]


def test_the_numbers_of_version_1_are_read(made):
    store = Store(V1 / "store")
    assert len(store.select()) == len(made.ARTIFACTS)
    for model, recipe, keys, names, fixed, dtype in made.ARTIFACTS:
        artifact = artifact_of(store, model, recipe)
        assert_as_made(made, artifact, keys, names, fixed)
        assert artifact.recipe == recipe
        assert {artifact.datasets[name][1] for name in names} == {dtype}
        assert artifact.image_info == made.IMAGE
        assert artifact.model_info == store.model_info(artifact.model)


def test_the_packed_file_of_version_1_is_read(made):
    store = Store(V1 / "packed.h5")
    assert len(store.select()) == made.PACKED
    for model, recipe, keys, names, fixed, _ in made.ARTIFACTS[: made.PACKED]:
        assert_as_made(made, artifact_of(store, model, recipe), keys, names, fixed)
    assert all(finding.ok for finding in verify(store))


def test_the_digests_of_version_1_are_what_they_were():
    store, digests = Store(V1 / "store"), json.loads((V1 / "digests.json").read_text())
    for location in store.all_parts():
        with location.opened() as group:
            assert content_digest(group) == digests["/".join(location.names)]
    assert len(list(store.all_parts())) == len(digests)
    assert all(finding.ok for finding in verify(store))


def test_reading_an_archive_leaves_it_alone():
    assert not (V1 / "store" / ".locks").exists()
    files = [path for path in V1.rglob("*")
             if path.is_file() and path.suffix != ".pyc" and path.name != INDEX_FILE]  # fmt: skip
    assert sum(path.stat().st_size for path in files) < 100_000
