"""A checkpoint file: its configuration, what it is called, and what tells it from others."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nca_cli.errors import ModelError
from nca_cli.models.checkpoints.adm import AdmConfig
from nca_cli.models.checkpoints.flags import read_flags
from nca_cli.models.checkpoints.ldm import LdmConfig
from nca_cli.models.digests import file_digest
from nca_cli.models.space import Space
from nca_cli.recipe import digest
from nca_cli.schedule import Schedule

KINDS: dict[str, type[AdmConfig] | type[LdmConfig]] = {"adm": AdmConfig, "ldm": LdmConfig}
"""`--model KIND:PATH`, and the configurations that such files have."""
CONVERSION = 1
"""Raise it when the same checkpoint would give other weights."""
UNTOLD = ("model", "last")
"""Stems that say nothing: CompVis calls every checkpoint model.ckpt, Lightning its newest last."""


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint file, the configuration that goes with it, and what it is called in errors."""

    kind: str
    file: Path
    config: AdmConfig | LdmConfig
    name: str

    @classmethod
    def of(cls, kind: str, file: Path, name: str) -> Checkpoint:
        """With the configuration of the TOML beside the file, or the default of its kind.

        Raises `ModelError`.
        """
        settings = file.with_suffix(".toml")
        default = KINDS[kind]()
        config = read_flags(default, settings, name) if settings.is_file() else default
        return cls(kind, file, config, name)

    @property
    def latent(self) -> bool:
        """Whether it brings an autoencoder, so that noising an image needs the file as well."""
        return self.config.latent_scale is not None

    def space(self) -> Space:
        """What noising an image depends on; of a latent model, on the bytes of the file too."""
        unet, coder = self.config.unet, self.config.autoencoder()
        return Space(
            schedule=Schedule.from_config(self.config.scheduler()),
            shape=(unet.in_channels, unet.image_size, unet.image_size),
            resolution=self.config.resolution,
            channels=3,
            autoencoder=self._digest("autoencoder", coder) if coder else None,
            latent_scale=self.config.latent_scale,
        )

    def key(self) -> str:
        """SHA-256 (hex) over everything that the weights and their use depend on."""
        return self._digest(self.config.identity())

    def _digest(self, *what: Any) -> str:
        try:
            content = file_digest(self.file)
        except OSError as error:
            raise ModelError(self.name, f"cannot read {self.file}: {error.strerror}") from error
        return digest([self.kind, CONVERSION, content, *what])


def is_checkpoint(name: str) -> bool:
    """Whether `name` is of the form `adm:PATH` or `ldm:PATH`."""
    return name.partition(":")[0] in KINDS and ":" in name


def prefix_of(file: Path) -> str | None:
    """`adm:` or `ldm:`, as the suffix of a file suggests."""
    return next((f"{kind}:" for kind, config in KINDS.items() if file.suffix == config.SUFFIX),
                None)  # fmt: skip


def path_of(name: str) -> Path:
    """The file that `KIND:PATH` means."""
    return Path(name.partition(":")[2]).expanduser().absolute()


def source_of(name: str) -> str:
    """`KIND:PATH` with the whole path: what stores call the source of its model."""
    return f"{name.partition(':')[0]}:{path_of(name)}"


def stored_name(name: str) -> str:
    """What `KIND:PATH` is called: the file's stem, or its folder's name where that says nothing."""
    path = path_of(name)
    return path.parent.name if path.stem in UNTOLD and path.parent.name else path.stem


def find_checkpoint(name: str) -> Checkpoint:
    """The checkpoint that `KIND:PATH` means. Raises `ModelError` for a file that is not there."""
    kind, file = name.partition(":")[0], path_of(name)
    if file.is_dir():
        raise ModelError(name, f"{file} is a folder, not a checkpoint")
    if not file.is_file():
        hint = f"give a {KINDS[kind].SUFFIX} file: --model {kind}:PATH"
        raise ModelError(name, "there is no such file", hint)
    return Checkpoint.of(kind, file, source_of(name))
