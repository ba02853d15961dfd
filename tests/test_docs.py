"""The docs cannot drift: the tour is run, the reference is generated, and every link leads on."""

import doctest
import importlib.util
import re
import shutil

import pytest
from pages import PAGES, README, ROOT, anchors, blocks, fenced, links, run_python, run_shell

DOCS = ROOT / "docs"
TOUR, RECIPES, FIGURES = (DOCS / name for name in ("tour.md", "recipes.md", "figures.md"))
ALIKE = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


@pytest.fixture(scope="module")
def toured(tmp_path_factory, path_of_nca):
    """A folder in which the tour's commands were run, and what each of its blocks said."""
    folder = tmp_path_factory.mktemp("tour")
    said = [run_shell(block, folder, PATH=path_of_nca()) for block in blocks(TOUR, "sh")]
    return folder, said


def without_sizes(text):
    """Sizes of files may differ between versions of HDF5."""
    return re.sub(r"[\d.]+ (kB|MB)\b", "SIZE", text)


def test_the_commands_of_the_tour_say_what_the_page_shows(toured):
    shown = fenced(TOUR)
    said = iter(toured[1])
    for (language, command), (after, text) in zip(shown, [*shown[1:], ("", "")], strict=True):
        if language == "sh":
            got = next(said)
            if after == "text":
                want = without_sizes(text).replace("…\n", "...\n")
                same = doctest.OutputChecker().check_output(want, without_sizes(got), ALIKE)
                assert same, f"{command}says\n{got}and docs/tour.md shows\n{text}"


def test_the_python_of_the_tour_runs(toured):
    for block in blocks(TOUR, "python"):
        assert run_python(block, toured[0])


def test_every_figure_of_the_page_on_figures_is_made(toured, path_of_nca):
    folder, few = toured[0], "portrait-01016 portrait-01018"
    for block in blocks(FIGURES, "sh"):
        levels = {"NCA_T": "100,500,900"} if "nca reconstruct" in block else {}
        run_shell(block, folder, PATH=path_of_nca(), NCA_IMAGE=few, **levels)
        for name in re.findall(r"-o (\S+)", block):
            assert (folder / name).stat().st_size > 1000, name
    for block in blocks(FIGURES, "python"):
        run_python(block, folder)


@pytest.fixture
def cook(tmp_path, faces):
    """A folder with what the recipes name."""
    (tmp_path / "theirs").mkdir()
    for t in (300, 500):
        shutil.copy(faces / "ben.png", tmp_path / "theirs" / f"anna-{t}.png")
    return tmp_path


def test_the_recipes_can_be_followed(cook, path_of_nca):
    for block in blocks(RECIPES, "sh"):
        run_shell(block, cook, PATH=path_of_nca(2))
    for name in ("theirs.png", "p2.pdf", "figure.pdf", "figure-1.h5", "again.png", "snr.png"):
        assert (cook / name).exists(), name
    for block in blocks(RECIPES, "python"):
        run_python(block, cook)
    assert (cook / "brightness.pdf").exists()
    assert (cook / "myprobe.npz").exists()


def test_the_makefile_of_the_recipes_shares_the_work_and_is_done_after_one_run(cook, path_of_nca):
    (cook / "Makefile").write_text(blocks(RECIPES, "make")[0])
    path = path_of_nca()
    run_shell("make -j2", cook, PATH=path)
    assert (cook / "figure.pdf").exists()
    assert (cook / "values.csv").exists()
    assert len(list((cook / "stamps").iterdir())) == 4
    assert "Nothing to be done" in run_shell("make", cook, PATH=path)


# -- what scripts write ----------------------------------------------------------------------------


@pytest.mark.parametrize("page", ["commands", "architecture"])
def test_what_is_written_by_a_script_is_what_the_program_says(page):
    spec = importlib.util.spec_from_file_location(page, DOCS / f"make_{page}.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    written = script.PAGE.read_text(encoding="utf-8")
    assert written == script.page(), f"docs/{page}.md is old: make docs"


def test_every_command_is_explained_outside_the_reference():
    from nca_cli.cli import app

    prose = "\n".join(page.read_text() for page in PAGES if page.name != "commands.md")
    for command in app.registered_commands:
        name = command.name or command.callback.__name__
        assert re.search(rf"\bnca {name}\b", prose), f"nca {name} is in no page"


# -- links and pictures ----------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_and_pictures_lead_to_files_and_headings_that_exist(page):
    for target, anchor in links(page):
        assert target.exists(), f"{page.name}: {target}"
        if anchor:
            assert anchor in anchors(target), f"{page.name}: {target.name}#{anchor}"


def test_every_page_is_reached_from_the_readme():
    reached, waiting = set(), [README.resolve()]
    while waiting:
        page = waiting.pop()
        if page not in reached:
            reached.add(page)
            waiting += [target for target, _ in links(page) if target.suffix == ".md"]
    assert {page.resolve() for page in PAGES} <= reached
    index = {target for target, _ in links(DOCS / "README.md")}
    assert {path for path in DOCS.glob("*.*") if path.suffix in (".md", ".ipynb")} <= {
        *index, DOCS / "README.md"
    }  # fmt: skip


def test_every_picture_is_shown_and_small():
    shown = {target for page in PAGES for target, _ in links(page)}
    pictures = {path.resolve() for path in (DOCS / "images").iterdir()}
    assert pictures <= shown
    sizes = [path.stat().st_size for path in pictures]
    assert max(sizes) < 300_000
    assert sum(sizes) < 2_000_000


def test_no_page_holds_what_was_to_be_filled_in():
    for page in PAGES:
        assert not re.search(r"@[A-Z]+@|TODO|FIXME", page.read_text()), page.name
