"""The chart of half-levels: the numbers of the CSV, and what lies beyond the levels at the edge."""

import math

import pytest
from test_findings import GONE, LASTS, half, with_halves
from test_report import DDIM, ONE_STEP, fill

from nca_cli.analysis import Turn
from nca_cli.figures.curves.halves import half_rows
from nca_cli.report import collect, render
from nca_cli.report.page.charts import entries
from nca_cli.report.page.halves import answers
from nca_cli.store import Store

KEY = ("demo", "one-step")
LEVELS = (2.0, 0.0, -4.0, -8.0)


@pytest.fixture
def report(tmp_path):
    store = Store(tmp_path / "store")
    for image in ("cat", "dog", "eel"):
        fill(store, image=image, recipe=DDIM)
        fill(store, image=image, recipe=ONE_STEP)
    return collect(store)


def test_a_mark_stands_where_half_is_lost_and_beyond_the_levels_at_the_edge():
    halves = [half(*KEY, 0, LASTS), half(*KEY, 1, (-1.0, -2.0, 0.5)), half(*KEY, 2, GONE),
              half(*KEY, 3, (0.0, -math.inf, 1.0)), half(*KEY, 4, "no values")]  # fmt: skip
    found = half_rows(halves, [KEY], LEVELS)
    rows = {measure: marks[0] for measure, marks in found.rows}
    order = ["coherence/2", "coherence/3", "coherence/1", "coherence/0"]
    assert [measure for measure, _ in found.rows] == order  # gone, then lost, then left
    assert (rows["coherence/0"].at, rows["coherence/0"].turn) == (found.x.low, Turn.LASTS)
    assert (rows["coherence/2"].at, rows["coherence/2"].turn) == (found.x.high, Turn.GONE)
    mark = rows["coherence/1"]
    assert (mark.at, mark.low, mark.high, mark.open) == (-1.0, -2.0, 0.5, (False, False))
    assert rows["coherence/3"].open == (False, True)
    assert rows["coherence/3"].low == found.x.low < -8.0


def test_nothing_known_is_no_chart():
    assert half_rows([half(*KEY, 0, "no values")], [KEY], LEVELS) is None
    assert half_rows([], [KEY], LEVELS) is None


def test_the_first_screen_has_the_leading_series_of_each_model_at_the_numbers_of_the_csv(report):
    (bands,) = answers(report, entries(report))
    known = {each.measure: each.log_snr.value for each in report.analysis.half_levels
             if (each.model, each.sampler) == KEY
             and each.measure.startswith("coherence/")}  # fmt: skip
    shown = {mark.half.measure: mark.half.log_snr.value for _, marks in bands.rows
             for mark in marks if not mark.beyond}  # fmt: skip
    assert shown
    assert all(known[measure] == value for measure, value in shown.items())
    assert {mark.entry.name for _, marks in bands.rows for mark in marks} == {"demo · one-step"}


def test_the_page_says_that_more_than_half_is_left_at_the_last_level(report):
    halves = [half(*KEY, 0, LASTS), half(*KEY, 1, (-1.0, -2.0, 0.5)), half(*KEY, 2, GONE)]
    page = render(with_halves(report, *halves))
    assert "more than half is left at the last level, SNR 0.00027" in page
    assert "half is lost before the first level, SNR 8.5" in page
    assert page.count(" lasts\"") == page.count(" gone\"") == 2  # first screen and section
