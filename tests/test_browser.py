"""The report in a real browser: it moves, reads aloud, fits, prints, and asks for nothing."""

import itertools
import json
import re
from base64 import b64decode
from dataclasses import replace

import numpy as np
import pytest
from browser import AXE, CHROMIUM, Watched, decoded, renamed
from galleries import LEVELS, portrait_store
from PIL import Image as Picture
from stores import DDIM, ONE_STEP

from nca_cli.analysis import analyse
from nca_cli.report import build_report, collect, gallery, render
from nca_cli.store import Filters, ModelFilter, Store

pytest.importorskip("playwright.sync_api")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")

IMAGES = tuple(f"portrait-{number}" for number in range(8))
MODELS = ("demo", "other")
SERIES = 4
HOSTILE = {
    "portrait-0": "<script>alert(1)</script>",
    "portrait-1": "\"'><img src=x onerror=alert(2)>&amp;&lt;",
    "portrait-2": "n" * 300,
    "portrait-3": "\u202egnp.tac مرحبا بالعالم",
    "portrait-4": "👩🏽‍🚀🦊 {{ 7 * 7 }} ${7 * 7} `",
    "demo": "</script><script>alert(3)</script>",
    "other": "\u202eשלום <!-- <svg onload=alert(4)> " + "model " * 40,
    "ddim-50": "*/ </style><b>bold</b>",
    "built in": "javascript:alert(5)//]]>",
    "MIT": '"><iframe srcdoc="<script>alert(6)</script>">',
}
SCREENS = [*itertools.product((320, 400, 768, 1440), ("light", "dark"))]


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Eight portraits, two models of two samplers, four levels, two seeds."""
    root = tmp_path_factory.mktemp("browser") / "store"
    return portrait_store(root, images=IMAGES, models=MODELS, seeds=(0, 1))


@pytest.fixture(scope="module")
def report_file(store):
    path = store.root.parent / "report.html"
    build_report(store, path)
    return path


@pytest.fixture(scope="module")
def uneven_file(tmp_path_factory):
    """Chains at the second and the last of four levels; a second model of the last image alone."""
    root = tmp_path_factory.mktemp("uneven") / "store"
    portrait_store(root, images=IMAGES, recipes=(ONE_STEP,))
    portrait_store(root, images=IMAGES, recipes=(DDIM,), levels=(LEVELS[1], LEVELS[3]))
    portrait_store(root, images=IMAGES[:1], recipes=(DDIM,), models=("second",), seeds=(1,))
    path = root.parent / "report.html"
    build_report(Store(root), path)
    return path


@pytest.fixture(scope="module")
def sparse_file(tmp_path_factory):
    """x_t at four levels, chains at the second and the last of them alone."""
    root = tmp_path_factory.mktemp("sparse") / "store"
    portrait_store(root, images=IMAGES[:3], recipes=())
    portrait_store(root, images=IMAGES[:3], recipes=(DDIM,), levels=(LEVELS[1], LEVELS[3]))
    path = root.parent / "report.html"
    build_report(Store(root), path)
    return path


@pytest.fixture(scope="module")
def hostile_file(store):
    """The same with names, notes and findings that would be markup or code."""
    report = renamed(replace(collect(store), concepts=None), HOSTILE)
    analysis = analyse((*report.values, *report.baselines))
    report = replace(report, analysis=analysis, notes=tuple(HOSTILE.values()))
    path = store.root.parent / "hostile.html"
    path.write_text(render(report, gallery(store, report)), "utf-8")
    return path


@pytest.fixture
def look(browser):
    """Opens pages; each must have been silent, asked for nothing, and opened nothing."""
    opened = []

    def open_page(file, **settings):
        opened.append(Watched(browser, file, **{"viewport": {"width": 1200, "height": 900}}
                              | settings))  # fmt: skip
        return opened[-1]

    yield open_page
    for page in opened:
        page.close()
    for page in opened:
        assert page.faults == []
        assert [url for url in page.asked_for[1:] if "/pictures/" not in url] == []


def strips(page):
    """How far each strip on the screen is moved, in pixels of the screen."""
    return page.evaluate(
        "[...document.querySelectorAll('img[data-strip]:not(.x0)')]"
        ".filter((img) => img.checkVisibility() && img.getBoundingClientRect().top < innerHeight)"
        ".map((img) => [img.parentElement, img].map((each) => each.getBoundingClientRect().left))"
        ".map(([window, strip]) => window - strip)"
    )


def canvases(page):
    """What the differences on the screen hold."""
    return page.evaluate(
        "[...document.querySelectorAll('.tile.difference canvas')]"
        ".filter((canvas) => canvas.getBoundingClientRect().top < innerHeight)"
        ".map((canvas) => canvas.toDataURL())"
    )


def to_pictures(watched):
    """Scroll to the first pictures and wait until they are drawn."""
    watched.page.locator("#scrubber").evaluate("(pictures) => pictures.scrollIntoView()")
    watched.until(
        "[...document.querySelectorAll('.tile.difference canvas')].slice(0, 4)"
        ".every((canvas) => canvas.width !== 300)"
    )
    watched.settle()


def level(page):
    return int(page.locator("#level").input_value())


# --- the scrubber -------------------------------------------------------------------------------


def test_the_slider_moves_every_picture_on_the_screen_by_keyboard(look, report_file):
    watched = look(report_file)
    page = watched.page
    to_pictures(watched)
    page.locator("#level").focus()
    last = len(LEVELS) - 1
    for key, expected in [("Home", 0), ("ArrowRight", 1), ("End", last), ("ArrowLeft", last - 1)]:
        before, differences = strips(page), canvases(page)
        page.keyboard.press(key)
        watched.settle()
        assert level(page) == expected
        assert len(before) >= SERIES + 1
        assert all(old != new for old, new in zip(before, strips(page), strict=True)), key
        assert all(old != new for old, new in zip(differences, canvases(page), strict=True)), key
        said = page.locator("#level").get_attribute("aria-valuetext")
        assert said.startswith(f"t = {LEVELS[expected]}, SNR ")
        assert page.locator("[data-read=t]").inner_text() == str(LEVELS[expected])


def test_the_slider_moves_every_picture_on_the_screen_by_mouse(look, report_file):
    watched = look(report_file)
    page = watched.page
    to_pictures(watched)
    box = page.locator("#level").bounding_box()
    x, y, width = box["x"], box["y"] + box["height"] / 2, box["width"]
    page.mouse.move(x + width * 0.35, y)
    page.mouse.down()
    page.mouse.move(x + 2, y, steps=4)
    watched.settle()
    first, differences = strips(page), canvases(page)
    pixels = watched.pixels(".stack[data-entry] .picture")
    assert level(page) == 0
    page.mouse.move(x + width - 2, y, steps=4)
    page.mouse.up()
    watched.settle()
    assert level(page) == len(LEVELS) - 1
    assert all(old != new for old, new in zip(first, strips(page), strict=True))
    assert all(old != new for old, new in zip(differences, canvases(page), strict=True))
    changed = np.abs(pixels.astype(float) - watched.pixels(".stack[data-entry] .picture"))
    assert changed.mean() > 3


def test_each_picture_is_the_stored_one_of_its_level(look, store, report_file):
    shelf = gallery(store, collect(store)).shelves[0]
    x0 = decoded(shelf.x0.content).astype(float)
    strip = np.stack(np.split(decoded(shelf.x0_hats[0].content).astype(float), len(LEVELS), axis=1))
    watched = look(report_file)
    page = watched.page
    page.locator("article").first.locator(".stack[data-entry] .picture").first.click()
    for number in range(len(LEVELS)):
        page.locator("#zoom-level").fill(str(number))
        watched.settle()
        links = page.locator("#zoom canvas").evaluate_all("(all) => all.map((c) => c.toDataURL())")
        drawn = [decoded(b64decode(link.partition(",")[2])).astype(float) for link in links]
        wanted = (x0, strip[number], 127.5 + (strip[number] - x0) / 2)
        for got, expected in zip((drawn[0], *drawn[2:]), wanted, strict=True):
            assert np.abs(got - expected).max() <= 2


def squares(page, selector):
    """Each canvas as far as it is drawn, by what a link to its pixels says."""
    return page.locator(selector).evaluate_all("(all) => all.map((c) => c.toDataURL())")


def test_the_film_shows_only_levels_that_were_made(look, sparse_file):
    watched = look(sparse_file)
    page = watched.page
    watched.until(
        "[...document.querySelectorAll('#film canvas')].every((canvas) => canvas.width !== 300)"
    )
    captions = page.locator("#film li").all_inner_texts()
    made = [f"t = {LEVELS[1]}", f"t = {LEVELS[3]}"]
    assert [text.split("\n")[0] for text in captions[1:]] == made
    assert captions[0].strip() == "x0"
    drawn = squares(page, "#film canvas")
    assert len(drawn) == len(set(drawn)) == 1 + 2 * 2  # x0, and x_t above x̂0 at both levels
    page.set_viewport_size({"width": 400, "height": 800})
    assert page.locator("#film li:visible").count() == 3


def test_a_phone_shows_both_ends_of_the_film(look, report_file):
    page = look(report_file, viewport={"width": 400, "height": 800}).page
    shown = page.locator("#film li:visible").all_inner_texts()
    assert f"t = {LEVELS[0]}" in shown[1]
    assert f"t = {LEVELS[-1]}" in shown[-1]


def test_the_enlarged_picture_of_another_level_says_so(look, uneven_file):
    watched = look(uneven_file)
    page = watched.page
    stack = page.locator("article").first.locator(".stack[data-entry]").first
    assert "ddim" in stack.inner_text()
    stack.locator(".picture").first.click()
    for number, t in enumerate(LEVELS):
        page.locator("#zoom-level").fill(str(number))
        watched.settle()
        small = stack.locator(".now").text_content()
        x0, x_t, x0_hat, difference = page.locator("#zoom figcaption").all_inner_texts()
        assert x0_hat.endswith(small)
        other = [text for text in (x0, x_t, x0_hat, difference) if "at t = " in text]
        assert other == ([] if t in (LEVELS[1], LEVELS[3]) else [x0_hat, difference]), t


def test_the_level_is_announced_when_play_stops(look, report_file):
    watched = look(report_file)
    page = watched.page
    to_pictures(watched)
    page.locator("#level").focus()
    page.keyboard.press("Home")
    page.locator("#play").focus()
    page.keyboard.press("Space")
    assert page.locator("#play").get_attribute("aria-pressed") == "true"
    watched.until("document.querySelector('#level').value >= 2")
    page.keyboard.press("Space")
    stopped = level(page)
    assert page.locator("#play").get_attribute("aria-pressed") == "false"
    assert page.locator("#announced").inner_text().startswith(f"t = {LEVELS[stopped]},")
    page.wait_for_timeout(500)
    assert level(page) == stopped


# --- what is shown ------------------------------------------------------------------------------


def test_a_series_that_is_switched_off_vanishes_everywhere(look, report_file):
    watched = look(report_file)
    page = watched.page
    to_pictures(watched)
    marked = page.locator("[data-entry='0']")
    groups = ".stack", ".chart g", ".legend.shown > span", ".chart th", ".lane"
    assert all(page.locator(f"{group}[data-entry='0']").count() for group in groups)
    page.locator("#show-0").uncheck()
    assert page.locator("[data-entry='0']:visible").count() == 0
    assert page.locator(".stack[data-entry='1']:visible").count()
    reader = page.locator(".reader").first
    reader.focus()
    assert "demo · ddim-50" not in page.locator(".tip").first.inner_text()
    assert "demo · ddim-50" not in reader.get_attribute("aria-valuetext")
    page.locator("#show-0").check()
    assert marked.locator("visible=true").count()


def test_noise_and_differences_can_be_hidden(look, report_file):
    page = look(report_file).page
    page.locator("#show-noised").uncheck()
    page.locator("#show-difference").uncheck()
    assert page.locator(".noised:visible, .noised img:visible").count() == 0
    assert page.locator(".difference canvas:visible").count() == 0
    assert page.locator("img.x0_hat:visible").count()


def test_the_gain_makes_differences_stronger(look, report_file):
    watched = look(report_file)
    to_pictures(watched)
    spread = []
    for gain in ("1", "2", "8"):
        watched.page.locator("#gain").select_option(gain)
        watched.settle()
        spread.append(watched.pixels(".tile.difference canvas").astype(float).std())
    assert spread[0] < spread[1] < spread[2]


def test_images_are_ordered_by_their_closeness_at_the_level(look, report_file, store):
    page = look(report_file).page
    page.locator("#order").select_option("best")
    values = {name: [] for name in IMAGES}
    t = LEVELS[level(page)]
    for value in collect(store).values:
        if value.measure == "psnr" and value.t == t and value.seed == 0:
            values[value.image].append(value.value)
    expected = sorted(IMAGES, key=lambda name: -np.mean(values[name]))
    shown = page.locator("article.image h3").all_text_contents()
    assert shown == expected
    page.locator("#order").select_option("worst")
    assert page.locator("article.image h3").all_text_contents() == expected[::-1]
    page.locator("#order").select_option("")
    assert page.locator("article.image h3").all_text_contents() == list(IMAGES)


def shown_psnr(page, entry, number):
    """PSNR below the pictures of a series, image by image in the order of the page."""
    page.locator("#level").fill(str(number))
    text = "(all, entry) => all.map((img) => [img, JSON.parse(document.querySelector('#data')"
    text += ".textContent).strips[img.dataset.strip]]).map(([img, s]) => s.text[s.at[%d]])"
    images = page.locator(f".stack[data-entry='{entry}'] img.x0_hat")
    return [float(each.split()[0]) for each in images.evaluate_all(text % number)]


def test_the_order_follows_the_level_and_what_is_shown(look, report_file):
    """After End it is that of the last level, as if it were chosen there."""
    page = look(report_file).page
    page.locator("#order").select_option("best")
    for number in range(1, SERIES):
        page.locator(f"#show-{number}").uncheck()
    orders = []
    for key, number in (("Home", 0), ("End", len(LEVELS) - 1)):
        page.locator("#level").focus()
        page.keyboard.press(key)
        assert page.locator("#ordered").inner_text() == f"at t = {LEVELS[number]}"
        orders.append(page.locator("article.image h3").all_text_contents())
        values = shown_psnr(page, 0, number)
        assert values == sorted(values, reverse=True)
    assert orders[0] != orders[1]


def test_images_are_ordered_by_no_series_that_only_some_have(look, uneven_file):
    """Only one-step has all images at the first level; the chains have none of it."""
    page = look(uneven_file).page
    page.locator("#more").evaluate("(fold) => (fold.open = true)")
    names = page.locator(".legend.choose label").all_inner_texts()
    entry = next(number for number, name in enumerate(names) if "one-step" in name)
    page.locator("#level").fill("0")
    page.locator("#order").select_option("best")
    values = shown_psnr(page, entry, 0)
    assert len(values) == len(IMAGES)
    assert values == sorted(values, reverse=True)
    page.locator(f"#show-{entry}").uncheck()
    assert page.locator("#ordered").inner_text() == f"no series has all images at t = {LEVELS[0]}"
    assert page.locator("article.image h3").all_text_contents() == list(IMAGES)


@pytest.mark.parametrize("how", ["sheet", "paper", "no script"])
def test_a_level_stands_below_itself_where_series_have_different_levels(look, uneven_file, how):
    page = look(uneven_file, java_script_enabled=how != "no script").page
    if how == "sheet":
        page.locator("#sheet").check()
    if how == "paper":
        page.emulate_media(media="print")
    article = page.locator("article").first
    places = {}
    for tile in article.locator(".strip").all():
        marks = tile.locator(".scale li")
        boxes = [mark.bounding_box() for mark in marks.all()]
        for t, box in zip(marks.all_inner_texts(), boxes, strict=True):
            places.setdefault(int(t), []).append((box["x"], box["width"]))
    assert sorted(places) == list(LEVELS)
    assert max(map(len, places.values())) > min(map(len, places.values())) > 1
    for t, found in places.items():
        assert np.ptp(found, axis=0) == pytest.approx(0, abs=1), t
    widths = [image.bounding_box()["width"] for image in article.locator(".strip img").all()]
    assert np.ptp(widths) == pytest.approx(0, abs=1)
    assert "below them PSNR" not in page.locator("#scrubber > .caption").inner_text()


def test_all_levels_stand_side_by_side_when_asked(look, report_file):
    page = look(report_file).page
    page.locator("#sheet").check()
    picture = page.locator("img.x0_hat").first
    box = picture.bounding_box()
    assert box["width"] / box["height"] == pytest.approx(len(LEVELS), rel=0.02)
    scale = page.locator(".stack[data-entry] .scale").first
    assert scale.inner_text().split() == [str(t) for t in LEVELS]


def test_a_link_to_a_folded_image_opens_the_fold(look, report_file):
    watched = look(report_file)
    page = watched.page
    assert not page.locator("#image-7").is_visible()
    page.evaluate("location.hash = '#image-7'")
    watched.until("document.querySelector('#more').open")
    watched.until(
        "Math.abs(document.querySelector('#image-7').getBoundingClientRect().top) < innerHeight"
    )
    assert page.locator("#image-7").is_visible()


# --- enlarge ------------------------------------------------------------------------------------


@pytest.mark.parametrize("by", ["click", "keyboard"])
def test_a_picture_is_enlarged_moved_and_left_again(look, report_file, by):
    watched = look(report_file)
    page = watched.page
    to_pictures(watched)
    button = page.locator("article").first.locator(".stack[data-entry] .picture").first
    if by == "click":
        button.click()
    else:
        button.focus()
        page.keyboard.press("Enter")
    assert page.locator("#zoom").is_visible()
    assert "portrait-0" in page.locator("#zoom-name").inner_text()
    assert page.locator("#zoom canvas").count() == 4  # x0, x_t, x̂0, their difference
    assert page.evaluate("document.activeElement.id") == "zoom-level"
    for key, expected in (("Home", 0), ("End", len(LEVELS) - 1)):
        page.keyboard.press(key)
        watched.settle()
        assert page.locator("#zoom .spoken").inner_text().startswith(f"t = {LEVELS[expected]},")
    assert level(page) == len(LEVELS) - 1
    page.keyboard.press("Escape")
    assert not page.locator("#zoom").is_visible()
    assert button.evaluate("(button) => button === document.activeElement")


def test_the_enlarged_picture_closes_by_its_button_and_beside_it(look, report_file):
    page = look(report_file).page
    picture = page.locator(".picture").first
    picture.click()
    page.locator("#zoom .close").click()
    assert not page.locator("#zoom").is_visible()
    picture.click()
    page.mouse.click(5, 5)
    assert not page.locator("#zoom").is_visible()


def test_a_capture_of_the_whole_page_shows_the_level_of_the_slider_everywhere(
    look, report_file, store
):
    """Also in pictures that were never on the screen."""
    watched = look(report_file)
    page = watched.page
    page.locator("#more").evaluate("(fold) => (fold.open = true)")
    page.locator("#level").focus()
    page.keyboard.press("End")
    watched.until("[...document.querySelectorAll('article img')].every((img) => img.complete)")
    page.wait_for_timeout(400)
    shot = decoded(page.screenshot(full_page=True, timeout=60_000)).astype(float)
    for picture in page.locator("article.image .picture:has(img.x0_hat)").all()[::5]:
        box = picture.bounding_box()
        top = box["y"] + page.evaluate("scrollY")
        seen = shot[int(top) :, int(box["x"]) :][: int(box["height"]), : int(box["width"])]
        image, name = picture.evaluate(
            "(it) => [it.closest('article').querySelector('h3').textContent,"
            " it.closest('.stack').querySelector('.by').textContent]"
        )
        held = Filters(images=(image,), models=(ModelFilter(name.split(" · ")[0]),))
        artifact = next(a for a in store.select(held) if a.label == name.split(" · ")[1])
        stored = [Picture.fromarray(each).resize(seen.shape[1::-1], Picture.Resampling.BICUBIC)
                  for each in artifact.read("preview", [(t, 0) for t in LEVELS])]  # fmt: skip
        apart = [np.abs(np.asarray(each, float) - seen).mean() for each in stored]
        assert int(np.argmin(apart)) == len(LEVELS) - 1, (image, name, apart)


def test_the_ranking_is_that_of_the_slider(look, report_file):
    page = look(report_file).page
    for key, t in (("Home", LEVELS[0]), ("End", LEVELS[-1])):
        page.locator("#level").focus()
        page.keyboard.press(key)
        said = page.locator(".ranking").inner_text()
        assert f"By PSNR at t = {t} (SNR" in said
        page.locator("#order").select_option("best")
        shown = page.locator("article.image h3").all_text_contents()
        links = page.locator(".ranking a").all_text_contents()
        assert links == [*shown[:3], *shown[:-4:-1]]


# --- charts -------------------------------------------------------------------------------------


def test_series_of_one_colour_are_told_apart_where_a_chart_is_read(look, report_file):
    """Two samplers of a model have its colour and marker, and dashes of their own."""
    page = look(report_file).page
    page.locator(".reader").first.focus()
    samples = page.locator(".tip .sample").evaluate_all(
        "(all) => all.map((each) => each.outerHTML)"
    )
    assert len(samples) >= SERIES
    assert len(set(samples)) == len(samples)


def test_a_chart_whose_series_are_all_off_vanishes(look, report_file):
    page = look(report_file).page
    charts = page.locator("figure[data-chart]:visible > figcaption")
    before = charts.all_text_contents()
    for number in range(SERIES):
        page.locator(f"#show-{number}").uncheck()
    (left,) = charts.all_text_contents()
    assert "Pairs of xₜ" in left  # which is of no series
    page.locator("#show-0").check()  # axes follow it, so only titles are those from before
    assert charts.all_text_contents() == before


def test_a_chart_is_read_by_pointer_and_by_keyboard(look, report_file, store):
    page = look(report_file).page
    figure = page.locator("figure.chart").first
    figure.scroll_into_view_if_needed()
    reader, tip = figure.locator(".reader"), figure.locator(".tip")
    assert not tip.is_visible()
    box = reader.bounding_box()
    reader.hover(position={"x": box["width"] - 4, "y": box["height"] / 2})
    assert tip.locator("> b").inner_text().startswith(f"t = {LEVELS[-1]}, SNR")
    page.mouse.move(5, 5)
    assert not tip.is_visible()
    reader.focus()
    page.keyboard.press("Home")
    report = collect(store)
    said = reader.get_attribute("aria-valuetext")
    for series in report.series:
        point = min(series.points("psnr"), key=lambda point: point.t)
        assert f"{series.name}: {point.mean:.2f} dB" in said
        assert f"{point.mean:.2f} dB" in tip.inner_text()
    page.keyboard.press("ArrowRight")
    assert tip.locator("> b").inner_text().startswith(f"t = {LEVELS[1]},")
    page.keyboard.press("Escape")
    assert not tip.is_visible()


BOXES = """(chart) => [".plot", ":scope > figcaption", ":scope > figcaption > *"]
    .flatMap((part) => [...chart.querySelectorAll(part)].slice(0, part.endsWith("*") ? 99 : 1))
    .map((part) => part.getBoundingClientRect().toJSON())"""
"""Where the plot of a chart is, its head, and the parts of that."""


@pytest.mark.parametrize("width", [400, 1440])
@pytest.mark.parametrize("kind", ["report_file", "hostile_file"])
def test_nothing_is_printed_over_the_title_of_a_chart(look, request, kind, width):
    page = look(request.getfixturevalue(kind), viewport={"width": width, "height": 800}).page
    for chart in page.locator("figure.chart").all():
        plot, head, *parts = chart.evaluate(BOXES)  # at one moment: pictures above may still come
        assert plot["y"] >= head["y"] + head["height"] - 0.5
        for one, other in itertools.combinations(parts, 2):
            beside = max(one["x"], other["x"]) >= min(
                each["x"] + each["width"] - 0.5 for each in (one, other)
            )
            below = max(one["y"], other["y"]) >= min(
                each["y"] + each["height"] - 0.5 for each in (one, other)
            )
            assert beside or below, chart.inner_text()


# --- light and dark, small and large ------------------------------------------------------------


def paper(page):
    """How light the page is, from 0 to 255."""
    colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
    return np.mean([float(part) for part in re.findall(r"[\d.]+", colour)[:3]])


def test_the_page_follows_the_system_until_its_button_is_pressed(look, report_file):
    page = look(report_file, color_scheme="dark").page
    assert paper(page) < 64
    page.locator("#theme").click()
    assert paper(page) > 192
    page.emulate_media(color_scheme="light")
    page.locator("#theme").click()
    assert paper(page) < 64


@pytest.mark.parametrize("kind", ["report_file", "hostile_file"])
def test_nothing_is_wider_than_the_screen(look, request, kind):
    watched = look(request.getfixturevalue(kind))
    page = watched.page
    page.evaluate("document.querySelectorAll('details').forEach((fold) => (fold.open = true))")
    for width, theme in SCREENS:
        page.set_viewport_size({"width": width, "height": 800})
        page.emulate_media(color_scheme=theme)
        assert watched.overflow() <= 0, (width, theme)
        page.locator(".picture").first.click()
        zoom = page.locator("#zoom").evaluate("(zoom) => zoom.scrollWidth - zoom.clientWidth")
        assert zoom <= 0, (width, theme)
        assert watched.overflow() <= 0, (width, theme)
        page.keyboard.press("Escape")


@pytest.mark.skipif(not AXE.is_file(), reason="needs axe-core (.ci/run installs it)")
@pytest.mark.parametrize(
    ("kind", "theme"),
    [("report_file", "light"), ("report_file", "dark"), ("hostile_file", "light")],
)
def test_axe_finds_nothing(look, request, kind, theme):
    watched = look(request.getfixturevalue(kind), color_scheme=theme)
    page = watched.page
    page.evaluate("document.querySelectorAll('details').forEach((fold) => (fold.open = true))")
    to_pictures(watched)
    page.locator(".reader").first.focus()
    assert watched.violations() == []
    page.locator("article").first.locator(".stack[data-entry] .picture").first.click()
    assert watched.violations("#zoom") == []


# --- names that would be code -------------------------------------------------------------------


def test_hostile_names_are_text_wherever_they_stand(look, report_file, hostile_file):
    count = "[...new Set([...document.querySelectorAll('*')].map((each) => each.tagName))].sort()"
    tame, page = look(report_file).page, look(hostile_file).page
    assert set(page.evaluate(count)) - set(tame.evaluate(count)) <= {"ASIDE"}
    assert page.locator("script").count() == 2
    assert page.evaluate(
        "[...document.querySelectorAll('*')].flatMap((each) => each.getAttributeNames())"
        ".filter((name) => name.startsWith('on'))"
    ) == []  # fmt: skip
    text = page.evaluate("document.body.textContent")
    assert all(name in text for name in HOSTILE.values())
    data = json.loads(page.locator("#data").text_content())
    names = {series["name"] for chart in data["charts"] for series in chart["series"]}
    assert f"{HOSTILE['demo']} · {HOSTILE['ddim-50']}" in names
    alts = " ".join(page.locator("img").evaluate_all("(all) => all.map((img) => img.alt)"))
    assert all(HOSTILE[f"portrait-{number}"] in alts for number in range(5))
    assert HOSTILE["demo"] in page.title()


def test_names_from_right_to_left_turn_nothing_but_themselves(look, hostile_file):
    """The last letters of a sentence with such names stand in order, from left to right."""
    page = look(hostile_file).page
    for sentence in (
        ".lead p",
        "section:has(> #when) > .caption",
        ".ranking",
        ".film figcaption",
    ):
        left = page.locator(sentence).first.evaluate(
            "(element) => { const text = element.lastChild, end = text.length;"
            " return [end - 4, end - 3].map((at) => { const range = new Range();"
            " range.setStart(text, at); range.setEnd(text, at + 1);"
            " return range.getBoundingClientRect().left; }); }"
        )
        assert left[0] < left[1], sentence


def test_hostile_names_are_text_in_what_the_script_writes(look, hostile_file):
    page = look(hostile_file).page
    for number in range(5):
        article = page.locator("article").nth(number)
        article.locator(".stack[data-entry] .picture").first.click()
        name = page.locator("#zoom-name").text_content()
        assert HOSTILE[f"portrait-{number}"] in name
        assert HOSTILE["demo"] in name
        page.keyboard.press("Escape")
    page.locator(".reader").first.focus()
    assert HOSTILE["demo"] in page.locator(".tip").first.text_content()
    page.locator("#order").select_option("worst")
    page.locator("#play").click()
    page.wait_for_timeout(450)


# --- paper, no script, files beside the page ----------------------------------------------------


def test_the_printed_page_holds_all_levels_and_no_controls(look, report_file):
    watched = look(report_file, color_scheme="dark")
    page = watched.page
    page.emulate_media(media="print")
    assert paper(page) > 192
    for gone in ("#level", "#play", "#theme", "#gain", "nav", ".tile.difference", ".reader"):
        assert page.locator(f"{gone}:visible").count() == 0, gone
    for kept in ("h1", ".lead p", "section > h2", ".chart svg", ".tables table", ".legend .sample"):
        assert page.locator(kept).count() == page.locator(f"{kept}:visible").count() > 0, kept
    for folded in ("Table of half-levels", "demo · ddim-50 recipe"):
        summary = page.locator("summary", has_text=folded)
        assert summary.locator("xpath=following-sibling::*").first.is_visible(), folded
    box = page.locator("img.x0_hat").first.bounding_box()
    assert box["width"] / box["height"] == pytest.approx(len(LEVELS), rel=0.02)
    assert page.locator(".scale").first.is_visible()
    assert page.locator("img.x0_hat:visible").count() == len(IMAGES) * SERIES
    assert page.locator("#film canvas:visible").count() == 1 + 2 * len(LEVELS)
    printed = page.pdf(format="A4", print_background=True)
    assert 3 <= len(re.findall(rb"/Type\s*/Page\b", printed)) <= 24
    assert printed.count(b"/Subtype /Image") >= len(IMAGES) * (SERIES + 2)


@pytest.mark.parametrize("kind", ["report_file", "hostile_file"])
def test_nothing_is_cut_off_on_paper(look, request, kind):
    sheet = {"width": 718, "height": 1000}  # A4 within margins, in CSS pixels
    page = look(request.getfixturevalue(kind), viewport=sheet).page
    page.emulate_media(media="print")
    ends = page.locator("table:visible, svg:visible, pre:visible, img:visible").evaluate_all(
        "(all) => all.map((each) => [each.getBoundingClientRect().right, each.outerHTML])"
    )
    assert [html[:200] for right, html in ends if right > sheet["width"]] == []


def test_without_a_script_the_page_is_a_grid_of_all_levels(look, report_file):
    page = look(report_file, java_script_enabled=False).page
    picture = page.locator("img.x0_hat").first
    picture.scroll_into_view_if_needed()
    box = picture.bounding_box()
    assert box["width"] / box["height"] == pytest.approx(len(LEVELS), rel=0.02)
    assert page.locator(".scale").first.inner_text().split() == [str(t) for t in LEVELS]
    assert page.locator(".scripted:visible, .tile.difference:visible").count() == 0
    page.locator("#show-0").uncheck()  # legends need no script
    assert page.locator("[data-entry='0']:visible").count() == 0
    assert page.locator("[data-entry='1']:visible").count()


def test_pictures_that_lie_beside_the_page_are_moved_and_subtracted_too(look, store):
    path = store.root.parent / "beside" / "report.html"
    filters = Filters(images=("portrait-0",))
    build_report(store, path, filters, assets=path.parent / "pictures")
    watched = look(path)
    to_pictures(watched)
    watched.page.locator("#level").focus()
    watched.page.keyboard.press("End")
    watched.settle()
    assert len(set(watched.asked_for)) == 1 + 2 + SERIES  # the page, x0, x_t, each x̂0
    assert watched.pixels(".tile.difference canvas").std() > 3
