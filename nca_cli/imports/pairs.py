"""What is imported: pairs of pictures, CSV files of pairs, and the schedules of their levels."""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from nca_cli.csv_files import TextTable, read_table
from nca_cli.errors import Complain, NcaError, UsageError
from nca_cli.recipe import Number, parse_list, parse_seeds
from nca_cli.schedule import Schedule
from nca_cli.store.layout import split_label

SAMPLER = "imported"
"""Of reconstructions whose sampler is not named."""
NEEDED = ("t", "original", "reconstruction")
COLUMNS = "columns t, original, reconstruction, and optionally seed, sampler"


@dataclass(frozen=True)
class Pair:
    """A picture and what another program made of it from noise level `t`.

    `sampler` is NAME or NAME-STEPS; `where` is what an error is to be about, such as `file.csv:3`.
    """

    t: Number
    original: str | Path
    reconstruction: str | Path
    seed: int = 0
    sampler: str = SAMPLER
    where: str = ""

    @property
    def sampler_and_steps(self) -> tuple[str, int | None]:
        """`ddim-50` → (`ddim`, 50). Raises `UsageError` for what cannot be a file's name."""
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_+-]{0,59}", self.sampler):
            raise UsageError(f"sampler {self.sampler!r} is not a valid name",
                             "use letters, digits, - and _, such as ddim or ddim-50")  # fmt: skip
        if self.sampler == "noise":
            raise UsageError("sampler 'noise' is reserved for x_t", "choose another name")
        return split_label(self.sampler)

    def problem(self, error: NcaError) -> NcaError:
        """`error`, with the place it comes from."""
        return NcaError(f"{self.where}: {error.what}", error.hint) if self.where else error


def parse_level(text: str) -> Number:
    """One noise level. Raises `UsageError`."""
    numbers = [] if {":", ","} & set(text) else parse_list([text])
    if len(numbers) != 1 or not math.isfinite(numbers[0]):
        raise UsageError(f"t {text!r} is not one level", "a pair has one t, such as --t 80")
    return numbers[0]


def parse_seed(text: str) -> int:
    """One seed; `1.0` is 1, as pandas writes it beside empty cells. Raises `UsageError`."""
    seeds = parse_seeds([text.strip().removesuffix(".0")])
    if len(seeds) != 1:
        raise UsageError(f"seed {text!r} is not one seed", "a pair has one seed, such as --seed 0")
    return seeds[0]


def read_csv(
    path: str | Path, *, seed: int = 0, sampler: str = SAMPLER, on_error: Complain | None = None
) -> list[Pair]:
    """The pairs of a CSV file: columns t, original, reconstruction, and perhaps seed, sampler.

    Paths are relative to the file's folder. Commas, semicolons or tabs; columns in any order,
    others are ignored; `seed` and `sampler` stand in where cells are empty. A bad row goes to
    `on_error` (without it: raised). Raises `UsageError` for a missing column or no rows at all.
    """
    table = read_table(path)
    path, columns = table.path, [name.lower() for name in table.columns]
    _check_columns(table, columns)
    usual = {"seed": str(seed), "sampler": sampler}
    pairs, count = [], 0
    for where, row in table.rows:
        count += 1
        try:
            pairs.append(_pair(path.parent, dict(zip(columns, row, strict=False)), usual, where))
        except NcaError as error:
            if on_error is None:
                raise NcaError(f"{where}: {error.what}", error.hint) from error
            on_error(NcaError(f"{where}: {error.what}", error.hint))
    if not count:
        raise UsageError(f"{path}: no rows", COLUMNS)
    return pairs


def _check_columns(table: TextTable, columns: list[str]) -> None:
    if table.twice:
        raise UsageError(f"{table.path}: column {table.twice} comes twice", COLUMNS)
    missing = [name for name in NEEDED if name not in columns]
    if missing:
        raise UsageError(f"{table.path}: no column {', '.join(missing)}", COLUMNS)


def _pair(folder: Path, cells: dict[str, str], usual: Mapping[str, str], where: str) -> Pair:
    for name in NEEDED:
        if not cells.get(name):
            raise UsageError(f"no {name} in this row")
    cells = {**usual, **{key: value for key, value in cells.items() if value}}
    return Pair(parse_level(cells["t"]), folder / cells["original"],
                folder / cells["reconstruction"], parse_seed(cells["seed"]),
                cells["sampler"], where)  # fmt: skip


SCHEDULES = {
    "linear": Schedule(),
    "scaled-linear": Schedule("scaled_linear", 0.0015, 0.0195),
    "cosine": Schedule("squaredcos_cap_v2"),
    "none": None,
}
"""DDPM's (Ho et al. 2006.11239), latent diffusion's (Rombach et al. 2112.10752), improved DDPM's
(Nichol & Dhariwal 2102.09672), and no schedule: t is a label alone."""
_HINT = f"one of {', '.join(SCHEDULES)}, or a scheduler_config.json of diffusers"


@dataclass(frozen=True)
class Levels:
    """What t means: levels of a schedule, or (`None`) labels without an SNR."""

    schedule: Schedule | None = None

    def describe(self) -> dict[str, object]:
        """Plain data that identifies the levels."""
        return {"kind": "none"} if self.schedule is None else self.schedule.describe()

    def check(self, t: Number) -> Number:
        """t as a valid level, or `UsageError`."""
        if self.schedule is not None:
            return self.schedule.check(t)
        if not (math.isfinite(t) and t >= 0):
            raise UsageError(f"t {t} is not a level", "numbers from 0")
        return t

    def log_snr(self, t: Number) -> float:
        """Natural logarithm of SNR(t); NaN without a schedule."""
        return math.nan if self.schedule is None else self.schedule.log_snr(t)


def named_schedule(name: str | Path) -> Levels:
    """The levels of a name in `SCHEDULES`, or of a diffusers scheduler configuration (JSON).

    Raises `UsageError` for an unknown name, and for a configuration of another kind of levels.
    """
    if str(name) in SCHEDULES:
        return Levels(SCHEDULES[str(name)])
    path = Path(name)
    if not os.path.isfile(path):
        raise UsageError(f"unknown schedule {str(name)!r}", _HINT)
    return Levels(_configured(path))


def _configured(path: Path) -> Schedule:
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        if "beta_schedule" in config or config["trained_betas"] is not None:
            schedule = Schedule.from_config(config)
            schedule.level(schedule.steps - 1)
            return schedule
    except UsageError as error:
        raise UsageError(f"{path}: {error.what}", _HINT) from error
    except (OSError, ValueError, TypeError, LookupError, ArithmeticError,
            RecursionError) as error:  # fmt: skip
        raise UsageError(f"{path}: not a scheduler's configuration with β levels",
                         "--schedule none leaves log_snr blank") from error  # fmt: skip
    raise UsageError(f"{path}: has no β levels", "--schedule none leaves log_snr blank")
