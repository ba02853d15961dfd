"""Which files of a folder are a network's weights: whole or in shards, the usual ones or a variant.

diffusers writes variants such as fp16 or non_ema beside the usual weights, or alone.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import NamedTuple

from nca_cli.models.pipeline import join, stems_of

VARIANT = r"[A-Za-z][\w-]*?"
SHARD = r"-\d+-of-\d+"
LORAS = (
    "pytorch_lora_weights.safetensors", "pytorch_lora_weights.bin", "adapter_config.json",
    "adapter_model.safetensors", "adapter_model.bin",
)  # fmt: skip
"""Files that hold what is to be added to the weights of another model."""
LORA = "is a LoRA, a change to the weights of another model ({})"
MERGE = "merge it into that model: load_lora_weights, fuse_lora, save_pretrained of its pipeline"


class _Spelling(NamedTuple):
    """How the files of one variant (`None`: the usual one) are called."""

    whole: str
    listing: str
    shards: re.Pattern[str]


def choose_weights(
    files: Iterable[str], folder: str, variant: str | None = None
) -> tuple[str, ...]:
    """The weight files of the network in `folder`: of the variant, else the usual ones, else of the
    only variant there is.

    Safetensors before .bin, whole before shards; sharded weights come index first.
    """
    names, stems = set(files), stems_of(folder)
    alone = variants(names, folder)
    for each in (variant, None, *(alone if len(alone) == 1 else ())):
        if found := _of(each, names, folder, stems):
            return found
    return ()


def usual_weights(
    files: Iterable[str], folder: str, stems: Mapping[str, str] | None = None
) -> tuple[str, ...]:
    """As `choose_weights`, but no variant."""
    return _of(None, set(files), folder, stems or stems_of(folder))


def variants(files: Iterable[str], folder: str) -> list[str]:
    """The variants of the weights in `folder`, each of which is there as a whole."""
    names, stems = set(files), stems_of(folder)
    told = {variant_of(name, folder) for name in names}
    return sorted(each for each in told if each and _of(each, names, folder, stems))


def variant_of(file: str, folder: str) -> str | None:
    """Which variant of the weights in `folder` a file is of; `None`: the usual one, or none."""
    for suffix, stem in stems_of(folder).items():
        start, end = re.escape(join(folder, stem)), re.escape(suffix)
        forms = (
            rf"{start}\.({VARIANT})(?:{SHARD})?\.{end}",
            rf"{start}{SHARD}\.({VARIANT})\.{end}",
            rf"{start}\.{end}\.index\.({VARIANT})\.json",
        )
        for form in forms:
            if match := re.fullmatch(form, file):
                return match[1]
    return None


def lora_among(files: Iterable[str]) -> str | None:
    """The file that says that a folder holds a LoRA; `None` where none does."""
    names = {file.rpartition("/")[2] for file in files}
    return next((name for name in LORAS if name in names), None)


def is_lora(keys: Iterable[str]) -> str | None:
    """A key that only a LoRA has; `None` where there is none."""
    return next((key for key in keys if re.search(r"(^|[._])lora[._]", key)), None)


def _of(
    variant: str | None, names: Collection[str], folder: str, stems: Mapping[str, str]
) -> tuple[str, ...]:
    """The files of one variant; nothing where they are not all there."""
    for suffix, stem in stems.items():
        spelling = _spelling(join(folder, stem), suffix, variant)
        if spelling.whole in names:
            return (spelling.whole,)
        shards = list(_shards(names, spelling.shards))
        if spelling.listing in names and shards:
            return (spelling.listing, *shards)
    return ()


def _spelling(start: str, suffix: str, variant: str | None) -> _Spelling:
    begin, end, count = re.escape(start), re.escape(suffix), r"-\d+-of-(\d+)"
    if variant is None:
        shards = re.compile(rf"{begin}{count}\.{end}")
        return _Spelling(f"{start}.{suffix}", f"{start}.{suffix}.index.json", shards)
    mid = re.escape(variant)
    newer, older = rf"{begin}\.{mid}{count}\.{end}", rf"{begin}{count}\.{mid}\.{end}"
    whole, index = f"{start}.{variant}.{suffix}", f"{start}.{suffix}.index.{variant}.json"
    return _Spelling(whole, index, re.compile(rf"{newer}|{older}"))


def _shards(names: Collection[str], pattern: re.Pattern[str]) -> Iterator[str]:
    """All shards 1 to N of N, or nothing while one is missing."""
    matches = [match for match in map(pattern.fullmatch, names) if match]
    counts = {int(next(filter(None, reversed(match.groups())))) for match in matches}
    if counts == {len(matches)}:
        yield from sorted(match[0] for match in matches)
