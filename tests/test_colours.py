"""What a file's numbers mean: colour profiles and 12 bits, and who an image is by that."""

from __future__ import annotations

import hashlib
import io
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms
from profiles import ADOBE_RGB, DISPLAY_P3, LINEAR, SRGB, grey_profile, srgb_encoded

from nca_cli.errors import ImageError
from nca_cli.images import find_images, image_digest, load_image, to_uint8

CONVERTED = "colours converted to sRGB by its profile"
UNFIT = "its colour profile does not match its pixels and is ignored"


def picture(side: int = 24) -> np.ndarray:
    """Every fourth colour is grey; the rest are anything."""
    pixels = np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)
    pixels[::4] = pixels[::4, :, :1]
    return pixels


def saved(path: Path, pixels: np.ndarray, **options) -> Path:
    Image.fromarray(pixels).save(path, **options)
    return path


def seen(path: Path, side: int = 24, channels: int = 3) -> np.ndarray:
    return to_uint8(load_image(path, side, channels=channels).pixels)


def plain_digest(path: Path, *steps: str) -> str:
    """By the formula that docs/images.md gives."""
    line = " ".join(["nca-image 1 crop 24", *steps])
    return hashlib.sha256(f"{line}\n".encode() + path.read_bytes()).hexdigest()


@pytest.mark.parametrize("kind", ["png", "tif", "webp"])
@pytest.mark.parametrize("space", [ADOBE_RGB, DISPLAY_P3, LINEAR], ids=["adobe", "p3", "linear"])
def test_a_profile_is_converted_to_the_colours_that_the_formulas_give(tmp_path, space, kind):
    path = saved(tmp_path / f"a.{kind}", picture(), icc_profile=space.profile(), lossless=True)
    wanted = space.in_srgb(picture())
    assert abs(wanted - picture()).max() > 50
    assert abs(seen(path) - wanted).max() < 1.2
    assert load_image(path, 24).notes == (CONVERTED,)


@pytest.mark.parametrize("kind", ["jpg", "avif"])
def test_profiles_are_found_in_formats_that_lose_detail_too(tmp_path, kind):
    flat = np.full((24, 24, 3), (200, 90, 60), np.uint8)
    path = saved(tmp_path / f"a.{kind}", flat, icc_profile=ADOBE_RGB.profile(), quality=100)
    assert abs(seen(path) - ADOBE_RGB.in_srgb(flat)).max() < 4
    assert image_digest(path, 24) == plain_digest(path, "srgb")


@pytest.mark.parametrize("mode", ["RGBA", "P", "LA"])
def test_colours_are_converted_before_transparency_is_put_on_white(tmp_path, mode):
    grey = mode == "LA"
    profile = grey_profile(lambda value: value) if grey else LINEAR.profile()
    colour = (60, 60, 60) if grey else (120, 60, 30)
    alpha = 128 if mode != "P" else 0
    image = Image.new("RGBA", (8, 8), (*colour, 255))
    image.paste((*colour, alpha), (0, 0, 4, 8))
    options = {}
    if mode == "P":
        image = Image.new("P", (8, 8))
        image.putpalette([*colour, *colour])
        image.paste(1, (0, 0, 4, 8))
        options = {"transparency": 1}
    elif grey:
        image = image.convert("LA")
    image.save(tmp_path / "a.png", icc_profile=profile, **options)
    read = seen(tmp_path / "a.png", 8)
    full = 255 * srgb_encoded(np.array(colour) / 255)
    assert abs(read[4, 6] - full).max() < 1.2
    assert abs(read[4, 1] - (full * alpha + 255 * (255 - alpha)) // 255).max() <= 2


def test_a_grey_profile_is_converted(tmp_path):
    ramp = np.arange(256, dtype=np.uint8).reshape(16, 16)
    profile = grey_profile(lambda value: value)
    path = saved(tmp_path / "a.png", ramp, icc_profile=profile)
    wanted = 255 * srgb_encoded(ramp / 255)
    assert abs(seen(path, 16)[..., 0] - wanted).max() < 1.2
    assert abs(seen(path, 16, channels=1)[..., 0] - wanted).max() < 1.2
    deep = saved(tmp_path / "deep.png", ramp.astype(np.uint16) * 257, icc_profile=profile)
    assert np.array_equal(seen(deep, 16), seen(path, 16))


def test_large_pictures_are_converted_in_parts_to_the_same_pixels(tmp_path, monkeypatch):
    path = saved(tmp_path / "a.png", picture(40), icc_profile=ADOBE_RGB.profile())
    whole = seen(path)
    monkeypatch.setattr("nca_cli.images.load.LARGE", 100)
    monkeypatch.setattr("nca_cli.images.load.STRIP", 90)
    assert np.array_equal(seen(path), whole)


SRGBS = {
    "none": None,
    "LittleCMS' sRGB": ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(),
    "sRGB by its formulas": SRGB.profile(),
}


@pytest.mark.parametrize("kind", ["png", "jpg", "tif", "webp"])
@pytest.mark.parametrize("profile", SRGBS)
def test_srgb_and_no_profile_keep_pixels_and_identity(tmp_path, kind, profile):
    path = saved(tmp_path / f"a.{kind}", picture(), icc_profile=SRGBS[profile])
    assert np.array_equal(seen(path), np.asarray(Image.open(path).convert("RGB")))
    assert image_digest(path, 24) == plain_digest(path)
    assert load_image(path, 24).notes == ()


@pytest.mark.parametrize("kind", ["png", "jpg", "tif", "webp", "avif"])
def test_a_converted_picture_is_another_image_than_its_bytes_alone(tmp_path, kind):
    """Results that were made of it before it was converted are not taken for results of it."""
    path = saved(tmp_path / f"a.{kind}", picture(), icc_profile=DISPLAY_P3.profile())
    digest = image_digest(path, 24)
    assert digest == plain_digest(path, "srgb") != plain_digest(path)
    assert load_image(path, 24, digest=digest).notes == (CONVERTED,)


def test_a_profile_far_from_the_start_of_a_file_is_found(tmp_path):
    """Also where what tells of it lies across the bytes that are read at a time."""
    plain = io.BytesIO()
    Image.fromarray(picture()).save(plain, "JPEG", icc_profile=ADOBE_RGB.profile())
    data = plain.getvalue()
    for shift in range(-4, 5):
        fill = (1 << 20) - data.index(b"acsp") + shift
        padding = b""
        while fill > 0:
            size = min(fill, 60_000)
            size = fill if fill - size < 4 else size
            padding += b"\xff\xfe" + struct.pack(">H", size - 2) + bytes(size - 4)
            fill -= size
        path = tmp_path / "a.jpg"
        path.write_bytes(data[:2] + padding + data[2:])
        assert path.read_bytes().index(b"acsp") == (1 << 20) + shift
        assert image_digest(path, 24) == plain_digest(path, "srgb")


@pytest.mark.parametrize(
    "profile",
    [b"nonsense acsp", SRGB.profile()[:150], grey_profile(lambda value: value),
     LINEAR.profile().replace(b"mntr", b"link")],
    ids=["no profile", "cut off", "of grey", "of a device link"],
)  # fmt: skip
def test_a_profile_that_cannot_be_applied_is_said_and_changes_nothing(tmp_path, profile):
    path = saved(tmp_path / "a.tif", picture(), icc_profile=profile)
    assert np.array_equal(seen(path), picture())
    assert load_image(path, 24).notes == (UNFIT,)
    assert image_digest(path, 24) == plain_digest(path)


def test_srgb_beside_grey_is_no_news(tmp_path):
    path = saved(tmp_path / "a.png", picture()[..., 0], icc_profile=SRGB.profile())
    assert load_image(path, 24).notes == ()
    path = saved(tmp_path / "b.png", picture()[..., 0], icc_profile=ADOBE_RGB.profile())
    assert load_image(path, 24).notes == (UNFIT,)


def test_the_identity_of_a_damaged_picture_with_a_profile_is_that_of_its_bytes(tmp_path):
    path = tmp_path / "a.jpg"
    path.write_bytes(b"\xff\xd8 acsp")
    assert image_digest(path, 24) == plain_digest(path)


def test_a_second_run_finds_a_converted_picture_in_the_store(tmp_path):
    saved(tmp_path / "a.png", picture(), icc_profile=ADOBE_RGB.profile())
    command = [sys.executable, "-m", "nca_cli", "noise", "a.png", "--model", "wiener", "--t", "500"]
    runs = [
        subprocess.run(
            command, cwd=tmp_path, capture_output=True, text=True, check=True,
            env={"PYTHONPATH": str(Path(__file__).parents[1]), "PATH": "/usr/bin"},
        )
        for _ in range(2)
    ]  # fmt: skip
    assert CONVERTED in " ".join(runs[0].stderr.split())
    assert "cached" in runs[1].stderr
    assert runs[0].stdout == runs[1].stdout


# --- 12 bits ------------------------------------------------------------------------------------


def twelve_bit_tiff(path: Path, values: np.ndarray) -> Path:
    """Two samples in three bytes, as TIFF 6.0 lays them out."""
    height, width = values.shape
    first, second = values[:, ::2], values[:, 1::2]
    packed = np.stack([first >> 4, (first & 15) << 4 | second >> 8, second & 255], -1)
    data = packed.astype(np.uint8).tobytes()
    entries = [(256, width), (257, height), (258, 12), (259, 1), (262, 1), (273, 8), (277, 1),
               (278, height), (279, len(data))]  # fmt: skip
    table = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in entries)
    start = struct.pack("<2sHI", b"II", 42, 8 + len(data))
    path.write_bytes(start + data + struct.pack("<H", len(entries)) + table + bytes(4))
    return path


def test_declared_12_bits_are_scaled_to_all_of_the_range(tmp_path):
    ramp = np.linspace(0, 4095, 24 * 24).astype(int).reshape(24, 24)
    path = twelve_bit_tiff(tmp_path / "a.tif", ramp)
    assert abs(seen(path)[..., 0] - ramp * 255 / 4095).max() <= 0.5
    assert image_digest(path, 24) == plain_digest(path, "12-bit")
    assert load_image(path, 24).notes == ()


@pytest.mark.parametrize(("largest", "bits"), [(4095, 12), (1000, 10), (16383, 14)])
def test_16_bits_that_hold_fewer_are_said(tmp_path, largest, bits):
    ramp = np.linspace(0, largest, 24 * 24).astype(np.uint16).reshape(24, 24)
    (note,) = load_image(saved(tmp_path / "a.png", ramp), 24).notes
    assert (
        note
        == f"16 bits, with a largest value of {largest:,}: too dark if the data have {bits} bits"
    )


def test_16_bits_that_are_used_are_no_news(tmp_path):
    ramp = np.linspace(0, 20_000, 24 * 24).astype(np.uint16).reshape(24, 24)
    assert load_image(saved(tmp_path / "a.png", ramp), 24).notes == ()


def test_a_grey_map_of_12_bits_says_its_largest_value(tmp_path):
    ramp = np.linspace(0, 4095, 24 * 24).astype(">u2").reshape(24, 24)
    path = tmp_path / "a.pgm"
    path.write_bytes(b"P5 24 24 4095\n" + ramp.tobytes())
    assert abs(seen(path)[..., 0] - ramp.astype(int) * 255 / 4095).max() <= 1


# --- kinds of files -----------------------------------------------------------------------------


def test_jpeg_2000_is_found_and_read_under_all_its_names(tmp_path):
    for suffix in ("jp2", "j2k", "j2c", "jpc", "jpf", "jpx"):
        saved(tmp_path / f"{suffix}.{suffix}", picture(), format="JPEG2000")
    found = find_images([tmp_path])
    assert len(found) == 6
    assert all(np.array_equal(seen(path), picture()) for path in found)


def test_avif_is_read(tmp_path):
    flat = np.full((24, 24, 3), (200, 90, 60), np.uint8)
    path = saved(tmp_path / "a.avif", flat, quality=100)
    assert find_images([tmp_path]) == [path]
    assert abs(seen(path).astype(int) - flat).max() <= 3


def test_heic_is_read_upright_and_by_its_profile(tmp_path):
    pillow_heif = pytest.importorskip("pillow_heif")
    flat = np.full((32, 48, 3), (200, 90, 60), np.uint8)
    flat[:, :24] = (30, 60, 90)
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / "a.heic"
    pillow_heif.register_heif_opener()
    Image.fromarray(flat).save(
        path, "HEIF", quality=-1, exif=exif.tobytes(), icc_profile=DISPLAY_P3.profile(), chroma=444
    )
    assert find_images([tmp_path]) == [path]
    read = load_image(path, 32)
    assert read.size == (32, 48)
    assert CONVERTED in read.notes
    wanted = np.rot90(DISPLAY_P3.in_srgb(flat), -1)[8:40]
    assert abs(to_uint8(read.pixels) - wanted).mean() < 3
    assert image_digest(path, 24) == plain_digest(path, "srgb")


WITHOUT_HEIC = """
import sys
sys.modules["pillow_heif"] = None  # as where it is not installed
from nca_cli.cli import app
app()
"""


def without_heic(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", WITHOUT_HEIC, "noise", *words, "--model", "wiener", "--t", "500"],
        cwd=folder, capture_output=True, text=True,
        env={"PYTHONPATH": str(Path(__file__).parents[1]), "PATH": "/usr/bin", "COLUMNS": "300"},
    )  # fmt: skip


def test_heic_without_its_decoder_is_one_line_that_names_the_extra(tmp_path):
    (tmp_path / "a.heic").write_bytes(struct.pack(">I4s4sI4s", 20, b"ftyp", b"heic", 0, b"mif1"))
    ran = without_heic(tmp_path, "a.heic")
    assert ran.returncode == 1
    assert "a.heic: HEIC is read with pillow-heif" in ran.stderr
    assert "pip install 'nca-cli[heic]'" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_pictures_that_are_not_read_are_counted_in_one_note(tmp_path):
    for name in ("1.heic", "2.HEIC", "3.nef", "4.psd", "notes.txt", "sub/5.nef", ".6.nef"):
        (tmp_path / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "photos" / name).touch()
    saved(tmp_path / "photos" / "a.png", picture())
    ran = without_heic(tmp_path, "photos")
    assert ran.returncode == 0, ran.stderr
    (note,) = [line for line in ran.stderr.splitlines() if "left out" in line]
    assert "photos: 5 pictures are left out (2 .nef, 1 .psd, 2 .heic)" in note
    assert "pip install 'nca-cli[heic]'; convert to TIFF or PNG first" in note


def test_a_folder_of_nothing_else_says_what_it_holds(tmp_path):
    (tmp_path / "1.nef").touch()
    with pytest.raises(ImageError, match="no images in this folder") as caught:
        find_images([tmp_path])
    assert caught.value.hint == ("1 picture is left out (1 .nef): convert to TIFF or PNG first")


def test_archives_count_what_is_not_read_too(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("faces/1.nef", b"")
        archive.writestr("faces/2.png", b"")
    notes: list[str] = []
    assert len(find_images([tmp_path / "a.zip"], notes=notes)) == 1
    assert notes == [
        f"{tmp_path / 'a.zip'}: 1 picture is left out (1 .nef): convert to TIFF or PNG first"
    ]
