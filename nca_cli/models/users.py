"""Short names of one's own: `models.toml` in the working folder, or the file of `$NCA_MODELS`.

    [ffhq]
    model = "adm:checkpoints/ffhq_p2.pt"    # paths from the folder of this file
    sampler = "ddpm"
    steps = 250
    licence = "ask the authors"
    what = "FFHQ, P2 weighting"

`model` is a built-in name, a hub id, a folder, `adm:PATH` or `ldm:PATH`; never `module:factory`,
for no file may make nca run code.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from nca_cli.errors import UsageError
from nca_cli.models.aliases import ALIASES
from nca_cli.models.checkpoints.file import is_checkpoint
from nca_cli.models.environment import aliases_file
from nca_cli.models.origins.checkpoint import ByHand
from nca_cli.models.origins.own import is_own
from nca_cli.models.space import Model
from nca_cli.sampler_choice import SamplerChoice

NAME = re.compile(r"[A-Za-z0-9][\w.-]*")
KEYS: dict[str, type | tuple[type, ...]] = {
    "model": str, "sampler": str, "steps": int, "eta": (int, float), "clip": bool,
    "licence": str, "what": str,
}  # fmt: skip


@dataclass(frozen=True)
class UserAlias:
    """One table of a `models.toml`."""

    name: str
    model: str
    """As `--model` takes it; paths absolute."""
    settings: Mapping[str, Any]

    def choice(self, own: SamplerChoice, levels: int = 1000) -> SamplerChoice:
        """The sampler it asks for, over the own one of a model of so many levels."""
        name = self.settings.get("sampler", own.name)
        base = own if name == own.name else SamplerChoice.default(name, levels)
        options = {key: self.settings.get(key) for key in ("steps", "eta", "clip")}
        return base.with_options(**options)

    def rename(self, model: Model) -> Model:
        """The model that it names, under its name, sampler and licence."""
        licence = self.settings.get("licence", model.licence)
        sampler = self.choice(model.sampler, model.space.schedule.steps)
        return replace(model, alias=self.name, licence=licence, sampler=sampler)


def user_aliases() -> dict[str, UserAlias]:
    """The short names of `$NCA_MODELS`, else of `./models.toml`. Raises `UsageError`."""
    if (file := aliases_file()) is None:
        return {}
    try:
        tables = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        text = " ".join(str(error).split())
        raise UsageError(f"cannot read {file} ({text})") from error
    return {name: _alias(name, table, file) for name, table in tables.items()}


def _alias(name: str, table: Any, file: Path) -> UserAlias:
    where = f"{file}: [{name}]"
    if not isinstance(table, dict):
        raise UsageError(f"{where} is not a table", f'write [{name}] and model = "…"')
    _check_name(name, where)
    for key, value in table.items():
        _check(key, value, where)
    if "model" not in table:
        raise UsageError(f"{where} names no model", 'model = "org/name", a folder or adm:PATH')
    alias = UserAlias(name, _resolved(table["model"], file, where), table)
    try:
        alias.choice(SamplerChoice())
    except UsageError as error:
        raise UsageError(f"{where}: {error}", error.hint) from error
    return alias


def _check_name(name: str, where: str) -> None:
    if not NAME.fullmatch(name):
        raise UsageError(f"{where} is no short name", "letters, digits, dots, dashes")
    built_in = ALIASES.get(name)
    if built_in is not None and not isinstance(built_in.origin, ByHand):
        raise UsageError(f"{where} is a built-in name", "choose another")


def _check(key: str, value: object, where: str) -> None:
    kind = KEYS.get(key)
    if kind is None:
        near = difflib.get_close_matches(key, KEYS, 1)
        hint = f"did you mean {near[0]}?" if near else f"one of: {', '.join(KEYS)}"
        raise UsageError(f"{where} has no {key!r}", hint)
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise UsageError(f"{where}: {key} = {value!r} is not of the right type")


def _resolved(model: str, file: Path, where: str) -> str:
    """`model` with its path, if it is one, taken from the folder of `file`."""
    if is_checkpoint(model):
        kind, _, checkpoint = model.partition(":")
        return f"{kind}:{(file.parent / Path(checkpoint).expanduser()).absolute()}"
    if is_own(model):
        reason = f"{where}: a file may not name code to run ({model})"
        raise UsageError(reason, f"say --model {model} yourself")
    path = file.parent / Path(model).expanduser()
    return str(path.absolute()) if model not in ALIASES and path.exists() else model
