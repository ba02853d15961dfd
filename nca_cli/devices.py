"""Where networks run."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any

from nca_cli.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    import torch


def pick_device(name: str) -> str:
    """A device that is there: `auto` prefers cuda, then mps, then cpu. Raises `UsageError`.

    `auto:3` is that of the fourth of several processes on a machine: they take turns in its GPUs.
    """
    import torch

    has_mps = torch.backends.mps.is_available()
    auto, _, process = name.partition(":")
    if name == "auto" or (auto == "auto" and process.isdecimal()):
        if torch.cuda.is_available():
            return f"cuda:{int(process) % torch.cuda.device_count()}" if process else "cuda"
        return "mps" if has_mps else "cpu"
    match = re.fullmatch(r"(cpu|mps|cuda)(?::(\d+))?", name)
    if match is None:
        raise UsageError(f"unknown device {name!r}", "one of: auto, cpu, cuda, cuda:1, mps")
    counts = {"cpu": 1, "mps": int(has_mps), "cuda": torch.cuda.device_count()}
    if int(match[2] or 0) >= counts[match[1]]:
        raise UsageError(f"no device {name} here", "use --device auto")
    return name


def cores() -> int:
    """Processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def to_device(values: np.ndarray, device: Any) -> torch.Tensor:
    """A tensor of `values` on a device; the copy to CUDA is from pinned memory and waits for
    nothing, and nothing waits for it."""
    import torch

    tensor, kind = torch.from_numpy(values), torch.device(device).type
    if kind == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor if kind == "cpu" else tensor.to(device)
