"""What a reader chooses on the page: seed, name, a second picture, curves; and what follows it."""

import json
import math
from base64 import b64decode
from dataclasses import replace

import numpy as np
import pytest
from browser import AXE, CHROMIUM, decoded, pages_of
from galleries import LEVELS, portrait_store

from nca_cli.analysis import ANY_SEED
from nca_cli.figures.curves.panel import value_span
from nca_cli.portraits import portrait
from nca_cli.report import build_report, gallery, render
from nca_cli.report.page import charts
from nca_cli.store import Filters, ModelFilter

pytest.importorskip("playwright.sync_api")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")
IMAGES = tuple(f"portrait-{number}" for number in range(8))
PROBE = """
def read(pictures):
    red, green, _ = pictures.mean((2, 3)).T
    return {"warmth": red - green, "light": pictures.mean((1, 2, 3))}
"""


def with_references(report):
    """As if Gaussians had been fitted, which takes more images: one step, and a chain."""
    for value in report.values:
        if value.measure == "psnr":
            one_step = "one-step" in value.sampler
            name = "reference:wiener" if one_step else f"reference:wiener/{value.sampler}"
            yield value._replace(sampler=name, seed=ANY_SEED, value=value.value - 2)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Two models of two samplers, two seeds, and labels of two concepts."""
    root = tmp_path_factory.mktemp("chosen")
    store = portrait_store(root / "store", images=IMAGES, models=("demo", "other"), seeds=(0, 1))
    (root / "colours.py").write_text(PROBE)
    means = [portrait(seed, 32)[0].mean((0, 1)) / 127.5 - 1 for seed in range(len(IMAGES))]
    rows = [f"{name},{mean[0] - mean[1]},{mean.mean()}"
            for name, mean in zip(IMAGES, means, strict=True)]  # fmt: skip
    (root / "labels.csv").write_text("\n".join(["image,warmth,light", *rows, ""]))
    file = root / "report.html"
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(root)
        report = build_report(store, None, labels=root / "labels.csv", probe="colours:read")
    rows = tuple(with_references(report))
    report = replace(report, analysis=replace(report.analysis, reference_values=rows))
    file.write_text(render(report, gallery(store, report)), "utf-8")
    return store, report, file


@pytest.fixture
def look(browser, built):
    with pages_of(browser, built[2]) as open_page:
        yield open_page


def enlarge(watched, article=0, entry=0):
    place = f"article.image >> nth={article} >> .stack[data-entry='{entry}'] .picture >> nth=0"
    watched.page.locator(place).click()
    watched.page.wait_for_timeout(150)
    watched.settle()


def drawn(watched, selector):
    link = watched.page.locator(selector).evaluate("(canvas) => canvas.toDataURL()")
    return decoded(b64decode(link.partition(",")[2])).astype(int)


def stored(store, image, entry, report, t, seed):
    """What the store holds of a series, as uint8."""
    series = report.series[entry]
    held = Filters(images=(image,), models=(ModelFilter(series.model),))
    artifact = next(a for a in store.select(held) if a.label == series.sampler)
    return artifact.read("preview", [(t, seed)])[0].astype(int)


# --- seeds --------------------------------------------------------------------------------------


def test_another_seed_is_shown_in_every_picture_and_number(look, built):
    store, report, _ = built
    watched = look()
    page = watched.page
    page.locator("#level").fill(str(len(LEVELS) - 1))
    for seed in ("1", "0", "1"):
        page.locator("#seed").select_option(seed)
        page.wait_for_timeout(250)
        enlarge(watched, 2, 1)
        wanted = stored(store, IMAGES[2], 1, report, LEVELS[-1], int(seed))
        other = stored(store, IMAGES[2], 1, report, LEVELS[-1], 1 - int(seed))
        seen = drawn(watched, "#zoom figure:nth-child(3) canvas")
        assert np.abs(seen - wanted).mean() < 0.5 * np.abs(seen - other).mean()
        one = report.series[1]
        place = IMAGES[2], one.model, one.sampler, LEVELS[-1], int(seed)
        psnr = next(v.value for v in report.values if v.measure == "psnr" and v[:5] == place)
        said = page.locator("#zoom figcaption").nth(2).inner_text()
        assert said.endswith(f"{psnr:.2f} dB")
        page.keyboard.press("Escape")
        noise = page.locator("article .of-seed").all_text_contents()
        assert set(noise) == {f"seed {seed}"}
    assert "seed=1" in page.url


def test_pictures_of_other_seeds_never_take_room_from_the_first(built):
    store, report, _ = built
    whole = gallery(store, report)
    assert {shelf.seed for shelf in whole.other_seeds} == {1}
    assert [s.x0 for s in whole.other_seeds] == [s.x0 for s in whole.shelves]
    size = sum(4 / 3 * shelf.bytes + 6 * 1500 for shelf in whole.shelves)
    tight = gallery(store, report, 1.15 * size)
    assert [s.strips for s in tight.shelves] == [s.strips for s in whole.shelves]
    assert tight.other_seeds == ()
    assert any("seed 1" in note for note in tight.notes)


# --- enlarged -----------------------------------------------------------------------------------


@pytest.mark.parametrize("by", ["mouse", "keyboard"])
def test_a_second_picture_is_swiped_over_the_first(look, built, by):
    store, report, _ = built
    watched = look()
    page = watched.page
    enlarge(watched)
    assert page.locator("#zoom .over").count() == 0
    page.locator("#against").select_option(label=report.series[1].name)
    watched.settle()
    t = LEVELS[int(page.locator("#level").input_value())]
    wanted = stored(store, IMAGES[0], 1, report, t, 0)
    assert np.abs(drawn(watched, "#zoom .over") - wanted).mean() < 6
    assert report.series[1].name in page.locator("#zoom figcaption").nth(2).inner_text()
    frame = page.locator("#zoom .frame:has(.over)")
    before = watched.pixels("#zoom .frame:has(.over)").astype(float)
    if by == "mouse":
        box = frame.bounding_box()
        page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 20)
        page.mouse.down()
        page.mouse.move(box["x"] + 2, box["y"] + 20, steps=3)
        page.mouse.up()
    else:
        page.locator("#swipe").focus()
        page.keyboard.press("Home")
    assert int(page.locator("#swipe").input_value()) <= 1
    assert np.abs(watched.pixels("#zoom .frame:has(.over)") - before).mean() > 1
    page.locator("#against").select_option(value="x0")
    watched.settle()
    x0 = drawn(watched, "#zoom figure:nth-child(1) canvas")
    assert np.array_equal(drawn(watched, "#zoom .over"), x0)


def test_the_images_before_and_after_also_folded_ones(look):
    watched = look()
    page = watched.page
    enlarge(watched, 5)
    name = page.locator("#zoom-name")
    for act, expected in (
        (lambda: page.keyboard.press("]"), 6),  # which is folded
        (lambda: page.locator("#zoom-next").click(), 7),
        (lambda: page.locator("#zoom-next").click(), 0),
        (lambda: page.locator("#zoom-previous").click(), 7),
    ):
        act()
        assert name.inner_text().startswith(f"portrait-{expected} — demo")
        page.wait_for_timeout(200)
        assert drawn(watched, "#zoom figure:nth-child(1) canvas").std() > 10


def test_pixels_larger_than_those_of_the_screen_are_squares(look):
    watched = look()
    enlarge(watched)
    canvas = watched.page.locator("#zoom canvas").first
    assert canvas.evaluate("(one) => getComputedStyle(one).imageRendering") == "pixelated"
    assert canvas.evaluate("(one) => one.clientWidth / one.width") > 4


def test_the_enlarged_view_plays(look):
    watched = look()
    page = watched.page
    page.locator("#level").fill("0")
    enlarge(watched)
    page.locator("#zoom-level").focus()
    page.keyboard.press(" ")
    assert page.locator("#zoom-play").inner_text().strip() == "Pause"
    watched.until("document.querySelector('#level').value >= 1")
    said = page.locator("#zoom .spoken").inner_text()
    page.locator("#zoom-play").click()
    assert not said.startswith(f"t = {LEVELS[0]},")
    assert page.locator("#play").get_attribute("aria-pressed") == "false"


def test_a_link_opens_what_was_open(look):
    watched = look()
    page = watched.page
    page.locator("#find").fill("portrait")
    page.locator("#pick-1").check()
    enlarge(watched, 3, 2)
    page.locator("#against").select_option("x0")
    watched.settle()
    fragment, name = page.url.split("#")[1], page.locator("#zoom-name").inner_text()
    reopened = look(fragment)
    again = reopened.page
    assert again.locator("#zoom").is_visible()
    assert again.locator("#zoom-name").inner_text() == name
    assert again.locator("#against").input_value() == "x0"
    assert again.locator("#zoom .over").count() == 1
    assert again.locator("#find").input_value() == "portrait"
    assert again.locator("#pick-1").is_checked()
    again.keyboard.press("Escape")
    reopened.until("!location.hash.includes('open=')")  # it is closed in a task of its own


# --- images by name, concepts -------------------------------------------------------------------


def test_images_are_found_by_their_names(look):
    watched = look()
    page = watched.page
    page.keyboard.press("/")
    page.keyboard.type("TRAIT-7")
    assert page.locator("article.image:visible h3").all_text_contents() == ["portrait-7"]
    assert page.locator("#found").inner_text() == "1 of 8 images"
    page.locator("#find").fill("no such image")
    assert page.locator("article.image:visible").count() == 0
    page.locator("#find").fill("")
    assert page.locator("article.image:visible").count() == 8
    assert page.locator("#found").inner_text() == ""


def test_curves_of_concepts_are_those_that_are_picked(look):
    page = look().page
    figures = page.locator("section:has(> #concepts) figure.chart")
    assert figures.count() >= 1
    assert page.locator("section:has(> #concepts) figure.chart:visible").count() == 0
    picks = page.locator("input.pick")
    picks.first.check()
    shown = page.locator("section:has(> #concepts) figure.chart:visible strong")
    assert shown.all_inner_texts() == [page.locator(".picks label").first.inner_text().strip()]
    assert page.locator("section:has(> #concepts) details[open]").count() == 0  # the long table


# --- what follows the series --------------------------------------------------------------------


def ranges(page):
    """Chart → its axis of values, where it was drawn anew."""
    found = page.locator("figure[data-chart]").evaluate_all(
        "(all) => all.map((each) => [each.dataset.chart, each.dataset.range])"
    )
    return {int(chart): [*map(float, text.split()[:2])] for chart, text in found if text}


def test_axes_of_values_follow_the_series(look, built):
    _, report, _ = built
    entries = charts.entries(report)
    drawn_charts = charts.charts(report, entries)
    page = look().page
    y_axis = page.locator("figure[data-chart='0'] .y-axis")
    marks = page.locator("figure[data-chart='0'] [data-entry='1'] .marker")
    before = y_axis.evaluate("(axis) => axis.textContent"), marks.first.get_attribute("d")
    off = {0, 2}
    for number in off:
        page.locator(f"#show-{number}").uncheck()
    found = ranges(page)
    owners = charts.owners(report)
    gone = off | {int(name) for name, mine in owners.items()
                  if name.isdigit() and set(mine) <= off}  # fmt: skip
    for number, chart in enumerate(drawn_charts):
        kept = [entry for entry in chart.panel.entries if entry.index not in gone]
        if any(not entry.reference for entry in kept):
            span = value_span(chart.measure, kept, [])
            assert found[number] == pytest.approx([span.low, span.high], abs=1e-9), chart.measure
    top = next(point for point in drawn_charts[0].panel.line(entries[1]))
    low, high = found[0]
    y = float(marks.first.get_attribute("d").split()[1].partition("m")[0])
    assert y == pytest.approx(206 - (top.mean - low) / (high - low) * (206 - 38), abs=0.11)
    for number in off:
        page.locator(f"#show-{number}").check()
    after = y_axis.evaluate("(axis) => axis.textContent"), marks.first.get_attribute("d")
    assert ["".join(part.split()) for part in after] == ["".join(part.split()) for part in before]


def test_baselines_of_a_sampler_go_with_it(look, built):
    _, report, _ = built
    owners = charts.owners(report)
    entries = charts.entries(report)
    chains = {n for n, one in enumerate(report.series) if one.sampler == "ddim-50"}
    of_chains = [int(name) for name, mine in owners.items() if set(mine) <= chains]
    others = [entry.index for entry in entries if entry.reference and entry.index not in of_chains]
    assert of_chains
    assert others
    assert all("ddim-50" in entries[index].name for index in of_chains)
    page = look().page
    for number in chains:
        page.locator(f"#show-{number}").uncheck()
    for index in of_chains:
        assert page.locator(f"[data-entry='{index}']:visible").count() == 0
        assert page.locator(f"label[data-owned='{index}']:visible").count() == 0
    for index in others:
        assert page.locator(f".chart g[data-entry='{index}']:visible").count()
    data = json.loads(page.locator("#data").text_content())
    chart = next(c for c in data["charts"] if any(s["entry"] in of_chains for s in c["series"]))
    assert math.isfinite(chart["range"]["y"][0])
    reader = page.locator("figure[data-chart] .reader").first
    reader.focus()
    said = page.locator(".tip").first.inner_text()
    assert not any(entries[index].name in said for index in of_chains)


def test_a_row_without_marks_vanishes(look, built):
    page = look().page
    rows = page.locator(".forest .half:not(.axis)")
    before = rows.count()
    assert page.locator(".forest .half:not(.axis):visible").count() == before > 0
    for number in range(len(built[1].series)):
        page.locator(f"#show-{number}").uncheck()
    assert page.locator(".forest .half:not(.axis):visible").count() == 0


# --- for everyone -------------------------------------------------------------------------------


@pytest.mark.skipif(not AXE.is_file(), reason="needs axe-core")
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_in_the_new_views(look, theme):
    watched = look(color_scheme=theme)
    page = watched.page
    page.locator("input.pick").first.check()
    page.evaluate("document.querySelectorAll('details').forEach((fold) => (fold.open = true))")
    assert watched.violations("section:has(> #concepts)") == []
    assert watched.violations("#scrubber") == []
    enlarge(watched)
    page.locator("#against").select_option("x0")
    assert watched.violations("#zoom") == []


@pytest.mark.parametrize("width", [320, 390, 1440])
def test_nothing_is_wider_than_the_screen_with_new_views_open(look, width):
    watched = look(viewport={"width": width, "height": 844})
    page = watched.page
    page.locator("input.pick").first.check()
    page.evaluate("document.querySelectorAll('details').forEach((fold) => (fold.open = true))")
    assert watched.overflow() <= 0
    enlarge(watched)
    page.locator("#against").select_option("x0")
    assert page.locator("#zoom").evaluate("(zoom) => zoom.scrollWidth - zoom.clientWidth") <= 0
