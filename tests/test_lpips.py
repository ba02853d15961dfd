"""LPIPS in plain torch equals a plain reading of the paper's code, from every layout of weights."""

import hashlib
import json
import re
import shutil
import subprocess
import sys
from types import ModuleType

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from typer.testing import CliRunner

from nca_cli.cli import app
from nca_cli.errors import NcaError, UsageError
from nca_cli.images import sample_images
from nca_cli.metrics import Settings, lpips, measure
from nca_cli.metrics.lpips import lpips_metrics
from nca_cli.metrics.registry import wanted_metrics

CHANNELS = {"alex": (64, 192, 384, 256, 256), "squeeze": (64, 128, 256, 384, 384, 512, 512)}
SLICES = {"alex": (2, 5, 8, 10, 12), "squeeze": (2, 5, 8, 10, 11, 12, 13)}
"""Where the lpips package cuts torchvision's `features`."""


class Fire(nn.Module):
    """torchvision's fire module."""

    def __init__(self, inputs, squeeze, expand):
        super().__init__()
        self.squeeze = nn.Conv2d(inputs, squeeze, 1)
        self.expand1x1 = nn.Conv2d(squeeze, expand, 1)
        self.expand3x3 = nn.Conv2d(squeeze, expand, 3, padding=1)

    def forward(self, x):
        x = self.squeeze(x).relu()
        return torch.cat([self.expand1x1(x).relu(), self.expand3x3(x).relu()], 1)


def features(net):
    """torchvision's `alexnet().features` and `squeezenet1_1().features`, up to the last tap."""
    torch.manual_seed(0)
    if net == "alex":
        return nn.Sequential(
            nn.Conv2d(3, 64, 11, 4, 2), nn.ReLU(), nn.MaxPool2d(3, 2),
            nn.Conv2d(64, 192, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2),
            nn.Conv2d(192, 384, 3, padding=1), nn.ReLU(),
            nn.Conv2d(384, 256, 3, padding=1), nn.ReLU(),
            nn.Conv2d(256, 256, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, 2),
        )  # fmt: skip
    pool = {"kernel_size": 3, "stride": 2, "ceil_mode": True}
    return nn.Sequential(
        nn.Conv2d(3, 64, 3, 2), nn.ReLU(), nn.MaxPool2d(**pool),
        Fire(64, 16, 64), Fire(128, 16, 64), nn.MaxPool2d(**pool),
        Fire(128, 32, 128), Fire(256, 32, 128), nn.MaxPool2d(**pool),
        Fire(256, 48, 192), Fire(384, 48, 192), Fire(384, 64, 256), Fire(512, 64, 256),
    )  # fmt: skip


def lins(net):
    """Non-negative weights per channel, as the lpips package keeps them."""
    torch.manual_seed(1)
    return {
        f"lin{k}.model.1.weight": torch.rand(1, count, 1, 1)
        for k, count in enumerate(CHANNELS[net])
    }


def slices(net):
    """The names of the lpips package's whole module: `net.slice2.3.weight`."""
    for name, tensor in features(net).state_dict().items():
        layer = int(name.split(".")[0])
        number = next(k for k, end in enumerate(SLICES[net], 1) if layer < end)
        yield f"net.slice{number}.{name}", tensor


def distance(net, x, y):
    """LPIPS as its authors' code goes, layer after layer."""
    network, weights = features(net).eval(), list(lins(net).values())
    shift = torch.tensor([-0.030, -0.088, -0.188])[None, :, None, None]
    scale = torch.tensor([0.458, 0.448, 0.450])[None, :, None, None]
    x, y = (torch.from_numpy(np.clip(each, -1, 1))[None].float() for each in (x, y))
    x, y, start, total = (x - shift) / scale, (y - shift) / scale, 0, 0.0
    with torch.no_grad():
        for end, weight in zip(SLICES[net], weights, strict=True):
            x, y, start = network[start:end](x), network[start:end](y), end
            unit_x, unit_y = (z / (z.pow(2).sum(1, keepdim=True).sqrt() + 1e-10) for z in (x, y))
            total += nn.functional.conv2d((unit_x - unit_y) ** 2, weight).mean().item()
    return total


@pytest.fixture
def pair():
    rng = np.random.default_rng(0)
    x0 = rng.uniform(-1, 1, (3, 70, 64)).astype(np.float32)
    return x0, x0 + 0.4 * rng.standard_normal(x0.shape).astype(np.float32)


def files(folder, net, layout):
    """Weights in one of the layouts that are about."""
    plain = {f"features.{name}": t for name, t in features(net).state_dict().items()}
    plain["classifier.1.weight"] = torch.zeros(2, 2)
    whole = {**dict(slices(net)), **lins(net), "scaling_layer.shift": torch.zeros(1, 3, 1, 1)}
    if layout == "torchvision and lpips":
        torch.save(plain, folder / "a.pth")
        torch.save(lins(net), folder / "b.pth")
        return [folder / "a.pth", folder / "b.pth"]
    if layout == "safetensors":
        save_file({**plain, **lins(net)}, folder / "a.safetensors")
        return [folder / "a.safetensors"]
    if layout == "state_dict inside":
        whole = {"state_dict": whole}
    torch.save(whole, folder / "a.pth")
    return [folder / "a.pth"]


@pytest.mark.parametrize("layout", ["torchvision and lpips", "safetensors", "whole module",
                                    "state_dict inside"])  # fmt: skip
@pytest.mark.parametrize("net", ["alex", "squeeze"])
def test_the_distance_is_that_of_the_papers_code(tmp_path, pair, net, layout):
    (name, found), = lpips_metrics(files(tmp_path, net, layout)).items()  # fmt: skip
    assert name == f"lpips-{net}"
    assert found.function(*pair) == pytest.approx(distance(net, *pair), rel=1e-5)
    assert found.function(pair[0], pair[0]) == 0
    assert found.function(pair[1], pair[0]) == pytest.approx(found.function(*pair), rel=1e-5)


def test_both_networks_at_once_and_the_stamp_names_the_weights_not_the_file(tmp_path, pair):
    paths = []
    for number, (net, layout) in enumerate([("alex", "whole module"), ("squeeze", "safetensors")]):
        (tmp_path / str(number)).mkdir()
        paths += files(tmp_path / str(number), net, layout)
    both = lpips_metrics(paths)
    assert set(both) == {"lpips-alex", "lpips-squeeze"}
    (tmp_path / "2").mkdir()
    again = lpips_metrics(files(tmp_path / "2", "alex", "torchvision and lpips"))
    assert again["lpips-alex"].stamp == both["lpips-alex"].stamp
    assert both["lpips-alex"].stamp != both["lpips-squeeze"].stamp


def test_what_is_too_small_or_no_number_is_blank_and_grey_is_not(tmp_path, pair):
    found = lpips_metrics(files(tmp_path, "alex", "whole module"))["lpips-alex"].function
    assert np.isnan(found(pair[0][:, :31], pair[1][:, :31]))
    assert np.isfinite(found(pair[0][:, :32, :32], pair[1][:, :32, :32]))
    assert found(pair[0][:1], pair[1][:1]) == pytest.approx(
        found(*(np.repeat(x[:1], 3, axis=0) for x in pair)), rel=1e-5
    )
    pair[1][0, 0, 0] = np.nan
    assert np.isnan(found(*pair))


@pytest.mark.parametrize(("content", "reason"), [
    (b"no weights at all", "not a weights file"),
    ({"features.0.weight": torch.zeros(64, 3, 7, 7)}, "neither AlexNet nor SqueezeNet"),
    ({"something": torch.zeros(3)}, "neither AlexNet nor SqueezeNet"),
    ([1, 2], "no state dict"),
    (dict(slices("alex")), "without its lin weights"),
    (lins("squeeze"), "without its convolutions"),
])  # fmt: skip
def test_a_wrong_file_is_one_line_that_names_it(tmp_path, content, reason):
    path = tmp_path / "weights.pth"
    path.write_bytes(content) if isinstance(content, bytes) else torch.save(content, path)
    with pytest.raises(UsageError, match=reason) as caught:
        lpips_metrics([path])
    assert str(path) in caught.value.what
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [
    {"features.0.weight": torch.zeros(64, 3, 3, 3), "features.2.weight": torch.zeros(64, 64, 3, 3)},
    {f"lin{k}.model.1.weight": torch.zeros(1, count, 1, 1)
     for k, count in enumerate((64, 128, 256, 512, 512))},
], ids=["convolutions", "lin"])  # fmt: skip
def test_halves_of_vgg_are_not_taken_for_those_of_squeezenet(tmp_path, content):
    torch.save(content, tmp_path / "vgg.pth")
    with pytest.raises(UsageError, match="holds weights of VGG, which is not supported") as caught:
        lpips_metrics([tmp_path / "vgg.pth"])
    assert "squeezenet1_1" in caught.value.hint


def test_lin_weights_of_version_0_0_are_told_by_their_content(tmp_path, monkeypatch):
    """They have the names and shapes of 0.1."""
    torch.save(lins("alex"), tmp_path / "alex.pth")
    content = lins("alex")["lin1.model.1.weight"].numpy().tobytes()
    monkeypatch.setattr(lpips, "_OLD", (hashlib.sha256(content).hexdigest()[:16],))
    with pytest.raises(UsageError, match=r"alex\.pth: holds lin weights of LPIPS 0\.0") as caught:
        lpips_metrics([tmp_path / "alex.pth"])
    assert "v0.1" in caught.value.hint


# --- shift-tolerant -----------------------------------------------------------------------------


@pytest.fixture
def theirs(monkeypatch):
    """The authors' own code, with their weights. It imports what its AlexNet has no use of."""
    pytest.importorskip("stlpips_pytorch")
    for name in ("torchvision", "IPython", "torchsummary"):
        module = ModuleType(name)
        module.models = module.embed = module.summary = None
        monkeypatch.setitem(sys.modules, name, module)
    from stlpips_pytorch import stlpips

    return stlpips.LPIPS(net="alex", variant="shift_tolerant", verbose=False)


@pytest.mark.parametrize("shape", [(3, 70, 64), (3, 32, 32), (3, 129, 130)])
def test_the_shift_tolerant_distance_is_that_of_its_authors_code(theirs, shape):
    rng = np.random.default_rng(0)
    x0 = rng.uniform(-1, 1, shape).astype(np.float32)
    x0_hat = np.clip(x0 + 0.4 * rng.standard_normal(shape), -1, 1).astype(np.float32)
    (name, found), = lpips_metrics([lpips.stlpips_file()]).items()  # fmt: skip
    assert name == "stlpips-alex"
    with torch.no_grad():
        wanted = theirs(torch.from_numpy(x0)[None], torch.from_numpy(x0_hat)[None]).item()
    assert wanted > 0.001
    assert found.function(x0, x0_hat) == pytest.approx(wanted, rel=1e-5)
    assert found.function(x0, x0) == 0


def test_measuring_reads_the_package_and_runs_none_of_its_code(tmp_path):
    pytest.importorskip("stlpips_pytorch")
    place = ["--store", str(tmp_path / "store")]
    portrait = str(sample_images("portraits")[0])
    words = ["reconstruct", portrait, "--model", "wiener", "--size", "32", "--t", "300,600"]
    assert CliRunner().invoke(app, [*words, *place]).exit_code == 0
    code = (
        "import sys\n"
        "from nca_cli.metrics import Settings, measure_store\n"
        "from nca_cli.store import Store\n"
        f"values = measure_store(Store({place[1]!r}), names=['stlpips'],\n"
        "                       settings=Settings(lpips='stlpips', device='cpu'))\n"
        "print(len(values), {v.measure for v in values}, all(v.value > 0 for v in values))\n"
        "print([name for name in sys.modules if 'stlpips_pytorch' in name])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "2 {'stlpips-alex'} True\n[]\n"
    done = CliRunner().invoke(app, ["measure", "--lpips", "stlpips", "--device", "cpu", *place])
    assert done.exit_code == 0, done.stderr
    (kept,) = (tmp_path / "store").rglob("one-step*.metrics.json")
    for sample in json.loads(kept.read_text())["samples"]:
        assert sample["values"]["stlpips-alex"][""] > 0


def test_a_package_that_is_not_there_is_one_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "stlpips_pytorch", None)
    with pytest.raises(UsageError, match="stlpips-pytorch, which is not installed") as caught:
        wanted_metrics(None, Settings(lpips="stlpips"))
    assert "pip install --no-deps stlpips-pytorch" in caught.value.hint
    with pytest.raises(UsageError, match="unknown --lpips 'vgg'") as caught:
        wanted_metrics(None, Settings(lpips="vgg"))
    assert "--lpips-weights" in caught.value.hint


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UsageError, match="no such file"):
        lpips_metrics([tmp_path / "nothing.pth"])


def test_a_pickle_that_would_run_code_is_refused(tmp_path):
    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "sprung"), "w"))

    torch.save({"features.0.weight": Trap()}, tmp_path / "trap.pth")
    with pytest.raises(UsageError, match="not a weights file"):
        lpips_metrics([tmp_path / "trap.pth"])
    assert not (tmp_path / "sprung").exists()


def test_a_network_that_nobody_named_is_an_error_of_usage(pair):
    with pytest.raises(UsageError, match="network"):
        measure(*pair, ["lpips-alex"])


# --- deep features ------------------------------------------------------------------------------


def test_without_transformers_deep_features_are_one_clear_line(monkeypatch):
    import sys

    from nca_cli.metrics.features import feature_metrics

    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(NcaError, match="transformers, which is not installed") as caught:
        feature_metrics("some/backbone")
    assert "deep" in caught.value.hint


def test_features_are_the_cosine_of_each_layer(pair):
    """With a network of two layers in the place of one of transformers."""
    from types import SimpleNamespace

    from nca_cli.metrics.features import Cosines

    seen = []

    class Network:
        config = SimpleNamespace(image_size=32)

        def __call__(self, x, output_hidden_states):
            seen.append(x)
            return SimpleNamespace(hidden_states=[x, x.relu().mean(1)])

    scaling = {"image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.3, 0.4]}
    cosines = Cosines(Network(), scaling)
    assert cosines(pair[0], pair[0]) == pytest.approx({"0": 1, "1": 1})
    found = cosines(*pair)
    x, y = seen[-2:]
    assert x.shape == (1, 3, 32, 32)
    expected = nn.functional.cosine_similarity(x.flatten(), y.flatten(), 0)
    assert found["0"] == pytest.approx(float(expected), abs=1e-5)
    pair[1][0, 0, 0] = np.nan
    assert np.isnan(list(cosines(*pair).values())).all()


def test_a_vision_model_of_transformers_is_loaded_from_a_folder(tmp_path, pair):
    transformers = pytest.importorskip("transformers")
    from nca_cli.metrics.features import feature_metrics

    config = transformers.ViTConfig(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=16,
        image_size=32, patch_size=8,
    )  # fmt: skip
    transformers.ViTModel(config).save_pretrained(tmp_path / "tiny-vit")
    scaling = {"image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.3, 0.4]}
    (tmp_path / "tiny-vit" / "preprocessor_config.json").write_text(json.dumps(scaling))
    (name, found), = feature_metrics(str(tmp_path / "tiny-vit")).items()  # fmt: skip
    assert re.fullmatch("features-tiny-vit-[0-9a-f]{8}", name)
    assert found.function(pair[0], pair[0]) == pytest.approx({"0": 1, "1": 1, "2": 1})
    assert all(value < 1 for value in found.function(*pair).values())
    assert feature_metrics(str(tmp_path / "tiny-vit"))[name].stamp == found.stamp
    shutil.copytree(tmp_path / "tiny-vit", tmp_path / "copy" / "tiny-vit")
    assert list(feature_metrics(str(tmp_path / "copy" / "tiny-vit"))) == [name]
    transformers.ViTModel(config).save_pretrained(tmp_path / "tiny-vit")
    (other,) = feature_metrics(str(tmp_path / "tiny-vit"))
    assert other != name


def test_backbones_of_other_owners_and_revisions_have_names_of_their_own():
    from nca_cli.metrics.features import _named

    hub = ["a/vit-base", "b/vit-base", "b/vit-base@v2", "vit-base"]
    names = [_named(backbone, None)[0] for backbone in hub]
    assert names == ["a--vit-base", "b--vit-base", "b--vit-base@v2", "vit-base"]
    assert _named("a/vit-base", "c0ffee") == ("a--vit-base", "c0ffee")
