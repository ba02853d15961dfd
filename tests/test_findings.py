"""What the page says in sentences and titles is what the half-levels and references support."""

import math
from dataclasses import replace

import pytest
from gaussians import ONE_STEP as EXACT
from gaussians import Gaussian
from gaussians import fill as fill_gaussian
from test_report import DDIM, ONE_STEP, fill

from nca_cli.analysis import Estimate, HalfLevel
from nca_cli.figures.curves.plots import uneven
from nca_cli.figures.curves.titles import full_title, known_metric
from nca_cli.report import collect, render
from nca_cli.report.data import findings
from nca_cli.report.data.findings import _compared
from nca_cli.report.page.charts import entries
from nca_cli.report.page.halves import half_chart
from nca_cli.schedule import Schedule
from nca_cli.store import Store

GONE = "half is lost before the cleanest measured level"
LASTS = "less than half is lost at the noisiest measured level"


@pytest.fixture
def report(tmp_path):
    """Two models: one by a chain and by one step, the other by one step."""
    store = Store(tmp_path / "store")
    for image in ("cat", "dog", "eel"):
        fill(store, image=image, recipe=DDIM)
        fill(store, image=image, recipe=ONE_STEP)
        fill(store, image=image, recipe=ONE_STEP, model="wiener")
    return collect(store)


def half(model, sampler, octave, where):
    """`where`: logSNR with its interval, or why there is none."""
    found = Estimate(n=3, blank=where) if isinstance(where, str) else Estimate(*where, n=3)
    measure = f"coherence/{octave}"
    return HalfLevel(model, sampler, measure, found, math.nan, 1.0, 0.0, False, 1.0)


def with_halves(report, *halves):
    return replace(report, analysis=replace(report.analysis, half_levels=halves))


def said(report, *halves):
    return findings(with_halves(report, *halves))


def test_the_sentence_is_about_one_step_where_there_is_one(report):
    chain = [half("demo", "ddim-50", octave, (1.0, 0.5, 1.5)) for octave in (0, 1)]
    step = [half("demo", "one-step", octave, (-1.0, -1.5, -0.5)) for octave in (0, 1)]
    (sentence,) = said(report, *chain, *step)
    assert sentence.startswith("demo · one-step")
    assert "SNR 0.37 [0.22" in sentence


def test_all_sentences_are_about_the_same_bands_and_say_what_is_gone_or_lasts(report):
    demo = (-1.0, -1.2, -0.8), (0.0, -0.5, 0.5), (1.0, 0.5, 1.5)
    halves = [half("demo", "one-step", octave, where) for octave, where in enumerate(demo)]
    other = (LASTS, (0.2, 0.1, 0.3), GONE)
    halves += [half("wiener", "one-step", octave, where) for octave, where in enumerate(other)]
    first, second = said(report, *halves)
    cleanest, noisiest = (math.exp(Schedule().log_snr(t)) for t in (100, 900))
    for sentence in (first, second):
        assert "the detail at 4–8 cycles per side" in sentence
        assert "the structure below 2 cycles per side" in sentence
    lost = "has already lost half of the detail at 4–8 cycles per side"
    assert f"{lost} at SNR {cleanest:.2g}" in second
    assert "keeps most of the structure" in second
    assert f"{noisiest * 1e5:.1f}×10⁻⁵" in second or f"{noisiest:.2g}" in second


def test_an_end_beyond_the_levels_is_named_by_the_level_not_by_zero(report):
    low = (-3.0, -math.inf, -2.0), (1.0, 0.5, 9.0)
    (sentence,) = said(report, *(half("demo", "one-step", k, each) for k, each in enumerate(low)))
    assert "0.05 [below 0.00027,\N{NO-BREAK SPACE}0.14]" in sentence
    assert "2.7 [1.6,\N{NO-BREAK SPACE}above 8.5]" in sentence


def test_rows_are_in_the_order_of_one_series_whatever_the_others_have(report):
    mine = {0: LASTS, 1: (-1.0, -2.0, 0.0), 2: GONE}
    halves = [half("demo", "one-step", octave, where) for octave, where in mine.items()]
    for octave, where in ((0, 1.9), (1, 1.8), (2, -4.0)):
        halves.append(half("demo", "ddim-50", octave, (where, where - 1, where + 0.1)))
    changed = with_halves(report, *halves)
    drawn = half_chart(changed, entries(changed))
    assert drawn.first == "demo · one-step"
    assert [title for title, _ in drawn.rows] == [full_title(f"coherence/{k}") for k in (2, 1, 0)]
    page = render(changed)
    assert "rows are sorted by demo · one-step" in page


def test_an_open_interval_ends_in_an_arrow(report):
    ends = (-3.0, -math.inf, -2.0), (1.0, 0.5, math.inf), (0.0, -1.0, 1.0)
    changed = with_halves(report, *(half("demo", "one-step", k, e) for k, e in enumerate(ends)))
    drawn = half_chart(changed, entries(changed))
    found = {title: marks[0].open for title, marks in drawn.rows}
    wanted = (False, True), (True, False), (False, False)
    assert found == {full_title(f"coherence/{k}"): open_ for k, open_ in enumerate(wanted)}
    page = render(changed)
    assert page.count(' more" style="left') == page.count(' less" style="left') == 2  # twice drawn


# -- the Gaussians ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    """30 pictures of 3·8·8 values, so that the Gaussian of 29 of them knows 28 directions."""
    root = tmp_path_factory.mktemp("fitted") / "store"
    fill_gaussian(root, Gaussian(), 30, 1, (EXACT,), levels=(100, 500))
    store = Store(root)
    return collect(store)


def test_a_reference_says_how_many_directions_it_knows(fitted):
    known = {each.name: (each.known, each.dimensions) for each in fitted.analysis.references}
    assert known == {"reference:gaussian": (28, 192), "reference:wiener": (192, 192)}


def test_the_page_says_what_the_gaussians_know_and_claims_no_more(fitted):
    page = render(fitted)
    assert "which span 28 of 192 directions" in page
    assert "upper bound" in page
    assert "Gaussian of 29 other images (28 of 192 directions)" in page
    assert "Gain over the Wiener filter" in page
    for claim in ("beyond mean and covariance", "Beyond second order"):
        assert claim not in page


def test_what_is_gained_is_told_over_the_gaussian_that_comes_closest(fitted):
    """Near SNR 1, t = 100, first; what the other lacks in images is no knowledge of the network."""
    gains = {e.reference: e.gain for e in fitted.analysis.excess
             if e.t == 100 and e.reference.endswith(("gaussian", "wiener"))}  # fmt: skip
    closest = min(gains, key=lambda name: gains[name].value)
    title = {"reference:gaussian": "Gaussian of 29 other images (28 of 192 directions)",
             "reference:wiener": "Wiener filter of 29 other images"}[closest]  # fmt: skip
    gain, sentence = gains[closest], findings(fitted)[-1]
    assert gain.low > 0
    assert f" is {gain.value:.1f} dB [{gain.low:.1f},\N{NO-BREAK SPACE}" in sentence
    assert " better at SNR" in sentence
    assert sentence.startswith(f"Compared with the {title}, ")
    assert "(an upper bound; n\N{NO-BREAK SPACE}=" in sentence


def test_a_gain_whose_interval_holds_zero_is_none(fitted):
    def told(value, low, high):
        return _compared(Estimate(value, low, high, 30)).replace("\N{NO-BREAK SPACE}", " ")

    assert told(5.0, 4.8, 5.2) == "5.0 dB [4.8, 5.2] better"
    assert told(-1.5, -1.75, -1.25) == "1.5 dB [1.2, 1.8] worse"
    assert told(0.2, -0.2, 0.5) == "no better"
    changed = replace(fitted, analysis=replace(fitted.analysis, excess=[
        replace(each, gain=replace(each.gain, low=-0.1)) for each in fitted.analysis.excess
    ]))  # fmt: skip
    assert "no better at SNR" in findings(changed)[-1]
    assert "dB" not in findings(changed)[-1]


def test_nothing_is_gained_over_gaussians_of_three_images(report):
    assert not any("better" in sentence for sentence in findings(report))


# -- titles ----------------------------------------------------------------------------------------


def test_a_title_says_closer_only_where_that_is_so():
    assert full_title("kept/0") == "Energy kept, below 2 cycles per side"
    assert known_metric("kept/0").better == known_metric("excess/wiener").better == ""
    assert known_metric("coherence/4").better == "higher"
    assert known_metric("mse").better == "lower"


# -- what may be compared --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("images", "levels", "seeds", "words"),
    [
        (("cat", "dog"), (100, 300), (0,), ""),
        (("cat", "eel"), (100, 300), (0,), "different images"),  # as many, but others
        (("cat",), (100, 300), (0,), "different images"),
        (("cat", "dog"), (100,), (0,), "different noise levels"),
        (("cat", "dog"), (100, 300), (0, 1), "different seeds"),
    ],
)
def test_a_note_says_in_what_series_differ(tmp_path, images, levels, seeds, words):
    store = Store(tmp_path / "store")
    for image in ("cat", "dog"):
        fill(store, image=image, levels=(100, 300), seeds=(0,))
    for image in images:
        fill(store, image=image, levels=levels, seeds=seeds, model="other")
    report = collect(store)
    note = uneven(report.values)
    assert words in note
    assert bool(words) == bool(note) == bool(report.notes)
