"""The README cannot drift: its commands, its Python and its Makefile are run as they stand."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def environment():
    """A shell in which `nca` is this checkout's."""
    return {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "HF_HUB_OFFLINE": "1",
        "PYTHONPATH": str(ROOT),
    }


@pytest.fixture(scope="module")
def toured(tmp_path_factory, environment):
    """A folder in which all commands of the tour have been run."""
    folder = tmp_path_factory.mktemp("tour")
    for block in blocks("sh"):
        run = subprocess.run(
            ["bash", "-euc", block], cwd=folder, env=environment, text=True, capture_output=True
        )
        assert run.returncode == 0, f"{block}\n{run.stderr}"
    return folder


def test_the_tour_makes_what_it_says(toured):
    for name in (
        "grid.png",
        "report.html",
        "compare.png",
        "everything.h5",
        "again.png",
        "pictures",
    ):
        assert (toured / name).exists()


def test_the_python_of_the_readme_runs(toured, environment):
    for block in blocks("python"):
        run = subprocess.run(
            [sys.executable, "-c", block],
            cwd=toured,
            env=environment,
            text=True,
            capture_output=True,
        )
        assert run.returncode == 0, f"{block}\n{run.stderr}"
        assert run.stdout


def test_the_makefile_of_the_readme_is_done_after_one_run_and_works_in_parallel(
    tmp_path, faces, environment
):
    (tmp_path / "Makefile").write_text(blocks("make")[0])
    shutil.copytree(faces, tmp_path / "photos")

    def make(*options):
        return subprocess.run(
            ["make", *options], cwd=tmp_path, env=environment, text=True, capture_output=True
        )

    first = make("-j4")
    assert first.returncode == 0, first.stderr
    assert (tmp_path / "figure.png").exists()
    again = make()
    assert "Nothing to be done" in again.stdout
    (tmp_path / "photos" / "anna.png").touch()
    touched = make()
    assert touched.returncode == 0, touched.stderr
    assert "cached" in touched.stderr, "only the file's time is new, not its content"
    assert "Nothing to be done" in make().stdout


def test_every_command_is_in_the_readme_or_its_help():
    from nca_cli.cli import app

    for command in app.registered_commands:
        name = command.name or command.callback.__name__
        assert re.search(rf"\bnca {name}\b", README), f"nca {name} is not in the README"


def test_links_and_pictures_of_the_readme_exist():
    for target in re.findall(r"\]\(((?!https?:)[^)#]+)\)", README):
        assert (ROOT / target).exists(), target
