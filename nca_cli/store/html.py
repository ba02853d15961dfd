"""Small escaped tables for notebooks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

CELL = 'style="text-align:left"'


def paragraph(text: str) -> str:
    """One line of text."""
    return f"<p>{escape(text)}</p>"


def table(caption: str, header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table; every text in it is escaped."""
    head = "".join(f"<th {CELL}>{escape(name)}</th>" for name in header)
    body = "".join(
        "<tr>" + "".join(f"<td {CELL}>{escape(str(cell))}</td>" for cell in row) + "</tr>"
        for row in rows
    )
    top = f"<thead><tr>{head}</tr></thead>" if head else ""
    said = f'<caption style="text-align:left"><b>{escape(caption)}</b></caption>'
    return f"<table>{said}{top}<tbody>{body}</tbody></table>"
