"""Trainings of the report in a real browser: two sliders that move pictures and charts at once."""

import math
from base64 import b64decode

import numpy as np
import pytest
from browser import AXE, CHROMIUM, Watched, decoded
from trainings import FACES, LEVELS, STEPS, face_store

from nca_cli.figures.curves.svg import LEFT, RIGHT
from nca_cli.report import build_report
from nca_cli.store import Filters

pytest.importorskip("playwright.sync_api")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return face_store(tmp_path_factory.mktemp("trained") / "store", ("mine", "other"))


@pytest.fixture(scope="module")
def built(store):
    file = store.root.parent / "report.html"
    return file, build_report(store, file, Filters(latest=True))


@pytest.fixture
def look(browser, built):
    """Opens the page; it must have been silent and asked for nothing."""
    opened = []

    def open_page(**settings):
        file = settings.pop("file", built[0])
        watched = Watched(browser, file, **{"viewport": {"width": 1200, "height": 900}} | settings)
        opened.append(watched)
        watched.page.locator("#trainings").evaluate("(section) => section.scrollIntoView()")
        if settings.get("java_script_enabled", True):
            watched.until("document.querySelector('#over-steps canvas')?.width === 32")
            watched.settle()
        return watched

    yield open_page
    for watched in opened:
        watched.close()
        assert watched.faults == []
        assert watched.asked_for[1:] == []


def reading(watched):
    watched.settle()
    return watched.page.locator("#learned-reading").inner_text()


def current(watched, film):
    watched.settle()
    return watched.page.locator(f"#{film} [aria-current]").inner_text().strip()


def emergence(built, metric):
    return next(each for each in built[1].training.emergences if each.metric == metric)


def at(watched, selector):
    """Where a cursor of the chart that is shown stands."""
    shown = f".training:not([hidden]) .measure:not([hidden]) {selector}"
    return watched.page.locator(shown).get_attribute("transform")


def test_the_slider_over_steps_moves_films_charts_and_reading_by_keyboard(look, built):
    watched = look()
    psnr = emergence(built, "psnr")
    watched.page.locator("#step").focus()
    middle = watched.page.evaluate("Number(document.querySelector('#step-level').value)")
    before = at(watched, ".map .step-cursor"), at(watched, ".learning .step-cursor")
    for key, step in [("Home", 0), ("ArrowRight", 1), ("End", 3), ("ArrowLeft", 2)]:
        watched.page.keyboard.press(key)
        said = reading(watched)
        assert f"t = {LEVELS[middle]}, step {STEPS[step]:,}: " in said
        assert f"{psnr.mean[middle][step]:.2f} dB" in said
        assert current(watched, "over-steps") == f"{STEPS[step]:,}"
        assert watched.page.locator("#seen dd").inner_text() == f"{32 * STEPS[step]:,}"
        valuetext = watched.page.locator("#step").get_attribute("aria-valuetext")
        assert valuetext == f"step {STEPS[step]:,}"
    assert before != (at(watched, ".map .step-cursor"), at(watched, ".learning .step-cursor"))


def test_both_sliders_over_levels_are_one(look):
    watched = look()
    page = watched.page
    page.locator("#step-level").focus()
    page.keyboard.press("End")
    assert page.locator("#level").input_value() == str(len(LEVELS) - 1)
    assert current(watched, "over-levels") == "t = 900"
    assert page.locator("#over-steps-name").inner_text().endswith("t = 900")
    page.locator("#level").evaluate("(one) => one.focus({preventScroll: true})")
    page.keyboard.press("Home")
    assert page.locator("#step-level").input_value() == "0"
    assert current(watched, "over-levels") == "t = 100"


def test_a_click_in_a_map_chooses_step_and_level(look):
    watched = look()
    cell = '.measure:not([hidden]) .cell[data-level="2"][data-row="0"]'
    watched.page.locator(cell).first.click()
    assert f"t = {LEVELS[2]}, step {STEPS[1]}" in reading(watched)
    assert watched.page.locator("#level").input_value() == "2"


def test_maps_follow_the_axis_per_pixel_with_their_stages(look):
    watched = look()
    page = watched.page
    shown = page.locator(".training:not([hidden]) .measure:not([hidden]) .map")
    shift = 2 * math.log(32 / 256)

    def at_bound():
        """Where content turns coarse, at SNR 0.01, from pixels to the unit of the axis."""
        clean, noisy = map(float, shown.get_attribute("data-span").split())
        at = float(shown.locator("rect.coarse").get_attribute("x"))
        return clean - (at - LEFT) / (RIGHT - LEFT) * (clean - noisy)

    assert at_bound() == pytest.approx(math.log(0.01), abs=0.02)
    cursor = at(watched, ".map .level-cursor")
    page.locator("#per-pixel").check()
    watched.settle()
    assert shown.locator("text.x.axis").text_content().startswith("log SNR per pixel at 256 px")
    assert at_bound() == pytest.approx(math.log(0.01) - shift, abs=0.02)
    assert at(watched, ".map .level-cursor") == cursor  # levels stay, their axis moves
    page.locator("#per-pixel").uncheck()
    watched.settle()
    assert shown.locator("text.x.axis").text_content().startswith("log SNR (")
    assert at_bound() == pytest.approx(math.log(0.01), abs=0.02)


def test_a_link_to_that_axis_shows_maps_on_it_and_a_click_chooses_the_same_level(look):
    watched = look()
    page = watched.page
    page.evaluate("location.hash = 'axis=256&step=1'")
    watched.settle()
    shown = page.locator(".training:not([hidden]) .measure:not([hidden]) .map")
    assert shown.locator("text.x.axis").text_content().startswith("log SNR per pixel at 256 px")
    shown.locator('.cell[data-level="2"][data-row="0"]').click()
    assert f"t = {LEVELS[2]}, step {STEPS[1]}" in reading(watched)
    assert "axis=256" in page.url


def test_a_click_on_a_frame_chooses_its_step_or_level(look):
    watched = look()
    page = watched.page
    page.get_by_role("button", name="10", exact=True).click()
    assert current(watched, "over-steps") == "10"
    page.get_by_role("button", name="t = 600").click()
    assert "t = 600, step 10:" in reading(watched)


@pytest.mark.parametrize("image", [0, FACES - 1])
def test_frames_are_the_stored_pictures_of_their_step_and_level(look, store, image):
    watched = look()
    page = watched.page
    page.locator("#learned-image").select_option(f"face-{image}")
    page.locator("#step-level").focus()
    page.keyboard.press("End")
    page.keyboard.press("ArrowLeft")
    watched.settle()
    page.wait_for_timeout(200)
    for artifact in store.select(Filters(images=(f"face-{image}",), models=())):
        if artifact.is_noise or artifact.model_name != "mine":
            continue
        frame = page.locator("#over-steps canvas").nth(2 + STEPS.index(artifact.step))
        url = frame.evaluate("(canvas) => canvas.toDataURL()")
        seen = decoded(b64decode(url.split(",")[1])).astype(int)
        stored = artifact.read("preview", [(LEVELS[2], 0)])[0]
        assert np.abs(seen - stored).mean() < 12


def test_another_measure_and_another_training_are_chosen(look, built):
    watched = look()
    page = watched.page
    page.locator("#learned-measure").select_option(label="SSIM")
    ssim = emergence(built, "ssim")
    level = int(page.locator("#step-level").input_value())
    assert reading(watched).startswith("SSIM at ")
    assert f"{ssim.mean[level][-1]:.3f}" in reading(watched)
    page.locator("#training").select_option(label="other · one-step")
    assert reading(watched).startswith("SSIM at ")
    shown = page.locator(".training:visible")
    assert shown.count() == 1
    assert shown.locator("h3").first.inner_text() == "other · one-step"
    assert shown.locator(".measure:visible").count() == 1


def test_what_is_learned_first_stands_first_at_each_level(look, built):
    watched = look()
    page = watched.page
    for level, t in enumerate(LEVELS):
        page.locator("#step-level").evaluate(
            "(one, at) => { one.value = at; one.dispatchEvent(new Event('input')); }", level
        )
        watched.settle()
        rows = page.locator(".training:visible .firsts .half[data-measure]")
        said = [row.locator(".said").text_content() for row in rows.all()]
        steps = [float(text.split("step ")[1].split(" ")[0].replace(",", ""))
                 for text in said if "at step" in text]  # fmt: skip
        assert steps == sorted(steps)
        mine = [each for each in built[1].training.emergences if each.run == "mine"]
        assert len(rows.all()) == len(mine)
        known = [each for each in mine if np.isfinite(each.learned[level].step.value)]
        assert len(steps) == len(known)
        assert page.locator(".training:visible .at-level").inner_text() == f"t = {t}"


def test_measures_that_gain_nothing_are_named_in_one_line(look, built):
    watched = look()
    page = watched.page
    page.locator("#step-level").fill(str(len(LEVELS) - 1))  # of which nothing is learned
    watched.settle()
    rows = page.locator(".training:visible .firsts .half[data-measure]")
    said = page.locator(".training:visible .nothing").inner_text()
    hidden = [row for row in rows.all() if not row.is_visible()]
    assert hidden
    for row in hidden:
        assert row.locator(".what").text_content() in said
    assert said.count("No gain over the baseline") == 1
    for row in rows.all():
        if row.is_visible():
            assert row.locator(".what").text_content() not in said.split(": ")[1].split(", ")


def test_the_order_of_levels_is_a_matrix(look, built):
    watched = look()
    page = watched.page
    page.locator("#learned-measure").select_option(label="PSNR")
    page.locator("#step-level").fill("0")
    watched.page.wait_for_timeout(400)
    table = page.locator(".training:visible .order", has_text="Order of levels, PSNR")
    names = [text.split("t = ")[1] for text in table.locator("tbody th").all_text_contents()]
    known = {(one.t, one.then_t): one.probability for one in built[1].training.orders
             if one.run == "mine" and one.metric == one.then_metric == "psnr"}  # fmt: skip
    assert len(names) >= 2
    cells = [row.locator("td").all_text_contents() for row in table.locator("tbody tr").all()]
    for one, name in enumerate(names):
        for other in range(one + 1, len(names)):
            pair = int(name), int(names[other])
            chance = known[pair] if pair in known else 1 - known[pair[::-1]]
            assert cells[one][other - 1] == f"{100 * chance:.0f}"
            cell = table.locator("tbody tr").nth(one).locator("td").nth(other - 1)
            certain = max(chance, 1 - chance) >= 0.95
            assert (cell.get_attribute("class") == "certain") == certain


def test_without_a_script_sheets_and_all_measures_stand_below_one_another(look):
    page = look(java_script_enabled=False).page
    assert page.locator(".sheet-of-steps:visible").count() == 2 * FACES
    assert page.locator(".measure:visible").count() > 10
    assert page.locator("#step").is_hidden()


@pytest.mark.parametrize("width", [320, 390, 768, 1440])
def test_nothing_is_wider_than_the_screen(look, width):
    assert look(viewport={"width": width, "height": 900}).overflow() <= 0


@pytest.mark.skipif(not AXE.is_file(), reason="needs axe-core")
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing(look, theme):
    watched = look(color_scheme=theme)
    assert watched.violations("#trainings") == []
