"""What the benches say: medians with their spread, against limits, on which machine."""

from __future__ import annotations

import platform
import statistics
import subprocess
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class Row:
    """One thing that was measured."""

    what: str
    values: list[float]
    unit: str = ""
    limit: str = ""
    """`<= 1.05` or `>= 2`; empty where there is none."""
    kept: bool | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        if self.limit:
            sign, bound = self.limit.split()
            self.kept = self.median <= float(bound) if sign == "<=" else self.median >= float(bound)

    @property
    def median(self) -> float:
        """Of all values."""
        return statistics.median(self.values)

    def __str__(self) -> str:
        low, high, count = min(self.values), max(self.values), len(self.values)
        spread = f" ({low:.4g} … {high:.4g}, n = {count})" if count > 1 else " (n = 1)"
        said = "" if self.kept is None else f", {self.limit}: {'yes' if self.kept else 'NO'}"
        return f"{self.what}: {self.median:.4g} {self.unit}".rstrip() + spread + said

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "median": self.median}


ROWS: list[Row] = []
"""All that this process measured."""


def say(what: str, values: Sequence[float], unit: str = "", limit: str = "") -> Row:
    """Print a row, and remember it."""
    row = Row(what, [float(value) for value in values], unit, limit)
    ROWS.append(row)
    print(row, flush=True)
    return row


def timed(command: Sequence[str], repeats: int = 1) -> list[float]:
    """Seconds of a command in a fresh process, again and again."""
    found = []
    for _ in range(repeats):
        began = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        found.append(time.perf_counter() - began)
    return found


def machine() -> dict[str, Any]:
    """Where this was measured, and of which state of the project."""
    import os

    here = Path(__file__).parent
    commit = subprocess.run(["git", "describe", "--always", "--dirty", "--abbrev=10"], cwd=here,
                            capture_output=True, text=True).stdout.strip()  # fmt: skip
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    return {"processor": _processor(), "cores": os.cpu_count(), "system": platform.platform(),
            "python": platform.python_version(), "commit": commit or "unknown",
            "date": time.strftime("%Y-%m-%d %H:%M"), "load": load}  # fmt: skip


def _processor() -> str:
    """Its name, where the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
