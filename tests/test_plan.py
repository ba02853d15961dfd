"""A plan compares a request with the store, and looks into each folder once."""

import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import nca_cli.cli.compute  # noqa: F401
from nca_cli.cli import app
from nca_cli.engine import Noising, Request, noise_plans, reconstruction_plans
from nca_cli.report import build_report
from nca_cli.store import Store
from nca_cli.twins import noise_images, reconstruct

WIENER = {"models": ["wiener"], "t": [100, 300], "size": 8}


def pictures(folder, count):
    """Different ones, p0.png, p1.png, …"""
    folder.mkdir()
    for k in range(count):
        Image.fromarray(np.full((8, 8, 3), k, np.uint8)).save(folder / f"p{k}.png")
    return sorted(folder.iterdir())


@pytest.fixture
def listings(monkeypatch):
    """Folder → how often it was listed."""
    found, scandir = Counter(), os.scandir

    def counted(path):
        found[Path(path)] += 1
        return scandir(path)

    monkeypatch.setattr(os, "scandir", counted)
    return found


@pytest.mark.parametrize("count", [3, 6])
@pytest.mark.parametrize("stored", [True, False])
def test_the_listings_of_a_plan_grow_as_the_images_do(tmp_path, listings, count, stored):
    images, store = pictures(tmp_path / "pictures", count), Store(tmp_path / "store")
    if stored:
        noise_images(*images, store=store.root, **WIENER)
    listings.clear()
    request = Request(images, samplers=["one-step", "ddim"], **WIENER)
    (plan,) = reconstruction_plans(request, store)
    (model,) = {path.parent for path in listings if path.parent.parent == store.root}
    assert listings.pop(model) == 1
    assert sorted(listings.values()) == [1] * count
    assert sum(len(image.noise) for image in plan.images) == (0 if stored else 2 * count)


def test_a_run_that_finds_all_stored_lists_its_results_without_another_look(tmp_path, listings):
    images = pictures(tmp_path / "pictures", 5)
    command = ["noise", "--model", "wiener", "--size", 8, "--store", tmp_path / "store", *images]
    first = CliRunner().invoke(app, [str(word) for word in command])
    listings.clear()
    again = CliRunner().invoke(app, [str(word) for word in command])
    assert first.stdout == again.stdout
    files = [Path(line) for line in again.stdout.splitlines()]
    assert [listings[file.parent] for file in files] == [1] * 5
    assert [listings[folder] for folder in {file.parent.parent for file in files}] == [1]


def test_an_image_that_appears_after_the_listing_is_found(tmp_path):
    images, store = pictures(tmp_path / "pictures", 2), Store(tmp_path / "store")
    (plan,) = noise_plans(Request(images, **WIENER), store)
    look = plan.look()
    assert plan.artifacts() == []
    assert len(list(Noising(plan))) == 4
    assert [list(look(image)) for image in plan.images] == [["noise"], ["noise"]]
    assert [len(artifact) for artifact in plan.artifacts()] == [2, 2]


def test_the_results_of_a_renamed_image_are_those_of_its_folder(tmp_path):
    (image,), store = pictures(tmp_path / "pictures", 1), Store(tmp_path / "store")
    noise_images(image, store=store.root, **WIENER)
    (plan,) = noise_plans(Request([image.rename(tmp_path / "other.png")], **WIENER), store)
    assert plan.empty
    assert plan.artifacts() == store.select()


def test_a_second_report_lists_each_folder_once(tmp_path, listings):
    images, store = pictures(tmp_path / "pictures", 5), Store(tmp_path / "store")
    reconstruct(*images, store=store.root, samplers=["one-step"], **WIENER)
    build_report(store, tmp_path / "report.html")
    listings.clear()
    build_report(store, tmp_path / "report.html")
    model, count = store.root / store.models()[0], len(images)
    below = {folder: times for folder, times in listings.items() if folder.parent == model}
    assert sorted(below.values()) == [1] * count
