"""A module imports only lower layers, so that the file list is the architecture."""

import ast
import inspect
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

import nca_cli

PACKAGE = Path(__file__).parent.parent / "nca_cli"
FLOORS = (
    ("errors", "installed", "recipe"),
    (
        "atomic",
        "clipping",
        "csv_files",
        "devices",
        "images",
        "plugins",
        "portraits",
        "schedule",
        "shard",
        "figures.type",
    ),
    ("samplers",),
    ("sampler_choice", "store"),
    ("models", "outputs"),
    ("metrics",),
    ("analysis", "commands", "runs"),
    ("concepts", "engine", "figures.grid", "figures.curves"),
    ("doctor", "export", "imports", "notebook", "report"),
    ("twins", "watching"),
    ("cli",),
)
"""From the ground up. A room imports from its own floor nothing but itself; `recipe` may import
`errors`."""
NEIGHBOURS = {("recipe", "errors")}
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}


def room_of(module: str) -> str | None:
    """`nca_cli.figures.grid.table` → `figures.grid`; None for the facade and its version."""
    parts = module.split(".")[1:]
    names = [".".join(parts[:length]) for length in range(len(parts), 0, -1)]
    return next((name for name in names if name in FLOOR), None)


def files_of(room: str) -> list[Path]:
    """The Python files of a room."""
    home = PACKAGE.joinpath(*room.split("."))
    return sorted(home.rglob("*.py")) if home.is_dir() else [home.with_suffix(".py")]


def imported(path: Path) -> Iterator[str]:
    """What of nca_cli a file imports, anywhere in it: in functions, and through the facade too."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module == "nca_cli":
            yield from (homes_of(alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.Attribute) and getattr(node.value, "id", "") == "nca_cli":
            yield homes_of(node.attr)


def homes_of(name: str) -> str:
    """The module behind a name of the facade, or the module of that name."""
    return nca_cli._HOMES.get(name, f"nca_cli.{name}").partition(":")[0]


@pytest.mark.parametrize("room", FLOOR)
def test_a_room_imports_only_from_lower_floors(room):
    for path in files_of(room):
        for module in imported(path):
            other = room_of(module) if module.startswith("nca_cli.") else None
            if other not in (None, room) and (room, other) not in NEIGHBOURS:
                assert FLOOR[other] < FLOOR[room], f"{path.name} of {room} imports {module}"


def test_every_file_is_in_a_room():
    in_rooms = {path for room in FLOOR for path in files_of(room)}
    hall = {PACKAGE / "__init__.py", PACKAGE / "__main__.py", PACKAGE / "figures" / "__init__.py"}
    assert set(PACKAGE.rglob("*.py")) == in_rooms | hall


def test_no_api_name_is_a_modules():
    assert not set(nca_cli.__all__) & {path.stem for path in PACKAGE.iterdir()}


def test_every_api_name_can_be_had():
    assert all(getattr(nca_cli, name) for name in nca_cli.__all__)


TWINS = {
    "noise": "noise_images", "reconstruct": "reconstruct", "measure": "measure_store",
    "import": "import_pairs", "grid": "compose_grid", "plot": "plot_curves",
    "report": "build_report", "export": "export_tensors", "verify": "verify_store",
    "pack": "pack_store", "merge": "merge_stores", "rm": "removal", "models": "list_models",
    "doctor": "examine", "ls": "Store", "show": "Artifact", "cache": "cached_models",
}  # fmt: skip


CALLS = {"nca_cli.twins"}
"""Modules that do nothing but call what the command calls too."""


def test_every_command_has_a_python_twin():
    assert commands().keys() - {"demo"} == TWINS.keys()
    assert set(TWINS.values()) <= set(nca_cli.__all__)


@pytest.mark.parametrize("command", TWINS)
def test_a_command_works_by_the_module_of_its_twin(command):
    twin = getattr(nca_cli, TWINS[command])
    homes = {one.__module__ for one in (getattr(twin, "__mro__", ()) or (twin,))}
    homes |= set(imported(Path(inspect.getfile(twin)))) if twin.__module__ in CALLS else set()
    used = imported_by(inspect.unwrap(commands()[command].callback))
    assert any(f"{home}.".startswith(f"{module}.") for home in homes for module in used), used


def commands():
    import typer

    from nca_cli.cli import app

    return typer.main.get_command(app).commands


def imported_by(function):
    """Modules of nca_cli that a command imports from, or a helper in cli that it names."""
    found = [function]
    for one in found:
        known = (one.__globals__.get(name) for name in one.__code__.co_names)
        found += [
            other for other in known
            if inspect.isfunction(other) and other.__module__.startswith("nca_cli.cli.")
            and other not in found
        ]  # fmt: skip
    trees = (ast.parse(textwrap.dedent(inspect.getsource(one))) for one in found)
    nodes = (node for tree in trees for node in ast.walk(tree))
    return {node.module for node in nodes
            if isinstance(node, ast.ImportFrom) and node.module.startswith("nca_cli.")}  # fmt: skip
