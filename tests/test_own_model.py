"""One's own model by `module:factory`, and short names by `models.toml`."""

import json
import math
import re
from pathlib import Path

import pytest
from pipelines import tiny_pixel
from typer.testing import CliRunner

import nca_cli.schedule
from nca_cli.cli import app
from nca_cli.cli.filters import model_filter
from nca_cli.engine import Request
from nca_cli.engine.request import recipes_of
from nca_cli.errors import ModelError, NcaError, UsageError
from nca_cli.models import find_model, list_models, load_denoiser, recipe_for
from nca_cli.sampler_choice import SamplerChoice
from nca_cli.schedule import Schedule
from nca_cli.store import Filters, Names, Store

PAGE = (Path(__file__).parents[1] / "docs" / "own-model.md").read_text()
PYTHON = re.search(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)[1]
TOML = re.search(r"^```toml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)[1]


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("NCA_CACHE", str(tmp_path / "cache"))
    return tmp_path


def run(*arguments):
    result = CliRunner().invoke(app, list(map(str, arguments)))
    assert result.exit_code == 0, result.output
    return result


def refused(kind, action, *words):
    with pytest.raises(kind) as caught:
        action()
    line = f"{caught.value} {caught.value.hint or ''}"
    assert "\n" not in line
    for word in words:
        assert word in line


# -- module:factory --------------------------------------------------------------------------------


def test_the_example_of_the_page_runs_as_it_stands(here, faces):
    import torch

    (here / "mymodels.py").write_text(PYTHON)
    command = ("reconstruct", faces, "--model", "mymodels:grey", "--t", "100,900", "--json")
    assert json.loads(run(*command, "--steps", 10).stdout)["computed"] == 6
    assert json.loads(run(*command, "--steps", 10).stdout)["computed"] == 0
    run("grid", "--model", "mymodels:grey", "-o", "grey.png")
    assert (here / "grey.png").is_file()
    model = find_model("mymodels:grey")
    assert (model.name, model.space.shape, model.space.schedule) == (
        "grey", (3, 32, 32), Schedule()
    )  # fmt: skip
    assert "grey-1" in recipe_for(model, SamplerChoice()).weights
    level, x = Schedule().level(500), torch.randn(1, 3, 32, 32)
    x0 = load_denoiser(model, device="cpu")(x, torch.tensor([500])).x0
    expected = 0.25 * level.a / (0.25 * level.a**2 + level.s**2) * x
    assert (x0 - expected).abs().max() < 1e-4, "the closed form of such a Gaussian"


def test_the_worked_networks_of_the_page_run_and_are_the_closed_forms_that_they_say(here, faces):
    """Both know pixels of variance 0.25 around grey, by other schedules and predictions."""
    import torch

    _, cosine, edm, _ = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    (here / "cosinev.py").write_text(cosine)
    (here / "edmlike.py").write_text(edm)
    x = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    for name, t in (("cosinev:cosine_v", 500), ("edmlike:preconditioned", 2.0)):
        run("reconstruct", faces / "anna.png", "-m", name, "--t", t, "--steps", 4)
        model = find_model(name)
        level = model.space.schedule.level(t)
        x0 = load_denoiser(model, device="cpu")(x, torch.tensor([t])).x0
        expected = 0.25 * level.a / (0.25 * level.a**2 + level.s**2) * x
        assert (x0 - expected).abs().max() < 1e-5, name


def test_a_device_without_memory_is_one_line(here, faces):
    write(here, "own_large", answer="(_ for _ in ()).throw(torch.OutOfMemoryError('CUDA: 9 GiB'))")
    asked = ["reconstruct", str(faces), "--model", "own_large:net", "--t", "100"]
    done = CliRunner().invoke(app, asked)
    assert done.exit_code == 1
    assert "error: not enough memory on the device (use --dtype float16" in done.stderr
    assert "unexpected" not in done.stderr


def test_learned_betas_may_be_a_tensor_and_a_schedule_that_is_none_is_told_what_is(here):
    import torch

    betas = torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64)
    tensor, plain = Schedule(trained_betas=betas), Schedule(trained_betas=tuple(betas.tolist()))
    assert tensor == plain
    assert tensor.describe() == plain.describe()
    name = write(here, "own_listed", schedule=[0.1, 0.2])
    words = ("its schedule is a list", "Schedule, FlowMatching, VarianceExploding, NoiseSigma")
    refused(ModelError, lambda: find_model(name), *words)


def test_a_schedule_names_what_it_takes_and_a_scale_is_never_taken_for_granted(here):
    """A wrong scale would move every logSNR by ln 4 without a sign."""
    for made, *words in (
        ("VarianceExploding(0.01, 50.0)", "scale=2", "[0, 1]", "scale=1", "[-1, 1]"),
        ("VarianceExploding(scale=0)", "needs its scale"),
        ("Schedule('cosine')", "'cosine'", "squaredcos_cap_v2", "sigmoid_alpha_bar"),
        ("Schedule(betas=[0.1])", "takes no betas", "beta_schedule", "trained_betas"),
        ("FlowMatching(sigma=3)", "takes no sigma", "steps"),
    ):
        name = write(here, f"own_{abs(hash(made))}", schedule=made)
        refused(ModelError, lambda name=name: find_model(name), "cannot be made", *words)
    one, two = (nca_cli.schedule.VarianceExploding(scale=scale) for scale in (1, 2))
    assert one.log_snr(500) - two.log_snr(500) == pytest.approx(math.log(4))
    assert Schedule.from_description({"kind": "ve"}) is None, "of a file: no levels, no error"
    assert Schedule.from_config({"_class_name": "ScoreSdeVeScheduler"}).scale == 2


SPARSE = """
import torch
from nca_cli.schedule import FlowMatching, Schedule, VarianceExploding
class Net(torch.nn.Module):
    identity, shape, prediction = "{identity}", ({channels}, 8, 8), "{prediction}"
    schedule = {schedule}
    def forward(self, x, t):
        return {answer}
net = Net
"""
LEVELS = "Schedule('scaled_linear', 0.001, 0.01, 500)"


def write(here, module, identity="one", prediction="sample", answer="x * 0 + 0.5",
          channels=1, schedule=LEVELS):  # fmt: skip
    (here / f"{module}.py").write_text(
        SPARSE.format(identity=identity, prediction=prediction, answer=answer, channels=channels,
                      schedule=schedule)
    )  # fmt: skip
    return f"{module}:net"


def test_schedule_and_prediction_are_the_objects_own(here):
    import torch

    model = find_model(write(here, "own_a"))
    assert model.space.schedule.steps == 500
    assert (model.space.channels, model.space.resolution) == (1, 8)
    denoiser = load_denoiser(model, device="cpu")
    assert torch.equal(denoiser(torch.randn(2, 1, 8, 8), torch.tensor([3, 499])).x0,
                       torch.full((2, 1, 8, 8), 0.5))  # fmt: skip


def test_another_identity_module_or_prediction_is_another_recipe(here):
    names = [write(here, "own_b"), write(here, "own_c"), write(here, "own_d", identity="two"),
             write(here, "own_e", prediction="epsilon")]  # fmt: skip
    recipes = [recipe_for(find_model(name), SamplerChoice()).digest for name in names]
    assert len(set(recipes)) == 4


def test_what_is_wrong_with_a_factory_is_said_in_one_line(here):
    refused(ModelError, lambda: find_model("no_such_module:net"), "ModuleNotFoundError")
    refused(ModelError, lambda: find_model("json:no_such"), "AttributeError")
    (here / "own_f.py").write_text("raise ValueError('two\\nlines')")
    refused(ModelError, lambda: find_model("own_f:net"), "ValueError: two lines")
    refused(ModelError, lambda: find_model(write(here, "own_g", identity=" ")), "identity")
    refused(ModelError, lambda: find_model(write(here, "own_h", prediction="x")), "epsilon")
    refused(ModelError, lambda: find_model("collections:OrderedDict"), "identity")


SCHEDULES = (
    "Schedule()", "FlowMatching()", "VarianceExploding(scale=2)", "VarianceExploding(scale=1)",
)  # fmt: skip
FITS = {
    "epsilon": SCHEDULES, "sample": SCHEDULES, "score": SCHEDULES,
    "v_prediction": ("Schedule()",), "flow": ("FlowMatching()",),
}  # fmt: skip


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("prediction", FITS)
def test_a_prediction_gives_x0_on_its_schedule_or_is_refused(here, prediction, schedule):
    """The answer to x_t = a·x0 + s·ε is what was to be predicted, so x̂0 is x0."""
    import torch

    levels = eval(schedule, vars(nca_cli.schedule))
    t, c = levels.default_levels[0], getattr(levels, "scale", 1)
    (_, a, s), x0, noise = levels.level(t), torch.full((2, 1, 8, 8), 0.25), 2.0
    told = {"epsilon": noise, "sample": 0.25, "v_prediction": a * noise - s * 0.25,
            "flow": noise - 0.25, "score": -c * noise / s}[prediction]  # fmt: skip
    seen = a * 0.25 + s * noise
    seen = (seen + 1) / 2 if prediction == "score" and c == 2 else seen  # of pixels in [0, 1]
    name = write(here, f"own_{here.name}", prediction=prediction, schedule=schedule,
                 answer=f"x / {seen} * {told}")  # fmt: skip
    if schedule not in FITS[prediction]:
        refused(ModelError, lambda: find_model(name), prediction, type(levels).__name__)
        return
    denoiser = load_denoiser(find_model(name), device="cpu")
    found = denoiser(a * x0 + s * noise, torch.tensor([t, t])).x0
    assert torch.allclose(found, x0, atol=1e-5)


@pytest.mark.parametrize(
    ("answer", "shape"),
    [
        ("x[:, :, 1:]", (2, 3, 7, 8)),
        ("x[:, :1]", (2, 1, 8, 8)),
        ("x[:1]", (1, 3, 8, 8)),
        ("x[0]", (3, 8, 8)),
        ("torch.cat([x, x], 1)[:, :5]", (2, 5, 8, 8)),
        ("torch.cat([x, x, x], 1)", (2, 9, 8, 8)),
        ("None", ()),
    ],
)
def test_an_answer_of_another_shape_is_refused(here, answer, shape):
    import torch

    name = write(here, f"own_{here.name}", answer=answer, channels=3)
    denoiser = load_denoiser(find_model(name), device="cpu")
    x, t = torch.zeros(2, 3, 8, 8), torch.tensor([1, 2])
    refused(ModelError, lambda: denoiser(x, t), name, str(shape), "(2, 3, 8, 8)")


def test_nothing_is_stored_of_an_answer_that_would_broadcast(here, faces):
    name = write(here, "own_j", answer="x[:, :1]", channels=3)
    command = ["reconstruct", str(faces), "--model", name, "--t", "100", "--sampler", "one-step"]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 1
    assert "answers (" in result.stderr
    assert not list((here / "nca-store").rglob("one-step-*.h5"))


def test_twice_the_channels_are_a_learned_variance(here):
    import torch

    name = write(here, "own_k", answer="torch.cat([x, x * 0 + 0.5], 1)", channels=3)
    x = torch.randn(2, 3, 8, 8)
    found = load_denoiser(find_model(name), device="cpu")(x, torch.tensor([1, 2]))
    assert torch.equal(found.x0, x)
    assert torch.equal(found.variance, torch.full_like(x, 0.5))


@pytest.mark.parametrize("levels", [20, 200, 1000, 4000])
def test_the_usual_number_of_steps_is_no_more_than_there_are_levels(here, levels):
    name = write(here, f"own_{here.name}", schedule=f"Schedule(steps={levels})")
    (here / "models.toml").write_text(
        f"[cosine]\nmodel = '{tiny_pixel(here / 'net', num_train_timesteps=levels)}'\n"
        "sampler = 'ddpm'\n[many]\nmodel = './net'\nsteps = 5000\n"
    )
    for model in (find_model(name), find_model(str(here / "net"))):
        assert model.sampler.steps == min(50, levels)
        request = Request(samplers=("ddpm", "pndm"))
        assert [recipe.steps for recipe in recipes_of(request, model)] == [levels, min(50, levels)]
    assert find_model("cosine").sampler == SamplerChoice("ddpm", levels)
    assert find_model("many").sampler.steps == 5000, "what was said is not cut, but refused"


def test_a_learned_variance_is_used_where_the_object_says_so(here, faces):
    names = {}
    for module, value, more in (("lo", -1.0, True), ("hi", 1.0, True), ("plain", 1.0, False)):
        names[module] = write(here, f"own_{module}", answer=f"torch.cat([x, x * 0 + {value}], 1)",
                              channels=3)  # fmt: skip
        if more:
            file = here / f"own_{module}.py"
            file.write_text(file.read_text() + "\nNet.variance = 'learned_range'\n")
    recipes = {key: recipe_for(find_model(name), SamplerChoice("ddpm", 20))
               for key, name in names.items()}  # fmt: skip
    assert [recipe.variance for recipe in recipes.values()] == [
        "learned_range", "learned_range", "fixed_small"
    ]  # fmt: skip
    store = here / "nca-store"
    found = {}
    for key in ("lo", "hi"):
        run("reconstruct", faces / "anna.png", "-m", names[key], "-s", "ddpm", "--steps", 20,
            "--t", 300)  # fmt: skip
        (artifact,) = [a for a in Store(store).select(Filters(recipes=[recipes[key].digest]))
                       if a.recipe]  # fmt: skip
        found[key] = artifact.read("x0_hat", [(300, 0)])
    assert abs(found["lo"] - found["hi"]).max() > 1e-3


def test_a_learned_variance_that_is_promised_has_to_come(here):
    import torch

    name = write(here, "own_l", answer="x", channels=3)
    file = here / "own_l.py"
    file.write_text(file.read_text() + "\nNet.variance = 'learned_range'\n")
    denoiser = load_denoiser(find_model(name), device="cpu")
    x, t = torch.zeros(1, 3, 8, 8), torch.tensor([1])
    refused(ModelError, lambda: denoiser(x, t), name, "without its learned variance")
    name = write(here, "own_m", answer="x", channels=3)
    file = here / "own_m.py"
    file.write_text(file.read_text() + "\nNet.variance = 'none'\n")
    refused(ModelError, lambda: find_model(name), "its variance is not one of")


# -- models.toml -----------------------------------------------------------------------------------


def test_the_tables_of_the_page_are_understood(here):
    (here / "models.toml").write_text(TOML)
    (here / "checkpoints").mkdir()
    checkpoint = here / "checkpoints" / "ffhq_p2.pt"
    checkpoint.write_bytes(b"any")
    model = find_model("ffhq")
    assert (model.name, model.alias, model.licence) == ("ffhq_p2", "ffhq", "ask the authors")
    assert (model.sampler.name, model.sampler.steps) == ("ddpm", 250)
    assert model.checkpoint == checkpoint
    row = {row.name: row for row in list_models()}["ffhq"]
    assert (row.what, row.resolution, row.on_disk) == ("FFHQ, P2 weighting", 256, True)
    checkpoint.with_suffix(".toml").write_text("learn_sigma = false")
    assert find_model("ffhq").scheduler["variance_type"] == "fixed_large"


def test_a_short_name_replaces_only_what_it_names(here, pixel_pipeline):
    (here / "models.toml").write_text(
        f"[plain]\nmodel = '{pixel_pipeline}'\n"
        f"[fewer]\nmodel = '{pixel_pipeline}'\nsteps = 10\neta = 1\n"
        "[other]\nmodel = 'wiener'\n"
    )
    own = find_model(str(pixel_pipeline))
    assert find_model("plain").sampler == own.sampler
    assert find_model("fewer").sampler == SamplerChoice("ddim", 10, 1)
    assert find_model("fewer").folder_name == own.folder_name, "they share what is stored"
    assert find_model("other").sampler.name == "one-step"


def test_filters_know_short_names(here, pixel_pipeline, faces):
    (here / "models.toml").write_text(f"[mine]\nmodel = '{pixel_pipeline}'\nsampler = 'plms'\n")
    run("reconstruct", faces / "anna.png", "-m", "mine", "--steps", 10, "--t", 300)
    assert model_filter("mine")[:3] == (pixel_pipeline.name, "plms", str(pixel_pipeline))
    assert "plms-10" in run("ls", "--model", "mine", "--json").stdout
    assert model_filter("adm:some/net.pt")[:3] == ("net", None, f"adm:{here}/some/net.pt")
    assert model_filter("module:factory")[:3] == ("factory", None, "module:factory")
    assert model_filter("google/ncsnpp-ffhq-256")[:3] == ("ncsnpp-ffhq-256", None, None)


@pytest.fixture
def trainings(here, faces):
    """Two checkpoints of one file name, one reconstruction of each; the short names a and b."""
    for seed, name in enumerate("ab"):
        tiny_pixel(here / f"run-{name}" / "checkpoint-9", seed=seed)
        with open(here / "models.toml", "a") as file:
            file.write(f"[{name}]\nmodel = 'run-{name}/checkpoint-9'\n")
        run("reconstruct", faces / "anna.png", "-m", name, "-s", "one-step", "--t", 300)
    return here


def test_checkpoints_of_one_file_name_are_two_models_to_every_filter(trainings):
    every = json.loads(run("ls", "--json").stdout)
    names = ("a", "run-b/checkpoint-9")
    mine = [json.loads(run("ls", "-m", name, "--json").stdout) for name in names]
    assert [len(some) for some in (every, *mine)] == [3, 2, 2], "noise is of both"
    run("rm", "-m", "a", "-s", "one-step", "--yes")
    left = [artifact for artifact in Store(trainings / "nca-store").select() if artifact.recipe]
    assert [artifact.model_info["source"] for artifact in left] == [
        str(trainings / "run-b/checkpoint-9")
    ]


def test_checkpoints_of_one_file_name_are_called_by_what_their_paths_have_not_in_common(trainings):
    found = [a for a in Store(trainings / "nca-store").select() if not a.is_noise]
    assert {*map(Names(found).sampler, found)} == {"one-step run-a", "one-step run-b"}
    run("grid", "-o", trainings / "grid.svg")
    drawn = (trainings / "grid.svg").read_text()
    assert [name in drawn for name in ("run-a", "run-b")] == [True, True]


def test_the_variable_names_another_file_whose_folder_paths_start_at(here, monkeypatch):
    folder = here / "elsewhere"
    folder.mkdir()
    (folder / "net.pt").write_bytes(b"any")
    (folder / "mine.toml").write_text("[net]\nmodel = 'adm:net.pt'\n")
    monkeypatch.setenv("NCA_MODELS", str(folder / "mine.toml"))
    assert find_model("net").checkpoint == folder / "net.pt"
    monkeypatch.setenv("NCA_MODELS", str(here / "none.toml"))
    refused(UsageError, lambda: find_model("demo"), "cannot read", "none.toml")


def test_p2s_names_may_be_given_a_place(here):
    (here / "models.toml").write_text("[p2-ffhq]\nmodel = 'adm:there.pt'\n")
    (here / "there.pt").write_bytes(b"any")
    assert find_model("p2-ffhq").checkpoint == here / "there.pt"
    assert [row.name for row in list_models()].count("p2-ffhq") == 1


def test_no_file_can_make_nca_import_anything(here):
    (here / "models.toml").write_text("[net]\nmodel = 'own_z:net'\n")
    (here / "own_z.py").write_text("raise SystemExit('was run')")
    refused(UsageError, lambda: find_model("net"), "may not name code", "--model own_z:net")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[net", ["cannot read models.toml"]),
        ("net = 1", ["[net] is not a table"]),
        ("[net]\nsteps = 1", ["names no model"]),
        ("[net]\nmodel = 'wiener'\nstep = 1", ["'step'", "did you mean steps?"]),
        ("[net]\nmodel = 'wiener'\nsteps = '1'", ["steps = '1'"]),
        ("[net]\nmodel = 'wiener'\nsteps = true", ["steps = True"]),
        ("[net]\nmodel = 'wiener'\nsampler = 'euler'", ["[net]", "unknown sampler 'euler'"]),
        ("[ddim]\nmodel = 'wiener'", ["[ddim] is a built-in name"]),
        ("['a b']\nmodel = 'wiener'", ["not a valid short name"]),
    ],
)
def test_what_is_wrong_with_a_file_is_said_in_one_line(here, text, words):
    (here / "models.toml").write_text(text)
    refused(UsageError, lambda: find_model("demo"), *words)


def test_a_short_name_for_nothing_says_so_and_is_listed_as_not_here(here):
    (here / "models.toml").write_text("[net]\nmodel = './nowhere'\n")
    refused(NcaError, lambda: find_model("net"), "nowhere")
    row = {row.name: row for row in list_models()}["net"]
    assert (row.on_disk, row.resolution) == (False, 0)
