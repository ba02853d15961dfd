"""The report says what the store holds: the page, its CSV and its JSON agree, and lie nowhere."""

import csv
import html
import io
import json
import math
import re
import shlex
import subprocess
import sys
from collections import Counter, defaultdict
from html.parser import HTMLParser
from types import SimpleNamespace
from urllib.parse import unquote

import numpy as np
import pytest
from PIL import Image
from skimage.metrics import structural_similarity

from nca_cli.analysis import Curve, Point
from nca_cli.errors import DamagedArtifact, NcaError, NothingStored
from nca_cli.figures.curves.panel import Look, Stroke, Trace
from nca_cli.figures.curves.svg import BOTTOM, TOP
from nca_cli.metrics import measure as measures_of
from nca_cli.recipe import Recipe, digest
from nca_cli.report import (
    ReportRequest,
    build_report,
    collect,
    csv_text,
    gallery,
    json_text,
    render,
)
from nca_cli.report.page import scrub
from nca_cli.report.page.charts import charted, entries, log_snr_span
from nca_cli.schedule import Schedule, diffuse, seeded_noise
from nca_cli.store import Filters, ModelFilter, Samples, Store

LEVELS = (100, 300, 900)
SEEDS = (0, 1)
SIDE = 16
ONE_STEP = Recipe("0" * 40, "one-step")
DDIM = Recipe("0" * 40, "ddim", steps=50, eta=0.0, clip=1.0, final_alpha="one")
HOSTILE = '"><script>alert(1)<'


def fill(
    store, model="demo", image="cat", recipe=DDIM, *, levels=LEVELS, seeds=SEEDS, source="built in",
    floor=False, side=SIDE, height=None, content="", spoil=None,
):  # fmt: skip
    """Noise and reconstructions of one image; `spoil(x0, x0_hat)` may change what is stored."""
    schedule, rng = Schedule(), np.random.default_rng(sum(image.encode()))
    space = {"schedule": schedule.describe(), "shape": [3, height or side, side],
             "resolution": side}  # fmt: skip
    info = {"name": model, "source": source, "space": space, "licence": "MIT"}
    key = digest([image, side, content])
    place = store.place(f"{model}-{digest(space)[:8]}", info, image, key)
    described = {"digest": key, "name": image, "fit": "crop", "resolution": side, "size": [99, 88]}
    header = {"model": json.dumps(info), "image": json.dumps(described)}
    x0 = rng.uniform(-1, 1, space["shape"]).astype(np.float32)
    keys = [(t, seed) for t in levels for seed in seeds]
    noise = {seed: seeded_noise(seed, key, x0.shape) for seed in seeds}
    x_t = np.stack([diffuse(x0, schedule.level(t), noise[seed]) for t, seed in keys])
    index = [np.array(column) for column in zip(*keys, strict=True)]
    index.append(np.array([schedule.log_snr(t) for t, _ in keys]))
    fixed = {"x0": x0, **({"x0_floor": x0 * 0.9} if floor else {})}
    store.commit(place, "noise", header | {"kind": "noise"}, Samples(*index, {"x_t": x_t}), fixed)
    x0_hat = x0 + np.stack([rng.normal(0, t / 1000, x0.shape) for t, _ in keys]).astype(np.float32)
    if spoil:
        spoil(x0, x0_hat)
    header |= {"kind": "reconstruction", "recipe": recipe.canonical()}
    store.commit(place, recipe.name, header, Samples(*index, {"x0_hat": x0_hat}))
    return place


@pytest.fixture
def store(tmp_path):
    """One model, two images, two samplers, three levels, two seeds."""
    store = Store(tmp_path / "store")
    for image in ("astronaut", "cat"):
        for recipe in (ONE_STEP, DDIM):
            fill(store, image=image, recipe=recipe)
    return store


class Page(HTMLParser):
    """What a page consists of: its tags with attributes, its text, the values of <data>."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.words, self.data, self.code = [], [], [], False
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.code = tag in ("script", "style")
        if tag == "data":
            self.data.append(dict(attrs)["value"])

    def handle_endtag(self, tag):
        self.code = False

    def handle_data(self, data):
        if not self.code:
            self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


def rows(report):
    return list(csv.DictReader(io.StringIO(csv_text(report))))


def made(report):
    """Rows of reconstructions, not of references."""
    return [row for row in rows(report) if not row["sampler"].startswith("reference:")]


def strict(report):
    """The JSON, parsed by a reader that knows no NaN and no Infinity."""
    return json.loads(json_text(report), parse_constant=lambda word: pytest.fail(word))


FIDELITY = ("psnr", "ssim", "mse")


# --- the numbers --------------------------------------------------------------------------------


def test_the_csv_is_tidy_with_exactly_the_promised_columns(store):
    report = collect(store)
    header = csv_text(report).splitlines()[0]
    assert header == "image,model,sampler,t,seed,log_snr,measure,value"
    table = rows(report)
    assert len({tuple(row.values())[:7] for row in table}) == len(table)
    assert {row["model"] for row in table} == {"demo"}
    assert {row["sampler"] for row in table} == {"one-step", "ddim-50", "reference:copy"}
    for measure in (*FIDELITY, "kept/0", "coherence/0", "colour", "edges"):
        count = sum(row["measure"] == measure for row in made(report))
        assert count == 2 * 2 * len(LEVELS) * len(SEEDS), measure


def test_each_value_is_measured_on_the_stored_tensors(store):
    by_name = {(a.image_name, a.label): a for a in store.select()}
    for row in rows(collect(store)):
        if row["measure"] != "ssim":
            continue
        x0 = by_name[row["image"], "noise"].fixed("x0")
        copy = row["sampler"] == "reference:copy"
        artifact = by_name[row["image"], "noise" if copy else row["sampler"]]
        key = int(row["t"]), int(row["seed"])
        x0_hat = artifact.read("x_t" if copy else "x0_hat", [key])[0]
        a, b = (np.moveaxis((np.clip(x, -1, 1) + 1) / 2, 0, -1) for x in (x0, x0_hat))
        expected = structural_similarity(a, b, channel_axis=2, data_range=1)
        assert float(row["value"]) == pytest.approx(expected, abs=1e-6)


def test_log_snr_is_that_of_the_level(store):
    for row in rows(collect(store)):
        assert float(row["log_snr"]) == pytest.approx(Schedule().log_snr(int(row["t"])))


def test_the_means_are_numpys_over_the_tidy_rows(store):
    report = collect(store)
    groups = defaultdict(list)
    for row in rows(report):
        if row["value"] and row["t"]:
            key = row["sampler"], row["measure"], int(row["t"])
            groups[key].append(float(row["value"]))
    for curve in strict(report)["curves"]:
        for point in (point for point in curve["points"] if point["mean"] is not None):
            expected = np.mean(groups[curve["sampler"], curve["measure"], point["t"]])
            assert point["mean"] == pytest.approx(expected)


def test_the_page_holds_the_numbers_of_the_csv_and_all_means(store):
    report = collect(store)
    on_page = Counter(Page(render(report)).data)
    assert not Counter(row["value"] for row in made(report) if row["measure"] in FIDELITY) - on_page
    drawn = [curve for curve in report.curves if curve.measure in FIDELITY]
    assert not Counter(str(p.mean) for curve in drawn for p in curve.points) - on_page


def test_the_page_names_every_level_image_sampler_and_file(store):
    report = collect(store)
    text = Page(render(report)).text
    assert "100, 300, 900" in text
    assert all(f"demo · {sampler}" in text for sampler in ("one-step", "ddim-50"))
    assert all(name in text for name in (*report.image_names, *report.files))


def test_json_and_csv_hold_the_same_values(store):
    report = collect(store)
    text = [
        {key: "" if cell is None else str(cell) for key, cell in row.items()}
        for row in strict(report)["values"]
    ]
    assert text == rows(report)


def test_json_has_the_curves_of_networks_and_of_references(store):
    report = collect(store)
    found = {(curve["model"], curve["sampler"], curve["measure"]): curve["points"]
             for curve in strict(report)["curves"]}  # fmt: skip
    values = [*report.values, *report.reference_values]
    assert set(found) == {(value.model, value.sampler, value.measure) for value in values}
    copied = [value.value for value in values
              if value.sampler == "reference:copy" and value.measure == "mse"]  # fmt: skip
    points = next(p for key, p in found.items() if key[1:] == ("reference:copy", "mse"))
    assert sum(point["n"] for point in points) == len(copied) > 0
    assert {"mean", "low", "high"} <= points[0].keys()


def test_equal_pictures_are_infinite_in_csv_and_json_and_said_on_the_page(tmp_path):
    def perfect(x0, x0_hat):
        x0_hat[:] = x0

    store = Store(tmp_path / "store")
    fill(store, spoil=perfect)
    report = collect(store)
    assert {row["value"] for row in made(report) if row["measure"] == "psnr"} == {"inf"}
    assert {row["value"] for row in strict(report)["values"]
            if row["measure"] == "psnr" and row["sampler"] == "ddim-50"} == {"inf"}  # fmt: skip
    assert "∞" in Page(render(report)).text


def test_a_sample_that_is_no_number_is_blank_and_noted(tmp_path):
    def spoil(x0, x0_hat):
        x0_hat[0, 1, 2, 3] = np.nan

    store = Store(tmp_path / "store")
    fill(store, spoil=spoil)
    report = collect(store)
    blank = [row for row in rows(report) if row["value"] == "" and row["measure"] in FIDELITY]
    assert {(row["t"], row["seed"]) for row in blank} == {("100", "0")}
    assert any("not numbers" in note for note in report.notes)
    curve = next(c for c in strict(report)["curves"] if c["measure"] == "psnr")
    assert [point["n"] for point in curve["points"]] == [1, 2, 2]
    assert "nan" not in Page(render(report)).text.lower()


def test_pictures_too_small_for_ssim_still_have_a_page(tmp_path):
    store = Store(tmp_path / "store")
    fill(store, side=6)
    page = Page(render(collect(store)))
    assert "(pictures may be too small): SSIM, MS-SSIM, Colour." in page.text
    assert page.text.count("SSIM") == 2  # no empty column, no half-levels of nothing
    charts = [a["aria-label"] for tag, a in page.tags if tag == "svg" and a.get("role") == "img"]
    assert any("PSNR" in chart for chart in charts)
    assert not any("structural" in chart or "SSIM" in chart for chart in charts)


def test_two_recipes_of_one_label_keep_apart(tmp_path):
    store = Store(tmp_path / "store")
    noisy = Recipe("0" * 40, "ddim", steps=50, eta=1.0, clip=1.0, final_alpha="one")
    for recipe in (DDIM, noisy):
        fill(store, recipe=recipe)
    assert {series.sampler for series in collect(store).series} == {"ddim-50 η=0", "ddim-50 η=1"}


def test_two_images_of_one_name_keep_apart(tmp_path):
    store = Store(tmp_path / "store")
    folders = [fill(store, content=content).image for content in ("one", "another")]
    assert set(collect(store).image_names) == set(folders)


def test_two_models_of_one_name_keep_apart(tmp_path):
    store = Store(tmp_path / "store")
    for side in (16, 32):
        fill(store, side=side)
    assert {model.name for model in collect(store).models} == {"demo 16 px", "demo 32 px"}


def test_filters_choose_what_is_reported(store):
    filters = Filters(t=(300,), seeds=(1,), images=("cat",), models=(ModelFilter("demo", "ddim"),))
    found = {tuple(row.values())[:5] for row in rows(collect(store, ReportRequest(filters)))}
    samplers = ("ddim-50", "reference:copy")
    assert found == {("cat", "demo", sampler, "300", "1") for sampler in samplers}


def test_levels_of_unknown_snr_have_none_and_each_its_place_on_the_slider(tmp_path, monkeypatch):
    monkeypatch.setattr(Schedule, "log_snr", lambda self, t: math.nan)
    store = Store(tmp_path / "store")
    fill(store)
    report = collect(store)
    shown = gallery(store, report)
    assert [level.t for level in scrub.levels(shown)] == ["100", "300", "900"]
    page = Page(render(report, shown))
    assert "demo reconstructs 1 image" in page.text
    assert "∞" not in page.text
    assert not re.search(r"From x ?t at t = \d+ \(SNR", page.text)


def test_a_latent_models_floor_is_stated(tmp_path):
    store = Store(tmp_path / "store")
    fill(store, floor=True)
    report = collect(store)
    (model,) = report.models
    assert model.floor["psnr"] > 20
    page = render(report)
    assert f'value="{model.floor["psnr"]}"' in page
    charts = (
        page.partition('id="pairs"')[0].count("<svg role=") - 2
    )  # those to D(E(x0)) know no such line
    assert page.count('<path class="floor"') == charts + 1  # and the legend


def test_the_legend_names_no_line_that_is_not_drawn(tmp_path):
    store = Store(tmp_path / "store")
    fill(store, floor=True)
    names = [entry.name for entry in entries(collect(store))]
    assert names == ["demo · ddim-50", "x_t itself"]


@pytest.mark.parametrize(("contents", "expected"), [
    (("", ""), {"x_t itself": [100, 300, 900]}),
    (("", "another"), {"one · x_t itself": [100, 300], "two · x_t itself": [300, 900]}),
])  # fmt: skip
def test_what_models_saw_alike_is_drawn_once(tmp_path, contents, expected):
    store = Store(tmp_path / "store")
    levels = {"one": (100, 300), "two": (300, 900)}
    for model, content in zip(levels, contents, strict=True):
        fill(store, model=model, content=content, levels=levels[model])
    drawn = [entry for entry in entries(collect(store)) if entry.reference]
    found = {entry.name: [p.t for p in entry.points("psnr")] for entry in drawn}
    assert found == expected


def test_a_share_and_retention_have_axes_of_values_that_they_can_take():
    """Wide intervals are cut at the frame; they do not flatten the curve."""
    points = (Point(100, 2.0, 0.9, 0.1, 3, 3, -4.0, 6.0), Point(900, -4.0, -0.1, 0.1, 3, 3))
    for name, lowest in (("decided", 0.0), ("retention/gaze", -0.1)):
        curve = Curve("demo", "ddim-50", name, points)
        entry = Trace(0, "demo", Look(Stroke.SERIES, 0, 0, 0), {name: curve})
        drawn = charted(SimpleNamespace(models=()), name, [entry], log_snr_span([entry]))
        values = [float(tick.label.replace("−", "-")) for tick in drawn.y_ticks]
        assert lowest - 0.2 <= min(values) <= 0 < 0.8 <= max(values) <= 1.2, name
        dots = [dot.y for line in drawn.lines for dot in line.dots]
        ends = [float(y) for line in drawn.lines for dot in line.dots
                for y in re.findall(r"(?<=[ V])[\d.]+", dot.bar)]  # fmt: skip
        assert len(ends) == 2
        assert all(TOP <= y <= BOTTOM for y in (*dots, *ends)), name


def test_a_latent_models_reconstructions_are_compared_with_the_floor_as_well(tmp_path):
    """x̂0 to x0, and x̂0 to D(E(x0)): in the CSV, in the JSON and as curves of the page."""
    store = Store(tmp_path / "store")
    fill(store, floor=True)
    fill(store, model="pixels")
    report = collect(store)
    noise = next(a for a in store.select() if a.is_noise and a.model_name == "demo")
    x0_hat = next(a for a in store.select() if not a.is_noise and a.model_name == "demo")
    floors = {row["measure"]: row for row in rows(report) if row["sampler"] == "reference:floor"}
    found = {(row["model"], int(row["t"]), int(row["seed"]), row["measure"]):
             float(row["value"] or "nan") for row in made(report)}  # fmt: skip
    for t, seed in x0_hat.keys:
        stored = x0_hat.read("x0_hat", [(t, seed)])[0]
        for name in ("psnr", "ssim"):
            to_x0, to_floor = (measures_of(noise.fixed(which), stored)[name]
                               for which in ("x0", "x0_floor"))  # fmt: skip
            assert found["demo", t, seed, name] == to_x0
            assert found["demo", t, seed, f"{name}-floor"] == to_floor
            assert to_x0 != to_floor
    for name, value in measures_of(noise.fixed("x0"), noise.fixed("x0_floor")).items():
        row = floors[name]
        assert (row["model"], row["image"], row["t"], row["seed"]) == ("demo", "cat", "", "-1")
        assert row["value"] == ("" if np.isnan(value) else str(value))
    assert not [key for key in found if key[0] == "pixels" and key[3].endswith("-floor")]
    assert "PSNR to D(E(x0))" in Page(render(report)).text
    assert {"psnr-floor", "ssim-floor"} <= {curve["measure"] for curve in strict(report)["curves"]}


# --- the page -----------------------------------------------------------------------------------


def test_the_page_asks_nothing_of_any_network(store):
    text = render(collect(store))
    page = Page(text)
    links = [a[key] for _, a in page.tags for key in ("src", "href", "data", "action") if key in a]
    assert all(link.startswith(("data:", "#")) for link in links)
    assert not re.search(r"url\((?!#)|@import|https?://", text)
    policies = [a["content"] for tag, a in page.tags if tag == "meta" and "http-equiv" in a]
    assert ["default-src 'none'" in policy for policy in policies] == [True]


def test_hostile_names_are_text(tmp_path):
    store = Store(tmp_path / "store")
    fill(store, model=HOSTILE, image="=<b>'&amp;", source='javascript:"><img src=x onerror=y>')
    report = collect(store)
    page = Page(render(report))
    names = {tag for tag, _ in page.tags}
    assert "b" not in names
    assert [tag for tag, _ in page.tags].count("script") == 2  # the data and the page's own
    assert not [key for _, attributes in page.tags for key in attributes if key.startswith("on")]
    assert HOSTILE in page.text
    assert "=<b>'&amp;" in page.text
    assert rows(report)[0]["model"] == HOSTILE


def test_the_page_is_built_for_readers_of_every_kind(store):
    page = Page(render(collect(store)))
    assert [tag for tag, _ in page.tags].count("h1") == 1
    assert all(a.get("alt") for tag, a in page.tags if tag == "img")
    assert all(a.get("scope") for tag, a in page.tags if tag == "th")
    assert all("aria-label" in a or "aria-hidden" in a for tag, a in page.tags if tag == "svg")
    assert next(a for tag, a in page.tags if tag == "html")["lang"] == "en"


def test_strips_of_all_levels_are_in_the_page(store):
    report = collect(store)
    shown = gallery(store, report)
    pictures = [a for tag, a in Page(render(report, shown)).tags if tag == "img"]
    assert all(a["src"].startswith("data:image/webp;base64,") for a in pictures)
    assert len(pictures) == 2 * (1 + 2 * (1 + 2))  # images × (x0, seeds × (x_t, two series))
    assert [level.t for level in scrub.levels(shown)] == ["100", "300", "900"]
    for strip in shown.shelves[0].x0_hats:
        with Image.open(io.BytesIO(strip.content)) as picture:
            assert picture.size == (SIDE * len(LEVELS), SIDE)


def test_a_strip_shows_what_is_stored_level_by_level(store):
    report = collect(store)
    shelf = gallery(store, report).shelves[0]
    noise = next(a for a in store.select() if a.image_name == shelf.image and a.is_noise)
    stored = noise.read("preview", [(t, shelf.seed) for t in LEVELS])
    stored = [np.asarray(Image.fromarray(level).convert("L")).astype(float) for level in stored]
    with Image.open(io.BytesIO(shelf.x_t.content)) as picture:  # WebP halves colour, not light
        drawn = np.asarray(picture.convert("L")).astype(float)
    squares = np.stack(np.split(drawn, len(LEVELS), axis=1))
    for level, square in enumerate(squares):
        errors = [np.mean((square - other) ** 2) for other in stored]
        assert int(np.argmin(errors)) == level


def test_strips_of_an_image_align_with_blank_squares_where_a_series_has_no_level(tmp_path):
    store = Store(tmp_path / "store")
    fill(store, recipe=ONE_STEP)
    fill(store, levels=(300,))
    (shelf,) = gallery(store, collect(store)).shelves
    few, all_levels = shelf.x0_hats
    assert {strip.squares for strip in (shelf.x_t, few, all_levels)} == {len(LEVELS)}
    assert (few.places, all_levels.places) == ((1,), (0, 1, 2))
    with Image.open(io.BytesIO(few.content)) as picture:
        assert picture.size == (SIDE * len(LEVELS), SIDE)
        seen = np.split(np.asarray(picture.convert("RGBA"))[..., 3], len(LEVELS), axis=1)
        drawn = np.asarray(picture.convert("L")).astype(float)[:, SIDE : 2 * SIDE]
    assert [square.mean() for square in seen] == [0, 255, 0]
    artifact = next(a for a in store.select() if a.label == "ddim-50")
    stored = Image.fromarray(artifact.read("preview", [(300, shelf.seed)])[0]).convert("L")
    assert np.abs(drawn - np.asarray(stored)).mean() < 8


def test_a_strip_is_never_longer_than_a_webp_may_be(tmp_path):
    store = Store(tmp_path / "store")
    fill(store, side=512, height=32, levels=range(0, 840, 20), seeds=(0,))
    (shelf,) = gallery(store, collect(store)).shelves
    with Image.open(io.BytesIO(shelf.x_t.content)) as picture:
        assert 0 < picture.width <= 16383


def test_models_of_one_space_share_what_was_given(tmp_path):
    store = Store(tmp_path / "store")
    for model in ("demo", "other"):
        fill(store, model=model)
    (shelf,) = gallery(store, collect(store)).shelves
    assert shelf.models == ("demo", "other")
    assert [strip.series for strip in shelf.x0_hats] == [0, 1]


@pytest.mark.parametrize("room", [0, 4_000, 12_000, 40_000])
def test_a_page_keeps_its_budget_and_says_what_it_leaves_out(store, room):
    report = collect(store)
    bare = len(render(report).encode())
    shown = gallery(store, report, room)
    whole = gallery(store, report)
    assert len(render(report, shown).encode()) <= bare + max(room, 1000)
    drawn, every = (
        [strip.content for s in (*each.shelves, *each.other_seeds) for strip in s.strips]
        for each in (shown, whole)
    )
    left_out = drawn != every
    assert bool(shown.notes) == left_out


def test_the_second_page_encodes_nothing_and_is_the_same(store, tmp_path, monkeypatch):
    first, again = tmp_path / "first.html", tmp_path / "again.html"
    build_report(store, first)
    monkeypatch.setattr("nca_cli.store.Artifact.read", None)
    monkeypatch.setattr("nca_cli.store.Artifact.fixed", None)
    build_report(Store(store.root), again)
    assert again.read_bytes() == first.read_bytes()


def test_new_samples_and_another_budget_make_kept_pictures_void(store):
    def strips(**budget):
        shown = gallery(Store(store.root), collect(Store(store.root)), **budget)
        return [strip.content for shelf in shown.shelves for strip in shelf.strips]

    first = strips()
    assert strips() == first
    assert len(strips(budget=4_000)) < len(first)
    fill(store, levels=(500,))
    assert strips() != first


def test_assets_lie_beside_the_page(store, tmp_path):
    page = tmp_path / "page" / "report.html"
    build_report(store, page, assets=tmp_path / "page" / "pictures of mine")
    links = [a["src"] for tag, a in Page(page.read_text("utf-8")).tags if tag == "img"]
    files = [(page.parent / unquote(link)) for link in links]
    assert files
    assert all(file.read_bytes()[8:12] == b"WEBP" for file in files)


def test_the_headline_states_the_level_nearest_to_equal_signal_and_noise(store):
    report = collect(store)
    text = strict(report)["headlines"][0]
    assert "t = 300 (SNR 0.65)" in text
    for series in report.series:
        mean = next(p.mean for p in series.points("psnr") if p.t == 300)
        assert f"{mean:.1f} dB with {series.sampler}" in text


def test_images_are_ranked_by_the_series_that_all_of_them_have(store):
    """A series that only one image has says nothing about which of two is closer."""

    def far_off(x0, x0_hat):
        x0_hat[:] = -x0

    fill(store, model="other", image="cat", spoil=far_off)
    report = collect(store)
    found = scrub.ranking(report)
    assert found.series == ("demo · ddim-50", "demo · one-step")
    assert found.where.startswith("t = 300 ")
    psnr = defaultdict(list)
    for row in made(report):
        if (row["model"], row["measure"], row["t"]) == ("demo", "psnr", "300"):
            psnr[row["image"]].append(float(row["value"]))
    expected = sorted(psnr, key=lambda image: -np.mean(psnr[image]))
    assert [each.image for each in found.images] == expected
    assert [each.value for each in found.images] == pytest.approx(
        [np.mean(psnr[image]) for image in expected]
    )
    assert (
        "mean over seeds and the 2 series with all images"
        in Page(render(report, gallery(store, report))).text
    )


def test_images_of_which_each_has_its_own_series_are_not_ranked(tmp_path):
    store = Store(tmp_path / "store")
    fill(store, model="one", image="cat")
    fill(store, model="two", image="astronaut")
    report = collect(store)
    assert scrub.ranking(report) is None
    assert "By PSNR at" not in Page(render(report, gallery(store, report))).text


def test_the_printed_command_makes_the_same_page(store, tmp_path, monkeypatch):
    from typer.testing import CliRunner

    from nca_cli.cli import app

    monkeypatch.chdir(tmp_path)
    (tmp_path / "brightness.py").write_text(
        "def read(pictures):\n    return {'light': pictures.mean((1, 2, 3))}\n"
    )
    (tmp_path / "my labels.csv").write_text("image,light\nastronaut,1\ncat,0\n")
    build_report(
        Store("store"), "a.html", Filters(t=(300, 900)), labels="my labels.csv",
        probe="brightness:read", max_mb=1.5, assets="my pictures",
    )  # fmt: skip
    page = (tmp_path / "a.html").read_text("utf-8")
    (command,) = re.findall(r"<pre[^>]*>(nca report [^<]*)</pre>", page)
    ran = CliRunner().invoke(app, [*shlex.split(html.unescape(command))[1:], "-o", "b.html"])
    assert ran.exit_code == 0, ran.output
    assert (tmp_path / "b.html").read_text("utf-8") == page
    assert "light" in page.split('id="concepts"')[1]


def test_sections_are_in_the_navigation_and_references_have_names(store):
    text = render(collect(store))
    linked = set(re.findall(r'href="#([a-z]+)"', text.split("<nav")[1].split("</nav>")[0]))
    assert linked == set(re.findall(r'<h2 id="([a-z]+)"', text))
    assert "reference:" not in Page(text).text


def test_the_same_store_gives_the_same_page(store):
    assert render(collect(store)) == render(collect(store))


def test_one_level_one_image_one_seed_is_enough(tmp_path):
    store = Store(tmp_path / "store")
    fill(store, levels=(0,), seeds=(0,))
    text = Page(render(collect(store))).text
    assert text.startswith("1 image, reconstructed from noise by demo")
    assert "±" not in text.split("Numbers by level")[1].split("not available")[1]


# --- what can go wrong --------------------------------------------------------------------------


def test_an_empty_store_names_the_command_that_fills_it(tmp_path):
    with pytest.raises(NothingStored) as caught:
        collect(Store(tmp_path / "nothing"))
    assert "nca reconstruct" in caught.value.hint
    assert not (tmp_path / "nothing").exists()


def test_a_selection_that_fits_nothing_is_repeated_with_the_command(store):
    with pytest.raises(NothingStored) as caught:
        collect(store, ReportRequest(Filters(t=(555,), models=(ModelFilter("demo", "ddim"),))))
    assert caught.value.what == "no samples at t = 555; stored: 100, 300, 900"
    command = "nca reconstruct --model demo --sampler ddim --t 555"
    assert command in caught.value.hint


def test_noise_alone_is_no_report(tmp_path):
    store = Store(tmp_path / "store")
    place = fill(store)
    store.remove(next(a for a in store.artifacts(place.model, place.image) if not a.is_noise))
    with pytest.raises(NothingStored):
        collect(store)


def test_a_damaged_artifact_is_named_and_takes_no_other_with_it(store):
    good = len(collect(store).values)
    path = next(a for a in store.select() if a.label == "ddim-50").parts[0].path
    path.write_bytes(path.read_bytes()[:3000])
    report = collect(store)
    assert len(report.values) == good * 3 // 4
    assert any(path.name in note for note in report.notes)
    assert path.name in Page(render(report)).text


def test_where_all_is_damaged_the_damage_is_the_error(tmp_path):
    store = Store(tmp_path / "store")
    fill(store)
    for artifact in store.select():
        artifact.parts[0].path.write_bytes(b"no longer HDF5")
    with pytest.raises(DamagedArtifact):
        collect(store)


def test_a_missing_noise_file_is_noted(store):
    next(a for a in store.select() if a.is_noise).parts[0].path.unlink()
    report = collect(store)
    assert report.image_names == ["cat"]
    assert any("noise.h5" in note for note in report.notes)


# --- files --------------------------------------------------------------------------------------


def test_build_report_writes_what_it_was_asked_for(store, tmp_path):
    out = tmp_path / "new" / "folder"
    report = build_report(
        store, out / "a.html", csv=out / "a.csv", json=out / "a.json", filters=Filters(t=(300,))
    )
    assert sorted(path.name for path in out.iterdir()) == ["a.csv", "a.html", "a.json"]
    assert Page((out / "a.html").read_text("utf-8")).text.startswith("2 images")
    assert (out / "a.csv").read_text("utf-8") == csv_text(report)
    assert json.loads((out / "a.json").read_text("utf-8"))["format"] == "nca-report"


def test_nothing_is_written_where_nothing_is_stored(tmp_path):
    with pytest.raises(NothingStored):
        build_report(Store(tmp_path / "nothing"), tmp_path / "a.html")
    assert not (tmp_path / "a.html").exists()


def test_a_place_that_cannot_be_written_is_one_line(store, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(NcaError, match="cannot be written") as caught:
        build_report(store, tmp_path / "file" / "a.html")
    assert "\n" not in str(caught.value)


def test_a_report_loads_no_torch_and_touches_no_artifact(store, tmp_path):
    def state():
        return {p: (p.stat().st_mtime_ns, p.stat().st_size) for p in store.root.rglob("*.h5")}

    before = state()
    code = (
        "import sys; from nca_cli.store import Store; from nca_cli.report import build_report;"
        f"build_report(Store({str(store.root)!r}), {str(tmp_path / 'a.html')!r});"
        "assert not {'torch', 'diffusers', 'matplotlib'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    assert state() == before
