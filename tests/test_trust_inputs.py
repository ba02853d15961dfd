"""Odd inputs: a limit or a refusal, one line each, and what else was asked for is done."""

from __future__ import annotations

import json
import os
import shutil
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pipelines
import pytest
from PIL import Image
from stores import full_store
from typer.testing import CliRunner

from nca_cli.cli import app
from nca_cli.errors import ImageError, UsageError
from nca_cli.images import load_image
from nca_cli.imports import Pair, import_pairs
from nca_cli.imports.pairs import parse_level
from nca_cli.recipe import parse_list

WIENER = ["--model", "wiener", "--size", "16"]


@pytest.fixture(autouse=True)
def own_folder(tmp_path, faces, monkeypatch):
    monkeypatch.chdir(tmp_path)


def run(*words):
    return CliRunner().invoke(app, [*map(str, words)])


def one_line(done, code):
    """The error with which a command ended."""
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert done.exit_code == code, done.output
    assert len(errors) == 1, done.stderr
    assert "unexpected" not in errors[0]
    return errors[0]


MOST = """
try:
    print(re.search("VmHWM:\\\\s*(.*) kB", open("/proc/self/status").read())[1])
except OSError:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""
"""Of memory. On Linux what a parent had counts in the second number."""


def peak(code, *words):
    """What a process printed, and the memory that it took at most, in bytes."""
    script = f"import re, resource, sys\n{code}\n{MOST}"
    done = subprocess.run([sys.executable, "-c", script, *map(str, words)], check=True,
                          capture_output=True, text=True)  # fmt: skip
    *said, kilobytes = done.stdout.splitlines()
    return " ".join(said), int(kilobytes) * (1 if sys.platform == "darwin" else 1024)


# -- lists -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("option", ["--t", "--seed", "--log-snr"])
@pytest.mark.parametrize(
    "value", ["0:100000000000", "0:9999999999999999999999", "0:600000,0:600001"]
)
@pytest.mark.parametrize("command", ["noise", "ls"])
def test_a_list_without_an_end_is_one_line(option, value, command):
    if (command, option) != ("ls", "--log-snr"):
        words = [*WIENER, "faces"] if command == "noise" else []
        assert "names more than 1,000,000 numbers" in one_line(
            run(command, option, value, *words), 2
        )


@pytest.mark.parametrize("value", ["1e400", "-1e400", "1e31", "9" * 400, "1" + "0" * 4999])
@pytest.mark.parametrize("option", ["--t", "--seed", "--log-snr"])
def test_a_number_without_an_end_is_one_line(option, value):
    line = one_line(run("noise", "faces", *WIENER, f"{option}={value}"), 2)
    assert len(line) < 200


def test_a_million_numbers_are_a_list_and_levels_times_seeds_have_the_same_limit():
    assert parse_list(["0:1000000"]) == list(range(1_000_000))
    line = one_line(run("noise", "faces", *WIENER, "--t", "0:1000", "--seed", "0:1001"), 2)
    assert "1,000 levels of 1,001 seeds are more than 1,000,000 samples" in line


@pytest.mark.parametrize("text", ["0:99999999999", "0:5", "1,2", "1e400", ""])
def test_a_cell_is_one_level(text):
    with pytest.raises(UsageError):
        parse_level(text)


@pytest.mark.parametrize("words", [["--zoom", "0,0,1e309,1"], ["--zoom", "1e309,0,1,1"],
                                   ["--zoom", "0,0,1e29,1e29"]])  # fmt: skip
def test_a_zoom_without_an_end_is_one_line(words):
    full_store(Path("nca-store"))
    one_line(run("grid", *words), 2)


# -- pictures --------------------------------------------------------------------------------------


def png(path, width, height, depth, kind, row):
    """A PNG that is written row by row, so that it may be larger than memory."""

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(
            ">I", zlib.crc32(name + data))  # fmt: skip

    packer = zlib.compressobj(1)
    packed = b"".join(packer.compress(b"\0" + row) for _ in range(height)) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    start = b"\x89PNG\r\n\x1a\n"
    path.write_bytes(start + chunk(b"IHDR", header) + chunk(b"IDAT", packed) + chunk(b"IEND", b""))
    return path


LOAD = """
from nca_cli.images import load_image
picture = load_image(sys.argv[1], 16, sys.argv[2])
print(*picture.pixels[:, 8, 8])
"""


@pytest.mark.parametrize(
    ("depth", "kind", "pixel", "bytes_each"),
    [(8, 2, b"\x40\x80\xc0", 4), (8, 6, b"\x40\x80\xc0\x80", 4), (16, 0, b"\x80\x80", 2),
     (8, 4, b"\x40\x80", 4)],
)  # fmt: skip
def test_a_large_picture_takes_one_byte_a_pixel_beside_what_is_decoded(
    tmp_path, depth, kind, pixel, bytes_each
):
    side = 5000
    path = png(tmp_path / "large.png", side, side, depth, kind, pixel * side)
    _, usual = peak("from nca_cli.images import load_image\nfrom PIL import Image")
    for fit in ("crop", "pad"):
        said, most = peak(LOAD, path, fit)
        assert most - usual < (bytes_each + 1) * side**2 + 50e6
        small = png(tmp_path / "small.png", 16, 16, depth, kind, pixel * 16)
        assert said == " ".join(map(str, load_image(small, 16).pixels[:, 8, 8]))


@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "L", "P", "I;16", "CMYK"])
@pytest.mark.parametrize("channels", [1, 3])
def test_strips_change_no_pixel(tmp_path, monkeypatch, mode, fit, channels):
    random = np.random.default_rng(0)
    if mode == "I;16":
        image = Image.fromarray(random.integers(0, 65536, (37, 53), dtype=np.uint16))
    else:
        bands = len(Image.new(mode, (1, 1)).getbands())
        pixels = random.integers(0, 256, (37, 53, bands), dtype=np.uint8)
        if mode in ("RGBA", "LA"):
            pixels[:20, :, -1] = 255
        image = (Image.fromarray(pixels[..., :3].repeat(3, -1)[..., :3]).convert("P")
                 if mode == "P" else Image.fromarray(pixels.squeeze(), mode))  # fmt: skip
    path = tmp_path / f"picture.{'tiff' if mode == 'CMYK' else 'png'}"
    image.save(path)
    whole = load_image(path, 16, fit, channels)
    monkeypatch.setattr("nca_cli.images.load.LARGE", 60)
    monkeypatch.setattr("nca_cli.images.load.STRIP", 60)  # a row at a time
    strips = load_image(path, 16, fit, channels)
    np.testing.assert_array_equal(whole.pixels, strips.pixels)
    assert (whole.size, whole.notes) == (strips.size, strips.notes)


def test_a_picture_for_which_memory_does_not_suffice_is_named_and_the_rest_done(faces):
    """Within the limit of pixels, in a single row: Pillow has no memory for it."""
    png(faces / "wide.png", 100_000_000, 1, 8, 2, bytes(300_000_000))
    done = run("noise", "faces", *WIENER, "--t", "500")
    assert "wide.png: too large for the memory" in one_line(done, 1)
    assert len(list(Path("nca-store").rglob("noise.h5"))) == 3
    with pytest.raises(ImageError, match="too large for the memory"):
        load_image(faces / "wide.png", 16, "stretch")


def test_a_box_of_jpeg_2000_takes_no_memory_for_what_it_promises(tmp_path):
    Image.new("RGB", (16, 16)).save(tmp_path / "sound.jp2")
    data = (tmp_path / "sound.jp2").read_bytes()
    start = data.index(b"jp2h") - 4
    path = tmp_path / "box.jp2"
    path.write_bytes(data[:start] + struct.pack(">I", 0xC1000000) + data[start + 4 :])
    code = """
resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))
from nca_cli.images import load_image
from nca_cli.errors import ImageError
try:
    load_image(sys.argv[1], 16)
except ImageError as error:
    print(error)
"""
    assert "damaged or unsupported" in peak(code, path)[0]


# -- imports ---------------------------------------------------------------------------------------


def headers():
    """Headers of .npy files that NumPy reads as Python."""
    yield "{'descr'\xff: '<f4', 'fortran_order': Fal\x7f\0"
    yield "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 999999999, 999999999), }"
    yield "{'descr': '<f4', 'fortran_order': False, 'shape': (3, -1, 16), }"
    yield "{'descr': '<f4', 'fortran_order': False, 'shape': " + "(" * 200 + ", }"
    yield "{'descr': [('a', '<f4')] * 3}"
    yield "\0" * 60
    yield ""


@pytest.mark.parametrize("header", headers())
def test_a_broken_array_is_named_and_the_rest_done(faces, header):
    text = header.encode("latin-1") + b"\n"
    Path("bad.npy").write_bytes(b"\x93NUMPY\1\0" + struct.pack("<H", len(text)) + text + bytes(99))
    Path("pairs.csv").write_text("t,original,reconstruction\n100,faces/anna.png,bad.npy\n"
                                 "0:99999999999,faces/anna.png,faces/anna.png\n"
                                 "200,faces/anna.png,faces/ben.png\n")  # fmt: skip
    done = run("import", "--model", "other", "--csv", "pairs.csv")
    assert done.exit_code == 1
    assert "unexpected" not in done.stderr
    assert "pairs.csv:2: bad.npy: " in done.stderr
    assert "pairs.csv:3: t '0:99999999999' is not one level" in done.stderr
    assert "1 imported" in done.stderr
    found = import_pairs([Pair(1, "faces/anna.png", "bad.npy")], model="x", store="s")
    assert len(found.errors) == 1


# -- configurations --------------------------------------------------------------------------------

PART = "unet/config.json"
ODD = [
    (PART, {"_class_name": ["UNet2DModel"]}, "_class_name"),
    (PART, {"norm_num_groups": 0}, "norm_num_groups"),
    (PART, {"block_out_channels": [32, -1]}, "block_out_channels"),
    (PART, {"block_out_channels": []}, "block_out_channels"),
    (PART, {"layers_per_block": 10**6}, "layers_per_block"),
    (PART, {"layers_per_block": 900}, PART),
    (PART, {"block_out_channels": [32, 65536]}, PART),
    (PART, {"layers_per_block": -1}, "layers_per_block"),
    (PART, {"attention_head_dim": 0}, "attention_head_dim"),
    (PART, {"mid_block_type": float("inf")}, "mid_block_type"),
    (PART, {"time_embedding_type": {}}, "time_embedding_type"),
    (PART, {"up_block_types": [True, "UpBlock2D"]}, "up_block_types"),
    (PART, {"act_fn": "none such"}, PART),
    (PART, {"sample_size": 10**5}, "100000"),
    (PART, {"norm_eps": float("nan")}, "norm_eps"),
    ("scheduler/scheduler_config.json", {"_class_name": {"a": 1}}, "_class_name"),
    ("scheduler/scheduler_config.json", {"num_train_timesteps": 10**9}, "num_train_timesteps"),
    ("model_index.json", {"unet": ["diffusers", ["UNet2DModel"]]}, "unet"),
]  # fmt: skip


@pytest.mark.parametrize(("file", "change", "named"), ODD)
def test_a_configuration_that_cannot_be_is_one_line_that_names_it(
    pixel_pipeline, file, change, named
):
    shutil.copytree(pixel_pipeline, "net")
    config = Path("net", file)
    config.write_text(json.dumps(json.loads(config.read_text()) | change))
    done = run("reconstruct", "faces/anna.png", "--model", "./net", "--t", "500", "-s", "one-step")
    assert named in one_line(done, 1)


@pytest.mark.parametrize(
    "text", ["[" * 100_000, "{" * 9, '{"a": ' + "9" * 5000 + "}", "[]", "\xff"]
)
def test_a_file_that_is_no_configuration_is_one_line(pixel_pipeline, text):
    shutil.copytree(pixel_pipeline, "net")
    Path("net", PART).write_bytes(text.encode("latin-1"))
    done = run("reconstruct", "faces/anna.png", "--model", "./net", "--t", "500")
    assert "config.json" in one_line(done, 1)


def test_a_network_that_is_larger_than_its_weights_takes_no_memory(pixel_pipeline):
    shutil.copytree(pixel_pipeline, "net")
    pipelines.edit_json(Path("net", PART), block_out_channels=[32768, 65536], norm_num_groups=32)
    code = """
from nca_cli.models import find_model, load_denoiser
from nca_cli.errors import NcaError
try:
    load_denoiser(find_model("./net"), device="cpu")
except NcaError as error:
    print(error)
"""
    said, most = peak(code)
    assert "describes more than its weights hold" in said
    assert most < 1.5e9


# -- names and paths -------------------------------------------------------------------------------

LONG = "n" * 5000


@pytest.mark.parametrize(
    "name", [LONG, f"./{LONG}", f"adm:{LONG}", f"adm:{LONG}.pt", "a\0b", "~none/x"]
)
def test_a_name_that_is_no_path_is_one_line(name):
    one_line(run("reconstruct", "faces", "--model", name, "--t", "500", "--offline"), 1)


@pytest.mark.parametrize("model", [LONG, f"/{LONG}", f"adm:{LONG}", f"a/{LONG}"])
def test_a_long_path_in_models_toml_is_one_line(monkeypatch, model):
    Path("models.toml").write_text(f'[mine]\nmodel = "{model}"\n')
    assert "mine" in run("models").stdout
    one_line(run("reconstruct", "faces", "--model", "mine", "--t", "500", "--offline"), 1)


@pytest.mark.parametrize("words", [["import", "--model", "m", "--t", "1", "faces/anna.png", LONG],
                                   ["import", "--model", "m", "--csv", LONG],
                                   ["noise", LONG], ["report", "--labels", LONG],
                                   ["report", "--probe", LONG], ["grid", "-o", f"{LONG}.png"],
                                   ["report", "--csv", LONG], ["pack", "-o", f"{LONG}.h5"],
                                   ["measure", "--lpips-weights", LONG],
                                   ["measure", "--backbone", LONG, "--offline"],
                                   ["show", LONG], ["export", "-o", LONG]])  # fmt: skip
def test_a_path_that_is_too_long_is_one_line(words):
    full_store(Path("nca-store"))
    done = run(*words)
    assert done.exit_code in (1, 2)
    assert "unexpected" not in done.stderr
    assert "error: " in done.stderr


@pytest.mark.parametrize("steps", [2**31, 10**7])
def test_a_schedule_of_more_levels_than_any_takes_no_memory(steps):
    config = {"num_train_timesteps": steps, "beta_schedule": "scaled_linear"}
    Path("levels.json").write_text(json.dumps(config))
    words = ["--schedule", "levels.json", "--t", "1", "faces/anna.png", "faces/ben.png"]
    assert "levels.json" in one_line(run("import", "--model", "m", *words), 2)


# -- probes ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(20))
def test_a_damaged_probe_is_one_line(seed):
    from nca_cli.concepts.probe import SHIPPED

    random = np.random.default_rng(seed)
    data = bytearray(SHIPPED.read_bytes())
    if seed % 2:
        data = data[: random.integers(len(data))]
    else:
        for place in random.integers(0, len(data), 20):
            data[place] = random.integers(256)
    Path("damaged.npz").write_bytes(data)
    full_store(Path("nca-store"))
    assert "damaged.npz: not a probe" in one_line(run("report", "--probe", "damaged.npz"), 1)


def test_a_probe_whose_parts_do_not_fit_is_one_line():
    from nca_cli.concepts.probe import SHIPPED

    with np.load(SHIPPED) as file:
        arrays = dict(file)
    np.savez("misfit.npz", **arrays | {"weights": arrays["weights"][:5]})
    full_store(Path("nca-store"))
    assert "misfit.npz: not a probe" in one_line(run("report", "--probe", "misfit.npz"), 1)


# -- what is kept ----------------------------------------------------------------------------------


@pytest.mark.parametrize("quiet", [[], ["-q"]])
def test_measures_of_which_none_can_be_kept_are_a_failure(quiet):
    full_store(Path("nca-store"))
    assert run("pack", "-o", "whole.h5").exit_code == 0
    line = one_line(run("measure", "--store", "whole.h5", *quiet), 1)
    assert "whole.h5: values cannot be kept in a packed store" in line
    assert run("measure", *quiet).exit_code == 0


@pytest.mark.parametrize("umask", [0o022, 0o002, 0o077])
def test_what_a_checkpoint_is_converted_into_has_the_rights_that_the_umask_gives(own_cache, umask):
    import test_refused
    import torch

    torch.save(test_refused.tensors("adm"), "net.pt")
    Path("net.toml").write_text(test_refused.TOML["adm"])
    before = os.umask(umask)
    try:
        words = ["faces/anna.png", "--model", "adm:net.pt", "--t", "500", "-s", "one-step"]
        assert run("reconstruct", *words).exit_code == 0
    finally:
        os.umask(before)
    files = [file for file in (own_cache / "adm").rglob("*") if file.is_file()]
    assert {file.stat().st_mode & 0o777 for file in files} == {0o666 & ~umask}
