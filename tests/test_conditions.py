"""Labels and prompts: several in one call, and one for each image, each a recipe of its own."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pipelines
import pytest
from typer.testing import CliRunner

from nca_cli.cli import app
from nca_cli.engine import Request, reconstruction_plans
from nca_cli.models import load
from nca_cli.store import Store

pytestmark = pytest.mark.usefixtures("one_thread", "own_cache")


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pipelines.tiny_pixel("net", classes=10)


def nca(*words, code=0, **env):
    run = CliRunner(env=env).invoke(app, [*map(str, words)])
    assert run.exit_code == code, run.output
    return run


def reconstruct(*words, code=0):
    return nca("reconstruct", "faces", "-m", "./net", "--t", "500", "-s", "one-step", *words,
               "--json", code=code)  # fmt: skip


def computed(run):
    return json.loads(run.stdout)["computed"]


def labelled(store="nca-store"):
    """Image → the labels under which it was reconstructed."""
    found = {}
    for artifact in Store(store).select():
        if not artifact.is_noise:
            name = artifact.image.rpartition("-")[0]
            found.setdefault(name, []).append(artifact.recipe.class_label)
    return {name: sorted(labels) for name, labels in found.items()}


def table(text):
    Path("labels.csv").write_text(text)
    return ["--labels", "labels.csv"]


def said(run):
    return " ".join(run.stderr.split())


# -- several in one call ---------------------------------------------------------------------------


def test_each_of_several_labels_is_a_recipe(faces):
    assert computed(reconstruct("--label", "3,4", "--label", "7")) == 9
    assert set(map(tuple, labelled().values())) == {(3, 4, 7)}
    assert computed(reconstruct("--label", "4")) == 0
    for label in ("3.5", "-1", "x"):
        assert "label" in said(reconstruct(f"--label={label}", code=2))
    assert "--label 10 is not a class" in said(reconstruct("--label", "3,10", code=2))


def test_several_answers_are_those_of_single_calls(faces):
    import numpy as np

    reconstruct("--label", "3,4")
    for label in ("3", "4"):
        reconstruct("--label", label, "--store", "single")
    first, second = ({str(a): a.read("x0_hat", [(500, 0)]) for a in Store(place).select()
                      if not a.is_noise} for place in ("nca-store", "single"))  # fmt: skip
    assert first.keys() == second.keys()
    assert all(np.array_equal(first[key], second[key]) for key in first)


def test_the_network_is_loaded_once_for_all_labels(faces, monkeypatch):
    loaded, own = [], load._filled
    monkeypatch.setattr(load, "_filled", lambda *given: (loaded.append(1), own(*given))[1])
    reconstruct("--label", "1,2,3")
    assert len(loaded) == 1


# -- of each image ---------------------------------------------------------------------------------


def test_a_table_says_which_label_each_image_has(faces):
    options = table("image,label\nanna.png,3\nben,4\nfaces/cleo.png,3\n")
    assert computed(reconstruct(*options)) == 3
    assert labelled() == {"anna": [3], "ben": [4], "cleo": [3]}
    assert computed(reconstruct(*options)) == 0, "a full hit"
    options = table("image,label\nanna.png,3\nben.png,5\nfaces/cleo.png,3\n")
    assert computed(reconstruct(*options)) == 1, "one label changed, one image is computed"
    assert labelled() == {"anna": [3], "ben": [4, 5], "cleo": [3]}


def test_an_image_of_several_rows_has_several_recipes(faces):
    assert computed(reconstruct(*table("image;label\nanna;3\nanna;4\nben;1\ncleo;1\n"))) == 4
    assert labelled() == {"anna": [3, 4], "ben": [1], "cleo": [1]}


def test_numbered_images_are_found_without_their_leading_zeros(faces):
    Path("faces/anna.png").rename("faces/00012.png")
    text = "image_number,label\n12,3\nben,5\ncleo,7\n"
    assert computed(reconstruct(*table(text))) == 3
    assert labelled() == {"00012": [3], "ben": [5], "cleo": [7]}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("image,label\nanna,3\n", "labels.csv has no row for faces/ben.png"),
        ("image,label\nanna,red\n", "labels.csv:2: label 'red' is not a whole number"),
        ("image,class\nanna,3\n", "no column label or prompt"),
        ("name,label\nanna,3\n", "no column image"),
        ("image,label,label\nanna,3,4\n", "column label comes twice"),
        ("image,label\nanna,3\nben,11\ncleo,1\n", "--label 11 is not a class"),
        ("image,prompt\nanna,a\nben,b\ncleo,c\n", "add --label N"),
    ],
)
def test_a_table_that_does_not_say_it_is_refused(text, words, faces):
    assert words in said(reconstruct(*table(text), code=2))


def test_a_table_and_a_label_are_one_too_many(faces):
    options = table("image,label\nanna,3\nben,3\ncleo,3\n")
    assert "--label and --labels exclude each other" in said(
        reconstruct(*options, "--label", "3", code=2)
    )


def test_models_that_take_no_label_are_asked_once_for_each_image(faces, pixel_pipeline):
    shutil.copytree(pixel_pipeline, "plain")
    options = table("image,label\nanna,3\nben,4\ncleo,5\n")
    run = reconstruct(*options, "-m", "./plain")
    assert computed(run) == 6
    assert "plain takes no --label" in said(run)
    plain = [a for a in Store("nca-store").select() if a.model_name == "plain" and not a.is_noise]
    assert {a.recipe.class_label for a in plain} == {None}
    assert len(plain) == 3


# -- prompts ---------------------------------------------------------------------------------------


@pytest.fixture
def prompted():
    pytest.importorskip("transformers")
    return pipelines.tiny_stable_diffusion("sd")


def test_prompts_and_guidances_are_swept_and_a_variable_is_one_prompt(faces, prompted):
    command = [
        "reconstruct",
        "faces/anna.png",
        "-m",
        "./sd",
        "--t",
        "500",
        "-s",
        "one-step",
        "--json",
    ]
    assert computed(nca(*command, "--prompt", "a cat", "--prompt", "b", "--guidance", "1,3")) == 4
    made = {(a.recipe.prompt, a.recipe.guidance) for a in Store("nca-store").select()
            if not a.is_noise}  # fmt: skip
    assert made == {(prompt, weight) for prompt in ("a cat", "b") for weight in (None, 3.0)}
    assert computed(nca(*command, NCA_PROMPT="a cat")) == 0


def test_a_table_says_which_prompt_each_image_has(faces, prompted):
    text = 'image,prompt\nanna.png,"a cat, grey"\nben.png,\n'
    Path("labels.csv").write_text(text)
    request = Request(images=["faces/anna.png", "faces/ben.png"], models=["./sd"], t=[500],
                      samplers=["one-step"], labels=Path("labels.csv"))  # fmt: skip
    plans = reconstruction_plans(request, Store("nca-store"))
    told = {recipe.prompt: [image.name for image in plan.images]
            for plan in plans for recipe in plan.recipes.values()}  # fmt: skip
    assert told == {"a cat, grey": ["anna"], "": ["ben"]}


# -- the environment -------------------------------------------------------------------------------


def test_the_labels_of_a_reconstruction_have_a_variable_of_their_own(faces, monkeypatch):
    """NCA_LABELS is the table of concepts that figures read: no row of it is a condition."""
    Path("concepts.csv").write_text("image,smile\nanna,1\n")
    rows = [f"{path.stem},{label}" for label, path in enumerate(sorted(faces.iterdir()))]
    Path("conditions.csv").write_text("\n".join(["image,label", *rows]))
    monkeypatch.setenv("NCA_LABELS", "concepts.csv")
    reconstruct("--label", "5")
    assert set(map(tuple, labelled().values())) == {(5,)}
    monkeypatch.setenv("NCA_CONDITIONS", "conditions.csv")
    reconstruct("--store", "other")
    assert sorted(labelled("other").values()) == [[0], [1], [2]]
