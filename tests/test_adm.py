"""ADM checkpoints: equal to a network written independently, and refused where they do not fit."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import fields
from pathlib import Path

import adm_reference
import pytest
import warm
from adm_reference import P2, random_adm
from typer.testing import CliRunner

from nca_cli.cli import app
from nca_cli.errors import ModelError
from nca_cli.models import find_model, list_models, load_denoiser, recipe_for
from nca_cli.models.checkpoints.adm import AdmConfig
from nca_cli.models.checkpoints.file import find_checkpoint
from nca_cli.sampler_choice import SamplerChoice
from nca_cli.schedule import Schedule
from nca_cli.store import Store

LEVELS = (0, 250, 500, 999)
SMALL = {"num_channels": 32, "channel_mult": (1, 1, 2), "image_size": 16,
         "attention_resolutions": (8,), "num_head_channels": 32}  # fmt: skip
CASES = {
    "P2's six levels, one in four channels": {
        **P2, "num_channels": 32, "num_head_channels": 16, "image_size": 64,
        "attention_resolutions": (4,),
    },
    "convolutions between resolutions, counted heads, two blocks": {
        **P2, **SMALL, "num_res_blocks": 2, "resblock_updown": False, "num_head_channels": -1,
        "num_heads": 2, "attention_resolutions": (16, 4),
    },
    "plain time embedding, no learned variance, the new order of qkv": {
        **P2, **SMALL, "use_scale_shift_norm": False, "learn_sigma": False, "num_res_blocks": 3,
        "use_new_attention_order": True, "num_head_channels": 16,
    },
    "one of ten classes": {
        **P2, **SMALL, "num_res_blocks": 2, "class_cond": True, "num_classes": 10,
    },
}  # fmt: skip


pytestmark = pytest.mark.usefixtures("one_thread", "own_cache")


def text(value):
    """As TOML has it."""
    return json.dumps(list(value) if isinstance(value, tuple) else value)


def save(file, network, **more):
    """A checkpoint, with its flags beside it. The file."""
    import torch

    torch.save(network.state_dict(), file)
    flags = network.flags | more
    file.with_suffix(".toml").write_text("\n".join(f"{k} = {text(v)}" for k, v in flags.items()))
    return file


def find(file):
    return find_model(f"adm:{file}")


def load(file, **condition):
    return load_denoiser(find(file), device="cpu", **condition)


def under(network):
    """A label to load it under, if it takes one."""
    return {"label": 0} if network.flags.get("class_cond") else {}


def raw(denoiser):
    """The network itself, behind a label or none."""
    return getattr(denoiser, "_denoiser", denoiser)._network


def asked(network, side):
    """x (one for each of LEVELS), t and labels if any; and what the reference says."""
    import torch

    x = torch.randn(len(LEVELS), 3, side, side, generator=torch.Generator().manual_seed(1))
    labels = [torch.tensor([0, 9, 3, 3])] if network.flags.get("class_cond") else []
    given = (x, torch.tensor(LEVELS), *labels)
    with torch.inference_mode():
        return given, network(*given)


@pytest.fixture
def small(tmp_path):
    """A small checkpoint in P2's manner, with its configuration."""
    return save(tmp_path / "small.pt", random_adm(**P2 | SMALL))


# -- the same network ------------------------------------------------------------------------------


@pytest.mark.parametrize("case", CASES)
def test_a_converted_checkpoint_gives_what_the_published_architecture_gives(case, tmp_path):
    import torch

    network = random_adm(**CASES[case])
    denoiser = load(save(tmp_path / "net.pt", network), **under(network))
    given, expected = asked(network, CASES[case]["image_size"])
    with torch.inference_mode():
        output = raw(denoiser)(*given).sample
    assert (output - expected).abs().max() < 1e-4
    assert expected.std() > 0.1, "the test would hide an error"


@pytest.mark.parametrize("case", CASES)
def test_in_double_precision_the_two_differ_by_rounding_alone(case, tmp_path, monkeypatch):
    import torch

    network = random_adm(**CASES[case])
    denoiser = load(save(tmp_path / "net.pt", network), **under(network))
    (x, *rest), _ = asked(network, CASES[case]["image_size"])
    single = adm_reference.embedding
    monkeypatch.setattr(adm_reference, "embedding", lambda t, width: single(t, width).double())
    with torch.inference_mode():
        output = raw(denoiser).double()(x.double(), *rest).sample
        assert (output - network.double()(x.double(), *rest)).abs().max() < 1e-10


def test_a_class_conditional_checkpoint_answers_under_the_label_that_is_asked_for(
    tmp_path, faces, monkeypatch
):
    import torch

    monkeypatch.chdir(tmp_path)
    network = random_adm(**CASES["one of ten classes"])
    file = save(tmp_path / "net.pt", network)
    command = ["reconstruct", str(faces / "anna.png"), "--model", "adm:net.pt", "--t", "500",
               "--sampler", "one-step"]  # fmt: skip
    for label in (3, 9):
        run = CliRunner().invoke(app, [*command, "--label", str(label)])
        assert run.exit_code == 0, run.output
    noise, *answers = Store(tmp_path / "nca-store").select()
    level = Schedule("linear", 1e-4, 0.02, 1000).level(500)
    x = torch.from_numpy(noise.read("x_t", [(500, 0)]))
    found = {artifact.recipe.class_label: artifact.read("x0_hat", [(500, 0)])[0]
             for artifact in answers}  # fmt: skip
    assert set(found) == {3, 9}
    for label, x0_hat in found.items():
        with torch.inference_mode():
            epsilon = network(x, torch.tensor([500]), torch.tensor([label]))[:, :3]
        expected = ((x - level.s * epsilon) / level.a)[0].numpy()
        assert abs(x0_hat - expected).max() < 1e-4 * max(1, level.s / level.a)
    assert abs(found[3] - found[9]).max() > 0.1
    refusal = CliRunner().invoke(app, command)
    assert refusal.exit_code == 2
    assert "add --label N, from 0 to 9" in " ".join(refusal.output.split())
    assert find(file).classes == 10


def test_the_identity_of_a_checkpoint_stays_what_it_was_in_stores_that_exist(tmp_path):
    """Golden: recipes of stored reconstructions name their weights by it."""
    (tmp_path / "net.pt").write_bytes(b"any")
    golden = "433822f3de52cba0d5027510db49ca006434e30cd20fa280e205bfa1fb40718f"
    assert find(tmp_path / "net.pt").revision == f"adm-{golden}"


def test_the_denoiser_splits_noise_and_variance(small):
    network = random_adm(**P2 | SMALL)
    denoiser, ((x, t), output) = load(small), asked(network, 16)
    prediction = denoiser(x, t)
    schedule = Schedule("linear", 1e-4, 0.02, 1000)
    for row, level in enumerate(map(schedule.level, LEVELS)):
        x0 = (x[row] - level.s * output[row, :3]) / level.a
        assert (prediction.x0[row] - x0).abs().max() * level.a / level.s < 1e-4
    assert (prediction.variance - output[:, 3:]).abs().max() < 1e-4


def peak(name, millions, cache):
    """Memory of a process that converts and loads a model, over that of its float32 weights."""
    code = (
        "import resource, sys\n"
        "import torch, diffusers\n"
        "from diffusers import UNet2DModel, VQModel\n"
        "from nca_cli.models import find_model, load_autoencoder, load_denoiser\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024\n"
        "before, model = peak(), find_model(sys.argv[1])\n"
        "networks = [load_denoiser(model, device='cpu')]\n"
        "networks += [load_autoencoder(model, device='cpu')] if model.space.latent else []\n"
        "print((peak() - before) / (4e6 * float(sys.argv[2])))\n"
    )
    run = warm.run(code, name, millions, env={**os.environ, "NCA_CACHE": str(cache)})
    assert run.returncode == 0, run.stderr
    return float(run.stdout)


def test_p2s_own_size_equals_the_reference_and_loads_within_its_memory(tmp_path):
    """93.6 million parameters; no configuration beside it, P2's is the default.

    On 64×64 pixels, which the network takes as well, at a sixteenth of the cost.
    """
    import torch

    network = random_adm()
    assert round(sum(p.numel() for p in network.parameters()) / 1e6, 1) == 93.6
    file = save(tmp_path / "ffhq_p2.pt", network)
    file.with_suffix(".toml").unlink()
    given, expected = asked(network, 64)
    denoiser = load(file)
    with torch.inference_mode():
        assert (raw(denoiser)(*given).sample - expected).abs().max() < 1e-4
    assert peak(f"adm:{file}", 93.6, tmp_path / "second-cache") < 2.2


# -- what it is ------------------------------------------------------------------------------------


def test_without_a_configuration_beside_it_a_checkpoint_is_taken_for_p2s(tmp_path):
    (tmp_path / "net.pt").write_bytes(b"any")
    model = find(tmp_path / "net.pt")
    assert model.space.shape == (3, 256, 256)
    assert model.space.schedule == Schedule("linear", 1e-4, 0.02, 1000)
    assert (model.sampler.name, model.sampler.steps) == ("ddpm", 250)
    assert model.name == "net"
    assert recipe_for(model, model.sampler).variance == "learned_range"
    defaults = {item.name: item.default for item in fields(AdmConfig)}
    assert {**P2, "channel_mult": ()}.items() <= defaults.items()
    assert AdmConfig().unet.channels == (128, 128, 256, 256, 512, 512)


def test_the_weights_identity_is_the_bytes_and_the_configuration(small, tmp_path):
    def weights(file):
        return recipe_for(find(file), SamplerChoice()).weights

    before, settings = weights(small), small.with_suffix(".toml").read_text()
    moved = tmp_path / "elsewhere.pt"
    moved.write_bytes(small.read_bytes())
    moved.with_suffix(".toml").write_text(settings + "\nuse_fp16 = true")
    assert weights(moved) == before, "a name and an idle flag change nothing"
    moved.with_suffix(".toml").write_text(
        settings.replace("use_new_attention_order = false", "use_new_attention_order = true")
    )
    assert weights(moved) != before
    assert weights(save(tmp_path / "other.pt", random_adm(1, **P2 | SMALL))) != before


def test_flags_as_guided_diffusion_dumps_them_are_read(tmp_path):
    network = random_adm(**P2 | SMALL)
    plain = find(save(tmp_path / "net.pt", network))
    dump = {"num_heads_upsample": -1, "model_path": "x.pt", "ema_rate": "0.9999", "data_dir": ""}
    assert find(save(tmp_path / "net.pt", network, **dump)).revision == plain.revision
    counted = random_adm(**P2 | SMALL | {"num_head_channels": -1, "num_heads": 2})
    assert find(save(tmp_path / "other.pt", counted, num_heads_upsample=2))
    save(tmp_path / "other.pt", counted, num_heads_upsample=4)
    with pytest.raises(ModelError, match="num_heads_upsample is another than num_heads"):
        find(tmp_path / "other.pt")


def test_the_cosine_schedule_and_another_number_of_steps_are_diffusers_own(tmp_path):
    cosine = save(tmp_path / "a.pt", random_adm(**P2 | SMALL), noise_schedule="cosine")
    assert find(cosine).space.schedule.beta_schedule == "squaredcos_cap_v2"
    longer = save(
        tmp_path / "b.pt", random_adm(**P2 | SMALL), diffusion_steps=4000, rescale_timesteps=False
    )
    schedule = find(longer).space.schedule
    assert (schedule.beta_start, schedule.beta_end, schedule.steps) == (2.5e-5, 0.005, 4000)


def test_a_fixed_variance_is_the_large_one_unless_sigma_small(tmp_path):
    network = random_adm(**P2 | SMALL | {"learn_sigma": False})
    for flag, variance in ((False, "fixed_large"), (True, "fixed_small")):
        model = find(save(tmp_path / "net.pt", network, sigma_small=flag))
        assert recipe_for(model, SamplerChoice("ddpm")).variance == variance


def test_it_is_converted_once_and_the_cache_alone_is_read_then(small, own_cache):
    model = find(small)
    assert not model.folder.exists(), "finding converts nothing"
    load(small)
    files = {file: file.stat().st_mtime_ns for file in own_cache.rglob("adm/**/*")}
    assert len([file for file in files if file.is_file()]) == 4
    load(small)
    assert {file: file.stat().st_mtime_ns for file in own_cache.rglob("adm/**/*")} == files


def test_finding_and_naming_one_loads_no_torch(small):
    code = (
        "import sys\n"
        "from nca_cli.models import find_model, recipe_for\n"
        "model = find_model('adm:' + sys.argv[1]); recipe_for(model, model.sampler)\n"
        "print({'torch', 'diffusers'} & set(sys.modules))\n"
    )
    run = subprocess.run([sys.executable, "-c", code, small], capture_output=True, text=True)
    assert run.stdout.strip() == "set()", run.stderr


def test_a_training_that_p2s_code_left_is_a_run(faces, tmp_path):
    """Its moving averages are taken, the optimiser's state is not, one TOML serves all."""
    flags = ""
    for step in (0, 1000):
        for number, name in enumerate(("model", "ema_0.9999_", "opt")):
            file = tmp_path / "run" / f"{name}{step:06d}.pt"
            file.parent.mkdir(exist_ok=True)
            save(file, random_adm(**P2 | SMALL, seed=step + number))
            flags = file.with_suffix(".toml").read_text()
            file.with_suffix(".toml").unlink()
    (tmp_path / "run" / "adm.toml").write_text(flags)
    asked = ["reconstruct", str(faces), "--run", str(tmp_path / "run"), "--t", "500",
             "--sampler", "one-step", "--store", str(tmp_path / "store")]  # fmt: skip
    result = CliRunner().invoke(app, asked)
    assert result.exit_code == 0, result.output
    made = [each for each in Store(tmp_path / "store").select() if not each.is_noise]
    assert {(each.step, each.checkpoint["weights"]) for each in made} == {(0, "ema"), (1000, "ema")}
    alone = tmp_path / "alone.pt"
    alone.write_bytes((tmp_path / "run" / "ema_0.9999_001000.pt").read_bytes())
    alone.with_suffix(".toml").write_text(flags)
    model = find(alone)
    weights = {each.recipe.weights for each in made if each.step == 1000}
    assert weights == {model.origin.identity(model)}


def test_it_runs_through_the_program_and_is_cached(small, faces, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    command = ["reconstruct", str(faces / "anna.png"), "--model", "adm:small.pt", "--t", "300,600"]
    for computed, sampler in ((2, ["--steps", "10"]), (0, ["--steps", "10"]),
                              (2, ["--sampler", "one-step"])):  # fmt: skip
        run = CliRunner().invoke(app, [*command, *sampler, "--json"])
        assert run.exit_code == 0, run.output
        assert json.loads(run.stdout)["computed"] == computed
    listed = CliRunner().invoke(app, ["grid", "-o", "grid.png", "--model", "small"])
    assert listed.exit_code == 0, listed.output
    folder = next((tmp_path / "nca-store").glob("small-*"))
    assert json.loads((folder / "model.json").read_text())["source"] == f"adm:{small}"


# -- the authors' own ------------------------------------------------------------------------------


def test_p2s_aliases_ask_for_the_file_that_their_authors_share(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError, match=r"share ffhq_p2\.pt by hand") as caught:
        find_model("p2-ffhq")
    assert "adm:PATH/ffhq_p2.pt" in caught.value.hint
    model = find_model("p2-ffhq", weights=False)
    assert (model.name, model.space.shape) == ("p2-ffhq", (3, 256, 256)), "noise needs no weights"
    assert not {row.name: row for row in list_models()}["p2-ffhq"].on_disk


def test_p2s_aliases_use_the_file_where_it_lies_in_the_working_folder(small, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    small.rename("ffhq_p2.pt")
    small.with_suffix(".toml").rename("ffhq_p2.toml")
    model = find_model("p2-ffhq")
    assert (model.name, model.source, model.alias) == ("p2-ffhq", "p2-ffhq", "p2-ffhq")
    assert recipe_for(model, model.sampler) == recipe_for(find("ffhq_p2.pt"), model.sampler)
    assert load_denoiser(model, device="cpu").shape == (3, 16, 16)
    assert {row.name: row for row in list_models()}["p2-ffhq"].on_disk


# -- what does not fit -----------------------------------------------------------------------------


def refused(action, *words):
    with pytest.raises(ModelError) as caught:
        action()
    line = f"{caught.value} {caught.value.hint or ''}"
    assert "\n" not in line
    for word in words:
        assert word in line


def test_another_architecture_is_refused_by_its_first_key_that_does_not_fit(small, own_cache):
    import torch

    settings = small.with_suffix(".toml")
    sound = settings.read_text()
    settings.write_text(sound.replace("num_channels = 32", "num_channels = 64"))
    shapes = "time_embed.0.weight is (128, 32), not (256, 64)"
    refused(lambda: load(small), "small.pt", shapes, "small.toml beside it")
    settings.write_text(sound.replace("attention_resolutions = [8]", "attention_resolutions = []"))
    refused(lambda: load(small), "the network has no input_blocks.3.1.norm.weight (32,)")
    settings.write_text(sound)
    table = torch.load(small, weights_only=True)
    torch.save({key: value for key, value in table.items() if key != "out.2.bias"}, small)
    refused(lambda: load(small), "there is no out.2.bias (6,)")
    torch.save({"conv_in.weight": torch.zeros(1)}, small)
    refused(lambda: load(small), "the network has no conv_in.weight (1,)")
    assert not list(own_cache.glob("adm/*")), "nothing half made is left"


class Malicious:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_a_pickle_that_would_execute_is_refused_and_not_executed(small, tmp_path):
    import torch

    torch.save({"out.2.bias": Malicious(tmp_path / "executed")}, small)
    refused(lambda: load(small), "small.pt holds more than tensors", "no code in it was run")
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("kept", [100, -1000])
def test_a_truncated_file_is_refused(small, kept):
    small.write_bytes(small.read_bytes()[:kept])
    refused(lambda: load(small), "small.pt", "damaged")


def test_a_file_that_is_not_there_is_named(tmp_path):
    refused(lambda: find(tmp_path / "none.pt"), "none.pt", "no such file")


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("num_chanels = 32", ["'num_chanels'", "did you mean num_channels?"]),
        ("num_channels = '32'", ["num_channels is '32', not of type int"]),
        ("num_channels = 0", ["below 1"]),
        ("num_channels = 40", ["multiples of 32"]),
        ("noise_schedule = 'sigmoid'", ["'sigmoid'", "linear, cosine"]),
        ("class_cond = true\nnum_classes = 0", ["num_classes is below 1"]),
        ("channel_mult = '0.5,1,1'", ["begin with 1"]),
        ("channel_mult = [1, 'two']", ["not a list of numbers"]),
        ("image_size = 100", ["channel_mult is needed"]),
        ("image_size = 100\nchannel_mult = [1, 1, 2, 2]", ["cannot be halved 3 times"]),
        ("num_head_channels = 96", ["evenly"]),
        ("num_head_channels = 0", ["must be -1 or above 0"]),
        ("diffusion_steps = 4000", ["rescale_timesteps"]),
        ("num_channels =", ["cannot read"]),
    ],
)
def test_a_configuration_that_means_nothing_is_refused(tmp_path, setting, words):
    (tmp_path / "net.pt").write_bytes(b"any")
    (tmp_path / "net.toml").write_text(setting)
    refused(lambda: find(tmp_path / "net.pt"), "net.toml", *words)


def test_lists_may_be_written_as_guided_diffusions_options_are(tmp_path):
    (tmp_path / "net.pt").write_bytes(b"any")
    (tmp_path / "net.toml").write_text("attention_resolutions = '32,16,8'\nchannel_mult = ''")
    config = find_checkpoint(f"adm:{tmp_path / 'net.pt'}").config
    assert config.unet.attention == (False, False, False, True, True, True)


def test_a_file_that_changed_between_finding_and_loading_is_not_used(small):
    model = find(small)
    time.sleep(0.01)
    save(small, random_adm(3, **P2 | SMALL))
    refused(lambda: load_denoiser(model, device="cpu"), "changed while it was read")
