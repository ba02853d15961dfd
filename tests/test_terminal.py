"""What people and programs see: tables in narrow terminals and pipes, JSON, Tab completion."""

import json
import os
import re
import subprocess
import sys

import pytest
from stores import DDIM, commit, full_store
from typer.testing import CliRunner

from nca_cli.cli import app, console
from nca_cli.store import Store

LISTED = [["ls"], ["models"], ["doctor", "--offline"], ["show", "SHOWN"]]


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Store:
    store = full_store(tmp_path_factory.mktemp("terminal") / "store")
    commit(store, range(100, 1000, 100), image="a-rather-long-name-of-an-image")
    return store


@pytest.fixture(autouse=True)
def _known_machine(monkeypatch):
    """What `nca doctor` finds, without looking for it: that takes long, and is not the matter."""
    from nca_cli import doctor

    findings = [
        doctor.Check("torch", "good", "2.13.0"),
        doctor.Check("hub", "note", "switched off; " + "models on this disk can be used " * 3),
        doctor.Check("locks", "good", "work on the disk of /somewhere/" + "deep/" * 30),
    ]
    monkeypatch.setattr(doctor, "examine", lambda *_, **__: findings)


def nca(store, *words, width=None, **environment):
    """Run a command in this process, as wide as a terminal of that many columns."""
    shown = next(a for a in store.select() if not a.is_noise)
    words = [str(shown) if word == "SHOWN" else word for word in words]
    variables = {"NCA_STORE": str(store.root), "COLUMNS": width and str(width), **environment}
    return CliRunner().invoke(app, words, env=variables)


@pytest.mark.parametrize("width", [60, 80, 100])
@pytest.mark.parametrize("words", LISTED, ids=lambda words: words[0])
def test_no_line_is_wider_than_the_terminal(store, words, width):
    done = nca(store, *words, width=width)
    assert done.exit_code == 0
    assert max(map(len, done.stdout.splitlines())) <= width


@pytest.mark.parametrize("width", [60, 72, 80, 99, 100])
def test_words_in_the_table_of_models_stay_whole(store, width):
    from nca_cli.models import list_models

    said = nca(store, "models", width=width).stdout
    words = {word for row in list_models() for word in (row.name, row.sampler, *row.what.split())}
    assert words <= set(said.split())
    assert "…" not in said


@pytest.mark.parametrize("words", LISTED, ids=lambda words: words[0])
def test_there_are_no_colours_in_a_pipe_nor_with_no_color(store, words):
    assert "\x1b" not in nca(store, *words, width=80).stdout
    coloured = nca(store, *words, width=80, NO_COLOR="1", FORCE_COLOR="1").stdout
    assert not re.search(r"\x1b\[[\d;]*3[0-7]m", coloured)


def test_in_a_pipe_a_row_is_a_line(store):
    without = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    command = [sys.executable, "-m", "nca_cli", "models"]
    done = subprocess.run(command, env=without, capture_output=True, text=True, check=True)
    from nca_cli.models import list_models

    rows = [line.split()[0] for line in done.stdout.splitlines()[1:-1]]
    assert rows == [row.name for row in list_models()]


@pytest.mark.parametrize("words", LISTED, ids=lambda words: words[0])
def test_json_is_json_and_nothing_else(store, words):
    assert json.loads(nca(store, *words, "--json").stdout)


def test_every_command_that_prints_results_has_json():
    for command in app.registered_commands:
        name = command.name or command.callback.__name__
        help_ = CliRunner().invoke(app, [name, "--help"], env={"COLUMNS": "200"}).stdout
        assert "--json" in help_, name


@pytest.mark.parametrize("out", ["a.png", "a.svg"])
def test_a_grid_as_json_names_its_file_and_what_is_missing(store, tmp_path, out):
    path = tmp_path / out
    done = nca(store, "grid", "--json", "-o", str(path), "--layout", "p2", "--image", "cat")
    assert json.loads(done.stdout) == {"files": [str(path)], "missing": 0, "command": None}


def test_a_page_that_is_larger_than_was_wished_says_so(store, tmp_path):
    page = tmp_path / "report.htm"
    done = nca(store, "report", "-o", str(page), "--max-mb", "0.1")
    assert done.exit_code == 0, done.stderr
    assert page.stat().st_size > 1e5
    assert "more than --max-mb 0.1" in done.stderr
    assert "--max-mb" not in nca(store, "report", "-o", str(page)).stderr


@pytest.mark.parametrize("words", [[], ["grid"], ["reconstruct"], ["rm"]])
def test_the_help_of_a_flag_names_no_value(store, words):
    said = nca(store, *words, "--help", width=100).stdout
    assert "<bool>" not in said
    assert re.search(r"--help\s+-h\s+Show this", said)


# -- completion ------------------------------------------------------------------------------------


def completed(store, line):
    words = {"_NCA_COMPLETE": "complete_bash", "COMP_WORDS": line,
             "COMP_CWORD": str(len(line.split(" ")) - 1)}  # fmt: skip
    environment = {**os.environ, **words, "NCA_STORE": str(store.root)}
    command = [sys.executable, "-c", "from nca_cli.cli import app; app(prog_name='nca')"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    return done.stdout.split()


def test_tab_offers_aliases_where_something_is_computed(store):
    assert completed(store, "nca reconstruct --model demo") == ["demo", "demo-ldm"]
    assert completed(store, "nca reconstruct --sampler p") == ["pndm", "plms"]


def test_tab_offers_what_is_stored_where_something_is_shown(store):
    assert completed(store, "nca grid --image ") == ["a-rather-long-name-of-an-image", "cat", "dog"]
    assert completed(store, "nca ls --model t") == ["toy"]
    assert completed(store, "nca ls --sampler ") == ["ddim-50", "one-step"]


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("nca grid --layout ", ["strips", "p2"]),
        ("nca grid --rows m", ["models"]),
        ("nca grid --columns ", ["t", "snr", "seeds", "step"]),
        ("nca grid --show x", ["x0", "x_t", "x0_hat"]),
        ("nca grid --show x0,x_t,x", ["x0,x_t,x0_hat"]),
        ("nca plot --measure ss", ["ssim", "ssim-floor"]),
        ("nca measure --measure ed", ["edges"]),
        ("nca export --format ", ["png", "npy"]),
        ("nca noise --fit p", ["pad"]),
        ("nca reconstruct --dtype ", ["float32", "bfloat16", "float16"]),
        ("nca reconstruct --batch ", ["auto"]),
    ],
)
def test_tab_offers_the_words_that_an_option_takes(store, line, offered):
    assert completed(store, line) == offered


def test_tab_offers_the_artifacts_and_recipes_of_the_store(store):
    cats = [each for each in store.select() if each.image.startswith("cat")]
    line = f"nca show {cats[0].model}/cat"
    assert completed(store, line) == sorted(f"{a.model}/{a.image}/{a.name}" for a in cats)
    assert completed(store, f"nca ls --recipe {DDIM.digest[:4]}") == [DDIM.digest[:8]]


def test_tab_offers_nothing_where_there_is_no_store(tmp_path):
    assert completed(Store(tmp_path / "none"), "nca grid --image ") == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_every_shell_can_ask_for_its_completion(shell):
    command = [sys.executable, "-c", "from nca_cli.cli import app; app(prog_name='nca')"]
    environment = {**os.environ, "_NCA_COMPLETE": f"source_{shell}"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert f"_NCA_COMPLETE=complete_{shell}" in done.stdout


# -- progress --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("speed", "words"),
    [(None, ""), (0, ""), (0.4, "2.5 s each"), (1.44, "1.4/s"), (123.4, "123/s")],
)
def test_speed_is_said_as_people_would(speed, words):
    assert console.rate(speed) == words


@pytest.mark.parametrize("width", [60, 80])
def test_a_bar_fits_the_terminal_and_says_how_fast_and_how_long(monkeypatch, width):
    import io

    from rich.console import Console

    screen = io.StringIO()
    terminal = Console(file=screen, force_terminal=True, width=width, color_system=None)
    monkeypatch.setattr(console, "stderr", lambda: terminal)
    output = console.Output()
    with output.bar("[b]a-model-with-quite-a-long-name", 450, "evaluations") as advance:
        for _ in range(5):
            advance(10)
    lines = [re.sub(r"\x1b\[[\d;?]*[a-zA-Z]", "", line) for line in
             re.split(r"[\r\n]", screen.getvalue())]  # fmt: skip
    assert max(map(len, lines)) <= width
    last = [line for line in lines if line.strip()][-1]
    assert "50/450" in last
    assert "[b]a-model" in last  # a name, no markup
    assert "left" in last


# -- wrong usage -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--zzz"], "No such option: --zzz (see: nca --help)"),
        (["reconstuct"], "Did you mean 'reconstruct'? (see: nca --help)"),
        (["reconstruct", "--limit", "0"], "--limit must be at least 1 (see: nca reconstruct"),
        (["plot", "--batch-size", "0"], "--batch-size must be at least 1 (see: nca plot --help)"),
        (["grid", "--cell", "3"], "--cell must be at least 16 (see: nca grid --help)"),
        (["grid", "--cell", "x"], "--cell must be a whole number (see: nca grid --help)"),
        (["plot", "--dpi", "x"], "--dpi must be a number (see: nca plot --help)"),
        (["reconstruct", "--size", "1"], "(--size)"),
        (["show"], "Missing argument 'ARTIFACT' (see: nca show --help)"),
        (["report", "--max-mb", "many"], "(see: nca report --help)"),
        (["report", "--json", "-o", "x.html"], "--json has no value: -o is an option"),
        (["report", "--csv", "--json", "x.json"], "--csv has no value: --json is an option"),
        (["report", "-o", "x.pdf"], "x.pdf: a report is an .html file"),
    ],
)
def test_what_the_parser_refuses_is_one_line_with_the_next_command(store, words, says):
    done = nca(store, *words, width=60)
    assert done.exit_code == 2
    assert done.stdout == ""
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert says in done.stderr


def test_the_demo_refuses_a_file_in_the_place_of_its_folder(store, tmp_path):
    (tmp_path / "taken").write_text("")
    done = nca(store, "demo", "-o", str(tmp_path / "taken"))
    assert done.exit_code == 2
    assert "is not a folder (choose another: nca demo -o DIR)" in done.stderr


def test_nca_alone_says_how_it_is_used(store):
    done = nca(store)
    assert done.exit_code == 2
    assert "Usage: nca" in done.stdout + done.stderr


def test_a_figure_refuses_a_sampler_that_nobody_could_compute(store, tmp_path):
    out = tmp_path / "grid.png"
    done = nca(store, "grid", "-o", str(out), "--sampler", "nosuch")
    assert done.exit_code == 2
    assert "unknown sampler 'nosuch'" in done.stderr
    assert not out.exists()


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["--t", "5000"], 2, "t 5000 is not a level of this model (whole numbers from 0 to 999)"),
        (["--recipe", "zz"], 2, "--recipe 'zz' is not hexadecimal"),
        (["--recipe", "abcd"], 1, "no recipe abcd "),
        (["--model", "demmo"], 1, "did you mean demo?"),
        (["--t", "150"], 1, "no samples at t = 150; stored: "),
        (["--t", "150"], 1, "nca reconstruct "),
    ],
)
def test_a_figure_refuses_what_no_command_could_fill(store, tmp_path, words, code, says):
    out = tmp_path / "grid.png"
    done = nca(store, "grid", "-o", str(out), *words)
    assert done.exit_code == code
    assert says in done.stderr
    assert not out.exists()


@pytest.mark.parametrize(
    "wanted",
    [
        ("--image", "cta", "no image cta in "),
        ("--model", "ldm", "no model ldm in "),
        ("--sampler", "heun", "no sampler heun in "),
        ("--recipe", "abcdef", "no recipe abcdef in "),
        ("--run", "nope", "no training nope in "),
        ("--at", "77", "no checkpoint at step 77 in "),
        ("--t", "77", "no samples at t = 77"),
        ("--seed", "9", "no samples of seed 9"),
    ],
    ids=lambda wanted: wanted[0],
)
@pytest.mark.parametrize("command", ["grid", "plot", "report", "measure", "ls", "rm", "export"])
def test_a_filter_that_nothing_fits_is_named_beside_what_is_stored(
    store, tmp_path, command, wanted
):
    *words, says = wanted
    files = {"grid": "grid.png", "plot": "curves.pdf", "report": "report.html", "export": "folder"}
    out = ["-o", str(tmp_path / files[command])] if command in files else []
    done = nca(store, command, *words, *out)
    assert done.exit_code == 1
    line = done.stderr.strip()
    assert says in line
    assert "; stored: " in line
    assert " && " not in line
    assert len(line.splitlines()) == 1


@pytest.mark.parametrize("command", ["grid", "plot", "report", "measure", "ls", "rm", "export"])
def test_an_image_with_a_slip_in_its_name_is_answered_by_the_nearest(tmp_path, command):
    store = full_store(tmp_path / "store", ["portrait-01001", "cat"])
    files = {"grid": "grid.png", "plot": "curves.pdf", "report": "report.html", "export": "folder"}
    out = ["-o", str(tmp_path / files[command])] if command in files else []
    done = nca(store, command, "--image", "portrait-0100", *out)
    assert done.exit_code == 1
    assert "; stored: cat, portrait-01001; did you mean portrait-01001? (list " in done.stderr
    assert "(list what is stored: nca ls)" in done.stderr
    assert "reconstruct" not in done.stderr


def test_filters_that_nothing_fits_together_are_all_named(store):
    together = ("--image", "a-rather-long-name-of-an-image", "--sampler", "one-step")
    done = nca(store, "ls", *together)
    assert done.exit_code == 1
    assert " for image a-rather-long-name-of-an-image; sampler one-step (" in done.stderr


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["noise", "--sampler", "ddim"], "No such option: --sampler"),
        (["reconstruct", "--sampler", "DDIM"], "did you mean ddim"),
        (["reconstruct", "--sampler", "ddim50"], "(did you mean ddim-50?)"),
        (["reconstruct", "--sampler", "DDIM_50"], "(did you mean ddim-50?)"),
        (["reconstruct", "--sampler", "dpmpp-2m20"], "(did you mean dpmpp-2m-20?)"),
        (
            ["reconstruct", "--sampler", "ddpm", "--eta", "1"],
            "(leave it out, or add --sampler ddim)",
        ),
        (["grid", "--show", "x0hat"], "did you mean x0_hat?"),
        (["plot", "--measure", "pnsr"], "did you mean psnr?"),
        (["ls", "extra"], "unexpected argument: extra"),
        (["--sampler", "ddim", "ls"], "--sampler comes after the name of the command"),
    ],
)
def test_a_slip_of_the_keyboard_is_answered_by_what_was_meant(words, says):
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 2
    (line,) = done.stderr.strip().splitlines()
    assert says in line


@pytest.mark.parametrize("words", [["--half-levels", "-o", "x.svg"], ["--title", "-o", "x.svg"]])
def test_an_option_in_the_place_of_a_value_is_named(store, words):
    done = nca(store, "plot", *words)
    assert done.exit_code == 2
    assert f"{words[0]} has no value: -o is an option" in done.stderr


def test_what_waits_for_a_yes_is_not_called_an_error(store):
    done = nca(store, "rm", "--image", "cat")
    assert done.exit_code == 2
    assert "error" not in done.stderr
    assert re.search(
        r"this would delete \d+ artifacts? \(.*B\) \(add --yes to do it\)", done.stderr
    )
    assert nca(store, "ls", "--image", "cat").exit_code == 0


def test_an_option_without_its_value_points_to_the_help_of_its_command(store):
    done = nca(store, "grid", "--t")
    assert done.exit_code == 2
    assert "see: nca grid --help" in done.stderr


def test_the_only_input_that_cannot_be_read_is_one_line(tmp_path):
    (tmp_path / "notes.txt").write_text("hello")
    words = ["noise", str(tmp_path / "notes.txt"), "--model", "wiener", "--size", "32",
             "--store", str(tmp_path / "new"), "-q"]  # fmt: skip
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 1
    (line,) = done.stderr.strip().splitlines()
    assert "notes.txt: not an image" in line
    done = CliRunner().invoke(app, words[:-1])
    assert "left out" not in done.stderr


@pytest.mark.parametrize(
    "words", [["verify"], ["rm"], ["pack"], ["merge", "here"], ["export", "-o", "out"]]
)
def test_what_needs_a_filled_store_says_that_there_is_none(tmp_path, words, monkeypatch):
    monkeypatch.chdir(tmp_path)
    where = [] if words[0] == "merge" else ["--store", "here"]
    done = CliRunner().invoke(app, [*words, *where])
    assert done.exit_code == 1
    assert "no store at here (name an existing store: a folder or a packed file)" in done.stderr


@pytest.mark.parametrize("command", ["ls", "grid", "report", "measure"])
def test_the_next_command_is_for_the_store_that_was_named(tmp_path, command):
    place = tmp_path / "a store"
    done = CliRunner().invoke(app, [command, "--store", str(place)])
    assert done.exit_code == 1
    assert f"--store '{place}'" in done.stderr


@pytest.mark.parametrize(
    ("count", "words"),
    [(999, "999 bytes"), (1_000, "1.0 kB"), (99_960, "100 kB"), (999_600, "1.0 MB"),
     (589_800, "590 kB"), (2.5e12, "2,500 GB")],
)  # fmt: skip
def test_bytes_are_said_to_three_digits_at_most(count, words):
    assert console.size(count) == words
