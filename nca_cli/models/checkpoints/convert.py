"""A checkpoint as a diffusers pipeline in the cache folder, made network by network."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nca_cli.errors import ModelError
from nca_cli.models.checkpoints.file import Checkpoint
from nca_cli.models.checkpoints.layers import Misfit, Shapes, place
from nca_cli.models.environment import cache_folder
from nca_cli.models.files import STEM
from nca_cli.models.space import Model
from nca_cli.models.tensors import check_finite, read_tensors

if TYPE_CHECKING:
    import torch

SCALE = "scale_factor"
"""Key of the latents' scale, in CompVis' models that measured it (`scale_by_std`)."""


def ensure_converted(model: Model) -> None:
    """Make the pipeline of a checkpoint, unless the cache has it. Raises `ModelError`."""
    if model.checkpoint is None or model.folder is None or model.folder.is_dir():
        return
    kind = str(model.revision).partition("-")[0]
    checkpoint = Checkpoint.of(kind, model.checkpoint, model.source)
    if f"{kind}-{checkpoint.key()}" != model.revision:
        raise ModelError(model.source, f"{checkpoint.file} has changed meanwhile", "try again")
    with _refusing_full_disks(model):
        model.folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=model.folder.parent, suffix=".tmp") as temporary:
            made = Path(temporary, "made")
            _write(checkpoint, made)
            with contextlib.suppress(OSError):  # another process was first
                os.rename(made, model.folder)
    if not model.folder.is_dir():
        raise ModelError(model.source, f"cannot write {model.folder}")


@contextlib.contextmanager
def _refusing_full_disks(model: Model) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = f"cannot be converted into {cache_folder()}: {error.strerror or error}"
        raise ModelError(model.source, reason, "set NCA_CACHE to a folder with room") from error


def _write(checkpoint: Checkpoint, folder: Path) -> None:
    """The pipeline of a checkpoint, in the layout of the hub."""
    config = checkpoint.config
    index: dict[str, object] = {"_class_name": config.PIPELINE}
    for part, settings in _convert(checkpoint, folder):
        _dump(settings, folder / part / "config.json")
        index[part] = ["diffusers", settings["_class_name"]]
    (folder / "scheduler").mkdir()
    _dump(config.scheduler(), folder / "scheduler" / "scheduler_config.json")
    index["scheduler"] = ["diffusers", config.scheduler()["_class_name"]]
    _dump(index, folder / "model_index.json")


def _dump(value: object, file: Path) -> None:
    file.write_text(json.dumps(value, indent=1), encoding="utf-8")


def _convert(checkpoint: Checkpoint, folder: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Write the weights of each network into its folder; the folder's name and configuration.

    One network at a time, and only a qkv is copied: memory for the checkpoint once is enough.
    Raises `ModelError` that names the first tensor that does not fit.
    """
    from safetensors.torch import save_file

    tensors = read_tensors(checkpoint.file, checkpoint.name)
    _check_scale(tensors, checkpoint)
    for part, settings in checkpoint.config.parts().items():
        source = checkpoint.config.source(part, tensors)
        try:
            placed = place(tensors, checkpoint.config.layers(part), _shapes(settings), source)
        except Misfit as misfit:
            raise _error(checkpoint, str(misfit)) from misfit
        for key, value in placed.items():
            check_finite(f"{key} of its {part}", value, checkpoint.file, checkpoint.name)
        (folder / part).mkdir(parents=True)
        save_file(placed, folder / part / f"{STEM}.safetensors")
        yield part, settings | ({"nca_note": source.note} if source.note else {})


def _error(checkpoint: Checkpoint, reason: str) -> ModelError:
    hint = f"name its configuration in {checkpoint.file.with_suffix('.toml').name} beside it"
    return ModelError(checkpoint.name, f"{checkpoint.file.name}: {reason}", hint)


def _check_scale(tensors: Mapping[str, torch.Tensor], checkpoint: Checkpoint) -> None:
    """A latent scale that was measured in training has to be the one that latents are given."""
    said = checkpoint.config.latent_scale
    if said is None or SCALE not in tensors:
        return
    measured = float(tensors[SCALE])
    if abs(said - measured) > 1e-4 * measured:
        raise _error(checkpoint, f"{SCALE} is {measured:.8g}, not {said:g}")


def _shapes(settings: Mapping[str, Any]) -> Shapes:
    """Names and shapes of the tensors of a network of diffusers, without making any."""
    import diffusers
    import torch

    own = {key: value for key, value in settings.items() if key not in ("_class_name", "num_heads")}
    with torch.device("meta"):
        network: torch.nn.Module = getattr(diffusers, settings["_class_name"])(**own)
    return {key: tuple(value.shape) for key, value in network.state_dict().items()}
