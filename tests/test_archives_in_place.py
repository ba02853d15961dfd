"""Images in zip and tar archives are the images that they would be as files, and nothing more."""

import builtins
import gzip
import io
import os
import pickle
import struct
import subprocess
import sys
import tarfile
import tracemalloc
import zipfile
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from nca_cli import images
from nca_cli.cli import app
from nca_cli.engine import Noising, Request, noise_plans
from nca_cli.errors import ImageError, NcaError
from nca_cli.images import archives, find_images, image_digest, image_name, load_image
from nca_cli.images.archives import CHUNK, open_archive
from nca_cli.store import Names, Store
from nca_cli.twins import noise_images, reconstruct

KINDS = ["zip", "tar", "tar.gz", "tgz", "tar.bz2", "tar.xz"]
MODES = {"tar": "w", "gz": "w:gz", "tgz": "w:gz", "bz2": "w:bz2", "xz": "w:xz"}
STREAMS = [kind for kind in KINDS if kind not in ("zip", "tar")]
NOISE = np.random.default_rng(0).integers(0, 256, (64, 8, 8, 3), dtype=np.uint8)


def png(number=0, size=8):
    """The bytes of a picture of its own."""
    return encoded(Image.fromarray(NOISE[number]).resize((size, size)))


def encoded(pixels):
    """The bytes of a PNG of uint8 (H, W, 3)."""
    file = io.BytesIO()
    Image.fromarray(np.asarray(pixels)).save(file, "PNG")
    return file.getvalue()


def pack(path, members):
    """An archive of name → bytes; a value may also be the TarInfo of something else."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
            for name, content in members.items():
                file.writestr(name, content)
        return path
    with tarfile.open(path, MODES[path.suffix[1:]]) as file:
        for name, content in members.items():
            info = content if isinstance(content, tarfile.TarInfo) else tarfile.TarInfo(name)
            if info is content:
                file.addfile(info)
            else:
                info.size = len(content)
                file.addfile(info, io.BytesIO(content))
    return path


def tar_entry(name, kind, **settings):
    info = tarfile.TarInfo(name)
    info.type = kind
    for key, value in settings.items():
        setattr(info, key, value)
    return info


def texts(images):
    return [str(image) for image in images]


def nca(*arguments, stdin=None):
    return CliRunner().invoke(app, [str(argument) for argument in arguments], input=stdin)


@pytest.fixture
def three(tmp_path):
    """Three pictures in two folders, by name; two of them have one name."""
    return {f"set/{name}.png": png(i) for i, name in enumerate(("b/0001", "a/0002", "a/0001"))}


# --- the same images ----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_a_member_is_the_image_that_it_is_as_a_file(tmp_path, three, kind):
    for name, content in three.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    files = find_images([tmp_path / "set"])
    members = find_images([pack(tmp_path / f"faces.{kind}", three)])
    members.sort(key=str)
    assert [image_name(member) for member in members] == ["0001", "0002", "0001"]
    for file, member in zip(files, members, strict=True):
        assert (member.name, member.stem) == (file.name, file.stem)
        assert image_digest(member, 16, "pad") == image_digest(file, 16, "pad")
        assert np.array_equal(load_image(member, 16).pixels, load_image(file, 16).pixels)


@pytest.mark.parametrize("kind", KINDS)
def test_folders_and_members_are_named_like_files(tmp_path, monkeypatch, three, kind):
    monkeypatch.chdir(tmp_path)
    name = pack(Path(f"faces.{kind}"), three).name
    everything = {f"{name}/{member}" for member in three}
    for whole in (name, f"./{name}", f"{name}/", f"{name}/set", f"{name}/set/", f"f*.{kind}"):
        assert set(texts(find_images([whole]))) == everything
    assert set(texts(find_images([f"{name}/set/a"]))) == everything - {f"{name}/set/b/0001.png"}
    assert texts(find_images([f"{name}/set/a/0001.png"])) == [f"{name}/set/a/0001.png"]
    lines = io.StringIO(f"{name}/set/b\n{name}/set/a/0002.png\n")
    assert len(find_images(["-"], stdin=lines)) == 2
    assert texts(find_images(find_images([f"{name}/set/b"]))) == [f"{name}/set/b/0001.png"]


@pytest.mark.parametrize("kind", ["zip", "tar", "tgz"])
def test_what_is_hidden_and_what_macos_adds_is_passed_over(tmp_path, kind):
    hidden = [
        ".DS_Store",
        "a/._1.png",
        ".git/1.png",
        "__MACOSX/a/1.png",
        "a/notes.txt",
        "Thumbs.db",
    ]
    members = {name: png() for name in (*hidden, "./a//1.png", "A/2.JPEG")}
    path = pack(tmp_path / f"faces.{kind}", members)
    assert {member.path for member in find_images([path])} == {"a/1.png", "A/2.JPEG"}


def test_a_named_member_is_taken_whatever_its_suffix(tmp_path):
    path = pack(tmp_path / "faces.zip", {"a/one.data": png(), "a/.two": png(1)})
    assert [load_image(each, 8).size for each in find_images([path / "a/one.data"])] == [(8, 8)]
    assert texts(find_images([path / "a/.two"])) == [f"{path}/a/.two"]


def test_an_archive_reached_twice_is_listed_once(tmp_path, three):
    path = pack(tmp_path / "faces.zip", three)
    (tmp_path / "link.zip").symlink_to(path)
    assert len(find_images([path, tmp_path / "link.zip", path / "set", f"{tmp_path}/*.zip"])) == 3


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_of_two_members_with_one_path_the_later_counts(tmp_path, kind):
    path = tmp_path / f"faces.{kind}"
    pack(path, {"1.png": png(0), "./1.png": png(1)})
    (member,) = find_images([path])
    assert member.open().read() == png(1)


def test_archives_in_a_searched_folder_are_left_closed_and_that_is_said(tmp_path, three):
    folder = tmp_path / "sets"
    folder.mkdir()
    path = pack(folder / "faces.zip", three)
    with pytest.raises(ImageError, match="sets: no images in this folder") as caught:
        find_images([folder])
    assert str(path) in caught.value.hint
    (folder / "own.png").write_bytes(png())
    assert find_images([folder]) == [folder / "own.png"]


def test_a_folder_may_be_called_like_an_archive(tmp_path):
    folder = tmp_path / "faces.zip"
    folder.mkdir()
    (folder / "a.png").write_bytes(png())
    assert find_images([folder]) == [folder / "a.png"]


def test_a_tar_is_decompressed_by_what_it_is_not_by_what_it_is_called(tmp_path, three):
    path = pack(tmp_path / "faces.tgz", three).rename(tmp_path / "faces.tar")
    assert len(find_images([path])) == 3


def test_long_and_foreign_names_are_read(tmp_path):
    names = [f"{'deep/' * 40}größe-{'x' * 120}.png", "月の猫.png"]
    for kind in ("zip", "tar", "tgz"):
        path = pack(tmp_path / f"faces.{kind}", {name: png() for name in names})
        assert {member.path for member in find_images([path])} == set(names)


# --- the price ----------------------------------------------------------------------------------


@pytest.fixture
def read_from(monkeypatch):
    """Bytes read from a file from here on, by its path: `read_from(path)`."""
    counts: dict[str, int] = {}

    class Counted(io.FileIO):
        def readinto(self, buffer):
            count = super().readinto(buffer)
            counts[os.fspath(self.name)] = counts.get(os.fspath(self.name), 0) + count
            return count

        def readall(self):
            content = super().readall()
            counts[os.fspath(self.name)] = counts.get(os.fspath(self.name), 0) + len(content)
            return content

    original = io.open

    def counted(file, mode="r", *rest, **options):
        if mode == "rb" and os.fspath(file).endswith(tuple(KINDS)):
            return io.BufferedReader(Counted(file))
        return original(file, mode, *rest, **options)

    monkeypatch.setattr(io, "open", counted)
    monkeypatch.setattr(builtins, "open", counted)
    return lambda path: counts.pop(os.fspath(path), 0)


@pytest.fixture
def many():
    """Twenty members of 30 kB that do not compress, in no order."""
    random = np.random.default_rng(1)
    return {f"{i:02}.png": random.bytes(30_000) for i in random.permutation(20)}


@pytest.mark.parametrize("kind", STREAMS)
@pytest.mark.parametrize("shuffled", [False, True])
def test_a_compressed_tar_is_read_once_to_list_it_and_once_for_each_use(
    tmp_path, many, read_from, kind, shuffled
):
    path = pack(tmp_path / f"faces.{kind}", many)
    lines = io.StringIO("".join(f"{path}/{name}\n" for name in sorted(many, reverse=True)))
    images = find_images(["-"], stdin=lines) if shuffled else find_images([path])
    once = path.stat().st_size + 3 * 8192
    assert read_from(path) <= once
    for _ in range(2):
        for image in images:
            image_digest(image, 8)
        assert read_from(path) <= once + CHUNK // 8


def test_the_engine_reads_a_compressed_tar_three_times_in_all(tmp_path, read_from):
    pictures = {f"{i:02}.png": png(i, 64) for i in range(20)[::-1]}
    path = pack(tmp_path / "faces.tgz", pictures)
    summary = noise_images(path, store=tmp_path / "s", models=["wiener"], size=16, t=[300])
    assert (summary.computed, summary.errors) == (20, [])
    assert read_from(path) <= 3 * (path.stat().st_size + 3 * 8192)


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_of_zips_and_plain_tars_only_what_is_asked_for_is_read(tmp_path, many, read_from, kind):
    path = pack(tmp_path / f"faces.{kind}", many)
    images = find_images([path])
    assert read_from(path) < path.stat().st_size / (3 if kind == "tar" else 50)
    image_digest(images[-1], 8)
    assert 30_000 <= read_from(path) < 60_000


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="counts descriptors in /proc")
def test_a_thousand_archives_need_two_descriptors(tmp_path):
    for i in range(30):
        pack(tmp_path / f"{i}.{('zip', 'tar', 'tgz')[i % 3]}", {"a.png": png(i)})
    before = len(os.listdir("/proc/self/fd"))
    images = find_images([f"{tmp_path}/*"])
    assert len({image_digest(image, 8) for image in images}) == 30
    assert len(os.listdir("/proc/self/fd")) <= before + 2


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_a_listed_member_takes_a_kilobyte_and_a_half_at_most(tmp_path, kind):
    names = [f"img_align_celeba/{i:06}.jpg" for i in range(3000)]
    path = pack(tmp_path / f"celeba.{kind}", dict.fromkeys(names, b""))
    tracemalloc.start()
    images = find_images([path])
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert texts(images) == [f"{path}/{name}" for name in names]
    assert kept < 1500 * len(names)


# --- refusals -----------------------------------------------------------------------------------


def read_all(path):
    return [load_image(image, 8) for image in find_images([path])]


def refused(path, *words, inside=""):
    """One line, that names the archive and what is wrong with it; returns the line."""
    with pytest.raises(ImageError) as caught:
        read_all(path / inside)
    line = caught.value.what
    assert line.startswith(f"{path}")
    assert "\n" not in line
    for word in words:
        assert word in line
    return line


@pytest.mark.parametrize("kind", ["zip", "tar", "tgz"])
@pytest.mark.parametrize("name", ["../up.png", "a/../../up.png", "/etc/up.png", "..\\up.png"])
def test_names_that_lead_out_of_the_archive_are_refused(tmp_path, kind, name):
    path = pack(tmp_path / f"faces.{kind}", {name: png(), "good.png": png(1)})
    (tmp_path / "up.png").write_bytes(png(2))
    good, bad = sorted(find_images([path]), key=lambda image: image.name != "good.png")
    assert load_image(good, 8).size == (8, 8)
    with pytest.raises(ImageError, match=r"faces.*up\.png: its name points outside the archive"):
        load_image(bad, 8)


def test_a_path_that_leads_out_of_an_archive_finds_nothing(tmp_path, three):
    (tmp_path / "up.png").write_bytes(png())
    refused(pack(tmp_path / "faces.zip", three), "no image", inside="../up.png")


LINKS = {
    "a symbolic link": tar_entry("bad.png", tarfile.SYMTYPE, linkname="../up.png"),
    "a hard link": tar_entry("bad.png", tarfile.LNKTYPE, linkname="/etc/passwd"),
    "a device": tar_entry("bad.png", tarfile.CHRTYPE, devmajor=1, devminor=5),
    "a pipe": tar_entry("bad.png", tarfile.FIFOTYPE),
}


@pytest.mark.parametrize("entry", LINKS.values(), ids=LINKS)
@pytest.mark.parametrize("kind", ["tar", "tgz"])
def test_links_devices_and_pipes_are_refused(tmp_path, kind, entry):
    (tmp_path / "up.png").write_bytes(png())
    path = pack(tmp_path / f"faces.{kind}", {"bad.png": entry, "good.png": png()})
    refused(path, "bad.png", "not read")
    assert len(find_images([path / "good.png"])) == 1


def test_a_link_in_a_zip_is_refused(tmp_path):
    path, info = tmp_path / "faces.zip", zipfile.ZipInfo("bad.png")
    info.external_attr = 0o120777 << 16
    with zipfile.ZipFile(path, "w") as file:
        file.writestr(info, "/etc/passwd")
    refused(path, "bad.png", "a link")


def test_archives_in_archives_are_left_closed(tmp_path, three):
    inner = pack(tmp_path / "inner.zip", three).read_bytes()
    path = pack(tmp_path / "outer.tar", {"inner.zip": inner})
    with pytest.raises(ImageError, match="no images in this archive") as caught:
        find_images([path])
    assert caught.value.hint == "archives in archives are not opened"
    refused(path, "archives in archives", inside="inner.zip")
    refused(path, "no image", inside="inner.zip/set")


def flagged(path, flag):
    """A zip whose members say that they are encrypted."""
    content = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as file:
        places = [info.header_offset + 6 for info in file.infolist()]
    start = content.index(b"PK\1\2")
    while content[start : start + 4] == b"PK\1\2":
        places.append(start + 8)
        start += 46 + sum(struct.unpack("<HHH", content[start + 28 : start + 34]))
    for place in places:
        content[place] |= flag
    path.write_bytes(content)
    return path


def test_encrypted_members_are_refused_in_one_line(tmp_path, three):
    path = flagged(pack(tmp_path / "faces.zip", three), 1)
    errors = []
    assert find_images([path], on_error=errors.append) == []
    assert [error.what for error in errors] == [f"{path}/set/a/0001.png: encrypted, not read"]
    assert errors[0].hint == "none of the 3 images there can be read"
    refused(path, "b/0001.png: encrypted", inside="set/b/0001.png")


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_zips_are_read_only_where_memory_is_bounded(tmp_path, method):
    path = tmp_path / "faces.zip"
    with zipfile.ZipFile(path, "w", method) as file:
        file.writestr("a.png", png())
    refused(path, "a.png: compressed in a way", "deflate")


def test_a_member_larger_than_any_picture_is_refused_unread(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "MAX_BYTES", 2_000_000)
    for kind in ("zip", "tar", "tgz"):
        path = pack(tmp_path / f"faces.{kind}", {"a.png": bytes(2_000_001)})
        monkeypatch.setattr(archives, "_exactly", lambda *_: pytest.fail("read"))
        refused(path, "a.png: more than 2 MB")


@pytest.mark.parametrize("kind", ["zip", "tar.gz", "tar.bz2", "tar.xz"])
def test_what_expands_too_far_is_refused_before_it_does(tmp_path, monkeypatch, kind):
    path = pack(tmp_path / f"faces.{kind}", {"a.png": bytes(5_000_000), "b.png": png()})
    monkeypatch.setattr(archives, "FREE", 1_000_000)
    tracemalloc.start()
    refused(path, "expands more than 500 times")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < (10_000_000 if kind == "tar.xz" else 2_500_000), "xz has a window of 8 MB"


def test_zeros_after_the_last_member_are_a_bomb_as_well(tmp_path, monkeypatch):
    plain = pack(tmp_path / "faces.tar", {"a.png": png()}).read_bytes()
    path = tmp_path / "faces.tgz"
    path.write_bytes(gzip.compress(plain + bytes(9_000_000)))
    monkeypatch.setattr(archives, "FREE", 3_000_000)
    refused(path, "expands more than 500 times")


def test_members_that_share_their_bytes_are_a_bomb(tmp_path):
    path = pack(tmp_path / "faces.zip", {"a.png": png(), "b.png": png(1)})
    content = bytearray(path.read_bytes())
    second = content.index(b"PK\1\2", content.index(b"PK\1\2") + 1)
    content[second + 42 : second + 46] = struct.pack("<I", 10)  # it begins within the first
    path.write_bytes(content)
    refused(path, "b.png overlaps another member")


def central_size(path, size):
    """A zip whose directory gives its only member another size; its own header as well."""
    content = bytearray(path.read_bytes())
    for place in (22, content.index(b"PK\1\2") + 24):
        content[place : place + 4] = struct.pack("<I", size)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("size", [0, 10, 100_000, 400_000_000])
def test_a_lying_zip_header_is_damage_and_takes_no_memory(tmp_path, size):
    path = central_size(pack(tmp_path / "faces.zip", {"a.png": os.urandom(3_000_000)}), size)
    tracemalloc.start()
    line = refused(path, "a.png: ")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert "truncated" in line or "damaged" in line or "not an image" in line
    assert peak < 12_000_000


def test_a_zip_of_endless_zeros_that_claims_to_be_small_is_cut_off(tmp_path):
    path = central_size(pack(tmp_path / "faces.zip", {"a.png": bytes(60_000_000)}), 1000)
    tracemalloc.start()
    refused(path, "a.png: damaged", "CRC")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4_000_000


def headers_only(**settings):
    info = tarfile.TarInfo("a.png")
    for key, value in settings.items():
        setattr(info, key, value)
    return info.tobuf(tarfile.GNU_FORMAT)


LIES = {
    "a size of 8 TB": headers_only(size=8 << 40),
    "a size below zero": headers_only(size=-5000),
    "a long name of 2 GB": headers_only(size=2 << 30, type=tarfile.GNUTYPE_LONGNAME),
    "extended headers of 2 GB": headers_only(size=2 << 30, type=tarfile.XHDTYPE),
    "endless extended headers": headers_only(size=0, type=tarfile.XHDTYPE) * 3000,
}


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
@pytest.mark.parametrize("compress", [bytes, gzip.compress], ids=["tar", "tgz"])
def test_lying_tar_headers_are_damage_at_once(tmp_path, lie, compress):
    path = tmp_path / "faces.tar"
    path.write_bytes(compress(lie + bytes(10240)))
    tracemalloc.start()
    refused(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8_000_000


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
def test_a_truncated_archive_is_refused(tmp_path, many, kind, share):
    path = pack(tmp_path / f"faces.{kind}", many)
    content = path.read_bytes()
    end = content.rindex(b"PK\5\6") + 21 if kind == "zip" else path.stat().st_size
    end = end if kind != "tar" else 20 * (512 + 30_208)
    path.write_bytes(content[: int(share * end)])
    refused(path)


def test_a_tar_that_is_cut_between_two_members_is_refused_by_name(tmp_path, many):
    path = pack(tmp_path / "faces.tar", many)
    for extra in (0, 100):
        path.write_bytes(path.read_bytes()[: 10 * (512 + 30_208) + extra])
        refused(path, f"truncated or damaged after {list(many)[9]}")


def test_a_damaged_header_in_the_middle_never_hides_the_rest(tmp_path, many):
    path = pack(tmp_path / "faces.tar", many)
    content = bytearray(path.read_bytes())
    content[7 * (512 + 30_208)] ^= 0xFF
    path.write_bytes(content)
    refused(path, f"damaged after {list(many)[6]}")


def test_a_member_that_is_damaged_costs_itself_alone(tmp_path, many):
    path = pack(tmp_path / "faces.zip", many)
    content = bytearray(path.read_bytes())
    content[zipfile.ZipFile(path).infolist()[5].header_offset + 1000] ^= 0xFF
    path.write_bytes(content)
    bad = []
    for image in find_images([path]):
        try:
            image_digest(image, 8)
        except ImageError as error:
            bad.append(error.what)
    assert len(bad) == 1
    assert list(many)[5] in bad[0]
    assert "CRC" in bad[0]


@pytest.mark.parametrize("kind", STREAMS)
def test_damage_in_a_compressed_tar_is_always_noticed(tmp_path, many, kind):
    random = np.random.default_rng(2)
    path = pack(tmp_path / f"faces.{kind}", dict(list(many.items())[:4]))
    whole = path.read_bytes()
    for place in random.integers(12, len(whole) - 12, 8):
        content = bytearray(whole)
        content[place] ^= 1 << random.integers(8)
        path.write_bytes(content)
        refused(path)


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_damage_anywhere_gives_images_or_an_image_error(tmp_path, three, kind):
    random = np.random.default_rng(3)
    path = pack(tmp_path / f"faces.{kind}", three)
    whole = path.read_bytes()
    for _ in range(60):
        content = bytearray(whole)
        for place in random.integers(0, len(content), 4):
            content[place] = random.integers(0, 256)
        path.write_bytes(content)
        with suppress(ImageError):
            read_all(path)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("content", [b"", b"hello, world\n", b"\x1f\x8b", b"PK\3\4", bytes(100)])
def test_what_is_no_archive_is_called_so(tmp_path, kind, content):
    path = tmp_path / f"faces.{kind}"
    path.write_bytes(content)
    refused(path)


def test_an_unreadable_archive_and_one_without_images_are_one_line(tmp_path):
    for kind in KINDS:
        path = pack(tmp_path / f"faces.{kind}", {"notes.txt": b"", "a/.hidden.png": png()})
        refused(path, "no images in this archive")
        refused(path, "no image or folder of this name in the archive", inside="a")
    with pytest.raises(ImageError, match=r"gone\.zip: no such file"):
        find_images([tmp_path / "gone.zip"])
    with pytest.raises(ImageError, match="no such file"):
        find_images([tmp_path / "gone.zip" / "a.png"])


def test_an_archive_that_may_not_be_read_says_so(tmp_path, monkeypatch, three):
    path = pack(tmp_path / "faces.tar", three)

    def refuse(*arguments, **options):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(builtins, "open", refuse)
    assert refused(path) == f"{path}: Permission denied"


def test_members_can_be_sent_to_other_processes(tmp_path, three):
    member = find_images([pack(tmp_path / "faces.tgz", three)])[0]
    again = pickle.loads(pickle.dumps(member))
    assert image_digest(again, 8) == image_digest(member, 8)


def test_more_members_than_sensible_are_refused(tmp_path, monkeypatch, many):
    monkeypatch.setattr(archives, "MAX_MEMBERS", 19)
    refused(pack(tmp_path / "faces.zip", many), "more than 19 members")
    refused(pack(tmp_path / "faces.tgz", many), "more than 19 members")


def test_members_of_a_zip_are_counted_before_an_object_is_made_of_each(tmp_path, monkeypatch, many):
    path = pack(tmp_path / "faces.zip", many)
    content = bytearray(path.read_bytes())
    end = content.index(b"PK\5\6")
    content[end + 8 : end + 12] = struct.pack("<HH", 1, 1)  # "one member"
    (tmp_path / "lying.zip").write_bytes(content)
    monkeypatch.setattr(zipfile, "ZipInfo", lambda *_: pytest.fail("a member was listed"))
    for limit, value in (("MAX_MEMBERS", 19), ("MAX_DIRECTORY", 100)):
        with monkeypatch.context() as patch:
            patch.setattr(archives, limit, value)
            for name in ("faces.zip", "lying.zip"):
                refused(tmp_path / name, "more than")


def test_a_broken_archive_that_many_lines_lead_to_is_said_once(tmp_path):
    (tmp_path / "faces.zip").write_bytes(b"PK")
    errors: list[NcaError] = []
    lines = io.StringIO("".join(f"{tmp_path}/faces.zip/{i}.png\n" for i in range(9)))
    assert find_images(["-"], stdin=lines, on_error=errors.append) == []
    assert len(errors) == 1


# --- with the program ---------------------------------------------------------------------------


WIENER = ("--model", "wiener", "--size", "16", "--t", "300", "-s", "one-step")


@pytest.mark.parametrize("kind", ["zip", "tgz"])
def test_an_archive_and_its_files_share_one_cache(tmp_path, faces, kind):
    members = {f"x/{path.name}": path.read_bytes() for path in faces.iterdir()}
    path, stores = pack(tmp_path / f"faces.{kind}", members), (tmp_path / "s1", tmp_path / "s2")
    before = set(tmp_path.rglob("*"))
    for store, (first, then) in zip(stores, ((path, faces), (faces, path)), strict=True):
        made = nca("reconstruct", first, *WIENER, "--store", store)
        assert made.exit_code == 0, made.output
        assert "3 images: 3 of 3 to compute" in made.stderr
        times = {file: file.stat().st_mtime_ns for file in store.rglob("*")}
        again = nca("reconstruct", then, *WIENER, "--store", store)
        assert "3 images: all 3 samples cached" in again.stderr
        assert sorted(again.stdout.split()) == sorted(made.stdout.split())
        assert {file: file.stat().st_mtime_ns for file in store.rglob("*")} == times
    new = set(tmp_path.rglob("*")) - before
    assert all(stores[0] in (p, *p.parents) or stores[1] in (p, *p.parents) for p in new)
    infos = {artifact.image_info["file"] for artifact in Store(stores[0]).select()}
    assert infos == {"anna.png", "ben.png", "cleo.png"}


@pytest.mark.parametrize("kind", ["tar", "tgz"])
def test_a_tar_that_is_edited_meanwhile_never_lends_its_names_to_other_pictures(tmp_path, kind):
    pixels = np.random.default_rng(1).integers(0, 256, (2, 3, 256, 256, 3), dtype=np.uint8)
    before, after = ({f"{i}.png": encoded(each) for i, each in enumerate(some)} for some in pixels)
    path, store, errors = tmp_path / f"faces.{kind}", Store(tmp_path / "s"), []
    pack(path, before)
    (plan,) = noise_plans(Request([path], ["demo"], [20]), store)
    pack(path, {**before, "1.png": after["1.png"], "2.png": after["2.png"]})
    list(Noising(plan, on_error=errors.append))
    assert {type(error) for error in errors} == {ImageError}
    for name, content in before.items():
        (tmp_path / name).write_bytes(content)
    for noise in store.select():
        expected = load_image(tmp_path / f"{noise.image_name}.png", 64).pixels
        np.testing.assert_array_equal(noise.fixed("x0"), expected)


def test_equal_names_in_an_archive_are_told_apart(tmp_path, three):
    path, store = pack(tmp_path / "faces.tar", three), tmp_path / "store"
    assert nca("noise", path, *WIENER[:6], "--store", store).exit_code == 0
    (model,) = Store(store).models()
    folders = Store(store).images(model)
    assert sorted(folder[:4] for folder in folders) == ["0001", "0001", "0002"]
    names = Names(Store(store).select())
    assert {names.image(artifact) for artifact in Store(store).select()} == {
        folder if folder.startswith("0001") else "0002" for folder in folders
    }


def test_one_bad_member_among_many_is_left_out_and_listed(tmp_path, three):
    path = pack(tmp_path / "faces.tgz", {**three, "set/bad.png": b"no picture"})
    result = nca("noise", path, *WIENER[:6], "--store", tmp_path / "store")
    assert result.exit_code == 1
    assert f"{path}/set/bad.png: not an image" in result.stderr.replace("\n", "")
    assert "1 input left out, the others are done" in result.stderr
    assert len(result.stdout.split()) == 3


def test_members_can_be_piped_in(tmp_path, three):
    path = pack(tmp_path / "faces.zip", three)
    result = nca("noise", "-", *WIENER[:6], "--store", tmp_path / "s", "--json",
                 stdin=f"{path}/set/b/0001.png\n{path}/set/a\n")  # fmt: skip
    assert '"computed": 3' in result.stdout


def test_python_takes_archives_and_members_alike(tmp_path, three):
    path = pack(tmp_path / "faces.tar.xz", three)
    settings = {"models": ["wiener"], "size": 16, "t": [300], "samplers": ["one-step"]}
    summary = reconstruct(path, store=tmp_path / "s", **settings)
    assert (summary.computed, summary.errors) == (3, [])
    assert reconstruct(*find_images([path]), store=tmp_path / "s", **settings).cached == 3
    assert len(open_archive(path).members) == 3


def test_a_cache_hit_from_an_archive_loads_no_torch_and_no_decoder(tmp_path, three):
    path, store = pack(tmp_path / "faces.zip", three), tmp_path / "store"
    arguments = ["reconstruct", str(path), *WIENER, "--store", str(store)]
    assert nca(*arguments).exit_code == 0
    code = (
        "import sys\nfrom nca_cli.cli import app\ntry:\n    app(sys.argv[1:])\n"
        "except SystemExit as end:\n    assert not end.code\n"
        "print(*sorted({'PIL', 'torch', 'diffusers'} & set(sys.modules)))"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True
    )
    assert run.stdout.splitlines()[-1] == ""
    assert "all 3 samples cached" in run.stderr


def test_the_page_on_images_says_what_the_code_does():
    page = (Path(__file__).parent.parent / "docs" / "images.md").read_text()
    for ending in archives.ENDINGS:
        assert f"`{ending}`" in page
    for fit in images.FITS:
        assert f"| `{fit}` |" in page
    assert f"{archives.MAX_BYTES // 1_000_000} MB" in page
    assert f"more than {archives.RATIO} times" in page
    assert f"over {archives.MAX_MEMBERS // 1_000_000} million members" in page
    assert f"{images.MAX_PIXELS // 1_000_000} million pixels" in page
