"""Names in any writing stand in a figure as text; what no font here has is said."""

import re
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from stores import commit, image_info
from typer.testing import CliRunner

from nca_cli.cli import app
from nca_cli.errors import UsageError
from nca_cli.figures.grid import compose_grid
from nca_cli.figures.type import fonts, text
from nca_cli.figures.type.bidi import joined, visual
from nca_cli.store import Store

ARABIC, HEBREW, RUSSIAN, JAPANESE = "مرحبا بالعالم", "שלום", "Ж-кот", "日本語の名前"


@pytest.fixture
def alone(monkeypatch):
    """A system without a font of its own."""
    cached = (fonts._system, fonts.lender, fonts._shown, text._parts)
    monkeypatch.setattr(fonts, "SYSTEM", ())
    for each in cached:
        each.cache_clear()
    yield
    for each in cached:
        each.cache_clear()


@pytest.fixture(scope="module")
def dejavu() -> Path:
    matplotlib = pytest.importorskip("matplotlib")
    return Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"


def named(folder, *names) -> Store:
    store = Store(folder / "store")
    for name in names:
        commit(store, [100], recipe=None, image=name)
    return store


def words(grid) -> set[str]:
    return {"".join(run.text for run in each.label) for each in grid.sheet.texts}


# -- the order and the forms of letters ------------------------------------------------------------


def everything(_):
    return True


def test_arabic_letters_take_the_forms_that_unicode_names():
    forms = "\ufee3\ufeae\ufea3\ufe92\ufe8e"  # م initial, ر final, ح initial, ب medial, ا final
    assert joined("مرحبا", everything) == forms
    assert visual("مرحبا", everything) == forms[::-1]
    assert joined("لا بلا", everything) == "\ufefb \ufe91\ufefc"  # lam and alef are one


@pytest.mark.parametrize("name", [ARABIC, "صورة-القطة", "گربه پیشی", "plain", HEBREW])
def test_forms_are_the_letters_they_stand_for(name):
    assert unicodedata.normalize("NFKC", joined(name, everything)) == name


def test_a_letter_stays_as_it_is_where_the_font_has_no_form_of_it():
    assert joined("مرحبا", lambda character: character < "\ufb50") == "مرحبا"


@pytest.mark.parametrize(
    ("name", "seen"),
    [("שלום-12 (abc)", "(abc) 12-םולש"), ("cat שלום 3", "cat 3 םולש"), ("a (b)", "a (b)")],
)
def test_right_to_left_words_stand_as_on_paper(name, seen):
    assert visual(name, everything) == seen


# -- whose characters ------------------------------------------------------------------------------


def test_a_font_lends_the_characters_that_ours_lack(tmp_path, alone, dejavu):
    store = named(tmp_path, ARABIC, HEBREW, RUSSIAN, "smile 😀")
    without, lent = compose_grid(store), compose_grid(store, fonts=[dejavu])
    assert {*without.unwritten} == {*ARABIC, *HEBREW, "😀"} - {" "}
    assert lent.unwritten == ""
    assert {ARABIC, HEBREW, RUSSIAN, "smile 😀"} <= words(lent)
    assert not np.array_equal(without.image(), lent.image())


@pytest.mark.parametrize("suffix", [".svg", ".pdf"])
def test_what_is_lent_is_text_with_its_font_inside(tmp_path, alone, dejavu, suffix):
    grid = compose_grid(named(tmp_path, HEBREW), fonts=[dejavu], cell=64)
    written = grid.save(tmp_path / f"a{suffix}").read_bytes()
    if suffix == ".svg":
        assert f">{HEBREW[::-1]}</tspan>" in written.decode()
        assert b"font-family:'nca lent-DejaVuSans';src:url(data:font/woff" in written
    else:
        assert b"DejaVuSans" in written
        assert written.count(b"/FontFile2 ") == 1 + len({"text", "math"})


def test_pieces_stand_side_by_side_in_the_width_that_was_measured(alone, dejavu):
    label = text.words(f"cat {HEBREW} and 😀", fonts=fonts.checked([dejavu]))
    parts = list(text.pieces(label, 0, 0, 20))
    assert [part.face for part in parts] == ["text", str(dejavu)] * 2
    ends = [part.x + fonts.font(part.face, 20).getlength(part.text) for part in parts]
    assert ends == pytest.approx([*(part.x for part in parts[1:]), text.width(label, 20)])


def test_letters_that_ours_have_are_ours_whatever_is_lent(dejavu):
    for name in ("cat", RUSSIAN, "naïve ñ"):
        label = text.words(name, fonts=(str(dejavu),))
        assert {part.face for part in text.pieces(label, 0, 0, 20)} == {"text"}


def test_a_font_of_the_system_lends_where_no_other_does(alone, dejavu, monkeypatch):
    monkeypatch.setattr(fonts, "SYSTEM", ("NoSuchFont.ttf", str(dejavu)))
    assert fonts.lender("ש") == str(dejavu)
    assert fonts.lender("ש", None) is None


def test_a_name_that_no_font_can_write_is_said_and_the_digest_stands_for_it(tmp_path, alone):
    store = named(tmp_path, JAPANESE)
    grid = compose_grid(store)
    assert image_info(JAPANESE)["digest"][:8] in words(grid)
    out = str(tmp_path / "a.png")
    done = CliRunner().invoke(app, ["grid", "--store", str(store.root), "-o", out])
    assert done.exit_code == 0
    [said] = [line for line in done.stderr.splitlines() if "--font FILE" in line]
    assert {*JAPANESE} <= {*said}


def test_marks_that_need_shaping_are_said(alone):
    assert fonts.lacking("हि") == "हि"
    assert fonts.lacking("é ñ\u0303 \u202etxt ☺\ufe0f".replace("☺", "")) == "\u0303"


@pytest.mark.parametrize("name", ["none.ttf", "text.ttf", "text.txt", "."])
def test_a_file_that_is_no_font_is_refused(tmp_path, name):
    (tmp_path / "text.ttf").write_text("no font")
    (tmp_path / "text.txt").write_text("no font")
    with pytest.raises(
        UsageError, match=re.escape(f"--font {tmp_path / name} is not a usable font")
    ):
        compose_grid(named(tmp_path, "cat"), fonts=[tmp_path / name])
