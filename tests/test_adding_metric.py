"""A metric is one record: what adding one takes, and what comes of it."""

from __future__ import annotations

import csv
import importlib
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from stores import DDIM, commit
from typer.testing import CliRunner

from nca_cli.analysis import half_levels
from nca_cli.cli import app
from nca_cli.figures.curves.titles import full_title, known_metric
from nca_cli.metrics import METRICS
from nca_cli.report import collect
from nca_cli.report.data.words import known_halves
from nca_cli.store import Store

PAGE = Path(__file__).parents[1] / "docs" / "adding-a-metric.md"
SOURCE = PAGE.read_text("utf-8").split("```python\n")[1].split("```")[0]
"""The example of the page."""
LEVELS = (100, 300, 600)


@pytest.fixture
def store(tmp_path):
    """Four images, one sampler, three levels."""
    store = Store(tmp_path / "store")
    for image in ("ape", "bee", "cat", "dog"):
        for recipe in (None, DDIM):
            commit(store, LEVELS, (0,), recipe, image)
    return store


@pytest.fixture
def added(tmp_path, monkeypatch):
    """The metric, from a module of its own."""
    (tmp_path / "my_metric.py").write_text(SOURCE, "utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    yield importlib.import_module("my_metric")
    del METRICS["loss"], sys.modules["my_metric"]


def nca(*arguments):
    done = CliRunner().invoke(app, [*map(str, arguments)])
    assert done.exit_code == 0, done.output
    return done.stdout


def test_it_takes_no_more_than_five_lines():
    code = SOURCE.split("\n\n\n", 1)[1].splitlines()
    assert len([line for line in code if line]) <= 5


def test_nca_measure_takes_it_and_keeps_it(store, added):
    arguments = ("measure", "--store", store.root, "--measure", "loss", "--json")
    told, again = (json.loads(nca(*arguments)) for _ in range(2))
    assert (told["computed"], again["computed"]) == (4 * len(LEVELS), 0)


def test_the_table_has_its_numbers_and_the_page_all_that_the_record_says(store, added, tmp_path):
    page, table, text = (tmp_path / f"report.{kind}" for kind in ("html", "csv", "json"))
    nca("report", "--store", store.root, "-o", page, "--csv", table, "--json", text)
    with open(table, encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["measure"] == "loss/1"]
    assert len(rows) == 4 * len(LEVELS)
    cat = next(row for row in rows if row["image"] == "cat" and row["t"] == "300")
    made = next(a for a in store.select() if "cat" in a.image and not a.is_noise)
    noise = next(a for a in store.select() if "cat" in a.image and a.is_noise)
    expected = added.loss(noise.fixed("x0"), made.read("x0_hat", [(300, 0)])[0])
    assert float(cat["value"]) == pytest.approx(expected["1"])
    html = page.read_text("utf-8")
    assert "Energy lost" in html
    assert "2–4 cycles per side" in html
    assert "10/(1 + energy kept) in an octave band" in html


def test_its_unit_direction_digits_and_half_level_are_the_records(store, added):
    assert full_title("loss/3") == "Energy lost, 8–16 cycles per side"
    known = known_metric("loss/3")
    assert (known.unit, known.better) == ("dB", "lower")
    value = collect(store).values[0]
    rising = [
        value._replace(image=str(i), measure="loss/0", t=t, log_snr=-float(t), value=5.0 + t)
        for i in range(4) for t in range(6)
    ]  # fmt: skip
    (half,) = half_levels(rising)
    assert half.log_snr.value == pytest.approx(-2.5)
    assert not half.measured_ends
    assert known_halves(SimpleNamespace(half_levels=[half])) == [half]
