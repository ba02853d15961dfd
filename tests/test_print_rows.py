"""Long tables are printed line by line, and look as Rich would have them."""

import pytest
from rich.text import Text

from nca_cli.cli.console import print_rows, stdout, table

HEADER = ("image", "artifact", "size")
ROWS = {
    "plain": [("cat", "noise", "166 kB"), ("", "ddim-50-7f31c02a", "1.2 MB")],
    "wide characters": [("猫", "noise", "1 kB"), ("é🐈", "x" * 20, "12 kB")],
    "brackets and emoji names": [("[bold]cat[/bold]", ":cat:", "1 kB")],
    "one without a name": [("", "", "")],
    "a tab and a line's end": [("a\tb", "one\ntwo", "3 kB")],
    "nothing": [],
}


def by_rich(rows):
    shown = table()
    for name in HEADER:
        shown.add_column(name, overflow="fold", justify="right" if name == "size" else "left")
    for row in rows:
        shown.add_row(*map(Text, row))
    stdout().print(shown)


@pytest.mark.parametrize("columns", [None, "80", "20", "11"])
@pytest.mark.parametrize("rows", ROWS.values(), ids=ROWS)
def test_rows_look_as_in_a_table_of_rich(rows, columns, capsys, monkeypatch):
    if columns:
        monkeypatch.setenv("COLUMNS", columns)
    else:
        monkeypatch.delenv("COLUMNS", raising=False)
    by_rich(rows)
    expected = capsys.readouterr().out
    print_rows(HEADER, rows)
    assert capsys.readouterr().out == expected


def test_rows_that_fit_are_not_left_to_rich(capsys, monkeypatch):
    monkeypatch.setattr("rich.table.Table.add_row", lambda *cells: pytest.fail("is slow"))
    print_rows(HEADER, ROWS["plain"] * 1000)
    assert len(capsys.readouterr().out.splitlines()) == 2001
