"""The noise levels that outside reconstructions were made from, by name or by configuration."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path

from nca_cli.errors import UsageError
from nca_cli.recipe import Number
from nca_cli.schedule import Schedule

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
            raise UsageError(f"t {t} is no level", "numbers from 0")
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
    if not path.is_file():
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
    except (OSError, ValueError, TypeError, LookupError, ArithmeticError) as error:
        raise UsageError(f"{path}: not a scheduler's configuration with β levels",
                         "--schedule none leaves log_snr blank") from error  # fmt: skip
    raise UsageError(f"{path}: has no β levels", "--schedule none leaves log_snr blank")
