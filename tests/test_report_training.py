"""Trainings in the report: maps, curves, tables and pictures over steps and levels."""

import io
import json
import math
import re
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from trainings import FACES, LEVELS, STEPS, commit_run, face_store, x0_of

from nca_cli.analysis.learning import NOTHING_TO_LEARN
from nca_cli.figures.curves.training import EmergenceMap, learning_panel
from nca_cli.figures.curves.training_svg import drawn_curves, drawn_map
from nca_cli.report import build_report, collect, gallery, render
from nca_cli.report.data import ReportRequest
from nca_cli.report.page import learned
from nca_cli.store import Filters, Store

LATEST = ReportRequest(Filters(latest=True))


def forgetful(step, x_t, x0, level):
    """Best at the second of three checkpoints."""
    return x0 * {0: 0.0, 10: 0.3, 100: 0.9, 1000: 0.5}[step]


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return face_store(tmp_path_factory.mktemp("training") / "store")


@pytest.fixture(scope="module")
def report(store):
    return collect(store, LATEST)


@pytest.fixture(scope="module")
def page(store, report):
    return render(report, gallery(store, report))


def of(report, metric="mse"):
    return next(each for each in report.training.emergences if each.metric == metric)


def test_a_store_without_trainings_has_no_such_section(tmp_path):
    from galleries import portrait_store

    store = portrait_store(tmp_path / "store", images=("one", "two", "three"))
    report = collect(store)
    page = render(report, gallery(store, report))
    assert 'id="learned"' not in page
    assert "#trainings" not in page.split("<script")[-1]


def test_the_rest_of_the_page_is_of_the_last_step(report):
    assert {series.sampler for series in report.series} == {"one-step"}
    assert len(report.values) == len(report.metrics) * FACES * len(LEVELS)


def test_the_table_holds_every_learning_step_and_says_why_others_are_blank(page, report):
    table = page[page.index("Table of learning steps") :]
    table = table[: table.index("</details>")]
    shown = [float(value) for value in re.findall(r'<data value="([^"]+)"', table)]
    known = [each.learned[level].step.value for each in report.training.emergences
             for level in range(len(LEVELS))]  # fmt: skip
    assert shown == [value for value in known if math.isfinite(value)]
    assert len(shown) > 8
    assert NOTHING_TO_LEARN in table
    assert table.count("–<sup>") == sum(map(math.isnan, known)) > 0


def test_a_map_has_a_cell_for_each_step_and_level_in_the_colour_of_its_share(report):
    each = of(report)
    drawn = drawn_map(EmergenceMap(each))
    assert len(drawn.cells) == len(LEVELS) * (len(STEPS) - 1)
    for cell in drawn.cells:
        share = each.learned[cell.level].share[cell.step]
        assert cell.share == share or (math.isnan(cell.share) and math.isnan(share))
        if not math.isnan(share):
            assert cell.per_cent == round(100 * min(max(share, 0), 1))
    clean, noisy = (drawn.columns[each.t.index(t)] for t in (100, 900))
    assert clean < noisy
    assert list(drawn.rows) == sorted(drawn.rows, reverse=True)  # the first step is at the bottom


def test_the_line_at_one_half_passes_through_the_learning_steps(report):
    each = of(report)
    drawn = drawn_map(EmergenceMap(each))
    half = " ".join(path for share, path in drawn.iso_lines if share == 0.5)
    points = np.array([[float(part) for part in point.split()]
                       for point in re.split("[ML]", half) if point.strip()])  # fmt: skip
    rows = dict(zip((math.log(step) for step in STEPS[1:]), drawn.rows, strict=True))
    tested = 0
    for level, found in enumerate(each.learned):
        at = points[np.isclose(points[:, 0], drawn.columns[level], atol=0.2)]
        if math.isfinite(found.step.value) and len(at):
            y = np.interp(math.log(found.step.value), list(rows), list(rows.values()))
            assert np.abs(at[:, 1] - y).min() < 0.5
            tested += 1
    assert tested >= 2


def test_learning_curves_mark_where_half_is_learned(report):
    each = of(report, "psnr")
    drawn = drawn_curves(learning_panel(each))
    x = dict(zip(STEPS[1:], drawn.steps[1:], strict=True))
    for line in drawn.lines:
        step = each.learned[line.level].step
        assert (line.half is None) == math.isnan(step.value)
        if line.half:
            expected = np.interp(math.log(step.value), np.log(STEPS[1:]), list(x.values()))
            assert abs(line.half[0] - expected) < 0.2
            assert line.half[2] <= line.half[0] <= line.half[3]


def test_squares_of_a_sheet_are_the_stored_pictures(store, report):
    shown = gallery(store, report).sheets
    assert [sheet.image for sheet in shown] == [f"face-{seed}" for seed in range(FACES)]
    sheet = shown[1]
    assert (sheet.steps, sheet.t) == (STEPS, LEVELS)
    pixels = np.asarray(Image.open(io.BytesIO(sheet.content)).convert("RGB")).astype(int)
    side = sheet.size[0]
    for artifact in store.select(Filters(images=("face-1",))):
        row = 0 if artifact.is_noise else 1 + STEPS.index(artifact.step)
        for column, t in enumerate(LEVELS, 1):
            square = pixels[row * side : (row + 1) * side, column * side : (column + 1) * side]
            apart = square - artifact.read("preview", [(t, 0)])[0].astype(int)
            assert np.abs(apart.mean(axis=-1)).mean() < (25 if artifact.is_noise else 8)
    assert np.abs(pixels[:side, :side] - (x0_of(1).transpose(1, 2, 0) + 1) * 127.5).mean() < 6


def test_what_is_lost_again_is_listed_with_its_interval(tmp_path):
    store = face_store(tmp_path / "store", answer=forgetful)
    report = collect(store, LATEST)
    lost = learned.views(report, gallery(store, report))[0].lost
    mine = [each for each in lost if each.title == "PSNR"]
    assert [each.t for each in mine] == list(LEVELS)
    assert {each.best_step for each in mine} == {100}
    page = render(report, gallery(store, report))
    assert f"{len(lost)} with an interval above 0" in page


def test_trainings_of_the_same_settings_have_intervals_over_trainings(tmp_path):
    def at(speed):
        return lambda step, x_t, x0, level: x0 * (step / (step + speed))

    store = Store(tmp_path / "store")
    x0s = {f"face-{seed}": x0_of(seed) for seed in range(FACES)}
    for name, speed in (("a", 60), ("b", 120), ("c", 240)):
        commit_run(store, name, x0s, at(speed), STEPS, LEVELS, {"settings": "uniform"})
    report = collect(store, LATEST)
    ((name, table),) = learned.together(report).items()
    assert name == "uniform · one-step, 3 trainings"
    found = dict(table.rows)["MSE"][0]
    known = [each.learned[0].step.value for each in report.training.emergences
             if each.metric == "mse"]  # fmt: skip
    assert math.isclose(found.value, math.exp(np.mean(np.log(known))))
    assert "Trainings with the same settings" in render(report, gallery(store, report))


def test_pictures_of_trainings_keep_the_budget_and_lie_beside_the_page_if_asked(store, tmp_path):
    file = tmp_path / "small.html"
    report = build_report(store, file, Filters(latest=True), max_mb=0.5)
    assert file.stat().st_size <= 0.5e6
    report = build_report(store, tmp_path / "page.html", Filters(latest=True),
                          assets=tmp_path / "pictures")  # fmt: skip
    page = (tmp_path / "page.html").read_text("utf-8")
    sheets = gallery(store, replace(report, request=replace(report.request, assets=None))).sheets
    assert len(sheets) == FACES
    sources = re.findall(r'class="sheet-of-steps".*?src="([^"]+)"', page, re.DOTALL)
    assert len(sources) == FACES
    assert all((tmp_path / source).is_file() for source in sources)


def test_the_script_is_told_the_number_of_each_level_and_step(page, report):
    data = json.loads(re.search(r'id="data">(.*?)</script>', page, re.DOTALL)[1])
    (training,) = data["learned"]
    each = of(report, "psnr")
    measure = next(one for one in training["measures"] if one["title"] == "PSNR")
    for level in range(len(LEVELS)):
        for step in range(len(STEPS)):
            assert measure["value"][level][step].startswith(f"{each.mean[level][step]:.2f} dB")
    assert [training["t"][level] for level in training["levels"]] == ["100", "300", "600", "900"]
    assert training["nearest"] == [training["levels"][k] for k in range(len(LEVELS))]


def test_the_pairs_whose_order_is_certain_are_counted_at_each_level(store, report):
    (view,) = learned.views(report, gallery(store, report))
    for t in LEVELS:
        known = [one for one in report.training.orders if one.metric != one.then_metric
                 and one.t == t and math.isfinite(one.probability)]  # fmt: skip
        assert view.pairs.get(t, (0, 0)) == (sum(one.certain for one in known), len(known))
    assert sum(known for _, known in view.pairs.values()) > 10
