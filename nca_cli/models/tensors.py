"""Weight files as tensors alone: .safetensors, or a pickle of torch of which no code is run.

Trainings keep the names of callbacks, and their options, beside their tensors. Those few names
stand for `Inert` here, which does nothing; any other name refuses the file.
"""

from __future__ import annotations

import pickle
import re
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nca_cli.errors import ModelError
from nca_cli.models.tables import NoTable, OptimizerState, Weights, weights_in
from nca_cli.models.variants import LORA, MERGE, is_lora

if TYPE_CHECKING:
    import torch

LIGHTNING = tuple(
    f"{package}.callbacks.{name}"
    for package in ("pytorch_lightning", "lightning.pytorch")
    for name in ("model_checkpoint.ModelCheckpoint", "early_stopping.EarlyStopping")
)
"""Callbacks that leave a state of their own in a checkpoint, under their class."""
SETTINGS = "argparse.Namespace"
"""In which trainings keep the options that they were called with."""
NO_CODE = "no code in it was run"
PICKLE = b"\x80"
"""The first byte of a pickle; torch writes one, or a zip file that holds one."""


class Inert:
    """What such a name stands for: it takes anything and does nothing."""

    def __new__(cls, *arguments: object) -> Inert:
        return super().__new__(cls)

    def __setstate__(self, state: object) -> None:
        pass


def read_tensors(file: Path, name: str) -> Mapping[str, torch.Tensor]:
    """As `read_weights`, the tensors alone."""
    return read_weights(file, name).tensors


def read_weights(file: Path, name: str) -> Weights:
    """A network's tensors in one file by their names, memory-mapped where its format allows: of the
    moving average where there is one, which a note says.

    Raises `ModelError`, of the model `name`, for a file that holds anything else.
    """
    _check_kind(file, name)
    try:
        found = weights_in(_read(file))
    except pickle.UnpicklingError as error:
        named = re.search(r"GLOBAL (\S+)", str(error))
        what = f"holds more than tensors ({named[1]})" if named else "is not a table of tensors"
        raise ModelError(
            name, f"{file} {what}, or is damaged; {NO_CODE}",
            "ask its makers for a .safetensors file",
        ) from error  # fmt: skip
    except OptimizerState as error:
        raise ModelError(name, f"{file} {error}, no network", _model_beside(file)) from error
    except NoTable as error:
        hint = "save the state_dict of the network alone, or under the key state_dict"
        raise ModelError(name, f"{file} {one_line(str(error))}", hint) from error
    except Exception as error:
        reason = f"{file} is damaged or incomplete ({one_line(str(error))})"
        raise ModelError(name, reason, "download it again") from error
    if lora := is_lora(found.tensors):
        raise ModelError(name, f"{file} {LORA.format(lora)}", MERGE)
    return found


def _model_beside(file: Path) -> str:
    """Where the model of an optimizer's state lies: `ema_0.9999_050000.pt` of `opt050000.pt`."""
    step = re.search(r"\d+(?=\D*$)", file.stem)
    for form in ("ema*", "model*"):
        for found in sorted(file.parent.glob(f"{form}{step[0] if step else ''}{file.suffix}")):
            return f"the model lies in {found.name}"
    return "give the file that its training saved of the model"


def _loaded(file: Path) -> Any:
    """What `torch.save` wrote, of which no code is run."""
    import torch

    inert = [(Inert, name) for name in (*LIGHTNING, SETTINGS)]
    with warnings.catch_warnings(action="ignore"), torch.serialization.safe_globals(inert):  # type: ignore[arg-type]
        mapped = _is_zip(file)
        return torch.load(file, map_location="cpu", weights_only=True, mmap=mapped)


def _read(file: Path) -> Any:
    from safetensors.torch import load_file

    if file.suffix == ".safetensors":
        return load_file(file, device="cpu")
    return _loaded(file)


def _is_zip(file: Path) -> bool:
    """Whether it is a zip file, damaged perhaps: who reads it says so."""
    try:
        return zipfile.is_zipfile(file)
    except zipfile.BadZipFile:  # one of several disks, by what its end says
        return True


def _check_kind(file: Path, name: str) -> None:
    """Refuse by its first bytes what is no weight file: each has a cause of its own."""
    if file.is_dir():
        raise ModelError(name, f"{file} is a folder, not a file of weights")
    try:
        with open(file, "rb") as stream:
            start = stream.read(24)
    except OSError as error:
        raise ModelError(name, f"cannot read {file}: {error.strerror or error}") from error
    if not start:
        raise ModelError(name, f"{file} is empty", "download it again")
    if start.startswith(b"version https://git-lfs"):
        raise ModelError(name, f"{file} is a Git LFS pointer", "git lfs pull in that folder")
    pickled = start.startswith(PICKLE) or _is_zip(file) or start.startswith(b"PK")
    if file.suffix != ".safetensors" and not pickled:
        reason = f"{file} holds no weights: it begins {start[:16]!r}"
        raise ModelError(name, reason, "download it again")


def check_finite(key: str, value: torch.Tensor, file: Path, name: str) -> None:
    """Refuse a tensor with values that are not numbers: all that came of it would be none."""
    if not bool(value.isfinite().all()):
        raise ModelError(name, f"{file}: {key} holds values that are not finite")


def one_line(text: str, limit: int = 120) -> str:
    """`text` on one line, cut at `limit` characters."""
    line = " ".join(text.split())
    return line if len(line) <= limit else f"{line[: limit - 1]}…"
