"""Checkpoints that reveal their network: `lucid:FILE`, `edm:FILE`, `sde:FILE`, each converted when
it is found.

What they are is only known once their tensors are read; from then on the pipeline in the cache says
it, and finding one loads no torch.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from nca_cli.errors import ModelError
from nca_cli.models.checkpoints.file import (
    CONVERSION,
    DESCRIBED,
    INDEX,
    SOURCE,
    conversion,
    dump,
    path_of,
    save_tensors,
    source_of,
)
from nca_cli.models.checkpoints.flags import flag, read_flags
from nca_cli.models.checkpoints.layers import Misfit
from nca_cli.models.checkpoints.origin import CheckpointFile
from nca_cli.models.digests import file_digest
from nca_cli.models.environment import cache_folder
from nca_cli.models.families import FAMILIES
from nca_cli.models.origins import Origin, Wanted
from nca_cli.models.pipeline import Pipeline
from nca_cli.models.reading import read_pipeline
from nca_cli.models.space import Model
from nca_cli.models.tensors import NO_CODE, check_finite, read_weights
from nca_cli.recipe import digest


@dataclass(frozen=True)
class DescribedFile(CheckpointFile):
    """A file that the user names."""

    def find(self, wanted: Wanted) -> Model:
        """Converted first, where the cache lacks it. Raises `ModelError`."""
        file, kind = path_of(self.named), self.named.partition(":")[0]
        if os.path.isdir(file):
            raise ModelError(self.named, f"{file} is a folder, not a checkpoint")
        if not os.path.isfile(file):
            hint = f"give a {DESCRIBED[kind].SUFFIX} file: --model {kind}:PATH"
            raise ModelError(self.named, "there is no such file", hint)
        config, source = self._config(file), source_of(self.named)
        key = digest([kind, CONVERSION, file_digest(file), config.identity()])
        folder = cache_folder() / kind / key[:32]
        with conversion(folder, source) as made:
            if made is not None:
                self._write(config, file, made)
        pipeline = read_pipeline(folder, source)
        model = self._model(pipeline, self.stored_as().name, source, f"{kind}-{key}")
        sampler, silent = config.SAMPLER, {name: flag(config, name) for name in config.SILENT}
        return replace(model, sampler=sampler, silent=silent, checkpoint=file)

    def pipeline(self, model: Model) -> Pipeline:
        """What it was converted into, again where the cache was cleared meanwhile."""
        if model.folder is None or not model.folder.is_dir():
            self.find(Wanted())
        return Origin.pipeline(self, model)

    def architecture(self, model: Model) -> Mapping[str, Any]:
        return Origin.architecture(self, model)

    def _config(self, file: Path) -> Any:
        """As the TOML beside it says, of its name or of its kind."""
        kind, source = self.named.partition(":")[0], source_of(self.named)
        own, default = file.with_suffix(".toml"), DESCRIBED[kind]()
        settings = own if own.is_file() else file.with_name(f"{kind}.toml")
        if settings.is_file():
            return read_flags(default, settings, source)
        if reason := default.untold(()):
            raise ModelError(
                source, f"{file.name}: {reason}", f"write it into {own.name} beside it"
            )
        return default

    def _write(self, config: Any, file: Path, folder: Path) -> None:
        """The pipeline of the file, in the layout of the hub."""
        source = source_of(self.named)
        try:
            tensors, averaged = read_weights(file, source)
        except ModelError as error:
            hint = config.SAVE if NO_CODE in error.reason else error.hint
            raise ModelError(source, error.reason, hint) from error
        try:
            told = config.described(tensors)
        except Misfit as misfit:
            hint = f"set it in {file.with_suffix('.toml').name} beside it"
            raise ModelError(source, f"{file.name}: {misfit}", hint) from misfit
        for key, value in told.tensors.items():
            check_finite(key, value, file, source)
        part, note = FAMILIES[told.network].part, told.note or averaged
        save_tensors({key: value.float() for key, value in told.tensors.items()}, folder / part)
        config_file = dict(told.config) | ({"nca_note": note} if note else {})
        dump({"_class_name": told.network} | config_file, folder / part / "config.json")
        (folder / "scheduler").mkdir()
        dump(dict(told.scheduler), folder / "scheduler" / "scheduler_config.json")
        kind = told.scheduler["_class_name"]
        index = {part: ["nca", told.network], "scheduler": ["diffusers", kind], SOURCE: source}
        dump({"_class_name": "DDPMPipeline", **index}, folder / INDEX)
