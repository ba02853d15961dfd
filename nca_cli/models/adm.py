"""Checkpoints of P2 weighting and guided-diffusion: `adm:ffhq_p2.pt`.

A checkpoint says nothing about its network. `ffhq_p2.toml` beside it does, by the flags of
guided-diffusion; without it, P2's own configuration holds. The first time its weights are needed
it is converted into a diffusers pipeline in the user's cache folder, under a key of its bytes and
its configuration, from which it is loaded like any other model. Finding one loads no torch.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from nca_cli.errors import ModelError
from nca_cli.models.adm_config import AdmConfig, read_config
from nca_cli.models.digests import cache_folder, file_digest
from nca_cli.models.files import STEM
from nca_cli.models.space import Model, Space
from nca_cli.recipe import SamplerChoice, digest
from nca_cli.schedule import Schedule

ADM = "adm:"
CONVERSION = 1
"""Raise it when the same checkpoint would give other weights."""
SAMPLER = SamplerChoice("ddpm", 250)
"""As guided-diffusion samples: 250 ancestral steps, here with the variance that was learned."""


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint file, the configuration that goes with it, and what it is called in errors."""

    file: Path
    config: AdmConfig
    name: str

    @classmethod
    def of(cls, file: Path, name: str) -> Checkpoint:
        """With the configuration of the TOML beside the file, or P2's. Raises `ModelError`."""
        settings = file.with_suffix(".toml")
        config = read_config(settings, name) if settings.is_file() else AdmConfig()
        return cls(file, config, name)

    @property
    def space(self) -> Space:
        """What noising an image depends on."""
        side = self.config.image_size
        return Space(Schedule.from_config(self.config.scheduler()), (3, side, side), side, 3)

    def key(self) -> str:
        """SHA-256 (hex) over everything that the weights and their use depend on."""
        try:
            content = file_digest(self.file)
        except OSError as error:
            raise ModelError(self.name, f"cannot read {self.file}: {error.strerror}") from error
        return digest(["adm", CONVERSION, content, asdict(self.config)])

    def model(self, label: str, weights: bool) -> Model:
        """The model, stored under `label`. Without `weights` the file need not exist."""
        key = self.key() if weights else None
        return Model(
            name=label,
            source=self.name,
            space=self.space,
            sampler=SAMPLER,
            scheduler=self.config.scheduler(),
            folder=cache_folder() / "adm" / key[:32] if key else None,
            revision=f"adm-{key}" if key else None,
            checkpoint=self.file if key else None,
        )


def find_adm(name: str) -> Checkpoint:
    """The checkpoint that `adm:PATH` means. Raises `ModelError` for a file that is not there."""
    file = Path(name.removeprefix(ADM)).expanduser().absolute()
    if not file.is_file():
        raise ModelError(name, "there is no such file", "give a .pt file: --model adm:PATH")
    return Checkpoint.of(file, f"{ADM}{file}")


def ensure_converted(model: Model) -> None:
    """Make the diffusers pipeline of an ADM model, unless the cache has it. Raises `ModelError`."""
    if model.checkpoint is None or model.folder is None or model.folder.is_dir():
        return
    checkpoint = Checkpoint.of(model.checkpoint, model.source)
    if f"adm-{checkpoint.key()}" != model.revision:
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
    from safetensors.torch import save_file

    from nca_cli.models.adm_convert import convert
    from nca_cli.models.load import read_tensors

    tensors = read_tensors(checkpoint.file, checkpoint.name)
    converted = convert(tensors, checkpoint.config, checkpoint.file, checkpoint.name)
    for part in ("unet", "scheduler"):
        (folder / part).mkdir(parents=True)
    save_file(converted, folder / "unet" / f"{STEM}.safetensors")
    _dump(checkpoint.config.unet(), folder / "unet" / "config.json")
    _dump(checkpoint.config.scheduler(), folder / "scheduler" / "scheduler_config.json")
    index = {
        "_class_name": "DDPMPipeline",
        "unet": ["diffusers", "UNet2DModel"],
        "scheduler": ["diffusers", "DDPMScheduler"],
    }
    _dump(index, folder / "model_index.json")


def _dump(value: object, file: Path) -> None:
    file.write_text(json.dumps(value, indent=1), encoding="utf-8")
