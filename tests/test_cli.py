"""The command line is a contract: results on stdout, the rest on stderr, exit codes."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from stores import change_a_tensor, mounted
from typer.testing import CliRunner

import nca_cli
from nca_cli import doctor
from nca_cli.cli import app
from nca_cli.images import sample_images
from nca_cli.store import Store


def nca(*arguments, **environment):
    """Run the program in this process."""
    return CliRunner().invoke(app, [str(argument) for argument in arguments], env=environment)


def fails(result, code, *words):
    """One clear line on stderr that holds `words`, nothing on stdout, no traceback."""
    assert result.exit_code == code, result.output
    assert result.stdout == ""
    lines = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, result.stderr
    assert "Traceback" not in result.stderr
    for word in words:
        assert word in lines[0], result.stderr


def loaded(*arguments, cwd=None):
    """Modules that a command loads, in a fresh interpreter."""
    code = (
        "import sys, json\nfrom nca_cli.cli import app\n"
        "try:\n    app(sys.argv[1:])\nexcept SystemExit as e:\n    assert not e.code, e.code\n"
        "print('\\n' + json.dumps(sorted(sys.modules)))"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], cwd=cwd, text=True, capture_output=True
    )
    assert run.returncode == 0, run.stderr
    return set(json.loads(run.stdout.splitlines()[-1]))


@pytest.fixture(scope="module")
def filled(tmp_path_factory, pixel_pipeline):
    """A store with three images, nine levels, one-step and ddim-5, and how it was asked for."""
    store = tmp_path_factory.mktemp("cli") / "store"
    arguments = [
        "reconstruct",
        "--model",
        str(pixel_pipeline),
        "-s",
        "one-step",
        "-s",
        "ddim",
        "--steps",
        "5",
        "--store",
        str(store),
    ]
    result = nca(*arguments)
    assert result.exit_code == 0, result.output
    return store, arguments, result


# -- the main job ----------------------------------------------------------------------------------


def test_reconstruct_prints_the_artifacts_and_says_first_what_it_will_do(filled):
    store, _, result = filled
    paths = result.stdout.split()
    assert len(paths) == 6
    assert all(Path(path).is_file() for path in paths)
    assert {path.name for path in store.glob("*/*/*.h5")} >= {Path(path).name for path in paths}
    assert "54 of 54 to compute" in result.stderr
    assert "evaluations" in result.stderr


def test_a_second_run_computes_nothing_loads_no_torch_and_touches_no_file(filled):
    store, arguments, first = filled
    before = {path: path.stat().st_mtime_ns for path in store.rglob("*")}
    modules = loaded(*arguments)  # two of these images have colour profiles, which Pillow reads
    assert not modules & {"torch", "diffusers", "skimage", "matplotlib"}
    assert {path: path.stat().st_mtime_ns for path in store.rglob("*")} == before
    again = nca(*arguments)
    assert again.stdout == first.stdout
    assert "cached" in again.stderr


def test_of_images_without_colour_profiles_a_second_run_decodes_none(tmp_path):
    words = ["reconstruct", *sample_images("portraits"), "--model", "wiener", "--size", 32,
             "--sampler", "one-step", "--t", 300, "--store", tmp_path / "store"]  # fmt: skip
    assert nca(*map(str, words)).exit_code == 0
    assert not loaded(*words) & {"torch", "diffusers", "skimage", "PIL.Image", "matplotlib"}


@pytest.mark.parametrize(
    "arguments",
    [
        ["grid", "-o", "grid.png"],
        ["report", "-o", "report.html"],
        ["export", "-o", "files"],
        ["ls"],
        ["verify"],
        ["pack", "-o", "packed.h5"],
        ["models"],
        ["--help"],
    ],
)
def test_commands_that_only_read_never_load_torch(arguments, filled, tmp_path):
    if arguments[0] not in ("models", "--help"):
        arguments = [*arguments, "--store", filled[0]]
    assert not loaded(*arguments, cwd=tmp_path) & {"torch", "diffusers"}


def test_show_never_loads_torch(filled):
    artifact = next(filled[0].glob("*/*/noise.h5"))
    assert not loaded("show", artifact) & {"torch", "diffusers"}


def test_help_loads_neither_numpy_nor_hdf5():
    assert not loaded("--help") & {"numpy", "h5py", "torch", "PIL", "huggingface_hub", "jinja2"}


def test_noise_of_a_built_in_alias_needs_no_network_no_weights_and_no_torch(tmp_path):
    modules = loaded("noise", "--model", "ddim", "--t", "300", "--store", tmp_path / "s")
    assert not modules & {"torch", "diffusers"}
    assert len(list((tmp_path / "s").glob("ddpm-ema-celebahq-256-*/*/noise.h5"))) == 3


def test_json_gives_one_object_on_stdout(filled):
    _, arguments, _ = filled
    data = json.loads(nca(*arguments, "--json").stdout)
    assert (data["computed"], data["cached"], data["errors"]) == (0, 54, [])
    assert len(data["files"]) == 6


def test_dry_run_says_the_cost_and_does_nothing(pixel_pipeline, tmp_path):
    result = nca(
        "reconstruct",
        "--model",
        pixel_pipeline,
        "--steps",
        "10",
        "--t",
        "900",
        "--store",
        tmp_path / "s",
        "--dry-run",
        "--json",
    )
    data = json.loads(result.stdout)
    assert (data["missing"], data["evaluations"]) == (3, 30)
    assert data["bytes"] > 3 * 2 * 3 * 16 * 16 * 4
    assert not (tmp_path / "s").exists()


def test_options_can_come_from_the_environment(pixel_pipeline, tmp_path):
    result = nca(
        "reconstruct",
        NCA_MODEL=str(pixel_pipeline),
        NCA_T="40",
        NCA_SAMPLER="one-step",
        NCA_STORE=str(tmp_path / "s"),
        NCA_SEED="3,4",
    )
    assert result.exit_code == 0, result.output
    artifact = next(a for a in Store(tmp_path / "s").select() if not a.is_noise)
    assert artifact.keys == {(40, 3), (40, 4)}


def test_the_flag_json_of_the_environment_is_no_file_of_a_report(filled, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = nca("report", "--store", filled[0], NCA_JSON="1", NCA_REPORT_CSV="values.csv")
    assert result.exit_code == 0, result.output
    assert {path.name for path in tmp_path.iterdir()} == {"report.html", "values.csv"}


def test_nothing_is_said_of_a_request_without_any_image(pixel_pipeline, tmp_path):
    command = ("reconstruct", tmp_path / "nope.png", "--model", pixel_pipeline)
    result = nca(*command, "--store", tmp_path / "s")
    fails(result, 1, "nope.png", "no such file")
    assert "cached" not in result.stderr


def test_images_come_from_stdin_too(pixel_pipeline, faces, tmp_path):
    listed = "\n".join(str(path) for path in sorted(faces.iterdir())[:2])
    result = CliRunner().invoke(
        app,
        ["noise", "-", "--model", str(pixel_pipeline), "--store", str(tmp_path / "s"), "--t", "5"],
        input=listed,
    )
    assert result.exit_code == 0, result.output
    assert len(result.stdout.split()) == 2


def test_quiet_says_nothing_but_results(pixel_pipeline, tmp_path):
    result = nca("noise", "--model", pixel_pipeline, "--store", tmp_path / "s", "-q")
    assert result.stderr == ""


def test_the_stamp_is_touched_only_when_all_is_there(pixel_pipeline, faces, tmp_path):
    common = ["--model", pixel_pipeline, "--store", tmp_path / "s", "--t", "5", "-s", "one-step"]
    (faces / "broken.png").write_text("no image")
    assert nca("reconstruct", faces, *common, "--stamp", tmp_path / "stamp").exit_code == 1
    assert not (tmp_path / "stamp").exists()
    (faces / "broken.png").unlink()
    assert nca("reconstruct", faces, *common, "--stamp", tmp_path / "stamp").exit_code == 0
    assert (tmp_path / "stamp").exists()


# -- reading ---------------------------------------------------------------------------------------


def test_grid_works_as_it_stands(filled, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(filled[0], tmp_path / "nca-store")
    result = nca("grid", "--t", "100,300,600")
    assert result.exit_code == 0, result.output
    assert result.stdout.split() == ["grid.png"]
    assert Image.open("grid.png").width > 100


def test_grid_notes_its_blanks_and_strict_fails_on_them(filled, tmp_path):
    arguments = ["grid", "--store", filled[0], "--t", "100,555", "-o", tmp_path / "g.png"]
    result = nca(*arguments)
    assert result.exit_code == 0
    assert "nca reconstruct" in result.stderr
    assert "555" in result.stderr
    assert nca(*arguments, "--strict").exit_code == 1


@pytest.mark.parametrize("command", ["grid", "report", "ls"])
def test_a_store_that_is_missing_is_one_line_with_the_command_that_fills_it(command, tmp_path):
    fails(nca(command, "--store", tmp_path / "none"), 1, "nca reconstruct")


@pytest.mark.parametrize("command", ["verify", "pack", "rm", "export"])
def test_what_needs_a_store_that_exists_says_so(command, tmp_path):
    more = ["-o", tmp_path / "out"] if command == "export" else []
    fails(nca(command, "--store", tmp_path / "none", *more), 1, "no store at", "existing store")


def test_ls_counts_what_the_filters_take(filled):
    rows = json.loads(
        nca(
            "ls", "--store", filled[0], "--t", "100:400:100", "--sampler", "ddim-5", "--json"
        ).stdout
    )
    assert {row["artifact"].rpartition("-")[0] for row in rows} == {"noise", "ddim-5"} or all(
        row["artifact"] == "noise" or row["artifact"].startswith("ddim-5-") for row in rows
    )
    assert all(row["t"] == [100, 200, 300] for row in rows)
    table = nca("ls", "--store", filled[0])
    assert "100…900:100" in table.stdout
    assert max(map(len, table.stdout.splitlines())) <= 100


def test_show_tells_levels_recipe_and_file(filled):
    artifact = next(filled[0].glob("*/cat-*/ddim-5-*.h5"))
    shown = nca("show", artifact)
    for word in ("100…900:100", "x0_hat", "(9, 3, 16, 16)", "sampler ddim", "eta 0.0", "cat"):
        assert word in shown.stdout
    data = json.loads(nca("show", artifact, "--json").stdout)
    assert data["recipe"]["steps"] == 5
    fails(nca("show", "nothing.h5", "--store", filled[0]), 1, "nothing.h5", "nca ls")


def test_rm_lists_first_and_keeps_noise_that_is_still_needed(filled, tmp_path):
    store = shutil.copytree(filled[0], tmp_path / "s")
    listed = nca("rm", "--store", store, "--sampler", "ddim")
    assert listed.exit_code == 2
    assert "--yes" in listed.stderr
    assert len(list(store.glob("*/*/ddim-5-*.h5"))) == 3
    assert nca("rm", "--store", store, "--sampler", "ddim", "--yes").exit_code == 0
    assert {path.name.partition("-")[0] for path in store.glob("*/*/*.h5")} == {"one", "noise.h5"}
    assert nca("rm", "--store", store, "--yes").exit_code == 0
    assert not list(store.glob("*/*/*.h5"))


def test_pack_and_unpack_keep_everything_readable(filled, tmp_path):
    packed = tmp_path / "packed.h5"
    assert nca("pack", "--store", filled[0], "-o", packed).exit_code == 0
    assert json.loads(nca("ls", "--store", packed, "--json").stdout)
    assert nca("grid", "--store", packed, "-o", tmp_path / "p.png").exit_code == 0
    assert nca("grid", "--store", filled[0], "-o", tmp_path / "f.png").exit_code == 0
    assert (tmp_path / "p.png").read_bytes() == (tmp_path / "f.png").read_bytes()
    assert nca("pack", "--unpack", "--store", packed, "-o", tmp_path / "again").exit_code == 0
    assert {p.relative_to(tmp_path / "again") for p in (tmp_path / "again").glob("*/*/*.h5")} == {
        p.relative_to(filled[0]) for p in filled[0].glob("*/*/*.h5")
    }


def test_verify_names_a_damaged_file_and_repair_lets_it_be_computed_again(filled, tmp_path):
    store = shutil.copytree(filled[0], tmp_path / "s")
    assert nca("verify", "--store", store).exit_code == 0
    victim = next(store.glob("*/cat-*/ddim-5-*.h5"))
    change_a_tensor(victim)
    result = nca("verify", "--store", store)
    assert result.exit_code == 1
    assert victim.name in result.stdout
    assert f"nca verify --repair --store {store}" in result.stderr
    repaired = nca("verify", "--store", store, "--repair", "--yes")
    assert repaired.exit_code == 1
    assert "--repair" not in repaired.stderr
    assert not victim.exists()
    assert nca(*filled[1][:-1], str(store)).exit_code == 0
    assert victim.exists()
    assert nca("verify", "--store", store).exit_code == 0


def test_models_lists_every_alias_with_its_licence():
    rows = json.loads(nca("models", "--json").stdout)
    assert {row["name"] for row in rows} >= {"demo", "wiener", "ddpm", "ddim", "pndm", "ldm"}
    assert all(row["licence"] for row in rows)
    assert "apache-2.0" in nca("models").stdout


def test_doctor_finds_this_machine_fit(tmp_path):
    result = nca("doctor", "--store", tmp_path / "s", "--offline", "--json")
    findings = {finding["what"]: finding for finding in json.loads(result.stdout)}
    assert result.exit_code == 0
    assert findings["locks"]["state"] == "good"
    assert findings["networks"]["state"] == "good"


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a folder that root cannot fill")
def test_doctor_tells_of_a_store_that_cannot_be_written_in_its_table(monkeypatch):
    monkeypatch.setattr(doctor, "TIME_LIMIT", 0.001)
    result = nca("doctor", "--store", "/proc/foo/bar", "--offline", "--json")
    findings = {finding["what"]: finding for finding in json.loads(result.stdout)}
    assert result.exit_code == 1
    assert findings["locks"]["state"] == "bad"
    assert "cannot be taken on the disk of /proc/foo/bar: " in findings["locks"]["found"]
    assert findings["locks"]["hint"] == "choose another --store"
    assert findings.keys() >= {"networks", "store", "hub"}


def test_doctor_tells_of_an_interpreter_that_hangs(tmp_path, monkeypatch):
    monkeypatch.setattr(doctor, "TIME_LIMIT", 0.001)
    result = nca("doctor", "--store", tmp_path / "s", "--offline", "--json")
    findings = {finding["what"]: finding for finding in json.loads(result.stdout)}
    assert result.exit_code == 1
    assert [findings[what]["state"] for what in ("networks", "devices", "locks")] == ["bad"] * 3
    assert "no answer within 0.001 s" in findings["networks"]["found"]


def test_doctor_says_what_to_do_about_a_torchvision_that_breaks_diffusers(tmp_path, monkeypatch):
    package = tmp_path / "torchvision"
    package.mkdir()
    (package / "__init__.py").write_text(
        "raise RuntimeError('operator torchvision::nms does not exist')"
    )
    (package / "transforms.py").write_text("")
    metadata = tmp_path / "torchvision-0.1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: torchvision\nVersion: 0.1\n")
    run = subprocess.run(
        [sys.executable, "-m", "nca_cli", "doctor", "--offline", "--json"],
        text=True,
        capture_output=True,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        cwd=tmp_path,
    )
    finding = next(f for f in json.loads(run.stdout) if f["what"] == "networks")
    if finding["state"] == "bad":  # whether it breaks depends on the version of diffusers
        assert "pip uninstall torchvision" in finding["hint"]
        assert run.returncode == 1


def test_the_version_is_the_packages():
    assert nca("--version").stdout.strip() == f"nca {nca_cli.__version__}"


# -- bad input -------------------------------------------------------------------------------------

BAD = {
    "no such file": (["noise", "missing.png"], 1, "missing.png"),
    "not an image": (["noise", "text.png"], 1, "text.png"),
    "truncated image": (["noise", "half.png"], 1, "half.png", "truncated"),
    "empty folder": (["noise", "empty"], 1, "empty"),
    "level out of range": (["noise", "--t", "1000"], 2, "1000", "0 to 999"),
    "level not a number": (["noise", "--t", "many"], 2, "many"),
    "empty range": (["noise", "--t", "5:5"], 2, "5:5"),
    "negative seed": (["noise", "--seed", "-1"], 2, "-1"),
    "unknown model": (["noise", "--model", "dddim"], 1, "dddim", "did you mean ddim"),
    "unknown sampler": (["reconstruct", "--sampler", "euler"], 2, "euler", "ddim"),
    "idle option": (["reconstruct", "--sampler", "pndm", "--eta", "0.5"], 2, "--eta"),
    "half a step": (["reconstruct", "--steps", "10,2.5"], 2, "--steps 2.5"),
    "too much eta": (["reconstruct", "--eta", "0,1.5"], 2, "--eta 1.5"),
    "too many steps": (["reconstruct", "--steps", "1001"], 2, "1001"),
    "unknown fit": (["noise", "--fit", "squash"], 2, "squash", "crop"),
    "folder that is no pipeline": (["noise", "--model", "./empty"], 1, "empty", "pipeline"),
    "missing weights file": (
        ["reconstruct", "--model", "./weightless"],
        1,
        "weightless",
        "diffusion_pytorch_model",
    ),
    "store of a newer version": (["noise", "--store", "newer"], 1, "newer", "format 99"),
    "store that is a file": (["noise", "--store", "text.png"], 1, "text.png"),
    "grid format": (["grid", "--store", "STORE", "-o", "grid.xyz"], 2, "xyz"),
    "unknown shard": (["noise", "--shard", "3/3"], 2, "3/3"),
    "unknown batch": (["reconstruct", "--batch", "0"], 2, "--batch"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_gets_one_clear_line(case, filled, pixel_pipeline, tmp_path, monkeypatch):
    arguments, code, *words = BAD[case]
    monkeypatch.chdir(tmp_path)
    Image.effect_noise((64, 64), 50).save("good.png")
    Path("half.png").write_bytes(Path("good.png").read_bytes()[:900])
    Path("text.png").write_text("words")
    Path("empty").mkdir()
    shutil.copytree(pixel_pipeline, "weightless")
    next(Path("weightless").rglob("*.safetensors")).unlink()
    Path("newer").mkdir()
    Path("newer/nca-store.json").write_text('{"format": "nca-store", "version": 99}')
    if "--model" not in arguments and arguments[0] != "grid":
        arguments = [*arguments, "--model", pixel_pipeline]
    result = nca(*[filled[0] if argument == "STORE" else argument for argument in arguments])
    fails(result, code, *words)
    assert not Path("nca-store").exists()


def test_a_full_disk_is_one_line_and_keeps_what_was_committed(pixel_pipeline, faces, tmp_path):
    with mounted(tmp_path / "disk", "size=160k") as disk:
        store = disk / "store"
        arguments = ["reconstruct", "--model", pixel_pipeline, "-s", "one-step", "--store", store]
        assert nca(*arguments, faces / "anna.png", "--t", "5").exit_code == 0
        refused = nca(*arguments, faces, "--seed", "0:8")
        fails(refused, 1, "disk", "--store")
        assert nca("verify", "--store", store).exit_code == 0
        assert nca(*arguments, faces / "anna.png", "--t", "5").stdout


def test_a_read_only_store_is_one_line_and_can_still_be_drawn(pixel_pipeline, faces, tmp_path):
    with mounted(tmp_path / "disk", "size=8m") as disk:
        arguments = ["reconstruct", faces, "--model", pixel_pipeline, "-s", "one-step"]
        arguments += ["--store", disk / "store"]
        assert nca(*arguments, "--t", "5,300").exit_code == 0
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        assert nca(*arguments, "--t", "5,300").exit_code == 0, "a cache hit writes nothing"
        fails(nca(*arguments, "--t", "5,700"), 1, "cannot be written", "--store")
        reading = ["--store", disk / "store", "-o", tmp_path / "out"]
        assert nca("grid", *reading[:-1], tmp_path / "grid.png").exit_code == 0
        assert nca("report", *reading[:-1], tmp_path / "report.html").exit_code == 0
        assert nca("export", *reading).exit_code == 0


def test_a_damaged_artifact_is_named_by_whatever_reads_it(filled, tmp_path):
    store = shutil.copytree(filled[0], tmp_path / "s")
    victim = next(store.glob("*/cat-*/one-step-*.h5"))
    victim.write_bytes(victim.read_bytes()[:3000])
    for command in (["grid", "-o", tmp_path / "g.png"], ["ls"], ["show", victim]):
        result = nca(*command, "--store", store)
        assert victim.name in result.stderr, command
        assert "nca verify --repair" in result.stderr
    assert (
        nca("grid", "--store", store, "--sampler", "ddim", "-o", tmp_path / "g.png").exit_code == 0
    )
    again = nca(*filled[1][:-1], store)
    assert again.exit_code == 1
    assert victim.name in again.stderr


def test_one_bad_image_among_many_is_listed_and_the_others_are_done(
    pixel_pipeline, faces, tmp_path
):
    (faces / "broken.png").write_text("no image")
    result = nca("noise", faces, "--model", pixel_pipeline, "--store", tmp_path / "s", "--t", "5")
    assert result.exit_code == 1
    assert len(result.stdout.split()) == 3
    assert "broken.png" in result.stderr
    assert "1 input left out" in result.stderr


def test_a_bug_is_one_line_too_and_a_traceback_on_request(monkeypatch):
    def broken():
        raise RuntimeError("a bug")

    monkeypatch.setattr("nca_cli.models.list_models", broken)
    fails(nca("models"), 1, "RuntimeError", "nca --debug")
    assert isinstance(nca("--debug", "models").exception, RuntimeError)


@pytest.mark.parametrize(("given", "taken"), [(None, "PASSIVE"), ("ACTIVE", "ACTIVE")])
def test_waiting_threads_leave_their_core_to_others_unless_the_user_says_otherwise(
    monkeypatch, given, taken
):
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    if given:
        monkeypatch.setenv("OMP_WAIT_POLICY", given)
    nca("models")
    assert os.environ["OMP_WAIT_POLICY"] == taken
