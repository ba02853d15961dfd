"""Configurations from TOML files, by the flags of the program that trained a network.

A configuration is a frozen dataclass whose fields are flags and whose defaults say their types;
a field that is such a dataclass itself is a table. `IDLE` names the flags that change nothing
about the network and are passed over, `complaints()` says what cannot be.
"""

from __future__ import annotations

import difflib
import functools
import math
import tomllib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeVar

from nca_cli.errors import ModelError
from nca_cli.models.configs import DEEPEST, short

Complaints = dict[str, Callable[[], bool]]
"""What can be wrong with a configuration, in the order in which it is looked for."""


MOST_NUMBER, MOST_LEVELS = 1_000_000, 64
"""Larger than any number of a network, and more resolutions than any has."""
SUPER_RESOLUTION = ("large_size", "small_size")
NOT_UPSCALED = "super-resolution is not supported"


class Flags(Protocol):
    """A configuration."""

    IDLE: ClassVar[frozenset[str]]

    def complaints(self) -> Complaints:
        """What UNet2DModel and its kin cannot express, and what is impossible."""

    def untold(self, told: Collection[str]) -> str | None:
        """What flags of these names leave open and nobody may guess; `None`: nothing."""


C = TypeVar("C", bound=Flags)


def read_flags(default: C, file: Path, model: str) -> C:
    """The configuration in a TOML file, as `default` where a key is absent. Raises `ModelError`."""
    try:
        table = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        text = " ".join(str(error).split())
        raise ModelError(model, f"cannot read {file} ({text})") from error
    config: C = _FlagReader(file, model).table(default, table)
    for complaint, holds in config.complaints().items():
        if holds():
            raise ModelError(model, f"{file}: {complaint}")
    if reason := config.untold(table):
        flag = "rescale_timesteps"
        hint = f"{flag} = true or false" if flag in reason else f"write it into {file.name}"
        raise ModelError(model, f"{file}: {reason}", hint)
    return config


def flag(config: object, name: str) -> Any:
    """The value of a flag, `table.flag` of one in a table."""
    return functools.reduce(getattr, name.split("."), config)


@dataclass(frozen=True)
class _FlagReader:
    """The reading of one file."""

    file: Path
    model: str

    def table(self, default: Any, table: Mapping[str, Any], within: str = "") -> Any:
        """`default` with what `table` says; `within` is the table's own key, with a dot."""
        known = {item.name: getattr(default, item.name) for item in fields(default)}
        settings = {}
        for key, value in table.items():
            if key in known:
                settings[key] = self._typed(within + key, value, known[key])
            elif key in SUPER_RESOLUTION:
                raise ModelError(self.model, f"{self.file} names {key!r}: {NOT_UPSCALED}")
            elif key not in default.IDLE:
                reason = f"{self.file} names {within + key!r}, which is not a known flag"
                raise ModelError(self.model, reason, _near(key, known))
        return replace(default, **settings)

    def _typed(self, key: str, value: object, default: object) -> Any:
        """`value` as the flag has it; lists also as guided-diffusion's text, `"32,16,8"`."""
        if is_dataclass(default) and isinstance(value, dict):
            return self.table(default, value, f"{key}.")
        if isinstance(default, tuple):
            return self._numbers(key, value)
        if type(value) is type(default) or (isinstance(default, float) and type(value) is int):
            return self._in_bounds(key, value, type(default))
        kind = "table" if is_dataclass(default) else type(default).__name__
        raise ModelError(self.model, f"{self.file}: {key} is {value!r}, not of type {kind}")

    def _in_bounds(self, key: str, value: Any, kind: type) -> Any:
        """`value` as a `kind`; of counts and numbers no more than any network has."""
        most = DEEPEST if key.endswith("num_res_blocks") else MOST_NUMBER
        if isinstance(value, int | float) and not abs(value) <= most:
            raise ModelError(self.model, f"{self.file}: {key} {short(value)} is above {most:,}")
        return kind(value)

    def _numbers(self, key: str, value: object) -> tuple[float, ...]:
        items = [part for part in value.split(",") if part] if isinstance(value, str) else value
        try:
            assert isinstance(items, list)
            numbers = [float(item) for item in items]
            assert all(map(math.isfinite, numbers))
        except (AssertionError, TypeError, ValueError, OverflowError) as error:
            reason = f"{self.file}: {key} is {value!r}, not a list of numbers"
            raise ModelError(self.model, reason) from error
        if len(numbers) > MOST_LEVELS:
            what = f"{key} {short(value)} is more than {MOST_LEVELS} numbers"
            raise ModelError(self.model, f"{self.file}: {what}")
        return tuple(int(number) if number.is_integer() else number for number in numbers)


def _near(key: str, known: Mapping[str, object]) -> str:
    near = difflib.get_close_matches(key, known, 1)
    return f"did you mean {near[0]}?" if near else f"one of: {', '.join(known)}"
