"""Files of a pipeline: which of them hold its weights, and their JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

from nca_cli.errors import ModelError

STEM = "diffusion_pytorch_model"
TEXT_ENCODER = "text_encoder"
TOKENIZER = "tokenizer"
STEMS = {"safetensors": STEM, "bin": STEM}
TEXT_STEMS = {"safetensors": "model", "bin": "pytorch_model"}
"""Weight files are named by diffusers, those of a text encoder by transformers."""
VOCABULARIES = (("vocab.json", "merges.txt"), ("tokenizer.json",))
"""The vocabulary of a tokenizer, in either of two formats."""
WHOLE_VOCABULARY = VOCABULARIES[1:]
"""Of tokenizers whose other format takes a library of its own (SentencePiece)."""
TOKENIZER_FILES = (
    "vocab.json", "merges.txt", "tokenizer.json",
    "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
)  # fmt: skip


def choose_weights(files: Iterable[str], folder: str) -> tuple[str, ...]:
    """The weight files of the network in `folder`: safetensors before .bin, whole before shards.

    Variants (fp16, non_ema) and other dumps are never chosen. Sharded weights come index first.
    """
    names = set(files)
    for suffix, stem in stems_of(folder).items():
        whole = join(folder, f"{stem}.{suffix}")
        if whole in names:
            return (whole,)
        shards = _shards(names, join(folder, stem), suffix)
        if f"{whole}.index.json" in names and shards:
            return (f"{whole}.index.json", *shards)
    return ()


def stems_of(folder: str) -> dict[str, str]:
    """Suffix → name of the weight file in a part's folder, the preferred one first."""
    return TEXT_STEMS if folder.startswith(TEXT_ENCODER) else STEMS


def choose_tokenizer(
    files: Iterable[str], folder: str, vocabularies: Iterable[Collection[str]]
) -> tuple[str, ...]:
    """The files of the tokenizer in `folder`; nothing while it has none of the vocabularies."""
    names = set(files)
    found = [name for name in TOKENIZER_FILES if join(folder, name) in names]
    whole = any(set(vocabulary) <= set(found) for vocabulary in vocabularies)
    return tuple(join(folder, name) for name in found) if whole else ()


def _shards(names: Collection[str], start: str, suffix: str) -> list[str]:
    """All shards `start-00001-of-00003.suffix`, or nothing while one is missing."""
    pattern = re.compile(re.escape(start) + rf"-(\d+)-of-(\d+)\.{suffix}")
    matches = sorted((match for match in map(pattern.fullmatch, names) if match), key=str)
    counts = {int(match[2]) for match in matches}
    return sorted(match[0] for match in matches) if counts == {len(matches)} else []


def list_files(root: Path, parts: Iterable[str]) -> set[str]:
    """Names of the files at the root and in the folders `parts`, with forward slashes."""
    folders = [root, *(root / part for part in parts)]
    return {
        file.relative_to(root).as_posix()
        for folder in folders if folder.is_dir()
        for file in folder.iterdir() if file.is_file()
    }  # fmt: skip


def read_json(path: Path, name: str) -> dict[str, Any]:
    """A JSON object from a file, or `ModelError`."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(name, f"cannot read {path} as JSON ({type(error).__name__})") from error
    if not isinstance(value, dict):
        raise ModelError(name, f"{path} is not a JSON object")
    return value


def join(folder: str, name: str) -> str:
    """`folder/name`, or `name` at the root."""
    return f"{folder}/{name}" if folder else name
