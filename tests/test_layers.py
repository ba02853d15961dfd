"""A module imports only lower layers, so that the file list is the architecture."""

import ast
import inspect
import textwrap
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "nca_cli"
LAYERS = {
    "errors": 0,
    "recipe": 0,
    "tables": 1,
    "results": 1,
    "images": 1,
    "portraits": 1,
    "schedule": 1,
    "metrics": 1,
    "store": 2,
    "samplers": 2,
    "models": 3,
    "analysis": 3,
    "engine": 4,
    "measures": 4,
    "grid": 4,
    "export": 4,
    "doctor": 4,
    "imports": 4,
    "charts": 4,
    "concepts": 4,
    "notebook": 5,
    "plot": 5,
    "report": 5,
    "cli": 6,
}


def imported(path):
    """Top-level modules of nca_cli that a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = (
                [f"{node.module}.{alias.name}" for alias in node.names]
                if node.module == "nca_cli"
                else [node.module]
            )
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        for name in names:
            parts = name.split(".")
            if parts[0] == "nca_cli" and len(parts) > 1 and parts[1] != "__version__":
                yield parts[1]


@pytest.mark.parametrize("module", LAYERS)
def test_a_module_imports_only_lower_layers(module):
    home = PACKAGE / module
    for path in home.rglob("*.py") if home.is_dir() else [home.with_suffix(".py")]:
        for other in imported(path):
            lower = LAYERS[other] < LAYERS[module] or (LAYERS[other], LAYERS[module]) == (0, 0)
            assert other == module or lower, f"{path.name} of {module} imports {other}"


def test_every_module_has_a_layer():
    modules = {
        path.stem
        for path in PACKAGE.iterdir()
        if path.suffix == ".py" or (path / "__init__.py").exists()
    }
    assert modules - {"__init__", "__main__"} == set(LAYERS)


def test_no_api_name_is_a_modules():
    import nca_cli

    assert not set(nca_cli.__all__) & {path.stem for path in PACKAGE.iterdir()}


def test_every_api_name_can_be_had():
    import nca_cli

    assert all(getattr(nca_cli, name) for name in nca_cli.__all__)


TWINS = {
    "noise": "noise_images", "reconstruct": "reconstruct", "measure": "measure_store",
    "import": "import_pairs", "grid": "compose_grid", "plot": "plot_curves",
    "report": "build_report", "export": "export_tensors", "verify": "verify_store",
    "pack": "pack_store", "rm": "removal", "models": "list_models", "doctor": "examine",
    "ls": "Store", "show": "Artifact",
}  # fmt: skip


def test_every_command_has_a_python_twin():
    import nca_cli

    assert commands().keys() - {"demo"} == TWINS.keys()
    assert set(TWINS.values()) <= set(nca_cli.__all__)


@pytest.mark.parametrize("command", TWINS)
def test_a_command_works_by_the_module_of_its_twin(command):
    import nca_cli

    twin = getattr(nca_cli, TWINS[command])
    homes = {one.__module__ for one in (getattr(twin, "__mro__", ()) or (twin,))}
    used = imported_by(inspect.unwrap(commands()[command].callback))
    assert any(f"{home}.".startswith(f"{module}.") for home in homes for module in used), used


def commands():
    import typer

    from nca_cli.cli import app

    return typer.main.get_command(app).commands


def imported_by(function):
    """Modules of nca_cli that a function imports from, or a helper beside it that it names."""
    module, found = inspect.getmodule(function), [function]
    for one in found:
        known = (vars(module).get(name) for name in one.__code__.co_names)
        found += [
            other for other in known
            if inspect.isfunction(other) and inspect.getmodule(other) is module
            and other not in found
        ]  # fmt: skip
    trees = (ast.parse(textwrap.dedent(inspect.getsource(one))) for one in found)
    nodes = (node for tree in trees for node in ast.walk(tree))
    return {node.module for node in nodes
            if isinstance(node, ast.ImportFrom) and node.module.startswith("nca_cli.")}  # fmt: skip
