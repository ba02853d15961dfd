"""Models of several schedules, asked for and drawn at one logSNR."""

import json
import random
from itertools import pairwise

import pipelines
import pytest
from test_printed_commands import follow
from typer.testing import CliRunner

import nca_cli
from nca_cli.cli import app
from nca_cli.errors import UsageError
from nca_cli.figures.grid import compose_grid
from nca_cli.figures.grid.levels import TOLERANCE, ModelLevel, clusters
from nca_cli.store import Store

NAMES = ("linear", "cosine", "exploding", "flow")
ASKED = (4, 0, -4)


def told_to_run(said):
    """The command that an error names in parentheses."""
    return said.rpartition("(")[2].partition(": ")[2].strip().removesuffix(")")


def nca(*arguments, code=0, **environment):
    result = CliRunner().invoke(app, [str(each) for each in arguments], env=environment)
    assert result.exit_code == code, result.output
    return result


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A pipeline of each kind of schedule. Read only."""
    root, betas = tmp_path_factory.mktemp("models"), [0.0001 + 0.0004 * i for i in range(50)]
    return {
        "linear": pipelines.tiny_pixel(root / "linear"),
        "cosine": pipelines.tiny_pixel(root / "cosine", beta_schedule="squaredcos_cap_v2"),
        "exploding": pipelines.tiny_exploding(root / "exploding", correct_steps=0),
        "flow": pipelines.tiny_flow(root / "flow"),
        "learned": pipelines.tiny_pixel(
            root / "learned", trained_betas=betas, num_train_timesteps=50
        ),
    }


@pytest.fixture
def reconstruct(models, faces, monkeypatch):
    """Runs `nca reconstruct` of one picture in one step, by names of models."""
    monkeypatch.chdir(faces)

    def run(*names, options=("--log-snr", "4,0,-4")):
        named = [word for name in names for word in ("--model", models[name])]
        return nca("reconstruct", "anna.png", *named, "--sampler", "one-step", *options)

    return run


def levels(model):
    """logSNR of what is stored of a model, and its t."""
    (artifact,) = [
        each
        for each in Store("nca-store").select()
        if each.model_name == model and not each.is_noise
    ]
    return dict(zip(artifact.log_snr.tolist(), artifact.t.tolist(), strict=True))


def plain(label):
    return "".join(run.text for run in label)


def header(grid, column):
    """A column's header in its longest words, line by line."""
    return [plain(line[0]) for line in grid.table.columns[column].header]


def drawn(grid):
    """For each row of cells, whether they are pictures, blanks or nothing."""
    return [
        [None if cell is None else cell.pixels is not None for cell in row.cells]
        for group in grid.table.groups
        for row in group.rows
    ]


# -- computing -------------------------------------------------------------------------------------


def test_every_kind_of_schedule_is_asked_at_one_log_snr(reconstruct):
    said = reconstruct(*NAMES).stderr
    for name in NAMES:
        assert sorted(levels(name)) == pytest.approx([-4, 0, 4], abs=0.02)
    assert sorted(levels("linear").values()) == [37, 258, 628]
    assert sorted(levels("cosine").values()) == [78, 495, 913]
    assert "linear: levels lie up to 0.019 from those of --log-snr in log SNR" in said
    assert "cosine: levels lie up to 0.0074 from" in said
    assert "flow: levels" not in said
    assert "exploding: levels" not in said


def test_noise_takes_log_snr_too_and_python_has_its_twin(models, faces, monkeypatch):
    monkeypatch.chdir(faces)
    model = str(models["linear"])
    nca("noise", "anna.png", "--model", model, "--log-snr", "-1:2", NCA_STORE="by-cli")
    nca("noise", "anna.png", "--model", model, NCA_STORE="by-variable", NCA_LOG_SNR="-1:1 1")
    nca_cli.noise_images("anna.png", models=[model], log_snr=[-1, 0, 1], store="by-python")
    found = [Store(name).select() for name in ("by-cli", "by-variable", "by-python")]
    first, *others = ([each.keys for each in artifacts] for artifacts in found)
    assert len(first[0]) == 3
    assert all(other == first for other in others)


def test_wishes_for_one_whole_level_are_one(reconstruct):
    reconstruct("linear", options=("--log-snr", "0,0.001"))
    assert [*levels("linear").values()] == [258]


@pytest.mark.parametrize("command", ["noise", "reconstruct", "grid"])
def test_levels_are_named_by_t_or_by_log_snr(command, reconstruct):
    reconstruct("linear")
    said = nca(command, "--t", 100, "--log-snr", 0, code=2).stderr
    assert "--t and --log-snr exclude each other" in said


def test_the_model_that_does_not_reach_a_log_snr_is_named(models):
    said = nca("noise", "--model", models["exploding"], "--log-snr", 9, code=2).stderr
    assert "exploding: log SNR 9 is beyond the levels of this model" in said
    assert "to 7.82 (t 0)" in said


# -- columns by SNR --------------------------------------------------------------------------------


@pytest.mark.parametrize("settings", [{"columns": "snr"}, {"log_snr": ASKED}], ids=str)
def test_levels_of_one_log_snr_are_one_column(reconstruct, settings):
    reconstruct(*NAMES)
    assert len(compose_grid(Store("nca-store")).levels) > len(ASKED)
    grid = compose_grid(Store("nca-store"), show="x0_hat", **settings)
    assert grid.levels == pytest.approx(ASKED, abs=0.02)
    assert drawn(grid) == [[True] * 3] * len(NAMES)
    assert (grid.missing, grid.command) == ([], None)
    assert 0.001 < grid.distance < 0.02
    assert header(grid, 1) == ["log SNR 0", "t = 495", "t = 17.913", "t = 500", "t = 258"]
    names = ["log SNR", "t cosine", "t exploding", "t flow", "t linear"]
    assert [*map(plain, grid.table.header_names)] == names


def test_a_column_holds_the_picture_of_its_own_level(reconstruct):
    from nca_cli.images import to_uint8

    reconstruct("linear", "flow")
    grid = compose_grid(Store("nca-store"), show="x0_hat", columns="snr")
    for artifact in (each for each in Store("nca-store").select() if not each.is_noise):
        row = ["flow", "linear"].index(artifact.model_name)
        shown = [each.cells for group in grid.table.groups for each in group.rows][row]
        for (t, seed), cell in zip(sorted(artifact.keys), shown, strict=True):
            expected = to_uint8(artifact.read("x0_hat", [(t, seed)])[0])
            assert (cell.pixels == expected).all()


def test_p2s_figure_by_snr_has_its_stages_over_several_schedules(reconstruct):
    reconstruct(*NAMES, options=("--log-snr", "4,-4,-6"))
    grid = compose_grid(Store("nca-store"), layout="p2", columns="snr")
    assert [column.stage for column in grid.table.columns] == ["", "coarse", "content", "clean-up"]


def test_rows_by_level_take_log_snr_too(reconstruct):
    reconstruct("linear", "flow", options=("--log-snr", "2,-2", "--seed", "0,1"))
    grid = compose_grid(Store("nca-store"), show="x0_hat", columns="seeds", log_snr=[2, -2])
    assert drawn(grid) == [[True, True]] * 4
    levels = [plain(group.names[-1]) for group in grid.table.groups]
    assert levels == ["log SNR 2", "log SNR −2"]
    for group in grid.table.groups:
        assert [plain(row.names[-1]) for row in group.rows] == ["flow", "linear"]


def test_what_is_stored_near_a_log_snr_stands_for_it(reconstruct):
    reconstruct("linear", options=("--t", "250"))
    grid = compose_grid(Store("nca-store"), show="x0_hat", log_snr=[0])
    assert header(grid, 0) == ["log SNR 0", "t = 250"]
    assert grid.distance < TOLERANCE
    assert grid.missing == []


def test_seeds_are_those_of_the_columns(reconstruct):
    reconstruct("linear", options=("--log-snr", "4", "--seed", "7"))
    reconstruct("linear", options=("--log-snr", "0", "--seed", "8"))
    grid = compose_grid(Store("nca-store"), show="x0_hat", log_snr=[0])
    assert drawn(grid) == [[True]]


def test_a_log_snr_that_no_model_reaches_is_refused(reconstruct):
    reconstruct("linear")
    with pytest.raises(UsageError, match="log SNR 60 is beyond"):
        compose_grid(Store("nca-store"), log_snr=[4, 60])


def test_nothing_near_a_log_snr_names_the_command_that_computes_it(reconstruct):
    reconstruct("linear", "flow")
    said = nca("grid", "--log-snr", "2,-2", code=1).stderr
    follow(told_to_run(said))
    follow(json.loads(nca("grid", "--log-snr", "2,-2", "--json").stdout)["command"])
    told = json.loads(nca("grid", "--log-snr", "2,-2", "--json").stdout)
    assert told["missing"] == 0


def test_what_fits_no_filter_is_suggested_by_log_snr(reconstruct):
    reconstruct("linear")
    said = nca("grid", "--log-snr", "-1,2", "--model", "demo", code=1).stderr
    assert "nca reconstruct --model demo --log-snr -1,2" in said


def test_clusters_are_narrow_have_each_model_once_and_lose_no_level():
    stream = random.Random(0)
    for _ in range(50):
        points = [ModelLevel(stream.uniform(-1, 1), stream.choice("abc"), i) for i in range(60)]
        found = clusters(points)
        assert sorted(point for cluster in found for point in cluster) == sorted(points)
        for cluster in found:
            models = [point.model for point in cluster]
            assert len({*models}) == len(models)
            assert cluster[-1].log_snr - cluster[0].log_snr <= TOLERANCE
        edges = [(cluster[0].log_snr, cluster[-1].log_snr) for cluster in found]
        assert all(one[1] <= other[0] for one, other in pairwise(edges))


def test_nearest_levels_come_together_first():
    found = clusters([ModelLevel(0.0, "a", 1), ModelLevel(0.06, "b", 1), ModelLevel(0.07, "a", 2)])
    assert [[point.t for point in cluster] for cluster in found] == [[1], [1, 2]]


# -- commands that fill ----------------------------------------------------------------------------


@pytest.mark.parametrize("columns", ["t", "snr"])
def test_the_command_that_fills_names_only_levels_that_each_model_has(reconstruct, columns):
    reconstruct("linear", "learned", options=("--t", "5,45"))
    reconstruct("cosine", "linear", options=("--t", "300,700"))
    reconstruct("exploding", "flow", options=("--t", "7.25,30.5"))
    shown = ("grid", "--columns", columns, "--json")
    told = json.loads(nca(*shown).stdout)
    assert told["missing"] > 0
    follow(told["command"])
    assert json.loads(nca(*shown).stdout) == {**told, "missing": 0, "command": None}


def test_a_cell_that_no_sampler_could_fill_is_no_blank(models, faces, monkeypatch):
    monkeypatch.chdir(faces)
    flow = ("reconstruct", "anna.png", "--model", models["flow"], "--steps", 4)
    nca(*flow, "--sampler", "ddim", "--t", "500,1000")
    nca(*flow, "--sampler", "pndm", "--t", 500)
    grid = compose_grid(Store("nca-store"), show="x0_hat")
    assert drawn(grid) == [[True, True], [True, None]]
    assert grid.command is None


def test_lost_noise_of_a_flow_is_made_anew_at_a_level_that_it_has(reconstruct):
    reconstruct("flow")
    (noise,) = [each for each in Store("nca-store").select() if each.is_noise]
    noise.parts[0].path.unlink()
    said = nca("grid", "--show", "x0", code=1).stderr
    follow(told_to_run(said))
    assert drawn(compose_grid(Store("nca-store"), show="x0")) == [[True]]
