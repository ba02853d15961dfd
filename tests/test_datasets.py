"""Some of a data set: the first images, a sample that everybody gets, and tables about them."""

import builtins
import os
import shutil
import tarfile
import zipfile
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from nca_cli.cli import app
from nca_cli.engine import Request, Shard, noise_plans
from nca_cli.errors import UsageError
from nca_cli.images import Choice, find_images, sample_images
from nca_cli.store import Store
from nca_cli.twins import reconstruct

NAMES = [f"{i // 10}/{i:04}.png" for i in range(100)]


def nca(*arguments, **environment):
    return CliRunner().invoke(app, [str(argument) for argument in arguments], env=environment)


def drawn(count, seed=0, names=NAMES):
    return Choice(sample=count, seed=seed).of(names, names)


@pytest.fixture
def dataset(tmp_path):
    """A folder `faces` of thirty files in three folders (no images: nothing opens them)."""
    for name in NAMES[::4] + NAMES[5:8] + NAMES[9:11]:
        path = tmp_path / "faces" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    return tmp_path / "faces"


def packed(folder, path, prefix=""):
    """The folder as an archive, its members in no order."""
    files = sorted((file for file in folder.rglob("*.png")), key=lambda file: file.name[::-1])
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            for file in files:
                archive.write(file, prefix + file.relative_to(folder).as_posix())
    else:
        with tarfile.open(path, "w:gz") as archive:
            for file in files:
                archive.add(file, prefix + file.relative_to(folder).as_posix())
    return path


# --- samples ------------------------------------------------------------------------------------


def test_a_sample_is_the_same_on_every_machine():
    assert drawn(5) == ["0/0000.png", "2/0024.png", "4/0045.png", "4/0046.png", "9/0091.png"]
    # the lowest of: printf 'nca-sample 0 0\n0/0000.png' | sha256sum, and so on
    assert drawn(2, seed=7) != drawn(2)


@pytest.mark.parametrize("seed", range(5))
def test_a_sample_holds_all_smaller_ones_and_keeps_the_order(seed):
    samples = [drawn(count, seed) for count in range(1, 101)]
    for count, (smaller, larger) in enumerate(pairwise(samples), start=1):
        assert len(smaller) == len(set(smaller)) == count
        assert set(smaller) < set(larger)
        assert smaller == sorted(smaller)
    assert samples[-1] == NAMES


def test_every_image_is_as_likely_as_any_other_and_pairs_are_independent():
    seeds = 3000
    samples = [set(drawn(3, seed, NAMES[:10])) for seed in range(seeds)]
    counts = Counter(name for sample in samples for name in sample)
    expected, deviation = 0.3 * seeds, (0.3 * 0.7 * seeds) ** 0.5
    assert all(abs(counts[name] - expected) < 4 * deviation for name in NAMES[:10])
    both = sum(NAMES[0] in sample and NAMES[1] in sample for sample in samples)
    assert both == pytest.approx(seeds * 3 * 2 / (10 * 9), rel=0.3)


def test_an_image_more_or_less_changes_one_place_at_most():
    for gone in NAMES[::9]:
        rest = [name for name in NAMES if name != gone]
        assert len(set(drawn(20)) - set(drawn(20, names=rest))) <= 1
        assert len(set(drawn(20, names=rest)) - set(drawn(20))) <= 1


def test_the_order_of_the_images_does_not_matter():
    assert set(drawn(20, names=NAMES[::-1])) == set(drawn(20))


def test_equal_names_are_drawn_independently():
    names = ["a.png", "a.png"]
    alone = [Choice(sample=1, seed=seed).of([0, 1], names)[0] for seed in range(200)]
    assert 60 < sum(alone) < 140


def test_two_spellings_of_one_name_are_one_name():
    names = ["gr\u00f6\u00dfe.png", "b.png", "c.png"]
    other = ["gro\u0308\u00dfe.png", "b.png", "c.png"]
    for seed in range(20):
        choice = Choice(sample=1, seed=seed)
        assert choice.of([0, 1, 2], names) == choice.of([0, 1, 2], other)


def names_of(images):
    return {"/".join(image.parts[-2:]) for image in images}


def test_a_data_set_gives_one_sample_wherever_and_however_it_lies(tmp_path, dataset, monkeypatch):
    choice = Choice(sample=8, seed=3)
    expected = names_of(find_images([dataset], choice))
    assert len(expected) == 8
    zipped = packed(dataset, tmp_path / "a.zip", "faces/")
    tarred = packed(dataset, tmp_path / "b.tgz", "./people/")
    bare, deep = packed(dataset, tmp_path / "c.zip"), packed(dataset, tmp_path / "d.tar", "a/b/")
    moved = Path(shutil.copytree(dataset, tmp_path / "elsewhere" / "people"))
    monkeypatch.chdir(tmp_path)
    ways = [zipped, zipped / "faces", "a.zip", tarred, bare, deep / "a/b", moved, "faces",
            "./faces/", f"{dataset}/*", "elsewhere/people/*/*.png"]  # fmt: skip
    for way in ways:
        assert names_of(find_images([way], choice)) == expected, way


def test_an_image_more_or_less_changes_one_place_of_a_folders_sample_at_most(tmp_path):
    """Also where it does not lie in the one folder that holds all others."""
    data = tmp_path / "set"

    def samples():
        """Of the folder, a glob, and an archive of the folder."""
        ways = (data, f"{data}/**/*.png", packed(data, tmp_path / "set.zip", "set/"))
        for way in ways:
            found = find_images([way], Choice(sample=20))
            yield {os.fspath(image).rpartition("/set/")[2] for image in found}

    (data / "train").mkdir(parents=True)
    for number in range(200):
        (data / "train" / f"{number:04}.png").touch()
    drawn = [next(samples())]
    for more in ("extra.png", "val/extra.png", "train/more/extra.png"):
        (data / more).parent.mkdir(exist_ok=True)
        (data / more).touch()
        folder, *others = samples()
        assert others == [folder, folder]
        drawn.append(folder)
    assert all(len(one - other) <= 1 for one, other in pairwise(drawn))


def test_a_sample_opens_no_file(dataset, monkeypatch):
    monkeypatch.setattr(builtins, "open", lambda *_, **__: pytest.fail("opened"))
    monkeypatch.setattr(Path, "open", lambda *_, **__: pytest.fail("opened"))
    assert len(find_images([dataset], Choice(sample=5))) == 5


# --- the first ----------------------------------------------------------------------------------


def test_the_first_images_are_those_found_first(dataset, tmp_path):
    files = find_images([dataset])
    assert find_images([dataset], Choice(limit=4)) == files[:4]
    assert find_images([files[9], dataset], Choice(limit=2)) == [files[9], files[0]]
    assert find_images([dataset], Choice(limit=1000)) == files
    for path in (packed(dataset, tmp_path / "a.zip"), packed(dataset, tmp_path / "a.tgz")):
        first = find_images([path], Choice(limit=4))
        assert names_of(first) == names_of(files[:4]), "not the first that lie in it"


@pytest.mark.parametrize(("settings", "words"), [
    ({"limit": 0}, "--limit 0"),
    ({"sample": -1}, "--sample -1"),
    ({"limit": 2, "sample": 2}, "--limit and --sample"),
    ({"sample_seed": 1}, "--sample-seed without --sample"),
])  # fmt: skip
def test_what_is_no_choice_is_wrong_usage(settings, words):
    with pytest.raises(UsageError, match=words):
        Request(["faces"], **settings)


def test_a_sample_larger_than_what_there_is_is_wrong_usage(dataset):
    with pytest.raises(UsageError, match="--sample 31, but only 30 found"):
        find_images([dataset], Choice(sample=31))
    assert len(find_images([dataset], Choice(sample=30))) == 30


# --- with the program ---------------------------------------------------------------------------


WIENER = {"models": ["wiener"], "size": 16, "t": [100, 300, 500], "samplers": ["one-step"]}


@pytest.fixture
def pictures(tmp_path):
    """Twelve pictures in an archive."""
    random = np.random.default_rng(0)
    folder = tmp_path / "pictures"
    folder.mkdir()
    for i in range(12):
        pixels = random.integers(0, 256, (16, 16, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{i:02}.png")
    return packed(folder, tmp_path / "pictures.tgz")


def test_shards_share_the_chosen_images_out(pictures, tmp_path):
    store = Store(tmp_path / "store")

    def wanted(shard):
        (plan,) = noise_plans(Request([pictures], sample=5, shard=shard, **WIENER), store)
        return [(image.digest, *key) for image in plan.images for key in image.noise]

    whole = wanted(Shard())
    shares = [wanted(Shard(i, 4)) for i in range(4)]
    assert len({digest for digest, *_ in whole}) == 5
    assert sorted(each for share in shares for each in share) == sorted(whole)
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_the_command_line_and_python_choose_the_same_images(pictures, tmp_path):
    options = ("--model", "wiener", "--size", "16", "--t", "300", "-s", "one-step")
    for choice, settings in (
        (("--sample", "4", "--sample-seed", "2"), {"sample": 4, "sample_seed": 2}),
        (("--limit", "3"), {"limit": 3}),
    ):
        store = tmp_path / choice[0]
        result = nca("reconstruct", pictures, *choice, *options, "--store", store)
        assert result.exit_code == 0, result.output
        summary = reconstruct(pictures, store=store, **settings, **{**WIENER, "t": [300]})
        assert (summary.computed, summary.cached) == (0, int(choice[1]))
        assert len(Store(store).images(Store(store).models()[0])) == int(choice[1])


def test_choices_can_come_from_the_environment(pictures, tmp_path):
    options = ("--model", "wiener", "--size", "16", "--t", "300", "--store", tmp_path / "s")
    result = nca("noise", pictures, *options, NCA_SAMPLE="3")
    assert "3 images: 3 of 3" in result.stderr
    result = nca("noise", pictures, *options, NCA_LIMIT="2", NCA_SAMPLE="3")
    assert result.exit_code == 2
    assert "--limit and --sample exclude each other" in result.stderr


def test_the_sample_images_can_be_chosen_from_too(tmp_path):
    store = Store(tmp_path / "store")
    (plan,) = noise_plans(Request(limit=2, models=["demo"], t=[300]), store)
    assert [image.source for image in plan.images] == sample_images("portraits")[:2]
    (plan,) = noise_plans(Request(sample=2, models=["demo"], t=[300]), store)
    assert len(plan.images) == 2
