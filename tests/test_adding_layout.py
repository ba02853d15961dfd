"""A layout is one record in one place, as docs/adding-a-layout.md says."""

import importlib.util
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from stores import SIDE, full_store, tensor
from typer.testing import CliRunner

from nca_cli.cli import app
from nca_cli.figures.grid import LAYOUTS, compose_grid
from nca_cli.images import to_uint8
from nca_cli.store import Filters

PAGE = Path(__file__).parent.parent / "docs" / "adding-a-layout.md"


@pytest.fixture
def ends(tmp_path, monkeypatch):
    """The module of the page, loaded from a file of its own."""
    monkeypatch.setitem(LAYOUTS, "ends", None)  # taken out again after the test
    [code] = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    path = tmp_path / "my_layouts.py"
    path.write_text(code)
    spec = importlib.util.spec_from_file_location("my_layouts", path)
    spec.loader.exec_module(importlib.util.module_from_spec(spec))
    return code


def test_a_layout_takes_at_most_twenty_lines(ends):
    assert len(ends.splitlines()) <= 20


def test_the_command_line_draws_it_with_the_stored_pictures_in_their_places(ends, tmp_path):
    store, out = full_store(tmp_path / "store", images=["cat"]), tmp_path / "x.png"
    options = ["--store", str(store.root), "--seed", "0", "--cell", str(SIDE), "-o", str(out)]
    done = CliRunner().invoke(app, ["grid", "--layout", "ends", *options])
    assert done.exit_code == 0, done.output
    sheet = compose_grid(store, Filters(seeds=[0]), layout="ends", cell=SIDE).sheet
    expected = {
        (0, 0): tensor(0, 0, "cat"),
        (0, 1): tensor(600, 0, "x0_hat"),
        (0, 2): tensor(100, 0, "x0_hat"),
        (1, 1): tensor(600, 0, "x0_hat"),
        (1, 2): tensor(100, 0, "x0_hat"),
    }
    assert {(each.row, each.column) for each in sheet.pictures} == expected.keys()
    with Image.open(out) as drawn:
        assert drawn.size == sheet.size
        for place, values in expected.items():
            shown = np.asarray(drawn.convert("RGB").crop(sheet.box(*place)))
            np.testing.assert_array_equal(shown, to_uint8(values))


def test_what_it_fixes_holds_whatever_is_asked_for(ends, tmp_path):
    store = full_store(tmp_path / "store", images=["cat", "dog"])
    grid = compose_grid(store, Filters(seeds=[0]), layout="ends", rows="seeds")
    names = ["".join(span.text for span in group.names[0]) for group in grid.table.groups]
    assert names == ["cat", "dog"]
    assert "".join(span.text for span in grid.table.caption).startswith("The noisiest")
