"""The house stays in order: names, sizes, and no way around the command line."""

import ast
from collections import defaultdict
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "nca_cli"
FILES = sorted(PACKAGE.rglob("*.py"))
LONGEST_FILE, LONGEST_FUNCTION, MOST_PARAMETERS = 350, 40, 8


def nodes(path, kind):
    """The nodes of a kind in a file."""
    return [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, kind)]


def test_a_class_name_stands_for_one_class():
    homes = defaultdict(list)
    for path in FILES:
        for node in nodes(path, ast.ClassDef):
            homes[node.name].append(str(path.relative_to(PACKAGE)))
    assert {name: places for name, places in homes.items() if len(places) > 1} == {}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_files_and_functions_are_short(path):
    assert len(path.read_text().splitlines()) <= LONGEST_FILE
    for function in nodes(path, ast.FunctionDef):
        assert function.end_lineno - function.lineno < LONGEST_FUNCTION, function.name
        if PACKAGE / "cli" not in path.parents:
            assert parameters(function) <= MOST_PARAMETERS, function.name


def parameters(function):
    """How many arguments a function takes, its own object left out."""
    taken = function.args
    named = [*taken.posonlyargs, *taken.args, *taken.kwonlyargs]
    return sum(argument.arg not in ("self", "cls") for argument in named)


def test_the_environment_is_read_by_the_command_line_alone():
    allowed = {
        "store/child.py",  # hands it on to the process that it starts
        "models/environment.py",  # the one place of what Python users set too
    }  # fmt: skip
    for path in FILES:
        name = str(path.relative_to(PACKAGE))
        if not name.startswith("cli/") and name not in allowed:
            read = [node for node in nodes(path, ast.Attribute)
                    if node.attr in ("environ", "getenv")]  # fmt: skip
            assert not read, name


def test_no_module_is_swapped_and_no_global_is_set():
    for path in FILES:
        signals = path == PACKAGE / "cli" / "interrupt.py"  # they belong to the process
        assert signals or not nodes(path, ast.Global), path
        assert 'sys.modules["__main__"] =' not in path.read_text(), path
