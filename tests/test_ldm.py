"""CompVis' checkpoints: equal to networks written independently, and refused where they do not fit.

What `nca` stores is compared with the reference: latents, one-step reconstructions and pictures.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import adm_reference
import numpy as np
import pytest
from adm_reference import P2, Adm, random_adm
from ldm_reference import FirstStage, random_first_stage, save_lightning, state_dict
from test_adm import peak
from typer.testing import CliRunner

from nca_cli.cli import app
from nca_cli.errors import ModelError
from nca_cli.models import find_model, list_models, load_autoencoder, load_denoiser, recipe_for
from nca_cli.models.checkpoints.file import find_checkpoint
from nca_cli.models.checkpoints.ldm import LdmConfig
from nca_cli.sampler_choice import SamplerChoice
from nca_cli.schedule import Schedule
from nca_cli.store import Store

LEVELS = (0, 250, 500, 999)
UNET = {
    **P2, "resblock_updown": False, "learn_sigma": False, "use_scale_shift_norm": False,
    "num_res_blocks": 2, "num_head_channels": 32, "num_channels": 32, "image_size": 16,
}  # fmt: skip
"""As guided-diffusion would say it, to the reference; `attention_resolutions` are sides."""
FFHQ = {
    "unet": {**UNET, "channel_mult": (1, 2, 3, 4), "attention_resolutions": (8, 4, 2)},
    "first_stage": {"ch": 32, "n_embed": 64, "num_res_blocks": 1, "resolution": 64},
    "toml": """
        image_size = 16
        [unet_config]
        model_channels = 32
        in_channels = 3
        [first_stage_config]
        n_embed = 64
        [first_stage_config.ddconfig]
        ch = 32
        num_res_blocks = 1
    """,
}
"""The networks of FFHQ in all but size."""
CHURCHES = {
    "unet": {
        **UNET, "channels": 4, "channel_mult": (1, 2), "attention_resolutions": (16, 8),
        "num_heads": 8, "num_head_channels": -1, "use_scale_shift_norm": True,
        "resblock_updown": True,
    },
    "first_stage": {"double_z": True, "z_channels": 4, "embed_dim": 4, "ch": 32, "ch_mult": (1, 2),
                    "resolution": 32, "attn_resolutions": (16,)},
    "toml": """
        image_size = 16
        channels = 4
        linear_end = 0.0155
        scale_factor = 0.22
        scale_by_std = true
        [unet_config]
        model_channels = 32
        attention_resolutions = [1, 2]
        channel_mult = [1, 2]
        num_heads = 8
        num_head_channels = -1
        use_scale_shift_norm = true
        resblock_updown = true
        [first_stage_config]
        embed_dim = 4
        [first_stage_config.ddconfig]
        double_z = true
        z_channels = 4
        ch = 32
        ch_mult = [1, 2]
        attn_resolutions = [16]
    """,
}  # fmt: skip
"""The networks of LSUN churches in all but size: a KL autoencoder, and latents of a measured scale.
One attention more, of the autoencoder's own."""


pytestmark = pytest.mark.usefixtures("one_thread", "own_cache")


def network(case, seed=0):
    return random_adm(seed, sharpness=1.0, **case["unet"])


def networks(case):
    return network(case), random_first_stage(**case["first_stage"])


def save(file, case=FFHQ, averaged=True, toml="", scale=None):
    """A checkpoint of seed 0, its moving average of seed 1. The file."""
    import torch

    unet, first_stage = networks(case)
    more = {} if scale is None else {"scale_factor": torch.tensor(scale)}
    average = network(case, 1) if averaged else None
    save_lightning(file, state_dict(unet, first_stage, average, **more))
    file.with_suffix(".toml").write_text(toml + case["toml"])
    return file


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A checkpoint like FFHQ's, with a moving average. Not to be changed."""
    return save(tmp_path_factory.mktemp("ffhq") / "faces.ckpt")


@pytest.fixture
def mine(made, tmp_path):
    """A copy of it."""
    (tmp_path / "mine.toml").write_text(made.with_suffix(".toml").read_text())
    (tmp_path / "mine.ckpt").write_bytes(made.read_bytes())
    return tmp_path / "mine.ckpt"


def find(file, **settings):
    return find_model(f"ldm:{file}", **settings)


def load(file):
    return load_denoiser(find(file), device="cpu")


def nca(*arguments):
    run = CliRunner().invoke(app, [*map(str, arguments)])
    assert run.exit_code == 0, run.output
    return run


def refused(action, *words):
    with pytest.raises(ModelError) as caught:
        action()
    line = f"{caught.value} {caught.value.hint or ''}"
    assert "\n" not in line
    for word in words:
        assert word in line


# -- the same networks -----------------------------------------------------------------------------


def compare(file, case, unet, schedule, scale, picture, store):
    """What `nca reconstruct` stores of one picture is what the reference says."""
    import torch

    nca("reconstruct", picture, "--model", f"ldm:{file}", "--t", "0,250,500,999",
        "--sampler", "one-step", "--store", store)  # fmt: skip
    noise, one_step = Store(store).select()
    first_stage = networks(case)[1]

    def equal(stored, expected, tolerance=1e-4):
        expected = expected[0].numpy()
        assert expected.std() > 0.05, "the test would hide an error"
        assert np.abs(stored - expected).max() < tolerance

    def tensor(array):
        return torch.from_numpy(np.array(array, np.float32))[None]

    with torch.inference_mode():
        z0 = noise.fixed("z0")
        equal(z0, first_stage.encode(tensor(noise.fixed("x0"))) * scale)
        equal(noise.fixed("x0_floor"), first_stage.decode(tensor(z0) / scale))
        for t in LEVELS:
            level, key = schedule.level(t), [(t, 0)]
            z_t, z0_hat = noise.read("z_t", key)[0], one_step.read("z0_hat", key)[0]
            epsilon = unet(tensor(z_t), torch.tensor([t]))
            expected = (tensor(z_t) - level.s * epsilon) / level.a
            equal(z0_hat, expected, 1e-4 * max(1, level.s / level.a))  # 1e-4 of ε at high noise
            decoded = first_stage.decode(tensor(z0_hat) / scale)
            equal(one_step.read("x0_hat", key)[0], decoded)


@pytest.mark.parametrize("averaged", [True, False])
def test_a_converted_checkpoint_gives_what_the_published_architecture_gives(
    averaged, faces, tmp_path
):
    """Of FFHQ's kind; with a moving average, its weights (of another seed) are those that count."""
    file = save(tmp_path / "faces.ckpt", averaged=averaged)
    unet = network(FFHQ, int(averaged))
    schedule = Schedule("scaled_linear", 0.0015, 0.0195, 1000)
    compare(file, FFHQ, unet, schedule, 1.0, faces / "anna.png", tmp_path / "store")


def test_a_kl_autoencoder_and_a_measured_scale_are_converted_as_well(faces, tmp_path):
    file = save(tmp_path / "churches.ckpt", CHURCHES, averaged=False, scale=0.22)
    schedule = Schedule("scaled_linear", 0.0015, 0.0155, 1000)
    unet = network(CHURCHES)
    compare(file, CHURCHES, unet, schedule, 0.22, faces / "anna.png", tmp_path / "store")


@pytest.mark.parametrize("case", [FFHQ, CHURCHES], ids=["ffhq", "churches"])
def test_in_double_precision_the_networks_differ_by_rounding_alone(case, tmp_path, monkeypatch):
    import torch

    file = save(tmp_path / "net.ckpt", case, averaged=False)
    unet, first_stage = (each.double() for each in networks(case))
    denoiser, coder = load(file)._network.double(), load_autoencoder(find(file), device="cpu")
    coder = coder._network.double()
    single = adm_reference.embedding
    monkeypatch.setattr(adm_reference, "embedding", lambda t, width: single(t, width).double())
    x = torch.randn(2, 3, *[case["first_stage"]["resolution"]] * 2).double()
    with torch.inference_mode():
        encoded = coder.encode(x)
        z = encoded.latents if hasattr(encoded, "latents") else encoded.latent_dist.mode()
        assert (z - first_stage.encode(x)).abs().max() < 1e-10
        assert (coder.decode(z).sample - first_stage.decode(z)).abs().max() < 1e-10
        for t in map(torch.tensor, LEVELS):
            assert (denoiser(z, t).sample - unet(z, t.expand(2))).abs().max() < 1e-10


def test_a_hundred_million_parameters_are_converted_within_the_memory_of_their_own_weights(
    tmp_path,
):
    """145 million, beside as many of which the average is: those that are not used cost nothing."""
    sizes = {"num_channels": 128, "channel_mult": (1, 2, 3, 4), "image_size": 64}
    flags = UNET | sizes | {"attention_resolutions": (8, 16, 32)}
    unet, average = Adm(**flags), Adm(**flags)
    first_stage = FirstStage()
    millions = sum(p.numel() for each in (unet, first_stage) for p in each.parameters()) / 1e6
    assert 140 < millions < 150
    file = save_lightning(tmp_path / "net.ckpt", state_dict(unet, first_stage, average))
    file.with_suffix(".toml").write_text("[unet_config]\nmodel_channels = 128")
    assert peak(f"ldm:{file}", millions, tmp_path / "second-cache") < 2.2


# -- what it is ------------------------------------------------------------------------------------


def test_without_a_configuration_beside_it_a_checkpoint_is_taken_for_that_of_ffhq(tmp_path):
    (tmp_path / "net.ckpt").write_bytes(b"any")
    model = find(tmp_path / "net.ckpt")
    assert model.space.schedule == Schedule("scaled_linear", 0.0015, 0.0195, 1000)
    assert (model.space.shape, model.space.resolution) == ((3, 64, 64), 256)
    assert (model.space.latent_scale, model.sampler) == (1.0, SamplerChoice("ddim", 50))
    recipe = recipe_for(model, model.sampler)
    assert (recipe.clip, recipe.final_alpha) == (None, "first")
    unet, first_stage = LdmConfig().unet, LdmConfig().first_stage_config
    assert unet.channels == (224, 448, 672, 896)
    assert unet.attention == (False, True, True, True)
    assert (first_stage.n_embed, first_stage.channels) == (8192, [128, 256, 512])
    assert {**FirstStage().flags}.items() >= {"embed_dim": 3, "ch_mult": (1, 2, 4)}.items()


def counts(file):
    """Whole millions of parameters of each network that a checkpoint's configuration describes."""
    from nca_cli.models.checkpoints.file import _shapes

    parts = find_checkpoint(file).config.parts()
    return {part: int(sum(map(np.prod, _shapes(config).values())) / 1e6)
            for part, config in parts.items()}  # fmt: skip


def test_networks_have_the_published_number_of_parameters(tmp_path):
    """274 million for FFHQ, 294 for LSUN churches (2112.10752, cut); 554 for ADM (2105.05233)."""
    text = (Path(__file__).parent.parent / "docs/checkpoints.md").read_text()
    adm, churches, *more = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    (improved,) = (each for each in more if "rescale_timesteps" in each)
    for name in ("faces.ckpt", "churches.ckpt", "imagenet.pt", "cifar.pt"):
        (tmp_path / name).write_bytes(b"any")
    (tmp_path / "churches.toml").write_text(churches)
    (tmp_path / "imagenet.toml").write_text(adm)
    (tmp_path / "cifar.toml").write_text(improved)
    assert counts(f"ldm:{tmp_path / 'faces.ckpt'}") == {"unet": 274, "vqvae": 55}
    assert counts(f"ldm:{tmp_path / 'churches.ckpt'}") == {"unet": 294, "vae": 83}
    assert counts(f"adm:{tmp_path / 'imagenet.pt'}") == {"unet": 553}, "553.8"
    assert counts(f"adm:{tmp_path / 'cifar.pt'}") == {"unet": 52}, "2102.09672, table 2"


def test_the_moving_average_is_used_unless_told_otherwise_and_noted(mine):
    def epsilon(file):
        import torch

        denoiser = load(file)
        with torch.inference_mode():
            x = torch.ones(1, 3, 16, 16)
            return denoiser.notes, denoiser._network(x, torch.tensor([500])).sample

    notes, averaged = epsilon(mine)
    before = recipe_for(find(mine), SamplerChoice())
    assert any("moving average of training (model_ema)" in note for note in notes)
    settings = mine.with_suffix(".toml")
    settings.write_text("use_ema = false\n" + settings.read_text())
    notes, plain = epsilon(mine)
    assert not any("model_ema" in note for note in notes)
    assert not np.allclose(averaged, plain, atol=0.01)
    assert recipe_for(find(mine), SamplerChoice()) != before, "its identity says which weights"
    settings.write_text(settings.read_text().replace("use_ema = false", ""))
    save(mine, averaged=False)
    notes, last = epsilon(mine)
    assert any("no moving average" in note for note in notes), "no fallback without a word"
    assert np.allclose(last, plain)


def test_the_notes_are_told_through_the_program(made, faces, tmp_path):
    run = nca("reconstruct", faces / "anna.png", "--model", f"ldm:{made}", "--t", 500,
              "--sampler", "one-step", "--store", tmp_path / "store")  # fmt: skip
    assert "moving average of training" in " ".join(run.stderr.split())


def test_noise_needs_no_weights_of_the_network_but_the_autoencoder(made, faces, tmp_path):
    nca(
        "noise", faces / "anna.png", "--model", f"ldm:{made}", "--t", 500, "--store", tmp_path / "s"
    )
    noise = Store(tmp_path / "s").select()[0]
    assert {"z0", "z_t", "x0_floor"} <= noise.datasets.keys()
    assert find(made, weights=False).space == find(made).space


def test_a_second_run_computes_nothing_and_loads_no_torch(made, faces, tmp_path):
    command = ["reconstruct", faces / "anna.png", "--model", f"ldm:{made}", "--t", "300",
               "--sampler", "one-step", "--store", tmp_path / "store", "--json"]  # fmt: skip
    assert json.loads(nca(*command).stdout)["computed"] == 1
    code = (
        "import sys\n"
        "from typer.testing import CliRunner\n"
        "from nca_cli.cli import app\n"
        "run = CliRunner().invoke(app, sys.argv[1:])\n"
        "assert run.exit_code == 0, run.output\n"
        "import json; print(json.loads(run.stdout)['computed'])\n"
        "print({'torch', 'diffusers'} & set(sys.modules))\n"
    )
    arguments = [str(word) for word in command]
    run = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True)
    assert run.stdout.split() == ["0", "set()"], run.stderr


def test_other_bytes_and_another_configuration_are_other_spaces_and_weights(mine, made, tmp_path):
    same = find(mine)
    assert same.space == find(made).space
    assert same.revision == find(made).revision
    settings = mine.with_suffix(".toml")
    settings.write_text("monitor = 'val/loss'\n" + settings.read_text())
    assert find(mine).revision == same.revision, "an idle flag changes nothing"
    settings.write_text(settings.read_text().replace("[unet", "linear_end = 0.02\n[unet", 1))
    assert find(mine).revision != same.revision
    assert find(mine).space != same.space


def test_compvis_own_file_name_says_nothing_so_its_folder_names_the_model(mine, tmp_path):
    folder = tmp_path / "ffhq256"
    folder.mkdir()
    mine.rename(folder / "model.ckpt")
    mine.with_suffix(".toml").rename(folder / "model.toml")
    assert find(folder / "model.ckpt").name == "ffhq256"
    from nca_cli.models.find import stored_as

    assert stored_as(f"ldm:{folder}/model.ckpt") == ("ffhq256", None, f"ldm:{folder}/model.ckpt")


def test_ldm_ffhq_asks_for_the_file_where_compvis_script_puts_it(mine, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for weights in (True, False):
        refused(
            lambda weights=weights: find_model("ldm-ffhq", weights=weights),
            "models/ldm/ffhq256/model.ckpt by hand", "ffhq.zip", "ldm:PATH/model.ckpt",
        )  # fmt: skip
    assert not {row.name: row for row in list_models()}["ldm-ffhq"].on_disk
    folder = Path("models/ldm/ffhq256")
    folder.mkdir(parents=True)
    mine.rename(folder / "model.ckpt")
    mine.with_suffix(".toml").rename(folder / "model.toml")
    model = find_model("ldm-ffhq")
    assert (model.name, model.alias) == ("ldm-ffhq", "ldm-ffhq")
    assert load_denoiser(model, device="cpu").shape == (3, 16, 16)
    assert {row.name: row for row in list_models()}["ldm-ffhq"].on_disk


def test_models_toml_takes_one_by_its_path_from_the_files_folder(mine, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("models.toml").write_text("[faces]\nmodel = 'ldm:mine.ckpt'\nsteps = 20\n")
    model = find_model("faces")
    assert (model.checkpoint, model.sampler.steps) == (mine, 20)


# -- the files of Lightning ------------------------------------------------------------------------


@pytest.mark.parametrize("package", ["pytorch_lightning", "lightning.pytorch"])
def test_a_callback_that_the_checkpoint_names_is_passed_over_and_not_imported(package, tmp_path):
    unet, first_stage = networks(FFHQ)
    callback = f"{package}.callbacks.model_checkpoint"
    file = save_lightning(tmp_path / "net.ckpt", state_dict(unet, first_stage), callback)
    assert callback.encode() in file.read_bytes(), "the test would hide an error"
    (tmp_path / "net.toml").write_text(FFHQ["toml"])
    assert load(file).shape == (3, 16, 16)
    assert package.partition(".")[0] not in sys.modules


def test_any_other_class_in_it_is_refused_by_its_name(tmp_path):
    unet, first_stage = networks(FFHQ)
    file = save_lightning(tmp_path / "net.ckpt", state_dict(unet, first_stage), "somewhere.else")
    (tmp_path / "net.toml").write_text(FFHQ["toml"])
    refused(lambda: load(file), "net.ckpt", "somewhere.else.ModelCheckpoint", "no code in it")


def test_tensors_without_lightnings_wrapping_are_read_too(mine):
    import torch

    unet, first_stage = networks(FFHQ)
    torch.save(state_dict(unet, first_stage), mine)
    assert load(mine).shape == (3, 16, 16)


# -- what does not fit -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("flag", "words"),
    [
        ("model_channels = 32", ["model_ema.diffusion_modeltime_embed0weight is (128, 32)",
                                 "not (256, 64)", "mine.toml beside it"]),
        ("n_embed = 64", ["first_stage_model.quantize.embedding.weight is (64, 3), not (128, 3)"]),
        ("num_res_blocks = 1", ["first_stage_model.encoder.down"]),
    ],
)  # fmt: skip
def test_another_architecture_is_refused_by_its_first_key_that_does_not_fit(mine, flag, words):
    settings = mine.with_suffix(".toml")
    name, _, value = flag.rpartition(" ")
    settings.write_text(settings.read_text().replace(flag, f"{name} {2 * int(value)}"))
    refused(lambda: load(mine), "mine.ckpt", *words)


def test_a_checkpoint_of_another_program_is_refused_by_what_it_lacks(mine, own_cache):
    import torch

    torch.save(network(FFHQ).state_dict(), mine)
    refused(lambda: load(mine), "there is no model.diffusion_model.time_embed.0.weight (128, 32)")
    assert not list(own_cache.glob("ldm/*")), "nothing half made is left"


def test_a_scale_that_training_measured_has_to_be_the_one_that_is_used(mine):
    save(mine, scale=0.2275)
    refused(lambda: load(mine), "scale_factor is 0.2275", "not 1", "mine.toml")


@pytest.mark.parametrize(
    ("toml", "words"),
    [
        ("conditioning_key = 'crossattn'", ["'conditioning_key'", "which is not a known flag"]),
        ("[unet_config]\nmodel_chanels = 32", ["'unet_config.model_chanels'", "model_channels?"]),
        ("[unet_config]\ncontext_dim = 512",
         ["'unet_config.context_dim'", "which is not a known flag"]),
        ("unet_config = 3", ["unet_config is 3, not of type table"]),
        ("[first_stage_config.ddconfig]\nch = 1.5",
         ["first_stage_config.ddconfig.ch is 1.5, not of type int"]),
        ("[first_stage_config.ddconfig]\nch = 40", ["ch·ch_mult must be multiples of 32"]),
        ("[first_stage_config.ddconfig]\nch_mult = []", ["ch_mult is empty"]),
        ("[first_stage_config.ddconfig]\ndouble_z = true\nz_channels = 4", ["KL autoencoder"]),
        ("parameterization = 'v'", ["'v'", "eps, x0"]),
        ("channels = 4", ["channels is 4, embed_dim 3"]),
        ("scale_factor = 0", ["scale_factor is not above 0"]),
        ("linear_start = 0.03", ["linear_start"]),
        ("timesteps = 2", ["timesteps is below 20"]),
        ("image_size = 20", ["image_size 20 cannot be halved 3 times"]),
        ("[unet_config]\nnum_head_channels = -1", ["a size or count is below 1"]),
    ],
)  # fmt: skip
def test_a_configuration_that_means_nothing_is_refused(tmp_path, toml, words):
    (tmp_path / "net.ckpt").write_bytes(b"any")
    (tmp_path / "net.toml").write_text(toml)
    refused(lambda: find(tmp_path / "net.ckpt"), "net.toml", *words)
