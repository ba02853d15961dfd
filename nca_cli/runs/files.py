"""Checkpoint files of a training: of which kind, of which step, raw or averaged."""

from __future__ import annotations

from pathlib import Path

from nca_cli.errors import UsageError
from nca_cli.models.checkpoints.file import DESCRIBED, KINDS
from nca_cli.models.inside import holds_average, step_inside

EMA, RAW = "ema", "raw"
UNTOLD = {".pt": "adm", ".ckpt": "ldm"}
"""Kinds of files beside which no TOML says one."""
OTHER_SUFFIX = ".safetensors"
"""Of files of any kind that a TOML says."""
STEP_KEYS = {"ldm": "global_step", "lucid": "step", "sde": "step"}
"""Where files of a kind tell their step."""
COUNTED = ("lucid", "sde")
"""Kinds whose programs count in names how often they have saved."""


def kind_of(file: Path) -> str | None:
    """As `--model` names it: that of the one `KIND.toml` beside it, else by its suffix; `None`: it
    is no checkpoint. Raises `UsageError` where two say so."""
    told = [
        kind for kind, config in {**KINDS, **DESCRIBED}.items()
        if file.suffix in (config.SUFFIX, OTHER_SUFFIX)
        and file.with_name(f"{kind}.toml").is_file()
    ]  # fmt: skip
    if len(told) > 1:
        names = " and ".join(f"{kind}.toml" for kind in told)
        raise UsageError(f"{file.parent} holds {names}", f"leave that of its {file.suffix} files")
    return told[0] if told else UNTOLD.get(file.suffix)


def step_of(file: Path, kind: str, named: int | None, trusted: bool) -> int | None:
    """The step of a training: of its name, unless that has none, or its program counts otherwise
    there. `trusted`: the user says where in the name it is."""
    counted = kind in COUNTED and named is not None and not trusted
    if kind not in STEP_KEYS or not (counted or (named is None and kind not in COUNTED)):
        return named
    inside = step_inside(file, STEP_KEYS[kind])
    return named if inside is None else inside


def weights_of(file: Path, kind: str) -> str | None:
    """`ema` or `raw`, by the name; of a file that reveals its network `ema`, where it holds an
    average, or `None`: it is not told."""
    averaged = file.name.startswith(EMA)
    if kind in KINDS:
        return EMA if averaged else RAW
    return EMA if averaged or holds_average(file) else None
