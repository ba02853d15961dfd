"""What is left of a concept, how sure that is, and which concept goes first."""

import csv
import json
import math
import subprocess
import sys

import numpy as np
import pytest

from nca_cli.analysis import Turn
from nca_cli.cli import app
from nca_cli.concepts import ConceptRetention, Probe, Reading, concept_retention
from nca_cli.errors import NcaError, NothingStored
from nca_cli.images import image_digest, sample_images, to_unit
from nca_cli.recipe import Recipe
from nca_cli.report import build_report
from nca_cli.schedule import Schedule
from nca_cli.store import Filters, Samples, Store

LEVELS = range(50, 1000, 50)
SCHEDULE = Schedule()
ONE_STEP = Recipe("0" * 40, "one-step")


def logistic(half, log_snr, width=1.0):
    return 1 / (1 + math.exp((half - log_snr) / width))


def readings(images, halves, seed=0, noise=0.1, present=(), missing=(), seeds=1):
    """Readings that keep a logistic share of the truth: concept → logSNR of its half-level."""
    random = np.random.default_rng(seed)
    found = []
    for image in range(images):
        for name, half in halves.items():
            truth = float(image < present[name]) if name in present else random.normal()
            own = half + 0.5 * random.standard_normal()
            clean = truth + noise * random.standard_normal()
            for t in LEVELS:
                share = logistic(own, SCHEDULE.log_snr(t))
                for each in range(seeds):
                    if (image, t) not in missing:
                        read = share * truth + noise * random.standard_normal()
                        found.append(
                            Reading(f"i{image:03}", "m", "s", t, each, SCHEDULE.log_snr(t), name,
                                    (truth,), (read,), (clean,))
                        )  # fmt: skip
    return found


def half_of(found: ConceptRetention, name):
    return next(half for half in found.half_levels if half.measure == f"concept/{name}")


# -- half-levels -----------------------------------------------------------------------------------


@pytest.mark.parametrize("images", [8, 30, 64])
def test_known_half_levels_lie_within_their_intervals_about_as_often_as_they_say(images):
    inside = 0
    for seed in range(20):
        where = half_of(concept_retention(readings(images, {"hair": -3.0}, seed)), "hair").log_snr
        assert where.n == images
        inside += where.low <= -3.0 <= where.high
    assert inside >= 17


def test_the_half_level_of_many_images_is_the_one_that_was_put_in():
    half = half_of(concept_retention(readings(400, {"hair": -3.0})), "hair")
    assert half.log_snr.value == pytest.approx(-3.0, abs=0.2)
    assert SCHEDULE.log_snr(round(half.t)) == pytest.approx(half.log_snr.value, abs=0.1)
    assert half.log_snr.high - half.log_snr.low < 0.4


def test_curves_carry_the_share_that_is_left_and_count_images_not_seeds():
    found = concept_retention(readings(100, {"hair": -3.0}, seeds=2))
    (curve,) = found.curves
    assert [point.t for point in curve.points] == list(LEVELS)
    assert {(point.images, point.n) for point in curve.points} == {(100, 200)}
    assert all(point.low <= point.mean <= point.high for point in curve.points)
    assert curve.points[0].mean == pytest.approx(1, abs=0.1)
    assert curve.points[-1].mean == pytest.approx(0, abs=0.1)


def test_values_of_a_curve_are_the_retention_that_concept_points_have():
    from nca_cli.concepts.curves import concept_points

    some = readings(20, {"hair": -3.0, "skin": -5.0})
    points = {(p.concept, p.t): p.retention for p in concept_points(some)}
    for curve in concept_retention(some).curves:
        for point in curve.points:
            known = points[curve.measure.removeprefix("concept/"), point.t]
            assert point.mean == pytest.approx(known)


def test_the_order_of_readings_changes_nothing_and_neither_does_running_again():
    some = readings(10, {"hair": -3.0})
    once, again = concept_retention(some), concept_retention(some[::-1])
    assert half_of(once, "hair").log_snr.low == pytest.approx(half_of(again, "hair").log_snr.low)
    assert once == concept_retention(some)


def test_a_concept_that_lasts_beyond_the_levels_has_no_half_level():
    half = half_of(concept_retention(readings(20, {"hair": -30.0})), "hair")
    assert math.isnan(half.log_snr.value)
    assert "less than half is lost at the noisiest" in half.log_snr.blank


# -- blanks ----------------------------------------------------------------------------------------


def test_few_images_have_no_interval_and_fewer_no_half_level():
    few = half_of(concept_retention(readings(5, {"hair": -3.0})), "hair").log_snr
    assert math.isfinite(few.value)
    assert math.isnan(few.low)
    assert "too few images for an interval: 5 of 8" in few.blank
    fewer = concept_retention(readings(2, {"hair": -3.0}))
    assert math.isnan(half_of(fewer, "hair").log_snr.value)
    assert all("too few images" in point.blank for point in fewer.curves[0].points)
    assert concept_retention([]) == ConceptRetention()


@pytest.mark.parametrize(
    ("count", "blank"),
    [
        (2, "too few images with it"),
        (0, "the same value"),
        (19, "too few images without it"),
        (6, ""),
    ],
)
def test_what_hardly_any_image_has_or_lacks_has_no_interval(count, blank):
    found = concept_retention(readings(20, {"glasses": -3.0}, present={"glasses": count}))
    assert blank in half_of(found, "glasses").log_snr.blank
    assert math.isnan(half_of(found, "glasses").log_snr.low) == bool(blank)


def test_what_the_probe_cannot_read_in_clean_images_is_blank():
    some = [reading._replace(clean=(0.0,)) for reading in readings(20, {"hair": -3.0})]
    assert "cannot read it" in half_of(concept_retention(some), "hair").log_snr.blank


def test_images_that_lack_a_level_and_readings_that_are_not_numbers_are_left_out():
    some = readings(20, {"hair": -3.0}, missing={(3, 300)})
    some[-1] = some[-1]._replace(read=(math.nan,))
    found = concept_retention(some)
    assert half_of(found, "hair").log_snr.n == 18
    assert [p.images for p in found.curves[0].points if p.images < 20] == [19, 19]


def test_a_level_that_one_image_has_costs_the_others_nothing():
    some = readings(20, {"hair": -3.0})
    extra = some[0]._replace(t=975, log_snr=SCHEDULE.log_snr(975))
    assert concept_retention([*some, extra]).half_levels == concept_retention(some).half_levels


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("size", [1, 3])
@pytest.mark.parametrize(
    ("change", "blank"),
    [
        ("log_snr", "fewer than two levels of known SNR"),
        ("read", "no finite values"),
        ("clean", "no finite values"),
    ],
)
def test_a_series_without_any_level_is_blank_and_leaves_the_others(change, blank, size):
    good = [r._replace(truth=r.truth * size, read=r.read * size, clean=r.clean * size)
            for r in readings(8, {"hair": -3.0})]  # fmt: skip
    nothing = math.nan if change == "log_snr" else (math.nan,) * size
    broken = [r._replace(sampler="broken", **{change: nothing}) for r in good]
    halves = {half.sampler: half.log_snr for half in concept_retention(good + broken).half_levels}
    assert halves["s"] == half_of(concept_retention(good), "hair").log_snr
    assert (halves["broken"].blank, halves["broken"].n) == (blank, 0)


# -- orders ----------------------------------------------------------------------------------------


def test_what_is_lost_to_less_noise_goes_first_for_sure():
    found = concept_retention(readings(30, {"hair": -5.0, "freckles": -1.0, "skin": -5.0}))
    assert found.probability("freckles", "hair") == pytest.approx(1)
    assert found.probability("hair", "freckles") == pytest.approx(0)
    assert 0.01 < found.probability("skin", "hair") < 0.99
    assert math.isnan(found.probability("hair", "beard"))
    order = next(
        o for o in found.orders if {o.first, o.then} == {"concept/freckles", "concept/hair"}
    )
    assert order.certain
    assert order.difference.low <= 4 <= order.difference.high


def test_few_images_know_no_order():
    found = concept_retention(readings(5, {"hair": -5.0, "freckles": -1.0}))
    assert math.isnan(found.probability("freckles", "hair"))
    assert not any(order.certain for order in found.orders)


# -- the report ------------------------------------------------------------------------------------


def smoothed(x0, sigma):
    places = np.arange(x0.shape[-1])
    kernel = np.exp(-((places[:, None] - places) ** 2) / (2 * sigma**2))
    kernel = (kernel / kernel.sum(1, keepdims=True)).astype(np.float32)
    return kernel @ x0 @ kernel.T


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """The bundled portraits, and levels that are blurs of them."""
    from PIL import Image

    store = Store(tmp_path_factory.mktemp("report") / "store")
    space = {"schedule": SCHEDULE.describe(), "shape": [3, 64, 64], "resolution": 64}
    info = {"name": "demo", "source": "built in", "space": space, "licence": "MIT"}
    t = np.array([100, 300, 600, 900])
    index = t, np.zeros_like(t), np.array([SCHEDULE.log_snr(each) for each in t.tolist()])
    for path in sample_images("portraits"):
        key, x0 = image_digest(path, 64, "crop"), to_unit(np.asarray(Image.open(path))[None])[0]
        place = store.place("demo-00000000", info, path.stem, key)
        image = {"digest": key, "name": path.stem, "fit": "crop", "resolution": 64}
        header = {"model": json.dumps(info), "image": json.dumps(image)}
        store.commit(place, "noise", header | {"kind": "noise"},
                     Samples(*index, {"x_t": np.stack([x0] * 4)}), {"x0": x0})  # fmt: skip
        blurs = np.stack([smoothed(x0, sigma) for sigma in (0.5, 1.5, 4, 30)])
        header |= {"kind": "reconstruction", "recipe": ONE_STEP.canonical()}
        store.commit(place, ONE_STEP.name, header, Samples(*index, {"x0_hat": blurs}))
    return store


def test_the_report_of_the_bundled_portraits_has_a_section_about_concepts(store, tmp_path):
    page, rows, numbers = (tmp_path / name for name in ("r.html", "r.csv", "r.json"))
    report = build_report(store, page, csv=rows, json=numbers)
    text = page.read_text()
    assert '<h2 id="concepts">Concepts</h2>' in text
    assert "Retention of hair colour over log SNR" in text
    assert "Only 8 images have known concepts" in text
    assert "nan" not in text[text.index('id="concepts"') :].split("</section>")[0]
    content = json.loads(numbers.read_text())["concepts"]
    assert {"curves", "half_levels", "orders", "notes", "accuracies"} == set(content)
    known = {f"concept/{each.name}": each for each in Probe.load().concepts}
    for each in content["accuracies"]:
        concept = known[each["measure"]]
        assert (each["value"], each["measured_by"]) == (concept.accuracy, concept.measured_by)
        assert f">{concept.measured_by} {concept.accuracy:.2f}</td>" in text
    assert {each["measure"] for each in content["accuracies"]} == {
        curve["measure"] for curve in content["curves"]
    }
    with rows.open() as file:
        table = [row for row in csv.DictReader(file) if row["measure"].startswith("concept/")]
    assert len([row for row in table if row["measure"] == "concept/freckles"]) == 8 * 4
    assert {"concept/hair_r", "concept/hair_g", "concept/hair_b"} <= {r["measure"] for r in table}
    assert not any("concept" in measure for measure in report.metrics)


def test_half_levels_in_the_table_are_sorted_from_what_goes_first(store, tmp_path):
    from nca_cli.report.page.charts import entries
    from nca_cli.report.page.concepts import section

    report = build_report(store, None)
    rows = section(report, entries(report)).rows
    known = [row.half.log_snr.value for row in rows if math.isfinite(row.half.log_snr.value)]
    assert len(known) > 3
    assert known == sorted(known, reverse=True)
    gone = [row for row in rows if "before the cleanest" in row.half.log_snr.blank]
    assert list(rows[: len(gone)]) == gone
    between = rows[len(gone) : len(gone) + len(known)]
    assert all(math.isfinite(row.half.log_snr.value) for row in between)


def test_the_matrix_says_of_every_pair_how_surely_one_goes_first():
    from nca_cli.report.page.orders import order_matrix

    halves = {"smile": 9.0, "gaze": 1.0, "shirt": -2.0, "hair": -12.0}
    found = concept_retention(readings(30, halves))
    names = ["shirt", "smile", "hair", "gaze"]  # any order will do
    made = order_matrix([f"concept/{name}" for name in names], names, found.orders, 30)
    assert made.names == tuple(names)
    assert made.summary == "6 of 6 pairs are certain, n = 30 images"
    for row, one in enumerate(names[:-1]):
        for cell, other in zip(made.rows[row], names[row + 1 :], strict=True):
            assert cell.per_cent == f"{100 * found.probability(one, other):.0f}"
            assert cell.per_cent == ("100" if halves[one] > halves[other] else "0")
            assert cell.certain


def test_what_has_no_known_order_is_in_no_matrix():
    from nca_cli.report.page.orders import order_matrix

    few = concept_retention(readings(5, {"gaze": 1.0, "shirt": -2.0}))
    both = ["concept/gaze", "concept/shirt"]
    assert order_matrix(both, ["gaze", "shirt"], few.orders, 5) is None
    known = concept_retention(readings(30, {"gaze": 1.0, "shirt": -2.0}))
    made = order_matrix(["concept/hat", *both], ["hat", "gaze", "shirt"], known.orders, 30)
    assert made.names == ("gaze", "shirt")


def test_the_forest_has_every_series_and_names_what_it_lacks(store):
    from nca_cli.report.page.charts import entries
    from nca_cli.report.page.concepts import section

    report = build_report(store, None)
    found = section(report, entries(report))
    drawn = {mark.half.measure: mark.half for _, marks in found.forest.rows for mark in marks}
    halves = {half.measure: half for half in report.concepts.half_levels}
    known = {name for name, half in halves.items() if half.turn is not Turn.UNKNOWN}
    assert {name: drawn[name] for name in known} == {name: halves[name] for name in known}
    assert drawn.keys() == known
    assert len(known) > 3
    for name in halves.keys() - known:
        title = name.removeprefix("concept/").replace("_", " ")
        assert any(title in sentence for sentence in found.nowhere), title
    assert len(found.orders) == 1
    assert found.orders[0].entry.name == "demo · one-step"


def test_concepts_without_any_interval_are_named_not_drawn(store):
    from nca_cli.report.page.charts import entries
    from nca_cli.report.page.concepts import section

    few = Filters(images=[f"portrait-0{number}" for number in range(4)])
    for filters, drawn in ((few, False), (Filters(), True)):
        report = build_report(store, None, filters)
        found = section(report, entries(report))
        assert bool(found.charts) == drawn
        assert "Too few images to draw a curve of" in found.notes[0]


def test_pictures_without_known_concepts_have_no_such_section(tmp_path):
    from stores import full_store

    report = build_report(full_store(tmp_path / "s"), tmp_path / "r.html", json=tmp_path / "r.json")
    assert report.concepts is None
    assert 'id="concepts"' not in (tmp_path / "r.html").read_text()
    assert json.loads((tmp_path / "r.json").read_text())["concepts"] is None


def test_any_labels_and_a_function_of_the_user_do_as_well(store, tmp_path, monkeypatch):
    labels = tmp_path / "labels.csv"
    lines = [f"portrait-{k:02},{to_unit(np.asarray(_image(k))[None]).mean()}" for k in range(8)]
    labels.write_text("\n".join(["image,bright", *lines]))
    (tmp_path / "own.py").write_text(
        "def bright(pictures):\n    return {'bright': pictures.mean((1, 2, 3))}\n"
    )
    monkeypatch.chdir(tmp_path)
    page = tmp_path / "r.html"
    app(["report", "--store", str(store.root), "-o", str(page), "--labels", str(labels),
         "--probe", "own:bright", "--quiet", "--json", str(tmp_path / "r.json")],
        standalone_mode=False)  # fmt: skip
    assert "Retention of bright over log SNR" in page.read_text()
    content = json.loads((tmp_path / "r.json").read_text())["concepts"]
    assert content["accuracies"] == [
        {"measure": "concept/bright", "value": None, "measured_by": ""}
    ]


def _image(number):
    from PIL import Image

    return Image.open(sample_images("portraits")[number])


def test_labels_that_name_no_stored_image_get_a_clear_line(store, tmp_path):
    labels = tmp_path / "labels.csv"
    labels.write_text("image,glasses\nnobody,1\n")
    with pytest.raises(NothingStored, match="nobody"):
        build_report(store, None, labels=labels)
    with pytest.raises(NcaError, match="no such probe"):
        build_report(store, None, probe="nothing")


def test_a_report_with_concepts_loads_no_torch(store, tmp_path):
    code = (
        "import sys; from nca_cli.report import build_report; from nca_cli.store import Store;"
        "r = build_report(Store(sys.argv[1]), sys.argv[2]); assert r.concepts;"
        "assert 'torch' not in sys.modules"
    )
    command = [sys.executable, "-c", code, str(store.root), str(tmp_path / "r.html")]
    subprocess.run(command, check=True)
