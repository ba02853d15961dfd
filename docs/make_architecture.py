"""Write the table of rooms in docs/architecture.md anew from the test of layers: `make docs`."""

from __future__ import annotations

import ast
import importlib.util
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parents[1]
PAGE = Path(__file__).with_name("architecture.md")
START, END = "<!-- rooms -->\n", "<!-- end of rooms -->\n"


def page() -> str:
    """The page with its table as it should be."""
    text = PAGE.read_text(encoding="utf-8")
    before, _, rest = text.partition(START)
    return f"{before}{START}{table()}{END}{rest.partition(END)[2]}"


def table() -> str:
    """A row a room, from the ground up: its floor, its name, what it owns, its size."""
    layers = _layers()
    rows = [
        f"| {floor} | `{room}` | {_owns(layers.files_of(room))} | {_lines(layers.files_of(room))} |"
        for floor, rooms in enumerate(layers.FLOORS)
        for room in rooms
    ]
    return "\n".join(["| floor | room | what it is | lines |", "|---|---|---|---|", *rows, ""])


def _layers() -> ModuleType:
    """The test of layers, which knows every room and its floor."""
    spec = importlib.util.spec_from_file_location("layers", ROOT / "tests" / "test_layers.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _owns(files: list[Path]) -> str:
    """The first sentence of the room's docstring."""
    home = min(files, key=lambda path: (len(path.parts), path.name != "__init__.py"))
    text = ast.get_docstring(ast.parse(home.read_text(encoding="utf-8"))) or ""
    return " ".join(text.split("\n\n")[0].split()).rstrip(".")


def _lines(files: list[Path]) -> int:
    """To the next hundred, so that the page is not rewritten with every change."""
    lines = sum(len(path.read_text(encoding="utf-8").splitlines()) for path in files)
    return max(100, round(lines, -2))


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(PAGE)
