"""Models of several resolutions on the page: a note, and an axis on which content has one place."""

import math

import pytest
from browser import AXE, CHROMIUM, Watched
from galleries import LEVELS, SCHEDULE, portrait_store
from stores import ONE_STEP

from nca_cli.analysis import Turn
from nca_cli.report import build_report
from nca_cli.report.page import charts, resolution

pytest.importorskip("playwright.sync_api")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")
SIDES = {"small": 32, "large": 64}
LEFT, RIGHT = 46, 352


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    root = tmp_path_factory.mktemp("sizes")
    for name, side in SIDES.items():
        images = [f"portrait-{number}" for number in range(3)]
        store = portrait_store(root / "store", images=images, models=(name,),
                               recipes=(ONE_STEP,), side=side)  # fmt: skip
    return build_report(store, root / "report.html"), root / "report.html"


@pytest.fixture
def page(browser, built):
    watched = Watched(browser, built[1], viewport={"width": 1440, "height": 900})
    watched.settle()
    yield watched.page
    watched.close()
    assert watched.faults == []


def shifts(report):
    """Of each series, by its place."""
    return [2 * math.log(SIDES[series.model] / 256) for series in report.series]


def test_the_shift_of_a_model_is_twice_the_logarithm_of_its_side(built):
    report, _ = built
    found = [resolution.shift(report, entry) for entry in charts.entries(report)]
    assert found[:2] == pytest.approx(shifts(report))
    halves = {64: -0.44, 128: -1.79, 256: -3.14}  # of one Wiener prior, at 4-8 cycles per side
    placed = [level + 2 * math.log(side / resolution.STATED) for side, level in halves.items()]
    assert max(placed) - min(placed) < 0.1


def test_the_page_says_that_resolutions_differ(page):
    first, curves = "coarse stages (Choi et al., 2022; at 256 px)", "its stages at 256 px"
    stages = {"first": first, "curves": curves}
    for place, stated in stages.items():
        said = page.locator(f"section:has(#{place})").inner_text()
        assert "Models of 32 to 64 px" in said
        assert "1.39 lower in log SNR" in said
        assert stated in said


def markers(page, entry):
    marks = page.locator(f"figure[data-chart='0'] g[data-entry='{entry}'] .marker")
    paths = marks.evaluate_all("(all) => all.map((one) => one.getAttribute('d'))")
    return [[float(at) for at in path[1:].partition("m")[0].split()] for path in paths]


def test_every_model_moves_as_far_as_its_resolution_says(page, built):
    report, _ = built
    before = [markers(page, entry) for entry in range(2)]
    page.locator("#per-pixel").check()
    assert page.url.endswith("axis=256")
    clean, noisy = map(float, page.locator("figure[data-chart='0']").get_attribute(
        "data-range").split()[2:4])  # fmt: skip
    for entry, shift in enumerate(shifts(report)):
        placed = [SCHEDULE.log_snr(t) + shift for t in LEVELS]
        expected = [LEFT + (clean - at) / (clean - noisy) * (RIGHT - LEFT) for at in placed]
        found = markers(page, entry)
        assert [x for x, _ in found] == pytest.approx(expected, abs=0.21)
        assert [y for _, y in found] == [y for _, y in before[entry]]
    title = page.locator("figure[data-chart='0'] text.x.axis").text_content()
    assert title.startswith("log SNR per pixel at 256 px")
    page.locator("#per-pixel").uncheck()
    assert [markers(page, entry) for entry in range(2)] == before
    assert "#" not in page.url


@pytest.mark.skipif(not AXE.is_file(), reason="needs axe-core")
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_on_that_axis(browser, built, theme):
    watched = Watched(browser, built[1], viewport={"width": 1440, "height": 900},
                      color_scheme=theme)  # fmt: skip
    watched.page.locator("#per-pixel").check()
    watched.settle()
    assert watched.violations() == []
    watched.close()


def test_half_levels_move_with_them(page, built):
    report, _ = built
    page.locator("#per-pixel").check()
    high, low = map(float, page.locator(".answer .halves").first.get_attribute(
        "data-span").split())  # fmt: skip
    known = {}
    for half in report.analysis.half_levels:
        if half.measure.startswith("coherence/") and half.turn is Turn.GOES:
            place = next(k for k, one in enumerate(report.series) if one.model == half.model)
            at = half.log_snr.value + shifts(report)[place]
            known.setdefault(place, []).append(100 * (high - at) / (high - low))
    assert known
    for place, expected in known.items():
        lanes = page.locator(f".answer .lane[data-entry='{place}']:not(.gone, .lasts) .point")
        found = lanes.evaluate_all("(all) => all.map((one) => parseFloat(one.style.left))")
        assert sorted(found) == pytest.approx(sorted(expected), abs=0.15)


def test_a_chart_is_read_and_chosen_from_on_that_axis(page):
    page.locator("#per-pixel").check()
    reader = page.locator("figure[data-chart='0'] .reader")
    assert int(reader.get_attribute("max")) == 2 * len(LEVELS) - 1  # no two levels coincide
    reader.focus()
    page.keyboard.press("End")
    said = page.locator("figure[data-chart='0'] .tip").inner_text()
    assert said.startswith(f"t = {LEVELS[-1]}, log SNR per pixel")
    assert "small" in said
    assert "large" not in said
    page.keyboard.press("Enter")
    assert page.locator("#level").input_value() == str(len(LEVELS) - 1)
    page.wait_for_timeout(350)
    assert page.locator("figure[data-chart='0'] .level-cursor.shown").count() == 0
    page.locator("#show-0").uncheck()  # one resolution is left: the level has one place again
    assert page.locator("figure[data-chart='0'] .level-cursor.shown").count() == 1
