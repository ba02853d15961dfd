"""What carries the store, for any input that Hypothesis thinks of.

`EXAMPLES=1000 pytest tests/test_properties.py` tries more, and others each time: `make soak`.
"""

from __future__ import annotations

import math
import os
import tempfile
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from stores import DDIM, header, place_of

from nca_cli.errors import UsageError
from nca_cli.images import image_name
from nca_cli.models import find_model, recipe_for
from nca_cli.models.origins import safe_name
from nca_cli.recipe import LARGEST, MAX_SEED, MOST_NUMBERS, Recipe, parse_list
from nca_cli.sampler_choice import SamplerChoice
from nca_cli.samplers import METHODS
from nca_cli.shard import Shard
from nca_cli.store import Samples, Store
from nca_cli.store.check import check
from nca_cli.store.index import Index, stamp_of
from nca_cli.store.layout import INDEX_FILE, image_folder, split_folder

EXAMPLES = int(os.environ.get("EXAMPLES", 0))
settings.register_profile(
    "nca", deadline=None, database=None, max_examples=EXAMPLES or 15, derandomize=not EXAMPLES,
    suppress_health_check=[HealthCheck.too_slow],
)  # fmt: skip
settings.load_profile("nca")
FEW = settings(max_examples=EXAMPLES or 6)
"""For what commits several times."""
MANY = settings(max_examples=4 * (EXAMPLES or 15))
"""For what touches no file."""
SIDE = 2


# --- merging --------------------------------------------------------------------------------------

levels = st.one_of(st.integers(0, 4), st.sampled_from([0.5, 1.0, 2.25, 999.999]))
seeds = st.one_of(st.integers(0, 2), st.sampled_from([2**53 + 1, MAX_SEED]))
keys = st.tuples(levels, seeds)
commits = st.lists(st.lists(keys, min_size=1, max_size=5), min_size=1, max_size=5)


def numbers(key) -> np.ndarray:
    """What the sample of a key holds; 1 and 1.0 are one level."""
    stream = np.random.default_rng([int(key[0] * 1000), key[1]])
    return stream.uniform(-1, 1, (3, SIDE, SIDE)).astype(np.float32)


def commit(store: Store, keys, replace: bool = False) -> None:
    samples = Samples.at(keys, lambda t: -t, {"x0_hat": np.stack([*map(numbers, keys)])})
    store.commit(place_of(store), DDIM.name, header(DDIM), samples, replace=replace)


@FEW
@given(commits, st.sampled_from([1, 400, 10**6]), st.randoms(use_true_random=False))
def test_samples_in_any_order_and_split_make_the_same_artifact(some, part_bytes, chance):
    every = {key for keys in some for key in keys}
    shuffled = [key for keys in some for key in keys]
    chance.shuffle(shuffled)
    for order in (some, [shuffled]):
        with tempfile.TemporaryDirectory() as folder:
            store = Store(folder, part_bytes=part_bytes)
            for part in order:
                commit(store, part)
            (artifact,) = Store(folder).select()
            assert artifact.keys == every
            assert len(artifact) == len(every)
            stored = artifact.read("x0_hat", sorted(every))
            np.testing.assert_array_equal(stored, [numbers(key) for key in sorted(every)])
            assert [check(part).reason for part in artifact.parts] == [""] * len(artifact.parts)


@FEW
@given(st.lists(keys, min_size=1, max_size=6, unique=True), st.data())
def test_what_is_removed_goes_and_the_rest_stays(held, data):
    gone = set(data.draw(st.lists(st.sampled_from(held), max_size=6)))
    with tempfile.TemporaryDirectory() as folder:
        store = Store(folder, part_bytes=400)
        commit(store, held)
        (artifact,) = store.select()
        store.remove(artifact, gone)
        rest = sorted(set(held) - gone)
        found = Store(folder).select()
        assert [sorted(each.keys) for each in found] == ([rest] if rest else [])
        for each in found:
            expected = [numbers(key) for key in rest]
            np.testing.assert_array_equal(each.read("x0_hat", rest), expected)


# --- lists ----------------------------------------------------------------------------------------

ranges = st.tuples(st.integers(-50, 50), st.integers(1, 60), st.integers(1, 9)).map(
    lambda each: range(each[0], each[0] + each[1], each[2])
)
floats = st.floats(-1e9, 1e9, allow_nan=False).filter(lambda each: "e" not in repr(each))
items = st.one_of(st.integers(-(10**9), 10**9), floats, ranges)


def written(item) -> str:
    if isinstance(item, range):
        return f"{item.start}:{item.stop}" + (f":{item.step}" if item.step > 1 else "")
    return repr(item)


@MANY
@given(st.lists(st.lists(items, min_size=1, max_size=4), min_size=1, max_size=3))
def test_a_list_means_its_numbers_each_once_in_their_order(options):
    texts = [", ".join(map(written, option)) for option in options]
    every = [n for option in options for item in option
             for n in (item if isinstance(item, range) else [item])]  # fmt: skip
    found = parse_list(texts)
    assert found == list(dict.fromkeys(every))


@MANY
@given(st.lists(st.text(alphabet="0123456789:,.-+eE nainf_ \t٣∞", max_size=12), max_size=3))
def test_any_text_is_a_list_of_numbers_or_refused(texts):
    try:
        found = parse_list(texts)
    except UsageError:
        return
    assert len(found) <= MOST_NUMBERS
    assert all(math.isfinite(number) and abs(number) <= LARGEST for number in found)


# --- names ----------------------------------------------------------------------------------------

stems = st.text(min_size=1, max_size=255).filter(lambda each: "/" not in each and "\0" not in each)
DIGEST = "0123456789ab" * 6


@MANY
@given(stems)
def test_a_picture_of_any_name_has_a_folder_of_its_own_on_every_system(stem):
    name = image_name(Path(f"{stem}.png"))
    folder = image_folder(name, DIGEST)
    assert split_folder(folder) == (name, DIGEST[:12])
    assert len(folder.encode()) <= 255
    assert not set(folder) & set('<>:"/\\|?* \t\n\0')
    assert name
    assert name[0] not in ".-"
    assert name[-1] not in ".-"
    assert all(unicodedata.category(character)[0] not in "CZ" for character in name)
    assert unicodedata.normalize("NFC", name) == name
    assert image_name(Path(f"{name}.png")) == name


@given(stems)
def test_its_folder_can_be_made(stem):
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / image_folder(image_name(Path(f"{stem}.png")), DIGEST)
        place.mkdir()
        assert [each.name for each in Path(folder).iterdir()] == [place.name]


@MANY
@given(st.text(max_size=300))
def test_a_model_of_any_name_has_a_plain_one(label):
    name = safe_name(label)
    assert name
    assert name.isascii()
    assert len(name) <= 80
    assert safe_name(name) == name


@given(
    st.sampled_from(["straße", "Ångström", "ΣΑΣ", "İstanbul", "ǅ", "cat", "CAT", "ﬁ"]), st.data()
)
def test_names_that_differ_in_case_alone_are_two_folders_on_any_disk(word, data):
    other = data.draw(st.sampled_from([str.upper, str.lower, str.title, str.casefold]))(word)
    folders = [image_folder(image_name(Path(f"{each}.png")), digest)
               for each, digest in ((word, "a" * 64), (other, "b" * 64))]  # fmt: skip
    assert len({folder.casefold() for folder in folders}) == 2


# --- recipes --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def demo():
    return find_model("demo")


def choices():
    """Choices of a sampler; 0 and 0.0, 1 and 1.0 are the same η."""
    eta = st.sampled_from([0, 0.0, 0.5, 1, 1.0])
    return st.sampled_from(["one-step", "ddim", "ddpm", "pndm", "plms"]).flatmap(
        lambda name: st.builds(
            SamplerChoice, st.just(name), st.integers(1, 4),
            eta if "eta" in METHODS[name].takes else st.just(0.0),
            st.sampled_from([None, False, True][: 3 if "clip" in METHODS[name].takes else 2]),
        )
    )  # fmt: skip


@MANY
@given(choices(), choices())
def test_recipes_have_one_key_exactly_where_they_ask_for_the_same(demo, one, other):
    def asks(choice):
        method = METHODS[choice.name]
        clip = demo.scheduler["clip_sample"] if choice.clip is None else choice.clip
        return (
            choice.name, method.chain and choice.steps, "eta" in method.takes and choice.eta,
            "clip" in method.takes and clip,
        )  # fmt: skip

    first, second = (recipe_for(demo, choice) for choice in (one, other))
    assert (first.digest == second.digest) == (asks(one) == asks(other))
    assert (first.canonical() == second.canonical()) == (first == second)


@MANY
@given(choices(), st.text(max_size=20))
def test_a_recipe_is_read_back_as_it_was(demo, choice, prompt):
    recipe = recipe_for(demo, choice)
    assume(not any("\ud800" <= each <= "\udfff" for each in prompt))
    for each in (recipe, Recipe(**{**recipe.__dict__, "prompt": prompt})):
        assert Recipe.from_json(each.canonical()) == each
        assert Recipe.from_json(each.canonical()).digest == each.digest


# --- shards ---------------------------------------------------------------------------------------


costs = st.lists(st.lists(st.floats(0, 100), max_size=6), max_size=8)


@MANY
@given(st.integers(1, 9), costs)
def test_the_shards_of_a_plan_are_a_partition(count, work):
    shares = [Shard(index, count).of(work) for index in range(count)]
    assert all(len(share) == len(work) for share in shares)
    for row, columns in enumerate(work):
        held = [column for share in shares for column in share[row]]
        assert sorted(held) == list(range(len(columns)))


# --- the index ------------------------------------------------------------------------------------

accidents = st.lists(
    st.tuples(st.sampled_from(["commit", "flip", "touch", "tear", "lose", "swap", "foreign"]),
              st.integers(0, 2**31)), min_size=1, max_size=6,
)  # fmt: skip


def befall(store: Store, what: str, number: int) -> None:
    """Something that happens to a store between two commands."""
    parts, index = list(store.all_parts()), store.root / INDEX_FILE
    path = parts[number % len(parts)].path
    if what == "commit":
        commit(Store(store.root, part_bytes=400), [(number % 7, number % 3)])
    elif what == "flip":
        content = bytearray(path.read_bytes())
        content[number % len(content)] ^= 1 << number % 8
        path.write_bytes(content)
    elif what == "touch":
        os.utime(path, ns=(number, number))
    elif what == "tear":
        index.write_bytes(index.read_bytes()[: -(number % 40) or None])
    elif what == "lose":
        index.unlink()
    elif what == "swap":
        other = parts[(number + 1) % len(parts)].path.read_bytes()
        path.write_bytes(other)
    elif what == "foreign":
        index.write_bytes(index.read_bytes() + b'{"part": 3}\n[]\nnull\n\xff\n')


@FEW
@given(accidents)
def test_what_the_index_vouches_for_is_what_a_reading_of_all_finds_sound(happened):
    with tempfile.TemporaryDirectory() as folder:
        store = Store(folder, part_bytes=400)
        commit(store, [(1, 0), (2, 0), (3, 0)])
        for what, number in happened:
            if (store.root / INDEX_FILE).exists() or what in ("commit", "flip", "touch", "swap"):
                befall(store, what, number)
        index = Index(store.root)
        for part in Store(folder).all_parts():
            if index.vouches(part.in_store, stamp_of(part.path)):
                assert check(part).reason == ""
