"""The tidy table kept as columns says the same as a list of its rows."""

from __future__ import annotations

import math
from itertools import chain

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from nca_cli.analysis.values import tables
from nca_cli.metrics import Value
from nca_cli.metrics.cache import Entry, Kept
from nca_cli.metrics.tidy import NAMED, TidyRows, TidyTable

FEW = st.sampled_from
VALUES = st.builds(
    Value, FEW("abc"), FEW(["m", "n"]), FEW(["ddim", "reference:copy"]), FEW([100, 100.0, 300]),
    FEW([-1, 0, 1]), FEW([-2.5, 0.0, 1.0]), FEW(["mse", "kept/0"]),
    st.floats(allow_nan=False),
)  # fmt: skip
ROWS = st.lists(VALUES, max_size=12)


@given(ROWS)
def test_a_table_gives_back_its_rows(rows):
    table = TidyTable.of(rows)
    assert list(table) == rows
    assert [type(value.t) for value in table] == [type(value.t) for value in rows]
    assert [table[k] for k in range(len(rows))] == rows
    assert table[2:5] == rows[2:5]
    assert table == rows


@given(st.lists(ROWS, min_size=1, max_size=3))
def test_joined_tables_have_the_rows_of_all(some):
    assert list(TidyTable.joined(some)) == list(chain(*some))


@given(ROWS)
def test_choosing_by_columns_is_choosing_rows(rows):
    table = TidyTable.of(rows)
    assert table.of_measure("mse") == [value for value in rows if value.measure == "mse"]
    chosen = table.where(lambda image, seed: (image, seed) != ("a", 0), "image", "seed")
    assert chosen == [value for value in rows if (value.image, value.seed) != ("a", 0)]


@given(ROWS)
def test_what_stands_together_comes_in_the_order_of_the_rows(rows):
    found = TidyTable.of(rows).distinct("model", "measure")
    assert found == list(dict.fromkeys((value.model, value.measure) for value in rows))


@given(ROWS)
def test_a_cell_of_a_table_is_the_mean_over_the_seeds_of_an_image(rows):
    for table in tables(rows):
        for measure, grid in table.grids.items():
            for row, image in enumerate(table.images):
                for column, t in enumerate(table.t):
                    cell = [v.value for v in rows
                            if v[:4] == (image, table.model, table.sampler, t)
                            and v.measure == measure]  # fmt: skip
                    assert grid.rows[row, column] == len(cell)
                    finite = [value for value in cell if math.isfinite(value)]
                    with np.errstate(over="ignore"):
                        mean = np.sum(finite) / len(finite) if finite else None
                    if mean is not None:
                        np.testing.assert_allclose(grid.mean[row, column], mean, atol=1e-300)


def test_blocks_of_samples_and_measures_are_rows_in_that_order():
    rows = TidyRows()
    samples = [(100, 0, 1.0), (math.nan, -1, math.nan)]
    rows.add(("a", "m", "ddim"), samples, ("mse", "psnr"), np.arange(4.0).reshape(2, 2))
    rows.add(("b", "m", "ddim"), samples[:1], (), np.empty((1, 0)))
    rows.add(("b", "m", "ddim"), samples[:1], ("psnr",), np.array([[9.0]]))
    table = rows.table()
    assert [(v.image, v.measure, v.value) for v in table] == [
        ("a", "mse", 0.0), ("a", "psnr", 1.0), ("a", "mse", 2.0), ("a", "psnr", 3.0),
        ("b", "psnr", 9.0),
    ]  # fmt: skip
    assert table[0].t == 100
    assert math.isnan(table[2].t)


def test_levels_that_are_equal_but_of_two_types_stay_two():
    rows = TidyRows()
    for t in (100, 100.0):
        rows.add(("a", "m", "ddim"), [(t, 0, 1.0)], ("mse",), np.zeros((1, 1)))
    assert [type(value.t) for value in rows.table()] == [int, float]


def test_a_million_rows_take_less_than_forty_bytes_each():
    rows = TidyRows()
    for image in range(100):
        samples = [(t, 0, float(t)) for t in range(100)]
        measures = tuple(f"kept/{band}" for band in range(100))
        rows.add((f"{image}", "m", "ddim"), samples, measures, np.ones((100, 100)))
    table = rows.table()
    held = table.numbers.nbytes + sum(table.columns[name].codes.nbytes for name in NAMED)
    assert len(table) == 1_000_000
    assert held <= 40 * len(table)


def test_kept_values_are_compact_and_read_as_dicts():
    values = {"mse": {"": 0.25}, "kept": {"/0": 1.0, "/1": math.inf}, "none": {}}
    entry = Entry.of("content", "digest", values)
    assert dict(entry.values) == values
    assert entry.values.hold(frozenset(["mse", "none"]))
    assert not entry.values.hold(frozenset(["mse", "psnr"]))
    assert entry.values.places is Entry.of("", "", values).values.places
    assert dict(entry.without({"kept"}).values) == {"mse": {"": 0.25}, "none": {}}
    joined = Kept({"mse": "1"}, entries={(1, 0): entry}).joined(
        Kept({"psnr": "1"}, entries={(1, 0): Entry.of("c", "digest", {"psnr": {"": 3.0}})})
    )
    assert dict(joined.entries[1, 0].values) == {**values, "psnr": {"": 3.0}}
