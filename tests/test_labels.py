"""Tables of labels are taken as data sets bring them, and say which image is what."""

import io
import json
import zipfile

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from nca_cli.cli import app
from nca_cli.concepts import concept_curves, load_probe, read_labels
from nca_cli.errors import UsageError
from nca_cli.store import Store
from nca_cli.twins import reconstruct

CELEBA_TXT = "".join(f"{line} \n" for line in (
    "3", "Smiling Young Eyeglasses",
    "000001.jpg -1  1 -1", "000002.jpg  1 -1 -1", "000003.jpg  1  1 -1"))  # fmt: skip
CELEBA_CSV = """image_id,Smiling,Young,Eyeglasses
000001.jpg,-1,1,-1
000002.jpg,1,-1,-1
000003.jpg,1,1,-1
"""
FFHQ = """image_number,age_group,head_pitch,head_yaw,gender
0,30-39,-12.5,3,male
1,0-2,,-1,female
12,20-29,4,1,female
"""


def table(tmp_path, text, name="labels.csv"):
    path = tmp_path / name
    path.write_text(text)
    return path


def labels(tmp_path, text, name="labels.csv"):
    return dict(read_labels(table(tmp_path, text, name)).labels)


# -- tables ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", [CELEBA_TXT, CELEBA_CSV, CELEBA_CSV.replace(",", ";"),
                                  CELEBA_CSV.replace(",", "\t"), "\ufeff" + CELEBA_CSV,
                                  CELEBA_CSV.replace("\n", "\r\n") + ",,,\n\n"])  # fmt: skip
def test_the_attributes_of_celeba_are_yes_and_no(tmp_path, text):
    assert labels(tmp_path, text) == {
        "000001": {"Smiling": (0,), "Young": (1,), "Eyeglasses": (0,)},
        "000002": {"Smiling": (1,), "Young": (0,), "Eyeglasses": (0,)},
        "000003": {"Smiling": (1,), "Young": (1,), "Eyeglasses": (0,)},
    }


def test_minus_one_is_a_number_among_other_numbers_and_in_colours(tmp_path):
    text = "image,angle,hair_r,hair_g,hair_b\na,-1,-1,1,-1\nb,0.5,1,1,1\n"
    assert labels(tmp_path, text)["a"] == {"angle": (-1,), "hair": (-1, 1, -1)}


def test_columns_of_text_are_left_out_and_that_is_said(tmp_path):
    truth = read_labels(table(tmp_path, FFHQ))
    assert dict(truth.labels) == {
        "0": {"head_pitch": (-12.5,), "head_yaw": (3,)},
        "1": {"head_yaw": (-1,)},
        "12": {"head_pitch": (4,), "head_yaw": (1,)},
    }
    (note,) = truth.notes
    assert "labels.csv: columns of text are left out: age_group, gender." in note


@pytest.mark.parametrize("column", ["image", "image_id", "Image_Name", "file_name", "FILENAME"])
def test_the_column_of_images_goes_by_several_names_and_stands_anywhere(tmp_path, column):
    assert labels(tmp_path, f"age,{column}\n3,x/a.png\n4,b.JPEG\n") == {
        "a": {"age": (3,)},
        "b": {"age": (4,)},
    }


def test_an_index_without_a_name_is_no_concept(tmp_path):
    assert labels(tmp_path, ",image_id,age,\n0,a.jpg,3,x\n1,b.jpg,4,1\n")["b"] == {"age": (4,)}


@pytest.mark.parametrize(("text", "words"), [
    ("image,age\na,1\nb,4O\n", "labels.csv:3: age '4O' is no number"),
    ("image,group\na,old\n", "labels.csv:2: group 'old' is no number"),
    ("image,age,Age\na,1,2\n", "column age comes twice"),
    ("image,age\na,1,2\n", "labels.csv:2: more cells"),
    ("image,age\n7,1\n007,2\n", "labels.csv:3: comes twice: 007"),
    ("image,age\na/1.png,1\nb/1.png,2\n", "labels.csv:3: comes twice: 1"),
    ("3\nSmiling\n", "no column of a concept"),
    ("3\nSmiling Young\n1.jpg 1 -1 1 1\n", "no column image"),
    ("", "no column of a concept"),
    ("image,age\na,\"1\n" + "x" * 200_000, "field larger"),
])  # fmt: skip
def test_tables_that_say_nothing_clear_are_refused_by_row(tmp_path, text, words):
    with pytest.raises(UsageError, match=words) as caught:
        read_labels(table(tmp_path, text))
    assert "\n" not in caught.value.what


def test_what_is_no_text_is_refused(tmp_path):
    (tmp_path / "labels.csv").write_bytes(b"\x89PNG\r\n\xff")
    with pytest.raises(UsageError, match="not UTF-8 text"):
        read_labels(tmp_path / "labels.csv")


# -- images from an archive ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """A store of eight images that came in a zip: `00000` to `00007`, dark and light in turn."""
    folder = tmp_path_factory.mktemp("labels")
    random = np.random.default_rng(0)
    with zipfile.ZipFile(folder / "faces.zip", "w") as archive:
        for i in range(8):
            file = io.BytesIO()
            pixels = random.integers(0, 90, (16, 16, 3)) + 160 * (i % 2)
            Image.fromarray(pixels.astype(np.uint8)).save(file, "PNG")
            archive.writestr(f"faces/{i:05}.png", file.getvalue())
    summary = reconstruct(folder / "faces.zip", store=folder / "store", models=["wiener"], size=16,
                          t=[50], samplers=["one-step"])  # fmt: skip
    assert summary.computed == 8
    (folder / "light_probe.py").write_text(
        "def light(pictures):\n    return {'light': pictures.mean((1, 2, 3)) > 0}\n"
    )
    return folder


def named(stored, style):
    """What a table calls image number i."""
    if style == "folder in the store":
        (model,) = Store(stored / "store").models()
        return sorted(Store(stored / "store").images(model))
    forms = {"stem": "{:05}", "file": "{:05}.png", "path": "faces/{:05}.png", "number": "{}",
             "another suffix": "{:05}.jpg"}  # fmt: skip
    return [forms[style].format(i) for i in range(8)]


@pytest.mark.parametrize(
    "style", ["stem", "file", "path", "number", "another suffix", "folder in the store"]
)
def test_images_of_an_archive_are_labelled_by_any_name(stored, tmp_path, monkeypatch, style):
    monkeypatch.chdir(stored)
    rows = [f"{name},{2 * (i % 2) - 1}" for i, name in enumerate(named(stored, style))]
    truth = read_labels(table(tmp_path, "\n".join(["image_id,light", *rows]) + "\n"))
    found = concept_curves(Store(stored / "store"), truth=truth,
                           probe=load_probe("light_probe:light"))  # fmt: skip
    assert not found.notes
    assert [reading.truth for reading in found.readings] == [(0,), (1,)] * 4
    (point,) = found.points
    assert (point.n, point.retention) == (8, pytest.approx(1))


def test_a_number_that_two_stored_images_have_is_no_name(stored, tmp_path, monkeypatch):
    monkeypatch.chdir(stored)
    folder = next((stored / "store").glob("*/00003-*"))
    twin = folder.with_name("3-0123456789ab")
    twin.mkdir()
    try:
        truth = read_labels(table(tmp_path, "image,light\n3,1\n"))
        with pytest.raises(UsageError, match="3 is the name of 2 stored images"):
            concept_curves(Store(stored / "store"), truth=truth)
    finally:
        twin.rmdir()


def test_a_report_takes_the_attributes_of_a_whole_data_set(stored, tmp_path, monkeypatch):
    monkeypatch.chdir(stored)
    rows = "".join(f"{i:05}.jpg  {2 * (i % 2) - 1:2} -1\n" for i in range(20))
    path = table(tmp_path, f"20\nlight Bangs\n{rows}", "list_attr.txt")
    result = CliRunner().invoke(app, [
        "report", "--store", "store", "--labels", str(path), "--probe", "light_probe:light",
        "-o", str(tmp_path / "report.html"), "--json", str(tmp_path / "report.json"),
    ])  # fmt: skip
    assert result.exit_code == 0, result.output
    page = (tmp_path / "report.html").read_text()
    assert "has labels of images that are not stored: 00008, 00009, 00010 and 9 more" in page
    assert "concept/light" in json.dumps(json.loads((tmp_path / "report.json").read_text()))
