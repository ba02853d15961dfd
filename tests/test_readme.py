"""The README cannot drift: its commands, its Python and its Makefile are run as they stand."""

import shutil
import subprocess

import pytest
from pages import README, blocks, environment, run_python, run_shell


@pytest.fixture(scope="module")
def toured(tmp_path_factory, path_of_nca):
    """A folder in which all commands of the tour have been run."""
    folder = tmp_path_factory.mktemp("tour")
    for block in blocks(README, "sh"):
        run_shell(block, folder, PATH=path_of_nca(2))
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


def test_the_python_of_the_readme_runs(toured):
    for block in blocks(README, "python"):
        assert run_python(block, toured)


def test_the_makefile_of_the_readme_is_done_after_one_run_and_works_in_parallel(
    tmp_path, faces, path_of_nca
):
    (tmp_path / "Makefile").write_text(blocks(README, "make")[0])
    (tmp_path / "photos").mkdir()
    shutil.copy(faces / "anna.png", tmp_path / "photos")

    def make(*options):
        return subprocess.run(
            ["make", *options], cwd=tmp_path, env=environment(PATH=path_of_nca()), text=True,
            capture_output=True,
        )  # fmt: skip

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
