"""Images are found, named, identified and read the same way wherever they come from."""

import io
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nca_cli import images
from nca_cli.errors import ImageError, NcaError, UsageError
from nca_cli.images import (
    find_images,
    image_digest,
    image_name,
    load_image,
    sample_images,
    to_rgb,
    to_uint8,
    to_unit,
)

REAL_IMAGES = Path(__file__).resolve().parents[2] / "shared" / "images"

RED, GREEN, BLUE, WHITE, BLACK = (
    (255, 0, 0),
    (0, 255, 0),
    (0, 0, 255),
    (255, 255, 255),
    (0, 0, 0),
)


def noise(height: int, width: int, channels: int = 3) -> np.ndarray:
    """A picture in which every pixel, row and column differs from every other."""
    return np.random.default_rng(0).integers(0, 256, (height, width, channels), dtype=np.uint8)


def save(path: Path, picture, **options) -> Path:
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    image.save(path, **options)
    return path


def seen(path: Path, resolution: int, fit: str = "crop", channels: int = 3) -> np.ndarray:
    """What a model sees of `path`, as uint8 (H, W, C)."""
    return to_uint8(load_image(path, resolution, fit, channels).pixels)


def touch(*paths: Path) -> list[Path]:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return list(paths)


# --- pixels -------------------------------------------------------------------------------------


def test_every_8_bit_value_survives_the_round_trip():
    every_value = np.arange(256, dtype=np.uint8).reshape(2, 16, 8, 1)
    assert np.array_equal(to_uint8(to_unit(every_value)), every_value)


def test_the_ends_of_the_range_are_exact():
    ends = to_unit(np.array([[[0], [255]]], np.uint8))
    assert ends.tolist() == [[[-1.0, 1.0]]]
    assert ends.dtype == np.float32


def test_channels_move_to_the_front_and_back():
    picture = noise(5, 7)
    assert to_unit(picture).shape == (3, 5, 7)
    assert np.array_equal(to_unit(picture)[1], to_unit(picture[..., 1:2])[0])
    assert np.array_equal(to_uint8(to_unit(picture)), picture)


def test_float16_pixels_round_like_float32_ones():
    picture = noise(16, 16)
    assert np.array_equal(to_uint8(to_unit(picture).astype(np.float16)), picture)


@pytest.mark.parametrize(("channels", "shown"), [(1, [0, 0, 0]), (3, [0, 1, 2]), (4, [0, 1, 2])])
def test_every_picture_can_be_shown_in_three_colours(channels, shown):
    pixels = np.random.default_rng(channels).normal(size=(2, channels, 5, 7)).astype(np.float32)
    rgb = to_rgb(pixels)
    assert np.array_equal(rgb, to_uint8(pixels)[..., shown])


def test_out_of_range_and_undefined_pixels_are_clipped():
    wild = np.array([-np.inf, -7, 0, 7, np.inf, np.nan], np.float32).reshape(1, 1, 6)
    assert to_uint8(wild).ravel().tolist() == [0, 0, 128, 255, 255, 0]


# --- reading ------------------------------------------------------------------------------------


@pytest.mark.parametrize("format", ["jpg", "png", "webp", "tif"])
def test_all_eight_exif_orientations_show_the_same_upright_picture(tmp_path, format):
    upright = np.kron(noise(2, 2), np.ones((16, 16, 1), np.uint8))
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright),
        7: upright[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(upright, -1),
    }
    options = {"jpg": {"quality": 100, "subsampling": 0}, "webp": {"lossless": True}}
    for orientation, pixels in stored.items():
        exif = Image.Exif()
        exif[0x0112] = orientation
        path = tmp_path / f"{orientation}.{format}"
        save(path, np.ascontiguousarray(pixels), exif=exif, **options.get(format, {}))
        difference = seen(path, 32).astype(int) - upright
        assert abs(difference).max() <= (6 if format == "jpg" else 0), orientation


def test_size_is_that_of_the_upright_picture(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    path = save(tmp_path / "portrait.jpg", noise(20, 30), exif=exif)
    assert load_image(path, 8).size == (20, 30)


def test_unreadable_exif_does_not_cost_the_picture(tmp_path):
    picture = noise(8, 8)
    path = save(tmp_path / "odd.png", picture, exif=b"no exif at all")
    assert np.array_equal(seen(path, 8), picture)


def test_alpha_is_put_on_white(tmp_path):
    colours = np.array([[(255, 0, 0, 255), (255, 0, 0, 0), (0, 0, 0, 128), (0, 0, 255, 51)]])
    path = save(tmp_path / "alpha.png", np.repeat(colours, 4, 0).astype(np.uint8))
    picture = load_image(path, 4)
    expected = [RED, WHITE, (127, 127, 127), (204, 204, 255)]
    assert to_uint8(picture.pixels)[0].tolist() == [list(colour) for colour in expected]
    assert picture.notes == ("transparent, drawn on white",)


def test_an_alpha_channel_that_hides_nothing_is_no_news(tmp_path):
    picture = noise(8, 8)
    opaque = np.concatenate([picture, np.full((8, 8, 1), 255, np.uint8)], -1)
    read = load_image(save(tmp_path / "opaque.png", opaque), 8)
    assert np.array_equal(to_uint8(read.pixels), picture)
    assert read.notes == ()


@pytest.mark.parametrize("transparency", [1, bytes([255, 0])], ids=["index", "table"])
def test_a_transparent_palette_entry_is_white(tmp_path, transparency):
    palette = Image.new("P", (2, 2))
    palette.putpalette([*RED, *GREEN])
    palette.putpixel((1, 0), 1)
    path = save(tmp_path / "palette.png", palette, transparency=transparency)
    assert seen(path, 2)[0].tolist() == [list(RED), list(WHITE)]


def test_a_transparent_colour_key_is_white(tmp_path):
    path = save(tmp_path / "key.png", np.array([[RED, GREEN]] * 2, np.uint8), transparency=GREEN)
    assert seen(path, 2)[0].tolist() == [list(RED), list(WHITE)]


def test_grey_with_alpha_is_put_on_white(tmp_path):
    grey = np.array([[(100, 255), (100, 0)]] * 2, np.uint8)
    path = save(tmp_path / "la.png", Image.fromarray(grey))
    assert Image.open(path).mode == "LA"
    assert seen(path, 2)[0].tolist() == [[100] * 3, [255] * 3]


def test_grey_fills_three_channels_alike(tmp_path):
    grey = noise(8, 8, 1)
    path = save(tmp_path / "grey.png", grey[..., 0])
    assert np.array_equal(seen(path, 8), np.repeat(grey, 3, -1))
    assert np.array_equal(seen(path, 8, channels=1), grey)


def test_one_channel_is_luma(tmp_path):
    path = save(tmp_path / "colours.png", np.array([[RED, GREEN], [BLUE, WHITE]], np.uint8))
    luma = np.rint(255 * np.array([[0.299, 0.587], [0.114, 1.0]]))
    assert np.array_equal(seen(path, 2, channels=1)[..., 0], luma)


def test_other_numbers_of_channels_are_refused(tmp_path):
    with pytest.raises(NcaError, match="1 or 3 channels"):
        load_image(save(tmp_path / "a.png", noise(4, 4)), 4, channels=4)


def test_one_bit_pictures_are_black_and_white(tmp_path):
    path = save(tmp_path / "bits.png", Image.fromarray(np.eye(4, dtype=bool)))
    assert Image.open(path).mode == "1"
    assert np.array_equal(seen(path, 4)[..., 0], 255 * np.eye(4))


def test_cmyk_becomes_rgb(tmp_path):
    inks = Image.new("CMYK", (2, 2), (0, 255, 255, 0))
    inks.putpixel((1, 0), (0, 0, 0, 255))
    path = save(tmp_path / "inks.tif", inks)
    assert seen(path, 2)[0].tolist() == [list(RED), list(BLACK)]


@pytest.mark.parametrize("name", ["ramp.png", "ramp.tif", "ramp.pgm"])
def test_a_16_bit_ramp_is_scaled_not_clipped(tmp_path, name):
    ramp = np.linspace(0, 65535, 64 * 64).reshape(64, 64).astype(np.uint16)
    path = save(tmp_path / name, ramp)
    assert np.array_equal(seen(path, 64)[..., 0], np.rint(ramp / 257))


def test_16_bit_pictures_are_turned_upright_too(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    ramp = np.arange(16, dtype=np.uint16).reshape(4, 4) * 4096
    path = save(tmp_path / "ramp.png", np.rot90(ramp).copy(), exif=exif)
    assert np.array_equal(seen(path, 4)[..., 0], np.rint(ramp / 257))


def test_floating_point_pictures_are_refused(tmp_path):
    path = save(tmp_path / "float.tif", np.zeros((4, 4), np.float32))
    with pytest.raises(ImageError, match="floating-point"):
        load_image(path, 4)


def test_32_bit_pictures_are_refused(tmp_path):
    path = save(tmp_path / "deep.tif", np.full((4, 4), 70_000, np.int32))
    with pytest.raises(ImageError, match="more than 16 bits"):
        load_image(path, 4)


@pytest.mark.parametrize("name", ["moving.gif", "moving.webp", "moving.png", "pages.tif"])
def test_of_several_frames_the_first_is_used_and_said(tmp_path, name):
    first, second = Image.new("RGB", (8, 8), RED), Image.new("RGB", (8, 8), BLUE)
    options = {"lossless": True} if name.endswith("webp") else {}
    path = save(tmp_path / name, first, save_all=True, append_images=[second], **options)
    picture = load_image(path, 8)
    assert np.array_equal(to_uint8(picture.pixels), np.full((8, 8, 3), RED))
    assert picture.notes == ("several frames, the first is used",)


def test_a_camera_jpeg_with_an_embedded_preview_is_no_animation(tmp_path):
    preview = Image.new("RGB", (8, 8))
    path = tmp_path / "camera.jpg"
    save(path, noise(8, 8), format="MPO", save_all=True, append_images=[preview])
    assert load_image(path, 8).notes == ()


def test_a_picture_much_smaller_than_the_model_is_said(tmp_path):
    path = save(tmp_path / "small.png", noise(64, 64))
    assert load_image(path, 256).notes == ("64×64 is much smaller than the model's 256×256",)
    assert load_image(path, 127).notes == ()


def test_pixels_are_contiguous_float32_of_the_models_shape(tmp_path):
    path = save(tmp_path / "a.png", noise(9, 13))
    for channels in (1, 3):
        pixels = load_image(path, 8, channels=channels).pixels
        assert pixels.shape == (channels, 8, 8)
        assert pixels.dtype == np.float32
        assert pixels.flags.c_contiguous


# --- refusing -----------------------------------------------------------------------------------


def test_a_decompression_bomb_is_refused_without_decoding(tmp_path, monkeypatch):
    header = b"P6 60000 60000 255\n"  # 10.8 GB, if anybody believed it
    path = tmp_path / "bomb.ppm"
    path.write_bytes(header)
    monkeypatch.setattr(Image.Image, "load", lambda self: pytest.fail("decoded"))
    with pytest.raises(ImageError, match="more than 178 million pixels"):
        load_image(path, 8)


def test_our_limit_holds_where_pillow_would_only_warn(tmp_path, monkeypatch, recwarn):
    monkeypatch.setattr(images.opening, "MAX_PIXELS", 99)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 60)
    with pytest.raises(ImageError, match="more than"):
        load_image(save(tmp_path / "10.png", noise(10, 10)), 4)
    load_image(save(tmp_path / "9.png", noise(9, 11)), 4)
    assert not recwarn.list


@pytest.mark.parametrize(
    ("name", "kind", "options"),
    [("a.jp2", "JPEG2000", {}), ("a.webp", "WEBP", {}), ("a.avif", "AVIF", {}),
     ("a.jpg", "progressive JPEG", {"progressive": True})],
)  # fmt: skip
def test_formats_that_take_more_memory_have_lower_limits(
    tmp_path, monkeypatch, name, kind, options
):
    path = save(tmp_path / name, noise(10, 10), **options)
    load_image(path, 4)
    monkeypatch.setitem(images.opening._MOST, kind, 99)
    monkeypatch.setattr(Image.Image, "load", lambda self: pytest.fail("decoded"))
    with pytest.raises(ImageError, match=f"more than 0 million pixels in {kind}, not decoded"):
        load_image(path, 4)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "BMP", "TIFF"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_a_truncated_file_is_called_truncated(tmp_path, format, share):
    whole = io.BytesIO()
    Image.fromarray(noise(40, 40)).save(whole, format)
    path = tmp_path / "cut"
    path.write_bytes(whole.getvalue()[: int(share * len(whole.getvalue()))])
    with pytest.raises(ImageError, match="truncated"):
        load_image(path, 16)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP", "PPM"])
def test_damage_anywhere_gives_a_picture_or_an_image_error(tmp_path, format):
    random = np.random.default_rng(1)
    whole = io.BytesIO()
    Image.fromarray(noise(24, 24)).save(whole, format)
    path = tmp_path / "damaged"
    for _ in range(40):
        content = bytearray(whole.getvalue())
        for place in random.integers(0, min(len(content), 300), 3):
            content[place] = random.integers(0, 256)
        path.write_bytes(content)
        with suppress(ImageError):
            assert load_image(path, 8).pixels.shape == (3, 8, 8)


@pytest.mark.parametrize("content", [b"", b"hello, world\n", b"<html></html>", b"\x89PNG\r\n"])
def test_what_is_no_image_is_called_so(tmp_path, content):
    path = tmp_path / "photo.jpg"
    path.write_bytes(content)
    with pytest.raises(ImageError, match=r"photo\.jpg: not an image") as caught:
        load_image(path, 8)
    assert "convert" in caught.value.hint


def test_formats_that_need_other_programs_are_not_opened(tmp_path):
    path = save(tmp_path / "page.png", noise(8, 8), format="EPS")
    with pytest.raises(ImageError, match="EPS files are not supported"):
        load_image(path, 8)


@pytest.mark.parametrize("read", [load_image, image_digest])
def test_missing_files_and_folders_are_one_line(tmp_path, read):
    with pytest.raises(ImageError, match="No such file"):
        read(tmp_path / "gone.png", 8)
    with pytest.raises(ImageError, match="Is a directory"):
        read(tmp_path, 8)


@pytest.mark.parametrize("read", [load_image, image_digest])
def test_an_unknown_fit_is_wrong_usage(tmp_path, read):
    with pytest.raises(UsageError, match="unknown fit 'zoom'") as caught:
        read(tmp_path / "never-opened.png", 8, "zoom")
    assert caught.value.hint == "choose one of crop, pad, stretch"


# --- fitting ------------------------------------------------------------------------------------


@pytest.fixture(params=["wide", "tall"])
def flag(request, tmp_path):
    """Red, green and blue bars of 30×90 pixels, or the same turned: 90×90 in all of 90×270."""
    bars = np.repeat(np.array([RED, GREEN, BLUE], np.uint8), 90, 0)
    picture = np.repeat(bars[None], 90, 0)
    if request.param == "tall":
        picture = picture.transpose(1, 0, 2).copy()
    path = save(tmp_path / "flag.png", picture)

    def bars_of(fit: str) -> np.ndarray:
        read = seen(path, 90, fit)
        return read if request.param == "wide" else read.transpose(1, 0, 2)

    return bars_of


def test_crop_keeps_the_centre_square(flag):
    assert np.array_equal(flag("crop"), np.full((90, 90, 3), GREEN))


def test_pad_keeps_all_of_it_between_black_bars(flag):
    padded = flag("pad")
    assert np.array_equal(padded[:30], np.full((30, 90, 3), BLACK))
    assert np.array_equal(padded[60:], np.full((30, 90, 3), BLACK))
    assert padded[45, [5, 45, 85]].tolist() == [list(RED), list(GREEN), list(BLUE)]
    assert padded[[30, 59], 45].tolist() == [list(GREEN)] * 2


def test_stretch_fills_the_square_with_all_of_it(flag):
    stretched = flag("stretch")
    assert stretched[0, [5, 45, 85]].tolist() == [list(RED), list(GREEN), list(BLUE)]
    assert np.array_equal(stretched, np.broadcast_to(stretched[:1], stretched.shape))


@pytest.mark.parametrize("fit", images.FITS)
def test_a_picture_of_the_models_size_passes_untouched(tmp_path, fit):
    picture = noise(32, 32)
    assert np.array_equal(seen(save(tmp_path / "a.png", picture), 32, fit), picture)


@pytest.mark.parametrize("width", [33, 40, 41])
def test_a_picture_of_the_models_height_is_cropped_without_resampling(tmp_path, width):
    picture = noise(32, width)
    left = (width - 32) // 2
    cropped = seen(save(tmp_path / "a.png", picture), 32)
    assert np.array_equal(cropped, picture[:, left : left + 32])


def test_a_sliver_can_be_padded(tmp_path):
    path = save(tmp_path / "sliver.png", np.full((1, 500, 3), 255, np.uint8))
    assert (seen(path, 16, "pad").max((1, 2)) > 0).sum() == 1


@pytest.mark.parametrize("fit", images.FITS)
def test_resizing_is_antialiased(tmp_path, fit):
    checkers = np.indices((256, 256)).sum(0) % 2 * np.uint8(255)
    grey = seen(save(tmp_path / "checkers.png", checkers.astype(np.uint8)), 60, fit)
    assert abs(grey.astype(float)[2:-2, 2:-2] - 127.5).max() < 4


def lanczos(size: int, target: int) -> np.ndarray:
    """The (target, size) matrix of a Lanczos-3 filter, widened by the scale when reducing."""
    scale = size / target
    centres = (np.arange(target) + 0.5) * scale - 0.5
    x = (np.arange(size) - centres[:, None]) / max(scale, 1)
    weights = np.sinc(x) * np.sinc(x / 3) * (abs(x) < 3)
    return weights / weights.sum(1, keepdims=True)


@pytest.mark.parametrize("resolution", [17, 32, 90])
def test_resizing_is_a_lanczos_filter(tmp_path, resolution):
    picture = noise(60, 60, 1)[..., 0]
    rows = np.clip(lanczos(60, resolution) @ picture.T, 0, 255)
    expected = np.clip(lanczos(60, resolution) @ rows.T, 0, 255)
    resized = seen(save(tmp_path / "a.png", picture), resolution, channels=1)[..., 0]
    assert abs(resized - expected).max() < 1.5


def test_resizing_keeps_the_mean(tmp_path):
    picture = noise(240, 240)
    reduced = seen(save(tmp_path / "a.png", picture), 24)
    assert np.allclose(reduced.mean((0, 1)), picture.mean((0, 1)), atol=1)


# --- identity -----------------------------------------------------------------------------------


def test_the_digest_of_a_fixed_file_never_changes(tmp_path):
    path = tmp_path / "tiny.ppm"
    path.write_bytes(b"P6 1 1 255\nabc")
    assert image_digest(path, 256) == (
        # printf 'nca-image 1 crop 256\nP6 1 1 255\nabc' | sha256sum
        "a851bbf54b59c782a05889dd7eb41de1de73bc0847da413a6a49363329a61fe6"
    )


def test_a_renamed_file_keeps_its_digest(tmp_path):
    first = save(tmp_path / "first.png", noise(4, 4))
    digest = image_digest(first, 64)
    assert image_digest(first.rename(tmp_path / "second.jpg"), 64) == digest


def test_the_digest_tells_content_fit_resolution_and_version_apart(tmp_path, monkeypatch):
    path, other = tmp_path / "a.png", tmp_path / "b.png"
    path.write_bytes(b"one")
    other.write_bytes(b"two")
    digests = [image_digest(path, n, fit) for n in (6, 64, 256) for fit in images.FITS]
    digests.append(image_digest(other, 64))
    monkeypatch.setattr(images.identity, "PREPROCESSING_VERSION", 2)
    digests.append(image_digest(path, 64))
    assert len(set(digests)) == 11


def test_a_cache_hit_needs_no_decoder(tmp_path):
    path = save(tmp_path / "a.png", noise(4, 4))
    code = (
        "import sys; from nca_cli.images import *;"
        f"find_images([{os.fspath(tmp_path)!r}]); sample_images();"
        f"image_digest({os.fspath(path)!r}, 256); image_name('a.png');"
        "print(*sorted({'PIL', 'torch', 'skimage'} & set(sys.modules)))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "\n"


# --- names --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("folder/astronaut.png", "astronaut"),
        ("my photo (1).jpeg", "my-photo-(1)"),
        ("archive.tar.png", "archive.tar"),
        ("größe.png", "größe"),
        ("gro\u0308ße.png", "größe"),
        ("月の猫.webp", "月の猫"),
        ("नमस्ते.png", "नमस्ते"),
        ("a:b\\c|d?e*f.png", "a-b-c-d-e-f"),
        ("two\nlines\x00.png", "two-lines"),
        ("right\u202eto-left.png", "right-to-left"),
        (".hidden.png", "hidden"),
        ("..png", "image"),
        ("-rf.png", "rf"),
        ("undecodable\udcff.png", "undecodable"),
        ("   .png", "image"),
        ("elsewhere/chelsea.png", "chelsea"),
        ("site-packages/skimage/data/chelsea.png", "cat"),
    ],
)
def test_a_stem_becomes_a_harmless_folder_name(path, name):
    assert image_name(path) == name


def test_long_names_are_cut():
    assert image_name("x" * 500 + ".png") == "x" * 60
    assert image_name("x" * 59 + ".y.png") == "x" * 59


@pytest.mark.parametrize("name", ["a b", ".x.", "con", "é" * 90, "//", "\t", "…", "😀" * 70])
def test_a_name_is_its_own_name_and_a_folder_can_carry_it(tmp_path, name):
    safe = image_name(f"{name}.png")
    assert image_name(f"{safe}.png") == safe
    (tmp_path / f"{safe}-0123456789ab").mkdir()
    assert len(list(tmp_path.iterdir())) == 1


# --- sample images ------------------------------------------------------------------------------


def test_the_sample_photos_are_there_under_their_names():
    photos = sample_images()
    assert [image_name(photo) for photo in photos] == ["astronaut", "cat", "coffee"]
    assert [load_image(photo, 32).size for photo in photos] == [(512, 512), (451, 300), (600, 400)]


def test_missing_sample_photos_say_what_to_do(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(NcaError, match="not installed") as caught:
        sample_images()
    assert "pip install" in caught.value.hint


def test_sample_portraits_are_png_files_in_order():
    try:
        portraits = sample_images("portraits")
    except NcaError:
        pytest.skip("the portraits are not drawn yet")
    assert portraits == sorted(portraits)
    assert {path.suffix for path in portraits} == {".png"}


def test_other_samples_are_unknown():
    with pytest.raises(UsageError, match="'cars'"):
        sample_images("cars")


# --- finding ------------------------------------------------------------------------------------


def test_folders_are_searched_deeply_in_sorted_order_without_hidden_entries(tmp_path):
    expected = touch(tmp_path / "a.PNG", tmp_path / "b" / "a.jpeg", tmp_path / "b" / "c" / "x.tiff")
    expected += touch(tmp_path / "c.webp")
    touch(tmp_path / ".hidden.png", tmp_path / ".cache" / "d.png", tmp_path / "notes.txt")
    touch(tmp_path / "b" / "._c.jpg", tmp_path / "png")
    assert find_images([tmp_path]) == expected


def test_arguments_keep_their_order_and_files_are_taken_whatever_their_suffix(tmp_path):
    b, a, odd = touch(tmp_path / "b.png", tmp_path / "a.png", tmp_path / "odd.data")
    assert find_images([b, odd, str(a)]) == [b, odd, a]


def test_paths_stay_as_they_were_given(tmp_path, monkeypatch):
    touch(tmp_path / "sub" / "a.png")
    monkeypatch.chdir(tmp_path)
    for argument in ("sub/a.png", "sub", "sub/*.png", "./sub/", "**/*.png"):
        assert find_images([argument]) == [Path("sub/a.png")]


def test_a_file_reached_twice_is_listed_once(tmp_path, monkeypatch):
    (a,) = touch(tmp_path / "a.png")
    (tmp_path / "z.png").symlink_to(a)
    monkeypatch.chdir(tmp_path)
    assert find_images([a, tmp_path, "a.png", "*.png", tmp_path / "z.png"]) == [a]


def test_globs_are_expanded_where_the_shell_did_not(tmp_path):
    a, b, c = touch(tmp_path / "x1" / "a.png", tmp_path / "x1" / "y" / "b.jpg", tmp_path / "c.png")
    touch(tmp_path / "x1" / "notes.txt", tmp_path / ".h" / "a.png", tmp_path / "x1" / ".b.png")
    (tmp_path / "x2").mkdir()
    assert find_images([f"{tmp_path}/*.png"]) == [c]
    assert find_images([f"{tmp_path}/**/*.png"]) == [c, a]
    assert find_images([f"{tmp_path}/x?/[a-c].*"]) == [a]
    assert find_images([f"{tmp_path}/x*"]) == [a, b]
    assert find_images([f"{tmp_path}/**"]) == [c, a, b]


def test_a_file_whose_name_looks_like_a_glob_is_that_file(tmp_path):
    odd, _ = touch(tmp_path / "[a].png", tmp_path / "a.png")
    assert find_images([odd]) == [odd]


def test_links_that_run_in_circles_are_walked_once(tmp_path):
    (a,) = touch(tmp_path / "f" / "a.png")
    for name in ("one", "two", "three"):
        (tmp_path / "f" / name).symlink_to(tmp_path / "f")
    (tmp_path / "f" / "self.png").symlink_to("self.png")
    assert find_images([tmp_path]) == [a]
    assert find_images([f"{tmp_path}/**/*"]) == [a]
    with pytest.raises(ImageError, match="not a regular file"):
        find_images([tmp_path / "f" / "self.png"])


def test_a_link_to_a_folder_may_be_named(tmp_path):
    touch(tmp_path / "real" / "a.png")
    (tmp_path / "link").symlink_to("real")
    assert find_images([tmp_path / "link"]) == [tmp_path / "link" / "a.png"]


def test_stdin_gives_one_path_per_line(tmp_path):
    a, b = touch(tmp_path / "with space.png", tmp_path / "sub" / "b.png")
    lines = io.StringIO(f"{a}\r\n\n{tmp_path / 'sub'}\n")
    assert find_images(["-"], stdin=lines) == [a, b]


def test_stdin_is_read_from_the_process_by_default(tmp_path, monkeypatch):
    (a,) = touch(tmp_path / "a.png")
    monkeypatch.setattr(sys, "stdin", io.StringIO(str(a)))
    assert find_images(["-"]) == [a]


@pytest.mark.parametrize("content", [b"", b"\n \n", b"\xff\xd8\xff\xe0 a photo, not its path"])
def test_a_stdin_without_paths_is_wrong_usage(content):
    stdin = io.TextIOWrapper(io.BytesIO(content), encoding="utf-8")
    with pytest.raises(UsageError, match="no image paths on stdin") as caught:
        find_images(["-"], stdin=stdin)
    assert "one per line" in caught.value.hint


@pytest.mark.parametrize("number", ["300", "0.25"])
def test_a_number_that_is_no_file_is_a_level_of_a_list(number):
    with pytest.raises(ImageError, match="no such file or folder") as caught:
        find_images([number])
    assert caught.value.hint == "separate levels by commas: --t 100,300"


@pytest.mark.parametrize(
    ("argument", "problem"),
    [
        ("gone.png", "gone.png: no such file or folder"),
        ("", "'': no such file or folder"),
        ("x\0.png", "no such file or folder"),
        ("y" * 5000, "no such file or folder"),
        ("*.gif", r"\*\.gif: no images match"),
        ("**.png", "no images match"),
        ("notes.*", "no images match"),
        ("empty", "empty: no images in this folder"),
        ("pipe", "pipe: not a regular file"),
    ],
)
def test_an_argument_without_images_is_one_clear_line(tmp_path, monkeypatch, argument, problem):
    monkeypatch.chdir(tmp_path)
    touch(tmp_path / "notes.txt", tmp_path / "empty" / "notes.txt")
    os.mkfifo("pipe")
    with pytest.raises(ImageError, match=problem) as caught:
        find_images([argument])
    assert caught.value.hint


def test_errors_can_be_collected_while_the_rest_goes_on(tmp_path):
    a, b = touch(tmp_path / "a.png", tmp_path / "b.png")
    errors: list[NcaError] = []
    arguments = [a, tmp_path / "gone.png", f"{tmp_path}/*.gif", "-", b]
    assert find_images(arguments, stdin=io.StringIO(), on_error=errors.append) == [a, b]
    assert [type(error) for error in errors] == [ImageError, ImageError, UsageError]


def test_no_arguments_are_no_images():
    assert find_images([]) == []


# --- real pictures ------------------------------------------------------------------------------


@pytest.mark.skipif(not REAL_IMAGES.is_dir(), reason="needs the pictures beside the checkout")
def test_real_portraits_are_read_without_notes_or_washed_out_range():
    paths = find_images([REAL_IMAGES])
    assert paths == sorted(paths)
    assert len({image_digest(path, 256) for path in paths}) == len(paths)
    for path in paths:
        picture = load_image(path, 256)
        assert picture.notes == ()
        assert picture.pixels.min() < -0.8 < 0.6 < picture.pixels.max()
