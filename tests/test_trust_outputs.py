"""No command writes into a store, over its pictures, or over a file of another kind."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from nca_cli.cli import app
from nca_cli.engine import Request
from nca_cli.images import sample_images
from nca_cli.outputs import Outputs, kind_of

WRITERS = {
    "grid.png": ["grid", "-o"],
    "grid.jpg": ["grid", "-o"],
    "grid.webp": ["grid", "-o"],
    "grid.gif": ["grid", "-o"],
    "grid.svg": ["grid", "-o"],
    "grid.pdf": ["grid", "-o"],
    "curves.pdf": ["plot", "-o"],
    "curves.svg": ["plot", "-o"],
    "curves.png": ["plot", "-o"],
    "numbers.csv": ["plot", "-o", "curves.pdf", "--csv"],
    "report.html": ["report", "-o"],
    "values.csv": ["report", "-o", "page.html", "--csv"],
    "training.csv": ["report", "-o", "page.html", "--training-csv"],
    "values.json": ["report", "-o", "page.html", "--json"],
    "packed.h5": ["pack", "-o"],
    "stamp": ["noise", "faces", "--model", "wiener", "--size", "16", "--t", "500", "--stamp"],
    "stamp-of-chains": ["reconstruct", "faces", "--model", "wiener", "--size", "16", "--t", "500",
                        "--stamp"],
}  # fmt: skip
"""Every file that a command can be told to write, and the words before its name."""
FOLDERS = {
    "tensors": ["export", "-o"],
    "pictures": ["report", "-o", "page.html", "--assets"],
    "demo": ["demo", "-o"],
    "unpacked": ["pack", "--store", "whole.h5", "--unpack", "-o"],
}
"""Every folder that a command can be told to fill."""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A store, its images, and a packed copy."""
    from numpy.random import default_rng

    folder = tmp_path_factory.mktemp("made")
    (folder / "faces").mkdir()
    pixels = default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    for suffix in ("png", "jpg", "webp", "gif"):
        Image.fromarray(pixels).save(folder / f"faces/anna.{suffix}")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        run("reconstruct", "faces", "--model", "wiener", "--size", "16", "--t", "500,100")
        run("pack", "-o", "whole.h5")
    return folder


@pytest.fixture
def here(made, tmp_path, monkeypatch):
    """The working folder: a copy of all that."""
    shutil.copytree(made, tmp_path / "work")
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "work"


def run(*words):
    done = CliRunner().invoke(app, [*map(str, words)])
    assert done.exit_code == 0, done.output
    return done


def contents(folder=Path()):
    """Every file and what is in it, but for what readers keep beside artifacts."""
    derived = (".metrics.json", ".lock", ".index.jsonl")
    return {
        file: file.read_bytes()
        for file in sorted(folder.rglob("*"))
        if file.is_file() and not file.name.endswith(derived) and ".analysis" not in file.parts
    }


def refused(*words):
    """One line, exit 2, and nothing on the disk is other than before."""
    before = contents()
    done = CliRunner().invoke(app, [*map(str, words)])
    assert done.exit_code == 2, done.output
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert "unexpected" not in errors[0]
    assert contents() == before
    return errors[0]


ANY_NAME = [name for name in WRITERS if Path(name).suffix in ("", ".csv", ".json", ".h5")]
"""Where the command asks for no suffix."""


@pytest.mark.parametrize("name", WRITERS)
def test_a_new_file_is_written_and_written_again(here, name):
    run(*WRITERS[name], name)
    assert Path(name).is_file()
    run(*WRITERS[name], name)


@pytest.mark.parametrize("name", WRITERS)
def test_nothing_is_written_into_a_store(here, name):
    suffix = Path(name).suffix
    folder = next(Path("nca-store").glob("*/*/"))
    for place in (Path(f"nca-store/new{suffix}"), folder / f"new{suffix}", folder / f"a/b{suffix}"):
        assert "in the store" in refused(*WRITERS[name], place)


@pytest.mark.parametrize("name", ANY_NAME)
def test_nothing_is_written_over_a_file_of_a_store(here, name):
    there = next(Path("nca-store").glob("*/*/noise.h5"))
    for place in (there, Path("nca-store/nca-store.json"), there.parents[1] / "model.json"):
        assert "in the store" in refused(*WRITERS[name], place)


@pytest.mark.parametrize("name", WRITERS)
def test_nor_by_way_of_a_link_nor_into_another_store(here, name):
    suffix = Path(name).suffix
    Path("link").symlink_to("nca-store")
    Path(f"file{suffix}").symlink_to(Path(f"nca-store/new{suffix}"))
    shutil.copytree("nca-store", "other")
    for place in (f"link/new{suffix}", f"file{suffix}", f"other/new{suffix}"):
        assert "in the store" in refused(*WRITERS[name], place)


@pytest.mark.parametrize("name", ANY_NAME)
def test_a_packed_store_is_replaced_by_packed_stores_alone(here, name):
    if name != "packed.h5":
        refused(*WRITERS[name], "whole.h5")
    else:
        run(*WRITERS[name], "whole.h5")
        artifact = shutil.copy(next(Path("nca-store").glob("*/*/noise.h5")), "copied.h5")
        assert "not a packed store" in refused(*WRITERS[name], artifact)


@pytest.mark.parametrize("name", [*ANY_NAME, "grid.png", "curves.png"])
def test_no_image_is_written_over(here, name):
    suffix = Path(name).suffix
    image = f"faces/anna{suffix if suffix == '.png' else '.jpg'}"
    refused(*WRITERS[name], image)
    moved = shutil.copy(image, f"elsewhere{Path(image).suffix}")  # known by its content
    refused(*WRITERS[name], moved)


@pytest.mark.parametrize("suffix", ["jpg", "webp", "gif"])
def test_nor_is_one_of_the_same_format(here, suffix):
    assert "is an image" in refused("grid", "-o", f"faces/anna.{suffix}")


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("content", [b"my notes\n", b"a,b\n1,2\n", b'{"a": 1}', bytes(range(256))])
def test_a_file_of_another_kind_stays(here, name, content):
    place = Path(f"mine{Path(name).suffix}")
    place.write_bytes(content)
    assert f"{place} is a" in refused(*WRITERS[name], place)


@pytest.mark.parametrize("name", WRITERS)
def test_an_empty_file_is_replaced(here, name):
    place = Path(f"mine{Path(name).suffix}")
    place.touch()
    run(*WRITERS[name], place)


def test_the_labels_are_not_written_over(here):
    labels = Path("labels.csv")
    labels.write_text("image,model,sampler\nanna,1,2\n")
    words = ["report", "--labels", labels, "--csv", labels]
    assert "is an input of this command" in refused(*words)


def test_of_a_report_all_is_written_or_nothing(here):
    Path("mine.csv").write_text("my notes\n")
    refused("report", "-o", "page.html", "--json", "new.json", "--csv", "mine.csv")
    assert not Path("page.html").exists()
    assert not Path("new.json").exists()


@pytest.mark.parametrize("name", FOLDERS)
def test_no_folder_in_a_store_is_filled(here, name):
    for place in ("nca-store/new", next(Path("nca-store").glob("*/"))):
        assert "in the store" in refused(*FOLDERS[name], place)


@pytest.mark.parametrize("name", ["tensors", "demo"])
def test_files_of_another_kind_in_a_folder_stay(here, name, monkeypatch):
    """A demo of one portrait at two levels: all of its work, in less time."""
    monkeypatch.setattr("nca_cli.images.sample_images", lambda kind: sample_images(kind)[:1])
    monkeypatch.setattr("nca_cli.engine.Request", partial(Request, t=(100, 500)))
    run(*FOLDERS[name], name)
    file = next(Path(name).rglob("*.png"))
    file.write_text("my notes\n")
    done = CliRunner().invoke(app, [*FOLDERS[name], name])
    assert done.exit_code == 2
    assert f"{file} is a file of another kind" in done.stderr
    assert file.read_text() == "my notes\n"


@pytest.mark.parametrize("command", ["noise", "reconstruct"])
@pytest.mark.parametrize("place", ["faces/anna.png/x", "faces/anna.png/x/y", "n" * 300])
def test_a_stamp_that_cannot_be_is_one_line_before_anything_is_computed(here, command, place):
    words = [command, "faces", "--model", "wiener", "--size", "16", "--t", "900", "--stamp", place]
    before = contents()
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 1
    assert done.stderr.startswith(f"error: {place}: cannot be written (")
    assert done.stderr.count("\n") == 1
    assert contents() == before


def test_every_option_that_names_an_output_is_tried_here():
    """So that a new one comes with its guard."""
    import typer

    told = {"--out", "--csv", "--json", "--training-csv", "--assets", "--stamp"}
    tried = {(words[0], word) for words in (*WRITERS.values(), *FOLDERS.values()) for word in words}
    found = set()
    for name, command in typer.main.get_command(app).commands.items():
        for option in command.params:
            if not getattr(option, "is_flag", True):
                found |= {(name, word) for word in told & set(option.opts)}
    read = {("import", "--csv")}
    tried = {(name, "--out" if word == "-o" else word) for name, word in tried}
    assert found - read == {(name, word) for name, word in tried if word in told}


def test_a_pipe_and_a_device_are_written_into(here, tmp_path):
    Outputs().write(Path("/dev/null"), b"anything")
    assert not Path("/dev/null").is_file()


@pytest.mark.parametrize(
    ("start", "kind"),
    [
        (b"\x89PNG\r\n\x1a\n", "a PNG"),
        (b"<?xml version='1.0'?>\n<!DOCTYPE svg PUBLIC 'x'>\n<svg>", "an SVG"),
        (b"\n<!DOCTYPE html>", "an HTML page"),
        (b'{\n "format": "nca-report",', "JSON of the format nca-report"),
        (b"image,model,sampler,t\n", "a table of image, model, sampler"),
        (b"", ""),
    ],
)
def test_a_kind_is_told_by_the_first_bytes(start, kind):
    assert kind_of(start) == kind


def test_the_python_twins_of_pack_write_no_more_than_the_command(here):
    import nca_cli

    store = nca_cli.Store("nca-store")
    there = next(Path("nca-store").glob("*/*/noise.h5"))
    before = contents()
    for place in (there, Path("nca-store/new.h5"), Path("faces/anna.png")):
        with pytest.raises(nca_cli.NcaError):
            nca_cli.pack_store(store, place)
    with pytest.raises(nca_cli.NcaError, match="in the store"):
        nca_cli.unpack_store("whole.h5", Path("nca-store/new"))
    assert contents() == before
    nca_cli.pack_store(store, "again.h5")
    nca_cli.unpack_store("again.h5", "spread")
