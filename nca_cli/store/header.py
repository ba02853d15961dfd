"""The text attributes of an artifact: what it is, of which model and image, by which recipe.

Built here and parsed here, whoever computes or imports.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import nca_cli
from nca_cli.images import PREPROCESSING_VERSION, Resolution, size_json
from nca_cli.recipe import Recipe, canonical_json, digest
from nca_cli.store.layout import MODEL_HEX, NOISE, split_folder
from nca_cli.store.sealed import sealed, unsealed


def header(
    model: Mapping[str, Any], image: Mapping[str, Any], recipe: Recipe | None = None,
    checkpoint: Mapping[str, Any] | None = None,
) -> dict[str, str]:  # fmt: skip
    """Attributes of the artifact of a recipe, or without one of the noise artifact.

    `model` is a `model_info`, `image` an `image_info`; `checkpoint` says run, step and weights of
    a reconstruction by a checkpoint of a run.
    """
    texts = {
        "kind": NOISE if recipe is None else "reconstruction",
        "model": canonical_json(model),
        "image": canonical_json(image),
    }
    if recipe is None:
        return texts
    texts["recipe"] = recipe.canonical()
    return texts if checkpoint is None else {**texts, "checkpoint": canonical_json(checkpoint)}


def model_info(
    name: str, source: str, licence: str | None, space: Mapping[str, object],
    run: Mapping[str, object] | None = None, silent: Mapping[str, object] | None = None,
    size: object = None,
) -> dict[str, object]:  # fmt: skip
    """What `model.json` and the attribute `model` say; `run` of a training's checkpoints alone,
    `silent` (what no tensor reveals, as it was taken) of checkpoint files, `size` where one was
    asked for that is not the model's own."""
    info: dict[str, object] = {"name": name, "source": source, "licence": licence, "space": space}
    more = {"run": run, "silent": silent, "size": size}
    return {**info, **{key: value for key, value in more.items() if value}}


def side_of(space: Mapping[str, Any]) -> int | None:
    """The side of x_t in pixels in the space of a `model_info`: of what is no square the longer
    one, as for bands. None for latent models, whose noise is not in pixels. Raises `LookupError`,
    `TypeError`, `ValueError`."""
    side = max(map(int, space["shape"][-2:]))
    return None if "autoencoder" in space else side


def image_info(
    name: str, digest: str, file: str, fit: str, resolution: Resolution
) -> dict[str, object]:
    """What the attribute `image` says; `file` is the name of the picture's file."""
    return {
        "name": name, "digest": digest, "file": file, "fit": fit,
        "resolution": size_json(resolution),
        "preprocessing": PREPROCESSING_VERSION,
    }  # fmt: skip


def model_text(info: Mapping[str, object]) -> str:
    """The content of `model.json`, with its digest."""
    return sealed(json.dumps(info, indent=2, sort_keys=True, ensure_ascii=False)).decode()


def told_by(text: str) -> Any:
    """What the text of a `model.json` says. Raises `ValueError`, `RecursionError`."""
    info = unsealed(text.encode())
    if isinstance(info, dict):
        info.pop("sha256", None)
    return info


def signed(texts: Mapping[str, str]) -> dict[str, str]:
    """With the program that writes it."""
    return {**texts, "written_by": f"nca {nca_cli.__version__}"}


def parsed(texts: Mapping[str, str], key: str) -> Any:
    """What a header says of `model`, `image`, `checkpoint` or `recipe` (a `Recipe`).

    Raises `LookupError`, `ValueError` or `TypeError` where it does not say that.
    """
    return Recipe.from_json(texts[key]) if key == "recipe" else json.loads(texts[key])


def space_hex(info: Mapping[str, Any]) -> str:
    """What the folder of a model ends in, by what a header or `model.json` says of it."""
    return digest(info["space"])[:MODEL_HEX]


def model_problem(info: Any, folder: str) -> str:
    """What is wrong with what `model.json` says of the model in a folder, or an empty text."""
    if not describes_model(info):
        return "does not describe a model"
    fits = split_folder(folder)[1] == space_hex(info)
    return "" if fits else f"describes another model than that of {folder}"


def describes_model(info: Any) -> bool:
    """Whether all that a model must say of itself is there, and of its type."""
    space = info.get("space") if isinstance(info, dict) else None
    if not isinstance(space, dict) or not isinstance(space.get("schedule", {}), dict):
        return False
    named = all(isinstance(info.get(key), str) for key in ("name", "source"))
    return named and _describes_run(info.get("run"))


def _describes_run(run: Any) -> bool:
    """Whether what is said of a run, if anything, is one: steps that are counted have weights."""
    if not isinstance(run, dict | None):
        return False
    steps = (run or {}).get("steps")
    if not isinstance(steps, dict | None):
        return False
    return all(key.isdecimal() and isinstance(held, str) for key, held in (steps or {}).items())


def describes_image(info: Any) -> bool:
    """As `describes_model`, of the attribute `image`."""
    return isinstance(info, dict) and all(
        isinstance(info.get(key), str) for key in ("name", "digest")
    )


def steps_of(info: Mapping[str, Any]) -> dict[int, str]:
    """Step → digest of its weights, as the `model.json` of a run says."""
    run = info.get("run") or {}
    return {int(step): str(weights) for step, weights in (run.get("steps") or {}).items()}


def with_steps(info: Mapping[str, Any], steps: Mapping[int, str]) -> dict[str, Any]:
    """The same `model.json` with these steps of its run."""
    told = {str(step): steps[step] for step in sorted(steps)}
    return {**info, "run": {**(info.get("run") or {}), "steps": told}}


def step_clash(info: Mapping[str, Any], step: int, weights: str) -> tuple[str, str] | None:
    """Why a step of a run, by its `model.json`, cannot have these weights, and what to do."""
    known = steps_of(info)
    others = [each for each, held in known.items() if held == weights and each != step]
    if known.get(step, weights) != weights:
        hint = "was it replaced, or is this another run of that name? --run NAME=PATH names it"
        return f"step {step} is stored with other weights", hint
    if others:
        return f"step {step} has the same weights as step {others[0]}, which is stored", "leave it"
    return None
