"""The tensors of a checkpoint, network by network, into files of diffusers' names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nca_cli.errors import ModelError
from nca_cli.models.checkpoints.layers import Misfit, Shapes, place
from nca_cli.models.files import STEM
from nca_cli.models.tensors import check_finite, read_tensors

if TYPE_CHECKING:
    import torch

    from nca_cli.models.checkpoints.file import Checkpoint

SCALE = "scale_factor"
"""Key of the latents' scale, in CompVis' models that measured it (`scale_by_std`)."""


def convert(checkpoint: Checkpoint, folder: Path) -> Iterator[tuple[str, dict[str, Any]]]:
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
