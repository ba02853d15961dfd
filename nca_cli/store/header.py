"""The text attributes of an artifact: what it is, of which model and image, by which recipe.

Built here and parsed here, whoever computes or imports.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import nca_cli
from nca_cli.images import PREPROCESSING_VERSION
from nca_cli.recipe import Recipe, canonical_json
from nca_cli.store.layout import NOISE


def header(
    model: Mapping[str, Any], image: Mapping[str, Any], recipe: Recipe | None = None
) -> dict[str, str]:
    """Attributes of the artifact of a recipe, or without one of the noise artifact.

    `model` is a `model_info`, `image` an `image_info`.
    """
    texts = {
        "kind": NOISE if recipe is None else "reconstruction",
        "model": canonical_json(model),
        "image": canonical_json(image),
    }
    return texts if recipe is None else {**texts, "recipe": recipe.canonical()}


def model_info(
    name: str, source: str, licence: str | None, space: Mapping[str, object]
) -> dict[str, object]:
    """What `model.json` and the attribute `model` say."""
    return {"name": name, "source": source, "licence": licence, "space": space}


def image_info(name: str, digest: str, file: str, fit: str, resolution: int) -> dict[str, object]:
    """What the attribute `image` says; `file` is the name of the picture's file."""
    return {
        "name": name, "digest": digest, "file": file, "fit": fit, "resolution": resolution,
        "preprocessing": PREPROCESSING_VERSION,
    }  # fmt: skip


def model_text(info: Mapping[str, object]) -> str:
    """The content of `model.json`."""
    return json.dumps(info, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def signed(texts: Mapping[str, str]) -> dict[str, str]:
    """With the program that writes it."""
    return {**texts, "written_by": f"nca {nca_cli.__version__}"}


def parsed(texts: Mapping[str, str], key: str) -> Any:
    """What a header says of `model`, `image` or `recipe` (a `Recipe`).

    Raises `LookupError`, `ValueError` or `TypeError` where it does not say that.
    """
    return Recipe.from_json(texts[key]) if key == "recipe" else json.loads(texts[key])
