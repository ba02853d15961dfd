"""The page as one instrument: a level in every chart, keys, an address, tables and files."""

import csv
import re
from xml.etree import ElementTree

import pytest
from browser import AXE, CHROMIUM, pages_of
from galleries import LEVELS, portrait_store

from nca_cli.figures.curves.svg import LEFT, RIGHT, WIDTH
from nca_cli.report import build_report

pytest.importorskip("playwright.sync_api")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    root = tmp_path_factory.mktemp("linked")
    images = tuple(f"portrait-{number}" for number in range(5))
    store = portrait_store(root / "store", images=images, models=("demo", "other"))
    file = root / "report.html"
    return file, build_report(store, file)


@pytest.fixture
def look(browser, built):
    with pages_of(browser, built[0]) as open_page:
        yield open_page


def level(page):
    return int(page.locator("#level").input_value())


def settled(watched):
    watched.page.wait_for_timeout(350)
    watched.settle()


def test_the_level_is_a_line_in_every_chart_and_a_row_in_every_table(look, built):
    watched = look()
    page = watched.page
    page.locator("#level").focus()
    for key, number in (("Home", 0), ("End", len(LEVELS) - 1)):
        page.keyboard.press(key)
        settled(watched)
        found = page.evaluate(
            "(t) => [...document.querySelectorAll('figure[data-chart]')].map((figure) => {"
            " const chart = JSON.parse(document.querySelector('#data').textContent)"
            ".charts[figure.dataset.chart]; const k = chart.t.indexOf(t);"
            " const cursor = figure.querySelector('.level-cursor');"
            " return [k < 0 ? null : chart.x[k], cursor.style.transform]; })",
            str(LEVELS[number]),
        )
        known = [(x, shift) for x, shift in found if x is not None]
        assert len(known) > 5
        for x, shift in known:
            part = 1 + float(re.findall(r"-?[\d.]+", shift)[0]) / 100
            assert abs(LEFT + part * (RIGHT - LEFT) - x) < 0.2
        cursor, plot = (page.locator(f"figure[data-chart='0'] {part}").bounding_box()
                        for part in (".level-cursor", ".plot svg"))  # fmt: skip
        right = cursor["x"] + cursor["width"] - plot["x"]
        assert right / plot["width"] == pytest.approx(known[0][0] / WIDTH, abs=0.003)
        rows = page.locator(".tables tr.now th").all_text_contents()
        assert rows == [str(LEVELS[number])] * len(built[1].series)


@pytest.mark.parametrize("by", ["mouse", "keyboard"])
def test_a_level_that_is_read_in_a_chart_moves_the_slider(look, by):
    page = look().page
    reader = page.locator("figure[data-chart] .reader").first
    reader.scroll_into_view_if_needed()
    if by == "mouse":
        box = reader.bounding_box()
        reader.click(position={"x": box["width"] - 3, "y": box["height"] / 2})
    else:
        reader.focus()
        page.keyboard.press("End")
        assert level(page) != len(LEVELS) - 1  # reading alone moves nothing
        page.keyboard.press("Enter")
    assert level(page) == len(LEVELS) - 1


def test_keys_do_what_the_sheet_says(look):
    watched = look()
    page = watched.page
    start = level(page)
    page.keyboard.press("ArrowRight")
    assert level(page) == start + 1
    page.keyboard.press("ArrowLeft")
    assert level(page) == start
    page.keyboard.press("2")
    assert not page.locator("#show-1").is_checked()
    for key, box in (("d", "#show-difference"), ("n", "#show-noised"), ("s", "#sheet")):
        before = page.locator(box).is_checked()
        page.keyboard.press(key)
        assert page.locator(box).is_checked() != before
        page.keyboard.press(key)
    theme = page.locator("html").get_attribute("data-theme")
    page.keyboard.press("t")
    assert page.locator("html").get_attribute("data-theme") != theme
    page.keyboard.press(" ")
    assert page.locator("#play").get_attribute("aria-pressed") == "true"
    page.keyboard.press(" ")
    assert page.locator("#play").get_attribute("aria-pressed") == "false"
    page.keyboard.press("?")
    assert page.locator("#keys").is_visible()
    said = page.locator("#keys").inner_text()
    assert all(word in said for word in ("more noise", "play", "theme", "differences"))
    page.keyboard.press("Escape")
    assert not page.locator("#keys").is_visible()


def test_a_link_shows_what_was_seen(look):
    watched = look()
    page = watched.page
    assert "#" not in page.url
    page.keyboard.press("ArrowRight")
    page.keyboard.press("1")
    page.keyboard.press("t")
    page.locator("#order").select_option("worst")
    settled(watched)
    seen = page.evaluate("[document.querySelector('#level').value,"
                         " document.documentElement.dataset.theme]")  # fmt: skip
    articles = page.locator("article.image h3").all_text_contents()
    fragment = page.url.split("#")[1]
    again = look(fragment).page
    assert again.evaluate("[document.querySelector('#level').value,"
                          " document.documentElement.dataset.theme]") == seen  # fmt: skip
    assert not again.locator("#show-0").is_checked()
    assert again.locator("#show-1").is_checked()
    assert again.locator("#order").input_value() == "worst"
    assert again.locator("article.image h3").all_text_contents() == articles


def test_a_link_to_a_section_is_left_alone(look):
    watched = look("curves")
    settled(watched)
    assert watched.page.url.endswith("#curves")


def test_tables_sort_by_mouse_and_keyboard(look):
    page = look().page
    table = page.locator(".tables table").first
    head = table.locator("thead th").nth(3)
    head.locator("button").click()

    def column():
        cells = table.locator("tbody tr td:nth-child(4) data")
        return [float(each) for each in cells.evaluate_all("(all) => all.map((one) => one.value)")]

    assert head.get_attribute("aria-sort") == "ascending"
    assert column() == sorted(column())
    head.locator("button").focus()
    page.keyboard.press("Enter")
    assert head.get_attribute("aria-sort") == "descending"
    assert column() == sorted(column(), reverse=True)


@pytest.mark.parametrize("kind", ["csv", "svg"])
def test_a_chart_is_saved_with_its_numbers(look, built, tmp_path, kind):
    page = look().page
    button = page.locator(f"figure[data-chart] [data-save={kind}]").first
    button.scroll_into_view_if_needed()
    with page.expect_download() as started:
        button.click()
    file = tmp_path / started.value.suggested_filename
    started.value.save_as(file)
    assert file.name == f"psnr.{kind}"
    if kind == "svg":
        drawing = ElementTree.fromstring(file.read_text("utf-8"))
        assert drawing.tag.endswith("svg")
        lines = [each for each in drawing.iter() if each.get("class") == "line"]
        assert len(lines) >= len(built[1].series)
        assert all("stroke" in each.get("style") for each in lines)
        return
    rows = list(csv.DictReader(file.read_text("utf-8").splitlines()))
    for series in built[1].series:
        for point in series.points("psnr"):
            (row,) = [each for each in rows
                      if each["series"] == series.name and each["t"] == str(point.t)]  # fmt: skip
            assert float(row["mean"]) == point.mean
            assert float(row["low"]) == point.low


@pytest.mark.skipif(not AXE.is_file(), reason="needs axe-core")
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_also_with_the_keys_open(look, theme):
    watched = look(color_scheme=theme)
    watched.page.keyboard.press("?")
    assert watched.violations() == []


@pytest.mark.parametrize("width", [320, 390, 768, 1440])
def test_nothing_is_wider_than_the_screen(look, width):
    assert look(viewport={"width": width, "height": 900}).overflow() <= 0
