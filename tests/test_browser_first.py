"""The first screen, whatever is stored: a sentence, a chart and a film of the same series."""

import itertools

import pytest
from browser import CHROMIUM, Watched
from galleries import portrait_store
from PIL import Image

from nca_cli.images import sample_images
from nca_cli.imports import Pair, import_pairs
from nca_cli.portraits import portrait
from nca_cli.report import build_report
from nca_cli.store import Store
from nca_cli.twins import reconstruct

pytest.importorskip("playwright.sync_api")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")
IMAGES = tuple(f"portrait-{number}" for number in range(8))


def imported(root):
    """Blurred portraits of another program."""
    pairs = []
    root.mkdir()
    for seed, t in itertools.product(range(3), (100, 300, 600, 900)):
        original, made = root / f"{seed}.png", root / f"{seed}-{t}.png"
        picture = Image.fromarray(portrait(seed, 32)[0])
        picture.save(original)
        side = max(2, 32 - t // 30)
        picture.resize((side, side)).resize((32, 32)).save(made)
        pairs.append(Pair(t, original, made))
    import_pairs(pairs, model="theirs", store=root / "store")
    return Store(root / "store")


def known(root):
    """What nca demo shows: portraits whose concepts are known, and models of two resolutions."""
    reconstruct(*sample_images("portraits"), store=root / "store", models=["demo", "wiener"],
                samplers=["one-step"], size=32, offline=True)  # fmt: skip
    return Store(root / "store")


def stored(kind, root):
    if kind == "imports":
        return imported(root)
    if kind == "concepts":
        return known(root)
    several = {"images": IMAGES, "models": ("one", "two", "three")}
    settings = {"one model": {"images": IMAGES}, "three models": several,
                "one image": {"images": IMAGES[:1]}}[kind]  # fmt: skip
    return portrait_store(root / "store", levels=range(100, 1000, 100), **settings)


@pytest.mark.parametrize("kind", ["one model", "three models", "imports", "one image", "concepts"])
def test_sentence_chart_and_film_are_there_and_of_the_same_series(browser, tmp_path, kind):
    file = tmp_path / "report.html"
    report = build_report(stored(kind, tmp_path / "work"), file)
    watched = Watched(browser, file, viewport={"width": 1440, "height": 900})
    page = watched.page
    watched.until("document.querySelector('#film canvas')?.width !== 300")
    series = {"imports": "theirs · imported"}.get(kind) or next(
        each.name for each in report.series if "one-step" in each.sampler
    )
    assert page.locator(".lead").inner_text().startswith(series)
    assert series in page.locator(".answer .legend").inner_text()
    assert series in page.locator("#film figcaption").inner_text()
    for model in report.models:
        assert model.name in page.locator(".answer .legend").inner_text()
    sides = page.locator(".answer h3").all_inner_texts()
    assert sides == ["Spatial frequency", "Concepts"][: 1 + (kind == "concepts")]
    for part in (".lead", ".answer", "#film", "#film figcaption"):
        box = page.locator(part).bounding_box()
        assert box["height"] > 20
        assert box["y"] + box["height"] <= 900, part
    levels = len({value.t for value in report.values})
    frames = page.locator("#film li:visible").count() - 1
    assert frames == levels or f"{frames} of {levels} levels" in page.locator("#film").inner_text()
    assert watched.faults == []
    watched.close()
