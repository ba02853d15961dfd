"""A module imports only lower layers, so that the file list is the architecture."""

import ast
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


def test_every_command_has_a_python_twin():
    import typer

    import nca_cli
    from nca_cli.cli import app

    twins = {
        "noise": "noise_images", "reconstruct": "reconstruct", "measure": "measure_store",
        "import": "import_pairs", "grid": "compose_grid", "plot": "plot_curves",
        "report": "build_report", "export": "export_tensors", "verify": "verify_store",
        "pack": "pack_store", "rm": "removal", "models": "list_models", "doctor": "examine",
        "ls": "Store", "show": "Artifact",
    }  # fmt: skip
    commands = set(typer.main.get_command(app).commands)
    assert commands - {"demo"} == set(twins)
    assert set(twins.values()) <= set(nca_cli.__all__)
