"""How many samples a network call takes at best, remembered for each model, device and dtype.

One small JSON file each in the user's cache folder (`$NCA_CACHE`). A memory that cannot be read or
written only costs a search.
"""

from __future__ import annotations

import contextlib
import json
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nca_cli.atomic import replace
from nca_cli.models.environment import cache_folder
from nca_cli.models.space import Model
from nca_cli.recipe import Recipe, digest


@dataclass(frozen=True)
class BatchMemory:
    """Of one network on one device."""

    about: dict[str, Any]
    """All that the best size depends on."""

    @classmethod
    def of(cls, model: Model, recipe: Recipe, device: str, compiled: bool = False) -> BatchMemory:
        """Of the network of a recipe, on a device that is there."""
        import torch

        kind = device.split(":")[0]
        machine = (
            torch.cuda.get_device_name(device) if kind == "cuda"
            else f"{platform.machine()} {torch.get_num_threads()} threads"
        )  # fmt: skip
        return cls({
            "model": recipe.weights, "space": model.folder_name, "device": kind, "machine": machine,
            "dtype": recipe.dtype, "tf32": recipe.tf32, "torch": torch.__version__,
            "guided": recipe.guidance is not None, "compiled": compiled,
        })  # fmt: skip

    @property
    def _path(self) -> Path:
        return cache_folder() / "batches" / f"{digest(self.about)[:32]}.json"

    def recall(self) -> int | None:
        """The size found before, if any."""
        with contextlib.suppress(OSError, ValueError, LookupError, TypeError):
            told = json.loads(self._path.read_text(encoding="utf-8"))
            if told["about"] == self.about and int(told["size"]) >= 1:
                return int(told["size"])
        return None

    def keep(self, size: int) -> None:
        """Remember a size."""
        with contextlib.suppress(OSError):
            replace(self._path, json.dumps({"about": self.about, "size": size}).encode())
