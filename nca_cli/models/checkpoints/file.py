"""A checkpoint file: its configuration, its name, what tells it from others, and its conversion.

It becomes a diffusers pipeline in the cache folder, made network by network.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nca_cli.errors import ModelError
from nca_cli.models.checkpoints.adm import AdmConfig
from nca_cli.models.checkpoints.edm import EdmConfig
from nca_cli.models.checkpoints.flags import flag, read_flags
from nca_cli.models.checkpoints.layers import Misfit, Shapes, place
from nca_cli.models.checkpoints.ldm import LdmConfig
from nca_cli.models.checkpoints.lucid import LucidConfig
from nca_cli.models.checkpoints.sde import SdeConfig
from nca_cli.models.digests import file_digest
from nca_cli.models.environment import cache_folder
from nca_cli.models.inside import holds_both
from nca_cli.models.pipeline import STEM
from nca_cli.models.space import Model, Space
from nca_cli.models.tensors import check_finite, read_weights
from nca_cli.recipe import digest
from nca_cli.schedule import Schedule

if TYPE_CHECKING:
    import torch

KINDS: dict[str, type[AdmConfig] | type[LdmConfig]] = {"adm": AdmConfig, "ldm": LdmConfig}
"""`--model KIND:PATH`, and the configurations that such files have."""
DESCRIBED: dict[str, type[LucidConfig] | type[EdmConfig] | type[SdeConfig]] = {
    "lucid": LucidConfig, "edm": EdmConfig, "sde": SdeConfig,
}  # fmt: skip
"""The same, of files that reveal their network."""
CONVERSION = 1
"""Raise it when the same checkpoint would give other weights."""
INDEX, SOURCE = "model_index.json", "_nca_source"
"""The file of a pipeline that is written last, and its key for the checkpoint it was made of."""
NAMES = {
    "lucid": re.compile(r"(^|\.)init_conv\.weight$"), "edm": re.compile(r"(^|\.)enc\.\d+x\d+_conv"),
    "sde": re.compile(r"(^|\.)all_modules\.\d+\."),
}  # fmt: skip
"""Of tensors that networks of no other kind have."""
OWN_KEYS = ("_class_name", "num_heads", "time_scale")
"""Settings of a network that diffusers does not know."""
SCALE = "scale_factor"
"""Key of the latents' scale, in CompVis' models that measured it (`scale_by_std`)."""


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint file, the configuration that goes with it, and what it is called in errors."""

    kind: str
    file: Path
    config: AdmConfig | LdmConfig
    name: str

    @classmethod
    def of(cls, kind: str, file: Path, name: str) -> Checkpoint:
        """With the configuration of the TOML of its name, or of its kind (`adm.toml`: of all
        checkpoints of a training), beside the file, or the default of its kind.

        Raises `ModelError`.
        """
        own, default = file.with_suffix(".toml"), KINDS[kind]()
        settings = own if own.is_file() else file.with_name(f"{kind}.toml")
        config = read_flags(default, settings, name) if settings.is_file() else default
        return cls(kind, file, config, name)

    @property
    def latent(self) -> bool:
        """Whether it brings an autoencoder, so that noising an image needs the file as well."""
        return self.config.first_stage_config is not None

    def space(self) -> Space:
        """What noising an image depends on; of a latent model, on the bytes of the file too."""
        unet, coder = self.config.unet, self.config.first_stage_config
        told = coder and {"image_size": unet.image_size, **asdict(coder)}
        return Space(
            schedule=Schedule.from_config(self.config.scheduler()),
            shape=(unet.in_channels, unet.image_size, unet.image_size),
            resolution=unet.image_size * (coder.factor if coder else 1),
            channels=3 if coder else unet.in_channels,
            autoencoder=self._digest("autoencoder", told) if told else None,
            latent_scale=self.config.scale_factor,
        )

    def key(self) -> str:
        """SHA-256 (hex) over everything that the weights and their use depend on."""
        averaged = ["ema"] if holds_both(self.file) else []
        return self._digest(self.config.identity(), *averaged)

    @property
    def silent(self) -> dict[str, Any]:
        """The flags that no tensor reveals, as they were taken."""
        return {name: flag(self.config, name) for name in self.config.SILENT}

    def _digest(self, *what: Any) -> str:
        try:
            content = file_digest(self.file)
        except OSError as error:
            raise ModelError(self.name, f"cannot read {self.file}: {error.strerror}") from error
        return digest([self.kind, CONVERSION, content, *what])


def is_checkpoint(name: str) -> bool:
    """Whether `name` is of the form `adm:PATH`, `ldm:PATH`, …"""
    return name.partition(":")[0] in (*KINDS, *DESCRIBED) and ":" in name


def path_of(name: str) -> Path:
    """The file that `KIND:PATH` means."""
    return Path(os.path.expanduser(name.partition(":")[2])).absolute()


def source_of(name: str) -> str:
    """`KIND:PATH` with the whole path: what stores call the source of its model."""
    return f"{name.partition(':')[0]}:{path_of(name)}"


def find_checkpoint(name: str) -> Checkpoint:
    """The checkpoint that `KIND:PATH` means. Raises `ModelError` for a file that is not there."""
    kind, file = name.partition(":")[0], path_of(name)
    if os.path.isdir(file):
        raise ModelError(name, f"{file} is a folder, not a checkpoint")
    if not os.path.isfile(file):
        hint = f"give a {KINDS[kind].SUFFIX} file: --model {kind}:PATH"
        raise ModelError(name, "there is no such file", hint)
    return Checkpoint.of(kind, file, source_of(name))


def ensure_converted(model: Model) -> None:
    """Make the pipeline of a checkpoint, unless the cache has it. Raises `ModelError`."""
    if model.checkpoint is None or model.folder is None or model.folder.is_dir():
        return
    kind = str(model.revision).partition("-")[0]
    checkpoint = Checkpoint.of(kind, model.checkpoint, model.source)
    if f"{kind}-{checkpoint.key()}" != model.revision:
        raise ModelError(model.source, f"{checkpoint.file} changed while it was read", "try again")
    with conversion(model.folder, model.source) as made:
        if made is not None:
            _write(checkpoint, made)


@contextlib.contextmanager
def conversion(folder: Path, source: str) -> Iterator[Path | None]:
    """Where to write a pipeline that is to be `folder`, whole or not at all; `None`: it is there.

    Raises `ModelError` where it cannot be written.
    """
    if folder.is_dir():
        yield None
        return
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, suffix=".tmp") as temporary:
            made = Path(temporary, "made")
            yield made
            with contextlib.suppress(OSError):  # another process was first
                os.rename(made, folder)
    except OSError as error:
        reason = f"cannot be converted into {cache_folder()}: {error.strerror or error}"
        raise ModelError(source, reason, "set NCA_CACHE to a folder with room") from error
    if not folder.is_dir():
        raise ModelError(source, f"cannot write {folder}")


def _write(checkpoint: Checkpoint, folder: Path) -> None:
    """The pipeline of a checkpoint, in the layout of the hub."""
    config = checkpoint.config
    index: dict[str, object] = {"_class_name": config.PIPELINE, SOURCE: checkpoint.name}
    for part, settings in _convert(checkpoint, folder):
        dump(settings, folder / part / "config.json")
        index[part] = ["diffusers", settings["_class_name"]]
    (folder / "scheduler").mkdir()
    dump(config.scheduler(), folder / "scheduler" / "scheduler_config.json")
    index["scheduler"] = ["diffusers", config.scheduler()["_class_name"]]
    dump(index, folder / INDEX)


def dump(value: object, file: Path) -> None:
    """As JSON."""
    file.write_text(json.dumps(value, indent=1), encoding="utf-8")


def _convert(checkpoint: Checkpoint, folder: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Write the weights of each network into its folder; the folder's name and configuration.

    One network at a time, and only a qkv is copied: memory for the checkpoint once is enough.
    Raises `ModelError` that names the first tensor that does not fit.
    """
    tensors, averaged = read_weights(checkpoint.file, checkpoint.name)
    _check_scale(tensors, checkpoint)
    for part, settings in checkpoint.config.parts().items():
        source = checkpoint.config.source(part, tensors)
        try:
            placed = place(tensors, checkpoint.config.layers(part), _shapes(settings), source)
        except Misfit as misfit:
            raise _error(checkpoint, str(misfit), _kin(tensors)) from misfit
        for key, value in placed.items():
            check_finite(f"{key} of its {part}", value, checkpoint.file, checkpoint.name)
        save_tensors(placed, folder / part)
        note = source.note or averaged
        yield part, settings | ({"nca_note": note} if note else {})


def save_tensors(tensors: Mapping[str, torch.Tensor], folder: Path) -> None:
    """The weights of a network, in its folder, which is made."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True)
    weights = folder / f"{STEM}.safetensors"
    weights.touch()
    mode = weights.stat().st_mode  # as the umask has it; safetensors means files for one user
    save_file({key: value.contiguous() for key, value in tensors.items()}, weights)
    weights.chmod(mode)


def _error(checkpoint: Checkpoint, reason: str, hint: str | None = None) -> ModelError:
    usual = f"name its configuration in {checkpoint.file.with_suffix('.toml').name} beside it"
    return ModelError(checkpoint.name, f"{checkpoint.file.name}: {reason}", hint or usual)


def _kin(tensors: Iterable[str]) -> str | None:
    """What to do with a file whose tensors have the names of a kind that reveals its network."""
    found = (kind for kind, names in NAMES.items() if any(map(names.search, tensors)))
    if (kind := next(found, None)) is None:
        return None
    return (
        f"its names are those of {kind}:PATH; of files of a run, a {kind}.toml beside them says so"
    )


def _check_scale(tensors: Mapping[str, torch.Tensor], checkpoint: Checkpoint) -> None:
    """A latent scale that was measured in training has to be the one that latents are given."""
    said = checkpoint.config.scale_factor
    if said is None or SCALE not in tensors:
        return
    measured = float(tensors[SCALE])
    if abs(said - measured) > 1e-4 * measured:
        raise _error(checkpoint, f"{SCALE} is {measured:.8g}, not {said:g}")


def _shapes(settings: Mapping[str, Any]) -> Shapes:
    """Names and shapes of the tensors of a network of diffusers, without making any."""
    import diffusers
    import torch

    own = {key: value for key, value in settings.items() if key not in OWN_KEYS}
    with torch.device("meta"):
        network: torch.nn.Module = getattr(diffusers, settings["_class_name"])(**own)
    return {key: tuple(value.shape) for key, value in network.state_dict().items()}
