"""P2's experiments in the page: pairs, what the image decides, content beside weights."""

from dataclasses import replace

import numpy as np
import pytest
from test_report import LEVELS, Page, fill

from nca_cli.analysis import Estimate
from nca_cli.analysis.variance import _falls
from nca_cli.report import collect, gallery, render
from nca_cli.report.page.charts import entries
from nca_cli.report.page.experiments import CLOSED, charts, falling, legend
from nca_cli.schedule import FlowMatching, Schedule
from nca_cli.store import Store


def report_of(tmp_path, images=("cat", "dog", "eel", "fox"), **settings):
    store = Store(tmp_path / "store")
    for image in images:
        fill(store, image=image, **settings)
    return collect(store)


def lines(report):
    """Chart → name of a line → t → mean."""
    drawn = charts(report, entries(report))
    return {
        each.measure: {
            line.entry.name + (" again" if line.entry.reference else ""): {
                point.t: point.mean for point in line.entry.points(each.measure)
            }
            for line in each.lines
        }
        for each in drawn
    }


def test_noisy_pairs_of_one_image_lie_on_their_closed_form(tmp_path):
    report = report_of(tmp_path)
    drawn = charts(report, entries(report))[0]
    assert drawn.measure == "pairs/xₜ"
    exact = [2 * Schedule().level(t).s ** 2 for t in LEVELS]
    _, _, measured, closed = (
        [p.mean for p in line.entry.points("pairs/xₜ")] for line in drawn.lines
    )
    assert [line.entry.name for line in drawn.lines[2:]] == ["x_t, same image", CLOSED]
    assert closed == pytest.approx(exact)
    assert measured == pytest.approx(exact, rel=0.1)


def test_pairs_of_reconstructions_are_drawn_for_each_series_in_its_style(tmp_path):
    report = report_of(tmp_path)
    drawn = lines(report)["pairs/x̂₀"]
    assert list(drawn) == ["demo · ddim-50, different images", "demo · ddim-50, same image"]
    other, same = drawn.values()
    assert all(same[t] < other[t] for t in LEVELS)


def test_what_the_image_decides_falls_with_noise(tmp_path):
    share = lines(report_of(tmp_path))["decided"]["demo · ddim-50"]
    assert share[100] > 0.9
    assert np.all(np.diff([share[t] for t in LEVELS]) < 0)


def test_the_page_says_whether_the_variance_between_images_falls(tmp_path):
    few = report_of(tmp_path / "few")
    assert falling(few) == (
        "The variance of x̂0 between images is not checked "
        "(needs 12 images with two seeds at two levels): demo · ddim-50."
    )
    many = report_of(tmp_path, images=[f"cat-{number}" for number in range(12)])
    assert falling(many).startswith("The variance of x̂0 between images falls with noise")
    assert "between images falls with noise within its intervals" in Page(render(many)).text
    (curve,) = many.analysis.variances
    more = [
        replace(point, between=Estimate(number, number - 0.4, number + 0.4, 12))
        for number, point in enumerate(curve.points, 1)
    ]
    wrong = replace(curve, points=more, falls=_falls(more))
    wrong = replace(many, analysis=replace(many.analysis, variances=(wrong,)))
    assert "between images rises with noise beyond its intervals" in falling(wrong)
    assert falling(replace(many, analysis=replace(many.analysis, variances=()))) == ""


def test_the_shares_of_training_are_those_of_the_schedule_per_unit_of_log_snr(tmp_path):
    plain = lines(report_of(tmp_path))["content"]["plain training again"]
    log_snr = [Schedule().log_snr(t) for t in LEVELS]  # 100, 300 and 900 of 1000
    assert list(plain.values()) == pytest.approx([0.2, 0.6] / -np.diff(log_snr))


def test_what_is_lost_between_two_levels_is_the_area_under_its_line(tmp_path):
    report = report_of(tmp_path)
    density = list(lines(report)["content"]["demo · ddim-50"].values())
    shares = [each.content.value for each in report.analysis.weights]
    log_snr = [Schedule().log_snr(t) for t in LEVELS]
    assert density * -np.diff(log_snr) == pytest.approx(shares)


def test_one_seed_has_no_pairs_of_one_image_and_the_page_says_what_to_do(tmp_path):
    report = report_of(tmp_path, seeds=(0,))
    drawn = lines(report)
    assert list(drawn["pairs/x̂₀"]) == ["demo · ddim-50, different images"]
    assert "decided" not in drawn
    assert "--seed 0,1" in render(report)


def test_models_of_other_schedules_see_other_noise_and_are_told_apart(tmp_path):
    from gaussians import Gaussian
    from gaussians import fill as fill_gaussian

    root = tmp_path / "store"
    fill_gaussian(root, Gaussian(), 4, 2, levels=(200, 500), schedule=FlowMatching())
    store = Store(root)
    for image in ("cat", "dog", "eel"):
        fill(store, image=image)
        fill(store, image=image, model="twin")
    report = collect(store)
    drawn = charts(report, entries(report))[0]
    names = {line.entry.name for line in drawn.lines}
    assert {"x_t, same image (demo)", "x_t, same image (g)"} <= names
    assert not any("twin" in name for name in names)


def test_one_image_has_no_such_experiment(tmp_path):
    report = report_of(tmp_path, images=("cat",), seeds=(0,))
    assert "pairs/x̂₀" not in lines(report)


def test_lines_of_no_series_are_in_the_legend_of_the_section(tmp_path):
    report = report_of(tmp_path)
    names = set(legend(charts(report, entries(report))))
    assert {"x_t, same image", "x_t, different images", CLOSED, "P2 weights"} <= names
    page = render(report, gallery(Store(tmp_path / "store"), report))
    assert page.count('id="pairs"') == 1


def test_lines_that_look_alike_are_one_entry_of_the_legend(tmp_path):
    """Each model has weights of its own levels, all of one look; the noisy pairs differ in look."""
    store = Store(tmp_path / "store")
    for image in ("cat", "dog", "eel"):
        for model, levels in (("few", (100, 900)), ("many", (100, 300, 900))):
            fill(store, image=image, model=model, levels=levels)
    report = collect(store)
    named = legend(charts(report, entries(report)))
    assert len(set(named.values())) == len(named)
    assert {"plain training", "P2 weights", CLOSED} <= set(named)
    assert {"x_t, same image (few)", "x_t, same image (many)"} <= set(named)
