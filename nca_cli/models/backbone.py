"""Vision models of transformers, for features: found and loaded as strictly as what reconstructs.

No code of a repository is run, asked or not: its configuration describes a network that
transformers itself has, and its weights are read as tensors.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nca_cli.errors import ModelError, NcaError
from nca_cli.models import hub
from nca_cli.models.configs import SPARE, at_most
from nca_cli.models.pipeline import TEXT_STEMS
from nca_cli.models.reading import read_json
from nca_cli.models.tensors import one_line, read_tensors
from nca_cli.models.text import described, quiet
from nca_cli.models.variants import usual_weights

CONFIG, SCALING = "config.json", "preprocessor_config.json"
UNUSED = "pooler"
"""What no feature depends on, and many repositories lack."""
KIND = "give a vision model's hub id or folder"


def find_backbone(name: str, offline: bool = False) -> tuple[Path, str | None]:
    """The folder of a backbone (a hub id, `@revision` if wanted, or a folder), and its commit.

    Fetches what is not on this disk, unless `offline`. Raises `ModelError`, and `NcaError` without
    transformers.
    """
    if importlib.util.find_spec("transformers") is None:
        reason = "deep features need transformers, which is not installed"
        raise NcaError(reason, "pip install 'nca-cli[deep]'")
    source, _, revision = name.partition("@")
    if os.path.isdir(source):
        return Path(source), None
    folder = hub.on_disk(source, revision or None)
    if folder is None or not _wanted(os.listdir(folder)):
        if offline or hub.is_offline():
            raise ModelError(name, "not on this disk, and the network is off",
                             "measure once without --offline, or give a folder")  # fmt: skip
        names = _wanted(hub.list_repo(source, revision or None))
        if not names:
            raise ModelError(name, f"has no {CONFIG} with weights and {SCALING}", KIND)
        folder = hub.download(source, revision or None, names)
    return folder, folder.name


def _wanted(names: list[str]) -> list[str]:
    """The files that a backbone is made of; none while one of them lacks."""
    weights = usual_weights(names, "", TEXT_STEMS)
    return [CONFIG, SCALING, *weights] if weights and {CONFIG, SCALING} <= set(names) else []


def load_backbone(folder: Path, name: str) -> tuple[Any, dict[str, Any]]:
    """The network in a folder, float32, and how its pictures were scaled. Raises `ModelError`."""
    import torch

    if not (files := _wanted(os.listdir(folder))):
        raise ModelError(name, f"{folder} has no {CONFIG} with weights and {SCALING}", KIND)
    config, scaling = (read_json(folder / file, name) for file in files[:2])
    weights = [folder / file for file in files[2:] if not file.endswith(".json")]
    tensors = {key: value for file in weights for key, value in read_tensors(file, name).items()}
    room = SPARE + 2 * sum(file.stat().st_size for file in weights)
    with quiet("transformers"), at_most(room):
        import transformers

        try:
            made = described(transformers.CONFIG_MAPPING[config.get("model_type")], config)
            network, told = _class_for(made).from_pretrained(
                None, config=made, state_dict=tensors, dtype=torch.float32,
                output_loading_info=True,
            )  # fmt: skip
        except Exception as error:  # what a library throws at a setting is anything
            reason = f"transformers cannot load it ({one_line(str(error), 160)})"
            raise ModelError(name, reason, KIND) from error
    _check(told, name, weights[0])
    return getattr(network, "vision_model", network), scaling


def _class_for(config: Any) -> Any:
    import transformers

    found = transformers.MODEL_MAPPING[type(config)]
    return found[0] if isinstance(found, list | tuple) else found


def _check(told: Mapping[str, Any], name: str, file: Path) -> None:
    """Refuse a network parts of which would be random numbers."""
    lacking = sorted(key for key in told.get("missing_keys", ()) if UNUSED not in key)
    if lacking:
        more = f" and {len(lacking) - 1} more" if lacking[1:] else ""
        raise ModelError(name, f"{file} lacks {lacking[0]}{more}", KIND)
