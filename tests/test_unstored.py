"""A value of a filter that nothing stored fits is named, beside others that are there."""

from __future__ import annotations

import numpy as np
import pytest
from stores import ONE_STEP, commit, full_store
from trainings import commit_run
from typer.testing import CliRunner

from nca_cli.cli import app
from nca_cli.store import Filters, Store, unstored

FILES = {"plot": "curves.svg", "report": "report.html", "export": "folder"}
READERS = ("ls", "plot", "report", "measure", "export", "rm")


@pytest.fixture
def store(tmp_path):
    """Two images of `toy`, one of `toy-two`, and a training."""
    store = full_store(tmp_path / "store")
    for recipe in (None, ONE_STEP):
        commit(store, [100, 300, 900], recipe=recipe, model="toy-two")
    grey = np.zeros((3, 16, 16))
    commit_run(store, "fruit", {"cat": grey}, lambda step, x_t, x0, level: x0, [10, 20], [100])
    return store


def nca(store, tmp_path, command, *words):
    out = ["-o", str(tmp_path / FILES[command])] if command in FILES else []
    done = CliRunner(env={"COLUMNS": "300"}).invoke(
        app, [command, *words, *out, "--store", str(store.root)]
    )
    assert done.exit_code == (2 if command == "rm" else 0), done.output
    return done.stderr.splitlines()


@pytest.mark.parametrize("command", READERS)
@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("--sampler one-step --sampler dddim", "--sampler dddim (did you mean ddim or ddim-50?)"),
        ("--model toy --model toy-tow", "--model toy-tow (did you mean toy-two?)"),
        ("--image cat --image dgo", "--image dgo (did you mean dog?)"),
        ("--image cat --image zzz", "--image zzz (stored: cat, dog)"),
        ("--t 300,333,444", "--t 333, 444 (stored: 100, 300, 600, 900)"),
        ("--seed 0,7", "--seed 7 (stored: 0, 1)"),
        ("--model toy --run friut", "--run friut (did you mean fruit?)"),
        ("--run fruit --at 10,77", "--at 77 (stored: 10, 20)"),
    ],
    ids=lambda given: given.split()[-1],
)
def test_a_reader_says_what_of_a_filter_is_not_stored(store, tmp_path, command, words, says):
    lines = nca(store, tmp_path, command, *words.split())
    assert [line for line in lines if "stored for" in line] in (
        [f"nothing is stored for {says}"],
        [f"no reconstruction is stored for {says}"],
    )


def test_a_recipe_that_is_not_stored(store):
    (line,) = unstored(store, Filters(recipes=[ONE_STEP.name[-8:], "ffffffff"]))
    assert line.startswith("nothing is stored for --recipe ffffffff (stored: ")


def test_several_values_share_a_line(store):
    (line,) = unstored(store, Filters(models=["toy", "toy-tow", "friut"]))
    assert line == "nothing is stored for --model toy-tow, friut (did you mean toy-two or fruit?)"


def test_a_name_that_was_asked_for_too_is_not_what_a_slip_was_meant_as(store):
    (line,) = unstored(store, Filters(images=["cat", "caat"]))
    assert line == "nothing is stored for --image caat (stored: cat, dog)"


def test_what_is_stored_but_not_with_the_other_filters_is_told_apart(store):
    filters = Filters(models=["toy-two"], samplers=["one-step", "ddim", "dddim"])
    assert list(unstored(store, filters)) == [
        "nothing is stored for --sampler dddim (did you mean ddim-50?)",
        "nothing is stored for --sampler ddim with the other filters",
    ]


def test_noise_is_no_answer_to_who_reads_reconstructions(tmp_path):
    store = full_store(tmp_path / "noise", ["cat"])
    commit(store, [100], recipe=None, image="dog")
    both = Filters(images=["cat", "dog"])
    assert not list(unstored(store, both))
    assert list(unstored(store, both, made=True)) == [
        "no reconstruction is stored for --image dog (stored: cat)"
    ]


def test_nothing_is_said_where_all_is_there_or_nothing_is(store, tmp_path):
    assert not list(unstored(store, Filters(t=[100, 300], seeds=[0, 1], images=["cat", "dog"])))
    assert not list(unstored(store, Filters(t=[333, 334])))
    assert not list(unstored(Store(tmp_path / "gone"), Filters(t=[100, 300])))


def test_a_quiet_reader_says_nothing(store, tmp_path):
    assert nca(store, tmp_path, "export", "--t", "300,333", "--quiet") == []
