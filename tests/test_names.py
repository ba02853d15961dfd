"""Two things are never called the same, and everything that shows them calls them the same way."""

import csv
import html
import io
import itertools
import json
import re
from dataclasses import replace

import numpy as np
import pytest
from stores import DDIM, ONE_STEP, commit, full_store
from typer.testing import CliRunner

import nca_cli
from nca_cli.analysis import analyse, curves
from nca_cli.cli import app
from nca_cli.concepts import FunctionProbe, Truth, concept_curves
from nca_cli.figures.curves import plot_curves
from nca_cli.figures.grid import compose_grid
from nca_cli.metrics import measure_store
from nca_cli.report import collect, csv_text, render
from nca_cli.store import Filters, Names, Store

PLAIN = replace(ONE_STEP, prompt="")


def samplers(tmp_path, *recipes, **options):
    """What recipes are called that are stored beside each other."""
    store = Store(tmp_path / "store")
    made = [commit(store, [100], recipe=recipe, **options) for recipe in recipes]
    return [*map(Names(made).sampler, made)]


@pytest.mark.parametrize(
    ("recipes", "words"),
    [
        ([DDIM, replace(DDIM, eta=0.5)], ["ddim-50 η=0", "ddim-50 η=0.5"]),
        ([PLAIN, replace(PLAIN, prompt="a portrait")],
         ["one-step no prompt", "one-step “a portrait”"]),
        ([replace(DDIM, class_label=label) for label in (None, 7)],
         ["ddim-50 no label", "ddim-50 label 7"]),
        ([replace(DDIM, guidance=weight) for weight in (None, 3.0)],
         ["ddim-50 guidance 1", "ddim-50 guidance 3"]),
        ([replace(PLAIN, prompt=text, guidance=weight) for text, weight in
          (("", None), ("a cat", None), ("a cat", 2.5))],
         ["one-step no prompt guidance 1", "one-step “a cat” guidance 1",
          "one-step “a cat” guidance 2.5"]),
        ([DDIM, replace(DDIM, steps=10)], ["ddim-50", "ddim-10"]),
        ([DDIM, replace(DDIM, spacing="karras")],
         ["ddim-50 spacing even", "ddim-50 spacing karras"]),
        ([DDIM, replace(DDIM, clip=None)], ["ddim-50 clip ±1", "ddim-50 no clip"]),
        ([DDIM, replace(DDIM, clip_epsilon="recomputed")],
         ["ddim-50 ε kept", "ddim-50 ε recomputed"]),
        ([replace(ONE_STEP, dtype=kind) for kind in ("float32", "float16")],
         ["one-step float32", "one-step float16"]),
        ([ONE_STEP, replace(ONE_STEP, tf32=True)], ["one-step no TF32", "one-step TF32"]),
        ([DDIM, replace(DDIM, eta=0.5, spacing="karras")],
         ["ddim-50 η=0 spacing even", "ddim-50 η=0.5 spacing karras"]),
    ],
)  # fmt: skip
def test_recipes_of_one_label_are_told_apart_by_what_differs(tmp_path, recipes, words):
    assert samplers(tmp_path, *recipes) == words


@pytest.mark.parametrize(
    "other",
    [
        replace(DDIM, weights="1" * 40),
        replace(DDIM, weights="1" * 40, eta=0.5),  # η tells them apart, and hides the weights
        replace(DDIM, final_alpha="schedule"),
        replace(DDIM, final_alpha="schedule", clip=None),  # clipping tells them apart alone
    ],
)
def test_what_words_do_not_tell_the_digest_does(tmp_path, other):
    assert samplers(tmp_path, DDIM, other) == [DDIM.name, other.name]


def test_prompts_are_shortened_to_a_line_unless_they_read_alike_then(tmp_path):
    long = "a portrait of\na woman in the style of a Dutch master, \x1b[31moil"
    _, name = samplers(tmp_path / "a", PLAIN, replace(PLAIN, prompt=long))
    assert name == "one-step “a portrait of a woman in the style of a…”"
    alike = [replace(PLAIN, prompt=long + end) for end in ("", " on canvas")]
    assert samplers(tmp_path / "b", *alike) == [recipe.name for recipe in alike]


def test_no_two_artifacts_of_any_store_are_called_the_same(tmp_path):
    stream, store = np.random.default_rng(3), Store(tmp_path)
    fields = {"weights": ("0" * 40, "1" * 40), "eta": (0.0, 0.5, None), "class_label": (None, 3),
              "guidance": (None, 1.0, 4),
              "prompt": (None, "", "a", "a " * 30, "a " * 31)}  # fmt: skip
    drawn = [
        replace(DDIM, **{name: some[stream.integers(len(some))] for name, some in fields.items()})
        for _ in range(12)
    ]
    places = list(itertools.product(drawn, ("cat", "dog"), ("one", "two")))
    made = [commit(store, [100], recipe=r, image=i, model=m) for r, i, m in places]
    every = {str(artifact): artifact for artifact in made}
    for size in (2, 3, 5, len(every)):
        for _ in range(10):
            some = [every[key] for key in stream.choice(sorted(every), size, replace=False)]
            assert len({*map(Names(some), some)}) == size


def test_names_are_short_where_nothing_shown_is_in_the_way(tmp_path):
    store = Store(tmp_path)
    for eta in (0.0, 0.5):
        commit(store, [100], recipe=replace(DDIM, eta=eta))
    noisy = replace(DDIM, eta=0.5)
    (artifact,) = store.select(Filters(recipes=[noisy.digest]))
    assert Names([artifact])(artifact) == ("cat", "toy", "ddim-50")
    assert Names(store.select())(artifact) == ("cat", "toy", "ddim-50 η=0.5")


def test_a_recipe_that_cannot_be_read_leaves_the_digests(tmp_path):
    store = Store(tmp_path)
    made = [commit(store, [100], recipe=replace(DDIM, eta=eta)) for eta in (0.0, 0.5)]
    made[0].parts[0].path.write_bytes(b"nonsense")
    found = store.select()
    assert {*map(Names(found).sampler, found)} == {artifact.name for artifact in made}


def test_without_clashes_no_file_is_opened(tmp_path):
    found = full_store(tmp_path / "store").select()
    for artifact in found:
        artifact.parts[0].path.unlink()
    assert {*map(Names(found).sampler, found)} == {"noise", "ddim-50", "one-step"}


# -- in everything that shows them -----------------------------------------------------------------

CAPTION = "<b>a cat</b>, $1/$2/"
WITHOUT, WITH = NAMES = ("one-step no prompt", f"one-step “{CAPTION}”")


@pytest.fixture(scope="module")
def compared(tmp_path_factory) -> Store:
    """Two images, reconstructed once without and once with a prompt."""
    store = Store(tmp_path_factory.mktemp("names") / "store")
    for image in ("cat", "dog"):
        for recipe in (None, PLAIN, replace(PLAIN, prompt=CAPTION)):
            commit(store, [100, 300], recipe=recipe, image=image)
    return store


def test_measures_the_csv_and_the_page_say_with_which_prompt(compared):
    report = collect(compared)
    table = list(csv.DictReader(io.StringIO(csv_text(report))))
    made = {row["sampler"] for row in table if not row["sampler"].startswith("reference:")}
    assert made == {value.sampler for value in measure_store(compared)} == set(NAMES)
    assert {series.name for series in report.series} == {f"toy · {name}" for name in NAMES}
    page = render(report)
    assert CAPTION not in page
    text = html.unescape(re.sub("<[^>]*>", "", page))
    assert all(f"toy · {name}" in text for name in NAMES)


def test_the_listing_says_it_in_words_and_as_json(compared):
    def run(*arguments):
        arguments = ["ls", "--store", str(compared.root), *arguments]
        return CliRunner(env={"COLUMNS": "200"}).invoke(app, arguments).stdout

    shown = run()
    assert "settings" in shown
    assert shown.count(f"“{CAPTION}”") == shown.count("no prompt") == 2
    assert {row["sampler"] for row in json.loads(run("--json"))} == {*NAMES, "noise"}
    (one, _) = recipes = sorted({a.recipe.digest for a in compared.select() if not a.is_noise})
    assert len(recipes) == 2
    assert "settings" not in run("--recipe", one)


def test_notebooks_say_it(compared):
    store = nca_cli.Store(compared.root)
    assert [*store.to_xarray()["toy"].sampler.values] == sorted(NAMES)
    assert set(NAMES) <= set(store.to_dataframe().sampler)


def test_a_plots_legend_says_it_and_takes_no_dollar_for_a_formula(compared, tmp_path):
    shown = plot_curves(compared, measures=["psnr"]).save(tmp_path / "plot.svg").read_text("utf-8")
    assert all(html.escape(name, quote=False) in shown for name in NAMES)


def test_statistics_of_tensors_and_concepts_have_the_names_of_the_values(compared):
    values = measure_store(compared)
    found = analyse(values, compared)
    own = {(curve.model, curve.sampler) for curve in curves(values)}
    assert {(each.model, each.sampler) for each in found.variances} == own
    assert {(each.model, each.sampler) for each in found.pairs} == {*own, ("toy", "x_t")}
    truth = Truth({name: {"mean": (i,)} for i, name in enumerate(("cat", "dog"))}, "labels")
    probe = FunctionProbe(lambda pictures: {"mean": pictures.mean((1, 2, 3))}, "probe")
    read = concept_curves(compared, truth=truth, probe=probe).points
    assert {(point.model, point.sampler) for point in read} == own


def test_every_figure_says_which_spacing_a_chain_has(tmp_path):
    store = Store(tmp_path / "store")
    for recipe in (None, *(replace(DDIM, spacing=spacing) for spacing in (None, "karras"))):
        commit(store, [100, 300], recipe=recipe)
    plotted = plot_curves(store, measures=["psnr"]).save(tmp_path / "plot.svg").read_text("utf-8")
    drawn = compose_grid(store).sheet.texts
    grid = " ".join(run.text for each in drawn for run in each.label)
    for place in (plotted, grid, render(collect(store))):
        assert "spacing even" in place
        assert "spacing karras" in place
        assert not [
            a for a in store.select() if not a.is_noise and f"ddim-50 {a.name[-8:]}" in place
        ]
